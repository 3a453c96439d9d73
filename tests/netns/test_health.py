"""A check goes the way a client goes: in whatever way a program can't answer, its clients get the cloud, and nobody has
to ask for that to be noticed. Each test asks only after the agent has had the time that its checks take."""

import os
import signal
import subprocess
import time

import pytest
from agent import QUICK, Agent
from lab import CLOUD, CLOUD6, PROGRAMS, echo_command, inside, pids_in, service, wait_for

from viscum_agent.kernel.netns import Visit
from viscum_agent.loop import Loop
from viscum_agent.reconcile import Reconciler
from viscum_agent.service.health import Check, Tools

# Two bad checks, each of at most a second and a second apart: no longer than this, and what a busy machine adds.
FAST = (*QUICK, "option health_fall 2")
SLACK = 8
NOTICED = 2 * (1 + 1) + SLACK

TWO = ("list dest_ip 203.0.113.10", "list dest_ip 203.0.113.11")
BOTH = ("list dest_ip 203.0.113.10", "list dest_ip 2001:db8:cafe::10")
LAN = ("list device lan0",)

# A server that listens where it is told: ARGUMENTS are PROTO FAMILY ADDRESS PORT, one after the other.
SERVER = """
import select, socket, sys
words, socks = sys.argv[1:], []
for at in range(0, len(words), 4):
    proto, family, address, port = words[at : at + 4]
    one = socket.socket(getattr(socket, family), socket.SOCK_STREAM if proto == 'tcp' else socket.SOCK_DGRAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if address == 'dual':
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        address = '::'
    elif family == 'AF_INET6':
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if address.startswith('dev:'):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, address[4:].encode())
        address = ''
    if address == 'deferred':
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 10)
        address = ''
    one.bind((address, int(port)))
    if proto == 'tcp':
        one.listen(16)
    socks.append(one)
while True:
    for one in select.select(socks, [], [])[0]:
        if one.type == socket.SOCK_DGRAM:
            data, peer = one.recvfrom(100)
            one.sendto(b'edge - ' + data, peer)
            continue
        peer, _ = one.accept()
        peer.settimeout(1)
        try:
            peer.recv(100)
            peer.sendall(b'edge - x')
        except OSError:
            pass
        peer.close()
"""


@pytest.fixture
def run(lab):
    """Starts an agent with one service, whose program is SERVER with some arguments or a command."""
    lab.serve_cloud(7000, 7001, 7002)
    made = []

    def start(arguments, *lines):
        (PROGRAMS / "server.py").write_text(SERVER)
        command = "/usr/bin/python3 %s/server.py %s" % (PROGRAMS, arguments)
        made.append(Agent(lab, service("echo", command, *LAN, *lines, *FAST)))
        made[0].says("echo: healthy")
        return made[0]

    yield start
    assert "Traceback" not in made[0].log.read_text(), made[0].log.read_text()


def who(agent, address=CLOUD[0], port=7000, proto="tcp"):
    return agent.lab.ask(proto, address, port, timeout=1)[0]


def becomes(agent, wanted, *words):
    try:
        wait_for(lambda: who(agent, *words) == wanted)
    except AssertionError:
        raise AssertionError("%s, not %s\n%s" % (who(agent, *words), wanted, agent.log.read_text())) from None


def hang(agent):
    """Stops the program, and waits for what the agent says of that."""
    for pid in pids_in("viscum-echo"):
        os.kill(pid, signal.SIGSTOP)
    agent.says("echo: bypassed", NOTICED)


