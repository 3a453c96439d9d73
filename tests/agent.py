"""The agent on the router of a lab, as the tests and the chaos run need it."""

import contextlib
import fcntl
import json
import os
import resource
import signal
import socket
import sys
import time
from pathlib import Path

from lab import HANG, PROGRAMS, ROOT, echo_command, inside, kill, service, wait_for

from viscum_agent.ubus.caller import Caller

TAKES = ("list device lan0", "list dest_ip 203.0.113.10", "list dest_port 7000")
QUICK = ("option respawn_timeout 1", "option health_interval 1", "option health_timeout 1")
# For a program that always answers: on a busy machine it is late now and then.
PATIENT = (*QUICK[:2], "option health_timeout 10")
CONFIG = service("echo", echo_command("edge", 7000), *TAKES, *QUICK)


def private_memory(pid):
    """KiB that a process has for itself and has written to: what a leak would add to."""
    text = Path("/proc/%d/smaps_rollup" % pid).read_text()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Private_Dirty:"))


def wrapped(lab, words, script):
    """The words that start an agent, with a script of tests/ in front of its module: that changes something of the
    agent, and runs the rest of them."""
    at = len(lab.interpreter)
    return (*words[:at], ROOT / "tests" / script, *words[at + (words[at] == "-m") :])


class Agent:
    """viscumd on a lab's router, with what it says."""

    def __init__(self, lab, config):
        self.lab = lab
        self.log = lab.tmp / "agent.log"
        lab.configure(config)
        self.process = None
        self.start()

    def start(self):
        with self.log.open("a") as stream:
            self.process = self.lab.start(self.lab.router, *self.words(), cwd=ROOT, env=self.env(), stderr=stream)

    socket = "/nonexistent/ubus.sock"

    def words(self):
        return (*self.lab.agent("viscum_agent.viscumd"), "-c", self.lab.confdir, "-s", self.socket)

    def env(self):
        return self.lab.env()

    def kill(self):
        kill(self.process)

    def reload(self, config):
        self.lab.configure(config)
        self.process.send_signal(signal.SIGHUP)

    def who(self, port=7000, address="203.0.113.10", proto="tcp"):
        return self.lab.ask(proto, address, port)[0]

    def becomes(self, who, seconds=HANG, **place):
        """Waits until a client is answered by somebody at a place, as `who` has it; returns how long that took."""
        begin = time.monotonic()
        self._wait_for(lambda: self.who(**place) == who, seconds, "not answered by %s %s" % (who, place or ""))
        return time.monotonic() - begin

    def says(self, text, seconds=HANG):
        """Waits until the log has a text: the agent writes it after what a client sees has changed."""
        self._wait_for(lambda: text in self.log.read_text(), seconds, "did not say %r" % text)

    def has_done_all(self):
        """Waits until nothing is left to do: a client may be answered, and a redirect be there, before that."""
        done = "# nothing to do\n"
        self._wait_for(lambda: self.lab.viscum("-s", self.socket, "plan").stdout == done, HANG, "has more to do")

    def _wait_for(self, condition, seconds, failure):
        """Fails with the log, which says why."""
        try:
            wait_for(condition, seconds)
        except AssertionError:
            raise AssertionError("%s:\n%s" % (failure, self.log.read_text())) from None

    def filters(self, dev="lan0"):
        return self.lab.redirects(dev)

    def redirects(self, there=True, device="vsc-echo", seconds=HANG):
        """Waits until a redirect is there (or gone), without a pause; returns how long that took."""
        begin = time.monotonic()
        while (device in self.filters()) != there:
            assert time.monotonic() - begin < seconds, self.log.read_text()
        return time.monotonic() - begin


@contextlib.contextmanager
def answering(lab, config=CONFIG, kind=Agent, cloud=(7000,)):
    """An agent that keeps a service whose program answers; the cloud is there, too."""
    lab.serve_cloud(*cloud)
    made = kind(lab, config)
    made.becomes("edge")
    yield made
    assert "Traceback" not in made.log.read_text(), made.log.read_text()


