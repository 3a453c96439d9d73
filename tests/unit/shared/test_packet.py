"""Packets as people type them, and as lines of tcpdump 4.99 and conntrack 1.4.7 with a packet in them."""

from unit.shared.expect import raises

from viscum_agent import address
from viscum_agent.plan import packet

TIME = "13:05:22.123456 "
MACS = "02:00:5e:00:53:09 > 02:00:5e:00:53:01, "


def read(text):
    """(device, MAC, protocol, from, port, to, port)"""
    found = packet.read(text)
    ends = [address.format_address(each) for each in (found.src, found.dst)]
    return found.dev, found.to, found.proto, ends[0], found.sport, ends[1], found.dport


USUAL = ("", "", 6, "192.168.1.2", 40000, "203.0.113.10", 5201)


def test_a_packet_is_typed_as_for_ip_and_tc():
    assert read("dev br-lan tcp from 192.168.1.2 to 203.0.113.10 port 5201") == (
        ("br-lan", "", 6, "192.168.1.2", 0, "203.0.113.10", 5201)
    )
    text = "to 203.0.113.10 dport 5201 proto tcp sport 40000 from 192.168.1.2"
    assert read(text) == USUAL
    found = packet.read("udp from fd00::2 to 2001:db8::1 port 53 mac 02:00:5E:00:53:01 vlan 5 fragment options")
    assert (found.to, found.vlan, found.part, found.options) == ("02:00:5e:00:53:01", 5, "later", True)
    assert packet.read("proto 47 from 192.168.1.2 to 203.0.113.10").proto == 47


def test_a_line_of_tcpdump_is_read_with_and_without_its_options():
    ip = "192.168.1.2.40000 > 203.0.113.10.5201: Flags [S], seq 1, win 64240, options [mss 1460], length 0"
    assert read(TIME + "IP " + ip) == USUAL
    assert read("IP " + ip) == USUAL
    assert read("1700000000.5 IP " + ip) == USUAL
    ethernet = TIME + MACS + "ethertype IPv4 (0x0800), length 74: " + ip
    assert read(ethernet) == ("", "02:00:5e:00:53:01") + USUAL[2:]
    assert read(TIME + "br-lan In  IP " + ip) == ("br-lan",) + USUAL[1:]
    assert read("dev lan1 " + TIME + "br-lan In  IP " + ip)[0] == "lan1"
    assert packet.read(TIME + "br-lan In  IP " + ip).note == ""
    assert packet.read(TIME + "wan Out IP " + ip).note == "out"
    assert packet.read("2026-11-30 " + TIME + "wan Out IP " + ip)[:1] == ("wan",)
    assert packet.read("2026-11-30 " + TIME + "wan Out IP " + ip).note == "out"
    assert read("IP6 fd00:1:2:3::5.40000 > fd00:1:2:3::4.443: Flags [S]")[5:] == ("fd00:1:2:3::4", 443)
    cooked = "br-lan In  ifindex 4 02:00:5e:00:53:09 ethertype IPv4 (0x0800), length 80: "
    assert read(TIME + cooked + ip) == ("br-lan",) + USUAL[1:]
    verbose = "IP (tos 0x0, ttl 64, id 1, offset 0, flags [DF], proto TCP (6), length 60)\n    "
    assert read(TIME + verbose + ip) == USUAL
    verbose = "IP (tos 0xc0, ttl 1, id 0, offset 0, flags [none], proto OSPF (89), length 124, options (RA))\n    "
    found = packet.read(TIME + verbose + "192.168.121.5 > 224.0.0.5: OSPFv2, Hello, length 88 [len 52]")
    assert (found.proto, found.options) == (89, True)
    verbose = "IP6 (class 0xc0, flowlabel 0x1, hlim 64, next-header UDP (17), payload length 20) "
    assert read(TIME + verbose + "fd00::2.40000 > fd00::10.53: 1+ A? x. (12)")[2:] == (
        (17, "fd00::2", 40000, "fd00::10", 53)
    )


