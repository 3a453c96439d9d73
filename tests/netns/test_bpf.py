"""What only the eBPF datapath does, with real packets: replies that pass by the router's IP stack, and only those.

Once with tcx links and once with filters (cls_bpf).
"""

import json
import os
import re
import resource
import subprocess
import sys
import time
from pathlib import Path

import datapaths
import pytest
from agent import QUICK, Agent
from lab import CLOUD, ROOT, Lab, echo_command, ip, mac, packed_mac, run, service, snapshot, wait_for

from viscum_agent import compat, ebpf
from viscum_agent.ebpf import layout, program
from viscum_agent.errors import UnsupportedError
from viscum_agent.kernel import bpf_syscall as call
from viscum_agent.kernel import netns, probe
from viscum_agent.kernel.bpf_pins import MAPS, Pinned
from viscum_agent.plan import datapath as plan_datapath
from viscum_agent.records import with_

if os.geteuid() == 0:
    pytestmark = pytest.mark.skipif(not probe.features().bpf, reason="this kernel lacks " + probe.features().lacks)

EDGE = echo_command("edge", 7000)
TAKES = ("list dest_ip 203.0.113.10", "list dest_ip 2001:db8:cafe::10", "list dest_port 7000")
STRICT_ALIGNMENT = 1  # flag of PROG_LOAD (linux/bpf.h)
VERIFIER_STATISTICS = 4  # BPF_LOG_STATS (linux/bpf_verifier.h)
ADDRESSES = ("203.0.113.10", "2001:db8:cafe::10")


@pytest.fixture(params=[name for name in ("bpf-cls", "bpf-tcx", "bpf-netkit") if datapaths.has(name)] or [None])
def datapath(request):
    return request.param


# For what has nothing attached: there is no difference.
in_one_way = pytest.mark.parametrize("datapath", [name for name in ("bpf-tcx", "bpf-cls") if datapaths.has(name)][:1])


@pytest.fixture
def lab(tmp_path, interpreter, datapath):
    with Lab(tmp_path, interpreter, datapath=datapath) as made:
        yield made


@pytest.fixture
def up(lab):
    """A lab with a service on the datapath; the cloud answers as well."""
    lab.serve_cloud(7000)
    lab.configure(service("echo", EDGE, "list device lan0", *TAKES))
    lab.viscum("up")
    return lab


def kind(lab):
    """What is pinned for each device."""
    return "filter" if lab.prio else "link"


def folder(lab):
    return Path("/sys/fs/bpf/viscum-%d" % os.stat("/run/netns/" + lab.router).st_ino)


def clients(lab):
    """What is known of clients: {address: (index, MAC of the client, MAC of the router)}, as bytes."""
    pinned = Pinned(os.stat("/run/netns/" + lab.router).st_ino)
    try:
        assert pinned._open_maps()
        found = {}
        for key, value in pinned._read("clients"):
            found[key] = (int.from_bytes(value[32:36], sys.byteorder), value[36:42], value[42:48])
        return found
    finally:
        pinned.close()


def forget(lab):
    """Empties what is known of clients."""
    pinned = Pinned(os.stat("/run/netns/" + lab.router).st_ino)
    try:
        assert pinned._open_maps()
        for key in clients(lab):
            call.map_delete(pinned._maps["clients"], key)
    finally:
        pinned.close()


def mapped(text):
    return bytes(10) + b"\xff\xff" + bytes(int(part) for part in text.split("."))


def forwarded(lab):
    """How many packets the router's IP stack has sent on, by family."""
    text = lab.run(lab.router, "cat", "/proc/self/net/snmp", "/proc/self/net/snmp6").stdout
    lines = [line.split() for line in text.splitlines()]
    names, values = [line for line in lines if line[0] == "Ip:"]
    six = {line[0]: int(line[1]) for line in lines if line[0].startswith("Ip6")}
    return int(values[names.index("ForwDatagrams")]), six["Ip6OutForwDatagrams"]


def index(ns, dev):
    return json.loads(ip("-n", ns, "-j", "link", "show", "dev", dev))[0]["ifindex"]


# Both ways


def test_neither_requests_nor_replies_meet_the_routers_ip_stack(up):
    for address in ADDRESSES:
        for protocol in ("tcp", "udp"):
            up.ask(protocol, address, 7000)  # now the router knows its neighbour
    before = forwarded(up)
    for address in ADDRESSES:
        for protocol in ("tcp", "udp"):
            assert up.ask(protocol, address, 7000)[0] == "edge"
    assert forwarded(up) == before
    row = up.status("echo")
    assert row["datapath"] == "bpf" and row["packets"] > 20 and row["bytes"] > 1000


