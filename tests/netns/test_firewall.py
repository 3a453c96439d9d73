"""The nftables includes of the package, in a ruleset with firewall4's structure: replies of a service pass, and nothing
else is let through or taken out of connection tracking."""

import pytest
from lab import ROOT, echo_command, service

INCLUDES = ROOT / "files/usr/share/nftables.d"
CASES = [("tcp", "203.0.113.10"), ("udp", "203.0.113.10"), ("tcp", "2001:db8:cafe::10"), ("udp", "2001:db8:cafe::10")]
ECHO = service(
    "echo",
    echo_command("edge", 7000),
    "option datapath u32",
    "list device lan0",
    "list dest_ip 203.0.113.10",
    "list dest_ip 2001:db8:cafe::10",
    "list dest_port 7000",
)

# What a user adds to let services reach the Internet: a zone with `list device 'vsc-+'` and a forwarding to wan.
ZONE_JUMP = 'iifname "vsc-*" jump forward_services'
ZONE = "chain forward_services {\n jump accept_to_wan\n}"

# The order of tables, chains and rules is firewall4's for a router with zones lan and wan, masquerading and
# `option drop_invalid 1`, the strictest setting. Markers in braces: where it puts the files of /usr/share/nftables.d.
RULESET = """
table inet fw4
delete table inet fw4
table inet fw4 {
    chain input {
        type filter hook input priority filter; policy drop;
        iif "lo" accept
        {chain-pre/input}
        ct state vmap { established : accept, related : accept, invalid : drop }
        iifname "lan0" accept
        iifname "wan0" jump input_wan
        jump handle_reject
        {chain-post/input}
    }
    chain forward {
        type filter hook forward priority filter; policy drop;
        {chain-pre/forward}
        ct state vmap { established : accept, related : accept, invalid : drop }
        iifname "lan0" jump forward_lan
        iifname "wan0" jump forward_wan
        {zone jump}
        {chain-post/forward}
        jump handle_reject
    }
    {zone}
    chain output {
        type filter hook output priority filter; policy accept;
        oif "lo" accept
        {chain-pre/output}
        ct state vmap { established : accept, related : accept, invalid : drop }
        {chain-post/output}
    }
    chain handle_reject {
        meta l4proto tcp counter reject with tcp reset
        counter reject with icmpx type port-unreachable
    }
    chain input_wan {
        icmpv6 type { 133, 134, 135, 136 } accept
        jump handle_reject
    }
    chain forward_lan {
        jump accept_to_wan
        oifname "lan0" accept
    }
    chain forward_wan {
        oifname "wan0" jump handle_reject
    }
    chain accept_to_wan {
        meta nfproto ipv4 oifname "wan0" ct state invalid counter drop
        oifname "wan0" counter accept
    }
    chain srcnat {
        type nat hook postrouting priority srcnat; policy accept;
        oifname "wan0" jump srcnat_wan
    }
    chain srcnat_wan {
        meta nfproto ipv4 masquerade
    }
    chain raw_prerouting {
        type filter hook prerouting priority raw; policy accept;
        {chain-post/raw_prerouting}
    }
    chain raw_output {
        type filter hook output priority raw; policy accept;
        {chain-pre/raw_output}
        {chain-post/raw_output}
    }
}
"""

# In the cloud: packets that come in with an address that is the cloud's own.
COUNT = """
table ip seen {
    chain prerouting {
        type filter hook prerouting priority raw
        iifname "eth0" ip saddr 203.0.113.10 counter
    }
}
table ip6 seen {
    chain prerouting {
        type filter hook prerouting priority raw
        iifname "eth0" ip6 saddr 2001:db8:cafe::10 counter
    }
}
"""


def start_firewall(lab, leave_out=None, zone=False):
    """Loads the ruleset in place of what is there. `leave_out` is the directory of an include that is not installed."""
    text = RULESET.replace("{zone jump}", ZONE_JUMP if zone else "").replace("{zone}", ZONE if zone else "")
    for side in ("chain-pre", "chain-post"):
        for chain in ("input", "forward", "output", "raw_prerouting", "raw_output"):
            place = "%s/%s" % (side, chain)
            files = [] if place == leave_out else sorted((INCLUDES / place).glob("*.nft"))
            text = text.replace("{%s}" % place, "\n".join('include "%s"' % file for file in files))
    path = lab.tmp / "ruleset.nft"
    path.write_text(text)
    lab.run(lab.router, "nft", "-f", path)


def connections(lab):
    """What the router's connection tracking knows, without what neighbours and the kernel say to each other."""
    lines = lab.run(lab.router, "cat", "/proc/net/nf_conntrack").stdout.splitlines()
    return [line for line in lines if "icmpv6" not in line]


