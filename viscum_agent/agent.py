"""The agent: one process that keeps the kernel as the configuration says, and owns no state.

Everything that happens (an event of the kernel, a program that ends, a check, a reload, a call) leads to one thing: the
kernel is read, the plan is made, and what differs is done. What may not wait for that is taking a redirect out, which
is done at once.
"""

from . import compat, lock, overload, process, sockets, traffic
from .api import Bus
from .apply import Applier
from .diff import kind, redirects_of, removal
from .errors import ConfigError, ViscumError, problem_text
from .events import Events
from .kernel import pinned
from .kernel.netlink import Interrupted
from .log import ERROR, INFO, NOTICE, WARNING
from .loop import Loop, Paced
from .objects import REDIRECTS
from .observe import observe
from .plan import Plan, ServicePlan
from .reserve import Reserve
from .state import PACKAGE, State
from .unit import BACKOFF, BYPASSED, DISABLED, FAILED, STOPPING, Unit

DEBOUNCE = 0.05  # seconds: what comes together is looked at together
PATIENCE = 0.5  # seconds in which a program that works accepts somebody
RETRY = 30  # seconds until another look when something could not be done

WITHHELD = (BYPASSED, BACKOFF, FAILED)  # states in which a program has no redirect, whatever was planned

SIGHUP, SIGINT = 1, 2


