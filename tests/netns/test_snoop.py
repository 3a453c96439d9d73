"""Services that also take the addresses that clients are told (option snoop). The resolvers are Debian's dnsmasq: the
router's knows no name, and one in the cloud knows what a test says. Clients ask as busybox does."""

import json
import os
import random
import signal
import socket
import struct
import threading
import time
from pathlib import Path

import pytest
from agent import QUICK, Served
from lab import HANG, Lab, echo_command, pids_in, service, wait_for
from resolvers import HOST, Asking, Resolver

from viscum_agent.kernel.handshake import ip_packet
from viscum_agent.kernel.netns import Visit
from viscum_agent.names import message

FIRST, SECOND = "203.0.113.10", "203.0.113.11"
FIRST6 = "2001:db8:cafe::10"
OUTSIDE, OUTSIDE6 = "198.51.100.2", "2001:db8:100::2"  # the cloud's resolver
SOON = 1.5  # seconds from an answer to the redirect: a look, the rest after another one, a busy machine


def config(*lines, name="echo", hosts=HOST, device="lan0"):
    takes = ("list device " + device, "option dest_host '%s'" % hosts, "list dest_port 7000", "option snoop 1")
    return service(name, echo_command("edge" if name == "echo" else name, 7000), *takes, *QUICK, *lines)


@pytest.fixture
def outside(lab, resolv_conf):
    """The router's resolver is there as well."""
    return resolvers(lab)


def resolvers(lab):
    Resolver(lab).start()
    made = Resolver(lab, lab.cloud, "%s,%s" % (OUTSIDE, OUTSIDE6))
    made.start()
    lab.serve_cloud(7000)
    return made


def look_up(lab, host=HOST, resolver=OUTSIDE, ns=None):
    """What a client's program is told."""
    return lab.run(ns or lab.client, "busybox", "nslookup", host, resolver, check=False).stdout


def knows(resolver, lab, *pairs):
    """From now on the resolver has these (name, address)."""
    resolver.has_all(pairs)
    wait_for(lambda: all(address in look_up(lab, name, ns=lab.cloud) for name, address in pairs))


def healthy(agent):
    """A service with an address of its own runs before anything is asked; it takes nothing else."""
    agent.becomes("edge", address="198.18.5.5")
    return agent


ALONE = "list dest_ip 198.18.5.5"


def test_a_client_asks_a_resolver_that_is_not_the_routers_and_connects_to_the_edge(lab, datapath, outside):
    knows(outside, lab, (HOST, FIRST), (HOST, FIRST6), ("other.example.com", SECOND))
    agent = healthy(Asking(lab, config(ALONE)))
    assert agent.who(address=FIRST) == "cloud"
    begin = time.monotonic()
    assert FIRST in look_up(lab)
    agent.becomes("edge", address=FIRST)
    assert time.monotonic() - begin < SOON
    agent.becomes("edge", address=FIRST6)
    for proto in ("tcp", "udp"):
        assert agent.who(address=FIRST, proto=proto) == "edge"
    assert SECOND in look_up(lab, "other.example.com")
    time.sleep(SOON)
    assert agent.who(address=SECOND) == "cloud"
    assert "Traceback" not in agent.log.read_text()


def test_all_names_below_one_over_ipv6_too(lab, outside):
    knows(outside, lab, ("a.example.com", FIRST), ("b.c.example.com", FIRST6), ("example.org", SECOND))
    agent = Asking(lab, config(hosts="*.example.com"))
    agent.says("*.example.com (no client has asked for such a name)")
    look_up(lab, "a.example.com", OUTSIDE6)
    agent.becomes("edge", address=FIRST)
    look_up(lab, "b.c.example.com", OUTSIDE6)
    agent.becomes("edge", address=FIRST6)
    look_up(lab, "example.org")
    time.sleep(SOON)
    assert agent.who(address=SECOND) == "cloud"


def test_what_the_routers_own_resolver_tells_clients_counts_as_well(lab, resolv_conf):
    router = Resolver(lab, address="127.0.0.1,192.168.77.1")
    router.start()
    lab.serve_cloud(7000)
    router.has_all([("www.example.com", FIRST)])
    agent = healthy(Asking(lab, config(ALONE, hosts="*.example.com")))
    wait_for(lambda: FIRST in look_up(lab, "www.example.com", "192.168.77.1"))
    agent.becomes("edge", address=FIRST)


@pytest.mark.parametrize("device", ["br-lan", "lan0"])
def test_clients_behind_a_bridge_and_at_its_port(lab, outside, device):
    lab.bridge()
    knows(outside, lab, (HOST, FIRST))
    agent = healthy(Asking(lab, config(ALONE, device=device)))
    look_up(lab)
    agent.becomes("edge", address=FIRST)


