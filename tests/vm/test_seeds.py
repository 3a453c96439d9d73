"""The rules of the two documents that Viscum comes from, each made by a service section, against a client's traffic.

The slides: flower with a classid on a destination address, skbmod of the destination MAC, mirred to the veth. The
licence plate proof of concept, step 4: u32 on TCP and port 12345, packet type host, both MACs, mirred. Its text says
destination port, with a full mask, where its command says otherwise.
"""

import json
import re
import sys

import pytest
from lab import MICROPYTHON, echo_command, mac, run, service


@pytest.fixture(autouse=True)
def flower(lab):
    """The datapath of the slides, where a test says no other: newer kernels have a faster one."""
    lab.datapath = "flower"


SENDER = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for number in range(int(sys.argv[3])):
    sock.sendto(b"x" * 100, (sys.argv[1], int(sys.argv[2])))
"""


def filters(lab, dev="lan0"):
    """Our filters on a device, each as the text of tc (whose JSON of skbmod, in iproute2 6.1, is none)."""
    text = lab.run(lab.router, "tc", "-s", "filter", "show", "dev", dev, "ingress").stdout
    return [block for block in text.split("filter protocol ") if "action order" in block]


def packets(item):
    """What the last action of a filter has seen."""
    return int(re.findall(r"Sent \d+ bytes (\d+) pkt", item)[-1])


def actions(item):
    return re.findall(r"action order \d+: +(\w+)", item)


def send(lab, address, port, count):
    lab.run(lab.client, sys.executable, "-c", SENDER, address, port, count)


def count_frames(ns, *match):
    """Counts frames that come in on eth0 of a namespace, with nft: the kernel's word, not ours."""
    base = ("nsenter", "--net=/run/netns/" + ns, "nft")
    run(*base, "add table netdev probe")
    run(*base, 'add chain netdev probe in { type filter hook ingress device "eth0" priority 10; }')
    run(*base, "add rule netdev probe in %s counter" % " ".join(match))
    return lambda: [
        rule["rule"]["expr"][-1]["counter"]["packets"]
        for rule in json.loads(run(*base, "-j", "list table netdev probe").stdout)["nftables"]
        if "rule" in rule
    ][0]


def test_the_rule_of_the_slides(lab):
    lab.configure(
        service(
            "slides",
            echo_command("edge", 7000),
            *("list device lan0", "list dest_ip 203.0.113.10", "option proto any", "option datapath flower"),
        )
    )
    lab.viscum("up")
    (item,) = filters(lab)
    assert item.startswith("ip pref 3 flower")
    assert "classid 7673:1" in item
    assert "eth_type ipv4\n  dst_ip 203.0.113.10\n  not_in_hw" in item, "and no other key"
    assert actions(item) == ["skbmod", "mirred"]
    assert "skbmod pipe set dmac " + mac("viscum-slides") in item
    assert "Egress Redirect to device vsc-slides" in item
    arrived = count_frames("viscum-slides", "ether", "daddr", mac("viscum-slides"), "ip", "daddr", "203.0.113.10")
    send(lab, "203.0.113.10", 9, 50)
    send(lab, "203.0.113.11", 9, 30)
    lab.run(lab.client, "ping", "-c", "7", "-i", "0.1", "203.0.113.10")
    (item,) = filters(lab)
    assert packets(item) == 57
    assert arrived() == 57
    assert lab.status("slides")["packets"] == 57
    assert lab.ask("tcp", "203.0.113.10", 7000) == ("edge", "203.0.113.10")


