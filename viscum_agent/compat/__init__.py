"""Hides the differences of CPython and MicroPython behind one set of names.

The two files beside this one define the same functions over the C library (ctypes or ffi); the rest of the agent is
Python that both share. A system call that fails raises OSError with its errno.

    setns(fd)  unshare(flags)  mount(source, target, fstype, flags, data="")          namespaces(7), mount(2)
    umount(target)  mount_setattr(target, flags, attributes)                          umount(2), mount_setattr(2)
    chroot(path)  pivot_root(new, old)  symlink(target, path)                         chroot(2), pivot_root(2)
    fd_open(path, flags, mode=0)  fd_close(fd)  fd_read(fd, size)  try_flock(fd)      open(2), flock(2)
    read_file(path, most)  write_file(path, data)  fsync(fd)                          read(2), write(2), fsync(2)
    sha256(data)                                                                      in hex, as sha256sum has it
    fork()  execve(path, argv, env)  exit_now(code)  waitpid(pid, flags)  dup2(a, b)  processes
    setsid()  drop_privileges(uid, gid, groups)  chdir(path)  umask(mask)             before exec, in the child
    prctl(option, *numbers)  capset(header, data)                                     prctl(2), capset(2)
    set_limit(number, value)  set_priority(nice)                                      prlimit(2), setpriority(2)
    pidfd_open(pid)  pidfd_getfd(pidfd, fd)  poll_fd(fd, milliseconds)                pidfd_open(2), poll(2)
    socket_open(family, kind, protocol)  socket_bind(fd, address)  socket_connect    sockets as descriptors;
    socket_listen  socket_name(fd)  set_option(fd, level, option, data)  send_to      an address: sockaddr
    get_option(fd, level, option, size)                                               getsockopt(2)
    random32()                                                                        getrandom(2)
    disconnect(fd)  shutdown(fd)  reset_on_close(fd)                                  connect(2) AF_UNSPEC, SO_LINGER 0
    get_blocking(fd)  set_blocking(fd, blocking)                                      O_NONBLOCK
    getpid()  geteuid()  strerror(errno)  monotonic()  monotonic_ns()  netlink_socket(protocol)  receive(socket, size)
    receive_nsid(socket, size)                                                        netlink(7)
    unix_connect(path)  unix_listen(path, backlog)  unix_accept(fd)  unix_peer(fd)    unix(7), non-blocking descriptors
    fd_receive(fd, size)  fd_send(fd, data)  wait_fd(fd, events, milliseconds)        None, 0: nothing now; poll(2)
    fd_write(fd, data)                                                                the same for other than sockets
    watch(paths, events)                                                              inotify(7), -1 for no such path
    isatty()  flush()  forget_output()                                                stdout
    device_ioctl(fd, request, device, data)  has_library(name)                        netdevice(7)
    ioctl(fd, request, data=b"")                                                      ioctl(2)
    spelled(value)                                                                    repr() in ASCII
    bpf(command, attribute)  address_of(buffer)                                       bpf(2), with bytearrays
"""

import os
import sys

# mypy assumes that this is true, here and elsewhere. The packages leave it out (tools/package/source.py).
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# None, for an attribute that gets its value later. For mypy it has the attribute's annotated type, so that no check for
# None is needed before each use.
LATER: "Any" = None

# From the kernel's uapi headers, the same on every architecture that OpenWrt has (mips differs in none of these).
CLONE_NEWNS = 0x00020000  # linux/sched.h
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWNET = 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8  # linux/mount.h
MS_BIND, MS_MOVE = 4096, 8192
MS_REC = 16384
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MNT_DETACH = 2
MOUNT_ATTR_RDONLY, MOUNT_ATTR_NOSUID, MOUNT_ATTR_NODEV, MOUNT_ATTR_NOEXEC = 1, 2, 4, 8
AT_FDCWD, AT_RECURSIVE = -100, 0x8000  # linux/fcntl.h
O_PATH = 0o10000000  # asm-generic/fcntl.h, and so on every architecture that OpenWrt has
IN_DELETE = 0x200  # linux/inotify.h
SIGTERM = 15
SIGKILL = 9
WNOHANG = 1
POLLIN, POLLOUT, POLLERR, POLLHUP = 1, 4, 8, 16  # asm-generic/poll.h
NETLINK_ROUTE, NETLINK_SOCK_DIAG = 0, 4  # linux/netlink.h
NETLINK_NETFILTER = 12
SOL_NETLINK = 270  # linux/socket.h
NETLINK_CAP_ACK = 10
NETLINK_EXT_ACK = 11
NETLINK_GET_STRICT_CHK = 12

# MicroPython's errno module has only some. These are the same everywhere (asm-generic/errno-base.h); EADDRNOTAVAIL,
# which mips numbers differently, is in the two files.
EPERM, ENOENT, ESRCH, E2BIG, EAGAIN, EACCES, EBUSY, EEXIST, ENODEV, EINVAL = 1, 2, 3, 7, 11, 13, 16, 17, 19, 22
ENFILE, EMFILE = 23, 24
FOR_NOW = (4, EAGAIN, 12, ENFILE, EMFILE)  # EINTR, EAGAIN, ENOMEM and those: another try may succeed (errno(3))
SPENT = (ENFILE, EMFILE)  # no descriptor is left: a fact about this moment, not about what was tried


def unless_spent(error: OSError) -> None:
    """Raises the error of one who has no descriptor left, before it is taken to say that something is not there."""
    if error.errno in SPENT:
        raise error


