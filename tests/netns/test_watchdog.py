"""procd restarts an agent that is there and does nothing, and lets one that sleeps sleep. procd is a stand-in; docs/
packages.md says what was tried with the real one.
"""

import os
import signal
import sys
import time

import pytest
from agent import CONFIG, Guest, answering
from lab import HANG, ROOT, Lab, pids_in, wait_for

from viscum_agent.ubus.caller import Caller
from viscum_agent.ubus.codes import UbusStatus
from viscum_agent.ubus.procd import ASLEEP, LIMIT

START = 100  # seconds, for an agent that starts
OFTEN = 1.5  # hasty_agent's


class Watched(Guest):
    def start(self):
        peer = ROOT / "tests/ubus_peer.py"
        words = ("procd", self.socket, START, *self.lab.interpreter, ROOT / "tests/hasty_agent.py")
        words = (sys.executable, peer, *words, "-c", self.lab.confdir, "-s", self.socket)
        with self.log.open("a") as stream:
            self.process = self.lab.start(self.lab.router, *words, env=self.env(), stderr=stream)

    def procd(self, key):
        with Caller(self.socket) as caller:
            return caller.call("service", "list", {})[key]

    def calls_now(self):
        """How often procd was called, 0 while it is not there."""
        try:
            return self.procd("calls")
        except UbusStatus:
            return 0

    def end(self):
        pid = self.procd("pid")
        self.process.kill()
        os.kill(pid, signal.SIGKILL)

    def sleeps(self):
        """Whether procd does not hear of it where it would have heard twice of one that is awake."""
        calls = self.procd("calls")
        time.sleep(2 * OFTEN + 1)
        return self.procd("calls") == calls

    def told(self, seconds):
        """Waits until procd has been told to wait for so long."""
        self._wait_for(lambda: self.procd("timeout") == seconds, HANG, "procd was not told")


@pytest.fixture
def agent(tmp_path, interpreter):
    with Lab(tmp_path, interpreter) as lab, answering(lab, CONFIG, Watched) as made:
        made.told(LIMIT)
        yield made
        made.end()


def test_an_agent_that_is_stuck_has_a_successor_and_one_that_sleeps_is_left_alone(agent):
    first, (program,) = agent.procd("pid"), pids_in("viscum-echo")
    calls = agent.procd("calls")
    wait_for(lambda: agent.procd("calls") > calls + 2)
    assert agent.procd("pid") == first, "it is heard of"

    os.kill(first, signal.SIGSTOP)
    agent.process.send_signal(signal.SIGHUP)
    wait_for(lambda: agent.procd("pid") != first)
    calls = agent.procd("calls")
    wait_for(lambda: agent.procd("calls") > calls)
    assert agent.who() == "edge"
    assert pids_in("viscum-echo") == [program], "the successor goes on with it"

    second = agent.procd("pid")
    agent.viscum("stop", "echo")
    agent.told(ASLEEP)
    wait_for(agent.sleeps)
    assert agent.procd("pid") == second, "nothing wakes it"
    agent.viscum("start", "echo")
    agent.told(LIMIT)


def restart_ubusd(agent):
    """The agent is there before procd and so does not find it; it calls procd once that is there."""
    calls = agent.procd("calls")
    os.kill(agent.process.pid, signal.SIGSTOP)
    agent.broker.kill()
    agent.broker.wait()
    agent.start_broker(agent.lab)
    wait_for(lambda: agent.viscum("list", check=False).returncode == 0)
    time.sleep(2 * OFTEN)
    os.kill(agent.process.pid, signal.SIGCONT)
    wait_for(lambda: agent.calls_now() > calls)


def test_a_procd_that_is_back_later_than_the_agent_hears_of_it_again(agent):
    restart_ubusd(agent)
    agent.viscum("stop", "echo")
    agent.told(ASLEEP)
    restart_ubusd(agent)
    wait_for(agent.sleeps)
