"""The init script under busybox ash: what procd is told, and what happens to agent and services."""

import os
import re

import opkg
import pytest
from lab import ROOT, run, wait_for
from router import FUNCTIONS
from router_root import INIT, RouterRoot

SHIPPED = (ROOT / "files/etc/config/viscum").read_text()
ENABLED = SHIPPED.replace("option enabled '0'", "option enabled '1'")
OFF, ON = ("config globals\n\toption enabled '%d'\n\n" % number for number in (0, 1))
SERVICE = "config service 'a'\n\toption enabled '1'\n"
TRIGGERS = [
    "trigger config.change %s /etc/init.d/viscum reload" % name
    for name in ("viscum", "network", "wireless", "firewall")
]
PARAMS = ["param command /usr/sbin/viscumd", "param respawn 3600 5 0", "param stdout 1", "param stderr 1"]
ASKED = ["ubus -t 30 wait_for viscum", "ubus call viscum reload"]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def router(tmp_path):
    return RouterRoot(tmp_path / "router")


@pytest.fixture
def running(router):
    """A router with an agent that has brought a service up."""
    router.configure(ENABLED)
    router.init("start")
    router.service_is_up("iperf")
    return router


def told(calls):
    """What became of the agent."""
    return [call for call in calls if call.startswith("procd: ")]


# Start


def test_with_the_shipped_configuration_there_are_triggers_and_no_process(router):
    assert router.init("start") == TRIGGERS + ["set "]
    assert router.agent() == ""


def test_a_configuration_on_trial_has_an_agent_that_brings_the_one_before_back(router):
    router.configure(OFF + SERVICE)
    (router.path / "etc/config/.viscum.old").write_text(ENABLED)
    assert told(router.init("start")) == ["procd: start"]


def test_an_enabled_service_is_a_reason_for_an_agent(router):
    router.configure(ENABLED)
    calls = router.init("start")
    expected = PARAMS + TRIGGERS + ["set agent"]
    assert [call for call in calls if call in expected] == expected
    assert told(calls) == ["procd: start"]


@pytest.mark.parametrize(
    "text, runs",
    [
        ("config service 'a'\n\toption enabled '0'\n", False),
        ("config service 'a'\n", False),
        ("config service\n\toption enabled 'on'\n", True),
        ("config service 'a'\n\toption enabled '0'\n\nconfig service 'b'\n\toption enabled 'yes'\n", True),
        ("config globals 'globals'\n\toption enabled '0'\n\nconfig service 'a'\n\toption enabled '1'\n", False),
        ("config globals 'globals'\n\toption enabled '1'\n\nconfig service 'a'\n\toption enabled '1'\n", True),
        (OFF + ON + SERVICE, False),
        (ON + OFF + SERVICE, True),
        ("config globals 'globals'\n\nconfig service 'a'\n\toption enabled 'true'\n", True),
        ("config match 'a'\n\toption enabled '1'\n", False),
        ("config tenant 'acme'\n", True),
        ("config globals\n\toption enabled '0'\n\nconfig tenant 'acme'\n", False),
        ("", False),
    ],
)
def test_only_an_enabled_service_counts_or_a_tenant(router, text, runs):
    router.configure(text)
    assert (told(router.init("start")) == ["procd: start"]) == runs


def test_boot_is_start(router):
    router.configure(ENABLED)
    assert told(router.init("boot")) == ["procd: start"]


def test_it_starts_after_what_it_needs_and_stops_before_that():
    script = (ROOT / "files/etc/init.d/viscum").read_text()
    start, stop = (int(re.search("^%s=(\\d+)$" % name, script, re.M).group(1)) for name in ("START", "STOP"))
    firewall, network, sqm, done = 19, 20, 50, 95  # START of their init scripts
    assert max(firewall, network, sqm) < start < done
    assert stop < 90, "STOP of the network"


def test_a_second_start_changes_nothing_and_asks_the_agent_nothing(running):
    assert told(running.init("start")) == []


def test_an_unreadable_configuration_starts_nothing_and_says_so(router):
    router.configure(None)
    calls = router.init("start")
    assert calls[0].startswith("logger -t viscum -p daemon.err /etc/config/viscum can't be read")
    assert told(calls) == []
    assert [call for call in calls if call in TRIGGERS] == TRIGGERS, "the next reload may find it correct"


def watched(calls):
    """What procd is told of its watchdog, and when it is given the instance."""
    found = [call.rpartition('"agent",')[2] for call in calls if call.startswith("ubus call service watchdog")]
    return [call for call in calls if call == "set agent"] and found


