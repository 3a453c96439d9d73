# Attacks whoever waits for a process to do something: it stops its children and then itself.
import os
import signal

import stage

sock = stage.listening()
stage.serve_beside(sock)
stage.wait_for_go()
for _ in range(5):
    os.kill(stage.child(stage.serve, sock), signal.SIGSTOP)
stage.begun()
os.kill(os.getpid(), signal.SIGSTOP)
stage.sleep()
