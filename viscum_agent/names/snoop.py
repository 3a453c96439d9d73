"""What clients are told of the names that services want: packets in, addresses out. No clock and no socket.

Anybody can send a packet that looks like an answer. One counts only if a client at that device has just asked for it:
the same two addresses, the client's port, the number and the name. And an answer that came in from the clients' side is
a client's own, which leaves again where it came in: then its question does not count either.

A client who has a resolver of his own somewhere may be told by it what he likes. So what is told here is less than what
the router's resolver says: it only adds, and nothing of private networks.
"""

import struct

from ..address import Prefix, family_of, overlaps, parse_prefix
from ..kernel.overhear import IPPROTO_UDP, PORT
from . import known, message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    Key = tuple[str, str]  # a service's name, and one of its `dest_host`
    Asked = tuple[bytes, int, bytes, int, bytes, int]  # client, its port, whom it asks, number, name, family

WINDOW = 5  # seconds for an answer: resolv.conf(5) has this as its timeout
MOST = 128  # questions of a device that wait for an answer
MOST_OF_CLIENT = 16
MISSES = 16  # answers to a question's name that are not its own: then somebody guesses
PRIVATE = ("10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")  # RFC 1918, 6598, 4193


def datagram(packet: bytes) -> "tuple[bytes, int, bytes, int, bytes] | None":
    """(source, its port, target, its port, data) of a UDP packet that begins with the IP header; None for another."""
    if len(packet) < 20:
        return None
    if packet[0] >> 4 == 4:
        at, kind, source, target = (packet[0] & 15) * 4, packet[9], packet[12:16], packet[16:20]
        whole = not struct.unpack_from(">H", packet, 6)[0] & 0x3FFF  # neither a fragment nor more to come
    else:
        at, kind, source, target = 40, packet[6], packet[8:24], packet[24:40]
        whole = packet[0] >> 4 == 6
    if not whole or kind != IPPROTO_UDP or not 20 <= at <= len(packet) - 8:
        return None
    port, to_port, size = struct.unpack_from(">HHH", packet, at)
    return source, port, target, to_port, packet[at + 8 : at + size]


class Wanted:
    """Which names services want."""

    def __init__(self, keys: "Iterable[Key]") -> None:
        self._exact: dict[bytes, list[Key]] = {}  # by the name as it is in a message
        self._below: dict[bytes, list[Key]] = {}  # by what its names end in
        for key in keys:
            host = key[1]
            where, name = (self._below, host[len("*.") :]) if known.is_wild(host) else (self._exact, host)
            where.setdefault(message.wire(name), []).append(key)

    def of(self, name: bytes) -> "list[Key]":
        """Whose name it is."""
        found = self._exact.get(name) or []
        place = 0
        while self._below and name[place]:
            place += name[place] + 1
            found = found + self._below.get(name[place:], [])
        return found


class Questions:
    """What clients at one device have asked and were not answered yet; each with when that was, and how many answers
    to its name were not its own."""

    def __init__(self) -> None:
        self._open: list[tuple[Asked, float, int]] = []  # the newest last
        self._barred: list[tuple[Asked, float]] = []  # what the clients' side has answered itself

    def add(self, asked: "Asked", now: float) -> None:
        self.take(asked, now)  # sent again
        self._barred = [each for each in self._barred if now - each[1] <= WINDOW]
        if len(self._barred) >= MOST or asked in [each[0] for each in self._barred]:
            return
        mine = [each for each in self._open if each[0][0] == asked[0]]
        if len(mine) >= MOST_OF_CLIENT:
            self._open.remove(mine[0])
        self._open = self._open[-MOST + 1 :] + [(asked, now, 0)]

    def take(self, asked: "Asked", now: float) -> bool:
        """Whether it was asked just now; an answer is one to one question."""
        for each in self._open:
            if each[0] == asked:
                self._open.remove(each)
                return now - each[1] <= WINDOW
        return False

    def bar(self, asked: "Asked", now: float) -> None:
        """For a while nobody is believed to be asked this. Of what does not fit, nothing would be known: so then no
        question counts."""
        self.take(asked, now)
        self._barred = [each for each in self._barred if each[0] != asked][-MOST + 1 :] + [(asked, now)]
        if len(self._barred) >= MOST:
            self._open = []

    def missed(self, asked: "Asked") -> None:
        """Nobody has asked this: so there is less trust in who answers its client about its name."""
        client, name = asked[0], asked[4]
        found = []
        for other, since, misses in self._open:
            if (other[0], other[4]) == (client, name):
                misses += 1
            if misses < MISSES:
                found.append((other, since, misses))
        self._open = found


