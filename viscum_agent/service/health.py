"""Can the program answer? One check at a time, without waiting: what begins here ends in the loop.

What is checked follows from how the service answers (plan/answers.py). A check lists the sockets that are open in the
namespace, and then asks at each way into the program as a client would, coming in by eth0 (kernel/handshake.py):

    tcp     a connection is established and accepted: the kernel establishes it for a hung program as well, so it counts
            only when the program has accepted what waits
    udp     an empty datagram is answered or read, and no "port unreachable" comes back
    listen  the port is open, and nothing waits there longer than a check may take
    exec    a command, run like the program, ends with exit code 0
    none    it runs, so it is healthy
"""

from collections import namedtuple

from .. import compat
from ..address import format_address, parse_mac
from ..errors import ViscumError
from ..kernel import handshake, listening
from ..loop import POLLIN, POLLOUT
from ..plan import answers, checks
from ..records.objects import ns_name
from . import output, process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import TypeVar

    from ..kernel.handshake import Send
    from ..kernel.netns import Visit
    from ..loop import Loop, Timer
    from ..plan.answers import Answer, Way
    from ..plan.planner import ServicePlan
    from ..records.facts import Listener, Ports

    T = TypeVar("T")
    from _socket import socket

GRACE = 2  # seconds over its time after which a check will never end
POLL = 0.02  # seconds between two looks at what waits, at least
SPARE = 10  # times as long as a look takes: of many sockets (listening.MOST) it takes the agent 0.05 s and more
MOMENT = 0.2  # seconds that a program gets at least to take what arrived, however late we saw it
UDP_PATIENCE = 0.2  # seconds for an ICMP error to cross the namespace's loopback
LINGER = 0.05  # seconds for the last packets from the program's side to a check
MOST_ASKED = 16  # ways that one check asks at; the others get their turn in the next one
NOTHING_LISTENS = "the program does not listen"

# What a check has found: `reason` is "" for a program that answers on at least one way; `listeners` are facts.Listener
# records, None without a look; `mute` maps keys of ways that were asked (answers.way_key) to why they do not answer, ""
# for those that do; `closed` is whether nothing is open at all: clients are refused then, so patience does not help.
Outcome = namedtuple("Outcome", ("reason", "listeners", "mute", "closed"))


def asks_ways(part: "ServicePlan") -> bool:
    """Whether the checks of a plan.ServicePlan tell for each way into the program whether it answers."""
    return checks.of(part.service, part.answers).asks is not None and not part.service.health.port


class Tools:
    """What checks share: how to get into namespaces and how packets get to the program. `visit` is a netns.Visit."""

    def __init__(self, visit: "Visit") -> None:
        self.visit = visit
        self.door = handshake.Door()
        # {service: connections that its program accepted of checks, and datagrams that were read because of them}; the
        # kernel counts them as a client's.
        self.talked: dict[str, int] = {}

    def close(self) -> None:
        self.door.close()
        self.visit.close()

    def listeners(self, name: str, ports: "dict[str, Ports] | None") -> "list[Listener]":
        return self.inside(name, lambda: listening.listeners(ports))

    def waiting(self, name: str, way: "Way") -> int:
        return self.inside(name, lambda: listening.waiting(way.proto, way.version, way.bound, way.port))

    def connections(self, name: str) -> int:
        return self.inside(name, listening.connections)

    def has_clients(self, name: str) -> bool:
        return self.inside(name, listening.has_clients)

    def flows(self, name: str, own: "Sequence[bytes]", unfinished: bool) -> "list[listening.Flow]":
        return self.inside(name, lambda: listening.flows(own, unfinished))

    def output(self, name: str) -> int:
        return self.inside(name, output.open_for_reader)

    def inside(self, name: str, step: "Callable[[], T]") -> "T":
        """Runs `step` in a service's namespace. Raises OSError."""
        self.visit.enter(ns_name(name))
        try:
            return step()
        finally:
            self.visit.home()
            self.visit.forget(ns_name(name))  # somebody may have deleted the name since


