"""What the edge is worth: the figures of `status` are the lab's truth within a tenth. Where nobody asks for them they
cost nothing."""

import contextlib
import json
import shutil
import socket
import struct
import subprocess
import sys
import time

import pytest
from agent import QUICK, TAKES, WHILE, Resting, Served, wrapped
from lab import ROOT, Lab, echo_command, in_namespace, inside, ip, service, wait_for

from viscum_agent.kernel import snmp
from viscum_agent.optional import PARTS

ADDRESS, ADDRESS6, PORT = "203.0.113.10", "2001:db8:cafe::10", 7000
EDGE, CLOUD = 1, 30  # milliseconds of round trip
COMPARE = "option compare 1"
TCP_INFO, MIN_RTT = 11, 148  # linux/tcp.h
# A program that prints all the time, through a socket in its namespace.
PRINTS = "/bin/sh -c '(while sleep 0.2; do echo something; done) & exec %s'" % echo_command("edge", PORT)


def near(found, truth):
    return found is not None and abs(found - truth) <= truth / 10


class Worthy(Served):
    def worth(self):
        return self.call("status")["services"]["echo"]["worth"]


class Hurried(Worthy, Resting):
    """Asks the cloud every other moment (worth_agent.py)."""

    def words(self):
        return wrapped(self.lab, super().words(), "worth_agent.py")


class Talk:
    """A client's TCP connection."""

    def __init__(self, lab, address=ADDRESS, ns=None, own=""):
        with inside(ns or lab.client):
            self.socket = socket.create_connection((address, PORT), source_address=(own, 0) if own else None)

    def exchange(self, size=1):
        self.socket.sendall(bytes([120]) * size)
        while not self.socket.recv(4096).endswith(b"x"):
            pass

    @property
    def round_trip(self):
        """Microseconds, as the client's kernel has measured it."""
        return struct.unpack_from("I", self.socket.getsockopt(socket.IPPROTO_TCP, TCP_INFO, MIN_RTT + 4), MIN_RTT)[0]


def ethernet(lab, ns, dev, router, port):
    """A link to clients that takes EDGE ms."""
    lab.start(router, sys.executable, ROOT / "demo/distance.py", port, dev, EDGE, 1000, "tap")
    wait_for(lambda: '"%s"' % dev in ip("-n", router, "-j", "link"))
    ip("-n", router, "link", "set", dev, "netns", ns)


def accepted(ns):
    """How many connections of TCP, and datagrams, were taken in there."""
    return in_namespace(ns, snmp.taken)


def carried(ns, dev):
    """Bytes that a device has sent and received."""
    found = json.loads(ip("-n", ns, "-s", "-j", "link", "show", "dev", dev))[0]["stats64"]
    return found["tx"]["bytes"] + found["rx"]["bytes"]


def test_the_round_trips_are_those_to_the_clients_and_to_the_cloud(tmp_path, interpreter):
    with Lab(tmp_path, interpreter, distance=(CLOUD, 1000), link=ethernet) as lab:
        lab.serve_cloud(PORT)
        takes = (*TAKES, "list dest_ip " + ADDRESS6, *QUICK, COMPARE)
        made = Hurried(lab, service("echo", echo_command("edge", PORT), *takes))
        made.becomes("edge", address=ADDRESS6)
        assert made.worth()["cloud_rtt"] is None, "nobody waits for it"
        clients = [Talk(lab, address) for address in (ADDRESS, ADDRESS, ADDRESS6)]
        own = json.loads(ip("-n", "viscum-echo", "-j", "addr", "show", "dev", "eth0"))[0]["addr_info"][0]["local"]
        local = [Talk(lab, ns="viscum-echo", own=each) for each in ["", own] * 8]  # like checks: no client's round trip

        def agrees():
            for talk in clients * 5 + local:
                talk.exchange()
            edge, found = sorted([talk.round_trip for talk in clients])[1], made.worth()
            return edge > EDGE * 1000 and near(found["rtt"], edge) and near(found["cloud_rtt"], CLOUD * 1000)

        made._wait_for(agrees, 60, "worth %s, clients %s" % (made.worth(), [talk.round_trip for talk in clients]))
        text = made.viscum("status", "echo").stdout
        assert "echo: worth: %.1f ms to the edge, " % (made.worth()["rtt"] / 1000) in text
        assert "EDGE" in made.viscum("top").stdout
        lab.run(lab.cloud, "ip", "addr", "del", ADDRESS + "/32", "dev", "lo")
        wait_for(lambda: clients[0].exchange() or made.worth()["cloud_rtt"] is None)
        assert "Traceback" not in made.log.read_text()


