"""Who asks for `status` again and again is told what changed, and of the rest only what moves."""

from viscum_agent import report

STILL = {"state": "healthy", "reason": "", "pid": 7, "takes": ["tcp 203.0.113.10/32 port 80"]}
MOVES = {"uptime": 1, "packets": 2, "bytes": 3, "drops": 0, "overlimits": 0, "connections": 1}


def row(**changes):
    whole = dict(STILL)
    whole.update(MOVES)
    whole.update(changes)
    return whole


def answers(changes, then, now, **rows):
    return changes.since(rows, then, now)


def test_a_row_is_whole_until_it_has_been_told_and_then_only_what_moves():
    changes = report.Changes()
    assert answers(changes, 10, 12, web=row()) == {"web": row()}
    assert answers(changes, 12, 14, web=row()) == {"web": row()}, "it was first seen in the second of that answer"
    assert answers(changes, 14, 16, web=row(bytes=9)) == {"web": dict(MOVES, bytes=9)}


def test_a_row_that_changed_is_whole_and_the_others_are_not():
    changes = report.Changes()
    answers(changes, 10, 12, one=row(), two=row())
    found = answers(changes, 14, 16, one=row(), two=row(state="bypassed"))
    assert found == {"one": MOVES, "two": row(state="bypassed")}
    assert answers(changes, 18, 20, one=row(), two=row(state="bypassed")) == {"one": MOVES, "two": MOVES}


def test_everybody_is_told_what_changed_since_his_own_answer():
    changes = report.Changes()
    answers(changes, 10, 12, web=row())
    assert answers(changes, 14, 20, web=row(state="failed"))["web"] == row(state="failed")
    assert answers(changes, 19, 21, web=row(state="failed"))["web"] == row(state="failed"), "another page"
    assert answers(changes, 21, 22, web=row(state="failed"))["web"] == MOVES


def test_after_a_restart_of_the_agent_or_the_router_rows_are_whole():
    assert answers(report.Changes(), 100, 102, web=row()) == {"web": row()}
    changes = report.Changes()
    answers(changes, 1, 3, web=row())
    assert answers(changes, 100, 5, web=row()) == {"web": row()}, "the clock began anew"


def test_what_is_remembered_has_an_end():
    changes = report.Changes()
    many = {"s%d" % number: row() for number in range(report.PAGE + 1)}
    changes.since(many, 10, 12)
    assert answers(changes, 20, 22, s1=row()) == {"s1": row()}
