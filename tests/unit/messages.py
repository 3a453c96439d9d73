"""The operations whose messages are held against those of ip(8) and tc(8) (test_messages.py)."""

from viscum_agent.records.objects import (
    Address,
    AnyLocal,
    Counting,
    Filter,
    HashTable,
    Mark,
    Operation,
    Pair,
    Prio,
    Qdisc,
    Route,
    Rule,
    Up,
)

PAIR = Pair("vsc-a", "viscum-a", "eth0", 1500, "02:76:00:00:00:01", "02:76:00:00:00:02", "viscum a", "veth")
WIDER = Pair("vsc-a", "viscum-a", "eth0", 9000, "02:76:00:00:00:03", "02:76:00:00:00:04", "viscum a", "veth")
REDIRECT = ("mirred", "vsc-a")
BOTH = (("skbedit", "host"), ("skbmod", "02:76:00:00:00:02", "02:76:00:00:00:01"), REDIRECT)
TCP, FIRST, NO_OPTIONS = (0x00060000, 0x00FF0000, 8), (0, 0x00001FFF, 4), (0x05000000, 0x0F000000, 0)
DST, PORT = (0xCB00710A, 0xFFFFFFFF, 16), (5201, 0xFFFF, 20)
DST6 = ((0x20010DB8, 0xFFFFFFFF, 24), (0xCAFE0000, 0xFFFFFFFF, 28), (0, 0xFFFFFFFF, 32), (0x10, 0xFFFFFFFF, 36))


def add(item):
    return Operation("add", item, None, 0)


def delete(item, handle=0):
    return Operation("del", None, item, handle)


def change(item, old, handle=0):
    return Operation("change", item, old, handle)


EXACT = Filter("lan0", 1, "ip", "u32", 10, (DST, TCP, NO_OPTIONS, FIRST, PORT), (REDIRECT,))
WIDE = Filter("lan0", 3, "ip", "u32", -1, ((0xCB007100, 0xFFFFFF00, 16), TCP), BOTH)
CHANGED = Filter("lan0", 3, "ip", "u32", -1, WIDE.keys, (("skbmod", "02:76:00:00:00:02", ""), REDIRECT))
EXACT6 = Filter("lan0", 2, "ipv6", "u32", 16, DST6 + ((0x00000600, 0x0000FF00, 4), (5201, 0xFFFF, 40)), (REDIRECT,))
MAC = Filter("lan0", 5, "ip", "u32", -1, ((0x0200, 0xFFFF, -16), (0x5E005301, 0xFFFFFFFF, -12), TCP), (REDIRECT,))
FLOWER = Filter(
    "lan0",
    1,
    "ip",
    "flower",
    -1,
    (("ip_proto", "tcp"), ("src_ip", "192.168.1.0/24"), ("dst_ip", "203.0.113.10/32"), ("dst_port", "5201")),
    BOTH,
)
FLOWER_UDP = Filter("lan0", 1, "ip", "flower", -1, (("ip_proto", "udp"), ("dst_ip", "203.0.113.10/32")), (REDIRECT,))
FLOWER_RANGE = Filter(
    "lan0",
    5,
    "ip",
    "flower",
    -1,
    (("dst_mac", "02:00:5e:00:53:01"), ("ip_proto", "udp"), ("dst_port", "5000-5010")),
    BOTH,
)
FLOWER6 = Filter(
    "lan0",
    4,
    "ipv6",
    "flower",
    -1,
    (("ip_proto", "udp"), ("src_ip", "fd00::/8"), ("dst_ip", "2001:db8::/61"), ("dst_port", "53")),
    (("skbmod", "", "02:76:00:00:00:01"), REDIRECT),
)
SYN_ACK = (("ip_proto", "tcp"), ("src_ip", "203.0.113.10/32"), ("src_port", "12345"), ("tcp_flags", "0x12/0xff"))
REPLIES = (("ip_proto", "tcp"), ("src_port", "5000-5010"), ("tcp_flags", "0x10/0x10"))
LET_IN = (("skbedit", "host"),)
COUNTED = (
    Filter("eth0", 1, "ip", "u32", -1, (TCP, NO_OPTIONS, PORT, (0x00020000, 0x00FF0000, 32)), LET_IN),
    Filter("eth0", 4, "ipv6", "flower", -1, (("ip_proto", "tcp"), ("dst_port", "12345")), LET_IN),
)
COUNTING = Counting("viscum-a", "eth0", COUNTED)
ANY, ANY6 = AnyLocal("viscum-a", 4, "10.213.0.2"), AnyLocal("viscum-a", 6, "fd76::2")
TABLE, TABLE6 = HashTable("lan0", 1, "ip"), HashTable("lan0", 2, "ipv6")
LINK = 0x80000800  # the handle of a table's link in its prio's root

