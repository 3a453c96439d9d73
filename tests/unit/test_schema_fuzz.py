"""Whatever somebody writes into /etc/config/viscum, on whatever router: problems that say it, plans that are safe.

The road is the agent's own: UCI text, uci.parse, model.read, plan. A section is mostly right with a few things wrong,
because what is wrong everywhere never gets far.
"""

import subprocess
import sys
from pathlib import Path

import pytest
from golden.cases import facts_with, observed, router_facts
from hypothesis import event, given, settings
from hypothesis import strategies as st

from viscum_agent import address, shell
from viscum_agent.apply import pending
from viscum_agent.config import schema, uci
from viscum_agent.config.service import read
from viscum_agent.errors import BUG, CONFIG, FOREIGN, UNSUPPORTED, problem_text
from viscum_agent.kernel import commands
from viscum_agent.plan import datapath
from viscum_agent.plan.answers import Open
from viscum_agent.plan.planner import plan
from viscum_agent.records.facts import EVERYTHING, Device, Facts, Features, Host, Listener
from viscum_agent.records.objects import PRIOS

ROOT = Path(__file__).resolve().parents[2]
BOUNDED = settings(max_examples=120, deadline=None)

# Values that mean something somewhere, and some that come near.
NUMBERS = ("0", "1", "80", "443", "65535", "65536", "-1", "80-90", "85-95", "90-80", "1-65535", "1400", "1279")
IPV4 = ("203.0.113.10", "203.0.113.0/24", "203.0.113.1/24", "10.0.0.0/8", "192.168.1.1", "10.213.0.0/28")
IPV6 = ("2001:db8::1", "2001:db8::/32", "2000::/3", "2002:102:304::1", "64:ff9b::/96")
REFUSED4 = ("0.0.0.0/0", "128.0.0.0/1", "224.0.0.1", "239.0.0.0/8", "255.255.255.255", "127.0.0.1", "169.254.0.0/16")
REFUSED6 = ("::/0", "fe80::1", "ff02::1", "8000::/1", "fe00::/7", "1::/1", "::ffff:1.2.3.4", "::1.2.3.4")
CHOICES = (
    "tcp",
    "udp",
    "any",
    "ipv4",
    "ipv6",
    "auto",
    "flower",
    "u32",
    "dst",
    "both",
    "none",
    "native",
    "routed",
    "on",
)
NAMES = (
    "lan",
    "wan",
    "br-lan",
    "eth*",
    "e?h0",
    "*",
    "*" * 15,
    "wg0",
    "away0",
    "a",
    "b",
    "svc",
    "nobody",
    "/bin/x",
    "A=b",
)
ODD = ("/bin/x -a 'b c'", '/bin/x "', "", " ", "it's", "\u00e9\u00a0\u2028", "\x1b[2J", "\x85", "x" * 300, "TRUE")
WORDS = NUMBERS + IPV4 + IPV6 + REFUSED4 + REFUSED6 + CHOICES + NAMES + ODD
ANY_TEXT = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=12)
VALUES = st.one_of(st.sampled_from(WORDS), st.sampled_from(WORDS), ANY_TEXT)
ODD_OPTIONS = st.sampled_from(["dest_prot", "port", "x", "y" * 200, "option", "enable"])

# The devices of two of these would have one name (objects.device_name); the last two are too long, and none at all.
SERVICE_NAMES = ("a", "b", "svc", "camera_10919", "camera_11376", "n" * 70, None)
OTHER_NAMES = ("more", "r", "g", None, "a")

PORTS = st.sampled_from(["80", "443", "88-89", "80-90", "85-95", "80-95", "1-65535", "1-65534", "1024-65535"])
SEVERAL_PORTS = st.lists(PORTS, min_size=1, max_size=3)
DESTINATIONS = ("203.0.113.10", "203.0.113.11", "203.0.113.0/24", "203.0.112.0/20", "198.18.0.0/15", "192.168.1.1")
ALL_DESTINATIONS = st.sampled_from((*DESTINATIONS, *DESTINATIONS, *IPV6))
SEVERAL_DESTINATIONS = st.lists(ALL_DESTINATIONS, min_size=1, max_size=3)

