"""TCP connections stay with the side that has them (ebpf/flows.py), on a machine of either byte order (bpf_machine)."""

from viscum_agent import address
from viscum_agent.ebpf import layout

from .bpf_machine import LAN, PAIR
from .test_ebpf import (
    ADDRESS,
    ADDRESS6,
    CLIENT,
    ORDERS,
    PASSED,
    ROUTER,
    TAKEN,
    error4,
    error6,
    ipv4,
    ipv6,
    machine,
    match,
    sent4,
    sent6,
)

FIN, SYN, RST, ACK = 1, 2, 4, 16
SECOND = 1 << layout.DEADLINE_SHIFT


def with_flags(packet, flags):
    """The segment of a packet of ipv4 or ipv6, whose ports are 20 bytes before its end."""
    made = bytearray(packet)
    made[len(made) - 20 + 13] = flags
    return bytes(made)


def segment4(flags, sport=40000, **options):
    return with_flags(ipv4(sport=sport, **options), flags)


def segment6(flags, sport=40000):
    return with_flags(ipv6(sport=sport), flags)


def answer(packet):
    """What the service would send back: the same frame with both ends exchanged."""
    made = bytearray(packet)
    half = (26, 4) if packet[12:14] == b"\x08\x00" else (22, 16)
    a, size = half
    made[a : a + 2 * size] = packet[a + size : a + 2 * size] + packet[a : a + size]
    made[-20:-16] = packet[-18:-16] + packet[-20:-18]
    return bytes(made)


def in_mode(order, mode, *wanted, checked=False):
    """A machine whose entries have a mode."""
    made = machine(order, *(wanted or (match(), match(ADDRESS6))), checked=checked)
    for name in ("exact", "macs", "wide"):
        for key in made.maps[name]:
            made.maps[name][key] = bytearray(made.layout.in_mode(bytes(made.maps[name][key]), mode))
    for slot in range(2):
        made.maps["missed"][made.layout.number(slot)] = bytearray(4)
    return made


def drain(made, kinds=0):
    """Its redirects are gone, their connections are not."""
    made.maps["exact"].clear()
    made.maps["wide"].clear()
    made.set_state(2, kinds | layout.DRAINS)


def test_a_take_over_leaves_open_connections_to_the_cloud_and_takes_new_ones_to_their_end():
    for order in ORDERS:
        made = in_mode(order, layout.TAKE_OVER)
        for segment, target in ((segment4, PAIR), (segment6, PAIR + 1)):
            assert made.run("fwd", segment(ACK)) == PASSED, "of before"
            assert made.run("fwd", segment(SYN, 40001)) == (7, "peer", target)
            assert made.run("fwd", segment(ACK, 40001)) == (7, "peer", target)
            assert made.run("fwd", segment(FIN | ACK, 40001)) == (7, "peer", target)
            assert made.run("fwd", segment(ACK)) == PASSED
            assert made.run("fwd", segment(SYN | ACK, 40002)) == PASSED, "no first segment"
        assert len(made.maps["flows"]) == 2


def test_a_take_over_takes_what_is_no_tcp_at_once():
    for order in ORDERS:
        made = in_mode(order, layout.TAKE_OVER, match(proto="udp"), match(dport=None, proto="", dst="203.0.113.11"))
        assert made.run("fwd", ipv4(proto=17)) == TAKEN
        assert made.run("fwd", ipv4(proto=17, dst="203.0.113.11")) == (7, "peer", PAIR + 1)
        assert made.run("fwd", segment4(ACK, dst="203.0.113.11")) == PASSED


def test_options_of_ipv4_are_stepped_over_and_fragments_are_nobodys():
    for order in ORDERS:
        made = in_mode(order, layout.TAKE_OVER, match(dport=None))
        assert made.run("fwd", segment4(SYN, options=bytes([1] * 8))) == TAKEN
        assert made.run("fwd", segment4(ACK)) == TAKEN
        assert made.run("fwd", segment4(ACK, fragment=0x2000)) == PASSED


def test_with_a_client_that_has_a_connection_it_is_remembered_that_the_entry_takes_over():
    for order in ORDERS:
        made = in_mode(order, layout.TAKE_OVER)
        made.neighbour = (LAN, ROUTER, CLIENT)
        made.run("fwd", segment4(SYN, 40001))
        made.clock = 50 * SECOND
        for gone in (False, True):
            if gone:
                made.maps["exact"].clear()  # no look-up there
            assert made.run("fwd", segment4(ACK)) == PASSED
            assert made.run("fwd", segment4(ACK, 40001)) == TAKEN
            assert made.run("reply", answer(segment4(ACK, 40001)), PAIR) == (7, "redirect", LAN)
        assert made.layout.parse_number(made.maps["missed"][made.layout.number(0)]) == 50
        assert made.layout.parse_counters(made.maps["counters"][made.layout.number(0)], "Q", 2, 0, 1)[0] == 3
        assert made.run("fwd", segment4(SYN, 40002)) == PASSED, "a SYN asks the entry"
        made.set_state(2)
        assert made.run("fwd", segment4(ACK, 40001)) == PASSED, "whatever changes a mode changes the generation"


