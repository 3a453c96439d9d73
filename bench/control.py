"""What it takes to bring services up and down: Viscum beside the same steps typed by hand, in one run.

    bench/control.py [--counts 1,10,100,500] [--repeat 3] [--only native-cpython,batch]

The contestants, each bringing the same N services up and down on a router of namespaces (tests/lab.py):

    native-cpython       `viscum up|down --no-program`, our own netlink messages
    native-micropython   the same under MicroPython
    pyroute2             the same under CPython with `option netlink pyroute2`
    script               one `ip`, `tc` or `sysctl` process for each step: the lines of `viscum plan`, run by `sh -e`
    batch                the very same steps, with as few processes as these programs allow: `ip -batch` for the router,
                         one `ip -n NS -batch` for each namespace, `tc -batch`; sysctls, which no batch can set, by one
                         `ip netns exec NS sysctl` for each namespace and one `sysctl` for the router

Measured is everything from fork to exit: the start of the interpreter, reading the configuration and the kernel,
planning, doing, and reading the kernel again to verify (script and batch read and verify nothing, and writing their
files is not counted). CPU is user + system time of the command and its children; what the kernel does later in its own
threads is in nobody's. Memory is the peak of the largest process. CPython starts as the package starts it (isolated,
without `site`, byte code compiled before), and MicroPython runs the archive of the package.

The datapath is u32: what `bpf` puts into the kernel, `tc` can't.

After each `up`, `viscum plan` must have nothing to do, whoever did the work; after each `down`, nothing may be left.
The kernel takes namespaces down in the background: before every sample two namespaces are made and deleted, one after
the other, and waited for, which the kernel does after all those before them (cleanup_net in net/core/net_namespace.c
works through them in order).

Runs in mounts of its own, with an empty /run: nobody else's namespaces of these names are there, nobody waits for our
lock, and whatever happens, all of it ends with this process. Needs root. The last line of the output is a JSON object.
"""

import argparse
import compileall
import json
import os
import shlex
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))
sys.path.insert(0, str(ROOT / "tools/package"))

import tree  # noqa: E402
from lab import MICROPYTHON, Lab, ip, namespaces, run, wait_for  # noqa: E402

COUNTS = (1, 10, 100, 500)
MANY = 200  # from here on fewer repetitions: the script takes a minute
TIMEOUT = 600  # seconds for one command


class Sample(NamedTuple):
    """Seconds, seconds, KiB."""

    wall: float
    cpu: float
    peak: float


class Step(NamedTuple):
    """A part of what `viscum plan` prints: whose it is, and its command lines."""

    service: str
    commands: list[str]


Result = dict[str, dict[str, Sample]]  # of a contestant, of a verb

# What /usr/bin/viscum of the package is: no `site`, no environment, one directory for us and one for pyroute2.
WRAPPER = """import sys
sys.path[:0] = [%r]
sys.path.append(%r)
from viscum_agent.cli.verbs import main
sys.exit(main())
"""


