"""The agent goes on when something fails in the middle of its work."""

from unit.shared.expect import raises

from viscum_agent import agent as agents
from viscum_agent import compat
from viscum_agent.errors import ViscumError
from viscum_agent.kernel.monitor import Cause
from viscum_agent.kernel.netlink import Interrupted
from viscum_agent.look import TORN
from viscum_agent.loop import Loop
from viscum_agent.records.dump import Dump
from viscum_agent.service import overload


class Refused(ViscumError):
    """What the kernel says."""


class Log:
    def say(self, severity, text, service=""):
        pass

    def trace(self, error):
        pass


class Reconciler:
    """One whose kernel refuses everything."""

    def __init__(self, limit=0):
        self.backend = self.configuration = self.settings = self
        self.bypass_load = limit
        self.services = self.kept = []
        self.enabled = True

    def all_services(self):
        return []

    def reload(self):
        pass

    def forget_firewall(self):
        pass

    def look(self, breathe=None, torn=None):
        raise Refused("no")

    def apply(self, operations):
        raise Refused("no")

    def dump_redirects(self):
        raise OSError(24, "EMFILE")


class Events:
    def __init__(self, causes):
        self.causes = lambda: causes


class Load:
    """A router whose CPUs are always busy."""

    def share(self):
        return 100


class Unreadable:
    """No descriptor is left for /proc/stat."""

    def share(self):
        raise OSError(24, "EMFILE")


class Instance:
    name = "echo"

    def __init__(self):
        self.shed_for = []

    def shed(self, reason):
        self.shed_for.append(bool(reason))


def agent(limit=0):
    made = agents.Agent("/nonexistent", Log())
    made.reconciler = Reconciler(limit)
    made._shedding._load = Load()
    return made


def timers(made):
    return len(made.loop._timers)


def run_next(made):
    made.loop._timers.pop(0)[2]()


def test_a_look_that_fails_is_tried_again_in_a_moment():
    """Who knows what it would have done: a redirect that has to go may be among it."""
    made = agent()
    raises(Refused, made.looks.now, "a cause")
    # Rounded: where the clock has not moved yet, binary fractions may make it a bit more than 1.
    assert [round(timer[0] - compat.monotonic()) <= 1 for timer in made.loop._timers] == [True]


def test_a_redirect_that_a_look_could_not_take_out_is_owed_after_it():
    made = agent()
    made.withdrawal.begin()
    assert not made.withdrawal.unwatched("echo")
    made.withdrawal.looked([])
    assert made.withdrawal.owed == {"echo"}
    made.withdrawal.begin()
    made.withdrawal.looked([])
    assert not made.withdrawal.owed, "that one has done it"


def test_one_that_can_not_be_taken_out_keeps_no_other_in():
    made = agent()
    made.reconciler.dump_redirects = Dump
    made.reconciler.apply = lambda _: None

    def only_web(_observed, name):
        if name == "echo":
            raise Refused("no")
        return []

    assert not made.withdrawal._remove(["echo", "web"], only_web)
    assert made.withdrawal.owed == {"echo"}


def test_a_look_that_fails_after_a_signal_is_not_passed_over_in_silence():
    """Only a mistake in the configuration is: the log has it already."""
    raises(Refused, agent()._signal, agents.SIGHUP)


def test_a_redirect_that_can_not_be_taken_out_now_is_seen_to_in_a_moment():
    made = agent()
    made.withdraw(Instance(), False)
    assert timers(made) == 1


def test_no_cause_is_lost_when_orphans_can_not_be_taken_out():
    made = agent()
    made._events = Events(
        [Cause("device vsc-echo was removed", True, True), Cause("an address was added", False, False)]
    )
    made._kernel_events()
    assert timers(made) == 1


def test_a_hundred_urgent_causes_are_one_look_at_the_redirects():
    made = agent()
    looks = []
    made.reconciler.dump_redirects = lambda: looks.append(1) or Dump()
    made.reconciler.apply = lambda _: None
    made._events = Events([Cause("device vsc-%d was removed" % number, True, True) for number in range(100)])
    made._kernel_events()
    assert len(looks) == 1
    made._kernel_events()
    while len(looks) < 2:
        made.loop.after(0.001, lambda: None)
        made.loop.step()
    assert len(looks) == 2, "what went meanwhile"


def test_a_look_into_a_kernel_that_changes_all_the_time_is_made_again_soon():
    made = agent()

    def look(*_, **__):
        raise Interrupted()

    made.reconciler.look = look
    made.looks.now("a cause")
    assert [timer[0] - compat.monotonic() < 0.5 for timer in made.loop._timers] == [True, False], "and once in any case"


