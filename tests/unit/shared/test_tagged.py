"""Frames with a VLAN tag, and the replies to them, on a machine of either byte order (bpf_machine)."""

from viscum_agent import address
from viscum_agent.ebpf import layout
from viscum_agent.records.dump import PASSED as REASONS

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
    ipv4,
    ipv6,
    machine,
    match,
    sent4,
)
from .test_flows import ACK, SYN, answer, drain, segment4

TEN, TWENTY, PRIORITY = 10, 20, 0xE000
OTHER = bytes([2, 0, 0x5E, 0, 0x53, 0x77])
UDP, UDP6 = ipv4(proto=17), ipv6(proto=17)
TEN_AND_TWENTY = ((TEN, match(proto="udp")), (TWENTY, match(proto="udp")), (0, match(proto="udp")))


def trunk(order, *wanted, mode=0, index=LAN):
    """A machine with these (VLAN, match) at a device; each leads to a pair of its own, from PAIR on."""
    interfaces = [layout.on_vlan(index, vlan) for vlan, _ in wanted]
    made = machine(order, *[one for _, one in wanted], checked=True, mode=mode, interfaces=interfaces)
    for number in range(len(wanted)):
        for name, size in (("passed", 16), ("missed", 4)):
            made.maps[name][made.layout.number(number)] = bytearray(size)
    made.no_way = (7, index)  # BPF_FIB_LKUP_RET_NO_NEIGH
    return made


def trunks(*wanted, **how):
    return [trunk(order, *wanted, **how) for order in ORDERS]


def from_mac(packet, mac):
    return packet[:6] + mac + packet[12:]


def test_an_interface_and_its_vlan_are_one_word_and_no_two_have_the_same():
    words = {}
    for index in (1, 9, 0xFFFF, (1 << 19) - 1, 1 << 19, (1 << 31) - 1):
        for vlan in (0, 1, 10, 4094) if index < 1 << 19 else (0,):
            word = layout.on_vlan(index, vlan)
            assert layout.of_vlan(word) == (index, vlan) and word < 1 << 32
            words[word] = words.get(word, 0) + 1
    assert max(words.values()) == 1


def test_a_frame_is_taken_by_the_service_of_its_vlan_and_gets_there_without_the_tag():
    for made in trunks(*TEN_AND_TWENTY):
        for tag, target in ((TEN, PAIR), (TWENTY, PAIR + 1), (0, PAIR + 2), (TEN | PRIORITY, PAIR)):
            assert made.run("fwd", UDP, vlan=tag) == (7, "peer", target)
            assert made.tag is None and bytes(made.packet) == UDP


def test_a_frame_of_another_vlan_passes_as_it_is():
    for made in trunks(*TEN_AND_TWENTY):
        for tag, kind in ((11, 0x8100), (TEN << 4, 0x8100), (PRIORITY, 0x8100), (TEN, 0x88A8), (TEN | 0x800, 0x8100)):
            assert made.run("fwd", UDP, vlan=tag, kind=kind) == PASSED
            assert made.tag == (kind, tag) and bytes(made.packet) == UDP
        assert made.run("fwd", UDP, vlan=TEN, protocol=0x8100) == PASSED, "a second tag"
    for made in trunks((TEN, match(proto="udp"))):
        assert made.run("fwd", UDP) == PASSED
    for made in trunks((0, match(proto="udp"))):
        assert made.run("fwd", UDP, vlan=TEN) == PASSED


def test_a_wide_match_and_both_families_have_vlans_as_well():
    for made in trunks((TEN, match("203.0.113.0/24", "udp", None)), (TWENTY, match(ADDRESS6, "udp"))):
        assert made.run("fwd", UDP, vlan=TEN) == TAKEN
        assert made.run("fwd", UDP, vlan=TWENTY) == PASSED
        assert made.run("fwd", UDP6, vlan=TWENTY) == (7, "peer", PAIR + 1)
        assert made.run("fwd", UDP6, vlan=TEN) == PASSED


def test_a_device_whose_index_leaves_no_room_has_no_vlans_and_is_taken_for_no_other():
    large = (1 << layout.VLAN_SHIFT) + LAN
    for made in trunks((TEN, match(proto="udp")), (TEN + 1, match(proto="udp"))):
        assert made.run("fwd", UDP, index=large, vlan=TEN) == PASSED
    for made in trunks((0, match(proto="udp")), index=large):
        assert made.run("fwd", UDP, index=large) == TAKEN
        assert made.run("fwd", UDP, index=LAN, vlan=1) == PASSED


