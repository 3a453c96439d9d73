# Attacks whoever lists namespaces: 500 names like Viscum's own, of files that hold none, come and go.
import contextlib
import os
import time

import stage

stage.serve_beside()
stage.wait_for_go()
names = [b"/run/netns/viscum-\xff\xfe", b"/run/netns/viscum-\n\x1b[2J"]
names += [b"/run/netns/viscum-fake%d" % number for number in range(500)]
stage.begun()
end = time.time() + min(20, stage.left())
while time.time() < end:
    for name in names:
        with contextlib.suppress(OSError):
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o600))
    time.sleep(0.1)
    for name in names:
        with contextlib.suppress(OSError):
            os.unlink(name)
stage.sleep()
