"""blobmsg: named values as bytes, the contents of every ubus message.

Written from blob.h and blobmsg.h of libubox. An attribute is a be32 of {1 bit "extended", 7 bits id, 24 bits length
with this header}, its payload, and zeros up to a multiple of 4. In blobmsg the id is a type, the bit is set, and the
payload begins with the name: be16 length, the bytes, a NUL, zeros up to a multiple of 4. All numbers are big-endian.

A table is a dict; decoding keeps the first of two fields with the same name, as libubox does. Where the order matters,
the outermost table is a list of (name, value) pairs and one inside it Table(pairs), because a MicroPython dict has no
order. Every fault raises UbusError.
"""

import struct
from collections import namedtuple

from ..utf8 import is_strict
from .codes import TooLargeError, UbusError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    Buffer = bytes | bytearray | memoryview
    Fields = dict[str, Any] | Sequence[tuple[str, Any]]

# enum blobmsg_type in blobmsg.h.
UNSPEC = 0
ARRAY = 1
TABLE = 2
STRING = 3
INT64 = 4
INT32 = 5
INT16 = 6
INT8 = 7
BOOL = 7
DOUBLE = 8

TYPE_NAMES = ("null", "array", "table", "string", "int64", "int32", "int16", "bool", "double")

EXTENDED = 0x80000000  # BLOB_ATTR_EXTENDED, blob.h
LENGTH_MASK = 0x00FFFFFF  # BLOB_ATTR_LEN_MASK
HEADER = 4  # bytes

MAX_SIZE = 1 << 20  # bytes: UBUS_MAX_MSGLEN in CMakeLists.txt of ubus
# Nested tables; the parser of the `ubus` command has the same limit (JSON_TOKENER_DEFAULT_DEPTH of json-c).
MAX_DEPTH = 32

# Pads a length to a multiple of 4: _PADDING[length & 3].
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")
_FORMATS = {INT64: ">q", INT32: ">i", INT16: ">h", DOUBLE: ">d"}
_BITS = {INT64: 64, INT32: 32, INT16: 16, INT8: 8}

# A value whose type can't be derived from it: Typed(INT16, 3), Typed(INT64, 3). Unsigned numbers are accepted as well.
Typed = namedtuple("Typed", ("kind", "value"))


class Table:
    """A table inside another one, in the order of these pairs."""

    def __init__(self, pairs: "Sequence[tuple[str, Any]]") -> None:
        self.pairs = pairs


def encode(fields: "Fields", limit: int = MAX_SIZE) -> bytes:
    """The bytes of a table, without an enclosing attribute. `fields` is a dict or a list of (name, value).

    Values: str, bool, int (int32 where it fits, else int64), float, None, dict, Table, list, tuple, Typed.
    """
    writer = _Writer(limit)
    writer.table(fields, 0)
    return writer.whole()


class _Writer:
    """One buffer that doubles when it is full: joining pieces at the end costs MicroPython's collector more."""

    def __init__(self, limit: int) -> None:
        self._buffer = bytearray(512)
        self._size = 0
        self._limit = limit

    def whole(self) -> bytes:
        return bytes(memoryview(self._buffer)[: self._size])

    def _add(self, part: bytes) -> None:
        start, end = self._size, self._size + len(part)
        if end > self._limit:
            raise TooLargeError("more than the %d bytes that one message may have" % self._limit)
        if end > len(self._buffer):
            self._buffer += bytes(max(len(self._buffer), len(part)))
        self._buffer[start:end] = part
        self._size = end

    def table(self, fields: "Fields", depth: int) -> None:
        if isinstance(fields, dict):
            for name in fields:
                self.field(name, fields[name], depth)
            return
        for name, value in fields:
            self.field(name, value, depth)

    def field(self, name: str, value: "Any", depth: int) -> None:
        kind, value = _kind(value)
        head = _name(name)
        if kind in (TABLE, ARRAY):
            self._nested(kind, head, value, depth + 1)
            return
        body = head + _payload(kind, value)
        self._add(_header(kind, len(body)) + body + _PADDING[len(body) & 3])

    def _nested(self, kind: int, head: bytes, value: "Any", depth: int) -> None:
        if depth > MAX_DEPTH:
            raise UbusError("more than %d tables inside each other" % MAX_DEPTH)
        place = self._size
        self._add(b"\0\0\0\0")  # the header, filled in when the length is known
        self._add(head)
        if kind == TABLE:
            self.table(value, depth)
        else:
            for item in value:
                self.field("", item, depth)
        self._buffer[place : place + HEADER] = _header(kind, self._size - place - HEADER)


def _header(kind: int, size: int) -> bytes:
    return struct.pack(">I", EXTENDED | kind << 24 | HEADER + size)


def _name(name: object) -> bytes:
    if not isinstance(name, str):
        raise UbusError("the name of a field is a text, not %r" % (name,))
    raw = text_bytes(name)
    if len(raw) > 0xFFFF:
        raise UbusError("a name of %d bytes; the maximum is 65535" % len(raw))
    head = struct.pack(">H", len(raw)) + raw + b"\0"
    return head + _PADDING[len(head) & 3]


def text_bytes(text: str) -> bytes:
    """A text as UTF-8 without a NUL inside, which C would take for its end."""
    try:
        raw = text.encode()
    except UnicodeError:
        raise UbusError("half of a surrogate pair has no UTF-8")
    if b"\0" in raw:
        raise UbusError("a NUL inside a text")
    return raw


