"""Where it is not heard what clients are told (names/listen.py). Where it is: tests/netns/test_snoop.py."""

from golden.cases import router_facts
from unit.shared.test_hosts import configured

from viscum_agent.errors import UNSUPPORTED
from viscum_agent.loop import Loop
from viscum_agent.names import listen
from viscum_agent.plan import byname
from viscum_agent.records import with_
from viscum_agent.records.dump import Link

NOBODYS = 1 << 30  # the index of no device


def link(name):
    return Link("", NOBODYS, name, True, 1500, "", "", 1, 0, "", 0, -1)


def test_a_device_whose_answers_are_not_seen_is_said_as_unsupported_with_what_to_do():
    service = configured("list dest_host *.example.com", "list dest_port 80", "option snoop 1")
    listener = listen.Listener(Loop(), lambda: None)
    listener.follow([service])
    assert listener.hosts() == {("speed", "*.example.com"): ((), "")}
    listener.look([link("lan")], {})
    facts = with_(router_facts(""), hosts=listener.hosts())
    (problem,) = byname.deaf(service, facts, "viscum")
    assert (problem.kind, problem.where) == (UNSUPPORTED, "viscum.speed.snoop")
    assert problem.message.startswith("DNS answers to clients at lan are not seen (")
    assert "name each host in dest_host" in problem.message
    assert byname.named(service, facts)[1]["*.example.com"] == problem.message
    listener.close()
