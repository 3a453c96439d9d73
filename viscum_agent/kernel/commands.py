"""Operations as the commands that a person would type: what `viscum plan` prints, and how errors name what failed.

Run by `sh -e` in order, the lines make the same kernel state as the back ends do, but for eBPF: no command writes our
programs and maps, so these are comments. The syntax is that of ip(8), tc(8), nft(8) and sysctl(8).
"""

from .. import address
from ..records.objects import (
    BPF_HANDLE,
    BPF_PRIO,
    CLASSID,
    CLS,
    INNER_DEV,
    MARK_PRIO,
    MARK_PROTOCOL,
    NETKIT,
    TBF_HANDLE,
    Operation,
    alias_of,
    classid_of,
    table_of,
)
from . import nftables
from .bpf_syscall import BPFFS
from .rtnl import LOOPBACK_NETWORK
from .tc import DST_LAST_WORD, tbf_limit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any


def lines(operations: "Iterable[Operation]") -> "list[str]":
    """All the lines for a list of operations."""
    found = []
    for operation in operations:
        found.extend(commands(operation))
    return found


def commands(operation: "Operation") -> "list[str]":
    """The command lines of one operation."""
    item = operation.new if operation.verb != "del" else operation.old
    return RENDER[type(item).__name__](operation)


def rule(found: "Any") -> str:
    """A Found rule of a redirect (plan.actual), as tc(8) and `viscum plan` name it."""
    line = commands(Operation("change", found.item, found.item, found.handle))[0]
    return line.replace("# ", "").replace("tc filter replace", "tc filter")


def _ip(ns: str) -> str:
    return "ip -n %s" % ns if ns else "ip"


def _in(ns: str) -> str:
    return "ip netns exec %s " % ns if ns else ""


def _namespace(operation: "Operation") -> "list[str]":
    if operation.verb == "del":
        return ["ip netns del " + operation.old.name]
    return ["ip netns add " + operation.new.name]


def _sysctl(operation: "Operation") -> "list[str]":
    item = operation.new
    return ["%ssysctl -qw %s=%s" % (_in(item.ns), item.key, item.value)]


def _pair(operation: "Operation") -> "list[str]":
    item = operation.new
    if operation.verb == "del":
        return ["ip link del " + operation.old.name]
    if operation.verb == "change":
        return _pair_change(item, operation.old)
    end = "%s numtxqueues 1 numrxqueues 1 mtu %d address %s"
    ends = end % (item.name, item.mtu, item.mac), end % (item.peer, item.mtu, item.peer_mac)
    kind = "netkit mode l2" if item.kind == NETKIT else item.kind
    return [
        "ip link add %s up type %s peer name %s netns %s" % (ends[0], kind, ends[1], item.ns),
        "ip -n %s link set %s up" % (item.ns, item.peer),
        "ip link set %s alias '%s'" % (item.name, item.alias),
    ]


def _pair_change(item: "Any", old: "Any") -> "list[str]":
    host = "ip link set %s up mtu %d address %s alias '%s'" % (item.name, item.mtu, item.mac, item.alias)
    inner = "ip -n %s link set %s up mtu %d address %s" % (item.ns, item.peer, item.mtu, item.peer_mac)
    # A pair carries what both ends allow: grow the inner end first, shrink it last.
    return [inner, host] if item.mtu >= old.mtu else [host, inner]


def _up(operation: "Operation") -> "list[str]":
    item = operation.new
    return ["%s link set %s up alias '%s'" % (_ip(item.ns), item.dev, alias_of(item.ns))]


def _address(operation: "Operation") -> "list[str]":
    verb, item = ("del", operation.old) if operation.verb == "del" else ("add", operation.new)
    nodad = " nodad" if verb == "add" and ":" in item.address else ""
    return ["%s addr %s %s dev %s%s" % (_ip(item.ns), verb, item.address, item.dev, nodad)]


def _route(operation: "Operation") -> "list[str]":
    verb = {"add": "add", "change": "replace", "del": "del"}[operation.verb]
    item = operation.old if verb == "del" else operation.new
    words = "%s%s route %s %s" % (_ip(item.ns), " -6" if item.family == 6 else "", verb, item.dst)
    if item.via:
        words += " via " + item.via
    words += " dev %s proto static" % item.dev
    return [words + (" src " + item.src if item.src else "")]


def _rule(operation: "Operation") -> "list[str]":
    verb, item = ("del", operation.old) if operation.verb == "del" else ("add", operation.new)
    family = " -6" if item.family == 6 else ""
    return ["%s%s rule %s pref %d iif %s lookup %d" % (_ip(item.ns), family, verb, item.priority, item.iif, item.table)]


