"""A lab of network namespaces: client -- router -- cloud, as the tests, the demo and the benchmarks need it.

    client 192.168.77.2 --- lan0 [router] wan0 --- 198.51.100.2 cloud (also 203.0.113.10, ...)
           2001:db8:77::2                              2001:db8:100::2 (also 2001:db8:cafe::10)

Every namespace gets a name that no other has, everything is removed by `close`, also after a failure. Commands are run
in a namespace by nsenter and not by `ip netns exec`: that would give them mounts of their own, in which no named
namespace can be made.
"""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import clients
import echo
from datapaths import DATAPATHS, start

from viscum_agent import compat
from viscum_agent.kernel import cgroup
from viscum_agent.kernel.bpf_pins import Pinned, folder
from viscum_agent.kernel.bpf_syscall import BPFFS
from viscum_agent.kernel.netns import Visit

ROOT = Path(__file__).resolve().parent.parent
# For services: readable by everybody, unlike a developer's checkout perhaps. Each test run has its own.
PROGRAMS = Path("/tmp/viscum-lab-%d" % os.getpid())
CLOUD = ("203.0.113.10", "203.0.113.11", "203.0.113.12", "198.18.5.5")
CLOUD6 = ("2001:db8:cafe::10", "2001:db8:cafe::11")
# Seconds after which something is taken to hang: nothing that works takes that long, be the machine ever so slow.
# Every wait of the tests ends with it, and a test as a whole with `timeout` in pyproject.toml. A test of a time that
# Viscum promises measures it.
HANG = 120
# In an emulated guest, several programs that start side by side may take longer than the default of 10 s.
START_TIMEOUT = ("option start_timeout 60",) if "VISCUM_GUEST" in os.environ else ()
# Seconds after which nobody is taken to answer: a client's second SYN comes after 1 s (RFC 6298).
SILENCE = 2.5
CPYTHON = (sys.executable,)
# Another one than that of the set-up, by its whole path: an older, a newer, one of another architecture.
MICROPYTHON_FILE = Path(os.environ.get("VISCUM_MICROPYTHON") or ROOT / ".cache/micropython/micropython")
MICROPYTHON = (str(MICROPYTHON_FILE), "-X", "heapsize=16M")

ETH_P_ALL, PACKET_OUTGOING = 3, 4  # linux/if_ether.h, if_packet.h
SO_RCVBUFFORCE, ROOM = 33, 8 << 20  # asm-generic/socket.h; bytes: a thousand packets wait until they are read


class Built:
    """A context manager of what `_build` builds and `close` takes down, also where only a part of it is there."""

    def __enter__(self):
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()


