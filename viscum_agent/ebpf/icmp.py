"""ICMP errors about what a service has sent belong to the service: a part of the forward program.

A router behind the client's interface sends them, or the client itself: a packet was too large, found no way or no
socket. They come in where the service's requests do. An error quotes the start of the packet that it is about, and
counts as the client's packet in the other direction: the source there is the service, the destination the client.

An error names the service twice, as the quoted source and as its own destination; where the two differ it is none. The
first fragment is quoted with its ports and counts, although a fragment that comes in has none here: nobody else knows
what to do with the error.
"""

from .assembler import FP, R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, Assembler
from .program import (
    CLIENT,
    ERROR,
    FIB,
    ICMP_HEADER,
    IP_END,
    IP_VERSION,
    IPPROTO_ICMP,
    IPV6_END,
    KNOWN,
    PORT,
    PORT_WORDS,
    PORTS,
    PROTO,
    SERVICE,
    SKB_LOAD_BYTES,
    _copy,
    _from_start,
    _same,
    _with_ports,
)

TYPES = (3, 11, 12)  # unreachable (also "fragmentation needed"), time exceeded, parameter problem (RFC 792)
LAST_TYPE6 = 4  # from 1 on: unreachable, packet too big, time exceeded, parameter problem (RFC 4443)

# On the stack, where the route is asked of other packets: the header that is quoted. Its fields (RFC 791, RFC 8200).
QUOTED = FIB
FRAGMENT, PROTOCOL, SRC, DST, END = 6, 9, 12, 16, 20
NEXT6, SRC6, DST6, END6 = 6, 8, 24, 40
FRAGMENT6, FRAGMENT6_OFFSET, FRAGMENT6_END = 44, 2, 8  # the extension header of a fragment (RFC 8200, 4.5)


def errors(asm: "Assembler") -> None:
    """Goes on with an IPv4 protocol (R5) that has no ports at "icmp", and with ICMPv6 at "icmpv6"."""
    _error(asm)
    _error6(asm)
    _look_for_the_service(asm)


def _error(asm: "Assembler") -> None:
    """What is no error about a service is what its own header says, without a port."""
    asm.label("icmp")
    asm.jump_if(R5, "!=", IPPROTO_ICMP, "no port")
    asm.load(R0, R9, IP_VERSION, 1)
    asm.jump_if(R0, "!=", 0x45, "no port")
    asm.load(R0, R9, IP_END, 1)
    for kind in TYPES:
        asm.jump_if(R0, "==", kind, "error")
    asm.jump("no port")
    asm.label("error")
    asm.number(R7, _from_start(asm, IP_END + ICMP_HEADER))
    _load(asm, QUOTED, END, "no port")
    _same(asm, FP, QUOTED + SRC, FP, SERVICE + 12, 4, 4, "no port")
    _copy(asm, FP, CLIENT + 12, FP, QUOTED + DST, 4, 4)
    asm.load(R5, FP, QUOTED + PROTOCOL, 1)
    asm.store(FP, PROTO, R5, 1)
    asm.load(R0, FP, QUOTED + FRAGMENT, 2)
    asm.mask(R0, asm.network16(0x1FFF))
    asm.jump_if(R0, "!=", 0, "quoted without ports")
    asm.load(R0, FP, QUOTED, 1)
    asm.mask(R0, 0x0F)
    asm.shift_left(R0, 2)  # the header's length is in words of 4 bytes
    asm.add(R7, R0)
    _with_ports(asm, "quoted ports", "quoted without ports")
    asm.jump("quoted ports")


def _error6(asm: "Assembler") -> None:
    """All other ICMPv6 is nothing for a service."""
    asm.label("icmpv6")
    asm.load(R0, R9, IPV6_END, 1)
    asm.jump_if(R0, "==", 0, "pass")
    asm.jump_if(R0, ">", LAST_TYPE6, "pass")
    asm.number(R7, _from_start(asm, IPV6_END + ICMP_HEADER))
    _load(asm, QUOTED, END6, "pass")
    _same(asm, FP, QUOTED + SRC6, FP, SERVICE, 16, 8, "pass")
    _copy(asm, FP, CLIENT, FP, QUOTED + DST6, 16, 8)
    asm.load(R5, FP, QUOTED + NEXT6, 1)
    asm.add_number(R7, END6)
    asm.jump_if(R5, "!=", FRAGMENT6, "quoted whole")
    _load(asm, QUOTED, FRAGMENT6_END, "pass")
    asm.load(R0, FP, QUOTED + FRAGMENT6_OFFSET, 2)
    asm.mask(R0, asm.network16(0xFFF8))
    asm.jump_if(R0, "!=", 0, "pass")
    asm.load(R5, FP, QUOTED, 1)
    asm.add_number(R7, FRAGMENT6_END)
    asm.label("quoted whole")
    asm.store(FP, PROTO, R5, 1)
    asm.store_number(FP, PROTO + 1, 0, 1)
    _with_ports(asm, "quoted ports", "pass")


def _look_for_the_service(asm: "Assembler") -> None:
    """The quoted ports are at R7 of the frame. Goes on where the match is looked up, in the generation in which nothing
    is stored: an error proves nothing about a client, since others send it."""
    asm.label("quoted ports")
    _load(asm, PORT_WORDS, PORTS, "pass")
    asm.load(R0, FP, PORT_WORDS, 2)
    asm.jump("quoted")
    asm.label("quoted without ports")
    asm.number(R0, 0)
    asm.label("quoted")
    asm.store(FP, PORT, R0, 2)
    asm.store_number(FP, KNOWN, ERROR, 4)
    asm.number(R8, 0)
    asm.jump("whose")


def _load(asm: "Assembler", place: int, size: int, otherwise: str) -> None:
    """Copies so many bytes of the frame, from R7 on, to the stack; jumps to the label if it has fewer."""
    asm.move(R1, R6)
    asm.move(R2, R7)
    asm.address(R3, FP, place)
    asm.number(R4, size)
    asm.call(SKB_LOAD_BYTES)
    asm.jump_if(R0, "!=", 0, otherwise)
