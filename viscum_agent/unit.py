"""One service's life in the agent.

    disabled    nothing of it is wanted
    waiting     it is wanted and can't be: its interface is not there, its configuration has a problem, or an object of
                somebody else is in the way. Every look at the kernel and every reload tries again.
    starting    its namespace stands and its program runs, and no check has found it healthy yet
    healthy     `health_rise` checks in a row were good; the redirect is in
    bypassed    the program runs and the redirect is out: `health_fall` checks failed, the router is overloaded, or
                somebody asked for it
    backoff     the program ended; it is started again after a while (respawn)
    failed      it ended too often, or can't be started; a reload or `start` tries again
    stopping    the redirect is out and the program was asked to end; then its objects go

    disabled -> waiting -> starting -> healthy <-> bypassed
                              ^           |           |
                              |           v           v
                              +------- backoff -> failed         any -> stopping -> disabled

The redirect is in only while healthy. Leaving that state takes it out first, whatever else there is to do, since a
redirect to a program that can't answer is worse than none.
"""

from . import compat, process, respawn, sockets
from .errors import ViscumError
from .health import Check, kind_of, target_of
from .log import ERROR, NOTICE, WARNING
from .plan import match_text

DISABLED, WAITING, STARTING, HEALTHY = "disabled", "waiting", "starting", "healthy"
BYPASSED, BACKOFF, FAILED, STOPPING = "bypassed", "backoff", "failed", "stopping"

EAGER = 0.1  # seconds between checks of a program that is starting
COUNTED = 10  # seconds that a number of connections is good for, at most


