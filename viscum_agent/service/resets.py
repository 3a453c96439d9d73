"""Resets the clients of services whose redirect was taken out: a few services at a time, each in a child
(sockets.py)."""

from .. import compat
from . import process, running, sockets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..loop import Loop

AT_ONCE = 4  # services whose clients are reset at the same time, by a child each
AGAIN = 1  # seconds until another try where no process or descriptor was left for a child


class Resets:
    """`has_clients(name)` and `processes()` say what there is now, `is_redirected(name)` whether clients arrive again
    already; `failed(name, reason)` is called with errors."""

    def __init__(
        self,
        loop: "Loop",
        has_clients: "Callable[[str], bool]",
        processes: "Callable[[], dict]",
        is_redirected: "Callable[[str], bool]",
        failed: "Callable[[str, str], None]",
    ) -> None:
        self._loop = loop
        self._has_clients, self._processes = has_clients, processes
        self._is_redirected, self._failed = is_redirected, failed
        self._running: dict[str, sockets.Ending] = {}
        self._waiting: dict[str, bool] = {}  # {name: patiently}
        self._after: dict[str, Callable[[], None]] = {}
        self._said: set[str] = set()  # services of which it was said that they can't be reset

    def end(self, name: str, patiently: bool) -> None:
        """Resets the clients of a service whose redirect is out."""
        if name not in self._running and name not in self._waiting:
            self._waiting[name] = patiently
        self._next()

    def when_ended(self, name: str, step: "Callable[[], None]") -> None:
        """Runs `step` at once, or once the clients of a service have been reset."""
        if name in self._running or name in self._waiting:
            self._after[name] = step
        else:
            step()

    def _next(self) -> None:
        while self._waiting and len(self._running) < AT_ONCE:
            name = next(iter(self._waiting))
            if not self._begin(name, self._waiting.pop(name)):
                self._after.pop(name, _nothing)()

    def _begin(self, name: str, patiently: bool) -> bool:
        """Starts a child; returns whether one is at work."""
        if self._is_redirected(name):
            self._said.discard(name)
            return False
        try:
            pids = running.programs(name, self._processes()) if self._has_clients(name) else []
            if pids:
                enter, done = lambda: process.enter_network(name), lambda: self._ended(name)
                self._running[name] = sockets.Ending(self._loop, pids, enter, patiently, done)
        except OSError as error:
            self._fails(name, patiently, error)
        return name in self._running

    def _fails(self, name: str, patiently: bool, error: OSError) -> None:
        """Tries again for as long as its program may keep its clients waiting; one that is about to end does not."""
        if name not in self._said:
            self._failed(name, compat.strerror(error.errno))
        self._said.add(name)
        if patiently and error.errno in compat.FOR_NOW:
            self._loop.after(AGAIN, lambda: self.end(name, True))

    def _ended(self, name: str) -> None:
        del self._running[name]
        self._said.discard(name)
        try:
            self._after.pop(name, _nothing)()
        finally:
            self._next()


def _nothing() -> None:
    """The step if none was given."""
