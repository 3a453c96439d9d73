"""The command line: exit codes, words and JSON."""

import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace

import datapaths
import pytest
from agent import QUICK, Agent, Served
from datapaths import DATAPATHS
from lab import PROGRAMS, ROOT, echo_command, namespaces, service, snapshot, wait_for

from viscum_agent.cli.words import COMMANDS

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


def test_a_file_that_is_only_not_for_this_router_has_an_exit_code_of_its_own(lab):
    """A controller keeps a wrong one from all routers, and looks at the router for the other."""
    away = service("away", "/bin/true", "list device eth77", "list dest_port 80")
    lab.configure(GOOD + away)
    assert lab.viscum("check", check=False).returncode == 3
    assert lab.viscum("check", "--offline").stdout == ""
    lab.configure(GOOD + away + service("port", "/bin/true", "list device lan0", "list dest_port 70000"))
    assert [lab.viscum("check", *words, check=False).returncode for words in ((), ("--offline",))] == [1, 1]


def test_a_file_is_judged_offline_wherever_it_is(lab, tmp_path):
    """Here it is a checkout's, by somebody's account, with things that only its router has."""
    file = tmp_path / "rollout"
    bundled = ("option bundle /srv/none", "list mount /srv:/data", "list device eth77", "list dest_port 80")
    (tmp_path / "rollout").write_text("config service web\n\t" + "\n\t".join(bundled) + "\n")
    os.chown(file, 1234, 1234)
    result = lab.viscum("check", "--offline", "--json", file)
    assert (result.stdout, result.stderr) == ("[]\n", "")
    file.write_text(GOOD + "config service x\n\toption command '/bin/true\n")
    (found,) = json.loads(lab.viscum("check", "--offline", "--json", file, check=False).stdout)
    assert found["where"] == "%s:%d" % (file, 1 + file.read_text()[:-3].count("\n"))
    assert found["message"] == "a quote is opened here and never closed"
    refused = lab.viscum("check", file, check=False)
    assert refused.returncode == 2 and "a file is judged with --offline" in refused.stderr


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


# A server of both protocols that accepts no connection for some seconds after a signal.
BUSY = """
import select, signal, socket, time
until = 0
def busy(*_):
    global until
    until = time.monotonic() + 2.5
signal.signal(signal.SIGUSR1, busy)
tcp = socket.create_server(("", 7000))
udp = socket.socket(type=socket.SOCK_DGRAM)
udp.bind(("", 7000))
while True:
    found = select.select([udp] + [tcp] * (time.monotonic() > until), [], [], 0.05)[0]
    if udp in found:
        udp.sendto(b"edge - x", udp.recvfrom(100)[1])
    if tcp in found:
        tcp.accept()[0].close()
"""


def test_up_gives_a_program_that_has_run_for_long_as_much_time_as_a_new_one(lab):
    """It is busy for two of the checks that it has to pass."""
    (PROGRAMS / "busy.py").write_text(BUSY)
    lines = ("list device lan0", "list dest_ip 203.0.113.10", "list dest_port 7000", "option start_timeout 5")
    lab.configure(service("good", "/usr/bin/python3 %s/busy.py" % PROGRAMS, *lines, *QUICK))
    lab.viscum("up")
    wait_for(lambda: lab.status("good")["uptime"] > 5)
    os.kill(lab.status("good")["pid"], signal.SIGUSR1)
    lab.viscum("up")
    assert lab.viscum("plan").stdout == "# nothing to do\n"


def viscum(lab, *words):
    """Runs `viscum` with these words and nothing else."""
    command = (*lab.interpreter, "-m", "viscum_agent", *words)
    return lab.run(lab.router, *command, check=False, cwd=lab.confdir.parent, env=lab.env())


