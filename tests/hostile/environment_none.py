# Attacks whoever believes a program's environment about what it was started with: after execve there is none.
import os
import sys

import stage

if stage.has_begun():
    stage.serve(stage.listening())
stage.serve_beside()
stage.wait_for_go()
stage.begun()
os.execve(sys.executable, [sys.executable, *sys.argv], {})
