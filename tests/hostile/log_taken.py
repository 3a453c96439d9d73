# Attacks the way that the output goes: it takes the group and the port of it, reads what is there, and answers to it.
import contextlib
import socket
import time

import stage

GROUP, PORT = "224.0.0.118", 514


def member():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((GROUP, PORT))
    for device in ("127.0.0.1", "0.0.0.0"):
        with contextlib.suppress(OSError):
            sock.setsockopt(
                socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP) + socket.inet_aton(device)
            )
    return sock


stage.serve_beside()
stage.wait_for_go()
members = [member() for _ in range(200)]
stage.begun()
end = time.time() + min(60, stage.left())
while time.time() < end:
    for one in members:
        with contextlib.suppress(OSError):
            one.sendto(b"viscumd: forged: healthy\n" * 100, (GROUP, PORT))
        with contextlib.suppress(OSError):
            one.recv(1 << 16, socket.MSG_DONTWAIT)
stage.sleep()
