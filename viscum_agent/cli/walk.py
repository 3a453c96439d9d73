"""`viscum explain NAME`: a packet of ours goes a client's way, hop by hop, and shows where that ends.

    plan     what is sent, for which client
    rule     the kernel's rules take it (plan/explain.py): nothing is sent that they leave to the cloud
    pair     it came in by the source device and out of the pair (kernel/tap.py)
    program  it is answered, and the program takes it: the service's health check says so, as far as it asks
    reply    the answer leaves for the client

It is the SYN of a client that the router knows, or an empty datagram. A reset follows what answers a SYN, so that the
program never sees that connection. Its port is one that clients have no connections from, and its TTL is 1: should the
redirect be gone when it comes, the router forwards it nowhere. All of it is done in this process, which waits for
nothing without a limit; what it opened in the kernel ends with it.
"""

import struct

from .. import address, compat
from ..kernel import handshake, passage, tap
from ..kernel.handshake import ACK, MOST, PACKET, RST, SOURCE_MAC, SYN
from ..kernel.netns import Visit
from ..plan import answers, checks, clients
from ..records.dump import is_bare
from ..records.facts import Listener
from ..records.objects import INNER_DEV, PROTO_NUMBER, ns_name
from ..service import asked, health

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..plan.answers import Way
    from ..plan.packet import Packet
    from ..reconcile import Snapshot
    from ..records.dump import Link

HOPS = ("plan", "rule", "pair", "program", "reply")
OK, STOPPED, SKIPPED = "ok", "stopped here", "not walked"

PORT, PORTS = 225, 17  # the first of those that IANA keeps for itself, and how many: nobody has a connection from there
PATIENCE, POLL = 1.0, 0.01  # seconds for each part of the way; between two looks
HEADER = 14  # bytes of an Ethernet header
HEADS = {4: (9, 12), 6: (6, 8)}  # where an IP header has protocol and addresses


class End(Exception):
    """The way ends: how, why, and what to do ("" for nothing)."""


