"""The C library under CPython. `os.setns` and `os.unshare` came with 3.12, so 3.11 (OpenWrt 24.10) needs ctypes."""

import _socket as socket  # what `socket` is made of; its enums of all numbers and its selectors are 0.7 MB, and 5 ms
import ctypes
import errno
import fcntl
import os
import select
import struct
import sys
import time

from . import AT_FDCWD, SIGNALS, bpf_call, child_signal, limit_numbers, sigmask_words, syscall_base, unwanted_signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

# The same names as in micropython.py; these need nothing.
chdir, dup2, execve, fork, kill, setsid, umask, waitpid = (
    os.chdir,
    os.dup2,
    os.execve,
    os.fork,
    os.kill,
    os.setsid,
    os.umask,
    os.waitpid,
)
exit_now, fd_close, geteuid, getenv, getpid = os._exit, os.close, os.geteuid, os.getenv, os.getpid
pidfd_open, symlink, chroot, fsync = os.pidfd_open, os.symlink, os.chroot, os.fsync
get_blocking, set_blocking = os.get_blocking, os.set_blocking
monotonic, monotonic_ns, sleep = time.monotonic, time.monotonic_ns, time.sleep

_libc = ctypes.CDLL(None, use_errno=True)

EADDRNOTAVAIL, EOPNOTSUPP, ECONNREFUSED = errno.EADDRNOTAVAIL, errno.EOPNOTSUPP, errno.ECONNREFUSED
O_CREATE, O_NONBLOCK, O_NOCTTY, O_NOFOLLOW = os.O_CREAT, os.O_NONBLOCK, os.O_NOCTTY, os.O_NOFOLLOW
O_CREATE_EXCLUSIVE = os.O_CREAT | os.O_EXCL
_PIDFD_GETFD = 438 + syscall_base(os.uname().machine, ctypes.sizeof(ctypes.c_void_p))
_MOUNT_SETATTR = _PIDFD_GETFD + 4
_SIG_BLOCK, _SIG_SETMASK = sigmask_words(os.uname().machine)
_UNWANTED = unwanted_signals(os.uname().machine)
MACHINE = os.uname().machine
LIMITS = limit_numbers(MACHINE)
_prlimit = "prlimit64" if hasattr(_libc, "prlimit64") else "prlimit"  # the C library's: musl has one of 64 bits only
_BPF = bpf_call(os.uname().machine, ctypes.sizeof(ctypes.c_void_p))


def _call(name: str, *arguments: "Any") -> int:
    result = getattr(_libc, name)(*arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, strerror(code))
    return result


def sha256(data: bytes) -> str:
    """In hex, as sha256sum has it."""
    # What `hashlib` takes itself where there is no OpenSSL; with it, that is 4 MB.
    try:
        from _sha2 import sha256  # type: ignore[import-not-found]
    except ImportError:
        from _sha256 import sha256  # up to 3.11
    return sha256(data).hexdigest()


def spelled(value: object) -> str:
    """A value as MicroPython's repr() has it, whose letters are ASCII."""
    return ascii(value)


def strerror(code: "int | None") -> str:
    return os.strerror(code or 0)


def setns(fd: int) -> None:
    _call("setns", fd, 0)


def unshare(flags: int) -> None:
    _call("unshare", flags)


def mount(source: str, target: str, fstype: str, flags: int, data: str = "") -> None:
    _call("mount", source.encode(), target.encode(), fstype.encode(), ctypes.c_ulong(flags), data.encode())


def mount_setattr(target: str, flags: int, attributes: bytes) -> None:
    """From the current folder, where `target` is no whole path; `attributes`: struct mount_attr (linux/mount.h)."""
    size = ctypes.c_size_t(len(attributes))
    _call("syscall", _MOUNT_SETATTR, AT_FDCWD, target.encode(), flags, attributes, size)


def umount(target: str) -> None:
    _call("umount2", target.encode(), 2)  # MNT_DETACH


def pivot_root(new: str, old: str) -> None:
    _call("pivot_root", new.encode(), old.encode())


def fd_open(path: str, flags: int, mode: int = 0) -> int:
    return os.open(path, flags, mode)


def readlink(path: str) -> str:
    """Raises OSError, and UnicodeError for what is no text."""
    return os.readlink(path.encode()).decode()


def fd_read(fd: int, size: int) -> bytes:
    """Up to `size` bytes of a file; b"" at its end."""
    return os.read(fd, size)