@pytest.mark.parametrize(
    "arguments, lines, asked",
    [
        ("tcp AF_INET 0.0.0.0 7000 udp AF_INET 0.0.0.0 7000", (*TWO, "list dest_port 7000"), [CLOUD[:2], [7000]]),
        ("udp AF_INET 0.0.0.0 7000", (*TWO, "list dest_port 7000", "list proto udp"), [CLOUD[:2], [7000], "udp"]),
        ("tcp AF_INET6 dual 7000", (*BOTH, "list dest_port 7000"), [[CLOUD[0], CLOUD6[0]], [7000]]),
        ("tcp AF_INET 0.0.0.0 7100", (TWO[0], "list dest_port 7000", "option target_port 7100"), [CLOUD[:1], [7000]]),
        ("tcp AF_INET 0.0.0.0 7001", (TWO[0], "list dest_port 7000-7002"), [CLOUD[:1], [7001]]),
        ("tcp AF_INET 0.0.0.0 7000", ("list dest_port 7000",), [CLOUD[:1], [7000]]),
        ("tcp AF_INET 0.0.0.0 7000", ("list dest_ip 203.0.113.0/24", "list dest_port 7000"), [CLOUD[:1], [7000]]),
        ("tcp AF_INET 0.0.0.0 7000", (TWO[0],), [CLOUD[:1], [7000]]),
        ("tcp AF_INET dev:eth0 7000", (TWO[0], "list dest_port 7000"), [CLOUD[:1], [7000]]),
        ("tcp AF_INET deferred 7000", (TWO[0], "list dest_port 7000"), [CLOUD[:1], [7000]]),
    ],
    ids=[
        "nat",
        "nat-udp",
        "dual-stack",
        "target_port",
        "range",
        "any-address",
        "prefix",
        "any-port",
        "bound-to-eth0",
        "deferred",
    ],
)
def test_a_program_that_hangs_leaves_its_clients_to_the_cloud_although_nobody_asks(run, arguments, lines, asked):
    agent = run(arguments, *lines)
    addresses, ports, proto = [*asked, "tcp"][:3]
    for address in addresses:
        for port in ports:
            becomes(agent, "edge", address, port, proto)
    hang(agent)
    for address in addresses:
        for port in ports:
            assert who(agent, address, port, proto) == "cloud"
    for pid in pids_in("viscum-echo"):
        os.kill(pid, signal.SIGCONT)
    becomes(agent, "edge", addresses[0], ports[0], proto)


def test_what_the_program_does_not_answer_stays_with_the_cloud_one_by_one(run):
    """One family, one of three ports, and neither what is open for the loopback address only."""
    agent = run(
        "tcp AF_INET 0.0.0.0 7000 tcp AF_INET6 ::1 7000 tcp AF_INET 127.0.0.1 7001 udp AF_INET 0.0.0.0 7002",
        *BOTH,
        "list dest_port 7000-7002",
    )
    becomes(agent, "edge")
    becomes(agent, "edge", CLOUD[0], 7002, "udp")
    for words in ((CLOUD6[0], 7000), (CLOUD[0], 7001), (CLOUD[0], 7002), (CLOUD[0], 7000, "udp")):
        assert who(agent, *words) == "cloud", words


def test_the_family_that_a_dual_stack_socket_does_not_take_stays_with_the_cloud(run):
    """The kernel does not show whether a socket of IPv6 takes IPv4 too: asking does."""
    agent = run("tcp AF_INET6 :: 7000", *BOTH, "list dest_port 7000")
    becomes(agent, "edge", CLOUD6[0])
    assert who(agent, CLOUD[0]) == "cloud"


def test_a_port_that_is_closed_goes_to_the_cloud_at_the_next_check_and_comes_back(lab):
    """Whoever is refused needs no second and third check."""
    lab.serve_cloud(7000)
    flag = PROGRAMS / "flag"
    program = PROGRAMS / "closes.py"
    program.write_text(
        "import os, socket, time\n"
        "flag, sock = %r, None\n"
        "while True:\n"
        "    if os.path.exists(flag) and sock is None:\n"
        "        sock = socket.create_server(('', 7000)); sock.settimeout(0.1)\n"
        "    elif not os.path.exists(flag) and sock:\n"
        "        sock.close(); sock = None\n"
        "    try:\n"
        "        peer = sock.accept()[0] if sock else time.sleep(0.1)\n"
        "        if peer: peer.recv(100); peer.sendall(b'edge - x'); peer.close()\n"
        "    except OSError: pass\n" % str(flag)
    )
    flag.touch()
    lines = (*LAN, TWO[0], "list dest_port 7000", *QUICK, "option health_fall 100")
    agent = Agent(lab, service("echo", "/usr/bin/python3 %s" % program, *lines))
    becomes(agent, "edge")
    flag.unlink()
    becomes(agent, "cloud")
    why = "echo: bypassed, the program does not listen on tcp port 7000"
    agent.says(why)  # said when the redirect is out
    flag.touch()
    becomes(agent, "edge")


@pytest.mark.parametrize(
    "words",
    [
        "ip link set eth0 down",
        "ip route del default",
        "ip addr flush dev eth0",
        "nft flush ruleset",
        "nft delete table inet viscum",
        "ip link set lo down",
    ],
)
def test_what_somebody_takes_away_inside_the_namespace_is_put_back(run, words):
    agent = run("tcp AF_INET 0.0.0.0 7100", TWO[0], "list dest_port 7000", "option target_port 7100")
    becomes(agent, "edge")
    agent.lab.run("viscum-echo", *words.split())
    time.sleep(1)  # nobody asks
    becomes(agent, "edge")
    agent.has_done_all()


