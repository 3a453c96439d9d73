"""eBPF instructions as methods, jumps by label: two passes, one for the instructions, one for the jump offsets.

An instruction has 8 bytes (Documentation/bpf/standardization/instruction-set.rst): opcode, two registers of four bits,
a 16-bit offset, a 32-bit number. The registers' nibbles and both numbers are in the byte order of the machine, which
is therefore an argument ("little", "big"): so a test can look at both.
"""

import struct

R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, FP = range(11)  # FP, the frame pointer: the stack is below it, 512 bytes

# Opcodes: class, source (immediate number or register) and operation in one byte.
LOAD, STORE_NUMBER, STORE = 0x61, 0x62, 0x63
SIZE = {1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18}
LOAD_NUMBER_64 = 0x18
ADD, OR, AND, SHIFT_LEFT, SHIFT_RIGHT, MOVE = 0x07, 0x47, 0x57, 0x67, 0x77, 0xB7  # 64 bits, with a number
REGISTER = 0x08  # added: the other operand is a register
JUMP, CALL, EXIT = 0x05, 0x85, 0x95
JUMP_IF = {"==": 0x15, ">": 0x25, ">=": 0x35, "&": 0x45, "!=": 0x55, "<": 0xA5, "<=": 0xB5}
# In the source register of LOAD_NUMBER_64: the number is a map's descriptor, and stands for the map or for its value.
PSEUDO_MAP_FD, PSEUDO_MAP_VALUE = 1, 2


class Assembler:
    """Collects instructions and labels; `order` is the machine's byte order, "little" or "big"; `bare` is whether they
    are for packets without an Ethernet header."""

    def __init__(self, order: str, bare: bool = False) -> None:
        self._order = order
        self.bare = bare
        self._instructions: list[tuple] = []  # [opcode, destination, source, offset or label, number]
        self._labels: dict[str, int] = {}
        self._fresh = 0

    def _emit(
        self, opcode: int, destination: int = 0, source: int = 0, offset: "int | str" = 0, value: int = 0
    ) -> None:
        self._instructions.append((opcode, destination, source, offset, value))

    def network16(self, value: int) -> int:
        """A 16-bit number of a packet, as a load of 2 bytes returns it on this machine."""
        return value if self._order == "big" else (value >> 8 | value << 8) & 0xFFFF

    def network32(self, value: int) -> int:
        low = self.network16(value & 0xFFFF), self.network16(value >> 16)
        return value if self._order == "big" else low[0] << 16 | low[1]

    def label(self, name: str) -> None:
        assert name not in self._labels, name
        self._labels[name] = len(self._instructions)

    def new_label(self, name: str) -> str:
        """A unique label, for code that is used twice."""
        self._fresh += 1
        return "%s %d" % (name, self._fresh)

    # Memory. The verifier wants an access of n bytes to be at a multiple of n (from the frame pointer, or in a packet
    # from two bytes before it: NET_IP_ALIGN), on machines that need it.

    def load(self, destination: int, base: int, offset: int, size: int) -> None:
        self._emit(LOAD | SIZE[size], destination, base, offset)

    def store(self, base: int, offset: int, source: int, size: int) -> None:
        self._emit(STORE | SIZE[size], base, source, offset)

    def store_number(self, base: int, offset: int, value: int, size: int) -> None:
        self._emit(STORE_NUMBER | SIZE[size], base, 0, offset, value)

    # Arithmetic

    def move(self, destination: int, source: int) -> None:
        self._emit(MOVE | REGISTER, destination, source)

    def number(self, destination: int, value: int) -> None:
        self._emit(MOVE, destination, 0, 0, value)

    def address(self, destination: int, base: int, offset: int) -> None:
        """`base` plus an offset."""
        self.move(destination, base)
        self._emit(ADD, destination, 0, 0, offset)

    def add(self, destination: int, source: int) -> None:
        self._emit(ADD | REGISTER, destination, source)

    def add_number(self, destination: int, value: int) -> None:
        self._emit(ADD, destination, 0, 0, value)

    def both(self, destination: int, source: int) -> None:
        """Bitwise AND."""
        self._emit(AND | REGISTER, destination, source)

    def mask(self, destination: int, value: int) -> None:
        self._emit(AND, destination, 0, 0, value)

    def set_bits(self, destination: int, value: int) -> None:
        """Bitwise OR."""
        self._emit(OR, destination, 0, 0, value)

    def shift_left(self, destination: int, bits: int) -> None:
        self._emit(SHIFT_LEFT, destination, 0, 0, bits)

    def shift_right(self, destination: int, bits: int) -> None:
        self._emit(SHIFT_RIGHT, destination, 0, 0, bits)

    # Control flow

    def jump(self, label: str) -> None:
        self._emit(JUMP, 0, 0, label)

    def jump_if(self, register: int, comparison: str, value: int, label: str) -> None:
        self._emit(JUMP_IF[comparison], register, 0, label, value)

    def jump_if_register(self, register: int, comparison: str, other: int, label: str) -> None:
        self._emit(JUMP_IF[comparison] | REGISTER, register, other, label)

    def call(self, helper: int) -> None:
        """Calls a helper: R1 to R5 are its arguments and are clobbered, R0 is its result."""
        self._emit(CALL, 0, 0, 0, helper)

    def leave(self) -> None:
        self._emit(EXIT)

    def map(self, destination: int, descriptor: int) -> None:
        self._emit(LOAD_NUMBER_64, destination, PSEUDO_MAP_FD, 0, descriptor)
        self._emit(0)  # the upper half of the number

    def map_value(self, destination: int, descriptor: int) -> None:
        """The address of the value of a one-element array (kernel 5.2)."""
        self._emit(LOAD_NUMBER_64, destination, PSEUDO_MAP_VALUE, 0, descriptor)
        self._emit(0)  # the offset in it

    def code(self) -> bytes:
        """The program's bytes."""
        return b"".join([self._encode(place) for place in range(len(self._instructions))])

    def _encode(self, place: int) -> bytes:
        opcode, destination, source, offset, value = self._instructions[place]
        if isinstance(offset, str):
            offset = self._labels[offset] - place - 1
        if self._order == "big":
            return struct.pack(">BBhi", opcode, destination << 4 | source, offset, _signed(value))
        return struct.pack("<BBhi", opcode, source << 4 | destination, offset, _signed(value))


def _signed(value: int) -> int:
    return value - (1 << 32) if value >= 1 << 31 else value