class Lab(Built):
    """Use as a context manager. `interpreter` is how Viscum is started: CPYTHON or MICROPYTHON. `distance` is that of
    the cloud, (milliseconds of round trip, Mbit/s) for demo/distance.py; without it the cloud is next door. `datapath`
    (datapaths.DATAPATHS) is what `configure` writes as the router's, None for what Viscum takes by itself. `link`
    makes what leads to clients, a function of bare.py; without it that is Ethernet (veth)."""

    def __init__(self, tmp, interpreter=CPYTHON, clients=1, ipv6=True, distance=None, datapath=None, link=None):
        self.tmp = Path(tmp)
        self.confdir = self.tmp / "config"
        self.interpreter = interpreter
        self.datapath = DATAPATHS[datapath].option if datapath else None
        self._pair = DATAPATHS[datapath].pair if datapath else ""
        self.prio = DATAPATHS[datapath].prio if datapath else 0
        self._start = start(datapath)
        self._ipv6 = ipv6
        self._distance = distance
        self.link = link
        self._processes = []
        tag = "l%x" % (os.getpid() * 1000 + int(time.time() * 1000) % 1000)
        self.router, self.cloud = tag + "-router", tag + "-cloud"
        self.clients = [tag + "-client%d" % number for number in range(clients)]
        self.client = self.clients[0]

    def _build(self):
        self.confdir.mkdir(parents=True, exist_ok=True)
        PROGRAMS.mkdir(mode=0o755, exist_ok=True)
        for name in ("echo.py", "listens.py"):
            shutil.copy(ROOT / "tests" / name, PROGRAMS)
        for ns in [self.router, self.cloud] + self.clients:
            ip("netns", "add", ns)
            ip("-n", ns, "link", "set", "lo", "up")
            # No duplicate address detection: else nobody finds his neighbours in the first second.
            set_sysctl(ns, "ipv6/conf/default/accept_dad", 0)
        for key in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            set_sysctl(self.router, key, 1)
        self._wire(self.cloud, "eth0", self.router, "wan0", "198.51.100", "2001:db8:100", self._distance)
        for number in range(len(self.clients)):
            self.wire_client(number)
        addresses = CLOUD + (CLOUD6 if self._ipv6 else ())
        ips(self.cloud, ["addr add %s dev lo" % address for address in addresses])
        via = [(address, "2001:db8:100::2" if ":" in address else "198.51.100.2") for address in addresses]
        ips(self.router, ["route add %s via %s" % each for each in via])
        # A device has its carrier a moment after the other end is up: no snapshot should be from before that.
        wait_for(lambda: "NO-CARRIER" not in ip("-n", self.router, "link", "show"))

    def wire_client(self, number, link=None):
        """The link from a client to the router's lan0, lan1, ..., made by `link` or by what makes all of them."""
        net4, net6 = "192.168.%d" % (77 + number), "2001:db8:%d" % (77 + number)
        self._wire(self.clients[number], "eth0", self.router, "lan%d" % number, net4, net6, link=link or self.link)

    def _wire(self, ns, dev, router, port, net4, net6, distance=None, link=None):
        """A link from a host (.2) to the router (.1), which is its default gateway."""
        if link:
            link(self, ns, dev, router, port)
        elif distance:
            self.start(router, sys.executable, ROOT / "demo/distance.py", port, dev, *distance)
            wait_for(lambda: '"%s"' % dev in ip("-n", router, "-j", "link"))
            ip("-n", router, "link", "set", dev, "netns", ns)
        else:
            ip("-n", router, "link", "add", port, "type", "veth", "peer", "name", dev, "netns", ns)
        ips(router, self._own(port, net4, net6, 1))
        gateways = [net4 + ".1"] + ([net6 + "::1"] if self._ipv6 else [])
        ips(ns, self._own(dev, net4, net6, 2) + ["route add default via " + gateway for gateway in gateways])

    def _own(self, name, net4, net6, end):
        """What brings a device up, with the addresses of its end of a link."""
        six = ["addr add %s::%d/64 dev %s nodad" % (net6, end, name)] if self._ipv6 else []
        return ["link set %s up" % name, "addr add %s.%d/24 dev %s" % (net4, end, name), *six]

    def bridge(self):
        """Puts lan0 under a bridge br-lan that takes its addresses, as OpenWrt has it."""
        lines = ["link add br-lan type bridge", "addr flush dev lan0", "link set lan0 master br-lan"]
        ips(self.router, lines + self._own("br-lan", "192.168.77", "2001:db8:77", 1))

    def close(self):
        shutil.rmtree(PROGRAMS, ignore_errors=True)
        for process in self._processes:
            kill(process)
        self._processes = []
        there = namespaces()
        if self.router in there:
            self.clear()
        for ns in [self.router, self.cloud] + self.clients:
            if ns in there:
                for pid in pids_in(ns):
                    os.kill(pid, signal.SIGKILL)
                ip("netns", "del", ns)

    def clear(self):
        """Takes away what Viscum made, without asking Viscum: for the end of a test that failed."""
        for ns in [name for name in namespaces() if name.startswith("viscum-")]:
            for pid in pids_in(ns):
                os.kill(pid, signal.SIGKILL)
            wait_for(lambda ns=ns: not pids_in(ns))
            ip("netns", "del", ns)
        # Pins and control groups outlive a namespace, whose number the next one may get.
        shutil.rmtree(self._pinned(), ignore_errors=True)
        groups = self._groups()
        for group in groups.glob("*.*/cgroup.procs"):
            wait_for(lambda group=group: is_removed(group.parent))
        if groups.exists():
            groups.rmdir()

    def _groups(self):
        """The folder of the router's control groups (kernel/cgroup.py)."""
        return Path(cgroup._mount_point() or "/nonexistent") / (
            "viscum-%d" % os.stat("/run/netns/" + self.router).st_ino
        )

    def _pinned(self):
        return Path(folder(os.stat("/run/netns/" + self.router).st_ino))

    def pins(self):
        """Paths of what the eBPF datapath has pinned for the router."""
        return sorted(self._pinned().iterdir()) if self._pinned().exists() else []

    # Commands

    def command(self, ns, *words):
        return ["nsenter", "--net=/run/netns/" + ns, *map(str, words)]

    def run(self, ns, *words, check=True, timeout=HANG, **options):
        """Runs a command in a namespace; its result has stdout and stderr as text."""
        return run(*self.command(ns, *words), check=check, timeout=timeout, **options)

    def start(self, ns, *words, **options):
        """Starts a command in a namespace; `close` ends it."""
        options.setdefault("stdout", subprocess.DEVNULL)
        options.setdefault("stderr", subprocess.DEVNULL)
        process = subprocess.Popen(self.command(ns, *words), stdin=subprocess.DEVNULL, **options)
        self._processes.append(process)
        return process

    # Viscum

    def configure(self, text, name="viscum"):
        if self.datapath and name == "viscum":
            pair = "\toption pair '%s'\n" % self._pair if self._pair else ""
            text = "config globals 'globals'\n\toption datapath '%s'\n%s\n" % (self.datapath, pair) + text
        (self.confdir / name).write_text(text)

    def viscum(self, *words, check=True, interpreter=None):
        """Runs `viscum` on the router with this lab's configuration."""
        return self.run(
            self.router,
            *self.agent("viscum_agent", interpreter),
            "-c",
            self.confdir,
            *words,
            check=check,
            cwd=ROOT,
            env=self.env(),
        )

    def agent(self, module, interpreter=None):
        """The words that start a module of the agent."""
        return (*(interpreter or self.interpreter), *self._start, module)

    def env(self):
        """The environment in which both interpreters find the agent from any directory."""
        return {
            **os.environ,
            "MICROPYPATH": "%s:.frozen" % ROOT,
            "PYTHONPATH": str(ROOT),
            "PYTHONDONTWRITEBYTECODE": "1",
        }

    def redirects(self, dev="lan0"):
        """What takes packets on a device, as text: filters, and what the eBPF datapath has in its maps."""
        text = self.run(self.router, "tc", "filter", "show", "dev", dev, "ingress", check=False).stdout
        number = os.stat("/run/netns/" + self.router).st_ino
        if "fwd_" not in text and not Path("%s/viscum-%d/link_%s" % (BPFFS, number, dev)).exists():
            return text
        pinned = Pinned(number)
        try:
            entries = pinned.entries()
        except FileNotFoundError:
            entries = []  # taken away while we looked
        finally:
            pinned.close()
        links = json.loads(self.run(self.router, "ip", "-j", "link", "show").stdout)
        names = {link["ifindex"]: link["ifname"] for link in links}
        lines = sorted(
            "bpf %s %s" % (names.get(entry.target, "?"), entry[2:4])
            for entry in entries
            if names.get(entry.index) == dev
        )
        return text + "\n".join(lines)

    def status(self, name):
        for row in json.loads(self.viscum("status", "--json").stdout):
            if row["name"] == name:
                return row
        raise LookupError(name)

    # Servers and clients that say who answered

    def serve_cloud(self, *ports):
        """Starts the echo server on the addresses of the cloud; it answers with "cloud"."""
        return self.serve(self.cloud, "cloud@" + ",".join(CLOUD + CLOUD6), *ports)

    def serve(self, ns, who, *ports):
        """Starts the echo server (tests/echo.py) in a namespace; it answers with `who`."""
        process = self.start(ns, sys.executable, ROOT / "tests/echo.py", "serve", who, *ports)
        for port in ports:
            wait_for(lambda port=port: listens(ns, port))
        return process

    def ask(self, protocol, address, port, ns=None, timeout=2, sport=0):
        """Who answers a client there: (name, the server's view of its own address), or ("", reason). The client is this
        process, with a socket of that namespace: another Python would take longer to start than all the rest. Without
        `sport`, its own port is any."""
        with inside(ns or self.client):
            sock = echo.client(protocol, address)
        if sport:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(("", sport))
        return echo.ask(sock, address, int(port), timeout)

    def who(self, questions, ns=None, timeout=HANG):
        """The names of who answers each (protocol, address, port), asked side by side, or "" after the timeout: where
        nobody is to answer, SILENCE is long enough."""
        asked = [("::" if ":" in address else "0.0.0.0", proto, address, port) for proto, address, port in questions]
        with inside(ns or self.client):
            return ["" if answer.startswith("(") else answer for answer in clients.ask(timeout, asked)]


