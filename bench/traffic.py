"""Packets between two namespaces, and what they cost: drives bench/traffic.c and iperf3.

How a packet's cost is measured: everything here is veth, where the sender's own system call carries a packet through
the whole path up to the receiving socket, on one core. So the CPU time of the sender, with that of the core's ksoftirqd
for what was put off, is the cost of the path and of one send and one receive. It does not grow when others use the
machine, as wall time does.
"""

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Self

from lab import Lab, listens, run, wait_for

HERE = Path(__file__).resolve().parent
PORT = 7000
SENDER, RECEIVER = 0, 1  # cores


class PacketPath(NamedTuple):
    """Who asks: a namespace. Who answers: its namespace, the address it binds to, and the device its answers leave by.
    `address` is what the client asks for."""

    lab: Lab
    client: str
    server: str
    bind: str
    device: str
    address: str


class Traffic:
    """Makes traffic on a path; every method that measures returns a dict of numbers."""

    def __init__(self, folder: str | Path) -> None:
        if (os.cpu_count() or 1) < 2:
            raise SystemExit("needs two cores: one for who sends and one for who receives")
        self._program = Path(folder) / "traffic"
        run("cc", "-O2", "-o", self._program, HERE / "traffic.c")

    def cost_in(self, path: PacketPath, seconds: float) -> dict[str, float]:
        """Microseconds of CPU for a packet from the client to a socket that drops it."""
        with Server(self, path, "sink"):
            return self._cost(lambda: self._ask(path, SENDER, "blast", seconds))

    def cost_out(self, path: PacketPath, seconds: float) -> dict[str, float]:
        """The same for packets that answer a client's."""
        with Server(self, path, "answer", seconds, core=SENDER) as server:
            asker = self._start(path, path.client, path.address, RECEIVER, "ask", seconds + 1)
            found = self._cost(lambda: server.result(seconds + 10))
            asker.kill()
            asker.wait()
            return found

    def rate(self, path: PacketPath, seconds: float) -> dict[str, float]:
        """How many packets arrive in a second when as many are sent as can be."""
        with Server(self, path, "count") as server:
            self._ask(path, SENDER, "blast", seconds)
            found = server.result(10)
        return {"rate": found["received"] / found["seconds"]}

    def round_trip(self, path: PacketPath, seconds: float) -> dict[str, float]:
        """Microseconds of a round trip when both ends are on one core: then it is the path and not the scheduler."""
        found = self._turns(path, "rr", seconds)
        return {"median": found["median"] * 1e6, "p99": found["p99"] * 1e6, "cpu": found["cpu"]}

    def connects(self, path: PacketPath, seconds: float) -> dict[str, float]:
        """How often in a second a connection, a request and an answer; and the CPU time of one, of both ends."""
        found = self._turns(path, "crr", seconds)
        return {"rate": found["turns"] / found["seconds"], "cpu": found["cpu"]}

    def _turns(self, path: PacketPath, verb: str, seconds: float) -> dict[str, float]:
        with Server(self, path, "serve", core=SENDER) as server:
            busy = softirqd(SENDER) + server.ran()
            found = self._ask(path, SENDER, verb, seconds)
            busy = softirqd(SENDER) + server.ran() - busy
        return dict(found, cpu=1e6 * (found["cpu"] + busy) / found["turns"])

    def tcp(self, path: PacketPath, seconds: float, streams: int = 1, back: bool = False) -> dict[str, float]:
        """Gbit/s of TCP, and CPU seconds of both ends for a GB."""
        lab = path.lab
        server = lab.start(path.server, "taskset", "-c", RECEIVER, "iperf3", "-s", "-1", "-p", PORT)
        wait_for(lambda: listens(path.server, PORT))
        words: list[str | int] = ["taskset", "-c", SENDER, "iperf3", "-c", path.address, "-p", PORT, "-C", "cubic"]
        words += ["-J", "-t", max(1, round(seconds)), "-P", streams, *["-R"] * back]
        busy = softirqd()
        end = json.loads(lab.run(path.client, *words).stdout)["end"]
        busy = softirqd() - busy
        server.kill()
        server.wait()
        took, received = end["sum_sent"]["seconds"], end["sum_received"]
        share = end["cpu_utilization_percent"]
        cpu = took * (share["host_total"] + share["remote_total"]) / 100 + busy
        return {"gbit": received["bits_per_second"] / 1e9, "cpu": cpu / (received["bytes"] / 1e9)}

    def whole_packets(self, path: PacketPath, on: bool) -> None:
        """Packets of the MTU's size, as a network card without offloads has them; `on` False: up to 64 KB again."""
        for ns, device in ((path.client, "eth0"), (path.server, path.device)):
            word = "off" if on else "on"
            path.lab.run(ns, "ethtool", "-K", device, "tso", word, "gso", word)

    # Steps

    def _ask(self, path: PacketPath, core: int, verb: str, seconds: float) -> dict[str, float]:
        process = self._start(path, path.client, path.address, core, verb, seconds)
        return result_of(process, seconds + 20)

    def _cost(self, blast: Callable[[], dict[str, float]]) -> dict[str, float]:
        busy = softirqd(SENDER)
        found = blast()
        busy = softirqd(SENDER) - busy
        if found["refused"]:
            raise SystemExit("nobody received the packets: %s" % found)
        return {"us": 1e6 * (found["cpu"] + busy) / found["sent"]}

    def _start(
        self, path: PacketPath, ns: str, address: str, core: int, verb: str, *words: float
    ) -> subprocess.Popen[bytes]:
        command = (self._program, core, verb, address, PORT, *words)
        return path.lab.start(ns, *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


class Server:
    """The answering end, in a mode of traffic.c."""

    def __init__(self, traffic: Traffic, path: PacketPath, verb: str, *words: float, core: int = RECEIVER) -> None:
        self._process = traffic._start(path, path.server, path.bind, core, verb, *words)
        wait_for(lambda: self._process.poll() is not None or listens(path.server, PORT))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def ran(self) -> float:
        """Seconds of CPU time so far."""
        return ran(self._process.pid)

    def result(self, seconds: float) -> dict[str, float]:
        return result_of(self._process, seconds)


def result_of(process: subprocess.Popen[bytes], seconds: float) -> dict[str, float]:
    out, error = process.communicate(timeout=seconds)
    if process.returncode:
        raise SystemExit("traffic failed: %s" % error.decode().strip())
    return json.loads(out)


def softirqd(core: int | None = None) -> float:
    """Seconds that ksoftirqd has run, on a core or on all."""
    return sum(ran(pid) for pid in _softirqds(core))


def ran(pid: int) -> float:
    """Seconds that a process has run: the first number, in nanoseconds (Documentation/scheduler/sched-stats.rst)."""
    return int(Path("/proc/%d/schedstat" % pid).read_text().split()[0]) / 1e9


def _softirqds(core: int | None, known: dict[int, int] = {}) -> list[int]:  # noqa: B006 -- they never change
    if not known:
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                name = (folder / "comm").read_text().strip()
            except OSError:
                continue  # has ended
            if name.startswith("ksoftirqd/"):
                known[int(name.split("/")[1])] = int(folder.name)
    return [known[core]] if core is not None else list(known.values())


def settle() -> None:
    """The kernel takes namespaces down in the background: not while something is measured."""
    time.sleep(0.3)
