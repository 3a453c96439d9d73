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


class Name:
    """`due` maps a family to when it is asked next; `addresses` are pairs of one and when it ends, 0 for one of the
    last answer; `asked` maps the families that were asked to why they have none, "" where they have."""

    def __init__(self, due: "dict[int, float]") -> None:
        self.due = due
        self.addresses: list[tuple[bytes, float]] = []
        self.asked: dict[int, str] = {}

    @property
    def is_known(self) -> bool:
        """Whether it has an address, or all families were asked."""
        return bool(self.addresses) or len(self.asked) == len(self.due)

    @property
    def reason(self) -> str:
        """Why it has no address: what says most."""
        texts = [self.asked[family] for family in sorted(self.asked) if self.asked[family]]
        telling = [text for text in texts if text != NONE]
        return "" if self.addresses else (telling or texts or [NONE])[0]


class Known:
    """Times are seconds of any clock that goes on."""

    def __init__(self) -> None:
        self._names: dict[str, Name] = {}

    def want(self, wanted: "dict[str, list[int]]", now: float) -> None:
        """From now on these names count, each in some families."""
        before, self._names = self._names, {}
        for name in wanted:
            old = before.get(name)
            kept = old if old and sorted(old.due) == sorted(wanted[name]) else Name({})
            kept.due = {family: now for family in wanted[name]}
            self._names[name] = kept

    def due(self, now: float) -> "list[tuple[str, int]]":
        """The names, with a family, that are to be asked now."""
        return [
            (name, family)
            for name in self._names
            for family in sorted(self._names[name].due)
            if self._names[name].due[family] <= now
        ]

    def next(self) -> float:
        """When a name is to be asked or an address ends; infinite for never."""
        first = float("inf")
        for name in self._names.values():
            first = min([first] + list(name.due.values()) + [until for _, until in name.addresses if until])
        return first

    def learn(
        self, name: str, family: int, addresses: "Iterable[bytes]", ttl: float, now: float, why: str = NONE
    ) -> bool:
        """Takes an answer; returns whether it changes anything. `why` is the reason if it has no address."""
        there = self._names.get(name)
        if there is None or family not in there.due:
            return False
        found = []
        for packed in addresses:
            refused = _refused(packed)
            if refused:
                why = refused
            elif packed not in found:
                found.append(packed)
        old = [each for each in there.addresses if len(each[0]) == address.bits(family) // 8]
        others = [each for each in there.addresses if each not in old]
        left = [(packed, until or _grouped(now + GRACE)) for packed, until in old if packed not in found]
        left.sort(key=lambda each: -each[1])  # the newest of the old ones first
        made = sorted(([(packed, 0.0) for packed in found] + left)[:MOST_ADDRESSES] + others)
        there.due[family] = _grouped(now + (max(LEAST, min(ttl, MOST)) if found else NOTHING))
        return self._set(there, family, made, "" if found else why)

    def lost(self, name: str, family: int, why: str, now: float) -> bool:
        """Nobody answered: what is known stays; returns whether it changes anything."""
        there = self._names.get(name)
        if there is None or family not in there.due:
            return False
        there.due[family] = _grouped(now + AGAIN)
        return self._set(there, family, there.addresses, why)

    def _set(self, there: "Name", family: int, addresses: "list[tuple[bytes, float]]", reason: str) -> bool:
        before = [packed for packed, _ in there.addresses], there.reason, there.is_known
        there.addresses, there.asked[family] = addresses, reason
        return before != ([packed for packed, _ in addresses], there.reason, there.is_known)

    def expire(self, now: float) -> bool:
        """Forgets addresses whose time has come; returns whether there are any."""
        any_gone = False
        for there in self._names.values():
            left = [each for each in there.addresses if not each[1] or each[1] > now]
            if len(left) < len(there.addresses):
                any_gone = True
                there.addresses = left
        return any_gone

    def hosts(self) -> "dict[str, Host]":
        """What the plan has to know (facts.Host), by name."""
        return {
            name: Host(tuple([packed for packed, _ in there.addresses]), there.reason)
            for name, there in self._names.items()
            if there.is_known
        }


def _grouped(time: float) -> float:
    """The next moment at which names are asked."""
    return (int(time / GROUP) + 1) * GROUP


def _refused(packed: bytes) -> str:
    """Why an address is not taken, "" if it is: filters answer 0.0.0.0, and whoever owns a name may answer anything."""
    text = address.format_address(packed)
    try:
        DESTINATION.parse(text)
        return ""
    except Refused as error:
        return "%s %s" % (text, error.args[0])
