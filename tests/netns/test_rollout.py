"""What engines for many routers ask of one (cli/rollout.py, trial.py)."""

import hashlib
import json
import os
import time

import pytest
from agent import CONFIG, Served
from lab import PROGRAMS, service, wait_for

TAKES = ("list device lan0", "list dest_ip 203.0.113.11", "list dest_port 7001")
MUTE = service("mute", "/bin/sleep 600", *TAKES, "option health_interval 1")


@pytest.fixture
def served(lab):
    lab.serve_cloud(7000)
    made = Served(lab, CONFIG)
    wait_for(lambda: os.path.exists(made.socket))
    yield made
    assert "Traceback" not in made.log.read_text(), made.log.read_text()


def verify(served, *words):
    """(exit code, what is missing)"""
    result = served.viscum("verify", *words, check=False)
    assert result.stderr == ""
    return result.returncode, result.stdout


def file_hash(lab):
    return hashlib.sha256((lab.confdir / "viscum").read_bytes()).hexdigest()


# verify


def test_verify_waits_until_all_is_well_and_no_longer(served):
    begin = time.monotonic()
    assert verify(served, "--wait", "100") == (0, "")
    assert time.monotonic() - begin < 60 and served.state() == "healthy"
    assert verify(served) == (0, "")


def test_verify_says_what_is_missing_when_the_time_is_up(served):
    served.reload(CONFIG + MUTE)
    begin = time.monotonic()
    code, missing = verify(served, "--wait", "3")
    assert code == 1 and time.monotonic() - begin >= 3
    assert missing.startswith("mute: ") and missing.count("\n") == 1


def test_a_configuration_that_the_agent_has_not_read_is_missing(served):
    served.lab.configure(CONFIG + "\n")
    wait_for(lambda: verify(served)[1].startswith("the agent runs another configuration than "))
    served.viscum("reload")
    assert verify(served, "--wait", "60")[0] == 0


def test_the_generation_counts_configurations_and_the_hash_is_that_of_sha256sum(served):
    def told():
        found = json.loads(served.viscum("verify", "--json", "--wait", "60").stdout)
        assert found["missing"] == []
        assert (found["generation"], found["hash"]) == (
            served.call("status")["generation"],
            served.call("status")["hash"],
        )
        assert found["hash"] == file_hash(served.lab)
        return found["generation"]

    assert told() == 1
    served.viscum("reload")
    assert told() == 1, "the same once more"
    served.lab.configure(CONFIG + "\n")
    served.viscum("reload")
    assert told() == 2
    served.lab.configure("nonsense\n")
    served.viscum("reload", check=False)
    served.lab.configure(CONFIG + "\n")
    assert told() == 2, "what can't be read was not taken"


def test_a_service_that_goes_on_with_its_settings_from_before_is_not_as_configured(served):
    """It is healthy, and its clients are served; but the change has not arrived."""
    assert verify(served, "--wait", "60")[0] == 0
    served.reload(CONFIG + "\toption mtu 9\n")
    wait_for(lambda: "viscum.echo.mtu" in verify(served)[1])
    assert served.state() == "healthy"
    (PROGRAMS / "gone").write_text("")
    served.reload(CONFIG + "\toption seccomp %s/gone\n" % PROGRAMS)
    said = "echo: goes on as it was before, because of a problem: `viscum check`\n"
    wait_for(lambda: verify(served) == (1, said))


def test_an_interface_that_is_down_is_nobodys_mistake(served):
    """A rollout at night is not stopped by a network that somebody has switched off; a name that is none stops it."""
    served.lab.configure("config interface guest\n\toption device eth77\n", "network")
    served.reload(CONFIG + MUTE.replace("device lan0", "interface guest"))
    assert verify(served, "--wait", "60") == (0, "")
    served.reload(CONFIG + MUTE.replace("device lan0", "interface geust"))
    wait_for(lambda: verify(served)[1].startswith("mute: waiting, "))


def test_what_somebody_has_stopped_or_bypassed_is_missing(served):
    assert verify(served, "--wait", "60")[0] == 0
    served.viscum("bypass", "echo")
    wait_for(lambda: verify(served)[1].startswith("echo: bypassed, "))
    served.viscum("bypass", "echo", "--off")
    served.viscum("stop", "echo")
    wait_for(lambda: verify(served)[1].startswith("echo: stopped"))


def test_without_an_agent_nothing_does_what_is_configured(lab):
    lab.configure(CONFIG)
    result = lab.viscum("-s", lab.tmp / "no.sock", "verify", check=False)
    assert result.returncode == 1 and result.stdout.startswith("no agent answers on ")
