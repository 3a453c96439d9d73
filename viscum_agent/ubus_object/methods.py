"""The ubus object `viscum`: what people, scripts and LuCI ask the agent for, and what it sends them unasked.

Every state change is sent twice: as a notification to subscribers of the object, and as an event `viscum.service` for
`ubus listen`. If nothing serves ubus, the agent can do it itself (ubus/broker.py).
"""

from collections import namedtuple

from .. import __version__, compat, optional
from ..errors import CONFIG, ForeignError, UnsupportedError, ViscumError, problem_text
from ..kernel import commands
from ..log import NOTICE
from ..loop import POLLIN, POLLOUT
from ..plan import hosts
from ..reconcile import PACKAGE
from ..service import process, running
from ..ubus import blob
from ..ubus import codes as code
from ..ubus.account import name_of
from ..ubus.budget import Budget
from ..ubus.client import Client, Method
from ..ubus.netifd import Follower
from ..ubus.procd import Watchdog
from . import rows
from .kept import Kept
from .names import EVENT, OBJECT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..agent import Agent
    from ..errors import Problem
    from ..loop import Timer
    from ..reconcile import Snapshot
    from ..records.objects import Operation
    from ..service.instance import Instance
    from ..ubus.broker import Broker
    from ..ubus.client import Request

NAME = (("name", blob.STRING),)
PAGED = NAME + (("after", blob.STRING),)
# Seconds of the agent's time that an account without rights may use per second, and at once.
SHARE = (0.1, 1.0)
# Who may call a method, besides root and the agent's own account. Each may also call what those above may.
PUBLIC = "public"  # accounts without rights: the group `viscum` at ubusd, everybody at our own broker
READ = "read"  # sessions of LuCI with the right to read
WRITE = "write"  # those with the right to write
ROOT = "root"  # nobody else

# What can be called. `args` are (name, blob type); the code is in Bus, under that name. tools/ubus_rights.py makes
# the access lists of ubusd and rpcd from it.
Entry = namedtuple("Entry", ("name", "args", "who"))
METHODS = (
    Entry(name="status", args=PAGED + (("since", blob.INT32),), who=PUBLIC),
    Entry(name="list", args=(("after", blob.STRING),), who=PUBLIC),
    Entry(name="stats", args=PAGED, who=PUBLIC),
    Entry(name="plan", args=(("from", blob.INT32),), who=PUBLIC),
    Entry(name="logs", args=NAME + (("lines", blob.INT32), ("since", blob.INT32)), who=READ),
    Entry(name="doctor", args=(), who=READ),
    Entry(name="explain", args=(("packet", blob.STRING),), who=READ),
    Entry(name="start", args=NAME, who=WRITE),
    Entry(name="stop", args=NAME, who=WRITE),
    Entry(name="restart", args=NAME, who=WRITE),
    Entry(name="bypass", args=NAME + (("on", blob.BOOL),), who=WRITE),
    Entry(name="reload", args=(), who=WRITE),
    # Changes nothing, but looks at what the caller names, not at what is configured.
    Entry(name="check", args=(("sections", blob.ARRAY), ("from", blob.INT32)), who=WRITE),
    Entry(name="check_devices", args=(), who=ROOT),
)
READABLE = {OBJECT: tuple([entry.name for entry in METHODS if entry.who == PUBLIC])}  # for our own broker


