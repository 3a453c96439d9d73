"""Only what a plan depends on is a cause to look again, however much others change, and however often."""

import os
import time

import pytest
from lab import Lab, ip

from viscum_agent import compat
from viscum_agent.kernel import monitor
from viscum_agent.kernel.netns import SELF


@pytest.fixture
def router(tmp_path):
    with Lab(tmp_path) as lab:
        home = os.open(SELF, os.O_RDONLY)
        with open("/run/netns/" + lab.router) as file:
            compat.setns(file.fileno())
        made = monitor.Events()
        compat.setns(home)
        os.close(home)
        lab.events = made
        lab.causes = lambda: sorted({cause.text for cause in settled(made)})
        do(lab, "link set lan0 mtu 1400")  # the links are known after the first news of each
        lab.causes()
        yield lab
        made.close()


def settled(made):
    """All causes until the kernel has nothing more to say."""
    found, quiet = [], time.monotonic()
    while time.monotonic() - quiet < 0.2:
        some = made.causes()
        if some:
            quiet = time.monotonic()
        found += some
        time.sleep(0.01)
    return found


def batch(lab, lines):
    """Commands of `ip`, by one process."""
    file = lab.tmp / "batch"
    file.write_text("\n".join(lines) + "\n")
    ip("-n", lab.router, "-batch", file)


def do(lab, words):
    """A command of `ip` on the router."""
    ip("-n", lab.router, *words.split())


def tc(lab, words):
    lab.run(lab.router, "tc", *words.split())


def test_a_qdisc_or_filter_that_shapes_is_no_cause_and_one_at_the_ingress_is(router):
    """SQM with autorate changes the one of its upload several times in a second."""
    tc(router, "qdisc add dev lan0 root handle 1: htb default 1")
    for rate in ("10mbit", "11mbit"):
        tc(router, "class replace dev lan0 parent 1: classid 1:1 htb rate " + rate)
        tc(router, "filter replace dev lan0 parent 1: prio 1 protocol ip u32 match u32 0 0 flowid 1:1")
    tc(router, "qdisc replace dev wan0 root tbf rate 10mbit burst 10kb latency 50ms")
    assert router.causes() == []
    tc(router, "qdisc add dev lan0 clsact")
    assert router.causes() == ["a qdisc was added"]
    for hook in ("ingress", "egress"):
        tc(router, "filter add dev lan0 %s prio 9 protocol ip u32 match u32 0 0 flowid 1:1" % hook)
        assert router.causes() == ["a filter was added"]
        tc(router, "filter del dev lan0 %s prio 9" % hook)
        assert "a filter was removed" in router.causes()
    tc(router, "qdisc del dev lan0 clsact")
    assert "a qdisc was removed" in router.causes()


@pytest.mark.parametrize("address, family", [("192.0.2.7/24", "-4"), ("2001:db8:7::1/64", "-6")])
def test_an_address_that_is_renewed_is_no_cause(router, address, family):
    """As with each router advertisement, or lease."""
    renew = family + " addr replace " + address + " dev lan0 valid_lft 100 preferred_lft %d"
    do(router, renew % 100)
    assert router.causes() == ["an address was added"]
    for seconds in (90, 80):
        do(router, renew % seconds)
    assert router.causes() == []
    do(router, "addr del %s dev lan0" % address)
    assert router.causes() == ["an address was removed"]
    do(router, renew % 100)
    assert router.causes() == ["an address was added"]


def test_an_address_is_forgotten_with_its_device(router):
    for _ in range(2):
        do(router, "link add gone index 999 type veth peer name gone1")
        do(router, "addr add 192.0.2.7/24 dev gone")
        do(router, "link set gone up")
        assert "an address was added" in router.causes()
        do(router, "link del gone")
        router.causes()


def test_after_lost_events_nothing_is_taken_for_known(router):
    """What was lost may have changed it, and back it is news."""
    do(router, "addr add 192.0.2.7/24 dev lan0")
    router.causes()
    lines = ["link set lan0 txqueuelen %d" % (1000 + number) for number in range(1500)]
    lines += ["addr del 192.0.2.7/24 dev lan0", "link set lan0 mtu 1300"]
    batch(router, lines)
    assert "events were lost" in router.causes()
    do(router, "addr add 192.0.2.7/24 dev lan0")
    assert "an address was added" in router.causes()
    do(router, "link set lan0 mtu 1400")  # as it was known
    assert router.causes() == ["device lan0 changed"]


def test_a_turn_reads_a_bounded_part_of_what_came(router, monkeypatch):
    monkeypatch.setattr(monitor, "READS", 5)
    batch(router, ["link set lan0 mtu %d" % (1300 + number) for number in range(30)])
    turns = 0
    while router.events.causes():
        turns += 1
    assert 6 <= turns < 30
