# Attacks whoever lists open ports: 8,000 listening sockets of TCP.
import contextlib
import resource

import stage

resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
stage.serve_beside()
stage.wait_for_go()
held = []
for port in range(10000, 18000):
    with contextlib.suppress(OSError):
        held.append(stage.listening(port, backlog=1))
stage.begun()
stage.sleep()
