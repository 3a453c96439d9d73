"""What a packet costs the first eBPF program in each mode of its entry (ebpf/flows.py), and one that leaves a device
what `option snoop` does, by BPF_PROG_TEST_RUN.

modes.py [REPEAT]           nanoseconds, the least of five runs of so many packets each; needs root, and a network
                            namespace of its own
"""

import ctypes
import socket
import struct
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from viscum_agent import compat  # noqa: E402
from viscum_agent.address import parse_address  # noqa: E402
from viscum_agent.ebpf import assembler, layout  # noqa: E402
from viscum_agent.ebpf.program import BY_MODE  # noqa: E402
from viscum_agent.kernel import bpf_syscall, overhear  # noqa: E402
from viscum_agent.kernel.bpf_pins import Loaded  # noqa: E402

TEST_RUN, CLONE_REDIRECT = 10, 13  # linux/bpf.h: a command, a helper
INDEX, PAIR, GENERATION = 1, 9, 7  # a packet of a test run comes in by the loopback device
CLIENT, SERVICE, PORT, CLIENT_PORT = parse_address("192.168.1.5"), parse_address("203.0.113.10"), 80, 40000
ACK = 16
TUPLE = layout.Tuple(layout.V4 + SERVICE, bytes(16), PORT, 6, layout.NO_MAC)
TURNS = 5
TAKES, PASSES = 7, -1  # TC_ACT_REDIRECT, TC_ACT_UNSPEC
NOWHERE = ("dummy", "ifb")  # kinds of devices that throw away what leaves by them, of which a kernel may have one


def packet() -> bytes:
    """A segment of 64 bytes to the service, in a frame to the loopback device."""
    head = struct.pack(">BBHHHBBH", 0x45, 0, 104, 7, 0, 64, 6, 0) + CLIENT + SERVICE
    segment = struct.pack(">HHIIBBHHH", CLIENT_PORT, PORT, 1, 1, 0x50, ACK, 1024, 0, 0)
    return bytes(12) + b"\x08\x00" + head + segment + bytes(64)


class Kernel:
    """The programs with maps of their own, which nothing else uses."""

    def __init__(self) -> None:
        self.made = layout.Layout(bpf_syscall.ORDER)
        self.loaded = Loaded()
        self.loaded.make_maps()
        self.loaded.load()
        (self.program,) = [fd for name, fd in self.loaded.programs.items() if name.startswith("fwd")]

    def write(self, name: str, key: bytes, value: bytes) -> None:
        bpf_syscall.map_update(self.loaded.maps[name], key, value)

    def entry(self, mode: int) -> None:
        self.write("exact", self.made.exact_key(INDEX, TUPLE), self.made.value(PAIR, "", 0, mode=mode))

    def known(self, generation: int, mode: int = 0) -> None:
        """The client's place is known, with this service and its mode for one generation."""
        used = TUPLE.service + struct.pack(">HBB", PORT, TUPLE.proto, 0)
        place = used + struct.pack("=IIII", generation, PAIR, mode, INDEX) + bytes(12)  # both MACs
        self.write("clients", layout.V4 + CLIENT, place)

    def by_mac(self, port: int, mac: bytes = bytes(6)) -> None:
        """An entry for that port and client: the packet's frame has no MACs."""
        self.write("macs", self.made.macs_key(INDEX, TUPLE._replace(port=port, mac=mac)), self.made.value(PAIR, "", 0))
        self.state(layout.MACS)

    def ranged(self, mac: int) -> None:
        """A range of other ports, if `mac` (bits) of one client."""
        kind = layout.Kind(level=2, service=128, client=0, port=8, proto=8, mac=mac)
        self.write("masks", self.made.number(0), self.made.mask(kind))
        self.write(*self.made.key(kind, INDEX, TUPLE._replace(port=PORT + 1024)), self.made.value(PAIR, "", 0))
        self.state(1)

    def flow(self) -> None:
        self.write("flows", self.made.flow_key(CLIENT, CLIENT_PORT, SERVICE, PORT), self.made.value(PAIR, "", 0))

    def state(self, flags: int = 0) -> None:
        self.write("state", self.made.number(0), self.made.state(GENERATION, GENERATION, flags))


