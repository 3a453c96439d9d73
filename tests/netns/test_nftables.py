"""The nf_tables codec and the kernel: `nft` lists what it wrote, it reads what `nft` wrote, and packets obey.

Everything happens in network namespaces that the test makes. Their sockets are opened by a thread that enters the
namespace, so servers and clients are threads of the test and no process can be left behind.
"""

import contextlib
import ctypes
import errno
import itertools
import json
import os
import select
import shlex
import shutil
import socket
import struct
import subprocess
import threading

import pytest
from lab import HANG, wait_for

from viscum_agent.kernel import nftables
from viscum_agent.kernel.nftables import INET, NETDEV, NatRule

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="making namespaces needs root"),
    pytest.mark.skipif(not shutil.which("nft") or not shutil.which("ip"), reason="needs nftables and iproute2"),
]

AF_NETLINK, NETLINK_NETFILTER = 16, 12
NLMSG_ERROR, NLMSG_DONE = 2, 3

EVERY_KIND = (
    NatRule("203.0.113.10/32", "tcp", (443, 443), 8443),
    NatRule("203.0.113.0/24", "tcp", (443, 443), 8443),
    NatRule("203.0.113.0/24", "udp", (5000, 5010), 0),
    NatRule("203.0.113.0/24", "udp", (5000, 5010), 5000),
    NatRule("203.0.113.0/24", "tcp", None, 0),
    NatRule("203.0.113.0/24", "", None, 0),
    NatRule("2001:db8::/64", "tcp", (1, 65535), 8443),
    NatRule("2001:db8::10/128", "udp", (53, 53), 0),
    NatRule("2001:db8::/64", "", None, 0),
    NatRule("0.0.0.0/0", "tcp", (80, 80), 8080),
    NatRule("::/0", "udp", None, 8080),
    NatRule("0.0.0.0/0", "", None, 0),
    NatRule("::/0", "", None, 0),
    NatRule("", "tcp", (80, 80), 8080),
    NatRule("", "udp", (5000, 5010), 0),
    NatRule("", "tcp", None, 0),
    NatRule("", "", None, 0),
)

SOME = EVERY_KIND[:3]

SILENCE = 0.5  # seconds without an answer, where there is to be none

# Namespaces and sockets

_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count()


def ip(*words):
    subprocess.run(["ip", *words], check=True, timeout=HANG)


def nft(ns, *words):
    command = ["ip", "netns", "exec", ns, "nft", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=HANG).stdout


def type_in(ns, lines):
    """Runs command lines of `nft` in a namespace, as a shell would read them."""
    for line in lines:
        words = shlex.split(line)
        assert words[0] == "nft"
        nft(ns, *words[1:])


@contextlib.contextmanager
def namespaces():
    """Gives a maker of namespaces, with lo up; all that it made go at the end, however it ends."""
    made = []

    def make():
        name = "vt-nft-%d-%d" % (os.getpid(), next(_numbers))
        made.append(name)
        ip("netns", "add", name)
        ip("-n", name, "link", "set", "lo", "up")
        return name

    try:
        yield make
    finally:
        for name in made:
            subprocess.run(["ip", "netns", "del", name], check=False, timeout=HANG)


@pytest.fixture
def namespace():
    with namespaces() as make:
        yield make


def socket_in(ns, *arguments):
    """A socket of a namespace: it stays there when the thread that opened it is gone."""
    found = []

    def enter():
        fd = os.open("/run/netns/" + ns, os.O_RDONLY)
        try:
            if _libc.setns(fd, 0):
                raise OSError(ctypes.get_errno(), "setns")
            found.append(socket.socket(*arguments))
        finally:
            os.close(fd)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    found[0].settimeout(HANG)
    return found[0]


