"""Everything that can go wrong around a service goes wrong, while a client asks without a pause: who answers it?

    chaos.py [SECONDS [SEED [cpython|micropython [DATAPATH]]]]          (make chaos)

A seeded script does one FAULT after another to a router of a lab. A client in its own namespace connects and asks
again and again, and writes down when it was answered, and by whom. At every moment that should be the program on the
router or the cloud. The last line that is printed is one JSON object: for each fault how long the client went without
an answer (ms), and what was left over at the end.

A fault of the client's own link (down, rename, another device) leaves it without a way for a moment, whoever answers:
that time is counted from when the link is back.
"""

import contextlib
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from agent import QUICK, TAKES, Guest, descriptors_at_rest, private_memory  # noqa: E402
from lab import CPYTHON, MICROPYTHON, Lab, echo_command, isolate, namespaces, pids_in, service, wait_for  # noqa: E402

SETTINGS = ("option health_fall 2", "option respawn_retry 0", "option term_timeout 1")
PATIENCE = 30  # seconds for the program to answer again: the back-off of a program and a fall of health are in it
HANG = "hang the program"
SEVERAL, SEVERAL_LINK, SEVERAL_HANG = "several at once", "several, with its link", "several, with a hang"
# How long nobody may answer after a fault, in ms. A hung program is found by two checks of up to a second, with a
# second between them.
WORST = 500
WORST_SEVERAL = 2000  # the agent may be away for one of them
WORST_LINK = 4000  # the client has to find the router again
WORST_HUNG = 8000
BUSY = 4  # so many times WORST where others work on the machine
GROWTH = 2048  # KiB of memory that an agent may need more at the end than at half time
CLIENT = """
import socket, sys, time
while True:
    who = ''
    try:
        with socket.create_connection(('203.0.113.10', 7000), 0.2) as sock:
            sock.settimeout(0.2)
            sock.sendall(b'x')
            who = sock.recv(100).split()[0].decode()
    except (OSError, IndexError):
        pass
    print('%.4f %s' % (time.monotonic(), who), flush=True)
    time.sleep(0.005)
"""


