"""The agent keeps the kernel as the configuration says, and takes a redirect out when its program can't answer."""

import os
import signal
import time

import datapaths
import pytest
from agent import CONFIG, PATIENT, QUICK, TAKES, Agent, answering
from lab import PROGRAMS, Lab, echo_command, namespaces, pids_in, service, snapshot, wait_for

pytestmark = pytest.mark.usefixtures("datapath")

# Seconds in which something is seen that an event tells of, be the machine ever so busy: without the event nothing
# would be until the next check or look (60 and 45 s here). How long it takes is in docs/benchmarks.md.
AT_ONCE = 10
SELDOM = CONFIG.replace("health_interval 1", "health_interval 60")


@pytest.fixture
def agent(lab, request):
    """With a service that is checked each second, or as seldom as a test says: `@seldom`."""
    with answering(lab, getattr(request, "param", CONFIG), cloud=(7000, 7001)) as made:
        yield made


seldom = pytest.mark.parametrize("agent", [SELDOM], indirect=True, ids=["seldom"])


@seldom
def test_the_redirect_is_gone_at_once_when_the_program_ends_and_back_when_it_was_restarted(agent):
    times = []
    for _ in range(3):
        (pid,) = pids_in("viscum-echo")
        os.kill(pid, signal.SIGKILL)
        times.append(agent.redirects(there=False))
        assert agent.who() == "cloud"
        agent.becomes("edge")
        assert pids_in("viscum-echo") != [pid]
    print("redirect gone after %s ms" % ", ".join(["%.0f" % (1000 * each) for each in times]))
    assert max(times) < AT_ONCE


def test_a_program_that_hangs_is_bypassed_and_comes_back(agent):
    """The kernel still makes connections for it: only that nobody accepts them tells."""
    (pid,) = pids_in("viscum-echo")
    os.kill(pid, signal.SIGSTOP)
    try:
        agent.becomes("cloud", seconds=3 * (1 + 1) + 8)
    finally:
        os.kill(pid, signal.SIGCONT)
    agent.becomes("edge")
    assert pids_in("viscum-echo") == [pid]


@pytest.mark.parametrize("what", ["filter", "qdisc"])
def test_a_filter_or_qdisc_that_somebody_deleted_is_back_at_once(agent, what):
    prio = agent.lab.prio
    if not prio:
        pytest.skip("has neither")
    (pid,) = pids_in("viscum-echo")
    words = {"filter": ("ingress", "prio", prio), "qdisc": ("clsact",)}
    agent.lab.run(agent.lab.router, "tc", what, "del", "dev", "lan0", *words[what])
    assert agent.redirects() < AT_ONCE
    agent.becomes("edge")  # the one that was seen may not be this client's
    assert pids_in("viscum-echo") == [pid]


@pytest.mark.parametrize("what", ["of the redirect", "all"])
def test_what_is_pinned_and_somebody_deleted_is_back_at_once(agent, what):
    """A program goes with its link, and that with its file."""
    pins = agent.lab.pins()
    if not pins:
        pytest.skip("nothing is pinned")
    (pid,) = pids_in("viscum-echo")
    for pin in pins if what == "all" else [pin for pin in pins if pin.name.split("_", 1)[1] == "lan0"]:
        pin.unlink()
    begin = time.monotonic()
    wait_for(lambda: agent.lab.pins() == pins and "vsc-echo" in agent.filters())
    assert time.monotonic() - begin < AT_ONCE
    assert agent.who() == "edge"
    assert pids_in("viscum-echo") == [pid]


def test_a_pair_of_devices_that_somebody_deleted_is_back_and_the_program_goes_on(agent):
    (pid,) = pids_in("viscum-echo")
    agent.lab.run(agent.lab.router, "ip", "link", "del", "vsc-echo")
    agent.becomes("edge")
    assert pids_in("viscum-echo") == [pid]
    agent.has_done_all()


@pytest.mark.parametrize("datapath", [name for name in datapaths.here() if not name.startswith("bpf")])
def test_a_redirect_that_the_kernel_does_not_take_is_tried_again_seldom(lab, datapath):
    """Somebody else has a filter of another protocol in its prio."""
    lab.serve_cloud(7000)
    wide = CONFIG.replace("dest_port 7000", "dest_port 7000-7001")
    where = ("dev", "lan0", "ingress", "prio", "3", "protocol", "arp")
    lab.run(lab.router, "tc", "qdisc", "add", "dev", "lan0", "clsact")
    lab.run(lab.router, "tc", "filter", "add", *where, "u32", "match", "u32", "0", "0", "flowid", "1:1")
    made = Agent(lab, wide)
    made.says("echo: bypassed, `tc filter add ")
    time.sleep(5)
    tries = made.log.read_text().count("echo: healthy")
    assert tries <= 2, "one more, in case something changed at that moment"
    assert made.who() == "cloud"
    lab.run(lab.router, "tc", "filter", "del", *where)
    made.reload(wide)
    assert made.becomes("edge") < 5, "not when the time of the last try is over"