OPERATIONS = [
    add(Up("viscum-a", "lo")),
    add(PAIR),
    add(Address("", "vsc-a", "10.213.0.1/30")),
    add(Address("viscum-a", "eth0", "10.213.0.2/30")),
    add(Address("viscum-a", "eth0", "fd76::2/126")),
    add(Address("viscum-a", "lo", "203.0.113.10/32")),
    add(Route("viscum-a", 4, "default", "10.213.0.1", "eth0", "203.0.113.10")),
    add(Route("viscum-a", 6, "default", "fd76::1", "eth0", "")),
    add(Route("", 4, "203.0.113.0/24", "", "vsc-a", "")),
    add(Route("", 6, "2001:db8:cafe::/48", "", "vsc-a", "")),
    add(Rule("", 4, 100, "vsc-a", 7)),
    add(Rule("", 6, 100, "vsc-a", 70000)),
    add(Qdisc("lan0")),
    add(TABLE),
    add(TABLE6),
    add(EXACT),
    add(EXACT6),
    add(WIDE),
    add(MAC),
    change(WIDER, PAIR),
    change(PAIR, WIDER),
    change(Route("viscum-a", 4, "default", "10.213.0.1", "eth0", ""), None),
    change(CHANGED, WIDE, 0x80200800),
    delete(WIDE, 0x80200800),
    delete(EXACT, 0x7610A800),
    delete(EXACT6, 0x76210800),
    delete(TABLE, LINK),
    delete(Prio("lan0", 2, "ipv6")),
    delete(Mark("lan0")),
    delete(Qdisc("lan0")),
    add(FLOWER),
    add(FLOWER_UDP),
    add(FLOWER_RANGE),
    add(FLOWER6),
    change(FLOWER, FLOWER, 1),
    delete(FLOWER, 2),
    delete(Rule("", 4, 100, "vsc-a", 7)),
    delete(Route("viscum-a", 6, "default", "fd76::1", "eth0", "")),
    delete(Address("viscum-a", "lo", "203.0.113.10/32")),
    delete(Address("viscum-a", "eth0", "fd76::2/126")),
]

# Replies that are not routed.
DIRECT = [
    add(Filter("lan0", 1, "ip", "flower", -1, SYN_ACK, BOTH)),
    add(Filter("lan0", 3, "ip", "flower", -1, REPLIES, BOTH)),
    add(COUNTING),
    delete(COUNTING),
    add(ANY),
    add(ANY6),
    delete(ANY),
    delete(ANY6),
]

# Clients by their MAC addresses, and what is left of theirs to the cloud.
CLIENT = (("src_mac", "02:00:5e:00:53:11"), ("ip_proto", "tcp"))
LEFT = (("pass", "vsc-a"),)
CLIENT_U32 = ((0x02005E00, 0xFFFFFFFF, -8), (0x53110000, 0xFFFF0000, -4), TCP)
CLIENTS = [
    add(
        Filter(
            "lan0", 1, "ip", "flower", -1, CLIENT + (("dst_ip", "203.0.113.10/32"), ("dst_port", "5201")), (REDIRECT,)
        )
    ),
    add(Filter("lan0", 3, "ip", "flower", -1, CLIENT + (("dst_port", "5201"),), LEFT)),
    add(Filter("lan0", 3, "ip", "u32", -1, CLIENT_U32, LEFT)),
]