WATCHED = ['"mode":0,"timeout":0}', '"mode":0}', '"mode":1,"timeout":180}']
ASLEEP = WATCHED[:2] + ['"mode":1,"timeout":2000000}']


def test_procd_watches_the_agent_but_not_while_it_is_given_the_instance(router):
    router.configure(ENABLED)
    for _ in range(2):
        calls = router.init("start")
        assert watched(calls) == WATCHED
        assert calls[calls.index("set agent") - 1].endswith(WATCHED[0]), "the agent may speak at any time"
        assert "procd: crash" not in calls, "a procd of before 2026-02-09"


def test_a_start_lets_an_agent_sleep(running):
    (running.path / "tmp/procd/timeout").write_text("2000000")
    assert watched(running.init("start")) == ASLEEP


def test_an_agent_that_speaks_during_a_start_is_no_new_one_and_is_believed(running):
    """For a procd of before 2026-02-09 what the agent has said is a changed instance."""
    (running.path / "tmp/says").write_text("2000000")
    calls = running.init("start")
    assert told(calls) == [] and watched(calls) == ASLEEP


@pytest.mark.parametrize("action, upgrade", [("restart", "0"), ("start", "1")])
def test_what_an_old_agent_said_does_not_count_for_the_new_one(running, action, upgrade):
    (running.path / "tmp/procd/timeout").write_text("2000000")
    calls = running.init(action, PKG_UPGRADE=upgrade)
    assert watched(calls)[-1] == WATCHED[-1]
    assert "procd: start when the old one has ended" in calls


# Reload


@pytest.mark.parametrize("trigger", TRIGGERS)
def test_every_trigger_has_the_agent_read_its_configuration_again(running, trigger):
    assert trigger in running.init("start")
    running.forget()
    assert running.run(*trigger.split()[3:]).returncode == 0
    running.settle()
    assert [call for call in running.calls() if call in ASKED] == ASKED
    assert told(running.calls()) == [] and running.services_up() == ["viscum-iperf"], "no packet is lost"
    assert [call for call in running.calls() if "set" in call or "watchdog" in call] == [], "procd has the agent"


def test_a_reload_starts_the_agent_with_the_first_service_and_ends_it_with_the_last(router):
    router.init("start")
    router.configure(ENABLED)
    assert told(router.init("reload")) == ["procd: start"]
    router.service_is_up("iperf")
    router.configure(SHIPPED)
    calls = router.init("reload")
    assert told(calls) == ["procd: TERM", "procd: ended"]
    assert calls.index("procd: ended") < calls.index("viscum down"), "it leaves services to an agent that runs"
    assert router.services_up() == []
    router.configure(ENABLED)
    assert told(router.init("reload")) == ["procd: start"], "and so on"


def test_a_reload_without_any_service_leaves_no_trace(router):
    router.init("start")
    assert router.init("reload") == TRIGGERS + ["set "]


@pytest.mark.parametrize("committed, staged", [(ENABLED, SHIPPED), (SHIPPED, ENABLED)])
def test_what_is_staged_and_not_committed_is_not_yet_configuration(router, committed, staged):
    """So it is for the agent, and `reload` is also what a change of the network's configuration does."""
    router.configure(committed)
    router.stage(staged)
    assert (told(router.init("start")) == ["procd: start"]) == (committed == ENABLED)
    before = router.agent()
    assert told(router.init("reload")) == [] and router.agent() == before


@pytest.mark.parametrize("program, text", [("ubus", ENABLED), ("nft", ENABLED), ("viscum", SHIPPED)])
def test_a_reload_returns_at_once(running, program, text):
    """procd runs the triggers of all packages one after the other."""
    running.configure(text)
    running.hold(program)
    assert running.run(INIT, "reload").returncode == 0
    assert running.processes(), "something goes on"
    if text == ENABLED:
        assert running.run(INIT, "reload").returncode == 0, "and nobody has to wait for it"
    running.release(program)
    running.settle()
    assert program + " done" in (running.path / "tmp/done").read_text()


def test_a_start_waits_until_the_services_are_down(running):
    running.configure(SHIPPED)
    running.hold("viscum")
    assert running.run(INIT, "reload").returncode == 0
    wait_for(lambda: "viscum down" in running.calls())
    running.configure(ENABLED)
    running.forget()
    process = running.begin(INIT, "reload")
    with pytest.raises(Exception, match="timed out"):
        process.wait(0.5)
    assert running.calls() == []
    running.release("viscum")
    assert process.wait() == 0
    running.settle()
    assert running.services_up() == [] and told(running.calls()) == ["procd: start"]


