"""The agent: one process that keeps the kernel as the configuration says, and owns no state.

Everything that happens (an event of the kernel, a program that ends, a check, a reload, a call) leads to one thing: the
kernel is read, the plan is made, and what differs is done. What may not wait for that is taking a redirect out, which
is done at once.
"""

from . import compat, process
from .api import Bus
from .apply import Applier
from .diff import filters_of, kind, removal
from .errors import ViscumError, problem_text
from .events import Events
from .log import ERROR, INFO, NOTICE, WARNING
from .loop import Loop
from .observe import observe
from .plan import Plan, ServicePlan, match_text
from .state import PACKAGE, State
from .unit import BACKOFF, DISABLED, FAILED, STOPPING, WAITING, Unit

DEBOUNCE = 0.05  # seconds: what comes together is looked at together
RETRY = 30  # seconds until another look when something could not be done
LOAD_INTERVAL = 2  # seconds between two looks at the router's load
HYSTERESIS = 20  # per cent of CPU below bypass_load at which redirects come back

SIGHUP, SIGINT = 1, 2


class Agent:
    """`run` returns when the agent is told to end; services go on then, but for `stop`, which takes them down."""

    def __init__(self, confdir, log):
        self.loop = Loop(self._bug)
        self.units = {}
        self.listeners = []  # called with (unit, state before) at every change
        self._confdir = confdir
        self._log = log
        self._state = State(confdir)
        self._events = Events()
        self._look_timer = None
        self._retry_timer = None
        self._said = set()
        self._load = Load()
        self._bus = None
        self._on_bus = None  # nothing was said yet

    def run(self, bus=None):
        """`bus` is a path to ubus and whether to serve it: (path, serve); None to go without."""
        if bus:
            self._bus = Bus(self, bus[0], bus[1])
        self._state.__enter__()
        signals = compat.signal_fd((compat.SIGTERM, SIGINT, SIGHUP))
        self.loop.add(signals, lambda _: self._signal(compat.read_signal(signals)))
        self.loop.add(self._events.fd, lambda _: self._kernel_events())
        self._watch_load()
        self.look("start")
        self.say(NOTICE, "runs")
        try:
            self.loop.run()
        finally:
            if self._bus:
                self._bus.close()
            self._events.close()
            self._state.__exit__(None, None, None)

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
            self.look_soon(cause)

    # Looking and doing

    def look_soon(self, cause):
        """Looks at the kernel in a moment, once for everything that happens until then."""
        if self._look_timer is None:
            self._look_timer = self.loop.after(DEBOUNCE, lambda: self.look(cause))

    def look(self, cause):
        """Reads the kernel, plans, does what differs, and sees to the programs."""
        self.loop.cancel(self._look_timer)
        self._look_timer = None
        state = self._state
        state.look()
        wanted = self._wanted(state)
        stopping = self._stop_unwanted(state, wanted)
        parts = [self._part(wanted[name]) for name in sorted(wanted) if name not in stopping]
        keep = state.keep() + stopping
        result = Applier(state.border, None, PACKAGE).run(Plan(parts, [], []), state.dump, keep)
        if result.done:
            self.say(INFO, "%s: %s" % (cause, ", ".join(result.done)))
        self._complain(state.problems() + result.problems)
        self._see_to_programs(wanted, stopping, result, state)

    def _wanted(self, state):
        """The planned parts by service, of those that nobody holds back; each has its unit."""
        wanted = {}
        for service in state.configuration.services:
            self.unit(service.name)
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
        items = [item for item in part.items if kind(item) != "Filter"]
        return ServicePlan(part.service, items, [], part.datapath, part.devices, part.warnings)

    def is_redirected(self, name):
        """Whether the last look found a redirect of the service."""
        return bool(filters_of(self._state.observed.of(name)))

    def _stop_unwanted(self, state, wanted):
        """Programs end before their namespaces go: returns the names of services that are on their way out, or between
        two programs."""
        for name in sorted(state.observed.services):
            unit = self.unit(name)
            if name in wanted or name in state.keep() or unit.state == STOPPING:
                continue
            if unit.pid or process.pids(name):
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
        table = None
        for name in sorted(self.units):
            unit = self.units[name]
            if name in stopping:
                continue
            if name in broken and unit.state not in (BACKOFF, FAILED) and name not in self._kept(state):
                unit.become(WAITING, broken[name])
            if name not in wanted or name in broken:
                continue
            if not unit.pid and table is None:
                table = process.processes()
            unit.ensure(table)
        self.loop.cancel(self._retry_timer)
        self._retry_timer = self.loop.after(RETRY, lambda: self.look_soon("another try")) if result.problems else None

    def _kept(self, state):
        """Services that go on as they are, because their new configuration has a mistake."""
        return [name for name in state.configuration.bad if name in state.observed.services]

    def _complain(self, problems):
        """Says each problem once, and again only after it was gone."""
        now = {problem_text(problem) for problem in problems}
        for text in sorted(now - self._said):
            self.say(WARNING, text)
        self._said = now

    def withdraw(self, unit):
        """Takes a service's redirect out now: no plan, no look into namespaces, only its filters."""
        observed = observe(self._state.border.dump(namespaces=False))
        try:
            self._state.border.apply(removal(filters_of(observed.of(unit.name))))
        except ViscumError as error:
            self.say(ERROR, "%s: %s" % (unit.name, error))
        self.look_soon("%s is out" % unit.name)

    def changed(self, unit, before):
        for listener in self.listeners:
            listener(unit, before)

    # What people ask for

    def rows(self):
        """A dict for each service that is in the kernel: name, from (devices), takes, packets, bytes. It looks at the
        router's own namespace only, so it costs little."""
        observed = observe(self._state.border.dump(namespaces=False))
        services = {service.name: service for service in self._state.configuration.services}
        rows = []
        for name in sorted(observed.services):
            counters = observed.counters.get(name)
            filters = [each.item for each in filters_of(observed.of(name))]
            matches = services[name].matches if name in services else ()
            rows.append(
                {
                    "name": name,
                    "from": sorted({item.dev for item in filters}),
                    "takes": sorted({match_text(match) for match in matches}),
                    "packets": counters.packets if counters else 0,
                    "bytes": counters.bytes if counters else 0,
                }
            )
        return rows

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

    # Overload

    def _watch_load(self):
        limit = self._state.configuration.settings.bypass_load
        if limit:
            self._judge_load(limit, self._load.share())
        self.loop.after(LOAD_INTERVAL if limit else RETRY, self._watch_load)

    def _judge_load(self, limit, share):
        for unit in self.units.values():
            if share > limit:
                unit.set_bypass("the router's CPU is %d%% busy (bypass_load %d)" % (share, limit))
            elif share < limit - HYSTERESIS and unit.bypass.startswith("the router's CPU"):
                unit.set_bypass("")


class Load:
    """The share of its CPUs that the router was busy with since the last question, in per cent (proc(5), stat)."""

    def __init__(self):
        self._last = self._read()

    def _read(self):
        with open("/proc/stat") as file:
            numbers = [int(word) for word in file.readline().split()[1:9]]
        return sum(numbers), numbers[3] + numbers[4]  # all, idle and iowait

    def share(self):
        total, idle = self._read()
        before_total, before_idle = self._last
        self._last = (total, idle)
        return 100 - 100 * (idle - before_idle) // max(1, total - before_total)
