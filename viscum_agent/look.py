"""A look at the kernel: it reads the kernel, makes the plan, applies the difference, and handles the programs.
Everything that happens leads to a look; when the next one is due is decided here, too.

What a look leaves out of the plan (services that somebody stopped, redirects of programs that can't answer) is up to
the instances: see service/instance.py and inhibitors.py.
"""

from . import compat
from .apply import Applier
from .errors import problem_text
from .kernel.netlink import Interrupted
from .log import ERROR, NOTICE, WARNING
from .plan import datapath, direct
from .plan.planner import Plan
from .reconcile import PACKAGE
from .records import with_
from .records.objects import Guard, kind_of
from .service import process, running
from .service.instance import OFF
from .service.states import BACKOFF, FAILED, HEALTHY, STOPPING, WAITING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .agent import Agent
    from .apply import Result
    from .config.service import Service
    from .errors import Problem
    from .loop import Timer
    from .plan.planner import ServicePlan
    from .reconcile import Snapshot
    from .service.instance import Instance

DEBOUNCE = 0.05  # seconds: causes within that time share a look
BREATH = 0.05  # seconds that a look goes on before it handles programs that have ended meanwhile
TORN = 3  # looks in a row that are restarted because of those: the next one runs to its end
SLOW = 45  # seconds between looks when nothing seems to happen
RETRY = 30  # seconds until another look when something could not be done
OWED = 1  # the same if a redirect that has to go could not be removed (its clients get no answer), or a look failed