SEVERAL_HOSTS = st.lists(st.sampled_from(["one.example", "two.example", "three.example"]), min_size=1, max_size=3)
PACKED = [address.parse_address(text) for text in (*DESTINATIONS[:2], DESTINATIONS[-1], "198.18.0.1", *IPV6[:1])]
# As an earlier agent had them (datapath.taken).
HELD = [("tcp", address.Prefix(4 if len(each) == 4 else 6, each, 8 * len(each)), (80, 80), None) for each in PACKED]
HOSTS = st.builds(Host, st.lists(st.sampled_from(PACKED), unique=True, max_size=3).map(tuple), st.just("no such name"))


def right(fixed, optional):
    """Options of a service or a redirect section that are right together, nearly always."""
    ported = {
        **optional,
        "proto": st.sampled_from([["tcp"], ["udp"], ["tcp", "udp"]]),
        "target_port": st.sampled_from(["8080", "80"]),
    }
    clients = {
        "src_ip": st.lists(st.sampled_from(["192.168.1.0/24", "192.168.1.5", "fd00::/8"]), min_size=2, max_size=3)
    }
    family = {"family": st.sampled_from(["any", "ipv4", "ipv6"])}
    both = {**fixed, "dest_ip": SEVERAL_DESTINATIONS, "dest_port": SEVERAL_PORTS}
    return st.one_of(
        st.fixed_dictionaries(both, optional=ported),
        st.fixed_dictionaries(both, optional={**ported, **clients}),
        st.fixed_dictionaries({**fixed, "dest_port": SEVERAL_PORTS}, optional={**ported, **family}),
        st.fixed_dictionaries({**both, "dest_host": SEVERAL_HOSTS}, optional=ported),
        st.fixed_dictionaries({**fixed, "dest_host": SEVERAL_HOSTS}, optional={**ported, **family}),
        st.fixed_dictionaries({**fixed, "dest_ip": SEVERAL_DESTINATIONS, "proto": st.just(["any"])}, optional=optional),
    )


SERVICES = right(
    {
        "enabled": st.just("1"),
        "command": st.just("/bin/x"),
        "device": st.sampled_from([["br-lan"], ["br-lan"], ["br-lan", "eth0"], ["*"], ["e*"], ["lan", "br-lan"]]),
    },
    {
        "interface": st.sampled_from([["lan"], ["lan", "guest"]]),
        "datapath": st.sampled_from(["auto", "auto", "flower", "u32"]),
        "rewrite": st.sampled_from(["auto", "dst", "both", "none"]),
        "reply": st.sampled_from(["auto", "routed", "direct", "direct"]),
        "nexthop": st.sampled_from(["203.0.113.10", "203.0.113.11", "fe80::1"]),
        "nexthop_mac": st.sampled_from(["02:00:00:00:00:08", "02:00:00:00:00:09"]),
        "mtu": st.sampled_from(["1280", "1500", "65535", "1279"]),
    },
)
REDIRECTS = right({"service": st.sampled_from(["a", "b", "svc", "away"])}, {})
GLOBALS = st.fixed_dictionaries(
    {},
    optional={
        "enabled": st.sampled_from("1110"),
        "datapath": st.sampled_from(["auto", "flower", "u32"]),
        "pool": st.lists(
            st.sampled_from(["10.213.0.0/28", "10.9.0.0/16", "192.168.0.0/16", "fd00::/64"]), min_size=1, max_size=3
        ),
    },
)


def names_of(kind):
    return st.sampled_from([option.name for option in schema.SECTIONS[kind]])


def spoiled(kind, options):
    """Options of a section, in one of three with some of them overwritten by whatever."""
    keys = st.one_of(names_of(kind), names_of(kind), ODD_OPTIONS)
    values = st.one_of(VALUES, st.lists(VALUES, min_size=1, max_size=4))
    whatever = st.dictionaries(keys, values, min_size=1, max_size=2)
    destination = st.fixed_dictionaries(
        {"dest_ip": st.lists(st.sampled_from(REFUSED4 + REFUSED6), min_size=1, max_size=2)}
    )
    wrong = st.one_of(st.just({}), st.just({}), st.just({}), whatever, destination)
    return st.tuples(options, wrong).map(lambda both: (kind, {**both[0], **both[1]}))


def named(names, content):
    return st.tuples(st.sampled_from(names), content)


