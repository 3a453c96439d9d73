"""How long a client is without an answer when a program ends, with and without trouble: measured, never judged.

    bench/trouble.py [--only flood,routes] [--interpreters cpython,micropython] [--datapath bpf-tcx] [--repeat 10]

A client of a lab asks a service's address without a pause. The service's program is killed again and again, every other
time right after the agent was told to reload, so that the death may find it at work. What counts is the time until the
cloud has answered the client: in turns without the trouble and with it, by one agent where that can be.

    flood        an account without rights asks the agent's own broker for the plan, a thousand times in one piece, on
                 as many connections as it gets, and never stops
    routes       30,000 more routes on the router
    events       a thousand pairs with names like ours go at the very moment
    descriptors  the agent has no descriptor left (EMFILE)
    log          the agent's stderr is a pipe that nobody reads, and is full; there is no other log
    agents       a second agent for the same configuration is started at the very moment
    connections  64,000 connections are open in the service's namespace, and end with its program
    services     300 services, of which 200 others die at the very moment; how long it takes until all those are healthy
                 again is a figure

Needs root and changes nothing outside of namespaces that it makes. The last line of the output is a JSON object.
"""

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Self

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from agent import TAKES, Agent, NoDescriptors, Public, Unread  # noqa: E402
from chaos import CLIENT  # noqa: E402
from lab import (  # noqa: E402
    CPYTHON,
    MICROPYTHON,
    PROGRAMS,
    Lab,
    echo_command,
    ip,
    isolate,
    kill,
    pids_in,
    service,
    wait_for,
)

Figures = dict[str, float | list[float]]  # whatever else there is to say, each with its unit

INTERPRETERS = {"cpython": CPYTHON, "micropython": MICROPYTHON}
SETTINGS = ("option respawn_timeout 1", "option respawn_retry 0", "option health_interval 1")
ROUTES = 30000
PAIRS = 1000
CONNECTIONS = 64000
SERVICES, DYING = 300, 200
PATIENCE = 180  # seconds for the program to answer again: an agent of before took 94 s with so many routes


def argument(pid: int) -> bytes:
    """The first one of a process: what a Python runs."""
    return (Path("/proc/%d/cmdline" % pid).read_bytes().split(b"\0") + [b""])[1]


class Scene:
    """A lab with an agent, and a client that asks on. Use as a context manager."""

    kind: type[Agent] = Public
    command: str = echo_command("edge", 7000)

    def __init__(self, folder: str, interpreter: str, datapath: str) -> None:
        self.lab = Lab(folder, INTERPRETERS[interpreter], datapath=datapath)
        self.answers = Path(folder) / "answers"
        self.figures: Figures = {}

    def __enter__(self) -> Self:
        self.lab.__enter__()
        self.lab.serve_cloud(7000)
        self.begin()
        with self.answers.open("w") as stream:
            self.lab.start(self.lab.client, sys.executable, "-c", CLIENT, stdout=stream)
        self.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.lab.close()

    def begin(self) -> None:
        """Starts an agent of the kind; how long a client then waited for the program is one of the figures."""
        self.agent = self.kind(self.lab, service("echo", self.command, *TAKES, *SETTINGS))

    def change(self, **what: type[Agent] | str) -> None:
        """Another agent, with another `kind` or `command`."""
        self.agent.kill()
        vars(self).update(what)
        self.begin()

    def tail(self) -> list[tuple[float, str]]:
        """(when, who) of the last answers; nobody is ""."""
        with self.answers.open() as file:
            file.seek(max(0, self.answers.stat().st_size - 65536))
            lines = [line.split(" ") for line in file.read().split("\n")[1:-1]]
        return [(float(when), who) for when, who in lines]

    def wait(self) -> None:
        wait_for(lambda: [who for _, who in self.tail()[-3:]] == ["edge"] * 3, PATIENCE)

    def unanswered(self, reload: bool) -> float:
        """Milliseconds from the death of the program until the cloud has answered."""
        self.wait()
        time.sleep(random.uniform(0.2, 0.7))
        if reload:
            self.agent.process.send_signal(signal.SIGHUP)
            time.sleep(random.uniform(0, 0.01))
        self.prepare()
        (pid,) = [pid for pid in pids_in("viscum-echo") if b"/echo.py" in argument(pid)]
        began = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: self.by_cloud(began), PATIENCE)
        answered = self.by_cloud(began)[0]
        self.recover()
        return 1000 * (answered - began)

    def by_cloud(self, began: float) -> list[float]:
        return [when for when, who in self.tail() if when > began and who == "cloud"]

    # The trouble: begins and ends around some deaths, or comes with each of them

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def prepare(self) -> None:
        """Right before a death."""

    def recover(self) -> None:
        """When the cloud has answered."""


