"""What of packets between clients and resolvers says which addresses names have (names/snoop.py)."""

import struct

from viscum_agent import address
from viscum_agent.kernel.handshake import ip_packet
from viscum_agent.names import known, message, snoop

HOST, WILD = "speed.example.com", "*.example.com"
ONE, TWO = address.parse_address("203.0.113.10"), address.parse_address("203.0.113.11")
SIX = address.parse_address("2001:db8:cafe::10")
CLIENT, OTHER, RESOLVER, LIAR = [address.parse_address("192.0.2.%d" % last) for last in (2, 3, 53, 66)]
CLIENT6, RESOLVER6 = address.parse_address("2001:db8::2"), address.parse_address("2001:db8:53::53")
KEY, OTHERS = ("echo", HOST), ("other", WILD)


def udp(source, port, target, to_port, data):
    head = struct.pack(">HHH", port, to_port, 8 + len(data))
    even = data + bytes(len(data) % 2)  # the checksum counts pairs
    return ip_packet(source, target, 17, head, even)[: (20 if len(source) == 4 else 40) + 8 + len(data)]


def question(host=HOST, family=4, number=7, client=CLIENT, port=40000, resolver=RESOLVER):
    return udp(client, port, resolver, 53, message.question(number, host, family))


def told(*packed, **changes):
    """The packet that answers such a question with these addresses."""
    host, family, number = changes.get("host", HOST), changes.get("family", 4), changes.get("number", 7)
    asked = message.question(number, host, family)[12:-11]
    body = b"".join([record(b"\xc0\x0c", message.TYPES[family][0], changes.get("ttl", 60), each) for each in packed])
    head = struct.pack(">HHHHHH", number, changes.get("flags", 0x8180), 1, len(packed), 0, 0)
    ends = changes.get("resolver", RESOLVER), changes.get("from_port", 53)
    ends += changes.get("client", CLIENT), changes.get("port", 40000)
    return udp(*(ends + (head + asked + body,)))


def record(owner, kind, ttl, body):
    return owner + struct.pack(">HHIH", kind, 1, ttl, len(body)) + body


class Device:
    """One at which HOST is wanted, and everything below example.com by another service."""

    def __init__(self):
        self.told = snoop.Told()
        self.told.want([KEY, OTHERS])
        self.talk = snoop.Conversations(self.told)
        self.talk.want([KEY, OTHERS])

    def ask(self, now=1000, **changes):
        self.talk.came_in(question(**changes), now)

    def answer(self, packet, now=1000):
        found = self.talk.parse(packet)
        return bool(found) and self.talk.answered(found, now)

    def has(self, key=KEY):
        return self.told.addresses()[key]


def test_what_a_client_asked_and_was_told_counts_for_whoever_wants_the_name():
    device = Device()
    device.ask()
    assert device.answer(told(ONE, TWO))
    assert device.has() == device.has(OTHERS) == (ONE, TWO)
    device.ask(number=8)
    assert not device.answer(told(TWO, number=8))  # nothing new, and nothing less
    assert device.has() == (ONE, TWO)


def test_both_families_of_addresses_and_of_resolvers():
    device = Device()
    ends = {"client": CLIENT6, "resolver": RESOLVER6}
    device.ask(family=6, **ends)
    assert device.answer(told(SIX, family=6, **ends))
    device.ask(**ends)
    assert device.answer(told(ONE, **ends))
    assert device.has() == (SIX, ONE)


def test_names_below_another_one_are_wanted_and_not_that_one():
    device = Device()
    for host, wanted in (("www.example.com", True), ("a.b.example.com", True), ("WWW.Example.com", True)):
        device.ask(host=host)
        assert device.answer(told(ONE, host=host)) == wanted
        device = Device()
    for host in ("example.com", "wwwexample.com", "www.example.net", "com", "example.com.net"):
        device.ask(host=host)
        assert not device.answer(told(ONE, host=host))
    assert device.has(OTHERS) == ()


def test_only_an_answer_to_what_was_asked_counts():
    forged = (
        {"number": 8},
        {"port": 40001},
        {"client": OTHER},
        {"resolver": LIAR},
        {"from_port": 54},
        {"host": "sport.example.com"},
        {"family": 6},
        {"flags": 0x0180},  # a question
        {"flags": 0x9180},  # of another kind
        {"flags": 0x8182},  # SERVFAIL
    )
    for changes in forged:
        device = Device()
        device.ask()
        packed = SIX if changes.get("family") == 6 else TWO
        assert not device.answer(told(packed, **changes)), changes
        assert device.has() == device.has(OTHERS) == ()
    assert not Device().answer(told(ONE))