def test_a_rule_that_drops_what_comes_in_is_noticed_although_nobody_asks(run):
    agent = run("tcp AF_INET 0.0.0.0 7000", TWO[0], "list dest_port 7000")
    becomes(agent, "edge")
    agent.lab.run("viscum-echo", "nft", "add table inet other")
    agent.lab.run(
        "viscum-echo",
        "nft",
        "add chain inet other input { type filter hook input priority 0 ; } ; "
        "add rule inet other input iifname eth0 tcp dport 7000 drop",
    )
    agent.says("echo: bypassed", NOTICED)
    assert who(agent) == "cloud"
    agent.lab.run("viscum-echo", "nft", "delete table inet other")
    becomes(agent, "edge")


def test_a_check_sends_nothing_out_of_the_namespace_and_leaves_nothing_behind(run):
    """Neither to the router nor to anybody else: the cloud must not hear of checks."""
    agent = run("tcp AF_INET6 dual 7000", *BOTH, "list dest_port 7000")
    lab = agent.lab
    lab.run(lab.router, "nft", "add table netdev seen")
    chain = "add chain netdev seen out { type filter hook ingress device vsc-echo priority 0 ; } ; "
    lab.run(lab.router, "nft", chain + "add rule netdev seen out meta l4proto { tcp, udp } counter")
    time.sleep(3)
    counted = lab.run(lab.router, "nft", "list table netdev seen").stdout
    lab.run(lab.router, "nft", "delete table netdev seen")
    assert "packets 0" in counted
    wait_for(lambda: lab.run("viscum-echo", "ss", "-Htan", "state", "connected").stdout == "")


def test_a_program_that_flaps_is_left_to_the_cloud_for_a_while(run):
    """A client that is moved about is worse off than one that stays with the cloud."""
    agent = run("tcp AF_INET 0.0.0.0 7000", TWO[0], "list dest_port 7000")
    becomes(agent, "edge")
    (pid,) = pids_in("viscum-echo")
    for _ in range(2):
        hang(agent)
        agent.log.write_text("")
        os.kill(pid, signal.SIGCONT)
        wait_for(lambda: "it answers again" in agent.log.read_text() or "healthy" in agent.log.read_text())
    agent.says("it must stay healthy for a while")
    assert who(agent) == "cloud"
    becomes(agent, "edge")


def test_a_program_to_which_a_connection_means_something_is_only_looked_at(lab):
    """healthcheck 'listen' (iperf3): it hears of no check, and a client that waits in vain is enough."""
    lab.serve_cloud(7000)
    lines = (*LAN, TWO[0], "list dest_port 7000", *FAST, "option healthcheck listen")
    agent = Agent(lab, service("echo", echo_command("edge", 7000), *lines))
    becomes(agent, "edge")
    (pid,) = pids_in("viscum-echo")
    accepts = subprocess.Popen(
        ["strace", "-f", "-e", "trace=accept4", "-p", str(pid)], stderr=subprocess.PIPE, text=True
    )
    time.sleep(3)
    accepts.terminate()
    assert "accept4(" not in accepts.communicate()[1]
    os.kill(pid, signal.SIGSTOP)
    who(agent)
    agent.says("the program takes nothing in", 2 * NOTICED)
    assert who(agent) == "cloud"
    os.kill(pid, signal.SIGCONT)


def test_what_came_back_while_the_agent_got_no_time_counts(lab):
    """A busy router: the time of a check is over before anybody has looked at what the program said."""
    sockets = "tcp/0.0.0.0/7000 udp/0.0.0.0/7001 udp/::/7000"
    command = "/usr/bin/python3 -S -I %s/listens.py %s" % (PROGRAMS, sockets)
    ports = ("list dest_port 7000", "list dest_port 7001", "option health_timeout 1")
    lab.configure(service("echo", command, *LAN, "list dest_ip 203.0.113.10", *ports))
    lab.viscum("up")
    found = []
    with inside(lab.router), Reconciler(str(lab.confdir)) as reconciler:
        snapshot = reconciler.look()
        index = next(link.index for link in snapshot.dump.links if link.name == "vsc-echo")
        loop, tools = Loop(), Tools(Visit())
        Check(loop, tools, snapshot.plan.services[0], index, 0, found.append)
        time.sleep(4)  # a busy machine lets the program wait, too
        while not found:
            loop.step()
        tools.close()
    said = {(key[0], key[2]): reason for key, reason in found[0].mute.items()}
    assert said[("tcp", 7000)] == said[("udp", 7001)] == "", said
    assert said[("udp", 7000)], "its socket is of IPv6 only"
