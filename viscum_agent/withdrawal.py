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
        self._together: set[str] = set()  # services whose redirect went together with another's
        self._observed: Observed | None = None  # valid while nothing has changed since it was read

    def begin(self) -> None:
        """A look at the kernel begins: it will see what was taken out until now."""
        self.gone.clear()

    def looked(self, problems: "Sequence[Problem]") -> None:
        """A look has removed what is owed, but for what it began too early to see or could not remove either."""
        failed = {problem.service for problem in problems}
        self.owed = {name for name in self.owed if name in self.gone or name in failed}

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
        self._remove(names, lambda observed: [found for name in names for found in self._counted_out(observed, name)])

    def unwatched(self, name: str) -> bool:
        """Takes out the redirect of a service that this agent does not run; returns whether that succeeded."""
        return self._remove([name], lambda observed: redirects_of(observed.of(name)))

    def orphans(self) -> None:
        """Takes out redirects that lead nowhere, because somebody deleted the pair."""
        self._remove([""], lambda observed: observed.orphans)

    def ended_now(self) -> "list[Instance]":
        """Instances whose program has ended, but that were not told yet."""
        ready = self._agent.loop.ready()
        instances = self._agent.instances.values()
        return [instance for instance in instances if instance.redirected and instance.ends_by(ready)]

    def _counted_out(self, observed: "Observed", name: str) -> "list[Found]":
        """A service's redirect, which is about to go; what it has counted is kept."""
        self._agent.accounts.out(name, observed.counters.get(name))
        return redirects_of(observed.of(name))

    def _remove(self, names: "list[str]", find: "Callable[[Observed], list[Found]]") -> bool:
        """Removes what `find` gives of an Observed for these services; returns whether that succeeded."""
        backend = self._agent.reconciler.backend
        try:
            backend.apply(removal(find(self._observed or observe(backend.dump_redirects()))))
        except (ViscumError, OSError) as error:
            self._agent.say(ERROR, "a redirect can't be taken out: %s" % error)
            self.owed.update(names)
            return False
        return True
