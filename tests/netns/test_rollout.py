"""What engines for many routers ask of one (cli/rollout.py, trial.py)."""

import hashlib
import json
import os
import stat
import subprocess
import sys
import time

import pytest
from agent import CONFIG, QUICK, Guest, Served
from lab import MICROPYTHON, PROGRAMS, ROOT, echo_command, run, service, wait_for

TAKES = ("list device lan0", "list dest_ip 203.0.113.11", "list dest_port 7001")
# What is applied: whole, it has a second service; the one before has only the first.
MORE = CONFIG + service("more", echo_command("more", 7001), *TAKES, *QUICK)
MUTE = service("mute", "/bin/sleep 600", *TAKES, "option health_interval 1")


@pytest.fixture
def served(lab):
    lab.serve_cloud(7000, 7001)
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
    said = "echo: goes on as before, because of a problem: `viscum check`\n"
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
    lab.configure(CONFIG.replace("option enabled 1", "option enabled 0"))
    result = lab.viscum("-s", lab.tmp / "no.sock", "verify")
    assert (result.stdout, result.stderr) == ("", ""), "where nothing is enabled, none has to run"


# apply, confirm, rollback


def command(served, text, seconds):
    """The words of an `apply`."""
    (served.lab.tmp / "new").write_text(text)
    return ("-s", served.socket, "apply", "--confirm", seconds, served.lab.tmp / "new")


def apply(served, text, seconds):
    wait_for(lambda: verify(served)[0] == 0)
    return served.lab.viscum(*command(served, text, seconds))


def beside(lab):
    """What lies beside the configuration and says something."""
    return sorted({path.name for path in lab.confdir.iterdir()} - {"viscum", ".viscum.until"})


def configured(lab):
    return (lab.confdir / "viscum").read_text()


def runs(lab):
    """Who answers clients at the first and the second service's address."""
    return lab.who([("tcp", "203.0.113.10", 7000), ("tcp", "203.0.113.11", 7001)])


BEFORE, AFTER = ["edge", "cloud"], ["edge", "more"]


def test_what_is_confirmed_stays(served):
    assert apply(served, MORE, 5).stdout.startswith("the configuration is on trial for 5 s: ")
    wait_for(lambda: verify(served)[0] == 0)
    assert 0 <= served.call("status")["trial"] <= 6 and runs(served.lab) == AFTER
    served.viscum("confirm")
    assert served.call("status")["trial"] is None and beside(served.lab) == []
    time.sleep(7)
    assert (runs(served.lab), configured(served.lab)) == (AFTER, MORE)
    refused = served.viscum("confirm", check=False)
    assert refused.returncode == 1 and refused.stderr.startswith("viscum: no configuration is on trial")


def test_what_nobody_confirms_goes_when_its_time_is_up_and_not_before(served):
    apply(served, MORE, 4)
    begin = time.monotonic()
    wait_for(lambda: runs(served.lab) == AFTER)
    wait_for(lambda: configured(served.lab) == CONFIG)
    assert 3.5 < time.monotonic() - begin < 8
    wait_for(lambda: runs(served.lab) == BEFORE)
    assert beside(served.lab) == [".viscum.undone"]
    assert (served.lab.confdir / ".viscum.undone").read_text() == MORE
    assert verify(served, "--wait", "30") == (0, "")
    served.says("nobody has confirmed the configuration on trial: it is taken back")


def test_a_rollback_does_not_wait(served):
    apply(served, MORE, 600)
    served.viscum("rollback")
    assert (configured(served.lab), verify(served, "--wait", "30")) == (CONFIG, (0, ""))
    assert runs(served.lab) == BEFORE
    assert served.viscum("rollback", check=False).returncode == 1


def test_what_is_kept_is_for_no_more_eyes_than_the_configuration(served):
    """It may have passwords (env)."""
    for mode in (0o600, 0o644):
        (served.lab.confdir / "viscum").chmod(mode)
        apply(served, MORE, 600)
        there = [served.lab.confdir / name for name in (".viscum.old", ".viscum.until", "viscum")]
        assert [stat.S_IMODE(path.stat().st_mode) for path in there] == [mode] * 3
        served.viscum("rollback")
        assert stat.S_IMODE((served.lab.confdir / "viscum").stat().st_mode) == mode


