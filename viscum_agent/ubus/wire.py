"""ubus messages: an 8-byte header, then one blob whose attributes are the content.

Written from ubusmsg.h and ubusd_proto.c of ubus. The header is u8 version (0), u8 type, be16 sequence number, be32
peer. The attributes are plain blobs, not blobmsg: the bit "extended" is clear and there are no names.
"""

import struct
from collections import namedtuple

from . import blob
from .codes import TooLargeError, UbusError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

# enum ubus_msg_type in ubusmsg.h.
HELLO = 0
STATUS = 1
DATA = 2
PING = 3
LOOKUP = 4
INVOKE = 5
ADD_OBJECT = 6
REMOVE_OBJECT = 7
SUBSCRIBE = 8
UNSUBSCRIBE = 9
NOTIFY = 10
MONITOR = 11

# enum ubus_msg_attr in ubusmsg.h. With A_, because some have the names of message types.
A_STATUS = 1
A_OBJPATH = 2
A_OBJID = 3
A_METHOD = 4
A_OBJTYPE = 5
A_SIGNATURE = 6
A_DATA = 7
A_TARGET = 8
A_ACTIVE = 9
A_NO_REPLY = 10
A_SUBSCRIBERS = 11
A_USER = 12
A_GROUP = 13

# Objects of ubusd itself (UBUS_SYSTEM_OBJECT_* in ubusmsg.h); other ids are random and not below OBJECT_MAX.
OBJECT_EVENT = 1
OBJECT_MONITOR = 3
OBJECT_MAX = 1024

MAX_MESSAGE = blob.MAX_SIZE  # of the blob; the header comes on top
# ubusd adds the names of user and group when it forwards a call, and a monitor gets the whole message wrapped once
# more; both must still fit, and libubus loses its place in the stream after a message that doesn't.
MAX_DATA = MAX_MESSAGE - 1024

HEADER = 8  # bytes
_HEAD = ">BBHII"  # with the blob's own header

NUMBER, TEXT, FLAG, RAW = range(4)
_KINDS = {
    A_STATUS: NUMBER,
    A_OBJPATH: TEXT,
    A_OBJID: NUMBER,
    A_METHOD: TEXT,
    A_OBJTYPE: NUMBER,
    A_SIGNATURE: RAW,
    A_DATA: RAW,
    A_TARGET: NUMBER,
    A_ACTIVE: FLAG,
    A_NO_REPLY: FLAG,
    A_SUBSCRIBERS: RAW,
    A_USER: TEXT,
    A_GROUP: TEXT,
}

# `body` are the attributes.
Message = namedtuple("Message", ("kind", "seq", "peer", "body"))


def pack(kind: int, seq: int, peer: int, attributes: "Iterable[tuple[int, Any]]" = ()) -> bytes:
    """A message as bytes; `attributes` are (id, value). DATA and SIGNATURE take the bytes that blob.encode returns."""
    return pack_body(kind, seq, peer, pack_attributes(attributes))


def pack_body(kind: int, seq: int, peer: int, body: bytes) -> bytes:
    """A message whose attributes are already packed. Raises TooLargeError."""
    size = blob.HEADER + len(body)
    if size > MAX_MESSAGE:
        raise TooLargeError("a message of %d bytes; the maximum is %d" % (size, MAX_MESSAGE))
    return struct.pack(_HEAD, 0, kind, seq, peer, size) + body


def pack_numbers(numbers: "Iterable[int]") -> bytes:
    """The payload of A_SUBSCRIBERS: attributes with id 0."""
    return b"".join([struct.pack(">II", blob.HEADER + 4, number) for number in numbers])


def pack_attributes(attributes: "Iterable[tuple[int, Any]]", kinds: "dict[int, int]" = _KINDS) -> bytes:
    """Only the attributes of a message."""
    parts: list[bytes] = []
    for number, value in attributes:
        _pack_attribute(parts, kinds[number], number, value)
    return b"".join(parts)


def _pack_attribute(parts: "list[bytes]", kind: int, number: int, value: "Any") -> None:
    if kind == NUMBER:
        payload = struct.pack(">I", value & 0xFFFFFFFF)
    elif kind == TEXT:
        payload = blob.text_bytes(value) + b"\0"
    elif kind == FLAG:
        payload = b"\1" if value else b"\0"
    else:
        payload = value
    parts.append(struct.pack(">I", number << 24 | (blob.HEADER + len(payload) & blob.LENGTH_MASK)))
    parts.append(payload)
    parts.append(b"\0" * (-len(payload) & 3))


def numbers(payload: bytes) -> "list[int]":
    """The numbers in an A_SUBSCRIBERS."""
    return [_unpack(NUMBER, payload, start, end) for _, _, start, end in blob.attributes(payload, 0, len(payload))]


def parse(body: bytes, kinds: "dict[int, int]" = _KINDS) -> "dict[int, Any]":
    """{attribute: value} of a message; unknown attributes are left out. Raises UbusError."""
    found = {}
    for number, _, start, end in blob.attributes(body, 0, len(body)):
        if number in kinds:
            found[number] = _unpack(kinds[number], body, start, end)
    return found


def _unpack(kind: int, body: bytes, start: int, end: int) -> "Any":
    if kind == RAW:
        return body[start:end]
    if kind == NUMBER:
        if end - start != 4:
            raise UbusError("a number of %d bytes" % (end - start))
        return struct.unpack_from(">I", body, start)[0]
    if kind == FLAG:
        if end - start < 1:
            raise UbusError("a flag of no bytes")
        return body[start] != 0
    if end - start < 1 or body[end - 1] != 0:
        raise UbusError("a text without an end")
    return blob.text(body[start : end - 1])


def matches(pattern: str, name: str) -> bool:
    """Whether a name matches a pattern (a * at its end stands for anything)."""
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


class Stream:
    """Bytes in, in pieces of any size; messages out. Holds at most one incomplete message.

    After a UbusError the stream is unusable: where the next message begins is unknown.
    """

    def __init__(self, limit: int = MAX_MESSAGE) -> None:
        self._limit = limit
        self._buffer = bytearray()
        self._start = 0  # of what `next` has not returned yet

    def feed(self, data: bytes) -> None:
        if self._start == len(self._buffer):
            self._buffer = bytearray(data)
            self._start = 0
            return
        if self._start > 65536:
            self._buffer = self._buffer[self._start :]
            self._start = 0
        self._buffer += data

    @property
    def waiting(self) -> bool:
        """Whether `next` has a message to return or an error to raise."""
        left = len(self._buffer) - self._start
        if left < HEADER + blob.HEADER:
            return False
        version, _, _, _, word = struct.unpack_from(_HEAD, self._buffer, self._start)
        size = word & blob.LENGTH_MASK
        return version != 0 or size < blob.HEADER or size > self._limit or left >= HEADER + size

    def next(self) -> "Message | None":
        """The next message, None until it is complete."""
        if not self.waiting:
            return None
        version, kind, seq, peer, word = struct.unpack_from(_HEAD, self._buffer, self._start)
        size = word & blob.LENGTH_MASK
        if version != 0:
            raise UbusError("unknown protocol version %d" % version)
        if size < blob.HEADER or size > self._limit:
            raise UbusError("a message of %d bytes; the maximum is %d" % (size, self._limit))
        first = self._start + HEADER + blob.HEADER
        self._start += HEADER + size
        body = bytes(memoryview(self._buffer)[first : self._start])
        if self._start == len(self._buffer):
            self._buffer = bytearray()
            self._start = 0
        return Message(kind, seq, peer, body)
