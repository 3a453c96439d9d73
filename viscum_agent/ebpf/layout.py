"""The contents of the maps, byte by byte: for the programs, which read them, and for the agent, which writes them.

A packet is identified by its tuple: service and client address, the service's port, protocol. IPv4 addresses are
written as IPv6 ones (RFC 4291, 2.5.5.2: ::ffff:a.b.c.d), so one map and one program serve both families. A service's
match is one or more entries in one of four maps:

    exact   {interface, service address, port, protocol}: one address, one port; nearly all matches are like this
    wide    {kind, interface, service address, client address, port, protocol}, all of it under the mask of its kind
    macs    {what `exact` has, and the client's MAC}: the same of one client, whatever its address
    wide_macs   {the client's MAC, and what `wide` has}

A kind says how many bits of each count. Each kind in use has an element of the array `masks`, in the order of their
levels (datapath.level_of), up to the first one that is 0, and a packet is looked up once for each of them, as flower
does it. A longest-prefix trie handles
only prefixes; it has no place for ranges of ports and clients' addresses.

The other maps: `counters`, packets and bytes per CPU, in an array because looking up a hash takes longer than the
counting; `slots`, the place there of an {interface, pair}, for the agent (for the program the entries hold it);
`clients`, what the forward program has learned: {client address} with an exact match that the client uses (service
address, port, protocol, generation, pair, slot) and its place (interface, client's MAC, router's MAC); and `state`,
three numbers: the generation of the matches, 0 while the agent changes them; the last generation; the number of kinds
in `masks`; and `deadline`, one number: until when a living agent vouches for what is in the maps, 0 for ever;
`refusals`, one number: how often the reply program saw that a port is closed, so that the agent notices.

The interface in a key is its index, or for a VLAN the word that `on_vlan` makes of both: so each VLAN of a trunk is an
interface of its own, and matches without one are found as if there were no VLANs. Clients with a VLAN have entries of
their own in `clients` (TAGGED_KEY of program.py).

`flows` and `missed` are for TCP connections that outlive a change (flows.py): {client address, service address, the
service's port, protocol, the client's port, the VLAN} with a value as in `exact`, one for each connection that a
service has while it takes over or drains; and, by slot, when a packet of no such connection was last seen, in units of
the deadline. `passed` counts, by slot and CPU, packets that were left alone although there is an entry for them, by
reason (records.dump.PASSED).
"""

import struct
from collections import namedtuple

from .. import address
from ..records import with_
from ..records.objects import PROTO_NAME, PROTO_NUMBER, BpfMatch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# Types of maps (linux/bpf.h).
HASH, ARRAY, PERCPU_ARRAY, LRU_HASH = 1, 2, 6, 9
NO_PREALLOC = 1  # flag: memory is allocated per entry; only the agent adds entries

MASKS = 64  # the most kinds of wide match in use
SLOTS = 2048  # the most pairs of a source interface and a service; 32 KiB of memory per CPU
FLOWS = 8192  # the most connections that are known one by one; 1 MiB of memory, and the oldest gives way

Map = namedtuple("Map", ("name", "type", "key", "value", "entries", "flags"))
MAPS = (
    Map("exact", HASH, 24, 16, 8192, NO_PREALLOC),
    Map("wide", HASH, 44, 16, 4096, NO_PREALLOC),
    Map("masks", ARRAY, 4, 48, MASKS, 0),
    Map("slots", HASH, 8, 4, SLOTS, NO_PREALLOC),
    Map("counters", PERCPU_ARRAY, 4, 16, SLOTS, 0),
    Map("clients", LRU_HASH, 16, 48, 2048, 0),
    Map("state", ARRAY, 4, 12, 1, 0),
    Map("deadline", ARRAY, 4, 4, 1, 0),
    Map("refusals", ARRAY, 4, 4, 1, 0),
    Map("flows", LRU_HASH, 40, 16, FLOWS, 0),
    Map("missed", ARRAY, 4, 4, SLOTS, 0),
    Map("passed", PERCPU_ARRAY, 4, 16, SLOTS, 0),
    Map("macs", HASH, 32, 16, 4096, NO_PREALLOC),
    Map("wide_macs", HASH, 52, 16, 4096, NO_PREALLOC),
)

