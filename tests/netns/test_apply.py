"""Apply is idempotent, whole or not at all, and a good neighbour."""

import json

import pytest
from lab import PROGRAMS, echo_command, ip, namespaces, run, service, snapshot

pytestmark = pytest.mark.usefixtures("datapath")

PORTS = {"a": 7001, "b": 7002, "c": 7003}


def three_services():
    return "".join(
        service(
            name,
            echo_command("edge-" + name, port),
            "list device lan0",
            "list dest_ip 203.0.113.10",
            "list dest_port %d" % port,
        )
        for name, port in sorted(PORTS.items())
    )


def answers(lab):
    return lab.who([("tcp", "203.0.113.10", port) for _, port in sorted(PORTS.items())])


def processes():
    """The programs of this test run's services: PROGRAMS has its own path."""
    found = run("ps", "-eo", "args", "--no-headers").stdout.splitlines()
    return sorted(line for line in found if str(PROGRAMS) in line)


def pids(lab):
    return {row["name"]: row["pids"] for row in json.loads(lab.viscum("status", "--json").stdout)}


def test_the_second_plan_is_empty_and_a_second_up_changes_nothing(lab):
    lab.configure(three_services())
    assert lab.viscum("up").stdout.split() == ["a:", "up", "b:", "up", "c:", "up"]
    before = snapshot(lab.router), pids(lab)
    assert lab.viscum("plan").stdout == "# nothing to do\n"
    assert lab.viscum("up").stdout == ""
    assert (snapshot(lab.router), pids(lab)) == before


def test_down_leaves_no_trace(lab):
    before = snapshot(lab.router), namespaces(), processes()
    lab.configure(three_services())
    lab.viscum("up")
    assert snapshot(lab.router) != before[0]
    lab.viscum("down")
    assert (snapshot(lab.router), namespaces(), processes()) == before


def test_one_service_goes_down_and_the_others_stay(lab):
    lab.serve_cloud(7002)
    lab.configure(three_services())
    lab.viscum("up")
    lab.viscum("down", "b")
    assert answers(lab) == ["edge-a", "cloud", "edge-c"]
    lab.viscum("up", "b")
    assert answers(lab) == ["edge-a", "edge-b", "edge-c"]


@pytest.mark.parametrize("words", [(), ("--no-program",)], ids=["with programs", "without"])
def test_what_is_wrong_with_others_is_not_said_when_services_are_named(lab, words):
    text = three_services().replace("dest_port 7001", "dest_port 7001\n\tlist device lan9")
    lab.configure(text.replace("dest_port 7002", "dest_port 70020"))
    result = lab.viscum("up", "c", *words, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "c: up\n", "")
    result = lab.viscum("up", "a", *words, check=False)
    assert (result.returncode, result.stdout) == (1, "a: up\n")
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == ["viscum.a.device"]
    result = lab.viscum("up", "b", *words, check=False)
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == ["viscum.b.dest_port"]


def occupy_veth(lab):
    lab.run(lab.router, "ip", "link", "add", "vsc-b", "type", "veth", "peer", "name", "other")


def occupy_namespace(lab):
    ip("netns", "add", "viscum-b")


def occupy_prio(lab):
    # Somebody else's filter of another protocol in the prio that IPv4 matches of one address and port need.
    lab.run(lab.router, "tc", "qdisc", "add", "dev", "lan1", "clsact")
    match = ("u32", "match", "u32", "0", "0")
    where = ("dev", "lan1", "ingress", "prio", "1", "protocol", "arp")
    lab.run(lab.router, "tc", "filter", "add", *where, *match, "flowid", "1:1")


def occupy_address(lab):
    # What the service would get is learned from a first run.
    lab.viscum("up", "b", "--no-program")
    address = json.loads(lab.run(lab.router, "ip", "-j", "addr", "show", "dev", "vsc-b").stdout)[0]["addr_info"][0][
        "local"
    ]
    lab.viscum("down", "b", "--no-program")
    lab.run(lab.router, "ip", "link", "add", "busy0", "type", "veth", "peer", "name", "busy1")
    lab.run(lab.router, "ip", "addr", "add", address + "/32", "dev", "busy0")
    return address


@pytest.mark.parametrize("occupy", [occupy_veth, occupy_namespace, occupy_prio], ids=["veth name", "namespace", "prio"])
def test_a_service_that_fails_leaves_no_trace_and_the_others_run(tmp_path, interpreter, datapath, occupy):
    from lab import Lab

    if occupy is occupy_prio and datapath.startswith("bpf"):
        pytest.skip("has no prio")
    with Lab(tmp_path, interpreter, clients=2, datapath=datapath) as lab:
        text = three_services().replace(
            'edge-b 7002"\n\tlist device lan0', 'edge-b 7002"\n\tlist device lan0\n\tlist device lan1'
        )
        lab.configure(text)
        lab.serve_cloud(7002)
        occupy(lab)
        before = snapshot(lab.router), namespaces(), processes()
        try:
            result = lab.viscum("up", check=False)
            assert result.returncode == 1
            assert "viscum.b" in result.stderr and "Traceback" not in result.stderr, result.stderr
            assert answers(lab) == ["edge-a", "cloud", "edge-c"]
            assert lab.status("a")["state"] == "healthy"
            lab.viscum("down")
            assert (snapshot(lab.router), namespaces(), processes()) == before, (
                "somebody else's objects and nothing of ours"
            )
        finally:
            if occupy is occupy_namespace:
                ip("netns", "del", "viscum-b")


