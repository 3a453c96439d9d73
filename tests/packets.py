"""Crafted packets, and where each has to end up: the same table for every datapath.

A packet is sent on its own and then looked for where packets can come in, by what no other has and nobody on its way
changes (mark_in). Where a datapath can't do what is wanted, the row says so with the reason, and the test holds
it to that as well.
"""

import json
import random
import socket
import struct
import time
from collections import namedtuple

import datapaths
from lab import PACKET_OUTGOING, ROOT, in_namespace, ips, packed_mac, service, watch
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption, IPOption_NOP, IPOption_Router_Alert
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    ICMPv6ND_NS,
    ICMPv6ND_RS,
    ICMPv6PacketTooBig,
    ICMPv6TimeExceeded,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
)
from scapy.layers.ipsec import AH, ESP
from scapy.layers.l2 import ARP
from scapy.packet import Raw

from viscum_agent import address as agent_address
from viscum_agent.plan import datapath as plan_datapath
from viscum_agent.plan import packet as agent_packet
from viscum_agent.records import with_
from viscum_agent.records.objects import device_name

# The places. "router" is what is seen in no other: the router has it for itself, or drops it as it should.
SERVICE, CLOUD, CLIENT, HOST, ROUTER = "service", "cloud", "client", "host", "router"

A, B = "203.0.113.10", "203.0.113.11"
A6, B6 = "2001:db8:cafe::10", "2001:db8:cafe::11"
PORT = 7000
DATA = b"x" * 32
ONE_MAC, OTHER_MAC, THIRD_MAC = "02:70:00:00:77:01", "02:71:00:00:77:01", "02:70:00:00:77:03"
MIDDLE, MIDDLE6 = "192.168.77.9", "2001:db8:77::9"  # a router between the client and this one
# A record of routes (RFC 791) whose bytes are the ports where they would be without it.
OPTION = struct.pack(">BBBB4s", 7, 7, PORT >> 8, PORT & 0xFF, bytes(4))[:7] + b"\0"

# `sender` is where the packet comes from, `to` whose MAC it is sent to, `tags` are (EtherType, VLAN) from the outside,
# `cut` is how many bytes of the packet are there, `mac` the client's, "" for one that no other row has; `differs` has
# (place, reason) for datapaths that can't do better.
Row = namedtuple("Row", ("name", "packet", "place", "to", "tags", "cut", "sender", "mac", "differs"))


def row(name, packet, place, to="router", tags=(), cut=None, sender="client", mac="", **differs):
    return Row(name, packet, place, to, tags, cut, sender, mac, differs)


def v4(dst=A, src="192.168.77.2", **fields):
    return IP(src=src, dst=dst, **fields)


def v6(dst=A6, src="2001:db8:77::2", **fields):
    return IPv6(src=src, dst=dst, **fields)


def tcp(port=PORT, sport=40000, flags="S", **fields):
    return TCP(sport=sport, dport=port, flags=flags, **fields)


def udp(port=PORT, sport=40000, **fields):
    return UDP(sport=sport, dport=port, **fields) / Raw(DATA)


def sent4(port=PORT, src=A, kind=TCP, dst="192.168.77.2", **fields):
    """What a service has sent, as an ICMP error quotes it."""
    return Raw(bytes(IP(src=src, dst=dst, **fields) / kind(sport=port, dport=40000) / Raw(DATA)))


def sent6(port=PORT, src=A6, kind=TCP, dst="2001:db8:77::2"):
    return Raw(bytes(IPv6(src=src, dst=dst) / kind(sport=port, dport=40000) / Raw(DATA)))


def fragment6(offset):
    """A fragment of a datagram that a service has sent."""
    header = IPv6ExtHdrFragment(offset=offset, m=1, id=7, nh=17)
    return Raw(
        bytes(IPv6(src=A6, dst="2001:db8:77::2") / header / Raw(bytes(UDP(sport=PORT, dport=40000) / Raw(DATA))))
    )


OPTIONS = (CLOUD, "u32 finds a port only at a fixed place: packets with IPv4 options pass")
BEHIND = (SERVICE, "flower looks behind IPv6 extension headers, and can't be told not to")
NO_PORTS = (CLOUD, "bpf reads the ports of every packet: one that is too short for them passes")
UNREAD = (CLOUD, "u32 and flower know what a packet is by its own header, not by one that it quotes")
ERRORS = {"u32": UNREAD, "flower": UNREAD}
UNCHECKED = (SERVICE, "u32 and flower ask no route")
FORGED = {"u32": UNCHECKED, "flower": UNCHECKED}
OVERHEARD = (SERVICE, "u32 and flower take what comes in, whomever it is for")
COPIED = ("service+host", OVERHEARD[1])
OTHERS = {"u32": OVERHEARD, "flower": OVERHEARD}
COPIES = {"u32": COPIED, "flower": COPIED}
UNNAMED = (SERVICE, "without an address nothing but the MAC is looked at: the router would drop it, the service does")

