"""What is tried in the guest, with each package and datapath that its kernel has (init.sh starts it, run.py reads it).

    client 192.168.77.2 --- br-lan [this guest] wan0 --- 198.51.100.2 cloud (also 203.0.113.10 and .11)
           2001:db8:77::2                                2001:db8:100::2 (also 2001:db8:cafe::10 and ::11)

The guest is the router: /etc/config, the packages' files and /var/run are its own. There is no firewall. Two services
run: `echo` takes a port of two addresses, `port` takes another one and its program listens elsewhere (target_port).

For each package and datapath a line "VISCUM ROW" with JSON: what each step of STEPS found; a failure begins with
"FAILED".
"""

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

SRV = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(SRV), str(SRV / "tests"), str(SRV / "tests/package")]

import echo  # noqa: E402
import opkg  # noqa: E402
import router  # noqa: E402

from viscum_agent.cli import agent_calls  # noqa: E402
from viscum_agent.kernel.netns import Visit  # noqa: E402
from viscum_agent.ubus import procd  # noqa: E402
from viscum_agent.ubus.codes import UbusStatus  # noqa: E402

HANG = 600  # seconds after which something is taken to hang: CPython starts for minutes on a busy emulated MIPS
IDLE = 30  # seconds
QUIET = 3  # seconds without a wake after which a reload is over; the next look is due 45 s after the last (look.py)
ASKED = 4 * procd.RETRY + 1  # seconds without a wake after which it asks no more whether procd, which isn't here, is
SOCKET = "/var/run/ubus/ubus.sock"
IP, TC = "/usr/bin/ip", "/usr/sbin/tc"
LOG = Path("/tmp/agent.log")
CONFIG = Path("/etc/config/viscum")

WAYS = [(proto, family) for family in (4, 6) for proto in ("tcp", "udp")]
ADDRESSES = {("echo", 4): "203.0.113.10", ("echo", 6): "2001:db8:cafe::10"}
ADDRESSES.update({("port", 4): "203.0.113.11", ("port", 6): "2001:db8:cafe::11"})
PORTS = {"echo": 7000, "port": 80}

# With eBPF the next agent has to come within watch_timeout (tests/netns/test_deadline.py), but an emulated MIPS takes a
# minute or more to start one in CPython.
SERVICES = """
config globals 'globals'
	option datapath '%(datapath)s'
	option watch_timeout '3600'

config service 'echo'
	option enabled '1'
	option command '/usr/bin/python3 -IS /srv/tests/echo.py serve echo 7000'
	list device 'br-lan'
	list dest_ip '203.0.113.10'
	list dest_ip '2001:db8:cafe::10'
	list dest_port '7000'
	option healthcheck '%(check)s'
	option health_timeout '10'
	option respawn_timeout '20'

config service 'port'
	option enabled '1'
	option command '/usr/bin/python3 -IS /srv/tests/echo.py serve port 7001'
	list device 'br-lan'
	list dest_ip '203.0.113.11'
	list dest_ip '2001:db8:cafe::11'
	list dest_port '80'
	option target_port '7001'
	option healthcheck '%(check)s'
	option health_timeout '10'
"""


class Guest(router.Router):
    """This guest, as tests/package/opkg.py takes a router: it installs there as opkg does, with a package's scripts."""

    def __init__(self) -> None:
        self.root = Path("/")
        for path, (mode, text) in router.OWN.items():
            self.write(path, text, mode)


