"""The three back ends agree: what one writes the other reads, and the commands that `viscum plan` prints do the same.

`native` packs its own messages, `pyroute2` lets the library pack them, `script` is text for ip(8), tc(8), nft(8) and
sysctl(8). What a kernel lacks is skipped here by asking it; tests/vm/run.sh tests/netns/test_backends.py runs this file
in a guest that has everything.
"""

import json
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import datapaths
import pytest
from agent import Agent
from lab import CPYTHON, HANG, MICROPYTHON, ROOT, Lab, in_namespace, namespaces, run, service

from viscum_agent import compat, ebpf
from viscum_agent.config import schema
from viscum_agent.errors import UnsupportedError
from viscum_agent.kernel import bpf_pins, bpf_syscall, commands, open_backend, probe, rtnl, tc
from viscum_agent.kernel.backend import Backend, KernelError
from viscum_agent.kernel.netlink import Socket
from viscum_agent.plan.actual import observe
from viscum_agent.reconcile import Reconciler
from viscum_agent.records import with_
from viscum_agent.records.objects import (
    Address,
    AnyLocal,
    Counting,
    Filter,
    Guard,
    GuardRule,
    HashTable,
    Mark,
    Mute,
    Namespace,
    Nat,
    NatRule,
    Operation,
    Pair,
    PktType,
    Prio,
    Qdisc,
    Route,
    Rule,
    Sysctl,
    Tbf,
    Up,
)

pytest.importorskip("pyroute2", reason="pyroute2 is not installed")

NETLINK = ("native", "pyroute2")
OTHER = {"native": "pyroute2", "pyroute2": "native"}

SERVER = "/bin/true"  # never started: these are the kernel's objects only


def u32(name, *lines):
    return service(name, SERVER, "option datapath u32", "option rewrite none", *lines)


def flower(name, *lines):
    return service(name, SERVER, "option datapath flower", "option rewrite none", *lines)


def direct(datapath, name, *lines):
    hop = ("option reply direct", "option nexthop_mac 02:00:5e:00:53:77")
    return service(name, SERVER, "option datapath " + datapath, *hop, *lines)


CLIENTS = "list src_ip 192.168.77.0/24"

# Configurations that between them hold every kind of object, match and action: name -> (features it needs, text).
CONFIGURATIONS = {
    "one address and port over both families": (
        (),
        u32(
            "a",
            "list device lan0",
            "list dest_ip 203.0.113.10",
            "list dest_ip 2001:db8:cafe::10",
            "list dest_port 7000",
        ),
    ),
    "three services that share a qdisc and its hash tables": (
        (),
        u32("a", "list device lan0", "list dest_ip 203.0.113.10", "list dest_port 7000")
        + u32("b", "list device lan0", "list dest_ip 203.0.113.10", "list dest_port 7001", "list proto udp")
        + u32("a_service_with_a_long_name", "list device lan0", "list dest_ip 2001:db8::99", "list dest_port 7000"),
    ),
    "prefixes, a range of ports and another port inside": (
        ("nat",),
        u32("a", "list device lan0", "list dest_ip 203.0.113.0/24", "list dest_port 6990-7010")
        + u32(
            "b", "list device lan0", "list dest_ip 2001:db8:cafe::/61", "list dest_port 443", "option target_port 7000"
        ),
    ),
    "a rate, with and without a burst": (
        ("tbf",),
        u32("a", "list device lan0", "list dest_ip 203.0.113.10", "list dest_port 7000", "option rate 1.5mbit")
        + u32("b", "list device lan0", "list dest_ip 203.0.113.10", "list dest_port 7001", "option rate 200mbit")
        + u32("c", "list device lan0", "list dest_ip 203.0.113.11", "option rate 800kbps", "option burst 2k"),
    ),
    "every protocol": (
        ("nat",),
        u32("a", "list device lan0", "list dest_ip 203.0.113.10", "option proto any")
        + u32("b", "list device lan0", "list dest_ip 198.51.96.0/20", "option proto any", "list src_ip 192.168.0.0/16"),
    ),
    "any address, any frame": (
        ("nat", "netdev"),
        u32("a", "list device lan0", "list device lan1", "list dest_port 53"),
    ),
    "flower": (
        ("flower", "nat"),
        flower(
            "a",
            "list device lan0",
            "list dest_ip 203.0.113.10",
            "list dest_ip 2001:db8:cafe::10",
            "list dest_port 7000",
        )
        + flower("b", "list device lan0", "list dest_ip 203.0.113.0/24", "list dest_port 6990-7010")
        + flower(
            "c", "list device lan0", "list dest_ip 198.51.96.0/20", "option proto any", "list src_ip 192.168.0.0/16"
        )
        + flower("d", "list device lan0", "list dest_port 53"),
    ),
    "flower and the MAC of the service": (
        ("flower", "skbmod"),
        service(
            "a", SERVER, "option datapath flower", "option rewrite dst", "list device lan0", "list dest_ip 203.0.113.10"
        ),
    ),
    "bpf": (
        ("bpf",),
        service(
            "a",
            SERVER,
            "option datapath bpf",
            "list device lan0",
            "list dest_ip 203.0.113.10",
            "list dest_ip 2001:db8:cafe::10",
            "list dest_port 7000",
        )
        + service("b", SERVER, "option datapath bpf", "list device lan0", "list dest_port 53", "list dest_port 60-99"),
    ),
    "direct replies to any address": (
        ("skbmod", "skbedit"),
        direct("u32", "a", "list device lan0", "list proto tcp", "list dest_port 12345")
        + direct("u32", "b", "list device lan1", "list dest_ip 203.0.113.10", "list dest_port 7000-7003", CLIENTS),
    ),
    "direct replies with flower": (
        ("flower", "skbmod", "skbedit", "nat"),
        direct("flower", "a", "list device lan0", "list proto tcp", "list dest_port 12345", CLIENTS)
        + direct("flower", "b", "list device lan1", "list dest_ip 203.0.113.10", "list dest_port 7000-7003", CLIENTS),
    ),
    "u32, packet type and both MACs": (
        ("skbmod", "skbedit"),
        service("a", SERVER, "option datapath u32", "option rewrite both", "list device lan0", "list dest_port 12345"),
    ),
}

each_configuration = pytest.mark.parametrize("name", CONFIGURATIONS, ids=lambda name: name.replace(" ", "-"))
# What `plan` says in commands and not in words.
each_scripted = pytest.mark.parametrize(
    "name", [name for name in CONFIGURATIONS if name != "bpf"], ids=lambda name: name.replace(" ", "-")
)
each_writer = pytest.mark.parametrize("writer", NETLINK)