def test_a_firewall_that_drops_what_conntrack_calls_invalid_breaks_nothing(up):
    rules = "table inet f { chain c { type filter hook forward priority 0; ct state invalid drop; }; }"
    up.ask("tcp", "203.0.113.10", 7000)
    up.run(up.router, "nft", rules)
    assert up.ask("tcp", "203.0.113.10", 7000)[0] == "edge"


def test_what_a_service_sends_by_itself_goes_the_normal_way(up):
    """Its own connections are the router's firewall's business, also those to a client that is known."""
    up.configure(service("echo", EDGE, "list device lan0", *TAKES, "list proto tcp", "list egress any"))
    up.viscum("up")  # with UDP they would come from the taken-over address, and answers go to the cloud
    up.ask("tcp", "203.0.113.10", 7000)
    assert mapped("192.168.77.2") in clients(up)
    up.serve(up.client, "client", 7100)
    before = forwarded(up)[0]
    assert up.ask("tcp", "192.168.77.2", 7100, ns="viscum-echo")[0] == "client"
    assert forwarded(up)[0] > before
    up.run(
        up.router, "nft", "table inet f { chain c { type filter hook forward priority 0; iifname vsc-echo drop; }; }"
    )
    assert up.ask("tcp", "192.168.77.2", 7100, ns="viscum-echo", timeout=0.5)[0] == ""
    assert up.ask("tcp", "203.0.113.10", 7000)[0] == "edge", "replies are no egress"


def test_replies_of_another_port_of_the_service_go_the_normal_way(up):
    """From the taken-over address, but not from the port that is taken."""
    up.configure(service("echo", EDGE, "list device lan0", *TAKES, "list egress any"))
    up.viscum("up")
    up.ask("udp", "203.0.113.10", 7000)
    before = forwarded(up)[0]
    send = "import socket; s = socket.socket(2, 2); s.bind(('203.0.113.10', 7001)); s.sendto(b'x', ('192.168.77.2', 9))"
    up.run("viscum-echo", sys.executable, "-c", send)
    assert forwarded(up)[0] == before + 2, "the packet, and the client's answer that nobody is there"


def test_who_wants_routed_replies_gets_them_and_the_firewall_sees_them(up):
    up.configure(service("echo", EDGE, "list device lan0", *TAKES, "option reply routed"))
    up.viscum("up")
    assert up.viscum("plan").stdout == "# nothing to do\n"
    before = forwarded(up)
    for address in ADDRESSES:
        assert up.ask("tcp", address, 7000)[0] == "edge"
    assert all(now > then for now, then in zip(forwarded(up), before, strict=True))
    drop = "table inet f { chain c { type filter hook forward priority 0; iifname vsc-echo drop; }; }"
    up.run(up.router, "nft", drop)
    assert up.ask("tcp", "203.0.113.10", 7000, timeout=0.5)[0] == ""


# Where a client is


def test_a_client_is_known_with_its_interface_and_both_macs(up):
    up.ask("tcp", "203.0.113.10", 7000)
    place = (index(up.router, "lan0"), packed_mac(up.client), packed_mac(up.router, "lan0"))
    assert clients(up) == {mapped("192.168.77.2"): place}


def test_a_client_whose_neighbour_entry_is_lost_is_answered_past_the_ip_stack_as_well(up):
    up.ask("tcp", "203.0.113.10", 7000)
    for _ in range(3):
        before = forwarded(up)
        ip(
            "-n",
            up.client,
            "neigh",
            "replace",
            "192.168.77.1",
            "dev",
            "eth0",
            "lladdr",
            mac(up.router, "lan0"),
        )
        ip("-n", up.router, "neigh", "del", "192.168.77.2", "dev", "lan0")
        forget(up)
        assert up.ask("tcp", "203.0.113.10", 7000)[0] == "edge"
        assert forwarded(up) == before
        assert mapped("192.168.77.2") in clients(up)


