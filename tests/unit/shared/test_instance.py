"""One service's life: its states, with programs that the test makes up, and time that it moves on."""

from golden.cases import router_facts
from unit.shared.expect import raises

from viscum_agent.config import service as model
from viscum_agent.config import uci
from viscum_agent.errors import ConfigError
from viscum_agent.log import NOTICE
from viscum_agent.plan.planner import plan
from viscum_agent.records import with_
from viscum_agent.records.facts import Host, Listener
from viscum_agent.service import instance, process, running
from viscum_agent.service.health import Outcome

PID = 4000000  # above every real one (proc(5), pid_max is at most 2^22)


def planned(*lines, hosts=None):
    """The plan.ServicePlan of a service."""
    head = "config service 's'\noption enabled 1\noption command /bin/x\nlist interface lan\nlist dest_ip 203.0.113.1\n"
    found = model.read(uci.parse((head + "\n".join(lines) + "\n").encode(), "viscum"), "viscum")
    (part,) = plan(found.services, found.settings, with_(router_facts(""), hosts=hosts or {})).services
    return part


def listener(port, proto="tcp"):
    return Listener(proto=proto, version=4, address=b"", port=port, waiting=0)


def no_descriptor(_pid):
    raise OSError(24, "EMFILE")


class Loop:
    """Timers that run when the test says so."""

    def __init__(self):
        self.timers = []

    def add(self, fd, callback):
        pass

    def remove(self, fd):
        pass

    def after(self, seconds, callback):
        self.timers.append((seconds, callback))
        return self.timers[-1]

    def cancel(self, timer):
        self.timers = [each for each in self.timers if each is not timer]

    def run_next(self):
        """Runs the timer that is due first; returns after how many seconds that is."""
        timer = min(self.timers, key=lambda each: each[0])
        self.cancel(timer)
        timer[1]()
        return timer[0]


class Agent:
    def __init__(self):
        self.loop = Loop()
        self.told = []  # what was done, in its order
        self.redirect = False
        self.calm = 0

    def withdraw(self, _unit, answers):
        self.told.append("withdrawn")
        self.answers = answers
        return False

    def end_drain(self, _name):
        pass

    def resume_flows(self, _name):
        pass

    def end_connections(self, _name, patiently=True):
        self.told.append("reset")

    def when_connections_ended(self, _name, step):
        step()

    def look_soon(self, cause):
        self.told.append("look")

    def eager(self):
        return instance.EAGER

    def settle(self):
        return 1

    def calm_in(self):
        return self.calm

    def expects(self, one):
        self.told.append("answers")

    def changed(self, one, before):
        self.told.append(one.state)

    def say(self, severity, text, service=""):
        assert severity <= NOTICE

    say_state = say

    def serial(self):
        return 0

    def printed(self, name, since):
        return []

    def output(self, name):
        raise OSError(2, "ENOENT")

    def check(self, instance, turn, done):
        return Check(instance, done)

    def processes(self):
        return {}


class Check:
    """The checks that were begun, to be ended by the test."""

    begun = []

    def __init__(self, asked, done):
        self.part, self.done, self.cancelled = asked.part, done, False
        Check.begun.append(self)

    def cancel(self):
        self.cancelled = True


class Clock:
    """Use as a context manager: the time that the unit sees, as the test moves it."""

    def __enter__(self):
        self._plain, self.now = instance.compat.monotonic, 1000
        instance.compat.monotonic = lambda: self.now
        return self

    def __exit__(self, *_):
        instance.compat.monotonic = self._plain


