# Attacks whoever accepts from a socket that others share: the program accepts nobody, and makes its listening socket
# blocking again and again while somebody else wants to find out who waits there.
import fcntl
import os
import time

import stage


def race():
    end = time.time() + min(60, stage.left())
    while time.time() < end:
        for _ in range(20000):
            fcntl.fcntl(sock, fcntl.F_SETFL, os.O_RDWR)


sock = stage.listening()
stage.serve_beside(sock)
stage.wait_for_go()
accepting = False
for _ in range(3):
    stage.child(race)
stage.begun()
os.kill(os.getpid(), stage.signal.SIGSTOP)
stage.sleep()
