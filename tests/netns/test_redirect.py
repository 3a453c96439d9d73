"""A client that talks to the cloud's address is answered on the router, and by the cloud when the service is down."""

import pytest
from lab import PROGRAMS, echo_command, service

pytestmark = pytest.mark.usefixtures("datapath")

EDGE = echo_command("edge", 7000)


def test_tcp_and_udp_over_both_families_are_answered_at_the_edge_and_then_by_the_cloud_again(lab):
    lab.serve_cloud(7000)
    for address in ("203.0.113.10", "2001:db8:cafe::10"):
        for protocol in ("tcp", "udp"):
            assert lab.ask(protocol, address, 7000)[0] == "cloud"
    lab.configure(
        service(
            "echo",
            EDGE,
            "list device lan0",
            "list dest_ip 203.0.113.10",
            "list dest_ip 2001:db8:cafe::10",
            "list dest_port 7000",
        )
    )
    lab.viscum("up")
    for address in ("203.0.113.10", "2001:db8:cafe::10"):
        assert lab.ask("tcp", address, 7000) == ("edge", address)
        assert lab.ask("udp", address, 7000)[0] == "edge"
    assert lab.ask("tcp", "203.0.113.11", 7000)[0] == "cloud", "another address is not taken"
    lab.viscum("down")
    for address in ("203.0.113.10", "2001:db8:cafe::10"):
        for protocol in ("tcp", "udp"):
            assert lab.ask(protocol, address, 7000)[0] == "cloud"


@pytest.mark.parametrize(
    "lines, asked",
    [
        (("list dest_ip 203.0.113.0/24", "list dest_port 7000"), ("203.0.113.12", 7000)),
        (("list dest_ip 203.0.113.10", "list dest_ip 203.0.113.11", "list dest_port 7000"), ("203.0.113.11", 7000)),
        (("list dest_port 7000",), ("198.18.5.5", 7000)),
        (("list dest_ip 203.0.113.10", "list dest_port 443", "option target_port 7000"), ("203.0.113.10", 443)),
        (("list dest_ip 203.0.113.10", "list dest_port 6990-7010"), ("203.0.113.10", 7000)),
        (("list dest_ip 203.0.113.10", "option proto any"), ("203.0.113.10", 7000)),
        (("list dest_ip 203.0.113.10", "list dest_port 7000", "list src_ip 192.168.77.0/24"), ("203.0.113.10", 7000)),
        (("list dest_ip 2001:db8:cafe::/64", "list dest_port 7000"), ("2001:db8:cafe::11", 7000)),
        (("list dest_port 7000", "option family ipv6"), ("2001:db8:cafe::11", 7000)),
    ],
    ids=[
        "prefix",
        "two addresses",
        "any address",
        "target_port",
        "port range",
        "any protocol",
        "src_ip",
        "prefix6",
        "any address6",
    ],
)
def test_a_server_on_the_wildcard_address_answers_from_the_address_that_the_client_used(lab, lines, asked):
    lab.serve_cloud(asked[1])
    lab.configure(service("echo", EDGE, "list device lan0", *lines))
    lab.viscum("up")
    for protocol in ("tcp", "udp"):
        assert lab.ask(protocol, *asked)[0] == "edge", protocol
    assert lab.viscum("plan").stdout == "# nothing to do\n"
    lab.viscum("down")
    for protocol in ("tcp", "udp"):
        assert lab.ask(protocol, *asked)[0] == "cloud", protocol


def test_what_is_open_and_does_not_answer_is_no_work_left_after_up(lab):
    """Whether a socket of IPv6 is for IPv4 as well, and whether somebody is behind one, only asking tells."""
    sockets = "tcp/::/7000 udp/::/7000 tcp/0.0.0.0/7001/deaf"
    command = "/usr/bin/python3 -S -I %s/listens.py %s" % (PROGRAMS, sockets)
    ports = ("list dest_port 7000", "list dest_port 7001", "option health_timeout 1")
    lab.configure(service("echo", command, "list device lan0", *ports))
    lab.viscum("up")
    assert lab.viscum("plan").stdout == "# nothing to do\n"
    assert lab.status("echo")["state"] == "healthy"
