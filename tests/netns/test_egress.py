"""What leaves a service's namespace by itself: nothing but replies, whatever its program does, and what its section
names. The attacker here is stronger than any program: it writes whole frames on eth0, as root in the namespace could.

Each packet has a number, and is looked for where it would be once it got out: at the first hook of the router's
firewall, and, as replies of eBPF pass that by, at the hosts. What is refused is seen to pass with `egress any`."""

import json
import struct
from collections import namedtuple

from agent import QUICK, Agent
from lab import ROOT, echo_command, ip, packed_mac, pids_in, service, wait_for, watch
from packets import collect as arrived
from packets import ethertype, mark_in, marked, sender
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import (
    ICMPv6DestUnreach,
    ICMPv6EchoRequest,
    ICMPv6ND_NA,
    ICMPv6ND_NS,
    ICMPv6ND_RA,
    ICMPv6ND_Redirect,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
)
from scapy.layers.l2 import ARP
from scapy.packet import Raw

A, A6 = "203.0.113.10", "2001:db8:cafe::10"
PORT = 7000
FAR, FAR6 = "203.0.113.11", "2001:db8:cafe::11"  # a host of the cloud
HOST, HOST6 = "192.168.77.2", "2001:db8:77::2"  # a client, as every host of its network is one
ROUTER, ROUTER6 = "192.168.77.1", "2001:db8:77::1"
DATA = b"x" * 32
LINES = ("list device lan0", "list dest_ip " + A, "list dest_ip " + A6, "list dest_port %d" % PORT)
OTHER = service(
    "other",
    "/bin/true",
    "option dynamic_ports 1",
    "list device lan0",
    "list dest_ip 203.0.113.12",
    "list dest_ip 2001:db8:cafe::12",
    "list dest_port 7001",
    "option target_port 7001",
)

# `out` is whether it may leave with egress 'none'.
Row = namedtuple("Row", ("name", "packet", "out"))