def echo_command(who, *ports):
    """The echo server as a service's command. Debian's own Python: no other is sure to be readable for `nobody`."""
    return "/usr/bin/python3 %s serve %s %s" % (PROGRAMS / "echo.py", who, " ".join(map(str, ports)))


def service(name, command, *lines):
    """A UCI service section, enabled; `lines` are further lines. Its program sees PROGRAMS, although that is in /tmp,
    where programs have a folder of their own."""
    text = ["config service '%s'" % name, "option enabled 1", 'option command "%s"' % command, *lines]
    if not any(line.startswith("option start_timeout ") for line in lines):
        text.extend(START_TIMEOUT)
    if "option view host" not in lines:
        text.append("list writable %s" % PROGRAMS)
    return "\n\t".join(text) + "\n\n"


def _to_one(pid, number, kill=os.kill):
    """What `status` says of a program that does not run is 0: by that, all tests would end, and who began them."""
    assert pid > 1, "no process of a test has the number %s" % pid
    kill(pid, number)


def isolate():
    """Gives this process mounts of its own with an empty /run and BPF file system: no service of others is in the way
    or in danger, nobody else's agent has the lock, and whatever happens, the names of namespaces and pinned programs
    end with this process. Nor does a signal go to anybody but one process.
    """
    os.kill = _to_one
    compat.unshare(compat.CLONE_NEWNS)
    run("mount", "--make-rprivate", "/")
    run("mount", "-t", "tmpfs", "none", "/run")
    Path("/run/netns").mkdir()
    run("mount", "-t", "tmpfs", "none", "/run/netns")
    if Path(BPFFS).exists():
        run("mount", "-t", "bpf", "none", BPFFS, check=False)  # not every kernel has it


