"""Frames as no honest client sends them, and a sender that has them out as fast as this machine can.

Addresses are text. A frame is for the router's `lan0` of a lab; the client's own kernel is kept from answering what
comes back, so that what arrives at the router is what was sent.
"""

import itertools
import socket
import struct
import subprocess
import sys
from pathlib import Path

from lab import in_namespace, packed_mac, wait_for
from packets import A6, PORT, A

from viscum_agent.kernel.handshake import checksum, ip_packet

TCP, UDP, ICMP, ICMPV6 = 6, 17, 1, 58
FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
DATA = b"x" * 32
CLIENT, CLIENT6 = "192.168.77.2", "2001:db8:77::2"
# What a raw client's kernel would say to answers that it did not ask for; neighbours it knows by ARP and ND as always.
SILENT = """table inet silent {
    chain out {
        type filter hook output priority 0;
        icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
        drop
    }
}"""


def packed(text):
    return socket.inet_pton(socket.AF_INET6 if ":" in text else socket.AF_INET, text)


def packet(source, proto, head, tail=b"", dst=None):
    """An IPv4 or IPv6 packet; the checksum is put between `head` and `tail`."""
    dst = dst or (A6 if ":" in source else A)
    return ip_packet(packed(source), packed(dst), proto, head, tail)


def tcp(source, sport=40000, port=PORT, flags=SYN, dst=None, seq=1, ack=0, data=b""):
    head = struct.pack(">HHIIBBH", sport, port, seq, ack, 5 << 4, flags, 1024)
    return packet(source, TCP, head, struct.pack(">H", 0) + data, dst)


def udp(source, sport=40000, port=PORT, dst=None, data=DATA):
    return packet(source, UDP, struct.pack(">HHH", sport, port, 8 + len(data)), data, dst)


def icmp(source, what, body, dst=None):
    """`what` is type and code, `body` what comes after the checksum."""
    if ":" in source:
        return packet(source, ICMPV6, what, body, dst)
    payload = what + struct.pack(">H", checksum(what + body)) + body
    return ipv4(payload, ICMP, dst or A, source)


def ipv4(payload, proto, dst=A, src=CLIENT, ident=0, flags=0, offset=0, words=5, options=b"", length=None, ttl=64):
    """With fields as one likes; `offset` is in units of 8 bytes."""
    words += len(options) // 4
    size = 20 + len(options) + len(payload) if length is None else length
    head = struct.pack(">BBHHHBB", 0x40 | words, 0, size, ident, flags << 13 | offset, ttl, proto)
    ends = packed(src) + packed(dst) + options
    return head + struct.pack(">H", checksum(head + ends)) + ends + payload


def ipv6(payload, proto, dst=A6, src=CLIENT6, length=None):
    size = len(payload) if length is None else length
    return struct.pack(">IHBB", 6 << 28, size, proto, 64) + packed(src) + packed(dst) + payload


def fragment6(payload, ident, offset, more, proto=UDP, dst=A6):
    return ipv6(struct.pack(">BBHI", proto, 0, offset << 3 | more, ident) + payload, 44, dst)


def rest(data):
    """What an IP packet carries."""
    return data[40:] if data[0] >> 4 == 6 else data[(data[0] & 15) * 4 :]


class Raw:
    """The first client of a lab, which sends what it likes."""

    def __init__(self, lab):
        self.ns = lab.client
        self.sock = in_namespace(self.ns, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
        self.sock.bind(("eth0", 0))
        self.ends = packed_mac(lab.router, "lan0") + packed_mac(self.ns)
        lab.run(self.ns, "nft", SILENT)

    def close(self):
        self.sock.close()

    def frame(self, data):
        return self.ends + (b"\x86\xdd" if data[0] >> 4 == 6 else b"\x08\0") + data

    def sends(self, packets, count):
        """Sends that many, the packets in turn; returns how many arrived at the router. The others found its queue
        full (net.core.netdev_max_backlog)."""
        before = self.counted()[1]
        send = self.sock.send
        for frame in itertools.islice(itertools.cycle([self.frame(data) for data in packets]), count):
            send(frame)
        return count - (self.counted()[1] - before)

    def counted(self):
        return in_namespace(self.ns, lambda: counted("eth0"))


def counted(dev):
    """(packets that a device has sent, those that the other end had no place for), in the caller's namespace."""
    for line in Path("/proc/thread-self/net/dev").read_text().splitlines():
        name, _, numbers = line.partition(":")
        if name.strip() == dev:
            return int(numbers.split()[9]), int(numbers.split()[11])
    raise LookupError(dev)


# Sends the frames that it reads, each after its length, in turn and without a pause, through an open socket; nobody
# needs it for longer than a minute.
SENDS = """
import socket, struct, sys, time
data, frames, at = sys.stdin.buffer.read(), [], 0
while at < len(data):
    size, = struct.unpack_from('>H', data, at)
    frames.append(data[at + 2 : at + 2 + size])
    at += 2 + size
send, until = socket.socket(fileno=int(sys.argv[1])).send, time.monotonic() + 60
while time.monotonic() < until:
    for frame in frames:
        send(frame)
"""


class Flood:
    """As a context manager: a process that sends a raw client's packets in turn, without a pause. `arrived` is how many
    have reached the router so far."""

    def __init__(self, raw, packets):
        self.raw = raw
        self._before = raw.counted()[0]
        self._data = b"".join([struct.pack(">H", len(frame)) + frame for frame in map(raw.frame, packets)])

    @property
    def arrived(self):
        return self.raw.counted()[0] - self._before

    def __enter__(self):
        fd = self.raw.sock.fileno()
        words = (sys.executable, "-ISc", SENDS, str(fd))
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, pass_fds=(fd,))
        self._process.stdin.write(self._data)
        self._process.stdin.close()
        wait_for(lambda: self.arrived > 0)
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