def globals_section(netlink):
    return "config globals\n\toption enabled 1\n\toption netlink '%s'\n\n" % netlink


def configuration(name):
    """The text of one of the configurations; skips the test where the kernel lacks what it needs."""
    needs, text = CONFIGURATIONS[name]
    need(*needs)
    return text


def need(*names):
    missing = [one for one in names if not datapaths.has_features(one)]
    if missing:
        pytest.skip("this kernel has no %s (kernel.probe)" % ", ".join(missing))


@pytest.fixture
def router(tmp_path):
    """A lab with two client networks, and this thread in its router's namespace."""
    with Lab(tmp_path, CPYTHON, clients=2) as lab:
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        there = os.open("/run/netns/" + lab.router, os.O_RDONLY)
        try:
            compat.setns(there)
            yield lab
        finally:
            compat.setns(home)
            os.close(home)
            os.close(there)


def agent(lab, netlink, text):
    """The agent with a configuration, as `viscum` makes it."""
    lab.configure(globals_section(netlink) + text)
    return Reconciler(str(lab.confdir))


def up(lab, netlink, text):
    with agent(lab, netlink, text) as reconciler:
        snapshot = reconciler.look()
        assert snapshot.problems() == []
        assert reconciler.up(snapshot).problems == []


def down(lab, netlink):
    with agent(lab, netlink, "") as reconciler:
        snapshot = reconciler.look()
        assert reconciler.down(snapshot).problems == []


def read(netlink):
    with open_backend(netlink) as backend:
        return backend.dump(None)


def records(dump):
    """A Dump as plain data: the order in a dump means nothing."""
    plain = {**vars(dump), "bpf_entries": list(dump.bpf_entries)}
    return {name: sorted(value, key=repr) if isinstance(value, list) else value for name, value in plain.items()}


def quiet(look, seconds=HANG):
    """What `look` gives when it gives the same twice, and IPv6 is done with what it adds by itself some time after a
    device is up."""
    give_up = time.monotonic() + seconds
    before = None
    while True:
        now = look()
        if now == before and not [name for ns in ("", *namespaces()) for name in without_link_local(ns)]:
            return now
        assert time.monotonic() < give_up, "the kernel's state does not come to rest"
        before = now
        time.sleep(0.2)


def without_link_local(ns):
    """Names of devices of a namespace that will have a link-local address, but have none yet: a carrier, IPv6 (which a
    small MTU excludes)."""
    shown = run("ip", *(("-n", ns) if ns else ()), "-d", "-j", "addr").stdout
    return [each["ifname"] for each in json.loads(shown) if _awaits_link_local(each)]


def _awaits_link_local(link):
    waits = "LOWER_UP" in link["flags"] and "UP" in link["flags"] and link.get("inet6_addr_gen_mode") == "eui64"
    if not waits or "LOOPBACK" in link["flags"]:
        return False
    own = [each for each in link["addr_info"] if each["family"] == "inet6" and each["scope"] == "link"]
    return not own or "tentative" in own[0]


# One writes, the other reads


@each_writer
@each_configuration
def test_what_one_writes_the_other_reads(router, writer, name):
    text = configuration(name)
    empty = quiet(lambda: records(read(writer)))
    up(router, writer, text)
    written = quiet(lambda: records(read(writer)))
    assert records(read(OTHER[writer])) == written
    with agent(router, OTHER[writer], text) as reconciler:
        snapshot = reconciler.look()
        assert snapshot.problems() == []
        assert snapshot.pending() == [], "it finds just what the plan says"
        assert snapshot.observed.orphans == []
        for part in snapshot.plan.services:
            found = [each.item for each in snapshot.observed.of(part.service.name)]
            assert sorted(found, key=repr) == sorted([bare(item) for item in part.items], key=repr)
    down(router, OTHER[writer])
    for netlink in NETLINK:
        assert quiet(lambda netlink=netlink: records(read(netlink))) == empty


@each_writer
def test_what_one_has_written_the_other_changes(router, writer):
    """From each configuration to the next, the back ends taking turns."""
    texts = [text for needs, text in CONFIGURATIONS.values() if datapaths.has_features(*needs)]
    netlink = writer
    for text in texts:
        netlink = OTHER[netlink]
        up(router, netlink, text)
        with agent(router, OTHER[netlink], text) as reconciler:
            snapshot = reconciler.look()
            assert snapshot.pending() == []
        quiet(lambda: records(read("native")))
        assert records(read("native")) == records(read("pyroute2"))


def no_links(program, index, where=0):
    """link_create of a kernel before 6.6, as in tests/without_tcx.py."""
    raise OSError(compat.EINVAL, compat.strerror(compat.EINVAL))


def attach_by(monkeypatch, attachment):
    """cls_bpf, tcx or netkit, as far as this kernel has it: the configuration of eBPF for it."""
    text = configuration("bpf")
    if attachment == "cls_bpf":
        monkeypatch.setattr(bpf_syscall, "link_create", no_links)
        return text
    need(attachment)
    return text.replace("option enabled 1", "option enabled 1\n\toption pair auto") if attachment == "netkit" else text


@each_writer
@pytest.mark.parametrize("attachment", ["cls_bpf", "tcx", "netkit"])
def test_each_back_end_attaches_ebpf_programs_in_each_way(router, monkeypatch, writer, attachment):
    text = attach_by(monkeypatch, attachment)
    empty = quiet(lambda: records(read(writer)))
    up(router, writer, text)
    assert router.redirects().count("vsc-a") == 4, "TCP and UDP of two addresses"
    assert ("direct-action" in router.redirects()) == (attachment == "cls_bpf")
    pairs = {link.kind for link in read(writer).links if link.name in ("vsc-a", "vsc-b")}
    assert pairs == {"netkit" if attachment == "netkit" else "veth"}
    up(router, writer, text.replace("7000", "7001"))
    for netlink in NETLINK:
        with agent(router, netlink, text.replace("7000", "7001")) as reconciler:
            snapshot = reconciler.look()
            assert snapshot.pending() == []
            assert snapshot.plan.services[0].datapath == "bpf"
    for one in ("a", "b"):
        with agent(router, writer, text.replace("7000", "7001")) as reconciler:
            snapshot = reconciler.look()
            assert reconciler.down(snapshot, [one]).problems == []
    for netlink in NETLINK:
        assert quiet(lambda netlink=netlink: records(read(netlink))) == empty


# What the kernel was tried with is not made twice: checking the programs takes it longer than all the rest of an `up`.


def loads(monkeypatch):
    """The names of the programs that are loaded from now on, one for each time."""
    names, load = [], bpf_syscall.prog_load
    monkeypatch.setattr(bpf_syscall, "prog_load", lambda code, name: names.append(name) or load(code, name))
    return names