@contextlib.contextmanager
def connected(lab):
    """A client of the service has a TCP connection open."""
    with inside(lab.client):
        client = socket.create_connection(("203.0.113.10", 7000), HANG)
    with client:
        yield


class Served(Agent):
    """An agent that serves ubus on a socket of the lab."""

    @property
    def socket(self):
        return str(self.lab.tmp / "ubus.sock")

    def words(self):
        return (*super().words(), "-b")

    def viscum(self, *words, **options):
        return self.lab.viscum("-s", self.socket, *words, **options)

    def call(self, method, **args):
        with Caller(self.socket) as caller:
            return caller.call("viscum", method, args)

    def state(self):
        return json.loads(self.viscum("status", "--json").stdout)[0]["state"]


WHILE = 5  # seconds: what wakes an agent at all does so every few seconds


class Resting(Served):
    def states(self):
        return {name: row["state"] for name, row in self.call("status")["services"].items()}

    def become(self, **states):
        wait_for(lambda: self.states() == states, HANG)

    def sleeps(self):
        """Waits until it has slept for WHILE: on a busy machine it may still be at work."""
        self._wait_for(lambda: self.wakes() == 0, HANG, "wakes up again and again")

    def wakes(self):
        """How often it woke up during WHILE: the kernel counts how often it gave the processor away."""
        before = self._switches()
        time.sleep(WHILE)
        return self._switches() - before

    def _switches(self):
        text = Path("/proc/%d/status" % self.process.pid).read_text()
        return sum(int(line.split()[1]) for line in text.splitlines() if "ctxt_switches" in line)


class Public(Served):
    """Other accounts find its socket, too."""

    @property
    def socket(self):
        return str(PROGRAMS / "ubus.sock")


class Guest(Agent):
    """An agent on a lab's router, with the broker as a process beside it."""

    def __init__(self, lab, config):
        self.socket = str(lab.tmp / "ubus.sock")
        self.broker = None
        self.start_broker(lab)
        super().__init__(lab, config)

    def start_broker(self, lab):
        self.broker = lab.start(lab.router, sys.executable, ROOT / "tests/ubus_peer.py", "broker", self.socket)

    def viscum(self, *words, **options):
        return self.lab.viscum("-s", self.socket, *words, **options)


class Unread(Agent):
    """Its stderr is a pipe that is full."""

    def start(self):
        self.reading, writing = os.pipe()
        flags = fcntl.fcntl(writing, fcntl.F_GETFL)
        fcntl.fcntl(writing, fcntl.F_SETFL, flags | os.O_NONBLOCK)
        try:
            while os.write(writing, bytes(4096)):
                pass
        except BlockingIOError:
            fcntl.fcntl(writing, fcntl.F_SETFL, flags)
        options = {"cwd": ROOT, "env": self.env(), "stderr": writing}
        self.process = self.lab.start(self.lab.router, *self.words(), **options)
        os.close(writing)


RESTS = 60  # looks, 5 ms apart, in which a process that rests has the same descriptors


def descriptors_at_rest(pid, without_gaps=False):
    """The numbers of a process's descriptors: in the middle of its work it has some more, or has those that it holds in
    reserve in use."""
    looks = []
    while len(looks) < RESTS or len(set(looks[-RESTS:])) > 1 or (without_gaps and max(looks[-1]) >= len(looks[-1])):
        looks.append(frozenset(int(name) for name in os.listdir("/proc/%d/fd" % pid)))
        time.sleep(0.005)
    return looks[-1]


class NoDescriptors:
    """As a context manager: a process gets none any more. It has those that it holds in reserve, unless `least` is how
    many it may have at most: then it opens nothing again that it closes."""

    def __init__(self, pid, least=0):
        self.pid, self._least = pid, least
        self.before = resource.prlimit(pid, resource.RLIMIT_NOFILE)

    def __enter__(self):
        # The limit is on numbers, not on how many there are: below a gap it would take the reserve away, too.
        taken = len(descriptors_at_rest(self.pid, without_gaps=True))
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (self._least or taken, self.before[1]))

    def __exit__(self, *_):
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, self.before)
