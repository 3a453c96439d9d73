"""The guest is what this suite needs: without this, a failure of another test would say nothing about Viscum."""

import os

import pytest
from lab import ip, run, wait_for
from wifi import NET4, NET6, Wifi


@pytest.fixture
def pipe():
    """A namespace with the two ends of a veth pair, "in" and "out", both up; `in` has clsact."""
    ip("netns", "add", "testbed")
    try:
        ip("-n", "testbed", "link", "add", "in", "type", "veth", "peer", "name", "out")
        for end in ("in", "out"):
            ip("-n", "testbed", "link", "set", end, "up")
        tc("qdisc add dev in clsact")
        yield
    finally:
        ip("netns", "del", "testbed")


def tc(command):
    return run("tc", "-n", "testbed", *command.split()).stdout


def test_the_kernel_is_of_the_series_that_openwrt_25_12_has():
    assert os.uname().release.startswith("6.12.")


def test_the_redirect_of_the_slides_can_be_installed(pipe):
    match = "protocol ip flower dst_ip 203.0.113.10 ip_proto tcp dst_port 5201"
    action = "action skbmod set dmac 02:00:00:00:00:09 pipe action mirred egress redirect dev out"
    tc("filter add dev in ingress prio 1 %s %s" % (match, action))
    shown = tc("filter show dev in ingress")
    for part in ("flower", "dst_ip 203.0.113.10", "skbmod", "02:00:00:00:00:09", "Egress Redirect to device out"):
        assert part in shown


def test_a_packet_can_be_made_the_hosts_own(pipe):
    tc("filter add dev in ingress prio 1 protocol all matchall action skbedit ptype host")
    shown = tc("filter show dev in ingress")
    assert "matchall" in shown
    assert "ptype host" in shown


@pytest.mark.parametrize("bridge", ["", "br-lan"], ids=["wlan0", "bridge"])
def test_a_station_reaches_its_access_point(tmp_path, bridge):
    with Wifi(tmp_path, bridge=bridge) as wifi:
        assert "Connected to" in wifi.link()
        assert "SSID: viscum" in wifi.link()
        for address in (NET4 + ".1", NET6 + ":1"):
            wifi.on_client("ping", "-c", 3, "-i", 0.2, "-W", 5, address)


def test_a_station_reaches_the_cloud_through_the_labs_router(lab, bridged_wifi):
    lab.serve_cloud(7000)
    for address in ("203.0.113.10", "2001:db8:cafe::10"):
        for protocol in ("tcp", "udp"):
            assert lab.ask(protocol, address, 7000, ns=bridged_wifi.client, timeout=10)[0] == "cloud"


def test_without_the_access_point_the_station_is_alone(tmp_path):
    with Wifi(tmp_path) as wifi:
        wifi._hostapd.terminate()
        wait_for(lambda: "Connected to" not in wifi.link())
        assert wifi.on_client("ping", "-c", 1, "-W", 2, NET4 + ".1", check=False).returncode