class Stage:
    """Use as a context manager: a Unit whose programs and checks are made up."""

    def __init__(self, *lines):
        self.agent = Agent()
        self.hosts = {}
        self.instance = instance.Instance("s", self.agent)
        self.plan(*lines)
        self.alive = set()
        self.trouble = None  # what a start raises
        self.inside = []  # pids in the namespace
        self.sent = []  # (pid, signal)
        self.reaped = []

    def __enter__(self):
        self._plain = [(place, name, getattr(place, name)) for place, name in self._parts()]
        Check.begun = []
        fakes = [self._spawn, lambda pid: 0, self._alive, self._send, self._reap, self._pids, self._pids]
        fakes += [self._signal_all, lambda name: None, lambda pid: -1]
        for number, (place, name) in enumerate(self._parts()):
            setattr(place, name, fakes[number])
        return self

    def __exit__(self, *_):
        for place, name, value in self._plain:
            setattr(place, name, value)

    def _parts(self):
        names = ("spawn", "age", "alive", "send", "reap", "pids", "programs", "signal_all", "clear")
        return [(running if hasattr(running, name) else process, name) for name in names] + [
            (instance.compat, "pidfd_open")
        ]

    def plan(self, *lines):
        """The settings and the plan of now."""
        part = planned(*lines, hosts=self.hosts)
        self._settings = model.read([], "viscum").settings
        self.instance.configure(part.service)
        self.instance.planned(part)

    def _spawn(self, _service):
        if self.trouble:
            raise self.trouble
        self.alive.add(PID)
        return PID

    def _alive(self, pid):
        return pid in self.alive

    def _send(self, found, number):
        self.sent += [(pid, number) for pid in found]
        return found

    def _reap(self, pid, name):
        self.reaped.append(pid)
        return "exit code 1"

    def _pids(self, name, table=None):
        return self.inside

    def _signal_all(self, name, number, table=None):
        return self._send(list(self.inside), number)

    def check(self, reason="", *open_ones, closed=False, mute=None):
        """The next check, with its outcome: of what is open (Listeners), by default TCP port 80."""
        self.agent.loop.run_next()
        open_ones = list(open_ones) or [listener(80)]
        if mute is None:
            mute = {(one.proto, 4, one.port, b""): reason for one in open_ones}
        Check.begun[-1].done(Outcome(reason=reason, listeners=open_ones, mute=mute, closed=closed))

    def takes(self):
        """The ports that a plan of now takes, as the agent would make it."""
        facts = router_facts("")
        facts.opened["s"] = self.instance.opened
        self._now = plan([self.instance.service], self._settings, facts).services[0]
        return sorted({match.dport[0] for match in self._now.takes})

    def stays(self):
        """Why the rest stays with the cloud; after `takes`."""
        self.takes()
        return [reason for _, reason in self._now.stays]

    def ends(self):
        """The program ends, and the agent is told."""
        self.alive.clear()
        self.instance.exited()

    @property
    def state(self):
        return self.instance.state


def healthy(*lines):
    """A Stage whose service is healthy, to be used as a context manager."""
    stage = Stage("list dest_port 80", *lines)
    with stage:
        stage.instance.ensure(stage.agent.redirect)
        stage.check()
    assert stage.state == "healthy"
    stage.agent.told.clear()
    return stage


# Health


def test_health_rise_good_checks_in_a_row_bring_the_redirect():
    with Stage("list dest_port 80", "option health_rise 3") as stage:
        stage.instance.ensure(stage.agent.redirect)
        states = []
        for outcome in ("", "", "refused", "", "", ""):
            stage.check(outcome)
            states.append(stage.state)
        assert states == ["starting"] * 5 + ["healthy"]


def test_a_program_that_answers_gets_its_redirect_when_the_connections_that_just_began_are_open():
    with Stage("list dest_port 80", "option healthcheck none") as stage:
        stage.agent.calm = 1.5
        stage.instance.ensure(stage.agent.redirect)
        stage.check()
        assert stage.state == "starting"
        assert min(seconds for seconds, _ in stage.agent.loop.timers) == 1.5
        stage.agent.calm = 0
        stage.check()
        assert stage.state == "healthy"


def test_health_fall_bad_checks_in_a_row_take_it_out_and_health_rise_good_ones_bring_it_back():
    with Stage("list dest_port 80", "option health_rise 2", "option health_fall 2") as stage:
        stage.instance.ensure(stage.agent.redirect)
        states = []
        for outcome in ("", "", "hangs", "", "hangs", "hangs", "", ""):
            stage.check(outcome)
            states.append(stage.state)
        assert states == ["starting"] + ["healthy"] * 4 + ["bypassed"] * 2 + ["healthy"]


def test_all_that_keeps_a_redirect_out_is_known():
    with healthy("option health_fall 1") as stage:
        stage.instance.ask_bypass(True)
        stage.check("hangs")
        stage.instance.shed("the CPU is busy")
        one = stage.instance
        assert (one.state, one.reason) == ("bypassed", "asked for")
        assert one.whole_reason == "asked for; the CPU is busy; hangs"
        stage.ends()
        assert (one.state, one.whole_reason) == ("backoff", one.reason)


def test_the_redirect_goes_before_anybody_hears_of_it():
    with healthy() as stage:
        stage.ends()
        assert stage.agent.told[:3] == ["withdrawn", "reset", "backoff"]


