"""Tables of a router or of a service's namespace that are very large, or that change while they are read."""

import random
import sys

import pytest
from lab import Lab, echo_command, inside, ip, kill, service

from viscum_agent import address, compat
from viscum_agent.kernel import codec, netlink, open_backend, pyroute2_backend, rtnl
from viscum_agent.kernel.backend import MOST_INSIDE
from viscum_agent.kernel.netlink import Interrupted, Socket
from viscum_agent.kernel.netns import SELF

POOLS = [address.parse_prefix(text) for text in ("10.213.0.0/16", "172.16.0.0/14", "fd76:7363:756d::/64", "fc00::/20")]
BACK_ENDS = ("native", "pyroute2")


@pytest.fixture
def router(tmp_path):
    """A lab whose router is where this thread is."""
    with Lab(tmp_path) as lab:
        home = compat.fd_open(SELF, 0)
        with open("/run/netns/" + lab.router) as file:
            compat.setns(file.fileno())
        yield lab
        compat.setns(home)
        compat.fd_close(home)


def batch(lab, lines, *options):
    """Commands of `ip` on the router, by one process."""
    file = lab.tmp / "batch"
    file.write_text("\n".join(lines) + "\n")
    ip(*options, "-n", lab.router, "-batch", file)


def read(back_end, pools):
    with open_backend(back_end) as backend:
        return backend.dump(pools)


def near(route, pools):
    if route.dst == "default":
        return False
    return any(address.overlaps(address.parse_prefix(route.dst), pool) for pool in pools)


def random_networks(rng, count):
    """Prefixes everywhere, and many at and around the pools."""
    for _ in range(count):
        family = rng.choice((4, 6))
        packed = bytearray(rng.randbytes(4 if family == 4 else 16))
        packed[0] = rng.choice((1, 9, 10, 11, 100, 171, 172, 173, 192) if family == 4 else (0x20, 0xFC, 0xFD))
        pool = rng.choice([pool for pool in POOLS if pool.family == family])
        if rng.random() < 0.6:
            same = rng.randrange(1, 4)
            packed[:same] = pool.packed[:same]
        length = rng.randrange(1, address.bits(family) + 1)
        yield address.format_prefix(address.Prefix(family, address.masked(bytes(packed), length), length))


def test_what_is_left_out_of_the_routers_routes_has_nothing_in_common_with_a_pool(router):
    rng = random.Random(11)
    networks = sorted(set(random_networks(rng, 1500)))
    ways = ("dev lan0", "dev wan0 table 100", "dev lan0 metric 7", "nexthop dev lan0 nexthop dev wan0")  # IPv4 only
    lines = {4: [], 6: []}
    for network in networks:
        if network.startswith(("127.", "224.", "0.")):
            continue
        way = (
            "blackhole %s" % network
            if rng.random() < 0.1
            else "%s %s" % (network, rng.choice(ways[: 3 if ":" in network else 4]))
        )
        lines[6 if ":" in network else 4].append("route append " + way)
    batch(router, lines[4], "-4")
    batch(router, lines[6], "-6")
    whole = read("native", None).routes
    assert len(whole) > 500
    for pools in (POOLS, POOLS[:1], POOLS[2:], POOLS[1:2], []):
        wanted = sorted(route for route in whole if near(route, pools))
        assert not pools or 0 < len(wanted) < len(whole)
        for back_end in BACK_ENDS:
            assert sorted(read(back_end, pools).routes) == wanted


def test_a_table_of_20000_routes_becomes_no_objects(router):
    lines = ["route add 20.%d.%d.0/24 dev wan0" % (number >> 8, number & 255) for number in range(20000)]
    batch(router, [*lines, "route add 10.213.7.0/24 dev wan0"])
    parsed = []
    parse = rtnl.parse_route
    for back_end in BACK_ENDS:
        rtnl.parse_route = lambda *arguments: (parsed.append(1), parse(*arguments))[1]
        try:
            routes = read(back_end, POOLS).routes
        finally:
            rtnl.parse_route = parse
        assert [route.dst for route in routes if route.family == 4] == ["10.213.7.0/24"]
        assert len(parsed) < 50
        parsed.clear()