@pytest.mark.parametrize(
    "words, said",
    [
        ((), "a command is missing"),
        (("fly",), "unknown command 'fly'"),
        (("up", "--fast"), "unknown option '--fast'"),
        (("exec", "good"), "exec takes a service's name, --, and a command"),
        (("-c",), "-c needs a directory"),
        (("-c", "a", "-c", "b", "check"), "-c is given twice"),
        (("plan", "good"), "plan takes no names, and 'good' is one"),
        (("up", "--off"), "up does not take --off"),
        (("reload", "--json"), "reload does not take --json"),
        (("bypass",), "bypass takes names of services, or --all"),
        (("bypass", "--all", "good"), "bypass takes names of services, or --all"),
        (("status", ""), "one of the words is empty"),
        (("status", "\x1b[2J", "\x1b[2J"), "'\\u001b[2J' is named twice"),
    ],
    ids=lambda each: " ".join(each).replace("\x1b", "ESC") if isinstance(each, tuple) else "",
)
def test_wrong_usage_is_exit_code_2_with_a_hint_and_does_nothing(lab, words, said):
    lab.configure(GOOD)
    result = viscum(lab, *words)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("viscum: %s; see viscum" % said) and result.stderr.count("\n") == 1


def test_every_command_has_its_help_which_reads_nothing_and_asks_nobody(lab):
    for row in COMMANDS:
        for words in ((row.name, "--help"), ("help", row.name)):
            result = viscum(lab, *words)
            assert (result.returncode, result.stderr) == (0, "")
            assert result.stdout.startswith("usage: viscum %s" % row.name)
    assert "--all" in viscum(lab, "bypass", "web", "-h").stdout


@pytest.mark.parametrize(
    "words, said",
    [
        (("here",), "'here' is not an option here"),
        (("-c", "a", "-c", "b"), "-c is given twice"),
        (("-s",), "-s needs a socket"),
        (("-s", "-b"), "-s needs a socket"),
        (("-b", "-b"), "-b is given twice"),
        (("--version", "-b"), "'--version' is not an option here, or stands alone"),
    ],
    ids=lambda each: " ".join(each) if isinstance(each, tuple) else "",
)
def test_the_agent_refuses_words_that_it_does_not_use(lab, words, said):
    command = (*lab.agent("viscum_agent.viscumd"), *words)
    result = lab.run(lab.router, *command, check=False, cwd=ROOT, env=lab.env())
    assert result.returncode == 2 and result.stderr.startswith("viscumd: " + said), result.stderr


# What is not to run, or can't


def test_up_of_a_disabled_service_says_so_and_leaves_it_as_it_is(lab):
    lab.configure(GOOD.replace("enabled 1", "enabled 0"))
    result = lab.viscum("up", "good", check=False)
    assert (result.returncode, result.stdout) == (1, "")
    remedy = "uci -c %s set viscum.good.enabled='1' && uci -c %s commit viscum" % (lab.confdir, lab.confdir)
    assert result.stderr == "viscum: 'good' is disabled (option enabled '0'): %s\n" % remedy
    lab.configure("config globals\n\toption enabled 0\n\n" + GOOD)
    result = lab.viscum("up", "good", check=False)
    assert (
        result.returncode == 1 and "all services are disabled (option enabled '0' in config globals)" in result.stderr
    )


def test_up_never_takes_down_what_it_is_asked_to_bring_up(lab):
    lab.configure(GOOD)
    lab.viscum("up")
    for text, said in ((GOOD.replace("enabled 1", "enabled 0"), "is disabled"), ("", "`viscum down good`")):
        lab.configure(text)
        result = lab.viscum("up", "good", check=False)
        assert result.returncode == 1 and said in result.stderr
        assert lab.ask("tcp", "203.0.113.10", 7000)[0] == "edge"