@pytest.mark.parametrize("action", ["reload", "start", "restart"])
def test_an_unreadable_configuration_changes_nothing(running, action):
    running.configure(None)
    calls = running.init(action)
    assert "procd: ended" not in calls and "viscum down" not in calls
    assert (running.agent(), running.services_up()) == ("running", ["viscum-iperf"])


def test_an_unreadable_configuration_changes_nothing_while_the_agent_is_between_two_runs(running):
    running.configure(None)
    (running.path / "tmp/procd/agent").unlink()
    assert told(running.init("reload")) == ["procd: start"], "it tries until the file is mended"
    assert running.services_up() == ["viscum-iperf"]


# Stop and restart


def test_stop_takes_everything_down_before_it_returns(running):
    running.forget()
    assert running.run(INIT, "stop").returncode == 0
    assert running.calls() == ["delete", "procd: TERM", "sleep 1", "procd: ended", "viscum down"]
    assert (running.agent(), running.services_up(), running.processes()) == ("", [], [])


def test_services_left_by_an_agent_that_is_gone_are_taken_down_as_well(running):
    (running.path / "tmp/procd/agent").unlink()
    assert running.init("stop") == ["delete", "viscum down"]


def test_without_services_stop_runs_nothing(router):
    router.init("start")
    assert router.init("stop") == ["delete"]


def test_after_stop_a_late_trigger_brings_nothing_back(running):
    running.init("stop")
    result = running.run(INIT, "reload")
    assert (result.returncode, result.stderr) == (1, "viscum is stopped; start it with: service viscum start\n")
    assert running.agent() == ""


def test_restart_is_a_new_agent_and_the_services_go_on(running):
    calls = running.init("restart")
    assert told(calls) == ["procd: TERM", "procd: start when the old one has ended"]
    assert "viscum down" not in calls and running.services_up() == ["viscum-iperf"]


def test_a_restart_with_nothing_enabled_takes_the_services_down(running):
    running.configure(SHIPPED)
    assert "viscum down" in running.init("restart")
    assert (running.agent(), running.services_up()) == ("", [])


def test_a_shutdown_of_the_router_ends_the_programs(running):
    assert "viscum down" in running.init("shutdown")


# Packages