# bpf(2), which every family of processors numbers differently (the kernel's arch/*/.../syscall*.tbl; for newer ones
# scripts/syscall.tbl): by how the machine's name (uname -m) begins and by the bytes of a pointer, because a 32-bit
# program on a 64-bit kernel sees the kernel's name. ARM's end in the core's features and the byte order: armv5tejl.
BPF_CALLS = (
    ("x86_64", 8, 321),
    ("x86_64", 4, 357),
    ("i", 4, 357),  # i386 to i686
    ("aarch64", 8, 280),
    ("aarch64", 4, 386),
    ("armv", 4, 386),
    ("mips", 4, 4355),  # o32, on mips64 as well: nobody builds Python for n32
    ("mips", 8, 5315),
    ("ppc", 4, 361),
    ("ppc", 8, 361),
    ("riscv64", 8, 280),
    ("loongarch64", 8, 280),
    ("s390x", 8, 351),
)


def bpf_call(machine: str, pointer: int) -> "int | None":
    """The number of bpf(2) on a machine (uname -m) where a pointer has so many bytes; None if it is not known."""
    for family, size, number in BPF_CALLS:
        if size == pointer and machine.startswith(family):
            return number
    return None


def is_mips(machine: str) -> bool:
    """Whether the machine (uname -m) is a mips, whose numbers differ from all others'."""
    return machine.startswith("mips")


def is_arm(machine: str) -> bool:
    """Whether the machine (uname -m) is an ARM, of 32 or 64 bits."""
    return machine.startswith("arm") or machine.startswith("aarch64")


def is_powerpc(machine: str) -> bool:
    """Whether the machine (uname -m) is a PowerPC, which numbers some options of sockets differently."""
    return machine.startswith("ppc")


def syscall_base(machine: str, pointer: int) -> int:
    """What to add to system call numbers from 424 on, which are the same everywhere but on mips (o32, n64); `pointer`
    is the size of one in bytes."""
    return 0 if not is_mips(machine) else 5000 if pointer == 8 else 4000


def sigmask_words(machine: str) -> "tuple[int, int]":
    """SIG_BLOCK, SIG_SETMASK of sigprocmask(2) (asm/signal.h)."""
    return (1, 3) if is_mips(machine) else (0, 2)


def limit_numbers(machine: str) -> "dict[str, int]":
    """The numbers of limits on a machine (uname -m), by their names in setrlimit(2), in small letters
    (asm-generic/resource.h; mips has its own)."""
    if is_mips(machine):
        return {"fsize": 1, "core": 4, "nofile": 5, "nproc": 8, "memlock": 9}
    return {"fsize": 1, "core": 4, "nofile": 7, "nproc": 6, "memlock": 8}


SIGNALS = 65  # signals are below this number; MIPS has as many again, which nobody uses (asm/signal.h)


def unwanted_signals(machine: str) -> "tuple[int, ...]":
    """Those that mean nothing to the agent but would end or stop it by default: USR1, USR2, ALRM, VTALRM, PROF, IO, and
    a terminal's TSTP, TTIN, TTOU (signal(7), asm/signal.h)."""
    if is_mips(machine):
        return (16, 17, 14, 28, 29, 22, 24, 26, 27)
    return (10, 12, 14, 26, 27, 29, 20, 21, 22)


def child_signal(machine: str) -> int:
    """SIGCHLD (signal(7)). Who ignores it, as what a shell starts after `trap '' CHLD`, is not told how its children
    ended."""
    return 18 if is_mips(machine) else 17


def exists(path: str) -> bool:
    """Whether a file exists; follows symbolic links."""
    try:
        os.stat(path)
    except OSError:
        return False
    return True


def list_names(path: str) -> "list[str]":
    """The names in a folder that are visible ASCII: Viscum's own are; others need not be text at all, and MicroPython
    raises for those. Raises OSError."""
    names = os.listdir(path.encode())
    return [name.decode() for name in names if min(name) > 32 and max(name) < 127]


# The file types (inode(7)): the mask of the mode, and its value for each type.
S_IFMT, S_IFREG, S_IFDIR, S_IFIFO, S_IFCHR, S_IFSOCK = 0o170000, 0o100000, 0o040000, 0o010000, 0o020000, 0o140000
S_IFLNK = 0o120000

MICROPYTHON = sys.implementation.name == "micropython"

# The oldest and the newest version that the tests have passed with: CPython's are those of OpenWrt's releases and what
# comes next (tools/setup.sh), MicroPython's those of OpenWrt 24.10, 25.12 (1.23) and its master (1.28). The package for
# MicroPython depends on the oldest. docs/micropython.md says how these differ.
TESTED = {"cpython": ((3, 11), (3, 15)), "micropython": ((1, 23), (1, 28))}
# What Viscum can't do without, and a MicroPython may have been built without (ports/unix/mpconfigport.mk).
BUILT_IN = ("ffi", "select", "socket", "uctypes")


def version() -> "tuple[int, int]":
    """That of the interpreter, major and minor."""
    numbers = sys.implementation.version
    return numbers[0], numbers[1]


def _has(name: str) -> bool:
    try:
        __import__(name)
    except ImportError:
        return False
    return True


if MICROPYTHON:
    _absent = [name for name in BUILT_IN if not _has(name)]
    if _absent:
        # Whatever was asked for: all of it needs this, the doctor too. No traceback, which says nothing to do.
        _text = "viscum: this MicroPython (%d.%d) was built without %s: install the package micropython-nossl\n"
        sys.stderr.write(_text % (version() + (", ".join(_absent),)))
        sys.exit(1)
    from .micropython import *  # noqa: F403
else:
    from .cpython import *  # noqa: F403