class Flood(Scene):
    def start(self) -> None:
        said = self.lab.tmp / "flood"
        with said.open("w") as stream:
            words = (sys.executable, ROOT / "tests/flood.py", self.agent.socket)
            self.process = self.lab.start(self.lab.router, *words, stdout=stream, stderr=stream)
        wait_for(lambda: "floods" in said.read_text(), 60)
        time.sleep(1)

    def stop(self) -> None:
        kill(self.process)


class Routes(Scene):
    def batch(self, verb: str) -> None:
        lines = ["route %s 20.%d.%d.0/24 dev wan0" % (verb, number >> 8, number & 255) for number in range(ROUTES)]
        (self.lab.tmp / "batch").write_text("\n".join(lines) + "\n")
        ip("-n", self.lab.router, "-batch", self.lab.tmp / "batch")

    def __enter__(self) -> Self:
        super().__enter__()
        self.check("without")
        return self

    def check(self, which: str) -> None:
        began = time.monotonic()
        self.lab.run(self.lab.router, *self.lab.agent("viscum_agent"), "-c", self.lab.confdir, "check", check=False,
                     timeout=PATIENCE, cwd=ROOT, env=self.lab.env())  # fmt: skip
        self.figures["`viscum check` %s, s" % which] = round(time.monotonic() - began, 2)

    def start(self) -> None:
        self.batch("add")
        if len(self.figures) == 1:
            self.check("with")

    def stop(self) -> None:
        self.batch("del")


class Momentary(Scene):
    """Trouble that comes with each death, while `troubled`."""

    troubled = False

    def start(self) -> None:
        self.troubled = True

    def stop(self) -> None:
        self.troubled = False


