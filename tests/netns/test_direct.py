"""Replies past the router's IP stack with the classifiers of tc(8), in the topology of the licence-plate example
(tests/hops.py). Kernels that can't rewrite MACs refuse all this; those of the guest can (tests/vm/run.sh
tests/netns/test_direct.py).
"""

import json

import datapaths
import pytest
from agent import Served
from hops import EDGE, Hop, add_camera, by_prio, close_the_firewall, counted, ip_stack
from lab import CPYTHON, HANG, MICROPYTHON, echo_command, in_namespace, ip, kill, mac, service, snapshot, wait_for

from viscum_agent.config.service import Match
from viscum_agent.kernel import open_backend
from viscum_agent.plan.datapath import u32
from viscum_agent.plan.diff import diff
from viscum_agent.plan.direct import REPLIES, REQUESTS
from viscum_agent.records.objects import (
    NS_SYSCTLS,
    PRIO_ANY,
    Address,
    AnyLocal,
    Counting,
    Namespace,
    Pair,
    Qdisc,
    Route,
    Sysctl,
    Up,
)

PORT, CLOUD = 12345, "203.0.113.10"
PATIENCE = 10  # seconds for an answer in the guest
CLASSIFIERS = [name for name in ("u32", "flower") if datapaths.has(name)]
REWRITES = bool(CLASSIFIERS) and datapaths.has_features("skbmod", "skbedit")

rewrites = pytest.mark.skipif(not REWRITES, reason="this kernel has no act_skbmod or act_skbedit")


def in_turn(*interpreters):
    """One for each classifier: in a guest each with each takes ten minutes."""
    pairs = list(zip(CLASSIFIERS, interpreters, strict=False))
    return pytest.mark.parametrize("classifier, interpreter", pairs, ids=CLASSIFIERS)


@pytest.fixture
def camera(lab):
    return add_camera(lab)


def plates(classifier, *lines, program=("edge", "tcp/%d" % PORT)):
    own = ("list device lan0", "list proto tcp", "list dest_port %d" % PORT, "option reply direct")
    return service("plates", echo_command(*program), "option datapath " + classifier, *own, *lines)


def answered(lab, camera, who, address=CLOUD, protocol="tcp"):
    """Waits until the camera is answered by somebody."""
    wait_for(lambda: lab.ask(protocol, address, PORT, ns=camera, timeout=PATIENCE)[0] == who)


@rewrites
@in_turn(MICROPYTHON, CPYTHON)
def test_an_exchange_is_seen_at_each_hop_and_nowhere_in_the_routers_ip_stack(lab, camera, classifier):
    edge = mac(lab.client)
    agent = Served(
        lab, plates(classifier, "option family ipv4", "option nexthop_mac " + edge, "option health_interval 3600")
    )
    answered(lab, camera, "edge")
    agent.has_done_all()
    close_the_firewall(lab, PORT)
    ns = "viscum-plates"
    places = {"lan0": (lab.router, "lan0"), "host": (lab.router, "vsc-plates"), "inner": (ns, "eth0")}
    hops = {name: Hop(*place, PORT) for name, place in places.items()}
    hops["edge"] = Hop(lab.client, "eth0", PORT)
    for hop in hops.values():
        hop.segments()  # of the first check, and of whoever asked until now
    before = {name: counted(lab, *place) for name, place in places.items()}
    stack = ip_stack(lab)
    for address in (CLOUD, "198.18.5.5", CLOUD):
        assert lab.ask("tcp", address, PORT, ns=camera, timeout=HANG) == ("edge", address), (
            "from the address that was asked"
        )
    seen = {name: hop.segments() for name, hop in hops.items()}
    now = {name: counted(lab, *place) for name, place in places.items()}
    found = {name: dict(now[name] - before[name]) for name in now}
    assert ip_stack(lab) == stack

    there = [each for each in seen["lan0"] if not each.out]
    back = [each for each in seen["lan0"] if each.out]
    assert len(there) >= 9 and len(back) >= 6, "three connections"
    assert found["lan0"] == {5: len(there)}
    assert {(each.to, each.by) for each in back} == {(edge, mac(lab.router, "lan0"))}
    assert back == [each._replace(out=True) for each in seen["edge"] if not each.out]

    came_in = [each for each in seen["inner"] if not each.out]
    assert {(each.to, each.by) for each in came_in} == {(mac(ns), mac(lab.router, "vsc-plates"))}
    kinds = by_prio(came_in)
    assert found["inner"] == dict(kinds) and kinds[1] == 3 and sum(kinds.values()) == len(there)

    replies = by_prio(each for each in seen["host"] if not each.out)
    assert found["host"] == dict(replies) and replies[3] == 3 and sum(replies.values()) == len(back)

    (row,) = json.loads(agent.viscum("status", "--json").stdout)
    assert row["direct"] == {
        **{"syn": now["inner"][1], "ack": now["inner"][3], "other": now["inner"][5]},
        **{"syn_ack": now["host"][3], "replies": now["host"][5]},
    }
    for hop in hops.values():
        hop.close()