def ip(*words):
    return run("ip", *words).stdout


def ips(ns, lines):
    """Commands of ip(8) in a namespace, one a line: a process for each would be most of a lab's time."""
    run("ip", "-n", ns, "-batch", "-", input="\n".join(lines))


def set_sysctl(ns, key, value):
    """A key of net, as a path."""
    with inside(ns):
        Path("/proc/sys/net", key).write_text(str(value))


@contextlib.contextmanager
def left_as_it_was():
    """As a context manager: this machine's namespaces and devices are the same afterwards."""
    before = _namespaces_and_devices()
    yield
    assert _namespaces_and_devices() == before


def _namespaces_and_devices():
    # Without the numbers: a device that comes back from another namespace gets a new one.
    return namespaces(), sorted(name for _, name in socket.if_nameindex())


def with_own_mounts(step, told):
    """What `step()` returns, or what `told(error)` says of its error: in a child with mounts of its own."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            compat.unshare(compat.CLONE_NEWNS)
            run("mount", "--make-rprivate", "/")
            os.write(writing, json.dumps(step()).encode())
        except BaseException as error:
            os.write(writing, json.dumps(told(error)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        found = json.loads(file.read())
    os.waitpid(pid, 0)
    return found


def run(*words, check=True, timeout=HANG, **options):
    if "input" not in options:
        options["stdin"] = subprocess.DEVNULL
    result = subprocess.run(words, capture_output=True, text=True, timeout=timeout, **options)
    if check and result.returncode:
        raise AssertionError(
            "%s: exit %d\n%s%s" % (" ".join(map(str, words)), result.returncode, result.stdout, result.stderr)
        )
    return result


NAMED = Path("/run/netns")


def namespaces():
    return sorted(os.listdir(NAMED)) if NAMED.exists() else []


AGENTS = ("viscum_agent", "hasty_agent")  # as their command lines have it


def pids_in(ns):
    """The pids in a namespace, but for Viscum's own processes, which go in and out of those of its services."""
    found = [int(name) for name in os.listdir("/proc") if name.isdigit() and _is_in(name, NAMED / ns)]
    return [pid for pid in found if not any(name in _words(pid) for name in AGENTS)]


