"""System calls that no server needs: with most of them an account without rights reaches parts of the kernel that were
only for root before, which is where it is broken into. So a program does not get them unless its section says so.

The filter (seccomp(2)) is a program of classic BPF, for the kernel to run before each system call: it is given the
number, the processor family that the number is of, and the arguments (struct seccomp_data, linux/seccomp.h). Whoever is
refused gets EPERM, or ENOSYS where programs know how to do without.

A section may have a list of its own in place of that (config/calls.py). It is about programs of the agent's own kind:
one with the numbers of another processor is ended, as libseccomp does.
"""

import struct
import sys

from .. import compat
from ..config.schema import ALL, SYSCALLS, words_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..config.calls import Policy
    from ..config.service import Program

PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2  # linux/prctl.h, linux/seccomp.h
SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SECCOMP_RET_KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
EFAULT = 14  # asm-generic/errno-base.h
POINTER = struct.calcsize("P")
NUMBER, FAMILY, ARGUMENTS = 0, 4, 16  # where they are in struct seccomp_data; an argument has 8 bytes

# Instructions (linux/bpf_common.h): load a word; jump if equal, at least, more, if a bit is set; mask it; jump; return.
LOAD, EQUAL, AT_LEAST, MORE, ANY_BIT, MASK, JUMP, RETURN = 0x20, 0x15, 0x35, 0x25, 0x45, 0x54, 0x05, 0x06
ALLOW = [(RETURN, 0, 0, SECCOMP_RET_ALLOW)]
LONGEST_JUMP = 255  # of a comparison; JUMP goes anywhere

# CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET (linux/sched.h), and only for unshare(2) NEWTIME: for
# clone(2) the lowest byte is a signal.
NEW = 0x7E020000
NEW_TIME = 0x80

# AF_UNIX, INET, INET6, NETLINK and PACKET (linux/socket.h; the last takes a capability). Others are not kept apart by
# network namespaces: with them a program is with the machine's virtual machines, radios, modems.
SOCKETS = (1, 2, 10, 16, 17)

# The system calls of each group. Those that came with number 424 or later have the same everywhere.
GROUPS = {
    "namespaces": "clone unshare setns clone3",
    "mount": "mount umount umount2 pivot_root open_tree move_mount fsopen fsconfig fsmount fspick mount_setattr "
    "open_tree_attr",
    "keyring": "add_key request_key keyctl",
    "userfaultfd": "userfaultfd",
    "io_uring": "io_uring_setup io_uring_enter io_uring_register",
    "bpf": "bpf",
    "perf": "perf_event_open",
    "ptrace": "ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd process_madvise",
    "modules": "init_module finit_module delete_module kexec_load kexec_file_load",
    "sockets": "socket socketcall socketpair",
}
assert sorted(GROUPS) == sorted(SYSCALLS)

