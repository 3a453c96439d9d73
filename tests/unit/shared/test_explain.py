"""Why a packet goes where it goes, in words. That the kernel agrees is what tests/netns/test_packets.py shows."""

from golden.cases import observed, router_facts

from viscum_agent.config import service, uci
from viscum_agent.kernel import commands
from viscum_agent.plan import explain, packet, planner
from viscum_agent.plan.actual import Observed
from viscum_agent.records import with_
from viscum_agent.records.dump import Link
from viscum_agent.records.facts import EVERYTHING

OURS, PORT_MAC, OTHERS = "02:00:5e:00:53:01", "02:00:5e:00:53:03", "02:00:5e:00:53:99"
EDGE = """
config service edge
    option enabled 1
    option command /bin/x
    list device br-lan
    list dest_ip 203.0.113.10
    list dest_ip 2001:db8:cafe::10
    list dest_port 7000
"""
WIDE = """
config service wide
    option enabled 1
    option command /bin/x
    list device br-lan
    list dest_ip 203.0.113.0/24
    option proto udp
    list src_ip 192.168.1.0/25
"""
ANY = """
config service all
    option enabled 1
    option command /bin/x
    list device br-lan
    list dest_port 53
"""
TO_EDGE = "tcp from 192.168.1.2 to 203.0.113.10 port 7000"


def link(index, name, mac, kind="", kind_of_frames=1, master=0):
    return Link(
        ns="",
        index=index,
        name=name,
        up=True,
        mtu=1500,
        mac=mac,
        kind=kind,
        type=kind_of_frames,
        master=master,
        alias="",
        peer=0,
        peer_nsid=-1,
    )


LINKS = [
    link(2, "br-lan", OURS, "bridge"),
    link(3, "phy0-ap0", PORT_MAC, master=2),
    link(4, "wan", "02:00:5e:00:53:02"),
    link(5, "wg0", "", "wireguard", 65534),
    link(6, "gre1", "", "gre", 778),
]


def router(text, datapath="flower", up=True, **more):
    """A There: the usual router with these services, in its kernel as planned."""
    text = "config globals globals\n    option datapath %s\n" % datapath + text
    configuration = service.read(uci.parse(text.encode(), "viscum"))
    assert not configuration.problems, configuration.problems
    facts = with_(router_facts(""), features=EVERYTHING)
    made = planner.plan(configuration.services, configuration.settings, facts)
    planned = {part.service.name: part.service for part in made.services}
    there = explain.There(
        links=LINKS,
        observed=observed(made) if up else Observed(),
        plan=made,
        services=[planned.get(each.name, each) for each in configuration.services],  # as in explained.py
        states={},
        late=False,
        hears=lambda name: False,
        back=lambda pair, service, client: "br-lan",
    )
    return with_(there, **more)


def why(text, there):
    """(service, reasons as one text) for a packet that comes in by br-lan, if it says nothing else."""
    asked = packet.read(text)
    found = explain.explain(asked if asked.dev else with_(asked, dev="br-lan"), there)
    return found.service, "; ".join(found.reasons)


def test_the_match_and_the_rule_of_each_datapath_are_named():
    rules = {
        "u32": "tc filter dev br-lan ingress prio 1 protocol ip handle 761:a:800 u32 ht 761:a: match ip dst ",
        "flower": "tc filter dev br-lan ingress prio 1 protocol ip handle 0x1 flower classid 7673:1 ip_proto tcp ",
        "bpf": "program on br-lan: tcp 203.0.113.10/32 port 7000 to vsc-edge",
    }
    for name in rules:
        found = explain.explain(packet.read("dev br-lan " + TO_EDGE), router(EDGE, name))
        assert (found.service, found.match, found.reasons) == ("edge", "tcp 203.0.113.10/32 port 7000", [])
        assert commands.rule(found.rule).startswith(rules[name]), commands.rule(found.rule)


