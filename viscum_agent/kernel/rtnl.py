"""rtnetlink messages for links, addresses, routes and rules, as bytes; no sockets here.

A message's header (codec.py) is followed by a fixed part and attributes (linux/rtnetlink.h). Numbers are in host byte
order, addresses and MACs in network order. The numbers below are from linux/rtnetlink.h, if_link.h, if_addr.h,
fib_rules.h and veth.h; they are part of the kernel's ABI.
"""

from collections import namedtuple
from struct import pack, unpack_from

from .. import address
from ..records.dump import Addr, Link, RouteEntry, RuleEntry
from ..records.objects import INNER_DEV, NETKIT, AnyLocal
from .codec import (
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_DUMP_INTR,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    attribute,
    attributes,
    message,
    text,
    text_of,
    u32,
    u32_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..records.objects import Pair, Route, Rule

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH, RTM_GETNEIGH = 28, 30
RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE = 32, 33, 34

IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER, IFLA_LINKINFO, IFLA_IFALIAS = 1, 3, 4, 5, 10, 18, 20
IFLA_QDISC, IFLA_PROMISCUITY = 6, 30
IFLA_GROUP, IFLA_NET_NS_FD, IFLA_EXT_MASK, IFLA_LINK_NETNSID = 27, 28, 29, 37
IFLA_NUM_TX_QUEUES, IFLA_NUM_RX_QUEUES = 31, 32
LINK_NETNSID_NONE = -1
IFLA_INFO_KIND, IFLA_INFO_DATA = 1, 2
# Both kinds of a pair say what the other end is in an attribute with the same number.
VETH_INFO_PEER = IFLA_NETKIT_PEER_INFO = 1
IFLA_NETKIT_MODE = 5  # frames with an Ethernet header, or packets without one
NETKIT_L2 = 0
RTEXT_FILTER_SKIP_STATS = 8
# What is read of a link: a few of the 41 attributes, 1 KB in all, that the kernel sends.
LINK_ATTRIBUTES = (
    IFLA_ADDRESS,
    IFLA_IFNAME,
    IFLA_MTU,
    IFLA_LINK,
    IFLA_MASTER,
    IFLA_LINKINFO,
    IFLA_IFALIAS,
    IFLA_LINK_NETNSID,
)
IFF_UP = 1
LOOPBACK_INDEX = 1  # in every namespace: it is the first device there (net/core/dev.h, LOOPBACK_IFINDEX)
IFA_ADDRESS, IFA_LOCAL, IFA_FLAGS, IFA_F_NODAD = 1, 2, 8, 2
RTA_DST, RTA_SRC, RTA_IIF, RTA_OIF, RTA_GATEWAY, RTA_PREFSRC, RTA_TABLE = 1, 2, 3, 4, 5, 7, 15
RT_TABLE_MAIN, RT_TABLE_LOCAL, RTPROT_KERNEL, RTPROT_STATIC, RTN_UNICAST, RTN_LOCAL = 254, 255, 2, 4, 1, 2
RT_SCOPE_UNIVERSE, RT_SCOPE_LINK, RT_SCOPE_HOST = 0, 253, 254
RTM_F_CLONED = 0x200  # a cached route
# linux/neighbour.h. Of the states that count here, the kernel is sure of a MAC while it is reachable, or was told it.
NDA_DST, NDA_LLADDR, NTF_USE = 1, 2, 1
NUD_REACHABLE, NUD_FAILED, NUD_NOARP, NUD_PERMANENT = 0x02, 0x20, 0x40, 0x80
FRA_DST, FRA_IIFNAME, FRA_PRIORITY, FRA_TABLE, FRA_PROTOCOL, FR_ACT_TO_TBL = 1, 3, 6, 15, 21, 1
LOOPBACK_NETWORK = {4: "127.0.0.0/8", 6: "::1/128"}

AF = {4: 2, 6: 10}  # AF_INET, AF_INET6
FAMILY = {2: 4, 10: 6}


# Links


def _ifinfo(index: int = 0, flags: int = 0, change: int = 0) -> bytes:
    return pack("BBHiII", 0, 0, 0, index, flags, change)


def link_get(which: "int | str", seq: int) -> bytes:
    """One link, by its name or its index."""
    mask = u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS)
    if isinstance(which, int):
        return message(RTM_GETLINK, 0, _ifinfo(which) + mask, seq)
    return message(RTM_GETLINK, 0, _ifinfo() + mask + text(IFLA_IFNAME, which), seq)


