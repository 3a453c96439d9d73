"""Rules of ETSI MEC steer real clients, and say where they really are."""

import json
import time

import pytest
from agent import CONFIG, Served, answering
from lab import pids_in, wait_for

SECOND = 1.0  # until a client is in the cloud, once its rule is INACTIVE


@pytest.fixture
def served(lab):
    with answering(lab, CONFIG.replace("option respawn_timeout 1", "option respawn_timeout 60"), Served) as made:
        made.has_done_all()
        yield made


def exported(served):
    """What `viscum export` says of the service: (all of it, its rule)."""
    found = json.loads(served.viscum("export", "echo").stdout)
    (rule,) = found["traffic_rules"]
    return found, rule


def imported(served, document, *words):
    path = served.lab.tmp / "rules.json"
    path.write_text(json.dumps(document))
    return served.viscum("import", path, *words).stdout


def test_a_rule_set_inactive_moves_a_client_to_the_cloud_within_a_second_and_active_back(served):
    configuration = served.lab.confdir / "viscum"
    before = configuration.read_text()
    rules, rule = exported(served)
    assert (rule["state"], rule["trafficFilter"][0]["dstAddress"]) == ("ACTIVE", ["203.0.113.10"])
    assert imported(served, rules) == "viscum.echo: is so already\n" and configuration.read_text() == before
    rule["state"] = "INACTIVE"
    began = time.monotonic()
    assert imported(served, rules) == "viscum.echo: enabled '0'\n"
    served.becomes("cloud")
    assert time.monotonic() - began < SECOND
    wait_for(lambda: served.state() == "disabled")
    assert exported(served)[1]["state"] == "INACTIVE"
    rule["state"] = "ACTIVE"
    assert imported(served, rules) == "viscum.echo: enabled '1'\n"
    served.becomes("edge")
    assert configuration.read_text() == before.replace("enabled 1", "enabled '1'")


def test_other_traffic_is_taken_at_once_and_a_new_service_comes_with_its_program(served):
    served.lab.serve_cloud(7001)
    rules, rule = exported(served)
    assert served.who(7001) == "cloud"
    other = dict(rule, trafficRuleId="more", trafficFilter=[{"dstAddress": ["203.0.113.11"], "dstPort": ["7001"]}])
    command = served.lab.confdir.joinpath("viscum").read_text().split('command "')[1].split('"')[0]
    told = imported(served, other, "command=" + command.replace("edge 7000", "more 7001"), "device=lan0", "interface=")
    assert told == "viscum.more: is new, enabled '1'\n"
    served.becomes("more", port=7001, address="203.0.113.11")
    assert served.who() == "edge"


def test_the_state_is_that_of_the_redirect_now_and_taking_it_in_again_changes_nothing(served):
    configuration = (served.lab.confdir / "viscum").read_text()
    served.viscum("bypass", "echo")
    served.becomes("cloud")
    bypassed, rule = exported(served)
    assert (rule["action"], rule["state"]) == ("PASSTHROUGH", "ACTIVE")
    served.viscum("bypass", "echo", "--off")
    served.becomes("edge")
    for pid in pids_in("viscum-echo"):
        served.lab.run(served.lab.router, "kill", "-9", pid)
    served.redirects(False)
    failed, rule = exported(served)
    assert (rule["action"], rule["state"]) == ("FORWARD_ENCAPSULATED", "INACTIVE")
    for document in (bypassed, failed):
        assert imported(served, document) == "viscum.echo: is so already\n"
    assert (served.lab.confdir / "viscum").read_text() == configuration
    served.lab.configure(CONFIG.replace("7000", "7001"))
    result = served.viscum("export")
    assert "the agent runs another configuration" in result.stderr
    assert json.loads(result.stdout)["traffic_rules"][0]["state"] == "ACTIVE", "what enabled says"