# One service: TCP and UDP of port 7000 of one address of each family, on a device of its own.
EXACT = (
    row("TCP SYN", v4() / tcp(), SERVICE),
    row("TCP SYN, IPv6", v6() / tcp(), SERVICE),
    row("TCP ACK with data", v4() / tcp(flags="PA") / Raw(DATA), SERVICE),
    row("TCP ACK with data, IPv6", v6() / tcp(flags="PA") / Raw(DATA), SERVICE),
    row("TCP FIN", v4() / tcp(flags="FA"), SERVICE),
    row("TCP RST", v4() / tcp(flags="R"), SERVICE),
    row("TCP with options of its own", v4() / tcp(options=[("MSS", 1460), ("Timestamp", (1, 0))]), SERVICE),
    row("UDP", v4() / udp(), SERVICE),
    row("UDP, IPv6", v6() / udp(), SERVICE),
    row("UDP without data", v4() / UDP(sport=40000, dport=PORT), SERVICE),
    row("UDP without data, IPv6", v6() / UDP(sport=40000, dport=PORT), SERVICE),
    row("UDP without a checksum", v4() / udp(chksum=0), SERVICE),
    row("source port as the destination's", v4() / udp(sport=PORT), SERVICE),
    row("source port as the destination's, IPv6", v6() / udp(sport=PORT), SERVICE),
    row("type of service", v4(tos=0xB8) / udp(), SERVICE),
    row("traffic class", v6(tc=0xB8) / udp(), SERVICE),
    row("don't fragment", v4(flags="DF") / udp(), SERVICE),
    row("TTL 1", v4(ttl=1) / udp(), SERVICE),
    row("hop limit 1", v6(hlim=1) / udp(), SERVICE),
    row("padded to 60 bytes", v4(len=28) / UDP(sport=40000, dport=PORT, len=8) / Raw(b"\0" * 18), SERVICE),
    # Sources that the router would answer elsewhere, or nowhere
    row("from another subnet behind the device", v4(src="192.168.99.2") / udp(), SERVICE),
    row("from another subnet behind the device, IPv6", v6(src="2001:db8:99::2") / udp(), SERVICE),
    row("from another device's subnet", v4(src="192.168.78.9") / udp(), CLOUD, **FORGED),
    row("from the other side", v4(src="198.51.100.7") / udp(), CLOUD, **FORGED),
    row("from the other side, TCP", v4(src="198.51.100.7") / tcp(), CLOUD, **FORGED),
    row("from the other side, IPv6", v6(src="2001:db8:100::7") / udp(), CLOUD, **FORGED),
    row("from nowhere", v4(src="192.0.2.7") / udp(), CLOUD, **FORGED),
    row("from nowhere, IPv6", v6(src="2001:db8:ffff::7") / udp(), CLOUD, **FORGED),
    row("from the router itself", v4(src="192.168.77.1") / udp(), ROUTER, **FORGED),
    row("from the address itself", v4(src=A) / udp(), CLOUD, **FORGED),
    row("from the address itself, IPv6", v6(src=A6) / udp(), CLOUD, **FORGED),
    # Other ports
    row("next port", v4() / udp(PORT + 1), CLOUD),
    row("port before", v4() / udp(PORT - 1), CLOUD),
    row("port with the bytes swapped", v4() / udp(0x581B), CLOUD),
    row("next port, TCP", v4() / tcp(PORT + 1), CLOUD),
    row("next port, IPv6", v6() / tcp(PORT + 1), CLOUD),
    row("only the source port", v4() / udp(9, sport=PORT), CLOUD),
    row("only the source port, IPv6", v6() / udp(9, sport=PORT), CLOUD),
    row("the port in the data", v4() / udp(9) / Raw(struct.pack(">H", PORT) * 20), CLOUD),
    # Other addresses
    row("another address", v4(B) / udp(), CLOUD),
    row("another address, TCP", v4(B) / tcp(), CLOUD),
    row("another address, IPv6", v6(B6) / udp(), CLOUD),
    row("another address in the same bucket", v4("203.0.112.10") / udp(), CLOUD),
    row("the address as the source", v4("192.168.77.1", src=A) / udp(), ROUTER),
    row("the router's own address", v4("192.168.77.1") / udp(), ROUTER),
    row("the router's own address, IPv6", v6("2001:db8:77::1") / udp(), ROUTER),
    row("the router's link-local address", v6("fe80::1", src="fe80::77") / udp(), ROUTER),
    # Other protocols
    row("ping", v4() / ICMP(), CLOUD),
    row("ping, IPv6", v6() / ICMPv6EchoRequest(), CLOUD),
    row("ICMP that looks like the port", v4() / ICMP(type=8, code=0, id=PORT, chksum=PORT), CLOUD),
    row("SCTP with the same ports", v4(proto=132) / Raw(struct.pack(">HHII", 40000, PORT, 0, 0)), CLOUD),
    row("UDP-Lite with the same ports", v4(proto=136) / Raw(struct.pack(">HHHH", 40000, PORT, 8, 0)), CLOUD),
    row("GRE", v4(proto=47) / Raw(struct.pack(">HHHH", 0, PORT, PORT, PORT)), CLOUD),
    row("ESP", v4() / ESP(spi=PORT, seq=1, data=DATA), CLOUD),
    row("AH before UDP", v4(proto=51) / AH(nh=17, payloadlen=4, spi=PORT, seq=1, icv=b"i" * 12) / udp(), CLOUD),
    row("IPv4 in IPv4", v4(proto=4) / IP(src="192.168.77.2", dst=A) / udp(), CLOUD),
    row("neighbour solicitation", v6("ff02::1:ff00:10", hlim=255) / ICMPv6ND_NS(tgt=A6), ROUTER, to="3333ff000010"),
    row("unicast neighbour solicitation", v6("2001:db8:77::1", hlim=255) / ICMPv6ND_NS(tgt="2001:db8:77::1"), ROUTER),
    row("router solicitation", v6("ff02::2", src="fe80::77", hlim=255) / ICMPv6ND_RS(), ROUTER, to="333300000002"),
    row("ARP for the address", ARP(psrc="192.168.77.2", pdst=A), ROUTER, to="broadcast"),
    # Nobody's and everybody's
    row("to another host's MAC", v4() / udp(), ROUTER, to="host", **OTHERS),
    row("to another host's MAC, TCP", v4() / tcp(), ROUTER, to="host", **OTHERS),
    row("to another host's MAC, IPv6", v6() / tcp(), ROUTER, to="host", **OTHERS),
    row("link-local", v6("fe80::99", src="fe80::77") / udp(), ROUTER),
    row("multicast", v4("239.1.2.3") / udp(), ROUTER, to="01005e010203"),
    row("multicast, IPv6", v6("ff02::fb") / udp(), ROUTER, to="3333000000fb"),
    row("broadcast", v4("255.255.255.255") / udp(), ROUTER, to="broadcast"),
    row("broadcast of the subnet", v4("192.168.77.255") / udp(), ROUTER, to="broadcast"),
    # ICMP errors, of a router behind the client's interface or of the client, about what the service has sent
    row("fragmentation needed", v4(src=MIDDLE) / ICMP(type=3, code=4, nexthopmtu=1280) / sent4(), SERVICE, **ERRORS),
    row("too big", v6(src=MIDDLE6) / ICMPv6PacketTooBig(mtu=1280) / sent6(), SERVICE, **ERRORS),
    row("fragmentation needed, UDP", v4() / ICMP(type=3, code=4) / sent4(kind=UDP), SERVICE, **ERRORS),
    row("too big, UDP", v6() / ICMPv6PacketTooBig(mtu=1280) / sent6(kind=UDP), SERVICE, **ERRORS),
    row("too big, first fragment", v6() / ICMPv6PacketTooBig(mtu=1280) / fragment6(0), SERVICE, **ERRORS),
    row("too big, another fragment", v6() / ICMPv6PacketTooBig(mtu=1280) / fragment6(100), CLOUD),
    row("unreachable", v4(src=MIDDLE) / ICMP(type=3, code=1) / sent4(), SERVICE, **ERRORS),
    row("unreachable, IPv6", v6(src=MIDDLE6) / ICMPv6DestUnreach(code=3) / sent6(), SERVICE, **ERRORS),
    row("time exceeded", v4(src=MIDDLE) / ICMP(type=11) / sent4(kind=UDP), SERVICE, **ERRORS),
    row("time exceeded, IPv6", v6(src=MIDDLE6) / ICMPv6TimeExceeded() / sent6(kind=UDP), SERVICE, **ERRORS),
    row("unreachable, options", v4() / ICMP(type=3) / sent4(options=[IPOption_NOP()] * 8), SERVICE, **ERRORS),
    row("unreachable, first fragment", v4() / ICMP(type=3) / sent4(flags="MF"), SERVICE, **ERRORS),
    row("unreachable, another fragment", v4() / ICMP(type=3) / sent4(frag=100), CLOUD),
    row("unreachable, next port", v4() / ICMP(type=3) / sent4(PORT + 1), CLOUD),
    row("unreachable, next port, IPv6", v6() / ICMPv6DestUnreach() / sent6(PORT + 1), CLOUD),
    row("unreachable, for another address", v4(B) / ICMP(type=3) / sent4(), CLOUD),
    row("unreachable, about another address", v4() / ICMP(type=3) / sent4(src=B), CLOUD),
    row("unreachable, about another address, IPv6", v6() / ICMPv6DestUnreach() / sent6(src=B6), CLOUD),
    row("unreachable, about what the client sent", v4() / ICMP(type=3) / Raw(bytes(v4() / tcp())), CLOUD),
    row("unreachable, without the ports", v4() / ICMP(type=3) / Raw(bytes(sent4())[:23]), CLOUD),
    row("unreachable, without the ports, IPv6", v6() / ICMPv6DestUnreach() / Raw(bytes(sent6())[:43]), CLOUD),
    row("ping that quotes", v4() / ICMP(type=8) / sent4(), CLOUD),
    row("ping that quotes, IPv6", v6() / ICMPv6EchoRequest(data=bytes(sent6())), CLOUD),
    # Fragments: without all of them nobody can do anything, and only the first has a port. So all of them pass.
    row("first fragment", v4(flags="MF") / udp(), CLOUD),
    row("first fragment, TCP", v4(flags="MF") / tcp(), CLOUD),
    row("middle fragment", v4(flags="MF", frag=100, proto=17) / Raw(bytes(udp())), CLOUD),
    row("last fragment", v4(frag=100, proto=17) / Raw(bytes(udp())), CLOUD),
    row("first fragment, IPv6", v6() / IPv6ExtHdrFragment(m=1, id=7) / udp(), CLOUD),
    row("last fragment, IPv6", v6() / IPv6ExtHdrFragment(offset=100, id=7, nh=17) / Raw(bytes(udp())), CLOUD),
    row("only fragment, IPv6", v6() / IPv6ExtHdrFragment(id=7) / udp(), CLOUD),
    # Options and extension headers
    row("IPv4 options", v4(options=[IPOption_NOP()] * 4) / udp(), SERVICE, u32=OPTIONS),
    row("IPv4 options, TCP", v4(options=[IPOption_NOP()] * 40) / tcp(), SERVICE, u32=OPTIONS),
    row("IPv4 router alert", v4(options=[IPOption_Router_Alert()]) / udp(), SERVICE, u32=OPTIONS),
    row("IPv4 options, next port", v4(options=[IPOption_NOP()] * 4) / udp(PORT + 1), CLOUD),
    row("IPv4 options, another address", v4(B, options=[IPOption_NOP()] * 4) / udp(), CLOUD),
    row("IPv4 options that look like the port", v4(options=[IPOption(OPTION)]) / udp(9), CLOUD),
    row("hop-by-hop options", v6() / IPv6ExtHdrHopByHop() / udp(), CLOUD, flower=BEHIND),
    row("destination options", v6() / IPv6ExtHdrDestOpt() / udp(), CLOUD, flower=BEHIND),
    row("destination options, TCP", v6() / IPv6ExtHdrDestOpt() / tcp(), CLOUD, flower=BEHIND),
    row("ESP, IPv6", v6() / ESP(spi=PORT, seq=1, data=DATA), CLOUD),
    row("AH before UDP, IPv6", v6(nh=51) / AH(nh=17, payloadlen=4, spi=PORT, seq=1, icv=b"i" * 12) / udp(), CLOUD),
    row("no next header", v6(nh=59) / Raw(bytes(udp())), CLOUD),
    # VLANs: these frames belong to another device (br-lan.5), which the router here has not.
    row("802.1Q", v4() / udp(), ROUTER, tags=((0x8100, 5),)),
    row("802.1Q, IPv6", v6() / udp(), ROUTER, tags=((0x8100, 5),)),
    row("802.1ad", v4() / udp(), ROUTER, tags=((0x88A8, 5),)),
    row("802.1Q in 802.1ad", v4() / udp(), ROUTER, tags=((0x88A8, 5), (0x8100, 6))),
    row("802.1Q with a priority only", v4() / udp(), CLOUD, tags=((0x8100, 0xE000),)),
    # Broken
    row("wrong IPv4 checksum", v4(chksum=1) / udp(), SERVICE),
    row("wrong IPv4 checksum, another address", v4(B, chksum=1) / udp(), ROUTER),
    row("wrong UDP checksum", v4() / udp(chksum=1), SERVICE),
    row("wrong TCP checksum", v4() / tcp(chksum=1), SERVICE),
    row("IPv4 length beyond the end", v4(len=1000) / udp(), SERVICE),
    row("UDP length beyond the end", v4() / udp(len=1000), SERVICE),
    row("IPv6 length beyond the end", v6(plen=1000) / udp(), SERVICE),
    row("IPv4 header only", v4() / udp(), ROUTER, cut=20),
    row("half an IPv4 header", v4() / udp(), ROUTER, cut=10),
    row("IPv6 header only", v6() / udp(), ROUTER, cut=40),
    row("half an IPv6 header", v6() / udp(), ROUTER, cut=20),
    row("one byte of the ports", v4() / udp(), ROUTER, cut=21),
    row("IPv4 header length of 4 words", v4(ihl=4) / udp(), ROUTER),
    row("IPv4 version 5", v4(version=5) / udp(), SERVICE),
    # Not from a client
    row("the router's own traffic", v4(src="198.51.100.1") / udp(), CLOUD, sender="router"),
    row("the router's own traffic, IPv6", v6(src="2001:db8:100::1") / udp(), CLOUD, sender="router"),
    row("from the cloud", v4("192.168.77.2", src=A) / udp(40000, sport=PORT), CLIENT, sender="cloud"),
    row("an answer of the service", v4("192.168.77.2", src=A) / udp(40000, sport=PORT), CLIENT, sender="service"),
    row("an answer of the service, IPv6", v6("2001:db8:77::2", src=A6) / tcp(9, PORT, "SA"), CLIENT, sender="service"),
    row("the service asks from its port", v6("2001:db8:77::2", src=A6) / tcp(9, PORT), ROUTER, sender="service"),
    row("a fragment of an answer", v4("192.168.77.2", src=A, flags="MF") / udp(40000, PORT), CLIENT, sender="service"),
    row("ping by the service", v4("192.168.77.2", src=A) / ICMP(), ROUTER, sender="service"),
    row("the service asks the cloud", v4(B, src=A) / udp(), ROUTER, sender="service"),
)

