"""The C library under MicroPython (unix port with ffi, as OpenWrt and Debian build it)."""

import gc
import io
import os
import select
import socket
import struct
import sys
import time

import ffi
import uctypes

from . import (
    AT_FDCWD,
    EAGAIN,
    SIGNALS,
    bpf_call,
    child_signal,
    is_arm,
    is_mips,
    is_powerpc,
    limit_numbers,
    sigmask_words,
    syscall_base,
    unwanted_signals,
)


def _open_libc():
    for name in ("libc.so.6", "libc.so"):  # glibc, musl
        try:
            return ffi.open(name)
        except OSError:
            pass
    raise OSError(2)


_libc = _open_libc()
_errno = _libc.func("p", "__errno_location", "")
_strerror = _libc.func("s", "strerror", "i")
_c_setns = _libc.func("i", "setns", "ii")
_c_unshare = _libc.func("i", "unshare", "i")
_c_mount = _libc.func("i", "mount", "sssLs")
_c_mount_setattr = _libc.func("l", "syscall", "llsLpL")
_c_umount2 = _libc.func("i", "umount2", "si")
_c_open = _libc.func("i", "open", "sii")
_c_close = _libc.func("i", "close", "i")
_c_flock = _libc.func("i", "flock", "ii")
_c_fork = _libc.func("i", "fork", "")
_c_execve = _libc.func("i", "execve", "spp")
_c_exit = _libc.func("v", "_exit", "i")
_c_waitpid = _libc.func("i", "waitpid", "ipi")
_c_dup2 = _libc.func("i", "dup2", "ii")
_c_setsid = _libc.func("i", "setsid", "")
_c_setgroups = _libc.func("i", "setgroups", "Lp")
_c_setgid = _libc.func("i", "setgid", "i")
_c_setuid = _libc.func("i", "setuid", "i")
_c_fsync = _libc.func("i", "fsync", "i")
_c_prctl = _libc.func("i", "prctl", "iLLLL")
_c_capset = _libc.func("i", "capset", "pp")
_c_setpriority = _libc.func("i", "setpriority", "iii")
_c_chdir = _libc.func("i", "chdir", "s")
_c_chroot = _libc.func("i", "chroot", "s")
_c_pivot_root = _libc.func("i", "pivot_root", "ss")
_c_symlink = _libc.func("i", "symlink", "ss")
_c_fsync = _libc.func("i", "fsync", "i")
_c_umask = _libc.func("i", "umask", "i")
_c_signal = _libc.func("p", "signal", "ip")
_c_kill = _libc.func("i", "kill", "ii")
_c_syscall = _libc.func("l", "syscall", "lllll")
_c_bpf = _libc.func("l", "syscall", "llpl")
_c_readlink = _libc.func("l", "readlink", "spL")
_c_socket = _libc.func("i", "socket", "iii")
_c_recvmsg = _libc.func("l", "recvmsg", "ipi")
_c_recv = _libc.func("l", "recv", "ipLi")
_c_connect = _libc.func("i", "connect", "ipi")
_c_bind = _libc.func("i", "bind", "ipi")
_c_listen = _libc.func("i", "listen", "ii")
_c_accept4 = _libc.func("i", "accept4", "ippi")
_c_sigprocmask = _libc.func("i", "sigprocmask", "ipp")
_c_signalfd = _libc.func("i", "signalfd", "ipi")
_c_read = _libc.func("l", "read", "ipL")
_c_write = _libc.func("l", "write", "ipL")
_c_send = _libc.func("l", "send", "ipLi")
_c_getsockname = _libc.func("i", "getsockname", "ipp")
_c_sendto = _libc.func("l", "sendto", "ipLipi")
_c_setsockopt = _libc.func("i", "setsockopt", "iiipi")
_c_shutdown = _libc.func("i", "shutdown", "ii")
_c_clock_gettime = _libc.func("i", "clock_gettime", "ip")
_c_isatty = _libc.func("i", "isatty", "i")
_c_fcntl = _libc.func("i", "fcntl", "iil")
_c_getsockopt = _libc.func("i", "getsockopt", "iiipp")
_c_ioctl = _libc.func("i", "ioctl", "iLp")
_c_inotify_init1 = _libc.func("i", "inotify_init1", "i")
_c_inotify_add_watch = _libc.func("i", "inotify_add_watch", "isi")
_c_uname = _libc.func("i", "uname", "p")
getpid = _libc.func("i", "getpid", "")
geteuid = _libc.func("i", "geteuid", "")

