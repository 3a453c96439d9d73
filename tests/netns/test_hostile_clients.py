"""Hostile clients, with every datapath and both families: whatever a client sends, at whatever speed, the others are
answered by the program and by the cloud meanwhile and afterwards, the counters say what was sent, the agent does not
notice, and nothing of the kernel grows beyond a bound that has a name.
"""

import os
import random
import resource
import socket
import struct
import subprocess
import time
from collections import namedtuple
from contextlib import suppress
from pathlib import Path

import datapaths
import pytest
from agent import PATIENT, Served, private_memory
from firewall import INCLUDES
from lab import (
    CLOUD,
    CLOUD6,
    CPYTHON,
    HANG,
    MICROPYTHON,
    PROGRAMS,
    SILENCE,
    Lab,
    in_namespace,
    ip,
    mac,
    service,
    wait_for,
)
from packets import A6, B6, PORT, A, B
from raw_clients import (
    ACK,
    CLIENT,
    CLIENT6,
    SYN,
    TCP,
    UDP,
    Flood,
    Raw,
    counted,
    fragment6,
    icmp,
    ipv4,
    ipv6,
    packed,
    packet,
    rest,
    tcp,
    udp,
)
from talks import become_steady

from viscum_agent.ebpf import layout
from viscum_agent.kernel import bpf_syscall

# Answers what comes with its name, as many clients as there are: select(2) ends at 1,024 descriptors.
PROGRAM = """
import selectors, socket, sys
ready, name = selectors.DefaultSelector(), sys.argv[1].encode()
for family, host in ((socket.AF_INET, ''), (socket.AF_INET6, '::')):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        sock = socket.socket(family, kind)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, 7000))
        sock.setblocking(False)
        if kind == socket.SOCK_STREAM:
            sock.listen(512)
        ready.register(sock, selectors.EVENT_READ, 'server' if kind == socket.SOCK_STREAM else 'datagrams')
while True:
    for key, _ in ready.select():
        sock = key.fileobj
        try:
            if key.data == 'server':
                client = sock.accept()[0]
                client.setblocking(False)
                ready.register(client, selectors.EVENT_READ, 'client')
                continue
            if key.data == 'datagrams':
                data, peer = sock.recvfrom(2048)
                sock.sendto(name + b' - ' + data, peer)
                continue
            data = sock.recv(2048)
            if data:
                sock.sendall(name + b' - ' + data)
                continue
        except BlockingIOError:
            continue
        except OSError:
            if key.data != 'client':
                continue
        ready.unregister(sock)
        sock.close()
"""
LINES = (*["list device lan%d" % number for number in range(3)], "option nofile 8192", *PATIENT)
EXACT = ("list dest_ip " + A, "list dest_ip " + A6, "list dest_port %d" % PORT)
WHOLE = ("list dest_ip " + B, "list dest_ip " + B6, "option proto any")
NAT = ("list dest_ip " + CLOUD[2], "list dest_port 7100", "option target_port 7000")
SERVICES = {"echo": EXACT, "whole": WHOLE, "nat": NAT}
ELSEWHERE = [("tcp", CLOUD[3], 7000), ("udp", CLOUD[3], 7000), ("tcp", A6, 7001), ("udp", A, 7001)]
EVERYWHERE = [("tcp", B, PORT), ("udp", B, PORT), ("tcp", B6, PORT), ("udp", B6, PORT)]
EVERYWHERE += [("tcp", CLOUD[2], 7100), ("udp", CLOUD[2], 7100)]
AT_THE_EDGE = [("tcp", A, PORT), ("udp", A, PORT), ("tcp", A6, PORT), ("udp", A6, PORT)]

# The package's include, and what makes the router track connections.
TRACKS = """table inet tracks {
    chain raw { type filter hook prerouting priority raw; include "%s"; }
    chain forward { type filter hook forward priority 0; ct state established accept; }
}""" % (INCLUDES / "chain-post/raw_prerouting/viscum.nft")