def _any_local(operation: "Operation") -> "list[str]":
    item = operation.old or operation.new
    ip = _ip(item.ns) + (" -6" if item.family == 6 else "")
    rule = ip + " rule %s pref %d%s lookup local"
    texts = []
    if operation.old:
        texts = [ip + " route del local default dev lo table local proto static"]
        texts.append(rule % ("add", 0, "") + " protocol kernel")
        texts += [ip + " rule del pref %d" % pref for pref in (2, 1, 1)]
    if operation.new:
        own = [operation.new.own, LOOPBACK_NETWORK[item.family]]
        texts += [rule % ("add", 1, " to " + each) for each in own]
        texts += [rule % ("add", 2, " iif " + INNER_DEV), ip + " rule del pref 0"]
        texts.append(ip + " route replace local default dev lo table local proto static")
    return texts


def _nat(operation: "Operation") -> "list[str]":
    if operation.verb == "del":
        return [_in(operation.old.ns) + "nft delete table inet " + nftables.TABLE]
    texts = nftables.nat_text(operation.new.rules)
    if operation.verb == "change":
        texts = ["nft delete table inet " + nftables.TABLE] + texts
    return [_in(operation.new.ns) + text for text in texts]


def _pkttype(operation: "Operation") -> "list[str]":
    if operation.verb == "del":
        return [_in(operation.old.ns) + "nft delete table netdev " + nftables.TABLE]
    return [_in(operation.new.ns) + text for text in nftables.pkttype_text(operation.new.dev)]


def _mute(operation: "Operation") -> "list[str]":
    texts = ["nft delete table inet " + nftables.MUTE] if operation.old else []
    texts += nftables.mute_text(operation.new.ports) if operation.new else []
    return [_in((operation.new or operation.old).ns) + text for text in texts]


def _guard(operation: "Operation") -> "list[str]":
    texts = nftables.guard_text(operation.new) if operation.new else []
    if operation.old and operation.old.mark:
        texts = ["nft delete table inet " + operation.old.dev] + texts
    return texts


def _tbf(operation: "Operation") -> "list[str]":
    item = operation.new or operation.old
    if operation.verb == "del":
        return ["tc -n %s qdisc del dev %s root" % (item.ns, item.dev)]
    words = "tc -n %s qdisc replace dev %s root handle %x: tbf rate %dbit burst %d limit %d"
    return [words % (item.ns, item.dev, TBF_HANDLE >> 16, item.rate * 8, item.burst, tbf_limit(item))]


def _counting(operation: "Operation") -> "list[str]":
    gone, item = operation.old, operation.new
    texts = ["tc -n %s qdisc del dev %s clsact" % (gone.ns, gone.dev)] if gone else []
    if item:
        texts.append("tc -n %s qdisc add dev %s clsact" % (item.ns, item.dev))
        texts += [_filter_line("add", each, 0, "-n %s " % item.ns) for each in item.filters]
    return texts


def _qdisc(operation: "Operation") -> "list[str]":
    if operation.verb == "del":
        return ["tc qdisc del dev %s clsact" % operation.old.dev]
    mark = "tc filter add dev %s ingress prio %d protocol 0x%04x u32 match u32 0 0 flowid %s"
    return [
        "tc qdisc add dev %s clsact" % operation.new.dev,
        mark % (operation.new.dev, MARK_PRIO, MARK_PROTOCOL, _classid()),
    ]


def _mark(operation: "Operation") -> "list[str]":
    return ["tc filter del dev %s ingress prio %d protocol 0x%04x" % (operation.old.dev, MARK_PRIO, MARK_PROTOCOL)]


def _hash_table(operation: "Operation") -> "list[str]":
    item = operation.new or operation.old
    head = "tc filter %s dev %s ingress prio %d" % ("del" if operation.verb == "del" else "add", item.dev, item.prio)
    if operation.verb == "del":
        words = "%s protocol %s handle %s u32"
        link = words % (head, item.protocol, _u32_handle(operation.handle))
        table = words % (head, item.protocol, "%x:" % table_of(item.prio))
        return [link, "%s 2>/dev/null || (sleep 1 && %s)" % (table, table)]  # busy until the kernel has freed the link
    word = DST_LAST_WORD[item.protocol]
    link = "%s protocol %s u32 match u32 0 0 at %d link %x: hashkey mask 0x000000ff at %d"
    return [
        "%s handle %x: protocol %s u32 divisor 256" % (head, table_of(item.prio), item.protocol),
        link % (head, item.protocol, word, table_of(item.prio), word),
    ]


def _prio(operation: "Operation") -> "list[str]":
    item = operation.old
    return ["tc filter del dev %s ingress prio %d protocol %s" % (item.dev, item.prio, item.protocol)]


def _filter(operation: "Operation") -> "list[str]":
    item = operation.old if operation.verb == "del" else operation.new
    return [_filter_line({"change": "replace"}.get(operation.verb, operation.verb), item, operation.handle)]


def _filter_line(verb: str, item: "Any", number_of_it: int, where: str = "") -> str:
    number, keys = CLASSIFIERS[item.kind]
    handle = " handle " + number(number_of_it) if verb != "add" else ""
    words = "tc %sfilter %s dev %s ingress prio %d protocol %s%s %s"
    line = words % (where, verb, item.dev, item.prio, item.protocol, handle, item.kind)
    return line if verb == "del" else line + keys(item) + _actions(item.actions)


