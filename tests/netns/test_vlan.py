"""Services with the option vlan: clients whose frames come in with a VLAN tag on a trunk of the router."""

import json

import bare
import datapaths
import pytest
import vlan
from agent import QUICK, Served, answering
from bare import EDGE, QUESTIONS, TAKES
from lab import Lab, echo_command, ip, service
from talks import Router, all_go_on, come_and_go

BY_EBPF = [name for name in ("bpf-tcx", "bpf-cls", "bpf-netkit") if datapaths.has(name)]
TEN = "option vlan 10"


@pytest.fixture(params=BY_EBPF or [None])
def datapath(request):
    if request.param is None or not datapaths.has("bpf-tcx"):  # the tests' own programs need it
        pytest.skip("this kernel has no datapath 'bpf' with tcx")
    return request.param


@pytest.fixture
def lab(tmp_path, interpreter, datapath):
    """The client's VLAN only passes through the router."""
    with Lab(tmp_path, interpreter, datapath=datapath) as made:
        vlan.through(made, 10)
        yield made


@pytest.fixture
def agent(lab):
    with answering(lab, service("echo", EDGE, "list device lan0", TEN, *TAKES), Served) as made:
        made.has_done_all()
        yield made


def test_clients_are_answered_at_the_edge_then_by_the_cloud_and_back(agent):
    bare.there_and_back(agent)


def test_nothing_of_it_is_routed(agent):
    """The router has no address and no route there, and neither netfilter nor its counters see a packet."""
    lab = agent.lab
    before = json.loads(lab.run(lab.router, "nstat", "-asj").stdout)
    assert lab.who(QUESTIONS) == ["edge"] * 4
    after = json.loads(lab.run(lab.router, "nstat", "-asj").stdout)
    for name in ("IpInReceives", "IpForwDatagrams", "Ip6OutForwDatagrams"):
        assert after["kernel"].get(name, 0) == before["kernel"].get(name, 0), name


def test_a_match_that_is_wide_is_answered_as_well(agent):
    wide = ("list dest_ip 203.0.113.0/24", "list dest_ip 2001:db8:cafe::/64", "list dest_port 7000", *QUICK)
    agent.reload(service("echo", EDGE, "list device lan0", TEN, *wide))
    agent.has_done_all()
    agent.becomes("edge")
    assert agent.lab.who(QUESTIONS) == ["edge"] * 4


def test_another_vlan_stays_with_the_cloud_and_a_change_is_followed(agent):
    agent.reload(service("echo", EDGE, "list device lan0", "option vlan 11", *TAKES))
    agent.becomes("cloud")
    agent.has_done_all()
    assert agent.lab.who(QUESTIONS) == ["cloud"] * 4
    agent.reload(service("echo", EDGE, "list device lan0", TEN, *TAKES))
    agent.becomes("edge")
    assert agent.lab.who(QUESTIONS) == ["edge"] * 4


def test_when_the_program_ends_clients_reach_the_cloud_although_no_agent_looks(agent):
    bare.left_alone(agent)


def test_open_connections_stay_with_the_side_that_has_them(lab):
    router = Router(lab, lines=(TEN, *QUICK))
    found = come_and_go(router)
    router.bypass(False)
    again = router.new("e")
    assert all_go_on(*found, again)


def test_each_vlan_of_a_trunk_has_a_service_of_its_own_though_clients_have_the_same_address(
    tmp_path, interpreter, datapath
):
    """Three services with the same match, three clients with the same addresses and ports: nobody gets an answer that
    is for another, whoever asked last."""
    with Lab(tmp_path, interpreter, clients=4, datapath=datapath) as lab:
        vlan.behind_a_switch(lab, (10, 20, 0))
        sections = [
            service(name, echo_command(name, 7000), "list device lan0", *lines, *TAKES)
            for name, lines in (("ten", (TEN,)), ("twenty", ("option vlan 20",)), ("none", ()))
        ]
        lab.configure("".join(sections))
        lab.viscum("up")
        assert lab.viscum("plan").stdout == "# nothing to do\n"
        for sport in (40000, 40001):
            for ns, name in zip(lab.clients[1:], ("ten", "twenty", "none"), strict=True):
                assert vlan.asked(lab, ns, sport) == [name] * 4
        lab.configure(sections[0] + sections[2])
        lab.viscum("up")
        for ns, name in zip(lab.clients[1:], ("ten", "", "none"), strict=True):
            if name:
                assert vlan.asked(lab, ns, 40002) == [name] * 4
        lab.viscum("down")
        assert not lab.pins()


def test_two_services_with_the_same_match_and_the_same_vlan_do_not_go_together(lab):
    one = service("one", EDGE, "list device lan0", TEN, *TAKES)
    two = service("two", EDGE, "list device lan0", TEN, *TAKES)
    lab.configure(one + two)
    told = lab.viscum("up", check=False)
    assert "viscum.two.dest_ip: takes the same traffic on lan0 as service 'one'" in told.stderr
    assert lab.who(QUESTIONS) == ["edge"] * 4


def test_the_datapath_u32_says_what_to_do_instead(lab):
    lab.datapath = None
    lab.configure(service("echo", EDGE, "list device lan0", TEN, "option datapath u32", *TAKES))
    told = lab.viscum("up", check=False)
    assert "viscum.echo.vlan: datapath 'u32' takes no frames with a tag: set option datapath 'bpf'" in told.stderr
    assert ip("-n", lab.router, "link").count("vsc-") == 0


def test_a_device_whose_number_leaves_no_room_is_refused_with_a_reason_and_others_go_on(lab):
    ip("-n", lab.router, "link", "add", "far0", "index", str(1 << 19), "type", "bridge")
    ip("-n", lab.router, "link", "set", "far0", "up")
    near = service("near", EDGE, "list device lan0", TEN, *TAKES)
    lab.configure(service("far", EDGE, "list device far0", TEN, *TAKES) + near)
    told = lab.viscum("up", check=False)
    assert "an index of 2^19 or more leaves no room for a VLAN" in told.stderr
    assert lab.who(QUESTIONS) == ["edge"] * 4


def test_a_walk_sends_no_frame_that_replies_would_follow(agent):
    """`viscum explain NAME`: the reply program would take its sender for the client."""
    result = agent.lab.viscum("explain", "--json", "echo", "from", "192.168.77.2", check=False)
    hops = json.loads(result.stdout)
    assert [hop["result"] for hop in hops] == ["ok", "ok", "not walked"], hops
    assert "VLAN 10" in hops[-1]["text"] and result.returncode == 0