def test_a_pair_that_was_broken_and_can_not_be_made_is_said_and_the_others_run(lab):
    """What a service was like before a step failed is not always something that can be made again."""
    lab.configure(three_services())
    lab.serve_cloud(7002)
    lab.viscum("up")
    lab.run("viscum-b", "ip", "link", "set", "eth0", "down")
    lab.run("viscum-b", "ip", "link", "set", "eth0", "name", "elsewhere")
    lab.run("viscum-b", "ip", "link", "add", "eth0", "type", "bridge")
    result = lab.viscum("up", check=False)
    assert result.returncode == 1
    assert "viscum.b" in result.stderr and "Traceback" not in result.stderr, result.stderr
    assert answers(lab) == ["edge-a", "cloud", "edge-c"]
    lab.viscum("up")
    assert answers(lab) == ["edge-a", "edge-b", "edge-c"]


def test_an_address_of_the_pool_that_is_taken_is_left_out(lab):
    lab.configure(three_services())
    taken = occupy_address(lab)
    lab.viscum("up")
    own = json.loads(lab.run(lab.router, "ip", "-j", "addr", "show", "dev", "vsc-b").stdout)[0]["addr_info"][0]["local"]
    assert own != taken
    assert answers(lab) == ["edge-a", "edge-b", "edge-c"]


@pytest.mark.parametrize("kind", ["clsact", "ingress"])
def test_somebody_elses_qdisc_filters_addresses_and_namespaces_stay_as_they_were(lab, kind):
    """Like SQM (a plain ingress qdisc, catch-all at prio 10) and qosify (clsact, prio 0x110, egress as well)."""
    ip("netns", "add", lab.client + "-viscum-like")
    try:
        lab.run(
            lab.router,
            "tc",
            "qdisc",
            "add",
            "dev",
            "lan0",
            *(("handle", "ffff:", "ingress") if kind == "ingress" else ("clsact",)),
        )
        redirect = ("action", "mirred", "egress", "redirect", "dev", "lan0")
        for prio, side in ((10, "ingress"), (0x110, "ingress")) + (((0x110, "egress"),) if kind == "clsact" else ()):
            match = ("prio", prio, "protocol", "ip", "u32", "match", "ip", "dst", "192.0.2.1/32", *redirect)
            lab.run(lab.router, "tc", "filter", "add", "dev", "lan0", side, *match)
        lab.run(lab.router, "ip", "addr", "add", "10.213.99.1/24", "dev", "wan0")
        before = snapshot(lab.router), namespaces()
        lab.configure(three_services())
        lab.viscum("up")
        during = snapshot(lab.router)
        for line in before[0].splitlines():
            if "pref 10" in line or "pref 272" in line or "qdisc" in line:
                assert line in during, line
        assert answers(lab) == ["edge-a", "edge-b", "edge-c"]
        lab.viscum("down")
        assert (snapshot(lab.router), namespaces()) == before
    finally:
        ip("netns", "del", lab.client + "-viscum-like")


def test_an_empty_clsact_of_somebody_else_survives(lab):
    lab.run(lab.router, "tc", "qdisc", "add", "dev", "lan0", "clsact")
    before = snapshot(lab.router)
    lab.configure(three_services())
    lab.viscum("up")
    lab.viscum("down")
    assert snapshot(lab.router) == before


def test_a_qdisc_that_viscum_made_stays_while_somebody_else_has_a_filter_in_it(lab):
    if not lab.prio:
        pytest.skip("makes no qdisc")
    lab.configure(three_services())
    lab.viscum("up")
    match = ("prio", "50", "protocol", "ip", "u32", "match", "ip", "dst", "192.0.2.1/32", "flowid", "1:1")
    lab.run(lab.router, "tc", "filter", "add", "dev", "lan0", "egress", *match)
    lab.viscum("down")
    assert "clsact" in lab.run(lab.router, "tc", "qdisc", "show", "dev", "lan0").stdout
    assert "pref 50" in lab.run(lab.router, "tc", "filter", "show", "dev", "lan0", "egress").stdout
    assert lab.run(lab.router, "tc", "filter", "show", "dev", "lan0", "ingress").stdout == ""


def test_somebody_elses_filter_in_a_prio_of_ours_survives(lab):
    """Two programs may share a prio when kind and protocol are the same; the hash table and what is in it is ours."""
    lab.run(lab.router, "tc", "qdisc", "add", "dev", "lan0", "clsact")
    match = ("prio", "1", "protocol", "ip", "u32", "match", "ip", "dst", "192.0.2.1/32", "flowid", "1:1")
    lab.run(lab.router, "tc", "filter", "add", "dev", "lan0", "ingress", *match)
    before = snapshot(lab.router)
    lab.configure(three_services())
    lab.viscum("up")
    assert answers(lab) == ["edge-a", "edge-b", "edge-c"]
    lab.viscum("down")
    assert snapshot(lab.router) == before


def test_what_somebody_took_away_comes_back_with_up(lab):
    lab.configure(three_services())
    lab.viscum("up")
    whole = lab.redirects().count("vsc-")
    own = [
        ("tc", "filter", "del", "dev", "lan0", "ingress", "prio", lab.prio),
        ("tc", "qdisc", "del", "dev", "lan0", "clsact"),
    ]
    for damage in (
        *(own if lab.prio else ()),
        ("ip", "link", "del", "vsc-a"),
        ("ip", "-n", "viscum-b", "addr", "flush", "dev", "eth0"),
        ("ip", "-n", "viscum-b", "link", "set", "eth0", "down"),
        ("ip", "link", "set", "vsc-c", "mtu", "1400"),
        ("sysctl", "-qw", "net.ipv4.conf.vsc-b.forwarding=0"),
    ):
        lab.run(lab.router, *damage)
        assert lab.viscum("up").stdout, damage
        assert lab.viscum("plan").stdout == "# nothing to do\n", damage
        assert answers(lab) == ["edge-a", "edge-b", "edge-c"], damage
        assert lab.redirects().count("vsc-") == whole, damage