def test_of_direct_replies_it_is_said_where_they_go():
    lines = "    option reply direct\n    option nexthop_mac 02:00:5e:00:53:77\n    list src_ip 192.168.2.0/24\n"
    text = "tcp from 192.168.2.9 to 203.0.113.10 port 7000"
    for name in ("u32", "flower"):
        there = router(EDGE.replace("list dest_ip 2001:db8:cafe::10", "option family ipv4") + lines, name)
        found = explain.explain(packet.read("dev br-lan " + text), there)
        assert (found.rule.item.dev, found.rule.item.kind) == ("br-lan", name), "no filter of a reply"
        assert why(text, there) == ("edge", "its replies go to the next hop 02:00:5e:00:53:77, whoever asks: "
                                            "tc -s filter show dev vsc-edge ingress")  # fmt: skip
        assert why("tcp from 203.0.113.10 to 192.168.2.9 port 40000 sport 7000 dev vsc-edge", there)[0] == ""


def test_the_narrower_match_takes_it_and_the_wider_one_is_named():
    there = router(EDGE + WIDE)
    text = TO_EDGE.replace("tcp", "udp")
    assert why(text, there) == ("edge", "'wide' (udp 203.0.113.0/24 from 192.168.1.0/25): "
                                "has a wider match for it")  # fmt: skip
    assert why(text.replace("7000", "7001"), there) == ("wide", "")
    elsewhere = router(EDGE + WIDE.replace("br-lan", "wan"))
    assert why(text, elsewhere) == ("edge", "")
    assert why(TO_EDGE, there) == ("edge", "")


def test_a_wider_match_takes_it_while_the_narrower_one_is_out():
    there = router(EDGE + WIDE, states={"edge": ("bypassed", "asked for")})
    there.observed.services["edge"] = []
    assert why(TO_EDGE.replace("tcp", "udp"), there) == (
        "wide",
        "'edge' (udp 203.0.113.10/32 port 7000): its redirect is out: bypassed: asked for",
    )
    assert why(TO_EDGE, there) == (
        "",
        "'edge' (tcp 203.0.113.10/32 port 7000): its redirect is out: bypassed: asked for",
    )


def test_each_thing_that_is_in_the_way_is_named():
    udp = "udp from 192.168.1.2 to 203.0.113.10 port 7001"
    for text, configured, said in (
        (TO_EDGE + " dev wan", EDGE, "takes what comes in by br-lan, and this comes in by wan"),
        (TO_EDGE + " vlan 5", EDGE, "frames with a VLAN tag are not taken"),
        (TO_EDGE + " fragment", EDGE, "fragments are not taken"),
        ("IP6 fd00::2 > 2001:db8:cafe::10: frag (1448|99)", EDGE, "fragments are not taken"),
        ("IP (id 7, offset 1480, flags [none], proto TCP (6)) 192.168.1.2 > 203.0.113.10: tcp", EDGE, "fragments are"),
        (TO_EDGE + " vlan 5 fragment", EDGE, "another device (DEVICE.NUMBER), or need option vlan; "),
        (TO_EDGE.replace("7000", "7001"), EDGE, "'edge' takes tcp 203.0.113.10/32 port 7000 there, and not this"),
        (TO_EDGE.replace("113.10", "113.11"), EDGE, "no service has a match for its destination"),
        (TO_EDGE + " mac " + OTHERS, EDGE, "br-lan passes it on to another of its ports: it is for " + OTHERS),
        (TO_EDGE + " dev wg0", EDGE, "takes what comes in by br-lan, and this comes in by wg0"),
        (TO_EDGE + " dev gre1", EDGE, "gre1 is neither an Ethernet device nor one of plain IP packets"),
        (TO_EDGE + " dev eth7", EDGE, "there is no device eth7"),
        (udp.replace("1.2 ", "1.200 "), WIDE, "the rule takes other clients only (src_ip)"),
        ("udp from 192.168.1.2 to 239.1.2.3 port 53 mac 01:00:5e:01:02:03", ANY, "not for the MAC address that the"),
        ("udp from fe80::2 to fe80::1 port 53", ANY, "'any address' means neither multicast"),
        ("icmp6 from fd00::2 to 2001:db8:cafe::10", EDGE, "ICMP is not taken, but for errors"),
        ("wan Out IP 192.168.1.2.4 > 203.0.113.10.7000: Flags [S]", EDGE, "it leaves the router by wan"),
    ):
        for name in ("u32", "flower", "bpf"):
            service_name, reasons = why(text, router(configured, name))
            assert service_name == "" and said in reasons, (name, text, reasons)


