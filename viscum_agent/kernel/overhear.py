"""DNS between a device's clients and whomever they ask, as the device sees it (packet(7)), for `option snoop`.

Two sockets for each device. One gets the answers that leave towards the clients, and only that one wakes anybody. The
other one keeps what came in from them until then: their questions, and answers too, since whatever comes in from a
client's side is a client's. The kernel sorts them (SO_ATTACH_FILTER), so that no other packet gets further than a few
instructions; what does not fit into a socket's buffer (net.core.rmem_default) is gone.

The packets begin with the IP header (SOCK_DGRAM), whatever the device has before it.
"""

import struct

from .. import compat
from .handshake import DATAGRAM, IPPROTO_UDP, filtered

SOL_PACKET = 263  # linux/socket.h
IGNORE_OUTGOING = 23  # linux/if_packet.h (kernel 4.20): saves a packet that leaves the second filter (bench/modes.py)
SIZE = 1500  # bytes of a packet that are kept
PORT = 53

# linux/filter.h: what is not in the packet. The offset SKF_AD_OFF is negative.
PROTOCOL, PKTTYPE = 0xFFFFF000, 0xFFFFF004
PACKET_OUTGOING = 4  # linux/if_packet.h
# The instructions (linux/bpf_common.h): load into A from a place, or from one behind X; load X; compare.
WORD, HALF, BYTE, HALF_X, BYTE_X, X, X_HEADER = 0x20, 0x28, 0x30, 0x48, 0x50, 0x01, 0xB1
EQUAL, ANY_OF, GO, RETURN = 0x15, 0x45, 0x05, 0x06
DROP = -1  # a place to go to: the end, where nothing is kept

# (instruction, number, where to go if it is so, where if not): steps that are skipped.
_UDP = [
    (WORD, PROTOCOL, 0, 0),
    (EQUAL, 0x0800, 0, 6),  # IPv4 (linux/if_ether.h)
    (BYTE, 9, 0, 0),
    (EQUAL, IPPROTO_UDP, 0, DROP),
    (HALF, 6, 0, 0),
    (ANY_OF, 0x1FFF, DROP, 0),  # a fragment that is not the first has no ports (RFC 791)
    (X_HEADER, 0, 0, 0),  # how long the header is
    (GO, 4, 0, 0),
    (EQUAL, 0x86DD, 0, DROP),  # IPv6
    (BYTE, 6, 0, 0),
    (EQUAL, IPPROTO_UDP, 0, DROP),  # at once: no extension headers
    (X, 40, 0, 0),
]
_KEEP = [(RETURN, SIZE, 0, 0), (RETURN, 0, 0, 0)]
# The ports, and in the flags of the message (RFC 1035, section 4.1.1) whether it is an answer.
ANSWERS = [(WORD, PKTTYPE, 0, 0), (EQUAL, PACKET_OUTGOING, 0, DROP)]
ANSWERS += _UDP + [(HALF_X, 0, 0, 0), (EQUAL, PORT, 0, DROP), (BYTE_X, 10, 0, 0), (ANY_OF, 0x80, 0, DROP)] + _KEEP
QUESTIONS = [(WORD, PKTTYPE, 0, 0), (EQUAL, PACKET_OUTGOING, DROP, 0)]
QUESTIONS += _UDP + [(HALF_X, 2, 0, 0), (EQUAL, PORT, 2, 0), (HALF_X, 0, 0, 0), (EQUAL, PORT, 0, DROP)] + _KEEP


def listen(index: int) -> "tuple[int, int]":
    """(answers, questions): the sockets of a device in the caller's namespace. Raises OSError."""
    found = [_socket(index, ANSWERS)]
    try:
        found.append(_socket(index, QUESTIONS))
        compat.set_option(found[1], SOL_PACKET, IGNORE_OUTGOING, struct.pack("i", 1))
        return found[0], found[1]
    except OSError:
        for fd in found:
            compat.fd_close(fd)
        raise


def _socket(index: int, steps: "list[tuple[int, int, int, int]]") -> int:
    return filtered(DATAGRAM, index, b"".join([_step(steps, place) for place in range(len(steps))]))


def _step(steps: "list[tuple[int, int, int, int]]", place: int) -> bytes:
    """One of them as a struct sock_filter."""
    code, number, so, not_so = steps[place]
    end = len(steps) - 2 - place
    return struct.pack("HBBI", code, end if so == DROP else so, end if not_so == DROP else not_so, number)


def read(fd: int) -> "bytes | None":
    """The next packet, None for none now, or none for good: whoever looks at devices finds that it went."""
    try:
        return compat.fd_receive(fd, SIZE)
    except OSError:  # the device went down (ENETDOWN); it goes on when that is up again
        return None
