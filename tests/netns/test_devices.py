"""Where clients come from: several devices with different MACs, bridges and their ports, devices that can't be used."""

import json

import pytest
from lab import Lab, echo_command, mac, service

EDGE = echo_command("edge", 7000)
TAKES = ("list dest_ip 203.0.113.10", "list dest_ip 2001:db8:cafe::10", "list dest_port 7000")


@pytest.fixture
def two(tmp_path, interpreter):
    """A lab with two clients on two devices (lan0, lan1), which have different MACs."""
    with Lab(tmp_path, interpreter, clients=2) as made:
        yield made


def test_clients_behind_several_devices_with_different_macs_are_answered(two):
    two.configure(service("echo", EDGE, "list device lan*", *TAKES))
    two.viscum("up")
    for client in two.clients:
        for protocol in ("tcp", "udp"):
            for address in ("203.0.113.10", "2001:db8:cafe::10"):
                assert two.ask(protocol, address, 7000, ns=client)[0] == "edge", (client, protocol, address)
    assert two.status("echo")["from"] == ["lan0", "lan1"]
    assert two.viscum("plan").stdout == "# nothing to do\n"


def test_one_device_lends_its_mac_to_the_service_where_the_kernel_has_no_skbmod(two):
    two.datapath = "u32"
    two.configure(service("echo", EDGE, "list device lan0", *TAKES, "option rewrite none"))
    two.viscum("up")
    inner = json.loads(two.viscum("exec", "echo", "--", "ip", "-j", "link", "show", "dev", "eth0").stdout)[0]["address"]
    assert inner == mac(two.router, "lan0")
    assert two.ask("udp", "203.0.113.10", 7000)[0] == "edge"


@pytest.mark.parametrize("device", ["br-lan", "lan0"], ids=["the bridge", "its port"])
def test_a_bridge_and_the_port_of_a_bridge_work_as_sources(lab, device):
    lab.bridge()
    lab.configure(service("echo", EDGE, "list device " + device, *TAKES))
    lab.viscum("up")
    for protocol in ("tcp", "udp"):
        for address in ("203.0.113.10", "2001:db8:cafe::10"):
            assert lab.ask(protocol, address, 7000)[0] == "edge", (protocol, address)


def test_a_logical_interface_is_resolved_by_the_network_file(lab):
    lab.bridge()
    lab.configure("config interface 'lan'\n\toption device 'br-lan'\n", "network")
    lab.configure(service("echo", EDGE, "list interface lan", *TAKES))
    lab.viscum("up")
    assert lab.status("echo")["from"] == ["br-lan"]
    assert lab.ask("tcp", "203.0.113.10", 7000)[0] == "edge"


def test_the_mtu_is_the_smallest_of_the_source_devices(two):
    two.run(two.router, "ip", "link", "set", "lan1", "mtu", "1400")
    two.configure(service("echo", EDGE, "list device lan*", *TAKES))
    two.viscum("up")
    assert json.loads(two.run(two.router, "ip", "-j", "link", "show", "dev", "vsc-echo").stdout)[0]["mtu"] == 1400


def test_without_ebpf_a_device_without_an_ethernet_header_is_refused_by_name_and_skipped_by_a_pattern(lab):
    lab.datapath = "u32"
    lab.run(lab.router, "ip", "tuntap", "add", "tun7", "mode", "tun")
    lab.configure(service("echo", EDGE, "list device tun7", *TAKES))
    result = lab.viscum("up", check=False)
    why = "viscum.echo.device: tun7 has no Ethernet header (PPPoE, WireGuard, modem): set option datapath 'bpf'"
    assert (result.returncode, why in result.stderr) == (1, True), result.stderr
    lab.configure(service("echo", EDGE, "list device '*n?'", *TAKES))
    lab.viscum("up")
    assert lab.status("echo")["from"] == ["lan0", "wan0"]


def test_the_routers_own_address_can_be_taken_over(lab):
    """The reply has a source that the router calls its own: accept_local."""
    lab.configure(service("echo", EDGE, "list device lan0", "list dest_ip 192.168.77.1", "list dest_port 7000"))
    lab.viscum("up")
    for protocol in ("tcp", "udp"):
        assert lab.ask(protocol, "192.168.77.1", 7000)[0] == "edge", protocol


@pytest.mark.parametrize("strict", ["0", "1", "2"])
def test_replies_pass_whatever_the_routers_rp_filter_is(lab, strict):
    lab.run(lab.router, "sysctl", "-qw", "net.ipv4.conf.all.rp_filter=" + strict)
    lab.configure(service("echo", EDGE, "list device lan0", *TAKES))
    lab.viscum("up")
    assert lab.ask("tcp", "203.0.113.10", 7000)[0] == "edge"
