"""procd's watchdog: it restarts an agent that is there and does nothing, stuck or stopped. One that ended it restarts
anyway, and services go on in both cases.

The init script asks procd to watch the agent (`service watchdog` of ubus; procd since 2020-07, so OpenWrt 21.02), and
procd wants to hear of it before a time has passed, which each call sets anew. An idle agent sleeps until something
happens, and that must not wake it: so each call says how long it may last until the next one.
"""

from .. import compat
from .codes import METHOD_NOT_FOUND, NOT_FOUND

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..loop import Loop, Timer
    from .client import Client
    from .codes import UbusStatus

LIMIT = 180  # seconds; while programs run, a look wakes the agent every 45 s (look.SLOW), and may take long
ASLEEP = 2000000  # seconds, 23 days: procd counts milliseconds in an int
RETRY = 2  # seconds until the next call after one that failed; then twice as long each time
OFTEN = LIMIT / 4  # seconds between calls, and the longest sleep to which LIMIT applies
WHO = {"name": "viscum", "instance": "agent"}  # as in the init script


class Watchdog:
    """Calls procd before the loop waits, so only when the agent is awake anyway, and at most every OFTEN seconds, or
    when it goes to sleep and when it wakes up. A system without procd is asked four times. A procd that was there and
    is not found may only come back to a new ubusd later than the agent, so it is asked until it is."""

    def __init__(self, client: "Client", loop: "Loop") -> None:
        self._client = client
        self._loop = loop
        self._next = 0.0  # when procd has to be called
        self._seconds = 0  # what it was told
        self._waits = False  # for an answer
        self._heard = False  # whether procd has ever answered
        self._pause: float = 0  # seconds until the next call after one that failed
        self._timer: Timer | None = None  # for a call that nothing else wakes the agent for
        loop.prepare.append(self._turn)

    def _turn(self) -> None:
        if self._waits or not self._client.connected:
            return
        seconds = LIMIT if self._loop.rest() <= OFTEN else ASLEEP
        if compat.monotonic() < self._next and (self._pause or seconds == self._seconds):
            return
        self._waits, self._seconds = True, seconds
        # Without a mode: whether it watches is up to the init script.
        self._client.invoke("service", "watchdog", dict(WHO, timeout=seconds), self._answered)

    def _answered(self, error: "UbusStatus | None", _reply: "Any") -> None:
        if error and self._is_final(error.code):
            return
        self._waits = False
        self._loop.cancel(self._timer)
        self._timer = None
        if error:
            self._pause = min(2 * self._pause or RETRY, OFTEN)
            self._call_after(self._pause, self._pause)
            return
        self._heard, self._pause = True, 0
        if self._seconds == ASLEEP:
            self._call_after(1, ASLEEP / 2)  # a reload wakes one that sleeps, and begins with LIMIT (the init script)
        else:
            self._next = compat.monotonic() + OFTEN

    def _is_final(self, code: int) -> bool:
        """Whether nobody can watch here."""
        return code == METHOD_NOT_FOUND or (code == NOT_FOUND and not self._heard and self._pause >= 4 * RETRY)

    def _call_after(self, seconds: float, at_the_latest: float) -> None:
        """The next call is one that the agent makes when it is awake after so many seconds, or is woken for."""
        self._next = compat.monotonic() + seconds
        self._timer = self._loop.after(at_the_latest, _wake)


def _wake() -> None:
    """What the loop does before it waits is all."""
