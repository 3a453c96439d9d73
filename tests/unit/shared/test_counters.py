"""What is counted goes on when a redirect goes and comes back."""

from viscum_agent.kernel.counters import Totals, direct
from viscum_agent.records import with_
from viscum_agent.records.dump import NOTHING, FilterEntry
from viscum_agent.records.objects import CLASSID


def packets(totals, name, count):
    return totals.count(name, with_(NOTHING, packets=count, bytes=100 * count)).packets


def test_counters_never_fall():
    totals = Totals()
    assert [packets(totals, "a", count) for count in (5, 7)] == [5, 7]
    totals.out("a")
    assert totals.of("a").packets == 7
    assert [packets(totals, "a", count) for count in (3, 9)] == [10, 16]
    assert packets(totals, "a", 1) == 17, "it went and came while nobody looked"
    assert totals.of("a").bytes == 1700
    assert packets(totals, "b", 1) == 1
    totals.forget("a")
    assert totals.of("a").packets == 0


def test_while_nothing_counts_it_is_what_it_was():
    totals = Totals()
    assert packets(totals, "a", 5) == 5
    assert (totals.count("a", None).packets, totals.count("b", None).packets) == (5, 0)


def test_what_a_program_begins_itself_is_no_direct_reply():
    def ends(*counts):
        blank = FilterEntry(*([0] * 5 + [CLASSID] + [0] * 4 + [NOTHING]))
        return [with_(blank, prio=prio, counters=with_(NOTHING, packets=count)) for prio, count in counts]

    inner, outer = ends((1, 1), (2, 1), (3, 5), (5, 7)), ends((1, 100), (3, 2), (5, 10), (6, 1))
    assert direct((inner, outer)) == {"syn": 2, "ack": 5, "other": 7, "syn_ack": 2, "replies": 11}