class Agent:
    """`run` returns when the agent is told to end; services go on then, but for `stop`, which takes them down."""

    def __init__(self, confdir, log):
        self.loop = Loop(self._bug)
        self.units = {}
        self.listeners = []  # called with (unit, state before) at every change
        self.confdir = confdir
        self._log = log
        self._state = None
        self._events = Events()
        self._orphans = Paced(self.loop, self._withdraw_orphans)
        self._reserve = Reserve(8)  # for a look at processes and their sockets
        self._look_timer = None
        self._looked = 0.0  # seconds that the last look took
        self._retry_timer = None
        self._load_timer = None
        self._endings = {}  # timers of end_connections, by service
        self._said = set()
        self._said_datapath = False
        self._table = (-1, {})
        self._pins = -1
        self._known = None  # an Observed, while nothing has changed since it was read
        self._places = traffic.Places([], {}, {})
        self._load = overload.Load()
        self._overload = overload.Overload()
        self._bus = None
        self._on_bus = None  # nothing was said yet

    def run(self, bus=None):
        """`bus` is a path to ubus and whether to serve it: (path, serve); None to go without."""
        signals = compat.signal_fd((compat.SIGTERM, SIGINT, SIGHUP))  # first: one that comes now ends nothing
        path, serve = bus or (None, False)
        self._bus = Bus(self, path, serve) if path else None
        self._state = State(self.confdir, path if self._bus and not self._bus.serves else None)
        self._state.__enter__()
        self.loop.add(signals, lambda _: self._signal(compat.read_signal(signals)))
        self.loop.add(self._events.fd, lambda _: self._kernel_events())
        self._take_configuration()
        self._first_look()
        self._watch_load()
        self.say(NOTICE, "runs")
        try:
            self.loop.run()
        finally:
            if self._bus:
                self._bus.close()
            self._events.close()
            self._state.__exit__(None, None, None)

    def _first_look(self):
        """After a `viscum down` that still runs has ended. Another one judges the programs that this one has found."""
        held = lock.take()
        try:
            self.look("start")
        finally:
            compat.fd_close(held)
        self.look_soon("start")

    def say(self, severity, text):
        self._log.say(severity, text)

    def _bug(self, error):
        self.say(ERROR, "a bug, please report it: %r" % (error,))
        self._log.trace(error)

    def _signal(self, number):
        if number == SIGHUP:
            try:
                self.reload()
            except ConfigError:
                pass  # the log has it, and nobody waits for an answer
        elif number in (compat.SIGTERM, SIGINT):
            self.say(NOTICE, "ends; services go on without a watch")
            self.loop.stop()

    def _kernel_events(self):
        causes = self._events.causes()
        for cause in causes:
            self.look_soon(cause.text)
        if any(cause.urgent for cause in causes):
            self._orphans.ask()
        if self._bus and any(cause.device for cause in causes):
            self._bus.ask_netifd()

    def take_names(self, names):
        """Which devices netifd's interfaces are now."""
        self._state.names = names
        self.look_soon("netifd's interfaces")

    # Looking and doing

    def look_soon(self, cause):
        """Looks at the kernel in a moment, once for everything that happens until then. Where a look takes long, that
        moment is as long: half of the time is left for everything else."""
        if self._look_timer is None:
            self._look_timer = self.loop.after(max(DEBOUNCE, self._looked), lambda: self.look(cause))

    def look(self, cause):
        """Reads the kernel, plans, does what differs, and sees to the programs."""
        self.loop.cancel(self._look_timer)
        self._look_timer = None
        self._retry_later()  # also when something raises here
        began = compat.monotonic()
        state = self._state
        try:
            state.look()
        except Interrupted:
            self._looked = compat.monotonic() - began
            self.look_soon(cause)
            return
        wanted = self._wanted(state)
        keep = [name for name in state.keep() if not self.unit(name).held]
        self._known = state.observed
        try:
            self._withdraw_unwatched([name for name in state.observed.services if name not in wanted])
            stopping = self._stop_unwanted(state, wanted, keep)
        finally:
            self._known = None
        parts = [self._part(wanted[name]) for name in sorted(wanted) if name not in stopping]
        self._places = traffic.places(state.dump)
        state.dump = None  # a fifth of all memory that is in use here, and all that it said is known
        result = Applier(state.border, None, PACKAGE).run(Plan(parts, [], []), state.observed, keep + stopping)
        if result.done:
            self.say(INFO, "%s: %s" % (cause, ", ".join(result.done)))
        self._complain(state.problems() + result.problems)
        self._say_datapath(parts)
        self._see_to_programs(wanted, stopping, result, state)
        if not result.problems:
            self.loop.cancel(self._retry_timer)
        self._forget_units(state)
        if result.done:
            self._places = traffic.places(state.border.dump_redirects())
        state.forget()
        self._watch_pins()
        self._looked = compat.monotonic() - began

    def _watch_pins(self):
        """Where something is pinned (eBPF), nothing but its folder tells that somebody took it away."""
        if self._pins < 0:
            self._pins = compat.watch_folder(pinned.folder())
        if self._pins >= 0:
            self.loop.add(self._pins, lambda _: self._pin_went())

    def _pin_went(self):
        """What it was is seen at the look; the next one has another folder perhaps."""
        self.loop.remove(self._pins)
        compat.fd_close(self._pins)
        self._pins = -1
        self.look_soon("a pinned program went")

    def _retry_later(self):
        self.loop.cancel(self._retry_timer)
        self._retry_timer = self.loop.after(RETRY, lambda: self.look_soon("another try"))

    def _forget_units(self, state):
        """Services that are in no configuration any more, and nowhere else."""
        there = {service.name for service in state.configuration.services}
        there.update(state.observed.services)
        there.update(state.keep())
        for name in [name for name in self.units if name not in there and self.units[name].state == DISABLED]:
            del self.units[name]

    def _take_configuration(self):
        for service in self._state.configuration.services:
            self.unit(service.name).configure(service)

    def _wanted(self, state):
        """The planned parts by service, of those that nobody holds back."""
        wanted = {}
        for part in state.plan.services:
            unit = self.unit(part.service.name)
            if not unit.held:
                wanted[unit.name] = part
        return wanted

    def unit(self, name):
        if name not in self.units:
            self.units[name] = Unit(name, self)
            self.units[name].shed(self._overload.reason)
        return self.units[name]

    def _part(self, part):
        """The part with its redirect only while the service is healthy."""
        unit = self.units[part.service.name]
        if unit.redirected or self._goes_on(unit):
            return part
        items = [item for item in part.items if kind(item) not in REDIRECTS]
        # What services share stays: a qdisc that comes or goes costs the device packets (qdisc_graft in
        # net/sched/sch_api.c deactivates it for a moment), and that of everybody on it.
        return ServicePlan(part.service, items, part.shared, part.datapath, part.devices, part.warnings)

    def as_it_stands(self, plan):
        """A plan less what is withheld on purpose: who was stopped, and the redirects of programs that can't answer."""
        parts = []
        for part in plan.services:
            unit = self.units.get(part.service.name)
            if unit is None or unit.state not in WITHHELD and not unit.held:
                parts.append(part)
            elif not unit.held:
                parts.append(self._part(part))
        return Plan(parts, plan.skipped, plan.problems)

    def _goes_on(self, unit):
        """Whether a program runs that this agent has not met yet: with its redirect, until a check says otherwise."""
        return unit.state == DISABLED and self.is_redirected(unit.name) and self.runs(unit.name)

    def runs(self, name):
        """Whether any process of a service runs."""
        return bool(process.pids(name, self.processes()))

    def is_redirected(self, name):
        """Whether the last look found a redirect of the service."""
        return bool(redirects_of(self._state.observed.of(name)))

    def _stop_unwanted(self, state, wanted, keep):
        """Programs end before their namespaces go: returns the names of services that are on their way out, or between
        two programs."""
        active = {name for name in self.units if self.units[name].state != DISABLED}
        for name in sorted(active | set(state.observed.services)):
            unit = self.unit(name)
            if name in wanted or name in keep or unit.state == STOPPING:
                continue
            if unit.pid or self.runs(name):
                unit.stop(lambda: self.look_soon("a service ended"), unit.reason)
            else:
                unit.disable()
        for name in sorted(wanted):
            unit, service = self.units[name], wanted[name].service
            if not unit.pid or unit.state == STOPPING:
                continue
            if process.is_stale(service.program, unit.pid):
                unit.restart("its settings changed")
            elif process.is_astray(name, unit.pid):
                unit.restart("somebody took its namespace away")
        return [name for name in self.units if self.units[name].state == STOPPING]

    def _withdraw_unwatched(self, names):
        """Services that stay as they are, or are to go: a redirect is in only while its program is watched."""
        for name in names:
            unit = self.unit(name)
            if not unit.redirected and self.is_redirected(name):
                self._remove(lambda observed, name=name: redirects_of(observed.of(name)))
                self.end_connections(name)
                self.say(WARNING, "%s: its redirect is out: nobody watches its program" % name)

    def _see_to_programs(self, wanted, stopping, result, state):
        broken = {problem.service: problem.message for problem in state.problems() + result.problems}
        for name in sorted(self.units):
            unit = self.units[name]
            if name in stopping or unit.held:
                continue
            goes_on = unit.state != DISABLED and name in self._kept(state)
            if name in broken and unit.state not in (BACKOFF, FAILED) and not goes_on:
                unit.wait(broken[name])
            if name not in wanted or name in broken:
                continue
            unit.ensure()

    def _kept(self, state):
        """Services that go on as they are, because their new configuration has a mistake."""
        return [name for name in state.configuration.bad if name in state.observed.services]

    def _say_datapath(self, parts):
        """Once, why the cheapest datapath is not the one that `auto` took."""
        others = sorted({part.datapath for part in parts if part.datapath != "bpf"})
        if self._state.lacks and others and not self._said_datapath:
            self._said_datapath = True
            text = "datapath '%s' instead of 'bpf', for which this kernel lacks %s"
            self.say(NOTICE, text % ("', '".join(others), self._state.lacks))

    def _complain(self, problems):
        """Says each problem once, and again only after it was gone."""
        now = {problem_text(problem) for problem in problems}
        for text in sorted(now - self._said):
            self.say(WARNING, text)
        self._said = now

    def withdraw(self, unit):
        """Takes a service's redirect out now: no plan, no look into namespaces, only what takes packets."""
        self.look_soon("%s is out" % unit.name)
        self._remove(lambda observed: redirects_of(observed.of(unit.name)))

    def end_connections(self, name, before=None):
        """Resets the clients of a service whose redirect is out. Those that it has not accepted yet are its own to
        accept, while they become fewer; `before` is how many there were."""
        self.loop.cancel(self._endings.pop(name, None))
        if name not in self.units or self.units[name].redirected:
            return
        with self._reserve:
            pids = process.pids(name, self.processes())
            waiting = sockets.reset(pids)
            if before is not None and waiting >= before:
                sockets.refuse(pids)  # it accepts nobody
        if waiting and (before is None or waiting < before):
            self._endings[name] = self.loop.after(PATIENCE, lambda: self.end_connections(name, waiting))

    def _withdraw_orphans(self):
        """Takes out what leads nowhere any more, because somebody deleted the pair."""
        self._remove(lambda observed: observed.orphans)

    def _remove(self, find):
        """Removes what `find` gives of an Observed."""
        border = self._state.border
        try:
            border.apply(removal(find(self._known or observe(border.dump_redirects()))))
        except (ViscumError, OSError) as error:
            self.say(ERROR, "a redirect can't be taken out: %s" % error)

    def processes(self):
        """process.processes() as of this turn of the loop: reading /proc for each of many services takes long."""
        if self._table[0] != self.loop.turn:
            with self._reserve:
                self._table = (self.loop.turn, process.processes())
        return self._table[1]

    def changed(self, unit, before):
        for listener in self.listeners:
            listener(unit, before)

    # What people ask for

    def traffic(self):
        """What the redirects carry (traffic.read)."""
        return traffic.read(self._state.border, self._places)

    def lines(self, name):
        """The last log lines about a service, or all (Log.lines)."""
        return self._log.lines(name)

    def fresh(self, pools=()):
        """The State after another look, which does nothing (State.look)."""
        self._state.look(pools)
        return self._state

    def bus_state(self, connected, reason):
        if connected != self._on_bus:
            self.say(NOTICE, "is on ubus" if connected else "is not on ubus: %s" % reason)
        self._on_bus = connected

    def reload(self):
        """Reads the configuration anew. Raises ConfigError, and goes on with the old one, when it can't be read."""
        try:
            self._state.reload()
        except ConfigError as error:
            self.say(ERROR, "the configuration is not taken: %s" % error)
            raise
        for unit in self.units.values():
            unit.retry()
        self._take_configuration()
        self.look("reload")
        self._watch_load()

    def _watch_load(self):
        """While there is a limit. A reload makes load itself, so that it judges nothing."""
        if not self._state.configuration.settings.bypass_load:
            self.loop.cancel(self._load_timer)
            self._judge_load(0)
        elif self._load_timer is None:
            self._load.share()  # counts from now
            self._load_timer = self.loop.after(overload.INTERVAL, lambda: self._judge_load(self._load.share()))

    def _judge_load(self, share):
        self._load_timer = None
        reason = self._overload.judge(self._state.configuration.settings.bypass_load, share)
        for unit in self.units.values():
            unit.shed(reason)
        if self._state.configuration.settings.bypass_load:
            self._watch_load()