class Looks:
    """`soon` and `now` are for all callers; what is different for `viscum up` and `down` is in once.py."""

    def __init__(self, agent: "Agent") -> None:
        self._agent = agent
        self._loop = agent.loop
        self.instances = agent.instances
        self._due: Timer | None = None
        self._slow: Timer | None = None
        self._retry: Timer | None = None
        self._lasted = 0.0  # seconds that the last look took
        self._torn = 0  # looks in a row that were restarted because a redirect went meanwhile
        self._breath = 0.0  # when a look is next interrupted (breathe)
        self._again = False  # whether a step for a service has to be retried
        self.expected: set[str] = set()  # services for which the next look is expected to change something
        self.meddled: set[str] = set()  # services in whose namespaces something has changed since the last look
        self._said: set[str] = set()
        self._said_datapath = ""
        self._said_dropped: set[str] = set()

    @property
    def is_due(self) -> bool:
        """Whether a look is scheduled."""
        return self._due is not None

    def soon(self, cause: str) -> None:
        """Looks at the kernel in a moment, once for everything that happens until then. If looks take long, that moment
        is as long: half of the time is left for everything else."""
        if self._due is None:
            self._due = self._loop.after(max(DEBOUNCE, self._lasted), lambda: self.now(cause))

    def now(self, cause: str) -> None:
        """Reads the kernel, plans, applies the difference, and handles the programs."""
        self._loop.cancel(self._due)
        self._due = None
        self._retry_in(OWED)  # if something raises here
        began = compat.monotonic()
        whole = False
        try:
            whole = self._look()
        except Interrupted:
            pass  # the kernel has to be read again
        finally:
            self._lasted = compat.monotonic() - began
        if not whole:
            self.soon(cause)

    def _look(self) -> bool:
        """Whether it ran to its end; else the kernel has to be read again, because what was read is not of one
        moment."""
        self._again = False
        snapshot = self._read()
        if snapshot is None:
            return False
        wanted, keep = self._chosen(snapshot)
        if self._agent.keeps_flows:
            self._agent.flows.adopt(snapshot)
        self._ask_refused(snapshot.observed.refused)
        going_on = {name for name in wanted if self._goes_on(self.instances[name], snapshot)}
        self._agent.withdrawal.trust(snapshot.observed)
        try:
            others = [name for name in snapshot.observed.services if name not in going_on]
            snapshot = self._withdraw_unwatched(snapshot, others, keep)
            stopping = self._stop_unwanted(snapshot, wanted, keep)
        finally:
            self._agent.withdrawal.trust(None)
        for name in wanted:
            self.instances[name].planned(wanted[name])
        parts = [self._part(wanted[name], name in going_on) for name in sorted(wanted) if name not in stopping]
        self._agent.learn_places(snapshot.dump)
        self._agent.follow_hops()
        snapshot = snapshot.without_dump()
        self._expect_guards(parts, snapshot)
        if self._agent.keeps_flows:
            self._agent.flows.before(parts, snapshot.observed)
        result = Applier(self._agent.reconciler.backend, PACKAGE, self.breathe, self._agent.withdrawal.gone).run(
            Plan(parts, [], []), snapshot.observed, keep, stopping
        )
        self._say_repaired(result.done)
        self._say_dropped(snapshot.observed.dropped)
        self._complain(snapshot.problems() + result.problems)
        self._say_datapath(parts)
        if result.done:
            self._agent.learn_places(self._agent.reconciler.backend.dump_redirects())
        self._see_to_programs(snapshot, wanted, stopping, result)
        there = [name for name in snapshot.observed.services if name not in self._agent.withdrawal.gone]
        snapshot = self._withdraw_unwatched(snapshot, there, keep)  # what was not adopted after all
        self._agent.withdrawal.looked(result.problems)
        self._forget_instances(snapshot)
        self._looked_at(snapshot, wanted, result)
        self._look_later()
        if self._agent.keeps_flows:
            self._agent.flows.after(snapshot.observed)
        self._agent.watch_pins()
        self._agent.deadline.vouch(self._agent.vouches())
        self._agent.trouble = ""
        self._retry_after(result)
        return True

    def _ask_refused(self, names: "set[str]") -> None:
        """For services of which a port was closed when a client came: this look puts it back, and a check finds out
        whether it has to go."""
        for name in sorted(names.intersection(self.instances)):
            self.expected.add(name)
            self._agent.say(NOTICE, "a port was closed, and its clients reached the cloud: it is asked again", name)
            self.instances[name].ask_again()

    def _read(self) -> "Snapshot | None":
        """A Snapshot; None if what was read is not of one moment. Raises Interrupted for the same reason."""
        self._breath = 0
        self.breathe()
        self._agent.withdrawal.begin()
        breathe = self.breathe if self._torn < TORN else None
        snapshot = self._agent.reconciler.look(breathe=breathe, torn=lambda: self._agent.withdrawal.gone)
        self._torn = 0 if snapshot else self._torn + 1
        return snapshot

    def breathe(self) -> None:
        """Handles what can't wait for the end of a look: programs that have ended."""
        if compat.monotonic() < self._breath:
            return
        self._breath = float("inf")  # not from within itself
        self._agent.deadline.breathe()
        self._agent.withdrawal.step()
        for instance in self._agent.withdrawal.ended_now():
            self._each(instance, lambda instance: instance.exited())
        self._breath = compat.monotonic() + BREATH

    def _chosen(self, snapshot: "Snapshot") -> "tuple[dict[str, ServicePlan], list[str]]":
        """(planned parts by service, without those held back; names of services that stay as they are)"""
        return self._wanted(snapshot), [name for name in snapshot.keep() if not self._agent.instance(name).held]

    def _looked_at(self, snapshot: "Snapshot", wanted: "dict[str, ServicePlan]", result: "Result") -> None:
        """For a subclass that waits for something to be done."""

    def _look_later(self) -> None:
        """While programs run, schedules the look that finds at the latest what no event reports (a detached link, an
        entry deleted from a map)."""
        self._loop.cancel(self._slow)
        watched = any(self.instances[name].pid for name in self.instances)
        self._slow = self._loop.after(SLOW, lambda: self.now("a look now and then")) if watched else None

    def _retry_after(self, result: "Result") -> None:
        self._loop.cancel(self._retry)
        if self._agent.withdrawal.owed:
            self._retry_in(OWED)
        elif result.problems or self._again:
            self._retry_in(RETRY)

    def _retry_in(self, seconds: float) -> None:
        self._loop.cancel(self._retry)
        self._retry = self._loop.after(seconds, lambda: self.soon("another try"))

    def _forget_instances(self, snapshot: "Snapshot") -> None:
        """Forgets services that are no longer configured, and nowhere else either."""
        there = {service.name for service in snapshot.configuration.services}
        there.update(snapshot.observed.services)
        there.update(snapshot.keep())
        for name in [name for name in self.instances if name not in there and self.instances[name].state in OFF]:
            del self.instances[name]
            self._agent.accounts.forget(name)

    def _wanted(self, snapshot: "Snapshot") -> "dict[str, ServicePlan]":
        """Planned parts by service, without those held back."""
        wanted = {}
        for part in snapshot.plan.services:
            instance = self._agent.instance(part.service.name)
            if not instance.held:
                wanted[instance.name] = part
        return wanted

    def _part(self, part: "ServicePlan", goes_on: bool) -> "ServicePlan":
        """The part, with its redirect only while the service is healthy, or goes on."""
        if self.instances[part.service.name].redirected or goes_on:
            return part
        items = [item for item in part.items if not kind_of(item).redirect]
        # What services share stays: adding or removing a qdisc costs the device packets (qdisc_graft in
        # net/sched/sch_api.c deactivates it for a moment), those of everybody on it.
        return with_(part, items=items)

    def as_it_stands(self, snapshot: "Snapshot") -> "Snapshot":
        """A Snapshot whose plan lacks what is withheld on purpose: stopped services, and the redirects of programs that
        can't answer."""
        parts = []
        for part in snapshot.plan.services:
            instance = self.instances.get(part.service.name)
            if instance is None or not instance.withheld:
                parts.append(part)
            elif not instance.held:
                parts.append(self._part(part, self._goes_on(instance, snapshot)))
        return snapshot.with_services(parts)

    def _goes_on(self, instance: "Instance", snapshot: "Snapshot") -> bool:
        """Whether a program runs that this agent has not adopted yet: it keeps its redirect until a check says
        otherwise."""
        return (
            instance.state in OFF and snapshot.is_redirected(instance.name) and self._agent.has_program(instance.name)
        )

    def _stop_unwanted(self, snapshot: "Snapshot", wanted: "dict[str, ServicePlan]", keep: "list[str]") -> "list[str]":
        """Ends programs before their namespaces go. Returns the names of services that are being stopped, also for a
        restart."""
        active = {name for name in self.instances if self.instances[name].state not in OFF}
        for name in sorted(active | set(snapshot.observed.services)):
            if name not in wanted and name not in keep and self._agent.instance(name).state != STOPPING:
                self._each(self._agent.instance(name), self._stop)
        for name in self.instances:
            if self.instances[name].state in OFF and name not in wanted and name not in keep:
                self.instances[name].disable()  # stopped by hand, or not wanted: which of the two may have changed
        for name in sorted(wanted):
            instance = self.instances[name]
            if instance.ends_for_good and name in self._agent.flows:
                instance.go_on()
            if self.instances[name].pid and self.instances[name].state != STOPPING:
                self._each(
                    self.instances[name],
                    lambda instance: self._restart_if_other(instance, wanted[instance.name].service),
                )
        return [name for name in self.instances if self.instances[name].state == STOPPING]

    def _stop(self, instance: "Instance") -> None:
        if instance.pid or self._agent.runs(instance.name):
            instance.stop(lambda: self.soon("a service ended"), instance.reason)
        else:
            instance.disable()

    def _restart_if_other(self, instance: "Instance", service: "Service") -> None:
        if process.is_stale(service, instance.pid):
            instance.restart("its settings changed")
        elif running.is_astray(instance.name, instance.pid):
            instance.astray()

    def _each(self, instance: "Instance", step: "Callable[[Instance], object]") -> None:
        """Runs a step for one service. Whatever a service or its program does, the look goes on for the others."""
        self.breathe()
        try:
            step(instance)
        except OSError as error:  # no process or descriptor available now, a process that is gone
            self._agent.say(ERROR, "%s; next try in %d s" % (compat.strerror(error.errno), RETRY), instance.name)
            self._again = True
        except Exception as error:
            self._agent.bug(error)
            self._again = True

    def _withdraw_unwatched(self, snapshot: "Snapshot", names: "list[str]", keep: "list[str]") -> "Snapshot":
        """A redirect is in only while its program is watched. Whatever left one in (an agent that was killed, somebody,
        a step that failed), it goes before anything else can fail. Returns the Snapshot without those that went."""
        out = []
        for name in names:
            instance = self._agent.instance(name)
            if instance.redirected or not snapshot.is_redirected(name) or self._stays(name, keep):
                continue
            if not self._agent.withdrawal.unwatched(name):
                continue
            out.append(name)
            self._agent.end_connections(name, patiently=instance.state not in OFF + (STOPPING,) or name in keep)
            if instance.state in OFF or instance.state == WAITING:
                self._agent.say(WARNING, "its redirect is out: nothing supervises its program", name)
        return snapshot.without_redirects(out)

    def _stays(self, name: str, keep: "list[str]") -> bool:
        """Whether its redirect stays in although nobody watches: never, for an agent."""
        return False

    def _see_to_programs(
        self, snapshot: "Snapshot", wanted: "dict[str, ServicePlan]", stopping: "list[str]", result: "Result"
    ) -> None:
        # Those with a mistake in their sections go on with the settings that they had, if they are planned.
        mistakes = [problem for problem in snapshot.configuration.problems if problem.service not in wanted]
        problems = mistakes + snapshot.plan.problems + result.problems
        broken = {problem.service: problem.message for problem in problems}
        failed = {problem.service for problem in result.problems}
        for name in sorted(self.instances):
            instance = self.instances[name]
            if name in stopping or instance.held:
                continue
            if name in failed and instance.redirected:
                instance.rejected(broken[name])
            elif name in broken and instance.state not in (BACKOFF, FAILED):
                instance.wait(broken[name])
            if name not in wanted or name in broken:
                continue
            self._each(instance, lambda instance: instance.ensure(snapshot.is_redirected(instance.name)))

    def _expect_guards(self, parts: "list[ServicePlan]", snapshot: "Snapshot") -> None:
        """Other addresses of the router are other rules, and next hops change their MAC addresses: that is nobody's
        doing. A hash of the rules is the mark's beginning."""
        for part in parts:
            name = part.service.name
            there = [each.item for each in snapshot.observed.of(name)]
            items = there + part.items
            if part.service.nexthop and direct.mac_of(there) != direct.mac_of(part.items):
                self.expected.add(name)
            marks = [item.mark.split("/") for item in items if isinstance(item, Guard)]
            if len(marks) == 2 and len(marks[0]) == 2 and marks[0][0] != marks[1][0]:
                self.expected.add(name)

    def _say_repaired(self, names: "list[str]") -> None:
        """Logs what somebody else had changed. The agent's own changes show in the states."""
        for name in names:
            instance = self.instances.get(name)
            if instance and instance.state == HEALTHY and name not in self.expected:
                self._agent.say(NOTICE, "restored what somebody had removed or changed", name)
                if name in self.meddled:
                    instance.repaired()
        self.expected, self.meddled = set(), set()

    def _say_dropped(self, dropped: "dict[str, int]") -> None:
        """Once for each time that a service begins to be kept from something, and counts from 0."""
        for name in sorted(dropped):
            if dropped[name] and name not in self._said_dropped:
                text = "dropped packets that its program began itself (%d so far): option egress says what it may reach"
                self._agent.say(NOTICE, text % dropped[name], name)
        self._said_dropped = {name for name in dropped if dropped[name]}

    def _say_datapath(self, parts: "list[ServicePlan]") -> None:
        """Once for each reason, why the best datapath is not the one that `auto` took."""
        best = datapath.ALL[0]
        others = sorted({part.datapath for part in parts if part.datapath != best.NAME})
        missing = best.missing(self._agent.reconciler.features)
        if others and missing and missing != self._said_datapath:
            self._said_datapath = missing
            text = "datapath '%s' instead of '%s', for which this router lacks %s"
            self._agent.say(NOTICE, text % ("', '".join(others), best.NAME, missing))

    def _complain(self, problems: "list[Problem]") -> None:
        """Logs each problem once, and again only after it was gone."""
        now = {problem_text(problem) for problem in problems}
        for text in sorted(now - self._said):
            self._agent.say(WARNING, text)
        self._said = now
