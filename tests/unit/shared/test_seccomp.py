"""The filter for system calls, run here by a machine for classic BPF, on every processor that it knows."""

import struct
from collections import namedtuple

from viscum_agent import compat
from viscum_agent.config import calls, schema
from viscum_agent.service import seccomp

NEW_USER, NEW_TIME, THREAD, SIGCHLD = 0x10000000, 0x80, 0x003D0F00, 17  # linux/sched.h; what pthread_create(3) asks for
ALLOWED, REFUSED, KILLED = "allowed", compat.EPERM, "killed"
MACHINES = (
    ("x86_64", "little"),
    ("i686", "little"),
    ("aarch64", "little"),
    ("aarch64_be", "big"),
    ("armv7l", "little"),
    ("armv5teb", "big"),
    ("mips", "big"),
    ("mips", "little"),
    ("mips64", "big"),
    ("ppc64le", "little"),
    ("ppc", "big"),
    ("riscv64", "little"),
    ("loongarch64", "little"),
    ("s390x", "big"),
)

Program = namedtuple("Program", ("allow_syscalls", "seccomp"))


def run(code, order, family, number, arguments=()):
    """What a filter makes of a system call: ALLOWED, KILLED, or the number of the error."""
    mark = ">" if order == "big" else "<"
    values = list(arguments) + [0] * (6 - len(arguments))
    data = struct.pack(mark + "IIQ", number, family, 0) + struct.pack(mark + "6Q", *values)
    at = word = steps = 0
    while True:
        kind, yes, no, value = struct.unpack_from(mark + "HBBI", code, 8 * at)
        at += 1
        steps += 1
        if kind == seccomp.LOAD:
            word = struct.unpack_from(mark + "I", data, value)[0]
        elif kind == seccomp.JUMP:
            at += value
        elif kind == seccomp.EQUAL:
            at += yes if word == value else no
        elif kind == seccomp.AT_LEAST:
            at += yes if word >= value else no
        elif kind == seccomp.MORE:
            at += yes if word > value else no
        elif kind == seccomp.MASK:
            word &= value
        elif kind == seccomp.ANY_BIT:
            at += yes if word & value else no
        else:
            assert kind == seccomp.RETURN and steps < 40, (kind, steps)
            if value == seccomp.SECCOMP_RET_ALLOW:
                return ALLOWED
            return KILLED if value == seccomp.SECCOMP_RET_KILL_PROCESS else value - seccomp.SECCOMP_RET_ERRNO


def numbers(group, table, base):
    """{name: number} of a group's system calls in one family."""
    found = {}
    for name in seccomp.GROUPS[group].split(" "):
        if name in seccomp.LATER:
            found[name] = seccomp.LATER[name] + base
        elif table[seccomp.EARLIER.index(name)]:
            found[name] = table[seccomp.EARLIER.index(name)] + base
    return found


def families():
    """(machine, byte order, AUDIT_ARCH_*, numbers, base) of all that the filter knows."""
    found = []
    for machine, order in MACHINES:
        for identities, table, base in seccomp._families(machine):
            found += [(machine, order, identity, table, base) for identity in identities]
    return found


def absent(machine):
    return 89 if machine.startswith("mips") else 38  # ENOSYS


def no_family(machine):
    return 124 if machine.startswith("mips") else 97  # EAFNOSUPPORT


def refused(name):
    """Arguments with which a call is refused."""
    return {"clone": [NEW_USER] * 2, "unshare": [NEW_USER], "socket": [40], "socketpair": [40], "socketcall": [1]}.get(
        name, []
    )


def test_what_no_server_needs_is_refused_in_every_family_and_what_has_a_substitute_is_absent():
    for machine, order, family, table, base in families():
        code = seccomp.code(machine, order, ())
        for group in seccomp.GROUPS:
            for name, number in numbers(group, table, base).items():
                wanted = absent(machine) if group == "io_uring" or name in ("clone3", "socketcall") else REFUSED
                wanted = no_family(machine) if name in ("socket", "socketpair") else wanted
                assert run(code, order, family, number, refused(name)) == wanted, (machine, family, name)


def test_all_others_pass():
    for machine, order, family, table, base in families():
        code = seccomp.code(machine, order, ())
        named = [number for group in seccomp.GROUPS for number in numbers(group, table, base).values()]
        for number in range(base, base + 600):
            if number not in named:
                assert run(code, order, family, number, [40]) == ALLOWED, (machine, family, number)