def answers(lab, timeout=2):
    return [lab.ask(protocol, address, 7000, timeout=timeout)[0] for protocol, address in CASES]


def test_every_include_is_at_a_place_that_firewall4_reads():
    """chain-pre/raw_prerouting looks right, and is not one of them."""
    places = {str(file.parent.relative_to(INCLUDES)) for file in INCLUDES.rglob("*.nft")}
    assert places == {"chain-post/raw_prerouting", "chain-pre/forward", "chain-pre/input"}


def test_redirected_clients_are_answered_through_the_firewall_and_leave_nothing_in_connection_tracking(lab):
    lab.serve_cloud(7000)
    start_firewall(lab)
    lab.configure(ECHO)
    lab.viscum("up")
    assert answers(lab) == ["edge"] * 4
    assert connections(lab) == []
    assert lab.ask("tcp", "203.0.113.11", 7000)[0] == "cloud"
    (line,) = connections(lab)
    assert "src=192.168.77.2" in line and "dst=198.51.100.1" in line, "other traffic is tracked and masqueraded"
    lab.viscum("down")
    assert answers(lab) == ["cloud"] * 4


def test_a_reload_of_the_firewall_harms_no_service(lab):
    start_firewall(lab)
    lab.configure(ECHO)
    lab.viscum("up")
    start_firewall(lab)
    assert answers(lab) == ["edge"] * 4
    assert lab.viscum("plan").stdout == "# nothing to do\n"


@pytest.mark.parametrize(
    "place, answered",
    [
        ("chain-post/raw_prerouting", ["", "", "", ""]),
        ("chain-pre/forward", ["", "", "", ""]),
        ("chain-pre/input", ["edge", "edge", "", ""]),
    ],
    ids=["notrack", "forward", "input"],
)
def test_each_include_is_needed(lab, place, answered):
    start_firewall(lab, leave_out=place)
    lab.configure(ECHO)
    lab.viscum("up")
    assert answers(lab, timeout=0.3) == answered


def test_a_client_behind_wan_is_answered_from_the_routers_own_address(lab):
    """firewall4 drops what is invalid on its way to a masqueraded zone, so there an untracked reply matters most."""
    start_firewall(lab)
    lab.configure(ECHO.replace("lan0", "wan0").replace("203.0.113.10", "198.51.100.1"))
    lab.viscum("up")
    for protocol in ("tcp", "udp"):
        assert lab.ask(protocol, "198.51.100.1", 7000, ns=lab.cloud) == (
            "edge",
            "198.51.100.1" if protocol == "tcp" else "-",
        )
    assert connections(lab) == []


@pytest.mark.parametrize("address, seen", [("203.0.113.11", "198.51.100.1"), ("2001:db8:cafe::11", "fd76:7363:756d:")])
def test_what_a_service_begins_itself_is_tracked_masqueraded_and_needs_a_zone(lab, address, seen):
    lab.serve_cloud(7001)
    lab.configure(ECHO + "\toption proto tcp\n")
    lab.viscum("up")
    ask = ("/usr/bin/python3", ROOT / "tests/echo.py", "ask", "tcp", address, 7001, 1)
    start_firewall(lab)
    assert '["", ' in lab.viscum("exec", "echo", "--", *ask).stdout, "without a zone the firewall rejects it"
    start_firewall(lab, zone=True)
    assert '["cloud", ' in lab.viscum("exec", "echo", "--", *ask).stdout
    (line,) = [line for line in connections(lab) if "dport=7001" in line and "ASSURED" in line]
    assert "dst=" + seen in line, "where the cloud sends its answers to"


def test_no_connection_of_a_service_leaves_with_the_clouds_address(lab):
    """Of a service with UDP everything has the taken-over address as source, replies or not."""
    lab.configure(ECHO)
    lab.viscum("up")
    start_firewall(lab)
    rules = lab.tmp / "count.nft"
    rules.write_text(COUNT)
    lab.run(lab.cloud, "nft", "-f", rules)
    for address in ("203.0.113.11", "2001:db8:cafe::11"):
        ask = ("/usr/bin/python3", ROOT / "tests/echo.py", "ask", "tcp", address, 7001, 0.3)
        assert '["", ' in lab.viscum("exec", "echo", "--", *ask).stdout
    seen = lab.run(lab.cloud, "nft", "list", "chain", "ip", "seen", "prerouting").stdout
    seen += lab.run(lab.cloud, "nft", "list", "chain", "ip6", "seen", "prerouting").stdout
    assert seen.count("packets 0 ") == 2, seen
    assert answers(lab)[::2] == ["edge"] * 2, "while clients are answered"