def rows(own, own6, pair, pair6, other, other6):
    """Every Row, for the addresses that the services have: the own ones, the router's end, the other service's."""

    def v4(src, dst, packet, **fields):
        return IP(src=src, dst=dst, **fields) / packet

    def v6(src, dst, packet, **fields):
        return IPv6(src=src, dst=dst, **fields) / packet

    def syn(dport, sport=40000, **fields):
        return TCP(sport=sport, dport=dport, flags="S", **fields)

    def udp(dport, sport=40000):
        return UDP(sport=sport, dport=dport) / Raw(DATA)

    reply = TCP(sport=PORT, dport=40000, flags="PA") / Raw(DATA)
    unreachable = ICMP(type=3, code=3) / Raw(bytes(IP(src=HOST, dst=A) / UDP(sport=9, dport=9)))
    unreachable6 = ICMPv6DestUnreach(code=4) / Raw(bytes(IPv6(src=HOST6, dst=A6) / UDP(sport=9, dport=9)))
    datagram = bytes(udp(40000, PORT))
    found = [
        Row("a reply", v4(A, HOST, reply), True),
        Row("a reply, IPv6", v6(A6, HOST6, reply), True),
        Row("accepted", v4(A, HOST, TCP(sport=PORT, dport=40000, flags="SA")), True),
        Row("accepted, IPv6", v6(A6, HOST6, TCP(sport=PORT, dport=40000, flags="SA")), True),
        Row("a reset", v4(A, HOST, TCP(sport=PORT, dport=40000, flags="R")), True),
        Row("a datagram", v4(A, HOST, udp(40000, PORT)), True),
        Row("a datagram, IPv6", v6(A6, HOST6, udp(40000, PORT)), True),
        Row("first fragment of one", v4(A, HOST, Raw(datagram), flags="MF", proto=17), True),
        Row("last fragment of one", v4(A, HOST, Raw(DATA), frag=100, proto=17), True),
        Row("first fragment of one, IPv6", v6(A6, HOST6, IPv6ExtHdrFragment(m=1, nh=17, id=7) / Raw(datagram)), True),
        Row("last fragment of one, IPv6", v6(A6, HOST6, IPv6ExtHdrFragment(offset=9, nh=17, id=7) / Raw(DATA)), True),
        Row("a closed port", v4(A, HOST, unreachable), True),
        Row("a closed port, IPv6", v6(A6, HOST6, unreachable6), True),
        Row("who is the router", v6(own6, pair6, ICMPv6ND_NS(tgt=pair6), hlim=255), True),
    ]
    ends = ((own, own6, "its own address"), (A, A6, "the cloud's address"))
    places = (
        (HOST, HOST6, 22, "a host's ssh"),
        (ROUTER, ROUTER6, 22, "the router's ssh"),
        (ROUTER, ROUTER6, 80, "LuCI"),
        (pair, pair6, 22, "the router's end"),
        ("198.51.100.1", "2001:db8:100::1", 22, "the router's wan"),
        (other, other6, 7001, "another service"),
        (FAR, FAR6, 7001, "the cloud"),
    )
    for source, source6, whose in ends:
        for to, to6, port, what in places:
            found.append(Row("a connection to %s from %s" % (what, whose), v4(source, to, syn(port)), False))
            found.append(Row("a connection to %s from %s, IPv6" % (what, whose), v6(source6, to6, syn(port)), False))
            found.append(Row("a datagram to %s from %s" % (what, whose), v4(source, to, udp(port)), False))
            found.append(Row("a datagram to %s from %s, IPv6" % (what, whose), v6(source6, to6, udp(port)), False))
        found.append(Row("a ping from " + whose, v4(source, HOST, ICMP()), False))
        found.append(Row("a ping from %s, IPv6" % whose, v6(source6, HOST6, ICMPv6EchoRequest()), False))
    for to, to6, port, what in places:
        words = "a connection to %s from the served port" % what
        found.append(Row(words, v4(A, to, syn(port, PORT)), False))
        found.append(Row(words + ", IPv6", v6(A6, to6, syn(port, PORT)), False))
    # A datagram from the served port is a reply, but not to these.
    for to, to6, what in (
        (ROUTER, ROUTER6, "the router"),
        (pair, pair6, "the router's end"),
        ("198.51.100.1", "2001:db8:100::1", "the router's wan"),
        (other, other6, "another service"),
        ("192.168.77.255", "ff02::1", "everybody"),
        ("224.0.0.251", "fe80::1", "a group, a link-local address"),
        ("255.255.255.255", "ff05::fb", "all"),
        ("169.254.169.254", "fe80::a9fe", "a link-local host"),
        ("127.0.0.1", "ff02::2", "the router's loopback"),
    ):
        words = "a datagram to %s from the served port" % what
        found.append(Row(words, v4(A, to, udp(53, PORT)), False))
        found.append(Row(words + ", IPv6", v6(A6, to6, udp(53, PORT)), False))
    options = [IPOption_NOP()] * 4
    found += [
        Row("a connection with IP options", v4(A, HOST, syn(22, PORT), options=options), False),
        Row("a connection behind a header, IPv6", v6(A6, HOST6, IPv6ExtHdrDestOpt() / syn(22, PORT)), False),
        Row("a connection with more flags", v4(A, HOST, TCP(sport=PORT, dport=22, flags="SEC")), False),
        # Who it is not
        Row("as a host", v4(HOST, FAR, udp(7001)), False),
        Row("as a host, IPv6", v6(HOST6, FAR6, udp(7001)), False),
        Row("as the router", v4(ROUTER, HOST, udp(7001, 53)), False),
        Row("as the router, IPv6", v6(ROUTER6, HOST6, udp(7001, 53)), False),
        Row("as another cloud", v4(FAR, HOST, udp(40000, PORT)), False),
        Row("as another cloud, IPv6", v6(FAR6, HOST6, udp(40000, PORT)), False),
        Row("as another service", v4(other, HOST, udp(40000, PORT)), False),
        Row("as itself at the cloud's port", v4(own, HOST, reply), False),
        Row("from another port", v4(A, HOST, udp(40000, PORT + 1)), False),
        Row("from another port, IPv6", v6(A6, HOST6, TCP(sport=PORT + 1, dport=40000, flags="A")), False),
        Row("a fragment of somebody else's", v4(FAR, HOST, Raw(DATA), frag=100, proto=17), False),
        Row("a fragment of its own", v4(own, HOST, Raw(DATA), frag=100, proto=17), False),
        # What is no reply
        Row("GRE", v4(A, HOST, Raw(DATA), proto=47), False),
        Row("IPv4 in IPv4", v4(A, HOST, IP(src=HOST, dst=FAR) / udp(9), proto=4), False),
        Row("SCTP", v4(A, HOST, Raw(struct.pack(">HHII", PORT, 9, 0, 0)), proto=132), False),
        Row("a redirect", v4(A, HOST, ICMP(type=5, code=1, gw=own) / Raw(bytes(IP(src=HOST, dst=FAR)))), False),
        Row("a redirect, IPv6", v6("fe80::77", HOST6, ICMPv6ND_Redirect(tgt=own6, dst=FAR6), hlim=255), False),
        Row("a router's advertisement", v6("fe80::77", "ff02::1", ICMPv6ND_RA(), hlim=255), False),
        Row("who is a host, as a host", v6(HOST6, pair6, ICMPv6ND_NA(tgt=HOST6, R=0, O=1), hlim=255), False),
    ]
    return found


