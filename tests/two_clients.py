"""Two clients of one bridge, of which a service takes one: for tests/netns and tests/vm, with the datapaths of each."""

from lab import echo_command, ip, mac, service

EDGE = echo_command("edge", 7000)
ADDRESSES = ("203.0.113.10", "2001:db8:cafe::10")
TAKES = ("list device br-lan", *["list dest_ip " + address for address in ADDRESSES], "list dest_port 7000")


def behind_a_bridge(lab):
    """Both clients behind br-lan, and a cloud that answers them."""
    lab.bridge()
    ip("-n", lab.router, "addr", "flush", "dev", "lan1")
    ip("-n", lab.router, "link", "set", "lan1", "master", "br-lan")
    settle(lab.clients[1], 3)
    lab.serve_cloud(7000)


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


def named_by_mac(lab):
    """The one that is named is at the edge, with whatever address."""
    first, second = lab.clients
    up(lab, "list src_mac " + mac(first))
    assert (answers(lab, first), answers(lab, second)) == ("edge", "cloud")
    settle(first, 9)
    settle(second, 2)  # the addresses that the first one had
    ip("-n", lab.router, "neigh", "flush", "dev", "br-lan")
    assert (answers(lab, first), answers(lab, second)) == ("edge", "cloud")
    up(lab, "list src_mac " + mac(second))
    assert (answers(lab, first), answers(lab, second)) == ("cloud", "edge")
    up(lab, "list src_mac " + mac(second), "list src_mac " + mac(first))
    assert (answers(lab, first), answers(lab, second)) == ("edge", "edge")


def left_out(lab):
    """All but the one that is named, by MAC, address, or where it goes."""
    first, second = lab.clients
    up(lab, "list exclude_client " + mac(first))
    assert (answers(lab, first), answers(lab, second)) == ("cloud", "edge")
    up(lab, "list exclude_client 192.168.77.3", "list exclude_client 2001:db8:77::3")
    assert (answers(lab, first), answers(lab, second)) == ("edge", "cloud")
    up(lab, "list exclude_dest 203.0.113.0/24", "list exclude_client 2001:db8:77::3")
    assert (answers(lab, first, ADDRESSES[:1]), answers(lab, first, ADDRESSES[1:])) == ("cloud", "edge")
    assert answers(lab, second) == "cloud"
    up(lab)
    assert (answers(lab, first), answers(lab, second)) == ("edge", "edge")