SERVICE_SECTIONS = named(SERVICE_NAMES[:5], spoiled("service", SERVICES))
OTHER_SECTIONS = st.one_of(
    named(SERVICE_NAMES, spoiled("service", SERVICES)),
    named(OTHER_NAMES, spoiled("redirect", REDIRECTS)),
    named(OTHER_NAMES, spoiled("globals", GLOBALS)),
    named(OTHER_NAMES, st.tuples(st.sampled_from(["servise", "x", "y" * 99]), st.just({}))),
)


def write(sections):
    """The UCI text of [(name or None, (type, options))]; of a name that comes again with another type nothing."""
    lines, types = [], {}
    for name, (kind, options) in sections:
        if name and types.setdefault(name, kind) != kind:
            continue
        lines.append("config %s %s" % (kind, name or ""))
        for key in options:
            if isinstance(options[key], str):
                lines.append("\toption %s %s" % (key, shell.quote(options[key])))
            else:
                lines += ["\tlist %s %s" % (key, shell.quote(text)) for text in options[key]]
    return "\n".join(lines) + "\n"


def first_of_each_name(sections):
    found = {}
    for name, content in sections:
        found.setdefault(name, content)
    return list(found.items())


FILES = st.builds(
    lambda services, others: write(first_of_each_name(services) + others),
    st.lists(SERVICE_SECTIONS, min_size=2, max_size=4),
    st.lists(OTHER_SECTIONS, max_size=3),
)

LAN = Device("br-lan", True, 1500, "02:00:00:00:00:01", True, "02:00:00:00:00:01", "", (4, 6), False)
ETH0 = Device("eth0", False, 9000, "02:00:00:00:00:02", True, "02:00:00:00:00:02", "", (4, 6), False)
PORT = Device("eth0", True, 1492, "02:00:00:00:00:02", True, "02:00:00:00:00:01", "br-lan", (4, 6), False)
WG0 = Device("wg0", True, 1280, "", False, "", "", (4, 6), True)
ODD_DEVICES = [
    Device(name, True, 600, "02:00:00:00:00:03", True, "", "", (4, 6), False)
    for name in ("\u00e9\x1b", "a;reboot", "a'b")
]
DEVICES = st.one_of(
    st.sampled_from([[LAN], [LAN, ETH0], [LAN, ETH0, WG0], [LAN, PORT]]),
    st.lists(st.sampled_from([LAN, PORT, WG0, *ODD_DEVICES]), unique=True).map(sorted),
)
NETWORK_TEXTS = ("10.213.0.0/17", "10.213.0.4/30", "192.168.1.0/24", "10.9.0.0/16", "10.0.0.0/8", "fd76:7363:756d::/48")
NETWORKS = st.one_of(
    st.lists(st.sampled_from(NETWORK_TEXTS[:4]), max_size=2), st.lists(st.sampled_from(NETWORK_TEXTS), max_size=3)
)
SOME_FEATURES = st.builds(Features, *[st.booleans()] * (len(EVERYTHING) - 1), st.just("cls_bpf"))
LISTENERS = st.builds(
    Listener,
    proto=st.sampled_from(["tcp", "udp"]),
    version=st.sampled_from([4, 6]),
    address=st.sampled_from([b"", b"", bytes([127, 0, 0, 1]), bytes([203, 0, 113, 10])]),
    port=st.sampled_from([80, 85, 88, 443, 8080, 65535]),
    waiting=st.just(0),
)
OPENED = st.one_of(
    st.just({}),
    st.dictionaries(st.sampled_from("ab"), st.builds(Open, st.lists(LISTENERS, max_size=5), st.none(), st.just({}))),
)
FACTS = st.builds(
    Facts,
    DEVICES,
    NETWORKS.map(lambda texts: [(text, "route %s dev wg\x1b" % text) for text in texts]),
    st.lists(st.sampled_from(["192.168.1.1", "203.0.113.10", "fd00::1"]), max_size=2),
    st.sampled_from([{}, {"lan": ["br-lan"]}, {"lan": ["eth0", "away0"], "guest": ["br-\x1b"]}]),
    st.sampled_from([{}, {"a": ["10.213.0.5/30"], "b": ["10.213.0.5/30", "fd76:7363:756d::5/126", "10.213.0.1/24"]}]),
    st.sampled_from([[], [], ["vsc-a"], ["viscum-b"]]),
    st.integers(0, 2),
    st.sampled_from([True, True, False]),
    st.booleans(),
    st.one_of(st.just(EVERYTHING), st.just(EVERYTHING), SOME_FEATURES),
    OPENED,
    st.sampled_from([{}, {}, {4: ("no", True), 6: ("no", True)}, {6: ("no", False)}]),
    st.sampled_from([{}, {("interface", ""): "/tmp/\u00e9/network \x1b", ("interface", "guest"): "\x1b"}]),
    st.sampled_from([{}, {("br-lan", "203.0.113.10"): "02:00:00:00:00:07"}]),
    st.dictionaries(st.sampled_from(["one.example", "two.example", "three.example"]), HOSTS),
    st.sampled_from([{}, {}, {"a": HELD}]),
)


