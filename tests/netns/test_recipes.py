"""Each recipe with the unmodified server from Debian, started by the agent from the recipe's own section: a client is
answered on the router, by the cloud when the program is killed, and on the router again. (The licence plates are with
their libraries: tests/examples/test_plates_recipe.py.)"""

import json
import re

import pytest
from lab import ip, listens, wait_for
from recipes import CLOUD, NAMES, OTHERS, Kitchen, installed


@pytest.fixture
def kitchen(lab):
    with installed():
        made = Kitchen(lab)
        yield made
        log = made.log()
        assert "Traceback" not in log and "its program said" not in log, log


def test_every_recipe_has_its_test():
    here = {name[len("test_recipe_") :] for name in globals() if name.startswith("test_recipe_")}
    assert here | {"plates"} == set(NAMES)


def test_recipe_iperf3(kitchen, tmp_path):
    lab = kitchen.lab
    with (tmp_path / "cloud").open("w") as stream:
        lab.start(lab.cloud, "iperf3", "-s", "-B", CLOUD, "--forceflush", stdout=stream)
    wait_for(lambda: listens(lab.cloud, 5201))

    def who():
        before = (tmp_path / "cloud").read_text().count("Accepted")
        for words in ((), ("-u", "-b", "1M")):
            found = json.loads(kitchen.ask("iperf3", "-c", CLOUD, "-t", "1", "-J", *words))
            assert "error" not in found and found["end"]["streams"], found
        return {0: "edge", 2: "cloud"}[(tmp_path / "cloud").read_text().count("Accepted") - before]

    kitchen.add("iperf3", "dest_ip=" + CLOUD)
    kitchen.edge_cloud_edge(who)


def test_recipe_dns(kitchen):
    """The router's own resolver knows a name of the LAN; the cloud's has another address for it."""
    lab = kitchen.lab
    ip("-n", lab.router, "addr", "add", "192.168.1.1/24", "dev", "lan0")
    dnsmasq = "%s/usr/sbin/dnsmasq" % OTHERS
    for ns, place, answer in ((lab.router, "192.168.1.1", "192.0.2.1"), (lab.cloud, CLOUD, "192.0.2.2")):
        words = ("-k", "-C", "/dev/null", "-R", "-h", "-z", "-a", place, "-x", "", "-u", "root")
        kitchen.start(ns, dnsmasq, *words, "--address=/#/" + answer)
        wait_for(lambda ns=ns: listens(ns, 53))

    def who():
        text = kitchen.ask("busybox", "nslookup", "-type=a", "nas.lan", CLOUD)
        (answer,) = re.findall(r"Address: (192\.0\.2\.\d)", text)
        return {"192.0.2.1": "edge", "192.0.2.2": "cloud"}[answer]

    command = "%s -k -C /dev/null -R -S 192.168.1.1" % dnsmasq
    check = '/bin/sh -c "/bin/busybox nslookup -type=a openwrt.org 127.0.0.1 >/dev/null 2>&1"'
    kitchen.add("dns", "command=" + command, "health_command=" + check)
    kitchen.edge_cloud_edge(who)