def test_what_is_no_tcp_is_remembered_as_ever():
    for order in ORDERS:
        made = in_mode(order, layout.TAKE_OVER, match(proto="udp"))
        made.neighbour = (LAN, ROUTER, CLIENT)
        made.run("fwd", ipv4(proto=17))
        made.maps["exact"].clear()
        assert made.run("fwd", ipv4(proto=17)) == TAKEN


def test_joining_is_never_remembered_with_the_client():
    for order in ORDERS:
        made = in_mode(order, layout.JOINS)
        made.neighbour = (LAN, ROUTER, CLIENT)
        for port in (40001, 40002):
            assert made.run("fwd", segment4(ACK, port)) == TAKEN
            assert made.run("fwd", segment4(SYN, port)) == TAKEN
        assert len(made.maps["flows"]) == 2
        made.maps["exact"].clear()
        assert made.run("fwd", segment4(ACK, 40001)) == PASSED


def test_a_source_that_the_router_would_answer_elsewhere_opens_no_connection_in_a_take_over():
    for order in ORDERS:
        made = in_mode(order, layout.TAKE_OVER, checked=True)
        made.neighbour = (LAN + 1, ROUTER, CLIENT)
        for flags in (SYN, ACK):
            assert made.run("fwd", segment4(flags)) == PASSED


def test_the_last_time_that_a_connection_with_the_cloud_was_seen_is_noted():
    for order in ORDERS:
        made = in_mode(order, layout.TAKE_OVER)
        made.clock = 7 * SECOND
        made.run("fwd", segment4(SYN, 40001))
        made.run("fwd", segment4(ACK, 40001))
        assert not any(made.maps["missed"][made.layout.number(0)]), "it takes those"
        made.run("fwd", segment4(ACK))
        assert made.layout.parse_number(bytes(made.maps["missed"][made.layout.number(0)])) == 7
        assert not any(made.maps["missed"][made.layout.number(1)]), "another service"


def test_while_connections_join_everything_is_taken():
    for order in ORDERS:
        made = in_mode(order, layout.JOINS)
        assert made.run("fwd", segment4(ACK)) == TAKEN
        assert made.run("fwd", segment4(SYN, 40001)) == TAKEN
        assert len(made.maps["flows"]) == 1


def test_in_the_steady_mode_nothing_is_noted_nor_looked_up():
    for order in ORDERS:
        made = in_mode(order, 0)
        assert made.run("fwd", segment4(ACK)) == TAKEN
        assert made.run("fwd", segment4(SYN, 40001)) == TAKEN
        assert not made.maps["flows"]


def test_a_drain_takes_what_is_noted_in_both_directions_and_nothing_else():
    for order in ORDERS:
        for segment, target in ((segment4, PAIR), (segment6, PAIR + 1)):
            made = in_mode(order, layout.TAKE_OVER)
            made.neighbour = (LAN, ROUTER, CLIENT)
            made.run("fwd", segment(SYN, 40001))
            drain(made)
            assert made.run("fwd", segment(ACK, 40001)) == (7, "peer", target)
            assert made.run("fwd", segment(ACK)) == PASSED
            assert made.run("fwd", segment(SYN, 40002)) == PASSED
            assert made.run("reply", answer(segment(ACK, 40001)), target) == (7, "redirect", LAN)
            assert made.run("reply", answer(segment(ACK, 40001)), target + 5) == PASSED, "another service's"
            assert made.run("reply", answer(segment(ACK)), target) == PASSED
            made.set_state(1, 0)
            assert made.run("fwd", segment(ACK, 40001)) == PASSED, "the drain has ended"


def test_a_port_that_is_used_again_during_a_drain_goes_to_the_cloud_for_good():
    for order in ORDERS:
        made = in_mode(order, layout.TAKE_OVER)
        made.run("fwd", segment4(SYN, 40001))
        drain(made)
        assert made.run("fwd", segment4(SYN, 40001)) == PASSED
        assert made.run("fwd", segment4(ACK, 40001)) == PASSED


