"""The agent at work and every command with nothing but the modules of the packages that DEPENDS names
(tests/depends.py), on the oldest and the newest CPython here; and MicroPython with what is built into it.
"""

import json
import signal
import subprocess
from pathlib import Path

import pytest
import recipes
from agent import QUICK, TAKES, Served
from depends import INTERPRETERS, guarded, refused
from lab import HANG, Lab, echo_command, service, wait_for

from viscum_agent.cli.words import COMMANDS

ECHO = service("echo", echo_command("edge", 7000), *TAKES, *QUICK)
WORDS = {
    "add": ("add", "dns", "enabled=0"),
    "exec": ("exec", "echo", "--", "/bin/true"),
    "bypass": ("bypass", "--all"),
    "explain": ("explain", "tcp", "from", "192.168.77.2", "to", "203.0.113.10", "port", "7000"),
}
ENDLESS = ("monitor", "top")
TRIAL = ("apply", "confirm", "rollback")


@pytest.fixture(params=sorted(INTERPRETERS))
def interpreter(request, tmp_path):
    words = INTERPRETERS[request.param]
    if not Path(words[0]).exists():
        pytest.skip("no such interpreter here: make setup")
    return guarded(words, tmp_path / "imports")


@pytest.fixture
def lab(tmp_path, interpreter):
    with Lab(tmp_path, interpreter) as made:
        made.configure(ECHO)
        made.serve_cloud(7000)
        yield made
        assert (tmp_path / "imports").exists() and refused(tmp_path / "imports") == []


def works(lab, *words):
    """Runs a command as far as it goes; an endless one is ended."""
    command = [*lab.interpreter, "-m", "viscum_agent", "-c", lab.confdir, *words]
    process = lab.start(lab.router, *command, env=lab.env(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, err = process.communicate(timeout=4 if words[-1] in ENDLESS else HANG)
    except subprocess.TimeoutExpired:
        assert words[-1] in ENDLESS, words
        process.terminate()
        return
    assert process.returncode == 0, (words, out, err)


def test_every_command_without_an_agent(lab):
    for command in ("check", "plan", "up", "status", "doctor", "exec", "explain", "down"):
        works(lab, *WORDS.get(command, (command,)))
    for command in ("check", "plan", "status", "doctor"):
        works(lab, "--json", command)
    for word in ("--version", "--help"):
        works(lab, word)
    lab.configure(ECHO.replace("7000", "70000"))
    assert lab.viscum("check", check=False).returncode == 1


def test_the_agent_at_work_and_every_command_that_asks_it(lab):
    agent = Served(lab, ECHO + "\nconfig tenant 'acme'\n")
    agent.becomes("edge")
    wait_for((lab.tmp / "ubus.sock").exists)
    rules = lab.tmp / "rules.json"
    rules.write_text(agent.viscum("export").stdout)
    more = {"import": ("import", rules), "tenant": ("tenant", "acl", "acme")}
    with recipes.installed():
        for command in sorted(row.name for row in COMMANDS):
            # An agent sees to up and down; explain and verify end with 1 while all are bypassed.
            if command not in ("up", "down", "explain", "verify", *TRIAL):
                works(lab, "-s", lab.tmp / "ubus.sock", *{**WORDS, **more}.get(command, (command,)))
    works(lab, "-s", lab.tmp / "ubus.sock", "start")
    works(lab, "-s", lab.tmp / "ubus.sock", "bypass", "--all", "--off")
    agent.becomes("edge")
    works(lab, "-s", lab.tmp / "ubus.sock", *WORDS["explain"])
    works(lab, "-s", lab.tmp / "ubus.sock", "verify", "--wait", "60")
    for end in ("confirm", "rollback"):
        file = lab.tmp / end
        file.write_text(ECHO + "# %s\n" % end)
        works(lab, "-s", lab.tmp / "ubus.sock", "apply", "--confirm", "60", file)
        works(lab, "-s", lab.tmp / "ubus.sock", end)
    pids = {row["name"]: row["pid"] for row in json.loads(lab.viscum("status", "--json").stdout)}
    lab.run(lab.router, "kill", "-9", pids["echo"])
    agent.becomes("cloud")
    agent.becomes("edge")
    agent.reload(ECHO.replace("enabled 1", "enabled 0"))
    agent.becomes("cloud")
    agent.process.send_signal(signal.SIGTERM)
    assert agent.process.wait() == 0, agent.log.read_text()
    assert "Traceback" not in agent.log.read_text()
