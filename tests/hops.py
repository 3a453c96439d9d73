"""The topology of the licence-plate example, and what is seen of an exchange at each of its hops:

    camera 192.168.90.2 --- 192.168.90.1 edge router 192.168.77.2 --- lan0 192.168.77.1 platform --- cloud

The platform is the lab's router, and the edge router its client, which is the next hop of all replies. Packets are
those that AF_PACKET sees; what filters and the IP stack have counted is the kernel's word.
"""

import json
import re
import socket
import struct
from collections import Counter, namedtuple

from lab import PACKET_OUTGOING, ip, watch

EDGE = "192.168.77.2"

SOL_PACKET, PACKET_STATISTICS = 263, 6  # linux/socket.h, if_packet.h

# Flags of TCP, and the prios of the filters that look for them; all others have one of prio 5.
SYN, ACK, SYN_ACK = 0x02, 0x10, 0x12
REQUESTS, REPLIES = {SYN: 1, ACK: 3}, {SYN_ACK: 3}

# A TCP segment as it passed somewhere: whether it left there, its MACs, its flags, whether it is a reply, bytes of IP.
Segment = namedtuple("Segment", ("out", "to", "by", "flags", "reply", "size"))


def add_camera(lab):
    """Puts a camera behind the lab's client; the name of its namespace, which the lab removes."""
    name = lab.client + "-camera"
    lab.clients.append(name)
    ip("netns", "add", name)
    ip("-n", lab.client, "link", "add", "eth1", "type", "veth", "peer", "name", "eth0", "netns", name)
    for ns, dev, end in ((lab.client, "eth1", "1"), (name, "eth0", "2")):
        ip("-n", ns, "link", "set", dev, "up")
        ip("-n", ns, "addr", "add", "192.168.90.%s/24" % end, "dev", dev)
        ip("-n", ns, "addr", "add", "2001:db8:90::%s/64" % end, "dev", dev, "nodad")
    ip("-n", name, "route", "add", "default", "via", "192.168.90.1")
    ip("-n", name, "-6", "route", "add", "default", "via", "2001:db8:90::1")
    for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
        lab.run(lab.client, "sysctl", "-qw", key + "=1")
    ip("-n", lab.router, "route", "add", "192.168.90.0/24", "via", EDGE)
    ip("-n", lab.router, "-6", "route", "add", "2001:db8:90::/64", "via", "2001:db8:77::2")
    return name


class Hop:
    """Where packets of a port are seen on their way: a device of a namespace."""

    def __init__(self, ns, dev, port):
        self._port = port
        self._sock = watch(ns, dev)

    def segments(self, quiet=1):
        """Those of TCP over IPv4 that passed since the last time, once no more come for so many seconds."""
        self._sock.settimeout(quiet)
        found = []
        while True:
            try:
                frame, place = self._sock.recvfrom(65536)
            except TimeoutError:
                break
            if frame[12:14] == b"\x08\x00" and frame[23] == socket.IPPROTO_TCP:
                ports = struct.unpack_from(">HH", frame, 34)
                if self._port in ports:
                    out = place[2] == PACKET_OUTGOING
                    reply = ports[0] == self._port
                    to, by, size = frame[:6].hex(":"), frame[6:12].hex(":"), len(frame) - 14
                    found.append(Segment(out, to, by, frame[47], reply, size))
        _, lost = struct.unpack("II", self._sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        assert not lost, "this socket had no room for them"
        return found

    def close(self):
        self._sock.close()


def counted(lab, ns, dev):
    """What the filters for IPv4 at the ingress of a device have seen, by their prios."""
    text = lab.run(ns, "tc", "-s", "filter", "show", "dev", dev, "ingress").stdout
    found = Counter()
    for block in text.split("filter protocol ip ")[1:]:
        sent = re.findall(r"Sent \d+ bytes (\d+) pkt", block)
        found[int(re.match(r"pref (\d+)", block)[1])] += int(sent[-1]) if sent else 0
    return +found


def by_prio(segments):
    """What the filters of direct replies have to count, by their prios: at the inner end of the pair a service's
    requests, at the router's end its replies."""
    return Counter((REPLIES if each.reply else REQUESTS).get(each.flags, 5) for each in segments)


def close_the_firewall(lab, port, verdict="drop"):
    """Nothing of that port passes the router's firewall, unless the verdict is to count it only. It tracks connections,
    as any firewall does."""
    for words in (
        "add table inet nobody",
        "add chain inet nobody raw { type filter hook prerouting priority raw; }",
        *["add rule inet nobody raw %s counter %s" % (word, verdict) for word in _of(port)],
        "add chain inet nobody forward { type filter hook forward priority filter; }",
        "add rule inet nobody forward ct state invalid counter " + verdict,
    ):
        lab.run(lab.router, "nft", words)


def _of(port):
    return ["%s %s %d" % (proto, side, port) for proto in ("tcp", "udp") for side in ("dport", "sport")]


def ip_stack(lab):
    """What the router's IP stack has counted over IPv4, and what the firewall that was closed has seen."""
    counters = json.loads(lab.run(lab.router, "nstat", "-asj").stdout)["kernel"]
    # Over IPv6 the kernel itself speaks now and then (MLD).
    found = {name: counters[name] for name in counters if name.startswith(("Ip", "Tcp", "Icmp")) and "6" not in name}
    rules = json.loads(lab.run(lab.router, "nft", "-j", "list table inet nobody").stdout)["nftables"]
    return found, [rule["rule"]["expr"][-2]["counter"]["packets"] for rule in rules if "rule" in rule]