@rewrites
@in_turn(CPYTHON, MICROPYTHON)
def test_a_next_hop_is_learned_and_followed(lab, camera, classifier):
    lab.serve_cloud(PORT)
    agent = Served(lab, plates(classifier, "option nexthop " + EDGE))
    answered(lab, camera, "edge")
    agent.has_done_all()
    pid = agent.call("status")["services"]["plates"]["pid"]
    ip("-n", lab.client, "link", "set", "eth0", "address", "02:00:5e:00:53:42")
    lab.run(lab.client, "ping", "-c", "1", "192.168.77.1")  # it tells its neighbours
    wait_for(lambda: "set dmac 02:00:5e:00:53:42" in lab.redirects("vsc-plates"))
    answered(lab, camera, "edge")
    answered(lab, camera, "edge", "2001:db8:cafe::10")
    assert agent.call("status")["services"]["plates"]["pid"] == pid
    ip("-n", lab.client, "link", "set", "eth0", "down")
    ip("-n", lab.router, "neigh", "flush", "dev", "lan0")
    wait_for(lambda: "does not answer at lan0" in agent.call("status")["services"]["plates"]["reason"])


@rewrites
@in_turn(CPYTHON, MICROPYTHON)
def test_a_camera_reaches_the_cloud_while_the_program_does_not_answer_and_nothing_is_left_in_the_end(
    lab, camera, classifier
):
    lab.serve_cloud(PORT)
    answered(lab, camera, "cloud")
    before = snapshot(lab.router)
    agent = Served(lab, plates(classifier, "option nexthop " + EDGE))
    answered(lab, camera, "edge")
    agent.viscum("bypass", "plates")
    answered(lab, camera, "cloud")
    agent.viscum("bypass", "plates", "--off")
    answered(lab, camera, "edge")
    agent.viscum("stop", "plates")
    answered(lab, camera, "cloud")
    wait_for(lambda: snapshot(lab.router) == before)
    agent.viscum("start", "plates")
    answered(lab, camera, "edge")
    agent.reload(plates(classifier).replace("option reply direct", "option reply auto"))
    agent.has_done_all()
    answered(lab, camera, "edge")
    assert "clsact" not in lab.run("viscum-plates", "tc", "qdisc").stdout
    assert "qdisc" not in lab.run(lab.router, "tc", "qdisc", "show", "dev", "vsc-plates", "clsact").stdout
    assert lab.run("viscum-plates", "ip", "rule").stdout.splitlines()[0].startswith("0:")


