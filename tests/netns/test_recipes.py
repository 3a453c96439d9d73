"""Each recipe with the unmodified server from Debian, started by the agent from the recipe's own section: a client is
answered on the router, by the cloud when the program is killed, and on the router again. (The licence plates are with
their libraries: tests/examples/test_alpr_recipe.py.)"""

import json
import re
import socket
import struct
import time

import pytest
from lab import SILENCE, in_namespace, ip, kill, listens, wait_for
from others import OTHERS, nginx
from recipes import CLOUD, NAMES, Kitchen, installed

from viscum_agent.paths import RECIPES


@pytest.fixture
def kitchen(lab):
    with installed():
        made = Kitchen(lab)
        yield made
        log = made.log()
        assert "Traceback" not in log and "its program said" not in log, log


def test_every_recipe_has_its_test():
    here = {name[len("test_recipe_") :] for name in globals() if name.startswith("test_recipe_")}
    assert here | {"alpr"} == set(NAMES)


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
    """The router's own resolver knows a name of the LAN; the cloud's has another address for it. While the first one
    does not answer, clients have the second."""
    lab = kitchen.lab
    ip("-n", lab.router, "addr", "add", "192.168.1.1/24", "dev", "lan0")
    dnsmasq = "%s/usr/sbin/dnsmasq" % OTHERS
    resolvers = {}
    for ns, place, answer in ((lab.router, "192.168.1.1", "192.0.2.1"), (lab.cloud, CLOUD, "192.0.2.2")):
        words = ("-k", "-C", "/dev/null", "-R", "-h", "-z", "-a", place, "-x", "", "-u", "root")
        resolvers[ns] = kitchen.start(ns, dnsmasq, *words, "--address=/#/" + answer)
        wait_for(lambda ns=ns: listens(ns, 53))

    def who():
        text = kitchen.ask("busybox", "nslookup", "-type=a", "nas.lan", CLOUD)
        (answer,) = re.findall(r"Address: (192\.0\.2\.\d)", text)
        return {"192.0.2.1": "edge", "192.0.2.2": "cloud"}[answer]

    command = "%s -k -C /dev/null -R -S 192.168.1.1" % dnsmasq
    check = '/bin/sh -c "/bin/busybox nslookup -type=a openwrt.org 127.0.0.1 >/dev/null 2>&1"'
    quick = ("health_interval=1", "health_fall=1")
    kitchen.add("dns", "command=" + command, "health_command=" + check, *quick)
    kitchen.edge_cloud_edge(who)
    kill(resolvers[lab.router])
    kitchen.agent.redirects(False, "vsc-dns")
    assert who() == "cloud"


def test_recipe_ntp(kitchen, tmp_path):
    lab = kitchen.lab
    chronyd = OTHERS / "usr/sbin/chronyd"
    words = ("allow", "local stratum 5", "cmdport 0", "bindcmdaddress /", "bindaddress " + CLOUD)
    kitchen.start(lab.cloud, chronyd, "-d", "-x", "-u", "root", *words, "pidfile %s" % (tmp_path / "pid"))

    def who():
        """By its stratum, and the time that it tells is right."""
        answer = in_namespace(lab.client, sntp)
        return answer and {8: "edge", 5: "cloud"}[answer]

    wait_for(who)
    assert who() == "cloud"
    words = '-d -x -U -u nobody allow "local stratum 8" "cmdport 0" "bindcmdaddress /" "pidfile /tmp/pid"'
    kitchen.add("ntp", "command=%s %s" % (chronyd, words))
    kitchen.edge_cloud_edge(who)


