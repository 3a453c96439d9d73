# Attacks whoever ends a process and its children: twenty daemons, forked twice, each with a session of its own.
import os

import stage


def settle():
    os.setsid()
    stage.ignore_signals()
    os.chdir("/")
    if stage.fork():
        os._exit(0)


stage.serve_beside()
stage.wait_for_go()
for _ in range(20):
    os.waitpid(stage.child(settle), 0)
stage.begun()
stage.sleep()
