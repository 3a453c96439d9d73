"""The kernel's numbers that depend on the processor, against the kernel's own headers for each processor.

Which processors: those that OpenWrt has, and s390x, which is big-endian and easy to come by. The headers are Debian's
(linux-libc-dev-*-cross, Linux 6.1), unpacked by `tools/setup.sh bigendian` and read with a preprocessor that knows
nothing of the machine it runs on. MicroPython's half of viscum_agent.compat can't be imported here: what it assigns is
computed from its text, for each processor.
"""

import ast
import subprocess
from collections import namedtuple
from functools import cache
from pathlib import Path

import pytest
from lab import ROOT

from viscum_agent import agent, compat, lock, log
from viscum_agent.config import calls, schema
from viscum_agent.kernel import ethtool, handshake
from viscum_agent.service import box, output, seccomp

HEADERS = ROOT / ".cache/bigendian/headers/usr"
pytestmark = pytest.mark.skipif(not HEADERS.exists(), reason="no headers of other processors here: make setup")

# `machine` is what uname -m says, `pointer` the bytes of one, `folder` whose headers they are, `defines` what a
# compiler for it defines and the headers ask for.
Processor = namedtuple("Processor", ("machine", "pointer", "folder", "defines"))
PROCESSORS = [
    Processor("x86_64", 8, "x86_64-linux-gnu", ("__x86_64__",)),
    Processor("i686", 4, "i686-linux-gnu", ("__i386__",)),
    Processor("aarch64", 8, "aarch64-linux-gnu", ("__aarch64__",)),
    Processor("armv7l", 4, "arm-linux-gnueabihf", ("__ARM_EABI__",)),
    Processor("mips", 4, "mips-linux-gnu", ("__MIPSEB__", "_MIPS_SIM=1")),  # _MIPS_SIM_ABI32 of asm/sgidefs.h: o32
    Processor("mips64", 8, "mips-linux-gnu", ("__MIPSEB__", "_MIPS_SIM=3")),  # _MIPS_SIM_ABI64
    Processor("ppc", 4, "powerpc-linux-gnu", ("__powerpc__",)),
    Processor("ppc64", 8, "powerpc-linux-gnu", ("__powerpc__", "__powerpc64__")),
    Processor("riscv64", 8, "riscv64-linux-gnu", ("__riscv_xlen=64", "__LP64__", "__SIZEOF_POINTER__=8")),
    Processor("s390x", 8, "s390x-linux-gnu", ("__s390x__",)),
]
NAMES = [each.machine for each in PROCESSORS]

INCLUDES = (
    "asm/unistd.h",
    "asm/errno.h",
    "asm/socket.h",
    "asm/fcntl.h",
    "asm/signal.h",
    "asm/poll.h",
    "linux/sched.h",
    "linux/mount.h",
    "asm/resource.h",
    "linux/audit.h",
    "linux/bpf_common.h",
    "linux/filter.h",
    "linux/prctl.h",
    "linux/seccomp.h",
    "linux/securebits.h",
    "linux/capability.h",
    "linux/inotify.h",
    "linux/netlink.h",
    "linux/sockios.h",
    "linux/in.h",
    "linux/stat.h",
    "linux/time.h",
    "linux/wait.h",
)

# Names that the headers do not have, because only the C library's do: enumerations there.
LIBRARY = ("MSG_PEEK", "MSG_TRUNC", "SOCK_STREAM", "SOCK_DGRAM")

# What has another name in the headers.
RENAMED = {
    "O_CREATE": "O_CREAT",
    "O_CREATE_EXCLUSIVE": "(O_CREAT | O_EXCL)",
    "SOCK_CLOEXEC": "O_CLOEXEC",  # net/socket.h of the kernel: the same by definition
    "SOL_NETLINK": "",  # linux/socket.h, which is not for programs: the same everywhere
    "MNT_DETACH": "",  # linux/fs.h, likewise
    "SOL_IP": "",
}

