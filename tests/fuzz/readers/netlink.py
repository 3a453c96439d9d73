"""What is common to all answers of netlink: messages, attributes, errors."""

from viscum_agent.errors import ViscumError
from viscum_agent.kernel import codec, rtnl

ALLOWED = (ViscumError,)
TOKENS = [
    b"\x10\0\0\0\2\0\0\2",
    b"\x14\0\0\0\3\0\2\0",
    b"\x24\0\0\0\2\0\0\3",
    b"\4\0\1\0",
    b"\x08\0\2\x80",
    b"\3\0",
    b"\0\0",
]
PREFIXES = [rtnl.address.parse_prefix(text) for text in ("10.0.0.0/8", "203.0.113.0/30", "2001:db8::/32", "fd00::/8")]


def read(data):
    found = []
    for kind, flags, seq, body in codec.messages(data):
        one = [kind, flags, seq, body]
        if kind == codec.NLMSG_ERROR:
            one.append(codec.error(flags, body))
        if kind == codec.NLMSG_DONE:
            one.append(codec.errno_of(body))
        one += [codec.attributes(body, 4), codec.elements(body)]
        found.append(one)
    near = rtnl.Near(PREFIXES)
    sieved = near.sieve(data)
    assert len(sieved) <= len(data)
    assert near.sieve(sieved) == sieved
    return found, sieved


def seeds():
    from fuzz.readers import rtnetlink

    refused = codec.message(2, 0x300, b"\xea\xff\xff\xff" + bytes(16) + codec.attribute(1, b"no such thing\0"), 5)
    done = codec.message(3, 2, bytes(4), 6)
    return [refused, done, refused + done] + [codec.message(24, 2, seed[2:], 7) for seed in rtnetlink.seeds()[:40]]


def slow(size):
    yield codec.message(2, 0, b"", 0)[:16] * (size // 16)
    yield codec.message(24, 2, b"\4\0\1\0" * (size // 4), 1)
