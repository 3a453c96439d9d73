# Attacks the log: short lines as fast as four processes can write them.
import contextlib
import os

import stage


def write():
    number = 0
    while True:
        number += 1
        with contextlib.suppress(OSError):
            os.write(1, b"line %d of the flood\n" % number)


stage.serve_beside()
stage.wait_for_go()
for _ in range(4):
    stage.child(write)
stage.begun()
stage.sleep()
