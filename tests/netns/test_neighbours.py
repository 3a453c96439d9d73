"""Next hops among the router's neighbours: what is known of them (kernel/neighbours.py), and what that leads to."""

import json
import os
import time

import pytest
from lab import Lab, ip, mac, run, wait_for

from viscum_agent import address, compat
from viscum_agent.kernel import neighbours, rtnl
from viscum_agent.kernel.netns import SELF
from viscum_agent.reconcile import PROGRAMS, Reconciler
from viscum_agent.records import with_
from viscum_agent.records.facts import EVERYTHING

HOP, HOP6, OTHER, MAC = "192.168.77.2", "2001:db8:77::2", "192.168.78.2", "02:00:5e:00:53:42"


@pytest.fixture
def router(tmp_path):
    """A lab with two client networks, and this thread in its router's namespace."""
    with Lab(tmp_path, clients=2) as lab:
        home = os.open(SELF, os.O_RDONLY)
        with open("/run/netns/" + lab.router) as file:
            compat.setns(file.fileno())
        try:
            yield lab
        finally:
            compat.setns(home)
            os.close(home)


def place(hop, dev="lan0"):
    (link,) = json.loads(run("ip", "-j", "link", "show", "dev", dev).stdout)
    return link["ifindex"], address.parse_address(hop)


def table(dev):
    return {each["dst"] for each in json.loads(run("ip", "-j", "neigh", "show", "dev", dev).stdout)}


def neigh(words):
    run("ip", "neigh", *words.split())


# What is known of them


def test_one_that_nobody_has_asked_for_is_known_after_the_first_look(router):
    places = [place(HOP), place(HOP6)]
    neigh("flush dev lan0")
    hops = neighbours.Hops()
    assert hops.macs(places) == dict.fromkeys(places, mac(router.client))


def test_only_the_device_that_is_named_is_asked_and_counts(router):
    """Whoever is behind another one may have the same address."""
    ip("-n", router.clients[1], "addr", "add", HOP, "dev", "eth0")
    neigh("replace %s dev lan1 lladdr %s" % (HOP, MAC))
    hops = neighbours.Hops()
    assert hops.macs([place(HOP)])[place(HOP)] == mac(router.client)
    neigh("flush dev lan0")
    assert hops.macs([place(OTHER, "lan1")])[place(OTHER, "lan1")] == mac(router.clients[1])
    assert not table("lan0").intersection({OTHER, HOP}) and OTHER in table("lan1")


def test_no_entry_says_nothing_until_nobody_has_answered_for_a_while(router, monkeypatch):
    monkeypatch.setattr(neighbours, "PATIENCE", 0.5)
    ip("-n", router.client, "link", "set", "eth0", "arp", "off")
    neigh("flush dev lan0")
    hops, began = neighbours.Hops(), time.monotonic()
    assert hops.macs([place(HOP)]) == {place(HOP): None}
    assert time.monotonic() - began < 0.5
    wait_for(lambda: hops.macs([place(HOP)]) == {place(HOP): ""})
    assert time.monotonic() - began > 0.5
    neigh("flush dev lan0")
    began = time.monotonic()
    assert hops.macs([place(HOP)]) == {place(HOP): ""}, "a forgotten failure is no news"
    assert time.monotonic() - began < neighbours.WAIT, "no look waits for it again"
    ip("-n", router.client, "link", "set", "eth0", "arp", "on")
    wait_for(lambda: hops.macs([place(HOP)]) == {place(HOP): mac(router.client)})


def test_one_that_failed_does_not_answer_and_is_asked_again(router):
    hops = neighbours.Hops()
    assert hops.macs([place(HOP)])[place(HOP)]
    ip("-n", router.client, "link", "set", "eth0", "arp", "off")
    neigh("change %s dev lan0 nud failed" % HOP)
    hops._since[place(HOP)] = time.monotonic()  # it was asked for by an earlier look
    assert hops.macs([place(HOP)]) == {place(HOP): ""}
    ip("-n", router.client, "link", "set", "eth0", "arp", "on")
    wait_for(lambda: hops.macs([place(HOP)])[place(HOP)])


def test_a_device_that_is_gone_and_no_next_hops_at_all(router):
    gone = (9999, address.parse_address(HOP))
    hops = neighbours.Hops()
    assert hops.macs([gone]) == {gone: None}
    assert hops.macs([]) == {}


def test_the_address_of_all_is_nobodys(router):
    assert neighbours.Hops().macs([place("192.168.77.255")]) == {place("192.168.77.255"): ""}


def test_a_kernel_that_tells_of_no_neighbour_by_itself_knows_none(router, monkeypatch):
    """The real one refuses a number that none has, as an older one does this."""
    monkeypatch.setattr(rtnl, "RTM_GETNEIGH", 126)
    assert neighbours.Hops().macs([place(HOP)]) == {place(HOP): None}


# From a router to the plan


PLATES = """config service 'plates'
	option enabled '1'
	option command '/bin/true'
	list device '%s'
	list proto 'tcp'
	list dest_port '12345'
	option datapath '%s'
	option reply 'direct'
	option nexthop '%s'
"""


def planned(lab, text):
    """What the agent would make there, if the kernel could rewrite MACs: (MACs of replies, problems, who is asked)."""
    (lab.confdir / "viscum").write_text(text)
    with Reconciler(str(lab.confdir)) as agent:
        agent.features = with_(EVERYTHING, bpf="'bpf'" in text)
        agent._asked = PROGRAMS
        snapshot = agent.look()
        items = [item for part in snapshot.plan.services for item in part.items if hasattr(item, "actions")]
        actions = [action for item in items if item.dev == "vsc-plates" for action in item.actions]
        found = {action[1] for action in actions if action[0] == "skbmod"}
        return found, [problem.message for problem in snapshot.plan.problems], set(agent.macs)


def test_the_first_plan_has_the_mac_of_the_next_hop(router):
    neigh("flush dev lan0")
    assert planned(router, PLATES % ("lan0", "u32", HOP)) == ({mac(router.client)}, [], {place(HOP)})


def test_the_neighbour_of_a_bridges_port_is_that_bridges(router):
    ip("link", "add", "br-lan", "type", "bridge")
    ip("link", "set", "lan1", "master", "br-lan")
    ip("addr", "add", "192.168.78.1/24", "dev", "br-lan")
    ip("link", "set", "br-lan", "up")
    neigh("replace %s dev lan0 lladdr %s" % (OTHER, MAC))
    found, problems, _ = planned(router, PLATES % ("lan1", "u32", OTHER))
    assert (found, problems) == ({mac(router.clients[1])}, [])


def test_nobody_is_asked_for_where_no_filter_needs_a_next_hop(router):
    neigh("flush dev lan0")
    text = PLATES % ("lan0", "u32", HOP)
    off = text.replace("enabled '1'", "enabled '0'")
    for each in (PLATES % ("lan0", "bpf", HOP), off, "config globals\n\toption enabled '0'\n" + text):
        assert planned(router, each)[2] == set()
    assert HOP not in table("lan0")


def test_a_next_hop_that_is_nowhere_leaves_the_clients_to_the_cloud(router):
    found, problems, asked = planned(router, PLATES % ("lan0", "u32", "192.168.77.9"))
    assert found == set() and asked == {place("192.168.77.9")}
    assert "does not answer at lan0" in problems[0]
