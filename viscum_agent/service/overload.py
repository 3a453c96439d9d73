"""Load shedding: when the router's CPUs are busier than `bypass_load` allows, clients go to the cloud for a while.

Redirects go out when the share of one look is over the limit. They come back only after CALM looks in a row well below
it: what made the load may have been the services themselves, and then it would be back with them.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..loop import Loop

INTERVAL = 2  # seconds between two looks
HYSTERESIS = 20  # per cent of CPU below the limit, or half of one below 40
CALM = 5  # looks


class Overload:
    """`judge` after each look; `reason` says why redirects are out, "" while they are not."""

    def __init__(self) -> None:
        self.reason = ""
        self._calm = 0

    def judge(self, limit: int, share: int) -> str:
        """`limit` in per cent, 0 for none; `share` is how busy the CPUs were, in per cent."""
        if not limit:
            self.reason = ""
        elif share > limit:
            # The first one stays: else each look would be news of every service.
            self.reason = self.reason or "the router's CPU is %d%% busy (bypass_load %d)" % (share, limit)
            self._calm = 0
        elif self.reason:
            self._calm = self._calm + 1 if share < limit - min(HYSTERESIS, limit // 2) else 0
            self.reason = "" if self._calm >= CALM else self.reason
        return self.reason


class Load:
    """The share of its CPUs that the router was busy with since the last question, in per cent (proc(5), stat)."""

    def __init__(self) -> None:
        self._last = self._read()

    def _read(self) -> "tuple[int, int]":
        with open("/proc/stat") as file:
            numbers = [int(word) for word in file.readline().split()[1:9]]
        return sum(numbers), numbers[3] + numbers[4]  # all, idle and iowait

    def share(self) -> int:
        total, idle = self._read()
        before_total, before_idle = self._last
        self._last = (total, idle)
        if total == before_total:
            return 0  # no time passed
        return 100 - 100 * (idle - before_idle) // (total - before_total)


class Shedding:
    """Looks at the load while there is a limit. `shed(reason)` is called after each look, `reason` is that of now."""

    def __init__(self, loop: "Loop", shed: "Callable[[str], None]") -> None:
        self._loop, self._shed = loop, shed
        self._load, self._overload = Load(), Overload()
        self._limit = 0
        self._timer: tuple | None = None

    @property
    def reason(self) -> str:
        return self._overload.reason

    def watch(self, limit: int) -> None:
        """From now on by this limit, in per cent. Judges nothing now: a reload makes load itself."""
        self._limit = limit
        if not limit:
            self._loop.cancel(self._timer)
            self._judge(0)
        elif self._timer is None:
            self._wait()

    def _wait(self) -> None:
        self._load.share()  # counts from now
        self._timer = self._loop.after(INTERVAL, lambda: self._judge(self._load.share()))

    def _judge(self, share: int) -> None:
        self._timer = None
        self._shed(self._overload.judge(self._limit, share))
        if self._limit:
            self._wait()