class Chaos:
    """`run` for a while; `report` after it."""

    def __init__(self, lab, seed):
        self.lab = lab
        self.random = random.Random(seed)
        self.done = []  # (fault, when it began, when the client had a link again)
        lab.serve_cloud(7000)
        self._variant = 0
        self.router = Guest(lab, self._config())
        self._answers = lab.tmp / "answers"

    def _config(self):
        """One of several configurations that all answer the client; another program, another service beside it."""
        number = self._variant
        text = service("echo", echo_command("edge%d" % (number % 2), 7000), *TAKES, *QUICK, *SETTINGS)
        if number % 3 == 1:
            other = ("list device lan0", "list dest_ip 203.0.113.11", "list dest_port 7001")
            text += service("other", echo_command("other", 7001), *other, *QUICK)
        return text.replace("list dest_port 7000", "list dest_port 6999-7000") if number % 4 == 3 else text

    def run(self, seconds):
        self.router.becomes("edge0", 30)
        with self._answers.open("w") as stream:
            client = self.lab.start(self.lab.client, sys.executable, "-c", CLIENT, stdout=stream)
            end = time.monotonic() + seconds
            half = time.monotonic() + seconds / 2
            middle = None
            while time.monotonic() < end:
                # One agent lives through all of the second half: only so can it be seen to leak.
                if time.monotonic() > half and middle is None:
                    middle = self._footprint()
                self._disturb([fault for fault in FAULTS if middle is None or fault != "kill the agent"])
            self._settle()
            client.kill()
            client.wait()
        return self._report(middle or self._footprint())

    def _disturb(self, names):
        """One fault, or a few of which each comes into the middle of the recovery from another; then all recovers."""
        chosen = [self.random.choice(names) for _ in range(self.random.choice((1, 1, 1, 2, 3)))]
        begin = back = time.monotonic()
        for name in chosen:
            back = max(back, FAULTS[name](self) or begin)
            if len(chosen) > 1:
                time.sleep(self.random.uniform(0, 0.3))
        name = chosen[0] if len(chosen) == 1 else _several(chosen)
        self.done.append((name, begin, back))
        self._answered_again(name)
        time.sleep(self.random.uniform(0.2, 1.0))

    def _answered_again(self, name):
        """By the program, as at the beginning: so each fault meets a service that works."""
        try:
            wait_for(lambda: [who[:4] for _, who in self._tail()[-5:]] == ["edge"] * 5, PATIENCE)
        except AssertionError:
            raise AssertionError(
                "%s: the program does not answer again:\n%s" % (name, self.router.log.read_text())
            ) from None

    def _tail(self):
        with self._answers.open() as file:
            file.seek(max(0, self._answers.stat().st_size - 4096))
            return [_answer(line) for line in file.read().split("\n")[1:-1]]

    # Faults: each returns when the client's link is back, or None

    def kill_program(self):
        for pid in pids_in("viscum-echo"):
            _signal(pid, signal.SIGKILL)

    def hang_program(self):
        """Until after its checks have failed, or only for a moment."""
        pids = pids_in("viscum-echo")
        for pid in pids:
            _signal(pid, signal.SIGSTOP)
        time.sleep(self.random.choice((0.3, 5)))
        for pid in pids:
            _signal(pid, signal.SIGCONT)

    def kill_agent(self):
        self.router.kill()
        time.sleep(self.random.uniform(0, 0.5))
        self.router.start()

    def delete_pair(self):
        self._quietly("ip", "link", "del", "vsc-echo")

    def delete_filters(self):
        self._quietly("tc", "filter", "del", "dev", "lan0", "ingress")

    def delete_qdisc(self):
        self._quietly("tc", "qdisc", "del", "dev", "lan0", "clsact")

    def delete_pins(self):
        """Of the eBPF datapath; the others have none."""
        for pin in self.lab.pins():
            with contextlib.suppress(FileNotFoundError):
                pin.unlink()

    def down(self):
        self._quietly("ip", "link", "set", "lan0", "down")
        time.sleep(self.random.uniform(0, 0.3))
        self._quietly("ip", "link", "set", "lan0", "up")
        return time.monotonic()

    def rename(self):
        for old, new in (("lan0", "other0"), ("other0", "lan0")):
            self._quietly("ip", "link", "set", old, "down")
            self._quietly("ip", "link", "set", old, "name", new)
            self._quietly("ip", "link", "set", new, "up")
            time.sleep(self.random.uniform(0, 0.3))
        return time.monotonic()

    def another_device(self):
        """As with `wifi reload`: the name returns with another index, and without a qdisc."""
        self._quietly("ip", "link", "del", "lan0")
        time.sleep(self.random.uniform(0, 0.3))
        self.lab.wire_client(0)
        return time.monotonic()

    def reload(self):
        self._variant += 1
        self.lab.configure(self._config())
        _signal(self.router.process.pid, signal.SIGHUP)

    def restart_broker(self):
        self.router.broker.kill()
        self.router.broker.wait()
        time.sleep(self.random.uniform(0, 0.3))
        self.router.start_broker(self.lab)

    def _quietly(self, *words):
        """What is to be harmed may be away already."""
        self.lab.run(self.lab.router, *words, check=False)

    # The end

    def _settle(self):
        """No more faults: the program answers, and nothing is left to do."""
        self.lab.configure(service("echo", echo_command("edge", 7000), *TAKES, *QUICK, *SETTINGS))
        self.router.process.send_signal(signal.SIGHUP)
        self.router.becomes("edge", 60)
        wait_for(lambda: "viscum-other" not in namespaces())
        wait_for(lambda: self.router.viscum("list", check=False).stdout == "echo\n")

    def _footprint(self):
        """What may grow in an agent that leaks, at rest and with ubus (the broker may just have been restarted)."""
        wait_for(lambda: self.router.viscum("list", check=False).returncode == 0)
        pid = self.router.process.pid
        fds = len(descriptors_at_rest(pid))
        children = Path("/proc/%d/task/%d/children" % (pid, pid)).read_text().split()
        zombies = [child for child in children if _state(child) == "Z"]
        return {"fds": fds, "zombies": len(zombies), "memory_kib": private_memory(pid)}

    def _report(self, middle):
        end = self._footprint()
        links = json.loads(self.lab.run(self.lab.router, "ip", "-j", "link").stdout)
        answers = [_answer(line) for line in self._answers.read_text().split("\n")[:-1]]
        return {
            "requests": len(answers),
            "by": _counts([who or "nobody" for _, who in answers]),
            "faults": self._by_fault(answers),
            "plan": self.router.viscum("plan").stdout.strip(),
            "namespaces": sorted(name for name in namespaces() if name.startswith("viscum-")),
            "links": sorted(link["ifname"] for link in links),
            "filters": sum(self.router.filters().count(word) for word in ("mirred", "bpf vsc-echo")),
            "agent_at_half": middle,
            "agent_at_end": end,
        }

    def _by_fault(self, answers):
        """How long nobody answered after each fault: until the next one, in ms."""
        found = {}
        for number, (name, _, begin) in enumerate(self.done):
            end = self.done[number + 1][1] if number + 1 < len(self.done) else float("inf")
            found.setdefault(name, []).append(1000 * _unanswered(answers, begin, end))
        return {
            name: {
                "count": len(found[name]),
                "median_ms": round(statistics.median(found[name]), 1),
                "worst_ms": round(max(found[name]), 1),
            }
            for name in sorted(found)
        }


