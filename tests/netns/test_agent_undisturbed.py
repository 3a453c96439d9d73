"""What must not stop the agent from watching: signals that are not for it, a log that nobody reads, no descriptor left,
a caller without rights who asks and asks."""

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

import datapaths
import pytest
from agent import CONFIG, QUICK, TAKES, Agent, NoDescriptors, Public, Unread, answering
from lab import ROOT, echo_command, pids_in, service, wait_for

from viscum_agent.ubus.caller import Caller

# signal(7): what a terminal, a timer or a script may send.
UNWANTED = ("USR1", "USR2", "PIPE", "ALRM", "VTALRM", "PROF", "IO", "TSTP", "TTIN", "TTOU")


def status_of(pid):
    """The lines of /proc/PID/status (proc(5))."""
    return dict(
        line.split(":\t", 1) for line in Path("/proc/%d/status" % pid).read_text().splitlines() if ":\t" in line
    )


def takes_signals(pid):
    """Whether the agent blocks what it reads from its signalfd. A C library blocks every signal for moments of its own
    (glibc does as MicroPython starts), SIGCHLD too, which the agent leaves alone."""
    blocked = int(status_of(pid)["SigBlk"], 16)
    return blocked & 1 << signal.SIGTERM - 1 and not blocked & 1 << signal.SIGCHLD - 1


def test_signals_that_are_not_for_the_agent_neither_end_nor_stop_it(agent):
    for name in UNWANTED:
        agent.process.send_signal(getattr(signal, "SIG" + name))
    (pid,) = pids_in("viscum-echo")
    os.kill(pid, signal.SIGKILL)
    agent.becomes("cloud")
    agent.becomes("edge")
    assert agent.process.poll() is None
    wait_for(lambda: status_of(agent.process.pid)["State"][0] in "SR")  # D for a moment: it waits in the kernel


def test_a_signal_in_its_first_moments_does_not_end_it_either(lab):
    """From when it takes signals on: what the interpreter needs before that is not ours to change."""
    lab.serve_cloud(7000)
    made = Agent(lab, CONFIG)
    wait_for(lambda: takes_signals(made.process.pid))
    for name in (*UNWANTED, "HUP"):
        made.process.send_signal(getattr(signal, "SIG" + name))
    made.becomes("edge")