def test_what_only_some_datapaths_take_is_said():
    behind = with_(packet.read("dev br-lan " + TO_EDGE), options=True)
    assert explain.explain(behind, router(EDGE, "bpf")).service == "edge"
    found = explain.explain(behind, router(EDGE, "u32"))
    assert (found.service, found.reasons) == (
        "",
        ["'edge' (tcp 203.0.113.10/32 port 7000): the rule finds no port behind IP options or extension headers"],
    )
    quoted = packet.read("tcp from 203.0.113.10 to 192.168.1.2 port 40000 sport 7000")
    error = with_(packet.read("dev br-lan icmp from 192.168.1.9 to 203.0.113.10"), quoted=quoted)
    assert explain.explain(error, router(EDGE, "bpf")).service == "edge"
    found = explain.explain(error, router(EDGE, "u32"))
    assert found.service == "" and "u32 and flower do not know what an ICMP error is about" in found.reasons[0]


def test_whose_client_it_is_not_is_said():
    mine, theirs = "02:00:5e:00:53:11", "02:00:5e:00:53:12"
    text = (
        EDGE + "    list src_mac %s\n    list src_mac 02:00:5e:00:53:13\n    list exclude_client 192.168.1.9\n" % mine
    )
    text += "    list exclude_dest 203.0.113.11\n"
    for datapath in ("u32", "flower", "bpf"):
        there = router(text, datapath)
        for to, source in (("203.0.113.10", "192.168.1.2"), ("2001:db8:cafe::10", "2001:db8::2")):
            words = "dev br-lan tcp from %s to %s port 7000" % (source, to)
            assert explain.explain(packet.read(words + " src_mac " + mine), there).service == "edge"
            assert "MAC addresses only (src_mac)" in why(words + " src_mac " + theirs, there)[1]
            assert "does not know: `src_mac MAC`" in why(words, there)[1]
        found = why("dev br-lan tcp from 192.168.1.9 to 203.0.113.10 port 7000 src_mac " + mine, there)
        assert "excluded (exclude_client, exclude_dest)" in found[1], found


def test_a_port_of_the_bridge_leads_to_the_bridge():
    assert why(TO_EDGE + " dev phy0-ap0", router(EDGE)) == ("edge", "")
    assert why(TO_EDGE + " dev phy0-ap0 mac " + OURS, router(EDGE)) == ("edge", "")
    text = TO_EDGE + " dev phy0-ap0 mac " + OTHERS
    said = "'edge' (tcp 203.0.113.10/32 port 7000): takes what comes in by br-lan, and this comes in by phy0-ap0 for "
    assert why(text, router(EDGE)) == ("", said + OTHERS)
    assert why(text, router(EDGE, hears=lambda name: True)) == ("edge", "")  # somebody listens there
    assert why(text, router(EDGE, "bpf", hears=lambda name: True))[0] == ""


def test_ebpf_asks_the_router_for_the_way_back():
    for by, said in (
        ("br-lan", ""),
        (None, ""),  # the router does not say
        ("wan", "elsewhere (over wan): its address may be forged"),
        ("", "elsewhere (nowhere): its address may be forged"),
        ("vsc-edge", "the source is its own address"),
    ):
        name, reasons = why(TO_EDGE, router(EDGE, "bpf", back=lambda pair, service, client, by=by: by))
        assert (name == "edge") == (said == "") and said in reasons, (by, reasons)
        assert why(TO_EDGE, router(EDGE, "flower", back=lambda pair, service, client, by=by: by))[0] == "edge"
    port = EDGE.replace("br-lan", "phy0-ap0")
    assert why(TO_EDGE + " dev phy0-ap0", router(port, "bpf"))[0] == "edge"


