"""Open TCP connections stay with the side that has them when a redirect comes or goes, with eBPF (ebpf/flows.py).

When it comes, those with the cloud go on there (take-over), until none of them was seen for a while. When it goes
although the program can answer (somebody asked for it, load, other settings), those with the program go on there
(drain), until all have ended or `drain_timeout` has passed; then what is left is reset. All of it is in the kernel: the
next agent goes on with it.

Not where a program can't answer: its connections end at once. Not for `viscum up` and `down`: nobody would be there to
end what they begin.
"""

from . import compat
from .ebpf.layout import TAKE_OVER, V4
from .errors import ViscumError
from .kernel import counters
from .log import ERROR
from .records.objects import BpfLink, BpfMatch, Nat, Qdisc

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from .agent import Agent
    from .kernel.bpf_pins import Pinned
    from .kernel.listening import Flow
    from .loop import Timer
    from .plan.actual import Observed
    from .plan.planner import ServicePlan
    from .reconcile import Snapshot

QUIET = 300  # seconds without a packet after which no connection with the cloud is thought to be left
POLL = 0.5  # seconds between looks at what is left of a drain
# Seconds until a SYN whose answer was lost was sent again (after 1 s, RFC 6298) and answered.
SENT_AGAIN = 1.5


class Drain:
    """One service's: `target` is the index of its pair, `until` the time at which it ends at the latest."""

    def __init__(self, target: int, until: float) -> None:
        self.target, self.until = target, until
        self.timer: Timer | None = None
        self.then: Callable[[], None] | None = None