def test_the_next_agent_goes_on_with_the_trial(served):
    apply(served, MORE, 20)
    begin = time.monotonic()
    served.kill()
    served.start()
    wait_for(lambda: verify(served)[0] == 0)
    assert runs(served.lab) == AFTER and 10 < served.call("status")["trial"] <= 21
    wait_for(lambda: configured(served.lab) == CONFIG)
    assert time.monotonic() - begin >= 19
    wait_for(lambda: runs(served.lab) == BEFORE)


@pytest.mark.parametrize("until", ["late", "other boot", "nothing", "nonsense"])
def test_an_agent_that_starts_too_late_or_after_a_reboot_begins_with_the_one_before(served, until):
    apply(served, MORE, 2 if until == "late" else 600)
    served.kill()
    file = served.lab.confdir / ".viscum.until"
    boot, end = file.read_text().split()
    assert abs(int(end) - time.monotonic() - (2 if until == "late" else 600)) < 60
    if until == "late":
        time.sleep(4)
    else:
        file.write_text({"other boot": boot[::-1] + " " + end, "nothing": "", "nonsense": "\xff 9\n8"}[until])
    served.start()
    wait_for(lambda: verify(served)[0] == 0)
    assert (runs(served.lab), configured(served.lab), beside(served.lab)) == (BEFORE, CONFIG, [".viscum.undone"])
    assert served.call("status")["generation"] == 1, "it has never read the other one"


def test_up_undoes_what_nobody_has_confirmed_where_there_is_no_agent(served):
    apply(served, MORE, 2)
    served.process.terminate()
    served.process.wait()
    time.sleep(4)
    served.lab.viscum("up")
    assert (runs(served.lab), configured(served.lab)) == (BEFORE, CONFIG)
    served.lab.viscum("down")


def test_a_wrong_file_changes_nothing(served):
    wait_for(lambda: verify(served)[0] == 0)
    for text, said in ((MORE + "\toption mtu 9\n", "viscum.more.mtu: "), (MORE + "nonsense\n", "is no command")):
        result = served.lab.viscum(*command(served, text, 600), check=False)
        assert result.returncode == 1 and said in result.stdout
        assert (configured(served.lab), sorted(os.listdir(served.lab.confdir))) == (CONFIG, ["viscum"])
    assert served.lab.viscum("apply", served.lab.tmp / "new", check=False).returncode == 2, "for how long?"
    assert verify(served)[0] == 0 and served.call("status")["generation"] == 1


def test_one_trial_at_a_time(served):
    apply(served, MORE, 600)
    refused = served.lab.viscum(*command(served, CONFIG, 600), check=False)
    assert refused.returncode == 1 and "a configuration is on trial already" in refused.stderr
    assert configured(served.lab) == MORE
    served.viscum("rollback")
    assert configured(served.lab) == CONFIG


def test_of_many_at_once_one_begins_a_trial(served):
    """Whoever is second finds the folder locked, or a trial."""
    wait_for(lambda: verify(served)[0] == 0)
    words = served.lab.command(
        served.lab.router,
        *served.lab.agent("viscum_agent"),
        "-c",
        served.lab.confdir,
        *command(served, MORE, 600),
    )
    for _ in range(3):
        options = {"cwd": ROOT, "env": served.lab.env(), "stderr": subprocess.PIPE, "text": True}
        found = [subprocess.Popen(words, stdout=subprocess.DEVNULL, **options) for _ in range(4)]
        said = [process.communicate()[1] for process in found]
        assert sorted(process.returncode for process in found) == [0, 1, 1, 1], said
        assert all(not text or "is at work in" in text or "on trial already" in text for text in said), said
        assert (served.lab.confdir / ".viscum.old").read_text() == CONFIG
        served.viscum("rollback")
        assert configured(served.lab) == CONFIG


def test_what_somebody_changes_meanwhile_runs_and_is_not_lost(served):
    """By hand, or with LuCI; but nobody has confirmed that it lets anybody in."""
    apply(served, MORE, 5)
    edited = MORE.replace("203.0.113.11", "203.0.113.12")
    served.reload(edited)
    wait_for(lambda: served.lab.who([("tcp", "203.0.113.12", 7001)]) == ["more"])
    wait_for(lambda: configured(served.lab) == CONFIG)
    assert (served.lab.confdir / ".viscum.undone").read_text() == edited
    wait_for(lambda: verify(served)[0] == 0)