class Check:
    """One check of one service: calls `done(Outcome)` once, unless `cancel` is called before.

    `part` is the service's plan.ServicePlan, `index` that of the router's end of its pair, `turn` counts the checks.
    """

    def __init__(
        self,
        loop: "Loop",
        tools: "Tools",
        part: "ServicePlan",
        index: int,
        turn: int,
        done: "Callable[[Outcome], object]",
    ) -> None:
        self._loop, self._tools, self._done = loop, tools, done
        self._part, self._index, self._turn = part, index, turn
        self._service = part.service
        self._name = part.service.name
        self._health = part.service.health
        self._kind = checks.of(self._service, part.answers)
        self._give_up = compat.monotonic() + self._health.timeout
        self._questions: list[Question] = []
        self._begun = False  # whether all of them have
        self._listeners: list = compat.LATER
        self._mute: dict[tuple, str] = {}
        self._asked: list[str] = []  # the reasons of those that were asked
        self._closed = False
        self.pause = POLL  # seconds until the next look
        self._pid = 0
        self._pidfd = -1
        self._timer: Timer | None = None
        try:
            getattr(self, "_" + self._kind.does)()
        except OSError as error:
            self._end_soon(compat.strerror(error.errno))

    def cancel(self) -> None:
        self._loop.cancel(self._timer)
        for question in self._questions:
            question.cancel()
        self._questions = []
        if self._pidfd >= 0:
            self._loop.remove(self._pidfd)
        if self._pid:
            process.end_check(self._name, self._pid, self._pidfd)
            self._pid = 0
        if self._pidfd >= 0:
            compat.fd_close(self._pidfd)
            self._pidfd = -1

    def _finish(self, reason: str) -> None:
        self.cancel()
        self._done(Outcome(reason=reason, listeners=self._listeners, mute=self._mute, closed=self._closed))

    def _end_soon(self, reason: str) -> None:
        """Ends in the next turn of the loop: the caller is not ready for the outcome yet."""
        self._timer = self._loop.after(0, lambda: self._finish(reason))

    # By kind

    def _nothing(self) -> None:
        self._end_soon("")

    def _sockets(self) -> None:
        """Asks at the ways of its protocols; the others only have to be open, with nothing left waiting."""
        asked = self._kind.asks
        self._listeners = self._look()
        if self._health.port:
            self._ask_port(asked or ("tcp",))
            return
        ways = answers.ways(self._part.answers, self._listeners)
        if not ways and all(answer.high for answer in self._part.answers):
            self._closed = True
            self._end_soon(NOTHING_LISTENS + where(self._part.answers))
            return
        questions: list[Question] = []
        for way in self._chosen(ways):
            kind = (Handshake if way.proto == "tcp" else Datagram) if way.proto in asked else Look
            questions.append(kind(self, way))
        self._begin(questions)

    def _look(self) -> "list[Listener]":
        """The open sockets, at the ports that count."""
        more = [self._health.port] if self._health.port else []
        ports = answers.asked_ports([answer.match for answer in self._part.answers], *more)
        return self._tools.listeners(self._name, ports)

    def _chosen(self, ways: "list[Way]") -> "list[Way]":
        """The ways to ask this time: all, or the next ones in turn."""
        if len(ways) <= MOST_ASKED:
            return ways
        first = self._turn * MOST_ASKED % len(ways)
        return (ways[first:] + ways[:first])[:MOST_ASKED]

    def _ask_port(self, asked: "tuple[str, ...]") -> None:
        """`health_port` is not a way of clients: it is asked inside the namespace, at any address where it is open."""
        port = self._health.port
        open_ones = [one for one in self._listeners if one.port == port and one.proto in asked]
        if not open_ones:
            self._end_soon("%s on port %d (health_port)" % (NOTHING_LISTENS, port))
            return
        one = open_ones[0]
        local = one.address or (bytes([127, 0, 0, 1]) if one.version == 4 else bytes(15) + b"\x01")
        way = answers.Way(
            proto=one.proto,
            family=one.version,
            port=port,
            bound=one.address,
            version=one.version,
            client=local,
            client_port=port,
        )
        self._begin([Inside(self, way)])

    def _begin(self, questions: "list[Question]") -> None:
        """All are there before the first begins: one that is answered at once must not end the check of the others."""
        self._questions = list(questions)
        for question in questions:
            question.begin()
        self._begun = True
        if not self._questions:
            self._end_soon(self._verdict())

    # What questions ask for

    @property
    def loop(self) -> "Loop":
        return self._loop

    @property
    def late(self) -> bool:
        """Whether the time of the check is over."""
        return compat.monotonic() >= self._give_up

    @property
    def patience(self) -> float:
        return max(0, self._give_up - compat.monotonic())

    def enter(self, step: "Callable[[], T]") -> "T":
        """Runs `step` in the service's namespace."""
        return self._tools.inside(self._name, step)

    def talked(self) -> None:
        """A connection was accepted, or a datagram was read, because of this check."""
        self._tools.talked[self._name] = self._tools.talked.get(self._name, 0) + 1

    @property
    def sent(self) -> int:
        """Datagrams of this check of which it is not known yet whether the program has read them."""
        return len([each for each in self._questions if each.asks and each.way.proto == "udp"])

    def open(self, way: "Way") -> "handshake.Handshake | handshake.Datagram":
        return handshake.open_in(self._tools.visit, self._name, way.proto, way, self._part.gate.own[way.family])

    def send(self, way: "Way", packet: bytes) -> None:
        self._tools.door.send(self._index, parse_mac(self._part.gate.mac), way.family, packet)

    def waiting(self, way: "Way") -> int:
        """What waits at the socket of a way, -1 if it is no longer open."""
        began = compat.monotonic()
        found = self._tools.waiting(self._name, way)
        took = (compat.monotonic() - began) * len(self._questions)
        self.pause = max(POLL, min(SPARE * took, self.patience))
        return found

    def answered(self, question: "Question", reason: str) -> None:
        """A question is answered; the check ends with the last one."""
        self._mute[answers.way_key(question.way)] = reason
        if question.asks:
            self._asked.append(reason)
            if not reason and question.way.proto == "udp":
                self.talked()  # by the program; an answer is one more
        self._questions.remove(question)
        if self._begun and not self._questions:
            self._finish(self._verdict())

    def _verdict(self) -> str:
        """Ways that were asked tell more than those that were only looked at."""
        if self._asked:
            return "" if "" in self._asked else self._asked[0]
        return "".join([self._mute[key] for key in sorted(self._mute) if self._mute[key]][:1])

    # A command

    def _command(self) -> None:
        try:
            self._pid = process.spawn(self._service, self._health.command)
            self._pidfd = compat.pidfd_open(self._pid)
        except ViscumError as error:
            self._end_soon(str(error))
            return
        self._loop.add(self._pidfd, lambda _: self._ended())
        patience = self._health.timeout
        self._timer = self._loop.after(patience, self._lasts)

    def _lasts(self) -> None:
        """The time is over, unless the command ended while we had no time to see it."""
        if self._pidfd in self._loop.ready():
            self._ended()
        else:
            self._finish("the check does not end within %d s" % self._health.timeout)

    def _ended(self) -> None:
        status = process.result(self._pid, self._name)
        self._pid = 0
        if status is None:
            self._finish(process.KEPT)
            return
        if status == 0:
            try:
                self._listeners = self._look()
            except OSError as error:
                self._finish(compat.strerror(error.errno))
                return
        self._finish("" if status == 0 else "the check ended with " + process.ending(status))