def descriptors():
    return sorted(os.listdir("/proc/self/fd"))


CURRENT = sorted(ebpf.name_of(which) for which in ebpf.PROGRAMS)


@each_writer
@pytest.mark.parametrize("attachment", ["cls_bpf", "tcx"])
def test_an_up_loads_each_program_once_and_the_next_none(router, monkeypatch, writer, attachment):
    text, loaded, before = attach_by(monkeypatch, attachment), loads(monkeypatch), descriptors()
    up(router, writer, text)
    assert sorted(loaded) == CURRENT
    up(router, writer, text.replace("7000", "7001"))
    assert sorted(loaded) == CURRENT
    with agent(router, writer, text.replace("7000", "7001")) as reconciler:
        assert reconciler.look().pending() == []
        assert sorted(loaded) == CURRENT
    down(router, writer)
    assert descriptors() == before
    up(router, writer, text)
    assert sorted(loaded) == sorted(2 * CURRENT)


def test_what_was_only_looked_at_leaves_no_descriptor_and_no_pin(router, monkeypatch):
    text, before, folder, loaded = configuration("bpf"), descriptors(), bpf_pins.folder(), loads(monkeypatch)
    with agent(router, "native", text) as reconciler:
        assert reconciler.look().pending()
        kept = descriptors()
        reconciler.reload()
        assert reconciler.look().pending()
        assert sorted(loaded) == sorted(2 * CURRENT), "a reload asks again"
        assert descriptors() == kept
    assert descriptors() == before and not os.path.exists(folder)


def test_programs_that_are_pinned_prove_only_that_this_kernel_takes_them(router, monkeypatch):
    """Everything else is asked again: the attachment, and whether something can be pinned."""
    need("tcx")
    found = probe.features()
    up(router, "native", configuration("bpf"))
    loaded = loads(monkeypatch)
    assert probe.features() == found
    with monkeypatch.context() as patch:
        patch.setattr(bpf_syscall, "link_create", no_links)
        assert probe.features() == found._replace(tcx=False, netkit=False)
    os.chown(bpf_pins.folder(), 65534, -1)
    assert not probe.features().bpf and "is not Viscum's" in probe.features().lacks
    os.chown(bpf_pins.folder(), 0, -1)
    assert loaded == []
    os.remove(bpf_pins.folder() + "/program_" + CURRENT[0])
    assert probe.features() == found
    assert sorted(loaded) == CURRENT


def test_programs_with_other_maps_than_the_pinned_ones_are_not_used(router):
    """As after an upgrade: the maps stay, and the programs that the kernel was tried with have maps of their own."""
    up(router, "native", configuration("bpf"))
    for name in CURRENT:
        os.remove("%s/program_%s" % (bpf_pins.folder(), name))
    spare = bpf_pins.Loaded()
    probe.features(spare=spare)
    assert sorted(spare.programs) == CURRENT
    pinned = bpf_pins.Pinned(spare=spare)
    try:
        used = {name: bpf_syscall.prog_info(pinned.program(name))[1] for name in CURRENT}
        ours = {bpf_syscall.map_info(fd)[1] for fd in pinned._maps.values()}
    finally:
        pinned.close()
    assert all(set(used[name]) <= ours for name in CURRENT)
    assert spare.programs == spare.maps == {}
    down(router, "native")


@each_writer
def test_a_back_end_changes_nothing_that_all_share(writer):
    """Of what Backend has, back ends bring their own of what it leaves to them, and no more."""
    theirs = {"__init__", "close", "leave", "flush", "carry"}
    theirs.update(["dump_links", "dump_ends", "dump_network", "dump_routes", "dump_tc"])
    theirs.update(["drop", "take_socket", "_home_index"])
    with open_backend(writer) as backend:
        own = {name for name in vars(type(backend)) if callable(vars(type(backend))[name])}
        added = set(vars(backend)) - set(vars(Backend()))
    assert (own | added) & set(dir(Backend)) == theirs & own | {"__init__"}


def test_a_reload_takes_the_other_back_end(router):
    with agent(router, "native", u32("a", "list device lan0", "list dest_port 7000")) as reconciler:
        for netlink in ("pyroute2", "native"):
            router.configure(globals_section(netlink) + u32("a", "list device lan0", "list dest_port 7000"))
            reconciler.reload()
            assert reconciler.backend.name == netlink
            snapshot = reconciler.look()
            assert reconciler.up(snapshot).problems == []
            snapshot = reconciler.look()
            assert snapshot.pending() == []


def test_a_reload_with_a_back_end_that_can_not_be_had_changes_nothing(tmp_path):
    text = service("a", SERVER, "list device lan9", "list dest_port 7000")
    with Lab(tmp_path, MICROPYTHON) as lab:
        made = Agent(lab, text)
        made.says("waiting")
        made.reload(globals_section("pyroute2") + text)
        why = "the configuration is rejected: the netlink back end 'pyroute2' needs CPython"
        made.says(why)
        made.reload(text.replace("lan9", "lan8"))
        made.says("lan8")


# Every operation by itself

NS, DEV = "viscum-x", "vsc-x"
VETH = Pair(DEV, NS, "eth0", 1500, "02:76:00:00:00:01", "02:76:00:00:00:02", "viscum x", "veth")
OTHER_VETH = Pair(DEV, NS, "eth0", 1400, "02:76:00:00:00:03", "02:76:00:00:00:04", "viscum x", "veth")
BIG_VETH = Pair(DEV, NS, "eth0", 9000, "02:76:00:00:00:01", "02:76:00:00:00:02", "viscum x", "veth")
REDIRECT = (("mirred", DEV),)
TABLE = HashTable("lan0", 1, "ip")
TABLE6 = HashTable("lan0", 2, "ipv6")
IN_BUCKET = Filter("lan0", 1, "ip", "u32", 10, ((0xCB00710A, 0xFFFFFFFF, 16), (6 << 16, 0xFF << 16, 8)), REDIRECT)
PREFIX = Filter("lan0", 3, "ip", "u32", -1, ((0xCB007100, 0xFFFFFF00, 16),), REDIRECT)
PREFIX6 = Filter("lan0", 4, "ipv6", "u32", -1, ((0x20010DB8, 0xFFFFFFFF, 24), (0, 0xFFFF, 28)), REDIRECT)
BEFORE_HEADER = Filter("lan0", 5, "ip", "u32", -1, ((0x0276, 0xFFFF, -16), (1, 0xFFFFFFFF, -12)), REDIRECT)
# As direct replies have them, without the actions that this kernel may lack.
BACK = (("mirred", "lan0"),)
REPLIES = Filter(DEV, 1, "ip", "u32", -1, ((6 << 16, 0xFF << 16, 8), (0x12 << 16, 0xFF << 16, 32)), BACK)
REPLIES6 = Filter(DEV, 2, "ipv6", "u32", -1, ((6 << 8, 0xFF << 8, 4), (0x12 << 16, 0xFF << 16, 52)), BACK)
COUNTED = Filter("eth0", 1, "ip", "u32", -1, ((6 << 16, 0xFF << 16, 8), (2 << 16, 0xFF << 16, 32)), ())
COUNTED6 = Filter("eth0", 4, "ipv6", "u32", -1, ((6 << 8, 0xFF << 8, 4),), ())
NARROW = NatRule("203.0.113.0/24", "tcp", (443, 443), 8443)
LETS_OUT = GuardRule("accept", 4, "203.0.113.10/32", "", "tcp", (443, 443), None, "begun")