class Bus:
    """Connects an Agent with ubus: the broker if ubus is to be served here, the client, and their place in the loop."""

    def __init__(self, agent: "Agent", path: str, serve: bool = False) -> None:
        self._agent = agent
        self._loop = agent.loop
        self._watched: dict[int, tuple] = {}
        self._timer: Timer | None = None
        self._rights = ("root", name_of(compat.geteuid()))
        self._findings, self._plans, self._checks = Kept(self._loop), Kept(self._loop), Kept(self._loop)
        self._looks = Kept(self._loop)
        self._changes = rows.Changes()
        self._began = compat.monotonic()
        self._each: Any = None  # the objects of single services (tenants.Objects)
        self._broker: Broker = self._serve(path) if serve else compat.LATER
        self._client = Client(path, self._told, self._loop.on_error, budget=Budget(*SHARE), free=self._rights)
        self._object = self._client.add_object(OBJECT, self._methods())
        self._follower = Follower(self._client, agent.take_names)
        agent.listeners.append(self._changed)
        self._loop.prepare.append(self._watch)
        Watchdog(self._client, self._loop)

    @property
    def serves(self) -> bool:
        """Whether others connect to us: nobody else serves that ubus."""
        return self._broker is not None

    def _serve(self, path: str) -> "Any":  # a Broker, or None if somebody else serves it
        try:
            from ..ubus.broker import Broker
        except ImportError:
            raise UnsupportedError("-b: no package has a ubus of its own: start ubusd")
        broker = Broker(path, READABLE)
        try:
            broker.open()
        except ForeignError as error:
            self._agent.say(NOTICE, "%s: using that" % error)
            return None
        except OSError as error:
            raise ViscumError("can't serve ubus on %s: %s" % (path, compat.strerror(error.errno)))
        return broker

    def close(self) -> None:
        self._client.close()
        if self._broker:
            self._broker.close()

    def ask_netifd(self) -> None:
        self._follower.ask()

    def follow(self) -> None:
        """Publishes an object for each service that is configured now, where the package for that is installed."""
        try:
            part = optional.load("ubus_object.tenants")
        except UnsupportedError:
            return
        self._each = self._each or part.Objects(self._agent, self._client, self._methods())
        self._each.follow()

    # In the loop

    def _watch(self) -> None:
        """Before each wait: makes the loop wait for what client and broker want now."""
        wanted: dict[int, tuple] = {}
        if self._client.fd >= 0:
            events = (POLLIN if self._client.wants_read else 0) | (POLLOUT if self._client.wants_write else 0)
            wanted[self._client.fd] = (events, self._client_event)
        for fd, events in self._broker.fds() if self._broker else ():
            wanted[fd] = (events, lambda ready, fd=fd: self._broker.on_event(fd, ready))
        for fd in [fd for fd in self._watched if fd not in wanted]:
            self._loop.remove(fd, self._watched.pop(fd)[1])
        for fd in wanted:
            events, callback = wanted[fd]
            before = self._watched.get(fd)
            if before is None or before[0] != events or not self._loop.waits(fd, before[1]):
                self._loop.add(fd, callback, events, patient=True)
                self._watched[fd] = (events, callback)
        self._loop.cancel(self._timer)
        self._timer = None
        both = [self._client.next_timeout(), self._broker.next_timeout() if self._broker else None]
        dues = [due for due in both if due is not None]
        left = min(dues) - compat.monotonic() if dues else None
        if left is not None and left <= 0:
            self._loop.after_all(self._tick)
        elif left is not None:
            self._timer = self._loop.after(left, self._tick)

    def _tick(self) -> None:
        self._client.tick(compat.monotonic())
        if self._broker:
            self._broker.tick()

    def _client_event(self, ready: int) -> None:
        if ready & POLLOUT:
            self._client.on_writable()
        if ready & ~POLLOUT:
            self._client.on_readable()

    def _told(self, connected: bool, reason: str) -> None:
        self._agent.bus_state(connected, reason)
        if connected:
            self._loop.after(0, self.ask_netifd)

    def _changed(self, instance: "Instance", before: str) -> None:
        self._looks.forget()
        data = {"name": instance.name, "state": instance.state, "before": before, "reason": instance.reason}
        self._object.notify("service", data)
        if self._client.connected:
            self._client.send_event(EVENT, data)

    # Methods

    def _methods(self) -> "list[tuple[str, Method]]":
        return [(entry.name, Method(getattr(self, "_" + entry.name), entry.args)) for entry in METHODS]

    def _instances(self, args: "dict[str, Any]") -> "list[Instance]":
        """The instance that a call names, or all. Raises UbusStatus."""
        instances = self._agent.instances
        name = args.get("name")
        if name is None:
            return [instances[each] for each in sorted(instances)]
        if name not in instances:
            raise code.UbusStatus(code.NOT_FOUND, "there is no service '%s'" % name)
        return [instances[name]]

    def _page(
        self, args: "dict[str, Any]", answer: "dict[str, Any]", make: "Callable[[list[Instance]], object]"
    ) -> "dict[str, Any]":
        """An answer with one page of rows: those that `make(instances)` gives."""
        instances, following = rows.page(self._instances(args), args.get("after", ""))
        answer["services"] = make(instances)
        if following:
            answer["next"] = following
        return answer

    def _status(self, _method: str, args: "dict[str, Any]", _request: "Request") -> "dict[str, Any]":
        traffic, now = self._agent.traffic(whole=True), int(compat.monotonic())
        self._changes.forget(self._agent.instances)

        def changed(instances: "list[Instance]") -> "dict[str, dict]":
            found = rows.status(instances, traffic, "name" in args, self._agent.worths)
            return self._changes.since(found, args.get("since"), now)

        head = {"version": __version__, "now": now, "uptime": int(now - self._began), "memory": running.memory()}
        head.update({"generation": self._agent.reconciler.generation, "hash": self._agent.reconciler.hash})
        head["trial"] = self._agent.trial_left()
        answer = self._page(args, head, changed)
        answer["serial"] = self._changes.serial
        return answer

    def _list(self, _method: str, args: "dict[str, Any]", _request: "Request") -> "dict[str, Any]":
        return self._page(args, {}, lambda instances: [instance.name for instance in instances])

    def _stats(self, _method: str, args: "dict[str, Any]", _request: "Request") -> "dict[str, Any]":
        traffic = self._agent.traffic(whole=False)
        return self._page(args, {}, lambda instances: rows.stats(instances, traffic))

    def _logs(self, _method: str, args: "dict[str, Any]", _request: "Request") -> "dict[str, Any]":
        """The last lines, at most `lines`; with `since` only those after the answer that had it as its `serial`."""
        name = args.get("name", "")
        answer = self._agent.lines(name, args.get("since", 0))
        if name and not answer["lines"]:
            self._instances(args)  # raises, where it is nobody's name
        answer["lines"] = answer["lines"][-max(0, args.get("lines", 0)) :]
        return answer

    def _doctor(self, _method: str, _args: "dict[str, Any]", _request: "Request") -> "dict[str, Any]":
        return self._findings.get(lambda: self._fault("doctor"))

    def _explain(self, _method: str, args: "dict[str, Any]", _request: "Request") -> "dict[str, Any]":
        return self._fault("explain", args.get("packet", ""), self._looks)

    def _fault(self, name: str, *words: object) -> "dict[str, Any]":
        """What only who looks for a fault asks for, from a package of its own. Raises UbusStatus."""
        try:
            found: dict[str, Any] = getattr(optional.load("ubus_object.faults"), name)(self._agent, *words)
        except UnsupportedError as error:
            raise code.UbusStatus(code.NOT_SUPPORTED, str(error))
        return found

    def _plan(self, _method: str, args: "dict[str, Any]", request: "Request") -> "dict[str, Any]":
        # All pages of a plan are from one look. Callers without rights get the one that is kept, if there is one.
        anew = args.get("from", 0) <= 0 and request.user in self._rights
        return _page(self._plans.get(self._planned, anew=anew), args)

    def _planned(self) -> "dict[str, Any]":
        """With what `viscum verify` has to know besides: services that stay as they are because of a problem, and those
        of which it is not known yet what they answer."""
        snapshot, instances = self._agent.snapshot(), self._agent.instances
        found = self._in_words(snapshot)
        unsure = [name for name in sorted(instances) if not instances[name].is_sure(instances[name].uptime)]
        found.update({"skipped": snapshot.keep(), "unsure": unsure})
        return found

    def _check(self, _method: str, args: "dict[str, Any]", _request: "Request") -> "dict[str, Any]":
        """The plan for the sections in the call, as if they were the configuration. Changes nothing."""
        sections = args.get("sections")
        return _page(self._checks.get(lambda: self._checked(sections), sections, args.get("from", 0) <= 0), args)

    def _checked(self, sections: object) -> "dict[str, Any]":
        from . import preview  # only an open form asks that

        snapshot = self._agent.snapshot(preview.read(sections, PACKAGE, self._agent.reconciler.configuration))
        found = self._in_words(snapshot)
        found.update(preview.fates(snapshot.plan, snapshot.keep(), self._agent.instances))
        return found

    def _in_words(self, snapshot: "Snapshot") -> "dict[str, Any]":
        """What in a Snapshot is not as it should be, and what would be done about it."""
        problems = hosts.lasting(snapshot.problems()) + process.problems(snapshot.configuration, PACKAGE)
        steps = self._agent.looks.as_it_stands(snapshot).pending()
        return {"problems": _texts(problems), "commands": _commands(steps)}

    def _enabled(self, args: "dict[str, Any]") -> "list[Instance]":
        """As _instances, without those that the configuration has disabled. Raises UbusStatus where one is named."""
        found = [instance for instance in self._instances(args) if instance.service is None or instance.service.enabled]
        if "name" in args and not found:
            text = "'%s' is disabled in the configuration" % args["name"]
            raise code.UbusStatus(code.INVALID_ARGUMENT, text)
        return found

    def _start(self, _method: str, args: "dict[str, Any]", _request: "Request") -> None:
        for instance in self._enabled(args):
            instance.held = False
            instance.retry()
        self._agent.look_soon("start")

    def _stop(self, _method: str, args: "dict[str, Any]", _request: "Request") -> None:
        for instance in self._instances(args):
            instance.held = True
        self._agent.look_soon("stop")

    def _restart(self, _method: str, args: "dict[str, Any]", _request: "Request") -> None:
        for instance in self._enabled(args):
            instance.held = False
            instance.restart("restart")

    def _reload(self, _method: str, _args: "dict[str, Any]", _request: "Request") -> None:
        try:
            self._agent.reload()
        except ViscumError as error:
            number = code.INVALID_ARGUMENT if error.kind == CONFIG else code.UNKNOWN_ERROR
            raise code.UbusStatus(number, str(error))

    def _check_devices(self, _method: str, _args: "dict[str, Any]", _request: "Request") -> None:
        """Called by a hotplug script: something about the router's interfaces has changed."""
        self.ask_netifd()
        self._agent.look_soon("hotplug")

    def _bypass(self, _method: str, args: "dict[str, Any]", _request: "Request") -> None:
        for instance in self._instances(args):
            instance.ask_bypass(args.get("on", True))


def _texts(problems: "list[Problem]") -> "list[str]":
    return rows.shortened([problem_text(problem) for problem in problems])


def _commands(steps: "list[tuple[str, list[Operation]]]") -> "list[str]":
    return [line for _, operations in steps for line in commands.lines(operations)]


def _page(found: "dict[str, Any]", args: "dict[str, Any]") -> "dict[str, Any]":
    """The commands from one number on: a plan of which nothing is done yet may not fit into a message."""
    lines, first = found["commands"], max(0, args.get("from", 0))
    answer = dict(found)
    if first:
        answer["problems"] = []
    answer["commands"] = rows.fitting(lines, first)
    if first + len(answer["commands"]) < len(lines):
        answer["next"] = first + len(answer["commands"])
    return answer