def test_an_interface_that_vanishes_and_returns_gets_its_redirect_back(agent):
    """As with `wifi reload`: the device returns under its name, with another index and no qdisc."""
    (pid,) = pids_in("viscum-echo")
    lab = agent.lab
    lab.run(lab.router, "ip", "link", "del", "lan0")
    time.sleep(0.5)
    lab.wire_client(0)
    agent.becomes("edge")
    assert pids_in("viscum-echo") == [pid]


def test_an_interface_that_does_not_exist_yet_is_waited_for(lab):
    lab.serve_cloud(7000)
    made = Agent(lab, service("echo", echo_command("edge", 7000), *TAKES, *QUICK).replace("lan0", "lan9"))
    made.says("waiting")
    assert "viscum-echo" not in namespaces()
    lab.run(lab.router, "ip", "link", "set", "lan0", "down")
    lab.run(lab.router, "ip", "link", "set", "lan0", "name", "lan9")
    lab.run(lab.router, "ip", "link", "set", "lan9", "up")
    made.becomes("edge")


@seldom
def test_an_agent_that_was_killed_is_followed_by_one_that_goes_on_with_what_runs(agent):
    (pid,) = pids_in("viscum-echo")
    before = snapshot(agent.lab.router)
    agent.kill()
    assert agent.who() == "edge", "the service does not need it"
    agent.start()
    agent.says("found running")
    assert agent.who() == "edge"
    assert pids_in("viscum-echo") == [pid]
    assert snapshot(agent.lab.router) == before
    os.kill(pid, signal.SIGKILL)
    assert agent.redirects(there=False) < AT_ONCE, "it watches a program that is not its child"
    agent.becomes("edge")


def test_a_reload_touches_only_what_changed(agent):
    (pid,) = pids_in("viscum-echo")
    one = service("echo", echo_command("edge", 7000), *TAKES, *QUICK)
    two = service("more", echo_command("more", 7001), *TAKES, *QUICK).replace("dest_port 7000", "dest_port 7001")
    agent.reload(one + two)
    agent.becomes("more", port=7001)
    assert pids_in("viscum-echo") == [pid]
    agent.reload(one)
    agent.becomes("cloud", port=7001)
    wait_for(lambda: "viscum-more" not in namespaces())
    assert (agent.who(), pids_in("viscum-echo")) == ("edge", [pid])
    agent.reload(one.replace("serve edge", "serve other"))
    agent.becomes("other")
    agent.reload("config service 'echo\n")
    agent.says("the configuration is rejected")
    assert agent.who() == "other"


def test_a_program_that_ends_too_often_is_left_alone_until_a_reload(lab):
    lab.serve_cloud(7000)
    broken = service("echo", "/bin/false", *TAKES, "option respawn_timeout 0", "option respawn_retry 2")
    made = Agent(lab, broken)
    made.says("failed, the program ended with exit code 1, 3 times in a row")
    assert made.who() == "cloud"
    made.reload(service("echo", echo_command("edge", 7000), *TAKES, *QUICK))
    made.becomes("edge")


def test_a_udp_check_sees_a_program_that_takes_nothing_in(lab):
    """A hung program has its socket open: that what waits in it is never read tells."""
    lab.serve_cloud(7000)
    udp = (*TAKES, *QUICK, "list proto udp", "option health_fall 2")
    made = Agent(lab, service("echo", echo_command("edge", "udp/7000"), *udp))
    wait_for(lambda: made.lab.ask("udp", "203.0.113.10", 7000)[0] == "edge")
    (pid,) = pids_in("viscum-echo")
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for(lambda: made.lab.ask("udp", "203.0.113.10", 7000)[0] == "cloud")
        made.says("udp port 7000: the program takes nothing in")
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for(lambda: made.lab.ask("udp", "203.0.113.10", 7000)[0] == "edge")


def test_a_check_by_command_decides(lab):
    lab.serve_cloud(7000)
    flag = PROGRAMS / "flag"
    lines = (*TAKES, *QUICK, "option healthcheck exec", "option health_command '/usr/bin/test -e %s'" % flag)
    made = Agent(lab, service("echo", echo_command("edge", 7000), *lines, "option health_fall 2", "option user root"))
    time.sleep(1)
    assert made.who() == "cloud"
    flag.touch()
    made.becomes("edge")
    flag.unlink()
    made.becomes("cloud")


def test_left_over_objects_that_no_section_wants_are_removed_at_the_start(lab):
    before = snapshot(lab.router), namespaces()
    lab.configure(service("old", echo_command("old", 7001), *TAKES))
    lab.viscum("up", "--no-program")
    made = Agent(lab, "config globals 'globals'\n")
    wait_for(lambda: (snapshot(lab.router), namespaces()) == before)
    assert made.process.poll() is None


def test_sigterm_ends_the_agent_and_the_service_goes_on(agent):
    agent.process.terminate()
    assert agent.process.wait() == 0
    assert agent.who() == "edge"


def test_the_agent_follows_changes_on_two_devices(tmp_path, interpreter, datapath):
    with Lab(tmp_path, interpreter, clients=2, datapath=datapath) as lab:
        made = Agent(lab, service("echo", echo_command("edge", 7000), *TAKES, *PATIENT).replace("lan0", "'lan*'"))
        made.becomes("edge")
        for client in lab.clients:
            wait_for(lambda client=client: lab.ask("udp", "203.0.113.10", 7000, ns=client)[0] == "edge")
