"""Hostile programs (tests/hostile), each beside a witness that is killed meanwhile: whatever one service's program
does, the others' clients have the cloud within a second, and the program again after its back-off; the agent says
nothing of bugs; and after `stop` nothing of the hostile service runs any more."""

import glob
import json
import os
import signal
import sys
import threading
import time
from collections import namedtuple

import pytest
from agent import Served
from lab import CPYTHON, HANG, MICROPYTHON, PROGRAMS, ROOT, Lab, echo_command, namespaces, service, wait_for

from viscum_agent.ubus.caller import Caller

WITHIN = 1  # seconds from the witness's death until its clients have the cloud
MEASURED = 3  # times at most: a machine with something else to do is slow now and then, a fault is there each time
SETTLED = 1.2  # seconds that an attack goes on before the witness is killed: a check of the program is among them

LINES = ("list device lan0", "list proto tcp", "option health_interval 1", "option health_timeout 1")
LINES = (*LINES, "option health_fall 2", "option respawn_timeout 1", "option respawn_retry 0", "option term_timeout 1")
LINES = (*LINES, "option pids_max unlimited")
WITNESS = ("list dest_ip 203.0.113.11", "list dest_port 7100")
PLACES = ("203.0.113.10", "203.0.113.12", "198.18.5.5")  # of the cloud: that of each attack of a crew
CHECKED = ("option healthcheck exec", 'option health_command "/bin/sleep 0.3"')
# As it was before services had a box: what is attacked here is what the box protects.
UNFILTERED = ("list allow_syscalls all", "option view host")
# Who shares the account of those that he attacks can do more.
SHARED = ("option user nobody",)
ROOT_USER = ("option user root", "list capability all", *UNFILTERED)
BUGS = ("a bug, please report it", "Traceback")