def read_file(path: str, most: int) -> bytes:
    """The first `most` bytes of a file: for files whose size others control."""
    fd, found, size = fd_open(path, 0), [], 0
    try:
        while size < most:
            piece = fd_read(fd, min(4096, most - size))
            if not piece:
                break
            found.append(piece)
            size += len(piece)
    finally:
        fd_close(fd)
    return b"".join(found)


def write_file(path: str, data: bytes) -> None:
    """Writes to an existing file in one call: for files that the kernel interprets."""
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)


def try_flock(fd: int) -> bool:
    """Whether we got the exclusive lock of an open file (flock(2)); it ends with the descriptor."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def drop_privileges(uid: int, gid: int, groups: "list[int]") -> None:
    os.setgroups(groups)
    os.setgid(gid)
    os.setuid(uid)


def prctl(option: int, one: int = 0, two: int = 0) -> int:
    return _call("prctl", option, *[ctypes.c_ulong(number) for number in (one, two, 0, 0)])


def capset(header: bytes, data: bytes) -> None:
    _call("capset", header, data)


def set_limit(number: int, value: int) -> None:
    """Both the limit and how far a process may raise it; -1 for none."""
    _call(_prlimit, 0, number, struct.pack("qq", value, value), None)


def set_priority(nice: int) -> None:
    _call("setpriority", 0, 0, nice)  # PRIO_PROCESS, this one


def default_signals() -> None:
    """Before exec: a program expects SIGPIPE to end it, which CPython ignores, and SIGINT and SIGQUIT, which a shell
    makes its background jobs ignore (signal(7)). The C library refuses those that can't be changed."""
    for number in range(1, SIGNALS):
        _libc.signal(number, None)


def pidfd_getfd(pidfd: int, fd: int) -> int:
    return _call("syscall", _PIDFD_GETFD, pidfd, fd, 0)


def disconnect(fd: int) -> None:
    _call("connect", fd, bytes(16), 16)  # struct sockaddr with AF_UNSPEC (0)


def reset_on_close(fd: int) -> None:
    sock = socket.socket(fileno=fd)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    finally:
        sock.detach()


def shutdown(fd: int) -> None:
    _call("shutdown", fd, socket.SHUT_RDWR)


def watch(paths: "Iterable[str]", events: int) -> int:
    """A descriptor that becomes readable when one of these things (IN_*) happens to a path; -1 if none is there."""
    fd, there = -1, False
    try:
        fd = _call("inotify_init1", os.O_CLOEXEC)
    except OSError:
        return -1
    for path in paths:
        try:
            _call("inotify_add_watch", fd, path.encode(), events)
            there = True
        except OSError:
            pass
    if not there:
        os.close(fd)
    return fd if there else -1


def poll_fd(fd: int, milliseconds: int) -> bool:
    """Whether the descriptor became readable within the time."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(milliseconds))


def netlink_socket(protocol: int, groups: int = 0) -> "socket.socket":
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    sock.bind((0, groups))
    sock.connect((0, 0))  # to the kernel: else whoever has CAP_NET_ADMIN in this namespace can answer in its place
    return sock


def _sigset(signals: "tuple[int, ...]") -> "Any":
    """sigset_t: longs with a bit for each signal, from 1; 128 bytes hold it on every architecture (glibc, musl). All of
    ours (below 32) are in the first long."""
    value = sum(1 << (signal - 1) for signal in signals)
    return ctypes.create_string_buffer(struct.pack("L", value), 128)


def signal_fd(signals: "tuple[int, ...]") -> int:
    """A non-blocking descriptor to read these signals from; they no longer interrupt anything (signalfd(2)). The same
    holds for unwanted_signals; started programs inherit none of that (unblock_signals)."""
    _libc.signal(child_signal(MACHINE), None)  # to its default
    mask = _sigset(signals + _UNWANTED)
    _call("sigprocmask", _SIG_BLOCK, mask, None)
    return _call("signalfd", -1, mask, os.O_NONBLOCK | os.O_CLOEXEC)


def read_signal(fd: int) -> int:
    """The number of the next pending signal, 0 for none."""
    try:
        return int.from_bytes(os.read(fd, 128)[:4], sys.byteorder)
    except BlockingIOError:
        return 0


def unblock_signals() -> None:
    """Before exec: a child inherits its parent's mask."""
    _call("sigprocmask", _SIG_SETMASK, ctypes.create_string_buffer(128), None)


