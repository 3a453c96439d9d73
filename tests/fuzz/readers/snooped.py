"""Packets that a device's sockets for DNS keep: of clients and of whoever answers them, or of anybody."""

import struct

from viscum_agent.address import parse_address
from viscum_agent.kernel.handshake import ip_packet
from viscum_agent.names import known, message, snoop

ALLOWED = ()
HOST = "www.example.com"
KEYS = (("echo", HOST), ("other", "*.example.com"))
CLIENT, RESOLVER = parse_address("192.0.2.2"), parse_address("192.0.2.53")
CLIENT6, RESOLVER6 = parse_address("2001:db8::2"), parse_address("2001:db8::53")
TOKENS = [
    CLIENT + RESOLVER,
    RESOLVER + CLIENT,
    b"\0\x35\x9c\x40",
    b"\x12\x34\x81\x80\0\1\0\1\0\0\0\0",
    b"\3www\7example\3com\0\0\1\0\1",
    b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\xcb\0\x71\x0a",
]


def udp(source, port, target, to_port, data):
    data += bytes(len(data) % 2)
    return ip_packet(source, target, 17, struct.pack(">HHH", port, to_port, 8 + len(data)), data)


def asked(family, client, resolver):
    return udp(client, 40000, resolver, 53, message.question(0x1234, HOST, family))


def read(data):
    """The packet as one that came in, and as an answer to questions that were asked."""
    told = snoop.Told()
    told.want(KEYS)
    talk = snoop.Conversations(told)
    talk.want(list(KEYS))
    talk.came_in(data, 0)
    found = talk.parse(data)
    for family in (4, 6):
        talk.came_in(asked(family, CLIENT, RESOLVER), 1 + snoop.WINDOW)
        talk.came_in(asked(family, CLIENT6, RESOLVER6), 1 + snoop.WINDOW)
    new = bool(found) and talk.answered(found, 1 + snoop.WINDOW)
    addresses = [told.addresses()[key] for key in KEYS]
    assert new == bool(addresses[0] or addresses[1])
    for each in addresses:
        assert len(each) <= known.MOST_ADDRESSES
        assert not any(known.refused(packed) or snoop.is_private(packed) for packed in each)
    return [found and list(found[0]), [list(each) for each in addresses]]


def seeds():
    from fuzz.readers import names

    four = names.record(b"\xc0\x0c", 1, 60, bytes([203, 0, 113, 10]))
    six = names.record(b"\xc0\x0c", 28, 60, b"\x20\1\x0d\xb8" + bytes(11) + b"\1")
    private = names.record(b"\xc0\x0c", 1, 60, bytes([192, 168, 1, 1]))
    answers = [names.answered(4, four), names.answered(6, six), names.answered(4, private, four)]
    answers.append(names.answered(4, flags=0x8183))
    found = [udp(RESOLVER, 53, CLIENT, 40000, each) for each in answers]
    found += [udp(RESOLVER6, 53, CLIENT6, 40000, each) for each in answers]
    return found + [asked(4, CLIENT, RESOLVER), asked(6, CLIENT6, RESOLVER6)]
