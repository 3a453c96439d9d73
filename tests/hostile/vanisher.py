# Attacks the restart: the main process ends at once, again and again, and what it left behind keeps the port.
import os

import stage


def stay(sock):
    os.setsid()
    stage.ignore_signals()
    stage.serve(sock)


sock = stage.listening()
if stage.has_begun():
    stage.child(stay, sock)
    os._exit(0)
stage.serve_beside(sock)
stage.wait_for_go()
stage.child(stay, sock)
stage.begun()
os._exit(0)