# In the order of making. Each is there, in both readers' eyes, after it is added, and gone after it is deleted.
OBJECTS = [
    Namespace(NS),
    Up(NS, "lo"),
    Sysctl(NS, "net/ipv4/ip_unprivileged_port_start", "0"),
    VETH,
    Guard(DEV, "12345678/1", (LETS_OUT,)),
    Tbf(NS, "eth0", 2500000, 125000),
    Sysctl("", "net/ipv4/conf/vsc-x/accept_local", "1"),
    PktType(NS, "eth0"),
    Address("", DEV, "10.213.0.1/30"),
    Address(NS, "eth0", "10.213.0.2/30"),
    Address("", DEV, "fd76:7363::1/126"),
    Address(NS, "eth0", "fd76:7363::2/126"),
    Address(NS, "lo", "203.0.113.10/32"),
    Address(NS, "lo", "2001:db8:cafe::10/128"),
    Route(NS, 4, "default", "10.213.0.1", "eth0", ""),
    Route(NS, 4, "192.0.2.0/24", "10.213.0.1", "eth0", "203.0.113.10"),
    Route(NS, 6, "default", "fd76:7363::1", "eth0", "2001:db8:cafe::10"),
    Route(NS, 6, "2001:db8:1::/48", "fd76:7363::1", "eth0", ""),
    Nat(NS, (NARROW,)),
    Mute(NS, "7000"),
    Rule("", 4, 1000, DEV, 254),
    Rule("", 4, 1001, DEV, 70000),
    Rule("", 6, 1000, DEV, 255),
    Qdisc("lan0"),
    TABLE,
    TABLE6,
    IN_BUCKET,
    PREFIX,
    PREFIX6,
    BEFORE_HEADER,
    Qdisc(DEV),
    REPLIES,
    REPLIES6,
    Counting(NS, "eth0", (COUNTED, COUNTED6)),
    AnyLocal(NS, 4, "10.213.0.2"),
    AnyLocal(NS, 6, "fd76:7363::2"),
]

# Changes in place: (old, new).
CHANGES = [
    (Sysctl(NS, "net/ipv4/ip_unprivileged_port_start", "0"), Sysctl(NS, "net/ipv4/ip_unprivileged_port_start", "80")),
    (VETH, OTHER_VETH),
    (OTHER_VETH, BIG_VETH),
    (Route(NS, 4, "default", "10.213.0.1", "eth0", ""), Route(NS, 4, "default", "10.213.0.1", "eth0", "203.0.113.10")),
    (
        Route(NS, 6, "2001:db8:1::/48", "fd76:7363::1", "eth0", ""),
        Route(NS, 6, "2001:db8:1::/48", "fd76:7363::1", "eth0", "2001:db8:cafe::10"),
    ),
    (Nat(NS, (NARROW,)), Nat(NS, (NARROW, NatRule("203.0.113.0/24", "udp", None, 0)))),
    (Mute(NS, "7000"), Mute(NS, "1-32767_50000")),
    (Guard(DEV, "12345678/1", (LETS_OUT,)), Guard(DEV, "1234567a/0", ())),
    (Tbf(NS, "eth0", 2500000, 125000), Tbf(NS, "eth0", 2500001, 2047)),
    (Counting(NS, "eth0", (COUNTED, COUNTED6)), Counting(NS, "eth0", (COUNTED,))),
    (AnyLocal(NS, 4, "10.213.0.2"), AnyLocal(NS, 4, "10.213.0.6")),
    (AnyLocal(NS, 6, "fd76:7363::2"), AnyLocal(NS, 6, "fd76:7363::6")),
]

# Sysctls go with their namespace or device, and so does the loopback.
STAY = ("Sysctl", "Up")


def bare(item):
    """As it is read back: a guard's rules are not."""
    return with_(item, rules=None) if isinstance(item, Guard) else item


def found(netlink):
    """All objects of ours that a reader sees, with their handles."""
    observed = observe(read(netlink))
    return observed.of("x") + observed.shared


def handle_of(item):
    return [each.handle for each in found("native") if each.item == item][0]


def items():
    """The objects that both readers see."""
    seen = [sorted([each.item for each in found(netlink)], key=repr) for netlink in NETLINK]
    assert seen[0] == seen[1]
    return seen[0]


@each_writer
def test_every_operation_does_what_it_says(router, writer):
    need("nat", "netdev")
    before = read("native").namespaces
    with open_backend(writer) as backend:

        def do(verb, new, old=None, handle=0):
            backend.apply([Operation(verb, new, old, handle)])

        for item in OBJECTS:
            do("add", item)
            assert bare(item) in items() or item == OBJECTS[0], item  # a namespace without a device is seen, too:
            assert NS in read(writer).namespaces
        for old, new in CHANGES:
            do("change", new, old)
            there = items()
            assert bare(new) in there, new
            assert bare(old) not in there, old
        for item in reversed(OBJECTS):
            new = [new for old, new in CHANGES if old == item]
            item = BIG_VETH if item == VETH else new[0] if new else item
            if type(item).__name__ not in STAY:
                do("del", None, bare(item), handle_of(bare(item)))
                assert bare(item) not in items(), item
        assert items() == []
        assert read("native").namespaces == before


