"""Brings a packet in by a device that nobody sent it to, and watches what passes one: for `viscum explain NAME`.

The frame is data of BPF_PROG_TEST_RUN (kernel 4.12), for a program that does nothing but send a copy of it to the
ingress of the device (bpf_clone_redirect with BPF_F_INGRESS). There it is like one from the wire: filters of tc, eBPF
and all that follows see it. A bridge whose own device that is does not, so it learns nothing. Nothing is attached
anywhere, and the program is gone with its descriptor.
"""

import struct

from .. import compat
from . import bpf_syscall as call
from .handshake import ETHERTYPE, PACKET, RAW, filtered

TEST_RUN = 10  # linux/bpf.h, as the next two
CLONE_REDIRECT, INGRESS = 13, 1
MOVE, CALL, EXIT = 0xB7, 0x85, 0x95  # BPF_ALU64 | BPF_MOV | BPF_K; BPF_JMP | BPF_CALL; BPF_JMP | BPF_EXIT
EIO = 5  # asm-generic/errno-base.h
PORTS = {4: 20, 6: 40}  # where they are in an IP packet without options


def bring_in(index: int, to: bytes, source: bytes, packet: bytes) -> None:
    """An IP packet in a frame between two MACs, which a device without them takes off again. Raises OSError."""
    frame = bytearray(to + source + struct.pack(">H", ETHERTYPE[packet[0] >> 4]) + packet)
    program = call.prog_load(_program(index), "walk")
    try:
        attribute = bytearray(struct.pack("IIIIQQII", program, 0, len(frame), 0, compat.address_of(frame), 0, 1, 0))
        compat.bpf(TEST_RUN, attribute)
    finally:
        compat.fd_close(program)
    code = struct.unpack_from("i", attribute, 4)[0]  # what the program returns, and so the helper: an error, or
    if code:
        code = -code if code < 0 else EIO  # NET_RX_DROP (linux/netdevice.h)
        raise OSError(code, compat.strerror(code))


def _program(index: int) -> bytes:
    """In instructions (struct bpf_insn): a package has nothing that assembles them."""
    steps = ((MOVE, 2, index), (MOVE, 3, INGRESS), (CALL, 0, CLONE_REDIRECT), (EXIT, 0, 0))
    order, shift = (">", 4) if call.ORDER == "big" else ("<", 0)  # the second: which half of a byte the register is in
    return b"".join([struct.pack(order + "BBhi", each[0], each[1] << shift, 0, each[2]) for each in steps])


def watch(index: int, header: int, family: int, port: int) -> int:
    """A socket that gets the first PACKET bytes of each frame from or to a port that passes a device of the caller's
    namespace; `header` is how many come before the IP packet."""
    at = header + PORTS[family]
    # struct sock_filter: load one port, then the other; a match returns how many bytes are kept.
    steps = [(0x28, 0, 0, at), (0x15, 2, 0, port), (0x28, 0, 0, at + 2), (0x15, 0, 1, port)]
    steps += [(6, 0, 0, PACKET), (6, 0, 0, 0)]
    return filtered(RAW, index, b"".join([struct.pack("HBBI", *step) for step in steps]))