# Several addresses and ports: 203.0.113.10/31 and 2001:db8:cafe::10/127, ports 6990 to 7010 and 9.
RANGES = (
    row("first address, first port", v4("203.0.113.10") / udp(6990), SERVICE),
    row("last address, last port", v4("203.0.113.11") / udp(7010), SERVICE),
    row("a port in the middle", v4("203.0.113.10") / tcp(7003), SERVICE),
    row("the port alone", v4("203.0.113.11") / tcp(9), SERVICE),
    row("address before", v4("203.0.113.9") / udp(), CLOUD),
    row("address behind", v4("203.0.113.12") / udp(), CLOUD),
    row("port before", v4() / udp(6989), CLOUD),
    row("port behind", v4() / udp(7011), CLOUD),
    row("port before the one alone", v4() / tcp(8), CLOUD),
    row("port behind the one alone", v4() / tcp(10), CLOUD),
    row("first address, first port, IPv6", v6("2001:db8:cafe::10") / tcp(6990), SERVICE),
    row("last address, last port, IPv6", v6("2001:db8:cafe::11") / tcp(7010), SERVICE),
    row("address before, IPv6", v6("2001:db8:cafe::f") / tcp(), CLOUD),
    row("address behind, IPv6", v6("2001:db8:cafe::12") / tcp(), CLOUD),
    row("port before, IPv6", v6() / udp(6989), CLOUD),
    row("port behind, IPv6", v6() / udp(7011), CLOUD),
    row("first fragment", v4(flags="MF") / udp(), CLOUD),
    row("last fragment", v4(frag=100, proto=17) / Raw(bytes(udp())), CLOUD),
    row("first fragment, IPv6", v6() / IPv6ExtHdrFragment(m=1, id=7) / udp(), CLOUD),
    row("IPv4 options", v4(options=[IPOption_NOP()] * 4) / udp(), SERVICE, u32=OPTIONS),
    row("destination options", v6() / IPv6ExtHdrDestOpt() / udp(), CLOUD, flower=BEHIND),
    row("ping", v4() / ICMP(), CLOUD),
    row("unreachable", v4() / ICMP(type=3) / sent4(7010), SERVICE, **ERRORS),
    row("too big", v6() / ICMPv6PacketTooBig() / sent6(6990), SERVICE, **ERRORS),
    row("unreachable, port behind", v4() / ICMP(type=3) / sent4(7011), CLOUD),
    row("too big, port before", v6() / ICMPv6PacketTooBig() / sent6(6989), CLOUD),
)

# Port 7000 of any address.
ANY = (
    row("an address", v4() / udp(), SERVICE),
    row("a far address, TCP", v4("198.18.5.5") / tcp(), SERVICE),
    row("an address, IPv6", v6() / udp(), SERVICE),
    row("unique local, IPv6", v6("fd12:3456::1") / udp(), SERVICE),
    row("the router's own address", v4("192.168.77.1") / tcp(), SERVICE),
    row("next port", v4() / udp(PORT + 1), CLOUD),
    row("next port, IPv6", v6() / tcp(PORT + 1), CLOUD),
    row("ping", v4() / ICMP(), CLOUD),
    row("ping, IPv6", v6() / ICMPv6EchoRequest(), CLOUD),
    row("unreachable", v4() / ICMP(type=3) / sent4(), SERVICE, **ERRORS),
    row("unreachable, UDP", v4() / ICMP(type=3) / sent4(kind=UDP), SERVICE, **ERRORS),
    row("unreachable, UDP, to another host's MAC", v4() / ICMP(type=3) / sent4(kind=UDP), ROUTER, to="host"),
    row("too big", v6() / ICMPv6PacketTooBig() / sent6(), SERVICE, **ERRORS),
    row("unreachable, next port", v4() / ICMP(type=3) / sent4(PORT + 1), CLOUD),
    row("broadcast", v4("255.255.255.255", src="0.0.0.0") / udp(), ROUTER, to="broadcast"),
    row("broadcast of the subnet", v4("192.168.77.255") / udp(), ROUTER, to="broadcast"),
    row("multicast", v4("239.1.2.3") / udp(), ROUTER, to="01005e010203"),
    row("multicast, IPv6", v6("ff02::fb") / udp(), ROUTER, to="3333000000fb"),
    row("multicast of the site, IPv6", v6("ff05::fb") / udp(), ROUTER, to="3333000000fb"),
    row("link-local, IPv6", v6("fe80::1", src="fe80::77") / udp(), ROUTER),
    row("loopback, IPv6", v6("::1") / udp(), ROUTER),
    row("link-local", v4("169.254.1.1") / udp(), ROUTER, u32=UNNAMED, flower=UNNAMED),
    row("multicast to the router's MAC", v4("239.1.2.3") / udp(), ROUTER, u32=UNNAMED, flower=UNNAMED),
    row("TCP to multicast", v4("239.1.2.3") / tcp(), ROUTER, to="01005e010203", u32=UNNAMED, flower=UNNAMED),
    row("to another host's MAC", v4() / udp(), ROUTER, to="host"),
    row("to another host's MAC, TCP", v4("192.168.77.9") / tcp(), ROUTER, to="host", **OTHERS),
    row("to another host's MAC, IPv6", v6("2001:db8:77::9") / udp(), ROUTER, to="host", **OTHERS),
    row("neighbour solicitation", v6("ff02::1:ff00:1", hlim=255) / ICMPv6ND_NS(tgt=A6), ROUTER, to="3333ff000001"),
    row("first fragment", v4(flags="MF") / udp(), CLOUD),
    row("last fragment", v4(frag=100, proto=17) / Raw(bytes(udp())), CLOUD),
    row("first fragment, IPv6", v6() / IPv6ExtHdrFragment(m=1, id=7) / udp(), CLOUD),
    row("IPv4 options", v4(options=[IPOption_NOP()] * 4) / udp(), SERVICE, u32=OPTIONS),
    row("802.1Q", v4() / udp(), ROUTER, tags=((0x8100, 5),)),
)