def test_checks_go_on_after_one_in_which_something_went_wrong_here():
    with healthy("option health_fall 1") as stage:
        stage.agent.withdraw = lambda *_: 1 / 0
        raises(ZeroDivisionError, stage.check, "hangs")
        assert stage.agent.loop.timers, "another check"


def test_a_check_that_never_ends_has_failed_and_another_one_follows():
    """A bug of ours, or something that no check foresaw: nobody would look after the program any more."""
    with healthy("option health_fall 1") as stage:
        stage.agent.loop.run_next()
        assert stage.agent.loop.run_next() == 2 + instance.GRACE, "seconds: health_timeout and a while"
        assert (stage.state, stage.instance.reason) == ("bypassed", "the check did not end")
        assert Check.begun[-1].cancelled and stage.agent.loop.timers


def test_clients_that_are_refused_do_not_wait_for_health_fall():
    with healthy("option health_fall 100") as stage:
        stage.check("the program does not listen", closed=True, mute={})
        assert stage.state == "bypassed"


def test_one_port_that_hangs_stays_with_the_cloud_and_the_other_goes_on():
    lines = ("list dest_port 80", "list dest_port 81", "list proto tcp", "option health_fall 2")
    with Stage(*lines) as stage:
        stage.instance.ensure(stage.agent.redirect)
        stage.check("", listener(80), listener(81))
        assert stage.takes() == [80, 81]
        for _ in range(2):
            stage.check("", listener(80), listener(81), mute={("tcp", 4, 80, b""): "", ("tcp", 4, 81, b""): "hangs"})
        assert (stage.state, stage.takes()) == ("healthy", [80])
        assert stage.stays() == ["hangs"]


def test_a_socket_that_may_be_there_for_a_moment_only_is_looked_at_twice():
    """A program that asks a name server has a UDP socket for that, which no client is meant to find."""
    with Stage("list dest_port 1000-2000", "list proto udp") as stage:
        stage.instance.ensure(stage.agent.redirect)
        stage.check("", listener(1500, "udp"), listener(1000, "udp"))
        assert (stage.state, stage.takes()) == ("healthy", [])
        assert stage.agent.loop.timers[-1][0] == stage.agent.settle()
        stage.check("", listener(1501, "udp"), listener(1000, "udp"))
        assert stage.takes() == [1000]


def test_a_program_that_falls_again_and_again_is_left_alone_for_longer_and_longer():
    with healthy("option health_fall 1") as stage, Clock() as clock:
        lengths = []
        for _ in range(4):
            stage.check("hangs")
            fell = clock.now
            while stage.state != "healthy":
                clock.now += 1
                stage.check()
            lengths.append(clock.now - fell)
        assert lengths == [1, 10, 20, 40]


# Other settings, the same program


def test_a_program_that_was_not_checked_is_checked_when_that_is_asked_for():
    with Stage("list dest_port 80", "option healthcheck none") as stage:
        stage.instance.ensure(stage.agent.redirect)
        stage.agent.loop.run_next()
        Check.begun[-1].done(Outcome(reason="", listeners=None, mute={}, closed=False))
        assert not stage.agent.loop.timers, "no check"
        stage.plan("list dest_port 80", "option health_fall 1")
        stage.check("hangs")
        assert stage.state == "bypassed"


def unchecked(stage):
    """The next check of a service without checks."""
    seconds = stage.agent.loop.run_next()
    Check.begun[-1].done(Outcome(reason="", listeners=None, mute={}, closed=False))
    return seconds


def test_a_program_that_is_not_checked_any_more_lets_the_agent_sleep():
    """Also where its sockets were seen only once, and might have changed until the next look at them."""
    with Stage("list dest_port 80", "option health_interval 3600") as stage:
        stage.instance.ensure(stage.agent.redirect)
        stage.check()
        assert not stage.instance.is_settled
        stage.plan("list dest_port 80", "option healthcheck none")
        unchecked(stage)
        assert (stage.state, stage.takes(), stage.agent.loop.timers) == ("healthy", [80], [])
        assert stage.instance.is_settled


def test_a_program_that_is_not_checked_any_more_but_flaps_comes_back_when_its_time_is_over():
    with Clock() as clock, healthy("option health_fall 1") as stage:
        for reason in ("hangs", "", "hangs"):
            stage.check(reason)
        stage.plan("list dest_port 80", "option healthcheck none", "option health_interval 5")
        waits = [unchecked(stage)]
        while stage.state != "healthy":
            assert stage.instance.reason == instance.FLAPS
            waits.append(unchecked(stage))
            clock.now += waits[-1]
        assert waits == [0, 5, 5, 5]
        unchecked(stage)
        assert not stage.agent.loop.timers, "no check"


