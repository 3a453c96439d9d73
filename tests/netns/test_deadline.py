"""Redirects by eBPF end by themselves when no agent vouches for them any more (watch_timeout)."""

import os
import signal
import time

import datapaths
import pytest
from agent import CONFIG, Agent
from lab import namespaces, pids_in

HOLDS = 3  # seconds
KEPT = "config globals 'globals'\n\toption watch_timeout %d\n\n" % HOLDS + CONFIG
BY_TIME = [name for name in ("bpf-tcx", "bpf-cls") if datapaths.has(name)]


@pytest.fixture(params=BY_TIME)
def datapath(request):
    return request.param


@pytest.fixture
def agent(lab, datapath):
    lab.serve_cloud(7000, 7001)
    made = Agent(lab, KEPT)
    made.becomes("edge")
    yield made
    assert "Traceback" not in made.log.read_text(), made.log.read_text()


def test_a_program_that_ends_while_its_agent_is_stopped_leaves_its_clients_to_the_cloud(agent):
    agent.process.send_signal(signal.SIGSTOP)
    os.kill(pids_in("viscum-echo")[0], signal.SIGKILL)
    agent.becomes("cloud")
    agent.process.send_signal(signal.SIGCONT)
    agent.becomes("edge")


def test_clients_of_an_agent_that_was_killed_reach_the_cloud_until_the_next_one_lives(agent):
    (pid,) = pids_in("viscum-echo")
    agent.kill()
    assert agent.who() == "edge"
    agent.becomes("cloud")
    agent.start()
    agent.becomes("edge")
    assert pids_in("viscum-echo") == [pid], "it was adopted"


def test_an_agent_that_was_told_to_end_leaves_the_next_one_as_long(agent):
    began = time.monotonic()
    agent.process.terminate()
    agent.process.wait(10)
    agent.becomes("cloud")
    assert time.monotonic() - began > HOLDS - 1
    assert "viscum-echo" in namespaces()


def test_a_living_agent_puts_it_off(agent):
    until = time.monotonic() + 3 * HOLDS
    while time.monotonic() < until:
        assert agent.who() == "edge"


def test_what_viscum_up_made_holds_for_good(agent):
    agent.kill()
    agent.lab.viscum("up")
    until = time.monotonic() + 2 * HOLDS
    while time.monotonic() < until:
        assert agent.who() == "edge"


def test_viscum_up_of_another_service_leaves_those_to_the_cloud_that_had_gone_there(agent):
    agent.kill()
    agent.becomes("cloud")
    os.kill(pids_in("viscum-echo")[0], signal.SIGKILL)
    other = CONFIG.replace("'echo'", "'other'").replace("7000", "7001")
    agent.lab.configure(KEPT + "\n" + other)
    agent.lab.viscum("up", "other")
    assert agent.who(7001) == "edge"
    assert agent.who() == "cloud"
