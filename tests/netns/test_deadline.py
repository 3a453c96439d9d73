"""Redirects by eBPF end by themselves: when no agent vouches for them any more (watch_timeout), and port by port when a
client finds one closed, whether there is an agent or not.
"""

import os
import signal
import time

import datapaths
import pytest
from agent import CONFIG, TAKES, Agent, Served
from lab import CLOUD, CLOUD6, SILENCE, echo_command, listens, namespaces, pids_in, service, wait_for
from raw_clients import CLIENT, CLIENT6, Raw, tcp

HOLDS = 3  # seconds
AGAIN = 1  # seconds until a SYN is sent again (RFC 6298)
LATE = 1.5  # seconds that a busy machine may add: less than until the SYN after that
KEPT = "config globals 'globals'\n\toption watch_timeout %d\n\n" % HOLDS + CONFIG
# Neither a deadline nor a check does anything: what happens is the work of the programs in the kernel.
LEFT_ALONE = KEPT.replace("watch_timeout %d" % HOLDS, "watch_timeout 0").replace("_interval 1", "_interval 3600")
BY_TIME = [name for name in ("bpf-tcx", "bpf-cls", "bpf-netkit") if datapaths.has(name)]


@pytest.fixture(params=BY_TIME)
def datapath(request):
    return request.param


def running(lab, config):
    lab.serve_cloud(7000, 7001)
    made = Agent(lab, config)
    made.becomes("edge")
    yield made
    assert "Traceback" not in made.log.read_text(), made.log.read_text()


@pytest.fixture
def agent(lab, datapath):
    yield from running(lab, KEPT)


def test_a_program_that_hangs_while_its_agent_does_leaves_its_clients_to_the_cloud(agent):
    (pid,) = pids_in("viscum-echo")
    agent.process.send_signal(signal.SIGSTOP)
    os.kill(pid, signal.SIGSTOP)
    try:
        agent.becomes("cloud")
    finally:
        os.kill(pid, signal.SIGCONT)
    agent.process.send_signal(signal.SIGCONT)
    agent.becomes("edge")


def test_clients_of_an_agent_that_was_killed_reach_the_cloud_until_the_next_one_lives(agent):
    (pid,) = pids_in("viscum-echo")
    agent.kill()
    assert agent.who() == "edge"
    agent.becomes("cloud")
    agent.start()
    agent.becomes("edge")
    assert pids_in("viscum-echo") == [pid], "it was adopted"


def test_an_agent_that_was_told_to_end_leaves_the_next_one_as_long(agent):
    began = time.monotonic()
    agent.process.terminate()
    agent.process.wait(10)
    agent.becomes("cloud")
    assert time.monotonic() - began > HOLDS - 1
    assert "viscum-echo" in namespaces()


def test_a_living_agent_puts_it_off(agent):
    until = time.monotonic() + 3 * HOLDS
    while time.monotonic() < until:
        assert agent.who() == "edge"


def test_what_viscum_up_made_holds_for_good(agent):
    agent.kill()
    agent.lab.viscum("up")
    until = time.monotonic() + 2 * HOLDS
    while time.monotonic() < until:
        assert agent.who() == "edge"


def test_viscum_up_of_another_service_leaves_those_to_the_cloud_that_had_gone_there(agent):
    agent.kill()
    agent.becomes("cloud")
    os.kill(pids_in("viscum-echo")[0], signal.SIGKILL)
    other = CONFIG.replace("'echo'", "'other'").replace("7000", "7001")
    agent.lab.configure(KEPT + "\n" + other)
    agent.lab.viscum("up", "other")
    assert agent.who(7001) == "edge"
    assert agent.who() == "cloud"


# What a client finds closed


@pytest.fixture
def left_alone(lab, datapath):
    yield from running(lab, LEFT_ALONE)


@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_clients_of_a_program_that_ended_behind_its_agents_back_reach_the_cloud_one_syn_later(left_alone, proto):
    questions = [(proto, "203.0.113.10", 7000)] * 20
    assert set(left_alone.lab.who(questions)) == {"edge"}
    left_alone.process.send_signal(signal.SIGSTOP)
    os.kill(pids_in("viscum-echo")[0], signal.SIGKILL)
    # A process is in no namespace any more before its sockets are closed (do_exit in kernel/exit.c).
    wait_for(lambda: not listens("viscum-echo", 7000))
    if proto == "udp":
        left_alone.lab.who(questions[:1], timeout=SILENCE)  # a datagram that is lost is not sent again
    before = syns_sent_again(left_alone.lab)
    assert left_alone.lab.who(questions) == ["cloud"] * 20
    # The first SYN of all is lost, and those that meet the closed port at the same time.
    assert syns_sent_again(left_alone.lab) - before in (range(1, 21) if proto == "tcp" else [0])
    left_alone.process.send_signal(signal.SIGCONT)
    left_alone.becomes("edge")


def syns_sent_again(lab):
    """How many SYNs the client's kernel has sent more than once (TCPSynRetrans, proc_net_netstat)."""
    names, numbers = lab.run(lab.client, "grep", "^TcpExt:", "/proc/net/netstat").stdout.splitlines()
    return int(dict(zip(names.split(), numbers.split(), strict=True))["TCPSynRetrans"])


