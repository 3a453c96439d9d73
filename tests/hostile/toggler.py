# Attacks whoever relies on the flags of a shared socket: O_NONBLOCK comes and goes on all of them, while it serves.
import fcntl
import os
import socket
import threading
import time

import stage


def toggle(numbers):
    end = time.time() + min(60, stage.left())
    while time.time() < end:
        for number in numbers:
            fcntl.fcntl(number, fcntl.F_SETFL, os.O_RDWR | os.O_NONBLOCK)
            fcntl.fcntl(number, fcntl.F_SETFL, os.O_RDWR)


def keep():
    while True:
        try:
            kept.append(sock.accept()[0])
        except OSError:
            time.sleep(0.001)


kept = []
sock = stage.listening()
stage.serve_beside(sock)
stage.wait_for_go()
own = [socket.create_connection(("127.0.0.1", stage.PORT)) for _ in range(8)]
threading.Thread(target=keep, daemon=True).start()
for _ in range(2):
    stage.child(toggle, [each.fileno() for each in [sock, *own]])
stage.begun()
stage.sleep()
