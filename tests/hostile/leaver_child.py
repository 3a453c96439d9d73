# Attacks whoever finds a service's processes by their network namespace: a child leaves it, and keeps the socket.
import os

import stage


def leave():
    os.setsid()
    stage.ignore_signals()
    stage.unshare(stage.CLONE_NEWUSER | stage.CLONE_NEWNET)
    stage.begun()
    stage.serve(sock)


sock = stage.listening()
stage.serve_beside(sock)
stage.wait_for_go()
stage.child(leave)
stage.sleep()
