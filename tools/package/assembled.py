"""The eBPF programs as a package has them: assembled.

What assembles them is 54 kB of Python, which a router would read, hold and run to get the same bytes each time. A
package has these in place of ebpf/program.py, behind the same functions, and nothing of what only that file needs.
They are there once, for little-endian processors; the others' are made from them on the router.
"""

import sys
from pathlib import Path

MODULE = "ebpf/program.py"
# What only MODULE imports.
LEFT_OUT = ("ebpf/assembler.py", "ebpf/flows.py", "ebpf/icmp.py")
SIZE = 8  # bytes of an instruction
TEXT = '''import struct

MAPS = %r
FORWARD = (%r, %r)
REPLY = (%r, %r)
BARE = (%r, %r)
TAGGED = (%r, %r)
TRIAL = (%r, %r)


def forward(order, maps, kinds):
    return _made(FORWARD, order, maps)


def reply(order, maps, kinds):
    return _made(REPLY, order, maps)


def bare(order, maps, kinds):
    return _made(BARE, order, maps)


def tagged(order, maps, kinds):
    return _made(TAGGED, order, maps)


def trial(order, maps, kinds):
    return _made(TRIAL, order, maps)


def _made(program, order, maps):
    """With the descriptors of maps, where their places in MAPS are, and in the machine's byte order."""
    code, others = program
    made = bytearray(code)
    for at in range(0, len(made), 8):
        if made[at] == 0x18:  # LOAD_NUMBER_64: a map
            struct.pack_into("<i", made, at + 4, maps[MAPS[made[at + 4]]])
    if order == "big":
        _swap(made, others)
    return bytes(made)


def _swap(made, others):
    """Makes it big-endian; `others` are the numbers that differ there: [(place, number)]."""
    for at in range(0, len(made), 8):
        opcode, registers, offset, number = struct.unpack_from("<BBhi", made, at)
        struct.pack_into(">BBhi", made, at, opcode, registers >> 4 | (registers & 15) << 4, offset, number)
    for at, number in others:
        struct.pack_into(">i", made, at, number)
'''


def text(root: Path) -> str:
    """The source that a package has in place of MODULE."""
    sys.path.insert(0, str(root))
    from viscum_agent import ebpf
    from viscum_agent.ebpf.layout import MAPS

    names = tuple(one.name for one in MAPS)
    places = {name: place for place, name in enumerate(names)}
    parts: list[object] = [names]
    for which in (*ebpf.EVERY, ebpf.TRIAL):
        little, big = (ebpf.assemble(which, order, places) for order in ("little", "big"))
        parts += [little, _others(little, big)]
    return TEXT % tuple(parts)


def _others(little: bytes, big: bytes) -> "tuple[tuple[int, int], ...]":
    """(place, number) for each number of an instruction that is another one in the big-endian program."""
    found = []
    for at in range(4, len(little), SIZE):
        number = big[at : at + 4]
        if little[at : at + 4][::-1] != number:
            found.append((at, int.from_bytes(number, "big", signed=True)))
    return tuple(found)
