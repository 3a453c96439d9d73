"""Clients behind WireGuard and PPPoE, in the kernel's own drivers: tests/netns/test_bare.py has more, with tun."""

import bare
import datapaths
import pytest
from agent import Served
from lab import CPYTHON, Lab, ip, pids_in, run, wait_for

BY_EBPF = [name for name in ("bpf-tcx", "bpf-cls", "bpf-netkit") if datapaths.has(name)]
# What makes each link, its modules, and one of the datapaths: their programs are the same.
LINKS = {
    "pppoe": (bare.pppoe, ("pppoe", "ppp_async"), BY_EBPF[:1]),
    "wireguard": (bare.wireguard, ("wireguard",), BY_EBPF[-1:]),
}


@pytest.fixture(params=LINKS)
def lab(request, tmp_path):
    link, modules, datapath = LINKS[request.param]
    for module in modules:
        run("modprobe", module)
    with Lab(tmp_path, CPYTHON, datapath=datapath[0], link=link) as made:
        yield made


def test_clients_are_answered_at_the_edge_then_by_the_cloud_and_back(lab):
    lab.serve_cloud(7000)
    agent = Served(lab, bare.BOTH)
    agent.becomes("edge")
    agent.has_done_all()
    bare.there_and_back(agent)
    assert agent.state() == "healthy" and "Traceback" not in agent.log.read_text()


@pytest.mark.parametrize("lab", ["pppoe"], indirect=True)
def test_a_device_that_goes_is_waited_for_and_taken_again(lab):
    lab.serve_cloud(7000)
    agent = Served(lab, bare.BOTH)
    agent.becomes("edge")
    before = ip("-n", lab.router, "link", "show", "lan0")
    for pid in pids_in(lab.router) + pids_in(lab.client):  # of PPPoE, whose devices end with them
        run("kill", "-KILL", str(pid), check=False)
    for ns, dev in ((lab.router, "lan0"), (lab.client, "eth0"), (lab.router, "under")):
        run("ip", "-n", ns, "link", "del", dev, check=False)
    wait_for(lambda: agent.state() == "waiting" and "eth0" not in ip("-n", lab.client, "link"))
    lab.wire_client(0)
    agent.becomes("edge")
    assert ip("-n", lab.router, "link", "show", "lan0") != before