class Told:
    """The addresses that clients were told, by Key; each counts as long as one from a resolver that is in no answer
    any more (known.GRACE), from the end of its TTL."""

    def __init__(self) -> None:
        self._ends: dict[Key, dict[bytes, int]] = {}  # in known.GROUPs

    def want(self, keys: "Iterable[Key]") -> None:
        before, self._ends = self._ends, {}
        for key in keys:
            self._ends[key] = before.get(key, {})

    def learn(self, key: "Key", addresses: "Iterable[bytes]", ttl: float, now: float) -> bool:
        """Takes an answer; returns whether it changes anything."""
        there = self._ends.get(key)
        if there is None:
            return False
        before = set(there)
        end = known.after(now + max(known.LEAST, min(ttl, known.MOST)) + known.GRACE)
        for packed in addresses:
            if packed in there or not (known.refused(packed) or is_private(packed)):
                _make_room(there, packed)
                there[packed] = max(end, there.get(packed, 0))
        return set(there) != before

    def expire(self, now: float) -> bool:
        """Forgets addresses whose time has come; returns whether there are any."""
        any_gone = False
        for there in self._ends.values():
            for packed in [each for each in there if there[each] <= now / known.GROUP]:
                del there[packed]
                any_gone = True
        return any_gone

    def next(self) -> float:
        """When an address ends; infinite for never."""
        ends = [end for there in self._ends.values() for end in there.values()]
        return min(ends) * known.GROUP if ends else float("inf")

    def addresses(self) -> "dict[Key, tuple[bytes, ...]]":
        """Those of each Key."""
        return {key: tuple(sorted(self._ends[key])) for key in self._ends}


def _make_room(there: "dict[bytes, int]", packed: bytes) -> None:
    """A name has a bounded number of addresses of each family: the one goes that would end first."""
    same = [] if packed in there else [each for each in there if len(each) == len(packed)]
    if len(same) >= known.MOST_ADDRESSES:
        del there[min(same, key=lambda each: there[each])]


def is_private(packed: bytes) -> bool:
    """Whether an address is one of private networks."""
    one = Prefix(family_of(packed), packed, 8 * len(packed))
    return any(overlaps(parse_prefix(text), one) for text in PRIVATE)


class Conversations:
    """What passes between a device's clients and resolvers: packets in, and what of them says something new to
    `told`."""

    def __init__(self, told: "Told") -> None:
        self._told = told
        self._keys: list[Key] = []
        self._wanted = Wanted(())
        self._questions = Questions()

    def want(self, keys: "list[Key]") -> None:
        """From now on services at that device want these."""
        if keys != self._keys:
            self._keys, self._wanted = keys, Wanted(keys)

    def parse(self, packet: bytes) -> "tuple[Asked, bool, bytes] | None":
        """(what is asked or was asked, whether it is answered, the message) of a packet about a wanted name; None for
        any other."""
        found = datagram(packet)
        if not found:
            return None
        source, port, target, to_port, data = found
        said = message.subject(data)
        if not said or not self._wanted.of(said[0]):
            return None
        name, family, number = said
        answers = bool(data[2] & 0x80)
        if (port if answers else to_port) != PORT:
            return None
        ends = (target, to_port, source) if answers else (source, port, target)
        return ends + (number, name, family), answers, data

    def came_in(self, packet: bytes, now: float) -> None:
        """A packet from the clients' side."""
        found = self.parse(packet)
        if found and found[1]:
            self._questions.bar(found[0], now)
        elif found:
            self._questions.add(found[0], now)

    def answered(self, found: "tuple[Asked, bool, bytes]", now: float) -> bool:
        """Takes an answer (parse) that leaves towards the clients; returns whether it changes anything."""
        asked, _, data = found
        if not self._questions.take(asked, now):
            self._questions.missed(asked)
            return False
        said = message.answer_to(data, asked[3], asked[4], asked[5])
        if not said or said.rcode != message.NO_ERROR:
            return False
        return any([self._told.learn(key, said.addresses, said.ttl, now) for key in self._wanted.of(asked[4])])