FULL = [("udp", A, PORT), ("udp", A6, PORT), ("udp", CLOUD[2], 7100)]
NOT_FULL = [each for each in AT_THE_EDGE + EVERYWHERE + ELSEWHERE if each not in FULL]
CONNECTIONS, SLOW = 2000, 200

# What may grow, and to what: by the kernel's name for the limit, in each network namespace.
BOUNDS = {
    "frag bytes": (4 << 20) + (1 << 18),  # net.ipv4.ipfrag_high_thresh, and what a queue or two hold themselves
    "frag6 bytes": (4 << 20) + (1 << 18),  # net.ipv6.ip6frag_high_thresh
    "half-open": 2 * 513,  # the backlog (512) of a program, and one, for each family; more get cookies (tcp_syncookies)
    "neighbours -4": 1024,  # net.ipv4.neigh.default.gc_thresh3, of all namespaces together
    "neighbours -6": 1024,  # net.ipv6.neigh.default.gc_thresh3
    "flows": layout.FLOWS,
    "clients": 2048,
}
# What may be more than before: what the witness asked for, and what comes and goes with checks (of ten ways to three
# programs; of TCP each needs two descriptors).
SLACK = {
    "KiB": 1024,
    "descriptors": 16,
    "tcp sockets": 64,
    "lines": 5,
    "tcp6 sockets": 64,
    "tcp in TIME_WAIT": 1000,
    "raw sockets": 4,
    "raw6 sockets": 4,
}
SLACK |= {"udp sockets": 4, "udp6 sockets": 4, "tracked": 2000}
GROW = {
    each.name: (each.key, each.value)
    for each in layout.MAPS
    if each.name in ("exact", "wide", "slots", "clients", "flows")
}

ASKED = 3  # seconds of processor time that the agent may need meanwhile: for its checks and the questions of a test

COUNT = 400  # packets of each kind whose counters are compared
LONG = float(os.environ.get("VISCUM_FLOOD", "0"))
SECONDS = LONG or 0.3  # of each flood, at least: each packet comes once
MIXED = 8000  # packets of a flood, at least, before it begins anew
SEED = 7


# A kind of packet, and what each datapath does with it: "taken", "" for nothing that is counted, or the reason for
# which it passes.
Kind = namedtuple("Kind", ("name", "packets", "bpf", "u32", "flower"))


def kind(name, packets, bpf="taken", u32=None, flower=None):
    """What is not said of a datapath is as with the one before."""
    u32 = bpf if u32 is None else u32
    return Kind(name, list(packets), bpf, u32, u32 if flower is None else flower)


LAN4 = ["192.168.77.%d" % last for last in range(3, 251)]
DICE = random.Random(SEED)
LAN6 = ["2001:db8:77::%x:%x" % (DICE.randrange(1, 65536), DICE.randrange(65536)) for _ in range(4000)]
PORTS = [DICE.randrange(1024, 65536) for _ in range(4000)]
HOMES = list(zip(LAN4 * 17, PORTS, strict=False))
HOMES6 = list(zip(LAN6, PORTS, strict=True))
# Of another device, of the other side, of nobody, of the router, of nowhere; broadcast, multicast, loopback; the
# service's address itself.
FORGED4 = ["192.168.78.9", "198.51.100.7", "192.0.2.7", "192.168.77.1", "198.51.100.1", "192.168.77.255", "127.0.0.1"]
FORGED4 += ["0.0.0.0", "224.0.0.1", "240.0.0.1", "255.255.255.255", A]
FORGED6 = ["2001:db8:78::9", "2001:db8:100::7", "2001:db8:ffff::7", "2001:db8:77::1", "2001:db8:100::1", "::1", "::"]
FORGED6 += ["ff02::1", A6]
OPTIONS = (
    b"\x83\x07\x04\xcb\x00\x71\x0a\x00",  # loose source route (RFC 791)
    b"\x07\x27\x04" + bytes(36) + b"\0",  # record route
    b"\x44\x28\x05\x00" + bytes(36),  # timestamps
    b"\x94\x04\0\0",  # router alert
    b"\x07\xff\x04\0",  # a length beyond the header
    b"\x01" * 40,
)


