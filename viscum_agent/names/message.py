"""A question to a resolver and its answer (RFC 1035), as bytes. Pure functions.

An answer may come from anybody: what does not repeat the question is none, and what can't be read to its end is none
either. Nothing in it leads to more work than it has bytes.
"""

import struct
from collections import namedtuple

# `rcode` as below; `cut` whether more would not fit; `addresses` as bytes; `ttl` in seconds, the least on the way.
Answer = namedtuple("Answer", ("rcode", "cut", "addresses", "ttl"))

NO_ERROR, NO_NAME = 0, 3
RCODES = {1: "FORMERR", 2: "SERVFAIL", 4: "NOTIMP", 5: "REFUSED"}  # RFC 1035, section 4.1.1
TYPES = {4: (1, 4), 6: (28, 16)}  # by family: the type of a record (A; AAAA of RFC 3596), and the bytes of an address
CNAME, OPT, IN = 5, 41, 1
ANSWER, OPCODE = 0x8000, 0x7800  # of the flags
SIZE = 1232  # bytes of an answer that need no fragments anywhere (RFC 9715)
MOST = 64  # addresses of an answer that count
CHAIN = 16  # names that lead to each other, at most
LONGEST = 255  # bytes of a name (RFC 1035, section 2.3.4)
FOREVER = (1 << 31) - 1  # the greatest TTL (RFC 2181, section 8)


class Unreadable(Exception):
    """This is no answer."""


def question(number: int, host: str, family: int) -> bytes:
    """The question for the addresses of a name, with how much of an answer is read (EDNS, RFC 6891)."""
    head = struct.pack(">HHHHHH", number, 0x0100, 1, 0, 0, 1)  # RD: the resolver is to find out
    more = b"\0" + struct.pack(">HHIH", OPT, SIZE, 0, 0)
    return head + wire(host) + struct.pack(">HH", TYPES[family][0], IN) + more


def wire(host: str) -> bytes:
    """A name as it is in a message: each label after its length."""
    labels = [label.encode() for label in host.split(".")]
    return b"".join([bytes([len(label)]) + label for label in labels]) + b"\0"


def answer(data: bytes, number: int, host: str, family: int) -> "Answer | None":
    """The Answer to the question; None if this is none."""
    return answer_to(data, number, wire(host), family)


def answer_to(data: bytes, number: int, asked: bytes, family: int) -> "Answer | None":
    """The same for a name as it is in a message."""
    try:
        return _answer(data, number, asked, family)
    except (Unreadable, IndexError):
        return None


def subject(data: bytes) -> "tuple[bytes, int, int] | None":
    """(name, family, number) of a question for addresses, or of an answer to one; None if this is neither."""
    try:
        number, flags, questions = struct.unpack_from(">HHH", data) if len(data) >= 12 else (0, 0, 0)
        name, place = _name(data, 12)
    except (Unreadable, IndexError):
        return None
    what = data[place : place + 4]
    for family in TYPES if questions == 1 and not flags & OPCODE else ():
        if what == struct.pack(">HH", TYPES[family][0], IN):
            return name, family, number
    return None


def _answer(data: bytes, number: int, asked: bytes, family: int) -> "Answer | None":
    if len(data) < 12 + len(asked) + 4:
        return None
    ident, flags, questions, count = struct.unpack_from(">HHHH", data)
    owner, place = _name(data, 12)
    kind, length = TYPES[family]
    # QR says that it is an answer; the opcode is that of a question.
    if (ident, flags & (ANSWER | OPCODE), questions, owner) != (number, ANSWER, 1, asked):
        return None
    if data[place : place + 4] != struct.pack(">HH", kind, IN):
        return None
    place += 4
    aliases: dict[bytes, tuple[bytes, int]] = {}
    found: dict[bytes, list[tuple[bytes, int]]] = {}
    for _ in range(count):
        owner, place = _name(data, place)
        if place + 10 > len(data):
            raise Unreadable()
        what, where, ttl, size = struct.unpack_from(">HHIH", data, place)
        place += 10
        if place + size > len(data):
            raise Unreadable()
        ttl = ttl if ttl <= FOREVER else 0
        if (what, where) == (CNAME, IN):
            aliases[owner] = (_name(data, place)[0], ttl)
        elif (what, where, size) == (kind, IN, length):
            found.setdefault(owner, []).append((data[place : place + size], ttl))
        place += size
    addresses, ttl = _followed(asked, aliases, found)
    return Answer(flags & 15, bool(flags & 0x0200), addresses, ttl)


def _followed(
    asked: bytes, aliases: "dict[bytes, tuple[bytes, int]]", found: "dict[bytes, list[tuple[bytes, int]]]"
) -> "tuple[list[bytes], int]":
    """(the addresses at the end of the aliases, the least TTL on the way there)"""
    least = FOREVER
    for _ in range(CHAIN):
        if asked in found:
            theirs = found[asked][:MOST]
            return [packed for packed, _ in theirs], min([least] + [ttl for _, ttl in theirs])
        if asked not in aliases:
            break
        asked, ttl = aliases[asked]
        least = min(least, ttl)
    return [], least


def _name(data: bytes, place: int) -> "tuple[bytes, int]":
    """(a name in small letters, where what follows it begins). A part that is elsewhere (compression) is further to the
    front each time, so this ends. Raises Unreadable or IndexError."""
    found = b""
    end = 0
    first = place
    while True:
        size = data[place]
        if size >= 0xC0:
            end = end or place + 2
            place = (size & 0x3F) << 8 | data[place + 1]
            if place >= first:
                raise Unreadable()
            first = place
            continue
        if size > 63 or len(found) + size + 1 > LONGEST or place + size >= len(data):
            raise Unreadable()
        found += data[place : place + size + 1]
        place += size + 1
        if size == 0:
            return found.lower(), end or place
