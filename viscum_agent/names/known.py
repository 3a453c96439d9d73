"""What is known of the cloud's names: which addresses they have, until when, and when to ask again. No clock and no
socket: whoever has an answer, from wherever, calls `learn(name, family, addresses, ttl, now)`.

An address that is no longer in an answer counts for a while longer: open connections have it, and clients keep what
they were told. Where nobody answers, what was known goes on to count: a service is there to go on while the cloud is
away.
"""

from .. import address
from ..config.schema import DESTINATION, Refused
from ..records.facts import Host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from ..config.service import Named

# Seconds, from the longest and the shortest TTL: dnsmasq says 0 of what it has from a file, and a file may change.
LEAST, MOST = 10, 3600
NOTHING = 60  # seconds until a name without an address is asked again
AGAIN = 30  # the same where nobody answered
GROUP = 5  # seconds: names whose time comes within these are asked together
# Seconds that an old address counts. Browsers keep one for minutes, and other programs as long as they run; large
# clouds give another choice of theirs with each answer.
GRACE = 3600
NONE = "has no address"
MOST_ADDRESSES = 64  # of a name, in each family, old ones included

# A name is a list, since there may be thousands: for each of the families when it is asked next, in GROUPs; why it has
# no address, None before the first attempt; the addresses of the last answer, one behind the other, None before the
# first one. And pairs of an old address and when it ends, in GROUPs.
DUE, WHY, NOW, OLD = 0, 2, 4, 6
NEVER = 1 << 29  # a family that does not count; MicroPython has numbers up to that without an object


class Known:
    """Times are seconds of any clock that goes on."""

    def __init__(self) -> None:
        self._names: dict[str, list] = {}

    def want(self, wanted: "dict[str, list[int]]") -> None:
        """From now on these names count, each in some families."""
        before, self._names = self._names, {}
        for name in wanted:
            due = [0 if family in wanted[name] else NEVER for family in (4, 6)]
            there = before.get(name) or [0, 0, None, None, None, None, ()]
            for at in (0, 1):
                if (there[DUE + at] == NEVER) != (due[at] == NEVER):
                    there[WHY + at] = there[NOW + at] = None
                    there[OLD] = tuple([each for each in there[OLD] if (len(each[0]) == 16) != at])
            there[DUE:WHY] = due
            self._names[name] = there

    def due(self, now: float) -> "list[tuple[str, int]]":
        """The names, with a family, that are to be asked now."""
        return [
            (name, family)
            for name in self._names
            for family in (4, 6)
            if self._names[name][DUE + (family == 6)] <= now / GROUP
        ]

    def next(self) -> float:
        """When a name is to be asked or an address ends; infinite for never."""
        first = NEVER
        for there in self._names.values():
            first = min([first] + there[DUE:WHY] + [end for _, end in there[OLD]])
        return first * GROUP if first < NEVER else float("inf")

    def learn(
        self, name: str, family: int, addresses: "Iterable[bytes]", ttl: float, now: float, why: str = NONE
    ) -> bool:
        """Takes an answer; returns whether it changes anything. `why` is the reason if it has no address."""
        there, at = self._names.get(name), int(family == 6)
        if there is None or there[DUE + at] == NEVER:
            return False
        before, size = _host(there), address.bits(family) // 8
        found: set[bytes] = set()
        for packed in addresses:
            why_not = refused(packed)
            why = why_not or why
            if not why_not and len(found) < MOST_ADDRESSES:
                found.add(packed)
        old = [(packed, after(now + GRACE)) for packed in _each(there[NOW + at], size)]
        old = [each for each in old + list(there[OLD]) if each[0] not in found]  # the newest first
        mine = [each for each in old if len(each[0]) == size][: MOST_ADDRESSES - len(found)]
        there[OLD] = tuple(mine + [each for each in old if len(each[0]) != size])
        joined = b"".join(sorted(found)) if found else b""  # MicroPython would make an empty one for each name
        if there[NOW + at] != joined:  # else the same object stays: plans hold it as well
            there[NOW + at] = joined
        there[WHY + at] = "" if found else why
        there[DUE + at] = after(now + (max(LEAST, min(ttl, MOST)) if found else NOTHING))
        return _host(there) != before

    def lost(self, name: str, family: int, why: str, now: float) -> bool:
        """Nobody answered: what is known stays; returns whether it changes anything."""
        there, at = self._names.get(name), int(family == 6)
        if there is None or there[DUE + at] == NEVER:
            return False
        before = _host(there)
        there[WHY + at] = why
        there[DUE + at] = after(now + AGAIN)
        return _host(there) != before

    def answered(self, named: "Iterable[Named]") -> bool:
        """Whether somebody has answered for each of these names (service.Named)."""
        wanted = [self._names[host] for group in named for host in group.hosts if host in self._names]
        return not any(there[DUE + at] != NEVER and there[NOW + at] is None for there in wanted for at in (0, 1))

    def expire(self, now: float) -> bool:
        """Forgets addresses whose time has come; returns whether there are any."""
        any_gone = False
        for there in self._names.values():
            left = [each for each in there[OLD] if each[1] > now / GROUP]
            any_gone = any_gone or len(left) < len(there[OLD])
            there[OLD] = tuple(left)
        return any_gone

    def host(self, name: str) -> "Host | None":
        """What the plan has to know of a name (facts.Host)."""
        return _host(self._names[name]) if name in self._names else None

    def hosts(self) -> "dict[str, Host]":
        """The same of all names."""
        found = {name: self.host(name) for name in self._names}
        return {name: host for name, host in found.items() if host is not None}


class Hosts:
    """As facts.Facts.hosts, but each Host is made when it is asked for: there may be thousands. `more` are others."""

    def __init__(self, known: "Known", more: "dict[Any, Host]") -> None:
        self._known, self._more = known, more

    def get(self, key: "Any", default: "Host") -> "Host":
        return self._more.get(key) or self._known.host(key) or default


def _host(there: list) -> "Host | None":
    """None while it is not known: it has no address, and not every family was asked."""
    addresses = _each(there[NOW], 4) + _each(there[NOW + 1], 16) + [packed for packed, _ in there[OLD]]
    texts = [why for due, why in zip(there[DUE:WHY], there[WHY:NOW]) if due != NEVER]
    if addresses:
        return Host(tuple(sorted(addresses)), "")
    telling = [why for why in texts if why != NONE]
    return None if None in texts else Host((), (telling or texts)[0])


def _each(joined: "bytes | None", size: int) -> "list[bytes]":
    if joined is not None and len(joined) == size:
        return [joined]  # itself: MicroPython would make another one
    return [joined[place : place + size] for place in range(0, len(joined), size)] if joined else []


def after(time: float) -> int:
    """The next moment at which names are asked, in GROUPs."""
    return int(time / GROUP) + 1


def refused(packed: bytes) -> str:
    """Why an address is not taken, "" if it is: filters answer 0.0.0.0, and whoever owns a name may answer anything."""
    text = address.format_address(packed)
    try:
        DESTINATION.parse(text)
        return ""
    except Refused as error:
        return "%s %s" % (text, error.args[0])


def is_wild(name: str) -> bool:
    """Whether it stands for all names below one: no resolver can be asked for those."""
    return name.startswith("*.")
