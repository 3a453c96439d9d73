"""The filters of system calls: any machine, any list of groups. What is assembled has to be what the kernel accepts."""

import struct
from collections import namedtuple

from fuzz.fuzzing import Pieces

from viscum_agent.config.schema import ALL, SYSCALLS
from viscum_agent.service import seccomp

ALLOWED = ()
COUNT = 30
TOKENS = [b"\0", b"\xff", b"\1"]
MACHINES = ("x86_64", "aarch64", "armv7l", "mips", "mips64", "riscv64", "ppc64", "s390x", "loongarch64", "vax")
Program = namedtuple("Program", ("allow_syscalls", "seccomp"))
MOST = 4096  # BPF_MAXINSNS of linux/bpf_common.h


def read(data):
    pieces = Pieces(data)
    machine, order = MACHINES[pieces.number(len(MACHINES))], ("little", "big")[pieces.number(2)]
    bits = pieces.number(1 << len(SYSCALLS))
    allowed = tuple([name for at, name in enumerate(SYSCALLS) if bits >> at & 1])
    code = seccomp.code(machine, order, allowed)
    check([struct.unpack_from((">" if order == "big" else "<") + "HBBI", code, at) for at in range(0, len(code), 8)])
    assert seccomp.prepare(Program(allowed + (ALL,), None)) == b""
    return code


def check(instructions):
    """What seccomp_check_filter and bpf_check_classic of the kernel ask for."""
    count = len(instructions)
    assert 0 < count <= MOST
    for at, (operation, if_so, if_not, value) in enumerate(instructions):
        if operation == seccomp.JUMP:
            assert at + 1 + value < count
        elif operation in (seccomp.EQUAL, seccomp.AT_LEAST, seccomp.MORE, seccomp.ANY_BIT):
            assert at + 1 + max(if_so, if_not) < count
        elif operation == seccomp.LOAD:
            assert value % 4 == 0 and value < 64  # struct seccomp_data
        else:
            assert operation in (seccomp.RETURN, seccomp.MASK)
    assert instructions[-1][0] == seccomp.RETURN


def seeds():
    return [bytes([machine, order, 0, 0]) for machine in range(len(MACHINES)) for order in (0, 1)]
