# Attacks the check: a backlog of one that is full for good, so that no handshake ends and nobody is refused.
import socket
import time

import stage

sock = stage.listening(backlog=1)
while not stage.os.path.exists(stage.path("go")):
    sock.settimeout(0.1)
    stage.answer(sock)
clients = []
for _ in range(4):
    one = socket.socket()
    one.setblocking(False)
    one.connect_ex(("127.0.0.1", stage.PORT))
    clients.append(one)
time.sleep(0.2)
stage.begun()
stage.sleep()