# VLAN 5 of a trunk: on a device of the router's, whose VLAN needs neither a device nor an address there. Sources count
# for nothing, since replies leave by the VLAN only.
TAG = ((0x8100, 5),)
TRUNK = (
    row("TCP SYN", v4() / tcp(), SERVICE, tags=TAG),
    row("TCP SYN, IPv6", v6() / tcp(), SERVICE, tags=TAG),
    row("UDP", v4() / udp(), SERVICE, tags=TAG),
    row("UDP, IPv6", v6() / udp(), SERVICE, tags=TAG),
    row("with a priority", v4() / udp(), SERVICE, tags=((0x8100, 0xE005),)),
    row("without a tag", v4() / udp(), CLOUD),
    row("without a tag, IPv6", v6() / tcp(), CLOUD),
    row("another VLAN", v4() / udp(), ROUTER, tags=((0x8100, 6),)),
    row("VLAN 5 of another nibble", v4() / udp(), ROUTER, tags=((0x8100, 0x050),)),
    row("with a priority only", v4() / udp(), CLOUD, tags=((0x8100, 0xE000),)),
    row("802.1ad", v4() / udp(), ROUTER, tags=((0x88A8, 5),)),
    row("802.1Q in 802.1ad", v4() / udp(), ROUTER, tags=((0x88A8, 6), (0x8100, 5))),
    row("802.1Q in 802.1Q", v4() / udp(), ROUTER, tags=((0x8100, 5), (0x8100, 5))),
    row("next port", v4() / udp(PORT + 1), ROUTER, tags=TAG),
    row("another address", v4(B) / tcp(), ROUTER, tags=TAG),
    row("another address, IPv6", v6(B6) / udp(), ROUTER, tags=TAG),
    row("from another device's subnet", v4(src="192.168.78.9") / udp(), SERVICE, tags=TAG),
    row("from the other side", v4(src="198.51.100.7") / udp(), SERVICE, tags=TAG),
    row("from nowhere, IPv6", v6(src="2001:db8:ffff::7") / udp(), SERVICE, tags=TAG),
    row("from the address itself", v4(src=A) / udp(), ROUTER, tags=TAG),
    row("from the address itself, IPv6", v6(src=A6) / udp(), ROUTER, tags=TAG),
    row("to another host's MAC", v4() / udp(), ROUTER, to="host", tags=TAG),
    row("broadcast", v4("255.255.255.255") / udp(), ROUTER, to="broadcast", tags=TAG),
    row("multicast, IPv6", v6("ff02::fb") / udp(), ROUTER, to="3333000000fb", tags=TAG),
    row("ARP for the address", ARP(psrc="192.168.77.2", pdst=A), ROUTER, to="broadcast", tags=TAG),
    row("fragmentation needed", v4(src=MIDDLE) / ICMP(type=3, code=4) / sent4(), SERVICE, tags=TAG),
    row("too big", v6(src=MIDDLE6) / ICMPv6PacketTooBig() / sent6(), SERVICE, tags=TAG),
    row("fragmentation needed, without a tag", v4() / ICMP(type=3, code=4) / sent4(), CLOUD),
    row("first fragment", v4(flags="MF") / udp(), ROUTER, tags=TAG),
    row("IPv4 options", v4(options=[IPOption_NOP()] * 4) / udp(), SERVICE, tags=TAG),
    row("destination options", v6() / IPv6ExtHdrDestOpt() / udp(), ROUTER, tags=TAG),
    row("half an IPv4 header", v4() / udp(), ROUTER, cut=10, tags=TAG),
    row("one byte of the ports", v4() / udp(), ROUTER, cut=21, tags=TAG),
    row("an answer to nobody who asked", v4("192.168.77.200", src=A) / udp(9, PORT), ROUTER, sender="service"),
)

# The same for clients by MAC.
TRUNK_MACS = (
    row("UDP", v4() / udp(), SERVICE, tags=TAG, mac=ONE_MAC),
    row("TCP, IPv6", v6() / tcp(), SERVICE, tags=TAG, mac=OTHER_MAC),
    row("another MAC", v4() / udp(), ROUTER, tags=TAG),
    row("without a tag", v4() / udp(), CLOUD, mac=ONE_MAC),
    row("another VLAN", v4() / udp(), ROUTER, tags=((0x8100, 6),), mac=ONE_MAC),
)

# VLAN 5 of a bridge's port, whose gateway may be behind another port.
TRUNK_PORT = (
    row("to the bridge", v4() / udp(), SERVICE, tags=TAG),
    row("to another host", v4() / udp(), SERVICE, to="host", tags=TAG),
    row("to another host, IPv6", v6() / tcp(), SERVICE, to="host", tags=TAG),
    row("to another host, without a tag", v4() / udp(), HOST, to="host"),
    row("to another host, another VLAN", v4() / udp(), HOST, to="host", tags=((0x8100, 6),)),
    row("to another host, another address", v4(B) / udp(), HOST, to="host", tags=TAG),
    row("to another host, 802.1ad", v4() / udp(), HOST, to="host", tags=((0x88A8, 5),)),
    row("from the address itself", v4(src=A) / udp(), ROUTER, to="host", tags=TAG),
    row("broadcast", v4("255.255.255.255") / udp(), HOST, to="broadcast", tags=TAG),
    row("ARP for the address", ARP(psrc="192.168.77.2", pdst=A), HOST, to="broadcast", tags=TAG),
)

# Everything of one address (`option proto any`): for IPv4 that is every protocol, for IPv6 TCP and UDP.
WHOLE = (
    row("UDP", v4() / udp(9), SERVICE),
    row("TCP", v4() / tcp(1), SERVICE),
    row("ping", v4() / ICMP(), SERVICE),
    row("GRE", v4(proto=47) / Raw(bytes(8)), SERVICE),
    row("ESP", v4() / ESP(spi=PORT, seq=1, data=DATA), SERVICE),
    row("first fragment", v4(flags="MF") / udp(), SERVICE),
    row("last fragment", v4(frag=100, proto=17) / Raw(bytes(udp())), SERVICE),
    row("IPv4 options", v4(options=[IPOption_NOP()] * 4) / udp(), SERVICE),
    row("IPv4 header only", v4(len=20) / Raw(b""), SERVICE, bpf=NO_PORTS),
    row("another address", v4(B) / udp(9), CLOUD),
    row("UDP, IPv6", v6() / udp(9), SERVICE),
    row("TCP, IPv6", v6() / tcp(1), SERVICE),
    row("ping, IPv6", v6() / ICMPv6EchoRequest(), CLOUD),
    row("unreachable", v4() / ICMP(type=3) / sent4(9), SERVICE),
    row("unreachable, about another address", v4() / ICMP(type=3) / sent4(9, src=B), SERVICE),
    row("too big", v6() / ICMPv6PacketTooBig() / sent6(9), SERVICE, **ERRORS),
    row("neighbour solicitation", v6(hlim=255) / ICMPv6ND_NS(tgt=A6), CLOUD),
    row("destination options", v6() / IPv6ExtHdrDestOpt() / udp(), CLOUD, flower=BEHIND),
    row("destination options, ping", v6() / IPv6ExtHdrDestOpt() / ICMPv6EchoRequest(), CLOUD),
    row("first fragment, IPv6", v6() / IPv6ExtHdrFragment(m=1, id=7) / udp(), CLOUD, flower=BEHIND),
    row("last fragment, IPv6", v6() / IPv6ExtHdrFragment(offset=9, nh=17) / Raw(DATA), CLOUD, flower=BEHIND),
    row("another address, IPv6", v6(B6) / udp(9), CLOUD),
)