# The deadline is in units of 2^30 ns of the monotonic clock, about a second: so it is a single word, which nobody reads
# half written, and does not wrap.
DEADLINE_SHIFT = 30

# Flags of an entry's value. The reply program sets REFUSED: the entry takes nothing until the agent writes it anew.
FIXED, WATCHED, REFUSED = 1, 2, 4
# JOINS: the SYNs that it takes are noted in `flows`; KNOWN: of TCP it takes nothing but those and what is noted there.
JOINS, KNOWN = 8, 16
TAKE_OVER = JOINS | KNOWN
# In `state`, beside the number of kinds: connections of some service are still taken although its redirect is out.
DRAINS = 1 << 16
MACS = 1 << 17  # there too: whether there is an entry in `macs`
CHECKED = 32  # only from clients that the router would answer over the same interface
LEAVES = 64  # what it is for stays with the cloud, although a wider entry of its service would take it
# It depends on nothing but what is stored with a client: so that may be remembered, as with an exact one.
LASTS = 128

# An interface and a VLAN in one word: the index below VLAN_SHIFT, then the VLAN, and a bit that no index has (it is a
# positive int in the kernel).
TAGGED, VLAN_SHIFT = 1 << 31, 19

V4 = bytes(10) + b"\xff\xff"  # before an IPv4 address
V4_BITS = 96

# A packet's tuple, and its parts in numbers: both sides of an entry are made from it.
Tuple = namedtuple("Tuple", ("service", "client", "port", "proto", "mac"))
# How many bits of each part count, `level` (PRIO_*) for the order of the lookups.
Kind = namedtuple("Kind", ("level", "service", "client", "port", "proto", "mac"))
EXACT = Kind(1, 128, 0, 16, 8, 0)
NO_MAC = bytes(6)
EXACT_MAC = Kind(1, 128, 0, 16, 8, 48)
BY_MAC = 4  # in a kind's word: its entries are in `wide_macs`


