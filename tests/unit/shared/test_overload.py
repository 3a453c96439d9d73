"""Load shedding: out at once, back only after a calm while."""

from viscum_agent.service.overload import CALM, Load, Overload


def judged(limit, shares):
    """Whether redirects are out after each look."""
    overload = Overload()
    return [bool(overload.judge(limit, share)) for share in shares]


def test_redirects_go_out_at_the_first_look_over_the_limit():
    assert judged(80, [80, 81]) == [False, True]


def test_they_come_back_after_calm_looks_in_a_row_and_no_sooner():
    assert judged(80, [90] + [59] * CALM) == [True] * CALM + [False]
    assert judged(80, [90] + [59] * (CALM - 1) + [60] + [59] * CALM) == [True] * (2 * CALM) + [False]


def test_a_share_between_the_two_limits_changes_nothing():
    assert judged(80, [70, 70]) == [False, False]
    assert judged(80, [90] + [70] * 20) == [True] * 21


def test_without_a_limit_nothing_is_ever_out():
    assert judged(0, [100, 100]) == [False, False]
    overload = Overload()
    assert overload.judge(80, 90)
    assert overload.judge(0, 90) == "", "the limit was taken out of the configuration"


def test_the_reason_names_the_option():
    assert Overload().judge(80, 97) == "the router's CPU is 97% busy (bypass_load 80)"


def test_the_share_of_the_cpus_is_a_percentage():
    load = Load()
    for _ in range(3):
        assert 0 <= load.share() <= 100


def test_a_low_limit_is_left_as_well():
    """Nothing is 20 points below a limit of 20: then half of it is low enough."""
    assert judged(20, [30] + [9] * CALM) == [True] * CALM + [False]
    assert judged(1, [30] + [0] * CALM) == [True] * CALM + [False]


def test_the_reason_stays_the_same_while_the_router_is_overloaded():
    overload = Overload()
    assert overload.judge(80, 97) == overload.judge(80, 91)
