"""What connection tracking remembers in a service's namespace (linux/netfilter/nfnetlink_conntrack.h).

An entry keeps the translation that the rules first gave it. When the rules change, a client that keeps its UDP socket
would be answered from the wrong address, or not at all, as long as it keeps sending. So entries that the current rules
would not have made are deleted; the others, and their connections, stay, unless there are too many to tell them apart.

OpenWrt has ctnetlink in a separate package (kmod-nf-conntrack-netlink). Without it, the only way is its own kernel
patch, which flushes everything (hack-*/600-netfilter_conntrack_flush.patch: an `f` written to /proc/net/nf_conntrack).
"""

import struct

from .. import address, compat
from ..records.objects import PROTO_NUMBER
from .codec import NLM_F_ACK, NLM_F_DUMP, attributes, messages, nest, nf_message, understood
from .netlink import Socket
from .rtnl import AF

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from ..records.objects import NatRule

    Place = tuple[int, bytes, int]
    Rules = dict[bytes, list[tuple[NatRule, address.Prefix]]]

IPCTNL_MSG_CT_GET, IPCTNL_MSG_CT_DELETE = 1 << 8 | 1, 1 << 8 | 2  # subsystem 1 of nfnetlink
NLMSG_MIN_TYPE = 16  # below: the end of a dump, an error (linux/netlink.h)
CTA_TUPLE_ORIG, CTA_TUPLE_REPLY = 1, 2
CTA_TUPLE_IP, CTA_TUPLE_PROTO = 1, 2
CTA_IP_V4_SRC, CTA_IP_V4_DST, CTA_IP_V6_SRC, CTA_IP_V6_DST = 1, 2, 3, 4
CTA_PROTO_NUM, CTA_PROTO_SRC_PORT, CTA_PROTO_DST_PORT = 1, 2, 3
PROC = "/proc/thread-self/net/nf_conntrack"


# A program, or its clients, may fill the table up to nf_conntrack_max (262,144 by default with 4 GiB of memory).
MOST = 2000  # entries that are deleted one by one, and
LONG = 0.5  # seconds for which entries are judged; what takes more is forgotten as a whole


def changes_any(before: "Iterable[NatRule]", rules: "Iterable[NatRule]") -> bool:
    """Whether there may be entries that these rules would not have made: rules that come make new ones only."""
    return bool(set(before).difference(rules))


def forget_others(rules: "Sequence[NatRule]") -> None:
    """Deletes the entries of the caller's namespace that these rules (objects.NatRule) would not have made; all of its
    entries where that would take too long."""
    try:
        wrong = _with_socket(lambda socket: _wrong(socket, rules))
    except OSError:
        _forget_all()
        return
    requests = [_flush] if wrong is None else [lambda seq, each=each: _delete(each[0], each[1], seq) for each in wrong]
    _with_socket(lambda socket: socket.transact(requests))


def _with_socket(step: "Callable[[Socket], Any]") -> "Any":
    socket = Socket(compat.NETLINK_NETFILTER)
    try:
        return step(socket)
    finally:
        socket.close()


def _wrong(socket: "Socket", rules: "Sequence[NatRule]") -> "list[tuple[int, bytes]] | None":
    """(family, body) of each entry to delete; None for too many."""
    late = compat.monotonic() + LONG
    index = by_address(rules)
    sieve = lambda data: data if compat.monotonic() > late else _sieve(data, index)  # noqa: E731
    found = []
    for family in (4, 6):
        bodies = socket.dump(lambda seq, family=family: _get(family, seq), most=MOST, sieve=sieve)
        if socket.spent:
            return None
        found += [(family, body) for body in bodies]
    wrong = []
    for each in found:
        if compat.monotonic() > late + LONG:
            return None
        if understood(is_other, each[1], index):
            wrong.append(each)
    return wrong


def by_address(rules: "Iterable[NatRule]") -> "Rules":
    """The rules in their order, which is from narrow to wide: those of single addresses by these, the others by b""."""
    found: Rules = {}
    for rule in rules:
        prefix = address.parse_prefix(rule.daddr)
        single = prefix.length == address.bits(prefix.family)
        found.setdefault(prefix.packed if single else b"", []).append((rule, prefix))
    return found


def _sieve(data: bytes, rules: "Rules") -> bytes:
    """The result of a recv() without the entries that stay."""
    kept, start = [], 0
    for kind, _, _, body in messages(data):
        end = start + 16 + (len(body) + 3 & ~3)
        if kind < NLMSG_MIN_TYPE or understood(is_other, body, rules):
            kept.append(data[start:end])
        start = end
    return b"".join(kept)


def _forget_all() -> None:
    try:
        compat.write_file(PROC, b"f\n")
    except OSError:
        pass  # not OpenWrt: entries time out, once their clients are silent for a while


def _get(family: int, seq: int) -> bytes:
    return nf_message(IPCTNL_MSG_CT_GET, NLM_F_DUMP, AF[family], b"", seq)


def _delete(family: int, body: bytes, seq: int) -> bytes:
    original = nest(CTA_TUPLE_ORIG, attributes(body, 4)[CTA_TUPLE_ORIG])
    return nf_message(IPCTNL_MSG_CT_DELETE, NLM_F_ACK, AF[family], original, seq)


def _flush(seq: int) -> bytes:
    """Without a tuple everything is deleted, of both families (ctnetlink_del_conntrack in nf_conntrack_netlink.c)."""
    return nf_message(IPCTNL_MSG_CT_DELETE, NLM_F_ACK, 0, b"", seq)


def is_other(body: bytes, rules: "Rules") -> bool:
    """Whether an entry has another translation than the rules would give it."""
    found = attributes(body, 4)
    if CTA_TUPLE_ORIG not in found or CTA_TUPLE_REPLY not in found:
        return False
    asked, answers = _place(found[CTA_TUPLE_ORIG], True), _place(found[CTA_TUPLE_REPLY], False)
    if asked is None or answers is None:
        return False
    for rule, prefix in rules.get(asked[1], []) + rules.get(b"", []):
        if _matches(rule, prefix, asked):
            return answers[2] != (rule.to_port or asked[2]) or answers[1] == asked[1]
    return answers != asked


def _place(data: bytes, to: bool) -> "Place | None":
    """(protocol, address, port) of a tuple's destination (`to`) or source; None if it has no ports."""
    parts = attributes(data)
    ends, proto = attributes(parts.get(CTA_TUPLE_IP, b"")), attributes(parts.get(CTA_TUPLE_PROTO, b""))
    which = (CTA_IP_V4_DST, CTA_IP_V6_DST) if to else (CTA_IP_V4_SRC, CTA_IP_V6_SRC)
    packed = ends.get(which[0]) or ends.get(which[1])
    port = proto.get(CTA_PROTO_DST_PORT if to else CTA_PROTO_SRC_PORT)
    if packed is None or port is None or CTA_PROTO_NUM not in proto:
        return None
    return proto[CTA_PROTO_NUM][0], bytes(packed), struct.unpack_from(">H", port)[0]


def _matches(rule: "NatRule", prefix: "address.Prefix", place: "Place") -> bool:
    number, packed, port = place
    if len(prefix.packed) != len(packed) or (rule.proto and PROTO_NUMBER[rule.proto] != number):
        return False
    if rule.dport and not rule.dport[0] <= port <= rule.dport[1]:
        return False
    return address.masked(packed, prefix.length) == prefix.packed
