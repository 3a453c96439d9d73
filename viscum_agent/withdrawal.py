"""Takes redirects out at once: what may not wait for the next look at the kernel.

Nothing is planned and no namespace is looked into, only what takes packets goes. What else there is to do is left to
the look that follows. Nothing here says whether a redirect has to go: Instance.become does.
"""

from .errors import ViscumError
from .log import ERROR
from .plan.actual import observe
from .plan.diff import redirects_of, removal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .agent import Agent
    from .plan.actual import Found, Observed
    from .service.instance import Instance


class Withdrawal:
    """`of` for a service that leaves `healthy`, `unwatched` and `orphans` for the rest."""

    def __init__(self, agent: "Agent") -> None:
        self._agent = agent
        self.gone: set[str] = set()  # services whose redirect went while a look was underway
        self._together: set[str] = set()  # services whose redirect went together with another's
        self._observed: Observed | None = None  # while nothing has changed since it was read

    def begin(self) -> None:
        """A look at the kernel begins: what went until now it will see."""
        self.gone.clear()

    def step(self) -> None:
        """Programs that have ended are about to be told of it, one by one."""
        self._together.clear()

    def trust(self, observed: "Observed | None") -> None:
        """What is there, as long as nothing is changed; None from then on."""
        self._observed = observed

    def of(self, instance: "Instance") -> None:
        """Takes a service's redirect out. Those of programs that have ended at the same moment go with it, so hundreds
        keep each other's clients no longer."""
        if instance.name in self._together:
            self._together.remove(instance.name)
            return
        names = [instance.name] + [each.name for each in self.ended_now() if each is not instance]
        self._together.update(names[1:])
        self.gone.update(names)
        self._remove(lambda observed: [found for name in names for found in self._counted_out(observed, name)])

    def unwatched(self, name: str) -> None:
        """Takes out the redirect of a service that this agent does not run."""
        self._remove(lambda observed: redirects_of(observed.of(name)))

    def orphans(self) -> None:
        """Takes out what leads nowhere any more, because somebody deleted the pair."""
        self._remove(lambda observed: observed.orphans)

    def ended_now(self) -> "list[Instance]":
        """Instances whose program has ended, which they have not been told of yet."""
        ready = self._agent.loop.ready()
        instances = self._agent.instances.values()
        return [instance for instance in instances if instance.redirected and instance.ends_by(ready)]

    def _counted_out(self, observed: "Observed", name: str) -> "list[Found]":
        """A service's redirect, which is to go with what it has counted."""
        self._agent.accounts.out(name, observed.counters.get(name))
        return redirects_of(observed.of(name))

    def _remove(self, find: "Callable[[Observed], list[Found]]") -> None:
        """Removes what `find` gives of an Observed."""
        backend = self._agent.reconciler.backend
        try:
            backend.apply(removal(find(self._observed or observe(backend.dump_redirects()))))
        except (ViscumError, OSError) as error:
            self._agent.say(ERROR, "a redirect can't be taken out: %s" % error)
