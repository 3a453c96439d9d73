"""What is known of names (names/known.py) and what an answer says (names/message.py)."""

import struct

import dns_answers
from dns_answers import SAME, record

from viscum_agent import address
from viscum_agent.config.service import Named
from viscum_agent.names import message
from viscum_agent.names.known import AGAIN, GRACE, GROUP, LEAST, MOST, MOST_ADDRESSES, NOTHING, Known

HOST = "speed.example.com"
ONE, TWO = b"\xcb\x00\x71\x0a", b"\xcb\x00\x71\x0b"  # 203.0.113.10, 203.0.113.11
SIX = address.parse_address("2001:db8:cafe::10")


def known(*families):
    made = Known()
    made.want({HOST: list(families or (4,))})
    return made


def addresses(made):
    return made.hosts()[HOST].addresses


def test_a_name_is_asked_at_once_and_is_not_known_until_then():
    made = known(4, 6)
    assert made.due(1000) == [(HOST, 4), (HOST, 6)]
    assert made.hosts() == {}
    assert not made.learn(HOST, 4, [], 60, 1000)
    assert made.hosts() == {}  # the other family may have one
    assert made.learn(HOST, 6, [], 60, 1000)
    assert made.hosts()[HOST] == ((), "has no address")


def test_an_address_counts_as_soon_as_it_is_known():
    made = known(4, 6)
    assert made.learn(HOST, 4, [ONE], 60, 1000)
    assert made.hosts()[HOST] == ((ONE,), "")
    assert made.learn(HOST, 6, [SIX], 60, 1000)
    assert sorted(addresses(made)) == sorted([SIX, ONE])


def test_the_same_answer_in_another_order_changes_nothing():
    made = known()
    assert made.learn(HOST, 4, [TWO, ONE, TWO], 60, 1000)
    assert not made.learn(HOST, 4, [ONE, TWO], 60, 1060)
    assert addresses(made) == (ONE, TWO)


def test_a_name_is_asked_when_its_time_is_over_together_with_its_neighbours():
    made = known()
    for ttl, seconds in ((0, LEAST), (60, 60), (10**9, MOST)):
        made.learn(HOST, 4, [ONE], ttl, 1000)
        assert not made.due(1000 + seconds - 0.1)
        assert made.due(1000 + seconds + GROUP)
        assert made.next() % GROUP == 0
    made.learn(HOST, 4, [], 10**9, 1000)
    assert 1000 + NOTHING < made.next() <= 1000 + NOTHING + GROUP


def test_an_old_address_counts_for_a_while_and_again_when_it_comes_back():
    made = known()
    made.learn(HOST, 4, [ONE], 60, 1000)
    assert made.learn(HOST, 4, [TWO], 60, 1060)
    assert addresses(made) == (ONE, TWO)
    made.learn(HOST, 4, [TWO], 60, 2000)  # that it is still gone is no new time
    assert not made.expire(1060 + GRACE)
    assert made.expire(1060 + GRACE + GROUP)
    assert addresses(made) == (TWO,)
    made.learn(HOST, 4, [ONE], 60, 9000)
    made.learn(HOST, 4, [TWO], 60, 9001)
    assert not made.expire(9000 + GRACE - 1)
    assert addresses(made) == (ONE, TWO)


def test_a_name_that_vanishes_is_without_an_address_when_the_while_is_over():
    made = known()
    made.learn(HOST, 4, [ONE], 60, 1000)
    assert not made.learn(HOST, 4, [], 0, 1060, "no such name")
    assert made.hosts()[HOST] == ((ONE,), "")
    assert made.expire(1060 + GRACE + GROUP)
    assert made.hosts()[HOST] == ((), "no such name")


def test_what_is_known_stays_where_nobody_answers():
    made = known()
    made.learn(HOST, 4, [ONE], 60, 1000)
    for now in range(1060, 1060 + 10 * GRACE, 600):
        assert not made.lost(HOST, 4, "127.0.0.1 does not answer", now)
        assert not made.expire(now)
    assert addresses(made) == (ONE,)
    assert made.due(now + AGAIN + GROUP)


def test_why_nobody_answers_is_said_where_nothing_is_known():
    made = known(4, 6)
    made.lost(HOST, 4, "127.0.0.1 does not answer", 1000)
    made.learn(HOST, 6, [], 60, 1000)
    assert made.hosts()[HOST] == ((), "127.0.0.1 does not answer")


def test_addresses_that_are_nobodys_in_the_cloud_are_refused():
    made = known(4, 6)
    for text in ("0.0.0.0", "127.0.0.1", "224.0.0.1", "169.254.1.1"):
        made.learn(HOST, 4, [address.parse_address(text)], 60, 1000)
        made.learn(HOST, 6, [], 60, 1000)
        assert made.hosts()[HOST].addresses == ()
        assert made.hosts()[HOST].reason.startswith(text + " can't be redirected")
    for text in ("::", "::1", "fe80::1", "ff02::1", "::ffff:203.0.113.10"):
        made.learn(HOST, 6, [address.parse_address(text)], 60, 1000)
        assert made.hosts()[HOST].addresses == ()