try:
    _c_prlimit = _libc.func("i", "prlimit64", "iipp")
except OSError:
    _c_prlimit = _libc.func("i", "prlimit", "iipp")  # musl's, which has 64 bits anyway

_MSG_PEEK, _MSG_TRUNC = 2, 0x20  # linux/socket.h
_LOCK_EX, _LOCK_NB = 2, 4  # sys/file.h
_CLOCK_MONOTONIC = 1  # linux/time.h
_SOCK_CLOEXEC = 0o2000000


def strerror(code):
    return _strerror(code)


def _check(result):
    if result < 0:
        code = struct.unpack("i", uctypes.bytes_at(_errno(), 4))[0]
        raise OSError(code, _strerror(code))
    return result


def _machine():
    # struct utsname: six fields of 65 bytes, machine is the fifth (utsname.h).
    buffer = bytearray(390)
    _c_uname(buffer)
    return bytes(buffer[260:325]).split(b"\0")[0].decode()


_SYSCALL_BASE = syscall_base(_machine(), struct.calcsize("P"))
_MOUNT_SETATTR = 442 + _SYSCALL_BASE
_SIG_BLOCK, _SIG_SETMASK = sigmask_words(_machine())
_UNWANTED = unwanted_signals(_machine())
_MIPS = is_mips(_machine())
_POWERPC = is_powerpc(_machine())
_ARM = is_arm(_machine())
MACHINE = _machine()
LIMITS = limit_numbers(MACHINE)
_BPF = bpf_call(_machine(), struct.calcsize("P"))
EADDRNOTAVAIL, EOPNOTSUPP, ECONNREFUSED = (126, 122, 146) if _MIPS else (99, 95, 111)
_EINPROGRESS = 150 if _MIPS else 115
# SOL_SOCKET, SO_ERROR (asm/socket.h), O_NONBLOCK (asm/fcntl.h): mips has its own here, too.
SOL_SOCKET, _SO_ERROR, O_NONBLOCK = (0xFFFF, 0x1007, 0o200) if _MIPS else (1, 4, 0o4000)
SO_REUSEADDR, SO_SNDBUF = (4, 0x1001) if _MIPS else (2, 7)  # asm/socket.h
_SO_LINGER = 0x80 if _MIPS else 13  # asm/socket.h
_SO_PEERCRED = 18 if _MIPS else 21 if _POWERPC else 17  # asm/socket.h
_SOCK_STREAM, _SOCK_DGRAM = (2, 1) if _MIPS else (1, 2)  # asm/socket.h: mips has them swapped
_EINTR, _ECONNABORTED = 4, 130 if _MIPS else 103
O_NOCTTY = 0o4000 if _MIPS else 0o400  # asm-generic/fcntl.h; mips has its own
O_NOFOLLOW = 0o100000 if _ARM or _POWERPC else 0o400000  # asm/fcntl.h
# O_CREAT, O_EXCL (asm-generic/fcntl.h; mips has its own).
O_CREATE = 0o400 if _MIPS else 0o100
O_CREATE_EXCLUSIVE = 0o2400 if _MIPS else 0o300


# All bits of a pointer: before 1.25 addressof is negative for the upper half of 32 bits (extmod/moductypes.c), and a
# kernel of 64 bits takes no such address from a program of 32.
_POINTER = (1 << (8 * struct.calcsize("P"))) - 1


def setns(fd):
    _check(_c_setns(fd, 0))


def unshare(flags):
    _check(_c_unshare(flags))


def mount(source, target, fstype, flags, data=""):
    _check(_c_mount(source, target, fstype, flags, data))


def mount_setattr(target, flags, attributes):
    """From the current folder, where `target` is no whole path; `attributes`: struct mount_attr (linux/mount.h)."""
    size = len(attributes)
    _check(_c_mount_setattr(_MOUNT_SETATTR, AT_FDCWD, target, flags, bytearray(attributes), size))


def umount(target):
    _check(_c_umount2(target, 2))  # MNT_DETACH


def chroot(path):
    _check(_c_chroot(path))


def pivot_root(new, old):
    _check(_c_pivot_root(new, old))


def symlink(target, path):
    _check(_c_symlink(target, path))