# `lines` are further ones of its section; `answered` who may answer its own clients in the end.
Attack = namedtuple("Attack", ("name", "lines", "answered"), defaults=((), ("hostile", "cloud")))
# Those that take a processor, or much of the kernel, whole; and the others.
HEAVY = [
    Attack("breeder"),
    Attack("hopper"),
    Attack("crowd"),
    Attack("spinners"),
    Attack("accept_race", answered=("cloud",)),
    Attack("toggler"),
    Attack("mirror"),
    Attack("listeners"),
    Attack("datagrams"),
    Attack("serial"),
    Attack("descriptors", answered=("cloud",)),
    Attack("log_flood"),
    Attack("log_chunks"),
    Attack("log_crowd"),
    Attack("root_storm", ROOT_USER),
    Attack("root_many", ROOT_USER),
    Attack("root_conntrack", (*ROOT_USER, "option target_port 7000")),
    Attack("root_packets", ROOT_USER),
]
LIGHT = [
    Attack("environment_bytes"),
    Attack("environment_huge"),
    Attack("environment_none"),
    Attack("name_bytes"),
    Attack("arguments_huge"),
    Attack("leaver_child", UNFILTERED),
    Attack("leaver_main", UNFILTERED),
    Attack("leaver_nested", UNFILTERED),
    Attack("group_climber", UNFILTERED),
    Attack("daemons"),
    Attack("deaf"),
    Attack("headless"),
    Attack("tracer", UNFILTERED),
    Attack("check_tracer", (*CHECKED, *UNFILTERED)),
    Attack("stopper", answered=("cloud",)),
    Attack("zombies"),
    Attack("vanisher"),
    Attack("lingerer", answered=("cloud",)),
    Attack("backlog_full", answered=("cloud",)),
    Attack("flicker"),
    Attack("one_family", ("list dest_ip 2001:db8:cafe::10",)),
    Attack("liar", answered=("", "cloud")),
    Attack("log_forged"),
    Attack("log_closed"),
    Attack("log_taken"),
    Attack("root_link_down", ROOT_USER),
    Attack("root_flush", ROOT_USER),
    Attack("root_firewall", (*ROOT_USER, "option target_port 7000")),
    Attack("root_words", ROOT_USER),
    Attack("root_strange", (*ROOT_USER, "option target_port 7000")),
    Attack("root_disowned", ROOT_USER),
    Attack("root_rename", ROOT_USER),
    Attack("root_pair_gone", ROOT_USER),
    Attack("root_name_gone", ROOT_USER),
    Attack("root_names", ROOT_USER),
]
# Those attack alone, these three at a time: a lab, the witness's death and its back-off take longer than most attacks.
COUNT = -(-len(LIGHT) // len(PLACES))
CREWS = [[attack] for attack in HEAVY] + [LIGHT[number::COUNT] for number in range(COUNT)]


class Yard:
    """A lab with an agent and the witness, for one hostile service after the other."""

    def __init__(self, lab):
        self.lab = lab
        self.name = "none"
        lab.serve_cloud(7000, 7100)
        lab.serve(lab.cloud, "control@198.51.100.2", 7001)
        self._programs = PROGRAMS / "hostile"
        self._programs.mkdir()
        for file in (ROOT / "tests/hostile").glob("*.py"):
            (self._programs / file.name).write_text(file.read_text())
        self.agent = Served(lab, self._config())
        self._answers = lab.tmp / "answers"
        self._from = 0
        with self._answers.open("w") as stream:
            words = (sys.executable, ROOT / "tests/asker.py", "203.0.113.11", 7100, "198.51.100.2", 7001)
            lab.start(lab.client, *words, stdout=stream)
        self.witnessed("edge")

    def _config(self, extra=""):
        return service("witness", echo_command("edge", 7100), *WITNESS, *LINES, *SHARED) + extra

    # What the witness's clients get

    def _heard(self, since):
        """(when, who, how long the machine took) of each answer after a moment."""
        lines = [line.split() for line in self._answers.read_text().split("\n")[:-1]]
        return [(float(when), who, float(took)) for when, who, took in lines if float(when) > since]

    def witnessed(self, who, since=None):
        """Waits until the witness's clients are answered by somebody: (when, the machine's worst until then)."""
        since = since or time.monotonic()
        found = []

        def there():
            found[:] = self._heard(since)
            return any(each[1] == who for each in found)

        self.happens(there, "the witness's clients are answered by '%s'" % who)
        first = next(each for each in found if each[1] == who)
        return first[0], max(each[2] for each in found if each[0] <= first[0])

    def happens(self, condition, words):
        try:
            wait_for(condition)
        except AssertionError:
            raise AssertionError("%s: never: %s\n%s" % (self.name, words, self.said())) from None

    def said(self):
        """What the agent has said since the last attack began."""
        return self.agent.log.read_text(errors="replace")[self._from :]

    def row(self, name):
        rows = json.loads(self.agent.viscum("status", "--json").stdout)
        return next((row for row in rows if row["name"] == name), {})

    # One attack

    def begin(self, crew):
        self.name = _name(crew)
        self._from = len(self.agent.log.read_text(errors="replace"))
        sections = [self._section(attack, place) for attack, place in zip(crew, PLACES, strict=False)]
        self.agent.reload(self._config("".join(sections)))
        for attack in crew:
            self.happens(lambda attack=attack: "viscumd: %s: healthy" % attack.name in self.said(), "healthy")
        for attack in crew:
            (_folder(attack) / "go").touch()
        for attack in crew:
            self.happens((_folder(attack) / "begun").exists, "the attack of %s begins" % attack.name)

    def _section(self, attack, place):
        """Its service, with a folder for its program."""
        folder = _folder(attack)
        folder.mkdir()
        folder.chmod(0o777)
        for name in ("born", "held"):
            (folder / name).touch()
            (folder / name).chmod(0o666)
        command = "/usr/bin/python3 %s/%s.py %s" % (self._programs, attack.name, folder)
        takes = ("list dest_ip %s" % place, "list dest_port 7000")
        user = () if any(line.startswith("option user ") for line in attack.lines) else SHARED
        return service(attack.name, command, *takes, *LINES, *user, *attack.lines)

    def kill_witness(self):
        """Returns how long its clients had neither the cloud nor the program, or would have had if the agent had been
        where it was when it took longest to answer a call; without what was the machine's fault."""
        self.happens(lambda: self.row("witness")["pid"], "the witness runs")
        pid = self.row("witness")["pid"]
        begin = time.monotonic()
        with Pulse(self.agent) as pulse:
            time.sleep(SETTLED)
            killed = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            when, _ = self.witnessed("cloud", killed)
            back, _ = self.witnessed("edge", when)
        slow = max(took for at, _, took in self._heard(begin) if at <= back)
        words = (self.name, when - killed, back - killed, pulse.worst, pulse.queued, slow)
        print("%s: cloud after %.2f s, program after %.2f s, pulse %.2f s (queued %.2f s), machine %.2f s" % words)
        return max(when - killed, pulse.worst) - slow

    def held(self, attack):
        """The processes of a hostile program, whatever they did: they have a file open as number 9."""
        mark = os.stat(_folder(attack) / "held")
        return [pid for pid in os.listdir("/proc") if pid.isdigit() and _holds(pid, mark)]

    def stop(self, crew):
        for attack in crew:
            self.happens(lambda attack=attack: self.held(attack), "the test finds the processes of %s" % attack.name)
        begin = time.monotonic()
        for attack in crew:
            with Caller(self.agent.socket, HANG) as caller:  # as `viscum stop`, with more patience
                caller.call("viscum", "stop", {"name": attack.name}, HANG)
        for attack in crew:
            name = attack.name
            self.happens(lambda attack=attack: not self.held(attack), "nothing of %s runs" % name)
            self.happens(lambda name=name: self.row(name)["state"] == "stopped", "%s is stopped" % name)
        print("%s: stopped after %.2f s" % (self.name, time.monotonic() - begin))

    def leave(self, crew):
        """The hostile services go out of the configuration."""
        for file in glob.glob("/run/netns/viscum-*"):
            if os.path.getsize(file) == 0 and not os.path.ismount(file):
                os.unlink(file)
        self.agent.reload(self._config())
        names = {"viscum-" + attack.name for attack in crew}
        self.happens(lambda: not names.intersection(namespaces()), "their namespaces go")

    def recover(self, crew):
        """After a test that failed: what is left of it must not fail the next."""
        self.agent.kill()
        for attack in crew:
            for pid in self.held(attack) if _folder(attack).exists() else ():
                os.kill(int(pid), signal.SIGKILL)
        self.lab.clear()
        self.lab.configure(self._config())
        self.agent.start()
        self.witnessed("edge")


class Pulse(threading.Thread):
    """Calls the agent again and again: how long the slowest answer took is how long it looked after nobody. What it and
    the agent waited for a processor meanwhile is the machine's part: it is taken off, as `queued`."""

    def __init__(self, agent):
        super().__init__(daemon=True)
        self.worst = self.queued = 0.0
        self._agent = agent
        self._ended = threading.Event()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self.join(HANG)

    def run(self):
        with Caller(self._agent.socket, HANG) as caller:
            while not self._ended.wait(0.02):
                waited, begin = self._waited(), time.monotonic()
                caller.call("viscum", "list", {}, HANG)
                took, waited = time.monotonic() - begin, self._waited() - waited
                if took - waited > self.worst:
                    self.worst, self.queued = took - waited, waited

    def _waited(self):
        return queued("%d" % self._agent.process.pid) + queued("thread-self")


def queued(process):
    """Seconds that a process of /proc was ready to run and did not (sched-stats.rst)."""
    with open("/proc/%s/schedstat" % process) as file:
        return int(file.read().split()[1]) / 1e9


def _name(crew):
    return "+".join([attack.name for attack in crew])


def _folder(attack):
    return PROGRAMS / ("run-" + attack.name)


def _holds(pid, mark):
    """Whether a process has a file open as number 9. Its first thread may have ended, and has none then."""
    try:
        tasks = os.listdir("/proc/%s/task" % pid)
    except OSError:
        return False
    for task in tasks[:2] + tasks[-1:]:
        try:
            found = os.stat("/proc/%s/task/%s/fd/9" % (pid, task))
        except OSError:
            continue
        if (found.st_dev, found.st_ino) == (mark.st_dev, mark.st_ino):
            return True
    return False


@pytest.fixture(scope="module", params=["cpython", "micropython"])
def yard(request, tmp_path_factory):
    interpreter = {"cpython": CPYTHON, "micropython": MICROPYTHON}[request.param]
    with Lab(tmp_path_factory.mktemp("hostile"), interpreter) as lab:
        yield Yard(lab)


@pytest.mark.parametrize("crew", CREWS, ids=_name)
def test_others_do_not_notice_what_programs_do(yard, crew):
    try:
        yard.begin(crew)
        assert any(yard.kill_witness() < WITHIN for _ in range(MEASURED)), yard.said()
        for attack, place in zip(crew, PLACES, strict=False):
            words = "clients of %s get %s" % (attack.name, attack.answered)
            yard.happens(lambda attack=attack, place=place: _asked(yard, place) in attack.answered, words)
        yard.stop(crew)
        own = "\n".join([line for line in yard.said().split("\n") if not line.startswith("viscum-")])
        for word in BUGS:
            assert word not in own, own
        yard.leave(crew)
    except BaseException:
        yard.recover(crew)
        raise


def _asked(yard, place):
    return yard.lab.ask("tcp", place, 7000)[0]
