"""What an account may use up: so much at once, and after that so much in each second (a token bucket).

An account and not a connection, of which anybody can have many. Who uses up more than there is has a debt and waits for
as long as it takes to fill again.
"""

from .. import compat

ACCOUNTS = 64  # that are remembered; those that owe nothing are forgotten then


class Budget:
    """`rate` is what comes back in a second, `most` what may be used at once."""

    def __init__(self, rate: float, most: float) -> None:
        self._rate = rate
        self._most = most
        self._used: dict[object, tuple[float, float]] = {}  # account: (how much, when that was)

    def wait(self, who: object) -> float:
        """Seconds until this account may go on, 0 for now."""
        return max(0, self._now(who) - self._most) / self._rate

    def spend(self, who: object, amount: float) -> None:
        self._used[who] = (self._now(who) + amount, compat.monotonic())
        if len(self._used) > ACCOUNTS:
            self._used = {each: self._used[each] for each in self._used if self._now(each)}

    def _now(self, who: object) -> float:
        used, when = self._used.get(who, (0, 0))
        return max(0, used - (compat.monotonic() - when) * self._rate)
