"""People and scripts ask the agent over ubus; here it serves the socket itself."""

import json
import os
import subprocess

import pytest
from agent import QUICK, TAKES, Agent
from lab import ROOT, echo_command, namespaces, service, wait_for

CONFIG = service("echo", echo_command("edge", 7000), *TAKES, *QUICK)


class Served(Agent):
    """An agent that serves ubus on a socket of the lab."""

    @property
    def socket(self):
        return str(self.lab.tmp / "ubus.sock")

    def words(self):
        return (*super().words(), "-s", self.socket, "-b")

    def viscum(self, *words, **options):
        return self.lab.viscum("-s", self.socket, *words, **options)

    def state(self):
        return json.loads(self.viscum("status", "--json").stdout)[0]["state"]


@pytest.fixture
def served(lab):
    lab.serve_cloud(7000)
    made = Served(lab, CONFIG)
    made.becomes("edge")
    wait_for(lambda: os.path.exists(made.socket), 5)
    yield made
    assert "Traceback" not in made.log.read_text(), made.log.read_text()


def test_status_list_and_stats(served):
    assert served.state() == "healthy"
    assert served.viscum("list").stdout == "echo\n"
    before = json.loads(served.viscum("stats", "--json").stdout)["echo"]["packets"]
    served.who()
    assert json.loads(served.viscum("stats", "--json").stdout)["echo"]["packets"] > before


def test_bypass_stop_start_and_restart(served):
    served.viscum("bypass", "echo")
    served.becomes("cloud")
    assert served.state() == "bypassed"
    served.viscum("bypass", "echo", "--off")
    served.becomes("edge")
    served.viscum("stop", "echo")
    served.becomes("cloud")
    wait_for(lambda: "viscum-echo" not in namespaces(), 10)
    assert served.state() == "disabled"
    served.viscum("start", "echo")
    served.becomes("edge")
    pid = json.loads(served.viscum("status", "--json").stdout)[0]["pid"]
    served.viscum("restart", "echo")
    wait_for(lambda: json.loads(served.viscum("status", "--json").stdout)[0]["pid"] not in (0, pid), 10)
    served.becomes("edge")


def test_reload_takes_a_new_configuration_and_refuses_a_broken_one_in_words(served):
    served.lab.configure(CONFIG.replace("serve edge", "serve other"))
    served.viscum("reload")
    served.becomes("other")
    served.lab.configure("config service 'x\n")
    result = served.viscum("reload", check=False)
    assert result.returncode == 1
    assert "a quote is opened here and never closed" in result.stderr
    assert served.who() == "other"


def test_monitor_prints_every_change(served):
    words = (*served.lab.interpreter, "-m", "viscum_agent", "-s", served.socket, "monitor")
    stream = served.lab.start(
        served.lab.router, *words, cwd=ROOT, env=served.lab.env(), stdout=subprocess.PIPE, text=True
    )
    wait_for(lambda: served.viscum("list").returncode == 0, 5)
    lines = []
    for _ in range(20):  # until the monitor listens
        served.viscum("bypass", "echo")
        served.viscum("bypass", "echo", "--off")
        if os.get_blocking(stream.stdout.fileno()):
            os.set_blocking(stream.stdout.fileno(), False)
        text = stream.stdout.read()
        lines += text.splitlines() if text else []
        if lines:
            break
    assert any(line.startswith("echo: healthy -> bypassed, asked for") for line in lines), lines


def test_up_and_down_leave_it_to_the_agent(served):
    for command in ("up", "down"):
        result = served.viscum(command, check=False)
        assert result.returncode == 1
        assert "an agent runs" in result.stderr
    assert served.who() == "edge"


def test_without_an_agent_the_commands_say_so(lab):
    lab.configure(CONFIG)
    for command in ("list", "start", "stop", "restart", "reload", "bypass", "stats", "monitor"):
        result = lab.viscum("-s", str(lab.tmp / "nobody.sock"), command, check=False)
        assert result.returncode == 1
        assert "no agent answers on " in result.stderr and "Traceback" not in result.stderr