def test_a_service_without_checks_whose_namespace_had_to_be_repaired_comes_back():
    with Stage("list dest_port 80", "option healthcheck none", "option health_interval 5") as stage, Clock():
        stage.instance.ensure(stage.agent.redirect)
        unchecked(stage)
        for _ in range(instance.REPAIRED + 1):
            stage.instance.repaired()
        assert (stage.state, stage.instance.reason) == ("bypassed", instance.REPAIRS)
        assert unchecked(stage) == 5
        assert stage.state == "healthy"
        unchecked(stage)
        assert not stage.agent.loop.timers, "no check"


def test_a_shorter_interval_does_not_wait_for_the_longer_one():
    with healthy("option health_interval 3600") as stage:
        stage.plan("list dest_port 80", "option health_interval 5")
        assert stage.agent.loop.run_next() == 0
        assert stage.state == "healthy", "that costs no client anything"


def test_clients_come_to_another_port_after_its_first_good_check():
    with healthy() as stage:
        stage.plan("list dest_port 80", "option target_port 8080", "list proto tcp")
        assert (stage.takes(), stage.stays()) == ([], ["the program does not listen there"])
        stage.check("refused", listener(8080))
        assert (stage.takes(), stage.stays()) == ([], ["refused"])
        stage.check("", listener(8080))
        assert stage.takes() == [80]


def test_a_check_that_was_begun_with_other_settings_does_not_count():
    with healthy() as stage:
        stage.agent.loop.run_next()
        stage.plan("list dest_port 80", "option target_port 8080")
        assert Check.begun[-1].cancelled


def test_a_check_goes_on_while_names_get_other_addresses():
    """Else one that takes longer than until the next answer would never end."""
    lines = ("list dest_host a.example", "list proto tcp")
    with healthy(*lines) as stage:
        for number in range(3):
            stage.hosts = {"a.example": Host((bytes([203, 0, 114, number]), bytes([203, 0, 115, number])), "")}
            stage.plan("list dest_port 80", *lines)
            if number == 0:  # it had none before
                stage.agent.loop.run_next()
        assert not Check.begun[-1].cancelled
        stage.plan("list dest_port 80", "list dest_port 81", *lines)
        assert Check.begun[-1].cancelled


def test_settings_that_no_check_depends_on_change_nothing():
    with healthy() as stage:
        stage.plan("list dest_port 80", "option mtu 1400")
        assert (stage.state, stage.agent.told) == ("healthy", [])


# A program that ends


def test_a_service_that_is_taken_down_is_not_started_again():
    with healthy() as stage:
        stage.ends()
        stage.instance.disable()
        assert (stage.state, stage.agent.loop.timers) == ("disabled", [])


def test_what_the_router_lacks_for_a_moment_is_tried_again():
    """fork(2) without memory, pidfd_open(2) without descriptors."""
    with Stage("list dest_port 80", "option respawn_timeout 0") as stage:
        stage.trouble = OSError(11, "EAGAIN")
        stage.instance.ensure(stage.agent.redirect)
        assert stage.state == "backoff"
        stage.trouble = None
        assert stage.agent.loop.run_next() == 1
        assert (stage.state, stage.instance.pid) == ("starting", PID)


def test_a_program_that_can_not_be_watched_does_not_run():
    with Stage("list dest_port 80") as stage:
        wait = instance.process.result
        instance.process.result = lambda pid, name: stage.reaped.append(pid)
        instance.compat.pidfd_open = no_descriptor
        try:
            stage.instance.ensure(stage.agent.redirect)
        finally:
            instance.process.result = wait
        assert (stage.state, stage.instance.pid) == ("backoff", 0)
        assert (stage.sent, stage.reaped) == ([(PID, 9)], [PID])


def test_a_program_that_is_not_there_is_left_alone():
    with Stage("list dest_port 80") as stage:
        stage.trouble = ConfigError("command: there is no program /bin/x")
        stage.instance.ensure(stage.agent.redirect)
        assert (stage.state, stage.agent.loop.timers) == ("failed", [])


def test_a_program_that_just_died_is_waited_for_before_its_service_is_down():
    """Whoever stops it may be told sooner than of its end: it must not stay a zombie."""
    with healthy() as stage:
        stage.alive.clear()
        stage.instance.stop(lambda: None)
        assert (stage.state, stage.reaped) == ("stopping", [])
        stage.ends()
        assert (stage.state, stage.reaped) == ("disabled", [PID])