class Layout:
    """The records of one byte order."""

    def __init__(self, order: str) -> None:
        self._prefix = ">" if order == "big" else "<"

    def _pack(self, form: str, *values: "Any") -> bytes:
        return struct.pack(self._prefix + form, *values)

    def _unpack(self, form: str, data: bytes) -> tuple:
        return struct.unpack(self._prefix + form, data)

    def exact_key(self, index: int, found: "Tuple") -> bytes:
        return self._pack("I", index) + found.service + struct.pack(">HBB", found.port, found.proto, 0)

    def wide_key(self, kind: "Kind", index: int, found: "Tuple") -> bytes:
        tail = struct.pack(">HBB", found.port, found.proto, 0)
        return self._pack("II", kind_word(kind), index) + found.service + found.client + tail

    def macs_key(self, index: int, found: "Tuple") -> bytes:
        return self.exact_key(index, found) + found.mac + bytes(2)

    def wide_macs_key(self, kind: "Kind", index: int, found: "Tuple") -> bytes:
        return found.mac + bytes(2) + self.wide_key(kind, index, found)

    def key(self, kind: "Kind", index: int, found: "Tuple") -> "tuple[str, bytes]":
        """(map, key) of an entry"""
        if kind in (EXACT, EXACT_MAC):
            return ("macs", self.macs_key(index, found)) if kind.mac else ("exact", self.exact_key(index, found))
        if kind.mac:
            return "wide_macs", self.wide_macs_key(kind, index, found)
        return "wide", self.wide_key(kind, index, found)

    def value(
        self,
        target: int,
        mac: str,
        slot: int,
        watched: int = 0,
        checked: bool = False,
        mode: int = 0,
        nsid: int = -1,
        more: int = 0,
    ) -> bytes:
        """Frames must be addressed to `mac`, unless it is empty (of TCP it always is); `slot` is the index in
        `counters`; `watched` is the program's port, whose closing takes the entry out, 0 if nothing does, `checked`
        whether the client's route counts; `mode` is JOINS, TAKE_OVER or 0; `nsid` is the number that the pair's
        namespace has in the router's, -1 if it is not known: with the port it is in the place of the MAC; `more` is
        LEAVES, LASTS, both or 0."""
        packed = address.parse_mac(mac) if mac else struct.pack(">H", watched) + self.number(nsid + 1)
        flags = (FIXED if mac else 0) | (WATCHED if watched else 0) | (CHECKED if checked else 0) | mode | more
        return self._pack("IH", target, flags) + packed + self._pack("I", slot)

    def in_mode(self, value: bytes, mode: int) -> bytes:
        """An entry's value with another mode."""
        flags = self._unpack("H", value[4:6])[0]
        return value[:4] + self._pack("H", flags & ~TAKE_OVER | mode) + value[6:]

    def slot_of(self, value: bytes) -> int:
        """An entry's index in `counters` and `missed`."""
        return self._unpack("I", value[12:16])[0]

    def flow_key(self, client: bytes, client_port: int, service: bytes, port: int, vlan: int = 0) -> bytes:
        """Of a TCP connection, both addresses as bytes of IPv4 or IPv6."""
        ends = [end if len(end) == 16 else V4 + end for end in (client, service)]
        tail = struct.pack(">HBBH", port, PROTO_NUMBER["tcp"], 0, client_port)
        return ends[0] + ends[1] + tail + self._pack("H", on_vlan(0, vlan) >> VLAN_SHIFT)

    def mask(self, kind: "Kind") -> bytes:
        """The value in `masks`: the kind's word, and a mask for everything after the interface in the key, addresses at
        whole double words."""
        data = address.mask(kind.service, 16) + address.mask(kind.client, 16) + address.mask(kind.port, 2)
        return self._pack("II", kind_word(kind), 0) + data + bytes([0xFF if kind.proto else 0, kind.level]) + bytes(4)

    def number(self, value: int) -> bytes:
        return self._pack("I", value)

    def deadline(self, now: int, seconds: int) -> bytes:
        """The value in `deadline` for so many seconds from now (monotonic, nanoseconds), rounded up; 0 is for ever."""
        return self.number((now + seconds * 1000000000 >> DEADLINE_SHIFT) + 1 if seconds else 0)

    def parse_number(self, data: bytes) -> int:
        return self._unpack("I", data)[0]

    def pair(self, index: int, target: int) -> bytes:
        return self._pack("II", index, target)

    def state(self, generation: int, last: int, kinds: int) -> bytes:
        return self._pack("III", generation, last, kinds)

    def parse_state(self, value: bytes) -> "tuple[int, int, int]":
        return self._unpack("III", value)

    def parse_pair(self, key: bytes) -> "tuple[int, int]":
        return self._unpack("II", key)

    def parse_exact(self, key: bytes) -> "tuple[int, Kind, Tuple]":
        """(index, Kind, Tuple)"""
        port, proto = struct.unpack(">HB", key[20:23])
        return self._unpack("I", key[:4])[0], EXACT, Tuple(key[4:20], bytes(16), port, proto, NO_MAC)

    def parse_wide(self, key: bytes) -> "tuple[int, Kind, Tuple]":
        word, index = self._unpack("II", key[:8])
        port, proto = struct.unpack(">HB", key[40:43])
        return index, parse_kind(word), Tuple(key[8:24], key[24:40], port, proto, NO_MAC)

    def parse_macs(self, key: bytes) -> "tuple[int, Kind, Tuple]":
        index, _, found = self.parse_exact(key)
        return index, EXACT_MAC, with_(found, mac=key[24:30])

    def parse_wide_macs(self, key: bytes) -> "tuple[int, Kind, Tuple]":
        index, kind, found = self.parse_wide(key[8:])
        return index, kind, with_(found, mac=key[:6])

    def port_inside(self, value: bytes, port: int) -> int:
        """The program's port, if it is watched, of an entry for that port, else 0. With a MAC it is the entry's own."""
        flags = self._unpack("H", value[4:6])[0]
        if not flags & WATCHED:
            return 0
        return port if flags & FIXED else struct.unpack(">H", value[6:8])[0]

    def parse_value(self, value: bytes) -> "tuple[int, str, int]":
        """(index of the pair, MAC or "", flags)"""
        target, flags = self._unpack("IH", value[:6])
        return target, address.format_mac(value[6:12]) if flags & FIXED else "", flags

    def parse_counters(self, values: "bytes | bytearray", form: str, count: int, slot: int, cpus: int) -> "list[int]":
        """The `count` numbers of that form in a slot, each summed over all CPUs."""
        size = count * cpus
        place = slot * size * struct.calcsize(self._prefix + form)
        numbers = struct.unpack_from(self._prefix + form * size, values, place)
        return [sum([numbers[at] for at in range(first, size, count)]) for first in range(count)]


