"""`viscum up` and `viscum down`: the agent's own work, until it is done; nothing supervises the programs afterwards.

The same code as in a resident agent decides what a service is, when it answers and how it ends. A service whose program
ends, or does not answer within `start_timeout`, is taken down again: it is up completely, or not at all.
"""

import sys

from . import compat, lock
from .agent import SIGINT, Agent
from .errors import CONFIG, Problem, ViscumError
from .kernel import bpf_deadline
from .log import ERROR, Log
from .look import Looks
from .service.states import BACKOFF, BYPASSED, FAILED, STARTING
from .shell import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from .apply import Result
    from .config.service import Service
    from .plan.actual import Observed
    from .plan.planner import ServicePlan
    from .reconcile import Snapshot
    from .service.instance import Instance

PATIENCE = 30  # seconds that one waits for another
POLL = 0.02  # seconds between looks at what is finished
SETTLE = 0.3  # seconds, as in agent.py, but here a user waits
SAID = 5  # lines of a program's output that are shown when it fails


class Words(Log):
    """The log of a command: what went wrong on the way goes to stderr, and everything else nowhere."""

    def say(self, severity: int, text: str, service: str = "") -> None:
        if severity <= ERROR:
            sys.stderr.write(printable("%s: %s" % (service, text) if service else text) + "\n")

    def pass_on(self, name: str, text: str) -> bool:
        """What a program prints is shown when it fails (Once)."""
        return True


class UntilDone(Looks):
    """The looks of `viscum up` and `down`: only at the services that are meant, and the first that fails is the
    last."""

    def __init__(self, once: "Once") -> None:
        super().__init__(once)
        self._once = once
        self._required = False  # whether the names were checked

    def first(self, cause: str) -> None:
        """Raises what makes it impossible."""
        super().now(cause)

    def now(self, cause: str) -> None:
        """If a look fails, the command ends: it does not retry."""
        try:
            super().now(cause)
        except (ViscumError, OSError) as error:
            self._once.failed(error)

    def _chosen(self, snapshot: "Snapshot") -> "tuple[dict[str, ServicePlan], list[str]]":
        once = self._once
        if not self._required:  # before anything is done: a service that is down may be unknown later
            once.require(snapshot)
            self._required = True
        wanted, keep = super()._chosen(snapshot)
        others = [name for name in snapshot.observed.services if not once.means(name)]
        if not once.up:
            return {}, others
        mine = {name: wanted[name] for name in wanted if once.means(name)}
        return mine, keep + [name for name in others if name not in keep]

    def _stays(self, name: str, keep: "list[str]") -> bool:
        """Services that are not meant stay as they are, and so do those with a mistake in their sections: but not those
        whose clients an agent that is gone has left to the cloud, for from now on redirects hold for good."""
        if self._once.means(name) and not (self._once.up and name in keep):
            return False
        return not bpf_deadline.has_passed()

    def _looked_at(self, snapshot: "Snapshot", wanted: "dict[str, ServicePlan]", result: "Result") -> None:
        self._once.looked_at(snapshot, wanted, result)


