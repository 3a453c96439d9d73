"""What nf_tables holds in a service's namespace, where a program with rights may put anything, and in the router's.

The first byte says who reads it."""

from viscum_agent.errors import ViscumError
from viscum_agent.kernel import codec, nftables, ruleset

ALLOWED = (ViscumError, OSError)
TOKENS = [b"viscum\0", b"\x0b\0\1\0viscum\0\0", b"\x08\0\1\0cmp\0", b"\x09\0\1\0meta\0\0\0\0", b"\x0c\0\1\0payload\0"]
TOKENS += [b"\x0a\0\1\0range\0\0\0", b"\x0c\0\1\0bitwise\0", b"\x0e\0\1\0immediate\0\0\0", b"\x0a\0\1\0redir\0\0\0"]
TOKENS += [b"\0\x0a", b"\3\x0a", b"\6\x0a", b"\x14\0\0\0\3\0\2\0", b"\x08\0\2\0", b"\4\0\1\0", b"\x10\0\4\0"]
WAYS = 4


def read(data):
    way, data = data[0] % WAYS if data else 0, data[1:]
    if way == 0:
        return codec.understood(nftables.decode, [data])
    bodies = [body for kind, _, _, body in codec.messages(data) if kind > 16]
    if way == 1:
        return codec.understood(nftables.guards, bodies, bodies)
    if way == 2:
        return codec.parsed(ruleset._chain, bodies)
    return codec.parsed(ruleset._flowtable, bodies)


def seeds():
    import base64

    from fuzz.corpora import recorded
    from unit import test_nftables

    found = []
    for answers in (test_nftables.NFT_1_0_6, test_nftables.NFT_1_1_3):
        joined = b"".join([base64.b64decode(text) for text in answers])
        found += [bytes([way]) + joined for way in range(WAYS)]
    return found + recorded("nftables")


def slow(size):
    table = codec.text(1, "viscum") + codec.be32(2, 0) + codec.be32(3, 1)
    head = codec.nf_message(codec.NFTABLES | 0, 0, 1, table, 1)
    element = codec.attribute(1, codec.text(1, "cmp") + codec.attribute(2, b""))
    one = codec.nf_message(codec.NFTABLES | 6, 0, 1, codec.text(1, "viscum") + codec.nest(4, element * 3), 1)
    yield b"\0" + head + one * (size // len(one))
    one = codec.nf_message(codec.NFTABLES | 6, 0, 1, codec.text(1, "viscum") + codec.nest(4, element * 2000), 1)
    yield b"\0" + head + one * (size // len(one))
    for way in (1, 2, 3):
        yield bytes([way]) + head * (size // len(head))
