"""What an agent does with what it finds: services that outlived the one before it, or that changed meanwhile."""

import contextlib
import os
import signal

import pytest
from agent import CONFIG, QUICK, TAKES, Agent
from lab import ROOT, echo_command, namespaces, pids_in, run, service, snapshot, wait_for

from viscum_agent.service import running

MISTAKE = CONFIG.replace("dest_port 7000", "dest_port 70000")


def test_a_redirect_whose_program_died_with_the_agent_is_out_before_another_program_answers(agent):
    agent.kill()
    os.kill(pids_in("viscum-echo")[0], signal.SIGKILL)
    agent.lab.configure(service("echo", "/bin/sleep 1000", *TAKES, *QUICK))
    agent.start()
    wait_for(lambda: agent.log.read_text().count("echo: starting") == 2)
    assert "vsc-echo" not in agent.filters(), "whoever reads that finds it out"
    assert agent.who() == "cloud"


def test_a_redirect_is_out_where_the_program_can_not_be_started_any_more(agent):
    agent.kill()
    os.kill(pids_in("viscum-echo")[0], signal.SIGKILL)
    agent.lab.configure(service("echo", "/nonexistent/program", *TAKES, *QUICK))
    agent.start()
    agent.says("echo: failed, command: there is no program")
    agent.redirects(there=False)
    assert agent.who() == "cloud"


def test_a_visitor_does_not_keep_the_redirect_of_a_program_that_died_with_the_agent(agent):
    lab = agent.lab
    words = (*lab.agent("viscum_agent"), "-c", lab.confdir, "exec", "echo", "--", "/bin/sleep", "1000")
    (program,) = pids_in("viscum-echo")
    lab.start(lab.router, *words, cwd=ROOT, env=lab.env())
    wait_for(lambda: len(pids_in("viscum-echo")) == 2)
    agent.kill()
    os.kill(program, signal.SIGKILL)
    lab.configure(service("echo", "/nonexistent/program", *TAKES, *QUICK))
    agent.start()
    agent.says("echo: failed, command: there is no program")
    agent.redirects(there=False)


@contextlib.contextmanager
def settings_read_only():
    """Nobody can write to /proc/sys, not even root."""
    run("mount", "--bind", "-o", "ro", "/proc/sys", "/proc/sys")
    run("mount", "-o", "remount,bind,ro", "/proc/sys")
    try:
        yield
    finally:
        run("umount", "/proc/sys")


@pytest.mark.parametrize("runs", [True, False], ids=["and its program runs", "and its program died"])
def test_a_redirect_is_out_where_something_of_its_service_can_not_be_mended(agent, runs):
    """Such a service is not watched. It is again when that can be done."""
    agent.kill()
    (pid,) = pids_in("viscum-echo")
    agent.lab.run(agent.lab.router, "sysctl", "-qw", "net.ipv4.conf.vsc-echo.rp_filter=1")
    if not runs:
        os.kill(pid, signal.SIGKILL)
    with settings_read_only():
        agent.start()
        agent.says("Read-only file system")
        agent.redirects(there=False)
        assert agent.who() == "cloud"
        assert "vsc-echo" not in agent.filters()
    agent.reload(CONFIG)
    agent.becomes("edge")


def test_a_program_of_old_settings_is_replaced(agent):
    (pid,) = pids_in("viscum-echo")
    agent.kill()
    agent.lab.configure(CONFIG.replace("serve edge", "serve other"))
    agent.start()
    agent.becomes("other")
    assert pids_in("viscum-echo") != [pid]


def test_a_service_with_a_mistake_goes_on_while_it_is_watched_and_is_out_when_nobody_does(agent):
    agent.reload(MISTAKE)
    agent.says("'70000' is not a port")
    assert agent.who() == "edge"
    agent.kill()
    agent.start()
    agent.redirects(there=False)
    agent.says("echo: its redirect is out: nothing supervises its program")
    agent.says("echo: waiting, '70000' is not a port")
    assert agent.who() == "cloud"
    agent.reload(CONFIG)
    agent.becomes("edge")


@pytest.fixture
def mistaken(agent):
    """Its service goes on with the settings from before a mistake."""
    agent.reload(MISTAKE)
    agent.says("'70000' is not a port")
    assert agent.who() == "edge"
    return agent


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["ends", "hangs"])
def test_a_service_with_a_mistake_whose_program_could_not_answer_gets_its_redirect_back(mistaken, how):
    (pid,) = pids_in("viscum-echo")
    os.kill(pid, how)
    try:
        mistaken.redirects(there=False)
    finally:
        if how == signal.SIGSTOP:
            os.kill(pid, signal.SIGCONT)
    mistaken.becomes("edge")


