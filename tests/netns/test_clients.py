"""Of two clients behind one bridge only the one that is named is answered at the edge, on every datapath; and all but
the one that is left out."""

import pytest
from lab import Lab, echo_command, ip, service
from packets import mac

EDGE = echo_command("edge", 7000)
ADDRESSES = ("203.0.113.10", "2001:db8:cafe::10")
TAKES = ("list device br-lan", *["list dest_ip " + address for address in ADDRESSES], "list dest_port 7000")


@pytest.fixture
def two(tmp_path, interpreter, datapath):
    """A lab with two clients behind br-lan, and a cloud that answers them."""
    with Lab(tmp_path, interpreter, clients=2, datapath=datapath) as lab:
        lab.bridge()
        ip("-n", lab.router, "addr", "flush", "dev", "lan1")
        ip("-n", lab.router, "link", "set", "lan1", "master", "br-lan")
        settle(lab.clients[1], 3)
        lab.serve_cloud(7000)
        yield lab


def settle(ns, number):
    """Gives a client other addresses."""
    ip("-n", ns, "addr", "flush", "dev", "eth0", "scope", "global")
    ip("-n", ns, "addr", "add", "192.168.77.%d/24" % number, "dev", "eth0")
    ip("-n", ns, "addr", "add", "2001:db8:77::%d/64" % number, "dev", "eth0", "nodad")
    ip("-n", ns, "route", "replace", "default", "via", "192.168.77.1")
    ip("-n", ns, "-6", "route", "replace", "default", "via", "2001:db8:77::1")


def up(lab, *lines):
    lab.configure(service("echo", EDGE, *TAKES, *lines))
    lab.viscum("up")
    assert lab.viscum("plan").stdout == "# nothing to do\n"


def answers(lab, ns, addresses=ADDRESSES):
    """Who answers a client: one name if it is the same everywhere."""
    found = {lab.ask(proto, address, 7000, ns)[0] for address in addresses for proto in ("tcp", "udp")}
    return "+".join(sorted(found))


def test_of_two_clients_the_one_that_is_named_by_its_mac_is_at_the_edge_and_stays_with_another_address(two):
    first, second = two.clients
    up(two, "list src_mac " + mac_of(first))
    assert (answers(two, first), answers(two, second)) == ("edge", "cloud")
    settle(first, 9)
    settle(second, 2)  # the addresses that the first one had
    ip("-n", two.router, "neigh", "flush", "dev", "br-lan")
    assert (answers(two, first), answers(two, second)) == ("edge", "cloud")
    up(two, "list src_mac " + mac_of(second))
    assert (answers(two, first), answers(two, second)) == ("cloud", "edge")
    up(two, "list src_mac " + mac_of(second), "list src_mac " + mac_of(first))
    assert (answers(two, first), answers(two, second)) == ("edge", "edge")


def test_of_two_clients_the_one_that_is_left_out_is_with_the_cloud(two):
    first, second = two.clients
    up(two, "list exclude_client " + mac_of(first))
    assert (answers(two, first), answers(two, second)) == ("cloud", "edge")
    up(two, "list exclude_client 192.168.77.3", "list exclude_client 2001:db8:77::3")
    assert (answers(two, first), answers(two, second)) == ("edge", "cloud")
    up(two, "list exclude_dest 203.0.113.0/24", "list exclude_client 2001:db8:77::3")
    assert (answers(two, first, ADDRESSES[:1]), answers(two, first, ADDRESSES[1:])) == ("cloud", "edge")
    assert answers(two, second) == "cloud"
    up(two)
    assert (answers(two, first), answers(two, second)) == ("edge", "edge")


def test_two_services_have_the_same_traffic_of_different_clients(two):
    first, second = two.clients
    other = echo_command("other", 7000)
    two.configure(
        service("echo", EDGE, *TAKES, "list src_mac " + mac_of(first))
        + service("other", other, *TAKES, "list src_mac " + mac_of(second))
    )
    two.viscum("up")
    assert (answers(two, first), answers(two, second)) == ("edge", "other")


def test_a_datapath_is_changed_where_both_have_something_in_one_prio(two):
    """What takes any address but some comes in the prio that the filter with eBPF's program has."""
    but = "list exclude_client 192.168.77.3"
    if two.datapath != "bpf":
        pytest.skip("there and back, once")
    for name in ("bpf", "u32", "bpf"):
        two.datapath = name
        two.configure(service("echo", EDGE, "list device br-lan", "list dest_port 7000", but, "option family ipv4"))
        two.viscum("up")
        assert two.viscum("plan").stdout == "# nothing to do\n"
        assert [answers(two, ns, ADDRESSES[:1]) for ns in two.clients] == ["edge", "cloud"], name


def test_what_somebody_removes_of_what_is_left_out_comes_back(two):
    if not two.prio or two.datapath == "bpf":
        pytest.skip("only filters are removed by a word of tc(8)")
    first = two.client
    up(two, "list exclude_client " + mac_of(first))
    two.run(two.router, "tc", "filter", "del", "dev", "br-lan", "ingress", "prio", "1")
    assert answers(two, first, ADDRESSES[:1]) == "edge"
    two.viscum("up")
    assert answers(two, first) == "cloud"


def mac_of(ns):
    return bytes.fromhex(mac(ns, "eth0")).hex(":")
