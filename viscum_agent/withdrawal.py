"""Takes redirects out at once: that can't wait for the next look at the kernel.

Nothing is planned and no namespace is read; only what takes packets is removed. The look that follows does the rest.
What can't be removed now (no descriptor is left) is owed: looks follow soon (look.OWED) until one has removed it.
Whether a redirect has to go is not decided here: Instance.become does that.
"""

from .errors import ViscumError
from .log import ERROR
from .plan.actual import observe
from .plan.diff import redirects_of, removal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .agent import Agent
    from .errors import Problem
    from .plan.actual import Found, Observed
    from .service.instance import Instance


class Withdrawal:
    """`of` for a service that leaves `healthy`, `unwatched` and `orphans` for the rest."""

    def __init__(self, agent: "Agent") -> None:
        self._agent = agent
        self.gone: set[str] = set()  # services whose redirect went while a look was underway
        self.owed: set[str] = set()  # services whose redirect has to go and could not be removed; "" for orphans
        self._failed: set[str] = set()  # those of them that could not be removed since the look began
        self._together: set[str] = set()  # services whose redirect went together with another's
        self._observed: Observed | None = None  # valid while nothing has changed since it was read

    def begin(self) -> None:
        """A look at the kernel begins: it will see what was taken out until now."""
        self.gone.clear()
        self._failed.clear()

    def looked(self, problems: "Sequence[Problem]") -> None:
        """A look has removed what is owed, but for what could not be removed meanwhile."""
        failed = {problem.service for problem in problems}
        self.owed = {name for name in self.owed if name in self._failed or name in failed}

    def step(self) -> None:
        """Instances whose programs have ended are about to be told, one by one."""
        self._together.clear()

    def trust(self, observed: "Observed | None") -> None:
        """`observed` is what the kernel has, until something is changed; None from then on."""
        self._observed = observed

    def of(self, instance: "Instance") -> None:
        """Takes a service's redirect out. Those of programs that ended at the same moment go with it: even with
        hundreds of them, no client waits for the others."""
        if instance.name in self._together:
            self._together.remove(instance.name)
            return
        names = [instance.name] + [each.name for each in self.ended_now() if each is not instance]
        self._together.update(names[1:])
        self.gone.update(names)
        self._remove(names, lambda observed, name: redirects_of(observed.of(name)))

    def unwatched(self, name: str) -> bool:
        """Takes out the redirect of a service that this agent does not watch; returns whether that succeeded."""
        return self._remove([name], lambda observed, name: redirects_of(observed.of(name)))

    def orphans(self) -> None:
        """Takes out redirects that lead nowhere, because somebody deleted the pair."""
        self._remove([""], lambda observed, _: observed.orphans)

    def ended_now(self) -> "list[Instance]":
        """Instances whose program has ended, but that were not told yet."""
        ready = self._agent.loop.ready()
        instances = self._agent.instances.values()
        return [instance for instance in instances if instance.redirected and instance.ends_by(ready)]

    def _remove(self, names: "list[str]", find: "Callable[[Observed, str], list[Found]]") -> bool:
        """Removes what `find` gives for each of these names, all in one batch. If one of them fails, or what was read
        is out of date, the others don't stay in for it. Returns whether all are out."""
        self.owed.update(names)  # first, so that it is seen to whatever happens here
        self._failed.update(names)
        try:
            self._take_out(self._observed or self._read(), names, find)
            return True
        except (ViscumError, OSError):
            now = None
        for name in names:
            try:
                now = now or self._read()
                self._take_out(now, [name], find)
            except (ViscumError, OSError) as error:
                self._agent.say(ERROR, "a redirect can't be taken out: %s" % error)
        return not self._failed.intersection(names)

    def _read(self) -> "Observed":
        return observe(self._agent.reconciler.backend.dump_redirects())

    def _take_out(
        self, observed: "Observed", names: "list[str]", find: "Callable[[Observed, str], list[Found]]"
    ) -> None:
        """Removes them; what they have counted is kept."""
        self._agent.reconciler.backend.apply(removal([found for name in names for found in find(observed, name)]))
        for name in names:
            self._agent.accounts.out(name, observed.counters.get(name))
            self.owed.discard(name)
            self._failed.discard(name)
