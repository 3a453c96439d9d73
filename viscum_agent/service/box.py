"""What a program may do besides what its account may: nothing, unless its section says so.

A program is broken into sooner or later, and what it can do then is what it was started with. All of it is set between
fork and exec, by the child itself, so it costs no process and no program of its own. Only what all of its processes
have together is limited by their control group, before the first of them is in it.
"""

import struct

from .. import compat
from ..config.schema import ALL, CAPABILITIES, OOM_SCORE_ADJ, PIDS_MAX, UNLIMITED
from ..errors import ConfigError
from ..kernel import cgroup
from . import seccomp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..config.service import Program

# linux/prctl.h
PR_SET_KEEPCAPS, PR_CAPBSET_READ, PR_CAPBSET_DROP, PR_SET_SECUREBITS, PR_SET_NO_NEW_PRIVS = 8, 23, 24, 28, 38
PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE = 47, 2
# linux/securebits.h: account 0 is an account like any other, and stays that. (As long as no_new_privs holds, that does
# the same.)
SECBIT_NOROOT, SECBIT_NOROOT_LOCKED = 1, 2
_LINUX_CAPABILITY_VERSION_3 = 0x20080522  # linux/capability.h: two words of 32 bits

_OOM = "/proc/self/oom_score_adj"

# What control groups limit (Documentation/admin-guide/cgroup-v2.rst): the controller of each option, and the value that
# a group has where it is not set.
GROUPS = (("memory_max", "memory", None), ("cpu_max", "cpu", None), ("pids_max", "pids", PIDS_MAX))
PERIOD = 100000  # microseconds: the kernel's own. What a program may have of one is given it at the beginning
NONE = b"max"
WITHOUT = ": take the option out, and the program runs without that limit"

# The kernel tells only the program that it may not do something, but most programs print that: as strerror(3) of glibc
# or musl says it, perhaps in small letters. And what allows it.
HINTS = (
    ("Read-only file system", "`list writable`"),
    ("Operation not permitted", "`list capability` and `list allow_syscalls`"),
    ("Permission denied", "`option user` and `option group`"),
    ("Function not implemented", "`list allow_syscalls`"),
    ("Too many open files", "`option nofile`"),
    ("No file descriptors available", "`option nofile`"),
    ("File too large", "`option fsize`"),
    ("fork: Resource temporarily unavailable", "`option nproc`"),
)


def hint(said: "Iterable[str]") -> str:
    """Which options may help a program that printed these lines, as the end of a sentence; "" if they say nothing of
    it."""
    text = "\n".join(said)
    for words, options in HINTS:
        if words[1:] in text:
            return 'said "%s": see %s' % (words, options)
    return ""


def confine(program: "Program", ids: "tuple[int, int, list[int]]") -> None:
    """In the child, before exec: gives up all that the program is not to have. `ids` are its uid, gid and all of its
    gids. Raises OSError, and ConfigError for a value that the kernel refuses."""
    _limit(program)
    kept = _numbers(program.capability)
    _bound(kept)
    compat.prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED)
    compat.prctl(PR_SET_KEEPCAPS, 1)  # until exec: another account would lose them right away
    compat.drop_privileges(*ids)
    _keep(kept)
    _set("workdir", compat.chdir, program.workdir)  # whose links its account may have made
    compat.prctl(PR_SET_NO_NEW_PRIVS, 1)
    seccomp.install(program)


def hold(program: "Program", group: str) -> None:
    """Limits a control group (a path, "" for none), before a process of the program is in it. Raises ConfigError for a
    limit that is set and can't be kept; the default one is kept where that is possible."""
    for option, controller, default in GROUPS:
        value = getattr(program, option)
        why = _hold(group, option, controller, None if value == UNLIMITED else value)
        if why and value not in (default, UNLIMITED):
            raise ConfigError("%s: can't be kept here (%s)%s" % (option, why, WITHOUT))


def _hold(group: str, option: str, controller: str, value: "int | None") -> str:
    """Limits a group by one controller, None for no limit; returns why that is not possible, "" where it is."""
    if not group:
        return "no control group can be made"
    try:
        if value is not None:
            cgroup.enable(controller)
        for name, text in _group_files(option, value):
            _write(group + name, text)
    except OSError as error:
        return compat.strerror(error.errno)
    return ""


