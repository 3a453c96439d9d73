"""Which addresses of its names a service takes over (plan/byname.py), besides what golden cases show."""

from golden.cases import router_facts

from viscum_agent import address
from viscum_agent.config import service, uci
from viscum_agent.kernel import nftables
from viscum_agent.plan import byname, claims, direct, hosts, planner
from viscum_agent.plan.actual import Found
from viscum_agent.plan.datapath import ebpf
from viscum_agent.records import with_
from viscum_agent.records.facts import Host
from viscum_agent.records.objects import Address, Nat, NatRule

HEAD = "config service speed\noption enabled 1\noption command /bin/x\nlist interface lan\n"
ACTIONS = (("mirred", "vsc-speed"),)


def configured(*lines):
    found = service.read(uci.parse((HEAD + "\n".join(lines) + "\n").encode(), "viscum"))
    assert not found.problems, found.problems
    return found.services[0]


def redirects(one, packed):
    """A service's redirect, as it is in the kernel while all its names have this address."""
    prefix = address.Prefix(4, packed, 32)
    matches = [with_(each, dst=prefix) for group in one.named for each in group.matches if each.family == 4]
    return [Found(item, 0) for each in matches for item in ebpf.filters("br-lan", each, 1, "", ACTIONS)]


def taken(one, found):
    facts = with_(router_facts(""), held={"speed": byname.held(found)})
    return [(each.proto, address.format_prefix(each.dst), each.dport) for each in byname.named(one, facts)[0]]


ONE, TWO = address.parse_address("203.0.113.10"), address.parse_address("203.0.113.11")
TCP = ("list dest_host speed.example.com", "list dest_port 5201", "list proto tcp")


def test_what_an_earlier_agent_left_is_taken_as_it_was():
    one = configured(*TCP)
    assert taken(one, redirects(one, ONE)) == [("tcp", "203.0.113.10/32", (5201, 5201))]
    dns = "config redirect\noption service speed\nlist dest_host dns.example.com\nlist dest_port 53\nlist proto udp"
    assert taken(configured(*TCP, dns), redirects(one, ONE)) == [("tcp", "203.0.113.10/32", (5201, 5201))]
    assert taken(configured(*TCP, "list src_ip 192.168.1.0/24"), redirects(one, ONE)) == []
    assert taken(configured(TCP[0], "list dest_port 5202"), redirects(one, ONE)) == []


def test_a_range_of_ports_is_taken_again_where_a_part_of_it_was():
    one = configured(TCP[0], "list dest_port 5201-5210", "list proto tcp")
    assert taken(one, redirects(configured(*TCP), ONE)) == [("tcp", "203.0.113.10/32", (5201, 5210))]


def test_the_routers_own_address_is_not_taken_even_if_it_was():
    one = configured(*TCP)
    assert taken(one, redirects(one, address.parse_address("192.168.1.1"))) == []


def test_what_a_program_can_write_in_its_namespace_counts_for_nothing():
    rules = (NatRule("203.0.113.10/32", "tcp", (5201, 5201), 0), ("?", "?"))
    written = [Address("viscum-speed", "lo", "10.1.2.3/8"), Nat("viscum-speed", rules)]
    assert byname.held([Found(item, 0) for item in written]) == []


def test_the_matches_of_a_service_are_bounded_with_those_of_its_addresses():
    """Whoever owns a name must not make the service's rules too many for the kernel."""
    written = ["list dest_ip 198.51.100.%d" % number for number in range(100)]
    names = ["list dest_host host%d.example.com" % number for number in range(20)]
    one = configured(*(written + names + ["list dest_port 5201", "list proto tcp"]))
    addresses = [(bytes([203, 0, 113, number]),) for number in range(20)]
    many = {"host%d.example.com" % number: Host(addresses[number], "") for number in range(20)}
    many["host0.example.com"] = Host(tuple([bytes([203, 0, 114, number]) for number in range(hosts.MOST)]), "")
    found, why = byname.named(one, with_(router_facts(""), hosts=many))
    assert len(found) + len(one.matches) == hosts.MOST
    assert why["host19.example.com"] == "comes after %d others" % hosts.MOST


def test_the_most_rules_of_addresses_are_sent_at_once():
    rules = [NatRule("2001:db8::%x/128" % number, "udp", (5000, 5010), 8080) for number in range(1, hosts.MOST + 1)]
    assert len(nftables.nat_batch(rules, 1)) < 160 * 1024 - 32  # as in netlink_sendmsg of net/netlink/af_netlink.c