def test_run(program: int, frame: bytes, repeat: int) -> tuple[int, int]:
    """(verdict, nanoseconds)"""
    data = ctypes.create_string_buffer(frame, len(frame))
    fields = (program, 0, len(frame), 0, ctypes.addressof(data), 0, repeat, 0)
    attribute = bytearray(struct.pack("=IIIIQQII", *fields) + bytes(40))
    compat.bpf(TEST_RUN, attribute)
    return struct.unpack_from("=i", attribute, 4)[0], struct.unpack_from("=I", attribute, 36)[0]


def steady(kernel: Kernel) -> None:
    kernel.entry(0)
    kernel.known(GENERATION)


def by_mac(kernel: Kernel) -> None:
    kernel.by_mac(PORT)
    kernel.known(GENERATION)


def take_over(kernel: Kernel) -> None:
    kernel.entry(layout.TAKE_OVER)
    kernel.known(GENERATION, BY_MODE)


def joined(kernel: Kernel) -> None:
    take_over(kernel)
    kernel.flow()


def drained(kernel: Kernel) -> None:
    kernel.state(layout.DRAINS)
    kernel.known(0)
    kernel.flow()


# A name, what is in the maps, the verdict.
MODES = (
    ("nobody's", lambda kernel: None, PASSES),
    ("nobody's, beside an entry by MAC", lambda kernel: kernel.by_mac(PORT + 1), PASSES),
    ("nobody's, beside a range of ports", lambda kernel: kernel.ranged(0), PASSES),
    ("nobody's, beside a range of ports by MAC", lambda kernel: kernel.ranged(48), PASSES),
    ("steady", steady, TAKES),
    ("steady, by MAC", by_mac, TAKES),
    ("take-over, a connection of the service", joined, TAKES),
    ("take-over, a connection of the cloud", take_over, PASSES),
    ("drain, a connection of the service", drained, TAKES),
    ("drain, nobody's", lambda kernel: kernel.state(layout.DRAINS), PASSES),
)


def leaving(name: str) -> int:
    """A program that sends a copy of each packet out of a device of its own, with that name."""
    made = (
        subprocess.run(["ip", "link", "add", name, "up", "type", kind], stderr=subprocess.DEVNULL) for kind in NOWHERE
    )
    if all(each.returncode for each in made):
        raise SystemExit("this kernel has none of the devices %s" % ", ".join(NOWHERE))
    asm = assembler.Assembler(bpf_syscall.ORDER)
    asm.number(assembler.R2, socket.if_nametoindex(name))
    asm.number(assembler.R3, 0)
    asm.call(CLONE_REDIRECT)
    asm.leave()
    return bpf_syscall.prog_load(asm.code(), "leaves")


def programs() -> list[tuple[str, int, int]]:
    """(name, program, verdict) of each row"""
    rows = []
    for name, fill, verdict in MODES:
        kernel = Kernel()
        kernel.state()
        fill(kernel)
        rows.append((name, kernel.program, verdict))
    rows += [(name, leaving(device), 0) for device, name in (("plain", "leaves"), ("heard", "leaves, with snoop"))]
    overhear.listen(socket.if_nametoindex("heard"))
    return rows


def main(repeat: str = "1000000") -> None:
    rows = [(*row, list[int]()) for row in programs()]
    for _ in range(TURNS):
        for name, program, verdict, found in rows:
            answer, took = test_run(program, packet(), int(repeat))
            assert answer == verdict, "%s: %d" % (name, answer)
            found.append(took)
    print("| a packet | ns |\n|---|--:|")
    for name, _, _, found in rows:
        print("| %s | %d |" % (name, min(found)))


if __name__ == "__main__":
    main(*sys.argv[1:])
