"""People and scripts ask the agent over ubus; here it serves the socket itself."""

import contextlib
import json
import os
import re
import resource
import signal
import socket
import sys
import time
from pathlib import Path

import pytest
from agent import CONFIG, QUICK, TAKES, Guest, Served, answering, private_memory
from lab import HANG, ROOT, echo_command, namespaces, pids_in, service, wait_for

from viscum_agent import __version__, compat
from viscum_agent.cli import agent_calls
from viscum_agent.config import uci
from viscum_agent.loop import POLLIN, POLLOUT
from viscum_agent.ubus import codes, wire
from viscum_agent.ubus.caller import Caller
from viscum_agent.ubus.client import Client

RP_FILTER = "net.ipv4.conf.vsc-echo.rp_filter=%d"


@pytest.fixture
def served(lab):
    with answering(lab, CONFIG, Served) as made:
        wait_for(lambda: os.path.exists(made.socket))
        yield made


def test_status_list_and_stats(served):
    assert served.state() == "healthy"
    assert served.viscum("list").stdout == "echo\n"
    before = json.loads(served.viscum("stats", "--json").stdout)["echo"]
    served.who()
    after = json.loads(served.viscum("stats", "--json").stdout)["echo"]
    packets = after["packets"] - before["packets"]
    assert packets > 3, "a connection, a question, an end"
    assert after["bytes"] - before["bytes"] >= 40 * packets, "IPv4 and TCP headers"
    assert (after["drops"], after["overlimits"]) == (0, 0)
    sent = after["sent_packets"] - before["sent_packets"]
    assert sent > 2, "a handshake, an answer, an end"
    assert after["sent_bytes"] - before["sent_bytes"] >= 54 * sent, "Ethernet, IPv4 and TCP headers"
    served.viscum("stop")
    wait_for(lambda: served.state() == "stopped")
    assert json.loads(served.viscum("stats", "--json").stdout)["echo"]["sent_packets"] >= after["sent_packets"]


def test_status_says_what_is_not_taken_and_why(served):
    """Only what the program listens on is taken; the rest, and everything once it is stopped, is as configured."""
    served.lab.serve_cloud(7001)
    served.reload(CONFIG.replace("list dest_port 7000", "list dest_port 7000-7001"))
    taken, left = "tcp 203.0.113.10/32 port 7000", "tcp 203.0.113.10/32 ports 7000-7001"
    wait_for(lambda: row(served)["takes"] == [taken, taken.replace("tcp", "udp")])
    why = ": only where the program listens"
    assert row(served)["stays"] == [left + why, left.replace("tcp", "udp") + why]
    assert (served.who(7000), served.who(7001)) == ("edge", "cloud")
    assert "echo: not taken: %s%s\n" % (left, why) in served.viscum("status").stdout
    served.viscum("stop")
    wait_for(lambda: served.state() == "stopped")
    assert (row(served)["takes"], row(served)["stays"]) == ([left, left.replace("tcp", "udp")], [])


def row(served):
    (found,) = json.loads(served.viscum("status", "--json").stdout)
    return found


def test_status_says_of_a_service_all_that_does_not_fit_into_an_answer_about_all(served):
    ports = ["7000"] + ["%d" % port for port in range(7100, 7120)]
    served.reload(CONFIG.replace("list dest_port 7000", "\n\t".join("list dest_port " + port for port in ports)))
    wait_for(lambda: len(row(served)["stays"]) == 40)
    told = agent_calls.ask(served.socket, "status")["services"]["echo"]
    assert (len(told["stays"]), told["stays_count"]) == (4, 40)


def test_status_says_which_agent_that_is_and_since_when(served):
    answer = served.call("status")
    assert answer["version"] == __version__ and 0 <= answer["uptime"] <= answer["now"]
    wait_for(lambda: served.call("status")["uptime"] > answer["uptime"])
    last = served.viscum("status").stdout.splitlines()[-1]
    said = (re.escape(__version__), answer["hash"][:12])
    assert re.fullmatch(r"viscumd %s has run for \d+ s; configuration 1 \(%s\)" % said, last)