def test_a_group_that_is_allowed_passes_and_no_other_does():
    for allowed in schema.SYSCALLS:
        for machine, order, family, table, base in families():
            code = seccomp.code(machine, order, (allowed,))
            for group in seccomp.GROUPS:
                for name, number in numbers(group, table, base).items():
                    passes = run(code, order, family, number, refused(name)) == ALLOWED
                    assert passes == (group == allowed), (machine, family, name)


def test_threads_and_processes_are_made_as_ever():
    """clone(2) has the flags in its first argument, on s390 in its second. What is above 32 bits is no flag of it."""
    for machine, order, family, table, base in families():
        code = seccomp.code(machine, order, ())
        number = table[seccomp.EARLIER.index("clone")] + base
        for flags in (THREAD, SIGCHLD, SIGCHLD | 1 << 40):
            places = [flags, 0x7F000000] if not machine.startswith("s390") else [0x7F000000, flags]
            assert run(code, order, family, number, places) == ALLOWED, (machine, family, flags)
        assert run(code, order, family, number, [NEW_USER | SIGCHLD] * 2) == REFUSED


def test_a_thread_may_part_from_others_but_not_into_a_namespace():
    for machine, order, family, table, base in families():
        code = seccomp.code(machine, order, ())
        number = table[seccomp.EARLIER.index("unshare")] + base
        assert run(code, order, family, number, [0x400]) == ALLOWED  # CLONE_FILES
        assert run(code, order, family, number, [NEW_TIME]) == REFUSED


def test_a_server_has_its_sockets():
    for machine, order, family, table, base in families():
        code = seccomp.code(machine, order, ())
        for name in ("socket", "socketpair"):
            number = table[seccomp.EARLIER.index(name)] + base
            for kind in range(50):
                wanted = ALLOWED if kind in (1, 2, 10, 16, 17) else no_family(machine)
                assert run(code, order, family, number, [kind, 1]) == wanted, (machine, family, name, kind)
        other = table[seccomp.EARLIER.index("socketcall")] + base
        assert run(code, order, family, other, [2]) == ALLOWED, "bind(2)"
        if other > base:
            assert run(code, order, family, other, [8]) == absent(machine), "socketpair(2)"


def test_the_numbers_of_another_processor_end_the_program():
    for machine, order in MACHINES:
        assert run(seccomp.code(machine, order, ()), order, 0x12345678, 1) == KILLED


def test_x32_is_absent():
    code = seccomp.code("x86_64", "little", ())
    assert run(code, "little", 0xC000003E, 0x40000000 | 272, [NEW_USER]) == 38
    assert run(code, "little", 0xC000003E, 0x40000000) == 38


def test_a_filter_fits_the_kernels_limit():
    """BPF_MAXINSNS is 4096 (linux/bpf_common.h)."""
    for machine, order in MACHINES:
        assert len(seccomp.code(machine, order, ())) < 8 * 512, machine


def test_who_may_make_all_has_no_filter():
    assert seccomp.prepare(Program(("all", "bpf"), None)) == b""


# A list of its own

ALLOW, DENY = 0x7FFF0000, 0x00050000
HUGE = 1 << 63 | 5  # more than a word: the halves are compared one by one
SMALL, LARGE = HUGE & 0xFFFFFFFF, HUGE >> 32 << 32


def natives():
    """(machine, byte order, bytes of a pointer, AUDIT_ARCH_*, {name: number}) of what a list can be for."""
    found = []
    for machine, order in MACHINES:
        for identities, _, base in seccomp._families(machine):
            for identity in [each for each in identities if each in calls.TABLES]:
                numbers = calls.numbers(identity)
                numbers = {name: numbers[name] + base for name in numbers}
                found.append((machine, order, 8 if identity >> 31 else 4, identity, numbers))
    return found


def listed(machine, order, pointer, default, *rules):
    return seccomp.listed(machine, order, pointer, calls.Policy(default, rules))


def test_what_a_list_allows_passes_and_the_rest_gets_its_default():
    """On every processor, whatever the byte order."""
    names = ("read", "write", "openat", "clone", "futex", "exit_group", "mount", "io_uring_setup", "set_tls")
    count = 0
    for machine, order, pointer, family, numbers in natives():
        code = listed(machine, order, pointer, DENY | 7, (names, ALLOW, ()))
        passing = [numbers[name] for name in names if name in numbers]
        # All that there are, what is next to each, and some others: all of them take an emulated processor minutes.
        known, first = numbers.values(), min(numbers.values())
        tried = {one for number in known for one in (number - 1, number, number + 1)} | set(range(first, 6500, 100))
        for number in [one for one in tried if one >= first]:
            wanted = ALLOWED if number in passing else 7
            assert run(code, order, family, number) == wanted, (machine, family, number)
        count += 1
    assert count >= 20