def _group_files(option: str, value: "int | None") -> "list[tuple[str, bytes]]":
    """(file of the group, what to write there), for None no limit."""
    text = NONE if value is None else b"%d" % value
    if option == "memory_max":
        # What it may not have in memory it has no more of in swap: on a router that is memory, too (zram). And where it
        # needs more, all of its processes go at once: who lost some would serve his clients badly, or not at all.
        swap, together = (NONE, b"0") if value is None else (b"0", b"1")
        return [("/memory.max", text), ("/memory.swap.max", swap), ("/memory.oom.group", together)]
    if option == "cpu_max":
        return [("/cpu.max", NONE if value is None else b"%d %d" % (value * PERIOD // 100, PERIOD))]
    return [("/pids.max", text)]


def _write(path: str, text: bytes) -> None:
    try:
        compat.write_file(path, text)
    except OSError as error:
        # No controller, and nothing to limit; or a kernel that has no swap.
        if error.errno != compat.ENOENT or (text != NONE and not path.endswith("/memory.swap.max")):
            raise


def place(program: "Program") -> None:
    """In the child, while it may write to /proc: what goes before it, and before what it goes. Raises as `confine`."""
    if program.nice is not None:
        _set("nice", _go_before, program.nice)
    if program.oom_score_adj != OOM_SCORE_ADJ or _is_less(OOM_SCORE_ADJ):
        _set("oom_score_adj", compat.write_file, _OOM, b"%d" % program.oom_score_adj)


def _limit(program: "Program") -> None:
    compat.umask(program.umask)
    for name in compat.LIMITS:
        value = getattr(program, name)
        if value is not None:
            _set(name, compat.set_limit, compat.LIMITS[name], value)


def _set(option: str, call: "Callable[..., None]", *arguments: object) -> None:
    try:
        call(*arguments)
    except OSError as error:
        text = "%s: the kernel refuses this value (%s): take another one, or leave the option out"
        raise ConfigError(text % (option, compat.strerror(error.errno)))


def _go_before(nice: int) -> None:
    compat.set_priority(nice)
    try:
        # What has a session of its own is weighed as a whole (sched(7), The autogroup feature).
        compat.write_file("/proc/self/autogroup", b"%d" % nice)
    except OSError:
        pass  # a kernel without that


def _is_less(score: int) -> bool:
    """Whether the agent, from which this is inherited, would be killed later than that. One that is to go sooner has a
    reason, and may lack the right to change it."""
    return int(compat.read_file(_OOM, 16)) < score


def lacks(program: "Program") -> "list[tuple[str, str]]":
    """(option, sentence) for each thing that a program is to have here and can't."""
    found = []
    for name in program.capability:
        if name == ALL:
            continue
        state = _state(CAPABILITIES.index(name))
        if state is None:
            found.append(("capability", "this kernel has no '%s': take it out" % name))
        elif not state:
            text = "the agent has no '%s' itself: take it out, or start the agent with it"
            found.append(("capability", text % name))
    option = "seccomp" if program.seccomp else "allow_syscalls"
    wanted = program.seccomp or (program.allow_syscalls and ALL not in program.allow_syscalls)
    why = seccomp.missing() if wanted else ""
    if why:
        found.append((option, why + ": take the option out, and the program may make every call"))
    for option, controller, default in GROUPS:
        if getattr(program, option) not in (default, UNLIMITED):
            why = cgroup.missing(controller)
            found += [(option, why + WITHOUT)] if why else []
    return found


def _state(number: int) -> "bool | None":
    """Whether this process may have a capability; None if the kernel does not know it."""
    try:
        return compat.prctl(PR_CAPBSET_READ, number) == 1
    except OSError:
        return None


def _numbers(names: "tuple[str, ...]") -> "list[int]":
    if ALL in names:
        return [number for number in range(len(CAPABILITIES)) if _state(number)]
    return [CAPABILITIES.index(name) for name in names]


def _bound(kept: "list[int]") -> None:
    """Takes all others out of the bounding set, which is the most that a process and its children can ever have. A
    newer kernel may have some that we don't know by name."""
    for number in range(64):
        if number in kept:
            continue
        try:
            compat.prctl(PR_CAPBSET_DROP, number)
        except OSError as error:
            if error.errno != compat.EINVAL:
                raise
            return  # there are no more


def _keep(kept: "list[int]") -> None:
    """Has these capabilities and no others, in all sets; the ambient one is what exec leaves to a program."""
    mask = 0
    for number in kept:
        mask |= 1 << number
    low, high = mask & 0xFFFFFFFF, mask >> 32
    # struct __user_cap_data_struct, twice: effective, permitted, inheritable.
    compat.capset(struct.pack("Ii", _LINUX_CAPABILITY_VERSION_3, 0), struct.pack("6I", low, low, low, high, high, high))
    for number in kept:
        compat.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number)