class Flows:
    """`adopt`, `before` and `after` in each look, `goes` and `drain` around a redirect that goes, `end` for a program
    that can't answer any more."""

    def __init__(self, agent: "Agent") -> None:
        self._agent = agent
        self._drains: dict[str, Drain] = {}
        self._adopted = False
        self._on = False  # whether what is noted is taken without an entry
        self._hooked = False  # whether this look gives a device a qdisc
        self._calm = 0.0  # when the connections are open that began while a device got one

    def __contains__(self, name: str) -> bool:
        """Whether a service's connections go on although its redirect is out."""
        return name in self._drains

    # In a look

    def adopt(self, snapshot: "Snapshot") -> None:
        """What an agent before this one has begun has the whole time once more."""
        if self._adopted:
            return
        self._adopted = True
        targets = self._on_pins(lambda pinned: pinned.flow_targets() if pinned.drains() else None)
        if targets is None:
            return
        self._on = True
        pairs = counters.places(snapshot.dump).pairs
        for target in sorted(pairs):
            if target in targets and not snapshot.is_redirected(pairs[target]):
                self._begin(pairs[target], target)

    def before(self, parts: "Sequence[ServicePlan]", observed: "Observed") -> None:
        """Redirects are about to come or to change: what the services' namespaces have open stays there."""
        self._agent.reconciler.backend.cut_in = TAKE_OVER
        self._hooked = any(_needs_qdisc(part, observed) for part in parts)
        for part in parts:
            found = observed.of(part.service.name)
            wanted = {item for item in part.items if isinstance(item, BpfMatch)}
            if found and wanted and wanted != {each.item for each in found if isinstance(each.item, BpfMatch)}:
                self.hold(part.service.name)

    def after(self, observed: "Observed") -> None:
        """Ends what is not needed any more."""
        if self._hooked:
            self._calm = compat.monotonic() + SENT_AGAIN
        if self._on and not self._drains:
            self._set_on(False)
        quiet = {}
        for name in observed.taking_over:
            # Where addresses are rewritten inside, nobody knows the connections unless their SYNs are noted.
            if not any(isinstance(each.item, Nat) for each in observed.of(name)):
                quiet[observed.taking_over[name]] = name
        if quiet:
            self._on_pins(lambda pinned: pinned.end_take_over(set(quiet), QUIET))

    def calm_in(self) -> float:
        """Seconds until the next redirect may come, for programs that are filters.

        A device that gets its qdisc drops what it is about to send (qdisc_graft in net/sched/sch_api.c deactivates it).
        If that is the cloud's answer to a SYN, the client repeats its SYN and the cloud its answer: a redirect that
        came in between would give the same connection to both.
        """
        return max(0, self._calm - compat.monotonic())

    # A redirect that goes

    def hold(self, name: str) -> bool:
        """Notes a service's connections, those that are open and those that come; returns whether it has a redirect
        that takes them by what is noted."""
        target = self._agent.accounts.index_of(name)
        if not target:
            return False
        joined = self._on_pins(lambda pinned: pinned.join(target))
        if joined is None:
            return False
        open_ones = self._open(name)
        part = self._agent.instance(name).part
        vlan = part.service.vlan or 0 if part else 0
        self._on_pins(lambda pinned: pinned.note_flows(open_ones, target, joined, vlan))
        return bool(joined)

    def goes(self, name: str) -> bool:
        """A service's redirect is about to go: what is open goes on then; returns whether it can."""
        if not self.hold(name):
            return False
        self._set_on(True)  # before it goes: no packet is between the two
        return True

    def drain(self, name: str) -> None:
        """A service's redirect is out, after `goes`."""
        self._begin(name, self._agent.accounts.index_of(name))

    def when_drained(self, name: str, step: "Callable[[], None]") -> None:
        """Runs `step` at once, or when a drain has ended."""
        if name in self._drains:
            self._drains[name].then = step
        else:
            step()

    def resume(self, name: str) -> None:
        """A service's redirect comes back. What is noted is taken until it is in (after)."""
        if name in self._drains:
            self._agent.loop.cancel(self._drains.pop(name).timer)

    def end(self, name: str) -> None:
        """No connection of a service goes on, whatever is left of it."""
        drain = self._drains.get(name)
        if drain is None:
            return
        self.resume(name)
        self._on_pins(lambda pinned: pinned.forget_flows(drain.target))
        if not self._drains:
            self._set_on(False)
        self._agent.end_connections(name, patiently=drain.then is None)
        if drain.then:
            drain.then()

    def _begin(self, name: str, target: int) -> None:
        seconds = self._agent.instance(name).drain_time
        self._drains[name] = Drain(target, compat.monotonic() + seconds)
        self._poll(name)

    def _poll(self, name: str) -> None:
        drain = self._drains[name]
        if compat.monotonic() < drain.until and self._is_unfinished(name):
            drain.timer = self._agent.loop.after(POLL, lambda: self._poll(name))
        else:
            self.end(name)

    def _is_unfinished(self, name: str) -> bool:
        try:
            return bool(self._open_ones(name, True))
        except OSError as error:
            return error.errno in compat.SPENT  # else its namespace is gone

    def _open(self, name: str) -> "list[Flow]":
        try:
            return self._open_ones(name, False)
        except OSError:
            return []  # its namespace is gone; or no descriptor is left, and a redirect has to go all the same

    def _open_ones(self, name: str, unfinished: bool) -> "list[Flow]":
        """What a service's clients have open (listening.flows): what has the namespace's own address is a check."""
        part = self._agent.instance(name).part
        own = list(part.gate.own.values()) if part else []
        own += [V4 + each for each in own if len(each) == 4]
        return self._agent.open_flows(name, own, unfinished)

    def _set_on(self, on: bool) -> None:
        """Where that fails, the next look tries to switch it off again (after)."""
        self._on = True
        if self._on_pins(lambda pinned: pinned.set_drains(on)) is not None:
            self._on = on

    def _on_pins(self, step: "Callable[[Pinned], Any]") -> "Any":
        """What a step returns; None if it is not possible."""
        try:
            return self._agent.reconciler.backend.with_pinned(step)
        except (ViscumError, OSError) as error:
            self._agent.say(ERROR, "open connections can't be kept where they are: %s" % error)
            return None


def _needs_qdisc(part: "ServicePlan", observed: "Observed") -> bool:
    """Whether a program is to be a filter of a device that has no qdisc yet."""
    devices = [item.dev for item in part.shared if isinstance(item, BpfLink)]
    missing = [item.dev for item in part.shared if isinstance(item, Qdisc) and item.dev not in observed.hooks]
    return any(dev in devices for dev in missing)