def _several(chosen):
    if HANG in chosen:
        return SEVERAL_HANG
    return SEVERAL_LINK if set(chosen) & set(LINK_FAULTS) else SEVERAL


def too_long(report, busy=1):
    """The faults after which the client went without an answer for too long, in words."""
    bounds = {name: WORST_LINK for name in (*LINK_FAULTS, SEVERAL_LINK)}
    bounds.update({HANG: WORST_HUNG, SEVERAL_HANG: WORST_HUNG, SEVERAL: WORST_SEVERAL})
    worst = {name: report["faults"][name]["worst_ms"] for name in report["faults"]}
    return [
        "%s: nobody answered for %d ms" % (name, worst[name])
        for name in worst
        if worst[name] > bounds.get(name, busy * WORST)
    ]


def left_over(report):
    """What should not be there after a run, in words."""
    wanted = {
        "plan": "# nothing to do",
        "namespaces": ["viscum-echo"],
        "links": ["lan0", "lo", "vsc-echo", "wan0"],
        "filters": 2,
    }
    found = ["%s: %s" % (key, report[key]) for key in wanted if report[key] != wanted[key]]
    half, end = report["agent_at_half"], report["agent_at_end"]
    found += ["the agent had %d descriptors and has %d" % (half["fds"], end["fds"])] if end["fds"] > half["fds"] else []
    grown = end["memory_kib"] - half["memory_kib"]
    found += ["the agent needs %d KiB more" % grown] if grown > GROWTH else []
    return found + (["zombies: %d" % end["zombies"]] if end["zombies"] else [])


def _unanswered(answers, begin, end):
    """Seconds between two times in which requests failed: from the last answer (or `begin`) to the next one."""
    lost, good, failing = 0.0, begin, False
    for when, who in answers:
        if when < begin:
            continue
        if when > end and not failing:
            break
        if who:
            lost += when - good if failing else 0
            good, failing = when, False
        else:
            failing = True
    return lost


def _answer(line):
    when, _, who = line.partition(" ")
    return float(when), who


def _counts(words):
    return {word: words.count(word) for word in sorted(set(words))}


def _signal(pid, number):
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _state(pid):
    try:
        return Path("/proc/%s/stat" % pid).read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


FAULTS = {
    "kill the program": Chaos.kill_program,
    HANG: Chaos.hang_program,
    "kill the agent": Chaos.kill_agent,
    "delete the pair": Chaos.delete_pair,
    "delete the filters": Chaos.delete_filters,
    "delete the qdisc": Chaos.delete_qdisc,
    "delete the pins": Chaos.delete_pins,
    "source interface down": Chaos.down,
    "source interface renamed": Chaos.rename,
    "another source interface": Chaos.another_device,
    "reload other settings": Chaos.reload,
    "restart the broker": Chaos.restart_broker,
}


LINK_FAULTS = ("source interface down", "source interface renamed", "another source interface")


def run(tmp, interpreter, seconds, seed, datapath=None):
    """One run in a lab of its own; returns the report."""
    with Lab(tmp, interpreter, datapath=datapath) as lab:
        report = Chaos(lab, seed).run(seconds)
    return {"seed": seed, "seconds": seconds, **report}


def main(seconds="120", seed="", interpreter="cpython", datapath=None):
    isolate()
    seed = int(seed or time.time())
    print("seed %d" % seed, flush=True)
    with tempfile.TemporaryDirectory() as tmp:
        report = run(tmp, {"cpython": CPYTHON, "micropython": MICROPYTHON}[interpreter], float(seconds), seed, datapath)
    wrong = too_long(report) + left_over(report)
    for line in wrong:
        print("wrong: " + line)
    print(json.dumps({"interpreter": interpreter, **report}))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
