"""The C library under CPython. `os.setns` and `os.unshare` came with 3.12, so 3.11 (OpenWrt 24.10) needs ctypes."""

import ctypes
import errno
import fcntl
import os
import select
import socket
import time

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
pidfd_open, readlink, strerror = os.pidfd_open, os.readlink, os.strerror
monotonic, sleep = time.monotonic, time.sleep

_libc = ctypes.CDLL(None, use_errno=True)

EADDRNOTAVAIL, EOPNOTSUPP = errno.EADDRNOTAVAIL, errno.EOPNOTSUPP
O_CREATE = os.O_CREAT
O_CREATE_EXCLUSIVE = os.O_CREAT | os.O_EXCL
PR_SET_NO_NEW_PRIVS = 38  # linux/prctl.h
# pidfd_send_signal: system calls from 424 on have one number on all architectures, except that mips o32 adds 4000.
_PIDFD_SEND_SIGNAL = 424 + (4000 if os.uname().machine == "mips" else 0)


def _call(name, *arguments):
    result = getattr(_libc, name)(*arguments)
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, strerror(code))
    return result


def setns(fd):
    _call("setns", fd, 0)


def unshare(flags):
    _call("unshare", flags)


def mount(source, target, fstype, flags):
    _call("mount", source.encode(), target.encode(), fstype.encode(), ctypes.c_ulong(flags), None)


def umount(target):
    _call("umount2", target.encode(), 2)  # MNT_DETACH


def fd_open(path, flags, mode=0):
    return os.open(path, flags, mode)


def flock(fd):
    """Waits for the exclusive lock of an open file (flock(2)); it ends with the descriptor."""
    fcntl.flock(fd, fcntl.LOCK_EX)


def drop_privileges(uid, gid):
    os.setgroups([gid])
    os.setgid(gid)
    os.setuid(uid)


def no_new_privs():
    _call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def default_signals():
    """Before exec: a program expects SIGPIPE (13) to end it, and CPython ignores it."""
    _libc.signal(13, None)


def pidfd_kill(pidfd, signal):
    _call("syscall", _PIDFD_SEND_SIGNAL, pidfd, signal, None, 0)


def poll_fd(fd, milliseconds):
    """Whether the descriptor became readable within the time."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(milliseconds))


def netlink_socket(protocol):
    sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol)
    sock.bind((0, 0))
    return sock


def unix_datagram(path):
    """A datagram socket connected to a path, as a plain descriptor that a program can inherit."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        sock.connect(path)
    except OSError:
        sock.close()
        raise
    return sock.detach()


def print_error(error):
    import traceback

    traceback.print_exception(error)


def start():
    """What an interpreter needs before the first work; CPython nothing."""
