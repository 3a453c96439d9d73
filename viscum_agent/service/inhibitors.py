"""Why a service's redirect stays out while its program runs: one set, and the redirect is in only while it is empty.

    asked     somebody wants its clients at the cloud (`bypass`)
    overload  the router has too much to do
    checks    they fail
    meddled   what its clients need in its namespace is taken away again and again
    flapping  it answers again, and has failed shortly after that before

Where no program runs that could answer, the state says why (instance.py), and what of its traffic stays with the cloud
while the rest is taken is the plan's business (plan/answers.py).
"""

ASKED, OVERLOAD, CHECKS, MEDDLED, FLAPPING = "asked", "overload", "checks", "meddled", "flapping"

# The first of them that holds is what people are told.
ORDER = (ASKED, OVERLOAD, CHECKS, MEDDLED, FLAPPING)


class Inhibitors:
    """`reason` is why the redirect stays out, "" for nothing."""

    def __init__(self) -> None:
        self._why: dict[str, str] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._why

    def put(self, name: str, reason: str) -> None:
        """One holds now, or, without a reason, no longer."""
        if reason:
            self._why[name] = reason
        else:
            self._why.pop(name, None)

    def lift(self, *names: str) -> None:
        """These hold no longer."""
        for name in names:
            self._why.pop(name, None)

    @property
    def reason(self) -> str:
        for name in ORDER:
            if name in self._why:
                return self._why[name]
        return ""
