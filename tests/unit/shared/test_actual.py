"""From a dump to what is ours and what is somebody else's: every mark, and every way in which one can be missing."""

from viscum_agent.kernel.bpf_pins import home_end
from viscum_agent.plan.actual import Found, facts, observe
from viscum_agent.plan.answers import Open
from viscum_agent.records import with_
from viscum_agent.records.dump import (
    NOTHING,
    Addr,
    Dump,
    FilterEntry,
    Link,
    QdiscEntry,
    RouteEntry,
    RuleEntry,
)
from viscum_agent.records.facts import EVERYTHING, Listener
from viscum_agent.records.objects import (
    CLASSID,
    MARK_PRIO,
    MARK_PROTOCOL,
    Address,
    Filter,
    Guard,
    HashTable,
    Mute,
    Namespace,
    Nat,
    Pair,
    PktType,
    Qdisc,
    Route,
    Rule,
    Sysctl,
    Tbf,
    Up,
)

ETHER, LOOPBACK, NONE = 1, 772, 65534  # linux/if_arp.h
IP, IPV6 = 0x0800, 0x86DD
UNICAST, LOCAL, UNREACHABLE, MAIN = 1, 2, 7, 254


def link(ns, index, name, **more):
    """A Link as the kernel gives it, up and of Ethernet."""
    get = more.get
    kind, master, arphrd = get("kind", ""), get("master", 0), get("type", ETHER)
    return Link(
        ns,
        index,
        name,
        get("up", True),
        get("mtu", 1500),
        get("mac", "02:00:00:00:00:%02x" % index),
        kind,
        arphrd,
        master,
        get("alias", ""),
        get("peer", 0),
        get("peer_nsid", -1),
    )


def filter_entry(**more):
    values = {"index": 3, "prio": 1, "protocol": IP, "kind": "u32", "handle": 0x7610A800, "classid": CLASSID}
    values.update({"divisor": 0, "link": 0, "keys": (), "actions": (("mirred", 10),), "counters": NOTHING})
    values.update(more)
    order = (
        "index",
        "prio",
        "protocol",
        "kind",
        "handle",
        "classid",
        "divisor",
        "link",
        "keys",
        "actions",
        "counters",
    )
    return FilterEntry(*[values[name] for name in order])


def running():
    """A router on which service "a" runs."""
    dump = Dump()
    dump.namespaces = ["viscum-a"]
    dump.links = [
        link("", 1, "lo", type=LOOPBACK),
        link("", 2, "br-lan", kind="bridge"),
        link("", 3, "lan1", master=2),
        link("", 4, "wg0", type=NONE, kind="wireguard", mac="", mtu=1420),
        link("", 10, "vsc-a", kind="veth", alias="viscum a"),
        link("viscum-a", 1, "lo", type=LOOPBACK, alias="viscum a"),
        link("viscum-a", 2, "eth0", kind="veth"),
    ]
    dump.addresses = [
        Addr("", 1, "127.0.0.1/8"),
        Addr("", 2, "192.168.1.1/24"),
        Addr("", 2, "fe80::1/64"),
        Addr("", 10, "10.213.0.1/30"),
        Addr("viscum-a", 1, "127.0.0.1/8"),
        Addr("viscum-a", 1, "203.0.113.10/32"),
        Addr("viscum-a", 2, "10.213.0.2/30"),
    ]
    dump.routes = [
        RouteEntry("", 4, "default", "198.51.100.1", 4, "", MAIN, UNICAST),
        RouteEntry("", 4, "192.168.1.0/24", "", 2, "192.168.1.1", MAIN, UNICAST),
        RouteEntry("", 4, "10.213.0.0/30", "", 10, "10.213.0.1", MAIN, UNICAST),
        RouteEntry("viscum-a", 4, "default", "10.213.0.1", 2, "", MAIN, UNICAST),
        RouteEntry("viscum-a", 4, "10.213.0.0/30", "", 2, "10.213.0.2", MAIN, UNICAST),
    ]
    dump.qdiscs = [QdiscEntry(3, "clsact")]
    dump.filters = [
        filter_entry(prio=MARK_PRIO, protocol=MARK_PROTOCOL, handle=0x80200800, actions=()),
        filter_entry(handle=0x80000000, classid=0, divisor=1, actions=()),
        filter_entry(handle=0x76100000, classid=0, divisor=256, actions=()),
        filter_entry(handle=0x80000800, classid=0, link=0x76100000, actions=()),
        filter_entry(counters=with_(NOTHING, packets=5, bytes=500, overlimits=1)),
    ]
    dump.sysctls = {
        ("", "net/ipv4/conf/all/rp_filter"): "2",
        ("", "net/ipv6/conf/all/forwarding"): "1",
        ("", "net/ipv4/conf/vsc-a/rp_filter"): "0",
        ("viscum-a", "net/ipv4/ip_forward"): "0",
    }
    dump.nats = {"viscum-a": None}
    dump.pkttypes = {"viscum-a": False}
    return dump


