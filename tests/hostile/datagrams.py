# Attacks whoever lists open ports: 8,000 sockets of UDP, which the kernel lists in no order.
import contextlib
import resource
import socket

import stage

resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
stage.serve_beside()
stage.wait_for_go()
held = []
for port in range(10000, 18000):
    with contextlib.suppress(OSError):
        held.append(stage.listening(port, kind=socket.SOCK_DGRAM))
stage.begun()
stage.sleep()