def test_a_program_that_is_not_in_its_namespace_yet_is_stopped_as_well():
    with healthy() as stage:
        assert stage.inside == []
        stage.instance.stop(lambda: None)
        assert (stage.state, stage.sent) == ("stopping", [(PID, 15)])


def test_a_restart_of_what_is_disabled_says_nothing_of_waiting():
    with Stage("list dest_port 80") as stage:
        stage.instance.restart("restart")
        assert (stage.state, stage.agent.told) == ("disabled", ["look"])


def stops_and_leaves_a_child(stage):
    """The main process ends at once, what it has forked goes on."""
    stage.inside = [PID, PID + 1]
    stage.instance.stop(lambda: None)
    stage.inside = [PID + 1]
    stage.ends()


def test_what_a_program_leaves_behind_when_it_is_stopped_is_killed_when_its_time_is_over():
    """A child that ignores SIGTERM, while the main process ends at once."""
    with healthy("option term_timeout 7") as stage:
        stops_and_leaves_a_child(stage)
        assert stage.state == "stopping"
        assert sorted(seconds for seconds, _ in stage.agent.loop.timers) == [instance.EAGER, 7]
        stage.agent.loop.timers = [each for each in stage.agent.loop.timers if each[0] == 7]
        assert stage.agent.loop.run_next() == 7
        assert stage.sent[-1] == (PID + 1, 9)
        stage.inside = []
        stage.agent.loop.run_next()
        assert stage.state == "disabled"


def test_a_restart_of_what_is_being_stopped_waits_until_nothing_is_left_of_it():
    """Else what a program leaves behind would be taken for the next program, and never be ended."""
    with healthy("option term_timeout 7") as stage:
        stops_and_leaves_a_child(stage)
        stage.instance.restart("restart")
        assert stage.state == "stopping"
        stage.agent.loop.timers = [each for each in stage.agent.loop.timers if each[0] == 7]
        assert stage.agent.loop.run_next() == 7
        assert stage.sent[-1] == (PID + 1, 9)
        stage.inside = []
        stage.agent.loop.run_next()
        assert (stage.state, stage.agent.told[-1]) == ("waiting", "look")


def test_a_restart_does_not_call_the_service_disabled_on_its_way():
    with healthy() as stage:
        stage.inside = [PID]
        stage.instance.restart("its settings changed")
        stage.inside = []
        stage.ends()
        assert stage.agent.told == ["withdrawn", "reset", "stopping", "waiting", "look"]
        assert stage.instance.reason == "its settings changed"


def test_a_service_that_is_stopped_while_it_restarts_is_stopped():
    with healthy() as stage:
        stage.inside = [PID]
        stage.instance.restart("its settings changed")
        stage.instance.held = True
        stage.inside = []
        stage.ends()
        assert stage.state == "stopped"


def test_a_program_that_leaves_its_namespace_each_time_is_started_again_like_one_that_crashes():
    with healthy("option respawn_timeout 7", "option respawn_retry 1") as stage, Clock():
        for state in ("backoff", "failed"):
            stage.inside = [PID]
            stage.instance.astray()
            stage.inside = []
            stage.ends()
            assert stage.state == state
            assert "it was not in its namespace any more" in stage.instance.reason
            if state == "backoff":
                assert stage.agent.loop.run_next() == 7
                assert stage.state == "starting"


def test_a_service_whose_namespace_has_to_be_repaired_again_and_again_is_left_to_the_cloud_for_longer_and_longer():
    with Clock() as clock, healthy() as stage:
        waits = []
        for _ in range(3):
            for _ in range(instance.REPAIRED):
                clock.now += 1
                stage.instance.repaired()
                assert stage.state == "healthy"
            stage.instance.repaired()
            assert (stage.state, stage.instance.reason) == ("bypassed", instance.REPAIRS)
            begin = clock.now
            stage.check()
            while stage.state != "healthy":
                clock.now += 1
                stage.check()
            waits.append(clock.now - begin)
        assert waits == [0, 10, 20]


def test_a_redirect_that_the_kernel_rejects_is_tried_once_more_at_once_and_then_more_and_more_seldom():
    with Clock() as clock, healthy() as stage:
        waits = []
        for _ in range(3):
            stage.instance.rejected("`tc` failed")
            begin = clock.now
            stage.check()
            while stage.state != "healthy":
                assert (stage.state, stage.instance.reason) == ("bypassed", "`tc` failed")
                clock.now += 1
                stage.check()
            waits.append(clock.now - begin)
        assert waits == [0, 10, 20]


