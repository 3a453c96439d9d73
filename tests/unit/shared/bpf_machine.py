"""A machine for eBPF programs in Python, of either byte order: there is no big-endian kernel here to ask.

It knows the instructions that viscum_agent/bpf writes, as the kernel's instruction-set.rst has them, and the helpers
they call. Loads and stores are of the machine's byte order; memory is in regions, told apart by the top of an address.
"""

import struct

from viscum_agent.ebpf import assemble
from viscum_agent.ebpf.layout import MAPS, Layout

STACK, CONTEXT, PACKET, VALUES = 0x10000000, 0x20000000, 0x30000000, 0x40000000
TOP = STACK + 512
WIDTH = {0x10: 1, 0x08: 2, 0x00: 4, 0x18: 8}
ALL = 0xFFFFFFFFFFFFFFFF
SIZES = {one.name: one for one in MAPS}
LAN, PAIR = 3, 9  # indexes of the source interface and of a pair
FDS = {one.name: 100 + number for number, one in enumerate(MAPS)}
NAMES = {FDS[name]: name for name in FDS}

# What instructions do, by the upper half of their opcodes.
RESULTS = {
    0x00: lambda value, operand: value + operand,
    0x40: lambda value, operand: value | operand,
    0x50: lambda value, operand: value & operand,
    0x60: lambda value, operand: value << (operand & 63),
    0x70: lambda value, operand: value >> (operand & 63),
    0xB0: lambda _, operand: operand,
}
JUMPS = {
    0x00: lambda *_: True,
    0x10: lambda value, operand: value == operand,
    0x20: lambda value, operand: value > operand,
    0x30: lambda value, operand: value >= operand,
    0x40: lambda value, operand: value & operand,
    0x50: lambda value, operand: value != operand,
    0xA0: lambda value, operand: value < operand,
    0xB0: lambda value, operand: value <= operand,
}
_assembled = {}  # {(program, byte order): its steps}


def _steps(which, order):
    """(opcode, destination, source, offset, number) of each instruction of a program."""
    if (which, order) not in _assembled:
        code = assemble(which, order, FDS)
        found = []
        for at in range(0, len(code), 8):
            opcode, pair, offset, number = struct.unpack((">" if order == "big" else "<") + "BBhi", code[at : at + 8])
            to, source = (pair >> 4, pair & 15) if order == "big" else (pair & 15, pair >> 4)
            found.append((opcode, to, source, offset, number))
        _assembled[which, order] = found
    return _assembled[which, order]