LINK = ("ns", "index", "name", "up", "mtu", "mac", "kind", "type", "master", "alias", "peer", "peer_nsid")


def replace(links, place, **values):
    """Changes a link of a dump."""
    links[place] = Link(*[values.get(name, links[place][at]) for at, name in enumerate(LINK)])


FILTER = Filter("lan1", 1, "ip", "u32", 10, (), (("mirred", "vsc-a"),))


def items(observed, name="a"):
    return [found.item for found in observed.of(name)]


def veth(dump):
    return [item for item in items(observe(dump)) if type(item).__name__ == "Pair"][0]


def test_a_pair_is_found_with_its_kind():
    for kind in ("veth", "netkit"):
        dump = running()
        for place in (4, 6):
            replace(dump.links, place, kind=kind)
        assert veth(dump).kind == kind
    replace(dump.links, 4, kind="dummy")
    assert not [item for item in items(observe(dump)) if type(item).__name__ == "Pair"]


def test_the_link_of_a_netkit_pair_is_that_of_the_end_in_the_router():
    """The kernel says the index that the other end has in its own namespace: another device has it here."""
    dump = running()
    replace(dump.links, 4, kind="netkit", peer=2)
    assert home_end(dump, "vsc-a", 2) == 10
    for name, inner in (("vsc-a", 3), ("vsc-a", 0), ("br-lan", 2), ("vsc-b", 2)):
        assert home_end(dump, name, inner) == 0
    replace(dump.links, 4, kind="veth")
    assert home_end(dump, "vsc-a", 2) == 0


def test_all_of_a_running_service_is_found():
    observed = observe(running())
    assert set(items(observed)) == {
        Namespace("viscum-a"),
        Up("viscum-a", "lo"),
        Pair("vsc-a", "viscum-a", "eth0", 1500, "02:00:00:00:00:0a", "02:00:00:00:00:02", "viscum a", "veth"),
        Guard("vsc-a", "", None),
        Address("", "vsc-a", "10.213.0.1/30"),
        Address("viscum-a", "lo", "203.0.113.10/32"),
        Address("viscum-a", "eth0", "10.213.0.2/30"),
        Route("viscum-a", 4, "default", "10.213.0.1", "eth0", ""),
        Sysctl("", "net/ipv4/conf/vsc-a/rp_filter", "0"),
        Sysctl("viscum-a", "net/ipv4/ip_forward", "0"),
        FILTER,
    }
    assert observed.counters == {"a": with_(NOTHING, packets=5, bytes=500, overlimits=1)}
    assert observed.shared == [Found(HashTable("lan1", 1, "ip"), 0x80000800), Found(Qdisc("lan1"), 0)]
    assert observed.hooks == {"lan1": "clsact"}
    assert (observed.strangers, observed.foreign_prios, observed.orphans) == (set(), set(), [])