@pytest.mark.usefixtures("datapath")
def test_bytes_and_requests_are_those_of_the_clients(lab):
    """Not those of checks, which come by TCP and UDP all the time, nor what the program prints."""
    lab.serve_cloud(PORT)
    made = Worthy(lab, service("echo", PRINTS, *TAKES, *QUICK))
    made.becomes("edge")
    wait_for(lambda: made.worth()["requests"] == 1)
    before, uplink, cloud = made.worth(), carried(lab.router, "wan0"), accepted(lab.cloud)
    client = carried(lab.client, "eth0")
    for _ in range(20):
        talk = Talk(lab)
        for _ in range(10):
            talk.exchange(1400)
        talk.socket.close()
    for _ in range(15):
        assert made.who(proto="udp") == "edge"
    truth = carried(lab.client, "eth0") - client
    assert truth > 20 * 10 * 2 * 1400
    wait_for(lambda: made.worth()["requests"] == before["requests"] + 35)
    wait_for(lambda: near(made.worth()["kept_bytes"] - before["kept_bytes"], truth))
    time.sleep(2.2)  # two checks
    assert made.who() == "edge"
    wait_for(lambda: made.worth()["requests"] == before["requests"] + 36)
    assert carried(lab.router, "wan0") - uplink < truth / 10
    assert accepted(lab.cloud) == cloud, "without `compare` nobody asks it"


def test_what_was_counted_survives_the_program_and_a_new_namespace(lab):
    """Its checks come from within, which is not counted either."""
    lab.serve_cloud(PORT)
    takes = (*TAKES, "option healthcheck tcp", "option health_port %d" % PORT, *QUICK)
    made = Worthy(lab, service("echo", echo_command("edge", PORT), *takes))
    made.becomes("edge")
    made.viscum("restart", "echo")
    made.says("starting", 60)
    made.becomes("edge")
    made.viscum("stop", "echo")
    made.says("stopped")
    assert made.who() == "cloud"
    made.viscum("start", "echo")
    made.becomes("edge")
    edge = made.log.read_text().count("echo: healthy")
    wait_for(lambda: made.worth()["requests"] >= edge)
    time.sleep(2.2)  # two checks
    assert made.who() == "edge"
    wait_for(lambda: made.worth()["requests"] > edge)
    assert made.worth()["requests"] <= edge + 2  # an answer of the program that was restarted, perhaps


def test_an_agent_that_nobody_asks_does_nothing_and_the_time_in_bypass_is_counted_all_the_same(lab):
    lab.serve_cloud(PORT)
    config = service("echo", echo_command("edge", PORT), *TAKES, "option healthcheck none", COMPARE)
    made = Hurried(lab, "config globals 'globals'\n\toption watch_timeout 3600\n\n" + config)
    made.becomes("edge")
    before = accepted(lab.cloud)
    with looks_of(made) as seen:
        made.worth()
    assert "/net/snmp" in seen() and "NETLINK_SOCK_DIAG" in seen()
    wait_for(lambda: made.worth()["cloud_rtt"])
    asked = accepted(lab.cloud)
    assert asked == before + 1

    # Nothing comes in any more, and somebody watches.
    for _ in range(3):
        time.sleep(0.2)
        made.worth()
    with looks_of(made) as seen:
        for _ in range(5):
            made.worth()
            time.sleep(0.2)  # the cloud would be asked after 0.5 s
    assert "/net/snmp" not in seen() and "NETLINK_SOCK_DIAG" not in seen()
    assert accepted(lab.cloud) == asked
    made.sleeps()

    began, out = time.monotonic(), made.worth()["bypass_seconds"]
    made.call("bypass", name="echo", on=True)
    made.sleeps()
    time.sleep(max(0, 2 * WHILE + 1 - (time.monotonic() - began)))
    made.call("bypass", name="echo", on=False)
    took = time.monotonic() - began
    assert near(made.worth()["bypass_seconds"] - out, took)
    assert made.worth() == made.worth(), "it is over"


@contextlib.contextmanager
def looks_of(agent):
    """What the agent opens of files and sockets meanwhile, as strace(1) says it."""
    words = ["strace", "-f", "-e", "trace=open,openat,socket", "-p", str(agent.process.pid)]
    traced = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    said = [traced.stderr.readline()]
    assert "attached" in said[0], said
    yield lambda: "".join(said)
    traced.terminate()
    said += traced.communicate()[1]


def test_without_the_package_nothing_is_said_of_it_but_what_installs_it(lab):
    shutil.copytree(ROOT / "viscum_agent", lab.tmp / "viscum_agent", ignore=shutil.ignore_patterns("__pycache__"))
    for name in PARTS["viscum-worth"]:
        # An installation of the developer's would be found in the place of a file that is not there.
        text = "raise ImportError(\"no module named 'viscum_agent.%s'\")\n" % name
        (lab.tmp / "viscum_agent" / (name.replace(".", "/") + ".py")).write_text(text)
    made = Without(lab, service("echo", echo_command("edge", PORT), *TAKES, *QUICK, COMPARE))
    made.becomes("edge")
    made.says("echo: compare: the package viscum-worth is not installed")
    assert "worth" not in made.call("status")["services"]["echo"]
    words = lab.command(lab.router, *lab.agent("viscum_agent"), "-c", lab.confdir, "check")
    options = {"cwd": lab.tmp, "env": made.env(), "capture_output": True, "text": True}
    said = subprocess.run(list(map(str, words)), **options).stdout
    assert "viscum.echo.compare: the package viscum-worth is not installed" in said


class Without(Served):
    """An agent of another folder."""

    def start(self):
        with self.log.open("a") as stream:
            options = {"cwd": self.lab.tmp, "env": self.env(), "stderr": stream}
            self.process = self.lab.start(self.lab.router, *self.words(), **options)

    def env(self):
        return {**super().env(), "MICROPYPATH": "%s:.frozen" % self.lab.tmp, "PYTHONPATH": str(self.lab.tmp)}
