"""Services for groups of clients. The router's DHCP server is Debian's dnsmasq, the clients' programs are busybox."""

import json
import os
import time

import pytest
from agent import QUICK, Agent
from lab import HANG, Lab, echo_command, ip, service, wait_for
from others import dnsmasq, needed
from router_root import BUSYBOX

CLOUD = "203.0.113.10"
CLOUD6 = "2001:db8:cafe::10"
SOON = 3  # seconds from a lease to the redirect: one between two looks at the files, and a busy machine's rest
SCRIPT = """#!/bin/sh
[ "$1" = bound ] || exit 0
ip -4 addr flush dev $interface
ip addr add $ip/24 dev $interface
ip route replace default via $router
: > $0.bound
"""


class Dhcp:
    """dnsmasq on lan0 and lan1 of the router; it writes its leases where /etc/config/dhcp says."""

    def __init__(self, lab):
        needed()
        self._lab = lab
        self.file = lab.tmp / "dhcp.leases"
        self.file.touch()
        self._script = lab.tmp / "udhcpc.sh"
        self._script.write_text(SCRIPT)
        self._script.chmod(0o755)
        self.configure()
        words = "--port=0 --no-ping --dhcp-authoritative --dhcp-leasefile=%s"
        ranges = ["--dhcp-range=192.168.%d.100,192.168.%d.199,1h" % (net, net) for net in (77, 78)]
        dnsmasq(lab, lab.router, *(words % self.file).split(), *ranges)
        wait_for(lambda: lab.run(lab.router, "ss", "-Hlnu", "sport = 67").stdout)

    def configure(self, *lines):
        text = "\n\t".join(["config dnsmasq", "option leasefile '%s'" % self.file, *lines])
        self._lab.configure(text + "\n", "dhcp")

    def lease(self, number, name, address=""):
        """A client asks for a lease, with a name, and takes the address that it gets."""
        words = ["-i", "eth0", "-n", "-q", "-s", self._script, "-x", "hostname:" + name]
        words += ["-r", address] if address else []
        self._lab.run(self._lab.clients[number], BUSYBOX, "udhcpc", *words)
        return self.address(number)

    def release(self, number):
        """It gives its lease back and keeps the address, as one that does not care."""
        client, kept = self._lab.clients[number], self.address(number)
        words = ["-i", "eth0", "-f", "-R", "-s", self._script, "-r", kept]
        bound = self._script.with_name(self._script.name + ".bound")
        bound.unlink()
        process = self._lab.start(client, BUSYBOX, "udhcpc", *words)
        wait_for(bound.exists)
        process.terminate()
        process.wait(HANG)
        wait_for(lambda: kept not in self.file.read_text())

    def address(self, number):
        (word,) = [
            each for each in ip("-n", self._lab.clients[number], "-4", "addr", "show", "eth0").split() if "/24" in each
        ]
        return word.split("/")[0]


@pytest.fixture
def lab(tmp_path, interpreter, datapath):
    with Lab(tmp_path, interpreter, clients=2, datapath=datapath) as made:
        yield made


@pytest.fixture
def dhcp(lab):
    lab.serve_cloud(7000)
    return Dhcp(lab)


def config(*lines, group=("list name Camera",)):
    takes = (
        "list device lan0",
        "list device lan1",
        "list dest_ip " + CLOUD,
        "list dest_ip " + CLOUD6,
        "list dest_port 7000",
    )
    return "config group cameras\n\t%s\n" % "\n\t".join(group) + service(
        "echo", echo_command("edge", 7000), *takes, *QUICK, *(lines or ("list client cameras",))
    )


def mac_of(lab, number):
    return json.loads(ip("-n", lab.clients[number], "-j", "link", "show", "eth0"))[0]["address"]


class Grouped(Agent):
    def answers(self):
        """Who answers the two clients, over IPv4 and IPv6."""
        return [self.lab.ask("tcp", cloud, 7000, ns)[0] for ns in self.lab.clients for cloud in (CLOUD, CLOUD6)]

    def becomes(self, *wanted, seconds=HANG):
        """And once more: the eBPF datapath knows the clients by then."""
        begin = time.monotonic()
        self._wait_for(lambda: [self.answers(), self.answers()] == [list(wanted)] * 2, seconds, "not %s" % (wanted,))
        return time.monotonic() - begin


