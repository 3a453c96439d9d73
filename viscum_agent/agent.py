"""The agent: one process that keeps the kernel as the configuration says, and owns no state.

Everything that happens (an event of the kernel, a program that ends, a check, a reload, a call) leads to one thing: the
kernel is read, the plan is made, and what differs is done. What may not wait for that is taking a redirect out, which
is done at once.
"""

from . import compat, lock
from .apply import Applier
from .errors import ConfigError, ViscumError, problem_text
from .kernel import bpf_pins, counters, netns
from .kernel.monitor import Events
from .kernel.netlink import Interrupted
from .kernel.ns_monitor import Inside
from .log import ERROR, INFO, NOTICE, WARNING, line
from .loop import Loop, Paced
from .plan import datapath
from .plan.actual import observe
from .plan.diff import redirects_of, removal
from .plan.planner import Plan
from .reconcile import PACKAGE, Reconciler, Snapshot
from .records import with_
from .records.objects import kind_of
from .reserve import Reserve
from .service import health, overload, process
from .service.instance import BACKOFF, EAGER, FAILED, HEALTHY, OFF, STARTING, STOPPING, Instance
from .service.resets import Resets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .apply import Result
    from .config.service import Configuration, Service
    from .errors import Problem
    from .kernel.counters import Traffic
    from .log import Log
    from .loop import Timer
    from .plan.actual import Found, Observed
    from .plan.answers import Open
    from .plan.planner import ServicePlan
    from .records.dump import Dump
    from .service.health import Check, Outcome
    from .ubus_object.methods import Bus

DEBOUNCE = 0.05  # seconds: what comes together is looked at together
PATIENCE = 30  # seconds that an agent waits at its start for a `viscum up` or `down` that still runs
SETTLE = 1  # seconds until the next look at a program's sockets: it opens one after the other
BREATH = 0.05  # seconds that a look goes on before programs that have ended meanwhile are seen to
TORN = 3  # looks in a row that are begun anew because of those: the next one goes on to its end
INSIDE = 1  # seconds between looks at what changes inside of namespaces
FIREWALL = 1  # seconds until changes of the firewall are looked at, all together
SLOW = 45  # seconds between looks when nothing seems to happen
RETRY = 30  # seconds until another look when something could not be done

SIGHUP, SIGINT = 1, 2