# UDP only, and only from 192.168.77.0/25 and 2001:db8:77::/64.
CLIENTS = (
    row("a client of these", v4() / udp(), SERVICE),
    row("the last of these", v4(src="192.168.77.127") / udp(), SERVICE),
    row("the first that is none", v4(src="192.168.77.128") / udp(), CLOUD),
    row("none of these", v4(src="192.168.76.2") / udp(), CLOUD),
    row("a client of these, IPv6", v6() / udp(), SERVICE),
    row("none of these, IPv6", v6(src="2001:db8:78::2") / udp(), CLOUD),
    row("TCP", v4() / tcp(), CLOUD),
    row("TCP, IPv6", v6() / tcp(), CLOUD),
    row("unreachable", v4(src="192.168.76.2") / ICMP(type=3) / sent4(kind=UDP), SERVICE, **ERRORS),
    row("unreachable, none of these", v4() / ICMP(type=3) / sent4(kind=UDP, dst="192.168.76.2"), CLOUD),
    row("unreachable, TCP", v4() / ICMP(type=3) / sent4(), CLOUD),
)

# Only clients with these MAC addresses, whatever address they have.
MACS = (
    row("UDP", v4() / udp(), SERVICE, mac=ONE_MAC),
    row("UDP, IPv6", v6() / udp(), SERVICE, mac=ONE_MAC),
    row("TCP, the other one", v4() / tcp(), SERVICE, mac=OTHER_MAC),
    row("TCP, the other one, IPv6", v6() / tcp(), SERVICE, mac=OTHER_MAC),
    row("another address of it", v4(src="192.168.77.200") / udp(), SERVICE, mac=ONE_MAC),
    row("another address of it, IPv6", v6(src="2001:db8:77::200") / tcp(), SERVICE, mac=ONE_MAC),
    row("its address, another MAC", v4() / udp(), CLOUD),
    row("its address, another MAC, IPv6", v6() / tcp(), CLOUD),
    row("a MAC with the same end", v4() / udp(), CLOUD, mac="02:72:00:00:77:01"),
    row("a MAC with the same beginning", v4() / udp(), CLOUD, mac=THIRD_MAC),
    row("a MAC with the same beginning, IPv6", v6() / tcp(), CLOUD, mac=THIRD_MAC),
    row("next port", v4() / udp(PORT + 1), CLOUD, mac=ONE_MAC),
    row("another address", v6(B6) / tcp(), CLOUD, mac=ONE_MAC),
    row("to another host's MAC", v4() / udp(), ROUTER, to="host", mac=ONE_MAC, **OTHERS),
    row("first fragment", v4(flags="MF") / udp(), CLOUD, mac=ONE_MAC),
    row("IPv4 options", v4(options=[IPOption_NOP()] * 4) / udp(), SERVICE, mac=ONE_MAC, u32=OPTIONS),
    row("destination options", v6() / IPv6ExtHdrDestOpt() / udp(), CLOUD, mac=ONE_MAC, flower=BEHIND),
    row("802.1Q", v4() / udp(), ROUTER, tags=((0x8100, 5),), mac=ONE_MAC),
    row("unreachable", v4() / ICMP(type=3) / sent4(), SERVICE, mac=ONE_MAC, **ERRORS),
    row("unreachable, another MAC", v4() / ICMP(type=3) / sent4(), CLOUD),
    row("too big", v6() / ICMPv6PacketTooBig() / sent6(), SERVICE, mac=OTHER_MAC, **ERRORS),
    row("too big, another MAC", v6() / ICMPv6PacketTooBig() / sent6(), CLOUD),
    row("an answer of the service", v4("192.168.77.2", src=A) / udp(40000, PORT), CLIENT, sender="service"),
)

# The same, and the address has to be right as well; several addresses and ports.
MACS_AND_ADDRESSES = (
    row("both", v4("203.0.113.11") / udp(6990), SERVICE, mac=ONE_MAC),
    row("both, IPv6", v6("2001:db8:cafe::11") / tcp(7010), SERVICE, mac=ONE_MAC),
    row("both, the port alone", v4() / tcp(9), SERVICE, mac=OTHER_MAC),
    row("only the MAC", v4(src="192.168.77.128") / udp(), CLOUD, mac=ONE_MAC),
    row("only the MAC, IPv6", v6(src="2001:db8:78::2") / udp(), CLOUD, mac=ONE_MAC),
    row("only the address", v4() / udp(), CLOUD, mac=THIRD_MAC),
    row("only the address, IPv6", v6() / udp(), CLOUD, mac=THIRD_MAC),
    row("port behind", v4() / udp(7011), CLOUD, mac=ONE_MAC),
    row("address behind", v4("203.0.113.12") / udp(), CLOUD, mac=ONE_MAC),
)

# All clients but some, by MAC and by address.
BUT_CLIENTS = (
    row("one of the others", v4() / udp(), SERVICE),
    row("one of the others, TCP", v4() / tcp(), SERVICE),
    row("one of the others, IPv6", v6() / tcp(), SERVICE),
    row("by its MAC", v4() / udp(), CLOUD, mac=ONE_MAC),
    row("by its MAC, TCP", v4(src="192.168.77.3") / tcp(), CLOUD, mac=ONE_MAC),
    row("by its MAC, IPv6", v6() / tcp(), CLOUD, mac=ONE_MAC),
    row("by its address", v4(src="192.168.77.200") / udp(), CLOUD),
    row("by its address, IPv6", v6(src="2001:db8:77::200") / tcp(), CLOUD),
    row("the address before", v4(src="192.168.77.191") / udp(), SERVICE),
    row("a MAC with the same end", v4() / udp(), SERVICE, mac=OTHER_MAC),
    row("next port", v4() / udp(PORT + 1), CLOUD),
    row("next port, by its MAC", v4() / udp(PORT + 1), CLOUD, mac=ONE_MAC),
    row("IPv4 options, by its MAC", v4(options=[IPOption_NOP()] * 4) / udp(), CLOUD, mac=ONE_MAC),
    row("unreachable", v4() / ICMP(type=3) / sent4(), SERVICE, **ERRORS),
    row("unreachable, by its MAC", v4() / ICMP(type=3) / sent4(), CLOUD, mac=ONE_MAC),
    row("an answer of the service", v4("192.168.77.2", src=A) / udp(40000, PORT), CLIENT, sender="service"),
)

# Several addresses and ports but for some destinations.
BUT_DESTINATIONS = (
    row("taken", v4("203.0.113.10") / udp(6990), SERVICE),
    row("taken, IPv6", v6("2001:db8:cafe::10") / tcp(), SERVICE),
    row("left", v4("203.0.113.11") / udp(7010), CLOUD),
    row("left, IPv6", v6("2001:db8:cafe::11") / udp(), CLOUD),
    row("left, its MAC", v4("203.0.113.10") / udp(), CLOUD, mac=ONE_MAC),
    row("address before", v4("203.0.113.9") / udp(), CLOUD),
)

# The port of any address but for some destinations and clients.
ANY_BUT = (
    row("taken", v4("198.18.5.5") / udp(), SERVICE),
    row("taken, TCP", v4("198.18.5.5") / tcp(), SERVICE),
    row("taken, IPv6", v6("fd12:3456::1") / tcp(), SERVICE),
    row("the router's own address", v4("192.168.77.1") / tcp(), ROUTER),
    row("left", v4() / udp(), CLOUD),
    row("left, TCP", v4() / tcp(), CLOUD),
    row("left, IPv6", v6() / tcp(), CLOUD),
    row("by its MAC", v4("198.18.5.5") / udp(), CLOUD, mac=ONE_MAC),
    row("by its MAC, IPv6", v6("fd12:3456::1") / udp(), CLOUD, mac=ONE_MAC),
    row("broadcast", v4("255.255.255.255") / udp(), ROUTER, to="broadcast"),
    row("to another host's MAC", v4("198.18.5.5") / udp(), ROUTER, to="host"),
)

# Clients by MAC on br-lan, and at the port of that bridge.
BRIDGE_MACS = (
    row("to the bridge", v4() / udp(), SERVICE, mac=ONE_MAC),
    row("to the bridge, IPv6", v6() / tcp(), SERVICE, mac=OTHER_MAC),
    row("to the bridge, another MAC", v4() / udp(), CLOUD),
    row("to another host", v4() / udp(), HOST, to="host", mac=ONE_MAC),
)
BRIDGE_PORT_MACS = (
    row("to the bridge", v4() / udp(), SERVICE, mac=ONE_MAC),
    row("to the bridge, IPv6", v6() / tcp(), SERVICE, mac=OTHER_MAC),
    row("to the bridge, another MAC", v4() / udp(), CLOUD),
    row("to another host", v4() / udp(), SERVICE, to="host", mac=ONE_MAC),
    row("to another host, another MAC", v4() / udp(), HOST, to="host"),
)

