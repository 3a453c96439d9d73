"""Answers that take long are kept for a moment: for those who may wait, and for the pages of one."""

from viscum_agent import compat
from viscum_agent.loop import Loop
from viscum_agent.ubus_object import kept, methods


class Agent:
    """What a Bus needs of one."""

    confdir = "/nonexistent"

    def __init__(self):
        self.loop = Loop()
        self.listeners = []

    def take_names(self, names):
        pass

    def bus_state(self, connected, reason):
        pass


class Request:
    def __init__(self, user):
        self.user = user


def bus():
    """A Bus whose plan is a new line each time that it is looked at."""
    made = methods.Bus(Agent(), "/nonexistent/sock")
    looks = []

    def planned():
        looks.append(1)
        return {"problems": ["p"], "commands": ["%d %s" % (len(looks), "x" * 300000), "more"]}

    made._planned = planned
    return made


def first(answer):
    return answer["commands"][0][0]


def test_root_gets_a_plan_of_now_and_others_that_of_a_moment_ago():
    made = bus()
    nobody, root = Request("nobody"), Request("root")
    assert first(made._plan("plan", {}, nobody)) == "1"
    assert [first(made._plan("plan", {}, nobody)) for _ in range(3)] == ["1"] * 3
    assert first(made._plan("plan", {}, root)) == "2"
    assert first(made._plan("plan", {}, nobody)) == "2"
    assert first(made._plan("plan", {}, root)) == "3"


def test_the_pages_of_a_plan_are_of_one_look():
    made = bus()
    made._planned = lambda lines=["a" * 300000, "b" * 300000, "c"]: {"problems": ["p"], "commands": lines}
    answer = made._plan("plan", {}, Request("root"))
    assert answer["problems"] == ["p"] and answer["next"] == 2
    made._planned = None  # is not looked at again
    answer = made._plan("plan", {"from": 2}, Request("root"))
    assert answer == {"problems": [], "commands": ["c"]}


def test_the_pages_of_a_check_are_of_one_look_while_it_is_about_the_same():
    made = bus()
    asked = []
    made._checked = lambda sections: asked.append(sections) or {"problems": [], "commands": ["a"], "restarts": []}
    for sections, number in (([1], 0), ([1], 1), ([2], 1), ([1], 0), ([1], 0)):
        made._check("check", {"sections": sections, "from": number}, Request("root"))
    assert asked == [[1], [2], [1], [1]]


def test_what_took_long_is_kept_for_longer_and_then_takes_no_memory():
    loop, made = Loop(), []
    answers = kept.Kept(loop)

    def slow():
        compat.sleep(0.01)
        made.append(1)
        return len(made)

    before = kept.KEPT
    kept.KEPT = 0.02
    try:
        began = compat.monotonic()
        assert [answers.get(slow) for _ in range(3)] == [1, 1, 1]
        over = compat.monotonic()
        assert began + 0.05 < loop._timers[0][0] < over + kept.DEARER * (over - began) + 0.01
        loop.step()
        assert answers._found is None and loop._timers == []
        assert answers.get(slow) == 2
        assert answers.get(slow, anew=True) == 3 and len(loop._timers) == 1
    finally:
        kept.KEPT = before


def test_an_answer_that_failed_is_not_kept():
    answers = kept.Kept(Loop())

    def fails():
        raise ValueError

    for _ in range(2):
        try:
            answers.get(fails)
            raise AssertionError("nothing was raised")
        except ValueError:
            pass
    assert answers.get(lambda: 1) == 1