def where(found: "Iterable[Answer]") -> str:
    """` on tcp port 5201 ...`, for the first of these Answers that is for single ports."""
    single = [answer for answer in found if answer.high and answer.low == answer.high]
    return " on %s port %d" % (single[0].match.proto, single[0].low) if single else ""


class Question:
    """One way of one check. It begins with a look at what waits already, and is over when the program has taken what
    waits."""

    asks = True

    def __init__(self, check: "Check", way: "Way") -> None:
        self.way = way
        self._check = check
        self._timer: Timer | None = None
        self._before: int | None = None  # what waited when we looked last
        self._since = 0.0  # when we looked first

    def begin(self) -> None:
        self._look()

    def cancel(self) -> None:
        self._check.loop.cancel(self._timer)

    def _over(self, reason: str) -> None:
        self.cancel()
        self._check.answered(self, "%s port %d: %s" % (self.way.proto, self.way.port, reason) if reason else "")

    def _look(self) -> None:
        """Good when nothing waits for the program, or less than before: then it takes what arrives."""
        try:
            waiting = self._check.waiting(self.way)
        except OSError as error:
            self._over(compat.strerror(error.errno))
            return
        if waiting < 0:
            self._over("it is no longer open")
        elif waiting == 0 or (self._before is not None and waiting < self._before):
            self._over("")
        elif self._check.late and self._before is not None and compat.monotonic() - self._since > MOMENT:
            self._over("the program takes nothing in")
        else:
            if self._before is None:
                self._since = compat.monotonic()
            self._before = waiting
            self._timer = self._check.loop.after(self._check.pause, self._look)


