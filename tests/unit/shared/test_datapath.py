"""Filters against packets: what u32 keys select is worked out here byte by byte, as the kernel does it."""

import struct

from viscum_agent import address
from viscum_agent.config import schema
from viscum_agent.config.service import Match
from viscum_agent.ebpf import name_of
from viscum_agent.plan import datapath
from viscum_agent.plan.datapath import flower, u32
from viscum_agent.plan.diff import identity
from viscum_agent.records import with_
from viscum_agent.records.facts import EVERYTHING, Device

ACTIONS = (("mirred", "vsc-s"),)
LAN = Device("lan", True, 1500, "02:00:5e:00:53:01", True, "02:00:5e:00:53:01", "", (4, 6), False)
ETHERNET = bytes([2, 0, 0x5E, 0, 0x53, 1]) + bytes([2, 0, 0x5E, 0, 0x53, 9]) + b"\x08\x00"  # to, from, type


def match(family=4, proto="tcp", dst="203.0.113.10", dport=(80, 80), src=None):
    prefix = address.parse_prefix
    return Match(family, proto, prefix(dst) if dst else None, dport, prefix(src) if src else None, 0, "", "")


def ipv4(proto=6, src="192.168.1.5", dst="203.0.113.10", port=80, options=b"", fragment=0, ethernet=ETHERNET):
    head = struct.pack(">BBHHHBBH", 0x45 + len(options) // 4, 0, 60, 7, fragment, 64, proto, 0)
    return ethernet + head + address.parse_address(src) + address.parse_address(dst) + options + _ports(port)


def ipv6(next_header=6, src="fd00::5", dst="2001:db8::1", port=80, extension=b""):
    head = struct.pack(">IHBB", 0x60000000, 40, next_header, 64)
    return ETHERNET + head + address.parse_address(src) + address.parse_address(dst) + extension + _ports(port)


def _ports(port):
    return struct.pack(">HH", 40000, port) + bytes(16)


def selects(filters, packet):
    """Whether one of the u32 filters selects a packet: offsets count from behind the Ethernet header."""
    return any(all(_key_selects(key, packet) for key in item.keys) for item in filters)


def _key_selects(key, packet):
    value, mask, offset = key
    start = 14 + offset
    words = bytes(2) + packet if start < 0 else packet  # the kernel has headroom before the Ethernet header
    start += 2 if start < 0 else 0
    return struct.unpack(">I", words[start : start + 4])[0] & mask == value


def filters_of(wanted, mac=""):
    level = datapath.level_of(wanted)
    return [item for part in datapath.spread(wanted) for item in u32.filters("lan", part, level, mac, ACTIONS)]


# u32


def test_an_address_and_a_port_select_that_packet_and_no_other():
    found = filters_of(match())
    assert selects(found, ipv4())
    assert not selects(found, ipv4(dst="203.0.113.11"))
    assert not selects(found, ipv4(port=81))
    assert not selects(found, ipv4(port=80 + 256)), "all of the port counts, not its last byte"
    assert not selects(found, ipv4(proto=17))


def test_a_port_counts_only_where_it_is():
    found = filters_of(match())
    assert not selects(found, ipv4(options=bytes(4))), "behind IPv4 options"
    assert not selects(found, ipv4(options=struct.pack(">HH", 9, 80))), "options that look like ports"
    assert not selects(found, ipv4(fragment=1)) and not selects(found, ipv4(fragment=0x1FFF)), (
        "a later fragment has none"
    )
    assert not selects(found, ipv4(fragment=0x2000)), "the first goes with the others, or nobody has the packet whole"
    assert selects(found, ipv4(fragment=0x4000)), "don't fragment"


def test_without_a_port_options_and_fragments_are_taken():
    found = filters_of(match(proto="", dport=None))
    assert selects(found, ipv4(options=bytes(8), fragment=5, proto=1))


def test_ipv6_with_an_extension_header_passes_by():
    found = filters_of(match(6, "tcp", "2001:db8::1"))
    assert selects(found, ipv6())
    assert not selects(found, ipv6(next_header=0, extension=bytes([6, 0, 0, 0, 0, 0, 0, 0])))
    assert not selects(found, ipv6(next_header=58)), "ICMPv6"
    assert not selects(found, ipv6(dst="2001:db8::2")) and not selects(found, ipv6(port=81))


def test_clients():
    assert selects(filters_of(match(src="192.168.1.0/29")), ipv4())
    assert not selects(filters_of(match(src="192.168.1.0/30")), ipv4())
    assert selects(filters_of(match(6, dst="2001:db8::/32", src="fd00::/16")), ipv6())
    assert not selects(filters_of(match(6, dst="2001:db8::/32", src="fd01::/16")), ipv6())


def test_a_prefix_of_any_length():
    packed = address.parse_address("203.0.113.10")
    for length in range(1, 33):
        prefix = address.format_prefix(address.Prefix(4, address.masked(packed, length), length))
        found = filters_of(match(dst=prefix, dport=None))
        flipped = bytearray(packed)
        flipped[(length - 1) // 8] ^= 0x80 >> (length - 1) % 8
        assert selects(found, ipv4()), prefix
        assert not selects(found, ipv4(dst=address.format_address(bytes(flipped)))), prefix


def test_any_ipv4_address_over_udp_only_in_frames_to_the_router():
    wanted = match(proto="udp", dst=None)
    assert datapath.needs_mac(wanted) and not datapath.needs_mac(match(dst=None)) and not datapath.needs_mac(match())
    found = filters_of(wanted, "02:00:5e:00:53:01")
    assert selects(found, ipv4(proto=17))
    assert not selects(found, ipv4(proto=17, dst="255.255.255.255", ethernet=b"\xff" * 6 + ETHERNET[6:]))
    assert not selects(found, ipv4(proto=17, dst="224.0.0.251", ethernet=bytes([1, 0, 94, 0, 0, 251]) + ETHERNET[6:]))
    for place in range(6):
        other = bytearray(ETHERNET)
        other[place] ^= 1
        assert not selects(found, ipv4(proto=17, ethernet=bytes(other))), place


def test_any_ipv6_address_is_neither_link_local_nor_multicast():
    found = filters_of(match(6, "udp", None, (5353, 5353)))
    for text in ("2001:db8::1", "3fff::1", "fd00::1", "fc00::1", "64:ff9b::c000:201"):
        assert selects(found, ipv6(17, dst=text, port=5353)), text
    for text in ("fe80::1", "ff02::fb", "ff05::2", "::1", "::", "64:ff9b:1::1", "4000::1"):
        assert not selects(found, ipv6(17, dst=text, port=5353)), text


def test_a_range_of_ports_is_that_range_and_no_other_port():
    for low, high in ((1, 65535), (1, 1), (65535, 65535), (80, 81), (81, 82), (5000, 5010), (1, 1023), (1024, 65535)):
        blocks = u32.blocks((low, high))
        inside = [port for port in range(max(0, low - 300), min(65536, high + 300)) if _in_blocks(port, blocks)]
        assert (inside[0], inside[-1], len(inside)) == (low, high, high - low + 1), (low, high)
        assert all(value & ~mask & 0xFFFF == 0 for value, mask in blocks), "u32 never matches a value beyond its mask"


def _in_blocks(port, blocks):
    return any(port & mask == value for value, mask in blocks)


def test_the_worst_range_takes_30_filters():
    assert len(u32.blocks((1, 65534))) == 30


def test_an_exact_match_goes_into_the_bucket_of_its_last_byte():
    assert [item.bucket for item in filters_of(match())] == [10]
    assert [item.bucket for item in filters_of(match(6, dst="2001:db8::ab"))] == [0xAB]
    assert [item.bucket for item in filters_of(match(dport=(80, 81)))] == [-1]


# Levels


def test_the_narrower_the_earlier():
    levels = [match(), match(dport=None), match(dport=(80, 81)), match(dst="203.0.113.0/24"), match(dst=None)]
    assert [datapath.level_of(one) for one in levels] == [1, 3, 3, 3, 5]
    assert datapath.level_of(match(6, dst="2001:db8::1")) == 1
    assert datapath.level_of(match(6, dst="2001:db8::/32")) == 3, "32 bits are a whole address in IPv4 only"


# flower


def test_flower_keys_are_in_the_order_in_which_the_dump_gives_them():
    wanted = match(proto="udp", dst=None, dport=(5000, 5010), src="192.168.1.0/24")
    (found,) = flower.filters("lan", wanted, datapath.level_of(wanted), "02:00:5e:00:53:01", ACTIONS)
    assert (found.prio, found.protocol, found.kind, found.bucket) == (5, "ip", "flower", -1)
    assert found.keys == (
        ("dst_mac", "02:00:5e:00:53:01"),
        ("ip_proto", "udp"),
        ("src_ip", "192.168.1.0/24"),
        ("dst_port", "5000-5010"),
    )


def test_flower_of_any_protocol_has_the_address_only():
    (found,) = flower.filters("lan", match(6, "", "2001:db8::/32", None), 3, "", ACTIONS)
    assert (found.prio, found.protocol, found.keys) == (4, "ipv6", (("dst_ip", "2001:db8::/32"),))


# The table


def test_the_option_takes_the_names_of_the_table():
    for option in (schema.option_named("globals", "datapath"), schema.option_named("service", "datapath")):
        assert option.type.expected == "one of: auto, " + ", ".join([each.NAME for each in datapath.ALL])


def test_each_datapath_has_its_own_feature_and_needs_that_first():
    for each in datapath.ALL:
        assert each.FEATURES[0].name == each.NEEDS[0]
    known = [row.name for each in datapath.ALL for row in each.FEATURES]
    assert len(set(known)) == len(known)


def test_auto_takes_the_first_that_the_router_can_have():
    for place, each in enumerate(datapath.ALL):
        gone = {earlier.NEEDS[0]: False for earlier in datapath.ALL[:place]}
        assert datapath.chosen("auto", with_(EVERYTHING, **gone)) is each, each.NAME


def test_each_datapath_says_what_it_lacks_and_is_had_by_its_name_all_the_same():
    for each in datapath.ALL:
        assert each.lacks(EVERYTHING) == ""
        for need in each.NEEDS:
            without = with_(EVERYTHING, **{need: False})
            assert each.lacks(without) != "", (each.NAME, need)
            assert datapath.chosen(each.NAME, without) is each


def test_where_nothing_is_known_or_to_be_had_auto_is_the_last():
    nothing = with_(EVERYTHING, bpf=False, mirred=False)
    assert datapath.chosen("auto", None) is datapath.chosen("auto", nothing) is datapath.ALL[-1]


def test_what_was_found_rests_on_what_was_planned_for_it():
    """Else apply would take away what another service's redirect needs."""
    wanted = match(4, "tcp", "203.0.113.10/32", (80, 80))
    for each in datapath.ALL:
        for features in (EVERYTHING, with_(EVERYTHING, tcx=False)):
            made = each.filters("lan", wanted, datapath.level_of(wanted), "", ACTIONS)
            rests = [identity(one) for item in made for one in datapath.of(item).rests_on(item)]
            for device in (LAN, with_(LAN, ethernet=False, bare=True)):
                assert all(identity(one) in rests for one in each.shared(device, made, features)), each.NAME


def test_a_device_without_an_ethernet_header_has_a_program_of_its_own():
    made = datapath.ebpf.filters("lan", match(), 1, "", ACTIONS)
    for features in (EVERYTHING, with_(EVERYTHING, tcx=False)):
        programs = [
            datapath.ebpf.shared(with_(LAN, ethernet=not bare, bare=bare), made, features)[-1].program
            for bare in (False, True)
        ]
        assert programs == [name_of("fwd"), name_of("bare")]


def test_what_a_redirect_is_for_is_read_back_from_it():
    six = {"family": 6, "dst": "2001:db8::10"}
    for wanted in (
        match(),
        match(proto="udp", dst="203.0.113.0/24", dport=(64, 127), src="192.168.1.0/24"),
        match(proto="", dport=None),
        match(dst=None, dport=(1024, 2047)),
        match(**six),
        match(**six, proto="udp", dport=None, src="fc00::/7"),
        with_(match(), mac="02:00:5e:00:53:11"),
        with_(match(**six, src="fc00::/7"), mac="02:00:5e:00:53:11"),
    ):
        for which in datapath.ALL:
            for item in which.filters("lan", wanted, datapath.level_of(wanted), "", ACTIONS):
                proto, dst, ports, src, mac = which.taken(item)
                assert (proto, ports, src, mac) == (wanted.proto, wanted.dport, wanted.src, wanted.mac)
                assert dst == wanted.dst or (not dst.length and not wanted.dst)


def test_redirects_that_can_not_be_read_are_for_no_address():
    for which in (flower, u32):
        item = with_(which.filters("lan", match(), 1, "", ACTIONS)[0], keys=None)
        assert which.taken(item) == ("", None, None, None, "")