class Outside:
    """A lab with two services, the first of which belongs to an attacker."""

    def __init__(self, lab, *lines):
        self.lab = lab
        self._ns = "viscum-echo"
        # Nothing listens there: what a closed port does to a redirect is not asked here.
        self.configure(*lines)
        lab.run(lab.router, "ping", "-c", 1, "-W", 5, HOST)
        lab.run(lab.router, "ping", "-c", 1, "-W", 5, HOST6)
        addresses = [self._addresses(*place) for place in ((self._ns, "eth0"), (lab.router, "vsc-echo"))]
        self.addresses = [*addresses[0], *addresses[1], *self._addresses("viscum-other", "eth0")]

    def configure(self, *lines):
        text = service("echo", "/bin/true", *LINES, "option dynamic_ports 1", *lines)
        self.lab.configure(text + OTHER)
        self.lab.viscum("up", "--no-program")
        assert self.lab.viscum("plan").stdout == "# nothing to do\n"

    def _addresses(self, ns, dev):
        found = json.loads(ip("-n", ns, "-j", "addr", "show", "dev", dev))[0]["addr_info"]
        return [
            next(each["local"] for each in found if each["family"] == f and each["scope"] == "global") for f in FAMILIES
        ]

    def seen(self, packets):
        """Whether each packet was seen outside: [bool]."""
        rules = ["table inet seen {", "chain first {", "type filter hook prerouting priority -350;"]
        for number, packet in enumerate(packets):
            what = (
                "ip6 flowlabel %d" % (0x70000 | number) if isinstance(packet, IPv6) else "ip id %d" % (0x7000 | number)
            )
            rules.append('iifname "vsc-echo" %s counter comment "%d"' % (what, number))
        path = self.lab.tmp / "seen.nft"
        path.write_text("\n".join([*rules, "}", "}"]))
        self.lab.run(self.lab.router, "nft", "-f", path)
        hosts = [watch(ns) for ns in (self.lab.client, self.lab.cloud)]
        sock = sender(self._ns, 0)
        try:
            macs = [packed_mac(*end) for end in ((self.lab.router, "vsc-echo"), (self._ns,))]
            marks = [self._send(sock, macs, packet, number) for number, packet in enumerate(packets)]
            there = [mark for host in hosts for mark in arrived(host)]
        finally:
            for each in [*hosts, sock]:
                each.close()
        counted = self._counted()
        self.lab.run(self.lab.router, "nft", "delete", "table", "inet", "seen")
        return [number in counted or mark in there for number, mark in enumerate(marks)]

    def _send(self, sock, macs, packet, number):
        frame = b"".join(macs) + struct.pack(">H", ethertype(packet)) + marked(packet, number)
        sock.send(frame)
        return mark_in(frame)

    def _counted(self):
        found = json.loads(self.lab.run(self.lab.router, "nft", "-j", "list", "table", "inet", "seen").stdout)[
            "nftables"
        ]
        each = [rule["rule"] for rule in found if "rule" in rule]
        return {int(rule["comment"]) for rule in each if any(e.get("counter", {}).get("packets") for e in rule["expr"])}


