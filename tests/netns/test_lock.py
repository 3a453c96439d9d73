"""One agent, `up` or `down` at a time for each router: two would take each other's programs for left over."""

import subprocess
import time

import pytest
from agent import CONFIG, QUICK, TAKES, Agent
from lab import HANG, echo_command, pids_in, service, wait_for


def test_a_second_agent_says_so_and_ends_and_the_first_goes_on(agent):
    (pid,) = pids_in("viscum-echo")
    begin = time.monotonic()
    second = agent.lab.start(agent.lab.router, *agent.words(), cwd="/", env=agent.lab.env(), stderr=subprocess.PIPE)
    assert b"another agent (process %d) is at work here" % agent.process.pid in second.communicate(timeout=HANG)[1]
    assert (second.returncode, time.monotonic() - begin < 10) == (1, True)
    assert (agent.who(), pids_in("viscum-echo")) == ("edge", [pid])


@pytest.mark.parametrize("words", [("up",), ("down",), ("up", "--no-program"), ("down", "--no-program")])
def test_up_and_down_leave_it_to_the_agent(agent, words):
    result = agent.lab.viscum(*words, check=False)
    assert (result.returncode, "an agent runs" in result.stderr) == (1, True)
    assert agent.who() == "edge"


def test_an_agent_that_was_killed_leaves_nobody_waiting(agent):
    agent.kill()
    begin = time.monotonic()
    agent.start()
    agent.says("found running")
    assert time.monotonic() - begin < 15


def test_an_agent_waits_for_an_up_that_still_runs_and_goes_on_with_what_it_made(lab):
    lab.serve_cloud(7000)
    slow = "/bin/sh -c 'sleep 3; exec %s'" % echo_command("edge", 7000)
    lab.configure(service("echo", slow, *TAKES, *QUICK))
    words = (*lab.agent("viscum_agent"), "-c", lab.confdir, "up")
    up = lab.start(lab.router, *words, cwd=str(lab.tmp), env=lab.env(), stdout=subprocess.PIPE)
    wait_for(lambda: pids_in("viscum-echo"))
    agent = Agent(lab, service("echo", slow, *TAKES, *QUICK))
    assert up.communicate(timeout=HANG)[0] == b"echo: up\n"
    (pid,) = pids_in("viscum-echo")
    agent.says("found running")
    assert (agent.who(), pids_in("viscum-echo")) == ("edge", [pid])


def test_two_that_come_at_the_same_time_come_one_after_the_other(lab):
    lab.configure(CONFIG)
    words = (*lab.agent("viscum_agent"), "-c", lab.confdir, "up")
    both = [
        lab.start(lab.router, *words, cwd=str(lab.tmp), env=lab.env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    said = [each.communicate(timeout=HANG) for each in both]
    assert [each.returncode for each in both] == [0, 0], said
    assert sorted(out for out, _ in said) == [b"", b"echo: up\n"]
    assert len(pids_in("viscum-echo")) == 1