def sntp():
    """The stratum of who answers as a client of RFC 4330 asks, None for nobody."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(SILENCE)
        sock.connect((CLOUD, 123))
        sock.send(struct.pack("!B39xQ", 0x23, 0x1234))  # version 4, a client; its transmit timestamp
        try:
            answer = sock.recv(1024)
        except OSError:
            return None
    mode, stratum, originate, seconds = struct.unpack("!BB22xQ8xI4x", answer)
    assert (mode & 7, originate) == (4, 0x1234)
    assert abs(seconds - 2208988800 - time.time()) < 2  # from 1900 on
    return stratum


def test_recipe_mqtt(kitchen, tmp_path):
    """A device tells what it measures; who has that for the next one?"""
    lab = kitchen.lab
    (tmp_path / "cloud.conf").write_text("listener 1883\nallow_anonymous true\nuser root\n")
    mosquitto = OTHERS / "usr/sbin/mosquitto"
    kitchen.start(lab.cloud, mosquitto, "-c", tmp_path / "cloud.conf")
    wait_for(lambda: listens(lab.cloud, 1883))
    client = ("-h", CLOUD, "-t", "meter/power", "-q", "1")

    def tell(what):
        kitchen.ask(OTHERS / "usr/bin/mosquitto_pub", *client, "-r", "-m", what)

    def who():
        return kitchen.ask(OTHERS / "usr/bin/mosquitto_sub", *client, "-C", "1", "-W", "20").strip()

    tell("cloud")
    kitchen.add("mqtt", "dest_ip=" + CLOUD, "command=%s -c %s/mqtt.conf" % (mosquitto, RECIPES))
    tell("edge")
    assert who() == "edge"
    kitchen.kill()
    assert who() == "cloud"
    kitchen.start_again()
    tell("edge")  # what a broker keeps ends with it
    assert who() == "edge"


NGINX = OTHERS / "usr/sbin/nginx"


@pytest.fixture
def asked(kitchen, tmp_path):
    """A web server in the cloud, and a function that says how often it was asked."""
    made = nginx(tmp_path, 'return 200 "from the cloud";', log=tmp_path / "access", user="user root;")
    kitchen.start(kitchen.lab.cloud, NGINX, "-e", "stderr", "-c", made)
    wait_for(lambda: listens(kitchen.lab.cloud, 80))
    return lambda: (tmp_path / "access").read_text().count("\n")


def test_recipe_http_cache(kitchen, asked):
    """Two clients want a page: its origin is asked once, by the router. Nobody gets what was for somebody else."""
    lab = kitchen.lab
    # What leaves the router has an address that the cloud can answer; on a router that is the firewall's masquerading.
    ip("-n", lab.cloud, "route", "add", "10.213.0.0/16", "via", "198.51.100.1")
    kitchen.add("http_cache", "dest_ip=" + CLOUD, "command=%s/http_cache.sh %s %s" % (RECIPES, NGINX, CLOUD))

    def who(*words):
        """Who answers; every answer is the origin's."""
        head, body = kitchen.ask("curl", "-sSi", *words, "http://%s/page" % CLOUD).split("\n\n")
        assert body == "from the cloud"
        return "edge" if "X-Cache-Status" in head else "cloud"

    for _ in range(2):
        assert who() == "edge"
    assert asked() == 1
    for words in (("-H", "Host: other.example"), ("-u", "somebody:secret"), ("-u", "somebody:secret"), ("-b", "a=b")):
        assert who(*words) == "edge"
    assert asked() == 5
    kitchen.edge_cloud_edge(who)


@pytest.mark.usefixtures("asked")
def test_recipe_captive(kitchen):
    """A phone asks whether there is an Internet, and for any page at any address."""
    kitchen.add("captive", "interface=lan", "command=%s -e stderr -c %s/captive.conf" % (NGINX, RECIPES))

    def who():
        texts = {kitchen.ask("curl", "-sS", "http://%s/%s" % (CLOUD, path)) for path in ("generate_204", "a/b?c")}
        (text,) = texts
        return "edge" if "<h1>Welcome" in text else text.split(" ")[-1]

    kitchen.edge_cloud_edge(who)


@pytest.mark.usefixtures("asked")
def test_recipe_speedtest(kitchen, tmp_path):
    kitchen.add("speedtest", "dest_ip=" + CLOUD, "command=%s -e stderr -c %s/speedtest.conf" % (NGINX, RECIPES))

    def who():
        text = kitchen.ask("curl", "-sS", "http://%s/" % CLOUD)
        return "edge" if "<title>Speed test" in text else text.split(" ")[-1]

    (tmp_path / "piece").write_bytes(bytes(1 << 20))
    for words, answer in (((), "200 1048576 0"), (("--data-binary", "@%s" % (tmp_path / "piece")), "204 0 1048576")):
        sizes = "%{http_code} %{size_download} %{size_upload}"
        place = "http://%s/%s" % (CLOUD, "up" if words else "down")
        assert kitchen.ask("curl", "-sS", "-o", "/dev/null", "-w", sizes, *words, place) == answer
    kitchen.edge_cloud_edge(who)
