# Attacks the memory of whoever reads a program's environment whole: after execve it has 1.2 MB.
import os
import sys

import stage

if stage.has_begun():
    stage.serve(stage.listening())
stage.serve_beside()
stage.wait_for_go()
stage.begun()
variables = {b"A%02d" % number: b"x" * 120000 for number in range(10)}
variables.update({b"VISCUM_SERVICE": b"witness", b"Z": b"VISCUM_PROGRAM="})
os.execve(sys.executable, [sys.executable, *sys.argv], variables)
