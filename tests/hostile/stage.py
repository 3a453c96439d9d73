"""What the hostile programs share. Each one answers clients like any server until the test creates the file `go`, then
does what its first comment says, and creates `begun` when that is under way.

    NAME.py FOLDER       FOLDER is the test's: `born` (when this began), `go`, `begun`, `held`

Every process has `held` open, whatever it does, so that the test finds it. It ends by itself LIFE seconds after `born`.
"""

import contextlib
import ctypes
import os
import resource
import signal
import socket
import struct
import sys
import threading
import time

PORT = 7000
LIFE = 300  # seconds
MOST = 4000  # processes: an account's limit (RLIMIT_NPROC), should a program be worse than it was meant
CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x10000000, 0x20000000, 0x40000000  # linux/sched.h

FOLDER = sys.argv[1]
libc = ctypes.CDLL(None, use_errno=True)


def path(name):
    return os.path.join(FOLDER, name)


def left():
    """Seconds that there are left to live."""
    return os.stat(path("born")).st_mtime + LIFE - time.time()


def _arm():
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(max(1, int(left())))  # not inherited by a child, kept by execve


def _enter():
    held = os.open(path("held"), os.O_RDWR)
    os.dup2(held, 9)  # inheritable, and out of the way
    resource.setrlimit(resource.RLIMIT_NPROC, (MOST, MOST))
    _arm()


def fork():
    """0 in a child, which ends in time as well."""
    pid = os.fork()
    if pid == 0:
        _arm()
    return pid


def child(step, *arguments):
    """A process that does a step and sleeps until its end."""
    pid = fork()
    if pid == 0:
        try:
            step(*arguments)
            sleep()
        finally:
            os._exit(0)
    return pid


def sleep():
    while True:
        time.sleep(60)


def unshare(flags):
    """Whether that was possible."""
    return libc.unshare(flags) == 0


def ignore_signals():
    for number in range(1, 32):
        if number not in (signal.SIGKILL, signal.SIGSTOP, signal.SIGALRM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_IGN)


def listening(port=PORT, family=socket.AF_INET, backlog=128, kind=socket.SOCK_STREAM):
    sock = socket.socket(family, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind(("", port))
    if kind == socket.SOCK_STREAM:
        sock.listen(backlog)
    return sock


def open_many(ports, **options):
    """The whole attack of who does no more than that (`listening` has the options)."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    serve_beside()
    wait_for_go()
    held = []
    for port in ports:
        with contextlib.suppress(OSError):
            held.append(listening(port, **options))
    begun()
    sleep()


def answer(sock):
    """One client, in half a second at most."""
    try:
        peer, _ = sock.accept()
    except OSError:
        time.sleep(0.01)
        return
    try:
        peer.settimeout(0.5)
        peer.recv(100)
        peer.sendall(b"hostile - x")
    except OSError:
        pass
    peer.close()


def serve(sock):
    while True:
        answer(sock)


def serve_beside(sock=None):
    """Answers in a thread; returns the socket."""
    sock = sock or listening()
    threading.Thread(target=serve, args=(sock,), daemon=True).start()
    return sock


def wait_for_go():
    while not os.path.exists(path("go")):
        time.sleep(0.02)


def begun():
    os.close(os.open(path("begun"), os.O_CREAT | os.O_WRONLY, 0o666))


def has_begun():
    return os.path.exists(path("begun"))


def no_linger(sock):
    """A reset when it is closed."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


_enter()
