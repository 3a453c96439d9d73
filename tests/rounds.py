"""100 TCP connections talk on while a service comes and goes and its agent is swapped and killed: which one notices?

    rounds.py [ROUNDS [cpython|micropython [DATAPATH]]]          (make test-flows)

Half of the connections are the cloud's, from before the first redirect, the others the service's; IPv4 and IPv6. Each
asks ten times a second, and each answer says who gives it and how many bytes have come. A round does each of CHANGES;
every other round swaps and kills the agent while the service drains. After each change two new connections (one of each
family) begin, and those from before it have to go on. Prints a table; exits with 1 if anything was wrong.
"""

import sys
import tempfile
import time
from collections import namedtuple
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import datapaths  # noqa: E402
from agent import PATIENT, Served, wrapped  # noqa: E402
from lab import CPYTHON, HANG, MICROPYTHON, Lab, isolate, wait_for  # noqa: E402
from talks import Crowd, Router, Talk, both, sides, still_goes_on  # noqa: E402

from viscum_agent.ebpf import layout  # noqa: E402

TALKS = 100
STALL = 1  # second
AGAIN = 40000  # a client's port that is used again
BY_MODE = [name for name in ("bpf-tcx", "bpf-cls", "bpf-netkit") if datapaths.has(name)]

# A name, what it does, who has the connections that begin after it, and whether only after a moment.
Change = namedtuple("Change", ("name", "step", "side", "waits"))


class Versions(Served):
    """One of two versions of the agent."""

    other = False

    def words(self):
        words = super().words()
        return wrapped(self.lab, words, "other_version.py") if self.other else words

    def starts_again(self):
        said = self.log.read_text().count("is on ubus")
        self.start()
        wait_for(lambda: self.log.read_text().count("is on ubus") > said)


