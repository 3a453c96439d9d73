# Attacks whoever parses /proc/PID/stat, or prints it: names with brackets, a state, newlines, escapes and no UTF-8.
import stage

PR_SET_NAME = 15  # linux/prctl.h


def call(name):
    stage.libc.prctl(PR_SET_NAME, name, 0, 0, 0)


stage.serve_beside()
stage.wait_for_go()
for name in (b"x) Z 1 1 1 (", b"\xff\xfe\x80\n", b") R 0 0 0 0 0 0", b"\x1b[2J\x1b]0;x\x07", b""):
    stage.child(call, name)
call(b"\xff) Z 0 0 0\n")
stage.begun()
stage.sleep()
