"""TCP connections stay with the side that has them when a redirect comes or goes: a part of the two programs.

    take-over   (an entry with JOINS and KNOWN) the redirect has just come: a SYN is noted in `flows` and taken, and so
                is what is noted there; the rest belongs to connections with the cloud and passes. UDP and others are
                taken.
    joining     (JOINS) before the redirect goes: as in a take-over, but everything is taken. Meanwhile the agent notes
                the connections that the namespace has.
    steady      (neither) everything is taken, and nothing looked up.
    drain       (no entry, and DRAINS in `state`) the redirect has gone: what is noted is taken, and a SYN passes and
                removes what was noted of its ports.

With a client it is remembered that an exact entry takes over (BY_MODE), so one lookup serves for two, as in the steady
mode; every change of a mode changes the generation. Joining, and what wide entries take, is looked up for each packet.
"""

from .assembler import FP, R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, Assembler
from .layout import CHECKED, DEADLINE_SHIFT, DRAINS, JOINS, KNOWN, LASTS, LEAVES, REFUSED, TAGGED, VLAN_SHIFT
from .program import (
    ACK,
    BY_MODE,
    CLIENT,
    CURRENT,
    ERROR,
    ETH_HEADER,
    EXACT_KEY,
    FIB,
    INDEX,
    IP_END,
    IP_VERSION,
    IPPROTO_TCP,
    IPV6_END,
    KTIME_GET_COARSE_NS,
    MAP_DELETE,
    MODE,
    PLACE,
    PLACE_GENERATION,
    PORT,
    PORT_WORDS,
    PROTO,
    SERVICE,
    SKB_DATA,
    SKB_DATA_END,
    SKB_LOAD_BYTES,
    SLOT_KEY,
    STATE_KINDS,
    SYN,
    TCP_FLAGS,
    VALUE_FLAGS,
    VALUE_MAC,
    VALUE_SLOT,
    VALUE_TARGET,
    WIDE_KEY,
    _copy,
    _from_start,
    _look_up,
    _state,
    _store,
)
from .program import KNOWN as CLIENT_KNOWN

MODES = REFUSED | JOINS | KNOWN | LEAVES | LASTS  # flags of an entry that does not simply take everything, or lasts

# On the stack, in the place of what is not needed any more: the key of `flows` where the wide key was, the first bytes
# of the segment and a value for `flows` where the route will be asked.
FLOW_KEY = WIDE_KEY + 8
FLOW_SERVICE, FLOW_PORT, FLOW_CLIENT_PORT = FLOW_KEY + 16, FLOW_KEY + 32, FLOW_KEY + 36
SEGMENT, SEGMENT_SIZE = FIB, TCP_FLAGS + 1
FLOW_VALUE = FIB + 16