class Bench:
    """A lab with N services configured, and what is needed to measure a command on its router."""

    def __init__(self, lab: Lab, count: int) -> None:
        self.lab = lab
        self.folder = lab.tmp
        self.count = count
        self.wrapper = self.folder / "viscum.py"
        agent = self.folder / "agent"
        if not agent.exists():
            shutil.copytree(ROOT / "viscum_agent", agent / "viscum_agent", ignore=shutil.ignore_patterns("__pycache__"))
            compileall.compile_dir(agent, quiet=2)
        self.wrapper.write_text(WRAPPER % (str(agent), site_packages()))
        self.empty = self.folder / "empty"
        self.empty.mkdir(exist_ok=True)
        (self.empty / "viscum").write_text("")
        lab.configure(configuration(count))

    def configure(self, netlink: str) -> None:
        self.lab.configure(configuration(self.count, netlink))

    def cpython(self, *words: str) -> list[str]:
        return [sys.executable, "-I", "-S", str(self.wrapper), "-c", str(self.lab.confdir), *words]

    def micropython(self, *words: str) -> list[str]:
        """What /usr/bin/viscum of the package does: its byte code, and nothing is compiled at the start."""
        root = self.folder / "package"
        if not root.exists():
            name = next(name for name, interpreter in tree.INTERPRETERS.items() if interpreter == "micropython")
            tree.write(tree.collect(ROOT, name), root)
        program = str(root) + tree.LIBRARY + "/viscum.py"
        return [*MICROPYTHON, program, "-c", str(self.lab.confdir), *words]

    def plan(self, confdir: Path | None = None) -> list[Step]:
        """The steps of what `viscum up` would do; with an empty `confdir`, of what `down` would."""
        words = [*self.cpython()[:-1], str(confdir or self.lab.confdir), "plan", "--json"]
        return [
            Step(step["service"], step["commands"])
            for step in json.loads(self.lab.run(self.lab.router, *words, timeout=TIMEOUT).stdout)
        ]

    def measure(self, words: list[str]) -> Sample:
        result = self.folder / "result"
        launch = [MICROPYTHON[0], str(ROOT / "bench/launch.py"), str(result)]
        done = self.lab.run(self.lab.router, *launch, *words, timeout=TIMEOUT)
        wall, cpu, peak, code = result.read_text().split()
        if code != "0":
            raise SystemExit("%s: exit code %s\n%s" % (" ".join(words), code, done.stderr))
        return Sample(float(wall), float(cpu), int(peak))

    def check_up(self) -> None:
        left = self.plan()
        if left:
            raise SystemExit("up, but `viscum plan` has more to do: %s" % left[0].commands[:3])

    def check_down(self) -> None:
        left = [name for name in namespaces() if name.startswith("viscum-")]
        left += [line for line in ip("-n", self.lab.router, "-o", "link").splitlines() if "vsc-" in line]
        hooks = self.lab.run(self.lab.router, "tc", "qdisc", "show", "dev", "lan0").stdout
        left += [line for line in hooks.splitlines() if "clsact" in line or "ingress" in line]
        if left:
            raise SystemExit("down, but there is still: %s" % left[:3])

    def settle(self) -> None:
        """Returns when the kernel has taken down every namespace deleted so far (see above)."""
        ns, router = "settle-" + self.lab.router, self.lab.router
        for _ in range(2):
            ip("netns", "add", ns)
            ip("-n", router, *("link add settle type veth peer name eth0 netns " + ns).split())
            ip("netns", "del", ns)
            wait_for(lambda: "settle" not in ip("-n", router, "-o", "link"))


def site_packages() -> str:
    """Where pyroute2 is, if it is."""
    return next((folder for folder in sys.path if (Path(folder) / "pyroute2").is_dir()), "/nonexistent")


