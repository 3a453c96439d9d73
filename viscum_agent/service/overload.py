"""Load shedding: when the router's CPUs are busier than `bypass_load` allows, clients go to the cloud for a while.

Redirects go out after one measurement above the limit. They come back only after CALM measurements in a row well below
it: the services themselves may have caused the load, and would cause it again.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..loop import Loop

INTERVAL = 2  # seconds between two measurements
HYSTERESIS = 20  # percent of CPU below the limit; half the limit if that is below 40
CALM = 5  # measurements


class Overload:
    """Call `judge` after each measurement; `reason` says why redirects are out, "" while they are in."""

    def __init__(self) -> None:
        self.reason = ""
        self._calm = 0

    def judge(self, limit: int, share: int) -> str:
        """`limit` in percent, 0 for none; `share` is how busy the CPUs were, in percent."""
        if not limit:
            self.reason = ""
        elif share > limit:
            # The first one stays: otherwise each measurement would be a state change of every service.
            self.reason = self.reason or "the router's CPU is %d%% busy (bypass_load %d)" % (share, limit)
            self._calm = 0
        elif self.reason:
            self._calm = self._calm + 1 if share < limit - min(HYSTERESIS, limit // 2) else 0
            self.reason = "" if self._calm >= CALM else self.reason
        return self.reason


class Load:
    """How busy the router's CPUs were since the last call, in percent (proc(5), stat)."""

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
    """Measures the load while there is a limit. Calls `shed(reason)` after each measurement; `reason` is the current
    one."""

    def __init__(self, loop: "Loop", shed: "Callable[[str], None]") -> None:
        self._loop, self._shed = loop, shed
        self._load, self._overload = Load(), Overload()
        self._limit = 0
        self._timer: tuple | None = None

    @property
    def reason(self) -> str:
        return self._overload.reason

    def watch(self, limit: int) -> None:
        """Applies this limit from now on, in percent. Does not measure now: a reload itself makes load."""
        self._limit = limit
        if not limit:
            self._loop.cancel(self._timer)
            self._timer = None
            self._judge(0)
        elif self._timer is None:
            self._wait()

    def _wait(self) -> None:
        self._timer = self._loop.after(INTERVAL, self._measure)
        self._load.share()  # counts from now

    def _measure(self) -> None:
        """The next measurement follows whatever becomes of this one: it may be that no descriptor is left for it."""
        self._timer = self._loop.after(INTERVAL, self._measure)
        self._judge(self._load.share())
        self._load.share()  # counts from now

    def _judge(self, share: int) -> None:
        self._shed(self._overload.judge(self._limit, share))
