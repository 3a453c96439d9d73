"""What a thousand services on one interface cost a packet, and what a thousand names do: a packet of one of them, and
one that is nobody's.

    bench/rules.py [--quick] [--only u32] [--counts 1,10,100,1000] [--names 5,1000] [--repeat 4] [--samples 3]
                   [--seconds 1] [--json FILE]

For each datapath of this kernel, services are added on one interface, real ones with their namespaces; in between, the
same packets are measured as bench/datapath.py does it: to the first service, to the newest, and to the router itself,
which no service takes. Then the same with the names of five services (`dest_host`), which have an address each from the
lab's resolver. The datapaths take turns, and every other turn takes services or names away instead of adding them, so
that what slowly changes on the machine is in all of it. Needs root, gcc and two cores, and dnsmasq for names.
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
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

import datapaths  # noqa: E402
from lab import CPYTHON, Lab, isolate, run  # noqa: E402
from resolvers import Resolver  # noqa: E402
from traffic import PORT, PacketPath, Traffic, settle  # noqa: E402
from variants import down, machine, up  # noqa: E402

COUNTS, NAMES = (1, 10, 100, 1000), (5, 1000)
NAMED = 5  # services that have the names: each takes the addresses of 240 at most
Costs = dict[str, list[float]]  # in microseconds, of each of PACKETS
PACKETS = {"first": "to the first service", "newest": "to the newest", "none": "to the router itself"}


def address(number: int) -> str:
    """Of RFC 2544's, for tests."""
    return "198.18.%d.%d" % (number // 250, number % 250 + 1)


def head(datapath: str) -> str:
    return "config globals globals\noption datapath %s\n" % datapaths.DATAPATHS[datapath].option


def section(number: int, *takes: str) -> str:
    """As short as it can be: the agent reads no file of more than 128 KB."""
    lines = ("config service s%d" % number, "option enabled 1", "option command /bin/true", "list device lan0")
    return "\n".join((*lines, "list dest_port %d" % PORT, *takes, ""))


def services(datapath: str, count: int) -> str:
    return head(datapath) + "".join(section(number, "list dest_ip " + address(number)) for number in range(count))


def name_of(number: int) -> str:
    return "n%d.example.com" % number


def names(datapath: str, count: int) -> str:
    """The packets are UDP: so the namespace of such a service has a rule for each address."""
    hosts = [" ".join(name_of(number) for number in range(each, count, NAMED)) for each in range(NAMED)]
    takes = [("list proto udp", "option dest_host '%s'" % each) for each in hosts]
    return head(datapath) + "".join(section(number, *each) for number, each in enumerate(takes))


def resolve(lab: Lab, most: int) -> None:
    resolver = Resolver(lab)
    resolver.has_all([(name_of(number), address(number)) for number in range(most)])
    resolver.start()


class Kind(NamedTuple):
    """Of what there may be many. `begin` is called once for a lab, with the greatest number; `make` writes a
    configuration; each of so many `services` has one, and then each another one."""

    title: str
    begin: Callable[[Lab, int], None]
    make: Callable[[str, int], str]
    services: int


SERVICES = Kind("services", lambda *_: None, services, max(COUNTS))
HOSTS = Kind("names", resolve, names, NAMED)


def path_to(lab: Lab, kind: Kind, number: int) -> PacketPath:
    inside = "viscum-s%d" % (number % kind.services)
    return PacketPath(lab, lab.client, inside, "0.0.0.0", "eth0", address(number))


def measure(
    kind: Kind,
    names: list[str],
    counts: list[int],
    options: argparse.Namespace,
    traffic: Traffic,
    say: Callable[[str], None],
) -> dict[str, dict[int, Costs]]:
    """What was found of each datapath and number."""
    found: dict[str, dict[int, Costs]] = {
        name: {count: {packet: [] for packet in PACKETS} for count in counts} for name in names
    }
    for turn in range(options.repeat):
        way = 1 if turn % 2 == 0 else -1
        for name in names[::way]:
            with tempfile.TemporaryDirectory() as folder, Lab(folder, CPYTHON, ipv6=False) as lab:
                kind.begin(lab, max(counts))
                for count in counts[::way]:
                    say("turn %d of %d: %s, %d %s" % (turn + 1, options.repeat, name, count, kind.title))
                    up(lab, name, kind.make(name, count))
                    settle()
                    router = PacketPath(lab, lab.client, lab.router, "192.168.77.1", "lan0", "192.168.77.1")
                    ends = path_to(lab, kind, 0), path_to(lab, kind, count - 1)
                    paths = {"first": ends[0], "newest": ends[1], "none": router}
                    for packet, path in list(paths.items()) * options.samples:
                        found[name][count][packet].append(traffic.cost_in(path, options.seconds)["us"])
                down(lab, name)
    return found


def table(kind: Kind, name: str, counts: dict[int, Costs]) -> list[str]:
    """Lines of a datapath's table; ratios are those to the least number."""
    lines = [
        "",
        "### " + name,
        "",
        "| %s |" % kind.title + "".join(" %s, us | ratio |" % text for text in PACKETS.values()),
    ]
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


def chosen(options: argparse.Namespace) -> list[tuple[Kind, str]]:
    return [(SERVICES, options.counts), (HOSTS, options.names)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measures what many services cost; see the head of the file.")
    parser.add_argument("--only", default=",".join(datapaths.DATAPATHS), help="datapaths")
    parser.add_argument("--counts", default=",".join(map(str, COUNTS)), help="numbers of services")
    parser.add_argument("--names", default=",".join(map(str, NAMES)), help="numbers of names, or nothing")
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
    wanted = options.only.split(",")
    numbers = [(kind, sorted(map(int, text.split(",")))) for kind, text in chosen(options) if text]
    if set(wanted) - set(datapaths.DATAPATHS):
        parser.error("the datapaths are " + ", ".join(datapaths.DATAPATHS))
    isolate()
    names = [name for name in wanted if datapaths.has(name)]
    for name in set(wanted) - set(names):
        print("%s is left out: this kernel, or this agent, has no such datapath" % name)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        resolv_conf = Path(folder) / "resolv.conf"
        resolv_conf.write_text("nameserver 127.0.0.1\n")
        run("mount", "--bind", resolv_conf, "/etc/resolv.conf")  # in this process's own view of the files
        say = (lambda text: print("\r%-60s" % text, end="", file=sys.stderr)) if sys.stderr.isatty() else lambda _: None
        traffic = Traffic(folder)
        found = [(kind, measure(kind, names, counts, options, traffic, say)) for kind, counts in numbers]
    say("")
    about = dict(
        machine(),
        repeat=options.repeat,
        samples=options.samples,
        seconds=options.seconds,
        took=round(time.monotonic() - begin),
    )
    print("\n%s" % ", ".join("%s: %s" % item for item in about.items()))
    for kind, datapath in [(kind, name) for kind, _ in found for name in names]:
        print("\n".join(table(kind, datapath, dict(found)[kind][datapath])))
    if options.json:
        Path(options.json).write_text(json.dumps({"machine": about, **{kind.title: costs for kind, costs in found}}))


if __name__ == "__main__":
    main()
