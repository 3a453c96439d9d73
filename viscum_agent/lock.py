"""Who may change services: one agent, `viscum up` or `viscum down` at a time.

An agent holds the lock as long as it runs. The file exists while somebody holds the lock, or after they were killed;
what counts is flock(2), which ends with the process. Its first line names the holder: a word and a process. What two
holders would take from each other are the namespaces in /var/run/netns, so there is one lock for each such folder
(containers have their own).
"""

import os

from . import compat
from .errors import ForeignError
from .kernel import netns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

O_RDWR = 2
POLL = 0.1  # seconds between two tries
AGENT = "agent"


class Busy(ForeignError):
    """Somebody else holds the lock: `who` is the word that it was taken with."""

    def __init__(self, who: str, pid: str) -> None:
        super().__init__("%s (process %s) is at work here" % (_NAMES.get(who, "viscum " + who), pid))
        self.who = who


_NAMES = {AGENT: "another agent", "": "another Viscum"}


def path() -> str:
    netns.make_directory()
    status = os.stat(netns.DIRECTORY)
    return "/var/run/viscum.%d-%d.lock" % (status[2], status[1])


class Lock:
    """`take` gets it, `release` gives it back."""

    def __init__(self, who: str) -> None:
        self._who = who
        self._path = path()
        self._fd = -1

    def take(self, seconds: float, pause: "Callable[[float], object]" = compat.sleep) -> None:
        """Waits up to `seconds` for holders that soon finish; an agent does not. `pause(seconds)` ends the wait if it
        returns True. Raises Busy."""
        give_up = compat.monotonic() + seconds
        while not self._try():
            who, pid = self._holder()
            if compat.monotonic() >= give_up or (who == AGENT and compat.exists("/proc/" + pid)):
                raise Busy(who, pid)
            if pause(POLL):
                raise Busy(who, pid)

    def release(self) -> None:
        if self._fd >= 0:
            os.remove(self._path)
            compat.fd_close(self._fd)
            self._fd = -1

    def _try(self) -> bool:
        fd = compat.fd_open(self._path, O_RDWR | compat.O_CREATE, 0o600)
        if compat.try_flock(fd) and self._is_the_file(fd):
            self._fd = fd
            compat.write_file(self._path, ("%s %d\n" % (self._who, compat.getpid())).encode())
            return True
        compat.fd_close(fd)
        return False

    def _is_the_file(self, fd: int) -> bool:
        """Whether nobody removed the file since it was opened."""
        try:
            return os.stat(self._path)[1] == os.stat("/proc/self/fd/%d" % fd)[1]
        except OSError:
            return False

    def _holder(self) -> "tuple[str, str]":
        try:
            words = compat.read_file(self._path, 100).split()
        except OSError:
            words = []
        return (words[0].decode(), words[1].decode()) if len(words) > 1 else ("", "?")