def test_a_client_that_gets_another_mac_is_answered_at_once(up):
    up.ask("tcp", "203.0.113.10", 7000)
    ip("-n", up.client, "link", "set", "eth0", "address", "02:00:5e:00:53:77")
    for address in ADDRESSES:
        assert up.ask("tcp", address, 7000)[0] == "edge"
    assert up.ask("udp", "203.0.113.10", 7000)[0] == "edge"
    wait_for(
        lambda: (
            up.ask("tcp", "203.0.113.10", 7000)
            and clients(up)[mapped("192.168.77.2")][1] == bytes.fromhex("02005e005377")
        ),
    )


def test_who_sends_with_somebody_elses_address_draws_no_replies_away(up):
    """The same MAC with an address that is routed elsewhere, and the right address with another MAC."""
    up.ask("udp", "203.0.113.10", 7000)
    known = clients(up)
    frame = (
        "from scapy.all import *; sendp([Ether(src='02:00:5e:00:53:66', dst='%s')/IP(src=a, dst='203.0.113.10')"
        "/UDP(sport=5, dport=7000)/b'x' for a in ('198.51.100.2', '192.168.77.2')], iface='eth0', verbose=0)"
    )
    gateway = mac(up.router, "lan0")
    up.run(up.client, sys.executable, "-c", frame % gateway)
    found = clients(up)
    assert mapped("198.51.100.2") not in found
    assert found.get(mapped("192.168.77.2"), known[mapped("192.168.77.2")]) == known[mapped("192.168.77.2")]
    assert up.ask("udp", "203.0.113.10", 7000)[0] == "edge"


def test_a_client_that_moves_to_another_interface_is_answered_there(tmp_path, interpreter, datapath):
    with Lab(tmp_path, interpreter, clients=2, datapath=datapath) as lab:
        lab.configure(service("echo", EDGE, "list device lan0", "list device lan1", *TAKES))
        lab.viscum("up")
        lab.ask("tcp", "203.0.113.10", 7000)
        ip("-n", lab.router, "route", "add", "192.168.99.9/32", "dev", "lan0")
        ip("-n", lab.client, "addr", "add", "192.168.99.9/32", "dev", "eth0")
        ask = (sys.executable, "-c", MOVED)
        assert lab.run(lab.client, *ask).stdout == "edge"
        ip("-n", lab.client, "addr", "del", "192.168.99.9/32", "dev", "eth0")
        ip("-n", lab.router, "route", "replace", "192.168.99.9/32", "dev", "lan1")
        ip("-n", lab.clients[1], "addr", "add", "192.168.99.9/32", "dev", "eth0")
        assert lab.run(lab.clients[1], *ask).stdout == "edge"
        assert lab.run(lab.clients[1], *ask).stdout == "edge"
        assert clients(lab)[mapped("192.168.99.9")][0] == index(lab.router, "lan1")


MOVED = """
import socket
with socket.create_connection(("203.0.113.10", 7000), 2, ("192.168.99.9", 0)) as sock:
    sock.sendall(b"x")
    print(sock.recv(100).split()[0].decode(), end="")
"""


@pytest.fixture
def bridged(lab):
    """lan0 becomes the port of a bridge, which has its addresses; a second port leads to the client's other device."""
    lab.bridge()
    lab.serve_cloud(7000)
    return lab


@pytest.mark.parametrize("device", ["br-lan", "lan0"])
def test_a_bridge_and_the_port_of_a_bridge(bridged, device):
    bridged.configure(service("echo", EDGE, "list device " + device, *TAKES))
    bridged.viscum("up")
    for _ in range(2):
        for address in ADDRESSES:
            for protocol in ("tcp", "udp"):
                assert bridged.ask(protocol, address, 7000)[0] == "edge", (protocol, address)
    known = {place[0] for place in clients(bridged).values()}
    assert known == ({index(bridged.router, "br-lan")} if device == "br-lan" else set())


def test_a_client_that_roams_to_another_port_of_a_bridge_is_answered_there(bridged):
    bridged.configure(service("echo", EDGE, "list device br-lan", *TAKES))
    bridged.viscum("up")
    assert bridged.ask("tcp", "203.0.113.10", 7000)[0] == "edge"
    own = mac(bridged.client)
    ip("-n", bridged.client, "link", "del", "eth0")
    peer = ("type", "veth", "peer", "name", "eth0", "netns", bridged.client, "address", own)
    ip("-n", bridged.router, "link", "add", "lan9", *peer)
    ip("-n", bridged.router, "link", "set", "lan9", "up", "master", "br-lan")
    ip("-n", bridged.client, "link", "set", "eth0", "up")
    ip("-n", bridged.client, "addr", "add", "192.168.77.2/24", "dev", "eth0")
    ip("-n", bridged.client, "route", "add", "default", "via", "192.168.77.1")
    for protocol in ("tcp", "udp"):
        assert bridged.ask(protocol, "203.0.113.10", 7000)[0] == "edge"