FAMILIES = ("inet", "inet6")


def names(table, seen):
    return [row.name for row, there in zip(table, seen, strict=True) if there]


def test_only_replies_leave_a_service(lab, datapath):
    outside = Outside(lab, "list egress any")
    table = rows(*outside.addresses)
    packets = [row.packet for row in table]
    assert names(table, outside.seen(packets)) == [row.name for row in table], "with nothing in the way, all is seen"
    outside.configure()
    assert names(table, outside.seen(packets)) == [row.name for row in table if row.out]
    lab.viscum("down", "--no-program")


# What a section names

ENDS = {
    "a host": (HOST, HOST6),
    "a host behind another router": ("192.168.99.2", "fd12:3456::2"),
    "the router": (ROUTER, ROUTER6),
    "everybody": ("192.168.77.255", "ff02::1"),
    "a link-local host": ("169.254.169.254", "fe80::a9fe"),
    "the router's loopback": ("127.0.0.1", "ff02::2"),
    "next to wan": ("198.51.100.2", "2001:db8:100::2"),
    "the cloud": (FAR, FAR6),
    "another in the cloud": ("198.18.5.5", "2001:db8:cafe::99"),
}
NEAR = ["a host", "a host behind another router", "next to wan"]
REACHED = {
    ("none",): [],
    ("lan",): NEAR,
    ("wan",): ["the cloud", "another in the cloud"],
    ("lan", "wan"): [*NEAR, "the cloud", "another in the cloud"],
    (FAR, "2001:db8:cafe::/112"): ["the cloud", "another in the cloud, IPv6"],
    ("203.0.113.0/24:7001", "[%s]:7001" % FAR6): ["the cloud"],
    ("203.0.113.0/24:7002-7009", "[%s]:80" % FAR6): [],
    ("lan", ROUTER + ":7001", "[%s]:7001" % ROUTER6): [*NEAR, "the router"],
}


def test_a_service_reaches_what_its_section_names(lab):
    """By TCP and UDP, from its own address only; other services and what is the router's own are only for who names
    them."""
    # Without these it has the cloud's address, and what it begins is refused for that.
    outside = Outside(lab, "option target_port %d" % PORT)
    own, own6, _, _, other, other6 = outside.addresses
    places = {**ENDS, "another service": (other, other6)}
    table = [
        (name + words, ip_(src=source, dst=to) / kind(sport=40000, dport=7001))
        for name, ends in places.items()
        for to, source, ip_, words in ((ends[0], own, IP, ""), (ends[1], own6, IPv6, ", IPv6"))
        for kind in (TCP, UDP)
    ]
    forged = [IP(src=A, dst=FAR) / UDP(sport=40000, dport=7001), IPv6(src=HOST6, dst=FAR6) / TCP(dport=7001)]
    for egress, names_ in {**REACHED, (other, other6): ["another service"]}.items():
        outside.configure("option target_port %d" % PORT, *["list egress " + word for word in egress])
        seen = outside.seen([packet for _, packet in table] + forged)
        reached = [name for (name, _), there in zip(table, seen, strict=False) if there]
        wanted = [name for name, _ in table if name in names_ or name.split(",")[0] in names_]
        assert reached == wanted, egress
        assert not any(seen[len(table) :]), "from an address that is not its own"
    lab.viscum("down", "--no-program")


def test_where_it_can_not_work_the_plan_says_why(lab):
    lab.configure(service("echo", "/bin/true", *LINES, "list egress wan"))
    said = lab.viscum("check", check=False).stdout
    assert "viscum.echo.egress: has no effect over IPv4: what the program begins has the cloud's address" in said


# While it runs

