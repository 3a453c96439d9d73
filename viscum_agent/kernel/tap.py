"""A frame that comes in by a device without having been sent to it, and a look at what passes one: for a walk.

The frame is data of BPF_PROG_TEST_RUN (kernel 4.12), for a program that does nothing but send a copy of it to the
ingress of the device (bpf_clone_redirect with BPF_F_INGRESS). There it is like one from the wire: filters of tc, eBPF
and all that follows see it. A bridge whose own device that is does not, so it learns nothing. Nothing is attached
anywhere, and the program is gone with its descriptor.
"""

import struct

from .. import compat
from ..ebpf.assembler import R2, R3, Assembler
from . import bpf_syscall as call
from .handshake import AF_PACKET, ETHERTYPE, MOST, PACKET, RAW, SO_ATTACH_FILTER

ETH_P_ALL = 3  # linux/if_ether.h: also what leaves
TEST_RUN = 10  # linux/bpf.h, as the next two
CLONE_REDIRECT, INGRESS = 13, 1
HEADER = 14  # bytes of an Ethernet header
PORTS = {4: 20, 6: 40}  # where they are in an IP packet without options


class Injector:
    """Brings frames in by the device with that index."""

    def __init__(self, index: int) -> None:
        asm = Assembler(call.ORDER)
        asm.number(R2, index)
        asm.number(R3, INGRESS)
        asm.call(CLONE_REDIRECT)
        asm.leave()
        self._fd = call.prog_load(asm.code(), "walk")

    def close(self) -> None:
        compat.fd_close(self._fd)

    def send(self, to: bytes, source: bytes, packet: bytes) -> None:
        """An IP packet in a frame between two MACs, which a device without them takes off again. Raises OSError."""
        family = packet[0] >> 4
        frame = bytearray(to + source + struct.pack(">H", ETHERTYPE[family]) + packet)
        values = (self._fd, 0, len(frame), 0, compat.address_of(frame), 0, 1, 0)
        attribute = bytearray(struct.pack("IIIIQQII", *values))
        compat.bpf(TEST_RUN, attribute)
        code = -struct.unpack_from("i", attribute, 4)[0]
        if code:
            raise OSError(code, compat.strerror(code))


class Tap:
    """What passes a device in the caller's namespace, from or to a port: headers, at most MOST at a time."""

    def __init__(self, index: int, bare: bool, family: int, port: int) -> None:
        self._skip = 0 if bare else HEADER
        self._fd = compat.socket_open(AF_PACKET, RAW, 0)  # protocol 0: nothing comes before the filter is there
        at = self._skip + PORTS[family]
        # struct sock_filter: load either port, return on a match how many bytes are kept.
        steps = [(0x28, 0, 0, at), (0x15, 2, 0, port), (0x28, 0, 0, at + 2), (0x15, 0, 1, port)]
        steps += [(6, 0, 0, PACKET), (6, 0, 0, 0)]
        code = bytearray(b"".join([struct.pack("HBBI", *step) for step in steps]))
        try:
            program = struct.pack("HP", len(steps), compat.address_of(code))
            compat.set_option(self._fd, compat.SOL_SOCKET, SO_ATTACH_FILTER, program)
            place = struct.pack("H", AF_PACKET) + struct.pack(">H", ETH_P_ALL) + struct.pack("i", index) + bytes(12)
            compat.socket_bind(self._fd, place)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        compat.fd_close(self._fd)

    def read(self) -> "list[tuple[bytes, bytes]]":
        """(MAC that a frame is for, b"" without one; its IP packet)"""
        found = []
        for _ in range(MOST):
            frame = compat.fd_receive(self._fd, PACKET)
            if frame is None:
                break
            found.append((frame[:6] if self._skip else b"", frame[self._skip :]))
        return found