# What stays


def test_traffic_outlives_the_command_and_down_leaves_no_pin(lab):
    before = snapshot(lab.router)
    lab.configure(service("echo", EDGE, "list device lan0", *TAKES))
    lab.viscum("up")
    names = sorted(pin.name.split("_")[0] for pin in folder(lab).iterdir())
    assert names == sorted([kind(lab)] * 2 + ["map"] * len(layout.MAPS) + ["program"] * 2)
    assert lab.ask("tcp", "203.0.113.10", 7000)[0] == "edge"
    lab.viscum("down")
    assert snapshot(lab.router) == before


def test_who_is_known_reaches_the_cloud_as_soon_as_the_service_is_down(lab):
    """The programs remember which service a client asks, and must not go by that a packet longer than the match is."""
    lab.serve_cloud(7000, 7001)
    two = [("echo", 7000), ("other", 7001)]
    takes = ("list device lan0", "list dest_ip 203.0.113.10", "list dest_ip 2001:db8:cafe::10")
    lab.configure("".join(service(n, echo_command("edge", p), *takes, "list dest_port %d" % p) for n, p in two))
    lab.viscum("up")
    asked = [(protocol, address, port) for protocol in ("tcp", "udp") for address in ADDRESSES for _, port in two]
    for _ in range(2):
        assert {lab.ask(*each)[0] for each in asked} == {"edge"}
    lab.viscum("down", "echo")
    for protocol, address, port in asked:
        assert lab.ask(protocol, address, port)[0] == ("cloud" if port == 7000 else "edge")


def test_who_was_killed_while_matches_changed_has_left_nothing_wrong(up):
    """The generation is 0 then: all is looked up, nothing remembered, until somebody changes matches to the end."""
    pinned = Pinned(os.stat("/run/netns/" + up.router).st_ino)
    assert pinned._open_maps()
    try:
        generation, last, kinds = pinned._state()
        assert generation == last > 0 and kinds == 0
        pinned._set_state(0, last, kinds)
        for _ in range(2):
            assert up.ask("tcp", "203.0.113.10", 7000)[0] == "edge"
        up.configure(service("echo", EDGE, "list device lan0", *TAKES, "list dest_ip 203.0.113.11"))
        up.viscum("up")
        assert pinned._state() == (last + 1, last + 1, 0)
        assert up.ask("tcp", "203.0.113.11", 7000)[0] == "edge"
    finally:
        pinned.close()


def test_a_second_up_loads_and_attaches_nothing(up):
    before = {pin.name: pin.stat().st_ino for pin in folder(up).iterdir()}
    up.configure(service("echo", EDGE, "list device lan0", *TAKES, "list dest_ip 203.0.113.11"))
    up.viscum("up")
    assert {pin.name: pin.stat().st_ino for pin in folder(up).iterdir()} == before
    assert up.ask("tcp", "203.0.113.11", 7000)[0] == "edge"


def test_a_program_of_another_version_is_replaced_and_no_packet_is_lost(up):
    """The old one is this one under another name; UDP, because nothing would repeat a lost packet."""
    client = up.start(
        up.client,
        *(sys.executable, ROOT / "tests/echo.py", "loop", "udp", "203.0.113.10", "7000", "1000", "4"),
        stdout=subprocess.PIPE,
        text=True,
    )
    time.sleep(0.5)
    pinned = Pinned(os.stat("/run/netns/" + up.router).st_ino)
    try:
        assert pinned._open_maps()
        for dev, which in (("lan0", "fwd"), ("vsc-echo", "reply")):
            fd = call.prog_load(ebpf.assemble(which, call.ORDER, pinned._maps), which + "_old")
            if up.prio:
                old = folder(up) / ("old_" + which)
                call.pin(fd, str(old))
                where = ("dev", dev, "ingress", "prio", up.prio, "handle", 1, "protocol", "all")
                what = ("bpf", "direct-action", "object-pinned", old, "classid", "7673:1")
                up.run(up.router, "tc", "filter", "replace", *where, *what)
                old.unlink()
            else:
                link = call.pinned(str(folder(up) / ("link_" + dev)))
                call.link_update(link, fd)
                os.close(link)
            os.close(fd)
    finally:
        pinned.close()
    assert up.viscum("plan").stdout.count("the program becomes") == 2
    up.viscum("up")
    assert up.viscum("plan").stdout == "# nothing to do\n"
    found = json.loads(client.communicate()[0])
    assert found["answered"] == found["sent"] > 3000 and set(found["who"]) == {"edge"}