def syns():
    clients = [tcp(source, port) for port in PORTS[:200] for source in (CLIENT, CLIENT6)]
    return (
        kind("SYNs of a client", clients),
        kind("SYNs of the LAN's other addresses", [tcp(*each) for each in HOMES]),
        kind("SYNs of the LAN's other addresses, IPv6", [tcp(*each) for each in HOMES6]),
    )


def datagrams():
    return (
        kind("datagrams of the LAN's other addresses", [udp(*each) for each in HOMES]),
        kind("datagrams of the LAN's other addresses, IPv6", [udp(*each) for each in HOMES6]),
    )


def forged(own):
    sources = FORGED4 + FORGED6
    return (
        kind("datagrams of the program's own address", [udp(each) for each in own], "", "taken"),
        kind("SYNs of the program's own address", [tcp(each) for each in own], "", "taken"),
        kind("forged datagrams", [udp(each) for each in sources], "elsewhere", "taken"),
        kind("forged SYNs", [tcp(each) for each in sources], "elsewhere", "taken"),
    )


def fragments():
    data = rest(udp(CLIENT, data=bytes(1400)))
    data6 = rest(udp(CLIENT6, data=bytes(1400)))
    idents = range(COUNT)
    more = 1
    return (
        kind("first of a datagram", [ipv4(data[:800], UDP, ident=each, flags=more) for each in idents], ""),
        kind("first of 8 bytes", [ipv4(rest(tcp(CLIENT))[:8], TCP, ident=each, flags=more) for each in idents], ""),
        kind("last alone", [ipv4(data[800:], UDP, ident=each, offset=100) for each in idents], ""),
        kind("beyond 64 KiB", [ipv4(data[:800], UDP, ident=each, offset=8190) for each in idents], ""),
        kind("overlapping", [ipv4(data[:80], UDP, ident=0, flags=more, offset=each % 20) for each in idents], ""),
        kind("first, IPv6", [fragment6(data6[:800], each, 0, more) for each in idents], ""),
        kind("first of 8 bytes, IPv6", [fragment6(data6[:8], each, 0, more) for each in idents], ""),
        kind("overlapping, IPv6", [fragment6(data6[:80], 0, each % 20, more) for each in idents], ""),
        kind("the only one, IPv6", [fragment6(data6, each, 0, 0) for each in idents], ""),
    )


def whole_fragments():
    """Of an address that is taken as a whole, IPv4's are taken as well: none has an end. Two families of which the
    namespace would keep more than it may."""
    data = rest(udp(CLIENT, data=bytes(1400), dst=B))
    return [kind("first", [ipv4(data[:1400], UDP, B, ident=each, flags=1) for each in range(10000)])]


