# Attacks the memory and the time of whoever splits lines: 64 KB at a time, without an end of line, for ever; also 64 KB
# of nothing but ends of lines, and of bytes that are no text.
import contextlib
import os

import stage


def write(pieces):
    while True:
        for piece in pieces:
            with contextlib.suppress(OSError):
                os.write(1, piece)


stage.serve_beside()
stage.wait_for_go()
for pieces in ([b"x" * 65000], [b"\n" * 65000], [b"\xff\x1b" * 32000, b"y\n" * 32000]):
    stage.child(write, pieces)
stage.begun()
stage.sleep()
