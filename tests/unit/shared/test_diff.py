"""From what is there to what is wanted, with nothing taken away before its successor is there."""

from viscum_agent.plan.actual import Found, Observed
from viscum_agent.plan.diff import diff, diff_shared, removal
from viscum_agent.records import with_
from viscum_agent.records.objects import (
    LEAVE,
    Address,
    Filter,
    Guard,
    HashTable,
    Mark,
    Namespace,
    Nat,
    Operation,
    Pair,
    Prio,
    Qdisc,
    Route,
    Rule,
    Sysctl,
    Up,
)

NS = Namespace("viscum-a")
VETH = Pair("vsc-a", "viscum-a", "eth0", 1500, "02:00:00:00:00:01", "02:00:00:00:00:02", "viscum a", "veth")
LO = Up("viscum-a", "lo")
INNER = Address("viscum-a", "eth0", "10.213.0.2/30")
ROUTE = Route("viscum-a", 4, "default", "10.213.0.1", "eth0", "")
REDIRECT = (("mirred", "vsc-a"),)
EXACT = Filter("lan", 1, "ip", "u32", 10, ((80, 0xFFFF, 20),), REDIRECT)
ALL = [
    EXACT,
    ROUTE,
    INNER,
    VETH,
    Sysctl("", "net/ipv4/conf/vsc-a/rp_filter", "0"),
    LO,
    NS,
    Sysctl("viscum-a", "x", "1"),
]


def found(*items):
    return [Found(item, 100 + place) for place, item in enumerate(items)]


def steps(wanted, there):
    return [(one.verb, one.new or one.old) for one in diff(wanted, there)]


def kinds(items):
    return " ".join([type(item).__name__ for item in items])


def test_from_nothing_all_is_made_in_the_order_in_which_it_works():
    order = [operation.new for operation in diff(ALL, [])]
    assert kinds(order) == "Namespace Up Sysctl Pair Sysctl Address Route Filter"
    assert [item.ns for item in order if type(item).__name__ == "Sysctl"] == ["viscum-a", ""]


def test_what_is_there_is_left_alone():
    assert diff(ALL, found(*ALL)) == []


def test_a_service_that_is_not_wanted_goes_with_the_redirect_first():
    operations = diff([], found(*ALL))
    assert kinds([one.old for one in operations]) == "Filter Pair Namespace"
    assert [one.verb for one in operations] == ["del", "del", "del"]


def test_what_a_redirect_leaves_goes_after_what_takes():
    out = Filter("lan", 1, "ip", "u32", -1, ((1, 0xFF, 12), (80, 0xFFFF, 20)), ((LEAVE, "vsc-a"),))
    there = found(out, with_(EXACT, prio=3))
    for made in (removal(there), diff([NS], found(NS) + there)):
        assert [operation.old.prio for operation in made if isinstance(operation.old, Filter)] == [3, 1]


def test_a_filter_is_deleted_by_its_handle():
    assert removal([Found(EXACT, 0x7610A800)]) == [Operation("del", None, EXACT, 0x7610A800)]


def test_a_rule_outside_of_the_namespace_is_deleted_too():
    rule = Rule("", 4, 100, "vsc-a", 7)
    assert [one.old for one in removal(found(NS, rule, VETH))] == [rule, VETH, NS]


# What guards a pair is read back by its mark only.
NEW = Guard("vsc-a", "2/1", ("a rule",))


def test_a_guard_is_there_before_anything_has_an_address():
    order = kinds([operation.new for operation in diff(ALL + [NEW], [])])
    assert order == "Namespace Up Sysctl Pair Guard Sysctl Address Route Filter"


def test_a_guard_is_changed_in_place_if_its_mark_differs():
    assert steps(ALL + [NEW], found(*(ALL + [Guard("vsc-a", "2/1", None)]))) == []
    for mark in ("", "?", "1/1", "2/0"):
        assert steps(ALL + [NEW], found(*(ALL + [Guard("vsc-a", mark, None)]))) == [("change", NEW)]


def test_a_guard_goes_with_its_service_and_not_before():
    old = Guard("vsc-a", "2/1", None)
    assert kinds([one.old for one in diff([], found(*(ALL + [old])))]) == "Filter Guard Pair Namespace"
    assert diff(ALL, found(*(ALL + [old]))) == [], "what is restored to before there were any stays guarded"


def test_half_a_pair_takes_its_guard_with_it():
    there = found(NS, LO, with_(VETH, ns=""), Guard("vsc-a", "2/1", None))
    made = [(verb, type(item).__name__) for verb, item in steps([NS, LO, VETH, NEW], there)]
    assert made == [("del", "Guard"), ("del", "Pair"), ("add", "Pair"), ("add", "Guard")]


def test_the_new_filter_is_there_before_the_old_one_goes():
    other = with_(EXACT, keys=((81, 0xFFFF, 20),))
    assert steps([NS, VETH, other], found(NS, VETH, EXACT)) == [("add", other), ("del", EXACT)]


def test_the_same_filter_with_other_actions_is_changed_in_place():
    other = with_(EXACT, actions=(("skbedit", "host"),) + REDIRECT)
    assert diff([NS, VETH, other], found(NS, VETH, EXACT)) == [Operation("change", other, EXACT, 102)]


def test_the_same_filter_twice_is_once_too_many():
    assert diff([NS, VETH, EXACT], found(NS, VETH, EXACT, EXACT)) == [Operation("del", None, EXACT, 103)]


