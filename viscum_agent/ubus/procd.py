"""procd's watchdog: it restarts an agent that is there and does nothing, stuck or stopped. One that ended it restarts
anyway, and services go on in both cases.

The init script asks procd to watch the agent (`service watchdog` of ubus; procd since 2020-07, so OpenWrt 21.02), and
procd wants to hear of it before a time has passed, which each call sets anew. An idle agent sleeps until something
happens, and that must not wake it: so each call says how long it may last until the next one.
"""

from .. import compat
from .codes import CONNECTION_FAILED, TIMEOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..loop import Loop
    from .client import Client
    from .codes import UbusStatus

LIMIT = 180  # seconds; while programs run, a look wakes the agent every 45 s (look.SLOW), and may take long
ASLEEP = 2000000  # seconds, 23 days: procd counts milliseconds in an int
OFTEN = LIMIT / 4  # seconds between calls, and the longest sleep to which LIMIT applies
WHO = {"name": "viscum", "instance": "agent"}  # as in the init script


class Watchdog:
    """Calls procd before the loop waits, so only when the agent is awake anyway, and at most every OFTEN seconds, or
    when it goes to sleep and when it wakes up. A system without procd is asked once."""

    def __init__(self, client: "Client", loop: "Loop") -> None:
        self._client = client
        self._loop = loop
        self._next = 0.0  # when procd has to be called
        self._seconds = 0  # what it was told
        self._waits = False  # for an answer
        loop.prepare.append(self._turn)

    def _turn(self) -> None:
        if self._waits or not self._client.connected:
            return
        seconds = LIMIT if self._loop.rest() <= OFTEN else ASLEEP
        now = compat.monotonic()
        if seconds == self._seconds and now < self._next:
            return
        self._waits, self._seconds = True, seconds
        # Without a mode: whether it watches is up to the init script.
        self._client.invoke("service", "watchdog", dict(WHO, timeout=seconds), self._answered)

    def _answered(self, error: "UbusStatus | None", _reply: "Any") -> None:
        """Where nobody can watch, there is nobody to call; a ubusd or procd that does not answer may do so later."""
        self._waits = error is not None and error.code not in (CONNECTION_FAILED, TIMEOUT)
        # A reload wakes one that sleeps, and begins with LIMIT (the init script).
        self._next = compat.monotonic() + (1 if self._seconds == ASLEEP else OFTEN)
        if error:
            self._seconds = 0
