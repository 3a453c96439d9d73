"""The eBPF datapath's programs: assembled here, so that a router needs neither a compiler nor libbpf.

Pure functions of a byte order and of map descriptors; kernel/bpf_pins.py carries them over the border.
"""

from ..records.objects import name_hash
from .layout import MAPS, MASKS
from .program import forward, reply

PROGRAMS = {"fwd": forward, "reply": reply}
_names: dict = {}


def name_of(which: str) -> str:
    """The name of a program ("fwd", "reply") in the kernel: at most 15 letters, others when the instructions are."""
    if which not in _names:
        code = assemble(which, "little", {one.name: 0 for one in MAPS})
        _names[which] = "%s_%08x" % (which, name_hash("".join(["%02x" % byte for byte in code])))
    return _names[which]


def assemble(which: str, order: str, maps: "dict[str, int]") -> bytes:
    """The bytes of a program; `maps` maps the names of layout.MAPS to descriptors."""
    return PROGRAMS[which](order, maps, MASKS)