def test_an_answer_counts_once_and_not_late():
    device = Device()
    device.ask(now=1000)
    assert not device.answer(told(ONE), 1000 + snoop.WINDOW + 0.1)
    device.ask(now=1000)
    device.ask(now=1004)  # sent again
    assert device.answer(told(ONE), 1004 + snoop.WINDOW)
    assert not device.answer(told(TWO), 1004 + snoop.WINDOW)
    assert device.has() == (ONE,)


def test_what_the_clients_side_answers_itself_counts_for_nothing():
    """A client asks, and answers from a second address; the router sends that back to where it came from. He asks once
    more before the router has read any of it."""
    device = Device()
    device.ask()
    device.talk.came_in(told(TWO), 1000)
    device.ask()
    assert not device.answer(told(TWO))
    device.talk.came_in(told(TWO), 1000)
    for number in range(100, 100 + snoop.MOST):
        device.talk.came_in(told(TWO, number=number), 1000)
    device.ask()
    assert not device.answer(told(TWO))
    device.ask(now=1001 + snoop.WINDOW)
    assert device.answer(told(ONE), 1001 + snoop.WINDOW)
    assert device.has() == (ONE,)


def test_whoever_guesses_makes_the_question_count_no_more():
    device = Device()
    device.ask(number=500)
    device.ask(number=501, host="www.example.com")
    for number in range(snoop.MISSES):
        assert not device.answer(told(TWO, number=number))
    assert not device.answer(told(TWO, number=500))
    assert device.answer(told(ONE, number=501, host="www.example.com"))


def test_questions_are_bounded_for_each_client_and_in_all():
    device = Device()
    device.ask(client=OTHER)
    for number in range(1000):
        device.ask(number=number)
    assert not device.answer(told(ONE, number=1000 - snoop.MOST_OF_CLIENT - 1))
    assert device.answer(told(ONE, number=1000 - snoop.MOST_OF_CLIENT))
    assert device.answer(told(TWO, client=OTHER))
    device.ask(client=OTHER)
    for last in range(snoop.MOST):
        device.ask(client=bytes([198, 51, 100, last]))
    assert not device.answer(told(SIX[:4], client=OTHER))


def test_addresses_of_private_networks_and_such_as_are_nobodys_are_refused():
    device = Device()
    for text in ("10.1.2.3", "192.168.1.1", "172.31.0.1", "100.64.0.1", "127.0.0.1", "0.0.0.0", "224.0.0.1"):
        device.ask()
        assert not device.answer(told(address.parse_address(text))), text
    for text in ("fd00::1", "::1", "fe80::1", "ff02::1", "::ffff:203.0.113.10"):
        device.ask(family=6)
        assert not device.answer(told(address.parse_address(text), family=6)), text
    assert device.has() == ()


def test_addresses_end_with_their_ttl_and_a_while():
    device = Device()
    device.ask()
    device.answer(told(ONE, ttl=0))
    device.ask()
    device.answer(told(TWO, ttl=10**9))
    end = 1000 + known.LEAST + known.GRACE
    assert end < device.told.next() <= end + known.GROUP
    assert not device.told.expire(end)
    assert device.told.expire(end + known.GROUP)
    assert device.has() == (TWO,)
    assert device.told.expire(1000 + known.MOST + known.GRACE + known.GROUP)
    assert device.told.next() == float("inf")


def test_a_name_has_a_bounded_number_of_addresses_the_newest():
    device = Device()
    many = [bytes([203, 0, 113, last]) for last in range(known.MOST_ADDRESSES + 10)]
    for number in range(len(many)):
        device.ask(now=1000 + 10 * number)
        assert device.answer(told(many[number]), 1000 + 10 * number)
    assert device.has() == tuple(many[10:])
    device.ask(family=6)
    assert device.answer(told(SIX, family=6))
    assert len(device.has()) == known.MOST_ADDRESSES + 1


def test_names_that_nobody_wants_any_more_are_forgotten():
    device = Device()
    device.ask()
    device.answer(told(ONE))
    device.told.want([KEY])
    assert device.told.addresses() == {KEY: (ONE,)}
    device.ask()
    assert not device.answer(told(ONE))  # and what came for the other name is nobody's


def test_what_is_no_whole_packet_is_none():
    for right in (told(ONE), told(SIX, family=6, client=CLIENT6, resolver=RESOLVER6)):
        device = Device()
        family = 4 if len(right) < 100 else 6
        ends = {"family": 6, "client": CLIENT6, "resolver": RESOLVER6} if family == 6 else {}
        for size in range(len(right)):
            device.ask(**ends)
            assert not device.answer(right[:size])
        device.ask(**ends)
        assert not device.answer(b"\x05" + right[1:])  # neither IPv4 nor IPv6
        assert device.answer(right)
    for place, value in ((6, 0x20), (7, 1), (9, 6), (0, 0x44), (0, 0x4F), (25, 7)):  # fragments, TCP, header and length
        device = Device()
        device.ask()
        right = told(ONE)
        assert not device.answer(right[:place] + bytes([value]) + right[place + 1 :])