def test_bypass_stop_start_and_restart(served):
    served.viscum("bypass", "echo")
    served.becomes("cloud")
    assert served.state() == "bypassed"
    served.viscum("bypass", "echo", "--off")
    served.becomes("edge")
    served.viscum("stop", "echo")
    served.becomes("cloud")
    wait_for(lambda: "viscum-echo" not in namespaces())
    assert served.state() == "stopped"
    served.viscum("start", "echo")
    served.becomes("edge")
    pid = json.loads(served.viscum("status", "--json").stdout)[0]["pid"]
    served.viscum("restart", "echo")
    wait_for(lambda: json.loads(served.viscum("status", "--json").stdout)[0]["pid"] not in (0, pid))
    served.becomes("edge")


def test_a_service_that_the_configuration_has_disabled_is_not_started_and_that_is_said(served):
    served.reload(
        CONFIG + service("off", "/bin/false", *TAKES[:2], "list dest_port 7001").replace("enabled 1", "enabled 0")
    )
    wait_for(lambda: "off" in served.viscum("list").stdout)
    for command in ("start", "restart"):
        result = served.viscum(command, "off", check=False)
        assert (result.returncode, "'off' is disabled in the configuration" in result.stderr) == (1, True)
        served.viscum(command)
        states = {row["name"]: row["state"] for row in json.loads(served.viscum("status", "--json").stdout)}
        assert states["off"] == "disabled"


def test_the_agents_plan_has_nothing_that_is_withheld_on_purpose(served):
    assert served.call("plan")["commands"] == []
    served.viscum("bypass", "echo")
    served.becomes("cloud")
    assert served.call("plan")["commands"] == []
    served.viscum("stop", "echo")
    wait_for(lambda: served.state() == "stopped")
    wait_for(lambda: served.call("plan")["commands"] == [])  # the last look is a moment later


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
    words = (*served.lab.agent("viscum_agent"), "-s", served.socket, "monitor")
    output = served.lab.tmp / "monitor"
    with output.open("w") as stream:
        served.lab.start(served.lab.router, *words, cwd=ROOT, env=served.lab.env(), stdout=stream)
    wait_for(lambda: served.viscum("list").returncode == 0)

    def printed():
        return output.read_text().splitlines()

    while len(printed()) < 2:  # until the monitor listens: the first change that it hears may be the second of a pair
        served.viscum("bypass", "echo")
        served.viscum("bypass", "echo", "--off")
    served.viscum("restart", "echo")
    served.becomes("edge")
    wait_for(lambda: printed()[-1] == "echo: starting -> healthy")
    lines = printed()
    changes = [line.split(": ")[1].split(" -> ") for line in lines]
    assert lines[-6:-3] == [
        "echo: healthy -> bypassed, asked for",
        "echo: bypassed -> healthy",
        "echo: healthy -> stopping, restart",
    ]
    assert all(one[1].split(",")[0] == other[0] for one, other in zip(changes, changes[1:], strict=False)), lines


def test_logs_tell_what_happened_to_a_service(served):
    served.viscum("bypass", "echo")
    assert [line.split(" ", 2)[2] for line in served.viscum("logs", "echo").stdout.splitlines()] == [
        "echo: starting",
        "echo: healthy",
        "echo: bypassed, asked for",
    ]
    assert {"time", "severity", "text"} == set(json.loads(served.viscum("logs", "--json").stdout)[0])
    assert served.viscum("logs", "-n", "1", "echo").stdout.endswith("echo: bypassed, asked for\n")
    assert len(served.viscum("logs", "-n", "2", "echo").stdout.splitlines()) == 2
    unknown = served.viscum("logs", "nobody", check=False)
    assert unknown.returncode == 1 and "there is no service 'nobody'" in unknown.stderr


