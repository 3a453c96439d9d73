"""One loop over file descriptors and timers: everything the agent waits for, in one poll(2), on both interpreters.

Each turn runs the timers that are due, then what is ready and urgent (programs that ended, kernel events, checks), and
only then what can wait: requests over ubus. So however many requests come, clients wait for no more than one turn.

Callbacks are short and never wait. A callback that raises is a bug of ours: it is logged and the loop continues,
because clients depend on everything else that the agent supervises.
"""

import select

from . import compat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Timer = tuple[float, int, Callable[[], object]]

POLLIN, POLLOUT = select.POLLIN, select.POLLOUT
SLICE = 0.05  # seconds that many due timers may take before ready descriptors get their turn


class Loop:
    """`on_error` gets what a callback raises."""

    def __init__(self, on_error: "Callable[[Exception], None]" = compat.print_error) -> None:
        self._poll = select.poll()
        self._callbacks: dict[int, Callable[..., object]] = {}  # by descriptor
        self._patient: set[int] = set()  # descriptors that can wait
        self._after_all: list[Callable[[], object]] = []
        self._timers: list[Timer] = []  # (due, number, callback), the next first
        self._number = 0
        self.on_error = on_error
        self._running = False
        self.turn = 0  # counts the steps: what was read in the current one counts as current
        # Called before each wait, for those that must say each time what they wait for.
        self.prepare: list[Callable[[], object]] = []

    def add(self, fd: int, callback: "Callable[..., object]", events: int = POLLIN, patient: bool = False) -> None:
        """Calls `callback(events)` whenever the descriptor is ready; called again, it changes the events. A patient one
        is called after everything urgent."""
        (self._patient.add if patient else self._patient.discard)(fd)
        if fd in self._callbacks:
            self._poll.modify(fd, events)
        else:
            self._poll.register(fd, events)
        self._callbacks[fd] = callback

    def remove(self, fd: int, callback: "Callable[..., object] | None" = None) -> None:
        """Forgets a descriptor. With its callback given, it may already be closed: if the number has a new owner by
        now, that one stays."""
        if callback and not self.waits(fd, callback):
            return
        if self._callbacks.pop(fd, None):
            self._poll.unregister(fd)
            self._patient.discard(fd)

    def ready(self) -> "set[int]":
        """The descriptors that are ready now, including those that this turn does not know of yet."""
        return {each[0] for each in self._poll.poll(0)}

    def waits(self, fd: int, callback: "Callable[..., object]") -> bool:
        """Whether this is the callback that is called for a descriptor."""
        return self._callbacks.get(fd) is callback

    def after(self, seconds: float, callback: "Callable[[], object]") -> "Timer":
        """Calls `callback()` once, after a delay; returns what `cancel` takes."""
        self._number += 1
        timer = (compat.monotonic() + seconds, self._number, callback)
        place = len(self._timers)
        while place and self._timers[place - 1][:2] > timer[:2]:
            place -= 1
        self._timers.insert(place, timer)
        return timer

    def cancel(self, timer: "Timer | None") -> None:
        """Cancels a timer; None and one that already ran are fine."""
        if timer in self._timers:
            self._timers.remove(timer)

    def stop(self) -> None:
        self._running = False

    def run(self) -> None:
        """Returns after `stop`."""
        self._running = True
        while self._running:
            self.step()

    def after_all(self, callback: "Callable[[], object]") -> None:
        """Calls `callback()` once, at the end of this turn: for work that can wait."""
        self._after_all.append(callback)

    def step(self) -> None:
        """Waits for the next event and handles it."""
        self.turn += 1
        for prepare in self.prepare:
            self._call(prepare)
        ready = [(each[0], each[1], self._callbacks.get(each[0])) for each in self._poll.poll(self._patience())]
        self._run_timers()
        self._run([one for one in ready if one[0] not in self._patient])
        self._run([one for one in ready if one[0] in self._patient])
        last, self._after_all = self._after_all, []
        for callback in last:
            self._call(callback)

    def _run(self, ready: "list[tuple[int, int, Any]]") -> None:
        for fd, events, callback in ready:
            # An earlier callback may have closed it, and the number may have a new owner by now.
            if callback and self.waits(fd, callback):
                self._call(callback, events)

    def _run_timers(self) -> None:
        """Runs those that are due; one that is set meanwhile waits for the next turn, or it could starve the others."""
        now, last = compat.monotonic(), self._number
        while self._timers and self._timers[0][0] <= now and self._timers[0][1] <= last:
            self._call(self._timers.pop(0)[2])
            if compat.monotonic() - now > SLICE:
                return

    def rest(self) -> float:
        """Seconds until the next timer, infinite without one, 0 when something is due."""
        if self._after_all:
            return 0
        return max(0.0, self._timers[0][0] - compat.monotonic()) if self._timers else float("inf")

    def _patience(self) -> int:
        """Milliseconds until the next timer, rounded up; -1 for no limit."""
        left = self.rest()
        if left == float("inf"):
            return -1
        return int(left * 1000) + 1 if left > 0 else 0

    def _call(self, callback: "Callable[..., object]", *arguments: object) -> None:
        try:
            callback(*arguments)
        except Exception as error:
            self.on_error(error)


class Paced:
    """Runs a step as soon as it is asked for, then pauses as long as the step took, at least `least` seconds: asked a
    thousand times, it takes half of the time, and all requests that came meanwhile share one run."""

    def __init__(self, loop: "Loop", step: "Callable[[], object]", least: float = 0) -> None:
        self._loop = loop
        self._step = step
        self._least = least
        self._timer: Timer | None = None
        self._rested = 0.0  # when it may run again

    def ask(self) -> None:
        if self._timer:
            return
        left = self._rested - compat.monotonic()
        if left <= 0:
            self._do()
        else:
            self._timer = self._loop.after(left, self._do)

    def _do(self) -> None:
        self._timer = None
        began = compat.monotonic()
        try:
            self._step()
        finally:
            now = compat.monotonic()
            self._rested = now + max(self._least, now - began)
