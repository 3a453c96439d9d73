# Attacks the memory of whoever reads a command line whole: 1 MB of words, some of them Viscum's own.
import os
import sys

import stage

if stage.has_begun():
    stage.serve(stage.listening())
stage.serve_beside()
stage.wait_for_go()
stage.begun()
os.execv(sys.executable, [sys.executable, *sys.argv[:2], *["viscum_agent\n\xff\x1b[2J" + "x" * 100000] * 10])
