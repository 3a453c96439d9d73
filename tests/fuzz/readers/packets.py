"""What comes back from a program to a check: raw packets, those of IPv4 with their IP header.

The first bit is the family."""

from viscum_agent.kernel import handshake

ALLOWED = ()
TOKENS = [b"\x45", b"\x4f", b"\x40", b"\x14\x51\x1f\x90", b"\0\0\0\x65", b"\x50\x12", b"\x50\x14", b"\x50\x11"]
PORT, AT, BEGIN = 5201, 8080, 100


class Handshake(handshake.Handshake):
    """One that has been begun, without its sockets."""

    def __init__(self, family):
        self._family, self._port, self._at, self._begin, self._next = family, PORT, AT, BEGIN, 0
        self._own = self._client = bytes(4 if family == 4 else 16)


def read(data):
    family, packet = (6 if data and data[0] & 1 else 4), data[1:]
    if not packet:
        return None  # nothing is ever read of no length: with a header, or an error
    one = Handshake(family)
    flags = one._flags(packet)
    header = (packet[0] & 15) * 4 if family == 4 else 0
    ours = packet[header : header + 4] == b"\x14\x51\x1f\x90" and packet[header + 8 : header + 12] in (
        b"\0\0\0\x65",
        b"\0\0\0\x66",
    )
    assert ours or not flags, "another connection's"
    reply = one._segment(BEGIN + 1, one._next, handshake.ACK)
    assert len(reply) == (40 if family == 4 else 60) and checksum_is_right(reply, family)
    return flags, one._next, reply


def checksum_is_right(packet, family):
    if family == 4:
        pseudo = packet[12:20] + b"\0\6\0\x14"
        return handshake.checksum(packet[:20]) == 0 and handshake.checksum(pseudo + packet[20:]) == 0
    return handshake.checksum(packet[8:40] + b"\0\0\0\x14\0\0\0\6" + packet[40:]) == 0


def seeds():
    head = b"\x45" + bytes(19)
    tcp = b"\x14\x51\x1f\x90\0\0\1\0\0\0\0\x65\x50\x12\0\0\0\0\0\0"
    return [b"\0" + head + tcp, b"\1" + tcp, b"\0\x4f" + bytes(59) + tcp, b"\0" + head + tcp[:14], b"\1" + tcp[:13]]
