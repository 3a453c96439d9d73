"""Where netifd runs, its names for interfaces and Wi-Fi networks count, and the agent follows them."""

import json
import os
import signal
import sys

import pytest
from agent import QUICK, Agent
from lab import ROOT, Lab, echo_command, service, wait_for

TRAFFIC = ("list dest_ip 203.0.113.10", "list dest_port 7000")


def wireless(device):
    """`network.wireless status` with one access point and a station (openwrt/netifd, wireless.c)."""
    networks = [
        {"section": "default_radio0", "ifname": device, "config": {"mode": "ap", "network": ["lan"]}},
        {"section": "uplink", "ifname": "wan0", "config": {"mode": "sta", "network": ["wwan"]}},
    ]
    return {"radio0": {"up": True, "interfaces": networks}}


def state(lan, access_point):
    interface = {"interface": "lan", "up": True, "l3_device": lan, "device": "br-lan"}
    return {"dump": {"interface": [interface]}, "wireless": wireless(access_point)}


class Router(Agent):
    """An agent, a netifd and a broker as processes of their own."""

    def __init__(self, lab, answers, config):
        self.socket = str(lab.tmp / "ubus.sock")
        self._answers = lab.tmp / "netifd.json"
        self._answers.write_text(json.dumps(answers))
        self._peer(lab, "broker", self.socket)
        wait_for(lambda: os.path.exists(self.socket))
        self.netifd = self._peer(lab, "netifd", self.socket, self._answers)
        super().__init__(lab, config)

    def _peer(self, lab, *words):
        return lab.start(lab.router, sys.executable, ROOT / "tests/ubus_peer.py", *words)

    def answer(self, answers):
        self._answers.write_text(json.dumps(answers))
        self.netifd.send_signal(signal.SIGHUP)


@pytest.fixture
def lab(tmp_path, interpreter):
    with Lab(tmp_path, interpreter, clients=2) as made:
        made.serve_cloud(7000)
        yield made


def config(*interfaces):
    return service("echo", echo_command("edge", 7000), *TRAFFIC, *QUICK, *["list interface " + i for i in interfaces])


def test_a_logical_interface_is_the_device_that_netifd_says(lab):
    router = Router(lab, state("lan0", "lan1"), config("lan"))
    router.becomes("edge")
    assert "vsc-echo" not in router.filters("lan1")
    router.answer(state("lan1", "lan1"))
    router.redirects(there=False)
    assert "vsc-echo" in router.filters("lan1")


def test_wifi_means_every_access_point_and_no_station(lab):
    router = Router(lab, state("lo", "lan0"), config("@wifi"))
    router.redirects()
    assert "vsc-echo" not in router.filters("wan0"), "the station's device"
    router.answer(state("lo", "lan1"))
    router.redirects(there=False)
    assert "vsc-echo" in router.filters("lan1")


def test_a_wifi_network_has_the_name_of_its_section(lab):
    router = Router(lab, state("lo", "lan0"), config("default_radio0"))
    router.redirects()


def test_what_is_known_stays_known_while_netifd_is_away(lab):
    router = Router(lab, state("lan0", "lan1"), config("lan", "@wifi"))
    router.redirects()
    before = router.filters("lan0"), router.filters("lan1")
    router.netifd.kill()
    router.netifd.wait()
    lab.run(lab.router, "ip", "link", "set", "wan0", "alias", "something else to look at")
    router.process.send_signal(signal.SIGHUP)
    wait_for(lambda: lab.viscum("-s", router.socket, "list").stdout == "echo\n")
    assert (router.filters("lan0"), router.filters("lan1")) == before


def test_commands_ask_netifd_too(lab):
    router = Router(lab, state("lan0", "lan1"), config("lan"))
    router.redirects()
    router.has_done_all()
    result = lab.viscum("plan", check=False)
    assert "viscum.echo.interface: 'lan' is not there" in result.stderr, "nobody knows it without netifd"
