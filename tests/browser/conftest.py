"""Fixtures: one Chromium for all tests, and for each test a lab with an agent, a gateway and a page."""

import json
import os
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from agent import QUICK, TAKES, Agent  # noqa: E402
from browser import Browser, Page, there  # noqa: E402
from gateway import Gateway  # noqa: E402
from lab import ROOT, Lab, echo_command, isolate, left_as_it_was, run, service, wait_for  # noqa: E402

from viscum_agent.ubus.caller import Caller  # noqa: E402
from viscum_agent.ubus.codes import UbusError  # noqa: E402

ECHO = service("echo", echo_command("edge", 7000), *TAKES, *QUICK)
STATUS = "admin/status/viscum"
FORM = "admin/services/viscum"
NEEDS = "needs root, Chromium and playwright-core (make test-browser)"
OVERVIEW = "admin/status/overview"

if os.geteuid() == 0:
    isolate()


def pytest_collection_modifyitems(items):
    if os.geteuid() != 0 or not there():
        if os.environ.get("VISCUM_NO_SKIP"):
            raise pytest.UsageError(NEEDS)
        for item in items:
            item.add_marker(pytest.mark.skip(reason=NEEDS))


class Router:
    """A lab with ubus, an agent, and the gateway that pages come from."""

    def __init__(self, lab, listener):
        self.lab = lab
        self.agent = None
        self.socket = str(lab.tmp / "ubus.sock")
        # A process of its own, as on a router: it stays when the agent goes, and its work is not the agent's.
        lab.start(lab.router, sys.executable, ROOT / "tests/ubus_peer.py", "broker", self.socket)
        lab.configure("")
        self.gateway = Gateway(
            listener,
            lab.confdir,
            self.socket,
            {
                ("network.interface", "dump"): lambda args: {"interface": [INTERFACE]},
                ("network.device", "status"): lambda args: self.devices(),
                ("file", "read"): lambda args: {"data": Path(args["path"]).read_text()},
            },
        )

    def runs(self, config=ECHO):
        """Starts the agent; waits until it answers."""
        self.agent = Served(self.lab, config, self.socket)
        wait_for(self.answers)
        return self.agent

    def answers(self):
        try:
            self.ask("list")
        except UbusError:
            return False
        return True

    def ask(self, method, **args):
        with Caller(self.socket) as caller:
            return caller.call("viscum", method, args)

    def state(self, name="echo"):
        return self.ask("status", name=name)["services"][name]["state"]

    def devices(self):
        links = json.loads(run("ip", "-n", self.lab.router, "-j", "link").stdout)
        return {link["ifname"]: {"up": "UP" in link["flags"]} for link in links}

    def polls(self, seconds, method="status"):
        """How often pages call a method of the agent within a time."""
        before = len(self.calls(method))
        time.sleep(seconds)
        return len(self.calls(method)) - before

    def calls(self, method=None):
        return [
            call for call in self.gateway.calls if call.name == "viscum" and (method is None or call.method == method)
        ]


INTERFACE = {"interface": "lan", "up": True, "l3_device": "lan0", "device": "lan0"}


class Served(Agent):
    """An agent on the lab's ubus."""

    def __init__(self, lab, config, socket):
        self.socket = socket
        super().__init__(lab, config)


@pytest.fixture(autouse=True)
def nothing_left(browser):
    with left_as_it_was():
        yield


@pytest.fixture(scope="session")
def browser():
    with Browser() as made:
        yield made


@pytest.fixture
def lab(tmp_path):
    with Lab(tmp_path) as made:
        yield made


@pytest.fixture
def router(lab, browser):
    made = Router(lab, browser.listener())
    with made.gateway:
        yield made


@pytest.fixture
def page(browser, router):
    """Fails a test in whose page something went wrong that the page did not show."""
    with Page(browser, router.gateway) as made:
        yield made
        assert made.noise() == []
