"""The nf_tables tables of a service, three in its namespace and one outside, as netlink messages and as text.

The agent makes a handful of rules, and only where its own packets pass. For these few it writes the messages itself:
`nft` with its libraries costs a router more memory than the whole agent, and a fork for each service. Everything here
is a pure function; the caller owns the socket (AF_NETLINK, NETLINK_NETFILTER, opened in the namespace).

    table inet viscum     redirects what arrives on eth0 to the program in the namespace, whatever its address
    table netdev viscum   counts every frame that arrives on eth0 as addressed to us, whatever its MAC address
    table inet viscum-lo  drops what a program says to itself, at the ingress hook of its loopback device
    table inet vsc-NAME   in the router: what may leave the service's pair, at the ingress hook of the router's end

A table is replaced as a whole, in one batch, which the kernel commits completely or not at all.

Answers: all messages of a batch carry the same sequence number, and only the last command asks for an answer. So the
first NLMSG_ERROR with that number decides: 0 means that everything is done, anything else that nothing has changed.
After an error more answers with that number may follow (one for each command that failed); they add nothing.

Byte order: numbers inside nf_tables attributes are big-endian, and so is everything that is compared with a packet.

The numbers are those of linux/netfilter/nf_tables.h (NFT_, NFTA_), linux/netfilter/nfnetlink.h (NFNL_),
linux/netfilter.h (NFPROTO_, hooks, verdicts) and linux/netfilter_ipv4.h (priorities); the names that they have there
are beside them.
"""

import errno
import struct
from collections import namedtuple