class Rounds:
    """`run` for some rounds, `report` after it."""

    def __init__(self, lab):
        self.lab = lab
        self.router = Router(lab, Versions, PATIENT)
        self.agent = self.router.agent
        self.crowd = Crowd()
        self.changes = self.begun = 0
        self.wrong = []  # sentences about connections that were not of the crowd
        self.slowest = 0.0  # seconds until the first answer of a new one
        self._before = []  # those that began before a change
        self._again = None

    def run(self, rounds):
        with self.crowd:
            self.crowd.join(self._begin(TALKS // 2, "c"))
            for number in range(rounds):
                for change in CHANGES[number % 2]:
                    self._change(change)
            self._fill()
            time.sleep(STALL + 0.5)  # what does not answer any more is seen

    def _change(self, change):
        change.step(self)
        self.changes += 1
        new = self._new(change)
        if not all(map(still_goes_on, self._before)):
            self.wrong.append("%s: a connection from before it does not go on" % change.name)
        if change.side == "e" and len(self.crowd.talks) <= TALKS // 2:
            self.crowd.join(self._begin(TALKS // 2, "e"))
        self._use_port_again(change)
        for talk in self._before:
            talk.reset()
        self._before = new

    def _new(self, change):
        """Two connections that begin after a change. Those that begin before it has come stay where they are, too."""
        early, give_up = [], time.monotonic() + HANG
        while True:
            new = self._timed(lambda: both(self.lab))
            if sides(new) == {change.side} or not change.waits or time.monotonic() > give_up:
                break
            early += new
            time.sleep(0.01)
        if sides(new) != {change.side}:
            self.wrong.append("%s: new connections go to %s" % (change.name, sorted(sides(new))))
        if not all(map(still_goes_on, early)):
            self.wrong.append("%s: a connection that had just begun does not go on" % change.name)
        return new

    def _begin(self, count, side):
        new = [talk for _ in range(count // 2) for talk in self._timed(lambda: both(self.lab))]
        if sides(new) != {side}:
            self.wrong.append("some of %d new connections go to %s" % (count, sorted(sides(new))))
        return new

    def _timed(self, begin):
        began, new = time.monotonic(), []
        try:
            new = begin()
        except OSError as error:
            self.wrong.append("a new connection: %s" % error)
        self.begun += len(new)
        self.slowest = max(self.slowest, time.monotonic() - began)
        return new

    def _use_port_again(self, change):
        """A client's port that the service had is the cloud's in the next connection, once the redirect is out."""
        if self._again:
            self._again.reset()
            self._again = None
        for talk in self._timed(lambda: [Talk(self.lab, port=AGAIN)]):
            self._again = talk
            if talk.side != change.side:
                self.wrong.append("%s: a port that is used again goes to %s" % (change.name, talk.side))

    def _fill(self):
        """The map of the flows is full twice over, of connections that never go on."""
        oldest, newest, there = self.router.fill()
        # A few places are at hand for each CPU (LOCAL_FREE_TARGET in kernel/bpf/bpf_lru_list.c).
        if len(there & oldest) > layout.FLOWS // 16 or len(newest - there) > layout.FLOWS // 16:
            self.wrong.append("a full map keeps %d old and loses %d new" % (len(there & oldest), len(newest - there)))

    # Changes

    def enable(self):
        self._configure(self.router.config)

    def disable(self):
        self._configure(self.router.off)

    def reload(self):
        """A setting that needs no other program."""
        self._configure(self.router.config.replace("health_interval 1", "health_interval 2"))

    def bypass(self):
        self.router.bypass(True)

    def resume(self):
        self.router.bypass(False)

    def upgrade(self):
        self.agent.process.terminate()
        self.agent.process.wait(HANG)
        self.agent.other = not self.agent.other
        self.agent.starts_again()
        if self.agent.other:  # in the rounds in which nothing drains
            wait_for(lambda: "program_fwd_other" in [pin.name for pin in self.lab.pins()])

    def kill(self):
        self.agent.kill()
        self.agent.starts_again()

    def _configure(self, config):
        self.lab.configure(config)
        self.agent.call("reload")

    def report(self):
        log = self.agent.log.read_text()
        crowd = self.crowd
        return {
            "changes": self.changes,
            "connections": len(crowd.talks) + self.begun,
            "answers": crowd.answers,
            "resets": len(crowd.lost),
            "other side": len(crowd.changed),
            "stalls over 1 s": crowd.stalls,
            "longest, s": round(crowd.longest, 2),
            "slowest new, s": round(self.slowest, 2),
            "wrong": self.wrong + sorted({text for _, text in crowd.lost}),
            "bugs": log.count("Traceback") + log.count("a bug"),
        }


ENABLE = Change("enable", Rounds.enable, "e", True)
BYPASS = Change("bypass", Rounds.bypass, "c", False)
RESUME = Change("resume", Rounds.resume, "e", True)
RELOAD = Change("reload", Rounds.reload, "e", False)
DISABLE = Change("disable", Rounds.disable, "c", False)
CHANGES = (
    (ENABLE, BYPASS, RESUME, RELOAD)
    + (Change("upgrade", Rounds.upgrade, "e", False), Change("kill -9", Rounds.kill, "e", False), DISABLE),
    (ENABLE, BYPASS, RESUME, RELOAD, DISABLE)
    + (Change("upgrade", Rounds.upgrade, "c", False), Change("kill -9", Rounds.kill, "c", False)),
)


def bad(report):
    """What should not be in a report, in words."""
    counted = ("resets", "other side", "stalls over 1 s", "bugs")
    return ["%s: %d" % (name, report[name]) for name in counted if report[name]] + report["wrong"]


def run(tmp, interpreter, rounds, datapath):
    """One run in a lab of its own; returns the report."""
    with Lab(tmp, interpreter, datapath=datapath) as lab:
        made = Rounds(lab)
        made.run(rounds)
        return made.report()


def main(rounds="100", interpreter="cpython", datapath=None):
    isolate()
    wrong = []
    for number, name in enumerate([datapath] if datapath else BY_MODE):
        with tempfile.TemporaryDirectory() as tmp:
            began = time.monotonic()
            words = {"cpython": CPYTHON, "micropython": MICROPYTHON}[interpreter]
            report = run(Path(tmp) / "lab", words, int(rounds), name)
        wrong += ["%s: %s" % (name, text) for text in bad(report)]
        columns = {"datapath": name, "rounds": rounds, **report, "seconds": round(time.monotonic() - began)}
        del columns["wrong"], columns["bugs"]
        if number == 0:
            print("| %s |\n|%s" % (" | ".join(columns), "---|" * len(columns)))
        print("| %s |" % " | ".join(map(str, columns.values())), flush=True)
    for text in wrong:
        print("wrong: " + text)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