def test_logs_follow_a_service_from_one_agent_to_the_next(served):
    words = (*served.lab.agent("viscum_agent"), "-s", served.socket, "logs", "-n", "1", "-f", "echo")
    output = served.lab.tmp / "logs"
    with output.open("w") as stream:
        served.lab.start(served.lab.router, *words, cwd=ROOT, env=served.lab.env(), stdout=stream, stderr=stream)

    def printed():
        return [line.split(" ", 2)[2] for line in output.read_text().splitlines()]

    wait_for(lambda: printed() == ["echo: healthy"])
    served.viscum("bypass", "echo")
    wait_for(lambda: printed() == ["echo: healthy", "echo: bypassed, asked for"])
    served.kill()
    served.start()
    wait_for(lambda: "echo: starting, found running" in printed()[2:])
    assert printed().count("echo: bypassed, asked for") == 1


def test_top_shows_what_a_service_carries(served):
    words = ("loop", "udp", "203.0.113.10", "7000", "200", "5")
    client = served.lab.start(served.lab.client, sys.executable, ROOT / "tests/echo.py", *words)
    title, row = [line.split() for line in served.viscum("top").stdout.splitlines()]
    client.wait()
    titles = ["SERVICE", "STATE", "CONNECTIONS", "PACKETS/S", "MBIT/S", "CPU%", "MEMORY", "UPTIME", "RESTARTS"]
    assert title == [*titles, "EDGE", "CLOUD", "KEPT", "REQUESTS", "BYPASS"]
    assert row[:2] == ["echo", "healthy"]
    assert 50 < float(row[3]) < 300, "the client sends 200 packets a second"
    assert 0 <= float(row[5]) <= 100 and row[6] == "-", "counted where a service has memory_max"


def test_connections_are_counted(served):
    def connections():
        return json.loads(served.viscum("stats", "--json").stdout)["echo"]["connections"]

    talk = "import socket, time; s = socket.create_connection(('203.0.113.10', 7000)); time.sleep(60)"
    client = served.lab.start(served.lab.client, sys.executable, "-c", talk)
    wait_for(lambda: connections() == 1)
    client.kill()
    wait_for(lambda: connections() == 0)


def test_a_bypass_that_was_asked_for_outlasts_a_restart_of_the_program_and_ends_only_when_asked(served):
    served.viscum("bypass", "echo")
    served.viscum("restart", "echo")
    wait_for(lambda: served.state() == "bypassed")
    assert served.who() == "cloud"
    served.viscum("bypass", "echo", "--off")
    served.becomes("edge")


def sections(config):
    """A configuration as LuCI has it of a section: what `check` takes."""
    found = uci.parse(config.encode(), "viscum")
    return [{".type": each.type, ".name": each.name, ".anonymous": False, **each.options} for each in found]


FATES = {"starts": [], "stops": [], "restarts": [], "changes": []}


def check(served, rows):
    return agent_calls.ask(served.socket, "check", {"sections": rows, "ubus_rpc_session": "0"})


def test_check_tells_what_a_configuration_would_do_and_does_nothing(served):
    before = served.filters()
    assert check(served, sections(CONFIG)) == {"problems": [], "commands": [], **FATES}
    other = sections(CONFIG.replace("dest_port 7000", "dest_port 7001"))
    commands = check(served, other)["commands"]
    assert any("lan0" in line and ("1b59" in line or "7001" in line) for line in commands), commands
    assert any("netns del" in line for line in check(served, [])["commands"])
    assert served.filters() == before and served.who() == "edge"
    assert agent_calls.ask(served.socket, "plan")["commands"] == []


def test_check_finds_what_the_agent_would_find_in_the_file(served):
    rows = sections(CONFIG.replace("dest_port 7000", "dest_port 70000"))
    (problem,) = check(served, rows)["problems"]
    assert problem == "viscum.echo.dest_port: '70000' is not a port or a range of ports (1-65535, 5000-5010)"
    served.reload(CONFIG.replace("dest_port 7000", "dest_port 70000"))
    wait_for(lambda: problem in agent_calls.ask(served.socket, "plan")["problems"])
    assert served.who() == "edge", "a service with a mistake goes on as it was"


def fates(served, config):
    answer = check(served, sections(config))
    return {key: answer[key] for key in FATES if answer[key]}


