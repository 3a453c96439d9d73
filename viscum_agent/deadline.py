"""While the agent lives it puts off the deadline of its redirects (watch_timeout). When it is killed, stopped or stuck,
nobody takes out the redirect of a program that ends meanwhile: so all of them end by themselves, and clients reach the
cloud, until an agent vouches for them again.

Only with eBPF: filters of tc (u32, flower) know no time. After `viscum up` without an agent nobody puts anything off,
and nothing ends by itself.
"""

from . import compat
from .kernel import bpf_deadline
from .log import ERROR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .agent import Agent
    from .loop import Timer

TIMES = 3  # how often it is put off before it would have passed: once may be late


class Deadline:
    """`vouch` after a look at the kernel, `breathe` within what takes long."""

    def __init__(self, agent: "Agent") -> None:
        self._agent = agent
        self._seconds = 0
        self._next = float("inf")  # when it has to be put off
        self._timer: Timer | None = None
        self._refusals = 0

    def vouch(self, seconds: int) -> None:
        """From now on redirects hold for so many seconds at a time, 0 for good."""
        self._seconds = seconds
        self._put_off()

    def breathe(self) -> None:
        if compat.monotonic() >= self._next:
            self._put_off()

    def _put_off(self) -> None:
        """Sets the timer for the next time, as long as there is something to put off. While nobody is redirected it
        passes: the look that puts the next redirect in begins with `breathe`."""
        self._agent.loop.cancel(self._timer)
        self._timer, self._next = None, float("inf")
        try:
            there = bpf_deadline.put_off(self._seconds)
            self._hear(bpf_deadline.refusals())
        except OSError as error:
            self._agent.say(ERROR, "the deadline of its redirects can't be put off: %s" % compat.strerror(error.errno))
            there = True
        if not there or not self._seconds:
            return
        wait = self._seconds / TIMES
        self._next = compat.monotonic() + wait
        if not any(instance.redirected for instance in self._agent.instances.values()):
            return
        # At the end of a turn: one that was stopped for long first hears what has ended meanwhile.
        self._timer = self._agent.loop.after(wait, lambda: self._agent.loop.after_all(self._put_off))

    def _hear(self, refusals: int) -> None:
        """A port that was closed when a client came is with the cloud now: a look puts it back, if it is open again."""
        if refusals != self._refusals:
            self._refusals = refusals
            self._agent.looks.soon("a port was closed")
