"""From matches and open sockets to what is taken, what is asked, and what stays with the cloud. (The golden cases in
45_answered show what becomes of it.)"""

from viscum_agent.config import service, uci
from viscum_agent.plan import answers
from viscum_agent.records.facts import Listener

OWN = {4: bytes([10, 213, 0, 2]), 6: b"\xfd\x76" + bytes(13) + b"\x02"}
HERE = bytes([203, 0, 113, 10])


def found(*lines):
    """The Answers of a service."""
    head = "config service 's'\noption enabled 1\noption command /bin/x\nlist interface lan\n"
    (one,) = service.read(uci.parse((head + "\n".join(lines) + "\n").encode(), "viscum")).services
    return answers.answers(one.matches, OWN)


def tcp(port, address=b"", version=4):
    return Listener(proto="tcp", version=version, address=address, port=port, waiting=0)


def udp(port, address=b""):
    return Listener(proto="udp", version=4, address=address, port=port, waiting=0)


def known(*listeners, awake=None):
    return answers.Open(listeners=listeners, awake=awake, mute={})


def ports(matches, there, **more):
    return sorted({part.dport for _, part in answers.taken(matches, there, **more)})


def test_one_address_is_local_and_a_prefix_leads_to_the_namespaces_own():
    (one,) = found("list dest_ip 203.0.113.10", "list dest_port 80", "list proto tcp")
    assert (one.address, one.client, one.low, one.high) == (HERE, HERE, 80, 80)
    (net,) = found("list dest_ip 203.0.113.0/24", "list dest_port 80", "list proto tcp")
    assert (net.address, net.client) == (OWN[4], bytes([203, 0, 113, 1]))


def test_with_target_port_a_client_asks_for_the_first_port_and_the_program_has_the_other():
    (one,) = found("list dest_ip 203.0.113.10", "list dest_port 80-90", "option target_port 8080", "list proto tcp")
    assert (one.low, one.high, one.port) == (8080, 8080, 80)
    (way,) = answers.ways([one], [tcp(8080), tcp(80)])
    assert (way.port, way.client_port) == (8080, 80)


def test_a_match_of_every_protocol_has_no_ports_and_no_way():
    (one,) = found("list dest_ip 203.0.113.10", "list proto any")
    assert (one.low, one.high) == (0, 0)
    assert answers.ways([one], [tcp(80)]) == []
    assert answers.taken([one], known()) == [(one.match, one.match)]


def test_which_ports_a_program_could_answer_itself_from():
    """Of those that sockets get by themselves only the ones that are named: a check has another one."""
    for lines, expected in (
        (("list dest_port 53", "list proto tcp"), ""),
        (("list dest_port 53",), "53"),
        (("list dest_port 5353", "list dest_port 53"), "53-5353"),
        (("list dest_port 80-90", "option target_port 8080"), "8080"),
        (("list dest_port 50000", "list dest_port 53"), "53_50000"),
        (("list dest_port 30000-60000",), "30000-32767"),
        (("list dest_port 40000-60000",), ""),
        (("list proto any",), "1-32767"),
        (tuple("list dest_port %d" % port for port in range(50000, 50020)), "_".join(map(str, range(50000, 50008)))),
    ):
        matches = [one.match for one in found("list dest_ip 203.0.113.10", *lines)]
        assert answers.own_ports(matches) == expected, lines


def test_the_kernels_preference_among_sockets_decides_who_is_asked():
    """A socket of the family before one of IPv6, one of the address before one of any (inet_lookup_listener)."""
    matches = found("list dest_ip 203.0.113.10", "list dest_port 80", "list proto tcp")
    for listeners, bound, version in (
        ([tcp(80, version=6), tcp(80)], b"", 4),
        ([tcp(80), tcp(80, HERE)], HERE, 4),
        ([tcp(80, version=6)], b"", 6),
    ):
        (way,) = answers.ways(matches, listeners)
        assert (way.bound, way.version) == (bound, version)


