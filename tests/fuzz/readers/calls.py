"""A list of system calls, and the filter that becomes of it: one that the kernel accepts, and that decides as the list
says, on any processor."""

import struct

from fuzz import documents
from fuzz.readers.seccomp import check

from viscum_agent.config import calls
from viscum_agent.config.schema import Refused
from viscum_agent.service import seccomp

ALLOWED = (Refused,)
COUNT = 150
RIGHT = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 38,
    "architectures": ["SCMP_ARCH_X86_64"],
    "syscalls": [
        {"names": ["read", "write", "exit_group"], "action": "SCMP_ACT_ALLOW", "args": []},
        {
            "names": ["socket", "ioctl"],
            "action": "SCMP_ACT_ALLOW",
            "args": [
                {"index": 0, "value": 2, "op": "SCMP_CMP_EQ"},
                {"index": 1, "value": 15, "valueTwo": 1, "op": "SCMP_CMP_MASKED_EQ"},
            ],
        },
        {"names": ["ioctl"], "action": "SCMP_ACT_ERRNO", "errnoRet": 13},
    ],
}
WORDS = "defaultAction defaultErrnoRet architectures syscalls names action errnoRet args index value valueTwo op flags "
WORDS += "SCMP_ACT_ALLOW SCMP_ACT_ERRNO SCMP_ACT_KILL SCMP_ACT_LOG SCMP_ACT_TRAP SCMP_CMP_NE SCMP_CMP_LT SCMP_CMP_LE "
WORDS += (
    "SCMP_CMP_GE SCMP_CMP_GT SCMP_CMP_EQ SCMP_CMP_MASKED_EQ read ioctl socket openat clone3 set_tls getuid32 x . \0"
)
WORDS = tuple(WORDS.split(" "))
TOKENS = [bytes([one, two]) for one in range(8) for two in (0, 1, 5)] + [b'{"names":', b"[", b'"', b"-1", b"1e9"]
PROCESSORS = (
    ("x86_64", "little", 8, 0xC000003E),
    ("i686", "little", 4, 0x40000003),
    ("armv5teb", "big", 4, 0x28),
    ("aarch64", "little", 8, 0xC00000B7),
    ("mips", "big", 4, 0x8),
    ("mips64", "big", 8, 0x80000008),
    ("ppc", "big", 4, 0x14),
    ("s390x", "big", 8, 0x80000016),
)
VALUES = (0, 1, 2, 17, 1 << 31, 1 << 32, (1 << 32) + 2, 1 << 63, (1 << 64) - 1)


def read(data):
    document = documents.changed(data, RIGHT, WORDS)
    is_text = isinstance(document, bytes)
    try:
        policy = calls.policy_of(documents.parsed(document) if is_text else document)
    except Refused as error:
        documents.check(error.args)
        if is_text:
            return None
        raise
    machine, order, pointer, family = PROCESSORS[len(data) % len(PROCESSORS)]
    code = seccomp.listed(machine, order, pointer, policy)
    steps = [struct.unpack_from((">" if order == "big" else "<") + "HBBI", code, at) for at in range(0, len(code), 8)]
    check(steps)
    numbers = calls.numbers(family)
    base = {"mips": 4000, "mips64": 5000}.get(machine, 0)
    for at, name in enumerate(("read", "ioctl", "socket", "openat", "getuid32", "set_tls", "clone3", "bpf")):
        if name in numbers:
            arguments = [VALUES[(len(data) + at * place) % len(VALUES)] for place in range(1, 7)]
            wanted = decided(policy, name, arguments)
            assert run(steps, order, family, numbers[name] + base, arguments) == wanted, (name, arguments, wanted)
    return None if is_text else (policy, code)


def decided(policy, name, arguments):
    """What the list says of a call."""
    for names, action, conditions in policy.rules:
        if name in names and all([holds(condition, arguments[condition[0]]) for condition in conditions]):
            return action
    return policy.default


def holds(condition, argument):
    _, word, value, two = condition
    return {
        "EQ": argument == value,
        "NE": argument != value,
        "LT": argument < value,
        "LE": argument <= value,
        "GT": argument > value,
        "GE": argument >= value,
        "MASKED_EQ": argument & value == two,
    }[word]


def run(steps, order, family, number, arguments):
    """What a filter returns for a call: a machine for the instructions that seccomp.py writes."""
    mark = ">" if order == "big" else "<"
    data = struct.pack(mark + "IIQ", number, family, 0) + struct.pack(mark + "6Q", *arguments)
    at = word = 0
    while True:
        kind, yes, no, value = steps[at]
        at += 1
        if kind == seccomp.LOAD:
            word = struct.unpack_from(mark + "I", data, value)[0]
        elif kind == seccomp.MASK:
            word &= value
        elif kind == seccomp.JUMP:
            at += value
        elif kind == seccomp.RETURN:
            return value
        else:
            taken = {
                seccomp.EQUAL: word == value,
                seccomp.AT_LEAST: word >= value,
                seccomp.MORE: word > value,
                seccomp.ANY_BIT: word & value,
            }[kind]
            at += yes if taken else no


def seeds():
    import json

    found = [b"\0" + json.dumps(RIGHT).encode()]
    for first in range(1, 9):
        for second in range(0, 9):
            found.append(bytes([first, 1, 4, 1, second % 3, 1, second, 0, second % 4, first * 5 + second]))
    return found


def slow(size):
    for piece in (b"[", b'{"a":', b'"read",', b'{"names":["x"]},'):
        yield b"\0" + piece * (size // len(piece))
    yield b'\0{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":[' + b'"x",' * (size // 4) + b'"x"]}]}'
    rule = b'{"names":["ioctl"],"action":"SCMP_ACT_LOG"},'
    yield b'\0{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[' + rule * (size // len(rule)) + rule[:-1] + b"]}"
