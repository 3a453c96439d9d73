# Attacks whoever counts processes: 1,000 children that have ended and that nobody waits for.
import os

import stage

stage.serve_beside()
stage.wait_for_go()
for _ in range(1000):
    if os.fork() == 0:
        os._exit(0)
stage.begun()
stage.sleep()