def by_mode(asm: "Assembler", maps: "dict[str, int]") -> None:
    """For an entry (R7) that has one of MODES: jumps to "take" with the value that counts in R7, or to "pass". R8 is
    the generation."""
    asm.label("by mode")
    asm.jump_if(R0, "==", LASTS, "lasts")
    asm.jump_if(R0, "&", LEAVES, "pass")
    asm.mask(R0, REFUSED)
    asm.jump_if(R0, "!=", 0, "closed")
    asm.load(R0, FP, PROTO, 1)
    asm.jump_if(R0, "!=", IPPROTO_TCP, "take")
    asm.load(R0, R7, VALUE_FLAGS, 2)
    asm.mask(R0, KNOWN)
    asm.shift_left(R0, 27)
    asm.store(FP, MODE, R0, 4)  # BY_MODE or 0
    asm.jump_if(R0, "!=", 0, "remembered")
    asm.store_number(FP, PLACE + PLACE_GENERATION, 0, 4)
    asm.label("remembered")
    _read_segment(asm, 0, True)
    _jump_if_syn(asm, "joins")
    asm.load(R0, R7, VALUE_FLAGS, 2)
    asm.mask(R0, KNOWN)
    asm.jump_if(R0, "==", 0, "take")
    _look_up(asm, maps, "flows", FLOW_KEY)
    asm.jump_if(R0, "==", 0, "missed")
    asm.move(R7, R0)
    asm.jump("take")
    asm.label("missed")
    _copy(asm, FP, SLOT_KEY, R7, VALUE_SLOT, 4, 4)
    asm.label("unknown")
    asm.call(KTIME_GET_COARSE_NS)
    asm.shift_right(R0, DEADLINE_SHIFT)
    asm.move(R8, R0)
    _look_up(asm, maps, "missed", SLOT_KEY)
    asm.jump_if(R0, "==", 0, "pass")
    asm.store(R0, 0, R8, 4)
    asm.jump("of the cloud")
    asm.label("joins")
    _copy(asm, FP, FLOW_VALUE + VALUE_TARGET, R7, VALUE_TARGET, 4, 4)
    asm.load(R0, R7, VALUE_FLAGS, 2)
    asm.mask(R0, CHECKED)
    asm.store(FP, FLOW_VALUE + VALUE_FLAGS, R0, 2)
    for at in range(0, 6, 2):
        asm.store_number(FP, FLOW_VALUE + VALUE_MAC + at, 0, 2)
    _copy(asm, FP, FLOW_VALUE + VALUE_SLOT, R7, VALUE_SLOT, 4, 4)
    _store(asm, maps, "flows", FLOW_KEY, FLOW_VALUE)
    asm.jump("take")
    asm.label("lasts")
    asm.store(FP, PLACE + PLACE_GENERATION, R8, 4)
    asm.jump("take")


def recalled(asm: "Assembler", maps: "dict[str, int]") -> None:
    """What by_mode does, for a client with which it is remembered that the entry takes over (R0 is the place's slot):
    saves a lookup. A SYN needs the entry."""
    asm.label("recalled")
    asm.mask(R0, BY_MODE - 1)
    asm.store(FP, SLOT_KEY, R0, 4)
    _read_segment(asm, 0, False)
    _jump_if_syn(asm, "another")
    _look_up(asm, maps, "flows", FLOW_KEY)
    asm.move(R7, R0)
    asm.jump_if(R7, "==", 0, "unknown")
    asm.load(R8, R7, VALUE_TARGET, 4)
    _copy(asm, FP, SLOT_KEY, R7, VALUE_SLOT, 4, 4)
    asm.jump("taken")
    asm.label("another")
    _look_up(asm, maps, "exact", EXACT_KEY)  # no other entry that takes over is remembered
    asm.move(R7, R0)
    asm.jump_if(R7, "==", 0, "pass")  # it has just gone
    asm.store_number(FP, CLIENT_KNOWN, CURRENT, 4)
    asm.store_number(FP, PLACE + PLACE_GENERATION, 0, 4)
    asm.store_number(FP, MODE, 0, 4)
    asm.jump("joins")


def drained(asm: "Assembler", maps: "dict[str, int]", port: int) -> None:
    """For a packet that no entry takes: jumps to "found" with the value of its connection in R7, or to "pass". `port`
    is where the client's is in the segment. R8 is kept if that is not 0."""
    asm.label("unmatched")
    _state(asm, maps, R0, STATE_KINDS)
    asm.mask(R0, DRAINS)
    asm.jump_if(R0, "==", 0, "pass")
    asm.load(R0, FP, PROTO, 1)
    asm.jump_if(R0, "!=", IPPROTO_TCP, "pass")
    _read_segment(asm, port, port == 0)
    if port == 0:
        _jump_if_syn(asm, "leaves")
    _look_up(asm, maps, "flows", FLOW_KEY)
    asm.jump_if(R0, "==", 0, "pass")
    asm.move(R7, R0)
    asm.jump("found")
    if port == 0:
        asm.label("leaves")
        asm.address(R2, FP, FLOW_KEY)
        asm.map(R1, maps["flows"])
        asm.call(MAP_DELETE)
        asm.jump("pass")


