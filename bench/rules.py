"""What a thousand services on one interface cost a packet: that of one service, and one that is nobody's.

    bench/rules.py [--quick] [--only u32] [--counts 1,10,100,1000] [--repeat 4] [--samples 3] [--seconds 1]
                   [--json FILE]

For each datapath of this kernel, services are added on one interface, real ones with their namespaces; in between, the
same packets are measured as bench/datapath.py does it: to the first service, to the newest, and to the router itself,
which no service takes. The datapaths take turns, and every other turn takes services away instead of adding them, so
that what slowly changes on the machine is in all of it. Needs root, gcc and two cores.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

import datapaths  # noqa: E402
from lab import CPYTHON, Lab, isolate  # noqa: E402
from traffic import PORT, PacketPath, Traffic, settle  # noqa: E402
from variants import down, machine, up  # noqa: E402

COUNTS = (1, 10, 100, 1000)
Costs = dict[str, list[float]]  # in microseconds, of each of PACKETS
PACKETS = {"first": "to the first service", "newest": "to the newest", "none": "to the router itself"}


def address(number: int) -> str:
    """Of RFC 2544's, for tests."""
    return "198.18.%d.%d" % (number // 250, number % 250 + 1)


def configuration(datapath: str, count: int) -> str:
    """As short as it can be: the agent reads no file of more than 128 KB."""
    text = ["config globals globals\noption datapath %s\n" % datapaths.DATAPATHS[datapath].option]
    for number in range(count):
        lines = ("config service s%d" % number, "option enabled 1", "option command /bin/true", "list device lan0")
        text.append("\n".join(lines + ("list dest_ip " + address(number), "list dest_port %d\n" % PORT)))
    return "".join(text)


def path_to(lab: Lab, number: int) -> PacketPath:
    return PacketPath(lab, lab.client, "viscum-s%d" % number, "0.0.0.0", "eth0", address(number))


def measure(
    names: list[str], counts: list[int], options: argparse.Namespace, traffic: Traffic, say: Callable[[str], None]
) -> dict[str, dict[int, Costs]]:
    """What was found of each datapath and number of services."""
    found: dict[str, dict[int, Costs]] = {
        name: {count: {packet: [] for packet in PACKETS} for count in counts} for name in names
    }
    for turn in range(options.repeat):
        way = 1 if turn % 2 == 0 else -1
        for name in names[::way]:
            with tempfile.TemporaryDirectory() as folder, Lab(folder, CPYTHON, ipv6=False) as lab:
                for count in counts[::way]:
                    say("turn %d of %d: %s, %d" % (turn + 1, options.repeat, name, count))
                    up(lab, name, configuration(name, count))
                    settle()
                    router = PacketPath(lab, lab.client, lab.router, "192.168.77.1", "lan0", "192.168.77.1")
                    paths = {"first": path_to(lab, 0), "newest": path_to(lab, count - 1), "none": router}
                    for packet, path in list(paths.items()) * options.samples:
                        found[name][count][packet].append(traffic.cost_in(path, options.seconds)["us"])
                down(lab, name)
    return found


def table(name: str, counts: dict[int, Costs]) -> list[str]:
    """Lines of a datapath's table; ratios are those to the least number of services."""
    lines = ["", "### " + name, "", "| services |" + "".join(" %s, us | ratio |" % text for text in PACKETS.values())]
    lines.append("|--:|" + "--:|--:|" * len(PACKETS))
    least = min(counts)
    for count, packets in counts.items():
        cells = []
        for packet, numbers in packets.items():
            middle = statistics.median(numbers)
            ratio = middle / statistics.median(counts[least][packet])
            cells.append(" %.2f (%.2f-%.2f) | %.2f |" % (middle, min(numbers), max(numbers), ratio))
        lines.append("| %d |%s" % (count, "".join(cells)))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures what many services cost; see the head of the file.")
    parser.add_argument("--only", default=",".join(datapaths.DATAPATHS), help="datapaths")
    parser.add_argument("--counts", default=",".join(map(str, COUNTS)), help="numbers of services")
    parser.add_argument("--repeat", type=int, default=4, help="how many turns")
    parser.add_argument("--samples", type=int, default=3, help="how often each is measured in a turn")
    parser.add_argument("--seconds", type=float, default=1, help="of one measurement")
    parser.add_argument("--quick", action="store_true", help="to try it out: two short turns, up to 100 services")
    parser.add_argument("--json", help="a file for all that was measured")
    options = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("needs root")
    if options.quick:
        options.repeat, options.seconds, options.counts = 2, 0.3, "1,10,100"
        options.samples = 1
    wanted, counts = options.only.split(","), sorted(map(int, options.counts.split(",")))
    if set(wanted) - set(datapaths.DATAPATHS):
        parser.error("the datapaths are " + ", ".join(datapaths.DATAPATHS))
    isolate()
    names = [name for name in wanted if datapaths.has(name)]
    for name in set(wanted) - set(names):
        print("%s is left out: this kernel, or this agent, has no such datapath" % name)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        say = (lambda text: print("\r%-60s" % text, end="", file=sys.stderr)) if sys.stderr.isatty() else lambda _: None
        found = measure(names, counts, options, Traffic(folder), say)
    say("")
    about = dict(
        machine(),
        repeat=options.repeat,
        samples=options.samples,
        seconds=options.seconds,
        took=round(time.monotonic() - begin),
    )
    print("\n%s" % ", ".join("%s: %s" % item for item in about.items()))
    for name in names:
        print("\n".join(table(name, found[name])))
    if options.json:
        Path(options.json).write_text(json.dumps({"machine": about, "services": found}))


if __name__ == "__main__":
    main()