@each_writer
def test_what_limits_a_rate_is_read_as_it_was_written(router, writer):
    """The kernel keeps a burst as a time, and rounds it."""
    need("tbf")
    rates = (schema.SLOWEST, 1234567, schema.FASTEST)
    with open_backend(writer) as backend:
        backend.apply([Operation("add", item, None, 0) for item in (Namespace(NS), VETH)])
        for rate in rates:
            for burst in (schema.LEAST_BURST, 99991, schema.MOST_BURST):
                item = Tbf(NS, "eth0", rate, burst)
                backend.apply([Operation("add", item, None, 0)])
                assert item in items()
        run("tc", "-n", NS, "qdisc", "replace", "dev", "eth0", "root", "handle", "7673:", "tbf", "rate", "32gbit",
            "burst", "99000", "limit", "%d" % tc.tbf_limit(item))  # fmt: skip
        (other,) = [one for one in items() if isinstance(one, Tbf)]
        assert other.rate == item.rate and abs(other.burst - 99000) < 1000, "only the burst was changed"


@each_writer
def test_somebody_elses_queue_is_not_ours_and_ours_takes_its_place(router, writer):
    need("tbf")
    with open_backend(writer) as backend:
        backend.apply([Operation("add", item, None, 0) for item in (Namespace(NS), VETH)])
        for words in (("tbf", "rate", "1mbit", "burst", "5000", "limit", "9000"), ("pfifo", "limit", "9")):
            run("tc", "-n", NS, "qdisc", "replace", "dev", "eth0", "root", "handle", "5:", *words)
            assert not [one for one in items() if isinstance(one, Tbf)]
            backend.apply([Operation("add", Tbf(NS, "eth0", 2500000, 125000), None, 0)])
            assert Tbf(NS, "eth0", 2500000, 125000) in items()


@each_writer
def test_a_filter_gets_other_actions_in_place(router, writer):
    with open_backend(writer) as backend:
        backend.apply([Operation("add", item, None, 0) for item in (Namespace(NS), VETH, Qdisc("lan0"), TABLE)])
        backend.apply([Operation("add", item, None, 0) for item in (IN_BUCKET, PREFIX)])
        for old in (IN_BUCKET, PREFIX):
            # To another device of the lab: then it is nobody's filter any more, so the dump has to tell.
            new = Filter(*old[:6], (("mirred", "lan1"),))
            handle = handle_of(old)
            backend.apply([Operation("change", new, old, handle)])
            index = [link.index for link in read("native").links if link.ns == "" and link.name == "lan1"][0]
            for netlink in NETLINK:
                entries = [
                    entry for entry in read(netlink).filters if entry.prio == old.prio and entry.handle == handle
                ]
                assert [entry.actions for entry in entries] == [(("mirred", index),)], netlink
                assert [entry.keys for entry in entries] == [old.keys], netlink


@each_writer
def test_flower_filters_are_added_changed_and_deleted(router, writer):
    need("flower", "skbmod", "skbedit")
    actions = (("skbedit", "host"), ("skbmod", "02:76:00:00:00:02", "02:76:00:00:00:01"), ("mirred", DEV))
    keys = (("ip_proto", "udp"), ("src_ip", "192.168.0.0/16"), ("dst_ip", "203.0.113.0/24"), ("dst_port", "7000-7010"))
    both = Filter("lan0", 3, "ip", "flower", -1, keys, actions)
    six = Filter("lan0", 2, "ipv6", "flower", -1, (("dst_ip", "2001:db8::1/128"),), (actions[1], actions[2]))
    with open_backend(writer) as backend:
        backend.apply([Operation("add", item, None, 0) for item in (Namespace(NS), VETH, Qdisc("lan0"), both, six)])
        assert {both, six} <= set(items())
        plain = Filter(*both[:6], REDIRECT)
        backend.apply([Operation("change", plain, both, handle_of(both))])
        assert plain in items()
        assert both not in items()
        backend.apply([Operation("del", None, item, handle_of(item)) for item in (plain, six)])
        assert not [item for item in items() if isinstance(item, Filter)]


def test_pyroute2_writes_by_itself_what_it_can_and_carries_our_bytes_for_the_rest():
    from viscum_agent.kernel.pyroute2_backend import packed_because

    skbedit, skbmod = ("skbedit", "host"), ("skbmod", "02:76:00:00:00:02", "")
    assert packed_because(PREFIX) == ""
    assert packed_because(Filter(*PREFIX[:6], (skbedit, *REDIRECT))) == ""
    assert packed_because(Filter(*PREFIX[:6], (skbmod, *REDIRECT))) == "pyroute2 has no act_skbmod"
    assert packed_because(Filter("lan0", 3, "ip", "flower", -1, (), REDIRECT)) == "pyroute2 has no cls_flower"
    assert packed_because(IN_BUCKET) == "pyroute2 puts no u32 filter in a bucket of a hash table"
    for keys in (
        IN_BUCKET.keys,  # a mask that begins with a zero byte
        PREFIX6.keys[1:],
        BEFORE_HEADER.keys,
        ((1, 0xFF0000FF, 8),),  # a gap
        (PREFIX.keys[0], (0x05000000, 0x0F000000, 0)),  # not sorted by offset
    ):
        item = Filter("lan0", 3, "ip", "u32", -1, keys, REDIRECT)
        assert packed_because(item) == "pyroute2 regroups these u32 keys", keys


@each_writer
def test_only_the_mark_goes_and_the_qdisc_stays(router, writer):
    with open_backend(writer) as backend:
        backend.apply([Operation("add", Qdisc("lan0"), None, 0)])
        assert items() == [Qdisc("lan0")]
        backend.apply([Operation("del", None, Mark("lan0"), 0)])
        assert items() == []
        for netlink in NETLINK:
            assert [entry.kind for entry in read(netlink).qdiscs] == ["clsact"]


@each_writer
def test_a_hash_table_that_comes_back_is_empty(router, writer):
    """A prio of u32 that is deleted keeps its table, out of sight, while another prio has u32 filters."""
    with open_backend(writer) as backend:
        make = (Namespace(NS), VETH, Qdisc("lan0"), TABLE, IN_BUCKET, PREFIX)
        backend.apply([Operation("add", item, None, 0) for item in make])
        backend.apply([Operation("del", None, Prio("lan0", 1, "ip"), 0)])
        assert not {TABLE, IN_BUCKET} & set(items())
        assert PREFIX in items(), "the other prio stays"
        backend.apply([Operation("add", TABLE, None, 0)])
        assert TABLE in items()
        assert IN_BUCKET not in items()


@each_writer
def test_deleting_what_is_gone_is_no_error(router, writer):
    host, rule = Address("", DEV, "10.213.0.1/30"), Rule("", 4, 1000, DEV, 254)
    with open_backend(writer) as backend:
        make = (Namespace(NS), VETH, host, rule, Qdisc("lan0"), TABLE, PREFIX)
        backend.apply([Operation("add", item, None, 0) for item in make])
        filters = [Operation("del", None, PREFIX, handle_of(PREFIX)), Operation("del", None, Prio("lan0", 3, "ip"), 0)]
        for gone in (
            filters,
            [Operation("del", None, item, 0) for item in (host, rule)],
            [Operation("del", None, VETH, 0)],
        ):
            backend.apply(gone)
            backend.apply(gone)