def test_a_service_that_waits_for_its_next_start_is_started_though_its_section_has_a_mistake_by_then(lab):
    """As by every reload."""
    slow = CONFIG.replace("respawn_timeout 1", "respawn_timeout 3600")
    made = Agent(lab, slow)
    made.becomes("edge")
    os.kill(pids_in("viscum-echo")[0], signal.SIGKILL)
    made.says("echo: backoff")
    made.reload(slow.replace("dest_port 7000", "dest_port 70000"))
    made.becomes("edge")


def test_what_a_service_with_a_mistake_needs_is_restored(mistaken):
    mistaken.lab.run("viscum-echo", "ip", "addr", "flush", "dev", "eth0")
    mistaken.says("echo: restored what somebody had removed or changed")
    mistaken.becomes("edge")


def test_a_new_service_does_not_get_the_traffic_of_one_that_goes_on_with_a_mistake(mistaken):
    first = service("another", echo_command("another", 7000), *TAKES, *QUICK)
    mistaken.reload(first + MISTAKE)
    mistaken.says("viscum.another.dest_ip: takes the same traffic on lan0 as service 'echo'")
    assert mistaken.who() == "edge"
    mistaken.reload(first)
    mistaken.becomes("another")


def test_a_service_whose_interface_went_meanwhile_is_out_and_returns_with_it(agent):
    (pid,) = pids_in("viscum-echo")
    agent.kill()
    agent.lab.configure(CONFIG.replace("list device lan0", "list device lan9"))
    agent.start()
    agent.says("echo: waiting")
    agent.redirects(there=False)
    agent.reload(CONFIG)
    agent.becomes("edge")
    assert pids_in("viscum-echo") == [pid]


def test_a_service_that_no_section_wants_is_taken_down_with_its_program_and_its_redirect_first(agent):
    """Its program takes its time to end; clients don't wait for that."""
    agent.kill()
    agent.lab.configure("config globals 'globals'\n")
    (pid,) = pids_in("viscum-echo")
    os.kill(pid, signal.SIGSTOP)  # takes no SIGTERM
    agent.start()
    agent.redirects(there=False)
    assert pids_in("viscum-echo") == [pid], "it has 5 s to end"
    assert agent.who() == "cloud"
    wait_for(lambda: "viscum-echo" not in namespaces())
    assert not running.alive(pid)


def test_nothing_is_left_of_a_service_that_no_section_wants(lab):
    before = snapshot(lab.router), namespaces()
    lab.configure(service("old", echo_command("old", 7000), *TAKES))
    lab.viscum("up")
    assert pids_in("viscum-old")
    made = Agent(lab, "config globals 'globals'\n")
    wait_for(lambda: (snapshot(lab.router), namespaces()) == before)
    assert made.process.poll() is None


def test_a_program_whose_namespace_somebody_took_away_is_started_anew(agent):
    (pid,) = pids_in("viscum-echo")
    agent.lab.run(agent.lab.router, "ip", "netns", "del", "viscum-echo")
    agent.process.send_signal(signal.SIGHUP)
    agent.says("echo: stopping, it is not in its namespace any more")
    agent.becomes("edge")
    assert pids_in("viscum-echo") != [pid]
    assert not running.alive(pid)


def test_an_agent_that_nobody_listens_to_goes_on(lab):
    """Its stderr was closed, and there is no system log."""
    lab.serve_cloud(7000)
    reading, writing = os.pipe()
    os.close(reading)
    lab.configure(CONFIG)
    with os.fdopen(writing, "w") as stderr:
        made = Deaf(lab, stderr)
    made.becomes("edge")
    os.kill(pids_in("viscum-echo")[0], signal.SIGKILL)
    made.redirects(there=False)
    made.becomes("edge")
    assert made.process.poll() is None


class Deaf(Agent):
    def __init__(self, lab, stderr):
        self._stderr = stderr
        super().__init__(lab, CONFIG)
        self.log.touch()

    def start(self):
        words = self.words()
        self.process = self.lab.start(self.lab.router, *words, cwd=ROOT, env=self.env(), stderr=self._stderr)