def test_a_reload_tries_a_redirect_again_that_the_kernel_has_rejected():
    with Clock(), healthy() as stage:
        for _ in range(2):
            stage.instance.rejected("`tc` failed")
            stage.check()
        assert stage.state == "bypassed"
        stage.instance.retry()
        stage.check()
        assert stage.state == "healthy"


def test_a_service_without_checks_whose_redirect_the_kernel_has_rejected_comes_back():
    lines = ("list dest_port 80", "option healthcheck none", "option health_interval 5")
    with Stage(*lines) as stage, Clock() as clock:
        stage.instance.ensure(stage.agent.redirect)
        unchecked(stage)
        stage.instance.rejected("`tc` failed")
        assert (stage.state, unchecked(stage), stage.state) == ("bypassed", 0, "healthy")
        stage.instance.rejected("`tc` failed")
        begin = clock.now
        while stage.state != "healthy":
            clock.now += unchecked(stage)
        assert 10 <= clock.now - begin <= 15, "the hold-off, and an interval"
        unchecked(stage)
        assert not stage.agent.loop.timers, "no check"


def test_a_few_repairs_a_minute_are_no_reason():
    with Clock() as clock, healthy() as stage:
        for _ in range(50):
            clock.now += 1 + instance.LATELY / instance.REPAIRED
            stage.instance.repaired()
            assert stage.state == "healthy"


def test_a_check_that_fails_because_the_program_has_just_ended_is_no_flap():
    """The loop may come to the check first: the program would be kept out for a while as one that flaps."""
    with healthy() as stage:
        stage.agent.loop.run_next()
        check = Check.begun[-1]
        stage.instance._pidfd = instance.compat.fd_open(
            "/dev/null", 0
        )  # readable, like the pidfd of a process that has ended
        check.done(Outcome(reason="the program does not listen", listeners=[], mute={}, closed=True))
        assert (stage.state, stage.agent.told) == ("healthy", [])
        instance.compat.fd_close(stage.instance._pidfd)
        stage.instance._pidfd = -1


def test_a_port_that_does_not_answer_is_asked_again_before_that_is_its_last_word():
    """Nobody asks it any more after `viscum up`, and a busy router is late now and then."""
    both = listener(80), listener(81)
    late = {("tcp", 4, 80, b""): "", ("tcp", 4, 81, b""): "it does not answer"}
    good = {key: "" for key in late}
    with Stage("list dest_port 80", "list dest_port 81", "list proto tcp") as stage:
        stage.instance.ensure(stage.agent.redirect)
        for _ in range(instance.SURE - 1):
            stage.check("", *both, mute=late)
            assert (stage.state, stage.takes(), stage.instance.is_settled) == ("healthy", [80], False)
        stage.check("", *both, mute=good)
        assert (stage.takes(), stage.instance.is_settled) == ([80, 81], True)


def test_a_port_that_never_answers_is_not_waited_for():
    both = listener(80), listener(81)
    late = {("tcp", 4, 80, b""): "", ("tcp", 4, 81, b""): "it does not answer"}
    with Stage("list dest_port 80", "list dest_port 81", "list proto tcp") as stage:
        stage.instance.ensure(stage.agent.redirect)
        for _ in range(instance.SURE):
            stage.check("", *both, mute=late)
        assert (stage.state, stage.takes(), stage.instance.is_settled) == ("healthy", [80], True)


def test_a_program_that_has_opened_one_socket_may_open_another():
    """`viscum up` looks at it until two looks in a row have found the same."""
    with Stage("list dest_port 80", "list dest_port 81", "list proto tcp") as stage:
        stage.instance.ensure(stage.agent.redirect)
        stage.check("", listener(80), mute={("tcp", 4, 80, b""): ""})
        assert (stage.state, stage.takes(), stage.instance.is_settled) == ("healthy", [80], False)
        both = {("tcp", 4, 80, b""): "", ("tcp", 4, 81, b""): ""}
        stage.check("", listener(81), listener(80), mute=both)
        assert (stage.takes(), stage.instance.is_settled) == ([80, 81], False)
        stage.check("", listener(80), listener(81), mute=both)
        assert (stage.takes(), stage.instance.is_settled) == ([80, 81], True)