def test_check_names_what_would_start_stop_restart_or_take_over_other_traffic(served):
    second = CONFIG.replace("'echo'", "'second'").replace("dest_port 7000", "dest_port 7001")
    off = CONFIG.replace("enabled 1", "enabled 0")
    assert fates(served, CONFIG + "\toption env 'A=b'\n") == {"restarts": ["echo"]}
    assert fates(served, CONFIG + "\toption health_interval 9\n") == {}
    assert fates(served, CONFIG + "\n" + second) == {"starts": ["second"]}
    assert fates(served, off) == fates(served, "") == {"stops": ["echo"]}
    assert fates(served, off + "\n" + second) == {"starts": ["second"], "stops": ["echo"]}
    assert fates(served, CONFIG.replace("203.0.113.10", "203.0.113.11")) == {"changes": ["echo"]}
    assert fates(served, CONFIG.replace("dest_port 7000", "dest_port 70000")) == {}, "a mistake changes nothing"
    agent_calls.ask(served.socket, "stop", {"name": "echo"})
    wait_for(lambda: agent_calls.ask(served.socket, "status")["services"]["echo"]["state"] == "stopped")
    assert fates(served, CONFIG) == {}, "it stays stopped"


@pytest.mark.parametrize(
    "rows",
    [
        None,
        ["echo"],
        [{".type": "service"}],
        [{".type": "service", ".name": "no name"}],
        [{".type": "service", ".name": "one", "dest_port": 80}],
        [{".type": "service", ".name": "one", "dest_port": [80]}],
        [{".name": "one", "dest_port": "80"}],
    ],
)
def test_check_refuses_what_no_file_could_say(served, rows):
    with pytest.raises(codes.UbusError) as caught:
        agent_calls.ask(served.socket, "check", {} if rows is None else {"sections": rows})
    assert caught.value.code == codes.INVALID_ARGUMENT
    assert served.who() == "edge"


def test_status_says_whether_a_bypass_was_asked_for_in_every_state(served):
    def asked():
        row = agent_calls.ask(served.socket, "status")["services"]["echo"]
        return row["state"], row["bypass"]

    assert asked() == ("healthy", False)
    served.viscum("bypass", "echo")
    assert asked() == ("bypassed", True)
    served.viscum("stop", "echo")
    wait_for(lambda: asked() == ("stopped", True))


def test_stop_without_a_name_takes_everything_down(served):
    served.viscum("stop")
    served.becomes("cloud")
    wait_for(lambda: "viscum-echo" not in namespaces())
    assert "qdisc clsact" not in served.lab.run(served.lab.router, "tc", "qdisc", "show").stdout
    assert served.process.poll() is None, "the agent waits for a start"
    served.viscum("start")
    served.becomes("edge")


def test_answers_about_many_services_come_in_pages(served):
    ports = ["list dest_port %d" % port for port in range(1000, 1005)]
    lines = ["list device lan0", "list dest_ip 203.0.113.10", *ports]
    many = [service("s%03d" % number, "/bin/true", *lines) for number in range(510)]
    served.reload(CONFIG + "".join(many).replace("enabled 1", "enabled 0"))
    # An agent that reads so much may be too busy to say hello.
    wait_for(lambda: len(served.viscum("list", check=False).stdout.split()) == 511)
    rows = agent_calls.ask_all(served.socket, "status")
    assert len(rows) == 511 and rows["echo"]["state"] == "healthy"
    assert rows["s509"]["takes_count"] == 10 and len(rows["s509"]["takes"]) == 8
    whole = agent_calls.ask(served.socket, "status", {"name": "s509"})["services"]
    assert len(whole["s509"]["takes"]) == 10
    assert agent_calls.ask(served.socket, "status", {"ubus_rpc_session": "0"})["next"] == "s198"
    assert len(agent_calls.ask_all(served.socket, "stats")) == 511


def test_a_client_that_never_reads_does_not_stall_the_agent(served):
    """It asks for a lookup and a status again and again, far more than its socket holds."""
    with socket.socket(socket.AF_UNIX) as greedy:
        greedy.connect(served.socket)
        greedy.setblocking(False)
        lookups = wire.pack(wire.LOOKUP, 1, 0, []) * 200
        sent = 0
        with contextlib.suppress(OSError):
            while sent < 20 << 20:
                sent += greedy.send(lookups)
                begin = time.monotonic()
                assert served.viscum("list").stdout == "echo\n"
                assert time.monotonic() - begin < 30
        (pid,) = pids_in("viscum-echo")
        os.kill(pid, signal.SIGKILL)
        assert served.redirects(there=False) < 1
        served.becomes("edge")


