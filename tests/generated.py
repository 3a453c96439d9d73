"""Generated services: what is configured, what the program opens, and from these alone who has to answer each client.

This is an oracle for viscum_agent/plan/answers.py: it is made from the manual ("What the program sees") and from what a
kernel does with a packet (ip(7), socket(7)), and shares no code with it. Where answers.py works out which parts of
which matches to take, this asks of one client after the other where his packets end.
"""

import ipaddress
from collections import namedtuple

from hypothesis import strategies as st

# A section: `ports` are "7000" or "7000-7002", `protocols` () for the default, `target` 0 for the client's own port.
Section = namedtuple("Section", ("destinations", "ports", "protocols", "target", "sources"))
# A word of tests/listens.py.
Socket = namedtuple("Socket", ("proto", "where", "port", "deaf"))
Case = namedtuple("Case", ("sections", "sockets", "fall"))
Client = namedtuple("Client", ("source", "proto", "address", "port"))

ADDRESSES = {4: ("203.0.113.10", "203.0.113.11", "203.0.113.12"), 6: ("2001:db8:cafe::10", "2001:db8:cafe::11")}
BESIDE = ("198.18.5.5",)  # only a match for any address takes it
PREFIXES = ("203.0.113.8/30", "2001:db8:cafe::/64")  # the first two addresses of IPv4, and all of IPv6
SOURCES = {4: ("192.168.77.2", "192.168.77.3"), 6: ("2001:db8:77::2", "2001:db8:77::3")}
PORTS = (7000, 7001, 7002, 7003, 7100, 7101)
RANGES = ("7000-7002", "7001-7003", "7002-7003", "7000-7100")
TARGETS = (7100, 7101, 7001)
WILDCARDS = ("0.0.0.0", "::", "dual", "mapped")
LOOPBACK = ("127.0.0.1", "::1", "dev:lo")
SPECIFIC = (*ADDRESSES[4][:2], ADDRESSES[6][0], "own", "own6", "dev:eth0")

CLIENTS = [
    Client(source, proto, address, port)
    for family in (4, 6)
    for source in SOURCES[family]
    for proto in ("tcp", "udp")
    for address in ADDRESSES[family] + (BESIDE if family == 4 else ())
    for port in PORTS
]


# What is generated


def _often(usual, *others):
    """`usual` two times in three."""
    return st.one_of(usual, usual, st.one_of(*others))


SINGLE = st.lists(st.sampled_from(ADDRESSES[4] + ADDRESSES[6]), min_size=1, max_size=3, unique=True).map(tuple)
WIDE = st.sampled_from([(), (PREFIXES[0],), (PREFIXES[1],), (PREFIXES[0], ADDRESSES[4][2]), PREFIXES])
ONE_PORT = st.sampled_from(PORTS[:4]).map(str)
SOME_PORTS = st.lists(st.one_of(ONE_PORT, st.sampled_from(RANGES)), min_size=1, max_size=2, unique=True).map(tuple)
SECTIONS = st.builds(
    Section,
    destinations=_often(SINGLE, SINGLE, WIDE),
    ports=_often(st.tuples(ONE_PORT), SOME_PORTS, st.just(())),
    protocols=st.sampled_from([(), (), (), ("tcp",), ("udp",), ("tcp", "udp")]),
    target=_often(st.just(0), st.sampled_from(TARGETS)),
    sources=_often(st.just(()), st.just(()), st.sampled_from([SOURCES[4][1:], SOURCES[6][1:], ("192.168.77.0/30",)])),
)


@st.composite
def cases(draw):
    sections = draw(st.lists(SECTIONS, min_size=draw(st.sampled_from((1, 1, 2, 3))), max_size=3))
    sections = _without_conflicts([one for one in sections if one.destinations or one.ports])
    sections = sections or (Section(ADDRESSES[4][:1], ("7000",), (), 0, ()),)
    inside = sorted({(proto, port) for one in sections for proto in _protocols(one) for port in _inside(one)})
    usual = draw(st.sampled_from(WILDCARDS))
    where = _often(st.just(usual), st.sampled_from(WILDCARDS + LOOPBACK + SPECIFIC))
    sockets = []
    for proto, port in inside:
        for place in draw(st.lists(where, min_size=draw(st.sampled_from((0, 1, 1, 1))), max_size=2)):
            _add(sockets, Socket(proto, place, port, draw(st.integers(0, 15)) == 15))
    if not sockets and draw(st.integers(0, 3)):
        sockets.append(Socket(inside[0][0], "dual", inside[0][1], False))
    return Case(sections, tuple(sockets), draw(st.sampled_from((1, 1, 2))))


