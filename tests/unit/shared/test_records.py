"""A record with other values."""

from collections import namedtuple

from unit.shared.expect import raises

from viscum_agent.records import with_
from viscum_agent.records.dump import Counters, FilterEntry

Pair = namedtuple("Pair", ("count", "index"))


def test_what_is_not_named_stays_and_the_old_record_too():
    old = Counters(*range(1, 9))
    assert with_(old, bytes=20, overlimits=40) == Counters(1, 20, 3, 40, *range(5, 9))
    assert old == Counters(*range(1, 9))
    assert isinstance(with_(old), Counters)


def test_names_that_are_methods_of_tuples_are_fields_all_the_same():
    assert with_(Pair(1, 2), count=3, index=4) == Pair(3, 4)
    assert with_(FilterEntry(*range(11)), index=99).index == 99


def test_a_field_that_is_not_there_is_a_mistake():
    raises(AttributeError, lambda: with_(Counters(*range(8)), packet=1))