from .. import address
from ..errors import ViscumError
from ..records import with_
from ..records.objects import DEV_PREFIX, GuardRule, NatRule
from .codec import (
    NFTABLES,
    NLM_F_ACK,
    NLM_F_APPEND,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_DUMP_INTR,
    NLMSG_DONE,
    NLMSG_ERROR,
    attribute,
    be32,
    be32_of,
    elements,
    errno_of,
    message,
    messages,
    nest,
    nf_message,
    text,
    text_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ..records.objects import Guard


# Something in our tables that we would not have written: equal to no NatRule and to neither True nor False.
Unknown = namedtuple("Unknown", ("where", "what"))

TABLE = "viscum"
MUTE = "viscum-lo"
MUTE_PREFIX = "udp_"  # of a chain's name, behind which are its ports
GUARD_PREFIX = "egress_"
MOST_RULES = 256  # of a Guard in one batch, of about 500 bytes: a socket sends 160 KiB at once (net.core.wmem_default)
# The comment by which a table in the router is known as ours, as nft stores one (NFTNL_UDATA_TABLE_COMMENT of libnftnl,
# kernel 5.10): a type, the length, and the text.
COMMENT = b"\0\7viscum\0"
DEVICE = "eth0"  # the inner end of the veth pair
INET = 1  # NFPROTO_INET: the family of the redirect table
NETDEV = 5  # NFPROTO_NETDEV: the family of the packet type table
GUARD = 0  # in place of INET, for what went wrong with a Guard (error_text)

# A base chain: `hook` is NF_INET_PRE_ROUTING or NF_NETDEV_INGRESS, both 0, or NF_INET_INGRESS. `priority` is
# NF_IP_PRI_NAT_DST or NF_IP_PRI_FILTER. `dev` is "" where the hook belongs to no device. `policy` is _ACCEPT or _DROP.
_Chain = namedtuple("_Chain", ("family", "table", "name", "type", "hook", "priority", "dev", "policy"))

_BATCH_BEGIN = 16  # NFNL_MSG_BATCH_BEGIN
_BATCH_END = 17  # NFNL_MSG_BATCH_END
_NEWTABLE, _GETTABLE, _DELTABLE, _NEWCHAIN, _GETCHAIN, _NEWRULE, _GETRULE = 0, 1, 2, 3, 4, 6, 7  # NFT_MSG_

_TABLE_NAME, _TABLE_FLAGS, _TABLE_USE, _TABLE_USERDATA = (
    1,
    2,
    3,
    6,
)  # NFTA_TABLE_; tables, chains and rules all name their table in 1
_CHAIN_NAME, _CHAIN_HOOK, _CHAIN_POLICY, _CHAIN_USE, _CHAIN_TYPE, _CHAIN_FLAGS = 3, 4, 5, 6, 7, 10  # NFTA_CHAIN_
_CHAIN_COUNTERS, _COUNTER_BYTES, _COUNTER_PACKETS = 8, 1, 2  # NFTA_CHAIN_COUNTERS, NFTA_COUNTER_
_HOOK_NUM, _HOOK_PRIORITY, _HOOK_DEV, _HOOK_DEVS = 1, 2, 3, 4  # NFTA_HOOK_
_RULE_CHAIN, _RULE_EXPRESSIONS = 2, 4  # NFTA_RULE_
_LIST_ELEM = 1  # NFTA_LIST_ELEM
_EXPR_NAME, _EXPR_DATA = 1, 2  # NFTA_EXPR_
_DATA_VALUE, _DATA_VERDICT, _VERDICT_CODE = 1, 2, 1  # NFTA_DATA_VALUE, NFTA_DATA_VERDICT, NFTA_VERDICT_CODE

_BASE = 1  # NFT_CHAIN_BASE
_DROP, _ACCEPT = 0, 1  # NF_DROP, NF_ACCEPT
_VERDICTS = {"accept": _ACCEPT, "return": -5 & 0xFFFFFFFF, "drop": _DROP}  # NFT_RETURN
_INGRESS = 5  # NF_INET_INGRESS (kernel 5.10)

_REG = 1  # NFT_REG_1: 16 bytes, room for an IPv6 address and for a device name
_REG_VERDICT = 0  # NFT_REG_VERDICT
_META_DREG, _META_KEY, _META_SREG = 1, 2, 3  # NFTA_META_
_IIFNAME, _NFPROTO, _L4PROTO, _PKTTYPE = 6, 15, 16, 19  # NFT_META_
_IFNAMSIZ = 16  # linux/if.h
_CMP_SREG, _CMP_OP, _CMP_DATA = 1, 2, 3  # NFTA_CMP_
_EQ, _NEQ, _LTE, _GTE = 0, 1, 3, 5  # NFT_CMP_
_RANGE_SREG, _RANGE_OP, _RANGE_FROM, _RANGE_TO = 1, 2, 3, 4  # NFTA_RANGE_
_PAYLOAD_DREG, _PAYLOAD_BASE, _PAYLOAD_OFFSET, _PAYLOAD_LEN = 1, 2, 3, 4  # NFTA_PAYLOAD_
_NETWORK, _TRANSPORT = 1, 2  # NFT_PAYLOAD_NETWORK_HEADER, NFT_PAYLOAD_TRANSPORT_HEADER
_BIT_SREG, _BIT_DREG, _BIT_LEN, _BIT_MASK, _BIT_XOR, _BIT_OP = 1, 2, 3, 4, 5, 6  # NFTA_BITWISE_
_BOOL = 0  # NFT_BITWISE_BOOL
_IMMEDIATE_DREG, _IMMEDIATE_DATA = 1, 2  # NFTA_IMMEDIATE_
_REDIR_MIN, _REDIR_MAX, _REDIR_FLAGS = 1, 2, 3  # NFTA_REDIR_REG_PROTO_MIN, _MAX, NFTA_REDIR_FLAGS
_PORT_GIVEN = 2  # NF_NAT_RANGE_PROTO_SPECIFIED (linux/netfilter/nf_nat.h)

# The attributes of an expression that hold data (NFTA_DATA_): the kernel does not mark them as nested in its answers.
_DATA = {
    "cmp": (_CMP_DATA,),
    "range": (_RANGE_FROM, _RANGE_TO),
    "bitwise": (_BIT_MASK, _BIT_XOR),
    "immediate": (_IMMEDIATE_DATA,),
}

_PROTOCOLS = (("tcp", 6), ("udp", 17))  # IPPROTO_TCP, IPPROTO_UDP
_ICMP = {4: 1, 6: 58}  # IPPROTO_ICMP, IPPROTO_ICMPV6
_SPORT_OFFSET, _DPORT_OFFSET = 0, 2  # RFC 9293 and RFC 768: the source port comes first in both
_NFPROTO_OF = {4: 2, 6: 10}  # NFPROTO_IPV4, NFPROTO_IPV6
_SADDR_OFFSET, _DADDR_OFFSET = {4: 12, 6: 8}, {4: 16, 6: 24}  # RFC 791, RFC 8200
_ANY = {4: "0.0.0.0/0", 6: "::/0"}


# What a Mute lets pass: nothing that came in by eth0 has such an address as its source (the kernel drops it there).
_WITHIN = [
    GuardRule(verdict="accept", family=family, saddr=saddr, daddr="", proto="", sport=None, dport=None, what="")
    for family, saddr in ((4, "127.0.0.0/8"), (6, "::1"))
]


def _nat_chain() -> "_Chain":
    return _Chain(INET, TABLE, "prerouting", "nat", 0, -100, "", _ACCEPT)


def _pkttype_chain(device: str) -> "_Chain":
    return _Chain(NETDEV, TABLE, "ingress", "filter", 0, 0, device, _ACCEPT)


def _guard_chain(dev: str, name: str) -> "_Chain":
    return _Chain(INET, dev, name, "filter", _INGRESS, 0, dev, _DROP)


def _mute_chain(ports: str) -> "_Chain":
    return _Chain(INET, MUTE, MUTE_PREFIX + ports, "filter", _INGRESS, 0, "lo", _ACCEPT)


# Commands to type


def nat_text(rules: "Iterable[NatRule]") -> "list[str]":
    """The commands that create `inet viscum` where there is none. After `delete_text` they replace it, not at once."""
    lines = [
        "nft add table inet viscum",
        "nft add chain inet viscum prerouting '{ type nat hook prerouting priority dstnat; policy accept; }'",
    ]
    return lines + ["nft add rule inet viscum prerouting '%s'" % rule_text(rule) for rule in rules]


def pkttype_text(dev: str = DEVICE) -> "list[str]":
    """The commands that create `netdev viscum` where there is none."""
    hook = 'type filter hook ingress device "%s" priority 0; policy accept;' % dev
    return [
        "nft add table netdev viscum",
        "nft add chain netdev viscum ingress '{ %s }'" % hook,
        "nft add rule netdev viscum ingress meta pkttype set host",
    ]


def delete_text(family: int) -> "list[str]":
    return ["nft delete table %s viscum" % ("inet" if family == INET else "netdev")]


def rule_text(rule: "NatRule") -> str:
    """A rule as `nft list ruleset` shows it."""
    _check(rule)
    words = ['iifname "%s"' % DEVICE]
    if rule.daddr:
        words.append(_daddr_text(address.parse_prefix(rule.daddr)))
    if rule.dport:
        low, high = rule.dport
        words.append("%s dport %s" % (rule.proto, low if low == high else "%d-%d" % (low, high)))
    elif rule.proto:
        words.append("meta l4proto %s" % rule.proto)
    words.append("redirect to :%d" % rule.to_port if rule.to_port else "redirect")
    return " ".join(words)


def _daddr_text(prefix: "address.Prefix") -> str:
    if prefix.length == 0:
        return "meta nfproto ipv%d" % prefix.family
    return "%s daddr %s" % ("ip" if prefix.family == 4 else "ip6", address.format_prefix(prefix))


# Messages to the kernel


def nat_batch(rules: "Iterable[NatRule]", seq: int) -> bytes:
    """Creates `inet viscum` with these rules, or replaces it."""
    return _replace(_nat_chain(), (_rule_expressions(rule) for rule in rules), seq)


def pkttype_batch(seq: int, dev: str = DEVICE) -> bytes:
    """Creates `netdev viscum`, or replaces it. Create the device first: older kernels refuse a chain without it."""
    return _replace(_pkttype_chain(dev), [_pkttype_expressions()], seq)


def delete_batch(family: int, seq: int) -> bytes:
    """Deletes our table of a family (INET, NETDEV). A missing table is no error."""
    return _batch(seq, _without_table(family, TABLE))


# The dumps that `guards` reads: of all tables of the family, then of their chains.
GUARD_DUMPS: "tuple[Callable[[int], bytes], ...]" = (
    lambda seq: _message(_GETTABLE, INET, NLM_F_DUMP, b"", seq),
    lambda seq: _message(_GETCHAIN, INET, NLM_F_DUMP, b"", seq),
)


def dump_requests(seq: int) -> "list[bytes]":
    """The requests whose answers `decode` needs: send one, read up to its NLMSG_DONE, send the next.

    A netlink socket does one dump at a time (EBUSY). All tables of the namespace are dumped, because the kernel's own
    filter for rules stops after the first table of a name, whatever its family.
    """
    return [_message(kind, 0, NLM_F_DUMP, b"", seq) for kind in (_GETTABLE, _GETCHAIN, _GETRULE)]


def _replace(chain: "_Chain", rules: "Iterable[bytes]", seq: int) -> bytes:
    # Creating the table first lets the deletion succeed where there was none. No NLM_F_EXCL anywhere, so that existing
    # objects are no error.
    return _batch(seq, _without_table(chain.family, chain.table), _new_table(chain), _new_rules(chain, rules))


def _new_table(chain: "_Chain") -> "list[tuple[int, int, int, bytes]]":
    comment = attribute(_TABLE_USERDATA, COMMENT) if chain.table.startswith(DEV_PREFIX) else b""
    table = (_NEWTABLE, chain.family, NLM_F_CREATE, text(_TABLE_NAME, chain.table) + comment)
    if chain.policy == _ACCEPT:
        return [table, (_NEWCHAIN, chain.family, NLM_F_CREATE, _chain_attributes(chain))]
    # The kernel hooks a new chain in at once and gives it its rules with the end of the batch (nf_tables_addchain in
    # net/netfilter/nf_tables_api.c): with this policy at once, it would drop and count what comes in between.
    empty = with_(chain, policy=_ACCEPT)
    names = text(_TABLE_NAME, chain.table) + text(_CHAIN_NAME, chain.name)
    counters = nest(_CHAIN_COUNTERS, attribute(_COUNTER_BYTES, bytes(8)) + attribute(_COUNTER_PACKETS, bytes(8)))
    return [
        table,
        (_NEWCHAIN, chain.family, NLM_F_CREATE, _chain_attributes(empty)),
        (_NEWCHAIN, chain.family, 0, names + be32(_CHAIN_POLICY, chain.policy) + counters),
    ]


def _new_rules(chain: "_Chain", rules: "Iterable[bytes]") -> "Iterator[tuple[int, int, int, bytes]]":
    for expressions in rules:
        data = text(_TABLE_NAME, chain.table) + text(_RULE_CHAIN, chain.name) + nest(_RULE_EXPRESSIONS, expressions)
        yield _NEWRULE, chain.family, NLM_F_CREATE | NLM_F_APPEND, data  # after the last rule


def _without_table(family: int, table: str) -> "list[tuple[int, int, int, bytes]]":
    name = text(_TABLE_NAME, table)
    return [(_NEWTABLE, family, NLM_F_CREATE, name), (_DELTABLE, family, 0, name)]


def _batch(seq: int, *parts: "Iterable[tuple[int, int, int, bytes]]") -> bytes:
    """Commands in their order. Rules may be hundreds of half a kilobyte: each is made when its turn comes."""
    made, kept = [_batch_edge(_BATCH_BEGIN, seq)], None
    for part in parts:
        for command in part:
            if kept:
                made.append(_command(kept, 0, seq))
            kept = command
    if kept:  # the last command, not the batch's end: before Linux 6.10 the kernel does not answer for the end
        made.append(_command(kept, NLM_F_ACK, seq))
    made.append(_batch_edge(_BATCH_END, seq))
    return b"".join(made)


def _command(command: "tuple[int, int, int, bytes]", more: int, seq: int) -> bytes:
    kind, family, flags, data = command
    return _message(kind, family, flags | more, data, seq)


def _batch_edge(kind: int, seq: int) -> bytes:
    # struct nfgenmsg; its resource is the subsystem here, in network order.
    return message(kind, 0, bytes([0, 0, 0, NFTABLES >> 8]), seq)


def _message(kind: int, family: int, flags: int, data: bytes, seq: int) -> bytes:
    return nf_message(NFTABLES | kind, flags, family, data, seq)


def _chain_attributes(chain: "_Chain") -> bytes:
    hook = be32(_HOOK_NUM, chain.hook) + be32(_HOOK_PRIORITY, chain.priority & 0xFFFFFFFF)
    if chain.dev:
        hook += text(_HOOK_DEV, chain.dev)
    names = text(_TABLE_NAME, chain.table) + text(_CHAIN_NAME, chain.name)
    return names + nest(_CHAIN_HOOK, hook) + be32(_CHAIN_POLICY, chain.policy) + text(_CHAIN_TYPE, chain.type)


def _rule_expressions(rule: "NatRule") -> bytes:
    _check(rule)
    parts = [_load_meta(_IIFNAME), _compare(_EQ, _device_bytes(DEVICE))]
    if rule.daddr:
        parts.append(_daddr_expressions(address.parse_prefix(rule.daddr)))
    if rule.proto:
        parts += [_load_meta(_L4PROTO), _compare(_EQ, bytes([dict(_PROTOCOLS)[rule.proto]]))]
    if rule.dport:
        parts.append(_port_expressions(rule.dport, _DPORT_OFFSET))
    parts.append(_redirect(rule.to_port))
    return b"".join(parts)


def _daddr_expressions(prefix: "address.Prefix") -> bytes:
    return _family_expressions(prefix.family) + _address_expressions(prefix, _DADDR_OFFSET)


def _family_expressions(family: int) -> bytes:
    return _load_meta(_NFPROTO) + _compare(_EQ, bytes([_NFPROTO_OF[family]]))


def _address_expressions(prefix: "address.Prefix", offsets: "dict[int, int]") -> bytes:
    """As in nft: whole bytes are loaded as they are, a length that is not a multiple of 8 needs a mask."""
    offset = offsets[prefix.family]
    if prefix.length == 0:
        return b""
    if prefix.length % 8 == 0:
        size = prefix.length // 8
        return _load_payload(_NETWORK, offset, size) + _compare(_EQ, prefix.packed[:size])
    size = len(prefix.packed)
    mask = address.mask(prefix.length, size)
    return _load_payload(_NETWORK, offset, size) + _and(mask) + _compare(_EQ, prefix.packed)


def _port_expressions(ports: "tuple[int, int]", offset: int) -> bytes:
    return _load_payload(_TRANSPORT, offset, 2) + _between(_port_bytes(ports[0]), _port_bytes(ports[1]))


def _between(low: bytes, high: bytes) -> bytes:
    return _compare(_EQ, low) if low == high else _compare(_GTE, low) + _compare(_LTE, high)


def _redirect(port: int) -> bytes:
    if not port:
        return _expression("redir", b"")
    load = be32(_IMMEDIATE_DREG, _REG) + _value(_IMMEDIATE_DATA, _port_bytes(port))
    ports = be32(_REDIR_MIN, _REG) + be32(_REDIR_MAX, _REG) + be32(_REDIR_FLAGS, _PORT_GIVEN)
    return _expression("immediate", load) + _expression("redir", ports)


def _pkttype_expressions() -> bytes:
    host = bytes([0])  # PACKET_HOST, linux/if_packet.h; a byte, because skb->pkt_type has 3 bits
    load = be32(_IMMEDIATE_DREG, _REG) + _value(_IMMEDIATE_DATA, host)
    store = be32(_META_KEY, _PKTTYPE) + be32(_META_SREG, _REG)
    return _expression("immediate", load) + _expression("meta", store)


def _load_meta(key: int) -> bytes:
    return _expression("meta", be32(_META_KEY, key) + be32(_META_DREG, _REG))


def _load_payload(base: int, offset: int, size: int) -> bytes:
    place = be32(_PAYLOAD_BASE, base) + be32(_PAYLOAD_OFFSET, offset) + be32(_PAYLOAD_LEN, size)
    return _expression("payload", be32(_PAYLOAD_DREG, _REG) + place)


def _compare(operator: int, value: bytes) -> bytes:
    return _expression("cmp", be32(_CMP_SREG, _REG) + be32(_CMP_OP, operator) + _value(_CMP_DATA, value))


def _and(mask: bytes) -> bytes:
    """register = (register & mask) ^ 0"""
    registers = be32(_BIT_SREG, _REG) + be32(_BIT_DREG, _REG)
    operation = be32(_BIT_OP, _BOOL) + be32(_BIT_LEN, len(mask))
    return _expression("bitwise", registers + operation + _value(_BIT_MASK, mask) + _value(_BIT_XOR, bytes(len(mask))))


def _expression(name: str, data: bytes) -> bytes:
    return nest(_LIST_ELEM, text(_EXPR_NAME, name) + nest(_EXPR_DATA, data))


def _value(kind: int, data: bytes) -> bytes:
    return nest(kind, attribute(_DATA_VALUE, data))


def _device_bytes(name: str) -> bytes:
    return name.encode() + bytes(_IFNAMSIZ - len(name))


def _port_bytes(port: int) -> bytes:
    return struct.pack(">H", port)


def _check(rule: "NatRule") -> None:
    """The plan makes rules in one form only; any other would never equal what the kernel shows."""
    if rule.daddr and address.format_prefix(address.parse_prefix(rule.daddr)) != rule.daddr:
        raise ViscumError("'%s' is not the usual form of a prefix" % rule.daddr)
    if rule.proto not in ("", "tcp", "udp"):
        raise ViscumError("'%s' is not a protocol that can be redirected" % rule.proto)
    if not rule.proto and (rule.dport or rule.to_port):
        raise ViscumError("a port needs a protocol")
    if rule.dport and not 1 <= rule.dport[0] <= rule.dport[1] <= 65535:
        raise ViscumError("%d-%d is not a range of ports" % rule.dport)
    if not 0 <= rule.to_port <= 65535:
        raise ViscumError("%d is not a port" % rule.to_port)


# What a program would say to itself


def mute_text(ports: str) -> "list[str]":
    """The commands that create `inet viscum-lo` where there is none."""
    where = "inet %s %s" % (MUTE, MUTE_PREFIX + ports)
    lines = ["nft add table inet " + MUTE]
    lines.append("nft add chain %s '{ type filter hook ingress device \"lo\" priority 0; policy accept; }'" % where)
    rules = [guard_rule_text(rule) for rule in _WITHIN]
    rules += ["udp sport %s udp dport %s drop" % pair for pair in _pairs(ports)]
    return lines + ["nft add rule %s %s" % (where, rule) for rule in rules]


def mute_batch(ports: "str | None", there: bool, seq: int) -> bytes:
    """Creates `inet viscum-lo`, and deletes the one that is `there`; for None nothing but that."""
    parts: list[Iterable] = [_without_table(INET, MUTE)] if there else []
    if ports is not None:
        chain = _mute_chain(ports)
        rules = [_guard_expressions(rule) for rule in _WITHIN] + [_mute_expressions(pair) for pair in _pairs(ports)]
        parts += [_new_table(chain), _new_rules(chain, rules)]
    return _batch(seq, *parts)


def _pairs(ports: str) -> "list[tuple[str, str]]":
    each = ports.split("_")
    return [(one, other) for one in each for other in each]


def _mute_expressions(pair: "tuple[str, str]") -> bytes:
    parts = [_load_meta(_L4PROTO), _compare(_EQ, bytes([dict(_PROTOCOLS)["udp"]]))]
    for words, offset in zip(pair, (_SPORT_OFFSET, _DPORT_OFFSET)):
        ends = [int(word) for word in words.split("-")]
        parts.append(_port_expressions((ends[0], ends[-1]), offset))
    return b"".join(parts) + _verdict("drop")


def muted(buffers: "Iterable[bytes]") -> str:
    """The ports of the table that `mute_batch` made, from the answers to the first two `dump_requests`, "?" where it is
    not as it was made. As with `guards`, no rule is read."""
    dump = _read(buffers, MUTE)
    if dump.interrupted:
        return "?"
    if not dump.has_table(INET):
        return ""  # another family's, or one with a longer name
    name = "".join([text_of(chain[_CHAIN_NAME]) for family, chain in dump.chains if family == INET][:1])
    ports = name[len(MUTE_PREFIX) :]
    rules = len(_WITHIN) + len(ports.split("_")) ** 2
    return "?" if not _are_ports(ports) or dump.oddities(_mute_chain(ports), rules) else ports


def _are_ports(text: str) -> bool:
    """Whether somebody's chain has a name that could be a Mute's."""
    for word in text.split("_"):
        ends = [int(each) if address.is_number(each) and len(each) < 6 else 0 for each in word.split("-")]
        if len(ends) > 2 or not 1 <= ends[0] <= ends[-1] <= 65535:
            return False
    return True


# What may leave a service's pair


# What a rule says besides addresses, protocol and ports, as nft writes it, and as expressions: for each family.
_BEGUN = "tcp flags & (syn | ack) != syn"
_WORDS = {
    "": {4: "", 6: ""},
    "begun": {4: _BEGUN, 6: _BEGUN},
    "fragment": {4: "ip frag-off & 0x1fff != 0", 6: "ip6 nexthdr 44 @nh,336,16 & 0xfff8 != 0"},
    "error": {4: "icmp type 3", 6: "icmpv6 type 1-4"},
    "neighbour": {4: "", 6: "icmpv6 type 135-136"},
    "not tcp": {4: "meta l4proto != tcp", 6: "meta l4proto != tcp"},
}


def _what_expressions(what: str, family: int) -> bytes:
    if what == "begun":  # RFC 9293: the flags are in byte 13, SYN 2 and ACK 16
        return _load_payload(_TRANSPORT, 13, 1) + _and(b"\x12") + _compare(_NEQ, b"\x02")
    if what == "fragment" and family == 4:
        return _load_payload(_NETWORK, 6, 2) + _and(b"\x1f\xff") + _compare(_NEQ, bytes(2))
    if what == "fragment":  # as the first header, as a program's datagrams have it
        header = _load_payload(_NETWORK, 6, 1) + _compare(_EQ, b"\x2c")
        return header + _load_payload(_NETWORK, 42, 2) + _and(b"\xff\xf8") + _compare(_NEQ, bytes(2))
    if what == "not tcp":
        return _load_meta(_L4PROTO) + _compare(_NEQ, bytes([dict(_PROTOCOLS)["tcp"]]))
    if what:
        kind = _load_meta(_L4PROTO) + _compare(_EQ, bytes([_ICMP[family]])) + _load_payload(_TRANSPORT, 0, 1)
        low, high = (135, 136) if what == "neighbour" else (3, 3) if family == 4 else (1, 4)
        return kind + _between(bytes([low]), bytes([high]))
    return b""


def guard_text(item: "Guard") -> "list[str]":
    """The commands that create its table where there is none."""
    if item.rules is None:
        return []
    where, chain = "inet " + item.dev, _guard_name(item)
    hook = 'type filter hook ingress device "%s" priority 0; policy drop;' % item.dev
    table = "nft add table %s '{ comment \"viscum\"; }'" % where
    lines = [table, "nft add chain %s %s '{ %s }'" % (where, chain, hook)]
    return lines + ["nft add rule %s %s '%s'" % (where, chain, guard_rule_text(rule)) for rule in item.rules]


def guard_rule_text(rule: "GuardRule") -> str:
    """A rule as `nft list ruleset` shows it."""
    ip, words = "ip" if rule.family == 4 else "ip6", []
    for side, prefix in (("saddr", rule.saddr), ("daddr", rule.daddr)):
        words += ["%s %s %s" % (ip, side, prefix)] if prefix else []
    if not words:
        words.append("meta nfproto ipv%d" % rule.family)
    for side, ports in (("sport", rule.sport), ("dport", rule.dport)):
        if ports:
            words.append("%s %s %s" % (rule.proto, side, ports[0] if ports[0] == ports[1] else "%d-%d" % ports))
    if rule.proto and not rule.sport and not rule.dport:
        words.append("meta l4proto " + rule.proto)
    more = _WORDS[rule.what][rule.family]
    return " ".join(words + ([more] if more else []) + [rule.verdict])


def guard_batch(item: "Guard", start: int, there: bool, seq: int) -> bytes:
    """Creates its table, or replaces the one that is `there`: a batch that deletes waits until no processor uses any of
    that (10 ms measured, 1 ms without). With MOST_RULES of its rules from `start` on: if that is not 0, they are added
    to those before."""
    chain = _guard_chain(item.dev, _guard_name(item))
    made = (_guard_expressions(rule) for rule in (item.rules or ())[start : start + MOST_RULES])
    rules = _new_rules(chain, made)
    if start:
        return _batch(seq, rules)
    return _batch(seq, _without_table(INET, item.dev) if there else (), _new_table(chain), rules)


def guards_delete_batch(devs: "Iterable[str]", seq: int) -> bytes:
    """Deletes the tables of Guards, all at once. A missing one is no error."""
    return _batch(seq, *[_without_table(INET, dev) for dev in devs])


def _guard_name(item: "Guard") -> str:
    return GUARD_PREFIX + item.mark.split("/")[0]


def _guard_expressions(rule: "GuardRule") -> bytes:
    parts = [_family_expressions(rule.family)]
    for prefix, offsets in ((rule.saddr, _SADDR_OFFSET), (rule.daddr, _DADDR_OFFSET)):
        parts.append(_address_expressions(address.parse_prefix(prefix), offsets) if prefix else b"")
    if rule.proto:
        parts += [_load_meta(_L4PROTO), _compare(_EQ, bytes([dict(_PROTOCOLS)[rule.proto]]))]
    for ports, offset in ((rule.sport, _SPORT_OFFSET), (rule.dport, _DPORT_OFFSET)):
        parts.append(_port_expressions(ports, offset) if ports else b"")
    parts.append(_what_expressions(rule.what, rule.family))
    return b"".join(parts) + _verdict(rule.verdict)


def _verdict(name: str) -> bytes:
    verdict = nest(_DATA_VERDICT, be32(_VERDICT_CODE, _VERDICTS[name]))
    return _expression("immediate", be32(_IMMEDIATE_DREG, _REG_VERDICT) + nest(_IMMEDIATE_DATA, verdict))


def guards(tables: "Iterable[bytes]", chains: "Iterable[bytes]") -> "dict[str, tuple[str | None, int]]":
    """{device: (mark, packets dropped)} of the tables that `guard_batch` made, from the bodies of both dumps
    (GUARD_DUMPS). The mark is "?", as of no Guard, where one is not as it was made, None for somebody else's of such a
    name. It is in the chain's name, so no rule is read: a hundred services have a thousand, and who may change one may
    change everything."""
    found: dict[str, tuple[str | None, int]] = {}
    whole = []
    for body in tables:
        attributes = _fields(body[4:])
        name = text_of(attributes[_TABLE_NAME])
        if name.startswith(DEV_PREFIX):
            found[name] = "?" if attributes.get(_TABLE_USERDATA) == COMMENT else None, 0
            if be32_of(attributes[_TABLE_USE]) == 1 and not be32_of(attributes.get(_TABLE_FLAGS, bytes(4))):
                whole.append(name)
    for body in chains if found else ():
        attributes = _fields(body[4:])
        dev, name = [text_of(attributes[each]) for each in (_TABLE_NAME, _CHAIN_NAME)]
        if dev in whole and found[dev][0] and _chain_of(INET, attributes) == _guard_chain(dev, name):
            counters = _fields(attributes.get(_CHAIN_COUNTERS, b""))
            packets = int.from_bytes(counters.get(_COUNTER_PACKETS, b""), "big")
            found[dev] = "%s/%d" % (name[len(GUARD_PREFIX) :], be32_of(attributes[_CHAIN_USE])), packets
    return found


# Answers of the kernel


def decode(buffers: "Iterable[bytes]", dev: str = DEVICE) -> tuple:
    """What our tables hold, from the answers to `dump_requests`: (rules, pkttype).

    `buffers` are what was read, each with one or more whole messages. `rules` is a tuple of NatRule, None without
    the table; `pkttype` says whether the table `netdev viscum` exists. What we would not have written becomes an
    Unknown: among the rules, or instead of `pkttype`. So compare with what was asked for: an Unknown counts as
    true. Tables with other names or of other families are ignored. So are comments (NFTA_.._USERDATA): they
    move no packet, and newer nft stores its version there. Raises OSError if a dump ended with an error.
    """
    dump = _read(buffers)
    if dump.interrupted:
        odd = Unknown("nftables", "changed while it was read")
        return (odd,), odd
    nat = pkttype = None
    if dump.has_table(INET):
        rules = [_decode_rule(rule) for rule in dump.rules_of(INET)]
        nat = tuple(dump.oddities(_nat_chain(), len(rules)) + rules)
    if dump.has_table(NETDEV):
        found = dump.rules_of(NETDEV)
        pkttype = dump.oddities(_pkttype_chain(dev), len(found))
        if [_canonical(rule) for rule in found] != [_parse(_pkttype_expressions())]:
            pkttype.append(Unknown("netdev viscum", "rules other than `meta pkttype set host`"))
    if pkttype is None:
        return nat, False
    return nat, pkttype[0] if pkttype else True


class _Dump:
    """The objects of our tables: lists of (family, attributes as a dict)."""

    def __init__(self) -> None:
        self.tables: list[tuple[int, dict]] = []
        self.chains: list[tuple[int, dict]] = []
        self.rules: list[tuple[int, dict]] = []
        self.interrupted = False

    def has_table(self, family: int) -> bool:
        return any(each == family for each, _ in self.tables)

    def rules_of(self, family: int) -> "list[dict]":
        return [rule for each, rule in self.rules if each == family]

    def oddities(self, wanted: "_Chain", rules: int) -> "list[Unknown]":
        """What differs from `wanted` in the table and its chain with so many rules, as a list of Unknown."""
        where = "%s viscum" % ("inet" if wanted.family == INET else "netdev")
        table = [each for family, each in self.tables if family == wanted.family][0]
        chains = [each for family, each in self.chains if family == wanted.family]
        reasons = []
        if be32_of(table.get(_TABLE_FLAGS, bytes(4))):
            reasons.append("table flags")  # dormant, or owned by a process
        # "Use" counts chains, sets, maps, objects and flow tables: one that we did not ask for still shows here.
        if len(chains) != 1 or be32_of(table[_TABLE_USE]) != 1:
            reasons.append("more or less than one chain")
        elif _chain_of(wanted.family, chains[0]) != wanted:
            reasons.append("another chain than `%s`" % wanted.name)
        elif be32_of(chains[0][_CHAIN_USE]) != rules:
            reasons.append("other rules than were read")
        return [Unknown(where, reason) for reason in reasons]


def _read(buffers: "Iterable[bytes]", table: str = TABLE) -> "_Dump":
    dump = _Dump()
    lists = {_NEWTABLE: dump.tables, _NEWCHAIN: dump.chains, _NEWRULE: dump.rules}
    for buffer in buffers:
        for kind, flags, _, body in messages(buffer, True):
            dump.interrupted = dump.interrupted or bool(flags & NLM_F_DUMP_INTR)
            if kind == NLMSG_DONE or kind == NLMSG_ERROR and _answers_a_dump(body):
                code = errno_of(body)
                if code:
                    raise OSError(code, "nf_tables dump")
            if kind & ~0xFF != NFTABLES or kind & 0xFF not in lists:
                continue
            attributes = _fields(body[4:])  # behind struct nfgenmsg
            if attributes[_TABLE_NAME] == table.encode() + b"\0":
                lists[kind & 0xFF].append((body[0], attributes))
    return dump


def _fields(data: bytes) -> dict:
    """Attributes by type. A truncated one is an error here: part of a rule could read as another rule."""
    return dict(elements(data, True))


def _answers_a_dump(body: bytes) -> bool:
    """Whether an NLMSG_ERROR answers one of our dump requests: a refused batch may have left others in the socket."""
    # struct nlmsgerr: the error number, then the header of the message that it answers.
    kind = struct.unpack_from("H", body, 8)[0]
    return kind in [NFTABLES | request for request in (_GETTABLE, _GETCHAIN, _GETRULE)]


def _chain_of(family: int, attributes: dict) -> "_Chain | None":
    """The _Chain that an answer describes, None if we could not have made it."""
    if _CHAIN_HOOK not in attributes:
        return None  # a chain that is only jumped to
    hook = _fields(attributes[_CHAIN_HOOK])
    policy = be32_of(attributes.get(_CHAIN_POLICY, bytes(4)))
    flags = be32_of(attributes.get(_CHAIN_FLAGS, bytes([0, 0, 0, _BASE])))
    devices = [text_of(name) for _, name in elements(hook.get(_HOOK_DEVS, b""), True)]
    if not devices and _HOOK_DEV in hook:
        devices = [text_of(hook[_HOOK_DEV])]
    if flags != _BASE or len(devices) > 1:
        return None
    priority = struct.unpack_from(">i", hook[_HOOK_PRIORITY])[0]
    number = be32_of(hook[_HOOK_NUM])
    table, name, kind = [text_of(attributes[each]) for each in (_TABLE_NAME, _CHAIN_NAME, _CHAIN_TYPE)]
    return _Chain(family, table, name, kind, number, priority, devices[0] if devices else "", policy)


def _decode_rule(attributes: dict) -> "NatRule | Unknown":
    """A NatRule only if encoding it gives exactly the expressions that were read."""
    expressions = _canonical(attributes)
    rule = _guess(expressions)
    try:
        if _parse(_rule_expressions(rule)) == expressions:
            return rule
    except (ViscumError, ValueError):
        pass  # a guess that can't be encoded is not one of our rules
    return Unknown("inet viscum", "a rule of " + ", ".join([name for name, _ in expressions]))


def _guess(expressions: "list[tuple[str, dict]]") -> "NatRule":
    """The NatRule that these expressions may mean: it uses what it knows and leaves the proof to `_decode_rule`."""
    compared: dict = {}
    mask = None
    to_port = 0
    loaded = None
    for name, attributes in expressions:
        if name == "meta":
            loaded = ("meta", attributes.get(_META_KEY))
        elif name == "payload":
            loaded = ("payload", attributes.get(_PAYLOAD_BASE))
        elif name == "cmp":
            compared[loaded] = compared.get(loaded, ()) + (_data_of(attributes, _CMP_DATA),)
        elif name == "bitwise":
            mask = _data_of(attributes, _BIT_MASK)
        elif name == "immediate":
            to_port = int.from_bytes(_data_of(attributes, _IMMEDIATE_DATA), "big")
    family = compared.get(_key("meta", _NFPROTO))
    protocol = compared.get(_key("meta", _L4PROTO))
    ports = compared.get(_key("payload", _TRANSPORT))
    destination = compared.get(_key("payload", _NETWORK))
    daddr = _guess_daddr(family[0], destination[0] if destination else b"", mask) if family else ""
    proto = "".join([name for name, number in _PROTOCOLS if protocol and protocol[0] == bytes([number])])
    dport = (int.from_bytes(ports[0], "big"), int.from_bytes(ports[-1], "big")) if ports else None
    return NatRule(daddr, proto, dport, to_port)


def _guess_daddr(nfproto: bytes, value: bytes, mask: "bytes | None") -> str:
    family = 6 if nfproto == bytes([_NFPROTO_OF[6]]) else 4
    if not value:
        return _ANY[family]
    whole = address.bits(family) // 8
    length = len(value) * 8 if mask is None else sum([bin(byte).count("1") for byte in mask])
    packed = (value + bytes(whole))[:whole]
    return address.format_prefix(address.Prefix(family, packed, length))


def _key(kind: str, number: int) -> "tuple[str, bytes]":
    return (kind, struct.pack(">I", number))


def _data_of(attributes: dict, kind: int) -> bytes:
    return (attributes.get(kind) or {}).get(_DATA_VALUE, b"")


def _canonical(rule: dict) -> "list[tuple[str, dict]]":
    """A rule's expressions; a `range`, which newer nft writes, becomes the two comparisons that it stands for."""
    expressions = []
    for name, attributes in _parse(rule.get(_RULE_EXPRESSIONS, b"")):
        if name != "range" or attributes.get(_RANGE_OP) != bytes(4):  # NFT_RANGE_EQ: inside the range
            expressions.append((name, attributes))
            continue
        for operator, bound in ((_GTE, _RANGE_FROM), (_LTE, _RANGE_TO)):
            comparison = {_CMP_SREG: attributes.get(_RANGE_SREG), _CMP_OP: struct.pack(">I", operator)}
            comparison[_CMP_DATA] = attributes.get(bound)
            expressions.append(("cmp", comparison))
    return expressions


def _parse(data: bytes) -> "list[tuple[str, dict]]":
    """A list of expressions as (name, attributes as a dict), the same for what we wrote and what the kernel answers."""
    expressions = []
    for _, element in elements(data, True):
        parts = _fields(element)
        name = text_of(parts[_EXPR_NAME])
        attributes: dict = _fields(parts.get(_EXPR_DATA, b""))
        for kind in _DATA.get(name, ()):
            if kind in attributes:
                attributes[kind] = _fields(attributes[kind])
        expressions.append((name, attributes))
    return expressions


# Errors


def error_text(code: int, family: int) -> str:
    """What a refused batch for a table means if the error number alone would mislead; "" if it speaks for itself.

    The kernel returns ENOENT both for a chain type or expression whose module is missing and for a missing device. The
    packages are those of OpenWrt's package/kernel/linux/modules/netfilter.mk.
    """
    if code not in (errno.ENOENT, errno.EOPNOTSUPP):
        return ""
    if family == GUARD:
        return (
            "nftables on this kernel has no ingress hook in the inet family (kernel 5.10), or there is no such device"
        )
    if family == INET:
        return "nftables on this kernel cannot redirect (NAT) in the inet family: install kmod-nft-nat"
    return (
        "nftables on this kernel has no ingress hook for devices, or the namespace has no such device: "
        "install kmod-nft-netdev"
    )
