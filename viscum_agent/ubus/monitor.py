"""What the broker sends to `ubus monitor`: each message, with its sender and receiver."""

from .wire import FLAG, MONITOR, NUMBER, RAW, pack_attributes, pack_body
from .wire import parse as parse_attributes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

# enum ubus_monitor_attr in ubusmsg.h: the attributes of a MONITOR message.
CLIENT, PEER, SEND, SEQ, TYPE, DATA = range(6)
_KINDS = {CLIENT: NUMBER, PEER: NUMBER, SEND: FLAG, SEQ: NUMBER, TYPE: NUMBER, DATA: RAW}


def pack(seq: int, attributes: "Iterable[tuple[int, Any]]") -> bytes:
    """A MONITOR message as bytes; `attributes` are (id, value)."""
    return pack_body(MONITOR, seq, 0, pack_attributes(attributes, _KINDS))


def parse(body: bytes) -> "dict[int, Any]":
    """{attribute: value} of a MONITOR message. Raises UbusError."""
    return parse_attributes(body, _KINDS)