def fd_open(path, flags, mode=0):
    return _check(_c_open(path, flags | _SOCK_CLOEXEC, mode))  # O_CLOEXEC, as CPython does


def fd_close(fd):
    _check(_c_close(fd))


def fd_read(fd, size):
    """Up to `size` bytes of a file; b"" at its end."""
    buffer = _room(size)
    return bytes(memoryview(buffer)[: _check(_c_read(fd, buffer, size))])


def read_file(path, most):
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


def write_file(path, data):
    """Writes to an existing file in one call: for files that the kernel interprets."""
    fd = fd_open(path, 1)  # O_WRONLY
    try:
        _check(_c_write(fd, data, len(data)))
    finally:
        fd_close(fd)


def fsync(fd):
    _check(_c_fsync(fd))


def sha256(data):
    """In hex, as sha256sum has it."""
    from hashlib import sha256

    return "".join(["%02x" % byte for byte in sha256(data).digest()])


def try_flock(fd):
    """Whether we got the exclusive lock of an open file (flock(2)); it ends with the descriptor."""
    return _c_flock(fd, _LOCK_EX | _LOCK_NB) == 0


def fork():
    return _check(_c_fork())


def _vector(words):
    """A NULL-terminated array of C strings, and what must stay alive with it."""
    kept = [bytearray(word.encode() + b"\0") for word in words]
    pointers = [uctypes.addressof(word) for word in kept]
    pointers.append(0)
    return bytearray(struct.pack("P" * len(pointers), *pointers)), kept


def execve(path, argv, env):
    pairs = ["%s=%s" % (name, env[name]) for name in env]
    arguments, kept_arguments = _vector(argv)
    environment, kept_environment = _vector(pairs)
    _check(_c_execve(path, arguments, environment))
    return kept_arguments, kept_environment  # not reached: keeps both from being collected before the call


def exit_now(code):
    _c_exit(code)


def waitpid(pid, flags):
    status = bytearray(4)
    found = _check(_c_waitpid(pid, status, flags))
    return found, struct.unpack("i", status)[0]


def dup2(a, b):
    _check(_c_dup2(a, b))


def setsid():
    _check(_c_setsid())


def drop_privileges(uid, gid, groups):
    _check(_c_setgroups(len(groups), bytearray(struct.pack("I" * len(groups), *groups))))
    _check(_c_setgid(gid))
    _check(_c_setuid(uid))


def prctl(option, one=0, two=0):
    return _check(_c_prctl(option, one, two, 0, 0))


def capset(header, data):
    _check(_c_capset(bytearray(header), bytearray(data)))


def set_limit(number, value):
    """Both the limit and how far a process may raise it; -1 for none."""
    _check(_c_prlimit(0, number, bytearray(struct.pack("qq", value, value)), None))


def set_priority(nice):
    _check(_c_setpriority(0, 0, nice))  # PRIO_PROCESS, this one


def default_signals():
    """Before exec: a program expects SIGPIPE to end it, and SIGINT and SIGQUIT, which a shell makes its background jobs
    ignore (signal(7)). The C library refuses those that can't be changed."""
    for number in range(1, SIGNALS):
        _c_signal(number, None)


def chdir(path):
    _check(_c_chdir(path))


def umask(mask):
    return _c_umask(mask)


def kill(pid, signal):
    _check(_c_kill(pid, signal))


def pidfd_open(pid):
    return _check(_c_syscall(434 + _SYSCALL_BASE, pid, 0, 0, 0))


def pidfd_getfd(pidfd, fd):
    return _check(_c_syscall(438 + _SYSCALL_BASE, pidfd, fd, 0, 0))


def disconnect(fd):
    _check(_c_connect(fd, bytearray(16), 16))  # struct sockaddr with AF_UNSPEC (0)


def reset_on_close(fd):
    _check(_c_setsockopt(fd, SOL_SOCKET, _SO_LINGER, bytearray(struct.pack("ii", 1, 0)), 8))


def shutdown(fd):
    _check(_c_shutdown(fd, 2))  # SHUT_RDWR


def get_blocking(fd):
    return not _check(_c_fcntl(fd, 3, 0)) & O_NONBLOCK  # F_GETFL


def set_blocking(fd, blocking):
    flags = _check(_c_fcntl(fd, 3, 0))
    _check(_c_fcntl(fd, 4, flags & ~O_NONBLOCK if blocking else flags | O_NONBLOCK))  # F_SETFL