@pytest.mark.parametrize(
    "command, lines, option, said",
    [
        ("/usr/bin/not-there", (), "command", "there is no program /usr/bin/not-there"),
        ("/etc/passwd", (), "command", "/etc/passwd is not an executable file"),
        ("%s/root-only", (), "command", "account '48216' may not run"),
        ("%s/script", (), "command", "is a script for '/bin/no-shell'"),
        (None, ("option user nemo",), "user", "there is no account 'nemo' in /etc/passwd"),
        (None, ("option group nemo",), "group", "there is no group 'nemo' in /etc/group"),
        (None, ("option workdir /not/there",), "workdir", "there is no directory /not/there"),
        (
            None,
            ("option healthcheck exec", "option health_command /not/there"),
            "health_command",
            "there is no program /not/there",
        ),
    ],
    ids=["none", "no program", "only for root", "no interpreter", "user", "group", "workdir", "check"],
)
def test_check_up_and_the_agent_say_the_same_of_what_the_router_does_not_have(lab, command, lines, option, said):
    script, hidden = PROGRAMS / "script", PROGRAMS / "root-only"
    script.write_text("#!/bin/no-shell\n")
    script.chmod(0o755)
    hidden.write_text("#!/bin/sh\n")
    hidden.chmod(0o700)
    command = command.replace("%s", str(PROGRAMS)) if command else echo_command("edge", 7000)
    text = service("good", command, "list device lan0", "list dest_ip 203.0.113.10", "list dest_port 7000", *lines)
    lab.configure(text)
    result = lab.viscum("check", check=False)
    assert (result.returncode, result.stderr) == (3, ""), "the file is right"
    (line,) = result.stdout.splitlines()
    assert line.startswith("viscum.good.%s: " % option) and said in line
    (found,) = json.loads(lab.viscum("check", "--json", check=False).stdout)
    assert (found["kind"], found["service"]) == ("unsupported", "good")
    sentence = line.split(": ", 1)[1]
    assert "viscum.good.%s: %s\n" % (option, sentence) in lab.viscum("plan", check=False).stderr
    result = lab.viscum("up", check=False)
    assert (result.returncode, result.stderr) == (1, "viscum.good: %s: %s\n" % (option, sentence))
    made = Agent(lab, text)
    made.says("good: failed, %s: %s\n" % (option, sentence))
    assert not [name for name in made.filters().splitlines() if "vsc-good" in name]


def test_a_number_of_an_account_is_what_the_kernel_makes_of_it(lab):
    """MicroPython hands 2**32 to setuid(2) as 0: that would be root."""
    lab.configure(GOOD + "\toption user 4294967296\n\toption group 4294967295\n")
    result = lab.viscum("up", check=False)
    assert result.returncode == 1 and "viscum-good" not in namespaces()
    for option, value in (("group", "4294967295"), ("user", "4294967296")):
        said = "viscum.good.%s: '%s' is not an account number; they go from 0 to 4294967294" % (option, value)
        assert said in result.stderr
    lab.configure(GOOD + "\toption user 4294967294\n\toption group 2147483648\n")
    lab.viscum("up")
    text = Path("/proc/%d/status" % lab.status("good")["pid"]).read_text()
    assert "\nUid:" + "\t4294967294" * 4 in text and "\nGid:" + "\t2147483648" * 4 in text


def test_nothing_of_a_configuration_gets_at_the_terminal(lab):
    escape = "\x1b[2J"
    for command, lines in (("/bin/" + escape, ()), ("/bin/false " + escape, ()), ("/bin/true", ["workdir /" + escape])):
        lines = ["option " + line for line in lines]
        lab.configure(service("good", command, "list device lan0", "list dest_port 7000", *lines))
        for words in ("check", "plan", "up", "status", "doctor"):
            result = lab.viscum(*words.split(), check=False)
            assert "\x1b" not in result.stdout + result.stderr, (words, result)


# Names of interfaces


def test_a_device_named_by_another_of_its_names_is_named(lab):
    lab.run(lab.router, "ip", "link", "property", "add", "dev", "lan0", "altname", "port1")
    lab.configure(GOOD.replace("list device lan0", "list device port1"))
    said = "viscum.good.device: 'port1' is another name (altname) of 'lan0': write that\n"
    assert lab.viscum("check", check=False).stdout == said
    lab.configure("config interface 'lan'\n\toption device 'port1'\n", "network")
    lab.configure(GOOD.replace("list device lan0", "list interface lan"))
    said = "viscum.good.interface: 'lan' has no device now: 'port1' is another name (altname) of 'lan0': write that\n"
    assert lab.viscum("check", check=False).stdout == said


def test_an_interface_that_stands_for_another_has_its_device(lab):
    lab.configure(GOOD.replace("list device lan0", "list interface guest"))
    lab.configure(
        "config interface lan\n\toption device lan0\nconfig interface guest\n\toption device @lan\n", "network"
    )
    lab.viscum("up")
    assert lab.ask("tcp", "203.0.113.10", 7000)[0] == "edge"
    lab.configure("config interface guest\n\toption device @lan\n", "network")
    said = "viscum.good.interface: 'guest' stands for interface 'lan', which is no interface\n"
    assert lab.viscum("check", check=False).stdout == said


