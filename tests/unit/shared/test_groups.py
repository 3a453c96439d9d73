"""Whom a service names: groups of clients (config/groups.py), and the names of hosts in them (plan/leased.py)."""

from golden import cases
from unit.shared.expect import raises

from viscum_agent.address import parse_prefix
from viscum_agent.config import uci
from viscum_agent.config.service import read
from viscum_agent.plan import groups, leased
from viscum_agent.plan.skip import Skip

ONE, TWO = "02:00:5e:00:53:10", "02:00:5e:00:53:11"
SERVICE = """
config service 'echo'
	option enabled '1'
	option command '/bin/echo'
	list device 'wan'
	list dest_ip '203.0.113.10'
"""
GROUP = """
config group 'kids'
	list mac '%s'
	list ip '192.168.1.0/28'
	list name 'Tablet'
""" % ONE.upper()


def configuration(*lines, group=GROUP):
    text = SERVICE + "".join(["\t%s\n" % line for line in lines]) + group
    return read(uci.parse(text.encode(), "viscum"))


def service(*lines, group=GROUP):
    found = configuration(*lines, group=group)
    assert found.problems == []
    return found.services[0]


def facts(leases):
    made = cases.router_facts("")
    made.leases.update({name: cases.lease(leases[name]) for name in leases})
    return made


def known(made, **leases):
    """(clients, exclude_clients, warnings) with these leases."""
    now, warnings = leased.known(made, facts(leases), "viscum")
    return now.clients, now.exclude_clients, [each.message for each in warnings]


def test_without_clients_it_is_for_everybody():
    made = service()
    assert (made.clients, made.client_hosts, made.exclude_clients, made.exclude_hosts) == (None, (), (), ())
    assert known(made) == (None, (), [])
    assert groups.wanted([made]) == set()


def test_a_group_is_its_members_and_others_may_stand_beside_it():
    made = service(
        "list client 'kids'", "list client '%s'" % TWO, "list client '2001:db8::7'", "list src_mac '%s'" % ONE
    )
    assert made.clients == (ONE, parse_prefix("192.168.1.0/28"), TWO, parse_prefix("2001:db8::7"))
    assert made.client_hosts == ("tablet",)
    assert groups.wanted([made]) == {"tablet"}


def test_the_name_of_a_host_is_the_clients_that_have_it_now():
    made = service("list client 'kids'")
    fixed = (ONE, parse_prefix("192.168.1.0/28"))
    assert known(made, tablet=[TWO]) == (fixed + (TWO,), (), [])
    missing = "is without hosts that are not known now: tablet (has no lease)"
    assert known(made, tablet="has no lease") == (fixed, (), [missing])


def test_a_client_counts_once_and_not_more_of_them_than_the_limit():
    made = service("list client 'kids'")
    assert known(made, tablet=[ONE])[0] == (ONE, parse_prefix("192.168.1.0/28"))
    clients, _, (text,) = known(made, tablet=["192.168.7.%d" % n for n in range(groups.MOST)])
    assert len(clients) == groups.MOST and "means %d clients" % (groups.MOST + 2) in text


def test_a_group_of_hosts_that_are_away_is_nobody_and_not_everybody():
    made = service("list client 'away'", group="config group 'away'\n list name 'a'\n list name 'b'\n")
    for leases in ({}, {"a": "has no lease", "b": "has no lease"}):
        text = raises(Skip, leased.known, made, facts(leases), "viscum")
        assert "a (" in text and "; the cloud answers" in text


def test_excluded_clients_have_groups_and_hosts_as_well():
    made = service("list exclude_client 'kids'", "list exclude_client '192.168.2.1'")
    fixed = (ONE, parse_prefix("192.168.1.0/28"), parse_prefix("192.168.2.1"))
    assert known(made, tablet=[TWO]) == (None, fixed + (TWO,), [])
    assert groups.wanted([made]) == {"tablet"}


def test_only_some_names_are_in_a_message():
    lines = "".join([" list name 'host%d'\n" % n for n in range(9)])
    made = service("list client 'many'", group="config group 'many'\n list mac '%s'\n" % ONE + lines)
    (text,) = known(made)[2]
    assert text.endswith(
        "host0 (was not looked for yet), host1 (was not looked for yet), host2 (was not looked for yet) and 6 more"
    )


def test_there_is_a_limit_to_a_group_and_to_all_groups_of_a_service():
    def group(name, count):
        return "config group '%s'\n" % name + "".join([" list name '%s%d'\n" % (name, n) for n in range(count)])

    most = groups.MOST
    service("list client 'a'", group=group("a", most))
    (first, second) = configuration("list client 'a'", group=group("a", most + 1)).problems
    assert first.where == "viscum.a" and "at most %d fit" % most in first.message
    assert second.service == "echo"
    both = group("a", most) + group("b", 1)
    (problem,) = configuration("list client 'a'", "list client 'b'", group=both).problems
    assert problem.where == "viscum.echo.client" and "means %d clients" % (most + 1) in problem.message
    service("list client 'a'", "list exclude_client 'b'", group=both)


def test_a_service_with_a_broken_group_goes_on_as_it_was():
    before = configuration("list client 'kids'")
    text = SERVICE + "\tlist client 'kids'\nconfig group 'kids'\n\tlist mac 'x'\n"
    now = read(uci.parse(text.encode(), "viscum"), before=before)
    assert [each.clients for each in now.kept] == [before.services[0].clients]