def link_dump(seq: int) -> bytes:
    return message(RTM_GETLINK, NLM_F_DUMP, _ifinfo() + u32(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS), seq)


def pair_add(pair: "Pair", ns_fd: int, seq: int) -> bytes:
    """A pair whose peer is created in the namespace of `ns_fd`. The router's end is up. The peer can't be up yet
    (veth_open in drivers/net/veth.c, netkit_open in netkit.c: ENOTCONN), and the alias needs a message of its own:
    link_set does both.

    One queue: without that it gets as many as there are processors (veth_get_num_queues there, since Linux 5.17), at 6
    KB each and end, and only XDP and GRO on veth, which nobody uses here, would spread packets over them."""
    queues = u32(IFLA_NUM_TX_QUEUES, 1) + u32(IFLA_NUM_RX_QUEUES, 1)
    peer = _ifinfo() + text(IFLA_IFNAME, pair.peer) + u32(IFLA_MTU, pair.mtu) + queues
    peer += attribute(IFLA_ADDRESS, address.parse_mac(pair.peer_mac)) + u32(IFLA_NET_NS_FD, ns_fd)
    data = attribute(VETH_INFO_PEER, peer)
    data += u32(IFLA_NETKIT_MODE, NETKIT_L2) if pair.kind == NETKIT else b""
    body = _ifinfo(0, IFF_UP, IFF_UP) + text(IFLA_IFNAME, pair.name) + u32(IFLA_MTU, pair.mtu) + queues
    body += attribute(IFLA_ADDRESS, address.parse_mac(pair.mac)) + _link_info(pair.kind, data)
    return message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, body, seq)


def netkit_try(seq: int) -> bytes:
    """Never makes anything: no device can have this address. A netkit whose devices have addresses (Linux 6.10) says
    EADDRNOTAVAIL, an older one, like a kernel without, EOPNOTSUPP (netkit_validate in drivers/net/netkit.c)."""
    body = _ifinfo() + attribute(IFLA_ADDRESS, b"\xff" * 6) + _link_info(NETKIT, u32(IFLA_NETKIT_MODE, NETKIT_L2))
    return message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, body, seq)


def _link_info(kind: str, data: bytes) -> bytes:
    info = attribute(IFLA_INFO_KIND, kind.encode()) + attribute(IFLA_INFO_DATA, data)
    return attribute(IFLA_LINKINFO, info)


def link_set(name: str, seq: int, up: bool = True, mtu: int = 0, mac: str = "", alias: str = "") -> bytes:
    """Changes a device, found by its name; what is 0 or "" stays as it is."""
    body = _ifinfo(0, IFF_UP if up else 0, IFF_UP) + text(IFLA_IFNAME, name)
    if mtu:
        body += u32(IFLA_MTU, mtu)
    if mac:
        body += attribute(IFLA_ADDRESS, address.parse_mac(mac))
    if alias:
        body += attribute(IFLA_IFALIAS, alias.encode())
    return message(RTM_NEWLINK, NLM_F_ACK, body, seq)


def link_group(name: str, group: int, seq: int) -> bytes:
    """Puts a device into a group (`ip link set NAME group NUMBER`)."""
    return message(RTM_NEWLINK, NLM_F_ACK, _ifinfo() + text(IFLA_IFNAME, name) + u32(IFLA_GROUP, group), seq)


def group_del(group: int, seq: int) -> bytes:
    """Deletes all devices of a group at once (`ip link del group NUMBER`)."""
    return message(RTM_DELLINK, NLM_F_ACK, _ifinfo() + u32(IFLA_GROUP, group), seq)


def index_of(body: bytes) -> int:
    """The index in a link message."""
    return unpack_from("i", body, 4)[0]


def peer_of(body: bytes) -> int:
    """The index of the other end of a pair, in the link message of one end; 0 if it does not say."""
    found = attributes(body, 16, (IFLA_LINK,))
    return u32_of(found[IFLA_LINK]) if found else 0


def nsid_of(body: bytes) -> int:
    """The number that the namespace of a pair's other end has here, in a link message; -1 if it does not say. The
    kernel gives each one a number before it answers (rtnl_fill_link_netnsid in net/core/rtnetlink.c)."""
    return _nsid(attributes(body, 16, (IFLA_LINK_NETNSID,)))