def readlink(path):
    """Raises OSError, and UnicodeError for what is no text."""
    buffer = bytearray(4096)
    size = _check(_c_readlink(path, buffer, len(buffer)))
    return bytes(buffer[:size]).decode()


def watch(paths, events):
    """A descriptor that becomes readable when one of these things (IN_*) happens to a path; -1 if none is there."""
    fd = _c_inotify_init1(_SOCK_CLOEXEC)
    if fd >= 0 and max([_c_inotify_add_watch(fd, path, events) for path in paths]) < 0:
        fd_close(fd)
        return -1
    return fd


def poll_fd(fd, milliseconds):
    """Whether the descriptor became readable within the time."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(milliseconds))


_clock = [time.ticks_ms(), 0]  # type: ignore[attr-defined]


def monotonic():
    """Seconds; ticks_ms alone wraps after 12 days where a small integer has 31 bits."""
    now = time.ticks_ms()
    _clock[1] += time.ticks_diff(now, _clock[0])
    _clock[0] = now
    return _clock[1] / 1000


def monotonic_ns():
    """The kernel's monotonic clock, which eBPF programs see: time.ticks_ms begins anew now and then."""
    spec = bytearray(struct.calcsize("ll"))
    _check(_c_clock_gettime(_CLOCK_MONOTONIC, spec))
    seconds, nanoseconds = struct.unpack("ll", spec)
    return seconds * 1000000000 + nanoseconds


def sleep(seconds):
    time.sleep(seconds)


def netlink_socket(protocol, groups=0):
    sock = socket.socket(16, 3 | _SOCK_CLOEXEC, protocol)  # AF_NETLINK, SOCK_RAW
    sock.bind(struct.pack("HHII", 16, 0, 0, groups))
    sock.connect(struct.pack("HHII", 16, 0, 0, 0))
    return sock


def _sigset(signals):
    """sigset_t: longs with a bit for each signal, from 1; 128 bytes hold it on every architecture (glibc, musl). All of
    ours (below 32) are in the first long."""
    value = 0
    for signal in signals:
        value |= 1 << (signal - 1)
    word = struct.pack("L", value)
    return bytearray(word + bytes(128 - len(word)))


def signal_fd(signals):
    """A non-blocking descriptor to read these signals from; they no longer interrupt anything (signalfd(2)). The same
    holds for unwanted_signals; started programs inherit none of that (unblock_signals)."""
    _c_signal(13, 1)  # SIG_IGN for SIGPIPE, as CPython does: an agent survives a closed stderr
    _c_signal(child_signal(MACHINE), None)  # to its default
    mask = _sigset(signals + _UNWANTED)
    _check(_c_sigprocmask(_SIG_BLOCK, mask, None))
    return _check(_c_signalfd(-1, mask, O_NONBLOCK | _SOCK_CLOEXEC))


def read_signal(fd):
    """The number of the next pending signal, 0 for none."""
    data = bytearray(128)
    return struct.unpack("I", data[:4])[0] if _c_read(fd, data, 128) > 0 else 0


def unblock_signals():
    """Before exec: a child inherits its parent's mask."""
    _check(_c_sigprocmask(_SIG_SETMASK, bytearray(128), None))


def try_send(fd, data):
    """Whether a socket accepted the data; never waits, whatever its flags."""
    return _c_send(fd, data, len(data), 0x4040) == len(data)  # MSG_DONTWAIT, MSG_NOSIGNAL


_SOCKET_KIND = {1: _SOCK_STREAM, 2: _SOCK_DGRAM, 3: 3}


def socket_open(family, kind, protocol):
    """A non-blocking socket (kind 1 stream, 2 datagram, 3 raw) as a plain descriptor."""
    return _check(_c_socket(family, _SOCKET_KIND[kind] | O_NONBLOCK | _SOCK_CLOEXEC, protocol))


def socket_bind(fd, address):
    """`address` is the bytes of a struct sockaddr, here and below."""
    _check(_c_bind(fd, bytearray(address), len(address)))


def socket_connect(fd, address):
    """For sockets that connect at once."""
    _check(_c_connect(fd, bytearray(address), len(address)))


def socket_listen(fd, backlog):
    _check(_c_listen(fd, backlog))