LATER = {
    "io_uring_setup": 425,
    "io_uring_enter": 426,
    "io_uring_register": 427,
    "open_tree": 428,
    "move_mount": 429,
    "fsopen": 430,
    "fsconfig": 431,
    "fsmount": 432,
    "fspick": 433,
    "clone3": 435,
    "pidfd_getfd": 438,
    "process_madvise": 440,
    "mount_setattr": 442,
    "open_tree_attr": 467,
}
# The others' numbers in this order, by the kernel's arch/*/.../syscall*.tbl and asm-generic/unistd.h; 0: there is none,
# or it is left alone: with the numbers of i386 and s390 glibc knows no other call than socketcall.
EARLIER = words_of(
    "clone unshare setns mount umount umount2 pivot_root add_key request_key keyctl userfaultfd bpf perf_event_open "
    "ptrace process_vm_readv process_vm_writev kcmp init_module finit_module delete_module kexec_load kexec_file_load "
    "socket socketcall socketpair"
)
_X86_64: "tuple[int, ...]" = (56, 272, 308, 165, 0, 166, 155, 248, 249, 250, 323, 321, 298)
_X86_64 += (101, 310, 311, 312, 175, 313, 176, 246, 320, 41, 0, 53)
_I386: "tuple[int, ...]" = (120, 310, 346, 21, 22, 52, 217, 286, 287, 288, 374, 357, 336)
_I386 += (26, 347, 348, 349, 128, 350, 129, 283, 0, 359, 0, 360)
_ARM: "tuple[int, ...]" = (120, 337, 375, 21, 0, 52, 218, 309, 310, 311, 388, 386, 364)
_ARM += (26, 376, 377, 378, 128, 379, 129, 347, 401, 281, 0, 288)
_GENERIC: "tuple[int, ...]" = (220, 97, 268, 40, 0, 39, 41, 217, 218, 219, 282, 280, 241)
_GENERIC += (117, 270, 271, 272, 105, 273, 106, 104, 294, 198, 0, 199)
_O32: "tuple[int, ...]" = (120, 303, 344, 21, 22, 52, 216, 280, 281, 282, 357, 355, 333)
_O32 += (26, 345, 346, 347, 128, 348, 129, 311, 0, 183, 102, 184)
_N64: "tuple[int, ...]" = (55, 262, 303, 160, 0, 161, 151, 239, 240, 241, 317, 315, 292)
_N64 += (99, 304, 305, 306, 168, 307, 169, 270, 0, 40, 0, 52)
_N32: "tuple[int, ...]" = (55, 266, 308, 160, 0, 161, 151, 243, 244, 245, 321, 319, 296)
_N32 += (99, 309, 310, 311, 168, 312, 169, 274, 0, 40, 0, 52)
_POWERPC: "tuple[int, ...]" = (120, 282, 350, 21, 22, 52, 203, 269, 270, 271, 364, 361, 319)
_POWERPC += (26, 351, 352, 354, 128, 353, 129, 268, 382, 326, 102, 333)
_S390: "tuple[int, ...]" = (120, 303, 339, 21, 22, 52, 217, 278, 279, 280, 355, 351, 331)
_S390 += (26, 340, 341, 343, 128, 344, 129, 277, 381, 359, 0, 360)

X86_64 = 0xC000003E  # AUDIT_ARCH_X86_64
# By how the machine's name (uname -m) begins: the families of system calls that a kernel there may serve, whatever the
# agent is itself: (AUDIT_ARCH_* of linux/audit.h, numbers, what to add to them).
_X86 = (((X86_64,), _X86_64, 0), ((0x40000003,), _I386, 0))
_ARMS = (((0xC00000B7,), _GENERIC, 0), ((0x40000028, 0x28), _ARM, 0))
MACHINES = (
    ("x86_64", _X86),
    ("i", _X86),  # i386 to i686
    ("aarch64", _ARMS),
    ("arm", _ARMS),
    (
        "mips",
        (
            ((0x8, 0x40000008), _O32, 4000),
            ((0x80000008, 0xC0000008), _N64, 5000),
            ((0xA0000008, 0xE0000008), _N32, 6000),
        ),
    ),
    ("ppc", (((0x14, 0x80000015, 0xC0000015), _POWERPC, 0),)),
    ("riscv64", (((0xC00000F3,), _GENERIC, 0),)),
    ("loongarch64", (((0xC0000102,), _GENERIC, 0),)),
    ("s390", (((0x80000016, 0x16), _S390, 0),)),
)
X32 = 0x40000000  # in a number of x86-64: a third set of numbers, which nobody builds for


def missing() -> str:
    """Why there can be no filter here, "" where there can be one."""
    if not _families(compat.MACHINE):
        return "the numbers of system calls on %s are not known" % compat.MACHINE
    try:
        compat.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, 0)  # a filter at address 0: no more than a question
    except OSError as error:
        if error.errno == EFAULT:
            return ""
    return "this kernel has no seccomp filters (CONFIG_SECCOMP_FILTER)"


_codes: "dict[tuple, bytes]" = {}


def prepare(program: "Program") -> bytes:
    """The filter of a program, b"" where it has none. The agent calls this before it forks, so that the child finds the
    result."""
    allowed, policy = program.allow_syscalls, program.seccomp
    if ALL in allowed:
        return b""
    if (allowed, policy) not in _codes:
        found = b""
        if not missing():
            order = sys.byteorder
            found = listed(compat.MACHINE, order, POINTER, policy) if policy else code(compat.MACHINE, order, allowed)
        _codes[allowed, policy] = found
    return _codes[allowed, policy]