BOTH, CLOUDS = ["edge"] * 2, ["cloud"] * 2


def test_a_client_that_changes_its_address_stays_in_its_group_and_the_other_one_is_not_in_it(lab, dhcp):
    first = dhcp.lease(0, "camera")
    dhcp.lease(1, "other")
    agent = Grouped(lab, config())
    agent.becomes(*BOTH, *CLOUDS)
    filters = agent.filters()
    dhcp.release(0)
    second = dhcp.lease(0, "camera", "192.168.77.150")
    assert second == "192.168.77.150" != first
    agent.becomes(*BOTH, *CLOUDS, seconds=SOON + HANG)
    assert agent.filters() == filters
    assert "Traceback" not in agent.log.read_text()


def test_a_lease_is_followed_as_it_comes_and_goes(lab, dhcp):
    agent = Grouped(lab, config())
    agent.says("is without hosts that are not known now: camera (has no lease); the cloud answers")
    agent.becomes(*CLOUDS, *CLOUDS)
    dhcp.lease(1, "camera")
    assert agent.becomes(*CLOUDS, *BOTH) < SOON
    dhcp.release(1)
    assert agent.becomes(*CLOUDS, *CLOUDS) < SOON
    dhcp.lease(0, "camera")
    assert agent.becomes(*BOTH, *CLOUDS) < SOON
    dhcp.lease(1, "camera")  # a name is whoever's had it last: dnsmasq takes it from the other one
    assert agent.becomes(*CLOUDS, *BOTH) < SOON
    assert "restored" not in agent.log.read_text()
    assert "Traceback" not in agent.log.read_text()


def test_who_is_excluded_is_left_to_the_cloud_and_follows_its_lease_as_well(lab, dhcp):
    dhcp.lease(0, "camera")
    dhcp.lease(1, "other")
    agent = Grouped(lab, config("list exclude_client cameras"))
    agent.becomes(*CLOUDS, *BOTH)
    dhcp.release(0)
    assert agent.becomes(*BOTH, *BOTH) < SOON


def test_the_administrators_word_goes_before_what_a_client_calls_itself(lab, dhcp):
    dhcp.configure("", "config host", "option name camera", "option mac '%s'" % mac_of(lab, 1).upper())
    agent = Grouped(lab, config())
    agent.becomes(*CLOUDS, *BOTH)
    dhcp.lease(0, "camera")
    time.sleep(SOON)
    assert agent.answers() == [*CLOUDS, *BOTH]


def test_a_group_of_addresses_takes_those_and_no_others(lab, dhcp):
    agent = Grouped(lab, config(group=("list ip 192.168.77.2", "list ip 2001:db8:78::/64")))
    agent.becomes("edge", "cloud", "cloud", "edge")


@pytest.mark.parametrize("what", ["fifo", "folder", "link", "theirs", "huge"])
def test_whatever_is_in_the_place_of_the_file_the_agent_goes_on(lab, what):
    """Clients with other groups notice nothing. Nobody but root makes such a link followed: config/trust.py."""
    lab.serve_cloud(7000)
    file = lab.tmp / "dhcp.leases"
    mac = mac_of(lab, 0)
    lab.configure("config dnsmasq\n\toption leasefile '%s'\n" % file, "dhcp")
    lease = b"1 %s 192.168.77.2 camera *\n" % mac.encode()
    if what == "fifo":
        os.mkfifo(file)
    elif what == "folder":
        file.mkdir()
    elif what == "link":
        (lab.tmp / "elsewhere").write_bytes(lease)
        file.symlink_to(lab.tmp / "elsewhere")
        os.chown(file, 65534, 65534, follow_symlinks=False)
    elif what == "theirs":
        file.write_bytes(lease)
        os.chown(file, 65534, 65534)
    else:
        file.write_bytes(lease + b"1 2 3 4 5\n" * 10**6)
    agent = Grouped(lab, config(group=("list mac '%s'" % mac, "list name camera")))
    agent.becomes(*BOTH, *CLOUDS)
    assert ("camera (has no lease" in agent.log.read_text()) == (what != "huge")
    assert "Traceback" not in agent.log.read_text()