def on_vlan(index: int, vlan: int) -> int:
    """A key's interface; `vlan` 0 is for frames without a tag."""
    return TAGGED | vlan << VLAN_SHIFT | index if vlan else index


def of_vlan(interface: int) -> "tuple[int, int]":
    """(index, VLAN) of a key's interface."""
    if interface < TAGGED:
        return interface, 0
    return interface & (1 << VLAN_SHIFT) - 1, (interface & ~TAGGED) >> VLAN_SHIFT


def kind_word(kind: "Kind") -> int:
    """A kind in 32 bits, never 0: lengths of the service's and client's prefix, bits of the port, level, what counts
    besides."""
    more = (BY_MAC if kind.mac else 0) | (2 if kind.proto else 0) | 1
    return kind.service << 24 | kind.client << 16 | kind.port << 8 | kind.level << 4 | more


def parse_kind(word: int) -> "Kind":
    return Kind(
        level=word >> 4 & 0xF,
        service=word >> 24 & 0xFF,
        client=word >> 16 & 0xFF,
        port=word >> 8 & 0xFF,
        proto=8 if word & 2 else 0,
        mac=48 if word & BY_MAC else 0,
    )


def of_match(match: "BpfMatch") -> "tuple[Kind, Tuple]":
    """(Kind, Tuple) of an objects.BpfMatch."""
    client = _packed(match.src) if match.src else bytes(16)
    proto = PROTO_NUMBER[match.proto] if match.proto else 0
    mac = address.parse_mac(match.src_mac) if match.src_mac else NO_MAC
    return kind_of(match), Tuple(_packed(match.dst), client, match.port, proto, mac)


def kind_of(match: "BpfMatch") -> "Kind":
    """The Kind of an objects.BpfMatch."""
    client = _bits(match.src) if match.src else 0
    return Kind(
        level=match.level,
        service=_bits(match.dst),
        client=client,
        port=match.port_bits,
        proto=8 if match.proto else 0,
        mac=48 if match.src_mac else 0,
    )


def to_match(
    dev: str,
    vlan: int,
    kind: "Kind",
    found: "Tuple",
    mac: str,
    target: str,
    watched: int,
    checked: bool,
    leaves: bool = False,
    texts: "dict[str, str] | None" = None,
) -> "BpfMatch":
    """The objects.BpfMatch of an entry; its destination as it is in `texts`, if it is there."""
    src = _prefix_text(found.client, kind.client) if kind.client else ""
    proto = PROTO_NAME.get(found.proto, "") if kind.proto else ""
    dst = _prefix_text(found.service, kind.service)
    dst = (texts or {}).get(dst, dst)
    return BpfMatch(
        dev=dev,
        vlan=vlan,
        level=kind.level,
        proto=proto,
        dst=dst,
        src=src,
        src_mac=address.format_mac(found.mac) if kind.mac else "",
        port=found.port,
        port_bits=kind.port,
        mac=mac,
        target=target,
        watched=watched,
        checked=checked,
        leaves=leaves,
    )


def is_exact(kind: "Kind") -> bool:
    """Whether it is looked up without a mask."""
    return kind in (EXACT, EXACT_MAC)


def lasts(kind: "Kind", mac: str) -> bool:
    """Whether entries of a kind depend on no more than a client's entry holds, and have to say so, since they are not
    in `exact`: `mac` is that which frames are for."""
    return kind != EXACT and kind[1:] == (128, kind.client, 16, 8, kind.mac) and not mac


def _packed(text: str) -> bytes:
    prefix = address.parse_prefix(text)
    return V4 + prefix.packed if prefix.family == 4 else prefix.packed


def _bits(text: str) -> int:
    """How many bits of a prefix count. All of them are asked at each look: that is not worth reading addresses."""
    length = int(text[text.find("/") + 1 :])
    return length if ":" in text else V4_BITS + length


def _prefix_text(packed: bytes, length: int) -> str:
    if packed[:12] == V4 and length >= V4_BITS:
        return address.format_prefix(address.Prefix(4, packed[12:], length - V4_BITS))
    return address.format_prefix(address.Prefix(6, packed, length))