def install(program: "Program") -> None:
    """In the child, once it has no_new_privs: from here on, and for whatever it executes. Raises OSError."""
    filters = bytearray(prepare(program))
    if filters:
        # struct sock_fprog: how many instructions, of 8 bytes each, and where.
        head = bytearray(struct.pack("HP", len(filters) // 8, compat.address_of(filters)))
        compat.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, compat.address_of(head))


def code(machine: str, order: str, allowed: "tuple[str, ...]") -> bytes:
    """The bytes of the filter for a machine (uname -m) and its byte order ("little", "big")."""
    families = [
        (identities, _own(machine, order, allowed, numbers, base)) for identities, numbers, base in _families(machine)
    ]
    return _joined(machine, order, families, ALLOW)


def listed(machine: str, order: str, pointer: int, policy: "Policy") -> bytes:
    """The same by a list, for programs whose pointers have so many bytes."""
    from ..config import calls

    default = [(RETURN, 0, 0, policy.default)]
    families = []
    for identities, _, base in _families(machine):
        identities = tuple([each for each in identities if each in calls.TABLES and (each >> 31) * 4 + 4 == pointer])
        if identities:
            numbers = calls.numbers(identities[0])
            families.append((identities, _ruled(order, policy, numbers, base)))
    return _joined(machine, order, families, default)


def _families(machine: str) -> tuple:
    for name, families in MACHINES:
        if machine.startswith(name):
            return families
    return ()


def _joined(machine: str, order: str, families: "list[tuple]", default: "list[tuple]") -> bytes:
    """The filter for (AUDIT_ARCH_*..., {number: instructions that decide what becomes of the call}) of each family."""
    heads = [(LOAD, 0, 0, FAMILY)]
    bodies: list[tuple] = []
    left = sum([2 * len(each[0]) for each in families]) + 1  # instructions until the first body
    for identities, numbers in families:
        for identity in identities:
            left -= 2
            heads += [(EQUAL, 0, 1, identity), (JUMP, 0, 0, left + len(bodies))]
        bodies.append((LOAD, 0, 0, NUMBER))
        if identities[0] == X86_64:
            bodies += [(ANY_BIT, 0, 1, X32)] + _absent(machine)
        bodies += _search(_ranges(numbers, default))
    heads.append((RETURN, 0, 0, SECCOMP_RET_KILL_PROCESS))  # no kernel of this machine has such a program
    mark = ">" if order == "big" else "<"
    return b"".join([struct.pack(mark + "HBBI", *each) for each in heads + bodies])


def _absent(machine: str) -> "list[tuple]":
    return [(RETURN, 0, 0, SECCOMP_RET_ERRNO | (89 if compat.is_mips(machine) else 38))]  # ENOSYS (asm/errno.h)


def _own(machine: str, order: str, allowed: "tuple[str, ...]", numbers: "tuple[int, ...]", base: int) -> dict:
    """{number: instructions} of what is refused in a family."""
    refuse = [(RETURN, 0, 0, SECCOMP_RET_ERRNO | compat.EPERM)]
    absent = _absent(machine)
    wrong = [(RETURN, 0, 0, SECCOMP_RET_ERRNO | (124 if compat.is_mips(machine) else 97))]  # EAFNOSUPPORT
    swapped = machine.startswith("s390")  # clone(2): the stack comes first
    special = {
        "clone": _unless(order, 1 if swapped else 0, NEW, refuse),
        "unshare": _unless(order, 0, NEW | NEW_TIME, refuse),
        "socket": _only_if(order, SOCKETS, wrong),
        "socketpair": _only_if(order, SOCKETS, wrong),  # the kernel makes both before it asks whether they can be one
        # Its first argument is which call it stands for. The C libraries then use socket and socketpair.
        "socketcall": [(LOAD, 0, 0, _at(order, 0)), (EQUAL, 1, 0, 1), (EQUAL, 0, 1, 8)] + absent + ALLOW,
        "clone3": absent,  # its flags are in memory, where a filter can't look: the C libraries then use clone
    }
    found = {}
    for group in GROUPS:
        for name in () if group in allowed else GROUPS[group].split(" "):
            number = LATER[name] if name in LATER else numbers[EARLIER.index(name)]
            if number:
                found[number + base] = absent if group == "io_uring" else special.get(name, refuse)
    return found


def _ruled(order: str, policy: "Policy", numbers: "dict[str, int]", base: int) -> dict:
    """{number: instructions} of a list: the first rule whose conditions hold, and the default where none does. A name
    that this family does not have is no call that a program could make."""
    found: dict[int, list] = {}
    for names, action, conditions in policy.rules:
        body = [(RETURN, 0, 0, action)]
        for condition in conditions:
            body = _condition(order, condition, len(body)) + body
        for name in names:
            if name in numbers:
                number = numbers[name] + base
                found[number] = found.get(number, []) + body
    for number in found:
        found[number] = found[number] + [(RETURN, 0, 0, policy.default)]
    return found


def _condition(order: str, condition: "tuple[int, str, int, int]", others: int) -> "list[tuple]":
    """Goes on with the next instruction if an argument, all 64 bits of it, is as it should; if not, after that and
    `others` more."""
    index, word, value, two = condition
    low = _at(order, index)
    high = low ^ 4
    yes, no = (others, 0) if word in ("NE", "LT", "LE") else (0, others)  # not EQ, not GE, not GT
    if word in ("EQ", "NE", "MASKED_EQ"):
        mask, value = (value, two) if word == "MASKED_EQ" else ((1 << 64) - 1, value)
        return [
            (LOAD, 0, 0, high),
            (MASK, 0, 0, mask >> 32),
            (EQUAL, 0, 3 + no, value >> 32),
            (LOAD, 0, 0, low),
            (MASK, 0, 0, mask & 0xFFFFFFFF),
            (EQUAL, yes, no, value & 0xFFFFFFFF),
        ]
    return [
        (LOAD, 0, 0, high),
        (MORE, 3 + yes, 0, value >> 32),
        (EQUAL, 0, 2 + no, value >> 32),
        (LOAD, 0, 0, low),
        (MORE if word in ("GT", "LE") else AT_LEAST, yes, no, value & 0xFFFFFFFF),
    ]


def _at(order: str, argument: int) -> int:
    """Where the lower half of an argument is."""
    return ARGUMENTS + 8 * argument + (4 if order == "big" else 0)


def _unless(order: str, argument: int, bits: int, action: "list[tuple]") -> "list[tuple]":
    """Takes the action if an argument has one of the bits (of its lower half)."""
    return [(LOAD, 0, 0, _at(order, argument)), (ANY_BIT, 0, 1, bits)] + action + ALLOW


def _only_if(order: str, values: "tuple[int, ...]", action: "list[tuple]") -> "list[tuple]":
    """Takes the action if the first argument is none of the values."""
    fine = [(EQUAL, len(values) - number, 0, value) for number, value in enumerate(values)]
    return [(LOAD, 0, 0, _at(order, 0))] + fine + action + ALLOW


def _ranges(numbers: dict, default: "list[tuple]") -> "list[tuple[int, list]]":
    """(first number, what becomes of it and of those after it), in order."""
    found = [(0, default)]
    for number in sorted(numbers):
        if found[-1][0] == number:
            found.pop()
        if not found or found[-1][1] != numbers[number]:
            found.append((number, numbers[number]))
        found.append((number + 1, default))
    return found


def _search(ranges: "list[tuple[int, list]]") -> "list[tuple]":
    """Instructions that find a number by halves, since this costs every system call, and do what becomes of it."""
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    low = _search(ranges[:middle])
    to = [(AT_LEAST, len(low), 0, ranges[middle][0])]
    if len(low) > LONGEST_JUMP:
        to = [(AT_LEAST, 0, 1, ranges[middle][0]), (JUMP, 0, 0, len(low))]
    return to + low + _search(ranges[middle:])
