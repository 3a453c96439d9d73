"""The C library under MicroPython (unix port with ffi, as OpenWrt and Debian build it)."""

import gc
import os
import select
import socket
import struct
import sys
import time

import ffi
import uctypes


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
_c_mount = _libc.func("i", "mount", "sssLp")
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
_c_prctl = _libc.func("i", "prctl", "iLLLL")
_c_chdir = _libc.func("i", "chdir", "s")
_c_umask = _libc.func("i", "umask", "i")
_c_signal = _libc.func("p", "signal", "ip")
_c_kill = _libc.func("i", "kill", "ii")
_c_syscall = _libc.func("l", "syscall", "lllll")
_c_readlink = _libc.func("l", "readlink", "spL")
_c_socket = _libc.func("i", "socket", "iii")
_c_connect = _libc.func("i", "connect", "ipi")
_c_uname = _libc.func("i", "uname", "p")
getpid = _libc.func("i", "getpid", "")
geteuid = _libc.func("i", "geteuid", "")

LOCK_EX = 2
PR_SET_NO_NEW_PRIVS = 38  # linux/prctl.h
SOCK_CLOEXEC = 0o2000000


def strerror(code):
    return _strerror(code)


def _check(result):
    if result < 0:
        code = struct.unpack("i", uctypes.bytes_at(_errno(), 4))[0]
        raise OSError(code, _strerror(code))
    return result


def _mips():
    # struct utsname: six fields of 65 bytes, machine is the fifth (utsname.h).
    buffer = bytearray(390)
    _c_uname(buffer)
    return bytes(buffer[260:265]) == b"mips\0"


# System calls from 424 on have one number on all architectures, except that mips o32 adds 4000.
_SYSCALL_BASE = 4000 if _mips() else 0


EADDRNOTAVAIL, EOPNOTSUPP = (126, 122) if _mips() else (99, 95)
# O_CREAT, O_EXCL (asm-generic/fcntl.h; mips has its own).
O_CREATE = 0o400 if _mips() else 0o100
O_CREATE_EXCLUSIVE = 0o2400 if _mips() else 0o300


def setns(fd):
    _check(_c_setns(fd, 0))


def unshare(flags):
    _check(_c_unshare(flags))


def mount(source, target, fstype, flags):
    _check(_c_mount(source, target, fstype, flags, None))


def umount(target):
    _check(_c_umount2(target, 2))  # MNT_DETACH


def fd_open(path, flags, mode=0):
    return _check(_c_open(path, flags | SOCK_CLOEXEC, mode))  # O_CLOEXEC, as CPython does


def fd_close(fd):
    _check(_c_close(fd))


def flock(fd):
    _check(_c_flock(fd, LOCK_EX))


def fork():
    return _check(_c_fork())


def _vector(words):
    """A NULL-terminated array of C strings, and what has to be kept alive with it."""
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


def drop_privileges(uid, gid):
    _check(_c_setgroups(1, bytearray(struct.pack("I", gid))))
    _check(_c_setgid(gid))
    _check(_c_setuid(uid))


def no_new_privs():
    _check(_c_prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))


def default_signals():
    """Before exec: a program expects SIGPIPE (13) to end it."""
    _c_signal(13, None)


def chdir(path):
    _check(_c_chdir(path))


def umask(mask):
    return _c_umask(mask)


def kill(pid, signal):
    _check(_c_kill(pid, signal))


def pidfd_open(pid):
    return _check(_c_syscall(434 + _SYSCALL_BASE, pid, 0, 0, 0))


def pidfd_kill(pidfd, signal):
    _check(_c_syscall(424 + _SYSCALL_BASE, pidfd, signal, 0, 0))


def readlink(path):
    buffer = bytearray(4096)
    size = _check(_c_readlink(path, buffer, len(buffer)))
    return bytes(buffer[:size]).decode()


def poll_fd(fd, milliseconds):
    """Whether the descriptor became readable within the time."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(milliseconds))


def monotonic():
    return time.ticks_ms() / 1000


def sleep(seconds):
    time.sleep(seconds)


def netlink_socket(protocol):
    sock = socket.socket(16, 3 | SOCK_CLOEXEC, protocol)  # AF_NETLINK, SOCK_RAW
    sock.bind(struct.pack("HHII", 16, 0, 0, 0))
    return sock


def unix_datagram(path):
    """A datagram socket connected to a path, as a plain descriptor that a program can inherit."""
    fd = _check(_c_socket(1, 2 | SOCK_CLOEXEC, 0))  # AF_UNIX, SOCK_DGRAM
    address = bytearray(struct.pack("H", 1) + path.encode() + b"\0")
    try:
        _check(_c_connect(fd, address, len(address)))
    except OSError:
        fd_close(fd)
        raise
    return fd


def print_error(error):
    sys.print_exception(error, sys.stderr)


def getenv(name):
    return os.getenv(name)


def start():
    """Collects early: else small objects scatter over the heap until no large one fits, with most of it free."""
    gc.threshold(65536)