class Once(Agent):
    """`run` returns (names of changed services, problems). `names` are the services that are meant, none for all; `up`
    is whether they are to be up."""

    keeps_flows = False

    def __init__(self, confdir: str, names: "Collection[str]", up: bool) -> None:
        super().__init__(confdir, Words())
        self.looks: UntilDone
        self._names = names
        self.up = up
        self._began = 0.0
        self._interrupted = False
        self._error: Exception | None = None  # what made a look impossible
        self._changed: set[str] = set()
        self._problems: list[Problem] = []  # of the configuration
        self._trouble: dict[str, Problem] = {}  # problems that came up meanwhile, by service
        self._pending: set[str] = set()  # services that were not as they should be at the last look
        self.listeners.append(self._became)

    def run(  # type: ignore[override]  # never used as a plain Agent
        self, path: "str | None" = None
    ) -> "tuple[list[str], list[Problem]]":
        """`path` is the ubus socket, to ask netifd. Raises lock.Busy."""
        self._take_signals()
        held = lock.Lock("up" if self.up else "down")
        held.take(PATIENCE, self._told_to_end)
        try:
            self._began = compat.monotonic()
            self._open(path)
            self.looks.first("up" if self.up else "down")
            self.loop.after(0, self._finish)
            self.loop.run()
            if self._error:
                raise self._error
        finally:
            self._close()
            held.release()
        return sorted(self._changed.difference(self._trouble)), self._problems + [
            self._trouble[name] for name in sorted(self._trouble)
        ]

    def means(self, name: str) -> bool:
        return not self._names or name in self._names

    # What is different from an agent that stays

    def say_state(self, severity: int, text: str, service: str) -> None:
        """Progress, for a person at a terminal; failures are printed at the end."""
        if compat.isatty():
            sys.stderr.write("%s: %s\n" % (service, printable(text)))

    def _signal(self, number: int) -> None:
        """Interrupted: the first signal takes back what is not finished, the second leaves it as it is."""
        if number not in (compat.SIGTERM, SIGINT):
            return
        if self._interrupted or not self.up:
            self.loop.stop()
        self._interrupted = True
        for name in self._pending:
            self._give_up(self.instances[name], "interrupted")

    def settle(self) -> float:
        return SETTLE

    def follow_names(self) -> None:
        """Nobody would be there to ask again."""

    def names(self, services: "list[Service]", observed: "Observed") -> "tuple[dict, dict]":
        """They are asked once, and what they had before goes."""
        return self.reconciler.ask_names(services), {}

    def vouches(self) -> int:
        return 0

    def make_looks(self) -> "UntilDone":
        return UntilDone(self)

    # After a look

    def require(self, snapshot: "Snapshot") -> None:
        """Raises ConfigError for a name that means nothing (Reconciler.require)."""
        self.reconciler.require(snapshot, self._names, self.up)

    def failed(self, error: Exception) -> None:
        """A look failed: `run` raises its error."""
        self._error = error
        self.loop.stop()

    def looked_at(self, snapshot: "Snapshot", wanted: "dict[str, ServicePlan]", result: "Result") -> None:
        """Notes what was changed, what went wrong, and what is left to do."""
        self._changed.update([name for name in result.done if self.means(name)])
        there = [name for name in snapshot.observed.services if self.means(name) and name not in result.done]
        if not self.up:
            broken = [problem.service for problem in self._note(result.problems)]
            self._pending = {name for name in there if name not in broken}
            return
        self._problems = self.reconciler.problems_of(snapshot, self._names)
        for problem in self._note(result.problems):
            if problem.service in wanted:
                self._take_back(self.instances[problem.service])
        self._pending = {name for name in wanted if not self.instances[name].redirected or self.instances[name].held}
        self._pending.update([name for name in there if name not in wanted and name not in snapshot.keep()])
        self._pending.update([name for name in there if self.instance(name).held])

    def _note(self, problems: "list[Problem]") -> "list[Problem]":
        """Keeps and returns those about services that are meant, or about none."""
        meant = [each for each in problems if not each.service or self.means(each.service)]
        for problem in meant:
            self._trouble.setdefault(problem.service, problem)
        return meant

    # When it is finished

    def _became(self, instance: "Instance", before: str) -> None:
        """A service has changed its state."""
        if not self.up or not self.means(instance.name):
            return
        if instance.state == STARTING and before != STARTING:
            self._changed.add(instance.name)
        if instance.state in (BACKOFF, FAILED, BYPASSED):
            self.loop.after(0, lambda: self._give_up(instance, instance.ended or instance.reason))

    def _give_up(self, instance: "Instance", reason: str) -> None:
        if instance.held:
            return
        if instance.state == BYPASSED:
            reason += " (for %d s: option start_timeout)" % instance.service.program.start_timeout
        said = "".join(["\n    " + printable(line) for line in instance.said[-SAID:]])
        self._trouble.setdefault(
            instance.name, Problem(CONFIG, instance.name, "viscum." + instance.name, reason + said)
        )
        self._take_back(instance)

    def _take_back(self, instance: "Instance") -> None:
        instance.held = True
        self._pending.add(instance.name)
        self.looks.soon("%s is taken back" % instance.name)

    def _finish(self) -> None:
        """Ends the loop when everything is as it should be."""
        if not self.looks.is_due and not self._pending and all(map(self._is_sure, self.instances.values())):
            self.loop.stop()
            return
        self.loop.after(POLL, self._finish)

    def _is_sure(self, instance: "Instance") -> bool:
        """One that has run for long gets as much time as one that starts."""
        return instance.is_sure(min(instance.uptime, compat.monotonic() - self._began))