def test_addresses_end_after_a_while_and_an_agent_that_starts_keeps_what_it_finds(lab, outside):
    knows(outside, lab, (HOST, FIRST))
    agent = healthy(Asking(lab, config(ALONE), grace=4))
    look_up(lab)
    agent.becomes("edge", address=FIRST)
    agent.kill()
    agent.start()
    time.sleep(2)
    assert agent.who(address=FIRST) == "edge"
    agent.becomes("cloud", address=FIRST)
    look_up(lab)
    agent.becomes("edge", address=FIRST)
    begin = time.monotonic()
    agent.becomes("cloud", address=FIRST)
    assert time.monotonic() - begin > 3


def test_a_device_that_comes_back_is_heard_again(lab, outside):
    knows(outside, lab, (HOST, FIRST))
    agent = healthy(Asking(lab, config(ALONE)))
    lab.run(lab.router, "ip", "link", "del", "lan0")
    lab.wire_client(0)
    healthy(agent)
    look_up(lab)
    agent.becomes("edge", address=FIRST)
    assert "Traceback" not in agent.log.read_text()


class Shown(Served, Asking):
    """An agent that says on ubus what it knows."""


def test_status_shows_what_clients_were_told(lab, outside):
    outside.has(FIRST)
    agent = healthy(Shown(lab, config(ALONE)))
    wait_for(lambda: FIRST in look_up(lab))
    agent.becomes("edge", address=FIRST)
    (row,) = json.loads(agent.viscum("status", "--json").stdout)
    assert "tcp %s/32 (%s by snooping) port 7000" % (FIRST, HOST) in row["takes"]


def test_two_services_with_one_address_by_different_names(lab, outside):
    knows(outside, lab, ("one.example.com", FIRST), ("two.example.com", FIRST), ("two.example.com", SECOND))
    both = config(hosts="one.example.com") + config(name="other", hosts="two.example.com")
    agent = Asking(lab, both)
    agent.says("two.example.com (no such name)")
    look_up(lab, "one.example.com")
    agent.becomes("edge", address=FIRST)
    look_up(lab, "two.example.com")
    agent.becomes("other", address=SECOND)
    assert agent.who(address=FIRST) == "edge"
    agent.says("shares addresses: two.example.com by snooping with service 'echo'")


def test_nothing_is_heard_where_nobody_says_so(lab, outside):
    def sockets():
        """How many of packet(7) there are that get anything."""
        return lab.run(lab.router, "ss", "-0Hn").stdout.count("p_dgr")

    knows(outside, lab, (HOST, FIRST))
    agent = healthy(Asking(lab, config(ALONE)))
    assert sockets() == 2
    agent.reload(config(ALONE).replace("option snoop 1", "option snoop 0"))
    wait_for(lambda: not sockets())
    healthy(agent)
    look_up(lab)
    time.sleep(SOON)
    assert agent.who(address=FIRST) == "cloud"


# Forged answers


def client_socket(ns, address, port=0):
    """A UDP socket of a namespace."""
    with Visit() as visit:
        visit.enter(ns)
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(HANG)
    sock.bind((address, port))
    return sock


def answer(question, *addresses, number=None):
    """To a question for IPv4 addresses."""
    (asked,) = struct.unpack_from(">H", question)
    records = [b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton(each) for each in addresses]
    head = struct.pack(">HHHHHH", asked if number is None else number, 0x8180, 1, len(records), 0, 0)
    return head + question[12:-11] + b"".join(records)


@pytest.fixture
def two(tmp_path, interpreter, resolv_conf):
    """A lab with two clients, at lan0 and lan1; nobody answers in the cloud."""
    with Lab(tmp_path, interpreter, clients=2) as made:
        Resolver(made).start()
        made.serve_cloud(7000)
        yield made


def test_answers_that_are_forged_or_that_nobody_asked_for_change_nothing(two):
    lab = two
    agent = healthy(Asking(lab, config(ALONE)))
    asks = client_socket(lab.client, "192.168.77.2", 40000)
    honest, liar = client_socket(lab.cloud, OUTSIDE, 53), client_socket(lab.cloud, FIRST, 53)
    neighbour = client_socket(lab.clients[1], "192.168.78.2", 53)
    asked = message.question(77, HOST, 4)
    place = ("192.168.77.2", 40000)

    def stays():
        time.sleep(SOON)
        return agent.who(address=SECOND) == "cloud"

    honest.sendto(answer(asked, SECOND), place)  # nobody has asked
    assert stays()
    asks.sendto(asked, (OUTSIDE, 53))
    honest.recvfrom(1500)
    neighbour.sendto(answer(asked, SECOND), place)  # from another device
    liar.sendto(answer(asked, SECOND), place)  # from another resolver
    for number in range(70, 77):
        honest.sendto(answer(asked, SECOND, number=number), place)
    honest.sendto(answer(message.question(77, "sport.example.com", 4), SECOND), place)
    honest.sendto(answer(asked, SECOND), ("192.168.77.2", 40001))  # another port
    honest.sendto(answer(asked, SECOND), ("192.168.78.2", 40000))  # another client, at another device
    honest.sendto(answer(asked, SECOND)[:-1], place)
    assert stays()
    asks.sendto(asked, (OUTSIDE, 53))
    honest.sendto(answer(asked, SECOND), place)
    agent.becomes("edge", address=SECOND)