class Agent:
    """`run` returns when the agent is told to end; services go on then, but for `stop`, which takes them down."""

    def __init__(self, confdir: str, log: "Log") -> None:
        self.loop = Loop(self.bug)
        self.instances: dict[str, Instance] = {}
        self.listeners: list[Callable[..., object]] = []  # called with (instance, state before) at every change
        self.confdir = confdir
        self._log = log
        self.reconciler: Reconciler = compat.LATER
        self._signals = -1
        self._events: Events = compat.LATER
        self._inside: Inside = compat.LATER
        self._slow_timer: Timer | None = None
        self._firewall_timer: Timer | None = None
        self._orphans = Paced(self.loop, self._withdraw_orphans)
        # A program that changes its network all the time is its own trouble, and a look is one at everybody's.
        self._look_inside = Paced(self.loop, lambda: self.look_soon("something changed in a namespace"), INSIDE)
        self._reserve = Reserve(8)  # for a look at processes and their sockets
        self._look_timer: Timer | None = None
        self._looked = 0.0  # seconds that the last look took
        self._retry_timer: Timer | None = None
        self._out: set[str] = set()  # services whose redirect went together with another's
        self._gone: set[str] = set()  # services whose redirect went while a look was underway
        self._torn = 0  # looks in a row that were begun anew because of that
        self._breath = 0.0  # when a look is to be left for a moment
        self._expected: set[str] = set()  # services of which the next look has something to change
        self._meddled: set[str] = set()  # services in whose namespaces something has changed since the last look
        self._again = False  # whether something of a service has to be tried again
        self._said: set[str] = set()
        self._said_datapath = ""
        self._table: tuple[int, dict] = (-1, {})
        self._pins = -1
        self._fresh: Snapshot = compat.LATER  # while nothing has changed since it was read
        self._accounts = counters.Accounts()
        self._tools: health.Tools = compat.LATER
        self._shedding = overload.Shedding(self.loop, self._shed)
        self._resets: Resets = compat.LATER
        self._bus: Bus | None = None
        self._on_bus: bool | None = None  # nothing was said yet

    def run(self, bus: "tuple[str, bool] | None" = None) -> None:
        """`bus` is a path to ubus and whether to serve it: (path, serve); None to go without. Raises lock.Busy."""
        self._take_signals()
        path, serve = bus or (None, False)
        held = lock.Lock(lock.AGENT)
        held.take(PATIENCE, self._told_to_end)
        try:
            self._bus = self._connect(path, serve) if path else None
            self._open(path if self._bus and not self._bus.serves else None)
            self.look("start")
            self._watch_load()
            self.say(NOTICE, "runs")
            self.loop.run()
        finally:
            self._close()
            held.release()

    def _take_signals(self) -> None:
        """First of all: one that comes from now on ends nothing half done."""
        self._signals = compat.signal_fd((compat.SIGTERM, SIGINT, SIGHUP))

    def _told_to_end(self, seconds: float) -> bool:
        """Waits a moment; whether somebody wants the agent to end meanwhile."""
        return compat.poll_fd(self._signals, int(seconds * 1000)) and compat.read_signal(self._signals) != SIGHUP

    def _connect(self, path: str, serve: bool) -> "Bus":
        from .ubus_object.methods import Bus  # `viscum up` does without ubus

        return Bus(self, path, serve)

    def _open(self, path: "str | None") -> None:
        """All that a look, a check and the withdrawal of a redirect need is open from here on."""
        self.reconciler = Reconciler(self.confdir, path, self._opened)
        self.reconciler.__enter__()
        self._events, self._inside = Events(), Inside()
        self._tools = health.Tools(netns.Visit())
        self._resets = Resets(self.loop, self._tools.has_clients, self.processes, self._is_redirected, self._not_reset)
        self.loop.add(self._signals, lambda _: self._signal(compat.read_signal(self._signals)))
        self.loop.add(self._events.fd, lambda _: self._kernel_events())
        for fd in self._inside.fds:
            self.loop.add(fd, lambda _, fd=fd: self._inside_events(fd))
        self._take_configuration()

    def _close(self) -> None:
        for part in (self._bus, self._events, self._inside, self._tools):
            if part:
                part.close()
        if self.reconciler:
            self.reconciler.__exit__(None, None, None)

    def say(self, severity: int, text: str, service: str = "") -> None:
        """`service` is whom it is about."""
        self._log.say(severity, text, service)

    def say_state(self, severity: int, text: str, service: str) -> None:
        """What a service has become."""
        self.say(severity, text, service)

    def bug(self, error: Exception) -> None:
        self.say(ERROR, "a bug, please report it: %r" % (error,))
        self._log.trace(error)

    def _signal(self, number: int) -> None:
        if number == SIGHUP:
            try:
                self.reload()
            except ConfigError:
                pass  # the log has it, and nobody waits for an answer
        elif number in (compat.SIGTERM, SIGINT):
            self.say(NOTICE, "ends; services go on until they are taken down, or the next agent finds them")
            self.loop.stop()

    def _kernel_events(self) -> None:
        causes = self._events.causes()
        for cause in causes:
            self.look_soon(cause.text)
        if any(cause.urgent for cause in causes):
            self._orphans.ask()
        if self._bus and any(cause.device for cause in causes):
            self._bus.ask_netifd()

    def _inside_events(self, fd: int) -> None:
        for name in self._inside.changed(fd):
            self._meddled.add(name)
            self._look_inside.ask()
        if self._inside.firewall:
            self._inside.firewall = False
            self._firewall_changed()

    def _firewall_changed(self) -> None:
        """Read a while after its last change: firewall4 loads all its rules anew, and half of them are no reason."""
        self.loop.cancel(self._firewall_timer)
        self._firewall_timer = self.loop.after(FIREWALL, self._read_firewall)

    def _read_firewall(self) -> None:
        self.reconciler.forget_firewall()
        self.look_soon("the firewall changed")

    def take_names(self, names: "dict[str, list[str]]") -> None:
        """Which devices netifd's interfaces are now."""
        self.reconciler.take_names(names)
        self.look_soon("netifd's interfaces")

    # Looking and doing

    def look_soon(self, cause: str) -> None:
        """Looks at the kernel in a moment, once for everything that happens until then. Where a look takes long, that
        moment is as long: half of the time is left for everything else."""
        if self._look_timer is None:
            self._look_timer = self.loop.after(max(DEBOUNCE, self._looked), lambda: self.look(cause))

    def look(self, cause: str) -> None:
        """Reads the kernel, plans, does what differs, and sees to the programs."""
        self.loop.cancel(self._look_timer)
        self._look_timer = None
        self._retry_later()  # also when something raises here
        self._again = False
        began = compat.monotonic()
        snapshot = self._read()
        if snapshot is None:
            self._looked = compat.monotonic() - began
            self.look_soon(cause)
            return
        wanted, keep = self._chosen(snapshot)
        self._fresh = snapshot
        try:
            self._withdraw_unwatched([name for name in snapshot.observed.services if name not in wanted])
            stopping = self._stop_unwanted(snapshot, wanted, keep)
        finally:
            self._fresh = compat.LATER
        for name in wanted:
            self.instances[name].planned(wanted[name])
        parts = [self._part(wanted[name], snapshot) for name in sorted(wanted) if name not in stopping]
        self._learn_places(snapshot.dump)
        snapshot = snapshot.without_dump()
        result = Applier(self.reconciler.backend, PACKAGE, self._breathe, self._gone).run(
            Plan(parts, [], []), snapshot.observed, keep + stopping
        )
        self._say_repaired(result.done)
        self._complain(snapshot.problems() + result.problems)
        self._say_datapath(parts)
        if result.done:
            self._learn_places(self.reconciler.backend.dump_redirects())
        self._see_to_programs(snapshot, wanted, stopping, result)
        if not result.problems and not self._again:
            self.loop.cancel(self._retry_timer)
        self._forget_instances(snapshot)
        self._looked_at(snapshot, wanted, result)
        self._look_later()
        self._watch_pins()
        self._looked = compat.monotonic() - began

    def _read(self) -> "Snapshot | None":
        """A Snapshot; None where the kernel is to be read again, because that is no picture of one moment."""
        self._breath = 0
        self._breathe()
        self._gone.clear()
        breathe = self._breathe if self._torn < TORN else None
        try:
            snapshot = self.reconciler.look(breathe=breathe, torn=lambda: self._gone)
        except Interrupted:
            return None
        self._torn = 0 if snapshot else self._torn + 1
        return snapshot

    def _breathe(self) -> None:
        """What can't wait for the end of a look: programs that have ended."""
        if compat.monotonic() < self._breath:
            return
        self._breath = float("inf")  # one step at a time
        self._out.clear()
        for instance in self._ended_now():
            self._each(instance, lambda instance: instance.exited())
        self._breath = compat.monotonic() + BREATH

    def _chosen(self, snapshot: "Snapshot") -> "tuple[dict[str, ServicePlan], list[str]]":
        """(the planned parts by service of those that nobody holds back, names of those that stay as they are)"""
        return self._wanted(snapshot), [name for name in snapshot.keep() if not self.instance(name).held]

    def _looked_at(self, snapshot: "Snapshot", wanted: "dict[str, ServicePlan]", result: "Result") -> None:
        """For who waits for something to be done."""

    def _learn_places(self, dump: "Dump") -> None:
        self._inside.follow(dump, self._accounts.learn(dump))

    def _look_later(self) -> None:
        """While programs run: what no event tells of (a link that was detached, an entry that was deleted from a map)
        is seen at the latest then."""
        self.loop.cancel(self._slow_timer)
        watched = any(self.instances[name].pid for name in self.instances)
        self._slow_timer = self.loop.after(SLOW, lambda: self.look("a look now and then")) if watched else None

    def _watch_pins(self) -> None:
        """Where something is pinned (eBPF), nothing but its folder tells that somebody took it away."""
        if self._pins < 0:
            self._pins = bpf_pins.watch()
        if self._pins >= 0:
            self.loop.add(self._pins, lambda _: self._pin_went())

    def _pin_went(self) -> None:
        """What it was is seen at the look; the next one has another folder perhaps."""
        self.loop.remove(self._pins)
        compat.fd_close(self._pins)
        self._pins = -1
        self.look_soon("a pinned program went")

    def _retry_later(self) -> None:
        self.loop.cancel(self._retry_timer)
        self._retry_timer = self.loop.after(RETRY, lambda: self.look_soon("another try"))

    def _forget_instances(self, snapshot: "Snapshot") -> None:
        """Services that are in no configuration any more, and nowhere else."""
        there = {service.name for service in snapshot.configuration.services}
        there.update(snapshot.observed.services)
        there.update(snapshot.keep())
        for name in [name for name in self.instances if name not in there and self.instances[name].state in OFF]:
            del self.instances[name]
            self._accounts.forget(name)

    def _take_configuration(self) -> None:
        for service in self.reconciler.configuration.services:
            self.instance(service.name).configure(service)

    def _wanted(self, snapshot: "Snapshot") -> "dict[str, ServicePlan]":
        """The planned parts by service, of those that nobody holds back."""
        wanted = {}
        for part in snapshot.plan.services:
            instance = self.instance(part.service.name)
            if not instance.held:
                wanted[instance.name] = part
        return wanted

    def instance(self, name: str) -> "Instance":
        if name not in self.instances:
            self.instances[name] = Instance(name, self)
            self.instances[name].shed(self._shedding.reason)
        return self.instances[name]

    def _part(self, part: "ServicePlan", snapshot: "Snapshot") -> "ServicePlan":
        """The part with its redirect only while the service is healthy."""
        instance = self.instances[part.service.name]
        if instance.redirected or self._goes_on(instance, snapshot):
            return part
        items = [item for item in part.items if not kind_of(item).redirect]
        # What services share stays: a qdisc that comes or goes costs the device packets (qdisc_graft in
        # net/sched/sch_api.c deactivates it for a moment), and that of everybody on it.
        return with_(part, items=items)

    def as_it_stands(self, snapshot: "Snapshot") -> "Snapshot":
        """A Snapshot whose plan has nothing that is withheld on purpose: who was stopped, and the redirects of programs
        that can't answer."""
        parts = []
        for part in snapshot.plan.services:
            instance = self.instances.get(part.service.name)
            if instance is None or not instance.withheld:
                parts.append(part)
            elif not instance.held:
                parts.append(self._part(part, snapshot))
        return snapshot.with_services(parts)

    def _goes_on(self, instance: "Instance", snapshot: "Snapshot") -> bool:
        """Whether a program runs that this agent has not met yet: with its redirect, until a check says otherwise."""
        return instance.state in OFF and snapshot.is_redirected(instance.name) and self.runs(instance.name)

    def runs(self, name: str) -> bool:
        """Whether any process of a service runs."""
        return bool(process.pids(name, self.processes()))

    def output(self, name: str) -> int:
        """A descriptor that gets what the programs in a service's namespace print. Raises OSError."""
        return self._tools.output(name)

    def said_by(self, name: str) -> "Callable[[str], None]":
        """A function that says what a service's program prints."""
        return lambda text: self._log.program(name, text)

    def _stop_unwanted(self, snapshot: "Snapshot", wanted: "dict[str, ServicePlan]", keep: "list[str]") -> "list[str]":
        """Programs end before their namespaces go: returns the names of services that are on their way out, or between
        two programs."""
        active = {name for name in self.instances if self.instances[name].state not in OFF}
        for name in sorted(active | set(snapshot.observed.services)):
            if name not in wanted and name not in keep and self.instance(name).state != STOPPING:
                self._each(self.instance(name), self._stop)
        for name in self.instances:
            if self.instances[name].state in OFF and name not in wanted and name not in keep:
                self.instances[name].disable()  # stopped by hand, or not wanted: it may be the other one now
        for name in sorted(wanted):
            if self.instances[name].pid and self.instances[name].state != STOPPING:
                self._each(
                    self.instances[name],
                    lambda instance: self._restart_if_other(instance, wanted[instance.name].service),
                )
        return [name for name in self.instances if self.instances[name].state == STOPPING]

    def _stop(self, instance: "Instance") -> None:
        if instance.pid or self.runs(instance.name):
            instance.stop(lambda: self.look_soon("a service ended"), instance.reason)
        else:
            instance.disable()

    def _restart_if_other(self, instance: "Instance", service: "Service") -> None:
        if process.is_stale(service, instance.pid):
            instance.restart("its settings changed")
        elif process.is_astray(instance.name, instance.pid):
            instance.astray()

    def _each(self, instance: "Instance", step: "Callable[[Instance], object]") -> None:
        """A step for one service. Whatever a service or its program does, the look goes on for the others."""
        self._breathe()
        try:
            step(instance)
        except OSError as error:  # no process or no descriptor to be had now, a process that has gone
            self.say(ERROR, "%s; it is tried again in %d s" % (compat.strerror(error.errno), RETRY), instance.name)
            self._again = True
        except Exception as error:
            self.bug(error)
            self._again = True

    def _withdraw_unwatched(self, names: "list[str]") -> None:
        """Services that stay as they are, or are to go: a redirect is in only while its program is watched."""
        for name in names:
            instance = self.instance(name)
            if not instance.redirected and self._fresh.is_redirected(name):
                self._remove(lambda observed, name=name: redirects_of(observed.of(name)))
                self.end_connections(name)
                self.say(WARNING, "its redirect is out: nobody watches its program", name)

    def _see_to_programs(
        self, snapshot: "Snapshot", wanted: "dict[str, ServicePlan]", stopping: "list[str]", result: "Result"
    ) -> None:
        broken = {problem.service: problem.message for problem in snapshot.problems() + result.problems}
        for name in sorted(self.instances):
            instance = self.instances[name]
            if name in stopping or instance.held:
                continue
            goes_on = instance.state not in OFF and name in self._kept(snapshot)
            if name in broken and instance.state not in (BACKOFF, FAILED) and not goes_on:
                instance.wait(broken[name])
            if name not in wanted or name in broken:
                continue
            self._each(instance, lambda instance: instance.ensure(snapshot.is_redirected(instance.name)))

    def _say_repaired(self, names: "list[str]") -> None:
        """What somebody else has changed. Of what this agent has changed itself its states tell."""
        for name in names:
            instance = self.instances.get(name)
            if instance and instance.state == HEALTHY and name not in self._expected:
                self.say(NOTICE, "put back what somebody had taken away or changed", name)
                if name in self._meddled:
                    instance.repaired()
        self._expected, self._meddled = set(), set()

    def _kept(self, snapshot: "Snapshot") -> "list[str]":
        """Services that go on as they are, because their new configuration has a mistake."""
        return [name for name in snapshot.configuration.bad if name in snapshot.observed.services]

    def _say_datapath(self, parts: "list[ServicePlan]") -> None:
        """Once for each reason, why the best datapath is not the one that `auto` took."""
        best = datapath.ALL[0]
        others = sorted({part.datapath for part in parts if part.datapath != best.NAME})
        missing = best.missing(self.reconciler.features)
        if others and missing and missing != self._said_datapath:
            self._said_datapath = missing
            text = "datapath '%s' instead of '%s', for which this router lacks %s"
            self.say(NOTICE, text % ("', '".join(others), best.NAME, missing))

    def _complain(self, problems: "list[Problem]") -> None:
        """Says each problem once, and again only after it was gone."""
        now = {problem_text(problem) for problem in problems}
        for text in sorted(now - self._said):
            self.say(WARNING, text)
        self._said = now

    def withdraw(self, instance: "Instance") -> None:
        """Takes a service's redirect out now: no plan, no look into namespaces, only what takes packets. Those of
        programs that have ended at the same moment go with it, so hundreds keep each other's clients no longer."""
        self.look_soon("%s is out" % instance.name)
        if instance.name in self._out:
            self._out.remove(instance.name)
            return
        others = [each.name for each in self._ended_now() if each is not instance]
        self._out.update(others)
        self._gone.update([instance.name] + others)
        self._remove(
            lambda observed: [found for name in [instance.name] + others for found in self._counted_out(observed, name)]
        )

    def _ended_now(self) -> "list[Instance]":
        """Instances whose program has ended, which they have not been told of yet."""
        ready = self.loop.ready()
        return [instance for instance in self.instances.values() if instance.redirected and instance.ends_by(ready)]

    def _counted_out(self, observed: "Observed", name: str) -> "list[Found]":
        """A service's redirect, which is to go with what it has counted."""
        self._accounts.out(name, observed.counters.get(name))
        return redirects_of(observed.of(name))

    # Checks

    def check(self, instance: "Instance", turn: int, done: "Callable[[Outcome], object]") -> "Check":
        """Begins a health.Check of a program."""
        index = self._accounts.index_of(instance.name)
        return health.Check(self.loop, self._tools, instance.part, index, turn, done)

    def connections(self, name: str) -> int:
        """How many TCP connections clients have to a service's program."""
        try:
            return self._tools.connections(name)
        except OSError:
            return 0  # its namespace is gone

    def _opened(self) -> "dict[str, Open]":
        """What the checks know of the services' sockets (answers.Open)."""
        found = {name: self.instances[name].opened for name in self.instances}
        return {name: opened for name, opened in found.items() if opened is not None}

    def end_connections(self, name: str, patiently: bool = True) -> None:
        """Resets the clients of a service whose redirect is out."""
        self._resets.end(name, patiently)

    def when_connections_ended(self, name: str, step: "Callable[[], None]") -> None:
        """Does a step at once, or when the clients of a service have been reset."""
        self._resets.when_ended(name, step)

    def _is_redirected(self, name: str) -> bool:
        return name not in self.instances or self.instances[name].redirected

    def _not_reset(self, name: str, reason: str) -> None:
        self.say(WARNING, "its clients can't be reset: %s" % reason, name)

    def _withdraw_orphans(self) -> None:
        """Takes out what leads nowhere any more, because somebody deleted the pair."""
        self._remove(lambda observed: observed.orphans)

    def _remove(self, find: "Callable[..., list[Found]]") -> None:
        """Removes what `find` gives of an Observed."""
        backend = self.reconciler.backend
        try:
            observed = self._fresh.observed if self._fresh else observe(backend.dump_redirects())
            backend.apply(removal(find(observed)))
        except (ViscumError, OSError) as error:
            self.say(ERROR, "a redirect can't be taken out: %s" % error)

    def processes(self) -> "dict[tuple, list[int]]":
        """process.processes() as of this turn of the loop: reading /proc for each of many services takes long."""
        if self._table[0] != self.loop.turn:
            with self._reserve:
                self._table = (self.loop.turn, process.processes())
        return self._table[1]

    def eager(self) -> float:
        """Seconds between checks of a program that is starting: ten of them are asked as often as one alone."""
        starting = len([name for name in self.instances if self.instances[name].state == STARTING])
        return EAGER * max(1, starting / 10)

    def settle(self) -> float:
        """Seconds until a program is looked at again that may not have opened all, or something for a moment only."""
        return SETTLE

    def expects(self, instance: "Instance") -> None:
        """What a service answers has changed, so its redirect has to."""
        self._expected.add(instance.name)
        self.look_soon("what %s answers has changed" % instance.name)

    def changed(self, instance: "Instance", before: str) -> None:
        self._expected.add(instance.name)
        for listener in self.listeners:
            listener(instance, before)

    # What people ask for

    def traffic(self) -> "dict[str, Traffic]":
        """What the services' redirects have carried and what their programs have sent (counters.Traffic), also of those
        that are out now."""
        return self._accounts.read(self.reconciler.backend, self.instances)

    def lines(self, name: str) -> "list[dict[str, Any]]":
        """The last log lines about a service, with what its program printed; or all of the agent (Log.lines)."""
        lines = self._log.lines(name)
        if name in self.instances:
            lines += [line(INFO, "viscum-%s: %s" % (name, text), when) for when, text in self.instances[name].said]
            # MicroPython's sort does not keep the order of what is equal, as lines of the same second are.
            order = sorted([(each["time"], place) for place, each in enumerate(lines)])
            lines = [lines[place] for _, place in order]
        return lines

    def snapshot(self, configuration: "Configuration | None" = None) -> "Snapshot":
        """A Snapshot of now; nothing is done (Reconciler.look)."""
        return self.reconciler.look(configuration)

    def bus_state(self, connected: bool, reason: str) -> None:
        if connected != self._on_bus:
            self.say(NOTICE, "is on ubus" if connected else "is not on ubus: %s" % reason)
        self._on_bus = connected

    def reload(self) -> None:
        """Reads the configuration anew. Raises ConfigError, and goes on with the old one, when it can't be taken."""
        try:
            self.reconciler.reload()
        except ConfigError as error:
            self.say(ERROR, "the configuration is not taken: %s" % error)
            raise
        for instance in self.instances.values():
            instance.retry()
        self._expected = set(self.instances)
        self._take_configuration()
        self.look("reload")
        self._watch_load()

    def _watch_load(self) -> None:
        self._shedding.watch(self.reconciler.configuration.settings.bypass_load)

    def _shed(self, reason: str) -> None:
        """Keeps all redirects out because of the load, or, without a reason, no longer."""
        for instance in self.instances.values():
            instance.shed(reason)