# Names of viscum_agent.compat that are those of the headers.
SHARED = (
    ("CLONE_NEWNS", "CLONE_NEWNET", "MS_BIND", "MS_REC", "MS_SLAVE", "MS_SHARED", "SIGTERM", "SIGKILL", "WNOHANG")
    + ("POLLIN", "POLLOUT", "POLLERR", "POLLHUP", "NETLINK_ROUTE", "NETLINK_NETFILTER")
    + ("NETLINK_CAP_ACK", "NETLINK_EXT_ACK", "NETLINK_GET_STRICT_CHK")
    + ("EPERM", "ENOENT", "ESRCH", "E2BIG", "EAGAIN", "EACCES", "EBUSY", "EEXIST", "ENODEV", "EINVAL")
    + ("ENFILE", "EMFILE", "S_IFMT", "S_IFREG", "S_IFDIR", "S_IFIFO", "S_IFCHR", "S_IFSOCK", "S_IFLNK")
)
ELSEWHERE = {
    agent: ("SIGHUP", "SIGINT"),
    box: (
        ("PR_SET_KEEPCAPS", "PR_CAPBSET_READ", "PR_CAPBSET_DROP", "PR_SET_SECUREBITS", "PR_SET_NO_NEW_PRIVS")
        + ("PR_CAP_AMBIENT", "PR_CAP_AMBIENT_RAISE", "_LINUX_CAPABILITY_VERSION_3")
        + ("SECBIT_NOROOT", "SECBIT_NOROOT_LOCKED")
    ),
    ethtool: ("SIOCETHTOOL",),
    seccomp: (
        ("PR_SET_SECCOMP", "SECCOMP_MODE_FILTER", "SECCOMP_RET_ALLOW", "SECCOMP_RET_ERRNO", "SECCOMP_RET_KILL_PROCESS")
        + ("EFAULT",)
    ),
    handshake: ("SO_ATTACH_FILTER",),
    lock: ("O_RDWR",),
    log: ("O_WRONLY",),
    output: ("IP_MULTICAST_IF", "IP_MULTICAST_TTL", "IP_ADD_MEMBERSHIP"),
}
# signal(7): what unwanted_signals is in words.
UNWANTED = ("SIGUSR1", "SIGUSR2", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGIO", "SIGTSTP", "SIGTTIN", "SIGTTOU")


def values(processor, names, absent=None):
    """{name: number} of macros or expressions, as the processor's headers have them; `absent` is that of a name which
    they do not have."""
    lines = ["#include <%s>" % each for each in INCLUDES] + ["@%d %s" % pair for pair in enumerate(names)]
    defines = ["-D" + each for each in processor.defines]
    words = ["mips-linux-gnu-cpp", "-undef", "-nostdinc", "-P", *defines, "-I", HEADERS / processor.folder / "include"]
    result = subprocess.run(words, input="\n".join(lines), capture_output=True, text=True, check=True)
    found = {}
    for line in result.stdout.splitlines():
        if line.startswith("@"):
            place, expression = line[1:].split(" ", 1)
            name = names[int(place)]
            found[name] = absent if expression == name and absent is not None else eval(as_python(expression))
    return found


def as_python(expression):
    """A number of C, perhaps octal (02000000) or unsigned (0x8U), as one of Python."""
    words = [word.rstrip("U") for word in expression.replace("(", " ( ").replace(")", " ) ").split()]
    return " ".join(["0o" + word[1:] if word.isdigit() and word[0] == "0" < word else word for word in words])


@cache
def assigned(machine):
    """What compat/micropython.py assigns to its names on a machine, as far as it is numbers."""
    known = {"_MIPS": compat.is_mips(machine), "_POWERPC": compat.is_powerpc(machine), "_ARM": compat.is_arm(machine)}
    found = {}
    for node in ast.parse((ROOT / "viscum_agent/compat/micropython.py").read_text()).body:
        if not isinstance(node, ast.Assign) or any(isinstance(each, ast.Call) for each in ast.walk(node)):
            continue
        try:
            value = eval(compile(ast.Expression(node.value), "micropython.py", "eval"), {**known, **found})
        except NameError:
            continue  # made of something else than numbers
        target = node.targets[0]
        names = [each.id for each in target.elts] if isinstance(target, ast.Tuple) else [target.id]
        found.update(zip(names, value if isinstance(target, ast.Tuple) else (value,), strict=True))
    return {name.lstrip("_"): value for name, value in found.items() if isinstance(value, int)}


@pytest.fixture(params=PROCESSORS, ids=NAMES)
def processor(request):
    return request.param


def test_system_calls_have_the_processors_numbers(processor):
    base = compat.syscall_base(processor.machine, processor.pointer)
    ours = {
        "__NR_bpf": compat.bpf_call(processor.machine, processor.pointer),
        "__NR_pidfd_open": 434 + base,
        "__NR_pidfd_getfd": 438 + base,
    }
    assert ours == values(processor, list(ours))


def test_signals_have_the_processors_numbers(processor):
    names = ("SIG_BLOCK", "SIG_SETMASK", *UNWANTED)
    ours = compat.sigmask_words(processor.machine) + compat.unwanted_signals(processor.machine)
    assert dict(zip(names, ours, strict=True)) == values(processor, names)


def test_what_counts_as_the_same_everywhere_is_so(processor):
    ours = {name: getattr(compat, name) for name in SHARED}
    for module, names in ELSEWHERE.items():
        ours.update({name: getattr(module, name) for name in names})
    assert ours == values(processor, list(ours))


# The families of system calls that a processor's headers have, by AUDIT_ARCH_*.
AUDITED = {
    "x86_64": ["AUDIT_ARCH_X86_64"],
    "i686": ["AUDIT_ARCH_I386"],
    "aarch64": ["AUDIT_ARCH_AARCH64"],
    "armv7l": ["AUDIT_ARCH_ARM", "AUDIT_ARCH_ARMEB"],
    "mips": ["AUDIT_ARCH_MIPS", "AUDIT_ARCH_MIPSEL"],
    "mips64": ["AUDIT_ARCH_MIPS64", "AUDIT_ARCH_MIPSEL64"],
    "ppc": ["AUDIT_ARCH_PPC"],
    "ppc64": ["AUDIT_ARCH_PPC64", "AUDIT_ARCH_PPC64LE"],
    "riscv64": ["AUDIT_ARCH_RISCV64"],
    "s390x": ["AUDIT_ARCH_S390X"],
    "mips64 n32": ["AUDIT_ARCH_MIPS64N32", "AUDIT_ARCH_MIPSEL64N32"],
    "s390": ["AUDIT_ARCH_S390"],
}
ASIDE = [
    Processor("mips64 n32", 4, "mips-linux-gnu", ("__MIPSEB__", "_MIPS_SIM=2")),  # _MIPS_SIM_NABI32
    Processor("s390", 4, "s390x-linux-gnu", ()),
]


@pytest.mark.parametrize("processor", PROCESSORS + ASIDE, ids=[each.machine for each in PROCESSORS + ASIDE])
def test_a_filter_knows_system_calls_by_the_processors_numbers(processor):
    for audited in AUDITED[processor.machine]:
        identity = values(processor, [audited])[audited]
        ((table, base),) = [
            (table, base) for identities, table, base in seccomp._families(processor.machine) if identity in identities
        ]
        found = values(processor, ["__NR_" + name for name in seccomp.EARLIER] + ["__NR_clone3"], absent=0)
        if not table[seccomp.EARLIER.index("socketcall")]:
            found["__NR_socketcall"] = 0  # it is left alone there
        assert [found["__NR_" + name] for name in seccomp.EARLIER] == [each + base if each else 0 for each in table]
        later = {"__NR_" + name: number + base for name, number in seccomp.LATER.items() if number <= 442}
        assert later == values(processor, list(later)), "467 came with Linux 6.15"


# What no kernel serves any more, or ever did.
NEVER = "afs_syscall break create_module ftime get_kernel_syms getpmsg gtty lock mpx prof profil putpmsg query_module"
NEVER += " security stty tuxcall ulimit vserver epoll_ctl_old epoll_wait_old multiplexer sys_debug_setcontext"
NO_CALLS = ("reserved", "unused", "arch_specific", "syscalls")


@pytest.mark.parametrize("processor", PROCESSORS, ids=NAMES)
def test_a_list_knows_system_calls_by_the_processors_numbers(processor):
    """All that its headers have, and nothing that they have with another number."""
    base = {"mips": 4000, "mips64": 5000}.get(processor.machine, 0)
    there = set(headers_calls(processor)) - set(NEVER.split())
    for audited in AUDITED[processor.machine]:
        ours = calls.numbers(values(processor, [audited])[audited])
        theirs = values(processor, ["__NR_" + name for name in there | set(ours)], absent=-1)
        theirs = {name[5:]: number for name, number in theirs.items() if number >= 0}
        assert {name: ours[name] + base for name in theirs if name in ours} == {
            name: number for name, number in theirs.items() if name in ours
        }
        assert set(theirs) - set(ours) == set(), "a list can't name these"


def headers_calls(processor):
    """The names of all system calls that the processor's headers have."""
    words = ["mips-linux-gnu-cpp", "-undef", "-nostdinc", "-dM", *["-D" + each for each in processor.defines]]
    words += ["-I", HEADERS / processor.folder / "include"]
    result = subprocess.run(words, input="#include <asm/unistd.h>", capture_output=True, text=True, check=True)
    defined = [line.split()[1] for line in result.stdout.splitlines() if line.startswith("#define __NR_")]
    return [name[5:] for name in defined if not name[5:].startswith(NO_CALLS) and not name[5:6].isupper()]


def test_a_filters_instructions_are_the_kernels(processor):
    ours = {
        "(BPF_LD | BPF_W | BPF_ABS)": seccomp.LOAD,
        "(BPF_JMP | BPF_JEQ | BPF_K)": seccomp.EQUAL,
        "(BPF_JMP | BPF_JGE | BPF_K)": seccomp.AT_LEAST,
        "(BPF_JMP | BPF_JGT | BPF_K)": seccomp.MORE,
        "(BPF_JMP | BPF_JSET | BPF_K)": seccomp.ANY_BIT,
        "(BPF_ALU | BPF_AND | BPF_K)": seccomp.MASK,
        "(BPF_JMP | BPF_JA)": seccomp.JUMP,
        "(BPF_RET | BPF_K)": seccomp.RETURN,
        "ENOSYS": 89 if compat.is_mips(processor.machine) else 38,
        "CLONE_NEWTIME": seccomp.NEW_TIME,
        "(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET)": (
            seccomp.NEW
        ),
    }
    assert ours == values(processor, list(ours))


def test_limits_have_the_processors_numbers(processor):
    ours = {"RLIMIT_" + name.upper(): number for name, number in compat.limit_numbers(processor.machine).items()}
    assert ours == values(processor, list(ours))


def test_capabilities_are_in_the_order_of_their_numbers(processor):
    ours = {"CAP_" + name.upper(): number for number, name in enumerate(schema.CAPABILITIES)}
    assert {**ours, "CAP_LAST_CAP": len(ours) - 1} == values(processor, [*ours, "CAP_LAST_CAP"])


def test_what_micropython_has_to_know_is_the_processors(processor):
    ours = assigned(processor.machine)
    assert {
        "EADDRNOTAVAIL",
        "SOL_SOCKET",
        "SO_PEERCRED",
        "O_CREATE_EXCLUSIVE",
        "O_NOFOLLOW",
        "EINTR",
        "SOCK_DGRAM",
    } <= ours.keys()
    ours = {RENAMED.get(name, name): value for name, value in ours.items() if name not in LIBRARY}
    assert ours == values(processor, list(ours))


def test_what_only_a_c_library_has_is_that_of_mips():
    """The others have asm-generic's numbers, or the tests on this machine would not run."""
    folder = Path("/usr/mips-linux-gnu/include/bits")
    text = (folder / "socket_type.h").read_text() + (folder / "socket.h").read_text()
    for name in LIBRARY:
        (line,) = [each for each in text.splitlines() if each.split()[:2] == [name, "="]]
        assert int(line.split()[2].rstrip(","), 0) == assigned("mips")[name], name


def test_a_machine_is_known_by_the_family_that_it_belongs_to():
    """As the kernel names them (arch/arm/mm/proc-*.S and setup.c; a compatible process of arm64 sees armv8l), with
    those of OpenWrt's targets: gemini (armv4l), mxs and at91 (armv5tejl), kirkwood (armv5tel), ixp4xx (armv5teb)."""
    for machine in ("armv4l", "armv5tejl", "armv5tel", "armv5teb", "armv6l", "armv7l", "armv8l"):
        assert compat.bpf_call(machine, 4) == 386, machine
    assert [compat.bpf_call(machine, 4) for machine in ("i386", "i586", "x86_64")] == [357, 357, 357]
    assert compat.bpf_call("ppc64le", 8) == compat.bpf_call("ppc", 4) == 361
    assert compat.bpf_call("loongarch64", 8) == 280  # asm-generic's, as aarch64 and riscv64
    assert compat.bpf_call("alpha", 8) is None