ECHO = service("echo", echo_command("edge", PORT), *LINES, *QUICK)
HARM = {
    "deleted": "delete table inet vsc-echo",
    "emptied": "flush table inet vsc-echo",
    "opened by its policy": "add chain inet vsc-echo CHAIN { policy accept; }",
    "opened by a rule": "insert rule inet vsc-echo CHAIN accept",
    "switched off": "add table inet vsc-echo { flags dormant; }",
    "joined by a chain": "add chain inet vsc-echo mine",
    "put elsewhere": "delete chain inet vsc-echo CHAIN; "
    "add chain inet vsc-echo CHAIN { type filter hook prerouting priority 0; policy drop; }",
}


def listed(lab):
    return lab.run(lab.router, "nft", "list", "table", "inet", "vsc-echo", check=False).stdout


def test_what_somebody_does_to_it_is_undone(lab):
    agent = Agent(lab, ECHO)
    agent.becomes("edge")
    agent.has_done_all()  # what changes while a look is at it is put right in that look, and is not worth a word
    whole = listed(lab)
    chain = whole.split("chain ")[1].split()[0]
    for what, command in HARM.items():
        lab.run(lab.router, "nft", command.replace("CHAIN", chain))
        wait_for(lambda: listed(lab) == whole)
        agent.says("echo: restored what somebody had removed or changed")
        assert agent.who() == "edge", what
        agent.has_done_all()


def test_another_egress_or_another_address_of_the_router_restarts_no_program(lab):
    agent = Agent(lab, ECHO)
    agent.becomes("edge")
    pids = pids_in("viscum-echo")
    ip("-n", lab.router, "addr", "add", "192.168.88.1/24", "dev", "lan0")
    wait_for(lambda: "ip daddr 192.168.88.1 return" in listed(lab))
    for line, there in (("list egress any", False), ("list egress 198.18.5.5", True), ("list egress none", True)):
        agent.reload(service("echo", echo_command("edge", PORT), *LINES, *QUICK, line))
        wait_for(lambda there=there: ("policy drop" in listed(lab)) == there)
    assert pids_in("viscum-echo") == pids and agent.who() == "edge"
    assert "restored" not in agent.log.read_text()
    lab.configure("")
    agent.reload("")
    wait_for(lambda: "vsc-echo" not in lab.run(lab.router, "nft", "list", "tables").stdout)


def test_the_log_says_that_something_was_kept_in(lab):
    """And counts nothing of what the kernel sends by itself in any namespace."""
    agent = Agent(lab, ECHO)
    agent.becomes("edge")
    ask = ("/usr/bin/python3", ROOT / "tests/echo.py", "ask", "udp", ROUTER, 53, 0.1)
    assert "dropped packets" not in agent.log.read_text()
    lab.viscum("exec", "echo", "--", *ask)
    agent.reload(ECHO + "# again\n")
    agent.says("echo: dropped packets that its program began itself (1 so far): option egress says what it may reach")


def test_a_pair_that_is_made_again_is_guarded_again(lab):
    agent = Agent(lab, ECHO)
    agent.becomes("edge")
    whole = listed(lab)
    for command in (("-n", "viscum-echo", "link", "del", "eth0"), ("-n", lab.router, "link", "del", "vsc-echo")):
        ip(*command)
        wait_for(lambda: listed(lab) == whole)
        agent.becomes("edge")


def test_what_is_left_without_its_service_is_taken_away(lab):
    lab.run(lab.router, "nft", 'add table inet vsc-gone { comment "viscum"; }; add chain inet vsc-gone x')
    lab.run(lab.router, "nft", "add table inet vsc-others; add chain inet vsc-others x")
    lab.configure(service("echo", "/bin/true", *LINES))
    lab.viscum("up", "--no-program")
    lab.viscum("down", "--no-program")
    assert lab.run(lab.router, "nft", "list", "tables").stdout == "table inet vsc-others\n"


def test_somebody_elses_table_is_left_alone(lab):
    lab.run(lab.router, "nft", 'add table inet vsc-echo { comment "mine"; }')
    lab.configure(service("echo", "/bin/true", *LINES))
    said = lab.viscum("up", "--no-program", check=False)
    assert (
        said.returncode == 1 and "needs the name of the nft table inet vsc-echo, which is not Viscum's" in said.stderr
    )
    assert 'comment "mine"' in listed(lab)