class Unit:
    """`agent` is asked for what concerns others: `withdraw(unit)`, `end_connections(name)`, `look_soon(cause)`,
    `changed(unit)`, `say(...)`, `processes()`."""

    def __init__(self, name, agent):
        self.name = name
        self.service = None  # model.Service, as it was last configured
        self.state = DISABLED
        self.reason = ""
        self.pid = 0
        self.held = False  # somebody said stop
        self.starts = 0  # by this agent
        self._asked = ""  # why the redirect stays out although the program is healthy: somebody wants it so,
        self._overload = ""  # or the router is overloaded
        self._takes = (None, [])
        self._connections = (0, -1, 0.0, 0)  # what they were counted for, and when; how many
        self._agent = agent
        self._loop = agent.loop
        self._pidfd = -1
        self._timer = None
        self._check = None
        self._good = self._bad = self._crashes = 0
        self._started = 0.0

    @property
    def redirected(self):
        return self.state == HEALTHY

    @property
    def bypass(self):
        return self._asked or self._overload

    @property
    def bypass_asked(self):
        """Whether somebody wants the redirect out, whatever the state is."""
        return bool(self._asked)

    @property
    def uptime(self):
        """Seconds that the program has run."""
        return int(compat.monotonic() - self._started) if self.pid else 0

    def takes(self):
        """The matches of the service in words, sorted; worked out once for each configuration."""
        if self._takes[0] is not self.service:
            self._takes = (self.service, sorted({match_text(match) for match in self.service.matches}))
        return self._takes[1]

    def connections(self, packets):
        """How many TCP connections the program has now, where `packets` have come in until now. While there are no new
        ones its clients' are as they were, and the count is most of what an open page costs: so only those that it
        began itself may be off for a while."""
        if not self.pid:
            return 0
        pid, before, when, count = self._connections
        now = compat.monotonic()
        if (pid, before) != (self.pid, packets) or now - when > COUNTED:
            count = sockets.connections(self.pid)
            self._connections = (self.pid, packets, now, count)
        return count

    def become(self, state, reason=""):
        """Changes the state; the redirect goes before anybody hears of it."""
        if (state, reason) == (self.state, self.reason):
            return
        before, self.state, self.reason = self.state, state, reason
        if before == HEALTHY:
            self._agent.withdraw(self)
            self._agent.end_connections(self.name)  # now, so that a client that comes back at once reaches the cloud
        if state == HEALTHY:
            self._agent.look_soon("%s is healthy" % self.name)
        if before != state:
            severity = WARNING if state in (BYPASSED, BACKOFF) else ERROR if state == FAILED else NOTICE
            self._agent.say(severity, "%s: %s%s" % (self.name, state, ", " + reason if reason else ""))
        self._agent.changed(self, before)

    def configure(self, service):
        """Takes the settings of now. A program that goes on is checked by them; where another port is asked, clients
        come to it after that."""
        before, self.service = self.service, service
        if not self.pid or self.state in (WAITING, STOPPING) or not (before.matches and service.matches):
            return
        moved = target_of(before) != target_of(service)
        if moved or before.health != service.health:
            self._stop_waiting()
            self._good = self._bad = 0
            if moved:
                self.become(STARTING, "its settings changed")
            self._check_after(0)

    def disable(self):
        self._stop_waiting()
        self.become(DISABLED)

    # The program

    def _pids(self):
        return process.pids(self.name, self._agent.processes())

    def _signal(self, number):
        """Signals all that runs; the program may be forked and not in its namespace yet, or astray."""
        found = self._pids()
        if self.pid and self.pid not in found and process.alive(self.pid):
            found.append(self.pid)
        return process.send(found, number)

    def ensure(self):
        """The service's objects stand: its program has to run."""
        if self.pid and self.state == WAITING:
            self.become(STARTING, "nothing is in the way any more")
            self._check_after(0)
        if self.pid or self.state in (BACKOFF, FAILED, STOPPING):
            return
        found = [pid for pid in self._pids() if not process.is_visitor(pid)]
        if found:
            self._adopt(process.main_pid(found))
        else:
            self.start()

    def wait(self, reason):
        """Something is in the way of the service's objects: no redirect, so no checks either. The program goes on."""
        if self.pid:
            self._stop_waiting()
        self.become(WAITING, reason)

    def _adopt(self, pid):
        """A program from before this agent: it goes on, with its traffic where a redirect is in."""
        self._watch(pid)
        if self._agent.is_redirected(self.name):
            self.become(HEALTHY, "found running")
        else:
            self.become(STARTING, "found running")
        self._check_after(0)

    def start(self):
        self._stop_waiting()
        pid = 0
        try:
            pid = process.spawn(self.service)
            self._watch(pid)
        except ViscumError as error:
            self.become(FAILED, str(error))
            return
        except OSError as error:  # no process or no descriptor to be had now
            if pid:
                process.send([pid], compat.SIGKILL)
                compat.waitpid(pid, 0)
            self._start_after(
                max(1, self.service.respawn.timeout), "can't be started: %s" % compat.strerror(error.errno)
            )
            return
        self.starts += 1
        self.become(STARTING)
        self._check_after(EAGER)

    def _start_after(self, seconds, reason):
        self.become(BACKOFF, "%s; it is started again in %d s" % (reason, seconds))
        self._timer = self._loop.after(seconds, self.start)

    def _watch(self, pid):
        self._started = compat.monotonic() - process.age(pid)
        self._pidfd = compat.pidfd_open(pid)
        self.pid = pid
        self._good = self._bad = 0
        self._loop.add(self._pidfd, lambda _: self._exited())

    def _forget(self):
        if self._pidfd >= 0:
            self._loop.remove(self._pidfd)
            compat.fd_close(self._pidfd)
        self._pidfd = -1
        self.pid = 0
        self._stop_waiting()

    def _stop_waiting(self):
        self._loop.cancel(self._timer)
        self._timer = None
        if self._check:
            self._check.cancel()
            self._check = None

    def _exited(self):
        """The program ended: clients go to the cloud first of all."""
        pid = self.pid
        stopping = self.state == STOPPING
        if not stopping:
            self.become(BACKOFF, "the program ended")
        self._forget()
        words = process.reap(pid)
        if stopping:
            self._ended()
            return
        self._signal(compat.SIGKILL)  # what it left behind can't answer for it
        ran = compat.monotonic() - self._started
        self._crashes, wait = respawn.after_exit(self.service.respawn, self._crashes, ran)
        if wait < 0:
            self.become(FAILED, "the program ended %d times in a row, the last time with %s" % (self._crashes, words))
            return
        self._start_after(wait, "the program ended with " + words)

    def restart(self, reason):
        """Ends the program, to be started anew with what is configured now."""
        self._crashes = 0
        if not self.pid:
            self._stop_waiting()
            if self.state != DISABLED:
                self.become(WAITING, reason)
            self._agent.look_soon(reason)
            return
        self.stop(lambda: self._agent.look_soon(reason), reason)

    def stop(self, then, reason=""):
        """Takes the redirect out, ends the program, and calls `then()` when nothing of it runs any more."""
        self.become(STOPPING, reason)
        self._stop_waiting()
        self._then = then
        if not self._signal(compat.SIGTERM) and not self.pid:
            self._ended()
            return
        patience = self.service.program.term_timeout if self.service else process.TERM_TIMEOUT
        self._timer = self._loop.after(patience, self._kill)
        if not self.pid:
            self._loop.after(EAGER, self._poll_ended)

    def _kill(self):
        if self._signal(compat.SIGKILL):
            self._timer = self._loop.after(EAGER, self._kill)
        elif not self.pid:
            self._ended()

    def _poll_ended(self):
        """For processes that are not watched (left over from an agent that was killed)."""
        if self.state == STOPPING and not self.pid and not self._pids():
            self._ended()
        elif self.state == STOPPING:
            self._loop.after(EAGER, self._poll_ended)

    def _ended(self):
        if self.state != STOPPING:
            return
        if self._pids():
            self._loop.after(EAGER, self._poll_ended)
            return
        self._forget()
        self.become(DISABLED)
        self._then()

    # Health

    def _check_after(self, seconds):
        self._loop.cancel(self._timer)
        self._timer = self._loop.after(seconds, self._begin_check)

    def _begin_check(self):
        self._check = Check(self._loop, self.service, self.pid, self._checked)

    def _checked(self, reason):
        self._check = None
        try:
            self._judge(reason)
        finally:
            # One that is not checked needs no timer.
            if kind_of(self.service) != "none" or self._good < self.service.health.rise:
                self._check_after(EAGER if self.state == STARTING else self.service.health.interval)

    def _judge(self, reason):
        health = self.service.health
        self._good, self._bad = (0, self._bad + 1) if reason else (self._good + 1, 0)
        if self.state == HEALTHY and self.bypass:
            self.become(BYPASSED, self.bypass)
        elif self.state != HEALTHY and self._good >= health.rise:
            self.become(*((BYPASSED, self.bypass) if self.bypass else (HEALTHY, "")))
        elif self.state == HEALTHY and self._bad >= health.fall:
            self.become(BYPASSED, reason)
        elif self.state == STARTING and reason:
            self._still_starting(reason)

    def _still_starting(self, reason):
        if compat.monotonic() - self._started > self.service.program.start_timeout:
            self.become(BYPASSED, reason)

    def retry(self):
        """A reload: what failed is tried again."""
        self._crashes = 0
        if self.state in (FAILED, BACKOFF):
            self._stop_waiting()
            self.become(WAITING, "the configuration was read again")

    def ask_bypass(self, on):
        """Keeps the redirect out because somebody wants it so, or no longer."""
        self._asked = "asked for" if on else ""
        self._judge_bypass()

    def shed(self, reason):
        """Keeps the redirect out because the router is overloaded, "" when it is no longer."""
        self._overload = reason
        self._judge_bypass()

    def _judge_bypass(self):
        if self.bypass and self.state == HEALTHY:
            self.become(BYPASSED, self.bypass)
        elif self.state == BYPASSED and self._good >= self.service.health.rise:
            self.become(*((BYPASSED, self.bypass) if self.bypass else (HEALTHY, "")))
