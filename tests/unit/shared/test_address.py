"""Addresses, prefixes and MACs as text and bytes."""

from unit.shared.expect import raises

from viscum_agent import address
from viscum_agent.address import Prefix

NO_ADDRESS = [
    "203.0.113",
    "203.0.113.256",
    "203.0.113.1.2",
    "0x7f.0.0.1",
    "203.0.113.010",
    "1",
    ":",
    ":::",
    "1::2::3",
    "12345::",
    "g::",
    "::1%eth0",
]
NO_ADDRESS += ["", " ", "203.0.113.1 ", "fe80::1%1", "2001:db8::1/", "[::1]", "::1\0", "::1.2.3", "203.0.113.1\n"]


def test_an_address_is_its_bytes_in_network_order():
    assert address.parse_address("203.0.113.10") == bytes([203, 0, 113, 10])
    assert address.parse_address("2001:db8::1") == b"\x20\x01\x0d\xb8" + bytes(11) + b"\x01"
    assert address.parse_address("64:ff9b::192.0.2.1")[-4:] == bytes([192, 0, 2, 1])


def test_what_is_no_address_is_refused():
    for text in NO_ADDRESS:
        assert raises(ValueError, address.parse_address, text) == "not an IP address", text


def test_ipv6_is_shown_as_rfc_5952_wants_it():
    for text, shown in (
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("0:0:0:0:0:0:0:0", "::"),
        ("1:0:0:2::3", "1:0:0:2::3"),
    ):
        assert address.format_address(address.parse_address(text)) == shown


def test_a_prefix_without_a_length_is_one_address():
    assert address.parse_prefix("203.0.113.10") == Prefix(4, bytes([203, 0, 113, 10]), 32)
    assert address.parse_prefix("::1") == Prefix(6, bytes(15) + b"\x01", 128)


def test_a_prefix_keeps_its_length_and_is_shown_with_it():
    for text in ("203.0.113.0/24", "128.0.0.0/1", "0.0.0.0/0", "::/0", "2001:db8::/61", "203.0.113.10/32"):
        assert address.format_prefix(address.parse_prefix(text)) == text


def test_bits_past_the_length_are_named_with_the_network():
    text = raises(ValueError, address.parse_prefix, "192.168.1.1/24")
    assert text == "has bits set past its length; the network is 192.168.1.0/24"


def test_a_length_is_a_number_that_the_family_has():
    for text in (
        "10.0.0.0/33",
        "::/129",
        "10.0.0.0/",
        "10.0.0.0/+8",
        "10.0.0.0/ 8",
        "10.0.0.0/8/8",
        "10.0.0.0/255.0.0.0",
    ):
        assert "prefix length" in raises(ValueError, address.parse_prefix, text), text


def test_the_network_of_an_interface_address():
    assert address.format_prefix(address.network("192.168.1.77/24")) == "192.168.1.0/24"
    assert address.format_prefix(address.network("fd00::77/64")) == "fd00::/64"
    assert address.format_prefix(address.network("192.168.1.77")) == "192.168.1.77/32"


def test_a_mask_has_its_first_bits_set():
    assert address.mask(0, 4) == bytes(4)
    assert address.mask(20, 4) == b"\xff\xff\xf0\x00"
    assert address.mask(128, 16) == b"\xff" * 16


def test_prefixes_overlap_when_one_holds_the_other():
    wide, narrow, beside = [address.parse_prefix(text) for text in ("10.0.0.0/8", "10.9.0.0/16", "11.0.0.0/8")]
    assert address.contains(wide, narrow) and not address.contains(narrow, wide)
    assert address.overlaps(wide, narrow) and address.overlaps(narrow, wide) and address.overlaps(wide, wide)
    assert not address.overlaps(wide, beside)


def test_families_never_overlap():
    assert not address.overlaps(address.parse_prefix("0.0.0.0/0"), address.parse_prefix("::/0"))


def test_the_next_address_carries_over_bytes():
    assert address.add(bytes([10, 0, 255, 255]), 1) == bytes([10, 1, 0, 0])
    assert address.add(address.parse_address("fd00::ffff"), 2) == address.parse_address("fd00::1:1")


def test_a_mac_is_six_pairs_of_hex_digits():
    assert address.parse_mac("02:00:5E:00:53:ff") == b"\x02\x00\x5e\x00\x53\xff"
    assert address.format_mac(b"\x02\x00\x5e\x00\x53\xff") == "02:00:5e:00:53:ff"
    for text in (
        "",
        "02:00:5e:00:53",
        "02:00:5e:00:53:ff:00",
        "2:0:5e:0:53:ff",
        "02-00-5e-00-53-ff",
        "0g:00:5e:00:53:ff",
    ):
        assert raises(ValueError, address.parse_mac, text) == "not a MAC address"


def test_a_number_is_decimal_digits_and_nothing_that_int_also_takes():
    assert address.is_number("0") and address.is_number("007")
    for text in ("", "-1", "+1", " 1", "1_0", "1.0", "\u0661", "\u00b2", "0x1"):
        assert not address.is_number(text), text
