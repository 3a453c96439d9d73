"""The last lines that the agent keeps: what one service prints, or is said of it, displaces no other's."""

from viscum_agent import log


class Quiet(log.Log):
    """Keeps what is said, and writes it nowhere."""

    def __init__(self):
        super().__init__()
        self._own = self._programs = self._stderr = self

    is_pipe = False

    def is_there(self):
        return True

    def send(self, _message):
        return True

    def write(self, _text):
        pass


def texts(made, *which):
    return [row["text"] for row in made.lines(*which)]


def test_a_service_has_its_program_s_lines_among_the_agent_s_about_it():
    made = Quiet()
    made.say(log.NOTICE, "runs")
    made.say(log.NOTICE, "starting", "web")
    made.keep("web", "caf\u00e9 \u65e5")
    made.say(log.NOTICE, "healthy", "web")
    made.keep("db", "ready")
    assert texts(made, "web") == ["web: starting", "viscum-web: caf\u00e9 \u65e5", "web: healthy"]
    assert texts(made) == ["runs", "web: starting", "web: healthy"]
    assert made.printed("web") == ["caf\u00e9 \u65e5"] and texts(made, "nobody") == []


def test_what_a_program_prints_is_kept_in_so_many_bytes_and_it_is_the_last():
    made = Quiet()
    for number in range(10000):
        made.keep("web", "line %d" % number)
        assert len(made._printed._of["web"]) <= log.PRINTED
    found = made.printed("web")
    assert found == ["line %d" % number for number in range(10000 - len(found), 10000)] and len(found) > 50
    made.keep("web", "\\xff" * 400)  # the longest that a line of 400 bytes becomes
    assert made.printed("web")[-1] == "\\xff" * 400


def test_what_all_programs_print_is_kept_in_so_many_bytes_and_who_prints_most_loses():
    made = Quiet()
    made.keep("quiet", "its only line")
    for number in range(40):
        for _ in range(100):
            made.keep("loud%d" % number, "x" * 300)
        assert sum([len(each) for each in made._printed._of.values()]) == made._printed._size <= log.TOGETHER
    assert made.printed("quiet") == ["its only line"]
    assert min([len(made.printed("loud%d" % number)) for number in range(40)]) > 1


def test_no_output_displaces_what_the_agent_says():
    made = Quiet()
    made.say(log.NOTICE, "runs")
    for _ in range(10000):
        made.keep("web", "viscumd: forged")
    assert texts(made) == ["runs"]


def test_a_service_that_flaps_displaces_only_what_is_said_about_itself():
    made = Quiet()
    made.say(log.NOTICE, "runs")
    made.say(log.NOTICE, "healthy", "db")
    for number in range(1000):
        made.say(log.NOTICE, "backoff %d" % number, "web")
    found = texts(made)
    assert found[:2] == ["runs", "db: healthy"] and len(found) == log.KEPT
    assert found[2:] == ["web: backoff %d" % number for number in range(1000 - log.KEPT + 2, 1000)]


def test_who_asks_again_gets_what_came_since():
    made = Quiet()
    made.keep("web", "one")
    then = made.serial
    assert texts(made, "web", then) == []
    made.keep("web", "two")
    made.say(log.NOTICE, "healthy", "web")
    assert texts(made, "web", then) == ["viscum-web: two", "web: healthy"]
    assert len(made.lines("web")) == 3


def test_who_knows_a_number_of_another_agent_gets_everything():
    made = Quiet()
    made.keep("web", "one")
    for number in (1, made._first - 1, made.serial + 1, 0x7FFFFFFF, -5):
        assert texts(made, "web", number) == ["viscum-web: one"]


def test_the_numbers_have_no_end():
    """They are an int32 in ubus."""
    made = Quiet()
    made.serial = 0x7FFFFFFF
    made.keep("web", "one")
    assert made._first <= made.serial < 0x7FFFFFFF