@pytest.mark.parametrize("text, said", [("nonsense\n", "'nonsense' is no command"), (None, "there is no ")])
def test_a_network_file_that_can_not_be_read_is_the_reason(lab, text, said):
    lab.configure(GOOD.replace("list device lan0", "list interface lan"))
    if text:
        lab.configure(text, "network")
    (line,) = lab.viscum("check", check=False).stdout.splitlines()
    assert line.startswith("viscum.good.interface: 'lan' is not there; there are: ")
    assert "; interfaces are not known: " in line and said in line


# Whose configuration it is

SPOILED = {
    "file 666": (lambda folder: (folder / "viscum").chmod(0o666), "it can be written by others than root (mode 666)"),
    "file 664": (lambda folder: (folder / "viscum").chmod(0o664), "it can be written by others than root (mode 664)"),
    "directory": (lambda folder: folder.chmod(0o777), "its directory can be written by others than root (mode 777)"),
    "owner": (lambda folder: os.chown(folder / "viscum", 65534, 65534), "it belongs to account 65534"),
}


@pytest.mark.parametrize("how", SPOILED)
def test_a_configuration_that_others_may_write_is_not_taken_by_anybody(lab, how):
    spoil, said = SPOILED[how]
    lab.configure(GOOD)
    spoil(lab.confdir)
    for command in ("check", "plan", "up", "down", "status"):
        result = lab.viscum(command, check=False)
        assert (result.returncode, result.stdout) == (1, ""), command
        assert result.stderr.startswith("viscum: %s/viscum is refused: %s" % (lab.confdir, said)), result.stderr
        assert result.stderr.count("chmod go-w ") + result.stderr.count("chown root ") == 1
    found = json.loads(lab.viscum("doctor", "--json", check=False).stdout)
    assert [each["found"] for each in found if each["id"] == "configuration" and said in each["found"]]
    agent = lab.run(
        lab.router, *Agent.words(SimpleNamespace(lab=lab, socket="/nonexistent")), check=False, env=lab.env()
    )
    assert agent.returncode == 1 and said in agent.stderr


def test_a_network_file_that_others_may_write_is_not_taken_and_named(lab):
    lab.configure(GOOD.replace("list device lan0", "list interface lan"))
    lab.configure("config interface lan\n\toption device lan0\n", "network")
    lab.viscum("check")
    (lab.confdir / "network").chmod(0o666)
    result = lab.viscum("up", check=False)
    assert result.returncode == 1 and "interfaces are not known: %s/network is refused" % lab.confdir in result.stderr


def test_the_agent_goes_on_with_what_it_has_when_others_may_write_the_file(lab):
    lab.serve_cloud(7000)
    made = Agent(lab, GOOD)
    made.becomes("edge")
    (lab.confdir / "viscum").chmod(0o666)
    made.reload(GOOD.replace("edge 7000", "evil 7000"))
    made.says("the configuration is rejected: ")
    assert made.who() == "edge"


# The agent's answer


def test_status_of_an_agent_needs_no_configuration_here(lab):
    made = Served(lab, GOOD)
    made.becomes("edge")
    wait_for(lambda: os.path.exists(made.socket))
    empty = lab.tmp / "empty"
    empty.mkdir()
    for words in ((), ("-c", lab.tmp / "nowhere"), ("-c", empty)):
        command = (*lab.agent("viscum_agent"), *words, "-s", made.socket, "status", "--json", "good")
        result = lab.run(lab.router, *command, cwd=ROOT, env=lab.env())
        (row,) = json.loads(result.stdout)
        assert (row["state"], row["from"], row["namespace"]) == ("healthy", ["lan0"], "viscum-good")
        assert ("(below is what the agent says)" in result.stderr) == bool(words)
    (empty / "viscum").write_text("")
    (row,) = json.loads(lab.run(lab.router, *command, cwd=ROOT, env=lab.env()).stdout)
    assert row["state"] == "healthy", "in another configuration than the agent's"
    command = (*lab.agent("viscum_agent"), "-s", made.socket, "status")
    table = lab.run(lab.router, *command, cwd=ROOT, env=lab.env()).stdout.splitlines()
    assert table[1].split()[:2] == ["good", "healthy"]
    result = lab.run(lab.router, *command, "god", check=False, cwd=ROOT, env=lab.env())
    assert (result.returncode, "there is no service 'god'; there are: good" in result.stderr) == (1, True)