def _nsid(found: "dict[int, bytes]") -> int:
    return unpack_from("i", found[IFLA_LINK_NETNSID])[0] if IFLA_LINK_NETNSID in found else LINK_NETNSID_NONE


def queue_of(body: bytes) -> str:
    """The kind of the queue of what a device sends, in its link message."""
    return text_of(attributes(body, 16, (IFLA_QDISC,)).get(IFLA_QDISC, b""))


def is_promiscuous(body: bytes) -> bool:
    """Whether somebody made a device promiscuous, in its link message. (Its flag is only what ip(8) asked for.)"""
    found = attributes(body, 16, (IFLA_PROMISCUITY,))
    return bool(found) and u32_of(found[IFLA_PROMISCUITY]) > 0


def parse_link(ns: str, body: bytes) -> "Link":
    _, _, arphrd, index, flags, _ = unpack_from("BBHiII", body, 0)
    found = attributes(body, 16, LINK_ATTRIBUTES)
    info = attributes(found.get(IFLA_LINKINFO, b""))
    mac = found.get(IFLA_ADDRESS, b"")
    return Link(
        ns=ns,
        index=index,
        name=text_of(found[IFLA_IFNAME]),
        up=bool(flags & IFF_UP),
        mtu=u32_of(found[IFLA_MTU]) if IFLA_MTU in found else 0,
        mac=address.format_mac(mac) if len(mac) == 6 else "",
        kind=text_of(info.get(IFLA_INFO_KIND, b"")),
        type=arphrd,
        master=u32_of(found[IFLA_MASTER]) if IFLA_MASTER in found else 0,
        alias=text_of(found.get(IFLA_IFALIAS, b"")),
        peer=u32_of(found[IFLA_LINK]) if IFLA_LINK in found else 0,
        peer_nsid=_nsid(found),
    )


# Addresses


def _address(index: int, text_address: str) -> bytes:
    body, _, length = text_address.partition("/")
    packed = address.parse_address(body)
    family = 2 if len(packed) == 4 else 10
    # No duplicate address detection: the pair has no third party, and a tentative address can't answer.
    flags = IFA_F_NODAD if family == 10 else 0
    return (
        pack("BBBBI", family, int(length), flags, 0, index)
        + attribute(IFA_LOCAL, packed)
        + attribute(IFA_ADDRESS, packed)
    )


def address_add(index: int, text_address: str, seq: int) -> bytes:
    return message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, _address(index, text_address), seq)


def address_del(index: int, text_address: str, seq: int) -> bytes:
    return message(RTM_DELADDR, NLM_F_ACK, _address(index, text_address), seq)


def address_dump(seq: int) -> bytes:
    return message(RTM_GETADDR, NLM_F_DUMP, pack("BBBBI", 0, 0, 0, 0, 0), seq)


def parse_address(ns: str, body: bytes) -> "Addr | None":
    """An Addr, or None for a family that is not IP."""
    family, length, _, _, index = unpack_from("BBBBI", body, 0)
    found = attributes(body, 8)
    packed = found.get(IFA_LOCAL) or found.get(IFA_ADDRESS)
    if family not in FAMILY or not packed:
        return None
    return Addr(ns, index, "%s/%d" % (address.format_address(packed), length))


# Neighbours


def _neighbour(index: int, packed: bytes, flags: int) -> bytes:
    return pack("BBHiHBB", AF[address.family_of(packed)], 0, 0, index, 0, flags, 0) + attribute(NDA_DST, packed)


# A neighbour's `mac` is "" if it does not answer, None if that is not known yet; whether the kernel is `sure` of it.
Neighbour = namedtuple("Neighbour", ("mac", "sure"))


def neighbour_get(index: int, packed: bytes, seq: int) -> bytes:
    """One neighbour of the table, which clients fill (kernel 5.0)."""
    return message(RTM_GETNEIGH, 0, _neighbour(index, packed, 0), seq)


def neighbour_use(index: int, packed: bytes, seq: int) -> bytes:
    """Has the kernel ask a neighbour for its MAC, unless it is sure of it, as if there were something to send."""
    return message(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_ACK, _neighbour(index, packed, NTF_USE), seq)


