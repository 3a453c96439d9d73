"""The agent: one process that keeps the kernel as the configuration says, and owns no state.

Everything that happens (an event of the kernel, a program that ends, a check, a reload, a call) leads to one thing: the
kernel is read, the plan is made, and what differs is done. What may not wait for that is taking a redirect out, which
is done at once.
"""

from . import compat, lock, overload, process, traffic
from .api import Bus
from .apply import Applier
from .diff import kind, redirects_of, removal
from .errors import ViscumError, problem_text
from .events import Events
from .log import ERROR, INFO, NOTICE, WARNING
from .loop import Loop
from .objects import REDIRECTS
from .observe import observe
from .plan import Plan, ServicePlan
from .state import PACKAGE, State
from .unit import BACKOFF, DISABLED, FAILED, STOPPING, Unit

DEBOUNCE = 0.05  # seconds: what comes together is looked at together
RETRY = 30  # seconds until another look when something could not be done

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
        self._look_timer = None
        self._looked = 0.0  # seconds that the last look took
        self._retry_timer = None
        self._load_timer = None
        self._said = set()
        self._said_datapath = False
        self._table = (-1, {})
        self._known = None  # an Observed, while nothing has changed since it was read
        self._places = traffic.Places([], {}, {})
        self._load = overload.Load()
        self._overload = overload.Overload()
        self._bus = None
        self._on_bus = None  # nothing was said yet

    def run(self, bus=None):
        """`bus` is a path to ubus and whether to serve it: (path, serve); None to go without."""
        path, serve = bus or (None, False)
        self._bus = Bus(self, path, serve) if path else None
        self._state = State(self.confdir, path if self._bus and not self._bus.serves else None)
        self._state.__enter__()
        signals = compat.signal_fd((compat.SIGTERM, SIGINT, SIGHUP))
        self.loop.add(signals, lambda _: self._signal(compat.read_signal(signals)))
        self.loop.add(self._events.fd, lambda _: self._kernel_events())
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
        """After a `viscum down` that still runs has ended."""
        held = lock.take()
        try:
            self.look("start")
        finally:
            compat.fd_close(held)

    def say(self, severity, text):
        self._log.say(severity, text)

    def _bug(self, error):
        compat.print_error(error)
        self.say(ERROR, "a bug, please report it: %r" % (error,))

    def _signal(self, number):
        if number == SIGHUP:
            try:
                self.reload()
            except ViscumError:
                pass  # the log has it, and nobody waits for an answer
        elif number in (compat.SIGTERM, SIGINT):
            self.say(NOTICE, "ends; services go on without a watch")
            self.loop.stop()

    def _kernel_events(self):
        for cause in self._events.causes():
            if cause.urgent:
                self._withdraw_orphans()
            if cause.device and self._bus:
                self._bus.ask_netifd()
            self.look_soon(cause.text)

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
        began = compat.monotonic()
        state = self._state
        state.look()
        wanted = self._wanted(state)
        self._known = state.observed
        stopping = self._stop_unwanted(state, wanted)
        self._known = None
        parts = [self._part(wanted[name]) for name in sorted(wanted) if name not in stopping]
        keep = state.keep() + stopping
        result = Applier(state.border, None, PACKAGE).run(Plan(parts, [], []), state.dump, keep)
        if result.done:
            self.say(INFO, "%s: %s" % (cause, ", ".join(result.done)))
        self._complain(state.problems() + result.problems)
        self._say_datapath(parts)
        self._see_to_programs(wanted, stopping, result, state)
        self._forget_units(state)
        self._places = traffic.places(state.dump if not result.done else state.border.dump_redirects())
        state.forget()
        self._looked = compat.monotonic() - began

    def _forget_units(self, state):
        """Services that are in no configuration any more, and nowhere else."""
        there = {service.name for service in state.configuration.services}
        there.update(state.observed.services)
        there.update(state.keep())
        for name in [name for name in self.units if name not in there and self.units[name].state == DISABLED]:
            del self.units[name]

    def _wanted(self, state):
        """The planned parts by service, of those that nobody holds back; each has its unit."""
        wanted = {}
        for service in state.configuration.services:
            unit = self.unit(service.name)
            if not unit.pid:  # what runs is judged by what it was started from
                unit.service = service
        for part in state.plan.services:
            unit = self.unit(part.service.name)
            if not unit.held:
                wanted[unit.name] = part
        return wanted

    def unit(self, name):
        if name not in self.units:
            self.units[name] = Unit(name, self)
        return self.units[name]

    def _part(self, part):
        """The part with its redirect only while the service is healthy."""
        unit = self.units[part.service.name]
        unit.service = part.service
        # A program found running keeps its redirect until a check says otherwise (the agent was restarted).
        if unit.redirected or (unit.state == DISABLED and self.is_redirected(unit.name)):
            return part
        items = [item for item in part.items if kind(item) not in REDIRECTS]
        # What services share stays: a qdisc that comes or goes costs the device packets (qdisc_graft in
        # net/sched/sch_api.c deactivates it for a moment), and that of everybody on it.
        return ServicePlan(part.service, items, part.shared, part.datapath, part.devices, part.warnings)

    def is_redirected(self, name):
        """Whether the last look found a redirect of the service."""
        return bool(redirects_of(self._state.observed.of(name)))

    def _stop_unwanted(self, state, wanted):
        """Programs end before their namespaces go: returns the names of services that are on their way out, or between
        two programs."""
        for name in sorted(state.observed.services):
            unit = self.unit(name)
            if name in wanted or name in state.keep() or unit.state == STOPPING:
                continue
            if unit.pid or process.pids(name, self.processes()):
                unit.stop(lambda: self.look_soon("a service ended"), unit.reason)
            elif unit.state != DISABLED:
                unit.become(DISABLED)
        for name in sorted(wanted):
            unit, service = self.units[name], wanted[name].service
            if unit.pid and unit.state != STOPPING and process.is_stale(service.program, unit.pid):
                unit.restart("its settings changed")
        return [name for name in self.units if self.units[name].state == STOPPING]

    def _see_to_programs(self, wanted, stopping, result, state):
        broken = {problem.service: problem.message for problem in state.problems() + result.problems}
        for name in sorted(self.units):
            unit = self.units[name]
            if name in stopping:
                continue
            if name in broken and unit.state not in (BACKOFF, FAILED) and name not in self._kept(state):
                unit.wait(broken[name])
            if name not in wanted or name in broken:
                continue
            unit.ensure()
        self.loop.cancel(self._retry_timer)
        self._retry_timer = self.loop.after(RETRY, lambda: self.look_soon("another try")) if result.problems else None

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
        observed = self._known or self._redirects()
        self._remove(redirects_of(observed.of(unit.name)))
        self.look_soon("%s is out" % unit.name)

    def _withdraw_orphans(self):
        """Takes out what leads nowhere any more, because somebody deleted the pair."""
        self._remove(self._redirects().orphans)

    def _redirects(self):
        return observe(self._state.border.dump_redirects())

    def _remove(self, found):
        try:
            self._state.border.apply(removal(found))
        except ViscumError as error:
            self.say(ERROR, "a redirect can't be taken out: %s" % error)

    def processes(self):
        """process.processes() as of this turn of the loop: reading /proc for each of many services takes long."""
        if self._table[0] != self.loop.turn:
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

    def fresh(self):
        """The State after another look, which does nothing."""
        self._state.look()
        return self._state

    def bus_state(self, connected, reason):
        if connected != self._on_bus:
            self.say(NOTICE, "is on ubus" if connected else "is not on ubus: %s" % reason)
        self._on_bus = connected

    def reload(self):
        """Reads the configuration anew. Raises ConfigError, and goes on with the old one, when it can't be read."""
        try:
            self._state.reload()
        except ViscumError as error:
            self.say(ERROR, "the configuration is not taken: %s" % error)
            raise
        for unit in self.units.values():
            unit.retry()
        self.look("reload")
        self._watch_load()

    def _watch_load(self):
        self.loop.cancel(self._load_timer)
        limit = self._state.configuration.settings.bypass_load
        reason = self._overload.judge(limit, self._load.share() if limit else 0)
        for unit in self.units.values():
            unit.shed(reason)
        self._load_timer = self.loop.after(overload.INTERVAL, self._watch_load) if limit else None