def test_step_4_of_the_proof_of_concept(lab):
    lab.configure(
        service(
            "plates",
            echo_command("edge", "tcp/12345"),
            *("list device lan0", "list proto tcp", "option family ipv4", "list dest_port 12345"),
            *("option datapath u32", "option rewrite both"),
        )
    )
    lab.viscum("up")
    (item,) = filters(lab)
    assert item.startswith("ip pref 5 u32")
    assert actions(item) == ["skbedit", "skbmod", "mirred"]
    host, inner = mac(lab.router, "vsc-plates"), mac("viscum-plates")
    for words in ("ptype host", "set dmac " + inner, "set smac " + host, "Egress Redirect to device vsc-plates"):
        assert words in item, item
    assert "match 00060000/00ff0000 at 8" in item and "match 00003039/0000ffff at 20" in item
    arrived = count_frames("viscum-plates", "ether", "saddr", host, "ether", "daddr", inner, "tcp", "dport", "12345")
    run("nsenter", "--net=/run/netns/" + lab.client, "nft", "add table ip probe")
    run(
        "nsenter",
        "--net=/run/netns/" + lab.client,
        "nft",
        "add chain ip probe out { type filter hook output priority 0; }",
    )
    run("nsenter", "--net=/run/netns/" + lab.client, "nft", "add rule ip probe out tcp dport 12345 counter")
    for address in ("203.0.113.10", "198.18.5.5"):
        assert lab.ask("tcp", address, 12345, timeout=10)[0] == "edge"
    send(lab, "203.0.113.10", 12345, 20)  # UDP: not taken
    text = run("nsenter", "--net=/run/netns/" + lab.client, "nft", "-j", "list table ip probe").stdout
    (sent,) = [
        each["rule"]["expr"][-1]["counter"]["packets"] for each in json.loads(text)["nftables"] if "rule" in each
    ]
    (item,) = filters(lab)
    assert sent >= 10, "two connections"
    assert (packets(item), arrived()) == (sent, sent)


def test_flower_is_what_auto_takes_here(lab):
    lab.configure(
        service(
            "echo", echo_command("edge", 7000), "list device lan0", "list dest_ip 203.0.113.10", "list dest_port 7000"
        )
    )
    lab.viscum("up")
    assert [" flower " in item for item in filters(lab)] == [True, True], "TCP and UDP"
    for protocol in ("tcp", "udp"):
        assert lab.ask(protocol, "203.0.113.10", 7000, timeout=10)[0] == "edge"
    assert lab.viscum("plan").stdout == "# nothing to do\n"
    lab.viscum("down")
    assert lab.run(lab.router, "tc", "qdisc", "show", "dev", "lan0").stdout.count("clsact") == 0


def test_every_shape_of_match_works_with_flower(lab):
    lines = {
        "prefix": ("list dest_ip 203.0.113.0/24", "list dest_port 7000"),
        "range": ("list dest_ip 2001:db8:cafe::10", "list dest_port 7001-7003"),
        "any": ("list dest_port 7004",),
        "target": ("list dest_ip 198.18.5.5", "list dest_port 443", "option target_port 7005"),
        "source": ("list dest_ip 203.0.113.11", "list dest_port 7006", "list src_ip 192.168.77.0/24"),
    }
    ports = {"prefix": 7000, "range": 7002, "any": 7004, "target": 7005, "source": 7006}
    lab.configure(
        "".join(
            service(name, echo_command(name, ports[name]), "list device lan0", *lines[name]) for name in sorted(lines)
        )
    )
    lab.viscum("up")
    for name, address, port in (
        ("prefix", "203.0.113.12", 7000),
        ("range", "2001:db8:cafe::10", 7002),
        ("any", "2001:db8:cafe::11", 7004),
        ("any", "198.18.5.5", 7004),
        ("target", "198.18.5.5", 443),
        ("source", "203.0.113.11", 7006),
    ):
        for protocol in ("tcp", "udp"):
            assert lab.ask(protocol, address, port, timeout=10)[0] == name, (name, protocol)
    assert lab.viscum("plan").stdout == "# nothing to do\n"


def test_the_agent_under_micropython_makes_the_same_here(lab):
    lab.configure(
        service(
            "echo", echo_command("edge", 7000), "list device lan0", "list dest_ip 203.0.113.10", "list dest_port 7000"
        )
    )
    lab.viscum("up", interpreter=MICROPYTHON)
    assert [" flower " in item for item in filters(lab)] == [True, True], "TCP and UDP"
    assert lab.viscum("plan").stdout == "# nothing to do\n", "CPython finds it as it would have made it"
    assert lab.ask("tcp", "203.0.113.10", 7000, timeout=10)[0] == "edge"
    lab.viscum("down", interpreter=MICROPYTHON)
