"""Whose packets a service takes, and what it leaves: what the golden cases do not show well."""

from golden.cases import router_facts

from viscum_agent import address
from viscum_agent.config import service, uci
from viscum_agent.plan import clients, planner
from viscum_agent.plan.claims import match_text
from viscum_agent.records import with_
from viscum_agent.records.facts import EVERYTHING

ONE, TWO = "02:00:5e:00:53:11", "02:00:5e:00:53:12"
SECTION = """
config service %s
    option enabled 1
    option command /bin/x
    list device br-lan
    option proto tcp
    list dest_port 80
"""
ONE_ADDRESS = ("list dest_ip 203.0.113.10", "list dest_ip 2001:db8::10")


def read(*services):
    """A Configuration; each of the services is (name, further lines)."""
    text = ""
    for each in services:
        lines = each[1:] if any("dest_ip" in line for line in each[1:]) else ONE_ADDRESS + each[1:]
        text += SECTION % each[0] + "".join(["    %s\n" % line for line in lines])
    return service.read(uci.parse(text.encode(), "viscum"))


def planned(*services):
    found = read(*services)
    assert not found.problems, found.problems
    return planner.plan(found.services, found.settings, with_(router_facts(""), features=EVERYTHING))


def texts(*lines):
    """What a service with these lines takes."""
    return [match_text(match) for match in planned(("a",) + lines).services[0].service.matches]


def prefix(text):
    return address.parse_prefix(text)


def test_without_an_option_everybody_is_a_client():
    found = read(("a",)).services[0]
    assert (found.clients, found.exclude_clients, found.exclude_dests) == (None, (), ())


def test_an_alternative_is_a_mac_address_in_small_letters_or_a_prefix():
    found = read(
        ("a", "list src_mac 02:00:5E:00:53:11", "list exclude_client 192.168.1.7", "list exclude_client " + TWO)
    )
    assert found.services[0].clients == (ONE,)
    assert found.services[0].exclude_clients == (prefix("192.168.1.7/32"), TWO)
    colons = read(("a", "list exclude_client 20aa::bb:cc:dd:ee"))  # as long as a MAC address, with as many colons
    assert colons.services[0].exclude_clients == (prefix("20aa::bb:cc:dd:ee"),)


def test_each_client_has_a_match_of_its_own():
    assert texts("list src_mac " + ONE, "list src_mac " + TWO) == [
        "tcp 203.0.113.10/32 port 80 from " + ONE,
        "tcp 203.0.113.10/32 port 80 from " + TWO,
        "tcp 2001:db8::10/128 port 80 from " + ONE,
        "tcp 2001:db8::10/128 port 80 from " + TWO,
    ]


def test_clients_by_mac_and_by_prefix_are_alternatives_and_src_ip_counts_as_well():
    found = with_(
        read(("a", "list src_ip 192.168.1.0/24")).services[0],
        clients=(ONE, prefix("192.168.1.64/26"), prefix("192.168.0.0/16"), prefix("10.0.0.0/8"), prefix("fd00::/8")),
    )
    assert [match_text(match) for match in clients.of_clients(found, "viscum").matches] == [
        "tcp 203.0.113.10/32 port 80 from 192.168.1.0/24 from " + ONE,
        "tcp 203.0.113.10/32 port 80 from 192.168.1.64/26",
        "tcp 203.0.113.10/32 port 80 from 192.168.1.0/24",
    ]


def skipped(given):
    found = planner.plan([given], read().settings, with_(router_facts(""), features=EVERYTHING))
    assert found.skipped == ["a"]
    return found.problems[0].message


def test_a_service_without_a_client_takes_nothing_and_says_so():
    given = read(("a",)).services[0]
    for nobody in ((), (prefix("10.0.0.0/8"),)):
        given = with_(given, clients=nobody, matches=given.matches[1:])
        assert skipped(given).startswith("takes nobody's packets")


def test_a_device_without_mac_addresses_is_refused_where_clients_have_to_have_one():
    facts = with_(router_facts(""), features=EVERYTHING)
    devices = [with_(each, ethernet=False, bare=True) if each.name == "br-lan" else each for each in facts.devices]
    for line in ("list src_mac " + ONE, "list exclude_client " + ONE):
        found = planner.plan(read(("a", line)).services, read().settings, with_(facts, devices=devices))
        assert [each.where for each in found.problems] == ["viscum.a"], "whatever option says so"
        assert "packets of br-lan have no MAC address: name clients there by address" in found.problems[0].message
    assert not planner.plan(
        read(("a", "list exclude_client 192.168.1.7")).services, read().settings, with_(facts, devices=devices)
    ).problems


def test_a_mac_address_of_many_and_everybody_are_no_clients():
    for line in ("list src_mac 01:00:5e:00:00:01", "list exclude_client 0.0.0.0/0", "list exclude_dest ::/0"):
        assert [each.where.split(".")[2] for each in read(("a", line)).problems] == [line.split(" ")[1]]


def test_there_is_a_limit_to_clients_and_to_what_is_left_out():
    many = tuple(["02:00:5e:00:%02x:%02x" % (number >> 8, number & 255) for number in range(129)])
    given = read(("a",)).services[0]
    assert "make 258 entries" in skipped(with_(given, clients=many))
    assert "makes 258 entries" in skipped(with_(given, exclude_clients=many))
    assert len(planner.plan([with_(given, clients=many[:128])], read().settings, router_facts("")).services) == 1


def test_what_is_excluded_whole_is_no_match_and_stays_with_the_cloud():
    part = planned(("a", "list exclude_dest 203.0.113.0/24")).services[0]
    assert [match_text(match) for match in part.service.matches] == ["tcp 2001:db8::10/128 port 80"]
    assert part.stays == [("tcp 203.0.113.10/32 port 80", clients.EXCLUDED)]
    assert "leaves nothing to take" in skipped(
        read(("a", "list exclude_dest 203.0.113.0/24", "option family ipv4")).services[0]
    )


def test_services_with_other_clients_have_the_same_traffic_side_by_side():
    assert not planned(("a", "list src_mac " + ONE), ("b", "list src_mac " + TWO)).skipped
    assert not planned(("a", "list src_ip 192.168.1.0/25"), ("b", "list src_ip 192.168.1.128/25")).skipped


def test_services_that_may_have_a_client_in_common_are_told():
    for first, second in (
        ("list src_mac " + ONE, "list src_mac " + ONE),
        ("list src_mac " + ONE, "option family ipv4"),
        ("list src_mac " + ONE, "list src_ip 192.168.1.0/24"),
        ("list src_mac " + ONE, "list exclude_client " + ONE),
    ):
        found = planned(("a", first), ("b", second))
        assert (
            found.skipped == ["b"] and "takes the same traffic on br-lan as service 'a'" in found.problems[-1].message
        )


def test_what_a_service_leaves_out_costs_it_the_place_before_the_next_wider_matches():
    """They would have one prio in the kernel, which keeps no order there."""
    wide, but = ("b", "list dest_ip 203.0.113.0/24"), "list exclude_client " + ONE
    assert not planned(("a",), wide).skipped
    assert planned(("a", but), wide).skipped == ["b"]
    assert not planned(("a",), wide + (but,)).skipped
    assert not planned(("a", but), ("b", "list dest_ip 198.51.100.0/24")).skipped