def _is_in(pid, file):
    try:
        return os.path.samefile("/proc/%s/ns/net" % pid, file)
    except OSError:
        return False  # one of them is gone


def _words(pid):
    try:
        return Path("/proc/%d/cmdline" % pid).read_text()
    except OSError:
        return ""


def kill(process):
    if process.poll() is None:
        process.kill()
    process.wait(HANG)


def is_removed(group):
    """Ends what is left in a control group, and removes it."""
    with contextlib.suppress(OSError):  # before 5.14
        (group / "cgroup.kill").write_text("1")
    with contextlib.suppress(OSError):  # who was killed is still in it
        group.rmdir()
    return not group.exists()


def listens(ns, port):
    """Whether something is open for clients on a TCP or UDP port in a namespace."""
    end = ":%04X" % int(str(port).split("/")[-1])
    with inside(ns):
        texts = [Path("/proc/thread-self/net", name).read_text() for name in ("tcp", "tcp6", "udp", "udp6")]
    sockets = [line.split() for text in texts for line in text.splitlines()[1:]]
    return any(words[1].endswith(end) and words[3] in ("0A", "07") for words in sockets)  # TCP_LISTEN, UDP's only one


def wait_for(condition, seconds=HANG):
    """Waits until a condition holds; fails the test when it does not within the time."""
    give_up = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up:
            raise AssertionError("did not happen within %s s" % seconds)
        time.sleep(0.02)


@contextlib.contextmanager
def inside(ns):
    """As a context manager: this thread is in a namespace. A socket stays in the one where it was opened."""
    with Visit() as visit:
        visit.enter(ns)
        yield


def in_namespace(ns, make):
    """What `make` returns, called in a namespace."""
    with inside(ns):
        return make()


def mac(ns, dev="eth0"):
    return json.loads(ip("-n", ns, "-j", "link", "show", "dev", dev))[0]["address"]


def packed_mac(ns, dev="eth0"):
    return bytes.fromhex(mac(ns, dev).replace(":", ""))


def watch(ns, dev="eth0"):
    """A socket that gets what passes a device; who reads it tells by PACKET_OUTGOING what leaves there."""
    with inside(ns):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)
    sock.bind((dev, ETH_P_ALL))
    return sock


def snapshot(ns):
    """Everything of a namespace that a neighbour could harm, as text: to be compared before and after."""
    commands = (
        "ip -d link show",
        "ip addr show",
        "ip route show table all",
        "ip -6 route show table all",
        "ip rule show",
        "nft list ruleset",
        "ls -R /sys/fs/bpf",
    )
    there = ("nsenter", "--net=/run/netns/" + ns)
    text = [run(*there, *command.split(), check=False).stdout for command in commands]
    devices = [link["ifname"] for link in json.loads(ip("-n", ns, "-j", "link", "show"))]
    lines = ["filter show dev %s %s" % (device, side) for device in devices for side in ("ingress", "egress")]
    tc = (*there, "tc", "-force", "-batch", "-")  # a device without a qdisc for them is an error
    text.append(run(*tc, input="\n".join(["qdisc show", *lines]), check=False).stdout)
    return "\n".join(text)