@rewrites
@in_turn(CPYTHON, MICROPYTHON)
def test_udp_is_answered_past_the_ip_stack_as_well(lab, camera, classifier):
    edge = mac(lab.client)
    lines = ("list proto udp", "option family ipv4", "option nexthop_mac " + edge, "list src_ip 192.168.90.0/24")
    lines += ("list dest_ip 203.0.113.10", "list dest_ip 198.18.0.0/15")
    Served(lab, plates(classifier, *lines, program=("edge", PORT)))
    answered(lab, camera, "edge", "198.18.5.5", "udp")
    close_the_firewall(lab, PORT)
    for address in (CLOUD, "198.18.5.5"):
        assert lab.ask("udp", address, PORT, ns=camera, timeout=HANG)[0] == "edge"
    assert set(ip_stack(lab)[1]) == {0}


@pytest.mark.skipif(REWRITES or not CLASSIFIERS, reason="this kernel can rewrite MACs")
def test_a_kernel_that_can_not_rewrite_macs_refuses_and_the_cloud_answers(lab):
    lab.serve_cloud(PORT)
    lab.configure(plates("u32", "option nexthop " + EDGE))
    result = lab.viscum("up", check=False)
    assert result.returncode == 1
    assert (
        "viscum.plates.reply: 'direct' needs act_skbmod, which this kernel lacks: install kmod-sched" in result.stderr
    )
    assert lab.ask("tcp", CLOUD, PORT, timeout=HANG)[0] == "cloud"


@pytest.mark.skipif(REWRITES or "u32" not in CLASSIFIERS, reason="this kernel has no cls_u32, or shows more above")
@pytest.mark.parametrize("interpreter", [CPYTHON], ids=["cpython"])
def test_where_all_macs_fit_already_the_same_filters_carry_an_exchange_without_a_rewrite(lab, camera):
    """What there is to see of direct replies on any kernel: the filters, and a namespace to which all addresses belong.
    Its device has the MAC that the edge router sends to, and replies go to one that is the edge router's."""
    ns, dev = "viscum-x", "vsc-x"
    pair = Pair(dev, ns, "eth0", 1500, mac(lab.client), mac(lab.router, "lan0"), "viscum x", "veth")
    made = [Namespace(ns), Up(ns, "lo"), *[Sysctl(ns, key, value) for key, value in NS_SYSCTLS], pair, Qdisc(dev)]
    replies, counted_ones = [], []
    for family, own, host, length in ((4, "10.213.0.2", "10.213.0.1", 30), (6, "fd76::2", "fd76::1", 126)):
        match = Match(family, "tcp", None, (PORT, PORT), None, 0, "", "")
        made += [Address("", dev, "%s/%d" % (host, length)), Address(ns, "eth0", "%s/%d" % (own, length))]
        made += [Route(ns, family, "default", host, "eth0", ""), AnyLocal(ns, family, own)]
        for level, flags in REPLIES["tcp"]:
            replies += u32.flows(dev, match, level, (("mirred", "lan0"),), flags, True)
        for level, flags in REQUESTS["tcp"]:
            counted_ones += u32.flows("eth0", match, level, (), flags)
        made += u32.flows("lan0", match, PRIO_ANY, (("mirred", dev),))
    redirect = [item for item in made if getattr(item, "dev", "") == "lan0"]
    steps = [item for item in made if item not in redirect] + replies + [Counting(ns, "eth0", tuple(counted_ones))]

    def apply(items):
        with open_backend("native") as backend:
            backend.apply(diff(items, []))

    in_namespace(lab.router, lambda: apply(steps))
    program = lab.serve(ns, "edge", "tcp/%d" % PORT)
    in_namespace(lab.router, lambda: apply([Qdisc("lan0"), *redirect]))
    answered(lab, camera, "edge")
    close_the_firewall(lab, PORT)
    stack = ip_stack(lab)
    for address in (CLOUD, "198.18.5.5", "192.0.2.77", "2001:db8:cafe::10"):
        assert lab.ask("tcp", address, PORT, ns=camera, timeout=HANG) == ("edge", address)
    assert ip_stack(lab) == stack
    kill(program)
    ip("netns", "del", ns)