def socket_name(fd):
    """The address that a socket is bound to."""
    buffer, size = bytearray(128), bytearray(struct.pack("I", 128))
    _check(_c_getsockname(fd, buffer, size))
    return bytes(buffer[: struct.unpack("I", size)[0]])


def set_option(fd, level, option, data):
    _check(_c_setsockopt(fd, level, option, bytearray(data), len(data)))


def get_option(fd, level, option, size):
    """What getsockopt(2) gives, at most `size` bytes."""
    buffer, length = bytearray(size), bytearray(struct.pack("I", size))
    _check(_c_getsockopt(fd, level, option, buffer, length))
    return bytes(buffer[: struct.unpack("I", length)[0]])


def send_to(fd, data, address):
    _check(_c_sendto(fd, bytearray(data), len(data), 0, bytearray(address), len(address)))


def random32():
    """An unpredictable number of 32 bits."""
    return int.from_bytes(os.urandom(4), "big")


def connecting(kind, address, port):
    """A socket (kind 1 stream, 2 datagram) that starts to connect to an IP address, without waiting."""
    info = socket.getaddrinfo(address, port)[0]
    sock = socket.socket(info[0], (_SOCK_STREAM if kind == 1 else _SOCK_DGRAM) | _SOCK_CLOEXEC)
    sock.setblocking(False)
    try:
        sock.connect(info[-1])
    except OSError as error:
        if error.errno != _EINPROGRESS:
            sock.close()
            raise
    return sock


def connected(sock):
    """Raises OSError if the connection failed."""
    code = struct.unpack("i", get_option(sock.fileno(), SOL_SOCKET, _SO_ERROR, 4))[0]
    if code:
        raise OSError(code, _strerror(code))


_buffer = bytearray(1)


def _room(size):
    """One buffer for all reads: otherwise each read would take `size` bytes of the heap, and trigger a collection every
    other time."""
    global _buffer
    if len(_buffer) < size:
        _buffer = bytearray(size)
    return _buffer


def next_size(sock):
    """The size of the next message of a netlink or datagram socket, in bytes; waits for one."""
    return _check(_c_recv(sock.fileno(), _room(1), 1, _MSG_PEEK | _MSG_TRUNC))


def receive(sock, size):
    buffer = _room(size)
    return bytes(memoryview(buffer)[: _check(_c_recv(sock.fileno(), buffer, size, 0))])


def receive_nsid(sock, size):
    """Reads a netlink message and returns the number of the network namespace that it comes from, -1 for this one."""
    data, control = _room(size), bytearray(64)
    vector = bytearray(struct.pack("PL", uctypes.addressof(data), size))  # struct iovec
    # struct msghdr (recvmsg(2)): no address, one vector, ancillary data.
    message = bytearray(
        struct.pack("PIPLPLi", 0, 0, uctypes.addressof(vector), 1, uctypes.addressof(control), len(control), 0)
    )
    _check(_c_recvmsg(sock.fileno(), message, 0))
    # struct cmsghdr (cmsg(3)): length, level, type, then the data.
    at = struct.calcsize("L")
    level, kind, nsid = struct.unpack_from("iii", control, at)
    return nsid if (level, kind) == (270, 8) else -1  # SOL_NETLINK, NETLINK_LISTEN_ALL_NSID


def _unix(kind):
    return _check(_c_socket(1, kind | _SOCK_CLOEXEC, 0))  # AF_UNIX


def _unix_address(path):
    """struct sockaddr_un: family, path; 108 bytes for the path and its NUL (unix(7))."""
    raw = path.encode() + b"\0"
    if len(raw) > 108:
        raise OSError(22, "the path of the socket is too long")  # EINVAL
    return bytearray(struct.pack("H", 1) + raw)


def _or_closed(fd, call, *arguments):
    """Makes a call with the descriptor and returns it; closes it if the call fails."""
    try:
        _check(call(fd, *arguments))
    except OSError:
        fd_close(fd)
        raise
    return fd


def unix_datagram(path):
    """A datagram socket connected to a path, as a plain descriptor that a program can inherit."""
    address = _unix_address(path)
    return _or_closed(_unix(_SOCK_DGRAM), _c_connect, address, len(address))


def unix_connect(path):
    """A non-blocking stream socket connected to a path, as a plain descriptor."""
    address = _unix_address(path)
    return _or_closed(_unix(_SOCK_STREAM | O_NONBLOCK), _c_connect, address, len(address))


