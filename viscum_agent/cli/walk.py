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
from collections import namedtuple

from .. import address, compat
from ..kernel import handshake, passage, tap
from ..kernel.handshake import ACK, IPPROTO_TCP, IPPROTO_UDP, RST, SOURCE_MAC, SYN
from ..kernel.netns import Visit
from ..plan import answers, checks
from ..records.dump import is_bare
from ..records.objects import INNER_DEV, ns_name
from ..service import asked, health

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..plan.answers import Way
    from ..plan.packet import Packet
    from ..reconcile import Snapshot
    from ..records.dump import Link

OK, STOPPED, SKIPPED = "ok", "stopped here", "not walked"
Hop = namedtuple("Hop", ("hop", "result", "text", "fix"))  # `fix` is what to do, "" for nothing

PORT = 225  # the first of 17 that IANA keeps for itself: nobody has a connection from there
PORTS = 17
PATIENCE, POLL = 1.0, 0.01  # seconds for each part of the way; between two looks
PROTOCOLS = {"tcp": IPPROTO_TCP, "udp": IPPROTO_UDP}
HEADS = {4: (9, 12, 20), 6: (6, 8, 40)}  # where an IP header has protocol and addresses, and where it ends


class End(Exception):
    """The way ends."""


class Walk:
    """One service's, from a client (packet.Packet: its `dev` and `src`, if they are known). `told(words)` is what
    becomes of a packet (Reconciler.explain). After `run`, `hops` has what was found."""

    def __init__(self, name: str, client: "Packet", snapshot: "Snapshot", told: "Callable[[str], Any]") -> None:
        self.hops: list[Hop] = []
        self._name, self._snapshot, self._told = name, snapshot, told
        self._links = [link for link in snapshot.dump.links if link.ns == ""]
        self._dev, self._client = client.dev, client.src
        self._port = PORT + compat.random32() % PORTS
        self._begin = compat.random32()
        self._mac = SOURCE_MAC
        self._source: Link = compat.LATER
        self._bridge: Link | None = None  # whose port that is
        self._outer: Link = compat.LATER
        self._inner: Link = compat.LATER
        self._came = False  # out of the pair
        self._answer: int | None = None  # flags of what answered there, 0 for a datagram
        self._left: tuple[str, bytes] | None = None  # by which device, and for which MAC
        self._taps: list[tuple[str, tap.Tap]] = []

    def run(self) -> None:
        try:
            self._plan()
            self._rule()
            self._pair()
            self._program()
            self._reply()
        except End:
            pass

    def _ok(self, hop: str, text: str) -> None:
        self.hops.append(Hop(hop, OK, text, ""))

    def _end(self, hop: str, text: str, fix: str = "", result: str = STOPPED) -> "End":
        self.hops.append(Hop(hop, result, text, fix))
        return End()

    # What is sent

    def _plan(self) -> None:
        parts = [part for part in self._snapshot.plan.services if part.service.name == self._name]
        if not parts:
            said = [each.message for each in self._snapshot.problems() if each.service == self._name]
            raise self._end("plan", "; ".join(said) or "it is disabled", "viscum check; uci show viscum." + self._name)
        self._part = parts[0]
        self._dev = self._dev or self._part.devices[0]
        self._source = self._link("plan", self._dev)
        bridges = [link for link in self._links if link.index == self._source.master and link.kind == "bridge"]
        self._bridge = bridges[0] if bridges else None
        self._way = self._chosen()
        known = passage.neighbours((self._bridge or self._source).index)
        self._client = self._client or self._anyone(known)
        if not self._client:
            fix = "viscum explain %s from ADDRESS" % self._name
            raise self._end("plan", "the router knows no client on " + self._dev, fix)
        # From 0 a bridge neither learns nor passes anything on (br_handle_frame in net/bridge/br_input.c).
        self._mac = bytes(6) if self._bridge else known.get(self._client, SOURCE_MAC)
        self._words = "dev %s %s from %s sport %d to %s port %d" % (
            self._dev,
            self._way.proto,
            address.format_address(self._client),
            self._port,
            address.format_address(self._way.client),
            self._way.client_port,
        )
        self._ok("plan", self._words)

    def _link(self, hop: str, name: str, ns: str = "") -> "Link":
        """A device, which is up."""
        there = "-n %s " % ns if ns else ""
        for link in self._snapshot.dump.links:
            if (link.ns, link.name) == (ns, name):
                if link.up:
                    return link
                raise self._end(hop, name + " is down", "ip %slink set %s up" % (there, name))
        raise self._end(hop, "there is no device " + name, "ip %slink show; viscum status %s" % (there, self._name))

    def _chosen(self) -> "Way":
        """A way into the program; where it listens nowhere, one into where it should."""
        wanted = [
            answers.Way(
                proto=each.match.proto,
                family=each.match.family,
                port=each.low,
                bound=b"",
                version=each.match.family,
                client=each.client,
                client_port=each.port or each.low,
            )
            for each in self._part.answers
            if each.low
        ]
        open_ones = answers.ways(self._part.answers, self._snapshot.dump.listeners.get(ns_name(self._name), ()))
        for ways in (open_ones, wanted):
            ways = [way for way in ways if len(self._client) in (0, len(way.client))]
            if ways:
                return ([way for way in ways if way.proto == "tcp"] or ways)[0]
        raise self._end("plan", "it takes no TCP or UDP port that a packet of ours could go to", result=SKIPPED)

    def _anyone(self, known: "dict[bytes, bytes]") -> bytes:
        """A client that the service takes, b"" if none is known."""
        sources = [each.match.src for each in self._part.answers if each.client == self._way.client]
        for each in sorted(known):
            named = any(one is None or address.masked(each, one.length) == one.packed for one in sources)
            nobodys = known[each][0] & 1 or each[0] == 0xFE  # a group's MAC; link-local
            if len(each) == len(self._way.client) and named and not nobodys:
                return each
        return b""

    def _rule(self) -> None:
        found = self._told(self._words)
        if found["service"] != self._name:
            said = found["reasons"] or ["'%s' takes it" % found["service"]]
            raise self._end("rule", "; ".join(said), "viscum status; viscum plan; viscum logs " + self._name)
        self._ok("rule", found["rule"])

    # Sending it

    def _pair(self) -> None:
        asks = checks.of(self._part.service, self._part.answers).asks or ()
        self._asks = self._way.proto in asks and health.asks_ways(self._part)
        if self._way.proto == "udp" and not self._asks:
            kind = self._part.service.health.healthcheck
            raise self._end("pair", "with healthcheck '%s' its program gets no datagram of ours" % kind, result=SKIPPED)
        self._outer = self._link("pair", self._part.gate.dev)
        self._inner = self._link("pair", INNER_DEV, ns_name(self._name))
        try:
            self._cross()
        except OSError as error:
            text = "no packet can be brought in by %s here: %s" % (self._dev, compat.strerror(error.errno))
            raise self._end("pair", text, result=SKIPPED)
        finally:
            for _, each in self._taps:
                each.close()
        if not self._came:
            text = "it came in by %s and not out of %s: something else has it" % (self._dev, self._outer.name)
            raise self._end("pair", text, "viscum doctor; tc filter show dev %s ingress" % self._dev)
        self._ok("pair", "it came out of %s; counters have it, too" % self._outer.name)

    def _cross(self) -> None:
        visit = Visit()
        try:
            visit.enter(ns_name(self._name))
            self._watch(self._inner)
        finally:
            visit.close()
        back = passage.back(self._outer.index, self._way.client, self._client)
        for link in self._links:
            if link.index in (self._source.index, back):
                self._watch(link)
        injector = tap.Injector(self._source.index)
        try:
            self._send(injector, 0, SYN)
            self._await(lambda: self._came)
            self._await(lambda: self._answer is not None or not self._came)
            self._await(lambda: self._left is not None or self._answer in (None, RST | ACK))
            if self._answer == SYN | ACK:
                self._send(injector, 1, RST)
        finally:
            injector.close()

    def _watch(self, link: "Link") -> None:
        name = "" if link.ns else link.name
        self._taps.append((name, tap.Tap(link.index, is_bare(link), self._way.family, self._port)))

    def _send(self, injector: "tap.Injector", number: int, flags: int) -> None:
        ports = struct.pack(">HH", self._port, self._way.client_port)
        if self._way.proto == "tcp":
            sequence = (self._begin + number) & 0xFFFFFFFF
            head = ports + struct.pack(">IIBBH", sequence, 0, 5 << 4, flags, handshake.WINDOW)
            tail = struct.pack(">H", 0)
        else:
            head, tail = ports + struct.pack(">H", 8), b""
        proto = PROTOCOLS[self._way.proto]
        packet = handshake.ip_packet(self._client, self._way.client, proto, head, tail, 1)
        to = (self._bridge or self._source).mac or address.format_mac(SOURCE_MAC)
        injector.send(address.parse_mac(to), self._mac, packet)

    def _await(self, seen: "Callable[[], object]") -> None:
        give_up = compat.monotonic() + PATIENCE
        while True:
            for name, each in self._taps:
                for mac, packet in each.read():
                    self._take(name, mac, packet)
            if seen() or compat.monotonic() > give_up:
                return
            compat.sleep(POLL)

    def _take(self, name: str, mac: bytes, packet: bytes) -> None:
        proto, at, head = HEADS[self._way.family]
        size = len(self._client)
        if len(packet) < head + 8 or packet[proto] != PROTOCOLS[self._way.proto]:
            return
        ends = packet[at : at + size], packet[at + size : at + 2 * size]
        if ends == (self._client, self._way.client):
            self._came = self._came or not name
        elif ends == (self._way.client, self._client):
            flags = packet[head + 13] & (SYN | RST | ACK) if self._way.proto == "tcp" and len(packet) > head + 13 else 0
            if name:
                self._left = self._left or (name, mac)
            elif self._answer is None:
                self._answer = flags

    # What became of it

    def _program(self) -> None:
        where = "%s port %d" % (self._way.proto, self._way.port)
        if self._answer is not None and self._answer & RST:
            raise self._end("program", "the program does not listen on " + where, "viscum logs " + self._name)
        silent = self._answer is None and self._way.proto == "tcp"
        reason = self._checked() if self._asks else ""
        if silent:
            text = "nothing in the namespace answers on %s: a firewall there, or too many wait" % where
            raise self._end("program", text, "viscum exec %s -- nft list ruleset" % self._name)
        if reason:
            raise self._end("program", reason, "viscum logs %s; viscum restart %s" % (self._name, self._name))
        self._ok("program", where + (": the program takes it" if self._asks else " is open: healthcheck asks no more"))

    def _checked(self) -> str:
        """Why the program does not take what comes, as its health check says; "" if it does."""
        asking = asked.Asking([self._part], {self._name: self._outer.index})
        try:
            found = asking.run().get(self._name)
        finally:
            asking.close()
        return found.mute.get(answers.way_key(self._way), "it was not checked") if found else health.NOTHING_LISTENS

    def _reply(self) -> None:
        if self._left:
            name, mac = self._left
            self._ok("reply", "leaves by %s" % name + (" for " + address.format_mac(mac) if mac else ""))
            return
        if self._answer is None:
            raise self._end("reply", "the program read an empty datagram and did not answer it", result=SKIPPED)
        client = address.format_address(self._client)
        back = passage.back(self._outer.index, self._way.client, self._client)
        if back == passage.NO_WAY:
            raise self._end("reply", "the router has no route to " + client, "ip route get " + client)
        names = [link.name for link in self._links if link.index == back]
        if names and self._client not in passage.neighbours(back):
            raise self._end("reply", "nobody on %s answers for %s" % (names[0], client), "ip neigh show " + client)
        raise self._end("reply", "the router drops it behind " + self._outer.name, "viscum doctor; nft list ruleset")
