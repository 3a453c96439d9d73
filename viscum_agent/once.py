"""`viscum up` and `viscum down`: the agent's own work, done until it is finished, and then nobody watches any more.

What a service is, when it answers and how it ends is judged by the same code as in an agent that stays. A service whose
program ends, or does not answer within `start_timeout`, is taken down again: it is up whole, or not at all.
"""

import sys

from . import compat, lock
from .agent import SIGINT, Agent
from .errors import CONFIG, Problem, ViscumError
from .log import ERROR, Log
from .service.instance import BACKOFF, BYPASSED, FAILED, STARTING
from .shell import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from .apply import Result
    from .plan.planner import ServicePlan
    from .reconcile import Snapshot
    from .service.instance import Instance

PATIENCE = 30  # seconds that one waits for another
POLL = 0.02  # seconds between looks at what is finished
SETTLE = 0.3  # as that of an agent, but here somebody waits
SAID = 5  # lines of a program's output that are shown when it fails


class Words(Log):
    """The log of a command: what went wrong on the way goes to stderr, and nothing anywhere else."""

    def say(self, severity: int, text: str, service: str = "") -> None:
        if severity <= ERROR:
            sys.stderr.write(printable("%s: %s" % (service, text) if service else text) + "\n")

    def program(self, name: str, text: str) -> None:
        """What a program prints is shown when it fails (Once)."""


class Once(Agent):
    """`run` returns (names of services that were changed, problems). `names` are the services that are meant, all when
    there are none; `up` is whether they are to be up."""

    def __init__(self, confdir: str, names: "Collection[str]", up: bool) -> None:
        super().__init__(confdir, Words())
        self._names = names
        self._up = up
        self._required = False  # whether the names were looked at
        self._interrupted = False
        self._error: Exception | None = None  # what made a look impossible
        self._changed: set[str] = set()
        self._problems: list[Problem] = []  # of the configuration
        self._trouble: dict[str, Problem] = {}  # Problems that came up on the way, by service
        self._pending: set[str] = set()  # services that are not as they should be, as far as the last look tells
        self.listeners.append(self._became)

    def run(  # type: ignore[override]  # nobody takes it for another agent
        self, path: "str | None" = None
    ) -> "tuple[list[str], list[Problem]]":
        """`path` is that of ubus, to ask netifd. Raises lock.Busy."""
        self._take_signals()
        held = lock.Lock("up" if self._up else "down")
        held.take(PATIENCE, self._told_to_end)
        try:
            self._open(path)
            super().look("up" if self._up else "down")
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

    def _means(self, name: str) -> bool:
        return not self._names or name in self._names

    # What is different from an agent that stays

    def say_state(self, severity: int, text: str, service: str) -> None:
        """Progress, for a person at a terminal; what failed is said at the end."""
        if compat.isatty():
            sys.stderr.write("%s: %s\n" % (service, printable(text)))

    def _signal(self, number: int) -> None:
        """Interrupted: what is not finished is taken back; the second time it is left as it is."""
        if number not in (compat.SIGTERM, SIGINT):
            return
        if self._interrupted or not self._up:
            self.loop.stop()
        self._interrupted = True
        for name in self._pending:
            self._give_up(self.instances[name], "interrupted")

    def settle(self) -> float:
        return SETTLE

    def look(self, cause: str) -> None:
        """One that can't be made is the end: nobody waits for better times here."""
        try:
            super().look(cause)
        except (ViscumError, OSError) as error:
            self._error = error
            self.loop.stop()

    def _chosen(self, snapshot: "Snapshot") -> "tuple[dict[str, ServicePlan], list[str]]":
        if not self._required:  # before anything is done; what is taken down later is none any more
            self.reconciler.require(snapshot, self._names, self._up)
            self._required = True
        wanted, keep = super()._chosen(snapshot)
        others = [name for name in snapshot.observed.services if not self._means(name)]
        if not self._up:
            return {}, others
        mine = {name: wanted[name] for name in wanted if self._means(name)}
        return mine, keep + [name for name in others if name not in keep]

    def _withdraw_unwatched(self, names: "list[str]") -> None:
        """Services that are not meant stay as somebody left them."""

    def _looked_at(self, snapshot: "Snapshot", wanted: "dict[str, ServicePlan]", result: "Result") -> None:
        self._changed.update([name for name in result.done if self._means(name)])
        there = [name for name in snapshot.observed.services if self._means(name) and name not in result.done]
        if not self._up:
            broken = [problem.service for problem in self._note(result.problems)]
            self._pending = {name for name in there if name not in broken}
            return
        self._problems = [each for each in snapshot.problems() if not each.service or self._means(each.service)]
        for problem in self._note(result.problems):
            if problem.service in wanted:
                self._take_back(self.instances[problem.service])
        self._pending = {name for name in wanted if not self.instances[name].redirected or self.instances[name].held}
        self._pending.update([name for name in there if name not in wanted and name not in snapshot.keep()])
        self._pending.update([name for name in there if self.instance(name).held])

    def _note(self, problems: "list[Problem]") -> "list[Problem]":
        """Keeps those that are about services that are meant, or about none, and returns them."""
        meant = [each for each in problems if not each.service or self._means(each.service)]
        for problem in meant:
            self._trouble.setdefault(problem.service, problem)
        return meant

    # When it is finished

    def _became(self, instance: "Instance", before: str) -> None:
        """A service has changed its state."""
        if not self._up or not self._means(instance.name):
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
        said = "".join(["\n    " + printable(line) for _, line in instance.said[-SAID:]])
        self._trouble.setdefault(
            instance.name, Problem(CONFIG, instance.name, "viscum." + instance.name, reason + said)
        )
        self._take_back(instance)

    def _take_back(self, instance: "Instance") -> None:
        instance.held = True
        self._pending.add(instance.name)
        self.look_soon("%s is taken back" % instance.name)

    def _finish(self) -> None:
        """Ends the loop when everything is as it should be."""
        if self._look_timer is None and not self._pending and all(map(self._is_sure, self.instances.values())):
            self.loop.stop()
            return
        self.loop.after(POLL, self._finish)

    def _is_sure(self, instance: "Instance") -> bool:
        """One that was found running has to pass a check, like any other; one that opens other sockets all the time is
        not waited for longer than for one that starts."""
        if not instance.redirected:
            return True
        return instance.was_checked and (
            instance.is_settled or instance.uptime > instance.service.program.start_timeout
        )
