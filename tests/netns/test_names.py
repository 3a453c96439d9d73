"""Services whose cloud has a name. The router's resolver is Debian's dnsmasq, with names from a file of the test."""

import os
import sys
import time

import echo
import pytest
from agent import PATIENT, QUICK, Agent, private_memory
from lab import MICROPYTHON, ROOT, echo_command, in_namespace, service
from others import needed
from resolvers import HOST, Asking, Resolver

FIRST, SECOND, THIRD = "203.0.113.10", "203.0.113.11", "203.0.113.12"
FIRST6 = "2001:db8:cafe::10"
SOON = 1.5  # seconds from a change to the next question (names_agent.py), its answer, a look, and a busy machine's rest


def config(*lines, name="echo", host=HOST):
    takes = ("list device lan0", "list dest_host " + host, "list dest_port 7000")
    return service(name, echo_command("edge" if name == "echo" else name, 7000), *takes, *QUICK, *lines)


@pytest.fixture
def resolver(lab, resolv_conf):
    needed()
    made = Resolver(lab)
    made.start()
    lab.serve_cloud(7000)
    return made


class Talk:
    """A client that keeps its connection, or its UDP socket."""

    def __init__(self, lab, address, proto="tcp"):
        self._socket = in_namespace(lab.client, lambda: echo.client(proto, address))
        self._socket.settimeout(1)
        self._socket.connect((address, 7000))

    def who(self):
        self._socket.send(b"x")
        return self._socket.recv(100).split()[0].decode()


@pytest.mark.parametrize("lines", [("list proto tcp",), ()], ids=["tcp", "tcp and udp"])
def test_a_name_gets_another_address_and_open_connections_go_on(lab, datapath, resolver, lines):
    resolver.has(FIRST)
    agent = Asking(lab, config(*lines), grace=5)
    agent.becomes("edge", address=FIRST)
    assert agent.who(address=SECOND) == "cloud"
    talks = [Talk(lab, FIRST)] + ([] if lines else [Talk(lab, FIRST, "udp")])
    resolver.has(SECOND)
    changed = time.monotonic()
    while agent.who(address=SECOND) != "edge":
        assert [talk.who() for talk in talks] == ["edge"] * len(talks)
        assert time.monotonic() < changed + SOON + 5, agent.log.read_text()
    took = time.monotonic() - changed
    for _ in range(20):
        assert [talk.who() for talk in talks] == ["edge"] * len(talks)
    assert agent.who(address=FIRST) == "edge"  # a client that still has the old address
    agent.becomes("cloud", address=FIRST)
    assert time.monotonic() - changed > 5
    assert agent.who(address=SECOND) == "edge"
    assert took < SOON
    assert "restored" not in agent.log.read_text()
    assert "Traceback" not in agent.log.read_text()


def test_both_families_and_several_addresses(lab, resolver):
    resolver.has(FIRST, SECOND, FIRST6)
    agent = Asking(lab, config())
    for address in (FIRST, SECOND, FIRST6):
        for proto in ("tcp", "udp"):
            agent.becomes("edge", address=address, proto=proto)
    assert agent.who(address=THIRD) == "cloud"
    takes = lab.status("echo")["takes"]
    assert "tcp 203.0.113.11/32 (speed.example.com) port 7000" in takes or "tcp speed.example.com port 7000" in takes


def test_a_name_that_vanishes_leaves_its_traffic_to_the_cloud_after_a_while(lab, resolver):
    resolver.has(FIRST)
    agent = Asking(lab, config(), grace=2)
    agent.becomes("edge", address=FIRST)
    resolver.has()
    agent.becomes("cloud", address=FIRST)
    agent.says("has no address now: speed.example.com (no such name); the cloud answers")
    resolver.has(SECOND)
    agent.becomes("edge", address=SECOND)


def test_a_name_without_an_address_is_waited_for(lab, resolver):
    agent = Asking(lab, config())
    agent.says("speed.example.com (no such name)")
    resolver.has("0.0.0.0")
    agent.says("0.0.0.0 can't be redirected: 0.0.0.0/8 is no destination")
    resolver.has("192.168.77.1")
    agent.says("speed.example.com (is the router itself)")
    resolver.has(FIRST)
    agent.becomes("edge", address=FIRST)


def test_an_agent_that_starts_without_a_resolver_keeps_what_it_finds(lab, resolver):
    resolver.has(FIRST)
    agent = Asking(lab, config("list proto tcp"))
    agent.becomes("edge", address=FIRST)
    talk = Talk(lab, FIRST)
    agent.kill()
    resolver.stop()
    agent.start()
    time.sleep(2)
    assert talk.who() == "edge"
    assert agent.who(address=FIRST) == "edge"
    resolver.has(FIRST, SECOND)
    resolver.start()
    agent.becomes("edge", address=SECOND)
    assert talk.who() == "edge"
    agent.kill()
    resolver.has(SECOND)
    agent.start()
    agent.becomes("cloud", SOON + 5, address=FIRST)  # the name was another one, perhaps


