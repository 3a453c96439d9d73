"""How a check of several ways begins and ends (service/health.py). What it asks: tests/netns/test_health.py."""

import time
from types import SimpleNamespace

from viscum_agent import compat
from viscum_agent.loop import Loop
from viscum_agent.plan.answers import Way, way_key
from viscum_agent.service.health import Check, Look


class Asked:
    """A question whose program answers while it is asked, or later."""

    asks = True

    def __init__(self, check, port, at_once):
        self.way = Way(proto="udp", family=4, port=port, bound=b"", version=4, client=b"", client_port=port)
        self._check, self._at_once = check, at_once

    def begin(self):
        if self._at_once:
            self.answer()

    def answer(self):
        self._check.answered(self, "")

    def cancel(self):
        pass


def begin(*at_once):
    """(the check, its questions, what it found)"""
    outcomes = []
    check = Check.__new__(Check)
    check._loop, check._done, check._timer = Loop(), outcomes.append, None
    check._questions, check._begun, check._listeners, check._mute, check._asked = [], False, [], {}, []
    check._closed, check._pid, check._pidfd = False, 0, -1
    check._name, check._tools = "echo", SimpleNamespace(talked={})
    questions = [Asked(check, port, one) for port, one in enumerate(at_once)]
    check._begin(questions)
    return check, questions, outcomes


def keys(questions):
    return {way_key(question.way) for question in questions}


def test_a_way_that_answers_while_it_is_asked_does_not_end_the_check_of_the_others():
    _, questions, outcomes = begin(True, False)
    assert outcomes == [], "the second way is not known yet: its traffic would go to the cloud"
    questions[1].answer()
    assert [set(outcome.mute) for outcome in outcomes] == [keys(questions)]


def test_a_check_whose_ways_all_answer_at_once_ends_when_its_caller_is_ready_for_it():
    check, questions, outcomes = begin(True, True)
    assert outcomes == []
    check._loop.after(0.01, check._loop.stop)
    check._loop.run()
    assert [set(outcome.mute) for outcome in outcomes] == [keys(questions)]


class Crowded:
    """A namespace with so many sockets that a look takes a while; nothing of what waits is taken."""

    looks = 0

    def waiting(self, _name, _way):
        self.looks += 1
        time.sleep(0.02)
        return 1


def test_where_a_look_takes_long_there_are_fewer():
    """A program may have any number of sockets, and every one is read to find those that are asked."""
    check, _, outcomes = begin(False)
    check._tools, check._name, check._give_up = Crowded(), "echo", compat.monotonic() + 1
    ways = [Asked(check, port, False).way for port in range(4)]
    check._begin([Look(check, way) for way in ways])
    while not outcomes:
        check._loop.step()
    assert len(outcomes[0].mute) == 4 and check._tools.looks <= 4 * 4
