"""The eBPF datapath's instructions and what they do with packets, on a machine of either byte order (bpf_machine)."""

import struct

from viscum_agent import address
from viscum_agent.config.service import Match
from viscum_agent.ebpf import MASKS, assemble, layout, name_of
from viscum_agent.ebpf.assembler import FP, R1, R2, R6, Assembler
from viscum_agent.kernel.bpf_pins import PARSE
from viscum_agent.plan import datapath
from viscum_agent.plan.datapath import ebpf
from viscum_agent.records import with_
from viscum_agent.records.objects import NEXT, PRIO_WIDE, BpfMatch

from .bpf_machine import LAN, PAIR, Machine

ORDERS = ("little", "big")
ROUTER, CLIENT = bytes([2, 0, 0x5E, 0, 0x53, 1]), bytes([2, 0, 0x5E, 0, 0x53, 9])
ADDRESS, ADDRESS6 = "203.0.113.10", "2001:db8::1"
PASSED = (-1, "", 0)
TAKEN = (7, "peer", PAIR)


def match(dst=ADDRESS, proto="tcp", dport=(80, 80), src=None, mac=""):
    prefix = address.parse_prefix
    family = 6 if dst and ":" in dst else 4
    return Match(family, proto, prefix(dst) if dst else None, dport, prefix(src) if src else None, 0, "", mac)


def entries(wanted, mac="", actions=(("mirred", "vsc-s"),)):
    level = datapath.level_of(wanted)
    parts = datapath.spread(wanted)
    return [item for part in parts for item in ebpf.filters("lan0", part, level, mac, actions)]


def machine(order, *wanted, watched=0, checked=False, nsid=-1):
    """A machine with these matches in its maps; each leads to a pair of its own, from PAIR on."""
    made = Machine(order)
    kinds = set()
    for number, one in enumerate(wanted):
        for item in entries(one, address.format_mac(ROUTER) if datapath.needs_mac(one) else ""):
            kind, parts = layout.of_match(item)
            more = layout.LASTS if layout.lasts(kind, item.mac) else 0
            value = bytearray(made.layout.value(PAIR + number, item.mac, number, watched, checked, 0, nsid, more))
            put(made, kind, parts, value)
            kinds.add(kind)
        made.maps["counters"][made.layout.number(number)] = bytearray(16)
    with_kinds(made, kinds)
    return made


def put(made, kind, parts, value):
    name, key = made.layout.key(kind, LAN, parts)
    made.maps[name][key] = value


def with_kinds(made, kinds):
    wide = sorted([kind for kind in kinds if not layout.is_exact(kind)])
    for number, kind in enumerate(wide):
        made.maps["masks"][made.layout.number(number)] = bytearray(made.layout.mask(kind))
    made.set_state(1, len(wide) | (layout.MACS if layout.EXACT_MAC in kinds else 0))