def test_a_reply_goes_where_the_client_s_frame_came_from_with_its_tag():
    for made in trunks(*TEN_AND_TWENTY[:2], (TEN, match(ADDRESS6, "udp"))):
        for packet, tag, pair in ((UDP, TEN, PAIR), (UDP, TWENTY, PAIR + 1), (UDP6, TEN, PAIR + 2)):
            back = answer(packet)
            assert made.run("tagged", back, index=pair) == PASSED, "nobody asked"
            made.run("fwd", packet, vlan=tag | PRIORITY)
            assert made.asked == b"", "the router's routes say nothing of a VLAN"
            assert made.run("tagged", back, index=pair) == (7, "redirect", LAN)
            assert made.tag == (0x8100, tag) and bytes(made.packet) == CLIENT + ROUTER + back[12:]
            for other in (answer(ipv4(proto=17, port=81)), answer(ipv4(src="192.168.1.6", proto=17)), ipv4()):
                assert made.run("tagged", other, index=pair) == PASSED and made.tag is None


def test_clients_of_two_vlans_with_the_same_address_and_one_without_a_tag_get_their_own_replies():
    macs = {TEN: CLIENT, TWENTY: OTHER, 0: bytes([2, 0, 0x5E, 0, 0x53, 0x88])}
    for made in trunks(*TEN_AND_TWENTY):
        made.neighbour = (LAN, ROUTER, macs[0])
        for first in ((TEN, TWENTY, 0), (0, TWENTY, TEN)):
            for tag in first:
                made.run("fwd", from_mac(UDP, macs[tag]), vlan=tag)
            for tag, which, pair in ((TEN, "tagged", PAIR), (TWENTY, "tagged", PAIR + 1), (0, "reply", PAIR + 2)):
                assert made.run(which, answer(UDP), index=pair) == (7, "redirect", LAN)
                assert bytes(made.packet[:6]) == macs[tag] and (made.tag or (0, 0))[1] == tag


def test_nobody_reaches_what_is_known_of_a_client_without_a_tag():
    """Whatever a host of a VLAN sends, under whoever's address."""
    for made in trunks(*TEN_AND_TWENTY):
        made.neighbour = (LAN, ROUTER, CLIENT)
        made.run("fwd", UDP)
        before = {key: bytes(made.maps["clients"][key]) for key in made.maps["clients"]}
        for packet in (UDP, from_mac(UDP, OTHER)):
            made.run("fwd", packet, vlan=TEN)
        assert {key: bytes(made.maps["clients"][key]) for key in before} == before
        assert made.run("reply", answer(UDP), index=PAIR + 2) == (7, "redirect", LAN)


def test_nobody_reaches_what_is_known_of_a_client_with_one_either():
    """By a source address that has the bytes of its key, from the port of a bridge, where no route is asked."""
    for made in trunks((TEN, match(proto="udp")), (0, match(ADDRESS6, "udp"))):
        made.run("fwd", UDP, vlan=TEN)
        (key,) = made.maps["clients"]
        (entry,) = [each for each in made.maps["exact"] if each[4:20] != layout.V4 + address.parse_address(ADDRESS)]
        made.maps["exact"][entry] = bytearray(made.layout.value(PAIR + 1, "", 1))
        made.no_way = (5, 0)  # BPF_FIB_LKUP_RET_FWD_DISABLED
        assert made.run("fwd", ipv6(src=address.format_address(bytes(key)), proto=17)) == PASSED
        assert list(made.maps["clients"]) == [key]
        assert made.run("tagged", answer(UDP), index=PAIR) == (7, "redirect", LAN)


def test_two_addresses_with_the_same_sum_are_not_taken_for_each_other():
    """The key in `clients` has only the sum of the address's halves, but the value the whole address."""
    for made in trunks((TEN, match(ADDRESS6, "udp"))):
        first = ipv6(src="fd00::5", proto=17)
        made.run("fwd", first, vlan=TEN)
        second = ipv6(src="0:0:0:5:fd00::", proto=17)
        made.run("fwd", second, vlan=TEN)
        assert len(made.maps["clients"]) == 1
        assert made.run("tagged", answer(second), index=PAIR) == (7, "redirect", LAN)
        assert made.run("tagged", answer(first), index=PAIR) == PASSED