def test_a_socket_of_another_address_or_family_takes_nothing():
    matches = found("list dest_ip 203.0.113.10", "list dest_port 80", "list proto tcp")
    for one in (tcp(80, bytes([127, 0, 0, 1])), tcp(80, bytes(15) + b"\x01", 6), udp(80), tcp(81)):
        assert answers.ways(matches, [one]) == [], one
        assert ports(matches, known(one)) == []


def test_two_addresses_with_one_socket_are_one_way_and_with_udp_they_are_not_local():
    lines = ("list dest_ip 203.0.113.10", "list dest_ip 203.0.113.11", "list dest_port 80")
    assert len(answers.ways(found(*lines, "list proto tcp"), [tcp(80)])) == 1
    assert answers.ways(found(*lines), [tcp(80, HERE)]) == [], "redirected to the namespace's own address"


def test_only_ways_that_answer_count():
    matches = found("list dest_ip 203.0.113.10", "list dest_port 80", "list dest_port 81", "list proto tcp")
    awake = {("tcp", 4, 80, b"")}
    assert ports(matches, known(tcp(80), tcp(81), awake=awake)) == [(80, 80)]
    assert ports(matches, known(tcp(80), tcp(81))) == [(80, 80), (81, 81)], "nobody has asked"
    assert ports(matches, None) == [(80, 80), (81, 81)], "nobody has looked"
    assert ports(matches, known(), whole=True) == [(80, 80), (81, 81)]


def test_neighbouring_ports_are_one_part_and_all_of_them_the_match_itself():
    matches = found("list dest_ip 203.0.113.10", "list dest_port 80-83", "list proto tcp")
    assert ports(matches, known(tcp(80), tcp(81), tcp(83))) == [(80, 81), (83, 83)]
    every = answers.taken(matches, known(*[tcp(port) for port in range(80, 84)]))
    assert every == [(answer.match, answer.match) for answer in matches]


def test_a_program_can_not_have_more_ports_taken_than_a_few():
    matches = found("list dest_ip 203.0.113.10", "list proto tcp")
    open_ones = [tcp(port) for port in range(1, 1001)]
    assert ports(matches, known(*open_ones)) == [(1, answers.MOST_PORTS)]
    assert len(answers.ways(matches, open_ones)) == answers.MOST_PORTS


def test_dynamic_ports_are_those_of_a_family_in_which_something_answers():
    lines = ("list dest_ip 203.0.113.10", "list dest_ip 2001:db8::1", "list dest_port 5201")
    taken = answers.taken(found(*lines), known(tcp(5201)), dynamic=True)
    assert sorted({(part.family, part.proto) for _, part in taken}) == [(4, "tcp"), (4, "udp")]
    assert answers.taken(found(*lines), known(), dynamic=True) == []


def test_what_stays_has_its_reason():
    matches = found("list dest_ip 203.0.113.10", "list dest_port 80", "list dest_port 90-99", "list proto tcp")
    for listeners, reasons in (
        ((), ["the program does not listen there"] * 2),
        ((tcp(80, bytes([127, 0, 0, 1])), tcp(90)), ["the program listens on 127.0.0.1 only", "only where"]),
        ((tcp(80, version=6), tcp(95, b"\xfd" + bytes(15), 6)), ["the program listens on fd00:: only"]),
    ):
        there = known(*listeners)
        said = [reason for _, reason in answers.stays(matches, there, answers.taken(matches, there))]
        assert len(said) == len(reasons) and all(s.startswith(r) for s, r in zip(said, reasons)), said  # noqa: B905


def test_udp_sockets_that_come_and_go_do_not_count_unless_they_are_asked_for_by_name():
    matches = found("list dest_ip 203.0.113.10", "list dest_port 1000-2000", "list dest_port 53", "list proto udp")
    assert answers.settled(matches, [], [udp(53), udp(1500), tcp(80)]) == [udp(53), tcp(80)]
    assert answers.settled(matches, [udp(1500)], [udp(53), udp(1500)]) == [udp(53), udp(1500)]
