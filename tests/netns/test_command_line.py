"""The command line: exit codes, words and JSON."""

import json

import pytest
from lab import ROOT, echo_command, service, snapshot

GOOD = service(
    "good", echo_command("edge", 7000), "list device lan0", "list dest_ip 203.0.113.10", "list dest_port 7000"
)


def test_check_names_every_problem_with_section_option_value_and_remedy(lab):
    lab.configure(
        GOOD
        + service("port", "/bin/true", "list device lan0", "list dest_port 70000")
        + service("typo", "/bin/true", "list device lan0", "list dest_prot 80")
        + service("away", "/bin/true", "list device eth77", "list dest_port 80")
        + service("twin", "/bin/true", "list device lan0", "list dest_ip 203.0.113.10", "list dest_port 7000")
    )
    result = lab.viscum("check", check=False)
    assert result.returncode == 1
    lines = result.stdout.splitlines()
    assert "viscum.port.dest_port: '70000' is not a port or a range of ports (1-65535, 5000-5010)" in lines
    assert "viscum.typo.dest_prot: is not an option; did you mean 'dest_port'?" in lines
    assert any(
        line.startswith("viscum.away.device: 'eth77' is not there; there are: ") and "lan0" in line for line in lines
    )
    assert any(
        line.startswith("viscum.twin.dest_ip: takes the same traffic on lan0 as service 'good'") for line in lines
    )
    found = json.loads(lab.viscum("check", "--json", check=False).stdout)
    assert {"port", "typo", "away", "twin"} == {each["service"] for each in found}


def test_check_of_a_good_configuration_says_nothing(lab):
    lab.configure(GOOD)
    result = lab.viscum("check")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_a_file_that_is_not_uci_is_named_with_its_line(lab):
    lab.configure(GOOD + "config service 'x\n")
    for command in ("check", "plan", "up", "down", "status"):
        result = lab.viscum(command, check=False)
        assert result.returncode == 1
        assert "/viscum:" in result.stderr and "Traceback" not in result.stderr, result.stderr


def test_without_a_file_the_message_says_what_to_do(lab):
    result = lab.viscum("status", check=False)
    assert result.returncode == 1
    assert str(lab.confdir) in result.stderr and "Traceback" not in result.stderr


def of_its_own(ns):
    """A snapshot without the pinned objects, which all services have together."""
    return snapshot(ns).split("link_vsc-")[0]


def test_a_bad_section_stops_nobody_else_and_what_it_named_before_goes_on(lab):
    lab.configure(GOOD)
    lab.viscum("up")
    lab.configure(
        GOOD.replace("203.0.113.10", "203.0.113.999") + GOOD.replace("'good'", "'late'").replace("7000", "7001")
    )
    before = of_its_own("viscum-good")
    result = lab.viscum("up", check=False)
    assert result.returncode == 1
    assert "viscum.good.dest_ip: '203.0.113.999' is not an address or prefix" in result.stderr
    assert lab.ask("tcp", "203.0.113.10", 7001)[0] == "edge"
    assert lab.ask("tcp", "203.0.113.10", 7000)[0] == "edge"
    assert of_its_own("viscum-good") == before


def test_wrong_usage_is_exit_code_2_with_a_hint(lab):
    lab.configure(GOOD)
    for words in (("fly",), ("up", "--fast"), ("exec", "good"), ("-c",), ()):
        result = lab.run(
            lab.router,
            *lab.interpreter,
            "-m",
            "viscum_agent",
            *words,
            check=False,
            cwd=lab.confdir.parent,
            env=lab.env(),
        )
        assert result.returncode == 2, words
        assert "Traceback" not in result.stderr


@pytest.mark.parametrize("words", ["status", "status --json", "plan", "--help"])
def test_who_has_seen_enough_is_not_told_of_it(lab, words):
    """As in `viscum status | head -1`."""
    named = GOOD.replace("'good'", "'good%d'").replace("dest_port 7000", "dest_port %d")
    lab.configure("".join(named % (number, 7000 + number) for number in range(100)))
    command = " ".join(map(str, (*lab.agent("viscum_agent"), "-c", lab.confdir, words)))
    result = lab.run(lab.router, "sh", "-c", command + " | true", check=False, cwd=ROOT, env=lab.env())
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_version_is_exactly_one_line(lab):
    import viscum_agent

    assert lab.viscum("--version").stdout == "viscum %s\n" % viscum_agent.__version__


def test_status_is_a_table_and_json_with_counters(lab):
    lab.datapath = "u32"
    lab.configure(GOOD + GOOD.replace("'good'", "'off'").replace("enabled 1", "enabled 0"))
    assert [line.split()[:2] for line in lab.viscum("status").stdout.splitlines()[1:]] == [
        ["good", "down"],
        ["off", "disabled"],
    ]
    lab.viscum("up")
    lab.ask("tcp", "203.0.113.10", 7000)
    row = lab.status("good")
    assert (row["state"], row["from"], row["datapath"], row["namespace"]) == ("up", ["lan0"], "u32", "viscum-good")
    assert row["packets"] >= 4 and row["bytes"] > 200, "SYN, ACK, data and FIN at least"
    assert row["overlimits"] == 0
    lab.run(lab.router, "ip", "link", "set", "vsc-good", "down")
    lab.ask("udp", "203.0.113.10", 7000, timeout=0.2)
    assert lab.status("good")["overlimits"] == 1, "a packet that the pair could not take"


def test_an_unknown_service_is_named_with_those_that_there_are(lab):
    lab.configure(GOOD)
    for command in ("up", "down", "status"):
        result = lab.viscum(command, "god", check=False)
        assert result.returncode == 1
        assert "there is no service 'god'; there are: good" in result.stderr


def test_globals_disabled_takes_everything_down(lab):
    lab.configure(GOOD)
    before = snapshot(lab.router)
    lab.viscum("up")
    lab.configure("config globals 'globals'\n\toption enabled 0\n\n" + GOOD)
    lab.viscum("up")
    assert snapshot(lab.router) == before


def test_plan_changes_nothing(lab):
    lab.configure(GOOD)
    before = snapshot(lab.router)
    assert "ip netns add viscum-good" in lab.viscum("plan").stdout
    assert json.loads(lab.viscum("plan", "--json").stdout)[0]["service"] == "good"
    assert snapshot(lab.router) == before