def test_two_services_with_one_address_by_different_names(lab, resolver):
    resolver.has_all([("one.example.com", FIRST), ("two.example.com", FIRST), ("two.example.com", SECOND)])
    agent = Asking(lab, config(host="one.example.com") + config(name="other", host="two.example.com"))
    agent.becomes("edge", address=FIRST)
    agent.becomes("other", address=SECOND)
    agent.says("shares addresses: two.example.com with service 'echo'")


def test_an_address_moves_between_two_services(lab, datapath, resolver):
    """Both names are at one CDN, say. The kernel has one filter for the same packets."""
    resolver.has_all([("one.example.com", FIRST), ("two.example.com", SECOND)])
    both = config(host="one.example.com") + config(name="other", host="two.example.com")
    agent = Asking(lab, both, grace=2)
    agent.becomes("edge", address=FIRST)
    agent.becomes("other", address=SECOND)
    resolver.has_all([("one.example.com", SECOND), ("two.example.com", FIRST)])
    agent.becomes("edge", address=SECOND)
    agent.becomes("other", address=FIRST)
    assert "File exists" not in agent.log.read_text()


def test_commands_without_an_agent_ask_once(lab, resolver):
    resolver.has(FIRST)
    lab.configure(config())
    assert "203.0.113.10" in lab.viscum("plan").stdout
    lab.viscum("up")
    assert lab.ask("tcp", FIRST, 7000)[0] == "edge"
    resolver.has(SECOND)
    lab.viscum("up")
    assert (lab.ask("tcp", FIRST, 7000)[0], lab.ask("tcp", SECOND, 7000)[0]) == ("cloud", "edge")
    lab.viscum("down")
    resolver.stop()
    begin = time.monotonic()
    found = lab.viscum("plan", check=False)
    assert time.monotonic() - begin < 10
    assert "speed.example.com (127.0.0.1 can't be asked: Connection refused)" in found.stderr


# Somebody who answers what he likes, in the router's namespace.
LIAR = """
import random, socket, struct, sys
from dns_answers import SAME, answered, kind_of, record
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind(("127.0.0.1", 53))
while True:
    asked, peer = sock.recvfrom(1500)
    four = kind_of(asked) == 1
    right, lie = [record(SAME, kind_of(asked), 1, bytes([203, 0, 113, last]) if four else b"") for last in (10, 11)]
    right = answered(asked, right)
    if sys.argv[1] == "forged":
        sock.sendto(answered(asked, lie, number=struct.unpack_from(">H", asked)[0] ^ 1), peer)
        sock.sendto(answered(asked.replace(b"speed", b"sport"), lie), peer)
        sock.sendto(asked, peer)
    else:
        for size in range(0, len(right) - 1, 7):
            sock.sendto(right[:size], peer)
        for _ in range(5):
            sock.sendto(right[:2] + bytes(random.randrange(256) for _ in range(1200)), peer)
    sock.sendto(right, peer)
"""


@pytest.mark.parametrize("how", ["forged", "malformed"])
def test_answers_to_another_question_and_malformed_ones_change_nothing(lab, resolv_conf, how):
    lab.serve_cloud(7000)
    lab.start(lab.router, sys.executable, "-c", LIAR, how, env={**os.environ, "PYTHONPATH": str(ROOT / "tests")})
    agent = Asking(lab, config("list proto tcp"))
    agent.becomes("edge", address=FIRST)
    time.sleep(1)
    assert agent.who(address=SECOND) == "cloud"
    assert "bug" not in agent.log.read_text()


SERVICES, EACH = 5, 200  # as many names as a service may have matches, or nearly


def named_service(number, count):
    names = " ".join("h%d.s%d.example.com" % (each, number) for each in range(EACH - count, EACH))
    takes = ("list device lan0", "list dest_port 7000", "list proto tcp", "option dest_host '%s'" % names)
    return service("s%d" % number, echo_command("s%d" % number, 7000), *takes, *PATIENT)


@pytest.mark.parametrize("interpreter", [MICROPYTHON], ids=["micropython"])  # CPython takes more for everything
def test_a_thousand_names_with_an_address_each_cost_a_mebibyte_at_most(lab, resolver):
    """With all that they are in the kernel. The address is what the agent keeps most about: when it looks, its own
    records, those of the plan and what it found."""
    places = [(number, each) for number in range(SERVICES) for each in range(EACH)]
    resolver.has_all(
        [("h%d.s%d.example.com" % (each, number), "10.99.%d.%d" % (number, each)) for number, each in places]
    )

    def memory(count):
        agent = Agent(lab, "".join(named_service(number, count) for number in range(SERVICES)))
        for number in range(SERVICES):
            for last in (EACH - count, EACH - 1):
                agent.becomes("s%d" % number, address="10.99.%d.%d" % (number, last))
        agent.has_done_all()
        found = private_memory(agent.process.pid)
        agent.kill()
        lab.viscum("down")
        return found

    few, many = memory(1), memory(EACH)
    assert many - few < 1024, (few, many)
