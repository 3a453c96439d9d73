"""What routers on the way to a client have to say about a service's packets reaches the service: a smaller MTU."""

import datapaths
import pytest
from lab import PROGRAMS, Lab, ip, listens, service, wait_for

from viscum_agent.plan import datapath as plan_datapath

SIZE = 20000  # of an answer: many frames
LINK = 1280  # the MTU of the link before the client, the smallest that IPv6 knows
ADDRESSES = ("203.0.113.10", "2001:db8:cafe::10")

ONE = ("list dest_ip 203.0.113.10", "list dest_ip 2001:db8:cafe::10", "list dest_port 7000")
# How a service answers for addresses that are not its own: by itself, and where its namespace translates.
ANSWERS = {
    "one address": ONE,
    "another port": (*ONE, "option target_port 7777"),
    "a prefix": ("list dest_ip 203.0.113.8/29", "list dest_ip 2001:db8:cafe::/64", "list dest_port 7000"),
    "any address": ("list dest_port 7000",),
}
SERVER = (
    """
import socket, sys
server = socket.create_server(("::", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True)
while True:
    sock, _ = server.accept()
    with sock:
        sock.settimeout(10)
        try:
            if sock.recv(100):
                sock.sendall(sys.argv[2].encode() * %d)
                sock.recv(100)
        except OSError:
            pass
"""
    % SIZE
)
CLIENT = (
    """
import socket, sys
found = b""
with socket.create_connection((sys.argv[1], 7000), 5) as sock:
    sock.settimeout(5)
    sock.sendall(b"x")
    try:
        while len(found) < %d:
            found += sock.recv(65536)
    except TimeoutError:
        pass
print(found[:1].decode(), len(found))
"""
    % SIZE
)


@pytest.fixture(params=datapaths.here() or [None])
def lab(request, tmp_path):
    """A client behind another router, over a link that takes frames of 1,280 bytes. Once and not for each interpreter:
    what packets meet is the kernel's."""
    with Lab(tmp_path, clients=2, datapath=request.param) as made:
        middle, far = made.clients
        ip("-n", far, "link", "del", "eth0")
        ip("-n", middle, "link", "add", "down0", "type", "veth", "peer", "name", "eth0", "netns", far)
        for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
            made.run(middle, "sysctl", "-qw", key + "=1")
        for ns, dev, end in ((middle, "down0", 1), (far, "eth0", 2)):
            ip("-n", ns, "link", "set", dev, "up")
            ip("-n", ns, "addr", "add", "192.168.99.%d/24" % end, "dev", dev)
            ip("-n", ns, "addr", "add", "2001:db8:99::%d/64" % end, "dev", dev, "nodad")
        ip("-n", middle, "link", "set", "down0", "mtu", str(LINK))
        for version, prefix, gateway, via in (
            ("-4", "192.168.99.0/24", "192.168.99.1", "192.168.77.2"),
            ("-6", "2001:db8:99::/64", "2001:db8:99::1", "2001:db8:77::2"),
        ):
            ip("-n", far, version, "route", "add", "default", "via", gateway)
            ip("-n", made.router, version, "route", "add", prefix, "via", via)
        (PROGRAMS / "large.py").write_text(SERVER)
        yield made


def received(lab, address):
    """Who answers the far client, and how many bytes arrive, as text."""
    return lab.run(lab.clients[1], "python3", "-c", CLIENT, address).stdout.strip()


def routed(lab):
    """Whether the datapath's replies are routed."""
    return plan_datapath.named(lab.datapath).ROUTED


@pytest.mark.parametrize("answer", ANSWERS)
def test_a_large_answer_reaches_a_client_behind_a_small_link_as_it_does_from_the_cloud(lab, answer):
    lab.start(lab.cloud, "python3", PROGRAMS / "large.py", 7000, "c")
    wait_for(lambda: listens(lab.cloud, 7000))
    for address in ADDRESSES:
        assert received(lab, address) == "c %d" % SIZE
    port = 7777 if "target_port" in str(ANSWERS[answer]) else 7000
    command = "/usr/bin/python3 %s %d e" % (PROGRAMS / "large.py", port)
    lines = ("list device lan0", "option healthcheck listen", *ANSWERS[answer])
    lab.configure(service("large", command, *lines))
    lab.viscum("up")
    if routed(lab):
        # These read no errors, as the manual says: nothing arrives until the pair's MTU is that of the link.
        assert received(lab, ADDRESSES[0]) == "0"
        lab.configure(service("large", command, *lines, "option mtu %d" % LINK))
        lab.viscum("up")
    for address in ADDRESSES:
        assert received(lab, address) == "e %d" % SIZE
