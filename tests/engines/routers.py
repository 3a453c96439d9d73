"""Many routers, each with a real agent, a client, and an ssh server, and who steers them, in the Internet.

    client N 10.77.N.2 --- lan0 [router N] wan0 198.51.100.N --- bridge [internet] 203.0.113.10, answers as "cloud"

A router has mounts of its own: /etc/config, /run with the namespaces of its services and the socket of its agent, /tmp,
and as /bin/sh busybox, as on OpenWrt. `viscum` there is found by its name. Its ssh server is dropbear with keys of its
own; who steers has the only key that it lets in.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import clients
from lab import MICROPYTHON, PROGRAMS, ROOT, Built, echo_command, ip, is_removed, kill, run, service, wait_for

from viscum_agent.kernel import cgroup
from viscum_agent.kernel.bpf_pins import folder
from viscum_agent.kernel.netns import Visit

CLOUD, PORT = "203.0.113.10", 7000
CONTROLLER = ("198.51.100.254", "8000")
CONTROLLER_URL = "http://%s:%s" % CONTROLLER
BUSYBOX = "/bin/busybox"
AT_ONCE = 4  # processes that start side by side
# Each line is a mount of one router. /bin and /etc are the machine's with some files of its own over them.
MOUNTS = """set -e
mount --make-rprivate /
mount -t tmpfs none /run
mkdir -p /run/netns /run/ubus /run/programs
mount -t tmpfs none /run/netns
mount --bind {programs} /run/programs
mount -t bpf none /sys/fs/bpf || :
mount -t overlay -o lowerdir={own}/bin:/usr/bin none /usr/bin
mount -t overlay -o lowerdir={own}/etc:/etc none /etc
mount --bind {own}/config /etc/config
mount -t tmpfs none /tmp
mkdir -p {programs}
mount --bind /run/programs {programs}
exec /usr/sbin/dropbear -F -E -s -r /etc/dropbear/key -P /run/dropbear.pid -p 22
"""


def answers(who):
    """A configuration by which a router's clients are answered by `who`."""
    takes = ("list device lan0", "list dest_ip " + CLOUD, "list dest_port %d" % PORT)
    return service("echo", echo_command(who, PORT), *takes, "option respawn_timeout 1", "option health_interval 1")


def mute():
    """One that no check of a file finds wrong: its program runs and never answers."""
    return answers("mute").replace(echo_command("mute", PORT), "/bin/sleep 600")


