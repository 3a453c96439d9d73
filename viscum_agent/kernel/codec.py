"""Netlink messages as bytes, the same for all netlink protocols: headers, attributes, and what a buffer holds.

A message is a header (struct nlmsghdr), a fixed part of its kind and attributes (struct nlattr). Both headers are in
the machine's byte order. A number in an attribute is in that order too (u32) or big-endian (be32), depending on the
protocol: rtnetlink uses the first, nfnetlink the second. The names are the kernel's (nla_put_u32 and nla_put_be32 in
net/netlink.h), the numbers those of linux/netlink.h and, below nfnetlink, of linux/netfilter/nfnetlink.h.
"""

import struct
from struct import pack, unpack_from

from ..errors import ViscumError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP_INTR = 1, 4, 0x10
NLM_F_DUMP = 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE, NLM_F_APPEND = 0x100, 0x200, 0x400, 0x800
NLM_F_CAPPED, NLM_F_ACK_TLVS = 0x100, 0x200  # in an NLMSG_ERROR
NLMSGERR_ATTR_MSG = 1
NLA_F_NESTED = 0x8000  # optional in nfnetlink; rtnetlink has nests without it

# Writing


def message(kind: int, flags: int, body: bytes, seq: int) -> bytes:
    """A whole message that asks for an answer with its sequence number. Port 0: the kernel knows the sender."""
    return pack("IHHII", 16 + len(body), kind, NLM_F_REQUEST | flags, seq, 0) + body


def attribute(kind: int, data: bytes) -> bytes:
    """One attribute; its length excludes the padding to 4 bytes."""
    return pack("HH", 4 + len(data), kind) + data + b"\0" * (-len(data) & 3)


def nest(kind: int, data: bytes) -> bytes:
    """An attribute that holds others and is marked so."""
    return attribute(kind | NLA_F_NESTED, data)


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def u32(kind: int, value: int) -> bytes:
    return attribute(kind, pack("I", value))


def be32(kind: int, value: int) -> bytes:
    return attribute(kind, pack(">I", value))


# Reading

# What a function raises that does not find in a message what the kernel always sends; MicroPython has no struct.error.
CUT_SHORT = (LookupError, ValueError, getattr(struct, "error", ValueError))


def understood(read: "Callable[..., Any]", *arguments: object) -> "Any":
    """What a function makes of messages. Raises ViscumError where they are cut short."""
    try:
        return read(*arguments)
    except CUT_SHORT:
        raise ViscumError("a netlink message is cut short")


def parsed(parse: "Callable[[Any], Any]", bodies: "Iterable[Any]") -> list:
    """What a function makes of each body, without those that it makes nothing of. Raises ViscumError."""
    return understood(lambda: [item for item in [parse(body) for body in bodies] if item])


def messages(data: bytes, strict: bool = False) -> "Iterator[tuple[int, int, int, bytes]]":
    """(type, flags, seq, body) of each message in the result of one recv(). A broken length ends the iteration, or is
    an error if `strict`."""
    start = 0
    end = len(data)
    while start + 16 <= end:
        size, kind, flags, seq, _ = unpack_from("IHHII", data, start)
        if size < 16 or start + size > end:
            if strict:
                raise ViscumError("a netlink message is cut short")
            break
        yield kind, flags, seq, data[start + 16 : start + size]
        start += (size + 3) & ~3


def attributes(data: bytes, start: int = 0, wanted: "Sequence[int] | None" = None) -> "dict[int, bytes]":
    """The attributes of a message as {type: bytes}, all or the wanted types; of a repeated type the last one. A broken
    length ends the iteration."""
    found = {}
    end = len(data)
    while start + 4 <= end:
        size, kind = unpack_from("HH", data, start)
        if size < 4 or start + size > end:
            break
        kind &= 0x3FFF  # NLA_TYPE_MASK: without NLA_F_NESTED, NLA_F_NET_BYTEORDER
        if wanted is None or kind in wanted:
            found[kind] = data[start + 4 : start + size]
        start += (size + 3) & ~3
    return found


def elements(data: bytes, strict: bool = False) -> "list[tuple[int, bytes]]":
    """The attributes of a list, where all may have the same type, as (type, bytes). A broken length ends the iteration,
    or is an error if `strict`."""
    found = []
    start, end = 0, len(data)
    while start + 4 <= end:
        size, kind = unpack_from("HH", data, start)
        if size < 4 or start + size > end:
            if strict:
                raise ViscumError("a netlink attribute is cut short")
            break
        found.append((kind & 0x3FFF, data[start + 4 : start + size]))
        start += (size + 3) & ~3
    return found


def text_of(data: bytes) -> str:
    """Text up to its NUL. The kernel accepts any bytes in a name or alias; what is not UTF-8 is not ours."""
    try:
        return bytes(data).split(b"\0", 1)[0].decode()
    except UnicodeError:
        return "?"


def u32_of(data: bytes) -> int:
    return unpack_from("I", data)[0]


def be32_of(data: bytes) -> int:
    return unpack_from(">I", data)[0]


def errno_of(body: bytes) -> int:
    """The error number that an NLMSG_ERROR or NLMSG_DONE begins with; 0 if it reports no error."""
    return -understood(unpack_from, "i", body, 0)[0]


def error(flags: int, body: bytes) -> "tuple[int, str]":
    """(errno, the kernel's own words or "") of an NLMSG_ERROR; errno 0 is an acknowledgement."""
    code = errno_of(body)
    if not flags & NLM_F_ACK_TLVS:
        return code, ""
    # The request follows: only its header if the message was capped, else all of it.
    start = 20 if flags & NLM_F_CAPPED else 4 + understood(unpack_from, "I", body, 4)[0]
    words = attributes(body, (start + 3) & ~3).get(NLMSGERR_ATTR_MSG, b"")
    return code, text_of(words)


# nfnetlink

NFTABLES = 10 << 8  # NFNL_SUBSYS_NFTABLES: the high byte of a message type


def nf_message(kind: int, flags: int, family: int, data: bytes, seq: int) -> bytes:
    """A message whose fixed part is struct nfgenmsg: family, version (NFNETLINK_V0), resource."""
    return message(kind, flags, bytes([family, 0, 0, 0]) + data, seq)
