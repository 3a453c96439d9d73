# Attacks whoever asks the main thread: it has ended, a zombie in /proc, while other threads serve on.
import threading
import time

import stage


def go_on():
    while not gone.is_set():
        time.sleep(0.01)
    time.sleep(0.2)
    stage.begun()
    stage.sleep()


gone = threading.Event()
stage.serve_beside()
threading.Thread(target=go_on, daemon=True).start()
stage.wait_for_go()
gone.set()
stage.libc.syscall(60, 0) if stage.os.uname().machine == "x86_64" else stage.libc.syscall(93, 0)  # exit(2), one thread
