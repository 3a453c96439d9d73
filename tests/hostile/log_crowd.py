# Attacks the log: 1,000 processes that write at once, each a part of a line.
import contextlib
import os
import time

import stage


def write(number):
    while True:
        with contextlib.suppress(OSError):
            os.write(1, b"half of %d, " % number)
        time.sleep(0.2)


stage.serve_beside()
stage.wait_for_go()
for number in range(1000):
    try:
        stage.child(write, number)
    except OSError:
        break
stage.begun()
stage.sleep()
