# Attacks whoever waits for a check to end: it traces the commands that check it, which are then dead and never gone.
import ctypes
import os
import time

import stage

PTRACE_SEIZE = 0x4206  # linux/ptrace.h


def trace():
    os.setsid()
    stage.ignore_signals()
    stage.libc.ptrace.argtypes = [ctypes.c_long] * 4
    while True:
        for name in os.listdir("/proc"):
            if name.isdigit() and _is_check(name) and stage.libc.ptrace(PTRACE_SEIZE, int(name), 0, 0) == 0:
                stage.begun()
        time.sleep(0.01)


def _is_check(pid):
    """Whether it is one of our own: other tests run beside this one, and have names that are not text."""
    try:
        with open("/proc/%s/comm" % pid, "rb") as file:
            return file.read() == b"sleep\n" and os.path.samefile("/proc/%s/ns/net" % pid, "/proc/self/ns/net")
    except OSError:
        return False  # gone meanwhile, or another account's


stage.serve_beside()
stage.wait_for_go()
stage.child(trace)
stage.sleep()
