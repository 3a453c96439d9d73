"""One service's life in the agent.

    disabled    not wanted: its section is disabled or gone
    stopped     `stop` was called, and no `start` since
    waiting     wanted, but not possible: its interface is missing, its configuration has a problem, or a foreign object
                is in the way. Every look at the kernel and every reload tries again.
    starting    its namespace is set up and its program runs, but no check has found it healthy yet
    healthy     `health_rise` checks in a row were good; the redirect is in
    bypassed    the program runs and the redirect is out (inhibitors.py): `health_fall` checks failed, the router is
                overloaded, the kernel does not take it, somebody asked for it
    backoff     the program ended; it is restarted after a while (respawn)
    failed      it ended too often, or can't be started; a reload or `start` tries again
    stopping    the redirect is out and the program was asked to end; then its objects are removed

    disabled -> waiting -> starting -> healthy <-> bypassed
                              ^           |           |
                              |           v           v
                              +------- backoff -> failed         any -> stopping -> disabled or stopped

The redirect is in only while healthy. Leaving that state takes it out before anything else, since a redirect to a
program that can't answer is worse than none.
"""

from .. import compat
from ..errors import ViscumError
from ..log import ERROR, NOTICE, WARNING
from ..plan import answers, checks, claims
from ..records import with_
from . import box, process, respawn, running
from .health import GRACE, Outcome, asks_ways
from .holdoff import HoldOff
from .inhibitors import ASKED, CHECKS, FLAPPING, MEDDLED, OVERLOAD, REJECTED, Inhibitors
from .output import Output
from .states import BACKOFF, BYPASSED, DISABLED, FAILED, HEALTHY, STARTING, STOPPED, STOPPING, WAITING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from typing import Any

    from ..agent import Agent
    from ..config.service import Health, Service
    from ..kernel.cgroup import Usage
    from ..loop import Timer
    from ..plan.answers import Open
    from ..plan.planner import ServicePlan
    from ..records.facts import Listener
    from .health import Check

OFF = (DISABLED, STOPPED)
WITHHELD = (BYPASSED, BACKOFF, FAILED)  # has no redirect, whatever was planned

REPAIRED, LATELY = 5, 60  # so many repairs in so many seconds may be needed in a namespace
EAGER = 0.1  # seconds between checks of a program that is starting
SURE = 4  # bad checks after which a way that has never answered counts as mute: a busy router is late now and then
REPAIRS = "what its clients need in its namespace is repeatedly removed or changed"
FLAPS = "it answers again, but failed soon after its last recovery: it must stay healthy for a while"
COUNTED = 10  # seconds that a count of connections is valid, at most


class Way:
    """What the checks have found at one way into the program: taken after `health_rise` good ones in a row, until
    `health_fall` bad ones."""

    def __init__(self) -> None:
        self.taken = self.known = False
        self.reason = ""
        self._good = self._bad = 0

    def judge(self, reason: str, health: "Health") -> None:
        self._good, self._bad = (0, self._bad + 1) if reason else (self._good + 1, 0)
        self.reason = reason or self.reason
        self.taken = self._bad < health.fall if self.taken else self._good >= health.rise
        self.known = self.taken or self._bad >= SURE


