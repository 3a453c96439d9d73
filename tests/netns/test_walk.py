"""`viscum explain NAME`: a packet of Viscum's own goes a client's way, and each fault stops it at its hop."""

import json
import os
import signal

import pytest
from agent import CONFIG, TAKES, Served
from lab import echo_command, ip, pids_in, service, snapshot, wait_for

HEALTHY = ["plan", "rule", "pair", "program", "reply"]
NS = "viscum-echo"


def walked(viscum, *words):
    """(exit code, hops) of the command."""
    result = viscum("explain", "--json", "echo", *words, check=False)
    assert result.returncode in (0, 1) and not result.stderr, result.stderr
    return result.returncode, json.loads(result.stdout)


def stopped(viscum, *words):
    """(where, why) of a walk that stopped."""
    code, hops = walked(viscum, *words)
    assert code == 1 and [hop["result"] for hop in hops[:-1]] == ["ok"] * (len(hops) - 1), hops
    assert hops[-1]["result"] == "stopped here" and hops[-1]["fix"], hops
    return hops[-1]["hop"], hops[-1]["text"]


def arp(lab):
    """Lets the router know its client."""
    lab.run(lab.client, "ping", "-c", "1", "-W", "5", "192.168.77.1")


@pytest.fixture
def up(lab):
    """A service without an agent, which would mend what the tests break."""
    lab.configure(CONFIG)
    lab.viscum("up")
    arp(lab)
    yield lab
    lab.viscum("down")


def test_a_healthy_service_is_walked_to_its_end_and_nothing_is_left(lab, datapath):
    lab.serve_cloud(7000)
    served = Served(lab, CONFIG)
    served.becomes("edge")
    wait_for(lambda: served.state() == "healthy")
    served.has_done_all()
    before = snapshot(lab.router), snapshot(NS)
    code, hops = walked(served.viscum)
    assert (code, [hop["hop"] for hop in hops], {hop["result"] for hop in hops}) == (0, HEALTHY, {"ok"}), hops
    mac = json.loads(ip("-n", lab.client, "-j", "link", "show", "eth0"))[0]["address"]
    assert "tcp from 192.168.77.2 " in hops[0]["text"] and hops[-1]["text"] == "leaves by lan0 for " + mac
    assert (snapshot(lab.router), snapshot(NS)) == before
    text = served.viscum("explain", "echo").stdout
    assert [line.split()[:2] for line in text.splitlines()] == [[hop, "ok"] for hop in HEALTHY]
    assert "Traceback" not in served.log.read_text(), served.log.read_text()