def planned(text, facts):
    configuration = read(uci.parse(text.encode(), "viscum"))
    return configuration, plan(configuration.services, configuration.settings, facts)


@BOUNDED
@given(FILES, FACTS)
def test_every_problem_can_be_read_and_every_service_is_planned_or_has_one(text, facts):
    configuration, found = planned(text, facts)
    problems = configuration.problems + found.problems
    for problem in problems:
        assert problem.kind in (CONFIG, UNSUPPORTED, FOREIGN) and problem.kind != BUG
        assert problem_text(problem).isprintable() and problem_text(problem).isascii()
        assert len(problem.message) < 700 and problem.message
        assert_names_what_it_is_about(problem.where, configuration, text)
    left_out = {problem.service for problem in problems}
    done = [part.service.name for part in found.services]
    for service in configuration.services:
        assert (
            service.name in done or service.name in left_out or not (service.enabled and configuration.settings.enabled)
        )
    assert len(done) == len(set(done)) and not set(done) & set(found.skipped + configuration.bad)
    event("%d planned, %d with problems" % (len(done), len(left_out - {""})))


def assert_names_what_it_is_about(where, configuration, text):
    """`viscum.SECTION` or `viscum.SECTION.OPTION`, of a section that is there (or the pool, which has a default)."""
    words = where.split(".")
    assert words[0] == "viscum" and len(words) in (2, 3)
    sections = {section.name: section for section in uci.parse(text.encode(), "viscum")}
    assert words[1] in sections or words[1:] == ["globals", "pool"]
    if len(words) == 3 and words[1] in sections:
        known = [option.name for option in schema.SECTIONS[sections[words[1]].type]]
        assert words[2] in known or words[2] in sections[words[1]].options


def assert_is_of_a_direct_service(item, part):
    assert part.service.reply == "direct" and len(part.devices) == 1
    if item.prio <= 2:  # what the program begins itself
        assert item.actions == (("skbedit", "host"),)
        return
    assert item.actions[-1] == ("mirred", part.devices[0])
    assert any("port" in str(key) or key[-1] in (20, 40) for key in item.keys)
    for match in part.service.matches:
        assert match.proto == "tcp" or not address.meet(match.src, match.dst), "a reply that could come back"


@BOUNDED
@given(FILES, FACTS)
def test_every_plan_is_safe(text, facts):
    _, found = planned(text, facts)
    subnets, names, places = [], [], []
    networks = [address.parse_prefix(network) for network, _ in facts.networks]
    datapaths = {}
    for part in found.services:
        filters = [item for item in part.items if type(item).__name__ in ("Filter", "BpfMatch")]
        assert filters or part.service.name in facts.opened, "a redirect, or nothing that would answer"
        assert len(filters) == len(set(filters)), "no part of it twice"
        for item in filters:
            if type(item).__name__ == "BpfMatch":
                assert_leads_from_what_can_be_redirected(item, part)
                places.append(item[:8])
                continue
            if item.dev.startswith("vsc-"):
                assert_is_of_a_direct_service(item, part)
            else:
                assert_takes_only_what_can_be_redirected(item, part)
            assert datapaths.setdefault(item.dev, item.kind) == item.kind, "one kind of filter on a device"
            places.append((item.dev, item.prio, item.protocol, item.bucket, item.keys))
        for item in part.items:
            if type(item).__name__ == "Pair":
                names.append(item.name)
                assert len(item.name) <= 15 and 576 <= item.mtu <= 65535
            if type(item).__name__ == "Address" and item.ns == "":
                subnets.append(address.network(item.address))
    assert len(names) == len(set(names)) and not set(names) & set(facts.taken)
    assert len(places) == len(set(places)), "no two services take the same packets by the same filter"
    for number, subnet in enumerate(subnets):
        others = networks + subnets[:number]
        assert not any(address.overlaps(subnet, other) for other in others), "a subnet is nobody else's"


