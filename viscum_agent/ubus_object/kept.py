"""An answer that took long, kept for a moment: callers that repeat a question keep nobody else waiting."""

from .. import compat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ..loop import Loop, Timer

KEPT = 3  # seconds that it is valid,
DEARER = 10  # or this many times as long as it took


class Kept:
    """`get(make)` returns what `make()` returned last, or returns now."""

    def __init__(self, loop: "Loop") -> None:
        self._loop = loop
        self._found: tuple[object, Any] | None = None  # (question, answer)
        self._timer: Timer | None = None

    def get(self, make: "Callable[[], Any]", question: object = None, anew: bool = False) -> "Any":
        """The answer to this question; with `anew`, a new one whatever was kept."""
        found = self._found
        if anew or found is None or found[0] != question:
            found = self._find(make, question)
        return found[1]

    def _find(self, make: "Callable[[], Any]", question: object) -> "tuple[object, Any]":
        self.forget()
        began = compat.monotonic()
        self._found = found = (question, make())
        now = compat.monotonic()
        # By a timer, so that an unused answer takes no memory.
        self._timer = self._loop.after(max(KEPT, DEARER * (now - began)), self.forget)
        return found

    def forget(self) -> None:
        self._loop.cancel(self._timer)
        self._timer = self._found = None