def unix_listen(path, backlog):
    """A non-blocking stream socket listening on a path, as a plain descriptor."""
    address = _unix_address(path)
    fd = _or_closed(_unix(_SOCK_STREAM | O_NONBLOCK), _c_bind, address, len(address))
    return _or_closed(fd, _c_listen, backlog)


def unix_accept(fd):
    """The next connection as a non-blocking descriptor, None while there is none."""
    try:
        return _check(_c_accept4(fd, None, None, O_NONBLOCK | _SOCK_CLOEXEC))
    except OSError as error:
        if error.errno in (_EINTR, EAGAIN, _ECONNABORTED):
            return None
        raise


def unix_peer(fd):
    """(pid, uid, gid) of the peer (SO_PEERCRED, unix(7))."""
    return struct.unpack("iII", get_option(fd, SOL_SOCKET, _SO_PEERCRED, 12))


def fd_receive(fd, size):
    """What a non-blocking socket has: None for nothing yet, b"" at its end. Descriptors sent along are closed."""
    buffer = _room(size)
    count = _c_recv(fd, buffer, size, 0)
    if count >= 0:
        return bytes(memoryview(buffer)[:count])
    return _unless_again(None)


def fd_send(fd, data):
    """How many bytes a non-blocking socket accepted; 0 while it is full. No SIGPIPE."""
    count = _c_send(fd, data, len(data), 0x4000)  # MSG_NOSIGNAL
    return count if count >= 0 else _unless_again(0)


def fd_write(fd, data):
    """As fd_send, for descriptors that are not sockets."""
    count = _c_write(fd, data, len(data))
    return count if count >= 0 else _unless_again(0)


def _unless_again(value):
    """The value if the call that just failed only has to be repeated later, else raises its error."""
    try:
        _check(-1)
    except OSError as error:
        if error.errno not in (_EINTR, EAGAIN):
            raise
    return value


def wait_fd(fd, events, milliseconds):
    """Which of the events (and POLLERR, POLLHUP) came within the time (-1: no limit), 0 for none."""
    poll = select.poll()
    poll.register(fd, events)
    found = poll.poll(milliseconds)
    return found[0][1] if found else 0


def device_ioctl(fd, request, device, data):
    """ioctl(2) on a device; its struct ifreq (netdevice(7)) points to `data`, a bytearray that the kernel fills."""
    name = device.encode()
    ifreq = bytearray(40)  # where pointers have 8 bytes; 32 elsewhere
    struct.pack_into("16sP", ifreq, 0, name + bytes(16 - len(name)), uctypes.addressof(data))
    _check(_c_ioctl(fd, request, ifreq))


def ioctl(fd, request, data=b""):
    """What the call returns; that is 0 for one with data."""
    return _check(_c_ioctl(fd, request, bytearray(data) if data else None))


def address_of(buffer):
    """The address of a bytearray's memory; keep it alive and don't resize it while the address is used."""
    return uctypes.addressof(buffer) & _POINTER


def bpf(command, attribute):
    """bpf(2); `attribute` is a bytearray that the kernel may write to."""
    if _BPF is None:
        raise OSError(38, "the number of bpf(2) on %s is not known" % _machine())  # ENOSYS
    return _check(_c_bpf(_BPF, command, attribute, len(attribute)))


def has_library(name):
    """Whether a CPython module can be imported: none can."""
    return False


def error_text(error):
    """A traceback, as an interpreter prints it."""
    text = io.StringIO()
    sys.print_exception(error, text)
    return text.getvalue()


def print_error(error):
    sys.stderr.write(error_text(error))


def getenv(name):
    return os.getenv(name)


def start():
    expect(0)


def expect(services):
    """Collects early: otherwise small objects scatter over the heap until no large one fits, with most of it free. The
    more is alive (4 KB per service), the longer a collection takes and the more garbage it must be worth: 1/4 to 1 MB.
    Whatever was garbage once stays the process's memory.
    """
    gc.threshold(min(1 << 20, (256 << 10) + (3 << 10) * services))


def spelled(value):
    """A value in ASCII: the same as under CPython."""
    return repr(value)


def isatty():
    """Whether stdout is a terminal."""
    return _c_isatty(1) == 1


def forget_output():
    """Nothing is buffered."""


def flush():
    """stdout has no buffer."""