class Walk:
    """One service's, from a client (packet.Packet: its `dev` and `src`, if they are known). `told(words)` is what
    becomes of a packet (explained.explained)."""

    def __init__(self, name: str, client: "Packet", snapshot: "Snapshot", told: "Callable[[str], Any]") -> None:
        self._name, self._snapshot, self._told = name, snapshot, told
        self._links = snapshot.dump.links
        self._dev, self._client = client.dev, client.src
        self._port = PORT + compat.random32() % PORTS
        self._begin = compat.random32() >> 1
        self._came = False  # out of the pair
        self._answer: int | None = None  # flags of what answered there, 0 for a datagram
        self._left: tuple[str, bytes] | None = None  # by which device, and for which MAC
        self._taps: list[tuple[int, str, int]] = []  # sockets, names of their devices in the router, bytes of a header

    def run(self) -> "list[tuple[str, ...]]":
        """(hop, how it went, text, what to do) of each."""
        found: list[tuple[str, ...]] = []
        for hop in HOPS:
            try:
                found.append((hop, OK, getattr(self, "_" + hop)(), ""))
            except End as end:
                return found + [(hop,) + end.args]
        return found

    def _plan(self) -> str:
        parts = [part for part in self._snapshot.plan.services if part.service.name == self._name]
        if not parts:
            said = [each.message for each in self._snapshot.problems() if each.service == self._name]
            raise End(STOPPED, "; ".join(said) or "it is disabled", "viscum check")
        self._part = parts[0]
        self._source = self._link(self._dev or self._part.devices[0])
        self._dev = self._source.name
        master = "", self._source.master, "bridge"
        bridges = [each for each in self._links if (each.ns, each.index, each.kind) == master]
        self._to = (bridges + [self._source])[0]
        self._way = self._chosen()
        known = passage.neighbours(self._to.index)
        self._client = self._client or self._anyone(known)
        if not self._client:
            fix = "viscum explain %s from ADDRESS" % self._name
            raise End(STOPPED, "the router knows no client on " + self._dev, fix)
        # From 0 a bridge neither learns nor passes anything on (br_handle_frame in net/bridge/br_input.c).
        self._mac = bytes(6) if bridges else known.get(self._client, SOURCE_MAC)
        ends = address.format_address(self._client), self._port, address.format_address(self._way.client)
        self._words = "dev %s %s " % (self._dev, self._way.proto)
        self._words += "from %s sport %d to %s port %d" % (ends + (self._way.client_port,))
        if self._part.service.vlan:
            self._words += " vlan %d" % self._part.service.vlan
        return self._words

    def _link(self, name: str, ns: str = "") -> "Link":
        """A device, which is up."""
        there = "-n %s " % ns if ns else ""
        for link in self._links:
            if (link.ns, link.name, link.up) == (ns, name, True):
                return link
        raise End(STOPPED, name + " is down, or not there", "ip %slink set %s up" % (there, name))

    def _chosen(self) -> "Way":
        """A way into the program; where it listens nowhere, one into where it should."""
        found = self._part.answers
        size = len(self._client)
        wanted = [
            Listener(proto=each.match.proto, version=each.match.family, address=b"", port=each.low, waiting=0)
            for each in found
        ]
        for listeners in (self._snapshot.dump.listeners.get(ns_name(self._name), ()), wanted):
            ways = [way for way in answers.ways(found, listeners) if size in (0, len(way.client))]
            if ways:
                return ([way for way in ways if way.proto == "tcp"] or ways)[0]
        raise End(SKIPPED, "it takes no TCP or UDP port that a packet of ours could go to", "")

    def _anyone(self, known: "dict[bytes, bytes]") -> bytes:
        """A client that the service takes, b"" if none is known."""
        matches = [each.match for each in self._part.answers if each.client == self._way.client]
        for each in sorted(known):
            named = clients.takes(self._part.service, matches, each, address.format_mac(known[each]))
            nobodys = known[each][0] & 1 or each[0] == 0xFE  # a group's MAC; link-local
            if len(each) == len(self._way.client) and named and not nobodys:
                return each
        return b""

    def _rule(self) -> str:
        found = self._told(self._words)
        if found["service"] != self._name:
            said = found["reasons"] or ["'%s' takes it" % found["service"]]
            raise End(STOPPED, "; ".join(said), "viscum status; viscum plan")
        return found["rule"]

    # Sending it

    def _pair(self) -> str:
        """Also what it does behind the pair is seen here, and told by the hops that follow."""
        kind = checks.of(self._part.service, self._part.answers)
        self._asks = self._way.proto in (kind.asks or ()) and not self._part.service.health.port
        if self._way.proto == "udp" and not self._asks:
            raise End(SKIPPED, "with healthcheck '%s' its program gets no datagram of ours" % kind.name, "")
        if self._part.service.vlan:  # replies go where the client's last frame came from
            raise End(
                SKIPPED, "replies to a client in VLAN %d would follow a frame of ours" % self._part.service.vlan, ""
            )
        if not any(self._mac) and all(each.match.mac for each in self._part.answers):
            raise End(
                SKIPPED, "at a bridge's port a frame of ours has no MAC address, and clients are taken by theirs", ""
            )
        outer, inner = self._link(self._part.gate.dev), self._link(INNER_DEV, ns_name(self._name))
        self._pair_index = outer.index
        try:
            self._cross(inner)
        except OSError as error:
            raise End(SKIPPED, "no packet can be brought in: " + compat.strerror(error.errno), "")
        finally:
            for each in self._taps:
                compat.fd_close(each[0])
        if not self._came:
            text = "it came in by %s and not out of %s: something else has it" % (self._dev, outer.name)
            raise End(STOPPED, text, "viscum doctor; tc filter show dev %s ingress" % self._dev)
        return "it came out of %s; counters have it, too" % outer.name

    def _cross(self, inner: "Link") -> None:
        with Visit() as visit:
            visit.enter(inner.ns)
            self._watch(inner, "")
        back = passage.back(self._pair_index, self._way.client, self._client)
        for link in self._links:
            if link.ns == "" and link.index in (self._source.index, back):
                self._watch(link, link.name)
        self._send(SYN)
        self._await(lambda: self._came)
        self._await(lambda: self._answer is not None or not self._came)
        self._await(lambda: self._left or self._answer in (None, RST | ACK))
        if self._answer == SYN | ACK:
            self._begin += 1
            self._send(RST)

    def _watch(self, link: "Link", name: str) -> None:
        header = 0 if is_bare(link) else HEADER
        self._taps.append((tap.watch(link.index, header, self._way.family, self._port), name, header))

    def _send(self, flags: int) -> None:
        head, tail = struct.pack(">HH", self._port, self._way.client_port), b""
        if self._way.proto == "tcp":
            head += struct.pack(">IIBBH", self._begin, 0, 5 << 4, flags, handshake.WINDOW)
            tail = bytes(2)
        else:
            head += struct.pack(">H", 8)
        number = PROTO_NUMBER[self._way.proto]
        packet = handshake.ip_packet(self._client, self._way.client, number, head, tail, 1)
        to = address.parse_mac(self._to.mac) if self._to.mac else SOURCE_MAC
        tap.bring_in(self._source.index, to, self._mac, packet)

    def _await(self, seen: "Callable[[], object]") -> None:
        give_up = compat.monotonic() + PATIENCE
        while not seen() and compat.monotonic() < give_up:
            compat.sleep(POLL)
            for fd, name, header in self._taps:
                for _ in range(MOST):
                    frame = compat.fd_receive(fd, PACKET)
                    if frame is None:
                        break
                    self._take(name, frame[:header][:6], frame[header:])

    def _take(self, name: str, mac: bytes, packet: bytes) -> None:
        (proto, at), head = HEADS[self._way.family], tap.PORTS[self._way.family]
        if len(packet) < head + 8 or packet[proto] != PROTO_NUMBER[self._way.proto]:
            return
        ends = packet[at : at + 2 * len(self._client)]
        if ends == self._client + self._way.client:
            self._came = self._came or not name
        elif ends != self._way.client + self._client:
            return
        elif name:
            self._left = self._left or (name, mac)
        elif self._answer is None:
            flags = (packet + bytes(6))[head + 13]  # of TCP
            self._answer = flags & (SYN | RST | ACK) if self._way.proto == "tcp" else 0

    # What became of it

    def _program(self) -> str:
        where = "%s port %d" % (self._way.proto, self._way.port)
        if self._answer and self._answer & RST:
            raise End(STOPPED, "the program does not listen on " + where, "viscum logs " + self._name)
        if self._answer is None and self._way.proto == "tcp":
            text = "nothing in the namespace answers on %s: a firewall there, or too many wait" % where
            raise End(STOPPED, text, "viscum exec %s -- nft list ruleset" % self._name)
        if not self._asks:
            return where + " is open: healthcheck asks no more"
        asking = asked.Asking([self._part], {self._name: self._pair_index})
        try:
            found = asking.run().get(self._name)
        finally:
            asking.close()
        reason = found.mute.get(answers.way_key(self._way), "") if found else health.NOTHING_LISTENS
        if reason:
            raise End(STOPPED, reason, "viscum logs %s; viscum restart %s" % (self._name, self._name))
        return where + ": the program takes it"

    def _reply(self) -> str:
        if self._left:
            name, mac = self._left
            return "leaves by " + name + (" for " + address.format_mac(mac) if mac else "")
        if self._answer is None:
            raise End(SKIPPED, "the program read an empty datagram and did not answer it", "")
        client = address.format_address(self._client)
        back = passage.back(self._pair_index, self._way.client, self._client)
        if back == passage.NO_WAY:
            raise End(STOPPED, "the router has no route to " + client, "ip route get " + client)
        names = [link.name for link in self._links if (link.ns, link.index) == ("", back)]
        if names and self._client not in passage.neighbours(back):
            text = "nobody on %s answers for %s, or it is behind another router and this one drops what is for it"
            raise End(STOPPED, text % (names[0], client), "ip neigh show %s; nft list ruleset" % client)
        raise End(STOPPED, "the router drops it behind " + self._part.gate.dev, "viscum doctor; nft list ruleset")