# On br-lan, which has another host behind another port. What goes between the two is none of the bridge's own.
BRIDGE = (
    row("to the bridge", v4() / udp(), SERVICE),
    row("to the bridge, IPv6", v6() / tcp(), SERVICE),
    row("to another host", v4() / udp(), HOST, to="host"),
    row("to another host, IPv6", v6() / tcp(), HOST, to="host"),
    row("unreachable", v4() / ICMP(type=3) / sent4(), SERVICE, **ERRORS),
    row("unreachable, to another host", v4() / ICMP(type=3) / sent4(), HOST, to="host"),
    row("next port", v4() / udp(PORT + 1), CLOUD),
    row("broadcast", v4("255.255.255.255") / udp(), HOST, to="broadcast"),
    row("802.1Q", v4() / udp(), HOST, to="host", tags=((0x8100, 5),)),
)

# The same while somebody listens to all that passes there (tcpdump): the bridge gets a copy of it.
PROMISCUOUS = (
    row("to the bridge", v4() / udp(), SERVICE),
    row("to the bridge, IPv6", v6() / tcp(), SERVICE),
    row("between hosts", v4("192.168.77.9") / tcp(), HOST, to="host", **COPIES),
    row("between hosts, UDP", v4("192.168.77.9") / udp(), HOST, to="host"),
    row("between hosts, IPv6", v6("2001:db8:77::9") / tcp(), HOST, to="host", **COPIES),
    row("to the cloud by another host", v4() / tcp(), HOST, to="host", **COPIES),
    row("next port", v4() / udp(PORT + 1), CLOUD),
    row("broadcast", v4("255.255.255.255") / udp(), HOST, to="broadcast"),
)

# On the port of that bridge. A gateway of the clients may be behind it, so whose MAC it is does not count.
BRIDGE_PORT = (
    row("to the bridge", v4() / udp(), SERVICE),
    row("to the bridge, IPv6", v6() / tcp(), SERVICE),
    row("to another host", v4() / udp(), SERVICE, to="host"),
    row("to another host, IPv6", v6() / tcp(), SERVICE, to="host"),
    row("to another host, another address", v4(B) / udp(), HOST, to="host"),
    row("from the other side, whose route can not be compared", v4(src="198.51.100.7") / udp(), SERVICE),
    row("from the address itself", v4(src=A) / udp(), ROUTER, **FORGED),
    row("from the address itself, IPv6", v6(src=A6) / udp(), ROUTER, **FORGED),
    row("to another host, first fragment", v4(flags="MF") / udp(), HOST, to="host"),
    row("next port", v4() / udp(PORT + 1), CLOUD),
    row("broadcast", v4("255.255.255.255") / udp(), HOST, to="broadcast"),
    row("ARP for the address", ARP(psrc="192.168.77.2", pdst=A), HOST, to="broadcast"),
    row("neighbour solicitation", v6("ff02::1:ff00:10", hlim=255) / ICMPv6ND_NS(tgt=A6), HOST, to="3333ff000010"),
    row("802.1Q", v4() / udp(), HOST, to="host", tags=((0x8100, 5),)),
)

# On the port, any address: there the bridge's MAC decides for UDP.
BRIDGE_PORT_ANY = (
    row("to the bridge", v4() / udp(), SERVICE),
    row("to another host", v4() / udp(), HOST, to="host"),
    row("between hosts", v4("192.168.77.9") / udp(), HOST, to="host"),
    row("broadcast", v4("255.255.255.255") / udp(), HOST, to="broadcast"),
    row("multicast", v4("239.1.2.3") / udp(), HOST, to="01005e010203"),
)

ONE = ("list dest_ip " + A, "list dest_ip " + A6)
AT_PORT = ("list dest_port %d" % PORT,)
VLAN = ("option vlan 5",)
PREFIXES = ("list dest_ip 203.0.113.10/31", "list dest_ip 2001:db8:cafe::10/127")
PORTS = ("list dest_port 6990-7010", "list dest_port 9")
BY_MAC = ("list src_mac " + ONE_MAC, "list src_mac " + OTHER_MAC)
BUT_MAC = ("list exclude_client " + ONE_MAC,)

# name: (rows, device, further lines of the service's section)
TABLES = {
    "one address and port": (EXACT, "lan0", ONE + AT_PORT),
    "prefixes and port ranges": (RANGES, "lan0", PREFIXES + PORTS),
    "any address": (ANY, "lan0", AT_PORT),
    "every protocol of an address": (WHOLE, "lan0", ONE + ("option proto any",)),
    "some clients": (
        CLIENTS,
        "lan0",
        ONE + AT_PORT + ("option proto udp", "list src_ip 192.168.77.0/25", "list src_ip 2001:db8:77::/64"),
    ),
    "clients by MAC": (MACS, "lan0", ONE + AT_PORT + BY_MAC),
    "clients by MAC and address": (
        MACS_AND_ADDRESSES,
        "lan0",
        (*PREFIXES, *PORTS, *BY_MAC, "list src_ip 192.168.77.0/25", "list src_ip 2001:db8:77::/64"),
    ),
    "all but some clients": (
        BUT_CLIENTS,
        "lan0",
        (
            *ONE,
            *AT_PORT,
            *BUT_MAC,
            "list exclude_client 192.168.77.192/26",
            "list exclude_client 2001:db8:77::200",
        ),
    ),
    "all but some destinations": (
        BUT_DESTINATIONS,
        "lan0",
        (*PREFIXES, *PORTS, *BUT_MAC, "list exclude_dest 203.0.113.11", "list exclude_dest 2001:db8:cafe::11"),
    ),
    "any address but some": (
        ANY_BUT,
        "lan0",
        (
            *AT_PORT,
            *BUT_MAC,
            "list exclude_dest 192.168.0.0/16",
            "list exclude_dest 203.0.112.0/23",
            "list exclude_dest 2001:db8::/32",
        ),
    ),
    "clients by MAC on a bridge": (BRIDGE_MACS, "br-lan", ONE + AT_PORT + BY_MAC),
    "clients by MAC on the port of a bridge": (BRIDGE_PORT_MACS, "lan0", ONE + AT_PORT + BY_MAC),
    "a bridge": (BRIDGE, "br-lan", ONE + AT_PORT),
    "any address on a promiscuous bridge": (PROMISCUOUS, "br-lan", AT_PORT),
    "the port of a bridge": (BRIDGE_PORT, "lan0", ONE + AT_PORT),
    "any address on the port of a bridge": (BRIDGE_PORT_ANY, "lan0", AT_PORT),
    "a VLAN of a trunk": (TRUNK, "lan0", ONE + AT_PORT + VLAN),
    "clients by MAC in a VLAN": (TRUNK_MACS, "lan0", ONE + AT_PORT + VLAN + BY_MAC),
    "a VLAN of the port of a bridge": (TRUNK_PORT, "lan0", ONE + AT_PORT + VLAN),
}


def tables(datapath, link=None):
    """The names of those that a datapath, and a kind of link, can do."""
    vlans = _has_vlans(datapath) and not link
    names = [name for name in TABLES if vlans or VLAN[0] not in TABLES[name][2]]
    return [name for name in names if not (link and ("bridge" in name or any(each.mac for each in TABLES[name][0])))]


def _has_vlans(datapath):
    return plan_datapath.named(datapaths.DATAPATHS[datapath].option).VLANS


# The services that random packets meet, {name: lines of its section}: the second takes what is around the first's, the
# third what is left of a port but for some, the others all ports of some clients, by address and by MAC.
MIXED = {
    "edge": ONE + AT_PORT,
    "around": ("list dest_ip 203.0.113.8/29", "list dest_ip 2001:db8:cafe::/124", *PORTS),
    "rest": (
        "list dest_port 7000",
        "list dest_port 53",
        "list exclude_dest 203.0.113.16",
        "list exclude_client " + THIRD_MAC,
    ),
    "some": ("list dest_ip 203.0.112.0/24", "option proto udp", "list src_ip 192.168.77.0/25"),
    "one": ("list dest_ip 203.0.112.0/24", "list dest_ip 198.18.0.0/15", "option proto tcp", "list src_mac " + ONE_MAC),
    "other": (
        "list dest_ip 203.0.112.0/24",
        "list dest_ip 198.18.0.0/15",
        "option proto tcp",
        "list src_mac " + OTHER_MAC,
    ),
}
# And where VLANs can be taken, one in the VLAN of some packets.
IN_A_VLAN = {"tagged": (*PORTS, "list dest_port 53", *VLAN)}
RANDOM = 1000  # packets


