# Attacks whoever reads a program's environment as text: after execve it is not UTF-8, Viscum's own names included.
import os
import sys

import stage

if stage.has_begun():
    stage.serve(stage.listening())
stage.serve_beside()
stage.wait_for_go()
stage.begun()
variables = {b"VISCUM_PROGRAM": b"\xff\xfe", b"VISCUM_SERVICE": b"\xc0witness", b"\xff\xfe": b"\x80=\n"}
os.execve(sys.executable, [sys.executable, *sys.argv], variables)
