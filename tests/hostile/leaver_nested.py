# Attacks whoever kills by number or by name: children are init of process namespaces of their own, three deep.
import os

import stage


def nest(depth):
    stage.ignore_signals()
    uid, gid = os.getuid(), os.getgid()
    if not stage.unshare(stage.CLONE_NEWUSER | stage.CLONE_NEWPID | stage.CLONE_NEWNET):
        return
    for name, line in (("setgroups", "deny"), ("uid_map", "0 %d 1" % uid), ("gid_map", "0 %d 1" % gid)):
        with open("/proc/self/" + name, "w") as file:
            file.write(line)
    if depth:
        stage.child(nest, depth - 1)
    else:
        stage.begun()


stage.serve_beside()
stage.wait_for_go()
stage.child(nest, 3)
stage.sleep()
