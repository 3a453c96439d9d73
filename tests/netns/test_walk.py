"""`viscum explain NAME`: a packet of Viscum's own goes a client's way, and each fault stops it at its hop."""

import contextlib
import json
import os
import signal
import socket
import time

import pytest
from agent import CONFIG, TAKES, Served
from lab import HANG, SILENCE, echo_command, inside, ip, mac, pids_in, service, snapshot, wait_for

from viscum_agent.cli.walk import PORT, PORTS

HEALTHY = ["plan", "rule", "pair", "program", "reply"]
NS = "viscum-echo"
ETH_P_IP = 0x0800  # if_ether.h
WALKS = [str(PORT + number) for number in range(PORTS)]


def walked(viscum, *words):
    """(exit code, hops) of the command."""
    result = viscum("explain", "--json", "echo", *words, check=False)
    assert result.returncode in (0, 1) and not result.stderr, result.stderr
    return result.returncode, json.loads(result.stdout)


def stopped(viscum, *words):
    """(where, why) of a walk that stopped."""
    code, hops = walked(viscum, *words)
    assert code == 1 and [hop["result"] for hop in hops[:-1]] == ["ok"] * (len(hops) - 1), hops
    assert hops[-1]["result"] == "stopped here" and hops[-1]["fix"], hops
    return hops[-1]["hop"], hops[-1]["text"]


def arp(lab):
    """Lets the router know its client."""
    for address in ("192.168.77.1", "2001:db8:77::1"):
        lab.run(lab.client, "ping", "-c", "1", "-W", "5", address)


def unlink(lab, dev):
    """Takes away what takes packets there, behind everybody's back."""
    lab.run(lab.router, "tc", "filter", "del", "dev", dev, "ingress", check=False)
    for pin in lab.pins():
        if pin.name == "link_" + dev:
            pin.unlink()


@pytest.fixture
def up(lab):
    """A service without an agent, which would mend what the tests break."""
    lab.configure(CONFIG)
    lab.viscum("up")
    arp(lab)
    yield lab
    lab.viscum("down")


def test_a_healthy_service_is_walked_to_its_end_and_nothing_is_left(lab, datapath):
    lab.serve_cloud(7000)
    served = Served(lab, CONFIG)
    served.becomes("edge")
    wait_for(lambda: served.state() == "healthy")
    served.has_done_all()
    counted = lab.status("echo")["packets"]
    before = snapshot(lab.router), snapshot(NS)
    code, hops = walked(served.viscum)
    assert (code, [hop["hop"] for hop in hops], {hop["result"] for hop in hops}) == (0, HEALTHY, {"ok"}), hops
    assert "tcp from 192.168.77.2 " in hops[0]["text"] and hops[-1]["text"] == "leaves by lan0 for " + mac(lab.client)
    assert (snapshot(lab.router), snapshot(NS)) == before
    assert lab.status("echo")["packets"] >= counted + 2  # as operations.md says: SYN, reset, perhaps the client's own
    text = served.viscum("explain", "echo").stdout
    assert [line.split()[:2] for line in text.splitlines()] == [[hop, "ok"] for hop in HEALTHY]
    assert "Traceback" not in served.log.read_text(), served.log.read_text()


def test_a_bypassed_service_is_sent_nothing(lab):
    lab.serve_cloud(7000)
    served = Served(lab, CONFIG)
    served.becomes("edge")
    served.viscum("bypass", "echo")
    served.becomes("cloud")
    where, why = stopped(served.viscum)
    assert where == "rule" and "its redirect is out: bypassed: asked for" in why


def test_nothing_goes_on_to_the_cloud_where_somebody_has_taken_the_rule_away(up, datapath):
    """Of eBPF the maps are still there: only the packet itself shows that nobody reads them."""
    unlink(up, "lan0")
    with inside(up.cloud):
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP))
    with tap:
        where, why = stopped(up.viscum)
        tap.settimeout(SILENCE)
        with contextlib.suppress(TimeoutError):
            while True:
                packet = tap.recv(2048)
                assert str(int.from_bytes(packet[20:22], "big")) not in WALKS, packet.hex()
    if datapath.startswith("bpf"):
        assert (where, why) == ("pair", "it came in by lan0 and not out of vsc-echo: something else has it")
    else:
        assert where == "rule" and "its redirect is out" in why


@pytest.mark.parametrize("where", ["router", "namespace"])
def test_it_stops_at_a_pair_that_is_down(up, datapath, where):
    ns, dev = (up.router, "vsc-echo") if where == "router" else (NS, "eth0")
    ip("-n", ns, "link", "set", dev, "down")
    assert stopped(up.viscum) == ("pair", dev + " is down, or not there")


def test_it_stops_at_a_program_that_is_gone(up):
    for pid in pids_in(NS):
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not pids_in(NS))
    assert stopped(up.viscum) == ("program", "the program does not listen on tcp port 7000")


def test_it_stops_at_a_program_that_hangs(up):
    """Its kernel answers in its place, and so a client sees no more than a connection that says nothing."""
    for pid in pids_in(NS):
        os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    assert stopped(up.viscum) == ("program", "tcp port 7000: the program takes nothing in")
    assert time.monotonic() - began < 40
    for pid in pids_in(NS):
        os.kill(pid, signal.SIGCONT)