def ipv4(
    dst=ADDRESS, src="192.168.1.5", proto=6, port=80, sport=40000, options=b"", fragment=0, to=ROUTER, client=CLIENT
):
    head = struct.pack(">BBHHHBBH", 0x45 + len(options) // 4, 0, 60, 7, fragment, 64, proto, 0)
    addresses = address.parse_address(src) + address.parse_address(dst)
    return to + client + b"\x08\x00" + head + addresses + options + struct.pack(">HH", sport, port) + bytes(16)


def ipv6(dst=ADDRESS6, src="fd00::5", proto=6, port=80, sport=40000, client=CLIENT):
    head = struct.pack(">IHBB", 0x60000000, 20, proto, 64) + address.parse_address(src) + address.parse_address(dst)
    return ROUTER + client + b"\x86\xdd" + head + struct.pack(">HH", sport, port) + bytes(16)


# Instructions


def test_instructions_are_as_the_kernel_describes_them_in_both_byte_orders():
    wanted = {
        # r1 += 8; r6 = *(u32 *)(r1 + 76); *(u16 *)(r10 - 4) = r2; if r1 != 0x800 goto +1; call 155; exit
        "little": "0701000008000000 61164c0000000000 6b2afcff00000000 5501010000080000 850000009b000000 95" + "00" * 7,
        "big": "0710000000000008 6161004c00000000 6ba2fffc00000000 5510000100000800 850000000000009b 95" + "00" * 7,
    }
    for order in ORDERS:
        asm = Assembler(order)
        asm.add_number(R1, 8)
        asm.load(R6, R1, 76, 4)
        asm.store(FP, -4, R2, 2)
        asm.jump_if(R1, "!=", 0x800, "end")
        asm.call(155)
        asm.label("end")
        asm.leave()
        code = asm.code()
        found = " ".join(["".join(["%02x" % byte for byte in code[at : at + 8]]) for at in range(0, len(code), 8)])
        assert found == wanted[order], found


def test_numbers_of_packets_are_turned_round_on_little_endian_machines_only():
    assert Assembler("big").network16(0x0800) == 0x0800 and Assembler("little").network16(0x0800) == 0x0008
    assert Assembler("big").network32(0xFFFF) == 0xFFFF and Assembler("little").network32(0xFFFF) == 0xFFFF0000


def test_a_program_has_a_name_that_the_kernel_takes_and_that_its_instructions_give():
    assert name_of("fwd").startswith("fwd_") and name_of("reply").startswith("reply_")
    assert max(len(name_of("fwd")), len(name_of("reply"))) <= 15
    for which in ("fwd", "reply"):
        for order in ORDERS:
            code = assemble(which, order, {one.name: 5 for one in layout.MAPS})
            assert len(code) % 8 == 0 and len(code) // 8 < 4096


# Entries


def test_an_entry_is_read_back_as_the_match_that_it_was_written_from():
    wanted = [match(), match(ADDRESS6, "udp"), match("203.0.113.0/24", "tcp", (1, 65534)), match("0.0.0.0/0", "tcp")]
    wanted += [match(None, "udp", (53, 53)), match(ADDRESS, "", None), match(src="192.168.1.0/24")]
    wanted += [match("2001:db8::/32", "tcp", None), match(ADDRESS6, "udp", (7, 9), "fd00::/8")]
    wanted += [match(mac="02:00:5e:00:53:09"), match("2001:db8::/32", "", None, "fd00::/8", "02:00:5e:00:53:09")]
    for order in ORDERS:
        made = layout.Layout(order)
        for one in wanted:
            for item in entries(one, "02:00:5e:00:53:01"):
                kind, parts = layout.of_match(item)
                name, key = made.key(kind, 7, parts)
                index, kind, parts = PARSE[name](made, key)
                value = made.value(9, item.mac, 3, item.watched, item.checked, 0, 1 << 20)
                target, mac, flags = made.parse_value(value)
                assert (index, target) == (7, 9)
                watched = made.port_inside(value, parts.port)
                assert (
                    layout.to_match("lan0", 0, kind, parts, mac, "vsc-s", watched, bool(flags & layout.CHECKED)) == item
                )


def test_one_port_of_one_address_is_one_entry():
    assert entries(match()) == [
        BpfMatch("lan0", 0, 1, "tcp", ADDRESS + "/32", "", "", 80, 16, "", "vsc-s", 0, False, False)
    ]
    assert layout.is_exact(layout.of_match(entries(match())[0])[0])


def test_the_sizes_of_the_maps_are_those_of_what_is_written():
    made = layout.Layout("little")
    sizes = {one.name: (one.key, one.value) for one in layout.MAPS}
    kind, parts = layout.of_match(entries(match("203.0.113.0/24"))[0])
    assert sizes["exact"] == (len(made.exact_key(1, parts)), len(made.value(1, "", 0)))
    assert sizes["wide"] == (len(made.wide_key(kind, 1, parts)), len(made.value(1, "", 0)))
    kind, parts = layout.of_match(entries(match("203.0.113.0/24", mac="02:00:5e:00:53:09"))[0])
    assert sizes["macs"] == (len(made.macs_key(1, parts)), len(made.value(1, "", 0)))
    assert sizes["wide_macs"] == (len(made.wide_macs_key(kind, 1, parts)), len(made.value(1, "", 0)))
    assert sizes["masks"] == (len(made.number(0)), len(made.mask(kind)))
    assert [one.entries for one in layout.MAPS if one.name == "masks"][0] == MASKS


# What the forward program takes


def each(*wanted, **how):
    return [machine(order, *wanted, **how) for order in ORDERS]


def test_an_address_and_a_port_are_taken_and_no_other():
    for made in each(match(), match(ADDRESS6, "udp")):
        assert made.run("fwd", ipv4()) == TAKEN
        assert made.run("fwd", ipv6(proto=17)) == (7, "peer", PAIR + 1)
        for packet in (ipv4(port=81), ipv4(dst="203.0.113.11"), ipv4(proto=17), ipv6(), ipv6(proto=17, port=0x5000)):
            assert made.run("fwd", packet) == PASSED
        assert made.run("fwd", ipv4(), index=LAN + 1) == PASSED


def test_options_of_ipv4_are_stepped_over():
    for made in each(match()):
        for words in range(1, 11):
            assert made.run("fwd", ipv4(options=b"\x01" * 4 * words)) == TAKEN
            assert made.run("fwd", ipv4(options=b"\x01" * 4 * words, port=81)) == PASSED


def test_fragments_pass_a_match_with_a_port_and_not_one_without():
    for fragment in (0x2000, 0x0001, 0x2001, 0x1FFF):
        for made in each(match()):
            assert made.run("fwd", ipv4(fragment=fragment)) == PASSED
        for made in each(match(dport=None)):
            assert made.run("fwd", ipv4(fragment=fragment)) == TAKEN
    for made in each(match()):
        assert made.run("fwd", ipv4(fragment=0x4000)) == TAKEN, "don't fragment is no fragment"


def test_what_is_never_taken():
    wide = (match(ADDRESS, "", None), match("2001:db8::/32", "tcp", None))
    for made in each(*wide):
        assert made.run("fwd", ipv4(proto=1)) == TAKEN
        assert made.run("fwd", ipv6(proto=58)) == PASSED, "ICMPv6, but for errors"
        assert made.run("fwd", ipv6(proto=0)) == PASSED, "an extension header"
        assert made.run("fwd", ipv4(), vlan=1) == PASSED, "a VLAN tag"
        assert made.run("fwd", ipv4(), protocol=0x0806) == PASSED, "ARP"
        assert made.run("fwd", ipv4(), pkt_type=1) == PASSED, "broadcast"
        assert made.run("fwd", ipv4(), pkt_type=2) == PASSED, "multicast"
        assert made.run("fwd", ipv4()[:30]) == PASSED, "cut off"
    for made in each(match(None, "udp")):
        for never in ("224.0.0.251", "239.1.1.1", "240.0.0.1", "255.255.255.255", "169.254.1.1"):
            assert made.run("fwd", ipv4(never, proto=17)) == PASSED, never
        assert made.run("fwd", ipv4("223.0.0.1", proto=17)) == TAKEN
        assert made.run("fwd", ipv4("169.253.1.1", proto=17)) == TAKEN


def test_a_range_of_ports_is_that_range_and_no_other_port():
    for made in each(match(dport=(7000, 7010))):
        for port in (6999, 7000, 7003, 7007, 7008, 7010, 7011, 0, 65535):
            assert made.run("fwd", ipv4(port=port)) == (TAKEN if 7000 <= port <= 7010 else PASSED), port


def test_prefixes_and_clients_end_where_they_end():
    for made in each(match("203.0.113.0/25", src="192.168.1.0/30"), match("2001:db8::/33")):
        assert made.run("fwd", ipv4(dst="203.0.113.127", src="192.168.1.3")) == TAKEN
        assert made.run("fwd", ipv4(dst="203.0.113.128", src="192.168.1.3")) == PASSED
        assert made.run("fwd", ipv4(dst="203.0.113.127", src="192.168.1.4")) == PASSED
        assert made.run("fwd", ipv6(dst="2001:db8:7fff::1")) == (7, "peer", PAIR + 1)
        assert made.run("fwd", ipv6(dst="2001:db8:8000::1")) == PASSED


ANOTHER = bytes([2, 0, 0x5E, 0, 0x53, 8])
BY_MAC = {"mac": address.format_mac(CLIENT)}


def test_a_client_is_known_by_its_mac_whatever_its_address():
    four, six = match(**BY_MAC), match("2001:db8::/33", **BY_MAC)
    for made in each(four, six, match(mac="02:00:5e:00:53:07")):
        for src in ("192.168.1.5", "192.168.1.6"):
            assert made.run("fwd", ipv4(src=src)) == TAKEN
            assert made.run("fwd", ipv4(src=src, client=ANOTHER)) == PASSED
        assert made.run("fwd", ipv6()) == (7, "peer", PAIR + 1)
        assert made.run("fwd", ipv6(client=ANOTHER)) == PASSED
        assert made.run("fwd", ipv4(client=bytes([2, 0, 0x5E, 0, 0x53, 7]))) == (7, "peer", PAIR + 2)
        assert made.run("fwd", ipv4(port=81)) == PASSED


def test_a_client_by_mac_needs_the_right_address_as_well_if_both_are_named():
    for made in each(match(src="192.168.1.0/30", **BY_MAC)):
        assert made.run("fwd", ipv4(src="192.168.1.3")) == TAKEN
        assert made.run("fwd", ipv4(src="192.168.1.4")) == PASSED
        assert made.run("fwd", ipv4(src="192.168.1.3", client=ANOTHER)) == PASSED


def test_without_an_ethernet_header_nobody_has_a_mac():
    for made in each(match(**BY_MAC), match(dport=(90, 91))):
        assert made.run("bare", ipv4()) == PASSED
        assert made.run("bare", ipv4(port=90)) == (7, "peer", PAIR + 1)


def test_replies_to_a_client_by_mac_go_straight_where_its_place_is_known_or_the_route_names_that_mac():
    for made in each(match(**BY_MAC)):
        answer = ipv4(dst="192.168.1.5", src=ADDRESS, port=40000, sport=80)
        assert made.run("reply", answer, index=PAIR) == PASSED, "nobody knows whose address that is"
        made.neighbour = (LAN, ROUTER, ANOTHER)
        assert made.run("reply", answer, index=PAIR) == PASSED
        made.neighbour = (LAN, ROUTER, CLIENT)
        assert made.run("reply", answer, index=PAIR)[:2] == (7, "neighbour")
        assert made.run("fwd", ipv4()) == TAKEN
        assert made.run("reply", answer, index=PAIR)[:2] == (7, "redirect")


def test_what_a_client_by_mac_uses_is_remembered_with_its_place():
    """So the next packet needs no look at `macs`: it does not even notice that it is empty."""
    for made in each(match(**BY_MAC)):
        made.neighbour = (LAN, ROUTER, CLIENT)
        assert made.run("fwd", ipv4()) == TAKEN
        made.maps["macs"].clear()
        assert made.run("fwd", ipv4()) == TAKEN
        assert made.run("fwd", ipv4(client=ANOTHER)) == PASSED, "its address, and another MAC"


def test_what_some_clients_use_by_their_address_is_remembered_as_well():
    for made in each(match(src="192.168.1.0/24")):
        made.neighbour = (LAN, ROUTER, CLIENT)
        assert made.run("fwd", ipv4()) == TAKEN
        made.maps["wide"].clear()
        assert made.run("fwd", ipv4()) == TAKEN


def test_what_is_left_out_passes_and_a_narrower_match_of_another_service_does_not_care():
    wanted = match("203.0.113.0/24", dport=None)
    for order in ORDERS:
        made = machine(order, match())
        kinds = {layout.EXACT}
        for out, level, more in (
            (match("203.0.113.0/24", dport=None, **BY_MAC), PRIO_WIDE, layout.LEAVES),
            (match("203.0.113.0/24", dport=None, src="192.168.1.6"), PRIO_WIDE, layout.LEAVES),
            (match("203.0.113.128/25", dport=None), PRIO_WIDE, layout.LEAVES),
            (wanted, PRIO_WIDE + NEXT, 0),
        ):
            item = with_(entries(out)[0], level=level, leaves=bool(more))
            kind, parts = layout.of_match(item)
            put(made, kind, parts, bytearray(made.layout.value(PAIR + 1, "", 0, more=more)))
            kinds.add(kind)
        with_kinds(made, kinds)
        assert made.run("fwd", ipv4("203.0.113.9", client=ANOTHER)) == (7, "peer", PAIR + 1)
        assert made.run("fwd", ipv4("203.0.113.9")) == PASSED
        assert made.run("fwd", ipv4("203.0.113.9", src="192.168.1.6", client=ANOTHER)) == PASSED
        assert made.run("fwd", ipv4("203.0.113.129", client=ANOTHER)) == PASSED
        assert made.run("fwd", ipv4()) == TAKEN


def test_the_narrower_match_wins():
    for made in each(match(None), match("203.0.113.0/24"), match()):
        assert made.run("fwd", ipv4()) == (7, "peer", PAIR + 2)
        assert made.run("fwd", ipv4(dst="203.0.113.11")) == (7, "peer", PAIR + 1)
        assert made.run("fwd", ipv4(dst="198.51.100.1")) == TAKEN


def test_udp_to_any_address_only_in_frames_for_the_router():
    for made in each(match(None, "udp")):
        assert made.run("fwd", ipv4(proto=17)) == TAKEN
        assert made.run("fwd", ipv4(proto=17, to=CLIENT)) == PASSED
        assert made.run("fwd", ipv4(proto=17, to=ROUTER), pkt_type=3) == TAKEN
        assert made.pkt_type == 0, "a frame for the bridge counts as addressed to us"


def test_a_frame_for_another_host_is_taken_only_at_the_port_of_a_bridge():
    """A promiscuous device gets it as well; also from a client that is known."""
    for own in (match(), match("203.0.113.0/24"), match(None)):
        for made in each(own, checked=True):
            for _ in range(2):
                assert made.run("fwd", ipv4(to=CLIENT), pkt_type=3) == PASSED
                known(made, ipv4())
        for made in each(own, checked=False):
            assert made.run("fwd", ipv4(to=CLIENT), pkt_type=3) == TAKEN


def test_packets_and_bytes_are_counted():
    for made in each(match()):
        made.run("fwd", ipv4())
        made.run("fwd", ipv4(), gso=44)
        made.run("fwd", ipv4(port=81))
        assert made.layout.parse_counters(made.maps["counters"][made.layout.number(0)], "Q", 2, 0, 1) == [45, 108]


# ICMP errors


MIDDLE, MIDDLE6 = "192.168.1.77", "fd00::77"  # a router between the service's client and this router


def error4(about, kind=3, code=4, dst=ADDRESS, src=MIDDLE, **fields):
    """Of a router in the middle, about a packet without its Ethernet header."""
    return ipv4(dst, src, 1, **fields)[:-20] + struct.pack(">BBHI", kind, code, 0, 1280) + about


def error6(about, kind=2, code=0, dst=ADDRESS6, src=MIDDLE6):
    return ipv6(dst, src, 58)[:-20] + struct.pack(">BBHI", kind, code, 0, 1280) + about


def sent4(src=ADDRESS, dst="192.168.1.5", proto=6, port=80, **fields):
    """What a service has sent, as an error quotes it."""
    return ipv4(dst, src, proto, 40000, port, **fields)[14:]


def sent6(src=ADDRESS6, dst="fd00::5", proto=6, port=80):
    return ipv6(dst, src, proto, 40000, port)[14:]


def fragment6(offset, proto=17, port=80):
    """A fragment of what a service has sent."""
    whole = sent6(proto=proto, port=port)
    return whole[:6] + bytes([44]) + whole[7:40] + struct.pack(">BBHI", proto, 0, offset << 3 | 1, 7) + whole[40:]


def test_an_icmp_error_about_a_redirected_flow_goes_to_the_service():
    for proto in ("tcp", "udp"):
        number = 6 if proto == "tcp" else 17
        for made in each(match(proto=proto), match(ADDRESS6, proto)):
            for kind in (3, 11, 12):
                assert made.run("fwd", error4(sent4(proto=number), kind)) == TAKEN, kind
            for kind in (1, 2, 3, 4):
                assert made.run("fwd", error6(sent6(proto=number), kind)) == (7, "peer", PAIR + 1), kind


def test_an_icmp_error_about_another_flow_passes():
    for made in each(match(), match(ADDRESS6)):
        for packet in (
            error4(sent4(port=81)),
            error4(sent4(proto=17)),
            error4(sent4(src="203.0.113.11")),
            error4(sent4(), dst="203.0.113.11"),
            error4(sent4(fragment=0x2001)),
            error4(sent4(), kind=8),
            error4(sent4(), kind=5),
            error4(ipv4()[14:]),
            error4(sent4(), fragment=0x2000),
            error4(sent4(), options=b"\x01" * 4),
            error6(sent6(port=81)),
            error6(sent6(proto=17)),
            error6(sent6(src="2001:db8::2")),
            error6(sent6(), dst="2001:db8::2"),
            error6(sent6(), kind=0),
            error6(sent6(), kind=5),
            error6(sent6(), kind=128),
            error6(ipv6()[14:]),
            error6(sent6(proto=0)),
        ):
            assert made.run("fwd", packet) == PASSED


def test_an_icmp_error_is_taken_as_far_as_its_quotation_names_ports():
    for made in each(match(), match(ADDRESS6)):
        whole, whole6 = error4(sent4()[:24]), error6(sent6()[:44])
        assert made.run("fwd", whole) == TAKEN and made.run("fwd", whole6) == (7, "peer", PAIR + 1)
        for length in range(14, len(whole)):
            assert made.run("fwd", whole[:length]) == PASSED, length
        for length in range(14, len(whole6)):
            assert made.run("fwd", whole6[:length]) == PASSED, length


def test_an_icmp_error_quotes_options_and_first_fragments():
    for made in each(match(proto="udp"), match(ADDRESS6, "udp")):
        for words in range(1, 11):
            assert made.run("fwd", error4(sent4(proto=17, options=b"\x01" * 4 * words))) == TAKEN
        assert made.run("fwd", error4(sent4(proto=17, fragment=0x2000))) == TAKEN
        assert made.run("fwd", error6(fragment6(0))) == (7, "peer", PAIR + 1)
        for packet in (error6(fragment6(1)), error6(fragment6(0, port=81)), error6(fragment6(0, proto=6))):
            assert made.run("fwd", packet) == PASSED


def test_an_icmp_error_is_of_the_client_that_it_quotes_and_of_no_other():
    only = (match(src="192.168.1.4/30"), match(ADDRESS6, src="fd00::4/126"))
    for made in each(*only):
        assert made.run("fwd", error4(sent4())) == TAKEN and made.run("fwd", error6(sent6())) == (7, "peer", PAIR + 1)
        assert made.run("fwd", error4(sent4(dst="192.168.1.9"))) == PASSED
        assert made.run("fwd", error6(sent6(dst="fd00::9"))) == PASSED


def test_where_every_protocol_is_taken_an_icmp_error_is_as_well():
    for made in each(match(ADDRESS, "", None)):
        for about in (sent4(), sent4(proto=1), sent4(fragment=1), sent4()[:10], ipv4()[14:]):
            assert made.run("fwd", error4(about)) == TAKEN


def test_nothing_is_learned_and_nobody_forgotten_by_an_icmp_error():
    """Whoever can send a packet could forge one."""
    for about, error, own in ((ipv4(), error4(sent4()), match()), (ipv6(), error6(sent6()), match(ADDRESS6))):
        for made in each(own):
            made.neighbour = (LAN, ROUTER, CLIENT)
            assert made.run("fwd", error) == TAKEN
            assert made.maps["clients"] == {} and made.asked == b""
            known(made, about)
            before = {key: bytes(made.maps["clients"][key]) for key in made.maps["clients"]}
            assert len(before) == 1
            for forged in (error, error[:6] + ROUTER + error[12:]):
                assert made.run("fwd", forged) == TAKEN
            assert {key: bytes(made.maps["clients"][key]) for key in made.maps["clients"]} == before
            assert made.layout.parse_counters(made.maps["counters"][made.layout.number(0)], "Q", 2, 0, 1)[0] == 4


def test_an_icmp_error_about_a_closed_port_or_after_the_deadline_passes():
    for made in each(match(), watched=80, nsid=0):
        known(made, ipv4())
        made.clock = 100 * 10**9
        made.maps["deadline"][bytes(4)] = bytearray(made.layout.deadline(made.clock, 15))
        made.clock += 18 * 10**9
        assert made.run("fwd", error4(sent4())) == PASSED
        made.maps["deadline"][bytes(4)] = bytearray(4)
        assert made.run("fwd", error4(sent4())) == TAKEN
        made.run("reply", answer4(segment(RST | ACK)), index=PAIR)
        assert made.run("fwd", error4(sent4())) == PASSED


# Packets without an Ethernet header


def as_is(packet):
    """What the program for such packets sees: it has no MACs, and neither has a frame that it hands on."""
    return bytes(12) + packet[12:]


def bare_packets():
    yield from (ipv4(), ipv4(port=81), ipv4(dst="203.0.113.11"), ipv4(proto=17), ipv6(), ipv6(proto=17), ipv6(port=81))
    yield from (ipv4(proto=1), ipv6(proto=58), ipv6(proto=0), ipv6(dst="ff02::1"), ipv4(dst="224.0.0.251", proto=17))
    yield from (ipv4(options=bytes([1]) * 4 * words, port=port) for words in (1, 10) for port in (80, 81))
    yield from (ipv4(fragment=fragment) for fragment in (0x2000, 0x0001, 0x4000))
    yield from (error4(sent4(), kind) for kind in (3, 11, 12, 8))
    yield from (error6(sent6(), kind) for kind in (1, 2, 3, 4, 128))
    yield from (
        error4(sent4(options=b"\x01" * 4)),
        error4(sent4(port=81)),
        error6(sent6(port=81)),
        error6(fragment6(0)),
    )
    yield from (whole[:length] for whole in (ipv4(), ipv6(), error4(sent4())) for length in range(14, len(whole), 3))
    yield from (ipv6(dst="::ffff:" + ADDRESS), ipv6(src="::ffff:192.168.1.5"))


def test_without_an_ethernet_header_the_same_packets_are_taken_and_get_one_without_macs():
    several = ((match(), match(ADDRESS6)), (match(None), match(ADDRESS6, "udp")), (match(ADDRESS, "", None),))
    taken = 0
    for wanted in several:
        for packet in bare_packets():
            for order in ORDERS:
                framed, bare = machine(order, *wanted), machine(order, *wanted)
                expected = framed.run("fwd", packet)
                assert bare.run("bare", packet) == expected, packet.hex()
                assert bytes(bare.packet) == (as_is(packet) if expected[0] == 7 else packet[14:])
                taken += expected[0] == 7
    assert taken > 50


def test_without_an_ethernet_header_the_same_packets_belong_to_a_connection():
    noted = 0
    for packet in bare_packets():
        for mode in (layout.JOINS, layout.TAKE_OVER):
            seen = []
            for which in ("fwd", "bare"):
                made = machine("little", match(), match(ADDRESS6))
                for value in made.maps["exact"].values():
                    value[:] = made.layout.in_mode(bytes(value), mode)
                first = packet[:47] + bytes([SYN]) + packet[48:] if len(packet) > 48 else packet  # of IPv4
                found = [made.run(which, first), made.run(which, packet)]
                seen.append((found, {key: bytes(made.maps["flows"][key]) for key in made.maps["flows"]}))
            assert seen[0] == seen[1], packet.hex()
            noted += len(seen[0][1])
    assert noted > 4


def test_a_client_without_a_mac_is_learned_where_its_route_leads_back():
    """A neighbour is no condition: such a device has none."""
    for packet, back, own in (
        (ipv4(), BACK, match()),
        (ipv6(), ipv6(dst="fd00::5", src=ADDRESS6, port=40000, sport=80), match(ADDRESS6)),
    ):
        for way in ((LAN, bytes(6), bytes(6)), None):
            for made in each(own, checked=True):
                made.neighbour, made.no_way = way, (7, LAN)
                assert made.run("bare", packet) == TAKEN
                assert [bytes(value[36:]) for value in made.maps["clients"].values()] == [bytes(12)]
                made.asked = b""
                made.maps["exact"].clear()
                assert made.run("bare", packet) == TAKEN and made.asked == b"", "it is known"
                assert made.run("reply", back, index=PAIR) == (7, "redirect", LAN)
                made.set_state(2)
                assert made.run("bare", packet) == PASSED, "the matches are others now"


def test_a_client_without_a_mac_whose_route_leads_elsewhere_is_not_taken():
    error = -22  # EINVAL
    answers = [(7, LAN + 1, False), (0, LAN + 1, False), (error, 0, True)]
    answers += [(result, 0, False) for result in (1, 2, 3, 4)] + [(result, 0, True) for result in (5, 6, 8)]
    for packet, own in ((ipv4(), match()), (ipv6(), match(ADDRESS6)), (ipv4(), match(None))):
        for result, index, taken in answers:
            for made in each(own, checked=True):
                made.no_way = (result, index)
                assert made.run("bare", packet) == (TAKEN if taken else PASSED), (result, index)
                assert made.maps["clients"] == {}


def test_a_client_that_moves_to_a_device_without_macs_gets_its_replies_there():
    for made in each(match(), checked=True):
        known(made, ipv4())
        assert [bytes(value[32:36]) for value in made.maps["clients"].values()] == [made.layout.number(LAN)]
        for key in list(made.maps["exact"]):
            made.maps["exact"][made.layout.number(LAN + 1) + key[4:]] = made.maps["exact"][key]
        made.neighbour, made.no_way = None, (7, LAN + 1)
        assert made.run("bare", ipv4(), index=LAN + 1) == TAKEN
        assert made.run("reply", BACK, index=PAIR) == (7, "redirect", LAN + 1)


def test_connections_with_the_cloud_stay_there_also_without_an_ethernet_header():
    syn = ipv4()[:-20] + struct.pack(">HHIIBBHHH", 40000, 80, 0, 0, 0x50, SYN, 0, 0, 0)
    later = ipv4()[:-20] + struct.pack(">HHIIBBHHH", 40001, 80, 7, 7, 0x50, ACK, 0, 0, 0)
    mine = ipv4()[:-20] + struct.pack(">HHIIBBHHH", 40000, 80, 7, 7, 0x50, ACK, 0, 0, 0)
    for made in each(match(), checked=True):
        made.no_way = (7, LAN)
        for value in made.maps["exact"].values():
            value[:] = made.layout.in_mode(bytes(value), layout.TAKE_OVER)
        for _ in range(2):  # also from a client that is known
            assert made.run("bare", later) == PASSED
            assert made.run("bare", syn) == TAKEN
            assert made.run("bare", mine) == TAKEN


def test_a_packet_for_which_there_is_no_room_for_a_header_is_lost():
    """Not left to the cloud: that would reset the connection."""
    for made in each(match()):
        made.no_memory = True
        assert made.run("bare", ipv4()) == DROPPED


# Where the client is, and its replies


def test_a_client_is_learned_only_where_the_router_would_send_to_it():
    for packet, own in ((ipv4(), match()), (ipv6(), match(ADDRESS6))):
        for made in each(own):
            made.run("fwd", packet)
            assert made.maps["clients"] == {}, "no neighbour"
            made.neighbour = (LAN + 1, ROUTER, CLIENT)
            made.run("fwd", packet)
            assert made.maps["clients"] == {}, "another interface"
            made.neighbour = (LAN, ROUTER, ROUTER)
            made.run("fwd", packet)
            assert made.maps["clients"] == {}, "another MAC"
            made.neighbour = (LAN, ROUTER, CLIENT)
            made.run("fwd", packet)
            assert [bytes(value[36:]) for value in made.maps["clients"].values()] == [CLIENT + ROUTER]
            made.neighbour = None
            made.run("fwd", packet)
            assert len(made.maps["clients"]) == 1, "nobody is asked again"
            moved = packet[:6] + ROUTER + packet[12:]
            made.run("fwd", moved)
            assert made.maps["clients"] == {}, "it has another MAC now, which the router does not know"


def test_the_route_is_asked_for_the_reply():
    for order in ORDERS:
        made = machine(order, match(), match(ADDRESS6))
        made.run("fwd", ipv4())
        assert (made.asked[0], made.asked[1], made.asked[8:12]) == (2, 6, PAIR.to_bytes(4, order))
        assert made.asked[16:20] + made.asked[32:36] == bytes([203, 0, 113, 10, 192, 168, 1, 5])
        made.run("fwd", ipv6())
        assert made.asked[0] == 10
        assert made.asked[16:48] == address.parse_address(ADDRESS6) + address.parse_address("fd00::5")


def test_a_reply_goes_straight_to_a_known_client_and_nothing_else_does():
    back = ipv4(dst="192.168.1.5", src=ADDRESS, port=40000, sport=80, to=CLIENT)
    back6 = ipv6(dst="fd00::5", src=ADDRESS6, port=40000, sport=80)
    for made in each(match(), match("2001:db8::/32")):
        assert made.run("reply", back, index=PAIR) == PASSED, "no route"
        made.neighbour = (LAN + 1, ROUTER, CLIENT)
        assert made.run("reply", back, index=PAIR) == PASSED, "routed where nothing is taken"
        made.neighbour = (LAN, ROUTER, CLIENT)
        assert made.run("reply", back, index=PAIR) == (7, "neighbour", LAN), "not known yet"
        assert bytes(made.packet) == back, "the kernel writes the MACs"
        made.run("fwd", ipv4())
        made.run("fwd", ipv6())
        assert made.run("reply", back, index=PAIR) == (7, "redirect", LAN)
        assert bytes(made.packet[:12]) == CLIENT + ROUTER and bytes(made.packet[12:]) == back[12:]
        assert made.run("reply", back6, index=PAIR + 1) == (7, "redirect", LAN)
        assert made.run("reply", back, index=PAIR + 1) == PASSED, "another service's"
        for other in (
            ipv4(dst="192.168.1.5", src=ADDRESS, port=40000, sport=81),
            ipv4(dst="192.168.1.5", src=ADDRESS, port=40000, sport=80, proto=17),
            ipv4(dst="192.168.1.5", src="10.213.0.2", port=40000, sport=80),
            ipv4(dst="192.168.1.5", src=ADDRESS, port=40000, sport=80, fragment=0x2000),
        ):
            assert made.run("reply", other, index=PAIR) == PASSED


def test_a_frame_that_says_another_type_than_its_sender_is_no_reply():
    """Over netkit the sender says the protocol (packet(7)); ARP with the bytes of a reply would get past the guard."""
    back = ipv4(dst="192.168.1.5", src=ADDRESS, proto=50)
    back6 = ipv6(dst="fd00::5", src=ADDRESS6, port=40000, sport=80)
    for frame, pair in ((back, PAIR), (back6, PAIR + 1)):
        for made in each(match(proto="", dport=None), match("2001:db8::/32", "", None)):
            made.neighbour = (LAN, ROUTER, CLIENT)
            assert made.run("reply", frame, index=pair)[0] == 7
            said = int.from_bytes(frame[12:14], "big")
            for other in (b"\x08\x06", b"\x81\x00"):
                assert made.run("reply", frame[:12] + other + frame[14:], index=pair, protocol=said) == PASSED


# Sources that are somebody else's


def test_who_is_not_known_is_taken_only_where_the_router_would_answer():
    """(Result of the look-up, index, whether the packet is taken): linux/bpf.h, BPF_FIB_LKUP_RET_*."""
    error = -22  # EINVAL
    answers = [(7, LAN, True), (7, LAN + 1, False), (0, LAN + 1, False)]
    answers += [(result, 0, False) for result in (1, 2, 3, 4)] + [(result, 0, True) for result in (5, 6, 8, error)]
    for packet, own in ((ipv4(), match()), (ipv6(), match(ADDRESS6)), (ipv4(), match(None))):
        for result, index, taken in answers:
            for made in each(own, checked=True):
                made.no_way = (result, index)
                assert made.run("fwd", packet) == (TAKEN if taken else PASSED), (result, index)
            for made in each(own, checked=False):
                made.no_way = (result, index)
                assert made.run("fwd", packet) == TAKEN, "at the port of a bridge nobody knows"


def test_who_is_known_is_not_asked_for_again_and_stays_known_whatever_others_send():
    for own in (match(), match(None)):
        for made in each(own, checked=True):
            known(made, ipv4())
            made.neighbour, made.asked = None, b""
            assert made.run("fwd", ipv4()) == TAKEN and made.asked == b""
            forged = ipv4()[:6] + ROUTER + ipv4()[12:]
            made.no_way = (0, LAN + 1)
            before = dict(made.maps["clients"])
            assert made.run("fwd", forged) == PASSED and made.maps["clients"] == before
            assert made.run("fwd", ipv4()) == TAKEN


def test_a_source_counts_unless_the_device_is_the_port_of_a_bridge():
    (single,) = ebpf.filters("lan0", match(), 1, "", (("mirred", "vsc-s"),), False, True)
    assert single.checked and not entries(match())[0].checked


# The service that is remembered with a client


BACK = ipv4(dst="192.168.1.5", src=ADDRESS, port=40000, sport=80, to=CLIENT)


def known(made, *packets):
    """A machine that has seen these packets of a client whose place it could learn."""
    made.neighbour = (LAN, ROUTER, CLIENT)
    for packet in packets:
        made.run("fwd", packet)
    return made


def test_a_client_that_is_known_is_taken_without_another_look_while_no_match_changes():
    """The lookup that is saved is seen by taking the match away behind the programs' back."""
    for made in each(match()):
        known(made, ipv4())
        made.maps["exact"].clear()
        assert made.run("fwd", ipv4()) == TAKEN
        assert made.run("reply", BACK, index=PAIR) == (7, "redirect", LAN)
        made.set_state(2)
        assert made.run("fwd", ipv4()) == PASSED, "the matches are others now"
        assert made.run("reply", BACK, index=PAIR) == PASSED


def test_while_matches_are_changed_nothing_is_remembered():
    for made in each(match()):
        known(made, ipv4())
        made.set_state(0)
        assert made.run("fwd", ipv4()) == TAKEN
        assert made.run("reply", BACK, index=PAIR) == (7, "redirect", LAN)
        made.maps["exact"].clear()
        assert made.run("fwd", ipv4()) == PASSED and made.run("reply", BACK, index=PAIR) == PASSED
    for made in each(match()):
        made.set_state(0)
        known(made, ipv4())
        assert len(made.maps["clients"]) == 1, "its place is"
        made.maps["exact"].clear()
        for generation in (0, 1):
            made.set_state(generation)
            assert made.run("fwd", ipv4()) == PASSED


def test_after_a_change_the_client_is_asked_for_once_more_and_remembered_again():
    for made in each(match()):
        known(made, ipv4())
        for generation in (2, 3):
            made.set_state(generation)
            assert made.run("fwd", ipv4()) == TAKEN
            made.neighbour, made.asked = None, b""
            assert made.run("fwd", ipv4()) == TAKEN and made.asked == b""
            made.neighbour = (LAN, ROUTER, CLIENT)


def test_every_part_of_the_tuple_and_the_place_has_to_be_what_is_remembered():
    others = (ipv4(dst="203.0.113.11"), ipv4(port=81), ipv4(proto=17), ipv4(src="192.168.1.6"))
    for made in each(match()):
        known(made, ipv4())
        made.maps["exact"].clear()
        for packet in others:
            assert made.run("fwd", packet) == PASSED
        assert made.run("fwd", ipv4(), index=LAN + 1) == PASSED
        assert made.run("reply", BACK, index=PAIR + 1) == PASSED
    for made in each(match(ADDRESS6)):
        known(made, ipv6())
        made.maps["exact"].clear()
        assert made.run("fwd", ipv6()) == TAKEN
        for packet in (ipv6(dst="2001:db8::2"), ipv6(dst="2001:db9::1"), ipv6(port=81), ipv6(src="fd00::6")):
            assert made.run("fwd", packet) == PASSED


def test_a_client_of_two_services_reaches_both_and_each_counts_its_own():
    for made in each(match(), match("203.0.113.11", "tcp", (81, 81))):
        second = ipv4(dst="203.0.113.11", port=81)
        known(made, ipv4(), second, ipv4(), second, second)
        assert made.run("fwd", second) == (7, "peer", PAIR + 1)
        slots = [made.maps["counters"][made.layout.number(slot)] for slot in (0, 1)]
        assert [made.layout.parse_counters(slot, "Q", 2, 0, 1)[0] for slot in slots] == [2, 4]


def test_the_service_that_is_remembered_becomes_the_other_one_now_and_then():
    first, second = ipv4(), ipv4(dst="203.0.113.11", port=81)
    for made in each(match(), match("203.0.113.11", "tcp", (81, 81)), match(None, "udp")):
        known(made, first, second)
        made.random = 0xFFF0
        known(made, ipv4(proto=17))
        everything = made.maps["exact"]
        made.maps["exact"] = {}
        assert made.run("fwd", first) == TAKEN, "one that is not exact does not take the place"
        made.maps["exact"] = everything
        known(made, second)
        made.maps["exact"] = {}
        assert made.run("fwd", second) == (7, "peer", PAIR + 1) and made.run("fwd", first) == PASSED


def test_a_match_that_is_not_exact_is_never_remembered():
    """Whether it holds may depend on the MAC that a frame is for, and on narrower ones."""
    for made in each(match(None, "udp")):
        known(made, ipv4(proto=17), ipv4(proto=17))
        assert len(made.maps["clients"]) == 1
        assert made.run("fwd", ipv4(proto=17, to=CLIENT)) == PASSED
        made.asked = b""
        made.run("fwd", ipv4(proto=17))
        assert made.asked == b"", "its place is known"
    for made in each(match(None, "udp"), match("203.0.113.12", "udp")):
        exact = ipv4(dst="203.0.113.12", proto=17)
        known(made, ipv4(proto=17), exact)
        del made.maps["exact"][next(iter(made.maps["exact"]))]
        assert made.run("fwd", exact) == (7, "peer", PAIR + 1), "remembered when the exact one came"


# The deadline


def test_nothing_is_taken_when_the_deadline_has_passed():
    for made in each(match(), match("203.0.113.0/24", "udp")):
        known(made, ipv4())
        made.clock = 100 * 10**9
        made.maps["deadline"][bytes(4)] = bytearray(made.layout.deadline(made.clock, 15))
        made.clock += 15 * 10**9
        assert made.run("fwd", ipv4()) == TAKEN and made.run("fwd", ipv4(proto=17)) != PASSED
        counted = bytes(made.maps["counters"][made.layout.number(0)])
        made.clock += 3 * 10**9  # its unit is longer than a second, and the last one that began counts
        assert made.run("fwd", ipv4()) == PASSED and made.run("fwd", ipv4(proto=17)) == PASSED
        assert bytes(made.maps["counters"][made.layout.number(0)]) == counted
        made.maps["deadline"][bytes(4)] = bytearray(made.layout.deadline(made.clock, 0))
        assert made.run("fwd", ipv4()) == TAKEN, "no agent, so no deadline"


# Ports that are closed


DROPPED = (2, "", 0)
RST, SYN, ACK = 4, 2, 16


def segment(flags, seq=0, port=80):
    return struct.pack(">HHIIBBHHH", port, 40000, seq, 1, 0x50, flags, 0, 0, 0)


def answer4(content, proto=6):
    return ipv4(dst="192.168.1.5", src=ADDRESS, proto=proto, to=CLIENT)[:-20] + content


def answer6(content, proto=6):
    return ipv6(dst="fd00::5", src=ADDRESS6, proto=proto)[:-20] + content


def unreachable4(code=3, proto=17, port=80):
    """A namespace's answer to a datagram for which there is no socket (RFC 792)."""
    about = ipv4(src="192.168.1.5", dst=ADDRESS, proto=proto, port=port)[14:]
    return answer4(struct.pack(">BBHI", 3, code, 0, 0) + about, proto=1)


def unreachable6(code=4, proto=17, port=80):
    about = ipv6(src="fd00::5", dst=ADDRESS6, proto=proto, port=port)[14:]
    return answer6(struct.pack(">BBHI", 1, code, 0, 0) + about, proto=58)


CLOSED = (
    (match(), ipv4(), answer4(segment(RST | ACK))),
    (match(ADDRESS6), ipv6(), answer6(segment(RST | ACK))),
    (match(proto="udp"), ipv4(proto=17), unreachable4()),
    (match(ADDRESS6, "udp"), ipv6(proto=17), unreachable6()),
)


def test_a_closed_port_is_left_to_the_cloud_at_once_and_the_client_does_not_hear_of_it():
    for wanted, asks, refusal in CLOSED:
        for client_is_known in (False, True):
            for made in each(wanted, watched=80, nsid=0):
                made.neighbour = (LAN, ROUTER, CLIENT)
                if client_is_known:
                    known(made, asks, asks)
                assert made.run("fwd", asks) == TAKEN
                assert made.run("reply", refusal, index=PAIR) == DROPPED
                assert made.run("fwd", asks) == PASSED
                assert made.layout.parse_number(made.maps["refusals"][bytes(4)]) == 1


def test_the_agent_puts_a_port_back_by_writing_its_entry_anew():
    for wanted, asks, refusal in CLOSED:
        for made in each(wanted, watched=80, nsid=0):
            before = {key: bytes(made.maps["exact"][key]) for key in made.maps["exact"]}
            known(made, asks)
            made.run("reply", refusal, index=PAIR)
            (value,) = made.maps["exact"].values()
            target, mac, flags = made.layout.parse_value(bytes(value))
            assert (target, mac) == (PAIR, "") and flags & layout.WATCHED and flags & layout.REFUSED
            made.maps["exact"] = {key: bytearray(before[key]) for key in before}
            assert made.run("fwd", asks) == TAKEN


def test_only_an_answer_to_a_syn_or_a_datagram_says_that_a_port_is_closed():
    others = [answer4(segment(flags, seq)) for flags, seq in ((RST, 0), (RST | ACK, 7), (SYN | ACK, 0), (ACK, 0))]
    for made in each(match(), watched=80, nsid=0):
        known(made, ipv4())
        for packet in others:
            assert made.run("reply", packet, index=PAIR) == (7, "redirect", LAN)
        assert made.run("fwd", ipv4()) == TAKEN
    others = [unreachable4(code=4), answer4(bytes(8), proto=1), unreachable4(proto=6), unreachable4(port=81)]
    others6 = [unreachable6(code=3), answer6(bytes(8), proto=58), unreachable6(proto=6), unreachable6(port=81)]
    for wanted, asks, packets in (
        (match(proto="udp"), ipv4(proto=17), others),
        (match(ADDRESS6, "udp"), ipv6(proto=17), others6),
    ):
        for made in each(wanted, watched=80, nsid=0):
            known(made, asks)
            for packet in packets:
                assert made.run("reply", packet, index=PAIR) == PASSED
            assert made.run("fwd", asks) == TAKEN


def test_a_port_of_a_range_may_be_closed_and_so_may_what_nobody_watches():
    for made in each(match(), watched=0):
        known(made, ipv4())
        assert made.run("reply", answer4(segment(RST | ACK)), index=PAIR) == (7, "redirect", LAN)
        assert made.run("fwd", ipv4()) == TAKEN
    (single,) = ebpf.filters("lan0", match(), 1, "", (("mirred", "vsc-s"),), True)
    wide = ebpf.filters("lan0", match(dport=(7000, 7010)), 3, "", (("mirred", "vsc-s"),), True)
    assert single.watched == 80
    assert [one.watched for one in wide] == [one.port if one.port_bits == 16 else 0 for one in wide]


def test_the_port_that_is_watched_is_the_programs_unless_the_entry_holds_a_mac_in_its_place():
    """Of TCP none does."""

    def watched(one, mac):
        level = datapath.level_of(one)
        return [item.watched for item in ebpf.filters("lan0", one, level, mac, (("mirred", "vsc-s"),), True)]

    moved = Match(4, "tcp", address.parse_prefix(ADDRESS), (80, 80), None, 8080, "", "")
    assert watched(moved, "") == [8080]
    anywhere = Match(4, "udp", None, (80, 80), None, 8080, "", "")
    assert watched(anywhere, "02:00:5e:00:53:01") == [80]
    for order in ORDERS:
        made = layout.Layout(order)
        assert made.port_inside(made.value(9, "", 3, 8080, True, layout.JOINS, 5), 80) == 8080
        assert made.port_inside(made.value(9, "02:00:5e:00:53:01", 3, 80), 80) == 80
        assert made.port_inside(made.value(9, "", 3, 0, True, layout.JOINS, 5), 80) == 0


def test_a_reset_says_nothing_while_somebody_listens_in_the_namespace():
    """Its client asks once more: the kernel says the same to a second SYN of a connection that begins or has ended."""
    inside = {(7, 4, address.parse_address(ADDRESS), 8080), (7, 6, address.parse_address(ADDRESS6), 8080)}
    for wanted, asks, refusal in CLOSED[:2]:
        for made in each(wanted, watched=8080, nsid=7):
            known(made, asks)
            made.listens = inside
            for _ in range(3):
                assert made.run("reply", refusal, index=PAIR) == DROPPED
                assert made.run("fwd", asks) == TAKEN
            assert made.layout.parse_number(made.maps["refusals"][bytes(4)]) == 0
            made.listens = {(nsid + 1, family, own, port) for nsid, family, own, port in inside}
            assert made.run("reply", refusal, index=PAIR) == DROPPED and made.run("fwd", asks) == PASSED
        for made in each(wanted, watched=8080):
            known(made, asks)
            assert made.run("reply", refusal, index=PAIR) == DROPPED
            assert made.run("fwd", asks) == TAKEN, "nobody can say"


def test_an_ipv4_address_in_the_notation_of_ipv6_is_no_key_of_ipv4():
    """No packet has one, but a forged one: of the service, or of a client that is known."""
    mapped, client = "::ffff:" + ADDRESS, "::ffff:192.168.1.5"
    for made in each(match(), match(ADDRESS6)):
        known(made, ipv4())
        before = dict(made.maps["clients"])
        made.neighbour = None
        forged = [ipv6(dst=mapped), ipv6(dst=mapped, src=client), ipv6(src=client)]
        for packet in forged:
            other = packet[:6] + ROUTER + packet[12:]
            assert made.run("fwd", packet) == PASSED and made.run("fwd", other) == PASSED
        assert made.maps["clients"] == before
        for packet in (ipv6(dst="fd00::5", src=mapped, port=40000, sport=80), ipv6(dst=client, src=ADDRESS6, sport=80)):
            assert made.run("reply", packet, index=PAIR) == PASSED
        # What is like them, and isn't.
        for source in ("::5", "::fffe:0:5", "::1:ffff:192.168.1.5", "1::ffff:192.168.1.5"):
            assert made.run("fwd", ipv6(src=source)) == (7, "peer", PAIR + 1)


def test_another_service_can_not_close_a_port():
    for made in each(match(), match("203.0.113.11"), watched=80, nsid=0):
        known(made, ipv4())
        assert made.run("reply", answer4(segment(RST | ACK)), index=PAIR + 1) == PASSED
        assert made.run("fwd", ipv4()) == TAKEN
