"""How long a service that flaps is left to the cloud: a pure function of its history.

A program that fails and recovers gets its redirect back at once. If it fails again within CALM seconds, it must first
stay healthy for a while, twice as long each time: clients are better off on one side than moved back and forth.
"""

FIRST = 10  # seconds
MOST = 300
CALM = 60  # seconds of health after which the next failure counts as the first


class HoldOff:
    """`fell` and `came_back` take the time (seconds); `left` returns how long the redirect must stay out."""

    def __init__(self) -> None:
        self._length = 0
        self._since = 0.0  # when it last recovered or failed
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