def test_ebpf_stops_by_itself():
    assert "its agent ended or hangs (watch_timeout)" in why(TO_EDGE, router(EDGE, "bpf", late=True))[1]
    there = router(EDGE, "bpf")
    found = there.observed.services["edge"]
    places = [place for place in range(len(found)) if type(found[place].item).__name__ == "BpfMatch"]
    for place in places:
        found[place] = with_(found[place], item=with_(found[place].item, watched=0))
    assert why(TO_EDGE, there)[0] == "edge"
    there.observed.refused.add("edge")
    assert "the program's port was found closed" in why(TO_EDGE, there)[1]
    there = router(EDGE, "bpf")
    there.observed.taking_over["edge"] = 9
    assert why(TO_EDGE, there) == ("edge", "connections that the cloud has stay there: only new ones are taken")


def test_what_is_not_in_the_kernel_is_told_from_what_is():
    states = {"edge": ("failed", "its program ended with 1")}
    assert (
        "its redirect is out: failed: its program ended with 1"
        in why(TO_EDGE, router(EDGE, up=False, states=states))[1]
    )
    off = EDGE.replace("option enabled 1", "option enabled 0")
    assert "its redirect is out: disabled" in why(TO_EDGE, router(off))[1]
    there = router(EDGE)
    there.observed.services["edge"] = [
        each for each in there.observed.services["edge"] if getattr(each.item, "protocol", "") != "ip"
    ]
    assert "the kernel's rules are not as configured" in why(TO_EDGE, there)[1]


def test_what_somebody_put_in_place_of_a_rule_is_not_taken_for_one():
    for datapath, change in (
        ("u32", {"keys": None}),
        ("flower", {"keys": (("src_port", "7"),)}),
        ("flower", {"kind": "matchall"}),
    ):
        there = router(EDGE, datapath)
        found = there.observed.services["edge"]
        for place, each in enumerate(found):
            if type(each.item).__name__ == "Filter":
                found[place] = with_(each, item=with_(each.item, **change))
        assert why(TO_EDGE, there) == (
            "",
            "'edge' (tcp 203.0.113.10/32 port 7000): " + explain.NOT_AS_PLANNED,
        )


def test_what_the_hardware_forwards_is_said():
    line = "tcp 6 src=192.168.1.2 dst=%s sport=40000 dport=7000 [HW_OFFLOAD]"
    assert why(line % "203.0.113.10", router(EDGE)) == (
        "edge",
        "the hardware forwards its connection unseen (flow offloading) until that ends",
    )
    assert "the hardware forwards its connection unseen" in why(line % "203.0.113.99", router(EDGE))[1]


# VLANs

TEN = EDGE.replace("edge", "ten").replace("option enabled 1", "option enabled 1\n    option vlan 10")
TWENTY = TEN.replace("ten", "twenty").replace("vlan 10", "vlan 20")


def test_a_packet_belongs_to_the_service_of_its_vlan():
    there = router(EDGE + TEN + TWENTY, "bpf", back=lambda pair, service, client: "wan")
    assert why(TO_EDGE + " vlan 10", there) == ("ten", "")
    assert why(TO_EDGE + " vlan 20", there) == ("twenty", "")
    found = explain.explain(packet.read("dev br-lan vlan 10 " + TO_EDGE), there)
    assert commands.rule(found.rule) == "program on br-lan: VLAN 10 tcp 203.0.113.10/32 port 7000 to vsc-ten"
    there = with_(there, back=lambda pair, service, client: "br-lan")
    assert why(TO_EDGE, there) == ("edge", "")


def test_the_vlan_that_a_packet_needs_is_named():
    there = router(TEN, "bpf")
    only = "'ten' (tcp 203.0.113.10/32 port 7000): only frames with the tag of VLAN 10 are taken (vlan)"
    for text in (TO_EDGE, TO_EDGE + " vlan 20", TO_EDGE + " vlan 0"):
        assert why(text, there) == ("", only)
    assert why(TO_EDGE.replace("192.168.1.2", "203.0.113.10") + " vlan 10", there)[1].startswith(
        "'ten' would answer itself"
    )
    late = with_(there, late=True)
    assert why(TO_EDGE + " vlan 10", late)[1].startswith("'ten' leaves it to the cloud: its agent ended")