def test_that_a_name_was_not_asked_yet_is_no_lasting_problem():
    one = configured(*TCP)
    settings = service.read(uci.parse(b"", "viscum")).settings
    unknown = planner.plan([one], settings, router_facts(""))
    assert len(unknown.problems) == 1 and hosts.lasting(unknown.problems) == []
    gone = with_(router_facts(""), hosts={"speed.example.com": Host((), "no such name")})
    assert len(hosts.lasting(planner.plan([one], settings, gone).problems)) == 1


def test_an_address_whose_replies_could_go_round_is_left_out():
    dns = "config redirect\noption service speed\nlist dest_ip 192.168.7.7\nlist dest_port 53\nlist proto udp\n%s"
    for src, left in (("list src_ip 203.0.113.0/24", ["203.0.113.10/32"]), ("list src_ip 198.51.100.0/24", [])):
        one = configured("list dest_host speed.example.com", "list dest_port 53", "list src_ip 10.9.0.0/16", dns % src)
        found = byname.named(one, with_(router_facts(""), hosts={"speed.example.com": Host((ONE,), "")}))[0]
        kept, gone = direct.apart(one, found)
        assert [each.proto for each in kept] == ["tcp"] + ["udp"] * (not left)
        assert [address.format_prefix(each[0].dst) for each in gone] == left
    one = configured("list dest_host speed.example.com", "list dest_port 53", "list src_ip 192.168.7.0/24", dns % src)
    found = byname.named(one, with_(router_facts(""), hosts={"speed.example.com": Host((ONE,), "")}))[0]
    assert [each[0].proto for each in direct.apart(one, found)[1]] == ["udp"]


def test_what_is_configured_is_said_of_a_bounded_number():
    names = ["list dest_host host%d.example.com" % number for number in range(1000)]
    one = configured(*(names + ["list dest_port %d" % port for port in range(1, 100)]))
    assert len(claims.configured(one)) == hosts.MOST


def test_what_clients_were_told_is_taken_behind_what_the_resolver_says_and_nothing_of_the_router():
    one = configured(
        "list dest_host speed.example.com", "list dest_host *.example.net", "list dest_port 80", "option snoop 1"
    )
    router = address.parse_address("192.0.2.2")
    told = {
        "speed.example.com": Host((ONE,), ""),
        ("speed", "speed.example.com"): Host((router, ONE), ""),
        "*.example.net": Host((), "no client has asked for such a name"),
        ("speed", "*.example.net"): Host((TWO,), ""),
        ("other", "*.example.net"): Host((bytes([203, 0, 113, 99]),), ""),
    }
    facts = with_(router_facts(""), hosts=told, addresses=["192.0.2.2"])
    found, why = byname.named(one, facts)
    assert [(each.dst.packed, each.host) for each in found if each.proto == "tcp"] == [
        (ONE, "speed.example.com"),
        (TWO, "*.example.net by snooping"),
    ]
    assert why == {}
    told["speed", "*.example.net"] = Host((router,), "")
    assert byname.named(one, facts)[1] == {"*.example.net": "no client has asked for such a name"}


def planned(one, addresses, before=None, found=()):
    hosts_there = {"speed.example.com": Host(tuple(addresses), "")}
    facts = with_(router_facts('{"features":{"bpf":true,"tcx":true}}'), hosts=hosts_there)
    settings = service.read(uci.parse(HEAD.encode(), "viscum")).settings
    (part,) = planner.plan([one], settings, facts, "viscum", lambda name: (before, found)).services
    return part


def copied(part):
    return [Found(with_(item), 0) for item in part.items]


def test_a_plan_is_made_of_what_is_there_as_far_as_that_is_equal():
    one = configured(*TCP)
    first = planned(one, (ONE, TWO))
    found = copied(first)
    second = planned(one, (ONE, TWO), first, found)
    assert second.service is first.service and second.answers is first.answers and second.takes is first.takes
    there = [id(each.item) for each in found]
    assert [type(item).__name__ for item in second.items if id(item) not in there] == ["Guard"]
    third = planned(one, (TWO,), first, found)
    assert [each is first.takes[1] for each in third.takes] == [True], (
        "another answer for a name, and one address stays"
    )
    assert third.answers == planned(one, (TWO,)).answers


def test_a_plan_for_other_settings_has_nothing_of_the_last_one_but_equal_matches():
    first = planned(configured(*TCP), (ONE, TWO))
    later = planned(configured(*TCP, "list env A=1"), (ONE, TWO), first, copied(first))
    assert later.service is not first.service and later.service.program.env == ("A=1",)
    assert later.takes[0] is first.takes[0]
