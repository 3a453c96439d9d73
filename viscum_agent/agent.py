"""The agent: one process that keeps the kernel as configured, and owns no state.

Everything that happens (a kernel event, a program that ends, a check, a reload, a call) leads to one thing: a look
(look.py) reads the kernel, plans, and applies the difference. Only taking a redirect out can't wait for that
(withdrawal.py). This file connects the parts: the loop, signals, events, and what instances and ubus ask for.
"""

from . import compat, lock, optional
from .deadline import Deadline
from .errors import ConfigError, UnsupportedError
from .flows import Flows
from .kernel import bpf_pins, counters, netns
from .kernel.monitor import Events
from .kernel.ns_monitor import Inside
from .log import ERROR, NOTICE, WARNING
from .look import Looks
from .loop import Loop, Paced
from .paths import ON_TRIAL
from .plan import groups, hosts
from .reconcile import Reconciler
from .reserve import Reserve
from .service import health, overload, running
from .service.instance import EAGER, Instance
from .service.resets import Resets
from .service.states import STARTING
from .withdrawal import Withdrawal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from .config.service import Configuration, Service
    from .kernel.counters import Traffic
    from .kernel.listening import Flow
    from .log import Log
    from .loop import Timer
    from .names.ask import Asker
    from .plan.answers import Open
    from .reconcile import Snapshot
    from .records.dump import Dump
    from .service.health import Check, Outcome
    from .ubus_object.methods import Bus
    from .worth import Worths

PATIENCE = 30  # seconds that a starting agent waits for a `viscum up` or `down` that still runs
SETTLE = 1  # seconds until the next look at a program's sockets: it opens one after the other
AGAIN = 1  # seconds until a reload is tried again for which no descriptor was left
INSIDE = 1  # seconds between looks at what changes inside namespaces
HOPS = 2  # seconds until it is asked whether next hops have other MAC addresses
FIREWALL = 1  # seconds until changes of the firewall are read, all together
FIREWALL_MOST = 5  # seconds after the first of them; somebody's set may change all the time

SIGHUP, SIGINT = 1, 2


