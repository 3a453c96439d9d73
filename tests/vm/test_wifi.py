"""A speed test over Wi-Fi: the station's iperf3 client talks to the cloud and is answered by the access point."""

import json

import pytest
from lab import service

# It opens UDP when a client has come by TCP, and takes each connection for a client.
IPERF = ("list dest_ip 203.0.113.10", "list dest_port 5201", "option healthcheck listen", "option dynamic_ports 1")


def iperf(wifi, *words):
    """Runs the client on the station; its summary. Nothing listens in the cloud, so only the edge can answer."""
    return json.loads(wifi.on_client("iperf3", "-c", "203.0.113.10", "-J", "-t", "4", *words, timeout=90).stdout)["end"]


def speed_test(lab, wifi, device):
    lab.configure(service("iperf", "/usr/bin/iperf3 -s", "list device " + device, *IPERF))
    lab.viscum("up")
    before = lab.status("iperf")["packets"]
    up, down = iperf(wifi), iperf(wifi, "-R")
    udp = iperf(wifi, "-u", "-b", "5M", "-l", "1200")
    print("TCP up %.1f Mbit/s, down %.1f Mbit/s" % (rate(up), rate(down)), "UDP lost", udp["sum"]["lost_percent"], "%")
    assert up["sum_received"]["bytes"] > 100000
    assert down["sum_received"]["bytes"] > 100000
    assert udp["sum"]["packets"] > 100
    assert udp["sum"]["lost_percent"] < 5
    sent = udp["sum"]["packets"] + up["sum_sent"]["bytes"] // 1448
    assert lab.status("iperf")["packets"] - before >= sent * 0.9, "it was our filters that carried them"
    lab.viscum("down")
    refused = wifi.on_client("iperf3", "-c", "203.0.113.10", "-t", "1", check=False, timeout=60)
    assert refused.returncode, "without the service the cloud is asked, where nobody listens"


def rate(end):
    return end["sum_received"]["bits_per_second"] / 1e6


def test_through_a_redirect_on_the_wlan_device(lab, wifi):
    speed_test(lab, wifi, wifi.ap)


@pytest.mark.parametrize("where", ["bridge", "port"])
def test_through_a_redirect_on_br_lan_or_on_the_port_of_it(lab, bridged_wifi, where):
    speed_test(lab, bridged_wifi, "br-lan" if where == "bridge" else bridged_wifi.ap)
