"""Runs a module of the agent on a kernel that has no tcx: bpf(2) makes no links, as before Linux 6.6.

    INTERPRETER tests/without_tcx.py viscum_agent ARGUMENT...

For both interpreters. Everything else is the real kernel's.
"""

import sys

from viscum_agent import compat
from viscum_agent.kernel import bpf_syscall


def refused(program, index, where=0):
    raise OSError(compat.EINVAL, compat.strerror(compat.EINVAL))


bpf_syscall.link_create = refused
del sys.argv[0]
if sys.argv[0] == "viscum_agent.viscumd":
    from viscum_agent.viscumd import main
else:
    from viscum_agent.cli.verbs import main
sys.exit(main())
