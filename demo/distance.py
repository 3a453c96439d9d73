"""A link with a distance, for a kernel without netem: what goes in at one end comes out at the other, later.

distance.py ONE OTHER MILLISECONDS MBIT [tap]    makes two tun (or tap) devices in the namespace that it is started in
(one may then be moved to another namespace) and carries packets between them until it is killed; the devices go with
it. Each direction takes half of the round trip time, and has the given rate and a queue in front of it, like an access
line.
"""

import contextlib
import fcntl
import os
import select
import struct
import sys
import time
from collections import deque

# linux/if_tun.h
TUNSETIFF = 0x400454CA
IFF = {"tun": 0x0001, "tap": 0x0002}
IFF_NO_PI = 0x1000

LARGEST = 65536  # bytes of a packet
QUEUE = 0.1  # seconds of traffic that wait in front of the line; what comes on top of that is lost


class Direction:
    """From one descriptor to another: packets with the time at which they arrive."""

    def __init__(self, source, target, delay, rate):
        self.source, self.target = source, target
        self._delay, self._rate = delay, rate  # seconds, bytes a second
        self._free = 0.0  # when the line has sent all that it was given
        self._travelling = deque()

    def take(self):
        """Takes in what waits at the source."""
        while True:
            try:
                packet = os.read(self.source, LARGEST)
            except BlockingIOError:
                return
            now = time.monotonic()
            self._free = max(self._free, now)
            if self._free - now < QUEUE:
                self._free += len(packet) / self._rate
                self._travelling.append((self._free + self._delay, packet))

    def deliver(self):
        """Hands out what has arrived; returns when the next packet will (None: nothing is under way)."""
        while self._travelling and self._travelling[0][0] <= time.monotonic():
            with contextlib.suppress(OSError):  # a device that is down takes nothing: the packet is lost
                os.write(self.target, self._travelling.popleft()[1])
        return self._travelling[0][0] if self._travelling else None


def device(name, kind):
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF[kind] | IFF_NO_PI))
    return fd


def main(one, other, milliseconds, mbit, kind="tun"):
    ends = device(one, kind), device(other, kind)
    delay, rate = float(milliseconds) / 2000, float(mbit) * 1e6 / 8
    directions = [Direction(*ends, delay, rate), Direction(*reversed(ends), delay, rate)]
    while True:
        due = [arrival for arrival in [direction.deliver() for direction in directions] if arrival is not None]
        wait = max(0.0, min(due) - time.monotonic()) if due else None
        ready, _, _ = select.select(ends, [], [], wait)
        for direction in directions:
            if direction.source in ready:
                direction.take()


if __name__ == "__main__":
    main(*sys.argv[1:])