def malformed():
    good, good6 = udp(CLIENT), udp(CLIENT6)
    segment = tcp(CLIENT)
    routing = struct.pack(">BBBBI", UDP, 2, 0, 1, 0) + packed(A6)  # RFC 8200, 4.4; by type 0 (RFC 5095)
    hop_by_hop = struct.pack(">BB6B", UDP, 0, 5, 2, 0, 0, 1, 0)  # router alert (RFC 2711)
    jumbo = struct.pack(">BBBBI", UDP, 0, 194, 4, 1 << 20)  # RFC 2675
    chain = b"".join([struct.pack(">BB6x", 60, 0)] * 100) + struct.pack(">BB6x", UDP, 0) + rest(good6)
    return (
        kind("half a header", [good[:10]], ""),
        kind("no ports", [good[:20], good[:21]], ""),
        kind("half a header, IPv6", [good6[:20], good6[:40], good6[:41]], ""),
        kind("ports and no more", [good[:24], good6[:44]]),
        kind("TCP ports and no more", [segment[:24]], "", "taken"),
        kind("a header of 4 words", [ipv4(rest(good), UDP, words=4)], ""),
        kind("a header of 15 words that are not there", [ipv4(b"\0\0\0\0", UDP, words=15)], ""),
        kind("a length beyond the end", [ipv4(rest(good), UDP, length=1400), ipv6(rest(good6), UDP, length=1400)]),
        kind("a length before the end", [ipv4(rest(good), UDP, length=20), ipv6(rest(good6), UDP, length=0)]),
        kind("a wrong checksum", [good[:10] + b"\1\2" + good[12:], good[:26] + b"\1\2" + good[28:]]),
        kind("a wrong UDP length", [good[:24] + b"\xff\xff" + good[26:], good6[:44] + b"\0\0" + good6[46:]]),
        kind("a TCP header of no words", [segment[:32] + b"\0" + segment[33:]]),
        kind("a TCP header of 15 words", [segment[:32] + b"\xf0" + segment[33:]]),
        kind("TTL 0", [ipv4(rest(good), UDP, ttl=0)]),
        kind("IPv4 options", [ipv4(rest(good), UDP, options=each) for each in OPTIONS], "taken", "", "taken"),
        kind("a hundred headers, IPv6", [ipv6(chain, 60)], ""),
        # flower looks behind extension headers, and can't be told not to.
        kind("a routing header, IPv6", [ipv6(routing + rest(good6), 43)], "", "", "taken"),
        kind("hop-by-hop options, IPv6", [ipv6(hop_by_hop + rest(good6), 0)], "", "", "taken"),
        kind("a jumbogram, IPv6", [ipv6(jumbo + rest(good6), 0, length=0)], "", "", "taken"),
    )


def flags(steady):
    """All that a TCP header can say. While a redirect takes over, what begins no connection belongs to one with the
    cloud, if not to one that the service has."""
    begin = [bits for bits in range(64) if bits & (SYN | ACK) == SYN]
    others = [bits for bits in range(64) if bits not in begin]

    def of(some, port, ack=0):
        return [tcp(end, port, flags=bits, ack=ack) for bits in some for end in (CLIENT, CLIENT6)]

    passes = "taken" if steady else "cloud"
    return (
        kind("flags with SYN", of(begin, 500)),
        kind("flags without", of(others, 501) + of(others, 502, 12345), passes, "taken"),
    )


def errors(steady):
    """About what the service has sent, or might have."""

    def about(head, proto, client, service):
        sent = packet(service, proto, head, dst=client)
        big, closed, mtu = (b"\2\0", b"\1\4", 1280) if ":" in client else (b"\3\4", b"\3\3", 68)
        return [icmp(client, big, struct.pack(">I", mtu) + sent), icmp(client, closed, bytes(4) + sent)]

    both = [(CLIENT, A), (CLIENT6, A6)]
    datagram = struct.pack(">HHH", PORT, 503, 8)
    segment = struct.pack(">HHIIBBH", PORT, 503, 1, 1, 5 << 4, ACK, 1)
    return (
        kind("errors about datagrams", sum([about(datagram, UDP, *ends) for ends in both], []), "taken", ""),
        kind(
            "errors about segments",
            sum([about(segment + b"\0\0", TCP, *ends) for ends in both], []),
            "taken" if steady else "cloud",
            "",
        ),
    )


RESTS = 6  # looks, 50 ms apart: longer than the 200 ms after which TCP sends a segment again