def parse_neighbour(body: bytes) -> "Neighbour":
    state = unpack_from("H", body, 8)[0]
    mac = attributes(body, 12).get(NDA_LLADDR, b"")
    known = address.format_mac(mac) if len(mac) == 6 else None
    if state & NUD_FAILED or mac[:1] == b"\xff":  # the network's broadcast address is no neighbour
        known = ""
    return Neighbour(known, bool(state & (NUD_REACHABLE | NUD_NOARP | NUD_PERMANENT)))


def neighbour_dump(seq: int) -> bytes:
    return message(RTM_GETNEIGH, NLM_F_DUMP, bytes(12), seq)


def parse_neighbour_row(body: bytes) -> "tuple[int, bytes, bytes] | None":
    """(index of its device, address, MAC) of a neighbour, None for one whose MAC is not known."""
    found = attributes(body, 12, (NDA_DST, NDA_LLADDR))
    if body[0] not in FAMILY or len(found) < 2 or not any(found[NDA_LLADDR]):
        return None
    return unpack_from("i", body, 4)[0], bytes(found[NDA_DST]), bytes(found[NDA_LLADDR])


# Routes


def _route(route: "Route", index: int) -> bytes:
    body = b""
    length = 0
    if route.dst != "default":
        prefix = address.parse_prefix(route.dst)
        length = prefix.length
        body += attribute(RTA_DST, prefix.packed)
    if route.via:
        body += attribute(RTA_GATEWAY, address.parse_address(route.via))
    if route.src:
        body += attribute(RTA_PREFSRC, address.parse_address(route.src))
    body += u32(RTA_OIF, index)
    scope = RT_SCOPE_UNIVERSE if route.via or route.family == 6 else RT_SCOPE_LINK
    fixed = pack("BBBBBBBBI", AF[route.family], length, 0, 0, RT_TABLE_MAIN, RTPROT_STATIC, scope, RTN_UNICAST, 0)
    return fixed + body


def route_add(route: "Route", index: int, seq: int) -> bytes:
    return message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, _route(route, index), seq)


def route_replace(route: "Route", index: int, seq: int) -> bytes:
    return message(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE | NLM_F_ACK, _route(route, index), seq)


def route_del(route: "Route", index: int, seq: int) -> bytes:
    return message(RTM_DELROUTE, NLM_F_ACK, _route(route, index), seq)


def route_dump(seq: int, family: int = 0) -> bytes:
    """All routes, or those of a family (4, 6)."""
    return message(RTM_GETROUTE, NLM_F_DUMP, pack("BBBBBBBBI", AF.get(family, 0), 0, 0, 0, 0, 0, 0, 0, 0), seq)


def route_get(iif: int, src: bytes, dst: bytes, seq: int) -> bytes:
    """Which way a packet takes that comes in by a device; by none (0) if the router itself sends it."""
    family, bits = address.family_of(dst), 8 * len(dst)
    body = pack("BBBBBBBBI", AF[family], bits, bits if iif else 0, 0, 0, 0, 0, 0, 0) + attribute(RTA_DST, dst)
    if iif:
        body += attribute(RTA_SRC, src) + u32(RTA_IIF, iif)
    return message(RTM_GETROUTE, 0, body, seq)


def way_of(body: bytes) -> int:
    """The index of the device that the answer to route_get leads to; 0 if the router keeps the packet or refuses it."""
    found = attributes(body, 12, (RTA_OIF,))
    return u32_of(found[RTA_OIF]) if body[7] == RTN_UNICAST and found else 0


def parse_route(ns: str, body: bytes, near: "Near | None" = None) -> "RouteEntry | None":
    """A RouteEntry of IPv4 or IPv6, or None for a route that leads nowhere else (local addresses, broadcast, a cached
    one) and for one that does not overlap a Near."""
    family, length, _, _, table, _, _, kind, flags = unpack_from("BBBBBBBBI", body, 0)
    if kind != RTN_UNICAST or family not in FAMILY or flags & RTM_F_CLONED:
        return None
    found = attributes(body, 12)
    dst = found.get(RTA_DST)
    if near and not near.has(FAMILY[family], dst, length):
        return None
    return RouteEntry(  # by position: a full table has tens of thousands, and keywords cost time for each
        ns,
        FAMILY[family],
        "%s/%d" % (address.format_address(dst), length) if dst else "default",
        address.format_address(found[RTA_GATEWAY]) if RTA_GATEWAY in found else "",
        u32_of(found[RTA_OIF]) if RTA_OIF in found else 0,
        address.format_address(found[RTA_PREFSRC]) if RTA_PREFSRC in found else "",
        u32_of(found[RTA_TABLE]) if RTA_TABLE in found else table,
        kind,
    )


