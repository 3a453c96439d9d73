"""Asks the router's own resolver for the addresses of names, in the agent's loop, without waiting.

The resolver is the one that /etc/resolv.conf names, as for every program of the router: on OpenWrt that is dnsmasq
(127.0.0.1), which knows /etc/hosts, its own sections and its leases; while it does not run, it is the provider's. Each
question has a number that nobody can guess and a socket of its own, whose port the kernel draws (RFC 5452), and which
takes packets from the resolver only.
"""

from .. import compat
from ..address import parse_address
from ..loop import Loop
from ..plan import byname
from ..records.facts import Host
from . import known, message

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from ..config.service import Named, Service
    from ..loop import Timer
    from ..plan.actual import Observed
    from ..records.dump import Link
    from .listen import Listener

RESOLV_CONF = "/etc/resolv.conf"
MOST_CONF = 16384  # bytes of it that are read
LOCAL = "127.0.0.1"  # where nothing is said (resolv.conf(5))
MOST_SERVERS = 3  # MAXNS of resolv.h
PORT = 53

WIDTH = 8  # questions at a time: each has a descriptor
TIMEOUT, TRIES = 2, 3  # seconds for an answer; how often a question is sent
JUNK = 16  # packets that are no answer: then somebody guesses, and the question gets another number and port
PATIENCE = 3  # seconds that a command waits for all answers
UNHEARD = Host((), "no client has asked for such a name")


class Question:
    """For one name and family. `done(question, answer, reason)` is called once, with an Answer or why there is none."""

    def __init__(self, name: str, family: int, loop: "Loop", servers: "list[str]", done: "Callable") -> None:
        self.name, self.family = name, family
        self.began = compat.monotonic()
        self.silent = False  # whether the last resolver that was asked said nothing
        self._loop, self._servers, self._done = loop, servers, done
        self._tries = self._junk = self._number = 0
        self._socket: Any = None
        self._timer: Timer | None = None

    def begin(self) -> None:
        self._next("")

    def _server(self) -> str:
        return self._servers[(self._tries - 1) % len(self._servers)]

    def _next(self, reason: str, silent: bool = False, late: bool = False) -> None:
        """Asks, or asks again if that is worth it: whom nothing was heard of, or another resolver."""
        self.close()
        self.silent = silent
        if self._tries >= (TRIES if late else len(self._servers)):
            self._done(self, None, reason)
            return
        self._tries += 1
        self._junk = 0
        self._number = compat.random32() & 0xFFFF
        try:
            sock = self._socket = compat.connecting(2, self._server(), PORT)
            compat.fd_send(sock.fileno(), message.question(self._number, self.name, self.family))
        except OSError as error:
            self._refused(error)
            return
        self._loop.add(sock.fileno(), lambda _: self._read(), patient=True)
        self._timer = self._loop.after(TIMEOUT, self._too_late)

    def _too_late(self) -> None:
        self._next("%s does not answer" % self._server(), True, True)

    def _refused(self, error: OSError) -> None:
        self._next("%s can't be asked: %s" % (self._server(), compat.strerror(error.errno)), True)

    def _read(self) -> None:
        try:
            data = compat.fd_receive(self._socket.fileno(), message.SIZE)
        except OSError as error:  # nobody is there (ECONNREFUSED)
            self._refused(error)
            return
        if data is None:
            return
        found = message.answer(data, self._number, self.name, self.family)
        if found is None:
            self._junk += 1
            if self._junk >= JUNK:
                self._too_late()
        elif found.rcode not in (message.NO_ERROR, message.NO_NAME):
            said = message.RCODES.get(found.rcode, "error %d" % found.rcode)
            self._next("%s says %s" % (self._server(), said))
        elif found.cut and not found.addresses:
            self._next("the answer of %s does not fit into a datagram" % self._server())
        else:
            self.close()
            self._done(self, found, "")

    def close(self) -> None:
        self._loop.cancel(self._timer)
        if self._socket:
            self._loop.remove(self._socket.fileno())
            self._socket.close()
            self._socket = None


