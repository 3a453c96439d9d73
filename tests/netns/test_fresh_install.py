"""A fresh installation changes nothing on the router, and runs nothing, until a service is enabled."""

import difflib
import re

import pytest
from agent import Agent
from firewall import start_firewall
from lab import ROOT, pids_in, run, snapshot, wait_for
from router_root import RouterRoot

COUNTER = re.compile(r"packets \d+ bytes \d+")
SHIPPED = (ROOT / "files/etc/config/viscum").read_text()


class Router(RouterRoot):
    """A lab's router on which procd (the stand-in's word, carried out by this test) starts the real agent."""

    def __init__(self, lab):
        super().__init__(lab.tmp / "root")
        self.lab = lab
        self.running = None

    def _command(self, words):
        return self.lab.command(self.lab.router, *super()._command(words))

    def do(self, action):
        self.init(action)
        if self.agent() and not self.running:
            self.running = Agent(self.lab, self.config)

    def configure(self, text):
        self.config = text
        super().configure(text)


@pytest.fixture
def router(lab):
    start_firewall(lab, "default")
    return Router(lab)


def everything(lab):
    """What the router is like, its settings of the kernel too."""
    settings = lab.run(lab.router, "sysctl", "-a", "-r", "^net\\.", check=False).stdout
    # What the kernel counts itself.
    quiet = [line for line in settings.splitlines() if "_count " not in line and "random" not in line]
    lines = COUNTER.sub("", snapshot(lab.router)).splitlines()
    return lines + quiet + [str(pid) for pid in pids_in(lab.router)] + run("ip", "netns", "list").stdout.splitlines()


def difference(before, after):
    return list(difflib.unified_diff(before, after, n=0, lineterm=""))


def test_with_the_shipped_configuration_nothing_is_changed_and_nothing_runs(lab, router):
    before = everything(lab)
    for action in ("start", "reload", "boot"):
        router.do(action)
        assert router.running is None
        assert difference(before, everything(lab)) == []
    router.run("/bin/ash", "/etc/uci-defaults/90-viscum")
    router.run("/bin/ash", "/etc/hotplug.d/iface/90-viscum", ACTION="ifup", INTERFACE="lan")
    router.do("stop")
    assert difference(before, everything(lab)) == []


def test_the_same_look_sees_a_service_that_is_enabled(lab, router):
    """Else the test above could not fail."""
    before = everything(lab)
    router.configure(
        SHIPPED.replace("option enabled '0'", "option enabled '1'").replace("list interface 'lan'", "list device lan0")
    )
    router.do("start")
    wait_for(lambda: "viscum-iperf" in run("ip", "netns", "list").stdout)
    assert "vsc-iperf" in "".join(difference(before, everything(lab)))