class Events(Momentary):
    def prepare(self) -> None:
        if not self.troubled:
            return
        lines = ["link add vsc-t%d type veth peer name vsc-u%d" % (number, number) for number in range(PAIRS // 2)]
        lines += ["link set vsc-t%d group 7" % number for number in range(PAIRS // 2)]
        (self.lab.tmp / "batch").write_text("\n".join(lines) + "\n")
        ip("-n", self.lab.router, "-batch", self.lab.tmp / "batch")
        self.wait()
        self.lab.start(self.lab.router, "ip", "link", "del", "group", "7")


class Descriptors(Momentary):
    limit: NoDescriptors | None = None

    def prepare(self) -> None:
        if self.troubled:
            self.limit = NoDescriptors(self.agent.process.pid)
            self.limit.__enter__()

    def recover(self) -> None:
        if self.limit:
            self.limit.__exit__()
            self.limit = None


class Log(Scene):
    """One agent without, another one with the trouble: what an agent's stderr is, is given to it at its start."""

    def start(self) -> None:
        self.change(kind=Unread)

    def stop(self) -> None:
        os.close(self.agent.reading)
        self.change(kind=Public)


class Agents(Momentary):
    """A second one, as often as somebody's script starts it."""

    def prepare(self) -> None:
        if self.troubled:
            self.lab.start(self.lab.router, *self.agent.words(), cwd=ROOT, env=self.lab.env())


class Connections(Scene):
    """One agent without, another one whose program has the connections too: they end and begin with it."""

    def start(self) -> None:
        crowd = PROGRAMS / "crowd.py"
        crowd.write_text(CROWD)
        self.change(command="/usr/bin/python3 %s %d %s" % (crowd, CONNECTIONS // 2, Scene.command))

    def stop(self) -> None:
        self.change(command=Scene.command)

    def wait(self) -> None:
        super().wait()
        if self.command != Scene.command:
            wait_for(lambda: self.open() >= CONNECTIONS, PATIENCE)
            time.sleep(3)  # checks meet them

    def open(self) -> int:
        """How many TCP sockets are in use in the service's namespace."""
        text = self.lab.run("viscum-echo", "cat", "/proc/net/sockstat").stdout
        return int(text.split("TCP: inuse ")[1].split()[0])


# Both ends of each connection, by processes that have few enough each for the limit of descriptors; then the service's
# own program in place of this one.
CROWD = """
import os, resource, socket, sys, time
count, processes = int(sys.argv[1]), 16
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
for number in range(processes):
    if os.fork():
        continue
    listening = socket.create_server(("127.0.0.1", 7100 + number))
    held = []
    for _ in range(count // processes):
        one = socket.create_connection(("127.0.0.1", 7100 + number))
        held += [one, listening.accept()[0]]
    time.sleep(3600)
os.execv(sys.argv[2], sys.argv[2:])
"""


class Services(Momentary):
    def begin(self) -> None:
        self.others = ["s%d" % number for number in range(SERVICES - 1)]
        config = service("echo", self.command, *TAKES, *SETTINGS)
        for number, name in enumerate(self.others):
            takes = (TAKES[0], "list dest_ip 198.18.%d.%d" % (number >> 8, number & 255), TAKES[2])
            config += service(name, echo_command("edge", 7000), *takes, *SETTINGS)
        self.agent = self.kind(self.lab, config)
        began = time.monotonic()
        wait_for(lambda: self.healthy() == SERVICES, PATIENCE)
        self.figures["all are healthy after the start, s"] = round(time.monotonic() - began, 1)

    def healthy(self) -> int:
        try:
            states = json.loads(self.agent.viscum("status", "--json").stdout)
        except (OSError, ValueError, AssertionError, subprocess.SubprocessError):
            return 0
        time.sleep(0.5)
        return [one["state"] for one in states].count("healthy")

    def prepare(self) -> None:
        if self.troubled:
            for name in self.others[:DYING]:
                for pid in pids_in("viscum-" + name):
                    os.kill(pid, signal.SIGKILL)

    def recover(self) -> None:
        began = time.monotonic()
        wait_for(lambda: self.healthy() == SERVICES, PATIENCE)
        if self.troubled:
            again = self.figures.setdefault("all are healthy again, s", [])
            assert isinstance(again, list)  # one for each time
            again.append(round(time.monotonic() - began, 1))


TROUBLES: dict[str, type[Scene]] = {
    "flood": Flood,
    "routes": Routes,
    "events": Events,
    "descriptors": Descriptors,
    "log": Log,
    "agents": Agents,
    "connections": Connections,
    "services": Services,
}


def measure(name: str, interpreter: str, options: argparse.Namespace) -> tuple[dict[str, list[float | None]], Figures]:
    """{"without": [ms], "with": [ms]} and other figures; None in a list where the cloud has not answered in time."""
    found: dict[str, list[float | None]] = {"without": [], "with": []}
    with tempfile.TemporaryDirectory() as folder, TROUBLES[name](folder, interpreter, options.datapath) as scene:
        for turn in range(2):
            found["without"] += deaths(scene, options.repeat // 2)
            scene.start()
            found["with"] += deaths(scene, options.repeat // 2)
            if turn == 0 or name != "routes":
                scene.stop()
        return found, scene.figures


def deaths(scene: Scene, count: int) -> list[float | None]:
    return [death(scene, number % 2 == 1) for number in range(count)]


def death(scene: Scene, reload: bool) -> float | None:
    try:
        return round(scene.unanswered(reload), 1)
    except AssertionError:
        scene.recover()
        return None


def row(name: str, interpreter: str, found: dict[str, list[float | None]]) -> str:
    cells = [name, interpreter]
    for which in ("without", "with"):
        values = [value for value in found[which] if value is not None]
        never = len(found[which]) - len(values)
        text = "%.0f (%.0f)" % (statistics.median(values), max(values)) if values else "-"
        cells.append(text + (", %d times not within %d s" % (never, PATIENCE) if never else ""))
    return "| %s |" % " | ".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--only", default=",".join(TROUBLES), help="some of them")
    parser.add_argument("--interpreters", default=",".join(INTERPRETERS))
    parser.add_argument("--datapath", default="bpf-tcx", help="tests/datapaths.py has their names")
    parser.add_argument("--repeat", type=int, default=20, help="deaths without, and with each trouble")
    parser.add_argument("--json", help="a file for all that was measured")
    options = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("needs root")
    isolate()
    results: dict[str, dict[str, object]] = {}
    print("Until the cloud answers, in ms: median (worst) of %d deaths" % options.repeat)
    print("| trouble | agent | without | with |\n|---|---|--:|--:|", flush=True)
    for name in options.only.split(","):
        for interpreter in options.interpreters.split(","):
            found, figures = measure(name, interpreter, options)
            results["%s %s" % (name, interpreter)] = {**found, **figures}
            print(row(name, interpreter, found), flush=True)
            for text in sorted(figures):
                print("| %s | %s | %s | |" % (name, text, figures[text]), flush=True)
    print(json.dumps(results))
    if options.json:
        Path(options.json).write_text(json.dumps(results))


if __name__ == "__main__":
    main()