class Asker:
    """`changed()` is called whenever the addresses of names have changed. `adopts` is whether what the kernel has at
    the first look is an earlier agent's: then that is kept until the names of its service were answered."""

    def __init__(self, loop: "Loop", changed: "Callable[[], object]", adopts: bool = False) -> None:
        self.known = known.Known()
        self._loop = loop
        self._changed = changed
        self._queue: list[tuple[str, int]] = []
        self._open: dict[tuple[str, int], Question] = {}
        self.servers: list[str] = []
        self._heard = 0.0  # when somebody answered last
        self._timer: Timer | None = None
        self._held: dict[str, tuple[Sequence[Named], list[tuple]]] | None = None if adopts else {}
        self._wild: list[str] = []
        self._snooping: set[str] = set()  # services that take what clients are told
        self._listener: Listener | None = None

    @property
    def is_busy(self) -> bool:
        return bool(self._open)

    def follow(self, wanted: "dict[str, list[int]]", services: "Iterable[Service]" = ()) -> None:
        """Asks for these names (hosts.wanted) of services now, and from now on."""
        self._wild = [name for name in wanted if known.is_wild(name)]
        wanted = {name: wanted[name] for name in wanted if not known.is_wild(name)}
        self.known.want(wanted)
        snooping = [each for each in services if each.named and each.snoop and each.enabled]
        self._snooping = {each.name for each in snooping}
        if snooping and not self._listener:
            from .listen import Listener  # only where somebody says so

            self._listener = Listener(self._loop, self._changed)
        if self._listener:
            self._listener.follow(snooping)
        for key in [key for key in self._open if key[0] not in wanted]:
            self._open.pop(key).close()
        self._turn()

    def look(
        self,
        services: "Iterable[Service]",
        observed: "Observed",
        links: "Iterable[Link]",
        interfaces: "dict[str, list[str]]",
    ) -> "tuple[known.Hosts, dict]":
        """(hosts, held) as in facts.Facts; `links` and the devices of `interfaces` are those that there are now."""
        if self._held is None:
            self._held = {}
            for each in services:
                found = [one for one in byname.held(observed.of(each.name)) if not known.refused(one[1].packed)]
                if found:
                    self._held[each.name] = (each.named, found)
            self._loop.after(known.GRACE, lambda: self._let_go(True))
        held = self._unanswered()
        kept = [each for each in services if each.name in held and held[each.name][0] == each.named]
        more: dict[Any, Host] = {name: UNHEARD for name in self._wild}
        if self._listener:
            self._listener.look(links, interfaces)
            more.update(self._listener.hosts())
        return known.Hosts(self.known, more), {each.name: held[each.name][1] for each in kept}

    def _unanswered(self) -> "dict[str, tuple[Sequence[Named], list[tuple]]]":
        held = self._held or {}
        # What clients were told before, nobody tells them again as long as they know it.
        return {name: held[name] for name in held if name in self._snooping or not self.known.answered(held[name][0])}

    def _let_go(self, all_of_it: bool = False) -> None:
        left = {} if all_of_it else self._unanswered()
        if self._held and len(left) < len(self._held):
            self._held = left
            self._changed()

    def _turn(self) -> None:
        """Asks for what is due, or waits until something is."""
        self._loop.cancel(self._timer)
        now = compat.monotonic()
        if self.known.expire(now):
            self._changed()
        self._queue = [each for each in self.known.due(now) if each not in self._open]
        self.servers = servers()
        self._fill()

    def _fill(self) -> None:
        while self._queue and len(self._open) < WIDTH:
            key = self._queue.pop(0)
            self._open[key] = Question(key[0], key[1], self._loop, self.servers, self._done)
            self._open[key].begin()
        if self._open:
            return
        self._let_go()
        due = self.known.next()
        if due < float("inf"):
            self._loop.cancel(self._timer)
            self._timer = self._loop.after(max(0, due - compat.monotonic()), self._turn)

    def _done(self, question: "Question", answer: "message.Answer | None", reason: str) -> None:
        now = compat.monotonic()
        key = (question.name, question.family)
        self._open.pop(key, None)
        if answer:
            self._heard = now
            why = "no such name" if answer.rcode == message.NO_NAME else known.NONE
            changed = self.known.learn(key[0], key[1], answer.addresses, answer.ttl, now, why)
        else:
            lost = [key]
            if question.silent and self._heard <= question.began:  # nobody is there: the others have to wait as well
                lost += self._queue
                self._queue = []
            changed = any([self.known.lost(name, family, reason, now) for name, family in lost])
        if changed:
            self._changed()
        self._fill()

    def close(self) -> None:
        self._loop.cancel(self._timer)
        for question in self._open.values():
            question.close()
        self._open = {}
        if self._listener:
            self._listener.close()


def servers() -> "list[str]":
    """The addresses of the router's resolvers, in their order."""
    try:
        data = compat.read_file(RESOLV_CONF, MOST_CONF)
    except OSError:
        data = b""
    found = []
    for line in data.split(b"\n"):
        words = line.split()
        if len(words) < 2 or words[0] != b"nameserver":
            continue
        try:
            text = words[1].decode()
            parse_address(text)
            found.append(text)
        except (ValueError, UnicodeError):
            pass  # with a zone, or no address at all
    return found[:MOST_SERVERS] or [LOCAL]


def at_once(wanted: "dict[str, list[int]]") -> "dict[str, Host]":
    """What a command finds out of these names (hosts.wanted), within PATIENCE."""
    loop = Loop()
    asker = Asker(loop, lambda: None)
    try:
        asker.follow(wanted)
        loop.after(PATIENCE, asker.close)
        while asker.is_busy:
            loop.step()
    finally:
        asker.close()
    found = asker.known.hosts()
    # Not all of these may have been asked.
    silent = Host((), "is not known: no answer of %s within %d s" % (" or ".join(asker.servers), PATIENCE))
    return {name: UNHEARD if known.is_wild(name) else found.get(name, silent) for name in wanted}
