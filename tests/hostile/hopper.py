# Attacks whoever kills by number: chains of processes that fork and end, so that a number is old when it is read.
import os
import signal
import time

import stage


def hop():
    os.setsid()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    stage.ignore_signals()
    while time.time() < end:
        if os.fork():
            os._exit(0)
    os._exit(0)


end = time.time() + min(60, stage.left())
stage.serve_beside()
stage.wait_for_go()
for _ in range(3):
    stage.child(hop)
stage.begun()
stage.sleep()
