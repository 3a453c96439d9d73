"""Clients whose packets come in without an Ethernet header: a tun device leads to them, with a process in the middle.

WireGuard and PPPoE, which this kernel may lack: tests/vm/test_bare.py.
"""

import json
import socket

import bare
import datapaths
import pytest
from agent import Served, answering
from bare import BOTH, EDGE, QUESTIONS, TAKES
from lab import Lab, inside, ip, service, wait_for, watch
from talks import Router, come_and_go

BY_EBPF = [name for name in ("bpf-tcx", "bpf-cls", "bpf-netkit") if datapaths.has(name)]
LARGE = 2 << 20  # bytes
# Takes LARGE bytes, then sends as many.
COPIES = """
import socket
server = socket.create_server(('', 7000))
while True:
    sock, _ = server.accept()
    left, data = %d, b'x'
    while left > 0 and data:
        data = sock.recv(65536)
        left -= len(data)
    if not left:
        sock.sendall(bytes(%d))
    sock.close()
"""


@pytest.fixture(params=BY_EBPF or [None])
def datapath(request):
    if request.param is None:
        pytest.skip("this kernel has no datapath 'bpf'")
    return request.param


@pytest.fixture
def lab(tmp_path, interpreter, datapath):
    with Lab(tmp_path, interpreter, datapath=datapath, link=bare.tun) as made:
        yield made


@pytest.fixture
def agent(lab):
    with answering(lab, BOTH, Served) as made:
        made.has_done_all()
        yield made


def row(agent):
    return json.loads(agent.viscum("status", "--json").stdout)[0]


def test_clients_are_answered_at_the_edge_then_by_the_cloud_and_back(agent):
    bare.there_and_back(agent)


def test_a_match_that_is_wide_is_answered_as_well(agent):
    wide = ("list dest_ip 203.0.113.0/24", "list dest_ip 2001:db8:cafe::/64", "list dest_port 7000")
    agent.reload(service("echo", EDGE, "list device lan0", *wide))
    agent.has_done_all()
    agent.becomes("edge")
    assert agent.lab.who(QUESTIONS) == ["edge"] * 4
    assert agent.lab.ask("udp", "203.0.113.11", 7000)[0] == "edge"


def test_when_the_program_ends_clients_reach_the_cloud_although_no_agent_looks(agent):
    bare.left_alone(agent)


def test_a_device_that_goes_is_waited_for_and_taken_again(agent):
    lab = agent.lab
    for _ in range(2):
        ip("-n", lab.router, "link", "del", "lan0")
        wait_for(lambda: row(agent)["state"] == "waiting" and "eth0" not in ip("-n", lab.client, "link"))
        lab.wire_client(0)
        agent.becomes("edge")
        assert lab.who(QUESTIONS) == ["edge"] * 4


def test_a_service_has_clients_with_and_without_an_ethernet_header(tmp_path, interpreter, datapath):
    with Lab(tmp_path, interpreter, clients=2, datapath=datapath) as lab:
        ip("-n", lab.router, "link", "del", "lan1")
        lab.wire_client(1, bare.tun)
        lab.configure(service("echo", EDGE, "list device lan*", *TAKES))
        lab.viscum("up")
        for client in lab.clients:
            assert lab.who(QUESTIONS, ns=client) == ["edge"] * 4
        assert lab.viscum("plan").stdout == "# nothing to do\n"
        lab.viscum("down")
        assert not lab.pins()


def test_packets_of_a_sender_whose_route_leads_elsewhere_stay_with_the_cloud(agent):
    lab = agent.lab
    taken = row(agent)["packets"]
    lab.run(lab.client, "ip", "addr", "add", "198.51.100.77/32", "dev", "eth0")
    with inside(lab.client):
        forged = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with forged:
        forged.bind(("198.51.100.77", 0))
        forged.sendto(b"x", ("203.0.113.10", 7000))
        wait_for(lambda: row(agent)["passed"]["elsewhere"] == 1)
    assert row(agent)["packets"] == taken


def test_large_transfers_pass_both_ways_with_the_mtu_of_the_device(lab):
    ip("-n", lab.router, "link", "set", "lan0", "mtu", "1400")
    ip("-n", lab.client, "link", "set", "eth0", "mtu", "1400")
    program = lab.tmp.parent / "copies.py"
    lab.tmp.parent.chmod(0o755)
    program.write_text(COPIES % (LARGE, LARGE))
    lab.configure(service("echo", "/usr/bin/python3 %s" % program, "list device lan0", "list proto tcp", *TAKES[:-2]))
    lab.viscum("up")
    assert json.loads(ip("-n", lab.router, "-j", "link", "show", "vsc-echo"))[0]["mtu"] == 1400
    with inside(lab.client):
        sock = socket.socket()
    with sock:
        sock.settimeout(60)
        sock.connect(("203.0.113.10", 7000))
        sock.sendall(bytes(LARGE))
        answer = 0
        while data := sock.recv(65536):
            answer += len(data)
    assert answer == LARGE


def test_who_looks_at_frames_in_the_namespace_sees_an_ethernet_header_without_macs(agent):
    with watch("viscum-echo") as sock:
        sock.settimeout(10)
        for address, kind, version in (("203.0.113.10", b"\x08\x00", 4), ("2001:db8:cafe::10", b"\x86\xdd", 6)):
            assert agent.lab.ask("udp", address, 7000)[0] == "edge"
            frames = iter(lambda: sock.recvfrom(2048), None)
            frame = next(data for data, where in frames if where[2] == socket.PACKET_HOST and data[12:14] == kind)
            assert frame[:12] == bytes(12) and frame[14] >> 4 == version


def test_connections_with_the_cloud_go_on_there_when_the_service_comes(lab):
    come_and_go(Router(lab))


def test_a_walk_comes_in_there_as_well(agent):
    """Nobody has a MAC there, so the client has to be named."""
    unnamed = json.loads(agent.viscum("explain", "--json", "echo", check=False).stdout)
    assert unnamed[-1]["text"] == "the router knows no client on lan0", unnamed
    for client in ("192.168.77.2", "2001:db8:77::2"):
        hops = json.loads(agent.viscum("explain", "--json", "echo", "from", client).stdout)
        assert {hop["result"] for hop in hops} == {"ok"} and hops[-1]["text"] == "leaves by lan0", hops