@contextlib.contextmanager
def ignored(*signals):
    """Whoever is started meanwhile ignores these, as what a shell starts in the background does."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in signals}
    try:
        yield
    finally:
        for number in before:
            signal.signal(number, before[number])


def test_a_program_has_no_signal_blocked_or_ignored(lab):
    lab.serve_cloud(7000)
    with ignored(signal.SIGINT, signal.SIGQUIT):
        made = Agent(lab, CONFIG)
    made.becomes("edge")
    (pid,) = pids_in("viscum-echo")
    status = status_of(pid)
    assert int(status["SigBlk"], 16) == 0
    # CPython, which the program is, ignores SIGPIPE and SIGXFSZ by itself. The C libraries keep 32 to 34 for themselves
    # and let nobody say what they do (signal(7)): what the tests were started with is what everyone has.
    others = [number for number in range(1, 65) if number not in (signal.SIGPIPE, signal.SIGXFSZ, 32, 33, 34)]
    assert [number for number in others if int(status["SigIgn"], 16) >> number - 1 & 1] == []


def test_an_agent_that_is_started_to_ignore_how_children_end_does_not(lab):
    """As what a shell starts after `trap '' CHLD`."""
    with ignored(signal.SIGCHLD):
        made = Agent(lab, CONFIG)
    made.becomes("edge")
    assert not int(status_of(made.process.pid)["SigIgn"], 16) >> signal.SIGCHLD - 1 & 1


# A log that nobody reads


def test_a_log_that_nobody_reads_is_not_waited_for(lab):
    lab.serve_cloud(7000)
    made = Unread(lab, CONFIG)
    try:
        wait_for(lambda: made.who() == "edge")
        for _ in range(2):
            (pid,) = pids_in("viscum-echo")
            os.kill(pid, signal.SIGKILL)
            wait_for(lambda: made.who() == "cloud")
            wait_for(lambda: made.who() == "edge")
    finally:
        os.close(made.reading)


# No descriptor left


@pytest.mark.usefixtures("datapath")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["ends", "hangs"])
def test_without_a_descriptor_left_a_program_that_does_not_answer_is_bypassed(agent, how):
    (pid,) = pids_in("viscum-echo")
    with NoDescriptors(agent.process.pid):
        time.sleep(0.2)
        os.kill(pid, how)
        agent.redirects(there=False)
        assert agent.who() == "cloud"
        time.sleep(3)
        assert agent.who() == "cloud", "it stays so for as long as it lasts"
        assert agent.process.poll() is None
    if how == signal.SIGSTOP:
        os.kill(pid, signal.SIGCONT)
    agent.becomes("edge")


@pytest.mark.parametrize("datapath", [name for name in datapaths.here() if name.startswith("bpf")])
@pytest.mark.usefixtures("datapath")
def test_a_redirect_that_no_descriptor_is_left_to_take_out_is_not_taken_for_gone(lab):
    """Not all those in reserve: what can't be read is not what is not there. The program takes its time to be back."""
    lab.serve_cloud(7000)
    command = "/bin/sh -c 'sleep 5; exec %s'" % echo_command("edge", 7000)
    agent = Agent(lab, service("echo", command, *TAKES, *QUICK))
    agent.becomes("edge")
    (pid,) = pids_in("viscum-echo")
    with NoDescriptors(agent.process.pid, least=16):
        os.kill(pid, signal.SIGKILL)
        agent.says("a redirect can't be taken out: ")
        assert "vsc-echo" in agent.filters()
        agent.says("has to wait until something is closed: ")
    agent.redirects(there=False)
    agent.becomes("edge")


def test_a_reload_for_which_no_descriptor_is_left_is_made_when_there_is_one(agent):
    with NoDescriptors(agent.process.pid):
        agent.reload(CONFIG.replace("option enabled 1", "option enabled 0"))
        agent.says("has to wait until something is closed: ")
    agent.redirects(there=False)
    assert agent.who() == "cloud"


def test_a_file_that_can_not_be_taken_when_there_is_a_descriptor_again_is_no_bug(agent):
    with NoDescriptors(agent.process.pid):
        agent.reload("config service 'echo\n")
        agent.says("has to wait until something is closed: ")
    agent.says("the configuration is rejected: ")
    time.sleep(1.5)
    assert "a bug" not in agent.log.read_text()
    assert agent.who() == "edge"


@pytest.mark.usefixtures("datapath")
def test_without_a_descriptor_left_a_pair_that_goes_takes_its_filters_with_it(agent):
    with NoDescriptors(agent.process.pid):
        agent.lab.run(agent.lab.router, "ip", "link", "del", "vsc-echo")
        wait_for(lambda: agent.who() == "cloud")


# A caller without rights


@pytest.fixture
def flooded(lab):
    said = lab.tmp / "flood"
    with answering(lab, CONFIG, Public) as made, said.open("w") as stream:
        wait_for(lambda: os.path.exists(made.socket))
        words = (sys.executable, ROOT / "tests/flood.py", made.socket)
        lab.start(lab.router, *words, stdout=stream, stderr=stream)
        wait_for(lambda: "floods" in said.read_text())
        yield made
    assert said.read_text() == "floods\n"


def test_an_account_that_asks_for_the_plan_all_the_time_keeps_neither_clients_nor_root_waiting(flooded):
    time.sleep(1)
    for _ in range(3):
        (pid,) = pids_in("viscum-echo")
        os.kill(pid, signal.SIGKILL)
        assert flooded.redirects(there=False) < 5, "a hang is meant: bench/trouble.py has the figure"
        flooded.becomes("edge")
    with Caller(flooded.socket) as caller:
        began = time.monotonic()
        for _ in range(20):
            caller.call("viscum", "status", {"name": "echo"})
        assert time.monotonic() - began < 10
