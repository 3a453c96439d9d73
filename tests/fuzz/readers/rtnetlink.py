"""Answers and events of rtnetlink about links, addresses, neighbours, routes and rules. The first byte says which."""

from viscum_agent.address import parse_prefix
from viscum_agent.errors import ViscumError
from viscum_agent.kernel import codec, monitor, rtnl, tc

ALLOWED = (ViscumError,)
TOKENS = [
    b"\x08\0\4\0",
    b"\x0a\0\1\0",
    b"\x14\0\1\0",
    b"\x08\0\x0f\0\xfe\0\0\0",
    b"\x08\0\x25\0",
    b"\4\0\x12\x80",
    b"\xff\xff",
]
NEAR = rtnl.Near([parse_prefix("10.0.0.0/8"), parse_prefix("fd00::/8")])
PARSERS = (
    lambda body: rtnl.parse_link("", body),
    lambda body: rtnl.parse_address("", body),
    lambda body: rtnl.parse_route("", body),
    lambda body: rtnl.parse_route("", body, NEAR),
    lambda body: rtnl.parse_rule("", body),
    rtnl.index_of,
    rtnl.peer_of,
    rtnl.parse_neighbour,
    lambda body: rtnl.any_locals("", [body]),
)
EVENTS = (16, 17, 20, 21, tc.RTM_NEWQDISC, tc.RTM_DELQDISC, tc.RTM_NEWTFILTER, tc.RTM_DELTFILTER)
_events = []


def read(data):
    which, body = data[0] if data else 0, data[1:]
    if which % 16 < len(PARSERS):
        return codec.parsed(PARSERS[which % 16], [body])
    return codec.parsed(lambda body: events()._cause(EVENTS[which % len(EVENTS)], body), [body])


def events():
    if not _events:
        _events.append(monitor.Events())
    _events[0]._forget()
    return _events[0]


def seeds():
    """What this machine's own namespace and one with a few odd objects answer (tests/fuzz/record.py)."""
    from fuzz.corpora import recorded

    return recorded("rtnetlink")


def slow(size):
    for which in (0, 1, 2, 4, 7, 8, 9):
        yield bytes([which]) + b"\2" + bytes(15) + b"\4\0\1\0" * (size // 4)
