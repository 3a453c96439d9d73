# Attacks whoever looks through descriptors: 100 processes with thousands of them, and clients that it keeps waiting.
import contextlib
import os
import resource
import socket

import stage


def hold():
    with contextlib.suppress(OSError):
        while True:
            os.dup(0)


def keep(sock):
    held = []
    while True:
        held.append(sock.accept()[0])


resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
sock = stage.listening()
stage.serve_beside(sock)
stage.wait_for_go()
for _ in range(100):
    stage.child(hold)
other = stage.listening(7003)
stage.child(keep, other)
clients = [socket.create_connection(("127.0.0.1", 7003)) for _ in range(500)]
stage.begun()
os.kill(os.getpid(), stage.signal.SIGSTOP)
stage.sleep()