def test_an_agent_that_would_serve_ubus_where_somebody_does_goes_on_with_that(lab):
    """`-b` serves ubus only where nobody does."""
    socket = str(lab.tmp / "ubus.sock")
    lab.start(lab.router, sys.executable, ROOT / "tests/ubus_peer.py", "broker", socket)
    wait_for(lambda: os.path.exists(socket))
    served = Served(lab, "config globals 'globals'\n\toption enabled 0\n")
    served.says("somebody serves ubus on %s already: using that" % socket)
    wait_for(lambda: served.viscum("list", check=False).returncode == 0)


def test_up_and_down_leave_it_to_the_agent(served):
    for command in ("up", "down"):
        result = served.viscum(command, check=False)
        assert result.returncode == 1
        assert "an agent runs" in result.stderr
    assert served.who() == "edge"


def test_without_an_agent_the_commands_say_so(lab):
    lab.configure(CONFIG)
    for command in ("list", "start", "stop", "restart", "reload", "bypass --all", "stats", "logs", "top", "monitor"):
        result = lab.viscum("-s", str(lab.tmp / "nobody.sock"), *command.split(), check=False)
        assert result.returncode == 1
        assert "no agent answers on " in result.stderr and "Traceback" not in result.stderr


@pytest.mark.parametrize("kind", [Served, Guest])
def test_an_agent_whose_services_are_not_checked_sleeps_while_nothing_happens(lab, kind):
    """Whether it serves ubus itself or is a client there. Its deadline is put off every 20 s here, and a look at the
    kernel follows after 45 s."""
    seldom = "config globals 'globals'\n\toption watch_timeout 60\n\n"
    made = kind(lab, seldom + service("echo", echo_command("edge", 7000), *TAKES, "option healthcheck none"))
    made.says("healthy")
    made.says("on ubus")
    words = ("timeout", "-s", "INT", "3", "strace", "-qq", "-p", str(made.process.pid))
    give_up = time.monotonic() + HANG
    calls = ()
    while not (len(calls) == 1 and ("poll" in calls[0] or "restart_syscall" in calls[0])):
        # At first it may be busy with what its own changes caused.
        assert time.monotonic() < give_up, "something else than the call that it sleeps in:\n" + "\n".join(calls)
        calls = lab.run(lab.router, *words, check=False).stderr.splitlines()


def test_a_stop_during_the_back_off_is_not_undone(lab):
    made = Served(lab, service("echo", "/bin/false", *TAKES, "option respawn_timeout 2"))
    wait_for(lambda: os.path.exists(made.socket) and made.state() == "backoff")
    made.viscum("stop")
    wait_for(lambda: made.state() == "stopped")
    time.sleep(2.5)
    assert made.state() == "stopped"
    assert "viscum-echo" not in namespaces()


def test_a_service_that_waited_and_is_in_no_configuration_any_more_is_forgotten(served):
    other = service("other", echo_command("other", 7001), *TAKES).replace("lan0", "lan9").replace("7000", "7001")
    served.reload(CONFIG + other)
    served.says("other: waiting")
    served.reload(CONFIG + other.replace("enabled 1", "enabled 0"))
    wait_for(lambda: agent_calls.ask(served.socket, "status")["services"]["other"]["state"] == "disabled")
    served.reload(CONFIG + other)
    wait_for(lambda: agent_calls.ask(served.socket, "status")["services"]["other"]["state"] == "waiting")
    served.reload(CONFIG)
    wait_for(lambda: served.viscum("list").stdout == "echo\n")


def test_a_restart_of_everything_leaves_what_is_disabled_alone(served):
    off = service("off", echo_command("off", 7001), *TAKES).replace("enabled 1", "enabled 0")
    served.reload(CONFIG + off)
    wait_for(lambda: "off" in served.viscum("list").stdout)
    served.viscum("restart")
    served.becomes("edge")
    assert agent_calls.ask(served.socket, "status")["services"]["off"]["state"] == "disabled"


