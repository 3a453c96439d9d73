"""Which entries of connection tracking other rules would have made (kernel/conntrack.py)."""

import struct

from viscum_agent import address
from viscum_agent.kernel import conntrack
from viscum_agent.kernel.codec import attribute, nest
from viscum_agent.kernel.conntrack import by_address, changes_any, is_other
from viscum_agent.records.objects import NatRule

OWN = address.parse_address("10.213.0.2")


def _tuple(kind, ends, ports):
    """A tuple of UDP over IPv4: (source, destination) as addresses and as ports."""
    there = attribute(1, ends[0]) + attribute(2, ends[1])
    proto = attribute(1, b"\x11") + b"".join(attribute(2 + at, struct.pack(">H", ports[at])) for at in (0, 1))
    return nest(kind, nest(1, there) + nest(2, proto))


def entry(dst, port, answers=OWN, answers_port=None):
    """The body of an entry: a client asked `dst` and `port`, and is answered by the others."""
    client, packed = bytes([192, 168, 1, 5]), address.parse_address(dst)
    original = _tuple(1, (client, packed), (40000, port))
    return bytes(4) + original + _tuple(2, (answers, client), (answers_port or port, 40000))


def test_an_entry_is_judged_by_the_narrowest_rule():
    rules = by_address(
        [
            NatRule("203.0.113.10/32", "udp", (53, 53), 5353),
            NatRule("203.0.113.10/32", "udp", (1, 100), 0),
            NatRule("203.0.113.0/24", "udp", (53, 53), 0),
        ]
    )
    assert not is_other(entry("203.0.113.10", 53, OWN, 5353), rules)
    assert is_other(entry("203.0.113.10", 53), rules)
    assert not is_other(entry("203.0.113.10", 54), rules)
    assert not is_other(entry("203.0.113.11", 53), rules)
    assert is_other(entry("203.0.113.11", 54), rules)
    assert not is_other(entry("203.0.113.11", 54, bytes([203, 0, 113, 11])), rules)


def test_rules_that_come_change_nothing_of_what_was_translated():
    one, two = NatRule("203.0.113.10/32", "udp", (53, 53), 0), NatRule("203.0.113.11/32", "udp", (53, 53), 0)
    assert not changes_any([one], [one, two])
    assert not changes_any([one, two], [two, one])
    assert changes_any([one, two], [two])
    assert changes_any([one], [one._replace(to_port=5353)])


class Full:
    """A socket that has more to judge than there is time."""

    spent = False

    def dump(self, request, most, sieve):
        return [entry("203.0.113.10", 53)] * most


def test_judging_ends_when_its_time_is_over(monkeypatch):
    monkeypatch.setattr(conntrack, "LONG", 0.01)
    assert conntrack._wrong(Full(), [NatRule("203.0.113.10/32", "udp", (53, 53), 0)]) is None
