"""Replies through firewall4 with flow offloading, which needs a kernel with flow tables: those that are routed by means
of the package's includes, those of eBPF past all that."""

import pytest
from datapaths import has
from firewall import connections, start_firewall
from lab import CPYTHON, ROOT, Lab, echo_command, service

TAKES = ("list dest_ip 203.0.113.10", "list dest_ip 2001:db8:cafe::10", "list dest_port 7000")
ECHO = service("echo", echo_command("edge", 7000), "list device lan0", *TAKES)
CASES = [("tcp", "203.0.113.10"), ("udp", "203.0.113.10"), ("tcp", "2001:db8:cafe::10"), ("udp", "2001:db8:cafe::10")]

# Offloading is only here, and matters to each of them; all else tests/netns/test_firewall.py has with those that every
# kernel has.
only_here = pytest.mark.parametrize("datapath", ["flower", "bpf-netkit"], indirect=True)


@pytest.fixture(params=["u32", "flower", "bpf-tcx", "bpf-netkit"])
def datapath(request):
    assert has(request.param), "the guest's kernel has them all"
    return request.param


@pytest.fixture
def lab(tmp_path, datapath):
    with Lab(tmp_path, CPYTHON, datapath=datapath) as made:
        yield made


def answers(lab):
    return lab.who([(*case, 7000) for case in CASES])


def offloaded(lab):
    return [line for line in connections(lab) if "[OFFLOAD]" in line]


def test_clients_of_a_service_are_answered_while_other_connections_are_offloaded(lab):
    lab.serve_cloud(7000)
    start_firewall(lab, "strict", offload=True)
    assert lab.ask("udp", "203.0.113.10", 7000)[0] == "cloud"
    assert offloaded(lab), "so the rule is at work"
    lab.configure(ECHO)
    lab.viscum("up")
    assert answers(lab) == ["edge"] * 4
    lab.viscum("down")
    assert answers(lab) == ["cloud"] * 4


@only_here
@pytest.mark.parametrize("place", ["chain-post/raw_prerouting", "chain-pre/forward"])
def test_replies_that_are_routed_need_each_include_and_those_of_ebpf_none(lab, datapath, place):
    """What would not be answered stays with the cloud, and `up` says so."""
    lab.serve_cloud(7000)
    start_firewall(lab, "strict", leave_out=place, offload=True)
    lab.configure(ECHO)
    result = lab.viscum("up", check=False)
    assert (result.returncode == 0) == datapath.startswith("bpf"), result.stderr
    assert answers(lab) == ["edge" if datapath.startswith("bpf") else "cloud"] * 4


@only_here
@pytest.mark.parametrize("address", ["198.51.100.1", "2001:db8:100::1"])
def test_a_client_behind_wan_is_answered(lab, address):
    start_firewall(lab, "strict", offload=True)
    takes = ("list device wan0", "list dest_ip " + address, "list dest_port 7000")
    lab.configure(service("echo", echo_command("edge", 7000), *takes))
    lab.viscum("up")
    assert lab.who([(protocol, address, 7000) for protocol in ("tcp", "udp")], ns=lab.cloud) == ["edge"] * 2
    assert connections(lab) == []


@only_here
def test_what_a_service_begins_itself_is_masqueraded(lab):
    lab.serve_cloud(7001)
    start_firewall(lab, "zone", offload=True)
    lab.configure(ECHO + "\toption proto tcp\n\tlist egress wan\n")
    lab.viscum("up")
    ask = ("/usr/bin/python3", ROOT / "tests/echo.py", "ask", "tcp", "203.0.113.11", 7001, 5)
    assert '["cloud", ' in lab.viscum("exec", "echo", "--", *ask).stdout
    (line,) = [line for line in connections(lab) if "dport=7001" in line]
    assert "dst=198.51.100.1" in line
