"""Answers about services always fit into a ubus message, whatever the services are called and say."""

from viscum_agent.kernel.counters import DIRECT, Traffic
from viscum_agent.records import with_
from viscum_agent.records.dump import NOTHING, Counters
from viscum_agent.service.inhibitors import ORDER
from viscum_agent.ubus import blob, wire
from viscum_agent.ubus_object import rows

HUGE = 2**63 - 1


class Program:
    account = "4294967294"


class Service:
    program = Program()
    rate = 4000000000
    interfaces = tuple(["interface%02d" % number * 2 for number in range(20)])
    devices = tuple(["phy%02d-access-pt" % number for number in range(20)])


class Instance:
    """One about which there is as much to say as can be."""

    service = Service()
    state, reason = "bypassed", "\u20ac" * 5000
    pid, uptime, starts, bypass_asked, inhibitors = 0, HUGE, HUGE, True, list(ORDER)

    def __init__(self, number):
        self.name = "s" * 60 + "%04d" % number

    def takes(self):
        return ["udp [2001:db8:1234:5678:9abc:def0:1234:%04d]:10000-20000 from 2001:db8::/64" % n for n in range(256)]

    def stays(self):
        return [each + ": " + "\u20ac" * 500 for each in self.takes()]

    def connections(self, _packets):
        return 0


def pages(instances, answer):
    """The answers to the questions that one has to ask to hear of all."""
    found, after = [], ""
    while after is not None:
        some, after = rows.page(instances, after)
        found.append({"services": answer(some), "next": after or ""})
    return found


def test_a_status_of_many_services_of_which_each_has_much_to_say_comes_in_answers_that_fit():
    instances = [Instance(number) for number in range(rows.PAGE + 1)]
    counted = Traffic(
        Service.devices,
        "bpf-cls",
        *2 * (Counters(*[HUGE] * 8),),
        {name: HUGE for names in DIRECT for name in names if name},
    )
    traffic = {instance.name: counted for instance in instances}
    answers = pages(instances, lambda some: rows.status(some, traffic, False))
    assert len(answers) == 2
    for answer in answers:
        assert len(blob.encode(answer)) <= wire.MAX_DATA
    assert sorted([name for answer in answers for name in answer["services"]]) == [
        instance.name for instance in instances
    ]


def test_what_the_redirects_count_is_told():
    instance = Instance(0)
    counted = Traffic(("lan0",), "u32", Counters(*range(1, 9)), with_(NOTHING, packets=5, bytes=6), {})
    row = rows.stats([instance], {instance.name: counted})[instance.name]
    taken = {"packets": 1, "bytes": 2, "drops": 3, "overlimits": 4, "connections": 0}
    unknown = dict.fromkeys(("memory", "tasks", "cpu_usec", "oom_kills", "tasks_refused"))
    assert row == dict(taken, sent_packets=5, sent_bytes=6, **unknown)


def test_lines_are_counted_in_bytes():
    lines = ["\u20ac" * 1000] * 1000
    assert len(blob.encode({"lines": rows.fitting(lines, 0)})) < wire.MAX_DATA // 2


def test_lines_that_do_not_fit_come_with_the_next_question():
    lines = ["x" * 1000 + str(number) for number in range(1000)]
    found = []
    while len(found) < len(lines):
        found += rows.fitting(lines, len(found))
    assert found == lines


def test_what_is_left_out_is_counted():
    assert rows.shortened(["one", "two"]) == ["one", "two"]
    found = rows.shortened(["x" * 1000] * 1000)
    assert found[-1] == "and %d more" % (1000 - len(found) + 1)