def test_what_a_list_refuses_is_refused_and_the_rest_passes():
    for machine, order, pointer, family, numbers in natives():
        rules = ((("mkdirat", "bpf"), DENY | 13, ()), (("reboot",), 0x80000000, ()))
        code = listed(machine, order, pointer, ALLOW, *rules)
        said = {"mkdirat": 13, "bpf": 13, "reboot": KILLED}
        for name in ("mkdirat", "bpf", "reboot", "openat", "getpid"):
            assert run(code, order, family, numbers[name]) == said.get(name, ALLOWED), (machine, family, name)


def test_a_condition_is_about_all_64_bits_of_an_argument():
    cases = (
        ("EQ", HUGE, 0, (HUGE,), (SMALL, LARGE, HUGE + 1, 0)),
        ("NE", HUGE, 0, (SMALL, LARGE, HUGE + 1, 0), (HUGE,)),
        ("LT", HUGE, 0, (HUGE - 1, SMALL, 0, LARGE), (HUGE, HUGE + 1, HUGE + (1 << 32))),
        ("LE", HUGE, 0, (HUGE, HUGE - 1, SMALL, 0), (HUGE + 1, HUGE + (1 << 32), (1 << 64) - 1)),
        ("GT", HUGE, 0, (HUGE + 1, HUGE + (1 << 32)), (HUGE, SMALL, 0, LARGE)),
        ("GE", HUGE, 0, (HUGE, HUGE + 1, LARGE + (1 << 32)), (HUGE - 1, SMALL, 0, LARGE)),
        ("MASKED_EQ", LARGE | 6, LARGE | 4, (LARGE | 4, LARGE | 5, HUGE), (4, LARGE | 2, LARGE | 6, LARGE)),
    )
    for machine, order, pointer, family, numbers in natives():
        for word, value, two, right, wrong in cases:
            rule = (("ioctl",), ALLOW, ((2, word, value, two), (0, "EQ", HUGE, 0)))
            code = listed(machine, order, pointer, DENY | 1, rule)
            for argument in right + wrong:
                wanted = ALLOWED if argument in right else REFUSED
                found = run(code, order, family, numbers["ioctl"], (HUGE, HUGE, argument))
                assert found == wanted, (machine, family, word, argument)


def test_all_conditions_of_a_rule_must_hold_and_the_first_rule_whose_do_counts():
    both = ((0, "EQ", 2, 0), (1, "MASKED_EQ", 15, 1))
    rules = ((("setns", "ioctl"), ALLOW, both), (("ioctl",), DENY | 5, ((0, "GE", 2, 0),)), (("ioctl",), DENY | 6, ()))
    for machine, order, pointer, family, numbers in natives():
        code = listed(machine, order, pointer, DENY | 1, *rules)
        for name, arguments, wanted in (
            ("ioctl", (2, 0x11), ALLOWED),
            ("ioctl", (2, 2), 5),
            ("ioctl", (1, 1), 6),
            ("setns", (2, 1), ALLOWED),
            ("setns", (2, 2), REFUSED),
            ("setns", (1, 1), REFUSED),
            ("read", (2, 1), REFUSED),
        ):
            assert run(code, order, family, numbers[name], arguments) == wanted, (machine, family, name, arguments)


def test_a_list_is_for_programs_of_one_kind_and_ends_others():
    for machine, order, pointer, family, numbers in natives():
        code = listed(machine, order, 12 - pointer, ALLOW)
        assert run(code, order, family, numbers["read"]) == KILLED, (machine, family)
    code = listed("x86_64", "little", 8, ALLOW)
    assert run(code, "little", 0xC000003E, 0x40000000) == 38, "x32, whose calls would be other numbers"


def test_a_list_of_all_that_there_is_fits_the_kernels_limit():
    """Every second call alone, which is the most that numbers can be apart, and each with a condition."""
    for machine, order, pointer, family, numbers in natives():
        names = sorted(numbers, key=lambda name: numbers[name])
        rules = ((tuple(names[::2]), ALLOW, ((0, "EQ", 1, 0),)),)
        code = listed(machine, order, pointer, DENY | 1, *rules)
        assert len(code) <= 8 * 4096
        chosen = {numbers[name] for name in names[::2]}
        for number in sorted(numbers.values()):
            assert run(code, order, family, number, (1,)) == (ALLOWED if number in chosen else REFUSED)
