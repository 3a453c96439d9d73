# Attacks the clients of the other family: it answers one at a time, now IPv4 and now IPv6.
import socket
import time

import stage


def serve(family, seconds):
    sock = stage.listening(family=family)
    sock.settimeout(0.1)
    end = time.time() + seconds
    while time.time() < end:
        stage.answer(sock)
    sock.close()


while not stage.os.path.exists(stage.path("go")):
    serve(socket.AF_INET, 0.2)
stage.begun()
while True:
    serve(socket.AF_INET6, 2)
    serve(socket.AF_INET, 2)
