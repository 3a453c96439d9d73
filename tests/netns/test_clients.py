"""Of two clients behind one bridge only the one that is named is answered at the edge, on every datapath; and all but
the one that is left out."""

import pytest
from lab import Lab, echo_command, mac, service
from two_clients import ADDRESSES, EDGE, TAKES, answers, behind_a_bridge, left_out, named_by_mac, up


@pytest.fixture
def two(tmp_path, interpreter, datapath):
    """A lab with two clients behind br-lan, and a cloud that answers them."""
    with Lab(tmp_path, interpreter, clients=2, datapath=datapath) as lab:
        behind_a_bridge(lab)
        yield lab


def test_of_two_clients_the_one_that_is_named_by_its_mac_is_at_the_edge_and_stays_with_another_address(two):
    named_by_mac(two)


def test_of_two_clients_the_one_that_is_left_out_is_with_the_cloud(two):
    left_out(two)


def test_two_services_have_the_same_traffic_of_different_clients(two):
    first, second = two.clients
    other = echo_command("other", 7000)
    two.configure(
        service("echo", EDGE, *TAKES, "list src_mac " + mac(first))
        + service("other", other, *TAKES, "list src_mac " + mac(second))
    )
    two.viscum("up")
    assert (answers(two, first), answers(two, second)) == ("edge", "other")


def test_a_datapath_is_changed_where_both_have_something_in_one_prio(two):
    """What takes any address but some comes in the prio that the filter with eBPF's program has."""
    but = "list exclude_client 192.168.77.3"
    if two.datapath != "bpf":
        pytest.skip("there and back, once")
    for name in ("bpf", "u32", "bpf"):
        two.datapath = name
        two.configure(service("echo", EDGE, "list device br-lan", "list dest_port 7000", but, "option family ipv4"))
        two.viscum("up")
        assert two.viscum("plan").stdout == "# nothing to do\n"
        assert [answers(two, ns, ADDRESSES[:1]) for ns in two.clients] == ["edge", "cloud"], name


def test_what_somebody_removes_of_what_is_left_out_comes_back(two):
    if not two.prio or two.datapath == "bpf":
        pytest.skip("only filters are removed by a word of tc(8)")
    first = two.client
    up(two, "list exclude_client " + mac(first))
    two.run(two.router, "tc", "filter", "del", "dev", "br-lan", "ingress", "prio", "1")
    assert answers(two, first, ADDRESSES[:1]) == "edge"
    two.viscum("up")
    assert answers(two, first) == "cloud"
