"""The nftables includes of the package, among the rules that firewall4 prints: replies of a service pass, and nothing
else is let through or taken out of connection tracking."""

import pytest
from agent import Agent
from firewall import INCLUDES, connections, places, start_firewall
from lab import HANG, ROOT, SILENCE, echo_command, service, wait_for

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

# As firewall4 is shipped, and the strictest: `drop_invalid` and, where this kernel has it, flow offloading. Both
# masquerade.
rulesets = pytest.mark.parametrize("ruleset", ["default", "strict"])

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


# Ten changes a second.
CHANGES = """
nft add table inet blocker
nft add set inet blocker hosts '{ type ipv4_addr; }'
while sleep 0.1; do
    nft add element inet blocker hosts '{ 192.0.2.1 }'
    nft delete element inet blocker hosts '{ 192.0.2.1 }'
done
"""


def answers(lab, timeout=HANG):
    return lab.who([(*case, 7000) for case in CASES], timeout=timeout)


@pytest.mark.parametrize("ruleset", ["default", "strict", "zone"])
def test_firewall4_reads_every_include(ruleset):
    """A file in chain-pre/raw_prerouting, for one, would look right and not be read."""
    ours = sorted(str(file.relative_to(INCLUDES)) for file in INCLUDES.rglob("*.nft"))
    assert sorted(places(ruleset)) == ours and len(ours) == 3


@rulesets
def test_redirected_clients_are_answered_through_the_firewall_and_leave_nothing_in_connection_tracking(lab, ruleset):
    lab.serve_cloud(7000)
    start_firewall(lab, ruleset)
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
    start_firewall(lab, "default")
    lab.configure(ECHO)
    lab.viscum("up")
    start_firewall(lab, "strict")
    assert answers(lab) == ["edge"] * 4
    assert lab.viscum("plan").stdout == "# nothing to do\n"


@pytest.mark.parametrize(
    "place, answered",
    [
        ("chain-post/raw_prerouting", ["cloud", "cloud", "cloud", "cloud"]),
        ("chain-pre/forward", ["cloud", "cloud", "cloud", "cloud"]),
        ("chain-pre/input", ["edge", "edge", "cloud", "cloud"]),
    ],
    ids=["notrack", "forward", "input"],
)
def test_what_would_not_be_answered_without_an_include_stays_with_the_cloud(lab, place, answered):
    lab.serve_cloud(7000)
    start_firewall(lab, "strict", leave_out=place)
    lab.configure(ECHO)
    result = lab.viscum("up", check=False)
    assert (result.returncode, "firewall4 has not loaded the rule" in result.stderr) == (1, True)
    assert answers(lab) == answered


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
    """Nobody looks after the service here, when the firewall becomes another one."""
    lab.configure(ECHO)
    lab.viscum("up")
    start_firewall(lab, "strict", leave_out=place)
    lab.run("viscum-echo", "ip", "neigh", "flush", "all")
    assert answers(lab, SILENCE) == answered


def test_an_agent_sees_what_the_firewall_lets_pass_and_follows_it(lab):
    lab.serve_cloud(7000)
    start_firewall(lab, "strict")
    agent = Agent(lab, ECHO)
    wait_for(lambda: answers(lab, SILENCE) == ["edge"] * 4)
    start_firewall(lab, "strict", leave_out="chain-pre/forward")
    wait_for(lambda: answers(lab, SILENCE) == ["cloud"] * 4)
    agent.says("firewall4 has not loaded the rules that let replies pass")
    start_firewall(lab, "strict")
    wait_for(lambda: answers(lab, SILENCE) == ["edge"] * 4)


