"""How far away TCP's other ends are, by the kernel's own measure (struct tcp_info of linux/tcp.h).

Of a service's connections by sock_diag (sock_diag(7), linux/inet_diag.h), which OpenWrt has in a package of its own
(kmod-inet-diag); of a socket of ours by getsockopt(2), which needs none.
"""

import struct

from .. import compat
from .codec import NLM_F_DUMP, attributes, message, parsed
from .handshake import AF, IPPROTO_TCP
from .netlink import Socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection

    from ..records.facts import Ports

SOCK_DIAG_BY_FAMILY = 20  # linux/sock_diag.h
INET_DIAG_INFO = 2  # linux/inet_diag.h: the attribute; as a bit of what is asked for, one less
STATES = 1 << 1 | 1 << 8  # ESTABLISHED, CLOSE_WAIT (net/tcp_states.h)
HEAD, IDENTITY = 72, 4  # bytes of struct inet_diag_msg, and where struct inet_diag_sockid is in it
MAPPED = bytes(10) + b"\xff\xff"  # RFC 4291, 2.5.5.2
MOST = 256  # connections of a family that are read: some 100 KB

TCP_INFO, SIZE = 11, 152  # an option of tcp(7); bytes of what is read of it
RTT, MIN_RTT = 68, 148  # where tcpi_rtt and tcpi_min_rtt are, microseconds
UNKNOWN = 0xFFFFFFFF  # of a minimum that is none yet


def round_trips(own: "Collection[bytes]", ports: "Ports") -> "list[int]":
    """The round trips (microseconds) to the clients whose connections are open at these ports of the caller's
    namespace, sorted; not those from `own` addresses, from which checks come, nor from within. Raises OSError."""
    bodies = _open(AF[4]) + _open(AF[6])
    return sorted(parsed(lambda body: _of_client(body, own, ports), bodies))


def _open(family: int) -> "list[bytes]":
    asked = struct.pack("BBBBI48s", family, IPPROTO_TCP, 1 << (INET_DIAG_INFO - 1), 0, STATES, b"")
    socket = Socket(compat.NETLINK_SOCK_DIAG)
    try:
        return socket.dump(lambda seq: message(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, asked, seq), True, MOST)
    finally:
        socket.close()


def _of_client(body: bytes, own: "Collection[bytes]", ports: "Ports") -> "int | None":
    port = struct.unpack_from(">H", body, IDENTITY)[0]
    here, there = [_address(body[0], body[at : at + 16]) for at in (IDENTITY + 4, IDENTITY + 20)]
    if there in own or there == here:
        return None
    if port not in ports.single and not any([low <= port <= high for low, high in ports.ranges]):
        return None
    return _least(attributes(body, HEAD).get(INET_DIAG_INFO, b""))


def _address(family: int, data: bytes) -> bytes:
    if family == AF[4]:
        return data[:4]
    return data[12:] if data[:12] == MAPPED else data


def round_trip(fd: int) -> "int | None":
    """The round trip (microseconds) to whom a TCP socket of ours is connected to; None if it is not known."""
    return _least(compat.get_option(fd, IPPROTO_TCP, TCP_INFO, SIZE))


def _least(info: bytes) -> "int | None":
    """The least that was measured lately (tcp_min_rtt_wlen of ip-sysctl.rst): others have the time in it that an answer
    waits for a client's data, or behind others."""
    found = [struct.unpack_from("I", info, at)[0] for at in (MIN_RTT, RTT) if len(info) >= at + 4]
    known = [each for each in found if each not in (0, UNKNOWN)]
    return known[0] if known else None
