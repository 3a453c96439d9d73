# Attacks the router by eth0, and the check by what it gets back: frames of any kind, segments with every flag to the
# ports of whoever asks, and ICMP errors about them.
import contextlib
import os
import random
import socket
import struct
import time

import stage


def frames():
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    raw.bind(("eth0", 0))
    end = time.time() + min(60, stage.left())
    while time.time() < end:
        kind = random.choice((0x0800, 0x86DD, 0x0806, 0x8100, random.randrange(0x10000)))
        with contextlib.suppress(OSError):
            raw.send(b"\xff" * 6 + os.urandom(6) + struct.pack(">H", kind) + os.urandom(random.randrange(46, 1000)))


def segments():
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    own = next(line for line in os.popen("ip -o -4 addr show dev eth0")).split()[3].split("/")[0]
    source, target = socket.inet_aton("203.0.113.10"), socket.inet_aton(own)
    end = time.time() + min(60, stage.left())
    while time.time() < end:
        segment = struct.pack(">HHIIBBHHH", stage.PORT, random.randrange(32768, 61000), 0, 0, 0x50, 0xFF, 9, 0, 0)
        head = struct.pack(">BBHHHBBH", 0x45, 0, 40, 0, 0, 64, random.choice((1, 6, 17)), 0)
        with contextlib.suppress(OSError):
            raw.sendto(head + source + target + segment, (own, 0))


stage.serve_beside()
stage.wait_for_go()
for step in (frames, segments, segments):
    stage.child(step)
stage.begun()
stage.sleep()