def test_it_stops_at_a_firewall_in_the_namespace(up):
    up.run(NS, "nft", "add table ip mine; add chain ip mine in { type filter hook input priority 0; policy drop; }")
    where, why = stopped(up.viscum)
    assert where == "program" and why.startswith("nothing in the namespace answers on tcp port 7000"), why


def test_it_stops_where_nobody_answers_for_the_client(up, datapath):
    where, why = stopped(up.viscum, "from", "192.168.77.99")
    assert where == "reply" and why.startswith("nobody on lan0 answers for 192.168.77.99, "), why
    # Nor did anybody refuse what the program's kernel answered.
    assert not up.run(NS, "ss", "-Htan", "state", "syn-recv").stdout


def test_it_stops_where_the_routers_firewall_drops_the_answer(up, datapath):
    up.run(
        up.router,
        "nft",
        "add table inet mine; add chain inet mine f { type filter hook forward priority 0; policy drop; }",
    )
    code, hops = walked(up.viscum)
    if datapath.startswith("bpf"):  # no firewall sees it
        assert code == 0, hops
    else:
        assert (hops[-1]["hop"], hops[-1]["text"]) == ("reply", "the router drops it behind vsc-echo"), hops
    up.run(up.router, "nft", "delete table inet mine")


def test_a_source_device_that_is_down_is_named(up):
    ip("-n", up.router, "link", "set", "lan0", "down")
    where, why = stopped(up.viscum, "from", "192.168.77.2")
    assert (where, why) == ("plan", "lan0 is down, or not there")


@pytest.mark.parametrize("source", ["br-lan", "lan0"])
def test_a_bridge_learns_nothing_from_it(lab, datapath, source):
    """Not even where nobody takes it."""
    lab.bridge()
    lab.configure(CONFIG.replace("list device lan0", "list device " + source))
    lab.viscum("up")
    arp(lab)
    before = lab.run(lab.router, "bridge", "fdb", "show").stdout
    code, hops = walked(lab.viscum)
    assert (code, [hop["hop"] for hop in hops]) == (0, HEALTHY), hops
    unlink(lab, source)
    assert stopped(lab.viscum, "from", "192.168.77.99")[0] == ("pair" if datapath.startswith("bpf") else "rule")
    assert lab.run(lab.router, "bridge", "fdb", "show").stdout == before
    lab.viscum("down")


@pytest.mark.parametrize("family", ["4", "6"])
def test_udp_is_walked_with_an_empty_datagram(lab, datapath, family):
    where = "2001:db8:cafe::10" if family == "6" else "203.0.113.10"
    takes = ("list device lan0", "list dest_ip " + where, "list dest_port 7000", "option proto udp")
    lab.configure(service("echo", echo_command("edge", 7000), *takes))
    lab.viscum("up")
    arp(lab)
    code, hops = walked(lab.viscum)
    assert (code, [hop["hop"] for hop in hops], hops[2]["result"]) == (0, HEALTHY, "ok"), hops
    assert hops[-1]["text"].startswith("leaves by lan0 for "), hops
    lab.viscum("down")


def test_a_program_that_acts_on_whatever_comes_gets_no_datagram(lab):
    lab.configure(service("echo", echo_command("edge", 7000), *TAKES, "option proto udp", "option healthcheck listen"))
    lab.viscum("up")
    arp(lab)
    code, hops = walked(lab.viscum)
    assert (code, hops[-1]["hop"], hops[-1]["result"]) == (0, "pair", "not walked"), hops
    lab.viscum("down")


def test_no_connection_notices_it(up, datapath):
    """One of a client's goes on, and the program is never given one of the walk's."""
    with inside(up.client):
        sock = socket.create_connection(("203.0.113.10", 7000), timeout=HANG)
    with sock:
        for _ in range(2):
            sock.sendall(b"here")
            assert b"edge" in sock.recv(2048)
            assert walked(up.viscum)[0] == 0
    peers = up.run(NS, "ss", "-Htan", "sport", "=", ":7000").stdout
    assert not [line for line in peers.splitlines() if line.split()[-1].split(":")[-1] in WALKS], peers


def test_an_agent_that_hangs_is_not_waited_for_long(lab):
    lab.serve_cloud(7000)
    served = Served(lab, CONFIG)
    served.becomes("edge")
    arp(lab)
    served.process.send_signal(signal.SIGSTOP)
    began = time.monotonic()
    result = served.viscum("explain", "--json", "echo", check=False)
    served.process.send_signal(signal.SIGCONT)
    assert time.monotonic() - began < 60
    assert "the agent does not answer" in result.stderr and json.loads(result.stdout)[0]["hop"] == "plan", result


@pytest.mark.parametrize(
    "words, code, says",
    [
        (("ecko",), 1, "there is no service 'ecko'; there are: echo, tcp"),
        (("echo", "port", "7000"), 2, "the packet 'echo' is not understood"),
        (("udp", "from", "192.168.77.2"), 2, "the packet does not say where it goes to"),
        (("tcp", "from", "2001:db8::1"), 0, "not walked"),
        (("tcp", "dev", "nodev0"), 1, "nodev0 is down, or not there"),
    ],
)
def test_a_service_may_be_called_like_a_word_of_a_packet(lab, words, code, says):
    matches = ("list device lan0", "list dest_ip 203.0.113.11", "list dest_port 7001")
    lab.configure(CONFIG + service("tcp", "/bin/true", *matches))
    result = lab.viscum("explain", *words, check=False)
    assert (result.returncode, says in result.stdout + result.stderr) == (code, True), result