def test_a_device_without_our_alias_is_not_ours_whatever_its_name():
    dump = running()
    replace(dump.links, 4, alias="")
    assert "vsc-a" in facts(dump, EVERYTHING, {}).taken
    assert [type(item).__name__ for item in items(observe(dump)) if item[0] == "vsc-a"] == []


def test_a_device_with_our_alias_and_another_name_is_not_ours():
    dump = running()
    replace(dump.links, 4, name="mine0")
    assert not [item for item in items(observe(dump)) if type(item).__name__ == "Pair"]


def test_a_namespace_without_the_alias_on_its_loopback_is_not_ours():
    dump = running()
    replace(dump.links, 5, alias="")
    observed = observe(dump)
    assert not [item for item in items(observed) if type(item).__name__ in ("Namespace", "Up", "Nat")]
    assert facts(dump, EVERYTHING, {}).taken == ["viscum-a"]
    assert veth(dump).ns == "", "and so the pair does not lead where it should"


def test_a_namespace_that_our_pair_leads_to_is_ours_whatever_its_program_did_to_the_mark():
    dump = running()
    replace(dump.links, 5, alias="viscum b")
    replace(dump.links, 4, peer=2)
    replace(dump.links, 6, peer=10)
    kinds = [type(item).__name__ for item in items(observe(dump))]
    assert "Namespace" in kinds and "Up" not in kinds, "the mark has to be put back"
    assert facts(dump, EVERYTHING, {}).taken == []
    replace(dump.links, 6, peer=11)
    assert "Namespace" not in [type(item).__name__ for item in items(observe(dump))], "another pair's end"


def test_addresses_of_a_device_that_was_not_read_are_nobodys():
    """Of a namespace with very many devices not all are."""
    dump = running()
    before = items(observe(dump))
    dump.addresses.append(Addr("viscum-a", 77, "10.1.1.1/32"))
    dump.routes.append(RouteEntry("viscum-a", 4, "10.2.0.0/24", "10.1.1.2", 77, "", MAIN, UNICAST))
    assert items(observe(dump)) == before


def test_a_namespace_with_another_ones_alias_is_not_ours():
    dump = running()
    replace(dump.links, 5, alias="viscum b")
    assert "viscum-a" in facts(dump, EVERYTHING, {}).taken


def test_an_end_that_is_down_differs_from_what_was_asked():
    for place in (4, 6):
        dump = running()
        replace(dump.links, place, up=False)
        assert veth(dump).mac == ""


def test_ends_with_two_mtus_differ_from_what_was_asked():
    dump = running()
    replace(dump.links, 6, mtu=1400)
    assert veth(dump).mtu == 0


def test_a_loopback_that_is_down_is_not_up():
    dump = running()
    replace(dump.links, 5, up=False)
    assert Up("viscum-a", "lo") not in items(observe(dump))


def test_nft_tables_of_the_namespace():
    dump = running()
    dump.nats["viscum-a"], dump.pkttypes["viscum-a"] = (), True
    dump.mutes["viscum-a"] = "7000"
    assert {Nat("viscum-a", ()), PktType("viscum-a", "eth0"), Mute("viscum-a", "7000")} <= set(items(observe(dump)))
    dump.pkttypes["viscum-a"] = ("what we never write",)
    assert PktType("viscum-a", "") in items(observe(dump))


def test_what_limits_a_service_is_its_own():
    dump = running()
    dump.tbfs = {"viscum-a": (2500000, 125000), "viscum-b": (1, 1)}
    assert [one for one in items(observe(dump)) if isinstance(one, Tbf)] == [Tbf("viscum-a", "eth0", 2500000, 125000)]


def test_a_rule_for_our_device_is_ours():
    dump = running()
    dump.rules = [RuleEntry("", 4, 100, "vsc-a", 7), RuleEntry("", 4, 0, "", 255), RuleEntry("", 4, 9, "lan1", 7)]
    assert [item for item in items(observe(dump)) if type(item).__name__ == "Rule"] == [Rule("", 4, 100, "vsc-a", 7)]


