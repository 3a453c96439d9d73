"""Servers that others wrote, as Debian packages them, are services with nothing but the defaults: no account,
capability, system call or limit in their sections. A client's own program asks each of them through the redirect."""

import json

import pytest
from agent import Agent
from lab import PROGRAMS, service
from others import OTHERS, copied, nginx

ADDRESS = "203.0.113.10"


class Other:
    """A lab's router with a service whose program is somebody else's."""

    def __init__(self, lab):
        self.library = copied()
        self.folder = PROGRAMS / "folder"
        self.folder.mkdir()
        self.folder.chmod(0o777)
        (self.folder / "www").mkdir()
        (self.folder / "www/index.html").write_text("from the edge\n")
        self._lab = lab
        self._agent = None

    def serves(self, command, port, *lines):
        takes = ("list device lan0", "list dest_ip " + ADDRESS, "list dest_port %d" % port)
        found = "list env " + self.library
        self._agent = Agent(self._lab, service("other", command, *takes, found, *lines))
        self._agent.says("other: healthy")
        self._agent.redirects(device="vsc-other")

    def ask(self, *words):
        """What a client's program prints."""
        return self._lab.run(self._lab.client, "env", self.library, *words).stdout

    def refused_nothing(self):
        """Whether nothing was forbidden to the program, and it never ended."""
        text = self._agent.log.read_text()
        return "its program said" not in text and "backoff" not in text


@pytest.fixture
def other(lab):
    made = Other(lab)
    yield made
    assert made.refused_nothing()


def test_iperf3_measures_over_tcp_and_udp(other):
    """It opens a port for UDP when a client asks for it."""
    other.serves("/usr/bin/iperf3 -s", 5201, "option healthcheck listen", "option dynamic_ports 1")
    for words in ((), ("-u", "-b", "1M"), ("-R",)):
        found = json.loads(other.ask("iperf3", "-c", ADDRESS, "-t", "1", "-J", *words))
        assert "error" not in found and found["end"]["streams"], found


def test_dnsmasq_answers_names(other):
    words = "-k --conf-file=/dev/null --no-resolv --no-hosts --pid-file --log-facility=- --user=nobody"
    names = "--address=/edge.example/192.0.2.99 --address=/edge.example/2001:db8::99"
    other.serves("%s/usr/sbin/dnsmasq %s %s" % (OTHERS, words, names), 53)
    assert "192.0.2.99" in other.ask("busybox", "nslookup", "edge.example", ADDRESS)


def test_nginx_serves_pages(other):
    made = nginx(other.folder, "listen [::]:80;", "root %s/www;" % other.folder)
    other.serves("%s/usr/sbin/nginx -c %s" % (OTHERS, made), 80)
    assert other.ask("curl", "-sS", "http://%s/" % ADDRESS) == "from the edge\n"
    assert "nginx" in other.ask("curl", "-sSI", "http://%s/nothing" % ADDRESS)


def test_mosquitto_keeps_a_message_for_the_next_client(other):
    (other.folder / "mosquitto.conf").write_text("listener 1883\nallow_anonymous true\n")
    other.serves("%s/usr/sbin/mosquitto -c %s/mosquitto.conf" % (OTHERS, other.folder), 1883)
    words = ("-h", ADDRESS, "-t", "edge/topic")
    other.ask(OTHERS / "usr/bin/mosquitto_pub", *words, "-r", "-m", "from the edge")
    assert other.ask(OTHERS / "usr/bin/mosquitto_sub", *words, "-C", "1", "-W", "20") == "from the edge\n"


def test_a_server_of_python_serves_files(other):
    other.serves("/usr/bin/python3 -m http.server 80 --directory %s/www" % other.folder, 80)
    assert other.ask("curl", "-sS", "http://%s/index.html" % ADDRESS) == "from the edge\n"
