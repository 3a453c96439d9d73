"""Clients behind a trunk, with the kernel's own devices for VLANs (802.1Q): tests/netns/test_vlan.py has more."""

import datapaths
import pytest
from agent import Served
from bare import EDGE, QUESTIONS, TAKES
from lab import CPYTHON, Lab, ip, run, service

ALL = [name for name in datapaths.DATAPATHS if datapaths.has(name)]
NETWORKS = (("-4", "192.168.87.", "/24"), ("-6", "2001:db8:87::", "/64"))
# Where the service takes its packets: at the VLAN's own device, with every datapath, or at the trunk.
DEVICES = {"own": ("%s.10",), "trunk": ("lan0", "option vlan 10")}
# Each once, in turns on a device and on a bridge.
CASES = [(name, "own") for name in ALL] + [(name, "trunk") for name in ALL if name.startswith("bpf")]


def wire(lab, filtering):
    """The client is in VLAN 10 of the router's lan0, or of a bridge with VLANs that has lan0 as a tagged port; returns
    whose VLAN 10 the router's address is in."""
    trunk = "br-lan" if filtering else "lan0"
    if filtering:
        ip("-n", lab.router, "link", "add", "br-lan", "type", "bridge", "vlan_filtering", "1")
        ip("-n", lab.router, "link", "set", "br-lan", "up")
        ip("-n", lab.router, "link", "set", "lan0", "master", "br-lan")
        lab.run(lab.router, "bridge", "vlan", "add", "dev", "lan0", "vid", 10)
        lab.run(lab.router, "bridge", "vlan", "add", "dev", "br-lan", "vid", 10, "self")
    for ns, dev, end in ((lab.router, trunk, "1"), (lab.client, "eth0", "2")):
        tagged = dev + ".10"
        ip("-n", ns, "addr", "flush", "dev", "lan0" if ns == lab.router else dev)
        ip("-n", ns, "link", "add", "link", dev, "name", tagged, "type", "vlan", "id", "10")
        ip("-n", ns, "link", "set", tagged, "up")
        for family, network, length in NETWORKS:
            ip("-n", ns, "addr", "add", network + end + length, "dev", tagged, *(("nodad",) if family == "-6" else ()))
            if ns == lab.client:
                ip("-n", ns, family, "route", "replace", "default", "via", network + "1", "dev", tagged)
    return trunk


@pytest.mark.parametrize("datapath, where, filtering", [case + (bool(at % 2),) for at, case in enumerate(CASES)])
def test_clients_of_a_vlan_are_answered_at_the_edge_then_by_the_cloud_and_back(tmp_path, datapath, where, filtering):
    run("modprobe", "8021q")
    with Lab(tmp_path, CPYTHON, datapath=datapath) as lab:
        trunk = wire(lab, filtering)
        lab.serve_cloud(7000)
        device, *more = DEVICES[where]
        agent = Served(lab, service("echo", EDGE, "list device " + device.replace("%s", trunk), *more, *TAKES))
        agent.becomes("edge")
        agent.has_done_all()
        for on, who in ((True, "cloud"), (False, "edge")):
            assert lab.who(QUESTIONS) == ["cloud" if who == "edge" else "edge"] * 4
            agent.call("bypass", name="echo", on=on)
            agent.becomes(who)
        assert lab.who(QUESTIONS) == ["edge"] * 4
        assert "Traceback" not in agent.log.read_text()