# A message about a route, as the kernel lays it out: nlmsghdr (16 bytes: length, type, flags), rtmsg (12), RTA_TABLE
# (8), RTA_DST, whose own header is length and type. Where the low byte of each of these numbers is, all of them small:
_LOW = 0 if pack("H", 1)[0] else 1
_LENGTH, _LENGTH_HIGH = (0, 1) if pack("H", 1)[0] else (3, 2)
_TYPE, _FLAGS, _DST_LENGTH, _DST_TYPE, _DST = 4 + _LOW, 6 + _LOW, 36 + _LOW, 38 + _LOW, 40
_DST_LENGTHS = {4: 8, 6: 20}


class Near:
    """The routes that overlap some prefixes (address.Prefix): a handful, of a table that may have a million. So `sieve`
    drops the others before their bytes are parsed; `has` is exact."""

    def __init__(self, prefixes: "Sequence[address.Prefix]") -> None:
        self._prefixes = list(prefixes)
        self.families = sorted({prefix.family for prefix in prefixes})
        self._tops: dict[int, set] = {length: set() for length in _DST_LENGTHS.values()}
        for prefix in prefixes:
            self._tops[_DST_LENGTHS[prefix.family]].update(_tops(prefix))

    def has(self, family: int, dst: "bytes | None", length: int) -> bool:
        """Whether a route is one of them; a default route, which overlaps everything, is not."""
        route = address.Prefix(family, dst, length)
        return bool(dst) and any(address.overlaps(route, prefix) for prefix in self._prefixes)

    def sieve(self, data: bytes) -> bytes:
        """The result of a recv(), without messages about routes that are surely none of them. Byte by byte, since
        struct would make objects: with 30,000 routes that is 20 ms instead of 100 on MicroPython."""
        tops = self._tops
        start, end = 0, len(data) - _DST - 2
        kept = []
        while start <= end:
            size = data[start + _LENGTH] | data[start + _LENGTH_HIGH] << 8
            if size < 16:
                break
            known = tops.get(data[start + _DST_LENGTH])
            if (
                known is None
                or data[start + _DST_TYPE] != RTA_DST
                or data[start + _DST] << 8 | data[start + _DST + 1] in known
                or data[start + _TYPE] != RTM_NEWROUTE
                or data[start + _FLAGS] & NLM_F_DUMP_INTR
            ):
                kept.append(data[start : start + (size + 3 & ~3)])
            start += size + 3 & ~3
        return b"".join(kept) + data[start:]


def _tops(prefix: "address.Prefix") -> "list[int]":
    """The possible first 2 bytes of a network that overlaps a prefix, as one number."""
    first = prefix.packed[0] << 8 | prefix.packed[1]
    around = [first & 0xFFFF << 16 - length for length in range(min(prefix.length, 16))]
    return around + list(range(first, first + (1 << max(0, 16 - prefix.length))))


# Rules

_MADE = NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK


def _rule(rule: "Rule") -> bytes:
    return _rule_at(rule.family, rule.priority, rule.table) + text(FRA_IIFNAME, rule.iif)


def _rule_at(family: int, priority: int, table: int = 0, length: int = 0) -> bytes:
    """A rule that looks up a table, for a prefix of that `length`; without a table it is whatever has that preference,
    which is enough to delete it."""
    body = pack("BBBBBBBBI", AF[family], length, 0, 0, 0, 0, 0, FR_ACT_TO_TBL if table else 0, 0)
    return body + u32(FRA_PRIORITY, priority) + (u32(FRA_TABLE, table) if table else b"")


def rule_add(rule: "Rule", seq: int) -> bytes:
    return message(RTM_NEWRULE, _MADE, _rule(rule), seq)


def rule_del(rule: "Rule", seq: int) -> bytes:
    return message(RTM_DELRULE, NLM_F_ACK, _rule(rule), seq)


# All addresses are local ones (objects.AnyLocal): a route in the local table, and in place of the first rule, which
# looks that up for every packet, one for what comes in on eth0. What is sent looks up only the namespace's own
# addresses.
_ANY_IN, _OWN_OUT = 2, 1  # preferences of these rules


