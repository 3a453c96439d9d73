"""Traffic control messages as bytes: clsact, u32 and flower filters, mirred, skbmod and skbedit actions; no sockets
here.

Numbers are from linux/pkt_sched.h, pkt_cls.h, tc_act/tc_{mirred,skbmod,skbedit}.h and rtnetlink.h. Host byte order, but
for addresses, ports, Ethernet types and u32 keys, which are in network order.
"""

from collections import namedtuple
from struct import pack, unpack_from

from .. import address
from ..records import with_
from ..records.dump import NOTHING, FilterEntry, QdiscEntry
from ..records.objects import (
    BPF_HANDLE,
    BPF_PRIO,
    BPF_PROTOCOL,
    CLASSID,
    MARK_PRIO,
    MARK_PROTOCOL,
    PROTO_NAME,
    PROTO_NUMBER,
    PROTOCOLS,
    TBF_HANDLE,
    classid_of,
    is_left,
    table_of,
)
from .codec import (
    NLM_F_ACK,
    NLM_F_CREATE,
    NLM_F_DUMP,
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
    from collections.abc import Callable, Iterable
    from typing import Any

    from ..records.dump import Counters
    from ..records.objects import Filter, HashTable, Prio, Tbf

RTM_NEWQDISC, RTM_DELQDISC, RTM_GETQDISC = 36, 37, 38
RTM_NEWTFILTER, RTM_DELTFILTER, RTM_GETTFILTER = 44, 45, 46

TC_H_CLSACT = 0xFFFFFFF1
INGRESS = 0xFFFFFFF2  # TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS): reaches clsact and plain ingress alike
EGRESS = 0xFFFFFFF3  # with TC_H_MIN_EGRESS; on a plain ingress it would silently mean the ingress hook
CLSACT_HANDLE = 0xFFFF0000
ROOT = 0xFFFFFFFF  # TC_H_ROOT: the queue of what a device sends

TCA_KIND, TCA_OPTIONS = 1, 2
TCA_U32_CLASSID, TCA_U32_HASH, TCA_U32_LINK, TCA_U32_DIVISOR, TCA_U32_SEL, TCA_U32_ACT = 1, 2, 3, 4, 5, 7
TC_U32_TERMINAL = 1
TCA_FLOWER_CLASSID, TCA_FLOWER_ACT, TCA_FLOWER_ETH_TYPE, TCA_FLOWER_FLAGS, TCA_FLOWER_IN_HW_COUNT = 1, 3, 8, 22, 86
TCA_FLOWER_MAC = {"dst_mac": 4, "src_mac": 6}  # the mask is the next number
TCA_FLOWER_IP_PROTO = 9
TCA_FLOWER_IP_SRC = {4: 10, 6: 14}  # the mask is the next number
TCA_FLOWER_IP_DST = {4: 12, 6: 16}
# Key and mask by protocol, and the keys of a range's ends (kernel 5.1), of either port.
_FlowerPort = namedtuple("_FlowerPort", ("single", "low", "high"))
TCA_FLOWER_PORTS = {
    "dst_port": _FlowerPort({"tcp": (19, 36), "udp": (21, 38)}, 89, 90),
    "src_port": _FlowerPort({"tcp": (18, 35), "udp": (20, 37)}, 87, 88),
}
TCA_FLOWER_TCP_FLAGS, TCA_FLOWER_TCP_FLAGS_MASK = 71, 72  # kernel 4.13

TCA_BPF_CLASSID, TCA_BPF_FD, TCA_BPF_NAME, TCA_BPF_FLAGS, TCA_BPF_ID = 3, 6, 7, 8, 11
TCA_BPF_FLAG_ACT_DIRECT = 1

TCA_TBF_PARMS, TCA_TBF_BURST = 1, 6
TC_LINKLAYER_ETHERNET = 1  # the kernel counts by itself, without a table (tbf_change in net/sched/sch_tbf.c)
TICK = 64  # nanoseconds (PSCHED_SHIFT in net/pkt_sched.h), of which it says how many a burst takes

TCA_ACT_KIND, TCA_ACT_OPTIONS, TCA_ACT_STATS = 1, 2, 4
TCA_STATS_BASIC, TCA_STATS_QUEUE, TCA_STATS_PKT64 = 1, 3, 8
TC_ACT_PIPE, TC_ACT_STOLEN = 3, 4
TCA_PARMS = 2  # TCA_MIRRED_PARMS, TCA_SKBMOD_PARMS, TCA_SKBEDIT_PARMS
TCA_EGRESS_REDIR = 1
TCA_SKBMOD_DMAC, TCA_SKBMOD_SMAC, SKBMOD_F_DMAC, SKBMOD_F_SMAC = 3, 4, 1, 2
TCA_SKBEDIT_PTYPE, PACKET_HOST = 7, 0


DST_LAST_WORD = {"ip": 16, "ipv6": 36}  # offset of the last 32 bits of the destination address (RFC 791, RFC 8200)

# Offsets of the destination address in the IPv4 and IPv6 headers give the bucket; 256 of them, over its last byte.
HASH_MASK = b"\0\0\0\xff"


def _tcmsg(index: int, handle: int, parent: int, info: int) -> bytes:
    return pack("BBHiIII", 0, 0, 0, index, handle, parent, info)


def prio_and_protocol(prio: int, protocol: int) -> int:
    """Prio and Ethernet type (network order) in one word; a prio of 0 stands for any."""
    return prio << 16 | unpack_from("H", pack(">H", protocol))[0]


# Qdiscs


def clsact_add(index: int, seq: int) -> bytes:
    body = _tcmsg(index, CLSACT_HANDLE, TC_H_CLSACT, 0) + text(TCA_KIND, "clsact")
    return message(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_EXCL | NLM_F_ACK, body, seq)


def clsact_del(index: int, seq: int) -> bytes:
    body = _tcmsg(index, CLSACT_HANDLE, TC_H_CLSACT, 0) + text(TCA_KIND, "clsact")
    return message(RTM_DELQDISC, NLM_F_ACK, body, seq)


def qdisc_dump(seq: int) -> bytes:
    return message(RTM_GETQDISC, NLM_F_DUMP, _tcmsg(0, 0, 0, 0), seq)


def parse_qdisc(body: bytes) -> "QdiscEntry | None":
    """A QdiscEntry of an ingress hook, or None for a qdisc that shapes."""
    index = unpack_from("i", body, 4)[0]
    kind = text_of(attributes(body, 20)[TCA_KIND])
    return QdiscEntry(index, kind) if kind in ("clsact", "ingress") else None


def tbf_limit(item: "Tbf") -> int:
    """How many bytes may wait: a burst, 50 ms, and some packets. What a local socket sends has to wait there, and TCP
    takes note of it; only what is more is dropped."""
    return item.burst + _besides(item.rate)


def _besides(rate: int) -> int:
    return rate // 20 + 16384


def tbf_set(item: "Tbf", index: int, seq: int) -> bytes:
    """Makes an objects.Tbf, or changes it, in the place of whatever queue there is."""
    # struct tc_tbf_qopt: two tc_ratespec (the second: no peak rate), limit, and in ticks what TCA_TBF_BURST says
    # better.
    rate = pack("BBHhHI", 0, TC_LINKLAYER_ETHERNET, 0, 0, 0, item.rate) + bytes(12)
    options = attribute(TCA_TBF_PARMS, rate + pack("III", tbf_limit(item), 0, 0)) + u32(TCA_TBF_BURST, item.burst)
    body = _tcmsg(index, TBF_HANDLE, ROOT, 0) + text(TCA_KIND, "tbf") + attribute(TCA_OPTIONS, options)
    return message(RTM_NEWQDISC, NLM_F_CREATE | NLM_F_REPLACE | NLM_F_ACK, body, seq)


def tbf_del(index: int, seq: int) -> bytes:
    return message(RTM_DELQDISC, NLM_F_ACK, _tcmsg(index, TBF_HANDLE, ROOT, 0), seq)


def parse_tbf(body: bytes, device: int) -> "tuple[int, int] | None":
    """(rate, burst) of a queue of the device with that index as `tbf_set` makes it, None for any other one."""
    index, handle = unpack_from("iI", body, 4)
    found = attributes(body, 20)
    if (index, handle) != (device, TBF_HANDLE) or text_of(found[TCA_KIND]) != "tbf":
        return None
    parms = attributes(found[TCA_OPTIONS])[TCA_TBF_PARMS]
    rate, (limit, ticks) = unpack_from("I", parms, 8)[0], unpack_from("II", parms, 24)
    burst = ticks * TICK * rate // 10**9  # the kernel rounds it to ticks; the limit says which number it was
    exact = limit - _besides(rate)
    return rate, exact if abs(exact - burst) <= 2 * TICK * rate // 10**9 + 2 else burst


# Filters


def filter_message(
    kind: int,
    flags: int,
    index: int,
    prio: int,
    protocol: int,
    handle: int,
    filter_kind: str,
    options: "bytes | None",
    seq: int,
) -> bytes:
    """A filter message at the ingress hook; `protocol` is an Ethernet type."""
    body = _tcmsg(index, handle, INGRESS, prio_and_protocol(prio, protocol)) + text(TCA_KIND, filter_kind)
    if options is not None:
        body += attribute(TCA_OPTIONS, options)
    return message(kind, flags | NLM_F_ACK, body, seq)


def filter_add(item: "Filter", index: int, index_of: "Callable[[str], int]", seq: int) -> bytes:
    """Adds an objects.Filter on the device with that index; `index_of` gives the index of a device's name."""
    flags = NLM_F_CREATE | NLM_F_EXCL
    options = filter_options(item, index_of)
    return filter_message(RTM_NEWTFILTER, flags, index, item.prio, PROTOCOLS[item.protocol], 0, item.kind, options, seq)


def filter_replace(item: "Filter", handle: int, index: int, index_of: "Callable[[str], int]", seq: int) -> bytes:
    """Gives an existing filter with the same keys other actions, at once: no packet sees it gone."""
    options = filter_options(item, index_of)
    protocol = PROTOCOLS[item.protocol]
    flags = NLM_F_CREATE | NLM_F_REPLACE
    return filter_message(RTM_NEWTFILTER, flags, index, item.prio, protocol, handle, item.kind, options, seq)


def filter_del(item: "Any", handle: int, index: int, seq: int, kind: str = "") -> bytes:
    """Deletes the filter with that handle; `item` says where (`kind` what, if it is not a Filter)."""
    protocol = PROTOCOLS[item.protocol]
    return filter_message(RTM_DELTFILTER, 0, index, item.prio, protocol, handle, kind or item.kind, None, seq)


def prio_del(item: "Prio", index: int, seq: int) -> bytes:
    """Deletes a whole prio with whatever is in it, but for hash tables (native.Native._empty_table)."""
    body = _tcmsg(index, 0, INGRESS, prio_and_protocol(item.prio, PROTOCOLS[item.protocol]))
    return message(RTM_DELTFILTER, NLM_F_ACK, body, seq)


def filter_dump(index: int, seq: int, parent: int = INGRESS) -> bytes:
    return message(RTM_GETTFILTER, NLM_F_DUMP, _tcmsg(index, 0, parent, 0), seq)


def hook_add(filters: "Iterable[Filter]", index: int) -> "list[Callable[[int], bytes]]":
    """Requests for clsact with these filters, which lead to no other device."""
    adds = [lambda seq, item=item: filter_add(item, index, _nowhere, seq) for item in filters]
    return [lambda seq: clsact_add(index, seq)] + adds


def _nowhere(name: str) -> int:
    return 0


def mark_add(index: int, seq: int) -> bytes:
    """The filter that says who made the qdisc (objects.MARK_PRIO): a u32 that nothing ever reaches."""
    options = u32(TCA_U32_CLASSID, CLASSID) + attribute(TCA_U32_SEL, _selector(((0, 0, 0),), TC_U32_TERMINAL))
    flags = NLM_F_CREATE | NLM_F_EXCL
    return filter_message(RTM_NEWTFILTER, flags, index, MARK_PRIO, MARK_PROTOCOL, 0, "u32", options, seq)


def mark_del(index: int, seq: int) -> bytes:
    body = _tcmsg(index, 0, INGRESS, prio_and_protocol(MARK_PRIO, MARK_PROTOCOL))
    return message(RTM_DELTFILTER, NLM_F_ACK, body, seq)


def hash_table_add(item: "HashTable", index: int, seq: int) -> bytes:
    """A u32 hash table of 256 buckets (objects.HashTable)."""
    handle = table_of(item.prio) << 20
    flags = NLM_F_CREATE | NLM_F_EXCL
    options = hash_table_options(item)
    return filter_message(
        RTM_NEWTFILTER, flags, index, item.prio, PROTOCOLS[item.protocol], handle, "u32", options, seq
    )


def hash_table_options(item: "HashTable") -> bytes:
    return u32(TCA_U32_DIVISOR, 256)


def hash_link_add(item: "HashTable", index: int, seq: int) -> bytes:
    """The key in the prio's root that matches everything and looks on in the bucket of the destination's last byte."""
    options = hash_link_options(item)
    flags = NLM_F_CREATE | NLM_F_EXCL
    return filter_message(RTM_NEWTFILTER, flags, index, item.prio, PROTOCOLS[item.protocol], 0, "u32", options, seq)


def hash_link_options(item: "HashTable") -> bytes:
    word = DST_LAST_WORD[item.protocol]
    selector = _selector(((0, 0, word),), 0, word, HASH_MASK)
    return u32(TCA_U32_LINK, table_of(item.prio) << 20) + attribute(TCA_U32_SEL, selector)


def hash_link_del(item: "HashTable", handle: int, index: int, seq: int) -> bytes:
    return filter_del(item, handle, index, seq, "u32")


def hash_table_del(item: "HashTable", index: int, seq: int) -> bytes:
    """Deletes the table alone; its link has to be gone."""
    return filter_del(item, table_of(item.prio) << 20, index, seq, "u32")


def program_set(index: int, program: int, name: str, seq: int) -> bytes:
    """The filter that holds an eBPF program (a descriptor), made, or given another program from one packet to the
    next."""
    # Direct action: what the program returns is done. -1 (TC_ACT_UNSPEC) lets the next filter decide.
    options = u32(TCA_BPF_CLASSID, CLASSID) + u32(TCA_BPF_FD, program) + text(TCA_BPF_NAME, name)
    options += u32(TCA_BPF_FLAGS, TCA_BPF_FLAG_ACT_DIRECT)
    flags = NLM_F_CREATE | NLM_F_REPLACE
    return filter_message(RTM_NEWTFILTER, flags, index, BPF_PRIO, BPF_PROTOCOL, BPF_HANDLE, "bpf", options, seq)


def program_del(index: int, seq: int) -> bytes:
    return filter_message(RTM_DELTFILTER, 0, index, BPF_PRIO, BPF_PROTOCOL, BPF_HANDLE, "bpf", None, seq)


def filter_options(item: "Filter", index_of: "Callable[[str], int]") -> bytes:
    return CLASSIFIERS[item.kind].options(item, index_of)


def _u32_options(item: "Filter", index_of: "Callable[[str], int]") -> bytes:
    options = u32(TCA_U32_CLASSID, classid_of(item))
    if item.bucket >= 0:
        options += u32(TCA_U32_HASH, table_of(item.prio) << 20 | item.bucket << 12)
    options += attribute(TCA_U32_SEL, _selector(item.keys, TC_U32_TERMINAL))
    return options + _actions(TCA_U32_ACT, item, index_of)


def _selector(
    keys: "tuple[tuple[int, int, int], ...]", flags: int, hash_offset: int = 0, hash_mask: bytes = b"\0\0\0\0"
) -> bytes:
    """struct tc_u32_sel with its keys: values, masks in network order, offsets from the network header in bytes."""
    data = pack("BBBBHHhh", flags, 0, len(keys), 0, 0, 0, 0, hash_offset) + hash_mask
    for value, mask, offset in keys:
        data += pack(">II", mask, value) + pack("ii", offset, 0)
    return data


def _flower_options(item: "Filter", index_of: "Callable[[str], int]") -> bytes:
    options = u32(TCA_FLOWER_CLASSID, classid_of(item)) + _actions(TCA_FLOWER_ACT, item, index_of)
    options += attribute(TCA_FLOWER_ETH_TYPE, pack(">H", PROTOCOLS[item.protocol]))
    proto = ""
    for name, value in item.keys:
        if name == "ip_proto":
            proto = value
        options += _flower_key(name, value, proto)
    return options


def _flower_key(name: str, value: str, proto: str) -> bytes:
    if name in TCA_FLOWER_MAC:
        key = TCA_FLOWER_MAC[name]
        return attribute(key, address.parse_mac(value)) + attribute(key + 1, b"\xff" * 6)
    if name == "ip_proto":
        return attribute(TCA_FLOWER_IP_PROTO, bytes([PROTO_NUMBER[value]]))
    if name in TCA_FLOWER_PORTS:
        port = TCA_FLOWER_PORTS[name]
        low, _, high = value.partition("-")
        if high:
            return attribute(port.low, pack(">H", int(low))) + attribute(port.high, pack(">H", int(high)))
        key, mask = port.single[proto]
        return attribute(key, pack(">H", int(low))) + attribute(mask, b"\xff\xff")
    if name == "tcp_flags":
        flags, bits = [pack(">H", int(text, 16)) for text in value.split("/")]
        return attribute(TCA_FLOWER_TCP_FLAGS, flags) + attribute(TCA_FLOWER_TCP_FLAGS_MASK, bits)
    prefix = address.parse_prefix(value)
    key = (TCA_FLOWER_IP_DST if name == "dst_ip" else TCA_FLOWER_IP_SRC)[prefix.family]
    return attribute(key, prefix.packed) + attribute(key + 1, address.mask(prefix.length, len(prefix.packed)))


# Actions


def _actions(number: int, item: "Filter", index_of: "Callable[[str], int]") -> bytes:
    """Without any a filter lets its packet pass (tcf_exts_exec in net/pkt_cls.h)."""
    return b"" if is_left(item) else attribute(number, action_list(item.actions, index_of))


def action_list(actions: "tuple[tuple, ...]", index_of: "Callable[[str], int]") -> bytes:
    """The actions of a filter in their order, counted from 1."""
    data = b""
    for order, action in enumerate(actions):
        kind, options = _action(action, index_of)
        data += attribute(order + 1, text(TCA_ACT_KIND, kind) + attribute(TCA_ACT_OPTIONS, options))
    return data


def _action(action: tuple, index_of: "Callable[[str], int]") -> "tuple[str, bytes]":
    kind = action[0]
    if kind == "mirred":
        # tc_gen (index, capab, action, refcnt, bindcnt), then eaction and ifindex: struct tc_mirred
        return kind, attribute(
            TCA_PARMS, pack("IIiiiiI", 0, 0, TC_ACT_STOLEN, 0, 0, TCA_EGRESS_REDIR, index_of(action[1]))
        )
    if kind == "skbedit":
        options = attribute(TCA_PARMS, pack("IIiii", 0, 0, TC_ACT_PIPE, 0, 0))
        return kind, options + attribute(TCA_SKBEDIT_PTYPE, pack("H", PACKET_HOST))
    return kind, skbmod_options(action[1], action[2])


def skbmod_options(dmac: str, smac: str) -> bytes:
    """skbmod that writes a destination MAC, a source MAC or both ("" leaves one alone)."""
    flags = (SKBMOD_F_DMAC if dmac else 0) | (SKBMOD_F_SMAC if smac else 0)
    # struct tc_skbmod ends in a 64-bit number, aligned as the machine does: native alignment ("@", the default) is
    # meant.
    options = attribute(TCA_PARMS, pack("IIiiiQ", 0, 0, TC_ACT_PIPE, 0, 0, flags))
    if dmac:
        options += attribute(TCA_SKBMOD_DMAC, address.parse_mac(dmac))
    if smac:
        options += attribute(TCA_SKBMOD_SMAC, address.parse_mac(smac))
    return options


def parse_actions(data: bytes) -> "tuple[tuple | None, Counters]":
    """(actions, Counters); mirred with the device's index. None for actions when one is not understood."""
    found = attributes(data)
    actions = []
    counters = NOTHING
    for order in sorted(found):
        fields = attributes(found[order])
        action = parse_action(text_of(fields[TCA_ACT_KIND]), attributes(fields.get(TCA_ACT_OPTIONS, b"")))
        counters = _statistics(fields.get(TCA_ACT_STATS, b""))
        actions.append(action)
    return (None if None in actions else tuple(actions)), counters


def parse_action(kind: str, options: "dict[int, bytes]") -> "tuple | None":
    if TCA_PARMS not in options:
        return None
    parms = options[TCA_PARMS]
    verdict = unpack_from("i", parms, 8)[0]
    if kind == "mirred":
        eaction, index = unpack_from("iI", parms, 20)
        return ("mirred", index) if (eaction, verdict) == (TCA_EGRESS_REDIR, TC_ACT_STOLEN) else None
    if verdict != TC_ACT_PIPE:
        return None
    if kind == "skbedit" and TCA_SKBEDIT_PTYPE in options:
        return ("skbedit", "host") if unpack_from("H", options[TCA_SKBEDIT_PTYPE])[0] == PACKET_HOST else None
    if kind != "skbmod":
        return None
    macs = [options.get(TCA_SKBMOD_DMAC, b""), options.get(TCA_SKBMOD_SMAC, b"")]
    return ("skbmod",) + tuple([address.format_mac(mac) if mac else "" for mac in macs])


def parse_counters(body: bytes) -> "tuple[str, int, int, Counters] | None":
    """(kind, index of the device, index that mirred leads to, Counters) of a filter of ours, None for any other. Much
    less work than parse_filter: this is asked for every second."""
    found = attributes(body, 20)
    kind = text_of(found[TCA_KIND])
    classifier = CLASSIFIERS.get(kind)
    if not classifier or not classifier.actions:
        return None
    options = attributes(found.get(TCA_OPTIONS, b""), 0, (classifier.classid, classifier.actions))
    if len(options) < 2 or u32_of(options[classifier.classid]) != CLASSID:
        return None
    actions = attributes(options[classifier.actions])
    last = attributes(actions[max(actions)])
    if last[TCA_ACT_KIND] != b"mirred\0":
        return None
    target = unpack_from("I", attributes(last[TCA_ACT_OPTIONS])[TCA_PARMS], 24)[0]
    index = unpack_from("i", body, 4)[0]
    return kind, index, target, _statistics(last.get(TCA_ACT_STATS, b""))


def _statistics(data: bytes) -> "Counters":
    """Counters from struct gnet_stats_basic and gnet_stats_queue (linux/gen_stats.h)."""
    found = attributes(data)
    if TCA_STATS_BASIC not in found:
        return NOTHING
    size, packets = unpack_from("QI", found[TCA_STATS_BASIC], 0)
    if TCA_STATS_PKT64 in found:
        packets = unpack_from("Q", found[TCA_STATS_PKT64])[0]
    drops = overlimits = 0
    if TCA_STATS_QUEUE in found:
        drops, _, overlimits = unpack_from("III", found[TCA_STATS_QUEUE], 8)
    return with_(NOTHING, packets=packets, bytes=size, drops=drops, overlimits=overlimits)


# Reading filters back


def parse_filter(body: bytes) -> "FilterEntry | None":
    """A FilterEntry of whatever is at the ingress hook, or None for the head of a prio without content."""
    index, handle, _, info = unpack_from("iIII", body, 4)
    found = attributes(body, 20)
    kind = text_of(found[TCA_KIND])
    prio = info >> 16
    protocol = unpack_from(">H", pack("H", info & 0xFFFF))[0]
    options = attributes(found.get(TCA_OPTIONS, b""))
    classifier = CLASSIFIERS.get(kind)
    if handle == 0 and not options and classifier:
        return None  # for other kinds (matchall) a split dump may have nothing but the head
    classid = divisor = link = 0
    keys = actions = None
    counters = NOTHING
    if classifier:
        classid = _number(options, classifier.classid)
        keys = classifier.keys(options)
    if classifier and classifier.actions:
        actions, counters = parse_actions(options.get(classifier.actions, b""))
    if kind == "u32":  # it alone has hash tables
        divisor, link = _number(options, TCA_U32_DIVISOR), _number(options, TCA_U32_LINK)
    return FilterEntry(
        index=index,
        prio=prio,
        protocol=protocol,
        kind=kind,
        handle=handle,
        classid=classid,
        divisor=divisor,
        link=link,
        keys=keys,
        actions=actions,
        counters=counters,
    )


def _number(options: "dict[int, bytes]", key: int) -> int:
    return u32_of(options[key]) if key in options else 0


def _u32_keys(options: "dict[int, bytes]") -> "tuple | None":
    return parse_selector(options[TCA_U32_SEL]) if TCA_U32_SEL in options else None


def parse_selector(data: bytes) -> "tuple | None":
    """The keys of a struct tc_u32_sel, None when one has a variable offset."""
    count = data[2]
    keys = []
    for number_of_key in range(count):
        start = 16 + 16 * number_of_key
        mask, value = unpack_from(">II", data, start)
        offset, variable = unpack_from("ii", data, start + 8)
        if variable:
            return None
        keys.append((value, mask, offset))
    return tuple(keys)


def _flower_keys(options: "dict[int, bytes]") -> "tuple | None":
    """The keys in the one order that they are written in, or None when there is one that we never write."""
    left = dict(options)
    for known in (
        TCA_FLOWER_CLASSID,
        TCA_FLOWER_ACT,
        TCA_FLOWER_ETH_TYPE,
        TCA_FLOWER_FLAGS,
        TCA_FLOWER_IN_HW_COUNT,
    ):
        left.pop(known, None)
    keys = []
    for name in ("dst_mac", "src_mac"):
        key = TCA_FLOWER_MAC[name]
        if key in left and left.pop(key + 1, b"") == b"\xff" * 6:
            keys.append((name, address.format_mac(left.pop(key))))
    proto = ""
    if TCA_FLOWER_IP_PROTO in left:
        proto = PROTO_NAME.get(left.pop(TCA_FLOWER_IP_PROTO)[0], "?")
        keys.append(("ip_proto", proto))
    for name, table in (("src_ip", TCA_FLOWER_IP_SRC), ("dst_ip", TCA_FLOWER_IP_DST)):
        for family in (4, 6):
            if table[family] in left:
                packed, bits = left.pop(table[family]), left.pop(table[family] + 1)
                keys.append((name, _prefix(packed, bits)))
    keys += _flower_ports(left, proto)
    if TCA_FLOWER_TCP_FLAGS in left:
        flags, bits = left.pop(TCA_FLOWER_TCP_FLAGS), left.pop(TCA_FLOWER_TCP_FLAGS_MASK, b"\xff\xff")
        keys.append(("tcp_flags", "0x%x/0x%x" % (_short(flags), _short(bits))))
    return None if left else tuple(keys)


def _flower_ports(left: "dict[int, bytes]", proto: str) -> list:
    keys = []
    for name in ("dst_port", "src_port"):
        port = TCA_FLOWER_PORTS[name]
        if port.low in left:
            keys.append((name, "%d-%d" % (_short(left.pop(port.low)), _short(left.pop(port.high)))))
        elif proto in port.single and port.single[proto][0] in left:
            key, mask = port.single[proto]
            keys.append((name, "%d" % _short(left.pop(key))))
            left.pop(mask, None)
    return keys


def _short(data: bytes) -> int:
    return unpack_from(">H", data)[0]


def _prefix(packed: bytes, mask: bytes) -> str:
    length = sum([bin(byte).count("1") for byte in mask])
    return "%s/%d" % (address.format_address(packed), length)


# What is known of each kind of filter (tc(8) calls them classifiers): `options` makes its attributes from an
# objects.Filter, `keys` reads them back (None: with something that we never write), `classid` and `actions` are the
# numbers of the attributes that all kinds have. For bpf a program (its number, kernel 4.13) is what its keys are, and
# what acts.
_Classifier = namedtuple("_Classifier", ("options", "keys", "classid", "actions"))
CLASSIFIERS = {
    "u32": _Classifier(_u32_options, _u32_keys, TCA_U32_CLASSID, TCA_U32_ACT),
    "flower": _Classifier(_flower_options, _flower_keys, TCA_FLOWER_CLASSID, TCA_FLOWER_ACT),
    "bpf": _Classifier(None, lambda options: _number(options, TCA_BPF_ID), TCA_BPF_CLASSID, 0),
}