def test_a_name_has_a_bounded_number_of_addresses_the_newest():
    made = known()
    for turn in range(4):
        made.learn(HOST, 4, [struct.pack(">I", 0x0A000000 + 50 * turn + each) for each in range(50)], 60, 1000 + turn)
    found = addresses(made)
    assert len(found) == MOST_ADDRESSES
    assert found[-50:] == tuple([struct.pack(">I", 0x0A000000 + 150 + each) for each in range(50)])


def test_answers_for_names_that_nobody_wants_change_nothing():
    made = known()
    assert not made.learn("other.example.com", 4, [ONE], 60, 1000)
    assert not made.learn(HOST, 6, [SIX], 60, 1000)
    made.learn(HOST, 4, [ONE], 60, 1000)
    made.want({})
    assert made.hosts() == {}
    assert made.next() == float("inf")


def test_a_reload_keeps_what_is_known_and_asks_again():
    made = known()
    made.learn(HOST, 4, [ONE], 60, 1000)
    made.want({HOST: [4], "other.example.com": [4]})
    assert addresses(made) == (ONE,)
    assert sorted(made.due(0)) == [("other.example.com", 4), (HOST, 4)]


def test_a_family_that_comes_or_goes_changes_nothing_of_the_other():
    made = known(4)
    made.learn(HOST, 4, [TWO], 60, 1000)
    made.learn(HOST, 4, [ONE], 60, 1060)
    made.want({HOST: [4, 6]})
    assert addresses(made) == (ONE, TWO)
    made.learn(HOST, 6, [SIX], 60, 1060)
    made.want({HOST: [6]})
    assert addresses(made) == (SIX,)
    made.want({HOST: [4, 6]})
    assert addresses(made) == (SIX,)
    assert not made.answered([Named((HOST,), ())])


def test_whether_all_names_were_answered_is_known():
    made = known(4, 6)
    group = Named((HOST,), ())
    made.learn(HOST, 4, [ONE], 60, 1000)
    made.lost(HOST, 6, "127.0.0.1 does not answer", 1000)
    assert not made.answered([group])
    made.learn(HOST, 6, [], 60, 1030)
    assert made.answered([group])
    made.lost(HOST, 6, "127.0.0.1 does not answer", 1090)
    assert made.answered([group, Named(("nobody.wants.it",), ())])


# Messages


def answered(*records, host=HOST, family=4, **changes):
    """An answer to the question for HOST's IPv4 addresses."""
    return dns_answers.answered(message.question(7, host, family), *records, **changes)


def test_the_question_is_as_dns_has_it():
    assert message.question(0x1234, "a.example", 6) == (
        b"\x12\x34\x01\0\0\1\0\0\0\0\0\1" + b"\1a\7example\0" + b"\0\x1c\0\1" + b"\0\0\x29\x04\xd0\0\0\0\0\0\0"
    )


def test_an_answer_has_the_addresses_and_the_least_ttl_at_the_end_of_aliases():
    cdn, edge = b"\3cdn\7example\3net\0", b"\4EDGE\7example\3net\0"
    data = answered(
        record(SAME, 5, 300, cdn), record(cdn, 5, 20, edge.lower()), record(edge, 1, 60, ONE), record(edge, 1, 50, TWO)
    )
    assert message.answer(data, 7, HOST, 4) == (0, False, [ONE, TWO], 20)


def test_only_what_was_asked_is_an_answer():
    right = record(SAME, 1, 60, ONE)
    assert message.answer(answered(right), 7, HOST, 4) == (0, False, [ONE], 60)
    assert message.answer(answered(right, number=8), 7, HOST, 4) is None
    assert message.answer(answered(right, host="sport.example.com"), 7, HOST, 4) is None
    assert message.answer(answered(right, family=6), 7, HOST, 4) is None
    assert message.answer(answered(right, flags=0x0180), 7, HOST, 4) is None  # a question
    assert message.answer(answered(right, flags=0x9180), 7, HOST, 4) is None  # of another kind
    other = record(b"\3www\3net\0", 1, 60, TWO)
    assert message.answer(answered(other, right), 7, HOST, 4).addresses == [ONE]
    assert message.answer(answered(record(SAME, 28, 60, SIX)), 7, HOST, 4).addresses == []
    assert message.answer(answered(record(SAME, 1, 60, ONE + ONE)), 7, HOST, 4).addresses == []


def test_what_ends_too_early_is_no_answer():
    whole = answered(record(SAME, 5, 300, b"\3cdn\xc0\x12"), record(b"\3cdn\xc0\x12", 1, 60, ONE))
    assert message.answer(whole, 7, HOST, 4).addresses == [ONE]
    for size in range(len(whole)):
        assert message.answer(whole[:size], 7, HOST, 4) is None


def test_names_that_lead_in_a_circle_end():
    place = 12 + len(message.wire(HOST)) + 4
    assert message.answer(answered(record(struct.pack(">H", 0xC000 + place), 1, 60, ONE)), 7, HOST, 4) is None
    assert message.answer(answered(record(SAME, 5, 60, SAME)), 7, HOST, 4).addresses == []
    long = b"\x3f" + b"a" * 63
    assert message.answer(answered(record(long * 4 + b"\0", 1, 60, ONE)), 7, HOST, 4) is None


def test_no_such_name_and_what_does_not_fit_are_told():
    assert message.answer(answered(flags=0x8183), 7, HOST, 4).rcode == message.NO_NAME
    assert message.answer(answered(flags=0x8380), 7, HOST, 4).cut
