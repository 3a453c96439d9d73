"""Services behind a netkit pair, which only the guest's kernel has: what they live through over veth, too."""

import json
import signal

import datapaths
import pytest
from agent import CONFIG, answering
from lab import CPYTHON, MICROPYTHON, Lab, listens, pids_in, run, wait_for

AUTO = CONFIG.replace("option enabled 1", "option enabled 1\n\toption pair auto\n\toption rate 20mbit")


@pytest.fixture(params=[CPYTHON, MICROPYTHON], ids=["cpython", "micropython"])
def lab(request, tmp_path):
    assert datapaths.has("bpf-netkit"), "the guest's kernel has it"
    with Lab(tmp_path, request.param) as made:
        yield made


@pytest.fixture
def agent(lab):
    with answering(lab, AUTO) as made:
        made.has_done_all()
        yield made


def kind(lab):
    """Of the pair of "echo"; "" for none."""
    found = json.loads(lab.run(lab.router, "ip", "-d", "-j", "link").stdout)
    return "".join(link["linkinfo"]["info_kind"] for link in found if link["ifname"] == "vsc-echo")


def test_an_agent_adopts_it_repairs_it_and_takes_it_away(lab, agent):
    assert kind(lab) == "netkit"
    (program,) = pids_in("viscum-echo")
    agent.kill()
    agent.start()
    agent.has_done_all()
    assert agent.who() == "edge" and pids_in("viscum-echo") == [program]
    run("ip", "-n", lab.router, "link", "del", "vsc-echo")
    agent.becomes("edge")
    agent.has_done_all()
    assert kind(lab) == "netkit" and pids_in("viscum-echo") == [program]
    agent.process.send_signal(signal.SIGTERM)
    agent.process.wait(60)
    lab.viscum("down")
    assert agent.who() == "cloud" and not lab.pins()


def test_another_kind_of_pair_is_made_while_the_agent_runs(lab, agent):
    for config, wanted in ((CONFIG, "veth"), (AUTO, "netkit")):
        agent.reload(config)
        wait_for(lambda wanted=wanted: kind(lab) == wanted)
        agent.becomes("edge")
        agent.has_done_all()


def test_a_program_that_has_ended_is_no_refusal(lab, agent):
    """The agent is stopped, so the eBPF program alone sees that the port is closed."""
    agent.process.send_signal(signal.SIGSTOP)
    (program,) = pids_in("viscum-echo")
    run("kill", "-9", str(program))
    # It is gone before its sockets are; one whose connection the kernel had accepted already would be reset.
    wait_for(lambda: not listens("viscum-echo", 7000))
    assert lab.who([("tcp", "203.0.113.10", 7000)]) == ["cloud"]
    agent.process.send_signal(signal.SIGCONT)
    agent.becomes("edge")


def test_what_the_program_begins_itself_stays_in(lab, agent):
    words = "import socket; socket.create_connection(('203.0.113.11', 7000), 3)"
    assert lab.run("viscum-echo", "python3", "-c", words, check=False).returncode == 1
    agent.reload(AUTO)
    agent.says("dropped packets that its program began itself")