def test_what_guards_a_pair_is_known_by_its_mark_and_without_the_pair_it_is_an_orphan():
    dump = running()
    dump.guards = {"vsc-a": ("12345678/3", 5), "vsc-gone": ("?", 0), "vsc-others": (None, 0)}
    observed = observe(dump)
    assert Guard("vsc-a", "12345678/3", None) in items(observed)
    assert observed.orphans == [Found(Guard("vsc-gone", "?", None), 0)]
    assert observed.dropped == {"a": 5}
    assert facts(dump, EVERYTHING, {}).taken == ["inet vsc-others"]


def test_a_filter_of_ours_that_leads_nowhere_is_an_orphan():
    dump = running()
    dump.filters[-1] = filter_entry(actions=(("mirred", 99),))
    orphan = Filter("lan1", 1, "ip", "u32", 10, (), (("mirred", ""),))
    assert observe(dump).orphans == [Found(orphan, 0x7610A800)]


def test_a_filter_in_our_prios_without_our_classid_is_a_strangers():
    dump = running()
    dump.filters.append(filter_entry(classid=0x10001))
    observed = observe(dump)
    assert observed.strangers == {"lan1"} and observed.foreign_prios == {("lan1", 1)}
    assert items(observed).count(FILTER) == 1


def test_a_filter_with_our_classid_in_another_prio_is_a_strangers():
    dump = running()
    dump.filters.append(filter_entry(prio=10))
    assert observe(dump).foreign_prios == {("lan1", 10)}


def test_a_qdisc_without_our_mark_is_not_ours():
    dump = running()
    del dump.filters[0]
    observed = observe(dump)
    assert Qdisc("lan1") not in [found.item for found in observed.shared] and observed.hooks == {"lan1": "clsact"}


def test_filters_at_the_egress_hook_make_a_device_shared():
    dump = running()
    dump.egress = [3]
    assert observe(dump).strangers == {"lan1"}


def test_a_table_without_its_link_does_not_count():
    dump = running()
    del dump.filters[3]
    assert [found.item for found in observe(dump).shared] == [Qdisc("lan1")]


def test_a_flower_filter_has_no_bucket():
    dump = running()
    dump.filters.append(filter_entry(kind="flower", handle=1, protocol=IPV6, prio=2, keys=(("ip_proto", "tcp"),)))
    assert Filter("lan1", 2, "ipv6", "flower", -1, (("ip_proto", "tcp"),), (("mirred", "vsc-a"),)) in items(
        observe(dump)
    )


# Facts


def test_devices_are_everybodys_but_ours():
    found = {device.name: device for device in facts(running(), EVERYTHING, {}).devices}
    assert sorted(found) == ["br-lan", "lan1", "lo", "wg0"]
    assert found["lan1"].takes_mac == found["br-lan"].mac
    assert (found["lan1"].bridged, found["br-lan"].bridged) == ("br-lan", "")
    assert found["wg0"].ethernet is False and found["br-lan"].ethernet is True


def test_a_device_is_bare_if_its_packets_are_known_to_begin_with_the_ip_header():
    dump = running()
    dump.links += [
        link("", 20, "pppoe-wan", type=512, kind="ppp", mac=""),
        link("", 21, "tun0", type=NONE, kind="tun", mac=""),
        link("", 22, "wwan0", type=NONE, mac=""),
        link("", 23, "rmnet_data0", type=519, kind="rmnet", mac=""),
        link("", 24, "ipsec0", type=NONE, kind="xfrm", mac=""),
        link("", 25, "can0", type=280, mac=""),
        link("", 26, "qmimux0", type=NONE, mac=""),
        link("", 27, "rmnet0", type=519, mac=""),
    ]
    found = {device.name: device for device in facts(dump, EVERYTHING, {}).devices}
    assert sorted(name for name in found if found[name].bare) == ["pppoe-wan", "rmnet_data0", "tun0", "wg0", "wwan0"]
    assert not any(found[name].ethernet for name in found if found[name].bare)
    assert found["tun0"].families == (4, 6), "replies need a route, and no neighbour"