class Yard:
    """A lab with three services: `echo` has a port of an address of each family, `whole` all of another one, `nat` a
    port that leads to another one; its router tracks connections. The first client sends what it likes, the second is
    the witness, and the third one uses its kernel."""

    def __init__(self, lab):
        self.lab = lab
        self.by_mode = lab.datapath == "bpf"
        self.steady = not self.by_mode
        program = PROGRAMS / "answers.py"
        program.write_text(PROGRAM)
        lab.serve_cloud(7000, 7001)
        for line in ("192.168.99.0/24 via 192.168.77.2", "2001:db8:99::/64 via 2001:db8:77::2"):
            ip("-n", lab.router, *(["-6"] if ":" in line else []), "route", "add", *line.split())
        command = "/usr/bin/python3 %s edge" % program
        config = [service(name, command, *LINES, *lines) for name, lines in SERVICES.items()]
        lab.run(lab.router, "nft", TRACKS)
        self.agent = Served(lab, "".join(config))
        asked = AT_THE_EDGE + EVERYWHERE
        wait_for(lambda: lab.who(asked, self.witness, SILENCE) == ["edge"] * len(asked))
        wait_for(lambda: set(self.states()) == {"healthy"})
        self.own = self.own_of("echo")
        for address in ("192.168.77.1", "2001:db8:77::1"):
            lab.run(lab.client, "ping", "-c", 1, "-w", 10, address)
        self.raw = Raw(lab)
        self.before = self.held()

    def own_of(self, name):
        """The addresses of a service's namespace."""
        shown = self.lab.run("viscum-" + name, "ip", "-o", "addr", "show", "dev", "eth0", "scope", "global").stdout
        return [line.split()[3].split("/")[0] for line in shown.splitlines()]

    @property
    def witness(self):
        return self.lab.clients[1]

    def states(self):
        return [row["state"] for row in self.agent.call("status")["services"].values()]

    def counted(self, name):
        """What a service's redirect has counted: {"taken" or a reason: packets}."""
        row = self.agent.call("status")["services"][name]
        return {"taken": row["packets"], **row["passed"]}

    def rests(self, name):
        """Waits until nothing is counted any more: a connection of the witness that was closed still has its last
        packets on the way."""
        looks = []
        while len(looks) < RESTS or any(look != looks[-1] for look in looks[-RESTS:]):
            assert len(looks) < 100 * RESTS, looks[-RESTS:]
            time.sleep(0.05)
            looks.append(self.counted(name))

    # What is sent

    def counts(self, kinds, name="echo"):
        """Sends some of each kind and compares what was counted with what arrived."""
        wrong = []
        self.rests(name)
        for each in kinds:
            expected = self.counted(name)
            arrived = self.raw.sends(each.packets, COUNT)
            assert arrived
            where = getattr(each, self.lab.datapath)
            if where:
                expected[where] += arrived
            try:
                wait_for(lambda expected=expected: self.counted(name) == expected, seconds=2)
            except AssertionError:
                wrong.append("%s: %r, of %d: %r" % (each.name, where, arrived, differ(expected, self.counted(name))))
        assert not wrong, "\n".join(wrong)

    def floods(self, kinds, asked=(), seconds=SECONDS, table=False):
        """Sends all kinds without a pause while the witness asks, over new connections and those that it keeps; `asked`
        are the questions, if not all. `table` is whether the packets fill `flows`: what is repeated there looks as if
        it went on, so a connection with the service may give way while its redirect takes over (docs/security.md)."""
        count = max([MIXED // len(kinds)] + [len(each.packets) for each in kinds])
        columns = [stretched(each.packets, count) for each in kinds]
        mixed = [data for packets in zip(*columns, strict=True) for data in packets]
        talks = self.talks()
        if table and not self.steady:
            talks = [talk for talk in talks if talk[1] == b"cloud"]
        with Flood(self.raw, mixed) as flood:
            until = time.monotonic() + seconds
            self.serves(talks, asked)
            while time.monotonic() < until or flood.arrived < len(mixed):
                time.sleep(0.05)
                self.serves(talks, asked)
        self.serves(talks)

    def talks(self):
        """Connections of the witness, of each family, with the service and with the cloud."""
        places = [(A, PORT), (A6, PORT), (CLOUD[3], PORT), (CLOUD6[1], 7001)]
        found = []
        for place in places:
            kind = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
            sock = in_namespace(self.witness, lambda kind=kind: socket.socket(kind))
            sock.settimeout(HANG)
            sock.connect(place)
            found.append((sock, b"edge" if place[1] == PORT and place[0] != CLOUD[3] else b"cloud"))
        return found

    def serves(self, talks=(), asked=()):
        """The witness is answered by who should, everywhere; a datagram or a SYN that finds a full queue is sent
        again."""
        for sock, who in talks:
            sock.sendall(b"x")
            assert sock.recv(100).split()[0] == who
        asked = {
            each: "cloud" if each in ELSEWHERE else "edge" for each in asked or AT_THE_EDGE + EVERYWHERE + ELSEWHERE
        }
        for _ in range(5):
            found = self.lab.who(list(asked), ns=self.witness, timeout=SILENCE)
            wrong = [
                (question, who) for question, who in zip(asked, found, strict=True) if who not in ("", asked[question])
            ]
            assert not wrong, self.agent.log.read_text()
            asked = {question: asked[question] for question, who in zip(asked, found, strict=True) if not who}
            if not asked:
                return
        raise AssertionError("nobody answers %s\n%s" % (list(asked), self.agent.log.read_text()))

    def map(self, name):
        (path,) = [path for path in self.lab.pins() if path.name == "map_" + name]
        return bpf_syscall.pinned(str(path))

    def knows_who_is_new(self):
        """Whether a client of an address that was not seen before takes the place of another one in `clients`."""
        address, ns = "2001:db8:79::77", self.lab.clients[2]
        # Not by ND: this machine's tables of neighbours are one, and the flood has filled it for some seconds.
        for where, dev, neighbour, other in (
            (ns, "eth0", "2001:db8:79::1", mac(self.lab.router, "lan2")),
            (self.lab.router, "lan2", address, mac(ns)),
        ):
            ip("-n", where, "neigh", "replace", neighbour, "lladdr", other, "dev", dev, "nud", "permanent")
        ip("-n", ns, "addr", "add", address + "/64", "dev", "eth0", "nodad")
        with in_namespace(ns, lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)) as sock:
            sock.bind((address, 0))
            sock.settimeout(SILENCE)
            sock.connect((A6, PORT))
            assert answered(sock).startswith(b"edge")
        ip("-n", ns, "addr", "del", address + "/64", "dev", "eth0")
        return packed(address) in {key for key, _ in bpf_syscall.map_read(self.map("clients"), *GROW["clients"])}

    def become_steady(self):
        """Of `echo`."""
        become_steady(self.agent, self.map("missed"), self.map("exact"), lambda key: key[4:20] == packed(A6))
        self.steady = True

    # What is held

    def held(self):
        """{what: how much} of all that clients could make grow."""
        pid = self.agent.process.pid
        found = {
            "agent: KiB": private_memory(pid),
            "agent: descriptors": len(os.listdir("/proc/%d/fd" % pid)),
            "agent: lines": self.agent.log.read_text().count("\n"),
        }
        for ns in (self.lab.router, "viscum-echo", "viscum-whole", "viscum-nat"):
            name = "router" if ns == self.lab.router else ns[len("viscum-") :]
            for key, value in in_namespace(ns, kernel_objects).items():
                found["%s: %s" % (name, key)] = value
        for path in self.lab.pins():
            name = path.name[len("map_") :]
            if name in GROW:
                number = bpf_syscall.pinned(str(path))
                found["map: " + name] = len(bpf_syscall.map_read(number, *GROW[name]))
                os.close(number)
        return found

    def settles(self, *but):
        """Everything but some parts is within its bound, the agent has not noticed, and all services are still in."""
        assert set(self.states()) == {"healthy"}
        log = self.agent.log.read_text()
        for word in ("Traceback", "a bug", "bypassed"):
            assert word not in log, log
        over = {}

        def settled():
            now = self.held()
            over.clear()
            over.update({what: (self.before[what], now[what]) for what in now if now[what] > self.bound(what)})
            return not set(over) - set(but)

        try:
            wait_for(settled, seconds=5)
        except AssertionError:
            raise AssertionError("more than before: %s\n%s" % (over, log)) from None

    def bound(self, what):
        part, key = what.split(": ")
        return BOUNDS[key] if key in BOUNDS else self.before[what] + SLACK.get(key, 0)


def differ(expected, found):
    return {key: found[key] - expected[key] for key in expected if found[key] != expected[key]}


def stretched(packets, count):
    """So many packets, each as often as needed."""
    return [packets[number % len(packets)] for number in range(count)]


def kernel_objects():
    """Of this namespace (proc_net(5), nf_conntrack-sysctl.rst)."""
    found = {}
    for name in ("sockstat", "sockstat6"):
        for line in Path("/proc/thread-self/net/" + name).read_text().splitlines():
            words = line.split()
            numbers = dict(zip(words[1::2], map(int, words[2::2]), strict=True))
            if words[0] in ("FRAG:", "FRAG6:"):
                found[words[0].lower()[:-1] + " bytes"] = numbers["memory"]
            elif words[0] in ("TCP:", "TCP6:", "UDP:", "UDP6:", "RAW:", "RAW6:"):
                found[words[0].lower()[:-1] + " sockets"] = numbers["inuse"]
            if words[0] == "TCP:":
                found["tcp in TIME_WAIT"] = numbers["tw"]
    found["half-open"] = sum(
        line.split()[3] == "03"
        for name in ("tcp", "tcp6")
        for line in Path("/proc/thread-self/net/" + name).read_text().splitlines()
    )
    tracked = Path("/proc/sys/net/netfilter/nf_conntrack_count")
    found["tracked"] = int(tracked.read_text()) if tracked.exists() else 0
    for family in ("-4", "-6"):
        shown = subprocess.run(["ip", family, "neigh"], capture_output=True, text=True, check=True).stdout
        found["neighbours " + family] = shown.count("\n")
    return found


# How a program is attached makes no difference to what it does with a packet: both ways are seen with longer floods.
PATHS = [name for name in datapaths.here() if LONG or name != "bpf-cls" or not datapaths.has("bpf-tcx")]


@pytest.fixture(scope="module", params=PATHS)
def yard(request, tmp_path_factory):
    """One lab for all of a datapath: what has come through one attack meets the next one."""
    interpreter = CPYTHON if request.param == "bpf-cls" else MICROPYTHON
    with Lab(tmp_path_factory.mktemp("clients"), interpreter, clients=3, datapath=request.param) as lab:
        made = Yard(lab)
        yield made
        made.raw.close()


def test_syns_and_datagrams_as_many_as_the_link_carries(yard):
    yard.counts(syns() + datagrams())
    yard.floods(syns(), table=True)
    # Whose queue is full of another's datagrams is the business of any server: its other clients are those of TCP.
    yard.floods(datagrams(), NOT_FULL)
    yard.serves()
    yard.settles()


def test_sources_that_the_router_would_not_answer_there(yard):
    yard.counts(forged(yard.own))
    yard.floods(forged(yard.own))
    yard.settles("router: tracked")


def answered(sock):
    """What comes back for a datagram; one that finds a full queue is sent again, as in Yard.serves()."""
    for _ in range(5):
        sock.send(b"x")
        with suppress(TimeoutError):
            return sock.recv(100)
    raise AssertionError("nobody answers")


def test_a_program_is_not_made_to_answer_itself(yard):
    """A datagram from its own address and port would go on for ever; where addresses are translated, from that port of
    the namespace, whether it comes as the cloud's or not."""
    before = looped()
    of_echo = [udp(each, sport=PORT) for each in (A, A6, *yard.own)]
    of_whole = [udp(each, sport=PORT, dst=B) for each in (B, yard.own_of("whole")[0])]
    of_nat = [udp(each, sport=port, port=7100, dst=CLOUD[2])
              for each in (CLOUD[2], yard.own_of("nat")[0]) for port in (7000, 7100)]  # fmt: skip
    asked = of_echo + of_whole + of_nat
    yard.raw.sends(asked, len(asked))
    time.sleep(0.3)
    more = {name: count - before[name] for name, count in looped().items()}
    assert max(more.values()) < 100, more
    yard.serves()


def looped():
    """How many packets the programs' namespaces have sent to themselves."""
    return {name: in_namespace("viscum-" + name, lambda: counted("lo")[0]) for name in SERVICES}


def test_fragments(yard):
    yard.counts(fragments())
    yard.floods(fragments())
    yard.counts(whole_fragments(), "whole")
    yard.floods(whole_fragments())
    yard.settles("router: tracked")


def test_malformed_packets(yard):
    yard.counts(malformed())
    yard.floods(malformed())
    yard.settles("router: tracked")


def test_tables_that_are_full(yard):
    """Of clients that the router knows, of flows, of neighbours and, where addresses are translated, of connections."""
    behind = ["2001:db8:99::%x" % number for number in range(1, 4001)]
    yard.floods([kind("known", [udp(each) for each in behind])], NOT_FULL)
    if yard.by_mode:
        yard.floods(syns(), table=True)
        held = yard.held()
        # Each processor has some free places at hand (LOCAL_FREE_TARGET in kernel/bpf/bpf_lru_list.c).
        assert held["map: clients"] > 2048 - 512 and held["map: flows"] > layout.FLOWS - 512
        assert yard.knows_who_is_new()
    for proto in (tcp, udp):
        yard.floods([kind("translated", [proto(*each, port=7100, dst=CLOUD[2]) for each in HOMES])], NOT_FULL)
    held = yard.held()
    assert held["nat: tracked"] > 1000
    yard.settles("nat: tracked")


def test_thousands_of_connections_that_do_nothing_or_read_nothing(yard):
    used = processor_time(yard.agent.process.pid)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(limits[0], min(2 * CONNECTIONS, limits[1])), limits[1]))
    idle = [connected(yard, place) for place in ((A, PORT), (A6, PORT)) for _ in range(CONNECTIONS // 2)]
    for sock in idle[:SLOW]:
        sock.send(bytes(64 * 1024))
    yard.serves()
    wait_for(lambda: yard.held()["echo: tcp sockets"] >= CONNECTIONS // 2)
    time.sleep(3)  # two checks and more
    yard.serves()
    yard.settles("echo: tcp sockets", "echo: tcp6 sockets", "nat: tracked")
    for sock in idle:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    yard.serves()
    yard.settles("nat: tracked")
    used = processor_time(yard.agent.process.pid) - used
    print("the agent needed %.2f s" % used)
    assert used < ASKED


def connected(yard, place):
    family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
    sock = in_namespace(yard.lab.clients[2], lambda: socket.socket(family))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(HANG)
    sock.connect(place)
    sock.setblocking(False)
    return sock


def processor_time(pid):
    words = Path("/proc/%d/stat" % pid).read_text().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def test_flags_and_errors_close_nothing(yard):
    for _ in range(2 if yard.by_mode else 1):
        for kinds in (flags(yard.steady), errors(yard.steady)):
            yard.counts(kinds)
            yard.floods(kinds)
        assert yard.counted("echo")["closed"] == 0
        yard.settles("router: tracked", "nat: tracked")
        if yard.by_mode:
            yard.become_steady()
