"""Why a service's redirect stays out while its program runs: a set, and the redirect is in only while it is empty.

    asked     somebody sent its clients to the cloud (`bypass`)
    overload  the router is overloaded
    checks    they fail
    meddled   what its clients need in its namespace is repeatedly removed or changed
    rejected  the kernel does not take it
    flapping  it answers again, but failed soon after its last recovery

If no program runs that could answer, the state says why (instance.py). What part of its traffic stays with the cloud
while the rest is taken is up to the plan (plan/answers.py).
"""

ASKED, OVERLOAD, CHECKS, MEDDLED = "asked", "overload", "checks", "meddled"
REJECTED, FLAPPING = "rejected", "flapping"

# Users are told the first one that applies.
ORDER = (ASKED, OVERLOAD, CHECKS, MEDDLED, REJECTED, FLAPPING)


class Inhibitors:
    """`names` are the inhibitors that are set, `reasons` why in words, `reason` is the first of them, "" for none."""

    def __init__(self) -> None:
        self._why: dict[str, str] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._why

    def put(self, name: str, reason: str) -> None:
        """Sets an inhibitor, or lifts it if there is no reason."""
        if reason:
            self._why[name] = reason
        else:
            self._why.pop(name, None)

    def lift(self, *names: str) -> None:
        """Lifts these inhibitors."""
        for name in names:
            self._why.pop(name, None)

    @property
    def names(self) -> "list[str]":
        return [name for name in ORDER if name in self._why]

    @property
    def reasons(self) -> "list[str]":
        return [self._why[name] for name in self.names]

    @property
    def reason(self) -> str:
        return (self.reasons + [""])[0]
