"""What the edge is worth, for each service: how far clients have to the edge and would have to the cloud, what stayed
off the uplink, how many requests were answered, and how long the cloud was in its place.

Only who asks for it (`status`) makes the agent ask the kernel, and only about a service that has carried packets since
the last time. What has to be counted over time is counted when a state changes. There is no timer but that of a
comparison with the cloud: a connection of the router's own, now and then, which no redirect takes, since these are
where packets come in.
"""

from . import compat
from .address import bits, format_address
from .errors import ViscumError
from .kernel import snmp, tcp_info
from .loop import POLLOUT
from .plan import answers
from .service.states import DISABLED, HEALTHY

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .agent import Agent
    from .kernel.counters import Traffic
    from .loop import Loop, Timer
    from .service.instance import Instance

AGAIN = 1  # seconds until the kernel is asked again, and
BLIND = 60  # where it could not tell: it lacks sock_diag, and each attempt makes it look for a module
COMPARED = 60  # seconds until the cloud is asked again
PATIENCE = 5  # seconds for the cloud to answer
AT_ONCE = 8  # clouds that are asked at a time: each has a descriptor


class Worths:
    """Those of all services of an agent."""

    def __init__(self, agent: "Agent") -> None:
        self.loop = agent.loop
        self.own_traffic = agent.own_traffic
        self._agent = agent
        self._asking = 0  # clouds
        agent.listeners.append(lambda instance, _: self._of(instance).changed())

    def _of(self, instance: "Instance") -> "Worth":
        if instance.worth is None:
            instance.worth = Worth(self, instance)
        return instance.worth

    def row(self, instance: "Instance", traffic: "Traffic") -> "dict[str, int | None]":
        """What `status` says; `traffic` is the service's."""
        return self._of(instance).row(traffic)

    def inside(self, name: str, step: "Callable[[], Any]") -> "Any":
        """What a step returns in a service's namespace, None if it fails there."""
        try:
            return self._agent.inside(name, step)
        except (OSError, ViscumError):
            return None  # the namespace is gone, the kernel lacks something, or there is no descriptor now

    def ask_cloud(self, place: "tuple[bytes, int]", told: "Callable[[int | None], object]") -> bool:
        """Connects to (address, port), and calls `told` with the round trip, or None. Returns whether it began."""
        if self._asking >= AT_ONCE:
            return False

        def done(found: "int | None") -> None:
            self._asking -= 1
            told(found)

        self._asking += 1
        Comparison(self.loop, place, done)
        return True


class Worth:
    """That of one service since the agent began, or the service if that is later."""

    def __init__(self, all_of_them: "Worths", instance: "Instance") -> None:
        self._all, self._instance = all_of_them, instance
        self._rtt: int | None = None
        self._cloud: int | None = None
        self._compared = -float(COMPARED)  # when the cloud was asked last
        self._carried = 0  # packets at that time
        self._read = (0, 0)  # packets when the kernel was asked last, and the time before
        self._due = self._blind = 0.0  # when it may be asked again; when it may be asked for connections
        self._counted: int | None = None  # by the kernel, None before the first time
        self._ours = 0  # what of it was the agent's
        self._requests = self._said = 0  # said: the most, since a check may be known before the kernel has counted it
        self._bypassed, self._since = 0.0, -1.0  # seconds; since when it is, -1 while it is not

    def changed(self) -> None:
        """The state has changed, and the namespace may be a new one soon; but others' clients go to the cloud first."""
        self._keep_time()
        self._all.loop.after_all(self._count)

    def row(self, traffic: "Traffic") -> "dict[str, int | None]":
        now, packets = compat.monotonic(), traffic.counters.packets
        self._keep_time()
        if (packets, packets) != self._read and now >= self._due:  # once more: the last ones may have been on their way
            self._read, self._due = (packets, self._read[0]), now + AGAIN
            self._count()
            if now >= self._blind:
                self._look(now)
        if self._instance.service and self._instance.service.compare:
            self._compare(now, packets)
        else:
            self._cloud = None
        return {
            "rtt": self._rtt,
            "cloud_rtt": self._cloud,
            "kept_bytes": traffic.counters.bytes + traffic.sent.bytes,
            "requests": None if self._counted is None else self._said,
            "bypass_seconds": int(self._bypassed),
        }

    def _keep_time(self) -> None:
        """Counts the time up to now as the state was."""
        now, service = compat.monotonic(), self._instance.service
        if self._since >= 0:
            self._bypassed += now - self._since
        out = service and service.enabled and self._instance.state not in (HEALTHY, DISABLED)
        self._since = now if out else -1.0

    def _count(self) -> None:
        found = self._all.inside(self._instance.name, snmp.taken)
        if found is None:
            return
        ours = self._all.own_traffic(self._instance)
        if self._counted is not None:
            before = self._counted if found >= self._counted else 0  # less than before: in a new namespace
            self._requests += found - before - (ours - self._ours)
        self._counted, self._ours = found, ours
        self._said = max(self._said, self._requests)

    def _look(self, now: float) -> None:
        """Looks how far away the clients are that are connected now; without any, what was last known stays."""
        part = self._instance.part
        if part is None:
            return
        ports = answers.asked_ports(part.takes)["tcp"]
        own = list(part.gate.own.values())
        found = self._all.inside(self._instance.name, lambda: tcp_info.round_trips(own, ports))
        if found is None:
            self._blind = now + BLIND
        elif found:
            self._rtt = found[len(found) // 2]

    def _compare(self, now: float, packets: int) -> None:
        """Asks the cloud, if the service has taken packets since it was last asked."""
        place = self._place()
        if place is None or packets == self._carried or now < self._compared + COMPARED:
            return
        if self._all.ask_cloud(place, self._told):
            self._compared, self._carried = now, packets

    def _told(self, found: "int | None") -> None:
        self._cloud = found

    def _place(self) -> "tuple[bytes, int] | None":
        """The first address and port that it takes over now."""
        for match in self._instance.part.takes if self._instance.redirected and self._instance.part else ():
            if match.proto == "tcp" and match.dport and match.dst and match.dst.length == bits(match.family):
                return match.dst.packed, match.dport[0]
        return None


class Comparison:
    """One connection to the cloud, without a byte in it. `done` is called once, later or at once."""

    def __init__(self, loop: "Loop", place: "tuple[bytes, int]", done: "Callable[[int | None], object]") -> None:
        self._loop, self._address, self._done = loop, place[0], done
        self._socket: Any = None
        self._timer: Timer | None = None
        try:
            self._socket = compat.connecting(1, format_address(place[0]), place[1])
        except OSError:
            done(None)
            return
        loop.add(self._socket.fileno(), lambda _: self._came(), POLLOUT, patient=True)
        self._timer = loop.after(PATIENCE, lambda: self._over(None))

    def _came(self) -> None:
        try:
            compat.connected(self._socket)
            fd = self._socket.fileno()
            # From an address to itself it is the router that has it: no cloud.
            found = None if self._address in compat.socket_name(fd) else tcp_info.round_trip(fd)
        except OSError:
            found = None
        self._over(found)

    def _over(self, found: "int | None") -> None:
        self._loop.cancel(self._timer)
        self._loop.remove(self._socket.fileno())
        self._socket.close()
        self._done(found)