def test_no_client_is_refused_while_a_program_ends_and_its_agent_lives(agent):
    """One whose connection the kernel had accepted already may well be reset."""
    for _ in range(5):
        agent.becomes("edge")
        os.kill(pids_in("viscum-echo")[0], signal.SIGKILL)
        found = [agent.lab.ask("tcp", "203.0.113.10", 7000, timeout=AGAIN + LATE) for _ in range(5)]
        assert not [reason for who, reason in found if not who and "reset" not in reason], found


# A program that closes its port, and opens it again, when it is told to.
CLOSES = """
import signal, socket, time
def listen():
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind(('', 7000))
    server.listen(16)
    return server
closing = []
signal.signal(signal.SIGUSR1, lambda *_: closing.append(1))
signal.signal(signal.SIGUSR2, lambda *_: closing.clear())
signal.siginterrupt(signal.SIGUSR1, False)
server = listen()
server.settimeout(0.1)
while True:
    try:
        peer, _ = server.accept()
    except OSError:
        peer = None
    if peer:
        peer.recv(100)
        peer.sendall(b'edge -')
        peer.close()
    if closing:
        server.close()
        while closing:
            time.sleep(0.05)
        server = listen()
        server.settimeout(0.1)
"""


def test_a_port_that_was_closed_for_a_moment_comes_back_with_the_next_sign_of_life(lab, datapath):
    lab.serve_cloud(7000)
    program = lab.tmp.parent / "closes.py"
    lab.tmp.parent.chmod(0o755)
    program.write_text(CLOSES)
    command = "/usr/bin/python3 %s" % program
    lines = (*TAKES, "list proto tcp", "option user root", "option health_interval 3600")
    made = Served(lab, service("echo", command, *lines))
    made.becomes("edge")
    assert made.state() == "healthy", "who answers is not in the middle of a look, which would put the port back unsaid"
    made.process.send_signal(signal.SIGSTOP)
    (pid,) = pids_in("viscum-echo")
    os.kill(pid, signal.SIGUSR1)
    wait_for(lambda: not listens("viscum-echo", 7000))
    assert made.who() == "cloud"
    os.kill(pid, signal.SIGUSR2)
    wait_for(lambda: listens("viscum-echo", 7000))
    assert made.who() == "cloud", "nobody has looked yet"
    made.process.send_signal(signal.SIGCONT)
    made.says("echo: a port was closed, and its clients reached the cloud")
    made.becomes("edge")


# What is no closed port

PLACES = {
    "exact": (CLOUD[0], 7000),
    "ipv6": (CLOUD6[0], 7000),
    "target_port": (CLOUD[1], 7100),
    "any address": (CLOUD[2], 7200),
    "any address, IPv6": (CLOUD6[1], 7200),
}
ONE_ADDRESS = ("list dest_ip " + CLOUD[0], "list dest_ip " + CLOUD6[0], "list dest_port 7000")
MOVED = ("list dest_ip " + CLOUD[1], "list dest_port 7100", "option target_port 7001")
SLOW = ("list device lan0", "option health_interval 3600")
WAYS_IN = "config globals 'globals'\n\toption watch_timeout 0\n\n" + "".join(
    [
        service("echo", echo_command("edge", 7000), *SLOW, *ONE_ADDRESS),
        service("moved", echo_command("edge", 7001), *SLOW, *MOVED),
        service("any", echo_command("edge", 7200), *SLOW, "list dest_port 7200"),
    ]
)


@pytest.fixture
def ways_in(lab, datapath):
    """Services that are taken in all of PLACES, and a client that sends what it likes."""
    lab.serve_cloud(7000, 7100, 7200)
    made = Served(lab, WAYS_IN)
    wait_for(lambda: set(lab.who(questions(), timeout=SILENCE)) == {"edge"})
    wait_for(lambda: {row["state"] for row in made.call("status")["services"].values()} == {"healthy"})
    made.raw = Raw(lab)
    yield made
    made.raw.close()


def questions():
    return [("tcp", *place) for place in PLACES.values()]


def closed(agent):
    return sum(row["passed"]["closed"] for row in agent.call("status")["services"].values())


def answered(agent):
    """Who answers a client in each of PLACES, in which the raw client's kernel may speak again."""
    agent.lab.run(agent.lab.client, "nft", "delete table inet silent")
    return dict(zip(PLACES, agent.lab.who(questions()), strict=True))


def test_a_second_syn_of_a_connection_that_begins_takes_no_port_for_closed(ways_in):
    """The kernel answers it with what it says of a closed port (tcp_check_req: embryonic_reset)."""
    for port in range(50000, 50020):
        for seq in (1000, 1001):
            for address, where in PLACES.values():
                client = CLIENT6 if ":" in address else CLIENT
                ways_in.raw.sock.send(ways_in.raw.frame(tcp(client, port, where, dst=address, seq=seq)))
    assert answered(ways_in) == dict.fromkeys(PLACES, "edge")
    assert closed(ways_in) == 0
    # And what is closed is: nobody is refused, and the cloud is asked with the next SYN.
    ways_in.process.send_signal(signal.SIGSTOP)
    for name, port in (("echo", 7000), ("moved", 7001), ("any", 7200)):
        os.kill(pids_in("viscum-" + name)[0], signal.SIGKILL)
        wait_for(lambda name=name, port=port: not listens("viscum-" + name, port))
    before = syns_sent_again(ways_in.lab)
    assert ways_in.lab.who(questions(), timeout=AGAIN + LATE) == ["cloud"] * len(PLACES)
    assert syns_sent_again(ways_in.lab) - before <= len(PLACES)
    ways_in.process.send_signal(signal.SIGCONT)
