"""What a traffic camera gains by a reader of plates on the router: the example beside itself in a cloud.

    bench/cameras.py [--pictures 50] [--rate 2] [--milliseconds 60] [--mbit 20] [--json FILE]

The paper on Viscum has three figures of its prototype: the round trip from a phone to the access point and to the
cloud, what goes up to the cloud for each request, and the processor of the edge. Here the same program (examples/alpr)
runs in a cloud that is MILLISECONDS and MBIT away (demo/distance.py; MBIT is that of an uplink), and as a service of
the router, with the datapath that Viscum takes by itself. For each side:

    round trip    of a TCP connection, SYN to SYN-ACK, the median of 30
    picture       from the camera's first byte to its answer, median and most
    up            bytes that left by the router's uplink, for each picture, with all headers
    answer        bytes that came back for each
    CPU           of the program, user and system, for each picture, and of one processor at RATE pictures a second

Both read the same rendered pictures, so the right ones are counted too. Needs root. The table is Markdown, as in
docs/plates.md; the router's way itself is measured by bench/datapath.py.
"""

import argparse
import json
import os
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from agent import Agent  # noqa: E402
from lab import HANG, Lab, ip, isolate, listens, pids_in, wait_for  # noqa: E402
from plates import EXAMPLE, PYTHON, camera, environment, install, render, section  # noqa: E402

from viscum_agent.kernel.netns import Visit  # noqa: E402

CLOUD = "203.0.113.10"
TICK = os.sysconf("SC_CLK_TCK")
CONNECTIONS = 30


class Side(NamedTuple):
    """What was measured of one side; milliseconds and bytes."""

    by: str
    connected: float
    median: float
    most: float
    up: float
    answer: float
    cpu: float
    right: int


def connected(lab: Lab) -> float:
    """Milliseconds from SYN to SYN-ACK."""
    found = []
    for _ in range(CONNECTIONS):
        with Visit() as visit:
            visit.enter(lab.client)
            sock = socket.socket()
        sock.settimeout(HANG)
        begin = time.monotonic()
        sock.connect((CLOUD, 12345))
        found.append((time.monotonic() - begin) * 1000)
        sock.close()
    return statistics.median(found)


def sent(lab: Lab) -> int:
    """Bytes that the router has sent up."""
    (link,) = json.loads(ip("-n", lab.router, "-j", "-s", "link", "show", "wan0"))
    return int(link["stats64"]["tx"]["bytes"])


def cpu(pid: int) -> float:
    """Milliseconds of a process and its threads."""
    fields = Path("/proc/%d/stat" % pid).read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / TICK


def measure(lab: Lab, folder: Path, pid: int, rate: float) -> Side:
    camera(lab, folder, "--rate", "0", "--count", "5")  # warm
    round_trip = connected(lab)
    before = sent(lab), cpu(pid)
    found: dict[str, Any] = camera(lab, folder, "--rate", str(rate))
    (who,) = found["by"]
    count = found["pictures"]
    return Side(
        who,
        round_trip,
        found["milliseconds"]["median"],
        found["milliseconds"]["most"],
        (sent(lab) - before[0]) / count,
        found["down"] / count,
        (cpu(pid) - before[1]) / count,
        found["right"],
    )


def compare(lab: Lab, count: int, rate: float) -> "list[Side]":
    folder = lab.tmp / "pictures"
    render(folder, 2026, count)
    remote = lab.start(lab.cloud, PYTHON, EXAMPLE / "server.py", "--name", "cloud", env=environment())
    wait_for(lambda: listens(lab.cloud, 12345))
    cloud = measure(lab, folder, remote.pid, rate)
    text = "".join(line for line in section(install()).splitlines(True) if "memory_max" not in line)
    agent = Agent(lab, text.replace(" --web 8080", ""))
    agent.says("alpr: healthy")
    agent.has_done_all()
    (pid,) = pids_in("viscum-alpr")
    return [cloud, measure(lab, folder, pid, rate)]


def table(sides: "list[Side]", count: int, rate: float) -> str:
    lines = ["| | %s |" % " | ".join(side.by for side in sides), "|---|%s" % ("--:|" * len(sides))]
    rows = (
        ("round trip of a connection", ["%.2f ms" % side.connected for side in sides]),
        (
            "a picture until its answer, median (most)",
            ["%.0f ms (%.0f ms)" % (side.median, side.most) for side in sides],
        ),
        ("up the router's line for each picture", ["%.0f bytes" % side.up for side in sides]),
        ("an answer", ["%.0f bytes" % side.answer for side in sides]),
        ("CPU of the program for each picture", ["%.0f ms" % side.cpu for side in sides]),
        ("of one processor, at %g pictures a second" % rate, ["%.1f %%" % (side.cpu * rate / 10) for side in sides]),
        ("read right, of %d" % count, [str(side.right) for side in sides]),
    )
    return "\n".join(lines + ["| %s | %s |" % (name, " | ".join(values)) for name, values in rows])


def main() -> int:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pictures", type=int, default=50)
    parser.add_argument("--rate", type=float, default=2, help="pictures a second")
    parser.add_argument("--milliseconds", type=int, default=60, help="round trip to the cloud: the paper's")
    parser.add_argument("--mbit", type=int, default=20, help="of the line to it")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    isolate()
    distance = (arguments.milliseconds, arguments.mbit)
    with tempfile.TemporaryDirectory(prefix="viscum-bench-") as tmp, Lab(tmp, distance=distance) as lab:
        sides = compare(lab, arguments.pictures, arguments.rate)
    print(table(sides, arguments.pictures, arguments.rate))
    if arguments.json:
        arguments.json.write_text(json.dumps([side._asdict() for side in sides], indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