class Machine:
    def __init__(self, order):
        self.order = order
        self.layout = Layout(order)
        self.maps = {one.name: {} for one in MAPS}
        self.set_state(1)
        self.neighbour = None  # (index, router's MAC, client's MAC) that the route of a reply leads to
        self.no_way = (7, 0)  # without a neighbour: the result (BPF_FIB_LKUP_RET_NO_NEIGH), and the index of the route
        self.asked = b""  # what the route was asked for
        self.listens = set()  # (nsid, 4 or 6, address as bytes, port): sockets in other namespaces
        self.held = 0  # sockets that a program has not released yet
        self.no_memory = False
        self.random = 1
        self.clock = 0  # nanoseconds since the kernel began
        self.maps["deadline"][bytes(4)] = bytearray(4)
        self.maps["refusals"][bytes(4)] = bytearray(4)

    def set_state(self, generation, kinds=0):
        self.maps["state"][bytes(4)] = bytearray(self.layout.state(generation, generation, kinds))

    def run(self, which, packet, index=LAN, protocol=None, pkt_type=0, vlan=0, kind=0x8100, gso=0):
        """(verdict, helper that gave it, its device): what a program does with a frame; `self.packet` is it then, and
        `self.tag` its tag (type, what is in it), None without one. The program "bare" gets it without its Ethernet
        header; `vlan` is what is in its tag, 0 for one that has none, `kind` the tag's type."""
        if protocol is None:
            protocol = struct.unpack(">H", packet[12:14])[0]
        self.packet = bytearray(packet[14:] if which == "bare" else packet)
        self.pkt_type, self.went = pkt_type, ("", 0)
        self.values = []
        context = bytearray(192)
        self.tag = (kind, vlan) if vlan else None
        for at, value in ((0, len(self.packet)), (4, pkt_type), (20, int(vlan > 0)), (24, vlan), (40, index)):
            context[at : at + 4] = value.to_bytes(4, self.order)
        context[164:168] = gso.to_bytes(4, self.order)
        # A 16-bit number in network order, read as one of the machine's.
        for at, value in ((16, protocol), (28, kind if vlan else 0)):
            raw = struct.pack(">H", value)
            context[at : at + 4] = int.from_bytes(raw, self.order).to_bytes(4, self.order)
        self.context, self.stack, self._written = context, bytearray(512), bytearray(512)
        self._point()
        verdict = self._work(_steps(which, self.order))
        assert not self.held, "the kernel loads no program that keeps a socket"
        return (verdict - (1 << 64) if verdict >> 63 else verdict,) + self.went

    def _point(self):
        """Where the packet begins and ends, in the context."""
        for at, value in ((76, PACKET), (80, PACKET + len(self.packet))):
            self.context[at : at + 4] = value.to_bytes(4, self.order)

    # Memory

    def _region(self, address):
        if address >= VALUES:
            return self.values[(address - VALUES) >> 12], address & 0xFFF
        for base, data in ((PACKET, self.packet), (CONTEXT, self.context), (STACK, self.stack)):
            if address >= base:
                return data, address - base
        raise AssertionError("no memory at %x" % address)

    def read(self, address, size):
        data, at = self._region(address)
        assert at >= 0 and at + size <= len(data), "outside of memory"
        # Only kernels from 6.3 on let programs of root read that.
        assert data is not self.stack or all(self._written[at : at + size]), "not written: stack %d" % (at - 512)
        return bytes(data[at : at + size])

    def write(self, address, content):
        data, at = self._region(address)
        assert at >= 0 and at + len(content) <= len(data), "outside of memory"
        data[at : at + len(content)] = content
        if data is self.stack:
            self._written[at : at + len(content)] = b"\1" * len(content)

    def _value(self, data):
        self.values.append(data)
        return VALUES + (len(self.values) - 1 << 12)

    # Instructions

    def _work(self, steps):
        registers = [0] * 11
        registers[1], registers[10] = CONTEXT, TOP
        place = 0
        for _ in range(100000):
            opcode, to, source, offset, number = steps[place]
            place += 1
            kind, operand = opcode & 7, registers[source] if opcode & 8 else number & ALL
            if opcode == 0x95:
                return registers[0]
            if opcode == 0x85:
                self._call(number, registers)
            elif opcode == 0x18:
                # A map, or where the value of its only element is.
                registers[to] = number if source == 1 else self._value(self.maps[NAMES[number]][bytes(4)])
                place += 1
            elif kind == 1:
                data = self.read(registers[source] + offset, WIDTH[opcode & 0x18])
                registers[to] = int.from_bytes(data, self.order)
            elif kind in (2, 3):
                size = WIDTH[opcode & 0x18]
                value = (number if kind == 2 else registers[source]) & ((1 << 8 * size) - 1)
                self.write(registers[to] + offset, value.to_bytes(size, self.order))
            elif kind == 7:
                registers[to] = RESULTS[opcode & 0xF0](registers[to], operand) & ALL
            elif JUMPS[opcode & 0xF0](registers[to], operand):
                place += offset
        raise AssertionError("does not end")

    # Helpers

    def _call(self, number, registers):
        one, two, three, four = registers[1:5]
        name = NAMES.get(one, "")
        result = 0
        if number == 1:
            value = self.maps[name].get(self.read(two, SIZES[name].key))
            result = self._value(value) if value is not None else 0
        elif number == 2:
            key, value = self.read(two, SIZES[name].key), self.read(three, SIZES[name].value)
            self.maps[name][key] = bytearray(value)
        elif number == 3:
            self.maps[name].pop(self.read(two, SIZES[name].key), None)
        elif number in (7, 39, 160):
            result = {7: self.random, 39: 0, 160: self.clock}[number]
        elif number in (18, 19, 26, 32, 43):
            result = self._change(number, two, three, four)
        elif number == 69:
            result = self._route(two)
        elif number in (84, 86):
            result = self._socket(two, three, four) if number == 84 else self._release()
        else:
            self.went = ({23: "redirect", 152: "neighbour", 155: "peer"}[number], one)
            result = 7  # TC_ACT_REDIRECT
        for lost in range(1, 6):
            registers[lost] = 0xDEAD0000
        registers[0] = result & ALL

    def _change(self, number, two, three, four):
        if number in (18, 19):
            return self._push(two, three) if number == 18 else self._pop()
        if number == 26:
            return self._load_bytes(two, three, four)
        return self._change_type(two) if number == 32 else self._change_head(two)

    def _push(self, protocol, content):
        self.tag = struct.unpack(">H", protocol.to_bytes(2, self.order))[0], content
        return 0

    def _pop(self):
        self.tag = None
        return 0

    def _load_bytes(self, offset, to, size):
        if offset + size > len(self.packet):
            return -14
        self.write(to, bytes(self.packet[offset : offset + size]))
        return 0

    def _change_type(self, kind):
        self.pkt_type = kind
        return 0

    def _change_head(self, size):
        if self.no_memory:
            return -12
        self.packet[:0] = bytes(size)
        self._point()
        return 0

    def _socket(self, where, size, nsid):
        half = {12: 4, 36: 16}[size]
        asked = self.read(where, size)
        port, family = struct.unpack(">H", asked[-2:])[0], 4 if half == 4 else 6
        if (nsid, family, asked[half : 2 * half], port) not in self.listens:
            return 0
        self.held += 1
        return 1

    def _release(self):
        self.held -= 1
        return 0

    def _route(self, where):
        self.asked = self.read(where, 64)
        if self.neighbour is None:
            self.write(where + 8, self.no_way[1].to_bytes(4, self.order))
            return self.no_way[0]
        index, router, client = self.neighbour
        self.write(where + 8, index.to_bytes(4, self.order))
        self.write(where + 52, router + client)
        return 0
