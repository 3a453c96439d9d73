"""The eBPF datapath's programs: assembled here, so that a router needs neither a compiler nor libbpf.

Pure functions of a byte order and of map descriptors; kernel/bpf_pins.py loads them into the kernel.
"""

from .layout import MASKS
from .names import NAMES

PROGRAMS = ("fwd", "reply")  # tried and loaded together
# Loaded where they are needed: in place of "fwd" where there is no Ethernet header, of "reply" with a VLAN.
BARE, TAGGED = "bare", "tagged"
EVERY = PROGRAMS + (BARE, TAGGED)
TRIAL, TRIAL_MAPS = "trial", ("exact", "counters", "clients", "state")


def name_of(which: str) -> str:
    """The kernel's name for a program, of EVERY: at most 15 characters, others for other instructions."""
    return NAMES[which]


def assemble(which: str, order: str, maps: "dict[str, int]") -> bytes:
    """The bytes of one of EVERY or of TRIAL; `maps` maps the names of layout.MAPS to descriptors."""
    from . import program  # a tenth of the agent's code, for a step that most commands don't come to

    make = {
        "fwd": program.forward,
        "reply": program.reply,
        BARE: program.bare,
        TAGGED: program.tagged,
        TRIAL: program.trial,
    }
    return make[which](order, maps, MASKS)