def main() -> int:
    guest = Guest()
    make_network()
    start(IP, "netns", "exec", "cloud", "/usr/bin/python3", "-IS", SRV / "tests/echo.py", "serve", *cloud_words())
    start("/usr/bin/python3", "-I", SRV / "tests/ubus_peer.py", "broker", SOCKET)
    wait_for(lambda: Path(SOCKET).exists(), "ubus")
    wait_for(lambda: all(who("echo", *way) == who("port", *way) == "cloud" for way in WAYS), "the cloud")
    asked, failed = only(), False
    packages = {path: opkg.fields(opkg.read(path)[0]) for path in sorted(Path("/srv/packages").glob("*.ipk"))}
    for package, fields in packages.items():
        if "viscum-agent" not in fields.get("Provides", ""):
            continue
        parts = [path for path in packages if packages[path].get("Depends", "").startswith(fields["Package"] + " (=")]
        interpreter = "MicroPython" if "micropython" in fields["Depends"] else "CPython"
        datapaths = [name for name in here() if not asked or "%s:%s" % (interpreter.lower(), name) in asked]
        if not datapaths:
            continue
        for path in [package, *parts]:
            opkg.StandIn(guest).install(path)
        for datapath in datapaths:
            failed = not Row(interpreter, datapath).run() or failed
        for path in [*parts, package]:
            opkg.StandIn(guest).remove(packages[path]["Package"])
        if list(Path("/usr/lib/viscum").glob("*")):
            say("FAILED: files are left of " + fields["Package"])
            failed = True
    return 1 if failed else 0


def here() -> list[str]:
    """The datapaths that this kernel is known to have: Debian's have all classifiers, and tcx since 6.6."""
    version = tuple(int(part) for part in os.uname().release.split(".")[:2])
    return ["u32", "flower", "bpf-tcx" if version >= (6, 6) else "bpf-cls"]


def only() -> list[str]:
    """Which rows the runner asked for, by a word of the kernel's command line: viscum=cpython:u32,..."""
    words = [word for word in Path("/proc/cmdline").read_text().split() if word.startswith("viscum=")]
    return words[-1].partition("=")[2].split(",") if words else []