def generated(seed):
    """Rows of random packets, of which nobody says where they end up: so that each rule is met, and each is missed."""
    dice = random.Random(seed)
    return [_generated(dice, number) for number in range(RANDOM)]


def _generated(dice, number):
    ports = (PORT,) * 4 + (PORT + 3, 6989, 6990, 7010, 7011, 9, 53)
    kind = dice.choice((udp, udp, tcp, tcp, None))
    version = dice.choice((4, 4, 6))
    body = kind(dice.choice(ports), sport=dice.choice((40000, PORT))) if kind else _without_ports(dice, version, ports)
    tags, to = (
        dice.choices(((), ((0x8100, 5),)), (12, 1))[0],
        dice.choices(("router", "host", "broadcast"), (16, 2, 1))[0],
    )
    head = _head4(dice) if version == 4 else _head6(dice)
    mac = dice.choices((ONE_MAC, OTHER_MAC, THIRD_MAC, ""), (3, 3, 1, 2))[0]
    return row("random %d" % number, head / body, "", to=to, tags=tags, mac=mac)


def _head4(dice):
    to = (
        A,
        A,
        B,
        "203.0.113.9",
        "203.0.113.7",
        "203.0.113.16",
        "203.0.112.10",
        "198.18.5.5",
        "192.168.77.1",
        "239.1.2.3",
    )
    sources = ("192.168.77.2",) * 12 + ("192.168.77.200", "192.168.99.2", "192.168.78.9", "198.51.100.7", "192.0.2.7")
    fields = {"options": [IPOption_NOP()] * 4} if dice.random() < 0.1 else {}
    fields.update(dice.choices(({}, {"flags": "MF"}, {"frag": 100}), (10, 1, 1))[0])
    return v4(dice.choice(to), src=dice.choice(sources), **fields)


def _head6(dice):
    to = (
        A6,
        A6,
        A6,
        B6,
        "2001:db8:cafe::f",
        "2001:db8:cafe::20",
        "fd12:3456::1",
        "2001:db8:77::1",
        "ff05::fb",
        "fe80::1",
    )
    sources = ("2001:db8:77::2",) * 12 + ("2001:db8:99::2", "2001:db8:100::7", "2001:db8:ffff::7", "fe80::77")
    between = (None, IPv6ExtHdrDestOpt(), IPv6ExtHdrHopByHop(), IPv6ExtHdrFragment(m=1, id=7))
    head, extension = v6(dice.choice(to), src=dice.choice(sources)), dice.choices(between, (12, 1, 1, 1))[0]
    return head / extension if extension else head


def _without_ports(dice, version, ports):
    """Of ICMP, what asks and what is about a service's packet."""
    quoted = {"port": dice.choice(ports), "kind": dice.choice((TCP, UDP))}
    if version == 4:
        error = ICMP(type=dice.choice((3, 11))) / sent4(src=dice.choice((A, B)), **quoted)
        return dice.choice((ICMP(), error, error))
    error = dice.choice((ICMPv6DestUnreach(), ICMPv6PacketTooBig())) / sent6(src=dice.choice((A6, B6)), **quoted)
    return dice.choice((ICMPv6EchoRequest(), error, error))


class Crossing:
    """A lab with two clients whose router has one service; packets go in, and where they came out is told."""

    NAME = "edge"

    def __init__(self, lab, name, datapath):
        rows, device, takes = TABLES[name]
        if lab.link:
            rows = [each for each in rows if _needs_no_header(each)]
        self._begin(lab, datapath, rows, device, {self.NAME: takes}, "bridge" in name)
        self._watched = {SERVICE: self._watched.pop(self.NAME), **self._watched}

    def _begin(self, lab, datapath, rows, device, services, bridged=False):
        self.lab, self.rows, self.device = lab, rows, device
        self._prepare(bridged)
        # Nothing listens here, and a port that a packet finds closed is to be taken all the same.
        more = ("list device " + device, datapaths.option(datapath), "option dynamic_ports 1")
        lab.configure("".join(service(name, "/bin/true", *services[name], *more) for name in services))
        self._viscum = [*lab.interpreter, *datapaths.start(datapath), "viscum_agent", "-c", lab.confdir]
        self._run("up", "--no-program")
        assert self._run("plan").stdout == "# nothing to do\n"
        self._ns = {"client": lab.client, "router": lab.router, "cloud": lab.cloud, "service": "viscum-" + self.NAME}
        self._watched = {name: "viscum-" + name for name in services}
        self._watched.update({CLIENT: lab.client, HOST: lab.clients[1], CLOUD: lab.cloud})
        self._macs = {}
        if not lab.link:
            reached = packed_mac(lab.router, "br-lan" if bridged else "lan0")
            self._macs = {"router": reached.hex(), "host": packed_mac(lab.clients[1]).hex(), "broadcast": "f" * 12}

    def _run(self, *words):
        return self.lab.run(self.lab.router, *self._viscum, *words, cwd=ROOT, env=self.lab.env())

    def down(self):
        self._run("down", "--no-program")

    def _prepare(self, bridged):
        lab = self.lab
        routes = (
            ("203.0.112.0/23", "198.51.100.2"),
            ("198.18.0.0/15", "198.51.100.2"),
            ("2001:db8:cafe::/64", "2001:db8:100::2"),
            ("fd12:3456::/64", "2001:db8:100::2"),
            ("192.168.99.0/24", "192.168.77.2"),
            ("2001:db8:99::/64", "2001:db8:77::2"),
        )
        ips(lab.router, ["route add %s via %s" % each for each in routes])
        if bridged:
            lab.bridge()
            ips(lab.router, ["link set lan1 master br-lan"])
        if self.device == "br-lan" and self.rows is PROMISCUOUS:
            ips(lab.router, ["link set br-lan promisc on"])
        # Neighbours know each other: what waits for an answer of ARP might come too late, or be dropped.
        for ns, address in ((lab.client, "192.168.77.1"), (lab.client, "2001:db8:77::1"), (lab.router, "198.51.100.2")):
            lab.run(ns, "ping", "-c", 1, "-W", 5, address)
        lab.run(lab.router, "ping", "-c", 1, "-W", 5, "2001:db8:100::2")
        lab.run(lab.router, "ping", "-c", 1, "-W", 5, "192.168.77.2")
        lab.run(lab.router, "ping", "-c", 1, "-W", 5, "2001:db8:77::2")

    def places(self):
        """[place] for each row: where it was seen; several are joined by "+"."""
        watchers = {place: watch(ns) for place, ns in self._watched.items()}
        try:
            senders = {}
            marks = [self._send(each, number, senders) for number, each in enumerate(self.rows)]
            seen = {place: collect(sock) for place, sock in watchers.items()}
        finally:
            for sock in watchers.values():
                sock.close()
            for sock in senders.values():
                sock.close()
        return [self._place(mark, seen) for mark in marks]

    def explained(self):
        """[(name of the service or "", reasons)] for each row: what the agent says of it."""
        told = [self._told(each, number) for number, each in enumerate(self.rows)]
        file = self.lab.confdir / "packets.json"
        file.write_text(json.dumps(told))
        words = (*self.lab.interpreter, ROOT / "tests/explains.py", self.lab.confdir, file)
        found = self.lab.run(self.lab.router, *words, cwd=ROOT, env=self.lab.env()).stdout
        return [tuple(each) for each in json.loads(found)]

    def _told(self, each, number):
        """A row as tests/explains.py reads it: where it comes in, and what is in it; None if that is no IP packet."""
        if each.packet.name == "ARP":
            return None
        data = marked(each.packet, number)[: each.cut]
        found = dissected(data, ethertype(each.packet))
        if found is None:
            return None
        dev = {"client": "lan0", "cloud": "wan0", "router": "wan0", "service": device_name(self.NAME)}[each.sender]
        found = with_(found, dev=dev, note="out" if each.sender == "router" else "")
        if each.sender == "client" and not self.lab.link:
            to = bytes.fromhex(self._macs.get(each.to, each.to)).hex(":")
            found = with_(found, to=to, vlan=_vlan(each.tags), sender=source_mac(each, number).hex(":"))
        return as_list(found)

    def _send(self, each, number, senders):
        """Sends one packet; by its mark, which is returned, it is found again."""
        key = each.sender, each.packet.version if each.sender != "client" and each.packet.name != "ARP" else 0
        if key not in senders:
            senders[key] = sender(self._ns[each.sender], key[1])
        data = marked(each.packet, number)[: each.cut]
        if key[1]:
            senders[key].sendto(data, (each.packet.dst, 0))
            return mark_in(bytes(12) + struct.pack(">H", ethertype(each.packet)) + data)
        if self.lab.link:
            senders[key].send(data)
            return mark_in(bytes(12) + struct.pack(">H", ethertype(each.packet)) + data)
        tags = b"".join(struct.pack(">HH", *tag) for tag in each.tags)
        to = bytes.fromhex(self._macs.get(each.to, each.to))
        frame = to + source_mac(each, number) + tags + struct.pack(">H", ethertype(each.packet)) + data
        senders[key].send(frame)
        return mark_in(frame)

    def _place(self, mark, seen):
        return "+".join([place for place in self._watched if mark in seen[place]]) or ROUTER


