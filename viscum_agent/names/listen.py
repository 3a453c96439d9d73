"""Hears what clients are told of names, at the devices of services with `option snoop`, in the agent's loop.

However many answers there are, they take a bounded part of the agent's time: so many at once, then a rest; what does
not fit into the socket's buffer meanwhile is not heard.
"""

from .. import compat
from ..kernel import overhear
from ..loop import Paced
from ..plan import sources
from ..records.facts import Host
from ..records.objects import DEV_PREFIX
from . import known, snoop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ..config.service import Service
    from ..loop import Loop, Timer
    from ..records.dump import Link

ANSWERS, QUESTIONS = 32, 256  # packets that are read at once, each of the two for no longer than
BUSY = 0.05  # seconds: clients may wait for a redirect to be taken out meanwhile
REST = 0.02  # seconds after that, or
SHARE = 4  # as many times as long as it took
PAUSE = 0.3  # seconds between news of other addresses
MOST_DEVICES = 32  # each has two sockets
TOO_MANY = "more than %d devices" % MOST_DEVICES
DEAF = "DNS answers to clients at %s are not seen (%s): name each host in dest_host, and take the option out"


class Ear:
    """At one device. `changed()` is called when clients there were told something new."""

    def __init__(self, loop: "Loop", index: int, told: "snoop.Told", changed: "Callable[[], object]") -> None:
        self.index = index
        self.talk = snoop.Conversations(told)
        self._loop, self._changed = loop, changed
        self._timer: Timer | None = None
        self._answers, self._questions = overhear.listen(index)
        self._wait()

    def _wait(self) -> None:
        self._loop.add(self._answers, lambda _: self._ready(), patient=True)

    def _ready(self) -> None:
        began = compat.monotonic()
        self._loop.remove(self._answers)
        try:
            self._read(began)
        finally:
            took = compat.monotonic() - began
            self._timer = self._loop.after(max(REST, SHARE * took), self._wait)

    def _read(self, now: float) -> None:
        """First the answers, then what was asked before them."""
        found = [self.talk.parse(packet) for packet in _packets(self._answers, ANSWERS)]
        for packet in _packets(self._questions, QUESTIONS):
            self.talk.came_in(packet, now)
        if any([self.talk.answered(each, now) for each in found if each]):
            self._changed()

    def close(self) -> None:
        self._loop.cancel(self._timer)
        self._loop.remove(self._answers)
        compat.fd_close(self._answers)
        compat.fd_close(self._questions)


def _packets(fd: int, most: int) -> "Iterator[bytes]":
    until = compat.monotonic() + BUSY
    for _ in range(most):
        packet = overhear.read(fd) if compat.monotonic() < until else None
        if packet is None:
            return
        yield packet


class Listener:
    """`changed()` is called whenever the addresses have changed that clients were told."""

    def __init__(self, loop: "Loop", changed: "Callable[[], object]") -> None:
        self._loop = loop
        self._changed = Paced(loop, changed, PAUSE)
        self._services: list[Service] = []
        self._told = snoop.Told()
        self._ears: dict[str, Ear] = {}  # by device
        self._deaf: dict[str, str] = {}  # by service: why nothing is heard at some of its devices
        self._timer: Timer | None = None

    def follow(self, services: "Iterable[Service]") -> None:
        """From now on it is for these services; at the next look it finds out at which devices."""
        self._services = list(services)
        self._told.want([key for each in self._services for key in _keys(each)])
        if not self._services:
            self.look((), {})

    def look(self, links: "Iterable[Link]", interfaces: "dict[str, list[str]]") -> None:
        """Takes which devices there are (dump.Links, and those of interfaces)."""
        there = {link.name: link.index for link in links if not link.ns and not link.name.startswith(DEV_PREFIX)}
        places = {each.name: _devices(each, there, interfaces) for each in self._services}
        wanted: dict[str, list[snoop.Key]] = {}
        for service in self._services:
            for name in places[service.name]:
                wanted.setdefault(name, []).extend(_keys(service))
        for name in list(self._ears):
            if name not in wanted or self._ears[name].index != there[name]:
                self._ears.pop(name).close()
        deaf = {}
        for name in sorted(wanted):
            why = self._hear(name, there[name])
            if why:
                deaf[name] = DEAF % (name, why)
            else:
                self._ears[name].talk.want(wanted[name])
        texts = {each: [deaf[name] for name in places[each] if name in deaf] for each in places}
        self._deaf = {each: texts[each][0] for each in texts if texts[each]}
        self._forget()

    def _hear(self, name: str, index: int) -> str:
        """Hears what passes a device; returns why not."""
        if name in self._ears:
            return ""
        if len(self._ears) >= MOST_DEVICES:
            return TOO_MANY
        try:
            self._ears[name] = Ear(self._loop, index, self._told, self._changed.ask)
        except OSError as error:  # no rights, no CONFIG_PACKET; or no descriptor is left, and the next look tries again
            return compat.strerror(error.errno)
        return ""

    def _forget(self) -> None:
        """Forgets addresses whose time is over, now and from now on."""
        self._loop.cancel(self._timer)
        if self._told.expire(compat.monotonic()):
            self._changed.ask()
        due = self._told.next()
        if due < float("inf"):
            self._timer = self._loop.after(max(known.GROUP, due - compat.monotonic()), self._forget)

    def hosts(self) -> "dict[tuple[str, str], Host]":
        """What clients were told (facts.Facts), with why not all of it is heard."""
        return {key: Host(found, self._deaf.get(key[0], "")) for key, found in self._told.addresses().items()}

    def close(self) -> None:
        self._services = []
        self.look((), {})
        self._loop.cancel(self._timer)


def _keys(service: "Service") -> "list[snoop.Key]":
    return [(service.name, host) for group in service.named for host in group.hosts]


def _devices(service: "Service", there: "dict[str, int]", interfaces: "dict[str, list[str]]") -> "list[str]":
    found = {name for _, _, names in sources.named(service, there, interfaces) for name in names}
    return sorted(found.intersection(there))
