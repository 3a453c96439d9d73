"""Which packets the filters of direct replies take, byte by byte, as in test_datapath.py."""

import struct

from unit.shared.test_datapath import ETHERNET, match, selects

from viscum_agent import address
from viscum_agent.plan import direct
from viscum_agent.plan.datapath import flower, u32

FIN, SYN, RST, PUSH, ACK, ECN = 0x01, 0x02, 0x04, 0x08, 0x10, 0x40
DATAGRAM = None


def packet(flags, port=80, src="203.0.113.10", dst="192.168.1.5", back=True, fragment=0):
    """A packet of a service at a port; with `back` it comes from there, else it goes there."""
    ports = (port, 40000) if back else (40000, port)
    src, dst = (src, dst) if back else (dst, src)
    proto = 17 if flags is DATAGRAM else 6
    head = struct.pack(">BBHHHBBH", 0x45, 0, 60, 7, fragment, 64, proto, 0)
    tail = struct.pack(">HHIIBBH", ports[0], ports[1], 1, 1, 5 << 4, flags or 0, 1024) + bytes(20)
    return ETHERNET + head + address.parse_address(src) + address.parse_address(dst) + tail


def first(kinds, wanted, back, seen):
    """The place of the first kind of filter that takes a packet, None for none."""
    for place, (level, flags) in enumerate(kinds[wanted.proto]):
        if selects(u32.flows("vsc-s", wanted, level, (), flags, back), seen):
            return place
    return None


def test_every_segment_is_a_reply_but_one_that_begins_a_connection():
    def taken(flags, **other):
        return first(direct.REPLIES, match(), True, packet(flags, **other))

    assert taken(SYN | ACK) == 0
    assert [taken(flags) for flags in (ACK, PUSH | ACK, FIN | ACK, RST | ACK, SYN | ACK | ECN)] == [1] * 5
    assert taken(RST) == 2
    assert [taken(flags) for flags in (SYN, SYN | ECN, SYN | FIN, SYN | RST, 0, FIN)] == [None] * 6
    assert taken(ACK, port=81) is None
    assert taken(ACK, src="203.0.113.11") is None
    assert taken(ACK, fragment=0x2000) is None
    assert taken(ACK, back=False) is None


def test_a_reply_to_a_client_that_the_match_does_not_have_is_none():
    wanted = match(src="192.168.1.0/24")
    assert first(direct.REPLIES, wanted, True, packet(ACK)) == 1
    assert first(direct.REPLIES, wanted, True, packet(ACK, dst="192.168.2.5")) is None


def test_what_comes_in_is_counted_by_its_flags():
    def counted(flags, **other):
        return first(direct.REQUESTS, match(dst=None), False, packet(flags, back=False, **other))

    assert counted(SYN) == 0
    assert counted(ACK) == 1
    assert [counted(flags) for flags in (SYN | ECN, PUSH | ACK, FIN | ACK, RST, SYN | ACK)] == [2] * 5
    assert counted(ACK, port=81) is None


def test_datagrams_have_no_flags():
    wanted = match(proto="udp")
    assert first(direct.REPLIES, wanted, True, packet(DATAGRAM)) == 0
    assert first(direct.REPLIES, wanted, True, packet(ACK)) is None
    assert first(direct.REQUESTS, wanted, False, packet(DATAGRAM, back=False)) == 0


def test_flower_names_the_same_fields():
    (item,) = flower.flows("vsc-s", match(src="192.168.1.0/24", dport=(80, 90)), 1, (), (0x12, 0xFF), True)
    assert item.keys == (
        ("ip_proto", "tcp"),
        ("src_ip", "203.0.113.10/32"),
        ("dst_ip", "192.168.1.0/24"),
        ("src_port", "80-90"),
        ("tcp_flags", "0x12/0xff"),
    )
