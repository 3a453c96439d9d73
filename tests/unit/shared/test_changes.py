"""Who asks for `status` again and again is told what changed since the answer that he had."""

from viscum_agent.ubus_object import rows

TAKES = ["tcp 203.0.113.10/32 port 80"]
ROW = {"state": "healthy", "takes": TAKES, "pid": 7, "uptime": 100, "packets": 2, "connections": 1}


def row(**changes):
    whole = dict(ROW)
    whole.update(changes)
    return whole


class Poller:
    """Keeps what it was told, as LuCI's page does."""

    def __init__(self, changes):
        self.changes = changes
        self.since = None
        self.known = {}

    def ask(self, now, **rows):
        """The answer."""
        found = self.changes.since(rows, self.since, now)
        self.since = self.changes.serial
        for name in found:
            self.known.setdefault(name, {}).update(found[name])
        return found

    def knows(self, now, **rows):
        """Asks; whether it then knows how things are. (How long a program has run goes by itself.)"""
        self.ask(now, **rows)
        return all(self.known[name][key] == rows[name][key] for name in rows for key in rows[name] if key != "uptime")


def test_the_first_answer_is_whole_and_then_only_what_changed():
    page = Poller(rows.Changes())
    assert page.ask(12, web=row()) == {"web": row()}
    assert page.ask(14, web=row(uptime=102)) == {"web": {}}
    assert page.ask(16, web=row(uptime=104, packets=9)) == {"web": {"packets": 9}}
    assert page.ask(18, web=row(uptime=106, packets=9)) == {"web": {}}


def test_a_program_that_began_anew_is_told_by_its_uptime():
    page = Poller(rows.Changes())
    page.ask(12, web=row())
    assert page.ask(16, web=row(uptime=105)) == {"web": {}}, "to the second"
    assert page.ask(18, web=row(uptime=0)) == {"web": {"uptime": 0}}


def test_a_service_without_a_program_has_nothing_to_tell():
    page = Poller(rows.Changes())
    page.ask(12, web=row(pid=0, uptime=0))
    assert page.ask(16, web=row(pid=0, uptime=0)) == {"web": {}}


def test_everybody_is_told_what_changed_since_his_own_answer():
    changes = rows.Changes()
    one, other = Poller(changes), Poller(changes)
    one.ask(12, web=row())
    other.ask(12, web=row())
    assert one.ask(20, web=row(uptime=108, state="failed")) == {"web": {"state": "failed"}}
    assert other.ask(21, web=row(uptime=109, state="failed")) == {"web": {"state": "failed"}}
    assert one.ask(22, web=row(uptime=110, state="failed")) == {"web": {}}


def test_what_an_answer_without_since_said_is_not_told_by_an_older_equal_value():
    """A page that was open before knew 0 connections; this one begins with 1, and they go."""
    changes = rows.Changes()
    Poller(changes).ask(12, web=row(connections=0))
    page = Poller(changes)
    page.ask(20, web=row(connections=1))
    assert page.ask(22, web=row(uptime=102, connections=0)) == {"web": {"connections": 0}}


def test_stop_start_stop_with_others_asking_in_between():
    for asks in range(1 << 6):  # which of the two pages asks after which change
        changes = rows.Changes()
        pages = [Poller(changes), Poller(changes)]
        for number, state in enumerate(("stopping", "healthy", "stopping")):
            for which, page in enumerate(pages):
                if asks >> (2 * number + which) & 1:
                    assert page.knows(10, web=row(state=state))
        for page in pages:
            assert page.knows(10, web=row(state="stopping")), "within one second, too"


def test_after_a_restart_of_the_agent_rows_are_whole():
    page = Poller(rows.Changes())
    page.ask(12, web=row())
    page.changes = rows.Changes()
    assert page.ask(14, web=row()) == {"web": row()}
    assert rows.Changes().serial != rows.Changes().serial, "or it would be a guess"


def test_a_serial_that_was_never_given_is_as_none():
    changes = rows.Changes()
    changes.since({"web": row()}, None, 12)
    for then in (-(1 << 31), -1, 0, changes.serial - 2, changes.serial + 1, (1 << 31) - 1):
        assert changes.since({"web": row()}, then, 12) == {"web": row()}


def test_a_serial_fits_into_an_int32_for_a_long_time():
    for _ in range(50):
        assert 0 < rows.Changes().serial <= 1 << 30


def test_services_that_are_gone_are_forgotten_and_whole_when_they_are_back():
    changes = rows.Changes()
    page = Poller(changes)
    page.ask(12, web=row(), iperf=row())
    changes.forget(["iperf"])
    assert page.ask(14, iperf=row(uptime=102)) == {"iperf": {}}
    assert page.ask(16, web=row(), iperf=row(uptime=104)) == {"web": row(), "iperf": {}}


def test_three_hundred_services_are_told_as_little_as_three():
    page = Poller(rows.Changes())
    many = {"s%03d" % number: row(pid=0) for number in range(300)}
    page.ask(12, **many)
    assert not any(page.ask(13, **many).values())
