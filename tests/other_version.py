"""Runs the agent as another version of Viscum, whose eBPF programs have other instructions and so other names.

    INTERPRETER tests/other_version.py [tests/without_tcx.py] viscum_agent.viscumd ARGUMENT...

For both interpreters. The maps are the same, as they are between most versions: the open connections are in them.
"""

import sys

from viscum_agent.ebpf import names, program
from viscum_agent.ebpf.assembler import R1, Assembler


def longer(make):
    """A program that begins with an instruction that does nothing."""

    def made(order, maps, kinds, *bare):
        asm = Assembler(order)
        asm.move(R1, R1)
        return asm.code() + make(order, maps, kinds, *bare)

    return made


program.forward, program.reply = longer(program.forward), longer(program.reply)
for which in ("fwd", "reply", "bare"):
    names.NAMES[which] = which + "_other"
del sys.argv[0]
if sys.argv[0].endswith("without_tcx.py"):
    import without_tcx  # noqa: F401  # which runs the rest
from viscum_agent.viscumd import main  # noqa: E402

sys.exit(main())