def test_a_configuration_that_was_removed_or_spoilt_meanwhile_comes_back(served):
    for spoil in (lambda path: path.unlink(), lambda path: path.write_text("nonsense\n")):
        apply(served, MORE, 3)
        spoil(served.lab.confdir / "viscum")
        wait_for(lambda: (served.lab.confdir / "viscum").exists() and configured(served.lab) == CONFIG)
        assert verify(served, "--wait", "60") == (0, "")


def test_a_configuration_that_ends_all_services_comes_back(served):
    """The trial has its agent also then."""
    apply(served, "config globals\n\toption enabled 0\n" + CONFIG, 4)
    served.becomes("cloud")
    served.becomes("edge")
    assert configured(served.lab) == CONFIG


def test_a_service_that_still_ends_is_not_taken_for_one_that_is_off(served):
    """Its row says `disabled` for a moment, between the end that the trial brought and the start that follows."""
    for _ in range(5):
        apply(served, "config globals\n\toption enabled 0\n" + CONFIG, 600)
        served.viscum("rollback")
        assert verify(served, "--wait", "30") == (0, "")
        found = runs(served.lab)
        assert found == BEFORE, served.viscum("status").stdout + served.log.read_text()


def test_without_room_nothing_changes(served):
    """Flash is full before long on a router."""
    wait_for(lambda: verify(served)[0] == 0)
    run("mount", "-t", "tmpfs", "-o", "size=16k,mode=755", "none", served.lab.confdir)
    try:
        served.lab.configure(CONFIG)
        fill = served.lab.confdir / "fill"
        for pages in (2, 1, 0):  # free
            (served.lab.confdir / ".viscum.until").unlink(missing_ok=True)
            fill.write_bytes(bytes(4096 * (3 - pages)))
            result = served.lab.viscum(*command(served, MORE + "#" * 5000 + "\n", 600), check=False)
            assert result.returncode == 1 and "No space left" in result.stderr, result
            assert configured(served.lab) == CONFIG and ".viscum.old" not in beside(served.lab)
    finally:
        run("umount", served.lab.confdir)


def test_a_link_is_not_replaced(served):
    file = served.lab.confdir / "viscum"
    file.rename(served.lab.tmp / "elsewhere")
    file.symlink_to(served.lab.tmp / "elsewhere")
    refused = served.lab.viscum(*command(served, MORE, 600), check=False)
    assert refused.returncode == 1 and "is a link: name the folder" in refused.stderr
    assert file.is_symlink()


def test_where_no_agent_runs_procd_is_told(lab):
    """It has the init script look whether there has to be one, as for `reload_config`."""
    made = Guest(lab, CONFIG)
    wait_for(lambda: os.path.exists(made.socket))
    lab.start(lab.router, sys.executable, ROOT / "tests/ubus_peer.py", "triggers", made.socket, lab.tmp / "told")
    wait_for(lambda: verify(made)[0] == 0)
    made.kill()
    wait_for(lambda: "no agent answers" in verify(made)[1])
    lab.viscum(*command(made, MORE, 600))
    wait_for(lambda: (lab.tmp / "told").exists())
    assert json.loads((lab.tmp / "told").read_text()) == {"type": "config.change", "data": {"package": "viscum"}}
    made.start()
    assert verify(made, "--wait", "60") == (0, "")
    made.viscum("confirm")


@pytest.mark.parametrize("interpreter", [MICROPYTHON], ids=["micropython"])
def test_what_the_agent_refuses_is_not_left_on_trial(served):
    """The back end is not there for this interpreter; the file alone does not show that."""
    assert verify(served, "--wait", "60") == (0, "")
    other = "config globals\n\toption netlink pyroute2\n" + MORE
    refused = served.lab.viscum(*command(served, other, 600), check=False)
    assert refused.returncode == 1 and "pyroute2" in refused.stderr, refused
    assert configured(served.lab) == CONFIG and ".viscum.old" not in beside(served.lab)
    assert verify(served) == (0, "")