def configuration(count: int, netlink: str = "native") -> str:
    """N speed-test servers, each taking over one address (of RFC 2544's, for tests) on the LAN."""
    text = ["config globals 'globals'\n\toption netlink '%s'\n\toption datapath 'u32'\n" % netlink]
    for number in range(count):
        text.append(
            "config service 'speed%d'\n\toption enabled '1'\n\toption command '/usr/bin/iperf3 -s'\n"
            "\tlist device 'lan0'\n\tlist dest_ip '198.18.%d.%d'\n\tlist proto 'tcp'\n\tlist dest_port '5201'\n"
            % (number, number // 250, number % 250 + 1)
        )
    return "\n".join(text)


# The contestants: each gives the command for "up" and for "down"; what it writes before is not measured.


def native_cpython(bench: Bench, verb: str) -> list[str]:
    bench.configure("native")
    return bench.cpython(verb, "--no-program")


def native_micropython(bench: Bench, verb: str) -> list[str]:
    bench.configure("native")
    return bench.micropython(verb, "--no-program")


def pyroute2(bench: Bench, verb: str) -> list[str]:
    bench.configure("pyroute2")
    return bench.cpython(verb, "--no-program")


def script(bench: Bench, verb: str) -> list[str]:
    return shell(bench, [line for _, lines in steps(bench, verb) for line in lines])


def batch(bench: Bench, verb: str) -> list[str]:
    """Each command is one word of a program, perhaps a namespace, and what goes into its file."""
    files = Files(bench.folder / "batch")
    found: dict[str, list[str]] = {}
    for heading, lines in steps(bench, verb):
        for line in lines:
            place, words = batched(line, heading)
            found.setdefault(place, []).append(words)
    if verb != "up":
        commands = files.batch("tc", found["filters"]) + files.batch("nft", found.get("tables", []), "-f")
        return shell(bench, commands + files.batch("ip", found["links"]) + files.batch("tc", found.get("shared", [])))
    commands = files.batch("ip", found["names"])
    commands += [place + " " + " ".join(found[place]) for place in found if place.startswith("ip netns exec ")]
    commands += files.batch("ip", found["links"])
    for place in found:
        if place.startswith("ip -n "):
            commands += files.batch(place, found[place])
    commands += [place[len(LATER) :] + " " + " ".join(found[place]) for place in found if place.startswith(LATER)]
    commands += ["sysctl -qw " + " ".join(found["settings"])] + files.batch("nft", found.get("tables", []), "-f")
    return shell(bench, commands + files.batch("tc", found.get("shared", []) + found["filters"]))


LATER = "later: "  # of a sysctl: its device has to be there


def batched(line: str, heading: str) -> tuple[str, str]:
    """Where a command of the script goes in the batch, and what of it."""
    words = shlex.split(line)
    if line.startswith("ip netns exec "):
        when = LATER if "/eth0/" in words[-1] else ""
        return "%sip netns exec %s sysctl -qw" % (when, words[3]), words[-1]
    if line.startswith("ip -n "):
        return "ip -n " + words[2], line.split(None, 3)[3]
    if line.startswith("ip netns add "):
        return "names", line[3:]
    if words[0] == "nft":
        return "tables", " ".join(words[1:])
    if words[0] == "sysctl":
        return "settings", words[-1]
    if words[0] == "ip":
        return "links", line[3:]
    return ("shared" if heading == "shared" else "filters"), line[3:]


class Files:
    """The files that `ip -batch`, `tc -batch` and `nft -f` read."""

    def __init__(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        self._folder = folder
        self._count = 0

    def batch(self, command: str, lines: list[str], option: str = "-batch") -> list[str]:
        self._count += 1
        path = self._folder / str(self._count)
        path.write_text("\n".join(lines) + "\n")
        return ["%s %s %s" % (command, option, path)]


def steps(bench: Bench, verb: str) -> list[Step]:
    return bench.plan() if verb == "up" else bench.plan(bench.empty)


def shell(bench: Bench, lines: list[str]) -> list[str]:
    path = bench.folder / "script.sh"
    path.write_text("\n".join(lines) + "\n")
    return ["sh", "-e", str(path)]


CONTESTANTS: dict[str, Callable[[Bench, str], list[str]]] = {
    "native-cpython": native_cpython,
    "native-micropython": native_micropython,
    "pyroute2": pyroute2,
    "script": script,
    "batch": batch,
}


# Measuring


def measure(
    lab: Lab, count: int, names: list[str], repeat: int, say: Callable[[str], None]
) -> dict[str, dict[str, list[Sample]]]:
    """{contestant: {"up": [Sample], "down": [Sample]}}; the order is reversed every other time."""
    bench = Bench(lab, count)
    found: dict[str, dict[str, list[Sample]]] = {name: {"up": [], "down": []} for name in names}
    for repetition in range(repeat):
        for name in names if repetition % 2 == 0 else reversed(names):
            for verb in ("up", "down"):
                words = CONTESTANTS[name](bench, verb)
                bench.settle()
                sample = bench.measure(words)
                found[name][verb].append(sample)
                say("%d services, %s %s: %.3f s" % (count, name, verb, sample.wall))
                (bench.check_up if verb == "up" else bench.check_down)()
    return found


def medians(found: dict[str, dict[str, list[Sample]]]) -> Result:
    return {name: {verb: _median(verbs[verb]) for verb in verbs} for name, verbs in found.items()}


def _median(samples: list[Sample]) -> Sample:
    return Sample(*[statistics.median([sample[place] for sample in samples]) for place in range(len(Sample._fields))])


def table(count: int, repeat: int, result: Result) -> list[str]:
    """Lines of a table for one number of services."""
    base = result.get("native-cpython")
    lines = ["", "%d service%s, medians of %d" % (count, "s" if count > 1 else "", repeat)]
    lines.append("%-20s %-6s %9s %9s %9s %22s" % ("", "", "wall ms", "CPU ms", "peak MB", "wall : native-cpython"))
    for name, verbs in result.items():
        for verb, sample in verbs.items():
            ratio = "%.2f" % (sample.wall / base[verb].wall) if base else "-"
            numbers = (name, verb, 1000 * sample.wall, 1000 * sample.cpu, sample.peak / 1024, ratio)
            lines.append("%-20s %-6s %9.1f %9.1f %9.1f %22s" % numbers)
    return lines + goals(result)


def goals(result: Result) -> list[str]:
    """How the native back end stands to what people would do instead."""
    lines = []
    for name in ("native-cpython", "native-micropython"):
        for other in ("script", "batch"):
            if name in result and other in result:
                up, down, both = [share(result, name, other, x) for x in (("up",), ("down",), ("up", "down"))]
                lines.append("%s : %s   up %.3f   down %.3f   both %.3f" % (name, other, up, down, both))
    return lines


def share(result: Result, name: str, other: str, verbs: Iterable[str]) -> float:
    return sum(result[name][verb].wall for verb in verbs) / sum(result[other][verb].wall for verb in verbs)


def as_json(results: dict[int, Result]) -> dict[str, dict[str, dict[str, dict[str, float]]]]:
    return {
        str(count): {
            name: {verb: sample._asdict() for verb, sample in verbs.items()} for name, verbs in results[count].items()
        }
        for count in results
    }


def usable(names: list[str]) -> list[str]:
    """The contestants that can run here; says why one can't."""
    if "pyroute2" in names:
        words = [sys.executable, "-c", "import viscum_agent.kernel.pyroute2_backend"]
        missing = run(*words, check=False, cwd=ROOT).stderr.strip().splitlines()
        if missing:
            print("pyroute2 is left out: %s" % missing[-1])
            names = [name for name in names if name != "pyroute2"]
    return names


def isolate() -> None:
    """Starts this program again with an empty /run, where the names of namespaces and the agent's lock are."""
    if os.path.ismount("/run") and "viscum-bench" in Path("/proc/self/mounts").read_text():
        return
    steps = 'mount -t tmpfs viscum-bench /run && mkdir /run/netns && exec "$@"'
    words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", steps, "sh", sys.executable, *sys.argv]
    os.execvp(words[0], words)


def main() -> None:
    parser = argparse.ArgumentParser(description="Times services up and down; see the head of the file.")
    parser.add_argument("--counts", default=",".join(map(str, COUNTS)), help="numbers of services")
    parser.add_argument("--repeat", type=int, default=3, help="repetitions; a third of them from %d services on" % MANY)
    parser.add_argument("--only", default=",".join(CONTESTANTS), help="contestants, of " + ", ".join(CONTESTANTS))
    parser.add_argument("--verbose", action="store_true", help="say every sample")
    options = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("needs root")
    unknown = set(options.only.split(",")) - set(CONTESTANTS)
    if unknown:
        parser.error("there is no contestant %s" % ", ".join(sorted(unknown)))
    isolate()
    names = usable(options.only.split(","))
    begin = time.monotonic()
    results: dict[int, Result] = {}
    say = (lambda text: print(text, file=sys.stderr)) if options.verbose else (lambda text: None)
    for count in map(int, options.counts.split(",")):
        repeat = options.repeat if count < MANY else max(1, options.repeat // 3)
        with tempfile.TemporaryDirectory() as folder, Lab(folder, ipv6=False) as lab:
            results[count] = medians(measure(lab, count, names, repeat, say))
        print("\n".join(table(count, repeat, results[count])), flush=True)
    print()
    seconds = round(time.monotonic() - begin)
    print(json.dumps({"services": as_json(results), "repeat": options.repeat, "seconds": seconds}))


if __name__ == "__main__":
    main()