def _kind(value: "Any") -> "tuple[int, Any]":
    """(type, value) that a Python value is sent as."""
    if isinstance(value, Typed):
        return value.kind, int(value.value) if isinstance(value.value, bool) else value.value
    if isinstance(value, str):
        return STRING, value
    if isinstance(value, bool):  # before int: a bool is an int, too, except in MicroPython
        return INT8, int(value)
    if isinstance(value, int):
        return (INT32 if -0x80000000 <= value <= 0x7FFFFFFF else INT64), value
    if isinstance(value, dict):
        return TABLE, value
    if isinstance(value, Table):
        return TABLE, value.pairs
    if isinstance(value, (list, tuple)):
        return ARRAY, value
    if isinstance(value, float):
        return DOUBLE, value
    if value is None:
        return UNSPEC, value
    raise UbusError("ubus has no type for %s" % type(value).__name__)


def _payload(kind: int, value: "Any") -> bytes:
    if kind == STRING:
        return text_bytes(value) + b"\0"
    if kind == DOUBLE:
        return struct.pack(">d", value)
    if kind == UNSPEC:
        return b""
    if kind not in _BITS:
        raise UbusError("there is no type %r" % (kind,))
    bits = _BITS[kind]
    if not isinstance(value, int) or not -(1 << bits - 1) <= value < 1 << bits:
        raise UbusError("%r is not a number of %d bits" % (value, bits))
    if value < 0:
        value += 1 << bits
    return value.to_bytes(bits // 8, "big")


def attributes(data: "Buffer", start: int, end: int) -> "Iterator[tuple[int, bool, int, int]]":
    """(id, extended, start of the payload, its end) of each attribute between two offsets."""
    while start < end:
        if end - start < HEADER:
            raise UbusError("%d bytes where an attribute should begin" % (end - start))
        word = struct.unpack_from(">I", data, start)[0]
        length = word & LENGTH_MASK
        after = start + (length + 3 & ~3)
        if length < HEADER or after > end:
            raise UbusError("an attribute of %d bytes where %d are left" % (length, end - start))
        yield word >> 24 & 0x7F, bool(word & EXTENDED), start + HEADER, start + length
        start = after


def decode(data: "Buffer") -> "dict[str, Any]":
    """The table in these bytes, as a dict."""
    return _table(data, 0, len(data), 0)


def names(data: "Buffer") -> "list[tuple[str, bytes]]":
    """[(name, the whole attribute as bytes)] of a table's fields."""
    found = []
    for _, extended, start, end in attributes(data, 0, len(data)):
        name, _ = _read_name(data, extended, start, end)
        found.append((name, bytes(data[start - HEADER : end]) + _PADDING[end - start & 3]))
    return found


def payload(attribute: bytes) -> "tuple[int, bytes]":
    """(type, value as bytes) of one whole attribute, as `names` gives them."""
    for kind, extended, start, end in attributes(attribute, 0, len(attribute)):
        _, start = _read_name(attribute, extended, start, end)
        return kind, attribute[start:end]
    raise UbusError("no attribute")


def _table(data: "Buffer", start: int, end: int, depth: int) -> "dict[str, Any]":
    table = {}
    for kind, extended, first, last in attributes(data, start, end):
        name, first = _read_name(data, extended, first, last)
        value = _value(data, kind, first, last, depth)
        if name not in table:
            table[name] = value
    return table


def _array(data: "Buffer", start: int, end: int, depth: int) -> list:
    items = []
    for kind, extended, first, last in attributes(data, start, end):
        _, first = _read_name(data, extended, first, last)
        items.append(_value(data, kind, first, last, depth))
    return items


def _read_name(data: "Buffer", extended: bool, start: int, end: int) -> "tuple[str, int]":
    """The name of a field, and where its value begins."""
    if not extended or end - start < 4:
        raise UbusError("a field without a name")
    length = struct.unpack_from(">H", data, start)[0]
    after = start + (2 + length + 1 + 3 & ~3)
    if after > end or data[start + 2 + length] != 0:
        raise UbusError("a name of %d bytes in a field of %d" % (length, end - start))
    return text(data[start + 2 : start + 2 + length]), after


def _value(data: "Buffer", kind: int, start: int, end: int, depth: int) -> "Any":
    size = end - start
    if kind == STRING:
        if size < 1 or data[end - 1] != 0:
            raise UbusError("a string without an end")
        return text(data[start : end - 1])
    if kind in (TABLE, ARRAY):
        if depth >= MAX_DEPTH:
            raise UbusError("more than %d tables inside each other" % MAX_DEPTH)
        return (_table if kind == TABLE else _array)(data, start, end, depth + 1)
    if kind == UNSPEC:
        return None
    if kind > DOUBLE:
        raise UbusError("there is no type %d" % kind)
    if size != (8 if kind == DOUBLE else _BITS[kind] // 8):
        raise UbusError("%d bytes for a value of type %s" % (size, TYPE_NAMES[kind]))
    if kind == INT8:
        return data[start] != 0  # one type for int8 and bool, and OpenWrt uses it for bool
    return struct.unpack_from(_FORMATS[kind], data, start)[0]


def text(raw: "Buffer") -> str:
    """Bytes as text. If not UTF-8 (the name of a radio network, say), U+FFFD replaces each non-ASCII byte."""
    raw = bytes(raw)
    if b"\0" in raw:
        raise UbusError("a NUL inside a text")
    try:
        decoded = raw.decode()
    except UnicodeError:
        return _replaced(raw)
    if len(decoded) == len(raw):  # ASCII
        return decoded
    # MicroPython accepts overlong forms, surrogates and numbers above U+10FFFF, and encodes some to other bytes.
    return decoded if is_strict(raw) else _replaced(raw)


def _replaced(raw: bytes) -> str:
    return "".join([chr(byte) if byte < 128 else "\ufffd" for byte in raw])