def test_networks_are_everybodys_but_ours_and_no_default_route():
    found = facts(running(), EVERYTHING, {})
    assert found.networks == [
        ("192.168.1.0/24", "address 192.168.1.1/24 of br-lan"),
        ("192.168.1.0/24", "route 192.168.1.0/24 dev br-lan"),
    ]
    assert found.addresses == ["192.168.1.1"]
    assert found.subnets == {"a": ["10.213.0.1/30"]}


def test_a_default_route_in_pieces_is_no_network():
    """As OpenVPN (redirect-gateway def1) and WireGuard write it: else no pool were free while a VPN is up."""
    pieces = ("0.0.0.0/1", "128.0.0.0/1", "0.0.0.0/2", "::/1", "8000::/1", "2000::/3", "fe80::/64", "ff00::/8", "::/0")
    dump = running()
    before = facts(dump, EVERYTHING, {}).networks
    dump.routes += [RouteEntry("", 6 if ":" in text else 4, text, "", 4, "", MAIN, UNICAST) for text in pieces]
    assert facts(dump, EVERYTHING, {}).networks == before
    dump.routes += [RouteEntry("", 4, "10.0.0.0/8", "", 4, "", MAIN, UNICAST)]
    assert ("10.0.0.0/8", "route 10.0.0.0/8 dev wg0") in facts(dump, EVERYTHING, {}).networks


def test_routes_that_lead_nowhere_are_no_networks():
    dump = running()
    before = facts(dump, EVERYTHING, {}).networks
    dump.routes.append(RouteEntry("", 6, "fd00::/8", "", 0, "", MAIN, UNREACHABLE))
    dump.routes.append(RouteEntry("", 4, "10.99.0.1/32", "", 2, "", 255, LOCAL))
    assert facts(dump, EVERYTHING, {}).networks == before


def test_sysctls_of_the_router():
    dump = running()
    found = facts(dump, EVERYTHING, {})
    assert (found.rp_filter, found.ipv6, found.ipv6_forwarding) == (2, True, True)
    dump.sysctls = {}
    found = facts(dump, EVERYTHING, {})
    assert (found.rp_filter, found.ipv6, found.ipv6_forwarding) == (0, False, False)


def test_a_device_serves_the_families_in_which_the_router_has_an_address_there():
    """On the port of a bridge it is the bridge's; while it is down nobody knows."""
    dump = running()
    found = {device.name: device.families for device in facts(dump, EVERYTHING, {}).devices}
    assert (found["br-lan"], found["lan1"]) == ((4,), (4,)), "link-local is no way back"
    dump.addresses.append(Addr("", 2, "2001:db8::1/64"))
    replace(dump.links, 3, up=False)
    found = {device.name: device.families for device in facts(dump, EVERYTHING, {}).devices}
    assert (found["br-lan"], found["lan1"]) == ((4, 6), (4, 6))


def test_what_is_open_in_a_namespace_is_known_where_nobody_knows_better():
    dump = running()
    one = Listener("tcp", 4, b"", 80, 0)
    dump.listeners = {"viscum-a": [one], "viscum-b": [one]}
    assert facts(dump, EVERYTHING, {}).opened == {"a": Open(listeners=[one], awake=None, mute={})}
    better = Open(listeners=[], awake=set(), mute={})
    assert facts(dump, EVERYTHING, {}, {"a": better}).opened == {"a": better}
    assert facts(dump, EVERYTHING, {}, {"a": None}).opened == {}
    dump.listeners = {"viscum-a": []}
    assert facts(dump, EVERYTHING, {}).opened == {}, "the program is about to open something, or there is none"