class Instance:
    """`agent` does what concerns others: `withdraw(instance)`, `end_connections(name)`, `look_soon(cause)`,
    `changed(instance)`, `say(...)`, `processes()`, `check(instance, turn, done)`, `connections(name)`, `bug(error)`,
    `eager()`, `settle()`, `calm_in()`."""

    def __init__(self, name: str, agent: "Agent") -> None:
        self.name = name
        self.service: Service = compat.LATER  # config.service.Service, as it was last configured
        self.state = DISABLED
        self.reason = ""
        self.pid = 0
        self.held = False  # somebody called `stop`
        self.starts = 0  # by this agent
        self.ended = ""  # how the program ended, until it is restarted
        self.worth: Any = None  # worth.Worth, where that package is
        self._inhibitors = Inhibitors()
        self.part: ServicePlan = compat.LATER  # plan.ServicePlan, as it was last planned, without its objects
        self._takes: tuple = (None, [], [])
        self._connections = (0, -1, 0.0, 0)  # (pid, packets, time) that they were counted for; how many
        self._agent = agent
        self._loop = agent.loop
        self._pidfd = -1
        self._timer: Timer | None = None
        self._check: Check | None = None
        self._good = self._bad = self._crashes = 0
        self._started = 0.0
        self._used: Usage = compat.LATER  # when it was started
        self._seen: list[Listener] = []  # what was open at the last look into the namespace
        self._steady = False  # whether the look before it found the same
        self._listeners: list[Listener] | None = None  # what of it counts, None before the first look
        self._ways: dict[tuple, Way] = {}  # what the checks have found at each way: {answers.way_key: Way}
        self._turn = 0  # counts the checks
        self._holdoff = HoldOff()
        self._output: Output | None = None
        self._read = 0  # datagrams of earlier ones
        self._begun = 0  # the number of the last line before it was started
        self._hinted: list[str] = []  # what was said of its output, with these settings
        self._then: Callable[[], object] = compat.LATER  # what comes after a stop,
        self._again = False  # and whether that is another start
        self._repairs: list[float] = []  # when something was restored in its namespace, lately

    @property
    def redirected(self) -> bool:
        return self.state == HEALTHY

    @property
    def was_checked(self) -> bool:
        """Whether the last check of the running program was good."""
        return self._good > 0

    @property
    def is_settled(self) -> bool:
        """Whether all open sockets were seen often enough to count (answers.settled, Way)."""
        return self._listeners is None or (self._steady and all(way.known for way in self._ways.values()))

    def is_sure(self, seconds: float) -> bool:
        """Whether it is known what it answers. A program that was found running has to pass a check, like any other.
        One that keeps opening other sockets gets no more time than one that starts: it was watched for so long."""
        if not self.redirected:
            return True
        return self.was_checked and (self.is_settled or seconds > self.service.program.start_timeout)

    @property
    def inhibited(self) -> str:
        """Why its redirect stays out although its program runs, "" for nothing."""
        return self._inhibitors.reason

    @property
    def inhibitors(self) -> "list[str]":
        """The names of all that keeps its redirect out (inhibitors.ORDER), whether its program runs or not."""
        return self._inhibitors.names

    @property
    def whole_reason(self) -> str:
        """Why its state is what it is; of `bypassed` all that keeps the redirect out."""
        return "; ".join(self._inhibitors.reasons) if self.state == BYPASSED else self.reason

    @property
    def withheld(self) -> bool:
        """Whether its redirect stays out on purpose, whatever was planned; with `held`, all its objects do."""
        return self.held or self.state in WITHHELD

    @property
    def bypass_asked(self) -> bool:
        """Whether somebody asked for a bypass, whatever the state is."""
        return ASKED in self._inhibitors

    @property
    def uptime(self) -> int:
        """Seconds that the program has run."""
        return int(compat.monotonic() - self._started) if self.pid else 0

    def connections(self, packets: int) -> int:
        """How many TCP connections the program has now; `packets` is how many have come in so far. Without new packets
        its clients' connections are unchanged, and counting is most of the cost of an open page. So only the count of
        those that it opened itself may be off for a while."""
        if not self.pid:
            return 0
        pid, before, when, count = self._connections
        now = compat.monotonic()
        if (pid, before) != (self.pid, packets) or now - when > COUNTED:
            count = self._agent.connections(self.name)
            self._connections = (self.pid, packets, now, count)
        return count

    def become(self, state: str, reason: str = "") -> None:
        """Changes the state; the redirect goes before anybody is told."""
        if (state, reason) == (self.state, self.reason):
            return
        before, self.state, self.reason = self.state, state, reason
        if before == HEALTHY:
            # After that, so that a client that reconnects at once reaches the cloud.
            if not self._agent.withdraw(self, self._can_answer(state)):
                self._agent.end_connections(self.name, patiently=state != STOPPING)
        elif state in (BACKOFF, FAILED) or state in OFF:
            self._agent.end_drain(self.name)
        if state == HEALTHY:
            self._agent.resume_flows(self.name)
            self._agent.look_soon("%s is healthy" % self.name)
        if before != state or state == BYPASSED:
            severity = WARNING if state in (BYPASSED, BACKOFF) else ERROR if state == FAILED else NOTICE
            self._agent.say_state(severity, state + (", " + reason if reason else ""), self.name)
        self._agent.changed(self, before)

    @property
    def drain_time(self) -> int:
        """Seconds that connections may go on when the redirect goes although the program can answer."""
        return self.service.program.drain_timeout if self.service else 0

    def _can_answer(self, state: str) -> bool:
        """Whether the program can go on with its connections when the redirect goes for that state."""
        if not self.pid or not running.alive(self.pid) or not self.drain_time:
            return False
        failed = CHECKS in self._inhibitors or MEDDLED in self._inhibitors
        return state == STOPPING or (state == BYPASSED and not failed)

    def configure(self, service: "Service") -> None:
        """Takes the current settings. A running program is checked by them."""
        before, self.service = self.service, service
        if before and before.program != service.program:
            self._hinted = []
        if self.pid and before and before.health != service.health and self.state not in (WAITING, STOPPING):
            self._check_soon()

    def planned(self, part: "ServicePlan") -> None:
        """Takes the current plan. A new way in it is taken only once it was asked (opened)."""
        # Without the kernel objects, 4 KB of each service: only a look needs them, and makes new ones.
        before, self.part = self.part, with_(part, items=(), shared=())
        if not self.pid or not before or before.answers == part.answers or self.state in (WAITING, STOPPING):
            return
        # A check is not begun anew for each answer of a resolver: it might never end.
        if not self._check or answers.without_names(before.answers) != answers.without_names(part.answers):
            self._check_soon()

    def takes(self) -> "list[str]":
        """What is taken over, as text, sorted; while no program runs, all that is configured."""
        return self._in_words()[1]

    def stays(self) -> "list[str]":
        """What stays with the cloud while the program runs, and why, as text, sorted. While none runs, everything does,
        and the state says why."""
        return self._in_words()[2] if self.pid else []

    def _in_words(self) -> tuple:
        """(what they were made from, what is taken, what stays); kept, since pollers ask again and again."""
        # A plan for other settings is from before a stop: nothing was planned since. (A plan's service has the matches
        # of its names, too, so the programs are compared.)
        part = self.part if self.pid and self.part and self.part.service.program is self.service.program else None
        if self._takes[0] is not (part or self.service):
            stays = part.stays if part else ()
            self._takes = (
                part or self.service,
                sorted({claims.match_text(match) for match in part.takes}) if part else self._configured(),
                sorted({"%s: %s" % each for each in stays}),
            )
        return self._takes

    def _configured(self) -> "list[str]":
        return claims.configured(self.service) if self.service else []

    @property
    def opened(self) -> "Open | None":
        """What is known of the program's sockets, as the plan needs it (answers.Open); None before the first check. A
        way that was not asked yet is not taken."""
        if self._listeners is None:
            return None
        awake = {key for key in self._ways if self._ways[key].taken}
        return answers.Open(
            listeners=self._listeners, awake=awake, mute={key: self._ways[key].reason for key in self._ways}
        )

    def disable(self) -> None:
        self._stop_waiting()
        self.become(self._off)

    @property
    def _off(self) -> str:
        by_hand = self.held and self.service is not None and self.service.enabled
        return STOPPED if by_hand else DISABLED

    # The program

    def _pids(self) -> "list[int]":
        return running.pids(self.name, self._agent.processes())

    def _signal(self, number: int) -> "list[int]":
        """Signals all processes, also a program that is not in its namespace: just forked, or astray."""
        found = process.signal_all(self.name, number, self._agent.processes())
        if self.pid and self.pid not in found and running.alive(self.pid):
            found += process.send([self.pid], number)
        return found

    def ensure(self, redirected: bool) -> None:
        """The service's objects are in place, so its program has to run. `redirected` is whether its redirect was found
        in."""
        if self.pid and self.state == WAITING:
            self.become(STARTING, "nothing is in the way any more")
            self._check_after(0)
        if self.pid or self.state in (FAILED, STOPPING):
            return
        if self.state == BACKOFF and self._timer:  # without one something failed before it was set
            return
        found = running.programs(self.name, self._agent.processes())
        if found:
            self._adopt(running.main_pid(found), redirected)
        else:
            self.start()

    def wait(self, reason: str) -> None:
        """Something is in the way of the service's objects: no redirect, so no checks either. The program keeps
        running."""
        if self.pid:
            self._stop_waiting()
        self.become(WAITING, reason)

    def _adopt(self, pid: int, redirected: bool) -> None:
        """A program from before this agent keeps running, and keeps its traffic if a redirect is in."""
        process.adopt(self.service, pid)
        self._listen_to_it()
        self._watch(pid)
        if redirected:
            self.become(HEALTHY, "found running")
        else:
            self.become(STARTING, "found running")
        self._check_after(0)

    def start(self) -> None:
        self._stop_waiting()
        pid = 0
        self.ended = ""
        self._begun = self._agent.serial()
        self._listen_to_it()
        try:
            pid = process.spawn(self.service)
            self._watch(pid)
        except ViscumError as error:
            self.become(FAILED, str(error))
            return
        except OSError as error:  # no process or descriptor available now
            if pid:
                process.send([pid], compat.SIGKILL)
                process.result(pid, self.name)
            self._start_after(
                max(1, self.service.respawn.timeout), "can't be started: %s" % compat.strerror(error.errno)
            )
            return
        self.starts += 1
        self.become(STARTING)
        self._check_after(self._agent.eager())

    def _listen_to_it(self) -> None:
        """Reads what the program prints. The program runs even if that fails."""
        if self._output is None:
            try:
                self._output = Output(
                    self._loop, self._agent.output(self.name), self._printed, self._agent.to_log(self.name)
                )
            except OSError as error:
                self._agent.say(WARNING, "its output can't be read: %s" % compat.strerror(error.errno), self.name)

    def _printed(self, text: str) -> None:
        """Keeps a line, and says once which option may help where it tells that something is forbidden."""
        self._agent.keep(self.name, text)
        hint = box.hint([text])
        if hint and hint not in self._hinted:
            self._hinted.append(hint)
            self._agent.say(NOTICE, "its program " + hint, self.name)

    @property
    def datagrams(self) -> int:
        """How many datagrams the agent has read of what the program prints, or has sent for a check that goes on."""
        return self._read + (self._output.taken if self._output else 0) + (self._check.sent if self._check else 0)

    @property
    def said(self) -> "list[str]":
        """The last lines that the program printed since it was started."""
        return self._agent.printed(self.name, self._begun)

    def _start_after(self, seconds: float, reason: str) -> None:
        self.become(BACKOFF, "%s; next start in %d s" % (reason, seconds))
        self._timer = self._loop.after(seconds, self.start)

    def _watch(self, pid: int) -> None:
        self._started = compat.monotonic() - running.age(pid)
        self._pidfd = compat.pidfd_open(pid)
        self.pid = pid
        self._used = running.usage(self.name)
        self._forget_checks()
        self._loop.add(self._pidfd, lambda _: self.exited())

    def _forget(self) -> None:
        self._unwatch()
        self._stop_waiting()

    def _unwatch(self) -> None:
        if self._pidfd >= 0:
            self._loop.remove(self._pidfd)
            compat.fd_close(self._pidfd)
        self._pidfd = -1
        self.pid = 0

    def _stop_waiting(self) -> None:
        self._loop.cancel(self._timer)
        self._timer = None
        if self._check:
            self._check.cancel()
            self._check = None

    def ends_by(self, ready: "Collection[int]") -> bool:
        """Whether the program has ended, by the descriptors that are ready."""
        return self._pidfd in ready

    def exited(self) -> None:
        """The program ended: before anything else, its clients go to the cloud."""
        pid = self.pid
        self._agent.end_drain(self.name)
        if self.state == STOPPING:
            self._unwatch()  # what it left behind has the same time to end: the timer keeps running
            process.reap(pid, self.name)
            self._ended()
            return
        self.become(BACKOFF, "the program ended")
        self._forget()
        if self._output:
            self._output.catch_up()
        words = process.reap(pid, self.name)
        hint = box.hint(self.said)
        words += "; it " + hint if hint else ""
        self._signal(compat.SIGKILL)  # what it left behind can't answer in its place
        self._crashed("ended with " + words + process.ran_into(self.service, self._used))

    def _crashed(self, words: str) -> None:
        """Restarts the program after its back-off, or leaves it alone."""
        self.ended = "the program " + words
        ran = compat.monotonic() - self._started
        self._crashes, wait = respawn.after_exit(self.service.respawn, self._crashes, ran)
        if wait < 0:
            self.become(FAILED, "%s, %d times in a row" % (self.ended, self._crashes))
            return
        self._start_after(wait, self.ended)

    def restart(self, reason: str) -> None:
        """Ends the program and restarts it with the current configuration."""
        self._crashes = 0
        if self.state == STOPPING:  # what is left of its program has to end first
            self._then, self._again = lambda: self._agent.look_soon(reason), True
            return
        if not self.pid:
            self._stop_waiting()
            if self.state not in OFF:
                self.become(WAITING, reason)
            self._agent.look_soon(reason)
            return
        self.stop(lambda: self._agent.look_soon(reason), reason, again=True)

    def astray(self) -> None:
        """The program is not where its clients arrive: it is ended, and restarted like one that crashed. A program that
        removes its namespace's name, or leaves it, would do so each time."""
        self.stop(self._after_astray, "it is not in its namespace any more", again=True)

    def _after_astray(self) -> None:
        if self.state == WAITING:
            self._crashed("was ended: it was not in its namespace any more")
        self._agent.look_soon("a namespace is missing")

    def stop(self, then: "Callable[[], object]", reason: str = "", again: bool = False) -> None:
        """Takes the redirect out, ends the program, and calls `then()` when none of its processes is left. `again` is
        whether it is to be started after that."""
        self.become(STOPPING, reason)
        self._stop_waiting()
        self._then, self._again = then, again
        self._agent.when_connections_ended(self.name, self._ask_to_end)

    @property
    def ends_for_good(self) -> bool:
        """Whether it is being stopped, and not to be started again after that."""
        return self.state == STOPPING and not self._again

    def go_on(self) -> None:
        """It is wanted again before its program was asked to end: that one goes on."""
        self.become(STARTING, "wanted again")
        self._check_after(0)

    def _ask_to_end(self) -> None:
        if self.state != STOPPING:
            return
        patience = self.service.program.term_timeout if self.service else process.TERM_TIMEOUT
        self._timer = self._loop.after(patience, self._kill)
        if not self._signal(compat.SIGTERM) and not self.pid:
            self._stop_waiting()
            self._ended()
            return
        if not self.pid:
            self._loop.after(EAGER, self._poll_ended)

    def _kill(self) -> None:
        self._timer = self._loop.after(EAGER, self._kill)  # first, so that it happens whatever the rest does
        if self._signal(compat.SIGKILL):
            return
        self._stop_waiting()
        if not self.pid:
            self._ended()

    def _poll_ended(self) -> None:
        """For processes that are not watched (left over from a killed agent)."""
        if self.state != STOPPING:
            return
        again = self._loop.after(EAGER, self._poll_ended)
        if not self.pid and not self._pids():
            self._loop.cancel(again)
            self._ended()

    def _ended(self) -> None:
        if self.state != STOPPING:
            return
        if self._pids():
            self._loop.after(EAGER, self._poll_ended)
            return
        self._forget()
        process.clear(self.name)
        if self._output:
            self._output.close()
            self._read += self._output.taken
            self._output = None
        if self._again and self._off == DISABLED and self.service and self.service.enabled:
            self.become(WAITING, self.reason)
        else:
            self.become(self._off)
        self._then()

    # Health

    def _forget_checks(self) -> None:
        self._good = self._bad = 0
        self._inhibitors.lift(CHECKS, MEDDLED, FLAPPING)
        self._seen = []
        self._steady = False
        self._listeners = None
        self._ways = {}

    def _check_soon(self) -> None:
        self._stop_waiting()
        self._check_after(0)

    def ask_again(self) -> None:
        """Something speaks against it: it is checked now, if it is checked at all."""
        if self.state in (HEALTHY, BYPASSED) and not self._check and self._is_checked_again():
            self._check_after(0)

    def _check_after(self, seconds: float) -> None:
        self._loop.cancel(self._timer)
        self._timer = self._loop.after(seconds, self._begin_check)

    def _begin_check(self) -> None:
        """A check that never ends, because of a bug, counts as failed: an unchecked program would keep its state."""
        self._turn += 1
        self._timer = self._loop.after(self.service.health.timeout + GRACE, self._overdue)
        self._check = self._agent.check(self, self._turn, self._checked)

    def _overdue(self) -> None:
        if self._check:
            self._check.cancel()
        self._checked(Outcome(reason="the check did not end", listeners=None, mute={}, closed=False))

    def _checked(self, outcome: "Outcome") -> None:
        if self._pidfd >= 0 and compat.poll_fd(self._pidfd, 0):
            return  # the program has ended meanwhile, which is no flap: `exited` comes next
        self._check = None
        self._loop.cancel(self._timer)
        self._timer = None
        if self._is_checked_again():  # first, so that it happens whatever the rest does
            self._check_after(self._agent.eager() if self.state == STARTING else self.service.health.interval)
        before = self._taken()
        self._note(outcome)
        self._judge(outcome)
        if self.state == HEALTHY and before != self._taken():
            self._agent.expects(self)
        if self.state == HEALTHY and not self.is_settled:
            self._check_after(min(self._agent.settle(), self.service.health.interval))

    def _is_checked_again(self) -> bool:
        """Whether another check follows. A service without checks needs no timer, unless something keeps its redirect
        out for a while: the end of that is noticed by a check."""
        return (
            checks.of(self.service, self.part.answers).does != checks.NOTHING
            or self._good + 1 < self.service.health.rise
            or any(name in self._inhibitors for name in (CHECKS, MEDDLED, REJECTED, FLAPPING))
        )

    def _taken(self) -> "list[tuple] | None":
        """The ways that are taken, None before the first look."""
        return None if self._listeners is None else sorted([key for key in self._ways if self._ways[key].taken])

    def _note(self, outcome: "Outcome") -> None:
        """Records what a check has found at each way."""
        if checks.of(self.service, self.part.answers).does == checks.NOTHING:
            # No check will add to what an earlier kind has found, so it would never be settled.
            self._listeners, self._ways = None, {}
            return
        if outcome.listeners is None:
            return
        found = self.part.answers
        self._listeners = answers.settled(found, self._seen, outcome.listeners)
        self._steady = {one[:4] for one in outcome.listeners} == {one[:4] for one in self._seen}
        self._seen = outcome.listeners
        there = {answers.way_key(way) for way in answers.ways(found, self._listeners)}
        health = self.service.health
        asked = asks_ways(self.part)
        for key in there:
            way = self._ways.setdefault(key, Way())
            if key in outcome.mute or not asked:
                way.judge(outcome.mute.get(key, ""), health)
        for key in [key for key in self._ways if key not in there]:
            del self._ways[key]

    def _judge(self, outcome: "Outcome") -> None:
        health, reason = self.service.health, outcome.reason
        self._good, self._bad = (0, self._bad + 1) if reason else (self._good + 1, 0)
        if self._good >= health.rise:
            self._inhibitors.lift(CHECKS, MEDDLED)
        elif reason and CHECKS not in self._inhibitors and self._has_failed(outcome):
            self._inhibitors.put(CHECKS, reason + process.ran_into(self.service, self._used))
            self._agent.end_drain(self.name)
            if self.state == HEALTHY:
                self._holdoff.fell(compat.monotonic())
        self._decide()

    def _has_failed(self, outcome: "Outcome") -> bool:
        """Whether that was one bad check too many."""
        if self.state == STARTING:
            return self._is_late()
        return self._bad >= self.service.health.fall or outcome.closed

    def _is_late(self) -> bool:
        """Whether the program should have begun to answer by now."""
        return compat.monotonic() - self._started > self.service.program.start_timeout

    def _decide(self) -> None:
        """Decides whether the redirect is in, while the program runs and its objects are in place: as soon as its
        checks are good, and while nothing inhibits it."""
        now = compat.monotonic()
        if self.state not in (STARTING, HEALTHY, BYPASSED):
            return
        if self.state != HEALTHY and self._good >= self.service.health.rise:
            wait = self._agent.calm_in() if self.state == STARTING else 0
            if wait:
                self._check_after(wait)
                return
            left = self._holdoff.left(now)
            self._inhibitors.put(FLAPPING, FLAPS if left else "")
            if not left:
                self._inhibitors.lift(REJECTED)
            if not self._inhibitors.reason:
                self._holdoff.came_back(now)
                self.become(HEALTHY)
                return
        elif self.state == STARTING and CHECKS not in self._inhibitors:
            return  # whatever else is in the way, the program gets its time to start
        if self._inhibitors.reason:
            self.become(BYPASSED, self._inhibitors.reason)

    def repaired(self) -> None:
        """Something was restored in its namespace. If that is needed all the time, its clients are left hanging."""
        now = compat.monotonic()
        self._repairs = [when for when in self._repairs if now - when < LATELY] + [now]
        if self.state == HEALTHY and len(self._repairs) > REPAIRED:
            self._repairs = []
            self._keep_out(MEDDLED, REPAIRS)

    def rejected(self, reason: str) -> None:
        """The kernel did not take its redirect. Something may have changed at that moment, so it is tried once more at
        once, and then more and more seldom."""
        self._keep_out(REJECTED, reason)
        if not self._holdoff.left(compat.monotonic()):
            self._check_soon()

    def _keep_out(self, name: str, reason: str) -> None:
        """An inhibitor that is lifted after a good check, but not before the hold-off is over."""
        self._holdoff.fell(compat.monotonic())
        self._inhibitors.put(name, reason)
        self._decide()
        if not self._timer:  # a service without checks
            self._check_after(self.service.health.interval)

    def retry(self) -> None:
        """A reload or `start`: what failed is tried again."""
        self._crashes = 0
        if self.state in (FAILED, BACKOFF):
            self._stop_waiting()
            self.become(WAITING, "the configuration was read again")
        elif self.state == BYPASSED and REJECTED in self._inhibitors:
            self._holdoff = HoldOff()
            self._check_soon()

    def ask_bypass(self, on: bool) -> None:
        """Keeps the redirect out on request, or no longer."""
        self._inhibitors.put(ASKED, "asked for" if on else "")
        self._decide()

    def shed(self, reason: str) -> None:
        """Keeps the redirect out because the router is overloaded; "" when it no longer is."""
        self._inhibitors.put(OVERLOAD, reason)
        self._decide()
