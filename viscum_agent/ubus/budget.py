"""What an account may use: so much at once, and then so much per second (a token bucket).

Per account and not per connection, since anybody can open many connections. An account that uses more than there is has
a debt and waits until that is paid off.
"""

from .. import compat

ACCOUNTS = 64  # accounts that are remembered; above it, those that owe nothing are forgotten


class Budget:
    """`rate` is what refills per second, `most` what may be used at once."""

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