class Router:
    def __init__(self, lab, number):
        self.lab, self.number = lab, number
        self.name = "router%02d" % number
        self.ns, self.client = lab.tag + self.name, lab.tag + "client%02d" % number
        self.address = "198.51.100.%d" % number
        self.own = lab.tmp / self.name
        self.config = self.own / "config/viscum"
        self.log = self.own / "agent.log"
        self.ssh = self.agent = None

    def build(self):
        for ns in (self.ns, self.client):
            ip("netns", "add", ns)
            ip("-n", ns, "link", "set", "lo", "up")
        run("nsenter", "--net=/run/netns/" + self.ns, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        ip("-n", self.ns, "link", "add", "lan0", "type", "veth", "peer", "name", "eth0", "netns", self.client)
        ip("-n", self.ns, "link", "add", "wan0", "type", "veth", "peer", "name", self.name, "netns", self.lab.internet)
        ip("-n", self.lab.internet, "link", "set", self.name, "master", "br0", "up")
        for ns, device, address in (
            (self.ns, "lan0", "10.77.%d.1/24" % self.number),
            (self.client, "eth0", "10.77.%d.2/24" % self.number),
            (self.ns, "wan0", self.address + "/24"),
        ):
            ip("-n", ns, "link", "set", device, "up")
            ip("-n", ns, "addr", "add", address, "dev", device)
        ip("-n", self.client, "route", "add", "default", "via", "10.77.%d.1" % self.number)
        ip("-n", self.ns, "route", "add", "default", "via", "198.51.100.254")
        ip("-n", self.lab.internet, "route", "add", "10.77.%d.0/24" % self.number, "via", self.address)

    def start(self, text):
        for name in ("bin", "etc/config", "etc/dropbear/.ssh", "config"):
            (self.own / name).mkdir(parents=True)
        os.symlink(BUSYBOX, self.own / "bin/sh")
        words = " ".join(map(str, (*MICROPYTHON, "-m", "viscum_agent")))
        env = "MICROPYPATH=%s:.frozen" % ROOT
        (self.own / "bin/viscum").write_text('#!/bin/sh\n%s exec %s "$@"\n' % (env, words))
        (self.own / "bin/uci").write_text(
            '#!/bin/sh\n[ "$*" = "-q get openwisp.http.url" ] && echo %s\n' % CONTROLLER_URL
        )
        for name in ("viscum", "uci"):
            (self.own / "bin" / name).chmod(0o755)
        self._let_in()
        self.config.write_text(text)
        script = MOUNTS.format(own=self.own, programs=PROGRAMS)
        with (self.own / "dropbear.log").open("w") as stream:
            words = ("nsenter", "--net=/run/netns/" + self.ns, "unshare", "--mount", "/bin/sh", "-c", script)
            self.ssh = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream)
        wait_for(lambda: self.ssh.poll() is not None or self.path("/run/dropbear.pid").exists())
        assert self.ssh.poll() is None, (self.own / "dropbear.log").read_text()
        self.start_agent()

    def _let_in(self):
        """Makes the ssh server's key, and lets the key of who steers in."""
        etc = self.own / "etc"
        run("dropbearkey", "-t", "ed25519", "-f", etc / "dropbear/key")
        shutil.copy(self.lab.key.with_suffix(".pub"), etc / "dropbear/.ssh/authorized_keys")
        users = Path("/etc/passwd").read_text().splitlines()
        users[0] = "root:x:0:0:root:/etc/dropbear:/bin/sh"
        (etc / "passwd").write_text("\n".join(users) + "\n")

    def host_key(self):
        shown = run("dropbearkey", "-y", "-f", self.own / "etc/dropbear/key").stdout
        return "%s %s" % (self.address, next(line for line in shown.splitlines() if line.startswith("ssh-ed25519")))

    def path(self, path):
        """A path of the router's, as this process finds it."""
        return Path("/proc/%d/root%s" % (self.ssh.pid, path))

    def words(self, *words):
        """A command on the router."""
        return ["nsenter", "-t", str(self.ssh.pid), "--mount", "--net", "--wd=/", *map(str, words)]

    def start_agent(self):
        env = {**os.environ, "MICROPYPATH": "%s:.frozen" % ROOT}
        with self.log.open("a") as stream:
            words = self.words(*MICROPYTHON, "-m", "viscum_agent.viscumd", "-b")
            self.agent = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=env)

    def logread(self):
        """Its system log, as far as device.py keeps one."""
        path = self.path("/tmp/log")
        return path.read_text() if path.exists() else ""

    def viscum(self, *words):
        return run(*self.words("/usr/bin/viscum", *words), check=False)

    def told(self):
        """What the agent says of its configuration."""
        return json.loads(self.viscum("verify", "--json").stdout)

    def who(self):
        """Who answers its client."""
        with Visit() as visit:
            visit.enter(self.client)
            return clients.ask(2, [("0.0.0.0", "tcp", CLOUD, PORT)])[0]

    def becomes(self, who):
        wait_for(lambda: self.who() == who)

    def has(self, text):
        """Puts a configuration in place by hand, as a test begins with it."""
        if self.config.read_text() != text:
            self.viscum("rollback")
            self.config.write_text(text)
            self.viscum("reload")

    def cut(self, off=True):
        ip("-n", self.lab.internet, "link", "set", self.name, "down" if off else "up")

    def close(self):
        if self.agent:
            kill(self.agent)
            self._end_services()
        if self.ssh:
            kill(self.ssh)
        for ns in (self.ns, self.client):
            if not Path("/run/netns", ns).exists():
                continue
            for pid in _pids(ns):
                os.kill(pid, signal.SIGKILL)
            self._clear(os.stat("/run/netns/" + ns).st_ino)
            ip("netns", "del", ns)

    def _end_services(self):
        """The agent's programs outlive it, in namespaces whose names only this router has."""
        for ns in self.path("/run/netns").glob("viscum-*"):
            for pid in run(*self.words("ip", "netns", "pids", ns.name), check=False).stdout.split():
                os.kill(int(pid), signal.SIGKILL)

    def _clear(self, number):
        """Control groups and pinned programs outlive a namespace, whose number the next one may get."""
        shutil.rmtree(folder(number), ignore_errors=True)
        groups = Path(cgroup._mount_point() or "/nonexistent") / ("viscum-%d" % number)
        for group in groups.glob("*.*/cgroup.procs"):
            wait_for(lambda group=group: is_removed(group.parent))
        if groups.exists():
            groups.rmdir()


def _pids(ns):
    return [int(pid) for pid in run("ip", "netns", "pids", ns).stdout.split()]


class Routers(Built):
    """Use as a context manager."""

    def __init__(self, tmp, count):
        self.tmp = Path(tmp)
        self.tag = "f%x-" % os.getpid()
        self.internet = self.tag + "internet"
        self.key = self.tmp / "key"
        self.all = [Router(self, number) for number in range(1, count + 1)]
        self._cloud = None

    def _build(self):
        PROGRAMS.mkdir(mode=0o755, exist_ok=True)
        shutil.copy(ROOT / "tests/echo.py", PROGRAMS)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key)
        ip("netns", "add", self.internet)
        for words in ("link set lo up", "link add br0 type bridge", "link set br0 up"):
            ip("-n", self.internet, *words.split())
        ip("-n", self.internet, "addr", "add", "198.51.100.254/24", "dev", "br0")
        ip("-n", self.internet, "addr", "add", CLOUD + "/32", "dev", "lo")
        self._cloud = self.start(sys.executable, ROOT / "tests/echo.py", "serve", "cloud@" + CLOUD, PORT)
        for router in self.all:
            router.build()
        self.each(lambda router: router.start(answers("before")))
        (self.tmp / "known_hosts").write_text("\n".join(router.host_key() for router in self.all) + "\n")

    def each(self, do):
        """What `do(router)` returns for each, some side by side."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(do, self.all))

    def all_have(self, text, who):
        """Begins a test: every router has this configuration, and `who` answers its client."""
        self.each(lambda router: router.has(text))
        for router in self.all:
            router.becomes(who)
            wait_for(lambda router=router: router.told()["missing"] == [])

    def start(self, *words, **options):
        """Starts a command where routers are steered from."""
        words = ["nsenter", "--net=/run/netns/" + self.internet, *map(str, words)]
        return subprocess.Popen(words, **{"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, **options})

    def close(self):
        for router in self.all:
            router.close()
        if self._cloud:
            kill(self._cloud)
        if Path("/run/netns", self.internet).exists():
            for pid in _pids(self.internet):
                os.kill(pid, signal.SIGKILL)
            ip("netns", "del", self.internet)
        shutil.rmtree(PROGRAMS, ignore_errors=True)
