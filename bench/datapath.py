"""What it costs a client's packets to reach a program: Viscum's datapaths beside what people do instead, in one run.

    bench/datapath.py [--quick] [--only native,viscum-u32] [--repeat 9] [--seconds 1] [--json FILE]

Each variant (bench/variants.py) is a lab of its own: client, router and program in namespaces. The variants take
turns, in reversed order every other time, so that whatever else the machine does meets all of them; shown are medians,
and from the least to the most. bench/traffic.py says how each figure is measured. Needs root, gcc and two cores.
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

from firewall import connections  # noqa: E402
from lab import CPYTHON, Lab, isolate  # noqa: E402
from traffic import PacketPath, Traffic, settle  # noqa: E402
from variants import MEANINGS, VARIANTS, machine, usable  # noqa: E402

# Of a traffic and a path, in so many seconds: {figure: number}.
Measure = Callable[[Traffic, PacketPath, float], dict[str, float]]
Found = dict[str, dict[str, dict[str, list[float]]]]  # of a test, of a figure, of a variant


class Figure(NamedTuple):
    key: str
    title: str
    form: str
    better: str  # which way is good


class Test(NamedTuple):
    title: str
    figures: tuple[Figure, ...]
    measure: Measure


def tcp(streams: int, back: bool) -> Measure:
    return lambda traffic, path, seconds: traffic.tcp(path, seconds, streams, back)


def mtu(back: bool) -> Measure:
    def measure(traffic: Traffic, path: PacketPath, seconds: float) -> dict[str, float]:
        traffic.whole_packets(path, True)
        try:
            return traffic.tcp(path, seconds, 1, back)
        finally:
            traffic.whole_packets(path, False)

    return measure


def throughput(what: str) -> tuple[Figure, Figure]:
    return Figure("gbit", what + ", Gbit/s", "%.2f", "more"), Figure("cpu", what + ", CPU s/GB", "%.3f", "less")


TESTS = {
    "in": Test("Per-packet cost", (Figure("us", "client to program, us", "%.2f", "less"),), Traffic.cost_in),
    "out": Test("Per-packet cost", (Figure("us", "program to client, us", "%.2f", "less"),), Traffic.cost_out),
    "rate": Test("Small packets", (Figure("rate", "received in a second", "%.0f", "more"),), Traffic.rate),
    "rr": Test(
        "Round trip of 64 bytes",
        (
            Figure("median", "median, us", "%.1f", "less"),
            Figure("p99", "99th percentile, us", "%.1f", "less"),
            Figure("cpu", "CPU, us", "%.1f", "less"),
        ),
        Traffic.round_trip,
    ),
    "crr": Test(
        "Connect, ask, close",
        (Figure("rate", "in a second", "%.0f", "more"), Figure("cpu", "CPU, us", "%.1f", "less")),
        Traffic.connects,
    ),
    "tcp1": Test("TCP", throughput("1 stream in"), tcp(1, False)),
    "tcp1r": Test("TCP", throughput("1 stream out"), tcp(1, True)),
    "tcp4": Test("TCP", throughput("4 streams in"), tcp(4, False)),
    "tcp4r": Test("TCP", throughput("4 streams out"), tcp(4, True)),
    "mtu": Test("TCP in packets of 1500 bytes", throughput("in"), mtu(False)),
    "mtur": Test("TCP in packets of 1500 bytes", throughput("out"), mtu(True)),
}

# What the eBPF datapath is held to: (test, figure, of which variant, at most or at least, ratio).
GOALS = (
    ("in", "us", "native", "at most", 1.12),
    ("out", "us", "native", "at most", 1.25),
    ("in", "us", "native-firewall", "at most", 0.85),
    ("out", "us", "native-firewall", "at most", 0.92),
    ("in", "us", "docker", "at most", 0.55),
    ("out", "us", "docker", "at most", 0.55),
    ("rr", "median", "native", "at most", 1.08),
    ("crr", "rate", "native-firewall", "at least", 1.0),
    ("mtu", "gbit", "native-firewall", "at least", 1.3),
    ("mtur", "gbit", "native-firewall", "at least", 0.75),
    ("mtu", "gbit", "docker", "at least", 2.0),
    ("mtur", "gbit", "docker", "at least", 2.0),
)
HELD = "viscum-bpf-tcx"


def measure(
    names: list[str], tests: list[str], repeat: int, seconds: float, traffic: Traffic, say: Callable[[str], None]
) -> tuple[Found, dict[str, int]]:
    """What was found, and how many connections the router tracked: {variant: number}."""
    found: Found = {
        test: {figure.key: {name: [] for name in names} for figure in TESTS[test].figures} for test in tests
    }
    tracked = {}
    for turn in range(repeat):
        for name in names if turn % 2 == 0 else reversed(names):
            say("turn %d of %d: %s" % (turn + 1, repeat, name))
            with tempfile.TemporaryDirectory() as folder, Lab(folder, CPYTHON, ipv6=False) as lab:
                path = VARIANTS[name](lab)
                settle()
                for test in tests:
                    for key, number in TESTS[test].measure(traffic, path, seconds).items():
                        found[test][key][name].append(number)
                tracked[name] = len(connections(lab))
    return found, tracked


def table(title: str, figures: list[tuple[Figure, dict[str, list[float]]]], names: list[str]) -> list[str]:
    """Lines of one table: a variant a line; medians, least and most, and the ratio to the first variant."""
    lines = ["", "### " + title, ""]
    lines.append("| |" + "".join(" %s | ratio |" % figure.title for figure, _ in figures))
    lines.append("|---|" + "--:|--:|" * len(figures))
    for name in names:
        cells = []
        for figure, numbers in figures:
            middle, base = statistics.median(numbers[name]), statistics.median(numbers[names[0]])
            spread = (figure.form % middle, figure.form % min(numbers[name]), figure.form % max(numbers[name]))
            cells.append(" %s (%s-%s) | %.2f |" % (*spread, middle / base))
        lines.append("| `%s` |%s" % (name, "".join(cells)))
    return lines


def tables(found: Found, tests: list[str], names: list[str]) -> list[str]:
    titles: list[str] = []
    for test in tests:
        if TESTS[test].title not in titles:
            titles.append(TESTS[test].title)
    lines: list[str] = []
    for title in titles:
        of_title = [test for test in tests if TESTS[test].title == title]
        figures = [(figure, found[test][figure.key]) for test in of_title for figure in TESTS[test].figures]
        lines += table(title, figures, names)
    return lines


def goals(found: Found, names: list[str]) -> list[str]:
    """Lines: what was wanted, what was found, and whether that is it."""
    lines = []
    for test, key, base, way, wanted in GOALS:
        if HELD not in names or base not in names or test not in found:
            continue
        numbers = found[test][key]
        ratio = statistics.median(numbers[HELD]) / statistics.median(numbers[base])
        good = ratio <= wanted if way == "at most" else ratio >= wanted
        figure = next(figure for figure in TESTS[test].figures if figure.key == key)
        what = "%s, %s" % (TESTS[test].title, figure.title)
        lines.append("| %s | `%s` | %s %.2f | %.2f | %s |" % (what, base, way, wanted, ratio, "yes" if good else "no"))
    if lines:
        head = ["", "### What `%s` is held to" % HELD, "", "| figure | ratio to | wanted | found | met |"]
        lines = head + ["|---|---|---|--:|---|"] + lines
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description="Compares datapaths; see the head of the file.")
    parser.add_argument("--only", default=",".join(VARIANTS), help="variants, of " + ", ".join(VARIANTS))
    parser.add_argument("--tests", default=",".join(TESTS), help="tests, of " + ", ".join(TESTS))
    parser.add_argument("--repeat", type=int, default=9, help="how many turns")
    parser.add_argument("--seconds", type=float, default=1, help="of one measurement")
    parser.add_argument("--quick", action="store_true", help="to try it out: two short turns")
    parser.add_argument("--json", help="a file for all that was measured")
    options = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("needs root")
    wanted, tests = options.only.split(","), options.tests.split(",")
    unknown = set(wanted) - set(VARIANTS) | set(tests) - set(TESTS)
    if unknown:
        parser.error("there is no %s" % ", ".join(sorted(unknown)))
    if options.quick:
        options.repeat, options.seconds = 2, 0.3
    isolate()
    names = usable(wanted)
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        say = (lambda text: print("\r%-60s" % text, end="", file=sys.stderr)) if sys.stderr.isatty() else lambda _: None
        found, tracked = measure(names, tests, options.repeat, options.seconds, Traffic(folder), say)
    say("")
    about = dict(machine(), repeat=options.repeat, seconds=options.seconds, took=round(time.monotonic() - begin))
    print("\n%s" % ", ".join("%s: %s" % item for item in about.items()))
    print("\n| variant | is | connections tracked |\n|---|---|--:|")
    for name in names:
        print("| `%s` | %s | %d |" % (name, MEANINGS[name], tracked[name]))
    print("\n".join(tables(found, tests, names) + goals(found, names)))
    if options.json:
        result = {"machine": about, "meanings": {name: MEANINGS[name] for name in names}, "tracked": tracked}
        titles = {
            test: [TESTS[test].title, {figure.key: figure.title for figure in TESTS[test].figures}] for test in tests
        }
        Path(options.json).write_text(json.dumps(dict(result, titles=titles, figures=found)))


if __name__ == "__main__":
    main()