def _protocols(section):
    return section.protocols or ("tcp", "udp")


def _inside(section):
    """Ports that may matter to a section's program."""
    if section.target:
        return [section.target]
    return [
        port
        for port in PORTS[:5]
        if not section.ports or any(_low(text) <= port <= _high(text) for text in section.ports)
    ]


def _low(text):
    return int(text.split("-")[0])


def _high(text):
    return int(text.split("-")[-1])


def _add(sockets, one):
    """Adds a socket that does not share its place: which of two gets a packet would be chance."""
    others = [other for other in sockets if (other.proto, other.port) == (one.proto, one.port)]
    if one.where[:3] in ("dev", "map"):
        return None if others else sockets.append(one)
    if any(other.where == one.where or other.where[:3] in ("dev", "map") for other in others):
        return None
    if {one.where, *[other.where for other in others]} >= {"::", "dual"}:
        return None
    return sockets.append(one)


def _without_conflicts(sections):
    """The sections without those that `viscum check` would refuse: no family in common, or a packet that another one
    sends to another port, whoever sent it."""
    found = []
    for one in sections:
        anybody = [other._replace(sources=()) for other in (*found, one)]
        if families(one) and all(len(_targets(anybody, client)) < 2 for client in CLIENTS):
            found.append(one)
    return tuple(found)


def families(section):
    """A family is served where addresses and sources both have it, or say nothing."""
    found = {4, 6}
    for texts in (section.destinations, section.sources):
        if texts:
            found &= {ipaddress.ip_network(text).version for text in texts}
    return found


# What is written down


def case_of(values):
    """A Case from its values as JSON has them."""
    sections, sockets, fall = values
    sections = [Section(*[tuple(part) if isinstance(part, list) else part for part in each]) for each in sections]
    return Case(tuple(sections), tuple([Socket(*each) for each in sockets]), fall)


def lines(section):
    return (
        *["list dest_ip '%s'" % text for text in section.destinations],
        *["list dest_port '%s'" % text for text in section.ports],
        *["list proto '%s'" % text for text in section.protocols],
        *["list src_ip '%s'" % text for text in section.sources],
        *(["option target_port '%d'" % section.target] if section.target else []),
    )


def words(sockets):
    """The arguments of tests/listens.py."""
    return " ".join(["/".join(map(str, one[:3])) + ("/deaf" if one.deaf else "") for one in sockets])


# Who answers


def who(case):
    """Who has to answer each of CLIENTS: "edge" or "cloud"."""
    return {client: "edge" if _is_answered(case, client) else "cloud" for client in CLIENTS}


def _is_answered(case, client):
    family = ipaddress.ip_address(client.address).version
    address = "own" if _has_nat(case, family) else client.address
    for port in _targets(case.sections, client):
        found = [one for one in case.sockets if (one.proto, one.port) == (client.proto, port)]
        found = [(_rank(one, family, address), one) for one in found]
        found = [(rank, one) for rank, one in found if rank]
        return bool(found) and not max(found)[1].deaf
    return False


def _targets(sections, client):
    """The ports that a client's packets are led to: none where the service is for others."""
    return {
        section.target or client.port
        for section in sections
        if client.proto in _protocols(section)
        and _is_in(section.destinations, client.address)
        and _is_in(section.sources, client.source)
        and any(_low(text) <= client.port <= _high(text) for text in section.ports or ("1-65535",))
    }


def _is_in(texts, address):
    """Whether an address is in one of the networks: of none given, in all."""
    return not texts or any(ipaddress.ip_address(address) in ipaddress.ip_network(text) for text in texts)


def _has_nat(case, family):
    """Whether the program is reached at the namespace's own address, and not at the client's."""
    sections = [section for section in case.sections if family in families(section)]
    destinations = {
        dst
        for section in sections
        for dst in section.destinations or ("any",)
        if dst == "any" or ipaddress.ip_network(dst).version == family
    }
    if any(dst == "any" or "/" in dst for dst in destinations) or any(section.target for section in sections):
        return True
    return len(destinations) > 1 and any("udp" in _protocols(section) for section in sections)


def _rank(one, family, address):
    """How much the kernel prefers a socket for a packet to an address, 0 where it does not get it: one that is bound to
    the address before one for any, one of the family before one for both."""
    mine = "own" if family == 4 else "own6"
    if one.where == (mine if address == "own" else address):
        return 3
    if one.where in (("0.0.0.0", "mapped", "dev:eth0") if family == 4 else ("::",)):
        return 2
    return 1 if one.where == "dual" else 0