def test_only_the_timer_judges_the_load_because_a_reload_makes_load_itself():
    made = agent(limit=80)
    made.instances["echo"] = instance = Instance()
    for _ in range(3):
        made._watch_load()  # as a reload does
    assert instance.shed_for == []
    assert timers(made) == 1
    run_next(made)
    assert instance.shed_for == [True]
    for _ in range(2 * overload.CALM):
        made._watch_load()
    assert instance.shed_for == [True], "nor is it a calm look"


def test_a_load_that_can_not_be_measured_now_is_measured_again():
    made = agent(limit=80)
    made.instances["echo"] = instance = Instance()
    made._watch_load()
    busy, made._shedding._load = made._shedding._load, Unreadable()
    raises(OSError, run_next, made)
    assert timers(made) == 1
    made._shedding._load = busy
    run_next(made)
    assert instance.shed_for == [True]


def test_without_a_limit_services_come_back_at_once():
    made = agent(limit=80)
    made.instances["echo"] = instance = Instance()
    made._watch_load()
    run_next(made)
    made.reconciler.bypass_load = 0
    made._watch_load()
    assert instance.shed_for == [True, False]
    assert timers(made) == 0


def test_a_service_that_is_new_is_shed_with_the_others():
    made = agent(limit=80)
    made._watch_load()
    run_next(made)
    assert made.instance("new").inhibited.startswith("the router's CPU is 100% busy")


class Dying:
    """A service whose program has just ended: the descriptor of its process is readable (pidfd_open(2))."""

    def __init__(self, name, made):
        self.name, self._agent = name, made
        self.redirected = True
        self._fd = compat.fd_open("/dev/null", 0)
        made.loop.add(self._fd, lambda _: self.exited())
        made.instances[name] = self

    def ends_by(self, ready):
        return self._fd in ready

    def exited(self):
        self._agent.withdraw(self, False)
        self.redirected = False
        self._agent.loop.remove(self._fd)
        compat.fd_close(self._fd)


def dying(count):
    """An agent with so many, and the list that the looks at its redirects are in."""
    made, looks = agent(), []
    made.reconciler.dump_redirects = lambda: looks.append(1) or Dump()
    made.reconciler.apply = lambda _: None
    for number in range(count):
        Dying("s%d" % number, made)
    return made, looks


def test_the_redirects_of_programs_that_ended_at_once_go_at_once():
    made, looks = dying(20)
    made.loop.step()
    assert [made.instances[name].redirected for name in made.instances] == [False] * 20
    assert looks == [1]


def test_a_look_begins_with_programs_that_have_ended_and_is_left_for_those_that_end_meanwhile():
    made, looks = dying(1)
    later = []

    def look(breathe=None, torn=None):
        assert not made.instances["s0"].redirected
        later.append(Dying("s%d" % (len(later) + 1), made))
        made.looks._breath = 0  # as if it had taken a while
        if breathe:
            breathe()
        return None if torn() else "a picture of one moment"

    made.reconciler.look = look
    for _ in range(TORN):
        assert not made.looks._read(), "what was read has a redirect that is none any more"
        assert not any(instance.redirected for instance in later)
    assert made.looks._read(), "whoever makes programs end all the time keeps nobody else from being looked at"
    assert later[-1].redirected, "nor is it looked again"


def test_what_is_ready_waits_for_a_slice_of_the_timers_that_are_due_and_not_for_all():
    loop, order = Loop(), []
    for _ in range(10):
        loop.after(0, lambda: order.append("timer") or compat.sleep(0.04))
    fd = compat.fd_open("/dev/null", 0)
    loop.add(fd, lambda _: order.append("ready"))
    loop.step()
    compat.fd_close(fd)
    assert "ready" in order and order.count("timer") < 5, order


# Next hops


class Hops:
    """What is known of next hops, from one time that they are asked for to the next."""

    def __init__(self, *known):
        self.known = list(known)

    def macs(self, places):
        return dict([(place, self.known.pop(0)) for place in places])


def test_what_becomes_known_of_next_hops_is_a_cause_and_is_asked_again_and_again():
    made, looks = agent(), []
    made.looks.soon = looks.append
    made.reconciler.macs = {1: "a"}
    made.reconciler.hops = Hops("a", "", "")
    for _ in range(2):
        made.follow_hops()
    assert timers(made) == 1
    for causes in (0, 1, 2):
        run_next(made)
        assert (len(looks), timers(made)) == (causes, 1), "until there was a look"
    made.reconciler.macs = {}
    made.follow_hops()
    assert timers(made) == 0, "nothing is asked where there are no next hops"
