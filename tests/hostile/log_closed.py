# Attacks whoever expects an output: it is closed, shut down, and turned into something else, in turn.
import contextlib
import os
import socket
import time

import stage

stage.serve_beside()
stage.wait_for_go()
with contextlib.suppress(OSError):
    socket.socket(fileno=os.dup(1)).shutdown(socket.SHUT_RDWR)
os.close(1)
os.close(2)
stage.begun()
while True:
    reading, writing = os.pipe()
    with contextlib.suppress(OSError):
        os.write(1, b"to nobody\n" * 100)
    os.close(reading)
    os.close(writing)
    time.sleep(0.1)