def test_a_service_with_a_mistake_can_be_stopped(served):
    """It goes on as it was, but not against somebody's will; also after the agent was started anew."""
    served.reload(CONFIG.replace("dest_port 7000", "dest_port 70000"))
    served.says("'70000' is not a port")
    served.viscum("stop", "echo")
    wait_for(lambda: "viscum-echo" not in namespaces())
    assert (served.state(), served.who()) == ("stopped", "cloud")
    served.reload(CONFIG)
    served.viscum("start", "echo")
    served.becomes("edge")


def test_a_service_with_a_mistake_that_an_agent_found_can_be_stopped(served):
    served.kill()
    served.lab.configure(CONFIG.replace("dest_port 7000", "dest_port 70000"))
    served.start()
    wait_for(lambda: served.viscum("list", check=False).stdout == "echo\n")
    assert pids_in("viscum-echo")
    served.viscum("stop", "echo")
    wait_for(lambda: "viscum-echo" not in namespaces())


def test_a_service_that_was_not_checked_is_checked_from_the_reload_on(lab):
    lab.serve_cloud(7000)
    served = Served(lab, CONFIG + "\toption healthcheck none\n")
    served.becomes("edge")
    wait_for(lambda: os.path.exists(served.socket))
    served.reload(CONFIG + "\toption health_fall 1\n")
    (pid,) = pids_in("viscum-echo")
    os.kill(pid, signal.SIGSTOP)
    try:
        served.becomes("cloud")
    finally:
        os.kill(pid, signal.SIGCONT)
    served.becomes("edge")
    assert pids_in("viscum-echo") == [pid]


def test_clients_come_to_another_port_only_when_a_check_was_good_there(served):
    served.reload(CONFIG + "\toption target_port 7009\n\tlist proto tcp\n\toption start_timeout 1\n")
    served.redirects(there=False)
    wait_for(lambda: served.state() == "bypassed")
    assert served.who() == "cloud"
    served.reload(CONFIG)
    served.becomes("edge")


def test_a_command_in_the_namespace_is_not_taken_for_the_program(lab):
    """`viscum exec` in a service whose program failed, and what a check left behind."""
    broken = service("echo", "/bin/false", *TAKES, "option respawn_timeout 0", "option respawn_retry 1")
    made = Served(lab, broken)
    wait_for(lambda: os.path.exists(made.socket) and made.state() == "failed")
    words = (*lab.agent("viscum_agent"), "-c", lab.confdir, "exec", "echo", "--", "/bin/sleep", "1000")
    visitor = lab.start(lab.router, *words, cwd=ROOT, env=lab.env())
    wait_for(lambda: pids_in("viscum-echo"))
    lab.configure(CONFIG)
    lab.serve_cloud(7000)
    made.viscum("reload")
    made.becomes("edge")
    visitor.kill()


def test_a_check_that_takes_too_long_leaves_nothing_behind(lab):
    lab.tmp.parent.chmod(0o755)
    check = lab.tmp.parent / "check"
    check.write_text("#!/bin/sh\nsleep 1000 &\nwait\n")
    check.chmod(0o755)
    lines = (*TAKES, *QUICK, "option healthcheck exec", "option user root", "option health_command %s" % check)
    made = Served(lab, service("echo", echo_command("edge", 7000), *lines))
    wait_for(lambda: any("sleep" in command(pid) for pid in pids_in("viscum-echo")))
    time.sleep(2.5)
    lab.configure(service("echo", echo_command("edge", 7000), *TAKES, *QUICK, "option user root"))
    made.viscum("reload")
    made.becomes("edge")
    wait_for(lambda: len(pids_in("viscum-echo")) == 1)


def command(pid):
    try:
        return Path("/proc/%d/cmdline" % pid).read_text()
    except OSError:
        return ""