def test_a_client_that_moves_is_followed_by_its_next_frame():
    for made in trunks((TEN, match(proto="udp"))):
        for mac, to in ((CLIENT, ROUTER), (OTHER, ROUTER), (OTHER, bytes([2, 0, 0x5E, 0, 0x53, 2]))):
            made.run("fwd", to + mac + UDP[12:], vlan=TEN)
            made.run("tagged", answer(UDP), index=PAIR)
            assert bytes(made.packet[:12]) == mac + to


def test_no_reply_goes_to_many_and_nobody_is_the_service_itself():
    for made in trunks((TEN, match(proto="udp")), (TEN, match(ADDRESS6, "udp"))):
        for mac in (bytes([0xFF] * 6), bytes([1, 0, 0x5E, 0, 0, 1]), bytes([0x33, 0x33, 0, 0, 0, 1])):
            assert made.run("fwd", from_mac(UDP, mac), vlan=TEN) == PASSED and not made.maps["clients"]
        for packet in (ipv4(src=ADDRESS, proto=17), ipv6(src=ADDRESS6, proto=17)):
            assert made.run("fwd", packet, vlan=TEN) == (2, "", 0), "dropped"


def test_a_frame_for_another_host_is_taken_at_the_port_of_a_bridge_only():
    for made in trunks((TEN, match(proto="udp"))):
        assert made.run("fwd", UDP, vlan=TEN, pkt_type=3) == PASSED
        (key,) = made.maps["exact"]
        made.maps["exact"][key] = bytearray(made.layout.value(PAIR, "", 0))
        assert made.run("fwd", UDP, vlan=TEN, pkt_type=3) == TAKEN and made.pkt_type == 0
        for kind in (1, 2):
            assert made.run("fwd", UDP, vlan=TEN, pkt_type=kind) == PASSED


def test_an_icmp_error_teaches_nothing():
    for made in trunks((TEN, match())):
        assert made.run("fwd", error4(sent4()), vlan=TEN) == TAKEN and made.tag is None
        assert made.run("fwd", error4(sent4()), vlan=TWENTY) == PASSED
        assert made.run("fwd", error4(sent4())) == PASSED
        assert not made.maps["clients"]


def test_what_passes_after_the_deadline_keeps_its_tag_and_is_counted():
    for made in trunks((TEN, match(proto="udp"))):
        made.maps["deadline"][bytes(4)] = bytearray(made.layout.number(5))
        made.clock = 6 << layout.DEADLINE_SHIFT
        assert made.run("fwd", UDP, vlan=TEN) == PASSED and made.tag == (0x8100, TEN)
        found = made.layout.parse_counters(made.maps["passed"][made.layout.number(0)], "I", 4, 0, 1)
        assert found[REASONS.index("late")] == 1


def test_a_connection_is_one_of_its_vlan():
    """The same addresses and ports in two VLANs and without a tag: of the first one it is noted."""
    every = ((TEN, match()), (TWENTY, match()), (0, match()))
    for made in trunks(*every, mode=layout.TAKE_OVER):
        assert made.run("fwd", segment4(SYN), vlan=TEN) == TAKEN
        assert made.run("fwd", segment4(ACK), vlan=TEN) == TAKEN
        assert made.run("fwd", segment4(ACK), vlan=TWENTY) == PASSED
        assert made.run("fwd", segment4(ACK)) == PASSED
        drain(made)
        assert made.run("fwd", segment4(ACK), vlan=TEN) == TAKEN
        assert made.run("tagged", answer(segment4(ACK)), PAIR) == (7, "redirect", LAN)
        assert made.run("fwd", segment4(ACK), vlan=TWENTY) == PASSED and made.run("fwd", segment4(ACK)) == PASSED


def test_what_the_agent_notes_of_a_connection_is_what_the_program_looks_up():
    ends = address.parse_address("192.168.1.5"), address.parse_address(ADDRESS)
    for vlan in (0, 1, TEN, 4094):
        for made in trunks((vlan, match())):
            value = bytearray(made.layout.value(PAIR, "", 0))
            made.maps["flows"][made.layout.flow_key(ends[0], 40000, ends[1], 80, vlan)] = value
            drain(made)
            assert made.run("fwd", segment4(ACK), vlan=vlan) == TAKEN
            assert made.run("fwd", segment4(ACK), vlan=TWENTY) == PASSED
    for made in trunks((0, match()), index=(1 << layout.VLAN_SHIFT) + LAN):
        made.maps["flows"][made.layout.flow_key(ends[0], 40000, ends[1], 80)] = bytearray(
            made.layout.value(PAIR, "", 0)
        )
        drain(made)
        assert made.run("fwd", segment4(ACK), index=(1 << layout.VLAN_SHIFT) + LAN) == TAKEN