def assert_leads_from_what_can_be_redirected(item, part):
    dst = address.parse_prefix(item.dst)
    assert item.target == [one.name for one in part.items if type(one).__name__ == "Pair"][0]
    assert item.proto or dst.family == 4, "never ICMPv6"
    assert item.mac or item.proto == "tcp" or dst.length or item.dev == WG0.name, "nor broadcast, where there are MACs"
    for never, _ in schema.NEVER:
        assert dst.length == 0 or not address.overlaps(dst, address.parse_prefix(never)), never


def assert_takes_only_what_can_be_redirected(item, part):
    assert item.prio in PRIOS and (item.prio % 2 == 1) == (item.protocol == "ip")
    assert item.actions[-1] == ("mirred", [one.name for one in part.items if type(one).__name__ == "Pair"][0])
    for match in part.service.matches:
        assert match.proto or match.family == 4, "never ICMPv6"
        if match.dst is not None:
            for never, _ in schema.NEVER:
                assert not address.overlaps(match.dst, address.parse_prefix(never)), never
    if item.protocol == "ipv6":
        assert any(key[0] in ("dst_ip", 0x60000000) or key[-1] in (24, 28, 32, 36) for key in item.keys), "an address"


@BOUNDED
@given(FILES, FACTS)
def test_what_is_done_needs_not_be_done_again(text, facts):
    configuration, found = planned(text, facts)
    there = observed(found)
    _, again = planned(text, facts_with(facts, there))
    assert pending(again, there, configuration.bad + again.skipped) == []


@BOUNDED
@given(FILES, FILES, FACTS)
def test_every_step_from_one_configuration_to_another_has_a_command(before, after, facts):
    there = observed(planned(before, facts)[1])
    configuration, found = planned(after, facts_with(facts, there))
    for _, operations in pending(found, there, configuration.bad + found.skipped):
        for line in commands.lines(operations):
            assert line.isprintable() and line.isascii()
            assert "reboot" not in line and "a'b" not in line, "a name that a shell would act upon"


@BOUNDED
@given(st.lists(st.tuples(st.sampled_from([each.NAME for each in datapath.ALL]), PORTS), min_size=1, max_size=4))
def test_the_usual_router_takes_every_right_service(choices):
    """Else the tests above might be about refusals only."""
    lines = ["config globals g\noption datapath %s\n" % choices[0][0]]
    for number, (_, port) in enumerate(choices):
        lines.append("config service s%d\noption enabled 1\noption command /bin/x\nlist interface lan\n" % number)
        lines.append("list dest_ip 203.0.113.%d\nlist dest_port %s\n" % (number + 1, port))
    configuration, found = planned("".join(lines), router_facts('{"features": {"bpf": true}}'))
    assert (configuration.problems, found.problems) == ([], [])
    assert len(found.services) == len(choices)


# The command itself, on the router that this machine is


@pytest.fixture(scope="module")
def files():
    """A few dozen generated files, the same in every run; the first two are right."""
    found = ["", "config globals g\n", "config service s\n"]

    @settings(max_examples=27, database=None, derandomize=True, deadline=None)
    @given(FILES)
    def collect(text):
        found.append(text)

    collect()
    return found


def test_check_ends_with_0_1_or_3_and_never_with_a_traceback(files, tmp_path):
    codes = set()
    for text in files:
        (tmp_path / "viscum").write_text(text)
        words = [sys.executable, "-m", "viscum_agent", "-c", str(tmp_path), "check"]
        result = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
        assert result.returncode in (0, 1, 3), text + result.stderr
        assert "Traceback" not in result.stdout + result.stderr, text
        assert bool(result.returncode) == bool(result.stdout), "nothing but a finding is another code"
        codes.add(result.returncode)
    assert codes.issuperset({0, 1}) and len(files) >= 24