REMEMBER = """
import socket, time
for size in (1400, 1):
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER, IP_PMTUDISC_DO (linux/in.h)
    made.sendto(bytes(size), ("203.0.113.10", 9))
    time.sleep(0.3)
"""


def test_a_socket_that_is_strict_reads_no_route_that_is_only_remembered(router):
    """An exception, which an ICMP message makes: here a smaller MTU for one destination."""
    router.run(router.router, "ip", "link", "set", "wan0", "mtu", "1300")
    router.run(router.client, sys.executable, "-c", REMEMBER)
    with inside(router.client):
        plain, strict = Socket(compat.NETLINK_ROUTE), Socket(compat.NETLINK_ROUTE, strict=True)

    def remembered(sock):
        bodies = sock.dump(lambda seq: rtnl.route_dump(seq, 4))
        return [body for body in bodies if codec.u32_of(body[8:12]) & rtnl.RTM_F_CLONED]

    try:
        assert remembered(plain), "else this test shows nothing"
        assert not remembered(strict)
    finally:
        plain.close()
        strict.close()


# A service's namespace, where its program may be root


@pytest.fixture
def crowded(router):
    """Two services, of which `bad` has more in its namespace than anybody reads."""
    lines = ("list device lan0", "list dest_ip 203.0.113.10")
    text = service("bad", echo_command("bad", 7001), *lines, "list dest_port 7001")
    text += service("good", echo_command("good", 7000), *lines, "list dest_port 7000")
    router.configure(text)
    router.viscum("up", "--no-program")
    made = [
        *["addr add 100.64.%d.%d/32 dev eth0" % (number >> 8, number & 255) for number in range(4 * MOST_INSIDE)],
        *["route add 20.%d.%d.0/24 dev eth0" % (number >> 8, number & 255) for number in range(4 * MOST_INSIDE)],
        *["link add l%d type veth peer name p%d" % (number, number) for number in range(MOST_INSIDE)],
    ]
    (router.tmp / "batch").write_text("\n".join(made) + "\n")
    ip("-n", "viscum-bad", "-batch", router.tmp / "batch")
    yield router
    router.viscum("down", "--no-program")


@pytest.mark.parametrize("back_end", BACK_ENDS)
def test_of_a_namespace_no_more_is_read_than_anybody_needs(crowded, back_end):
    dump = read(back_end, ())
    for found in (dump.addresses, dump.routes):
        inside = [entry for entry in found if entry.ns == "viscum-bad"]
        assert MOST_INSIDE // 2 < len(inside) <= MOST_INSIDE
        assert len([entry for entry in found if entry.ns == "viscum-good"]) < 20
    for ns in ("viscum-bad", "viscum-good"):
        assert sorted(link.name for link in dump.links if link.ns == ns) == ["eth0", "lo"]
        assert [route for route in dump.routes if route.ns == ns and route.dst == "default"]


# What changes while it is read


@pytest.mark.parametrize("back_end", [netlink, pyroute2_backend], ids=BACK_ENDS)
def test_what_changed_while_it_was_read_is_never_taken_for_whole(router, monkeypatch, back_end):
    """The router has more devices than one answer holds, and others are added meanwhile."""
    monkeypatch.setattr(back_end, "RETRIES", 1)
    batch(router, ["link add many%d type veth peer name rest%d" % (number, number) for number in range(150)])
    script = "for n in $(seq 500); do ip link add x$n type bridge; done"
    with open_backend("native" if back_end is netlink else "pyroute2") as backend:
        backend.dump()
        adding = router.start(router.router, "sh", "-c", script)
        with pytest.raises(Interrupted, match="try again"):  # noqa: PT012 (sooner or later)
            while adding.poll() is None:
                backend.dump_redirects()  # that one has no time for an error
                backend.dump()
        kill(adding)