@pytest.mark.parametrize("what", ["KIND_lan0", "KIND_vsc-echo", "map_exact", "*"])
def test_pins_that_somebody_took_away_come_back_with_up(up, what):
    there = {pin.name for pin in folder(up).iterdir()}
    for pin in list(folder(up).glob(what.replace("KIND", kind(up)))):
        pin.unlink()
    assert up.viscum("plan").stdout != "# nothing to do\n"
    up.viscum("up")
    assert up.viscum("plan").stdout == "# nothing to do\n"
    assert {pin.name for pin in folder(up).iterdir()} == there
    assert up.ask("tcp", "203.0.113.10", 7000)[0] == "edge"
    up.viscum("down")
    assert not folder(up).exists()


@pytest.fixture
def older(up):
    """A lab whose service was made by a version of Viscum with other maps."""
    path = folder(up) / "map_clients"
    path.unlink()
    other = with_(MAPS["clients"], entries=MAPS["clients"].entries // 2)
    fd = call.map_create(other)
    call.pin(fd, str(path))
    os.close(fd)
    assert up.ask("tcp", "203.0.113.10", 7000)[0] == "edge"
    return up


def test_nothing_is_left_of_a_service_that_another_version_made_with_other_maps(older):
    """A program that is still attached would send clients to a pair that is not there any more."""
    older.viscum("down")
    assert not folder(older).exists()
    assert older.ask("tcp", "203.0.113.10", 7000)[0] == "cloud"


def test_a_device_that_a_service_of_another_version_with_other_maps_had_is_left_alone_at_once(older):
    older.configure("config globals 'globals'\n")
    made = Agent(older, "config globals 'globals'\n")
    wait_for(lambda: not folder(older).exists())
    assert older.ask("tcp", "203.0.113.10", 7000)[0] == "cloud"
    assert made.process.poll() is None


def test_what_another_version_made_with_other_maps_is_made_anew(older):
    older.viscum("up")
    assert older.viscum("plan").stdout == "# nothing to do\n"
    assert older.ask("tcp", "203.0.113.10", 7000)[0] == "edge"
    older.viscum("down")
    assert not folder(older).exists()


# Many


def test_the_narrower_match_wins_and_ranges_end_where_they_end(lab):
    lab.serve_cloud(*range(6998, 7013))
    text = service("any", echo_command("any", "6998-"[:4], 7012), "list device lan0", "list dest_port 7012")
    text += service(
        "net", echo_command("net", 7012), "list device lan0", "list dest_ip 203.0.113.0/24", "list dest_port 7012"
    )
    text += service(
        "one", echo_command("one", 7012), "list device lan0", "list dest_ip 203.0.113.11", "list dest_port 7012"
    )
    ports = ("list dest_port 7000-7010", "option target_port 7777")
    text += service("range", echo_command("range", 7777), "list device lan0", "list dest_ip 203.0.113.10", *ports)
    lab.configure(text)
    lab.viscum("up")
    assert lab.viscum("plan").stdout == "# nothing to do\n"
    for protocol in ("tcp", "udp"):
        asked = [lab.ask(protocol, address, 7012)[0] for address in (CLOUD[3], CLOUD[0], CLOUD[1])]
        assert asked == ["any", "net", "one"]
        asked = [lab.ask(protocol, CLOUD[0], port)[0] for port in (6999, 7000, 7005, 7010, 7011)]
        assert asked == ["cloud", "range", "range", "range", "cloud"]
    lab.viscum("down", "net")
    assert [lab.ask("tcp", address, 7012)[0] for address in (CLOUD[0], CLOUD[1])] == ["any", "one"]


def counted(lab):
    """{pair: packets that came in by lan0 for it}"""
    pinned = Pinned(os.stat("/run/netns/" + lab.router).st_ino)
    try:
        lan0 = index(lab.router, "lan0")
        return {pair: found.packets for (source, pair), found in pinned.counters().items() if source == lan0}
    finally:
        pinned.close()


def test_each_service_has_counters_of_its_own_and_they_begin_at_zero(lab):
    """Three services, of which one goes and another takes its place in the array."""
    lab.serve_cloud(7000)
    names = ("a", "b", "c", "d")
    sections = {
        name: service(name, EDGE, "list device lan0", "list dest_ip " + address, "list dest_port 7000")
        for name, address in zip(names, CLOUD, strict=True)
    }

    def ask(name, times):
        for _ in range(times):
            assert lab.ask("udp", CLOUD[names.index(name)], 7000)[0] == "edge"

    lab.configure(sections["a"] + sections["b"] + sections["c"])
    lab.viscum("up")
    pairs = {name: index(lab.router, "vsc-" + name) for name in "abc"}
    ask("a", 1)
    ask("b", 2)
    ask("c", 3)
    assert counted(lab) == {pairs["a"]: 1, pairs["b"]: 2, pairs["c"]: 3}
    lab.configure(sections["a"] + sections["c"] + sections["d"])
    lab.viscum("up")
    pairs["d"] = index(lab.router, "vsc-d")
    assert counted(lab) == {pairs["a"]: 1, pairs["c"]: 3, pairs["d"]: 0}
    ask("d", 1)
    ask("a", 1)
    assert counted(lab) == {pairs["a"]: 2, pairs["c"]: 3, pairs["d"]: 1}


# A kernel that can't


def verified(level, flags):
    """What the verifier says of the two programs; one that it rejects is a failure."""
    visit, fds, said = netns.Visit(), {}, []
    visit.scratch()
    try:
        for one in layout.MAPS:
            fds[one.name] = call.map_create(one)
        for which in ebpf.EVERY:
            code, licence = bytearray(ebpf.assemble(which, call.ORDER, fds)), bytearray(b"GPL\0")
            log, where, size = bytearray(1 << 24), compat.address_of(code), len(code) // 8
            values = (call.PROG_TYPE_SCHED_CLS, size, where, compat.address_of(licence), level, len(log))
            try:
                fds[which] = call._call(call.PROG_LOAD, "IIQQIIQII", *values, compat.address_of(log), 0, flags)
            except OSError:
                pytest.fail(bytes(log).split(b"\0")[0].decode()[-2000:])
            said.append(bytes(log).split(b"\0")[0].decode())
    finally:
        visit.close()
        for fd in fds.values():
            os.close(fd)
    return said


def test_the_programs_are_for_machines_that_must_read_where_a_word_begins_as_well():
    """MIPS and old ARM: the verifier applies their rule everywhere when it is asked to."""
    verified(1, STRICT_ALIGNMENT)


def test_checking_the_programs_is_a_small_part_of_an_up():
    """The verifier follows each path until it meets a state that it knows: about half a microsecond for a step on a PC,
    and once half of an `up`. The more two paths have in common where they meet, the fewer it follows."""
    steps = [int(re.search(r"processed (\d+) insns", text)[1]) for text in verified(VERIFIER_STATISTICS, 0)]
    if tuple(map(int, os.uname().release.split(".")[:2])) >= (6, 18):  # older ones were not measured
        assert sum(steps[: len(ebpf.PROGRAMS)]) < 100000


@in_one_way
def test_without_a_bpf_file_system_the_next_datapath_is_taken_and_the_agent_says_why(lab):
    """Nothing to mount it on: /sys/fs is empty."""
    run("mount", "-t", "tmpfs", "none", "/sys/fs")
    try:
        lab.datapath = "auto"
        agent = Agent(lab, service("echo", EDGE, "list device lan0", *TAKES))
        agent.becomes("edge")
        agent.reload(service("echo", EDGE, "list device lan0", *TAKES, *QUICK))
        agent.becomes("edge")
        lines = [line for line in agent.log.read_text().splitlines() if "instead of 'bpf'" in line]
        assert len(lines) == 1 and "BPF file system" in lines[0], agent.log.read_text()
        assert "mirred" in agent.filters()
        agent.kill()
        lab.viscum("down")
    finally:
        run("umount", "-l", "/sys/fs")


def a_folder(path):
    path.mkdir()
    for name in ("map_exact", "link_lan0", "filter_lan0", "program_fwd"):
        (path / name).mkdir()
    os.chown(path, 65534, 65534)


def a_link(path):
    """To a folder of another program, in which names are as ours."""
    other = path.with_name("other")
    a_folder(other)
    os.chown(other, 0, 0)
    path.symlink_to(other)


def a_link_to_nowhere(path):
    path.symlink_to("nowhere")


def read_only(path):
    run("mount", "-o", "remount,ro", path.parent)


def of_another_kind(path):
    run("mount", "-t", "tmpfs", "none", path.parent)


def mounts_on(path):
    return Path("/proc/self/mounts").read_text().count(" %s " % path)


IN_THE_WAY = {
    a_folder: "a folder for its maps: %s is not Viscum's: remove it",
    a_link: "a folder for its maps: %s is not Viscum's: remove it",
    a_link_to_nowhere: "a folder for its maps: %s is not Viscum's: remove it",
    read_only: "a BPF file system that it can write to (/sys/fs/bpf: Read-only file system)",
    of_another_kind: "a BPF file system that it can write to (/sys/fs/bpf: Operation not permitted)",
}


@pytest.fixture(params=IN_THE_WAY, ids=lambda one: one.__name__)
def in_the_way(request, lab):
    """Something that keeps the agent from pinning: (what it says about it, what takes it away)."""
    path = folder(lab)
    before = mounts_on(path.parent)
    run("mount", "-t", "bpf", "none", path.parent)  # one for the test, over that of all tests

    def take_away():
        while mounts_on(path.parent) > before:
            run("umount", "-l", path.parent)

    request.param(path)
    yield IN_THE_WAY[request.param].replace("%s", str(path)), take_away
    take_away()


@in_one_way
def test_where_nothing_can_be_pinned_the_next_datapath_is_taken_and_a_reload_looks_again(lab, in_the_way):
    """`auto` says why, and what is in the folder stays as it is: it is nobody's business."""
    why, take_away = in_the_way
    lab.datapath = "auto"
    before = run("ls", "-lRn", "/sys/fs/bpf/").stdout
    agent = Agent(lab, service("echo", EDGE, "list device lan0", *TAKES, *QUICK))
    agent.becomes("edge")
    agent.says(why)
    assert lab.status("echo")["datapath"] in ("flower", "u32")
    assert lab.viscum("plan").stdout == "# nothing to do\n"
    assert run("ls", "-lRn", "/sys/fs/bpf/").stdout == before
    take_away()
    agent.reload(service("echo", EDGE, "list device lan0", *TAKES, *QUICK))
    wait_for(lambda: lab.status("echo")["datapath"] == "bpf")
    agent.becomes("edge")
    agent.kill()
    lab.viscum("down")


@in_one_way
def test_where_nothing_can_be_pinned_and_bpf_is_asked_for_the_reason_is_said(lab, in_the_way):
    lab.serve_cloud(7000)
    lab.configure(service("echo", EDGE, "list device lan0", *TAKES))
    for command, code in (("check", 3), ("up", 1)):
        result = lab.viscum(command, check=False)
        assert (
            result.returncode == code and "viscum.echo.datapath: 'bpf' can't be used" in result.stdout + result.stderr
        )
        assert in_the_way[0] in result.stdout + result.stderr
    assert lab.ask("tcp", "203.0.113.10", 7000)[0] == "cloud"


@in_one_way
def test_a_folder_that_comes_in_the_way_later_is_named(lab):
    """After the kernel was asked: between two reloads."""
    lab.serve_cloud(7000)
    made = Agent(lab, service("echo", EDGE, "list device lan9", *TAKES, *QUICK))
    made.says("waiting")
    a_folder(folder(lab))
    try:
        ip("-n", lab.router, "link", "add", "lan9", "type", "veth", "peer", "name", "peer9")
        made.says("%s is not Viscum's: remove it" % folder(lab))
        assert lab.ask("tcp", "203.0.113.10", 7000)[0] == "cloud"
        assert sorted(each.name for each in folder(lab).iterdir()) == [
            "filter_lan0",
            "link_lan0",
            "map_exact",
            "program_fwd",
        ]
    finally:
        made.kill()
        run("rm", "-r", folder(lab))
    lab.viscum("down")


def no_links(program, index, where=0):
    """link_create of a kernel before 6.6, as in tests/without_tcx.py."""
    raise OSError(compat.EINVAL, compat.strerror(compat.EINVAL))


def test_a_kernel_without_tcx_has_everything_else(monkeypatch):
    """What is tried for one feature must not be in the way of another: each has a namespace of its own."""
    found = probe.features()
    monkeypatch.setattr(call, "link_create", no_links)
    assert probe.features() == found._replace(tcx=False, netkit=False)


def test_a_kernel_that_reads_no_maps_in_batches_has_everything_but_bpf(monkeypatch):
    """Before 5.13 it reads none of an array per CPU in one call, before 5.6 none at all: a number that no kernel has
    stands for the call. `auto` then takes another datapath (tests/golden/20_redirect/15_no_bpf.txt)."""
    found = probe.features()
    monkeypatch.setattr(call, "MAP_LOOKUP_BATCH", 250)
    older = probe.features()
    assert older == found._replace(bpf=False, tcx=False, netkit=False, lacks=older.lacks)
    assert older.lacks.startswith("maps (CONFIG_BPF_SYSCALL): ")
    assert plan_datapath.chosen("auto", older).NAME in ("flower", "u32")


@pytest.mark.parametrize("loads", [True, False], ids=["for up", "for status"])
@pytest.mark.parametrize("helper", ["REDIRECT_PEER", "REDIRECT_NEIGH", "FIB_LOOKUP"])
def test_a_kernel_without_a_helper_has_everything_but_bpf(monkeypatch, helper, loads):
    """redirect_peer and redirect_neigh came with 5.10, fib_lookup with 4.18: a number that no kernel has stands for
    it."""
    found = probe.features(loads=loads)
    monkeypatch.setattr(program, helper, 9999)
    older = probe.features(loads=loads)
    assert older == found._replace(bpf=False, tcx=False, netkit=False, lacks=older.lacks)
    assert older.lacks.startswith("what its programs call: ")


@pytest.mark.parametrize("links", ["with links", "without"])
def test_who_only_looks_learns_the_same_without_the_programs(monkeypatch, links):
    if links == "without":
        monkeypatch.setattr(call, "link_create", no_links)
    found = probe.features()
    monkeypatch.setattr(program, "forward", None)  # it can't be made
    assert probe.features(loads=False) == found


@pytest.mark.parametrize("links", ["with links", "without"])
def test_asking_the_kernel_leaves_nothing_behind(lab, monkeypatch, links):
    if links == "without":
        monkeypatch.setattr(call, "link_create", no_links)

    def there():
        return snapshot(lab.router), sorted(os.listdir("/proc/self/fd")), os.readlink(netns.SELF)

    before = there()
    probe.features()
    probe.features(loads=False)
    probe.veth()
    assert there() == before


def test_who_has_no_descriptor_left_learns_nothing_instead_of_something_wrong():
    """For any number of descriptors that are left."""
    found, limits = probe.features(), resource.getrlimit(resource.RLIMIT_NOFILE)
    outcomes, first = [], max(int(each) for each in os.listdir("/proc/self/fd"))
    spare = [os.open("/dev/null", os.O_RDONLY)]
    while spare[-1] < first:  # no gap among the numbers that are taken
        spare.append(os.open("/dev/null", os.O_RDONLY))
    try:
        for left in range(24):
            resource.setrlimit(resource.RLIMIT_NOFILE, (spare[-1] + 1 + left, limits[1]))
            try:
                outcomes.append(probe.features() == found)
            except UnsupportedError:
                outcomes.append(None)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for fd in spare:
            os.close(fd)
    assert set(outcomes) == {True, None}


def test_without_tcx_the_other_datapaths_are_taken_as_well(lab):
    """`auto`'s second and third choice, on a kernel where the first is attached by cls_bpf."""
    for name in ("u32", "flower"):
        if not datapaths.has(name):
            continue
        lab.datapath = name
        lab.configure(service("echo", EDGE, "list device lan0", *TAKES))
        lab.viscum("up")
        assert lab.status("echo")["datapath"] == name
        assert lab.ask("tcp", "203.0.113.10", 7000)[0] == "edge"
        lab.viscum("down")


def test_more_kinds_of_match_than_a_program_looks_at_are_refused_and_the_others_run(lab):
    lab.serve_cloud(7100)
    lines = ["list device lan0", "list proto tcp", "list dest_port 1-65534", "option target_port 7000"]
    prefixes = ["list dest_ip 10.%d.0.0/%d" % (length * 8 % 256, length) for length in range(20, 25)]
    wide = service("wide", echo_command("wide", 7000), *lines, *prefixes)
    lab.configure(service("echo", EDGE, "list device lan0", *TAKES) + wide)
    result = lab.viscum("up", check=False)
    assert result.returncode == 1 and result.stderr.startswith("viscum.wide.dest_ip: makes too many kinds of matches")
    assert lab.ask("tcp", "203.0.113.10", 7000)[0] == "edge"
    assert lab.status("wide")["state"] != "healthy"