def test_tcpdump_says_what_is_in_udp_in_place_of_it():
    for after in (
        "UDP, length 12",
        "12345+ A? example.com. (29)",
        "NTPv4, Client, length 48",
        "[udp sum ok] 1+ A? x. (9)",
    ):
        assert read("IP 192.168.1.2.40000 > 203.0.113.10.53: " + after)[2] == 17, after
    assert read("IP6 2001:db8::2.40000 > 2001:db8:cafe::10.53: UDP, length 12") == (
        ("", "", 17, "2001:db8::2", 40000, "2001:db8:cafe::10", 53)
    )


def test_tcpdump_shows_what_has_no_ports():
    for after, number in (
        ("ICMP echo request, id 1, seq 1, length 64", 1),
        ("ip-proto-99 20", 99),
        ("GREv0, length 28: unknown", 47),
        ("ESP(spi=0x00001b58,seq=0x1), length 32", 50),
        ("DCCP (CCVal 0, CsCov 0, cksum 0xaaf3) DCCP-Request", 33),
    ):
        assert read("IP 192.168.1.2 > 203.0.113.10: " + after)[2:] == (number, "192.168.1.2", 0, "203.0.113.10", 0)
    assert read("IP6 2001:db8:: > 2001:db8:cafe::: ICMP6, echo request")[2:] == (
        (58, "2001:db8::", 0, "2001:db8:cafe::", 0)
    )


def test_fragments_and_tags_are_seen_in_a_line():
    verbose = "IP (tos 0x0, ttl 64, id 7, offset %s, proto UDP (17), length 99) 192.168.1.2%s > 203.0.113.10%s: x"
    assert packet.read(verbose % ("0, flags [+]", ".9", ".53")).part == "first"
    assert packet.read(verbose % ("1480, flags [none]", "", "")).part == "later"
    assert packet.read(verbose % ("0, flags [DF]", ".9", ".53")).part == ""
    assert packet.read("IP 192.168.1.2 > 203.0.113.10: udp").part == "later"
    assert packet.read("IP6 fd00::2 > fd00::10: frag (0|1448) 40000 > 53: UDP, length 3000").part == "first"
    assert packet.read("IP6 fd00::2 > fd00::10: frag (1448|99)").part == "later"
    tagged = "ethertype 802.1Q (0x8100), length 60: vlan 5, p 0, ethertype IPv4 (0x0800), "
    assert packet.read(TIME + MACS + tagged + "192.168.1.2.9 > 203.0.113.10.53: UDP").vlan == 5
    inner = "ethertype 802.1Q, vlan 6, p 0, ethertype IPv4, 192.168.1.2.9 > 203.0.113.10.53: UDP"
    for outer in ("ethertype 802.1Q (0x8100), length 60: vlan 5, p 0, ", "ethertype 802.1Q-QinQ (0x88a8), length 60: "):
        assert packet.read(TIME + MACS + outer + inner).vlan == 0, "no VLAN that a service may have"


def test_a_line_of_connection_tracking_has_the_packet_in_its_first_half():
    tail = " src=192.168.1.2 dst=203.0.113.10 sport=40000 dport=5201 src=10.9.9.9 dst=192.168.1.2 sport=1 dport=2"
    for line in (
        "tcp      6 431999 ESTABLISHED" + tail + " [ASSURED] mark=0 use=1",
        "ipv4     2 tcp      6 431999 ESTABLISHED" + tail + " [ASSURED] mark=0 zone=0 use=2",
        "    [NEW] tcp      6 120 SYN_SENT" + tail,
    ):
        assert read(line) == USUAL
    assert read("dev br-lan tcp      6 1 ESTABLISHED" + tail)[0] == "br-lan"
    line = "icmp     1 29 src=192.168.1.2 dst=203.0.113.10 type=8 code=0 id=1 src=203.0.113.10 dst=192.168.1.2 type=0"
    assert read(line)[2:] == (1, "192.168.1.2", 0, "203.0.113.10", 0)
    assert packet.read("tcp 6" + tail + " [OFFLOAD] mark=0").note == ""
    assert packet.read("tcp 6" + tail + " [HW_OFFLOAD] mark=0").note == "hardware"
    assert read("unknown  2 590 src=192.168.1.2 dst=224.0.0.22 src=224.0.0.22 dst=192.168.1.2")[2] == 2