@each_writer
def test_a_device_that_went_and_came_again_is_the_new_one(router, writer):
    """The border of the agent stays open for days; a device that is made again has another index."""
    with open_backend(writer) as backend:
        backend.apply([Operation("add", item, None, 0) for item in (Namespace(NS), VETH, Qdisc("lan0"))])
        run("ip", "link", "del", "lan0")
        run("ip", "link", "add", "lan0", "type", "veth", "peer", "name", "other")
        backend.apply([Operation("add", item, None, 0) for item in (Qdisc("lan0"), PREFIX)])
        assert PREFIX in items()


def test_the_kinds_of_object_are_all_here():
    # Those of eBPF are no back end's own: test_bpf.py has them, and a configuration above.
    kinds = {type(item).__name__ for item in OBJECTS} | {"Mark", "Prio", "BpfLink", "BpfMatch"}
    assert kinds == set(commands.RENDER)


# Errors


def occupied(lab):
    run("ip", "link", "add", DEV, "type", "veth", "peer", "name", "other")
    return Operation("add", VETH, None, 0)


def occupied_prio(lab):
    run("tc", "qdisc", "add", "dev", "lan0", "clsact")
    match = ("u32", "match", "u32", "0", "0", "flowid", "1:1")
    run("tc", "filter", "add", "dev", "lan0", "ingress", "prio", "3", "protocol", "arp", *match)
    return Operation("add", PREFIX, None, 0)


def ingress_in_the_way(lab):
    run("tc", "qdisc", "add", "dev", "lan0", "ingress")
    return Operation("add", Qdisc("lan0"), None, 0)


ERRORS = {
    "the name of the pair is taken": ("foreign", occupied),
    "the prio has another protocol": ("foreign", occupied_prio),
    "the hook has another qdisc": ("foreign", ingress_in_the_way),
    "the address is there": ("foreign", lambda lab: Operation("add", Address("", "lan0", "192.168.77.1/24"), None, 0)),
    "no such device": ("bug", lambda lab: Operation("add", Address("", "lan7", "192.168.7.1/24"), None, 0)),
    "no such namespace": ("bug", lambda lab: Operation("add", Up("viscum-none", "lo"), None, 0)),
    "no such qdisc": ("bug", lambda lab: Operation("add", Filter(*PREFIX[:6], (("mirred", "lan1"),)), None, 0)),
    "no way to the gateway": (
        "bug",
        lambda lab: Operation("add", Route("", 4, "default", "10.9.9.9", "lan0", ""), None, 0),
    ),
}


@pytest.mark.parametrize("why", ERRORS, ids=lambda why: why.replace(" ", "-"))
def test_an_error_is_the_same_from_both(router, why):
    kind, prepare = ERRORS[why]
    operation = prepare(router)
    if isinstance(operation.new, (Pair, Filter)):
        with open_backend("native") as backend:
            make = [Namespace(NS)] if isinstance(operation.new, Pair) else [Namespace(NS), VETH]
            backend.apply([Operation("add", item, None, 0) for item in make])
    errors = []
    for netlink in NETLINK:
        with open_backend(netlink) as backend, pytest.raises(KernelError) as caught:
            backend.apply([operation])
        errors.append((caught.value.errno, str(caught.value), caught.value.kind))
    assert errors[0] == errors[1]
    assert errors[0][2] == kind
    assert commands.commands(operation)[0] in errors[0][1]


@each_writer
def test_what_came_before_an_error_is_done_and_what_came_after_is_not(router, writer):
    """Above all not later, with the next operations."""
    first, last = Address("", "lan0", "10.213.7.1/30"), Address("", "lan0", "10.213.8.1/30")
    nowhere = Pair(DEV, "viscum-none", *VETH[2:])
    with open_backend(writer) as backend:
        with pytest.raises(KernelError) as caught:
            backend.apply([Operation("add", item, None, 0) for item in (first, nowhere, last)])
        assert caught.value.operation.new == nowhere
        for _ in range(2):
            addresses = [entry.address for entry in read(OTHER[writer]).addresses if entry.ns == ""]
            assert first.address in addresses
            assert last.address not in addresses
            backend.apply([Operation("add", Rule("", 4, 1000, "lan0", 254), None, 0)])
            backend.apply([Operation("del", None, Rule("", 4, 1000, "lan0", 254), 0)])


# What pyroute2 leaves behind, and what if it is not there


def open_files():
    """What this process has open, as /proc names it; not the listing itself."""
    fds = [fd for fd in os.listdir("/proc/self/fd") if os.path.lexists("/proc/self/fd/" + fd)]
    return [os.readlink("/proc/self/fd/" + fd) for fd in fds]


def test_pyroute2_leaves_no_descriptor_thread_or_child_behind(router):
    def held():
        children = Path("/proc/self/task/%d/children" % os.getpid()).read_text()
        return len(open_files()), threading.active_count(), children, os.readlink("/proc/thread-self/ns/net")

    def work():
        with open_backend("pyroute2") as backend:
            backend.apply([Operation("add", item, None, 0) for item in OBJECTS[:5]])
            backend.dump()
            backend.apply([Operation("del", None, item, 0) for item in (VETH, Namespace(NS))])
            with pytest.raises(KernelError):
                backend.apply([Operation("add", Up("", "lan7"), None, 0)])

    work()  # what the library keeps of its first use it may keep
    before = held()
    for _ in range(3):
        work()
    assert held() == before


@pytest.mark.parametrize("netlink", NETLINK)
def test_between_two_looks_the_back_end_holds_no_namespace_and_no_socket_open(router, netlink):
    """A hundred services must not cost a hundred descriptors, and a namespace that is held is not gone when deleted."""
    before = len(open_files())
    with open_backend(netlink) as backend:
        idle = len(open_files())
        backend.apply([Operation("add", item, None, 0) for item in (Namespace(NS), VETH)])
        backend.dump()
        assert len(open_files()) == idle
    assert len(open_files()) == before


def test_without_pyroute2_the_error_names_the_remedy(tmp_path):
    (tmp_path / "viscum").write_text(globals_section("pyroute2"))
    # -S: no site-packages, where pyroute2 is.
    words = (sys.executable, "-S", "-m", "viscum_agent", "-c", tmp_path, "check")
    result = run(*words, check=False, cwd=ROOT)
    assert result.returncode == 1
    assert result.stderr.startswith("viscum: the netlink back end 'pyroute2' needs the package python3-pyroute2"), (
        result
    )
    assert "opkg install python3-pyroute2" in result.stderr
    assert "Traceback" not in result.stderr


