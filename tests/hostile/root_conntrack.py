# Attacks the table of connections in its namespace: it is filled as fast as packets can be made (for a service with
# another port inside, whose rule makes the kernel track them).
import contextlib
import socket
import time

import stage


def fill():
    end = time.time() + min(60, stage.left())
    while time.time() < end:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
            for port in range(1, 60000):
                sock.sendto(b"", ("127.0.0.1", port))


stage.serve_beside()
stage.wait_for_go()
for _ in range(3):
    stage.child(fill)
time.sleep(1)
stage.begun()
stage.sleep()
