"""What a resolver says, as bytes (RFC 1035): for tests of both interpreters, and for resolvers that tests start."""

import struct

SAME = b"\xc0\x0c"  # the question's name
RECURSIVE = 0x8180  # flags of an ordinary answer


def record(owner, kind, ttl, body):
    return owner + struct.pack(">HHIH", kind, 1, ttl, len(body)) + body


def answered(question, *records, number=None, flags=RECURSIVE, count=None):
    """An answer to a question of names/message.py: with its number, and as many records as it says that it has, unless
    told otherwise."""
    number = question[:2] if number is None else struct.pack(">H", number)
    head = struct.pack(">HHHHH", flags, 1, len(records) if count is None else count, 0, 0)
    return number + head + question[12:-11] + b"".join(records)


def kind_of(question):
    """The type of the records that are asked for."""
    return struct.unpack(">H", question[-15:-13])[0]