class Agent:
    """`run` returns when the agent is told to end; services keep running then, and only `service viscum stop` takes
    them down."""

    keeps_flows = True  # open connections stay with the side that has them

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
        self._firewall_timer: Timer | None = None
        self._firewall_by = 0.0  # when its changes are read at the latest
        self._reload_again: Timer | None = None
        self._trial: Timer | None = None  # when the configuration that is on trial has to be confirmed
        self.withdrawal = Withdrawal(self)
        self.deadline = Deadline(self)
        self.flows = Flows(self)
        self.looks = self.make_looks()
        self._orphans = Paced(self.loop, self.withdrawal.orphans)
        # A program that changes its network all the time affects only itself, but a look covers all services.
        self._look_inside = Paced(self.loop, lambda: self.looks.soon("something changed in a namespace"), INSIDE)
        self._hops_timer: Timer | None = None
        self._reserve = Reserve(8)  # for a look at processes and their sockets
        self._table: tuple[int, dict] = (-1, {})
        self._pins = -1
        self.accounts = counters.Accounts()
        self._tools: health.Tools = compat.LATER
        self._shedding = overload.Shedding(self.loop, self._shed)
        self._resets: Resets = compat.LATER
        self._asker: Asker | None = None  # of names, where there are any
        self.worths: Worths | None = None  # what the services are worth, where that package is and somebody may ask
        self._bus: Bus | None = None
        self._on_bus: bool | None = None  # nothing was logged yet
        self.trouble = ""  # the last error since the last look that ran to its end

    def run(self, bus: "tuple[str, bool] | None" = None) -> None:
        """`bus` is a path to ubus and whether to serve it: (path, serve); None for no ubus. Raises lock.Busy."""
        self._take_signals()
        path, serve = bus or (None, False)
        held = lock.Lock(lock.AGENT)
        held.take(PATIENCE, self._told_to_end)
        try:
            self._bus = self._connect(path, serve) if path else None
            self._open(path if self._bus and not self._bus.serves else None)
            self.looks.now("start")
            self._watch_load()
            self.say(NOTICE, "runs")
            self.loop.run()
            self.deadline.vouch(self.vouches())  # the next agent has as long as this one had
        finally:
            self._close()
            held.release()

    def _take_signals(self) -> None:
        """First of all: from now on a signal ends nothing halfway."""
        self._signals = compat.signal_fd((compat.SIGTERM, SIGINT, SIGHUP))

    def _told_to_end(self, seconds: float) -> bool:
        """Waits a moment; returns whether the agent was told to end meanwhile."""
        return compat.poll_fd(self._signals, int(seconds * 1000)) and compat.read_signal(self._signals) != SIGHUP

    def _connect(self, path: str, serve: bool) -> "Bus":
        from .ubus_object.methods import Bus  # `viscum up` needs no ubus

        return Bus(self, path, serve)

    def _open(self, path: "str | None") -> None:
        """Opens all that a look, a check and the withdrawal of a redirect need."""
        self._judge_trial()
        self.reconciler = Reconciler(
            self.confdir, path, self._opened, names=self.names, follow=(self.loop, self._names_changed)
        )
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
        for part in (self._asker, self._bus, self._events, self._inside, self._tools):
            if part:
                part.close()
        if self.reconciler:
            self.reconciler.__exit__(None, None, None)

    def say(self, severity: int, text: str, service: str = "") -> None:
        """`service` is the one that it is about."""
        self._log.say(severity, text, service)

    def say_state(self, severity: int, text: str, service: str) -> None:
        """Logs the new state of a service."""
        self.say(severity, text, service)

    def bug(self, error: Exception) -> None:
        """What stops a look is said once: it is tried again each second."""
        if repr(error) == self.trouble:
            return
        self.trouble = repr(error)
        if isinstance(error, OSError) and error.errno in compat.SPENT:
            self.say(ERROR, "has to wait until something is closed: " + compat.strerror(error.errno))
            return
        self.say(ERROR, "a bug, please report it: %r" % (error,))
        self._log.trace(error)

    def _signal(self, number: int) -> None:
        if number == SIGHUP:
            self._try_reload()
        elif number in (compat.SIGTERM, SIGINT):
            self.say(NOTICE, "ends; services keep running: `viscum down` takes them down, the next agent adopts them")
            self.loop.stop()

    def _kernel_events(self) -> None:
        causes = self._events.causes()
        for cause in causes:
            self.looks.soon(cause.text)
        if any(cause.urgent for cause in causes):
            self._orphans.ask()
        if self._bus and any(cause.device for cause in causes):
            self._bus.ask_netifd()

    def _inside_events(self, fd: int) -> None:
        for name in self._inside.changed(fd):
            self.looks.meddled.add(name)
            self._look_inside.ask()
        if self._inside.firewall:
            self._inside.firewall = False
            self._firewall_changed()

    def _firewall_changed(self) -> None:
        """Reads it a while after the last change: firewall4 reloads all its rules, and half a ruleset means nothing."""
        now = compat.monotonic()
        if self._firewall_timer is None:
            self._firewall_by = now + FIREWALL_MOST
        self.loop.cancel(self._firewall_timer)
        self._firewall_timer = self.loop.after(min(FIREWALL, max(0, self._firewall_by - now)), self._read_firewall)

    def _read_firewall(self) -> None:
        self._firewall_timer = None
        self.reconciler.forget_firewall()
        self.looks.soon("the firewall changed")

    def take_names(self, names: "dict[str, list[str]]") -> None:
        """Takes which devices netifd's interfaces are now."""
        self.reconciler.take_names(names)
        self.looks.soon("netifd's interfaces")

    def make_looks(self) -> "Looks":
        return Looks(self)

    def look_soon(self, cause: str) -> None:
        self.looks.soon(cause)

    def withdraw(self, instance: "Instance", answers: bool) -> bool:
        """Takes a service's redirect out now; a look does the rest. `answers` is whether its program can go on with its
        connections; returns whether they go on."""
        self.looks.soon("%s is out" % instance.name)
        held = answers and self.keeps_flows and self.flows.goes(instance.name)
        self.withdrawal.of(instance)
        if held:
            self.flows.drain(instance.name)
        return held

    def learn_places(self, dump: "Dump") -> None:
        self._inside.follow(dump, self.accounts.learn(dump))

    def follow_hops(self) -> None:
        """From now on what becomes known of next hops, and was not at this look, is a cause for another one."""
        self.loop.cancel(self._hops_timer)
        known = self.reconciler.macs
        self._hops_timer = self.loop.after(HOPS, lambda: self._ask_hops(known)) if known else None

    def _ask_hops(self, known: "dict[tuple[int, bytes], str | None]") -> None:
        self._hops_timer = self.loop.after(HOPS, lambda: self._ask_hops(known))
        if self.reconciler.hops.macs(known) != known:
            self.looks.soon("a next hop has changed")

    def vouches(self) -> int:
        """Seconds that a redirect holds without a sign of this agent's life, 0 for good."""
        return self.reconciler.configuration.settings.watch_timeout

    def watch_pins(self) -> None:
        """Watches the folder of what is pinned (eBPF): nothing else tells that somebody removed it."""
        if self._pins < 0:
            self._pins = bpf_pins.watch()
        if self._pins >= 0:
            self.loop.add(self._pins, lambda _: self._pin_went())

    def _pin_went(self) -> None:
        """The look finds out what it was; the next watch may be on another folder."""
        self.loop.remove(self._pins)
        compat.fd_close(self._pins)
        self._pins = -1
        self.looks.soon("a pinned program went")

    def _take_configuration(self) -> None:
        for service in self.reconciler.configuration.services:
            self.instance(service.name).configure(service)
        self.follow_names()
        if self._bus:
            self._bus.follow()
            if not self.worths:
                self._load_worths()

    def _load_worths(self) -> None:
        try:
            self.worths = optional.load("worth").Worths(self)
        except UnsupportedError as error:
            for service in self.reconciler.configuration.services:
                if service.compare:
                    self.say(WARNING, "compare: %s" % error, service.name)

    def follow_names(self) -> None:
        """Asks for the names that are configured now."""
        wanted = hosts.wanted(self.reconciler.all_services(), self.reconciler.configuration.settings)
        if wanted and not self._asker:
            try:
                ask = optional.load("names.ask")
            except UnsupportedError:
                return  # the plan says so
            self._asker = ask.Asker(self.loop, self._names_changed, self.loop.turn == 0)
        if self._asker:
            self._asker.follow(wanted, self.reconciler.all_services() if wanted else ())

    def _names_changed(self) -> None:
        """Other addresses and leases are other redirects: that is nobody's doing."""
        services = self.reconciler.all_services()
        self.looks.expected.update([each.name for each in services if each.named or groups.wanted((each,))])
        self.looks.soon("what names mean has changed")

    def names(self, services: "list[Service]", *there: "Any") -> "tuple[Any, dict]":
        """What is known of the names of these services (Reconciler)."""
        if not self._asker:
            self.follow_names()  # the package for them may have come
        return self._asker.look(services, *there) if self._asker else ({}, {})

    def instance(self, name: str) -> "Instance":
        if name not in self.instances:
            self.instances[name] = Instance(name, self)
            self.instances[name].shed(self._shedding.reason)
        return self.instances[name]

    def runs(self, name: str) -> bool:
        """Whether any process of a service runs."""
        return bool(running.pids(name, self.processes()))

    def has_program(self, name: str) -> bool:
        """Whether a service's program runs: not only a command of `viscum exec`."""
        return bool(running.programs(name, self.processes()))

    def output(self, name: str) -> int:
        """A descriptor that receives what the programs in a service's namespace print. Raises OSError."""
        return self._tools.output(name)

    def keep(self, name: str, text: str) -> None:
        """Keeps a line that a service's program printed, for `lines`."""
        self._log.keep(name, text)

    def printed(self, name: str, since: int = 0) -> "list[str]":
        """The last of these lines, after the one with that number."""
        return self._log.printed(name, since)

    def serial(self) -> int:
        """The number of the last line that was kept."""
        return self._log.serial

    def to_log(self, name: str) -> "Callable[[str], bool]":
        """A function that passes such lines on to the system log (Log.pass_on)."""
        return lambda text: self._log.pass_on(name, text)

    # Checks

    def check(self, instance: "Instance", turn: int, done: "Callable[[Outcome], object]") -> "Check":
        """Begins a health.Check of a program."""
        index = self.accounts.index_of(instance.name)
        return health.Check(self.loop, self._tools, instance.part, index, turn, done)

    def connections(self, name: str) -> int:
        """How many TCP connections clients have to a service's program."""
        try:
            return self._tools.connections(name)
        except OSError:
            return 0  # its namespace is gone

    def inside(self, name: str, step: "Callable[[], Any]") -> "Any":
        """What a step returns in a service's namespace. Raises OSError."""
        return self._tools.inside(name, step)

    def own_traffic(self, instance: "Instance") -> int:
        """Connections and datagrams in a service's namespace that are the agent's own, and no client's."""
        return self._tools.talked.get(instance.name, 0) + instance.datagrams

    def _opened(self) -> "dict[str, Open]":
        """What the checks know of the services' sockets (answers.Open)."""
        found = {name: self.instances[name].opened for name in self.instances}
        return {name: opened for name, opened in found.items() if opened is not None}

    def end_connections(self, name: str, patiently: bool = True) -> None:
        """Resets the clients of a service whose redirect is out."""
        self._resets.end(name, patiently)

    def when_connections_ended(self, name: str, step: "Callable[[], None]") -> None:
        """Does a step at once, or when the clients of a service have ended their connections or have been reset."""
        self.flows.when_drained(name, lambda: self._resets.when_ended(name, step))

    def end_drain(self, name: str) -> None:
        """The connections of a service go on no longer without a redirect."""
        self.flows.end(name)

    def resume_flows(self, name: str) -> None:
        """The redirect of a service comes back: its connections go on."""
        self.flows.resume(name)

    def calm_in(self) -> float:
        """Seconds until a service that starts may get its redirect."""
        return self.flows.calm_in()

    def open_flows(self, name: str, own: "Sequence[bytes]", unfinished: bool) -> "list[Flow]":
        """The TCP connections that clients have to a service (listening.flows). Raises OSError."""
        return self._tools.flows(name, own, unfinished)

    def _is_redirected(self, name: str) -> bool:
        return name not in self.instances or self.instances[name].redirected

    def _not_reset(self, name: str, reason: str) -> None:
        self.say(WARNING, "its clients' connections can't be reset: %s" % reason, name)

    def processes(self) -> "dict[tuple, list[int]]":
        """running.processes(), once for each turn of the loop: reading /proc for each of many services takes long."""
        if self._table[0] != self.loop.turn:
            with self._reserve:
                self._table = (self.loop.turn, running.processes())
        return self._table[1]

    def eager(self) -> float:
        """Seconds between checks of a starting program: up to ten are checked as often as one alone, more of them less
        often."""
        starting = len([name for name in self.instances if self.instances[name].state == STARTING])
        return EAGER * max(1, starting / 10)

    def settle(self) -> float:
        """Seconds until the next look at a program that may not have opened everything yet, or something only for a
        moment."""
        return SETTLE

    def expects(self, instance: "Instance") -> None:
        """What a service answers has changed, so its redirect has to change."""
        self.looks.expected.add(instance.name)
        self.looks.soon("what %s answers has changed" % instance.name)

    def changed(self, instance: "Instance", before: str) -> None:
        self.looks.expected.add(instance.name)
        for listener in self.listeners:
            listener(instance, before)

    # What people ask for

    def traffic(self, whole: bool) -> "dict[str, Traffic]":
        """What the services' redirects have carried and what their programs have sent (counters.Traffic), including
        redirects that are out now; if `whole`, with what `reply` 'direct' counts."""
        return self.accounts.read(self.reconciler.backend, self.instances, whole)

    def lines(self, name: str, since: int = 0) -> "dict[str, Any]":
        """The answer to `logs` (Log.lines); its `serial` is the next `since`."""
        return {"lines": self._log.lines(name, since), "serial": self._log.serial}

    def snapshot(self, configuration: "Configuration | None" = None) -> "Snapshot":
        """A Snapshot of now; changes nothing (Reconciler.look)."""
        return self.reconciler.look(configuration)

    def bus_state(self, connected: bool, reason: str) -> None:
        if connected != self._on_bus:
            self.say(NOTICE, "is on ubus" if connected else "is not on ubus: %s" % reason)
        self._on_bus = connected

    def _judge_trial(self) -> None:
        """Before the configuration is read: if nobody confirmed it in time, it has to be the one before (trial.py)."""
        self.loop.cancel(self._trial)
        self._trial = None
        if not compat.exists(self.confdir + ON_TRIAL):
            return
        from . import trial  # hardly ever

        left, said = trial.judge(self.confdir)
        self.say(WARNING, said)
        if left:
            self._trial = self.loop.after(left, self._trial_ends)

    def _trial_ends(self) -> None:
        if compat.exists(self.confdir + ON_TRIAL):
            self._try_reload()

    def trial_left(self) -> "int | None":
        """Seconds that the configuration is on trial, None if it is not."""
        if self._trial is None or not compat.exists(self.confdir + ON_TRIAL):
            return None
        return int(self._trial[0] - compat.monotonic())

    def reload(self) -> None:
        """Reloads the configuration. If that is not possible, keeps the old one and raises ConfigError. Raises OSError
        if no descriptor is left: then it is tried again."""
        self.loop.cancel(self._reload_again)
        self._judge_trial()
        try:
            self.reconciler.reload()
        except ConfigError as error:
            self.say(ERROR, "the configuration is rejected: %s" % error)
            raise
        except OSError:
            self._reload_again = self.loop.after(AGAIN, self._try_reload)
            raise
        for instance in self.instances.values():
            instance.retry()
        self.looks.expected = set(self.instances)
        self._take_configuration()
        self._watch_load()
        self.looks.now("reload")

    def _try_reload(self) -> None:
        try:
            self.reload()
        except ConfigError:
            pass  # the log has it, and nobody waits for an answer

    def _watch_load(self) -> None:
        self._shedding.watch(self.reconciler.configuration.settings.bypass_load)

    def _shed(self, reason: str) -> None:
        """Keeps all redirects out because of the load, or, without a reason, no longer."""
        for instance in self.instances.values():
            try:
                instance.shed(reason)
            except Exception as error:  # the others' clients don't wait for that one
                self.bug(error)