def test_the_plans_commands_make_the_same_table(lab):
    """With every form of rule: nft reads them as we write them."""
    egress = ["list egress " + word for word in ("wan", "203.0.113.0/25:443-444", "[2001:db8::/33]:53", "fe80::1")]
    matches = ("list dest_ip 203.0.113.0/25", "list dest_ip 2001:db8:ca00::/39", "list src_ip 192.168.77.0/25")
    more = ("list src_ip 2001:db8:77::/64", "list dest_port 7000-7010", "list device lan0")
    whole = service("whole", "/bin/true", "list device lan0", "list dest_ip 198.18.5.5", "option proto any")
    lab.configure(service("echo", "/bin/true", *matches, *more, *egress) + whole)
    commands = [line for line in lab.viscum("plan").stdout.split("\n") if line.startswith("nft add")]
    lab.viscum("up", "--no-program")
    ours = [lab.run(lab.router, "nft", "list", "table", "inet", name).stdout for name in ("vsc-echo", "vsc-whole")]
    for name in ("vsc-echo", "vsc-whole"):
        lab.run(lab.router, "nft", "delete", "table", "inet", name)
    for command in commands:
        lab.run(lab.router, "sh", "-c", command)
    typed = [lab.run(lab.router, "nft", "list", "table", "inet", name).stdout for name in ("vsc-echo", "vsc-whole")]
    assert ours == typed and len(ours[0].split("\n")) > 30
    assert lab.viscum("plan").stdout == "# nothing to do\n"
    lab.viscum("down", "--no-program")


def test_there_may_be_more_rules_than_one_message_holds(lab):
    lines = ["list dest_ip 203.0.113.%d" % number for number in range(1, 129)]
    lines += ["list dest_ip 2001:db8::%x" % number for number in range(1, 129)]
    text = service("echo", "/bin/true", "list device lan0", "list dest_port 7000", "option proto udp", *lines)
    for more in ("", "\toption egress wan\n"):
        lab.configure(text.rstrip("\n") + "\n" + more)
        lab.viscum("up", "--no-program")
        assert listed(lab).count("udp sport 7000 accept") == 256
        assert lab.viscum("plan").stdout == "# nothing to do\n"
    lab.viscum("down", "--no-program")


# Who is where


def claims():
    """Frames that say that the client's addresses are at a MAC that nobody has."""
    there = "02:00:5e:00:53:99"
    neighbour = ICMPv6ND_NA(tgt=HOST6, R=0, S=0, O=1) / Raw(b"\x02\x01" + bytes.fromhex(there.replace(":", "")))
    return [
        (b"\xff" * 6, ARP(op=2, hwsrc=there, psrc=HOST, hwdst="ff:ff:ff:ff:ff:ff", pdst=HOST)),
        (b"\xff" * 6, ARP(op=1, hwsrc=there, psrc=HOST, pdst=ROUTER)),
        (b"\x33\x33\0\0\0\x01", IPv6(src=HOST6, dst="ff02::1", hlim=255) / neighbour),
    ]


def claim(ns):
    sock = sender(ns, 0)
    for to, packet in claims():
        sock.send(to + bytes.fromhex("02005e005399") + struct.pack(">H", ethertype(packet)) + bytes(packet))
    sock.close()


def test_nobody_is_somebody_else_for_the_router(lab):
    """The router has each neighbour by the device that it is behind: from a pair nobody on the LAN can be claimed,
    whatever its section says. From the LAN itself it can."""
    outside = Outside(lab, "list egress any")

    def places():
        found = json.loads(ip("-n", lab.router, "-j", "neigh", "show", "dev", "lan0"))
        return {each["dst"]: each.get("lladdr") for each in found if each["dst"] in (HOST, HOST6)}

    lab.serve_cloud(7001)
    before = places()
    for lines in (("list egress any",), ()):
        outside.configure(*lines)
        claim("viscum-echo")
        assert lab.ask("tcp", FAR, 7001)[0] == lab.ask("tcp", FAR6, 7001)[0] == "cloud"
        assert places() == before

    def taken():
        claim(lab.client)
        return set(places().values()) == {"02:00:5e:00:53:99"}

    wait_for(taken)
    lab.viscum("down", "--no-program")