def test_under_micropython_the_error_says_so(tmp_path):
    if not os.path.exists(MICROPYTHON[0]):
        pytest.skip("needs MicroPython: tools/setup.sh micropython")
    (tmp_path / "viscum").write_text(globals_section("pyroute2"))
    env = {**os.environ, "MICROPYPATH": "%s:.frozen" % ROOT}
    result = run(*MICROPYTHON, "-m", "viscum_agent", "-c", tmp_path, "check", check=False, cwd=ROOT, env=env)
    assert result.returncode == 1
    assert result.stderr + result.stdout == "viscum: %s\n" % (
        "the netlink back end 'pyroute2' needs CPython, and this is MicroPython;"
        " or leave the option netlink out: 'native' works everywhere and needs nothing"
    )


def test_an_unsupported_back_end_is_an_unsupported_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyroute2", None)  # how Python itself notes that a module is not to be had
    monkeypatch.delitem(sys.modules, "viscum_agent.kernel.pyroute2_backend", raising=False)
    with pytest.raises(UnsupportedError):
        open_backend("pyroute2")


# What `viscum plan` prints


# What the kernel counts by itself, in the JSON of ip, tc and nft.
NUMBERED = {"ifindex", "link_index", "link_netnsid", "iflink", "index", "master_index"}


def without_numbers(value, extra=()):
    if isinstance(value, dict):
        return {
            key: without_numbers(each, extra) for key, each in value.items() if key not in NUMBERED and key not in extra
        }
    if isinstance(value, list):
        return [without_numbers(each, extra) for each in value]
    return value


def filters_without_numbers(shown):
    """What tc shows of filters, plain or as text: of skbmod it writes no JSON (m_skbmod.c of iproute2 6.1)."""
    try:
        return without_numbers(json.loads(shown or "[]"))
    except json.JSONDecodeError:
        return re.sub(r'"?\bindex"?:? ?[0-9]+', "", shown)


def kernel_state(lab):
    """The router and all services, as ip, tc, nft and our own dump show them."""
    state = {}
    dump = read("native")
    for ns in ["", *dump.namespaces]:
        enter = ("nsenter", "--net=/run/netns/" + ns) if ns else ()
        for command in (
            "ip -d -j link",
            "ip -d -j addr",
            "ip -d -j route show table all",
            "ip -d -6 -j route show table all",
            "ip -d -j rule",
            "ip -d -6 -j rule",
            "tc -j qdisc",
            "nft -j list ruleset",
        ):
            shown = json.loads(run(*enter, *command.split()).stdout or "[]")
            if " route " in command:  # those of IPv6 are in the order in which devices had their carriers
                shown.sort(key=json.dumps)
            # A set or chain has a handle that counts on over all that was there before.
            state[(ns, command)] = without_numbers(shown, ("handle",) if command.startswith("nft") else ())
    for link in [link for link in dump.links if link.ns == ""]:
        for side in ("ingress", "egress"):
            command = "tc -d -j filter show dev %s %s" % (link.name, side)
            shown = run(*command.split(), check=False).stdout  # a device without the hook is an error
            state[("", command)] = filters_without_numbers(shown)
    state.update({("dump", field): value for field, value in named(dump).items()})
    return state


def named(dump):
    """A Dump with the names of devices for their indexes, sorted. The number of a namespace that is gone is free again
    only when the kernel has taken it down, some time later: so all that counts is whether there is one."""
    names = {(link.ns, link.index): link.name for link in dump.links}
    plain = {name: value for name, value in records(dump).items() if not isinstance(value, list)}
    plain["links"] = sorted(
        link[:1] + link[2:8] + (names.get((link.ns, link.master)), link.alias, link.peer_nsid < 0)
        for link in dump.links
    )
    plain["addresses"] = sorted((each.ns, names[(each.ns, each.index)], each.address) for each in dump.addresses)
    plain["routes"] = sorted(each[:4] + (names.get((each.ns, each.oif), ""),) + each[5:] for each in dump.routes)
    plain["rules"] = sorted(dump.rules)
    plain["qdiscs"] = sorted((names[("", each.index)], each.kind) for each in dump.qdiscs)
    plain["filters"] = [_named_filter(each, names) for each in sorted(dump.filters)]
    plain["egress"] = sorted(names[("", index)] for index in dump.egress)
    # Not what they have dropped: a script makes a chain before its rules.
    plain["guards"] = {dev: mark for dev, (mark, _) in dump.guards.items()}
    return plain


def _named_filter(entry, names):
    actions = [("mirred", names[("", each[1])]) if each[0] == "mirred" else each for each in entry.actions or ()]
    return (names[("", entry.index)], *entry[1:9], actions)


def plan(lab):
    """The script that `viscum plan` prints."""
    return lab.viscum("plan").stdout