def _read_segment(asm: "Assembler", port: int, quoted: bool) -> None:
    """Writes SEGMENT and FLOW_KEY; jumps to "pass" for a fragment, of which nobody knows the connection. An ICMP error
    (icmp.py; `quoted` is whether there may be one) goes where the connection goes that it is about."""
    ready, found = asm.new_label("offset"), asm.new_label("segment found")
    asm.load(R0, FP, PORT, 2)
    asm.jump_if(R0, "==", 0, "pass")
    if quoted:
        _quoted_segment(asm, found)
    asm.load(R0, R9, IP_VERSION, 1)
    if not asm.bare:
        _segment_in_reach(asm, port, found)
    asm.number(R2, _from_start(asm, IPV6_END))
    asm.move(R1, R0)
    asm.mask(R1, 0xF0)
    asm.jump_if(R1, "==", 0x60, ready)
    asm.mask(R0, 0x0F)
    asm.shift_left(R0, 2)
    asm.address(R2, R0, _from_start(asm, ETH_HEADER))
    asm.label(ready)
    asm.move(R1, R6)
    asm.address(R3, FP, SEGMENT)
    asm.number(R4, SEGMENT_SIZE)
    asm.call(SKB_LOAD_BYTES)
    asm.jump_if(R0, "!=", 0, "pass")
    asm.label(found)
    _copy(asm, FP, FLOW_KEY, FP, CLIENT, 16, 8)
    _copy(asm, FP, FLOW_SERVICE, FP, SERVICE, 16, 8)
    _copy(asm, FP, FLOW_PORT, FP, PORT, 4, 4)  # and the protocol
    _copy(asm, FP, FLOW_CLIENT_PORT, FP, SEGMENT + port, 2, 2)
    asm.load(R0, FP, INDEX, 4)
    asm.shift_right(R0, VLAN_SHIFT)
    tagged = asm.new_label("tagged")
    asm.jump_if(R0, ">=", TAGGED >> VLAN_SHIFT, tagged)
    asm.number(R0, 0)
    asm.label(tagged)
    asm.store(FP, FLOW_CLIENT_PORT + 2, R0, 2)


def _segment_in_reach(asm: "Assembler", port: int, found: str) -> None:
    """Saves a call for a segment behind an IPv4 header without options; R0 is that one's first byte, and stays."""
    other = asm.new_label("not in reach")
    asm.jump_if(R0, "!=", 0x45, other)
    # Not by R9: how much of that was looked at would differ between packets, and the verifier would check all that
    # follows for each length.
    asm.load(R5, R6, SKB_DATA, 4)
    asm.load(R3, R6, SKB_DATA_END, 4)
    asm.address(R4, R5, IP_END + SEGMENT_SIZE)
    asm.jump_if_register(R4, ">", R3, other)
    _copy(asm, FP, SEGMENT + port, R5, IP_END + port, 2, 2)
    _copy(asm, FP, SEGMENT + TCP_FLAGS, R5, IP_END + TCP_FLAGS, 1, 1)
    asm.jump(found)
    asm.label(other)


def _quoted_segment(asm: "Assembler", found: str) -> None:
    """For an ICMP error writes of SEGMENT what is needed, and jumps to `found`: the client has the second of the quoted
    ports, and no connection begins."""
    other = asm.new_label("no error")
    asm.load(R0, FP, CLIENT_KNOWN, 4)
    asm.jump_if(R0, "!=", ERROR, other)
    _copy(asm, FP, SEGMENT, FP, PORT_WORDS + 2, 2, 2)
    asm.store_number(FP, SEGMENT + TCP_FLAGS, 0, 1)
    asm.jump(found)
    asm.label(other)


def _jump_if_syn(asm: "Assembler", label: str) -> None:
    """For the first segment of a connection."""
    asm.load(R0, FP, SEGMENT + TCP_FLAGS, 1)
    asm.mask(R0, SYN | ACK)
    asm.jump_if(R0, "==", SYN, label)
