"""When a program that ended is started again, in procd's words: threshold, timeout, retry."""

from viscum_agent.config.service import Respawn
from viscum_agent.service.respawn import after_exit

POLICY = Respawn(threshold=10, timeout=5, retry=2)
NEVER = -1


def waits(policy, *times):
    """Seconds until each next start, of a program that ran for these times."""
    crashes, found = 0, []
    for ran in times:
        crashes, wait = after_exit(policy, crashes, ran)
        found.append(wait)
    return found


def test_one_that_ends_too_soon_too_often_in_a_row_is_left_alone():
    assert waits(POLICY, 1, 1, 1) == [5, 5, NEVER]


def test_one_that_ran_as_long_as_the_threshold_begins_anew():
    assert waits(POLICY, 1, 1, 10, 1, 1) == [5, 5, 5, 5, 5]
    assert waits(POLICY, 1, 1, 9.9) == [5, 5, NEVER]


def test_a_threshold_of_0_counts_nothing_as_a_crash():
    assert waits(Respawn(0, 5, 2), 0, 0, 0, 0) == [5] * 4


def test_a_retry_of_0_tries_for_ever():
    assert waits(Respawn(10, 0, 0), *[0] * 50) == [0] * 50
