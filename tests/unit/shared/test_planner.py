"""What the golden cases do not show well: the search for names and subnets."""

from golden.cases import router_facts

from viscum_agent import address
from viscum_agent.config import service, uci
from viscum_agent.config.service import Match
from viscum_agent.plan import claims, planner, sources
from viscum_agent.plan.skip import Skip
from viscum_agent.plan.subnets import Subnets
from viscum_agent.records import with_
from viscum_agent.records.objects import device_name, name_hash


def test_a_pattern_matches_the_whole_name():
    yes = (
        ("br-lan", "br-lan"),
        ("phy0-ap0", "phy*-ap*"),
        ("eth0", "eth?"),
        ("a", "*"),
        ("", "*"),
        ("ab", "a*b*"),
        ("a*b", "a*b"),
    )
    no = (
        ("br-lan2", "br-lan"),
        ("br-la", "br-lan"),
        ("eth10", "eth?"),
        ("eth", "eth?"),
        ("", "?"),
        ("ba", "a*b"),
        ("a", ""),
    )
    for name, pattern in yes:
        assert sources.matches_glob(name, pattern), (name, pattern)
    for name, pattern in no:
        assert not sources.matches_glob(name, pattern), (name, pattern)


def test_brackets_are_no_class():
    assert sources.matches_glob("[a]", "[a]") and not sources.matches_glob("a", "[a]")


def test_many_stars_take_no_time():
    """A pattern that is tried in every way takes minutes here."""
    assert not sources.matches_glob("a" * 15, "*" * 14 + "b")


def test_two_long_names_that_are_shortened_to_one_are_told_apart():
    """The hash in the name of a device has 16 bits: two of some hundred services may have the same."""
    assert device_name("camera_10919") == device_name("camera_11376")
    text = "".join(
        "config service %s\noption enabled 1\noption command /bin/x\nlist interface lan\nlist dest_port %d\n"
        % (name, port)
        for name, port in (("camera_10919", 1), ("camera_11376", 2))
    )
    configuration = service.read(uci.parse(text.encode(), "viscum"))
    found = planner.plan(configuration.services, configuration.settings, router_facts(""))
    assert [part.service.name for part in found.services] == ["camera_10919"] and found.skipped == ["camera_11376"]
    assert "like that of 'camera_10919': rename the section" in found.problems[0].message


class Named:
    def __init__(self, name):
        self.name = name


def subnets(pool, networks=(), given=None, names=("a",)):
    facts = with_(router_facts(""), networks=[(text, "network " + text) for text in networks], subnets=given or {})
    return Subnets([Named(name) for name in names], [address.parse_prefix(text) for text in pool], facts)


def reason(made, name, family=4):
    try:
        made.of(Named(name), family, "viscum")
    except Skip as skip:
        return skip.args[0].message
    raise AssertionError("there was a subnet")


def test_a_subnet_has_the_routers_end_and_the_inner_one():
    host, inner = subnets(["10.213.0.0/16"]).of(Named("a"), 4, "viscum")
    assert address.parse_address(inner) == address.add(address.parse_address(host), 1)
    assert address.network(host + "/30") == address.network(inner + "/30")


def test_a_name_gives_the_place_so_the_order_of_services_does_not_matter():
    both = subnets(["10.213.0.0/16"]), subnets(["10.213.0.0/16"])
    both[0].of(Named("first"), 4, "viscum")
    assert both[0].of(Named("a"), 4, "viscum") == both[1].of(Named("a"), 4, "viscum")


def test_every_subnet_of_a_small_pool_is_given_once():
    made = subnets(["10.213.0.0/28", "10.213.1.0/28"])
    found = [made.of(Named("s%d" % number), 4, "viscum")[0] for number in range(8)]
    assert len(set(found)) == 8 and sorted(found)[0] == "10.213.0.1"
    assert "10.213.0.0/28 has no free subnet; 10.213.1.0/28 has no free subnet" in reason(made, "s8")


def test_a_network_in_the_pool_is_stepped_over_wherever_the_search_begins():
    """A search that only tries one subnet after the other gives up in the middle of a large network."""
    for free in ("10.212.0.0/30", "10.215.255.252/30", "10.214.77.0/30"):
        taken = everything_but("10.212.0.0/14", free)
        for name in ("a", "b", "iperf"):
            made = subnets(["10.212.0.0/14"], taken)
            assert address.format_prefix(address.network(made.of(Named(name), 4, "viscum")[0] + "/30")) == free
            assert "10.212.0.0/14 has no free subnet" in reason(made, name + "2")


def everything_but(pool, free):
    """The fewest prefixes that cover a pool but for one subnet."""
    hole, found = address.parse_prefix(free), []
    for length in range(address.parse_prefix(pool).length + 1, hole.length + 1):
        sibling = bytearray(address.masked(hole.packed, length))
        sibling[(length - 1) // 8] ^= 0x80 >> (length - 1) % 8
        found.append("%s/%d" % (address.format_address(bytes(sibling)), length))
    return found


def test_a_pool_inside_a_network_of_the_router_is_named_with_it():
    assert "10.213.0.0/16 overlaps the router's network 10.0.0.0/8" in reason(
        subnets(["10.213.0.0/16"], ["10.0.0.0/8"]), "a"
    )


def test_what_a_service_has_it_keeps_while_it_is_usable():
    kept = {"a": ["10.213.0.5/30"]}
    assert subnets(["10.213.0.0/16"], (), kept).of(Named("a"), 4, "viscum") == ("10.213.0.5", "10.213.0.6")
    assert subnets(["10.213.0.0/16"], ["10.213.0.6/32"], kept).of(Named("a"), 4, "viscum")[0] != "10.213.0.5"
    assert subnets(["10.99.0.0/16"], (), kept).of(Named("a"), 4, "viscum")[0][:6] == "10.99."


def test_a_subnet_that_is_there_is_nobody_elses_whoever_it_is_that_has_it():
    """A service with a mistake is left as it is, and one that is switched off ends first: neither is planned."""
    there = {"kept": ["10.213.0.1/30"], "ends": ["10.213.0.5/30", "10.213.0.9/30"]}
    made = subnets(["10.213.0.0/28"], (), there)
    assert made.of(Named("a"), 4, "viscum")[0] == "10.213.0.13"
    assert "10.213.0.0/28 has no free subnet" in reason(made, "b")


def test_what_a_service_has_nobody_else_gets():
    place = address.format_address(address.add(bytes([10, 213, 0, 0]), name_hash("new") % 16384 * 4 + 1))
    made = subnets(["10.213.0.0/16"], (), {"old": [place + "/30"]}, ("new", "old"))
    assert made.of(Named("new"), 4, "viscum")[0] != place and made.of(Named("old"), 4, "viscum")[0] == place


def test_a_match_in_words():
    dst, src = address.parse_prefix("203.0.113.10"), address.parse_prefix("192.168.1.0/24")
    assert claims.match_text(Match(4, "tcp", dst, (80, 80), None, 0, "", "")) == "tcp 203.0.113.10/32 port 80"
    assert claims.match_text(Match(6, "", None, None, None, 0, "", "")) == "any protocol any IPv6 address"
    text = claims.match_text(Match(4, "udp", None, (1, 9), src, 0, "", ""))
    assert text == "udp any IPv4 address ports 1-9 from 192.168.1.0/24"