def test_an_agent_follows_a_firewall_of_which_something_changes_all_the_time(lab):
    """A set of addresses that somebody blocks and lets go again, for instance: there is no moment of rest."""
    lab.serve_cloud(7000)
    start_firewall(lab, "strict")
    Agent(lab, ECHO)
    wait_for(lambda: answers(lab, SILENCE) == ["edge"] * 4)
    (lab.tmp / "busy.sh").write_text(CHANGES)
    lab.start(lab.router, "sh", lab.tmp / "busy.sh")
    start_firewall(lab, "strict", leave_out="chain-pre/forward")
    wait_for(lambda: answers(lab, SILENCE) == ["cloud"] * 4)


@rulesets
@pytest.mark.parametrize("address", ["198.51.100.1", "2001:db8:100::1"])
def test_a_client_behind_wan_is_answered_from_the_routers_own_address(lab, ruleset, address):
    """firewall4 drops what is invalid on its way to a masqueraded zone, so there an untracked reply matters most."""
    start_firewall(lab, ruleset)
    takes = ("list device wan0", "list dest_ip " + address, "list dest_port 7000")
    lab.configure(service("echo", echo_command("edge", 7000), "option datapath u32", *takes))
    lab.viscum("up")
    assert lab.ask("tcp", address, 7000, ns=lab.cloud) == ("edge", address)
    assert lab.ask("udp", address, 7000, ns=lab.cloud)[0] == "edge"
    assert connections(lab) == []


@pytest.mark.parametrize("address, seen", [("203.0.113.11", "198.51.100.1"), ("2001:db8:cafe::11", "fd76:7363:756d:")])
def test_what_a_service_begins_itself_needs_egress_and_a_zone_and_is_tracked_and_masqueraded(lab, address, seen):
    lab.serve_cloud(7001)
    lab.configure(ECHO + "\toption proto tcp\n\tlist egress wan\n")
    lab.viscum("up")
    ask = ("/usr/bin/python3", ROOT / "tests/echo.py", "ask", "tcp", address, 7001, 1)
    start_firewall(lab, "strict")
    assert '["", ' in lab.viscum("exec", "echo", "--", *ask).stdout, "without a zone the firewall rejects it"
    start_firewall(lab, "zone")
    assert '["cloud", ' in lab.viscum("exec", "echo", "--", *ask).stdout
    (line,) = [line for line in connections(lab) if "dport=7001" in line and "ASSURED" in line]
    assert "dst=" + seen in line, "where the cloud sends its answers to"
    lab.configure(ECHO + "\toption proto tcp\n")
    lab.viscum("up")
    assert '["", ' in lab.viscum("exec", "echo", "--", *ask).stdout, "without egress nothing reaches the firewall"


def test_no_connection_of_a_service_leaves_with_the_clouds_address(lab):
    """Of a service with UDP everything has the taken-over address as source, replies or not."""
    lab.configure(ECHO)
    lab.viscum("up")
    start_firewall(lab, "strict")
    rules = lab.tmp / "count.nft"
    rules.write_text(COUNT)
    lab.run(lab.cloud, "nft", "-f", rules)
    for address in ("203.0.113.11", "2001:db8:cafe::11"):
        ask = ("/usr/bin/python3", ROOT / "tests/echo.py", "ask", "tcp", address, 7001, 0.3)
        assert '["", ' in lab.viscum("exec", "echo", "--", *ask).stdout
    seen = lab.run(lab.cloud, "nft", "list", "chain", "ip", "seen", "prerouting").stdout
    seen += lab.run(lab.cloud, "nft", "list", "chain", "ip6", "seen", "prerouting").stdout
    assert seen.count("packets 0 ") == 2, seen
    assert answers(lab, SILENCE)[::2] == ["edge"] * 2, "while clients are answered"


def test_chains_of_somebody_else_at_the_ingress_hook_are_no_trouble(lab):
    """In a table of the inet family (kernel 5.10): they have a hook that others do not have."""
    chain = "{ type filter hook ingress device lan0 priority 0; }"
    lab.run(lab.router, "nft", "add table inet theirs; add chain inet theirs early " + chain)
    lab.configure(ECHO)
    lab.viscum("up")
    assert lab.ask("tcp", "203.0.113.10", 7000)[0] == "edge"