def test_a_client_cannot_answer_itself(lab, resolv_conf):
    """From a second address, straight, and by way of the router, which sends it back out of the same device."""
    Resolver(lab).start()
    lab.serve_cloud(7000)
    agent = healthy(Asking(lab, config(ALONE)))
    lab.run(lab.client, "ip", "addr", "add", "192.0.2.7/32", "dev", "lo")
    lab.run(lab.router, "ip", "route", "add", "192.0.2.7/32", "via", "192.168.77.2")
    lab.run(lab.router, "sysctl", "-qw", "net.ipv4.conf.all.send_redirects=0", "net.ipv4.conf.lan0.send_redirects=0")
    with Visit() as visit:
        visit.enter(lab.client)
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
    raw.bind(("eth0", 0))
    (device,) = json.loads(lab.run(lab.router, "ip", "-j", "link", "show", "lan0").stdout)
    mac = device["address"]
    to = ("eth0", 0x0800, 0, 0, bytes.fromhex(mac.replace(":", "")))
    asked = message.question(77, HOST, 4)
    for source, port, target, to_port, data in (
        ("192.168.77.2", 40000, "192.0.2.7", 53, asked),
        ("192.0.2.7", 53, "192.168.77.2", 40000, answer(asked, SECOND)),
        ("192.168.77.2", 40000, "192.0.2.7", 53, asked),
    ):
        raw.sendto(udp(source, port, target, to_port, data), to)
    time.sleep(SOON)
    assert agent.who(address=SECOND) == "cloud"


def udp(source, port, target, to_port, data):
    data += bytes(len(data) % 2)  # the checksum counts pairs
    head = struct.pack(">HHH", port, to_port, 8 + len(data))
    return ip_packet(socket.inet_aton(source), socket.inet_aton(target), 17, head, data)


# Many answers

RATE = {"asked": 1000, "unasked": 20000, "malformed": 1000}  # a second, by what they are
LATE = 0.5  # seconds from the end of a program to the cloud's answer
SHARE = 0.6  # of a processor: 0.3 where each answer is another redirect, 0.07 else


class Flood:
    """Answers that reach a client: `asked` ones, each with another address; those that nobody asked for;
    or what is no answer at all, from a resolver's port."""

    def __init__(self, lab, kind):
        self._asks, self._answers = client_socket(lab.client, "192.168.77.2"), client_socket(lab.cloud, FIRST, 53)
        self._place = self._asks.getsockname()
        self._kind = kind
        self._ends = threading.Event()
        self.sent = 0
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ends.set()
        self._thread.join()

    def _run(self):
        begin = time.monotonic()
        while not self._ends.is_set():
            while self.sent < (time.monotonic() - begin) * RATE[self._kind]:
                self._one(self.sent)
                self.sent += 1
            time.sleep(0.005)

    def _one(self, number):
        question = message.question(number & 0xFFFF, HOST, 4)
        if self._kind == "asked":
            self._asks.sendto(question, (FIRST, 53))
        right = answer(question, "203.0.%d.%d" % (number >> 8 & 0x7F, number & 0xFF))
        if self._kind == "malformed":
            right = right[:3] + random.randbytes(len(right) - 3)
        self._answers.sendto(right, self._place)


@pytest.mark.parametrize("kind", RATE)
def test_thousands_of_answers_in_a_second_make_nothing_late(lab, outside, kind):
    agent = healthy(Asking(lab, config(ALONE)))
    with Flood(lab, kind) as flood:
        time.sleep(3)
        spent = cpu(agent)
        time.sleep(3)
        spent = cpu(agent) - spent
        for pid in pids_in("viscum-echo"):
            os.kill(pid, signal.SIGKILL)
        begin = time.monotonic()
        while lab.ask("udp", "198.18.5.5", 7000, timeout=0.05)[0] != "cloud":
            assert time.monotonic() - begin < HANG, agent.log.read_text()
        took = time.monotonic() - begin
        agent.becomes("edge", address="198.18.5.5")
        assert flood.sent > 6000
    assert took < LATE
    assert spent < SHARE * 3
    assert "Traceback" not in agent.log.read_text() and "bug" not in agent.log.read_text()
    knows(outside, lab, (HOST, FIRST))
    wait_for(lambda: look_up(lab) and agent.who(address=FIRST) == "edge")


def cpu(agent):
    """Seconds that the agent has had of a processor."""
    ticks = Path("/proc/%d/stat" % agent.process.pid).read_text().split(") ")[1].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