def test_an_agent_that_does_not_answer_is_not_taken_for_none(lab):
    """Else `up` and `down` would work against it when it goes on."""
    made = Served(lab, GOOD)
    made.becomes("edge")
    wait_for(lambda: os.path.exists(made.socket))
    made.process.send_signal(signal.SIGSTOP)
    try:
        for command in ("up", "down"):
            result = made.viscum(command, check=False)
            assert result.returncode == 1 and "an agent runs and does that itself" in result.stderr, result.stderr
        result = made.viscum("status", "--json")
        assert json.loads(result.stdout)[0]["state"] == "healthy" and "below is what the kernel has" in result.stderr
    finally:
        made.process.send_signal(signal.SIGCONT)
    assert made.who() == "edge"


def test_an_agents_service_that_waits_is_in_the_table_of_another_configuration(lab):
    made = Served(lab, GOOD + GOOD.replace("'good'", "'late'").replace("lan0", "lan9").replace("7000", "7001"))
    made.becomes("edge")
    lab.configure(GOOD)
    rows = {row["name"]: row["state"] for row in json.loads(made.viscum("status", "--json").stdout)}
    assert rows == {"good": "healthy", "late": "waiting"}


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
    assert [line.split()[:2] for line in lab.viscum("status").stdout.splitlines()[1:-1]] == [
        ["good", "stopped"],
        ["off", "disabled"],
    ]
    lab.viscum("up")
    lab.ask("tcp", "203.0.113.10", 7000)
    row = lab.status("good")
    assert (row["state"], row["from"], row["datapath"], row["namespace"]) == (
        "healthy",
        ["lan0"],
        "u32",
        "viscum-good",
    )
    assert row["packets"] >= 4 and row["bytes"] > 200, "SYN, ACK, data and FIN at least"
    assert row["overlimits"] == 0
    lab.run(lab.router, "ip", "link", "set", "vsc-good", "down")
    lab.ask("udp", "203.0.113.10", 7000, timeout=0.2)
    assert lab.status("good")["overlimits"] == 1, "a packet that the pair could not take"


def test_without_an_agent_a_state_is_what_the_kernel_shows(lab):
    lab.datapath = "u32"
    lab.configure(GOOD + GOOD.replace("'good'", "'bad'").replace("lan0", "lan9"))

    def said(name):
        row = lab.status(name)
        return row["state"], row["reason"]

    state, reason = said("bad")
    assert state == "waiting" and "lan9" in reason
    lab.viscum("up", "good")
    assert said("good") == ("healthy", "")
    lab.configure(GOOD.replace("7000", "7000-7001"))
    state, reason = said("good")
    assert state == "healthy" and "`viscum plan` shows what `viscum up` changes" in reason
    lab.configure(GOOD)
    lab.run(lab.router, "tc", "filter", "del", "dev", "lan0", "ingress")
    assert said("good") == ("bypassed", "its redirect is out")
    lab.viscum("up")
    os.kill(lab.status("good")["pid"], signal.SIGKILL)
    state, reason = said("good")
    assert state == "failed" and "clients get no answer" in reason


def test_a_row_has_the_same_keys_with_and_without_an_agent_but_for_what_needs_a_package(lab):
    lab.configure(GOOD)
    without = json.loads(lab.viscum("status", "--json").stdout)
    made = Served(lab, GOOD)
    made.becomes("edge")
    rows = json.loads(made.viscum("status", "--json").stdout)
    assert [sorted(row) for row in rows] == [sorted([*row, "worth"]) for row in without]
    assert rows[0]["uptime"] < 60 and rows[0]["enabled"] is True and rows[0]["pid"] in rows[0]["pids"]


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


def test_a_plan_says_which_of_its_lines_no_command_stands_for(lab):
    for datapath, said in (("bpf", True), ("u32", False)):
        if datapath in [DATAPATHS[name].option for name in datapaths.here()]:
            lab.datapath = datapath
            lab.configure(GOOD)
            first = lab.viscum("plan").stdout.splitlines()[0]
            assert first.startswith("# No command does what the comments below") == said, first
