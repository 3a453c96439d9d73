"""What connection tracking remembers in a service's namespace."""

from viscum_agent.errors import ViscumError
from viscum_agent.kernel import codec, conntrack
from viscum_agent.records.objects import NatRule

ALLOWED = (ViscumError,)
RULES = (NatRule("203.0.113.0/24", "tcp", (443, 443), 8443), NatRule("2001:db8::/61", "udp", (5000, 5010), 0))
TOKENS = [
    b"\x34\0\1\x80",
    b"\x34\0\2\x80",
    b"\x14\0\1\x80",
    b"\x1c\0\2\x80",
    b"\x08\0\1\0\xcb\0\x71\x0a",
    b"\5\0\1\0\6",
]
TOKENS += [b"\6\0\3\0\1\xbb\0\0", b"\x14\0\3\0", b"\6\0\2\0\x20\xfb"]


def read(data):
    return codec.parsed(lambda body: [conntrack.is_other(body, conntrack.by_address(RULES))], [data])


def seeds():
    from fuzz.corpora import recorded

    return recorded("conntrack")
