"""Which packets the filters of direct replies take, byte by byte, as in test_datapath.py; and where they go."""

import struct

from unit.shared.test_datapath import ETHERNET, match, selects

from viscum_agent import address
from viscum_agent.config import uci
from viscum_agent.config.service import read
from viscum_agent.plan import direct
from viscum_agent.plan.datapath import flower, u32
from viscum_agent.records.facts import Device
from viscum_agent.records.objects import Filter

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


# Where they go


OWN = "10.213.0.2"
WAN = Device("wan", True, 1500, "02:00:00:00:00:01", True, "02:00:00:00:00:01", "", (4, 6), False)
PLATES = """config service 'plates'
	list device 'wan'
	option command '/bin/true'
	option reply 'direct'
	option family 'ipv4'
	option nexthop_mac '02:00:5e:00:53:77'
"""


def items(lines, which=u32):
    (service,) = read(uci.parse((PLATES + lines).encode(), "viscum")).services
    return direct.items(service, service.matches, {4: OWN}, which, [WAN], None, "viscum")


def way(made, seen):
    """Where the filters of a pair send a packet, "" for where the router routes it."""
    for prio in (1, 3, 5):
        for item in made[1:-1]:
            if item.prio == prio and selects([item], seen):
                return item.actions[-1][1] if item.actions[-1][0] == "mirred" else ""
    return ""


def test_what_the_program_begins_itself_is_routed_and_its_replies_go_to_the_next_hop():
    any_address = items("	list proto 'tcp'\n	list dest_port '40000-40003'\n")
    around = items("	list proto 'tcp'\n	list dest_ip '10.0.0.0/8'\n")
    for made, cloud in ((any_address, "203.0.113.10"), (around, "10.9.9.9")):
        assert way(made, packet(ACK, port=40001, src=cloud)) == "wan"
        for flags in (SYN, ACK, FIN | ACK, RST, SYN | ACK):
            assert way(made, packet(flags, port=40001, src=OWN)) == ""


def test_where_no_reply_can_have_its_address_nothing_is_compared():
    made = items("	list proto 'tcp'\n	list dest_ip '203.0.113.10'\n")
    assert [item.prio for item in made[1:-1]] == [3, 5, 5]


def test_so_many_ports_that_their_filters_would_not_all_be_read_are_counted_together():
    few = items("	list proto 'tcp'\n	list dest_port '1-998'\n")[-1].filters
    ranges = ["	list dest_port '%d-%d'\n" % (1000 * number + 1, 1000 * number + 998) for number in range(40)]
    many = items("	list proto 'tcp'\n" + "".join(ranges))[-1].filters
    assert 30 < len(few) < direct.MOST_COUNTING and len(many) == 3
    assert selects([item for item in many if item.prio == 1], packet(SYN, port=7, back=False))


def test_the_mac_that_replies_go_to_is_in_the_filters_of_the_pair():
    redirect = Filter("wan", 5, "ip", "u32", -1, (), (("skbmod", "02:00:00:00:00:09", ""), ("mirred", "vsc-plates")))
    assert direct.mac_of([redirect] + items("	list proto 'tcp'\n	list dest_port '80'\n")) == "02:00:5e:00:53:77"
    assert direct.mac_of([redirect]) == direct.mac_of([]) == ""