def _needs_no_header(each):
    """Whether a row says nothing of frames: what is in their headers, ARP, what is for other hosts. Nor do others than
    versions 4 and 6 get through tun, and from a device that leads to one host only, the router sends back what is for
    link-local addresses that it has not."""
    if each.to != "router" or each.tags or each.packet.name == "ARP":
        return False
    return each.packet.version in (4, 6) and not each.packet.dst.startswith("fe80:")


def check(lab, name, datapath):
    """Fails with the whole table where a packet was not seen where it should."""
    crossing = Crossing(lab, name, datapath)
    found = crossing.places()
    text = as_text(crossing.rows, found, datapath)
    print(text)
    assert found == [expected(each, datapath)[0] for each in crossing.rows], "\n" + text
    agrees(crossing, [crossing.NAME if SERVICE in place.split("+") else "" for place in found])
    crossing.down()


class Mixed(Crossing):
    """The same with several services, and random packets."""

    def __init__(self, lab, datapath, seed):
        self.services = {**MIXED, **(IN_A_VLAN if _has_vlans(datapath) else {})}
        self._begin(lab, datapath, generated(seed), "lan0", self.services)


def check_random(lab, datapath, seed):
    """Fails where the agent explains a random packet otherwise than the kernel has it."""
    crossing = Mixed(lab, datapath, seed)
    seen = [place if place in crossing.services else "" for place in crossing.places()]
    # Each service took some, and some were left: else this would prove nothing.
    few = [name for name in [*crossing.services, ""] if seen.count(name) <= RANDOM // 100]
    assert not few, {name: seen.count(name) for name in seen}
    agrees(crossing, seen)
    crossing.down()


def agrees(crossing, seen):
    """Fails where `viscum explain` names another service than the one that a row was seen in, or no reason."""
    lines = []
    for each, place, (name, reasons) in zip(crossing.rows, seen, crossing.explained(), strict=True):
        if name != place or not (name or reasons):
            lines.append("%s, %s: seen at '%s', explained as '%s': %s" % (each.name, each.packet, place, name, reasons))
    assert not lines, "\n".join(lines)


def expected(each, datapath):
    """(place, reason) of a row for a datapath; both ways to attach bpf have the same programs."""
    return each.differs.get(datapaths.DATAPATHS[datapath].option, (each.place, ""))


def as_text(rows, found, datapath):
    """The table, one line a packet, with what was seen elsewhere than expected marked."""
    lines = []
    for each, place in zip(rows, found, strict=True):
        want, reason = expected(each, datapath)
        words = (" " if place == want else "!", each.name, want, place, reason)
        lines.append(("%s %-42s %-14s %-14s %s" % words).rstrip())
    return "\n".join(["  %-42s %-14s %s" % ("packet", "expected", "seen")] + lines)


# Telling the agent what is in a packet


def as_list(found):
    """A packet of the agent's as JSON."""
    if found is None:
        return None
    return [each.hex() if isinstance(each, bytes) else each for each in with_(found, quoted=as_list(found.quoted))]


def _vlan(tags):
    """As the agent has it: what has two tags, or one of 802.1ad, has no VLAN that a service may have."""
    if not tags:
        return -1
    return tags[0][1] & 0xFFF if len(tags) == 1 and tags[0][0] == 0x8100 else 0


def dissected(data, kind):
    """What is in the bytes of an IP packet (RFC 791, RFC 8200), as the agent is told; None where it is broken."""
    return _dissected4(data) if kind == 0x0800 else _dissected6(data)


def _dissected4(data):
    size = 4 * (data[0] & 15)
    if len(data) < 20 or size < 20:
        return None
    place = struct.unpack_from(">H", data, 6)[0]
    part = "later" if place & 0x1FFF else "first" if place & 0x2000 else ""
    body = data[size:]
    found = with_(
        agent_packet.NOTHING,
        src=data[12:16],
        dst=data[16:20],
        proto=data[9],
        part=part,
        options=size > 20,
        bare=len(body) < 4,
    )
    if found.proto == 1 and len(body) >= 28 and body[0] in (3, 11, 12):
        return with_(found, quoted=_dissected4(body[8:]))
    return _with_ports(found, body)


def _dissected6(data):
    if len(data) < 40:
        return None
    following, body, part, options = data[6], data[40:], "", False
    while following in (0, 60) and len(body) >= 8:
        following, body, options = body[0], body[8 * body[1] + 8 :], True
    if following == 44:
        part = "later" if struct.unpack_from(">H", body, 2)[0] & 0xFFF8 else "first"
        following, body = body[0], body[8:]
    found = with_(
        agent_packet.NOTHING,
        src=data[8:24],
        dst=data[24:40],
        proto=following,
        part=part,
        options=options,
        bare=len(data) < 44,
    )
    if following == 58 and len(body) >= 48 and 1 <= body[0] <= 4:
        return with_(found, quoted=_dissected6(body[8:]))
    return _with_ports(found, body)


def _with_ports(found, body):
    if found.proto not in (6, 17) or found.part == "later" or len(body) < 4:
        return found
    sport, dport = struct.unpack_from(">HH", body)
    return with_(found, sport=sport, dport=dport)


# Finding a packet again


def source_mac(each, number):
    return agent_address.parse_mac(each.mac) if each.mac else own_mac(number)


def own_mac(number):
    return b"\x02\x70\0\0" + struct.pack(">H", number)


def marked(packet, number):
    """The packet's bytes with its number in the IPv4 identification or the IPv6 flow label."""
    packet = packet.copy()
    if packet.name == "ARP":
        packet.hwsrc = ":".join("%02x" % byte for byte in own_mac(number))
    elif isinstance(packet, IPv6):
        packet.fl = 0x70000 | number
    else:
        packet.id = 0x7000 | number
    return bytes(packet)


def mark_in(frame):
    """What tells the packet in a frame from all others, or as much of it as is there: identification or flow label,
    protocol and destination. The first alone would not do: an error or a reset may have it by chance."""
    kind, offset = struct.unpack_from(">H", frame, 12)[0], 14
    while kind in (0x8100, 0x88A8):
        kind, offset = struct.unpack_from(">H", frame, offset + 2)[0], offset + 4
    data = frame[offset:]
    if kind == 0x0800:
        return 4, data[4:6], data[9:10], data[16:20]
    if kind == 0x86DD:
        return 6, struct.unpack_from(">I", data)[0] & 0xFFFFF, data[6:7], data[24:40]
    return kind, data[8:14]  # of ARP: the sender's MAC


def ethertype(packet):
    return 0x0806 if packet.name == "ARP" else 0x86DD if isinstance(packet, IPv6) else 0x0800


# Sockets in namespaces

ARPHRD_NONE = 0xFFFE  # if_arp.h: a tun device, without a header


def collect(sock):
    """The marks of what came in, once nothing more comes."""
    found = []
    give_up = time.monotonic() + 5
    sock.settimeout(0.3)  # much longer than a packet takes; they were all sent before
    while time.monotonic() < give_up:
        try:
            frame, address = sock.recvfrom(4096)
        except TimeoutError:
            break
        if address[2] != PACKET_OUTGOING:
            bare = address[3] == ARPHRD_NONE
            found.append(mark_in(bytes(12) + struct.pack(">H", address[1]) + frame if bare else frame))
    return found


def sender(ns, version):
    """A socket that sends frames of eth0 (version 0) or whole IP packets, by the routes of the namespace."""
    if version == 0:
        sock = in_namespace(ns, lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
        sock.bind(("eth0", 0))
        return sock
    family = socket.AF_INET if version == 4 else socket.AF_INET6
    return in_namespace(ns, lambda: socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW))
