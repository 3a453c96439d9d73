# Attacks the damping: a server of one client at a time, with a slow one after the other and 2,500 that wait.
import resource
import socket
import time

import stage


def crowd_in():
    clients = []
    while True:
        try:
            clients.append(socket.create_connection(("127.0.0.1", stage.PORT), 1))
        except OSError:
            time.sleep(0.05)
        del clients[:-2500]


resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
sock = stage.listening(backlog=4096)
while not stage.os.path.exists(stage.path("go")):
    sock.settimeout(0.1)
    stage.answer(sock)
sock.settimeout(None)
stage.child(crowd_in)
stage.begun()
while True:
    stage.answer(sock)