def any_local_add(item: "AnyLocal") -> "list[Callable[[int], bytes]]":
    """Requests, in an order in which nothing stops to work in between: with the route and the kernel's own rule (0),
    replies would go to lo, whose RST would end their connections."""
    family, table = item.family, RT_TABLE_LOCAL
    own = [address.parse_prefix(text) for text in (item.own, LOOPBACK_NETWORK[family])]
    rules = [_rule_at(family, _OWN_OUT, table, dst.length) + attribute(FRA_DST, dst.packed) for dst in own]
    rules.append(_rule_at(family, _ANY_IN, table) + text(FRA_IIFNAME, INNER_DEV))
    bodies = [(RTM_NEWRULE, _MADE, rule) for rule in rules]
    bodies.append((RTM_DELRULE, NLM_F_ACK, _rule_at(family, 0)))
    return _requests(bodies + [(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE | NLM_F_ACK, _all_local(family))])


def any_local_del(family: int) -> "list[Callable[[int], bytes]]":
    """The same backwards, whatever there is of it. The first rule is the kernel's own, or it would be there twice."""
    first = _rule_at(family, 0, RT_TABLE_LOCAL) + attribute(FRA_PROTOCOL, bytes([RTPROT_KERNEL]))
    bodies = [(RTM_DELROUTE, NLM_F_ACK, _all_local(family)), (RTM_NEWRULE, _MADE, first)]
    bodies += [(RTM_DELRULE, NLM_F_ACK, _rule_at(family, each)) for each in (_ANY_IN, _OWN_OUT, _OWN_OUT)]
    return _requests(bodies)


def _requests(bodies: "list[tuple[int, int, bytes]]") -> "list[Callable[[int], bytes]]":
    def request(kind: int, flags: int, body: bytes) -> "Callable[[int], bytes]":
        return lambda seq: message(kind, flags, body, seq)

    return [request(*body) for body in bodies]


def _all_local(family: int) -> bytes:
    scope = RT_SCOPE_UNIVERSE if family == 6 else RT_SCOPE_HOST
    fixed = pack("BBBBBBBBI", AF[family], 0, 0, 0, RT_TABLE_LOCAL, RTPROT_STATIC, scope, RTN_LOCAL, 0)
    return fixed + u32(RTA_OIF, LOOPBACK_INDEX)


def any_locals(ns: str, bodies: "Sequence[bytes]") -> "list[AnyLocal]":
    """Those that the rules of a namespace make; `own` is "" where something of one is missing."""
    found: dict[int, list] = {4: [], 6: []}
    for body in bodies:
        rule = parse_rule(ns, body)
        if rule and rule.table == RT_TABLE_LOCAL:
            dst = attributes(body, 12).get(FRA_DST)
            found[rule.family].append((rule.priority, address.format_address(dst) if dst else "", rule.iif))
    return [_any_local(ns, family, found[family]) for family in (4, 6) if (_ANY_IN, "", INNER_DEV) in found[family]]


def _any_local(ns: str, family: int, rules: "list[tuple[int, str, str]]") -> "AnyLocal":
    loopback = LOOPBACK_NETWORK[family].split("/")[0]
    own = [dst for priority, dst, _ in rules if priority == _OWN_OUT and dst != loopback]
    whole = len(rules) == 3 and (_OWN_OUT, loopback, "") in rules and len(own) == 1
    return AnyLocal(ns, family, own[0] if whole else "")


def rule_dump(seq: int) -> bytes:
    return message(RTM_GETRULE, NLM_F_DUMP, pack("BBBBBBBBI", 0, 0, 0, 0, 0, 0, 0, 0, 0), seq)


def parse_rule(ns: str, body: bytes) -> "RuleEntry | None":
    """A RuleEntry of IPv4 or IPv6, or None."""
    family, _, _, _, table, _, _, _, _ = unpack_from("BBBBBBBBI", body, 0)
    if family not in FAMILY:
        return None
    found = attributes(body, 12)
    return RuleEntry(
        ns,
        FAMILY[family],
        u32_of(found[FRA_PRIORITY]) if FRA_PRIORITY in found else 0,
        text_of(found.get(FRA_IIFNAME, b"")),
        u32_of(found[FRA_TABLE]) if FRA_TABLE in found else table,
    )