class Netfilter:
    """A netlink socket in a namespace."""

    def __init__(self, ns):
        self.socket = socket_in(ns, AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self.socket.bind((0, 0))
        self.seq = 0

    def send(self, make, *arguments, **named):
        """Sends a batch and returns the error number that the kernel answers with."""
        self.seq += 1
        self.socket.send(make(*arguments, seq=self.seq, **named))
        while True:
            _, kind, _, seq, _, code = struct.unpack_from("=IHHIIi", self.socket.recv(65536))
            if kind == NLMSG_ERROR and seq == self.seq:
                return -code

    def decode(self, **named):
        return nftables.decode(self.dump(3), **named)

    def muted(self):
        return nftables.muted(self.dump(2))

    def dump(self, count):
        """What answers so many of the requests."""
        self.seq += 1
        parts = []
        for request in nftables.dump_requests(self.seq)[:count]:
            self.socket.send(request)
            parts.append(self.socket.recv(65536))
            while NLMSG_DONE not in kinds(parts[-1]):
                parts.append(self.socket.recv(65536))
        return parts


def kinds(data):
    """The types of the netlink messages in a buffer."""
    found, offset = [], 0
    while offset < len(data):
        size, kind = struct.unpack_from("=IH", data, offset)
        found.append(kind)
        offset += (size + 3) & ~3
    return found


def listed(ns):
    """`nft -j list ruleset` without the numbers that the kernel gives out one after the other."""
    objects = json.loads(nft(ns, "-j", "list", "ruleset"))["nftables"]
    for kind, value in [pair for each in objects for pair in each.items()]:
        if kind != "metainfo":
            del value["handle"]
    return objects


@pytest.fixture
def service(namespace):
    """A namespace with an eth0 that nobody is on the other side of."""
    name = namespace()
    ip("-n", name, "link", "add", "eth0", "type", "veth", "peer", "name", "far")
    return name


# What is written


@pytest.mark.parametrize("rules", [(), SOME, EVERY_KIND], ids=["no rules", "some", "every kind"])
def test_messages_and_text_make_the_same_rules(namespace, service, rules):
    typed = namespace()
    ip("-n", typed, "link", "add", "eth0", "type", "veth", "peer", "name", "far")
    type_in(typed, nftables.nat_text(rules) + nftables.pkttype_text())
    netfilter = Netfilter(service)
    assert netfilter.send(nftables.nat_batch, rules) == 0
    assert netfilter.send(nftables.pkttype_batch) == 0
    assert nft(service, "list", "ruleset") == nft(typed, "list", "ruleset")
    assert listed(service) == listed(typed)


def test_every_length_of_a_prefix_is_written_as_nft_writes_it_and_read_back(namespace, service):
    lengths4 = [NatRule("%s/%d" % (host(socket.AF_INET, length), length), "", None, 0) for length in range(33)]
    lengths6 = [NatRule("%s/%d" % (host(socket.AF_INET6, length), length), "", None, 0) for length in range(129)]
    rules = tuple(lengths4 + lengths6)
    typed = namespace()
    lines = [line.split(None, 1)[1] for line in nftables.nat_text(rules)]
    nft(typed, ";".join(line.replace("'", "") for line in lines))
    netfilter = Netfilter(service)
    assert netfilter.send(nftables.nat_batch, rules) == 0
    assert listed(service) == listed(typed)
    assert netfilter.decode() == (rules, False)
    assert Netfilter(typed).decode() == (rules, False)


def host(family, length):
    """An address with only the last of its first `length` bits set, and the first one."""
    size = 4 if family == socket.AF_INET else 16
    value = (1 << size * 8 - length | 1 << size * 8 - 1) if length else 0
    return socket.inet_ntop(family, value.to_bytes(size, "big"))


def test_a_replaced_table_holds_the_new_rules_only(service):
    netfilter = Netfilter(service)
    assert netfilter.send(nftables.nat_batch, SOME) == 0
    assert netfilter.send(nftables.nat_batch, SOME[1:]) == 0
    assert netfilter.decode() == (SOME[1:], False)
    assert netfilter.send(nftables.pkttype_batch) == 0
    assert netfilter.send(nftables.pkttype_batch) == 0
    assert netfilter.decode() == (SOME[1:], True)


def test_deleting_takes_one_table_and_no_other(service):
    netfilter = Netfilter(service)
    type_in(service, ["nft add table inet other"])
    netfilter.send(nftables.nat_batch, SOME)
    netfilter.send(nftables.pkttype_batch)
    assert netfilter.send(nftables.delete_batch, INET) == 0
    assert netfilter.decode() == (None, True)
    assert netfilter.send(nftables.delete_batch, INET) == 0  # nothing there: no error
    assert netfilter.send(nftables.delete_batch, NETDEV) == 0
    assert nft(service, "list", "tables") == "table inet other\n"


def test_the_text_deletes_what_the_text_made(service):
    type_in(service, nftables.nat_text(SOME) + nftables.pkttype_text())
    type_in(service, nftables.delete_text(INET) + nftables.delete_text(NETDEV))
    assert nft(service, "list", "tables") == ""


def test_a_refused_batch_says_so_and_leaves_the_old_rules(service):
    netfilter = Netfilter(service)
    netfilter.send(nftables.nat_batch, SOME)

    def broken(seq):
        return nftables.nat_batch(EVERY_KIND, seq).replace(b"redir\0", b"viscu\0")

    assert netfilter.send(broken) == errno.ENOENT
    # More answers to the refused batch wait in the socket: neither the next dump nor the next batch minds them.
    assert netfilter.decode() == (SOME, False)
    assert netfilter.send(nftables.nat_batch, SOME[:1]) == 0


# What is read


@pytest.mark.parametrize("rules", [(), SOME, EVERY_KIND], ids=["no rules", "some", "every kind"])
def test_what_nft_wrote_reads_as_what_was_asked(service, rules):
    assert Netfilter(service).decode() == (None, False)
    type_in(service, nftables.nat_text(rules) + nftables.pkttype_text())
    assert Netfilter(service).decode() == (rules, True)


@pytest.mark.parametrize("ports", ["7000", "53-5353", "1-32767_40000_50000"])
def test_what_a_program_would_say_to_itself_is_written_and_read_as_nft_does(namespace, service, ports):
    typed = namespace()
    type_in(typed, nftables.mute_text(ports))
    netfilter = Netfilter(service)
    assert netfilter.send(nftables.mute_batch, ports, False) == 0
    assert listed(service) == listed(typed)
    assert netfilter.muted() == Netfilter(typed).muted() == ports
    assert netfilter.send(nftables.mute_batch, "9", True) == 0
    assert netfilter.muted() == "9"
    assert netfilter.send(nftables.mute_batch, None, True) == 0
    assert nft(service, "list", "tables") == ""


@pytest.mark.parametrize(
    "line",
    [
        "nft add rule inet viscum-lo udp_7000 accept",
        "nft flush chain inet viscum-lo udp_7000",
        "nft add chain inet viscum-lo other",
        "nft add chain inet viscum-lo udp_7000 '{ policy drop; }'",
        "nft add table inet viscum-lo '{ flags dormant; }'",
    ],
)
def test_any_change_to_that_shows(service, line):
    type_in(service, [*nftables.mute_text("7000"), line])
    assert Netfilter(service).muted() == "?"


@pytest.mark.parametrize("table", ["ip viscum-lo", "ip6 viscum-lo", "inet not-viscum-lo"])
def test_a_table_of_another_family_or_a_longer_name_is_not_that(service, table):
    """A program with rights may have any: the whole look would end there."""
    type_in(service, ["nft add table " + table, "nft add chain %s udp_9" % table])
    assert Netfilter(service).muted() == ""
    type_in(service, nftables.mute_text("7000"))
    assert Netfilter(service).muted() == "7000"


@pytest.mark.parametrize("name", ["udp_x", "udp_", "udp_7-6", "udp_0", "udp_1-2-3", "udp_65536", "other"])
def test_a_chain_with_no_ports_in_its_name_is_not_as_it_was_made(service, name):
    lines = nftables.mute_text("7000")
    type_in(service, [line.replace("udp_7000", name) for line in lines])
    assert Netfilter(service).muted() == "?"


RULE = "nft add rule inet viscum prerouting "
CHAIN = "nft add chain inet viscum "


@pytest.mark.parametrize(
    "line",
    [
        RULE + "counter",
        RULE + "accept",
        RULE + "redirect",
        RULE + "iifname eth1 redirect",
        RULE + "iifname eth* redirect",
        RULE + "iifname != eth0 redirect",
        RULE + "iifname eth0 ip saddr 203.0.113.0/24 redirect",
        RULE + "iifname eth0 ip daddr != 203.0.113.0/24 redirect",
        RULE + "iifname eth0 ip daddr { 203.0.113.1, 203.0.113.2 } redirect",
        RULE + "iifname eth0 ip daddr 203.0.113.1-203.0.113.9 redirect",
        RULE + "iifname eth0 ip daddr and 255.0.255.0 == 203.0.113.0 redirect",
        RULE + "iifname eth0 ip daddr 203.0.113.0/24 ip daddr 203.0.113.0/25 redirect",
        RULE + "iifname eth0 ip saddr 203.0.113.7 ip daddr 203.0.113.0/24 redirect",
        RULE + "iifname eth0 meta l4proto icmp redirect",
        RULE + "iifname eth0 meta l4proto != tcp redirect",
        RULE + "iifname eth0 tcp sport 443 redirect",
        RULE + "iifname eth0 tcp dport != 443 redirect",
        RULE + "iifname eth0 tcp dport >= 443 redirect",
        RULE + "iifname eth0 tcp dport != 443-445 redirect",
        RULE + "iifname eth0 tcp dport 443 tcp sport 443 redirect",
        RULE + "iifname eth0 tcp dport 443 ct state new redirect",
        RULE + "iifname eth0 tcp dport 443 redirect to :8000-8010",
        RULE + "iifname eth0 tcp dport 443 redirect random",
        RULE + "iifname eth0 tcp dport 443 dnat ip to 192.0.2.1",
        RULE + "iifname eth0 tcp dport 443 counter redirect",
        RULE + "iifname eth0 tcp dport 443 meta mark set 1 redirect",
        CHAIN + "other",
        CHAIN + "other '{ type filter hook prerouting priority -300; policy drop; }'",
        "nft add set inet viscum one '{ type ipv4_addr; }'",
        "nft add counter inet viscum one",
        "nft add table inet viscum '{ flags dormant; }'",
        "nft flush table inet viscum",
    ],
)
def test_any_change_to_our_redirects_shows_until_they_are_replaced(service, line):
    netfilter = Netfilter(service)
    netfilter.send(nftables.pkttype_batch)
    netfilter.send(nftables.nat_batch, SOME)
    type_in(service, [line])
    rules, pkttype = netfilter.decode()
    assert rules not in (SOME, SOME + EVERY_KIND[-1:], None)
    assert pkttype is True
    assert netfilter.send(nftables.nat_batch, SOME) == 0
    assert netfilter.decode() == (SOME, True)


@pytest.mark.parametrize(
    "hook",
    [
        "type nat hook prerouting priority dstnat + 1; policy accept;",
        "type nat hook prerouting priority dstnat; policy drop;",
        "type nat hook output priority -100; policy accept;",
        "",
    ],
)
def test_another_chain_of_the_same_name_is_not_ours(service, hook):
    type_in(service, ["nft add table inet viscum", CHAIN + "prerouting '{ %s }'" % hook])
    assert Netfilter(service).decode()[0] != ()


@pytest.mark.parametrize(
    "line",
    [
        "nft add rule netdev viscum ingress counter",
        "nft insert rule netdev viscum ingress meta pkttype set other",
        "nft flush chain netdev viscum ingress",
        "nft add chain netdev viscum other",
        "nft add table netdev viscum '{ flags dormant; }'",
    ],
)
def test_any_change_to_our_packet_type_shows_until_it_is_replaced(service, line):
    netfilter = Netfilter(service)
    netfilter.send(nftables.nat_batch, SOME)
    netfilter.send(nftables.pkttype_batch)
    type_in(service, [line])
    rules, pkttype = netfilter.decode()
    assert rules == SOME
    assert pkttype not in (True, False)
    assert netfilter.send(nftables.pkttype_batch) == 0
    assert netfilter.decode() == (SOME, True)


def test_the_packet_type_belongs_to_its_device(service):
    netfilter = Netfilter(service)
    assert netfilter.send(nftables.pkttype_batch, dev="far") == 0
    assert netfilter.decode()[1] not in (True, False)
    assert netfilter.decode(dev="far") == (None, True)


def test_tables_of_other_names_and_families_are_ignored(service):
    type_in(service, ["nft add table inet viscum2", "nft add table ip viscum", "nft add chain ip viscum prerouting"])
    assert Netfilter(service).decode() == (None, False)


# What packets do

PROGRAM_PORT = 8443  # where the program listens, which no client asks for
KEPT_PORT = 5005
WRONG_MAC = "02:00:5e:00:53:99"


class Program:
    """An ordinary TCP and UDP server for both families, bound to no address, that says which port it was reached on."""

    def __init__(self, ns, ports):
        self.sockets = []
        for port in ports:
            for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                each = socket_in(ns, socket.AF_INET6, kind)
                each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                each.bind(("::", port))
                if kind == socket.SOCK_STREAM:
                    each.listen(16)
                self.sockets.append(each)
        self.stop, self.stopped = socket.socketpair()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while True:
            ready = select.select(self.sockets + [self.stopped], [], [])[0]
            if self.stopped in ready:
                return
            for each in ready:
                with contextlib.suppress(OSError):
                    self.answer(each)

    def answer(self, each):
        word = b"%d" % each.getsockname()[1]
        if each.type == socket.SOCK_DGRAM:
            each.sendto(word, each.recvfrom(100)[1])
            return
        connection = each.accept()[0]
        with connection:
            connection.sendall(word)

    def close(self):
        self.stop.send(b".")
        self.thread.join()
        for each in [*self.sockets, self.stop, self.stopped]:
            each.close()


class Lab:
    """client --- service: the client sends all its traffic to the service, as if a router had redirected it there."""

    def __init__(self, make):
        self.client, self.service = make(), make()
        ip("-n", self.client, "link", "add", "c0", "type", "veth", "peer", "name", "eth0", "netns", self.service)
        for ns, dev, end in ((self.client, "c0", "2"), (self.service, "eth0", "1")):
            ip("-n", ns, "addr", "add", "192.0.2.%s/24" % end, "dev", dev)
            ip("-n", ns, "addr", "add", "2001:db8:2::%s/64" % end, "dev", dev, "nodad")
            ip("-n", ns, "link", "set", dev, "up")
        ip("-n", self.client, "route", "add", "default", "via", "192.0.2.1")
        ip("-n", self.client, "-6", "route", "add", "default", "via", "2001:db8:2::1")
        self.netfilter = Netfilter(self.service)

    def ask(self, proto, address, port, timeout=HANG):
        """The port that the program was reached on, None if nobody answered.

        The sockets are connected, so an answer from another address than the one that was asked would not be seen.
        """
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        kind = socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM
        with socket_in(self.client, family, kind) as asking:
            asking.settimeout(timeout)
            try:
                asking.connect((address, port))
                if proto == "udp":
                    asking.send(b"?")
                return int(asking.recv(100) or b"0")
            except OSError:
                return None

    def wait(self):
        """The kernel takes a moment to see that a new link is up, and IPv6 waits for that."""
        for address in ("192.0.2.1", "2001:db8:2::1"):
            wait_for(lambda address=address: self.ask("udp", address, KEPT_PORT, timeout=0.1))

    def clean(self):
        nft(self.service, "flush", "ruleset")
        ip("-n", self.client, "neigh", "flush", "dev", "c0", "nud", "all")

    def foreign_mac(self):
        """The client's frames go to a MAC address that is not the service's."""
        for address in ("192.0.2.1", "2001:db8:2::1"):
            ip("-n", self.client, "neigh", "replace", address, "lladdr", WRONG_MAC, "dev", "c0", "nud", "permanent")


@pytest.fixture(scope="module")
def shared_lab():
    with namespaces() as make:
        made = Lab(make)
        program = Program(made.service, (PROGRAM_PORT, KEPT_PORT))
        try:
            made.wait()
            yield made
        finally:
            program.close()


@pytest.fixture
def lab(shared_lab):
    """The lab without any rule: a new link takes a second to come up, so all tests share one."""
    shared_lab.clean()
    return shared_lab


REDIRECTS = (
    NatRule("203.0.113.10/32", "tcp", (443, 443), PROGRAM_PORT),
    NatRule("203.0.113.0/24", "udp", (5000, 5010), 0),
    NatRule("2001:db8:9::/61", "tcp", (443, 443), PROGRAM_PORT),
    NatRule("2001:db8:9::/61", "udp", None, PROGRAM_PORT),
)


@pytest.mark.parametrize(
    "proto, address, port, reached",
    [
        ("tcp", "203.0.113.10", 443, PROGRAM_PORT),
        ("udp", "203.0.113.77", KEPT_PORT, KEPT_PORT),
        ("tcp", "2001:db8:9::10", 443, PROGRAM_PORT),
        ("tcp", "2001:db8:9:7::10", 443, PROGRAM_PORT),
        ("udp", "2001:db8:9::10", 9999, PROGRAM_PORT),
    ],
)
def test_what_a_rule_names_reaches_the_program_and_its_answer_comes_from_the_address_asked(
    lab, proto, address, port, reached
):
    assert lab.ask(proto, address, port, SILENCE) is None
    assert lab.netfilter.send(nftables.nat_batch, REDIRECTS) == 0
    assert lab.ask(proto, address, port) == reached
    assert lab.netfilter.send(nftables.delete_batch, INET) == 0
    assert lab.ask(proto, address, port, SILENCE) is None


@pytest.mark.parametrize(
    "proto, address, port",
    [
        ("tcp", "203.0.113.11", 443),
        ("tcp", "203.0.113.10", PROGRAM_PORT),
        ("udp", "203.0.114.1", KEPT_PORT),
        ("udp", "203.0.113.10", PROGRAM_PORT),
        ("tcp", "2001:db8:9:8::10", 443),
    ],
)
def test_what_no_rule_names_reaches_nobody(lab, proto, address, port):
    assert lab.netfilter.send(nftables.nat_batch, REDIRECTS) == 0
    assert lab.ask(proto, address, port, SILENCE) is None


@pytest.mark.parametrize(
    "rule, reached",
    [
        (NatRule("", "", None, 0), ["tcp4", "udp4", "tcp6", "udp6"]),
        (NatRule("", "tcp", None, 0), ["tcp4", "tcp6"]),
        (NatRule("0.0.0.0/0", "", None, 0), ["tcp4", "udp4"]),
        (NatRule("::/0", "udp", (KEPT_PORT, KEPT_PORT), PROGRAM_PORT), ["udp6"]),
    ],
)
def test_a_rule_without_an_address_takes_what_its_family_and_protocol_say(lab, rule, reached):
    assert lab.netfilter.send(nftables.nat_batch, (rule,)) == 0
    addresses = {"4": "198.51.100.1", "6": "2001:db8:77::1"}
    answers = {
        proto + family: lab.ask(proto, address, KEPT_PORT, 4 * SILENCE)
        for proto in ("tcp", "udp")
        for family, address in addresses.items()
    }
    assert sorted(name for name, answer in answers.items() if answer) == sorted(reached)
    assert {answer for answer in answers.values() if answer} == {rule.to_port or KEPT_PORT}


def test_no_packet_meets_a_moment_without_rules_while_they_are_replaced(lab):
    """Each question is a flow of its own: one that met no rule would go unanswered."""
    assert lab.netfilter.send(nftables.nat_batch, REDIRECTS) == 0
    done = threading.Event()
    results = []

    def replace():
        while not done.is_set():
            results.append(lab.netfilter.send(nftables.nat_batch, REDIRECTS))

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        answered = 0
        while answered < 300 and lab.ask("udp", "203.0.113.99", KEPT_PORT) == KEPT_PORT:
            answered += 1
    finally:
        done.set()
        thread.join()
    assert set(results) == {0}
    assert len(results) > 10  # they did happen meanwhile
    assert answered == 300


@pytest.mark.parametrize("proto", ["tcp", "udp"])
@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8:2::1"])
def test_frames_for_another_mac_are_accepted_with_the_packet_type_and_dropped_without(lab, proto, address):
    assert lab.ask(proto, address, KEPT_PORT) == KEPT_PORT
    lab.foreign_mac()
    assert lab.ask(proto, address, KEPT_PORT, SILENCE) is None
    assert lab.netfilter.send(nftables.pkttype_batch) == 0
    assert lab.ask(proto, address, KEPT_PORT) == KEPT_PORT
    assert lab.netfilter.send(nftables.delete_batch, NETDEV) == 0
    assert lab.ask(proto, address, KEPT_PORT, SILENCE) is None


def test_packet_type_and_redirects_work_together(lab):
    lab.foreign_mac()
    assert lab.netfilter.send(nftables.pkttype_batch) == 0
    assert lab.netfilter.send(nftables.nat_batch, REDIRECTS) == 0
    assert lab.ask("tcp", "203.0.113.10", 443) == PROGRAM_PORT
    assert lab.ask("udp", "2001:db8:9::10", 9999) == PROGRAM_PORT