class Look(Question):
    """Asks nothing: what waits there must not wait long."""

    asks = False


class Handshake(Question):
    """A TCP connection as a client makes it."""

    def begin(self) -> None:
        self._client: handshake.Handshake | handshake.Datagram = compat.LATER
        try:
            self._client = self._check.open(self.way)
            self._check.loop.add(self._client.fd, lambda _: self._came())
            self._client.begin(self._send)
        except OSError as error:
            self._fail(error)
            return
        self._timer = self._check.loop.after(self._check.patience, self._silent)

    def _silent(self) -> None:
        """The time is over. What arrived meanwhile counts, if a busy router gave us no time to see it."""
        if not self._came():
            self._over("it does not answer")

    def _send(self, packet: bytes) -> None:
        self._check.send(self.way, packet)

    def _fail(self, error: OSError) -> None:
        """Not at once: the check is still being set up."""
        self._hang_up(False)
        reason = compat.strerror(error.errno)
        self._timer = self._check.loop.after(0, lambda: self._over(reason))

    def _came(self) -> bool:
        """Reads what arrived; returns whether that settles it."""
        try:
            there = self._client.read(self._send)
        except OSError as error:
            self._over(compat.strerror(error.errno))
            return True
        if there:
            self._check.talked()
            self._check.loop.remove(self._client.fd)
            self._check.loop.cancel(self._timer)
            self._look()
        return there

    def _over(self, reason: str) -> None:
        self._hang_up(not reason)
        super()._over(reason)

    def cancel(self) -> None:
        super().cancel()
        self._hang_up(False)

    def _hang_up(self, politely: bool) -> None:
        client, self._client = self._client, compat.LATER
        if client is None:
            return
        self._check.loop.remove(client.fd)
        try:
            client.end(self._send, politely)
        except OSError:
            pass  # the pair is gone, and the program's end with it
        self._check.loop.after(LINGER, lambda: _close(client, self._send))


def _close(client: "handshake.Handshake | handshake.Datagram", send: "Send") -> None:
    try:
        client.hang_up(send)
    except OSError:
        pass  # the pair is gone


class Datagram(Handshake):
    """An empty datagram: answered, or read with nothing coming back."""

    def begin(self) -> None:
        super().begin()
        if self._client is not None:
            self._check.loop.cancel(self._timer)
            self._timer = self._check.loop.after(UDP_PATIENCE, self._silent)

    def _silent(self) -> None:
        if not self._came():
            self._look()


class Inside(Question):
    """A connection or a datagram inside the namespace, by an ordinary socket."""

    def begin(self) -> None:
        self._socket: socket = compat.LATER
        kind, events = (1, POLLOUT) if self.way.proto == "tcp" else (2, POLLIN)
        try:
            place = format_address(self.way.client)
            self._socket = self._check.enter(lambda: compat.connecting(kind, place, self.way.port))
            if kind == 2:
                self._socket.send(b"")
        except OSError as error:
            reason = compat.strerror(error.errno)
            self._timer = self._check.loop.after(0, lambda: self._over(reason))
            return
        self._check.loop.add(self._socket.fileno(), lambda _: self._came(), events)
        self._timer = self._check.loop.after(self._check.patience if kind == 1 else UDP_PATIENCE, self._silent)

    def _silent(self) -> None:
        if self._socket.fileno() in self._check.loop.ready():
            self._came()
        elif self.way.proto == "tcp":
            self._over("it does not answer")
        else:
            self._look()

    def _came(self) -> None:
        try:
            compat.connected(self._socket)
        except OSError as error:
            self._over(compat.strerror(error.errno))
            return
        if self.way.proto == "tcp":
            self._check.talked()
        self._check.loop.remove(self._socket.fileno())
        self._check.loop.cancel(self._timer)
        self._look()

    def cancel(self) -> None:
        super().cancel()
        if self._socket:
            self._check.loop.remove(self._socket.fileno())
            self._socket.close()
            self._socket = compat.LATER