def execute(lab, commands):
    result = subprocess.run(
        lab.command(lab.router, "sh", "-e"), input=commands, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr + commands
    # tc tells what it read of skbmod (m_skbmod.c), whether one asks or not.
    noise = ("dst MAC address", "src MAC address")
    assert [line for line in result.stderr.splitlines() if not line.startswith(noise)] == [], commands


def difference(one, other):
    return {key: (one.get(key), other.get(key)) for key in {*one, *other} if one.get(key) != other.get(key)}


@each_scripted
def test_the_script_makes_the_same_kernel_state_as_up(router, name):
    text = configuration(name)
    router.configure(globals_section("native") + text)
    empty = quiet(lambda: kernel_state(router))
    commands = plan(router)
    router.viscum("up", "--no-program")
    wanted = quiet(lambda: kernel_state(router))
    assert difference(empty, wanted), "up does something"
    router.viscum("down", "--no-program")
    assert difference(quiet(lambda: kernel_state(router)), empty) == {}, "as before"
    assert plan(router) == commands
    execute(router, commands)
    assert difference(quiet(lambda: kernel_state(router)), wanted) == {}
    assert plan(router) == "# nothing to do\n"
    router.configure(globals_section("native"))
    execute(router, plan(router))
    assert difference(quiet(lambda: kernel_state(router)), empty) == {}
    assert plan(router) == "# nothing to do\n"


CHANGED = {
    "another port": ("dest_port 7000", "dest_port 7001"),
    "another address": ("dest_ip 203.0.113.10", "dest_ip 203.0.113.11"),
    "TCP only": ("list dest_port 7000", "list dest_port 7000\n\tlist proto tcp"),
    "a larger frame": ("list dest_port 7000", "list dest_port 7000\n\toption mtu 1600"),
    "a smaller frame": ("list dest_port 7000", "list dest_port 7000\n\toption mtu 1400"),
    "another device": ("device lan0", "device lan1"),
    "another port inside": ("list dest_port 7000", "list dest_port 7000\n\toption target_port 7100"),
    "a prefix": ("203.0.113.10", "203.0.113.0/24"),
    "nothing but IPv6": ("list dest_ip 203.0.113.10", "option family ipv6"),
}


def assert_script_does_what_up_does(lab, first, second):
    """From the first configuration to the second, once by `viscum up` and once by what `viscum plan` prints."""

    def start():
        lab.configure(globals_section("native") + first)
        lab.viscum("up", "--no-program")
        lab.configure(globals_section("native") + second)

    start()
    commands = plan(lab)
    lab.viscum("up", "--no-program")
    wanted = quiet(lambda: kernel_state(lab))
    lab.viscum("down", "--no-program")
    start()
    assert plan(lab) == commands
    execute(lab, commands)
    assert difference(quiet(lambda: kernel_state(lab)), wanted) == {}
    assert plan(lab) == "# nothing to do\n"


@pytest.mark.parametrize("what", CHANGED, ids=lambda what: what.replace(" ", "-"))
def test_the_script_of_a_change_makes_the_same_kernel_state_as_up(router, what):
    """The service that changes has a neighbour on the same device that does not."""
    need("nat")
    first = configuration("one address and port over both families")
    neighbour = u32("z", "list device lan0", "list dest_ip 203.0.113.12", "list dest_port 7000")
    second = first.replace(*CHANGED[what])
    assert second != first
    assert_script_does_what_up_does(router, first + neighbour, second + neighbour)


def test_the_script_of_a_service_that_goes_leaves_the_others(router):
    text = configuration("three services that share a qdisc and its hash tables")
    assert_script_does_what_up_does(router, text, text[text.index("config service 'b'") :])


@each_scripted
def test_the_script_takes_leftovers_away(router, name):
    """Filters whose service lost its pair of devices, and a namespace whose program's pair is gone."""
    text = configuration(name)
    router.configure(globals_section("native") + text)
    empty = quiet(lambda: kernel_state(router))
    router.viscum("up", "--no-program")
    run("ip", "link", "del", "vsc-a")
    execute(router, plan(router))
    assert plan(router) == "# nothing to do\n"
    router.viscum("down", "--no-program")
    assert difference(quiet(lambda: kernel_state(router)), empty) == {}


# What is read only for direct replies


@each_writer
def test_where_all_addresses_were_local_ones_the_rules_are_the_kernels_own_again(router, writer):
    def rules():
        return [run("ip", "-n", NS, family, "rule").stdout for family in ("-4", "-6")]

    every = (AnyLocal(NS, 4, "10.213.0.2"), AnyLocal(NS, 6, "fd76:7363::2"))
    with open_backend(writer) as backend:
        backend.apply([Operation("add", item, None, 0) for item in (Namespace(NS), Up(NS, "lo"), VETH)])
        before = rules()
        backend.apply([Operation("add", item, None, 0) for item in every])
        for text, own in zip(rules(), ("10.213.0.2", "fd76:7363::2"), strict=True):
            assert "0:\tfrom all lookup local" not in text.splitlines(), "it would find everything"
            assert "1:\tfrom all to %s lookup local" % own in text
        backend.apply([Operation("del", None, item, 0) for item in every])
    assert rules() == before
    assert "default" not in run("ip", "-n", NS, "route", "show", "table", "local").stdout


@each_writer
def test_that_all_addresses_are_local_ones_is_seen_when_the_pair_is_gone(router, writer):
    """A script would make them a second time, which the kernel refuses."""
    every = [AnyLocal(NS, 4, "10.213.0.2"), AnyLocal(NS, 6, "fd76:7363::2")]
    with open_backend(writer) as backend:
        backend.apply([Operation("add", item, None, 0) for item in (Namespace(NS), Up(NS, "lo"), VETH, *every)])
    run("ip", "link", "del", DEV)
    assert [each.item for each in observe(read(writer)).of("x") if isinstance(each.item, AnyLocal)] == every


@pytest.mark.parametrize("family", [4, 6])
def test_a_reply_has_its_way_out_after_each_step_to_all_addresses_and_back(router, family):
    """To `lo` it would reset the connection that it belongs to."""
    own, client, host = {4: ("10.213.0.2", "192.0.2.7", "10.213.0.1"), 6: ("fd76::2", "2001:db8::7", "fd76::1")}[family]
    length = {4: 30, 6: 126}[family]
    made = [Namespace(NS), Up(NS, "lo"), VETH]
    made += [Address("", DEV, "%s/%d" % (host, length)), Address(NS, "eth0", "%s/%d" % (own, length))]
    made += [Route(NS, family, "default", host, "eth0", "")]
    steps = rtnl.any_local_add(AnyLocal(NS, family, own)) + rtnl.any_local_del(family)
    with open_backend("native") as backend:
        backend.apply([Operation("add", item, None, 0) for item in made])
        for step in steps:
            assert in_namespace(NS, lambda step=step: transact(step)) == 0
            way = run("ip", "-n", NS, "-j", "route", "get", client, "from", own).stdout
            assert json.loads(way)[0]["dev"] == "eth0"


def transact(request):
    socket = Socket(compat.NETLINK_ROUTE)
    try:
        return socket.transact([request])[0][0]
    finally:
        socket.close()


@each_writer
def test_a_prio_that_u32_has_left_empty_is_seen_and_goes_before_another_kind_comes(router, writer):
    """u32 keeps it as long as the mark is there, which is u32 as well."""

    def other():
        """Whether one of another kind may come in."""
        words = "filter add dev lan0 ingress prio 3 protocol ip bpf flowid 1:1 bytecode"
        return router.run(router.router, "tc", *words.split(), "1,6 0 0 0,", check=False).returncode == 0

    def do(verb, item, handle=0):
        with open_backend(writer) as backend:
            backend.apply([Operation(verb, *{"add": (item, None), "del": (None, item)}[verb], handle)])

    made = [Namespace(NS), Up(NS, "lo"), VETH, Qdisc("lan0")]
    with open_backend(writer) as backend:
        backend.apply([Operation("add", item, None, 0) for item in made])
    do("add", PREFIX)
    there = observe(read(writer))
    assert there.empty == set() and not other()
    do("del", PREFIX, next(each.handle for each in there.of("x") if each.item == PREFIX))
    empty = Prio("lan0", 3, "ip")
    assert observe(read(writer)).empty == {empty} and not other()
    do("del", empty)
    assert observe(read(writer)).empty == set() and other()