@pytest.fixture
def package(router, ipks):
    """Runs a script of the package, as opkg does it."""
    control, _ = opkg.read(ipks["viscum"])
    for name in ("postinst", "prerm"):
        file = router.path / "usr/lib/opkg/info" / ("viscum." + name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(control["./" + name][1])
        file.chmod(0o755)
    (file.parent / "viscum.list").write_text(INIT + "\n")
    (router.path / "lib").mkdir(exist_ok=True)
    (router.path / "lib/functions.sh").write_text(FUNCTIONS)

    def script(name, upgrade):
        router.forget()
        assert router.run("/usr/lib/opkg/info/viscum." + name, PKG_UPGRADE=upgrade).returncode == 0
        router.settle()
        return router.calls()

    return script


def links(router):
    return sorted(link.name for link in (router.path / "etc/rc.d").iterdir())


def test_the_packages_scripts_install_upgrade_and_remove_it(router, package):
    assert package("postinst", "0") == TRIGGERS + ["set "]
    assert links(router) == ["K10viscum", "S90viscum"]
    router.configure(ENABLED)
    router.init("reload")
    router.service_is_up("iperf")
    assert told(package("prerm", "1")) == ["procd: TERM"] and router.services_up() == ["viscum-iperf"]
    assert told(package("postinst", "1"))[0] == "procd: start when the old one has ended"
    assert links(router) == ["K10viscum", "S90viscum"] and router.services_up() == ["viscum-iperf"]
    assert "viscum down" in package("prerm", "0")
    assert (links(router), router.agent(), router.services_up()) == ([], "", [])


def test_an_upgrade_by_opkg_loses_no_service(running):
    """opkg stops the old version and starts the new one."""
    calls = running.init("stop", PKG_UPGRADE="1")
    assert told(calls) == ["procd: TERM"] and running.services_up() == ["viscum-iperf"]
    assert told(running.init("start", PKG_UPGRADE="1"))[0] == "procd: start when the old one has ended"
    assert running.services_up() == ["viscum-iperf"]


def test_an_upgrade_by_apk_is_a_new_agent(running):
    """apk replaces the files and starts the new version, and nothing stops the old one."""
    calls = running.init("start", PKG_UPGRADE="1")
    assert told(calls) == ["procd: TERM", "procd: start when the old one has ended"]
    assert running.services_up() == ["viscum-iperf"]


def test_an_upgrade_without_services_starts_nothing(router):
    router.init("start")
    assert told(router.init("start", PKG_UPGRADE="1")) == []


# One package in the other's place

SWAP = "var/run/viscum.swap"
COMES = ["opkg install viscum-cpython", "opkg install /tmp/viscum_0.1.0-r1_all.ipk"]
COMES += ["opkg --force-reinstall install viscum"]
COMES += ["apk add viscum-cpython", "apk add viscum !viscum-cpython", "apk del viscum-cpython"]
GOES = ["opkg remove viscum", "opkg install other", "apk add !viscum", "apk del viscum-cpython viscum"]
GOES += ["apk del -r viscum"]


@pytest.fixture
def manager(running):
    """Runs `stop` as a package manager does, by its script: manager("opkg install viscum-cpython")."""
    for tool in ("opkg", "apk"):
        program = running.path / "bin" / tool
        program.write_text("#!/bin/sh\n/tmp/prerm\nexit 0\n")
        program.chmod(0o755)
    (running.path / "tmp/prerm").write_text("#!/bin/sh\n%s stop\nexit 0\n" % INIT)
    (running.path / "tmp/prerm").chmod(0o755)
    agent = running.path / "usr/sbin/viscumd"  # of the package that comes
    agent.parent.mkdir(parents=True, exist_ok=True)
    agent.touch(0o755)
    (running.path / "proc").mkdir()
    (running.path / "etc/apk").mkdir()
    (running.path / "etc/apk/world").write_text("busybox\nviscum><Q1abc=\nviscum-cpython\n!viscum-other\n")
    script = 'mount -t proc none "$0/proc" && exec chroot "$0" "$@"'

    def remove(command):
        running.forget()
        words = ["unshare", "--mount", "sh", "-c", script, str(running.path), *command.split()]
        run(*words, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PKG_UPGRADE": "0"})
        return running

    return remove


@pytest.mark.parametrize("command", COMES)
def test_where_the_other_package_comes_the_agent_and_its_services_stay(manager, command):
    router = manager(command)
    assert (router.agent(), router.services_up()) == ("running", ["viscum-iperf"])
    assert "viscum down" not in router.calls() and (router.path / SWAP).exists()


@pytest.mark.parametrize("command", GOES)
def test_where_none_comes_everything_is_taken_down(manager, command):
    router = manager(command)
    assert "viscum down" in router.calls() and router.services_up() == []
    assert not (router.path / SWAP).exists()


def test_the_other_package_starts_a_new_agent(running):
    (running.path / SWAP).touch()
    calls = running.init("start", PKG_UPGRADE="0")
    assert told(calls) == ["procd: TERM", "procd: start when the old one has ended"]
    assert running.services_up() == ["viscum-iperf"] and not (running.path / SWAP).exists()


# The firewall's includes


def test_firewall4_is_made_to_read_the_includes_with_the_first_service(router):
    router.answer("nft", "type filter hook prerouting priority raw; policy accept;")
    assert "fw4 -q reload" not in router.init("start"), "an installation changes no rule"
    router.configure(ENABLED)
    assert "fw4 -q reload" in router.init("reload")


def test_firewall4_is_left_alone_when_it_has_read_them(router):
    router.configure(ENABLED)
    assert "fw4 -q reload" not in router.init("start")


def test_firewall4_reads_those_of_a_new_version(router):
    router.configure(ENABLED)
    assert "fw4 -q reload" in router.init("start", PKG_UPGRADE="1")


def test_firewall4_is_left_alone_where_it_is_told_not_to_read_includes(router):
    router.answer("nft", "")
    router.answer("uci", "0")
    router.configure(ENABLED)
    assert "fw4 -q reload" not in router.init("start")


def test_a_router_without_firewall4_is_fine(router):
    router.answer("fw4", None)
    router.configure(ENABLED)
    assert "nft list chain inet fw4 raw_prerouting" not in router.init("start")


def test_busybox_ash_is_what_runs_the_scripts(router):
    assert "BusyBox" in run("chroot", str(router.path), "/bin/sh", "--help", check=False).stderr
