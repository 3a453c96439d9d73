"""The u32 datapath: a match as 32-bit words of the packet, each a value under a mask at an offset.

Offsets count from the network header (RFC 791, RFC 8200). The port is at its place only if the IPv4 header has no
options and the packet is not a fragment, so both are matched as well; an IPv6 packet with extension headers, such as a
fragment, has another next header and does not match. A first fragment has its port there, but the others have none:
without them it is useless, so it goes with them, to the cloud.
"""

from ... import address
from ...records.facts import Feature
from ...records.objects import (
    PRIO_ANY,
    PRIO_EXACT,
    PROTO_NAME,
    PROTO_NUMBER,
    Filter,
    HashTable,
    Qdisc,
    bucket_of,
    prio_of,
)
from . import classifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ...config.service import Match
    from ...records.facts import Device, Features

NAME = "u32"
FEATURES = (
    Feature(NAME, "cls_u32 at an ingress hook", "kmod-sched-core", "services with datapath %(those)s can't run"),
)
NEEDS = ("u32", "mirred")
ROUTED = MACS = DECEIVED = True
# By family, where an IP header has the protocol, the source and the destination, and where it ends without options.
PLACES = {4: (9, 12, 16, 20), 6: (6, 8, 24, 40)}
SENDER = -8  # where an Ethernet header has the MAC that it is from
BARE, VLANS = classifier.BARE, classifier.VLANS

mac_policy, reply, missing = classifier.mac_policy, classifier.reply, classifier.missing


def lacks(features: "Features") -> str:
    return classifier.lacks(FEATURES[0], features)


def is_own(item: "Any") -> bool:
    return isinstance(item, Filter) and item.kind == NAME


def taken(item: "Filter") -> tuple:
    value = bits = 0
    for word, mask, offset in item.keys or ():
        if 0 <= offset <= 40:  # what is before is the Ethernet header: _sender
            value |= word << 8 * (40 - offset)
            bits |= mask << 8 * (40 - offset)
    packet, seen = value.to_bytes(44, "big"), bits.to_bytes(44, "big")
    family = 4 if item.protocol == "ip" else 6
    proto, source, target, header = PLACES[family]
    size = target - source
    length = lambda place: bin(int.from_bytes(seen[place : place + size], "big")).count("1")  # noqa: E731
    dst, src = [
        address.Prefix(family, packet[place : place + size], length(place)) if length(place) else None
        for place in (target, source)
    ]
    low, mask = [int.from_bytes(each[header + 2 : header + 4], "big") for each in (packet, seen)]
    return PROTO_NAME.get(packet[proto], ""), dst, (low, low | 0xFFFF ^ mask) if mask else None, src, _sender(item)


def _sender(item: "Filter") -> str:
    """The MAC of the client, "" for any: a word of the header, and half of the next one."""
    words = {offset: value for value, _, offset in item.keys or ()}
    if SENDER not in words:
        return ""
    number = words[SENDER] << 16 | words.get(SENDER + 4, 0) >> 16
    return address.format_mac(number.to_bytes(6, "big"))


def shared(device: "Device", made: "list[Filter]", features: "Features") -> list:
    found: list = [Qdisc(device.name)]
    for item in made:
        found += [each for each in rests_on(item) if each not in found]
    return found


def rests_on(item: "Filter") -> list:
    """The hash table too, if the filter is in one of its buckets."""
    table = [HashTable(item.dev, item.prio, item.protocol)] if item.bucket >= 0 else []
    return [Qdisc(item.dev)] + table


def filters(
    dev: str,
    match: "Match",
    level: int,
    mac: str,
    actions: "tuple[tuple, ...]",
    watched: bool = False,
    checked: bool = False,
    vlan: int = 0,
) -> "list[Filter]":
    """The filters of one match on one device, as objects.Filter; a range of ports may take several. They see
    no replies and no routes, so nothing can be `watched` or `checked`."""
    bucket = bucket_of(match.dst.packed) if level == PRIO_EXACT else -1
    mac = mac if level >= PRIO_ANY else ""
    return flows(dev, match, level, actions, bucket=bucket, mac=mac, src_mac=match.mac)