def test_a_program_that_dies_while_its_service_is_stopped_is_no_zombie(served):
    for _ in range(5):
        (pid,) = pids_in("viscum-echo")
        served.viscum("stop", "echo")
        time.sleep(0.04)  # the agent stops it 50 ms after it was told
        with contextlib.suppress(ProcessLookupError):  # the agent was first, in this round
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: served.state() == "stopped")
        children = Path("/proc/%d/task/%d/children" % (served.process.pid, served.process.pid)).read_text()
        assert str(pid) not in children.split()
        served.viscum("start", "echo")
        served.becomes("edge")


def test_who_subscribes_to_the_agent_is_told_of_every_change(served):
    """Beside the event, a notification of the object (`ubus subscribe viscum`)."""
    told = []
    client = Client(served.socket)
    subscription = client.subscribe(
        "viscum", lambda kind, data: told.append((kind, data["name"], data["before"], data["state"]))
    )

    def serve(done, seconds):
        end = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < end, told
            if client.fd >= 0 and compat.wait_fd(client.fd, POLLIN | (POLLOUT if client.wants_write else 0), 20):
                client.on_writable()
                client.on_readable()
            client.tick(compat.monotonic())

    try:
        serve(lambda: subscription.active, 5)
        served.viscum("bypass", "echo")
        serve(lambda: told, 5)
        served.viscum("bypass", "echo", "--off")
        serve(lambda: len(told) >= 2, 5)
    finally:
        client.close()
    assert told[:2] == [("service", "echo", "healthy", "bypassed"), ("service", "echo", "bypassed", "healthy")]


def test_who_came_while_the_agent_had_no_descriptors_left_is_answered_afterwards(lab):
    """Nothing else happens that would wake it."""
    made = Served(lab, "config globals 'globals'\n")
    made.says("is on ubus")
    pid = made.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    used = max(int(name) for name in os.listdir("/proc/%d/fd" % pid)) + 1
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (used, before[1]))
    words = (*lab.agent("viscum_agent"), "-s", made.socket, "list")
    waiting = lab.start(lab.router, *words, cwd=ROOT, env=lab.env())
    time.sleep(1)
    assert waiting.poll() is None
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    assert waiting.wait() == 0


def test_a_thousand_questions_are_answered_and_cost_no_memory(served):
    with Caller(served.socket) as caller:
        for _ in range(200):
            caller.call("viscum", "status")
        before = private_memory(served.process.pid)
        for _ in range(1000):
            assert caller.call("viscum", "status")["services"]["echo"]["state"] == "healthy"
    assert private_memory(served.process.pid) - before < 512, "KiB: half a kilobyte that stays of each is as much"


def test_reloads_cost_no_memory(served):
    """Every other one changes what the service takes."""
    configs = [CONFIG, CONFIG.replace("dest_port 7000", "dest_port 6999-7000")]

    def reload(times):
        with Caller(served.socket) as caller:
            for number in range(times):
                served.lab.configure(configs[number % 2])
                caller.call("viscum", "reload")
        return private_memory(served.process.pid)

    before = reload(40)
    assert reload(120) - before < 1024, "KiB"
    served.becomes("edge")


def test_the_doctors_findings_are_kept_for_a_moment(served):
    """Who may only look may ask him, over and over, and while he looks the agent does nothing else."""
    strict = "sysctl", "-qw", RP_FILTER % 1
    wait_for(lambda: served.lab.ask("udp", "203.0.113.10", 7000)[0] == "edge")
    assert not served.call("doctor")["trouble"]
    served.lab.run(served.lab.router, *strict)
    assert not served.call("doctor")["trouble"]

    def trouble():
        served.lab.run(served.lab.router, *strict)  # again: a look of the agent's may have set it right
        return served.call("doctor")["trouble"]

    wait_for(trouble)


def test_a_socket_that_can_not_be_served_is_named(lab):
    lab.configure("config globals 'globals'\n")
    words = (*lab.agent("viscum_agent.viscumd"), "-c", lab.confdir, "-s", "/proc/ubus.sock", "-b")
    result = lab.run(lab.router, *words, cwd=ROOT, env=lab.env(), check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("viscumd: can't serve ubus on /proc/ubus.sock: "), result.stderr