def test_what_is_no_packet_is_an_error_that_says_why():
    usual = "tcp from 192.168.1.2 to 203.0.113.10 port 80"
    for text, said in (
        ("", "does not say where it is from"),
        ("tcp from 192.168.1.2", "does not say where it goes to"),
        ("from 192.168.1.2 to 203.0.113.10", "does not say which protocol"),
        ("tcp from 192.168.1.2 to 203.0.113.10", "does not say to which port"),
        ("tcp from 192.168.1.2 to 2001:db8::1 port 80", "of one family to one of another"),
        (usual + " port", "'port' is not understood"),
        (usual + " port 65536", "'65536' is not a port"),
        (usual + " vlan 4095", "'4095' is not a VLAN (up to 4094)"),
        (usual + " mac 02:00", "'02:00' is not a MAC address"),
        (usual + " dev a/b", "'a/b' is not the name of a device"),
        (usual + " dev " + "a" * 16, "is not the name of a device"),
        (usual + " proto quic", "'quic' is not a protocol"),
        (usual + " please", "'please' is not understood"),
        ("tcp from example.com to 203.0.113.10 port 80", "'example.com' is not an IP address"),
        ("IP client.lan.40000 > 203.0.113.10.http: Flags [S]", "let tcpdump print numbers (-n)"),
        ("IP 192.168.1.2.http > 203.0.113.10.80: Flags [S]", "let tcpdump print numbers (-n)"),
        (TIME + MACS + "ethertype ARP (0x0806), length 42: Request who-has 1.2.3.4", "has no IP addresses"),
        ("tcp 6 src=192.168.1.2", "'' is not an IP address"),
        ("src=192.168.1.2 dst=203.0.113.10", "does not say which protocol"),
        ("unknown src=192.168.1.2 dst=203.0.113.10", "does not say which protocol"),
        ("unknown 300 src=192.168.1.2 dst=203.0.113.10", "'300' is not a protocol"),
        ("> >", "has no IP addresses"),
        (usual + " " * 3000, "is longer than 2000 characters"),
        ("tcp from \x1b[31m to 203.0.113.10", "'\\u001b[31m' is not an IP address"),
    ):
        message = raises(ValueError, packet.read, text)
        assert said in message, (text, message)


def test_behind_the_name_of_a_service_are_a_device_and_a_client_or_nothing():
    assert packet.client([]) == packet.NOTHING
    found = packet.client(["dev", "br-lan", "from", "2001:db8::2"])
    assert (found.dev, found.src[-1]) == ("br-lan", 2)
    for typed in ("to 192.168.1.1", "from 192.168.1.2 port 80", "tcp", "from", "dev a/b", "from me", "-f"):
        raises(ValueError, packet.client, typed.split())


def test_no_text_does_anything_but_be_read_or_refused():
    """Pieces of right lines in wrong orders: hostile, or a copy that missed something."""
    line = TIME + MACS + "ethertype IPv4 (0x0800), vlan 5, 192.168.1.2.4 > 203.0.113.10.80: Flags [S] proto TCP (6)"
    line += " src=192.168.1.2 dst=::1 sport=1 dport=2 unknown 6 frag (0|9) offset 9 flags [+] br-lan In dev"
    pieces = line.split() + ["=", ",", ":", ">", "(", ".", "src=", "proto", "\xe9", "1" * 300]
    seed = 1
    for _ in range(3000):
        words = []
        for _ in range(12):
            seed = (seed * 1103515245 + 12345) % (1 << 31)
            words.append(pieces[(seed >> 8) % len(pieces)])
        try:  # noqa: SIM105 (MicroPython)
            packet.read(" ".join(words))
        except ValueError:
            pass
