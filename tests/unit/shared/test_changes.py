"""Who asks for `status` again and again is told what changed since he was told last."""

from viscum_agent import report

TAKES = ["tcp 203.0.113.10/32 port 80"]
ROW = {"state": "healthy", "takes": TAKES, "pid": 7, "uptime": 100, "packets": 2, "connections": 1}


def row(**changes):
    whole = dict(ROW)
    whole.update(changes)
    return whole


def answers(changes, then, now, **rows):
    return changes.since(rows, then, now)


def test_a_row_is_whole_until_it_has_been_told_and_then_only_what_changed():
    changes = report.Changes()
    assert answers(changes, 10, 12, web=row()) == {"web": row()}
    found = answers(changes, 12, 14, web=row(uptime=102))
    assert found == {"web": row(uptime=102)}, "it was first seen in the second of that answer"
    assert answers(changes, 14, 16, web=row(uptime=104, packets=9)) == {"web": {"packets": 9}}
    assert answers(changes, 17, 18, web=row(uptime=106, packets=9)) == {"web": {}}


def test_a_program_that_began_anew_is_told_by_its_uptime():
    changes = report.Changes()
    answers(changes, 10, 12, web=row())
    assert answers(changes, 14, 16, web=row(uptime=105)) == {"web": {}}, "to the second"
    assert answers(changes, 16, 18, web=row(uptime=0)) == {"web": {"uptime": 0}}


def test_a_service_without_a_program_has_nothing_to_tell():
    changes = report.Changes()
    answers(changes, 10, 12, web=row(pid=0, uptime=0))
    assert answers(changes, 14, 16, web=row(pid=0, uptime=0)) == {"web": {}}


def test_everybody_is_told_what_changed_since_his_own_answer():
    changes = report.Changes()
    answers(changes, 10, 12, web=row())
    assert answers(changes, 14, 20, web=row(uptime=108, state="failed")) == {"web": {"state": "failed"}}
    found = answers(changes, 19, 21, web=row(uptime=109, state="failed"))
    assert found == {"web": {"state": "failed"}}, "another page"
    assert answers(changes, 21, 22, web=row(uptime=110, state="failed")) == {"web": {}}


def test_after_a_restart_of_the_agent_or_the_router_rows_are_whole():
    assert answers(report.Changes(), 100, 102, web=row()) == {"web": row()}
    changes = report.Changes()
    answers(changes, 1, 3, web=row())
    assert answers(changes, 100, 5, web=row(uptime=0)) == {"web": row(uptime=0)}, "the clock began anew"


def test_what_is_remembered_has_an_end():
    changes = report.Changes()
    many = {"s%d" % number: row() for number in range(report.PAGE + 1)}
    changes.since(many, 10, 12)
    assert answers(changes, 20, 22, s1=row()) == {"s1": row()}
