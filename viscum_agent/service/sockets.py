"""Resets the connections of a service's program from outside, when its clients are to go to the cloud.

A client whose redirect was taken out reaches the cloud with its next packet, and the cloud resets a connection that it
does not know. But a client that only waits sends nothing, and a hung program tells it nothing. So its connection is
reset here: connect(2) to no address (AF_UNSPEC) resets a connection, whoever shares the socket, and pidfd_getfd(2)
(Linux 5.6) shares it. SOCK_DESTROY (`ss -K`) would do as well, but OpenWrt's kernels are built without
INET_DIAG_DESTROY.

A program controls how its sockets behave for everybody who shares them: they may block, or linger on close. So a
short-lived child does all of it; the agent never touches such a socket, and kills the child if it takes too long.
Connections that wait for accept(2) are left to the program while it accepts any: only if the queue does not get shorter
are they accepted and reset here.
"""

import os

from .. import compat
from ..kernel import listening
from ..log import last_words

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import NoReturn

    from ..loop import Loop, Timer

PATIENCE = 0.5  # seconds within which a working program accepts a client
ENOUGH = 3  # seconds that the child may take
MOST_FDS = 1 << 16  # descriptors of one process, and
MOST_PIDS = 256  # processes that are searched for sockets


class Ending:
    """A child that resets the connections to one service's program: `pids` are its processes, `enter` brings the child
    into the namespace; with `patiently` it also waits for connections that are not accepted yet. Calls `done()` when it
    has ended."""

    def __init__(
        self,
        loop: "Loop",
        pids: "list[int]",
        enter: "Callable[[], object]",
        patiently: bool,
        done: "Callable[[], object]",
    ) -> None:
        self._loop, self._done = loop, done
        self._pid = compat.fork()
        if self._pid == 0:
            _work(pids, enter, patiently)
        self._timer: Timer | None = None
        try:
            self._pidfd = compat.pidfd_open(self._pid)
        except OSError:
            self.kill()
            compat.waitpid(self._pid, 0)
            raise
        loop.add(self._pidfd, lambda _: self._ended())
        self._timer = loop.after(ENOUGH, self.kill)

    def kill(self) -> None:
        compat.kill(self._pid, compat.SIGKILL)

    def _ended(self) -> None:
        self._loop.cancel(self._timer)
        self._loop.remove(self._pidfd)
        compat.fd_close(self._pidfd)
        compat.waitpid(self._pid, 0)
        self._done()


def _work(pids: "list[int]", enter: "Callable[[], object]", patiently: bool) -> "NoReturn":
    """In the child: never returns."""
    try:
        enter()
        end(pids, patiently)
    except OSError as error:
        last_words("clients' connections can't be reset: " + compat.strerror(error.errno))
    except BaseException as error:  # noqa: B036 (no exception may leave the child)
        compat.print_error(error)
    finally:
        compat.exit_now(0)


def end(pids: "list[int]", patiently: bool) -> None:
    """Resets the TCP connections of clients to these processes, in the caller's current namespace; those that the
    program itself opened stay. A program that is about to end takes with it those that it has not accepted."""
    clients, waiting = listening.clients()
    _with_each(pids, clients, _reset)
    while waiting and patiently:
        compat.sleep(PATIENCE)
        before, (clients, waiting) = waiting, listening.clients()
        _with_each(pids, clients, _reset)
        stuck = {inode for inode in waiting if waiting[inode] >= before.get(inode, 0)}
        if stuck:
            _with_each(pids, stuck, _refuse_waiting)  # it accepts nobody
            return


def _with_each(pids: "list[int]", inodes: "Iterable[int]", step: "Callable[[int], object]") -> None:
    """Calls `step` once with a copy of each of these sockets."""
    inodes = set(inodes)
    for pid in pids[:MOST_PIDS]:
        if not inodes:
            return
        for number, inode in _numbers(pid):
            if inode in inodes:
                inodes.remove(inode)
                _with_copy(pid, number, step)


def _numbers(pid: int) -> "list[tuple[int, int]]":
    """(descriptor, inode) of each socket that a process has."""
    found: list[tuple[int, int]] = []
    try:
        names = os.listdir("/proc/%d/fd" % pid)[:MOST_FDS]
    except OSError:
        return found  # gone meanwhile: its sockets are closed
    for name in names:
        try:
            target = compat.readlink("/proc/%d/fd/%s" % (pid, name))
        except (OSError, UnicodeError):
            continue  # closed meanwhile, or a file whose name is no text
        if target.startswith("socket:["):
            found.append((int(name), int(target[8:-1])))
    return found


def _with_copy(pid: int, number: int, step: "Callable[[int], object]") -> None:
    """Calls `step` with a copy of a process's descriptor."""
    try:
        pidfd = compat.pidfd_open(pid)
    except OSError:
        return
    try:
        fd = compat.pidfd_getfd(pidfd, number)
    except OSError:
        return  # closed meanwhile
    finally:
        compat.fd_close(pidfd)
    try:
        step(fd)
    except OSError:
        pass  # ended by itself meanwhile
    finally:
        compat.fd_close(fd)


def _reset(fd: int) -> None:
    try:
        compat.disconnect(fd)
    except OSError:
        # Linux 6.4 to 6.6 refuse while a thread of the program waits in that socket: shut it down instead.
        compat.shutdown(fd)


def _refuse_waiting(fd: int) -> None:
    """Accepts waiting connections, and resets them. If another process is faster, accept(2) blocks; the agent ends
    that."""
    while compat.poll_fd(fd, 0):
        taken = compat.unix_accept(fd)
        if taken is not None:
            compat.reset_on_close(taken)
            compat.fd_close(taken)