def try_send(fd: int, data: bytes) -> bool:
    """Whether a socket accepted the data; never waits, whatever its flags."""
    sock = socket.socket(fileno=fd)
    try:
        return sock.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL) == len(data)
    except OSError:
        return False
    finally:
        sock.detach()


_SOCKET_KIND = {1: socket.SOCK_STREAM, 2: socket.SOCK_DGRAM, 3: socket.SOCK_RAW}
SOL_SOCKET, SO_REUSEADDR, SO_SNDBUF = socket.SOL_SOCKET, socket.SO_REUSEADDR, socket.SO_SNDBUF


def socket_open(family: int, kind: int, protocol: int) -> int:
    """A non-blocking socket (kind 1 stream, 2 datagram, 3 raw) as a plain descriptor."""
    return _call("socket", family, _SOCKET_KIND[kind] | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, protocol)


def socket_bind(fd: int, address: bytes) -> None:
    """`address` is the bytes of a struct sockaddr, here and below."""
    _call("bind", fd, address, len(address))


def socket_connect(fd: int, address: bytes) -> None:
    """For sockets that connect at once."""
    _call("connect", fd, address, len(address))


def socket_listen(fd: int, backlog: int) -> None:
    _call("listen", fd, backlog)


def socket_name(fd: int) -> bytes:
    """The address that a socket is bound to."""
    buffer, size = ctypes.create_string_buffer(128), ctypes.c_uint(128)
    _call("getsockname", fd, buffer, ctypes.byref(size))
    return buffer.raw[: size.value]


def set_option(fd: int, level: int, option: int, data: bytes) -> None:
    _call("setsockopt", fd, level, option, data, len(data))


def get_option(fd: int, level: int, option: int, size: int) -> bytes:
    """What getsockopt(2) gives, at most `size` bytes."""
    buffer, length = ctypes.create_string_buffer(size), ctypes.c_uint(size)
    _call("getsockopt", fd, level, option, buffer, ctypes.byref(length))
    return buffer.raw[: length.value]


def send_to(fd: int, data: bytes, address: bytes) -> None:
    _call("sendto", fd, data, ctypes.c_size_t(len(data)), 0, address, len(address))


def random32() -> int:
    """An unpredictable number of 32 bits."""
    return int.from_bytes(os.urandom(4), "big")


def connecting(kind: int, address: str, port: int) -> "socket.socket":
    """A socket (kind 1 stream, 2 datagram) that starts to connect to an IP address, without waiting."""
    kind = socket.SOCK_STREAM if kind == 1 else socket.SOCK_DGRAM  # mips has these numbers swapped
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    sock.setblocking(False)
    try:
        sock.connect((address, port))
    except BlockingIOError:
        pass
    except OSError:
        sock.close()
        raise
    return sock


def connected(sock: "socket.socket") -> None:
    """Raises OSError if the connection failed."""
    code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, strerror(code))


def receive(sock: "socket.socket", size: int) -> bytes:
    return sock.recv(size)


def next_size(sock: "socket.socket") -> int:
    """The size of the next message of a netlink or datagram socket, in bytes; waits for one."""
    return sock.recv_into(bytearray(1), 1, socket.MSG_PEEK | socket.MSG_TRUNC)


def receive_nsid(sock: "socket.socket", size: int) -> int:
    """Reads a netlink message and returns the number of the network namespace that it comes from, -1 for this one."""
    _, ancillary, _, _ = sock.recvmsg(size, 64)
    for level, kind, data in ancillary:
        if (level, kind) == (270, 8):  # SOL_NETLINK, NETLINK_LISTEN_ALL_NSID
            return struct.unpack("i", data[:4])[0]
    return -1


def _unix(kind: int, step: "Callable[[socket.socket], object]") -> int:
    """A Unix socket after one step (bind, connect), as a plain descriptor."""
    sock = socket.socket(socket.AF_UNIX, kind)
    try:
        step(sock)
    except OSError:
        sock.close()
        raise
    return sock.detach()


def unix_datagram(path: str) -> int:
    """A datagram socket connected to a path, as a plain descriptor that a program can inherit."""
    return _unix(socket.SOCK_DGRAM, lambda sock: sock.connect(path))