class Row:
    """One package with one datapath, from its start until nothing is left."""

    def __init__(self, interpreter: str, datapath: str) -> None:
        self.interpreter, self.datapath = interpreter, datapath
        self.option = datapath.partition("-")[0]
        self.agent: subprocess.Popen | None = None
        self.found = {"kernel": os.uname().release, "interpreter": interpreter, "datapath": datapath}

    def run(self) -> bool:
        """Whether all steps went well."""
        before = traces()
        LOG.write_text("")
        good = True
        for name, step in STEPS.items():
            try:
                text = step(self) or "yes"
            except Exception as error:
                text = "FAILED: " + " ".join(str(error).split())[:300]
                good = False
                rows = [json.dumps(row) for row in self.rows().values()]
                for line in (traceback.format_exc() + LOG.read_text()[-2000:]).splitlines() + rows:
                    say(line)
            self.found[name] = text
            say("%s %s %s: %s" % (self.interpreter, self.datapath, name, text))
            if name == "up" and not good:
                break
        self.clear()
        if traces() != before:
            self.found["down"] = "FAILED: left: " + " ".join(sorted(set(traces()) ^ set(before)))
            good = False
        print("VISCUM ROW " + json.dumps(self.found), flush=True)
        return good

    def clear(self) -> None:
        if self.agent:
            self.agent.kill()
            self.agent.wait()
            self.agent = None
        run("/usr/bin/viscum", "down", check=False)

    # Steps: each returns a figure, None for "it is so", or raises.

    def up(self) -> None:
        self.configure("tcp")
        self.start()
        self.healthy()
        row = self.rows()["echo"]
        assert row["datapath"] == self.option, row

    def tcp_and_udp(self) -> None:
        answers({(name, *way): name for name in ("echo",) for way in WAYS})

    def target_port(self) -> None:
        answers({("port", *way): "port" for way in WAYS})

    def doctor(self) -> None:
        result = run("/usr/bin/viscum", "doctor", "--json", check=False)
        findings = json.loads(result.stdout)
        bad = [each for each in findings if each["severity"] in ("error", "warning")]
        assert not bad and result.returncode == 0, (result.returncode, bad)
        self.found["version"] = next(each["found"] for each in findings if each["id"] == "interpreter").split()[1]
        notes = ["%s (%s)" % (each["id"], each["found"]) for each in findings if each["severity"] == "note"]
        say("doctor's notes: " + " ".join(notes))

    def agent_killed(self) -> None:
        programs = self.programs()
        self.kill()
        answers({("echo", *way): "echo" for way in WAYS})
        self.start()
        asked = 0
        while not self.is_healthy():
            answers({(name, *way): name for name in ("echo", "port") for way in WAYS})
            asked += 1
            assert asked < 10 * HANG, "the next agent does not come"
            time.sleep(0.1)
        answers({(name, *way): name for name in ("echo", "port") for way in WAYS})
        assert programs == self.programs(), "a program was started again"

    def idle(self) -> str:
        """How often the agent woke up in IDLE seconds in which no check, deadline or look is due: the kernel counts how
        often it gave the processor away."""
        self.configure("none")
        for quiet in (ASKED, QUIET):
            self.agent.send_signal(signal.SIGHUP)  # its look is the last for 45 s
            wait_for(lambda quiet=quiet: self.wakes(quiet) == 0, "an agent that sleeps")
        found = self.wakes(IDLE)
        assert self.agent.poll() is None, "the agent has ended"
        assert found == 0, found
        return "0"

    def wakes(self, seconds: int) -> int:
        before = self.switches()
        time.sleep(seconds)
        return self.switches() - before

    def memory(self) -> str:
        """All its pages, also those that it shares now: with nobody to share them, its PSS would be that."""
        text = Path("/proc/%d/smaps_rollup" % self.agent.pid).read_text()
        return "%.1f" % (next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Rss:")) / 1024)

    def program_killed(self) -> None:
        self.configure("tcp")
        self.agent.send_signal(signal.SIGHUP)
        time.sleep(2)
        self.healthy()
        os.kill(self.programs()["echo"], signal.SIGKILL)
        for way in WAYS:  # a datagram that meets a closed port is lost, and shows that it is one
            wait_for(lambda way=way: who("echo", *way) == "cloud", "the cloud, after the program was killed", 15)
        answers({("port", *way): "port" for way in WAYS})
        wait_for(lambda: who("echo", "tcp", 4) == "echo", "the program again")

    def down(self) -> None:
        self.agent.terminate()
        self.agent.wait(HANG)
        answers({("echo", *way): "echo" for way in WAYS})
        run("/usr/bin/viscum", "down")
        answers({(name, *way): "cloud" for name in ("echo", "port") for way in WAYS})

    # Helpers

    def configure(self, check: str) -> None:
        CONFIG.write_text(SERVICES % {"datapath": self.option, "check": check})

    def start(self) -> None:
        with LOG.open("a") as stream:
            self.agent = subprocess.Popen(["/usr/sbin/viscumd"], stdin=subprocess.DEVNULL, stderr=stream)

    def kill(self) -> None:
        self.agent.kill()
        self.agent.wait()

    def rows(self) -> dict:
        """What the agent says of each service; {} when none answers, or not in time: a processor emulated beside other
        work takes long to start CPython, and nobody else gets any of it meanwhile."""
        try:
            return (agent_calls.state_of(SOCKET) or {"services": {}})["services"]
        except UbusStatus as error:
            say("no answer: %s" % error)
            return {}

    def programs(self) -> dict:
        """The process of each service, as soon as the agent answers."""
        found: dict = {}
        wait_for(lambda: found.update(self.rows()) or found, "an answer of the agent")
        return {name: row["pid"] for name, row in found.items()}

    def is_healthy(self) -> bool:
        rows = self.rows()
        good = [row for row in rows.values() if row["state"] == "healthy" and row["from"] and not row["stays"]]
        return len(good) == 2

    def healthy(self) -> None:
        wait_for(self.is_healthy, "healthy services")

    def switches(self) -> int:
        text = Path("/proc/%d/status" % self.agent.pid).read_text()
        return sum(int(line.split()[1]) for line in text.splitlines() if "ctxt_switches" in line)


STEPS = {
    "up": Row.up,
    "TCP, UDP": Row.tcp_and_udp,
    "target_port": Row.target_port,
    "doctor": Row.doctor,
    "agent killed": Row.agent_killed,
    "wakes": Row.idle,
    "MiB": Row.memory,
    "program killed": Row.program_killed,
    "down": Row.down,
}


def who(name: str, proto: str, family: int) -> str:
    """Who answers a client of a service's address, "" if nobody does."""
    address = ADDRESSES[name, family]
    with Visit() as visit:
        visit.enter("client")
        sock = echo.client(proto, address)
    return echo.ask(sock, address, PORTS[name], 5)[0]


def answers(wanted: dict) -> None:
    found = {question: who(*question) for question in wanted}
    assert found == wanted, {question: found[question] for question in found if found[question] != wanted[question]}


def traces() -> list[str]:
    """What Viscum could leave in the kernel, and what others have there."""
    text = "\n".join(run(*words.split(), check=False).stdout for words in LEAVES)
    folders = ("/var/run/netns", "/sys/fs/bpf", "/sys/fs/cgroup")
    names = ["%s/%s" % (folder, name) for folder in folders for name in os.listdir(folder)]
    # Numbers of a device that is there all the time stay: they are part of the line.
    return sorted(text.splitlines() + names)


LEAVES = (IP + " -o link", IP + " addr", IP + " route", IP + " -6 route", TC + " qdisc show")
LEAVES += (TC + " filter show dev br-lan ingress",)


def make_network() -> None:
    for key in ("net/ipv6/conf/default/accept_dad", "net/ipv6/conf/all/accept_dad"):
        Path("/proc/sys", key).write_text("0")
    for key in ("net/ipv4/ip_forward", "net/ipv6/conf/all/forwarding"):
        Path("/proc/sys", key).write_text("1")
    ip("link set lo up")
    ip("link add br-lan type bridge")
    ip("link set br-lan up")
    wire("client", "lan0", "br-lan", "192.168.77", "2001:db8:77")
    wire("cloud", "wan0", "wan0", "198.51.100", "2001:db8:100")
    for name, family in ADDRESSES:
        address, gateway = ADDRESSES[name, family], {4: "198.51.100.2", 6: "2001:db8:100::2"}[family]
        ip("-n cloud addr add %s dev lo%s" % (address, " nodad" if family == 6 else ""))
        ip("route add %s via %s" % (address, gateway))


def wire(ns: str, port: str, device: str, net4: str, net6: str) -> None:
    """A link from a host (.2) to the router's device (.1), which is its gateway."""
    ip("netns add " + ns)
    ip("-n %s link set lo up" % ns)
    ip("link add %s type veth peer name eth0 netns %s" % (port, ns))
    if port != device:
        ip("link set %s master %s" % (port, device))
    ip("link set %s up" % port)
    ip("-n %s link set eth0 up" % ns)
    for where, dev, end in (("", device, "1"), ("-n %s " % ns, "eth0", "2")):
        ip("%saddr add %s.%s/24 dev %s" % (where, net4, end, dev))
        ip("%saddr add %s::%s/64 dev %s nodad" % (where, net6, end, dev))
    ip("-n %s route add default via %s.1" % (ns, net4))
    ip("-n %s -6 route add default via %s::1" % (ns, net6))


def cloud_words() -> list[str]:
    return ["cloud@" + ",".join(ADDRESSES.values()), *map(str, PORTS.values())]


def ip(words: str) -> None:
    run(IP, *words.split())


def run(*words: object, check: bool = True) -> subprocess.CompletedProcess:
    command = [str(word) for word in words]
    result = subprocess.run(command, capture_output=True, text=True, timeout=HANG, stdin=subprocess.DEVNULL)
    if check and result.returncode:
        raise AssertionError("%s: exit %d: %s%s" % (" ".join(command), result.returncode, result.stdout, result.stderr))
    return result


def start(*words: object) -> None:
    subprocess.Popen([str(word) for word in words], stdin=subprocess.DEVNULL)


def wait_for(condition: object, what: str, seconds: float = HANG) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up:
            raise AssertionError("did not come within %d s: %s" % (seconds, what))
        time.sleep(0.2)


def say(text: str) -> None:
    print("%7.1f %s" % (time.monotonic(), text), flush=True)


if __name__ == "__main__":
    sys.exit(main())
