"""How long a service that flaps is left to the cloud: a pure function of its history.

A program that falls out of health and comes back is let in at once. If it falls again within CALM seconds, it has to
stay well for a while first, twice as long each time: clients would rather have one side than be moved about.
"""

FIRST = 10  # seconds
MOST = 300
CALM = 60  # seconds of health that make a fall the first one again


class HoldOff:
    """`fell` and `came_back` are told the time (seconds); `left` says how long the redirect has to stay out."""

    def __init__(self) -> None:
        self._length = 0
        self._since = 0.0  # when it came back, then when it fell
        self._healthy = True
        self._fell_before = False

    def came_back(self, now: float) -> None:
        self._healthy = True
        self._since = now

    def fell(self, now: float) -> None:
        quick = self._fell_before and now - self._since < max(CALM, self._length)
        self._length = min(MOST, 2 * self._length or FIRST) if quick else 0
        self._healthy = False
        self._fell_before = True
        self._since = now

    def left(self, now: float) -> float:
        return 0 if self._healthy else max(0, self._since + self._length - now)
