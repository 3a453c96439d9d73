# Attacks whoever kills what a list names: processes fork two more and end, faster than anybody reads a list.
import os
import signal
import time

import stage


def breed():
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    stage.ignore_signals()
    while time.time() < end:
        try:
            if stage.fork():
                os._exit(0)
            if stage.fork() == 0:
                time.sleep(0.2)
                os._exit(0)
        except OSError:
            time.sleep(0.01)
    os._exit(0)


end = time.time() + min(60, stage.left())
stage.serve_beside()
stage.wait_for_go()
for _ in range(4):
    stage.child(breed)
stage.begun()
stage.sleep()