def flows(
    dev: str,
    match: "Match",
    level: int,
    actions: "tuple[tuple, ...]",
    flags: "tuple[int, int] | None" = None,
    back: bool = False,
    bucket: int = -1,
    mac: str = "",
    src_mac: str = "",
) -> "list[Filter]":
    """The filters of what a match takes, or with `back` of the replies to it: only TCP segments with these `flags`
    (value, mask), if there are any."""
    protocol = "ip" if match.family == 4 else "ipv6"
    prio = prio_of(level, match.family)
    _, source, target, header = PLACES[match.family]
    near, far = (source, target) if back else (target, source)
    found = []
    for port in blocks(match.dport):
        keys = Keys()
        if match.dst is not None:
            keys.add_prefix(match.dst, near)
        if mac:
            keys.add_bytes(address.parse_mac(mac), b"\xff" * 6, -14)
        if src_mac:
            keys.add_bytes(address.parse_mac(src_mac), b"\xff" * 6, SENDER)
        _add_header(keys, match, port is not None or flags is not None)
        if match.src is not None:
            keys.add_prefix(match.src, far)
        if port is not None:
            keys.add_number(port[0], port[1], header + (0 if back else 2), 2)
        if flags is not None:
            keys.add_number(flags[0], flags[1], header + 13, 1)
        found.append(
            Filter(dev=dev, prio=prio, protocol=protocol, kind=NAME, bucket=bucket, keys=keys.keys(), actions=actions)
        )
    return found


def _add_header(keys: "Keys", match: "Match", whole: bool) -> None:
    """`whole` is whether something behind the header counts."""
    if match.proto:
        keys.add_number(PROTO_NUMBER[match.proto], 0xFF, PLACES[match.family][0], 1)
    if whole and match.family == 4:
        keys.add_number(0x05, 0x0F, 0, 1)  # header length in words: no options
        keys.add_number(0, 0x3FFF, 6, 2)  # neither "more fragments" nor an offset: the whole packet


def blocks(dport: "tuple[int, int] | None") -> "list[tuple[int, int]] | list[None]":
    """(value, mask) pairs that together match a range of ports and no other."""
    if dport is None:
        return [None]
    low, high = dport
    found = []
    while low <= high:
        size = low & -low or 0x10000  # the largest block that begins here
        while low + size - 1 > high:
            size >>= 1
        found.append((low, 0xFFFF & ~(size - 1)))
        low += size
    return found


class Keys:
    """Collects keys; what lies in the same word becomes one key, as in tc(8)."""

    def __init__(self) -> None:
        self._words: list[list[int]] = []  # [value, mask, offset]

    def add_bytes(self, value: bytes, mask: bytes, offset: int) -> None:
        for position, (byte, bits) in enumerate(zip(value, mask)):
            if bits:
                self._add_byte(byte & bits, bits, offset + position)

    def add_number(self, value: int, mask: int, offset: int, size: int) -> None:
        self.add_bytes(value.to_bytes(size, "big"), mask.to_bytes(size, "big"), offset)

    def add_prefix(self, prefix: "address.Prefix", offset: int) -> None:
        self.add_bytes(prefix.packed, address.mask(prefix.length, len(prefix.packed)), offset)

    def _add_byte(self, value: int, mask: int, offset: int) -> None:
        word = offset & ~3  # also right for the negative offsets of the Ethernet header
        shift = 8 * (3 - (offset - word))
        for known in self._words:
            if known[2] == word:
                known[0] |= value << shift
                known[1] |= mask << shift
                return
        self._words.append([value << shift, mask << shift, word])

    def keys(self) -> "tuple[tuple, ...]":
        return tuple([tuple(word) for word in self._words])