def test_values_of_the_pair_and_of_a_route_are_changed_in_place():
    wider, other = with_(VETH, mtu=9000), with_(ROUTE, src="203.0.113.10")
    assert diff([NS, wider, other], found(NS, VETH, ROUTE)) == [
        Operation("change", wider, VETH, 101),
        Operation("change", other, ROUTE, 102),
    ]


def test_a_pair_of_another_kind_is_made_anew_with_all_of_the_service():
    netkit = with_(VETH, kind="netkit")
    made = steps([NS, netkit, EXACT], found(NS, VETH, EXACT))
    assert made == [("del", EXACT), ("del", VETH), ("del", NS), ("add", NS), ("add", netkit), ("add", EXACT)]


def test_a_pair_that_lost_its_namespace_is_made_again_with_all_of_it():
    lost = with_(VETH, ns="", peer_mac="")
    assert steps([NS, VETH], found(lost)) == [("del", lost), ("add", NS), ("add", VETH)]


def test_a_sysctl_that_nobody_asks_for_stays():
    extra = Sysctl("viscum-a", "net/ipv6/conf/all/accept_ra", "0")
    assert diff([NS, VETH], found(NS, VETH, extra)) == []


def test_a_sysctl_with_another_value_is_changed():
    old, new = Sysctl("viscum-a", "x", "0"), Sysctl("viscum-a", "x", "1")
    assert diff([NS, VETH, new], found(NS, VETH, old)) == [Operation("change", new, old, 102)]


def test_nat_that_is_not_wanted_goes_after_the_address_has_come():
    nat, local = Nat("viscum-a", ()), Address("viscum-a", "lo", "203.0.113.10/32")
    assert steps([NS, VETH, local], found(NS, VETH, nat)) == [("add", local), ("del", nat)]


def test_items_of_one_kind_are_made_in_the_order_of_the_plan():
    """MicroPython's sort is not stable, so the order must not rest on it."""
    many = [Address("viscum-a", "lo", "203.0.113.%d/32" % last) for last in (9, 3, 200, 1, 77, 50, 4, 8, 2, 6)]
    assert [one.new for one in diff([NS, VETH] + many, found(NS, VETH))] == many


# What services share

TABLE = HashTable("lan", 1, "ip")


def shared(*items, hooks=("lan",), strangers=(), foreign_prios=()):
    observed = Observed()
    observed.shared = [Found(item, 0x80000800) for item in items]
    observed.hooks = {dev: "clsact" for dev in hooks}
    observed.strangers.update(strangers)
    observed.foreign_prios.update(foreign_prios)
    return observed


def test_a_qdisc_is_made_only_where_there_is_no_hook():
    assert diff_shared([Qdisc("lan")], shared(hooks=()))[0] == [Operation("add", Qdisc("lan"), None, 0)]
    assert diff_shared([Qdisc("lan")], shared()) == ([], []), "somebody else's is shared"


def test_our_qdisc_goes_with_all_that_is_in_it():
    assert diff_shared([], shared(Qdisc("lan"), TABLE)) == ([], [Operation("del", None, Qdisc("lan"), 0)])


def test_our_qdisc_with_a_strangers_filter_in_it_becomes_his():
    _, dels = diff_shared([], shared(Qdisc("lan"), TABLE, strangers=("lan",)))
    assert [one.old for one in dels] == [TABLE, Prio("lan", 1, "ip"), Mark("lan")]
    assert dels[0].handle == 0x80000800


def test_a_prio_with_a_strangers_filter_in_it_stays():
    _, dels = diff_shared([Qdisc("lan")], shared(Qdisc("lan"), TABLE, foreign_prios=(("lan", 1),)))
    assert [one.old for one in dels] == [TABLE]


# The hook of a pair


HOOK = Qdisc("vsc-a")
REPLIES, RESETS = [Filter("vsc-a", prio, "ip", "u32", -1, ((prio, 0xFF, 20),), (("mirred", "lan"),)) for prio in (3, 5)]
BY_FLOWER = with_(REPLIES, kind="flower", keys=(("src_port", "80"),))


def test_filters_of_a_pair_that_get_another_kind_go_with_their_hook_before_the_new_ones_come():
    """A prio has one kind, and that of u32 stays when it is empty."""
    there = found(*(ALL + [HOOK, REPLIES, RESETS]))
    assert steps(ALL + [HOOK, BY_FLOWER], there) == [("del", HOOK), ("add", HOOK), ("add", BY_FLOWER)]
    assert steps(ALL + [HOOK, REPLIES], found(*(ALL + [HOOK, BY_FLOWER]))) == [
        ("del", HOOK),
        ("add", HOOK),
        ("add", REPLIES),
    ]
    assert steps(ALL + [HOOK], found(*(ALL + [HOOK, REPLIES]))) == [("del", HOOK), ("add", HOOK)], "for an eBPF filter"


def test_filters_of_a_pair_that_keep_their_kind_or_are_all_to_go_are_added_and_removed_one_by_one():
    assert steps(ALL + [HOOK, REPLIES], found(*(ALL + [HOOK, RESETS]))) == [("add", REPLIES), ("del", RESETS)]
    assert steps(ALL, found(*(ALL + [HOOK, REPLIES]))) == [("del", REPLIES), ("del", HOOK)]


def test_with_half_a_pair_its_hook_is_made_again_too():
    half = with_(VETH, ns="", mac="", peer_mac="")
    others = [item for item in ALL if item not in (VETH, INNER, ROUTE)]
    made = steps(ALL + [HOOK, REPLIES], found(*(others + [half, HOOK, REPLIES])))
    assert made[0] == ("del", half)
    assert [item for verb, item in made if item in (VETH, HOOK, REPLIES)] == [VETH, HOOK, REPLIES]
