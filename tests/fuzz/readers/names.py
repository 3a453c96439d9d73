"""An answer of a resolver, or what somebody else sends in its place."""

import dns_answers
from dns_answers import SAME, record

from viscum_agent.names import message

ALLOWED = ()
HOST = "www.example.com"
TOKENS = [
    b"\x12\x34\x81\x80\0\1\0\1\0\0\0\0",
    b"\3www\7example\3com\0",
    b"\0\1\0\1",
    b"\0\x1c\0\1",
    b"\xc0\x0c",
    b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xcb\0\x71\x0a",
    b"\xc0\x0c\0\5\0\1\0\0\0\x3c\0\2\xc0\x10",
    b"\xff\xff\xff\xff",
]


def read(data):
    found = []
    for family, size in ((4, 4), (6, 16)):
        said = message.answer(data, 0x1234, HOST, family)
        if said is None:
            found.append(None)
            continue
        assert all(len(packed) == size for packed in said.addresses)
        assert len(said.addresses) <= message.MOST
        assert 0 <= said.ttl <= message.FOREVER
        found.append(list(said))
    assert None in found  # an answer is to one question
    return found


def answered(family, *records, **changes):
    """An answer with these records."""
    return dns_answers.answered(message.question(0x1234, HOST, family), *records, **changes)


def seeds():
    cdn = b"\3cdn\7example\3net\0"
    four = record(SAME, 1, 60, bytes([203, 0, 113, 10]))
    six = record(SAME, 28, 60, b"\x20\1\x0d\xb8" + bytes(11) + b"\1")
    soa = record(b"\xc0\x10", 6, 300, b"\2ns\xc0\x10\4root\xc0\x10" + bytes(20))
    return [
        answered(4, four),
        answered(4, four, four),
        answered(6, six),
        answered(6, six, six, six),
        answered(4, record(SAME, 5, 300, cdn), record(cdn, 1, 20, bytes([203, 0, 113, 11]))),
        answered(4, record(SAME, 5, 300, SAME)),
        answered(4, soa, flags=0x8183, count=0),
        answered(4, flags=0x8380),
        answered(6, flags=0x8182),
        message.question(0x1234, HOST, 4),
    ]


def slow(size):
    """Aliases that lead to each other, and one name that many have."""
    aliases = [record(b"\2%02d\xc0\x10" % n, 5, 1, b"\2%02d\xc0\x10" % (n + 1)) for n in range(90)]
    chain = aliases * (size // sum(map(len, aliases)) + 1)
    four = [record(SAME, 1, 60, bytes(4))] * (size // 16)
    return [answered(4, *chain[:60000]), answered(4, *four[:60000])]
