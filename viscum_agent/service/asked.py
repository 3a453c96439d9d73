"""What running programs answer, asked once: for `viscum plan`, which has no agent's memory.

The open sockets alone do not show what `up` would do: nothing tells whether an IPv6 socket serves IPv4 as well
(IPV6_V6ONLY, ipv6(7)), and an open one may be deaf. So programs are asked the way an agent asks them.
"""

from ..kernel import counters, netns
from ..loop import Loop
from ..plan import answers
from ..records.objects import kind_of
from . import health

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..plan.answers import Open
    from ..plan.planner import ServicePlan
    from ..reconcile import Snapshot
    from ..records.objects import Operation
    from .health import Outcome

AT_ONCE = 8  # programs: each check has some descriptors open


def opened(snapshot: "Snapshot", steps: "list[tuple[str, list[Operation]]]") -> "dict[str, Open]":
    """{service: answers.Open} of programs that can be asked. `steps` are the pending operations of their services, from
    apply.pending: if there is more than the redirect among them, the way to the program is not as planned, and it is
    not asked. Needs root."""
    names = [name for name, operations in steps if all(kind_of(each.new or each.old).outside for each in operations)]
    pairs = counters.places(snapshot.dump).pairs
    indexes = {pairs[index]: index for index in pairs}
    parts = [part for part in snapshot.plan.services if part.service.name in names and part.service.name in indexes]
    parts = [part for part in parts if health.asks_ways(part)]
    if not parts:
        return {}
    asking = Asking(parts, indexes)
    try:
        return asking.run()
    finally:
        asking.close()


class Asking:
    """One check of each part; `indexes` are those of the router's ends of their pairs, by service."""

    def __init__(self, parts: "list[ServicePlan]", indexes: "dict[str, int]") -> None:
        self._loop = Loop()
        self._tools = health.Tools(netns.Visit())
        self._left = list(parts)
        self._indexes = indexes
        self._busy = 0
        self._found: dict[str, answers.Open] = {}

    def close(self) -> None:
        self._tools.close()

    def run(self) -> "dict[str, Open]":
        for _ in range(AT_ONCE):
            self._next()
        while self._busy:
            self._loop.step()
        return self._found

    def _next(self) -> None:
        if self._left:
            self._busy += 1
            self._ask(self._left.pop(), 0, {})

    def _ask(self, part: "ServicePlan", turn: int, mute: "dict[tuple, str]") -> None:
        """Asks until every way had its turn. A check that never ends, because of a bug, counts as none."""
        index = self._indexes[part.service.name]
        over = self._loop.after(part.service.health.timeout + health.GRACE, self._end)

        def done(outcome: "Outcome") -> None:
            self._loop.cancel(over)
            mute.update(outcome.mute)
            ways = answers.ways(part.answers, outcome.listeners or [])
            if outcome.mute and any(answers.way_key(way) not in mute for way in ways):
                self._ask(part, turn + 1, mute)
                return
            if outcome.listeners:
                awake = {key for key in mute if not mute[key]}
                self._found[part.service.name] = answers.Open(listeners=outcome.listeners, awake=awake, mute=mute)
            self._end()

        health.Check(self._loop, self._tools, part, index, turn, done)

    def _end(self) -> None:
        self._busy -= 1
        self._next()