def test_what_the_agent_notes_is_what_the_program_looks_up():
    for order in ORDERS:
        made = in_mode(order, 0)
        value = bytearray(made.layout.value(PAIR, "", 0))
        for client, service in (("192.168.1.5", ADDRESS), ("fd00::5", ADDRESS6)):
            ends = address.parse_address(client), address.parse_address(service)
            made.maps["flows"][made.layout.flow_key(ends[0], 40000, ends[1], 80)] = value
        drain(made)
        assert made.run("fwd", segment4(ACK)) == made.run("fwd", segment6(ACK)) == TAKEN


def test_an_icmp_error_goes_to_the_side_that_has_the_connection_that_it_is_about():
    """Those of sent4 and sent6 are with the client's port 40000."""
    for order in ORDERS:
        for segment, error, target in ((segment4, error4(sent4()), PAIR), (segment6, error6(sent6()), PAIR + 1)):
            made = in_mode(order, layout.JOINS)
            assert made.run("fwd", error) == (7, "peer", target), "everything is taken"
            assert not made.maps["flows"], "and an error begins no connection"
            made = in_mode(order, layout.TAKE_OVER)
            made.run("fwd", segment(SYN, 40001))
            assert made.run("fwd", error) == PASSED
            made.run("fwd", segment(SYN))
            assert made.run("fwd", error) == (7, "peer", target)
            drain(made)
            assert made.run("fwd", error) == (7, "peer", target)
            assert len(made.maps["flows"]) == 2, "no connection ends by it"
            made.run("fwd", segment(SYN))
            assert made.run("fwd", error) == PASSED


def test_a_wide_match_takes_over_and_drains_like_another():
    for order in ORDERS:
        made = in_mode(order, layout.TAKE_OVER, match("203.0.113.0/24", dport=(80, 89)))
        assert made.run("fwd", segment4(ACK)) == PASSED
        assert made.run("fwd", segment4(SYN, 40001)) == TAKEN
        kinds = made.maps["masks"]
        drain(made, len(kinds))
        assert made.run("fwd", segment4(ACK, 40001)) == TAKEN
        assert made.run("fwd", segment4(SYN, 40002)) == PASSED


def test_a_match_by_mac_takes_over_like_another_also_from_a_client_that_is_known():
    for order in ORDERS:
        made = in_mode(order, layout.TAKE_OVER, match(mac=address.format_mac(CLIENT)))
        made.neighbour = (LAN, ROUTER, CLIENT)
        assert made.run("fwd", segment4(ACK)) == PASSED
        for sport in (40001, 40002, 40003):
            assert made.run("fwd", segment4(SYN, sport)) == TAKEN
            assert made.run("fwd", segment4(ACK, sport)) == TAKEN
        assert made.run("fwd", segment4(ACK)) == PASSED


def test_a_drain_ends_with_the_deadline_like_a_redirect():
    for order in ORDERS:
        made = in_mode(order, layout.TAKE_OVER)
        made.run("fwd", segment4(SYN, 40001))
        drain(made)
        made.maps["deadline"][bytes(4)] = bytearray(made.layout.number(5))
        made.clock = 6 * SECOND
        assert made.run("fwd", segment4(ACK, 40001)) == PASSED


# Why a packet was left alone although there is an entry for it


def passed(made):
    """How many, by the reasons of dump.PASSED."""
    return made.layout.parse_counters(made.maps["passed"][made.layout.number(0)], "I", 4, 0, 1)


def test_what_is_left_alone_is_counted_by_reason():
    for order in ORDERS:
        made = in_mode(order, layout.TAKE_OVER, match(), checked=True)
        made.maps["passed"][made.layout.number(0)] = bytearray(16)
        made.neighbour = (LAN, ROUTER, CLIENT)
        assert made.run("fwd", segment4(ACK)) == PASSED
        assert passed(made) == [1, 0, 0, 0]
        made.clock = 100 * SECOND
        made.maps["deadline"][bytes(4)] = bytearray(made.layout.number(99))
        assert made.run("fwd", segment4(SYN)) == PASSED
        assert passed(made) == [1, 1, 0, 0]
        made.neighbour = (LAN + 1, ROUTER, CLIENT)
        for _ in range(2):
            assert made.run("fwd", segment4(SYN, src="192.168.1.6")) == PASSED
        assert passed(made) == [1, 1, 0, 2]
        for key in made.maps["exact"]:
            made.maps["exact"][key] = bytearray(made.layout.value(PAIR, "", 0))
            made.maps["exact"][key][4 if order == "little" else 5] |= layout.REFUSED
        made.set_state(0)
        assert made.run("fwd", segment4(SYN)) == PASSED
        assert passed(made) == [1, 1, 1, 2]
        assert made.run("fwd", segment4(SYN, dst="198.51.100.1")) == PASSED
        assert passed(made) == [1, 1, 1, 2], "nobody wants it"
