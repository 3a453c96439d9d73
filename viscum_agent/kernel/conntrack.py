"""What connection tracking remembers in a service's namespace (linux/netfilter/nfnetlink_conntrack.h).

An entry keeps the translation that the rules first gave it. When the rules change, a client that keeps its UDP socket
would be answered from the wrong address, or not at all, as long as it keeps sending. So entries that the current rules
would not have made are deleted; the others, and their connections, stay.

OpenWrt has ctnetlink in a separate package (kmod-nf-conntrack-netlink). Without it, the only way is its own kernel
patch, which flushes everything (hack-*/600-netfilter_conntrack_flush.patch: an `f` written to /proc/net/nf_conntrack).
"""

import struct

from .. import address, compat
from ..records.objects import PROTO_NUMBER
from .codec import NLM_F_ACK, NLM_F_DUMP, attributes, nest, nf_message, parsed
from .rtnl import AF

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..records.objects import NatRule
    from .netlink import Socket

    Place = tuple[int, bytes, int]

IPCTNL_MSG_CT_GET, IPCTNL_MSG_CT_DELETE = 1 << 8 | 1, 1 << 8 | 2  # subsystem 1 of nfnetlink
CTA_TUPLE_ORIG, CTA_TUPLE_REPLY = 1, 2
CTA_TUPLE_IP, CTA_TUPLE_PROTO = 1, 2
CTA_IP_V4_SRC, CTA_IP_V4_DST, CTA_IP_V6_SRC, CTA_IP_V6_DST = 1, 2, 3, 4
CTA_PROTO_NUM, CTA_PROTO_SRC_PORT, CTA_PROTO_DST_PORT = 1, 2, 3
PROC = "/proc/thread-self/net/nf_conntrack"


def forget_others(socket: "Socket", rules: "Sequence[NatRule]") -> None:
    """Deletes the entries that these rules (objects.NatRule) would not have made; `socket` is a netlink.Socket of
    netfilter in the caller's namespace."""
    try:
        bodies = []
        for family in (4, 6):
            bodies += [(family, body) for body in socket.dump(lambda seq, family=family: _get(family, seq))]
    except OSError:
        _forget_all()
        return
    wrong = parsed(lambda each: is_other(each[1], rules) and each, bodies)
    socket.transact([lambda seq, each=each: _delete(each[0], each[1], seq) for each in wrong])


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


def is_other(body: bytes, rules: "Sequence[NatRule]") -> bool:
    """Whether an entry has another translation than the rules would give it."""
    found = attributes(body, 4)
    if CTA_TUPLE_ORIG not in found or CTA_TUPLE_REPLY not in found:
        return False
    asked, answers = _place(found[CTA_TUPLE_ORIG], True), _place(found[CTA_TUPLE_REPLY], False)
    if asked is None or answers is None:
        return False
    for rule in rules:
        if _matches(rule, asked):
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


def _matches(rule: "NatRule", place: "Place") -> bool:
    number, packed, port = place
    prefix = address.parse_prefix(rule.daddr)
    if len(prefix.packed) != len(packed) or (rule.proto and PROTO_NUMBER[rule.proto] != number):
        return False
    if rule.dport and not rule.dport[0] <= port <= rule.dport[1]:
        return False
    return address.masked(packed, prefix.length) == prefix.packed
