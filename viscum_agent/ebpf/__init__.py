"""The eBPF datapath's programs: assembled here, so that a router needs neither a compiler nor libbpf.

Pure functions of a byte order and of map descriptors; kernel/bpf_pins.py loads them into the kernel.
"""

from ..records.objects import name_hash
from .layout import MAPS, MASKS
from .program import forward, reply

PROGRAMS = {"fwd": forward, "reply": reply}
_names: dict = {}


def name_of(which: str) -> str:
    """The kernel's name for a program ("fwd", "reply"): at most 15 characters, different for different instructions."""
    if which not in _names:
        code = assemble(which, "little", {one.name: 0 for one in MAPS})
        _names[which] = "%s_%08x" % (which, name_hash("".join(["%02x" % byte for byte in code])))
    return _names[which]


def assemble(which: str, order: str, maps: "dict[str, int]") -> bytes:
    """The bytes of a program; `maps` maps the names of layout.MAPS to descriptors."""
    return PROGRAMS[which](order, maps, MASKS)