def _classid(number: int = CLASSID) -> str:
    return "%x:%x" % (number >> 16, number & 0xFFFF)


def _u32_handle(handle: int) -> str:
    bucket = handle >> 12 & 0xFF
    return "%x:%s:%x" % (handle >> 20, "%x" % bucket if bucket else "", handle & 0xFFF)


def _u32_keys(item: "Any") -> str:
    words = ""
    if item.bucket >= 0:
        words += " ht %x:%x:" % (table_of(item.prio), item.bucket)
    rest = item.keys
    for keys, text in _known_keys(item):
        if all(key in rest for key in keys):
            rest = [key for key in rest if key not in keys]
            words += text
    words += "".join([" match u32 0x%08x 0x%08x at %d" % key for key in rest])
    return words + " flowid " + _classid(classid_of(item))


def _known_keys(item: "Any") -> "Iterator[tuple[tuple, str]]":
    """Groups of keys that tc has words for: only an address is worth it, the rest is read as well in numbers."""
    if item.protocol != "ip":
        return
    for value, mask, offset in item.keys:
        name = {12: "src", 16: "dst"}.get(offset)
        length = bin(mask).count("1")
        if name and item.keys[0][2] == offset:  # the first only: tc keeps the order that it reads
            dst = address.format_address(value.to_bytes(4, "big"))
            yield ((value, mask, offset),), " match ip %s %s/%d" % (name, dst, length)


def _flower_keys(item: "Any") -> str:
    return " classid " + _classid(classid_of(item)) + "".join([" %s %s" % pair for pair in item.keys])


# How tc(8) writes the handle of a filter, and what it selects, for each kind.
CLASSIFIERS = {"u32": (_u32_handle, _u32_keys), "flower": (hex, _flower_keys)}


def _actions(actions: "tuple[tuple, ...]") -> str:
    words = ""
    for action in actions:
        if action[0] == "mirred":
            words += " action mirred egress redirect dev " + action[1]
        elif action[0] == "skbedit":
            words += " action skbedit ptype " + action[1]
        elif action[0] == "skbmod":
            words += " action skbmod"
            words += " set dmac " + action[1] if action[1] else ""
            words += " set smac " + action[2] if action[2] else ""
    return words


def _bpf_link(operation: "Operation") -> "list[str]":
    item = operation.new or operation.old
    folder = BPFFS + "/viscum-$(stat -Lc %i /proc/self/ns/net)"
    pin = item.dev.replace(".", ":")
    where = "dev %s ingress prio %d protocol all handle %d bpf" % (item.dev, BPF_PRIO, BPF_HANDLE)
    if operation.verb == "del" and item.hook == CLS:
        return ["tc filter del " + where, "rm %s/filter_%s" % (folder, pin)]
    if operation.verb == "del":
        return ["rm %s/link_%s" % (folder, pin)]
    replies = item.program.split("_")[0] in ("reply", "tagged")
    what = "replies go to their client" if replies else "what a service takes goes to it"
    if operation.verb == "change":
        return ["# on %s: the program becomes %s" % (item.dev, item.program.split("_")[0])]
    if item.hook == CLS:
        words = "tc filter replace %s direct-action object-pinned %s/program_%s classid %s # %s"
        return [words % (where, folder, item.program, _classid(), what)]
    where = "netkit peer" if item.hook == NETKIT else "tcx ingress"
    return ["# %s of %s: %s (viscum_agent/bpf)" % (where, item.dev, what)]


def _bpf_match(operation: "Operation") -> "list[str]":
    """In words: bpftool knows maps, and could only write their bytes."""
    item = operation.new or operation.old
    words = "VLAN %d " % item.vlan if item.vlan else ""
    words += " ".join([item.proto or "any protocol", item.dst])
    if item.port_bits:
        last = item.port | (0xFFFF >> item.port_bits)
        words += " port %d" % item.port if last == item.port else " ports %d-%d" % (item.port, last)
    words += " from " + item.src if item.src else ""
    words += " from " + item.src_mac if item.src_mac else ""
    words += " for " + item.mac if item.mac else ""
    if operation.verb == "del":
        return ["# program on %s: no more %s" % (item.dev, words)]
    return ["# program on %s: %s to %s" % (item.dev, words, "the cloud" if item.leaves else item.target)]


RENDER = {
    "BpfLink": _bpf_link,
    "BpfMatch": _bpf_match,
    "Namespace": _namespace,
    "Sysctl": _sysctl,
    "Pair": _pair,
    "Up": _up,
    "Address": _address,
    "Route": _route,
    "Rule": _rule,
    "AnyLocal": _any_local,
    "Nat": _nat,
    "PktType": _pkttype,
    "Mute": _mute,
    "Guard": _guard,
    "Tbf": _tbf,
    "Counting": _counting,
    "Qdisc": _qdisc,
    "Mark": _mark,
    "HashTable": _hash_table,
    "Prio": _prio,
    "Filter": _filter,
}