def unix_connect(path: str) -> int:
    """A non-blocking stream socket connected to a path, as a plain descriptor."""
    return _unix(socket.SOCK_STREAM | socket.SOCK_NONBLOCK, lambda sock: sock.connect(path))


def unix_listen(path: str, backlog: int) -> int:
    """A non-blocking stream socket listening on a path, as a plain descriptor."""

    def listen(sock: "socket.socket") -> None:
        sock.bind(path)
        sock.listen(backlog)

    return _unix(socket.SOCK_STREAM | socket.SOCK_NONBLOCK, listen)


def unix_accept(fd: int) -> "int | None":
    """The next connection as a non-blocking descriptor, None while there is none."""
    try:
        return _call("accept4", fd, None, None, os.O_NONBLOCK | os.O_CLOEXEC)  # SOCK_* have the same numbers
    except (BlockingIOError, InterruptedError, ConnectionAbortedError):
        return None


def unix_peer(fd: int) -> "tuple[int, int, int]":
    """(pid, uid, gid) of the peer (SO_PEERCRED, unix(7))."""
    return struct.unpack("iII", get_option(fd, socket.SOL_SOCKET, socket.SO_PEERCRED, 12))


def fd_receive(fd: int, size: int) -> "bytes | None":
    """What a non-blocking socket has: None for nothing yet, b"" at its end. Descriptors sent along are closed."""
    try:
        return os.read(fd, size)
    except (BlockingIOError, InterruptedError):
        return None


def fd_send(fd: int, data: "bytes | memoryview") -> int:
    """How many bytes a non-blocking socket accepted; 0 while it is full. No SIGPIPE: CPython ignores that signal."""
    try:
        return os.write(fd, data)
    except (BlockingIOError, InterruptedError):
        return 0


fd_write = fd_send


def wait_fd(fd: int, events: int, milliseconds: int) -> int:
    """Which of the events (and POLLERR, POLLHUP) came within the time (-1: no limit), 0 for none."""
    poll = select.poll()
    poll.register(fd, events)
    found = poll.poll(milliseconds)
    return found[0][1] if found else 0


def device_ioctl(fd: int, request: int, device: str, data: bytearray) -> None:
    """ioctl(2) on a device; its struct ifreq (netdevice(7)) points to `data`, a bytearray that the kernel fills."""
    buffer = (ctypes.c_char * len(data)).from_buffer(data)
    ifreq = struct.pack("16sP", device.encode(), ctypes.addressof(buffer))
    fcntl.ioctl(fd, request, ifreq + bytes(40 - len(ifreq)))  # 40 bytes where pointers have 8, 32 elsewhere


def ioctl(fd: int, request: int, data: bytes = b"") -> int:
    """What the call returns; that is 0 for one with data."""
    found = fcntl.ioctl(fd, request, data or 0)
    return 0 if isinstance(found, bytes) else found


def address_of(buffer: bytearray) -> int:
    """The address of a bytearray's memory; keep it alive and don't resize it while the address is used."""
    return ctypes.addressof((ctypes.c_char * len(buffer)).from_buffer(buffer))


def bpf(command: int, attribute: bytearray) -> int:
    """bpf(2); `attribute` is a bytearray that the kernel may write to."""
    if _BPF is None:
        raise OSError(errno.ENOSYS, "the number of bpf(2) on %s is not known" % os.uname().machine)
    memory = (ctypes.c_char * len(attribute)).from_buffer(attribute)
    return _call("syscall", ctypes.c_long(_BPF), ctypes.c_long(command), memory, ctypes.c_long(len(attribute)))


def has_library(name: str) -> bool:
    """Whether a module could be imported; it is not."""
    return any(finder.find_spec(name, None) for finder in sys.meta_path)


def error_text(error: BaseException) -> str:
    """A traceback, as an interpreter prints it."""
    import traceback

    return "".join(traceback.format_exception(error))


def print_error(error: BaseException) -> None:
    sys.stderr.write(error_text(error))


def start() -> None:
    """Prepares the interpreter; CPython needs nothing."""


def expect(services: int) -> None:
    """Tells the collector how many services there are; CPython's needs no hint."""


def flush() -> None:
    sys.stdout.flush()


def forget_output() -> None:
    """No reader is left: what is still in the buffer would be an error when the interpreter exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def isatty() -> bool:
    """Whether stdout is a terminal."""
    return sys.stdout.isatty()
