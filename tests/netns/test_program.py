"""The program: in its namespace, unprivileged, without an extra process, and ended with patience."""

import os
import signal
import time
from pathlib import Path

import pytest
from lab import HANG, PROGRAMS, ROOT, echo_command, namespaces, pids_in, run, service, snapshot, wait_for

TAKES = ("list device lan0", "list dest_ip 203.0.113.10", "list dest_port 7000")
SHELL_SERVER = "/bin/sh -c '%s exec " + echo_command("edge", 7000) + "'"


def field(pid, name):
    for line in Path("/proc/%d/status" % pid).read_text().splitlines():
        if line.startswith(name + ":"):
            return line.split(":")[1].split()
    raise LookupError(name)


def test_it_runs_with_its_own_account_in_its_namespace_with_nothing_to_gain_and_no_extra_process(lab):
    lab.configure(service("echo", echo_command("edge", 7000), *TAKES))
    lab.viscum("up")
    (pid,) = pids_in("viscum-echo")
    assert lab.status("echo")["pids"] == [pid]
    account = lab.status("echo")["user"]
    assert account == "53348", "files that it wrote long ago are its own"
    assert field(pid, "Uid") == [account] * 4
    assert field(pid, "Gid") == [account] * 4
    assert field(pid, "Groups") == [account]
    assert field(pid, "NoNewPrivs") == ["1"]
    assert field(pid, "CapEff") == ["0000000000000000"]
    assert field(pid, "PPid") == ["1"], "nobody waits between it and init"
    assert os.getsid(pid) == pid
    assert os.readlink("/proc/%d/fd/0" % pid) == "/dev/null"
    assert run("nsenter", "-t", str(pid), "-m", "-n", "ls", "/sys/class/net").stdout.split() == ["eth0", "lo"]


def test_it_inherits_nothing_that_the_command_was_started_with(lab):
    """Who starts the agent may have files open without knowing, and a program is not to read them."""
    secret = lab.tmp / "secret"
    secret.write_text("secret")
    lab.configure(service("echo", echo_command("edge", 7000), *TAKES))
    with secret.open() as file:
        os.set_inheritable(file.fileno(), True)
        words = (*lab.agent("viscum_agent"), "-c", lab.confdir, "up")
        lab.run(lab.router, *words, cwd=ROOT, env=lab.env(), pass_fds=(file.fileno(),))
    (pid,) = pids_in("viscum-echo")
    opened = [os.readlink(path) for path in Path("/proc/%d/fd" % pid).iterdir()]
    assert str(secret) not in opened


def test_user_group_env_workdir_and_quoted_words_arrive(lab):
    out = PROGRAMS / "out"
    out.mkdir(mode=0o777)
    out.chmod(0o777)
    text = "id -u > out/words; id -g >> out/words; pwd >> out/words; echo \\$COLOUR >> out/words; umask >> out/words;"
    lab.configure(
        service(
            "echo",
            SHELL_SERVER % text,
            *TAKES,
            "option user daemon",
            "option group 4",
            "option workdir %s" % PROGRAMS,
            "list env 'COLOUR=dark blue'",
        )
    )
    lab.viscum("up")
    assert (out / "words").read_text().split("\n")[:5] == ["1", "4", str(PROGRAMS), "dark blue", "0022"]


def test_an_unprivileged_program_may_listen_on_a_low_port(lab):
    lab.configure(
        service("web", echo_command("edge", 80), "list device lan0", "list dest_ip 203.0.113.10", "list dest_port 80")
    )
    lab.viscum("up")
    assert lab.ask("tcp", "203.0.113.10", 80)[0] == "edge"


@pytest.mark.parametrize(
    "change, words",
    [
        ({"command": "/usr/bin/not-there --serve"}, ("viscum.echo", "/usr/bin/not-there", "install it")),
        ({"command": "/etc/passwd"}, ("viscum.echo", "/etc/passwd", "not an executable")),
        ({"lines": ("option user nemo",)}, ("viscum.echo", "user", "'nemo'", "/etc/passwd")),
        ({"lines": ("option group nemo",)}, ("viscum.echo", "group", "'nemo'", "/etc/group")),
        ({"lines": ("option workdir /not/there",)}, ("viscum.echo", "workdir", "/not/there")),
        ({"command": "/bin/false"}, ("viscum.echo", "the program ended with exit code 1")),
        (
            {"command": "/bin/sleep 60", "lines": ("option start_timeout 1",)},
            ("viscum.echo", "does not listen", "7000", "start_timeout"),
        ),
    ],
    ids=["no program", "not executable", "no user", "no group", "no directory", "ends at once", "never listens"],
)
def test_a_program_that_cannot_answer_gets_no_traffic_and_leaves_nothing(lab, change, words):
    lab.serve_cloud(7000)
    before = snapshot(lab.router), namespaces()
    lab.configure(service("echo", change.get("command", echo_command("edge", 7000)), *TAKES, *change.get("lines", ())))
    result = lab.viscum("up", check=False)
    assert result.returncode == 1
    for word in words:
        assert word in result.stderr, result.stderr
    assert lab.ask("tcp", "203.0.113.10", 7000)[0] == "cloud"
    assert (snapshot(lab.router), namespaces()) == before


def test_down_ends_it_with_sigterm_and_a_stubborn_one_after_term_timeout(lab):
    lab.configure(
        service("polite", echo_command("edge", 7000), *TAKES, "option term_timeout 30")
        + service(
            "stubborn",
            ("/bin/sh -c 'trap \"\" TERM; exec %s'" % echo_command("edge", 7001)).replace('"', '\\"'),
            *("list device lan0", "list dest_ip 203.0.113.10", "list dest_port 7001", "option term_timeout 1"),
        )
    )
    lab.viscum("up")
    begin = time.monotonic()
    lab.viscum("down", "polite")
    assert time.monotonic() - begin < 15, "it did not wait for the time, only for the end"
    begin = time.monotonic()
    lab.viscum("down", "stubborn")
    assert 1 <= time.monotonic() - begin < 30
    assert [name for name in namespaces() if name.startswith("viscum-")] == []


def test_down_takes_the_redirect_out_before_it_ends_the_program(lab):
    lab.serve_cloud(7000)
    lab.configure(service("echo", echo_command("edge", 7000), *TAKES, "option term_timeout 30"))
    lab.viscum("up")
    os.kill(pids_in("viscum-echo")[0], signal.SIGSTOP)  # takes no SIGTERM
    words = (*lab.agent("viscum_agent"), "-c", lab.confdir, "down")
    down = lab.start(lab.router, *words, cwd=ROOT, env=lab.env())
    wait_for(lambda: "vsc-echo" not in lab.redirects())
    assert down.poll() is None, "it waits for its program"
    assert lab.ask("tcp", "203.0.113.10", 7000)[0] == "cloud"
    os.kill(pids_in("viscum-echo")[0], signal.SIGCONT)
    assert down.wait(HANG) == 0


def test_children_that_it_left_behind_end_too(lab):
    lab.configure(service("echo", SHELL_SERVER % "sleep 1000 & setsid sleep 1000 &", *TAKES))
    lab.viscum("up")
    pids = pids_in("viscum-echo")
    assert len(pids) == 3
    lab.viscum("down")
    wait_for(lambda: not any(Path("/proc/%d" % pid).exists() for pid in pids))


def test_another_command_restarts_it_and_another_match_does_not(lab):
    lab.configure(service("echo", echo_command("one", 7000), *TAKES))
    lab.viscum("up")
    first = lab.status("echo")["pid"]
    lab.configure(service("echo", echo_command("one", 7000), *TAKES, "list dest_ip 203.0.113.11"))
    lab.viscum("up")
    assert lab.status("echo")["pid"] == first
    assert lab.ask("tcp", "203.0.113.11", 7000)[0] == "one"
    lab.configure(service("echo", echo_command("two", 7000), *TAKES))
    lab.viscum("up")
    assert lab.status("echo")["pid"] != first
    assert lab.ask("tcp", "203.0.113.10", 7000)[0] == "two"
    wait_for(lambda: not os.path.exists("/proc/%d" % first))  # init has to wait for it


def test_a_program_that_died_is_started_again_by_up(lab):
    lab.configure(service("echo", echo_command("edge", 7000), *TAKES))
    lab.viscum("up")
    pid = lab.status("echo")["pid"]
    os.kill(pid, 9)
    assert lab.status("echo")["state"] == "failed"
    lab.viscum("up")
    assert lab.ask("tcp", "203.0.113.10", 7000)[0] == "edge"


def test_exec_runs_a_command_in_the_namespace_and_hands_over_its_exit_code(lab):
    lab.configure(service("echo", echo_command("edge", 7000), *TAKES))
    assert "not up" in lab.viscum("exec", "echo", "--", "true", check=False).stderr
    lab.viscum("up")
    assert "203.0.113.10/32" in lab.viscum("exec", "echo", "--", "ip", "addr", "show", "dev", "lo").stdout
    assert lab.viscum("exec", "echo", "--", "ls", "/sys/class/net").stdout.split() == ["eth0", "lo"]
    assert lab.viscum("exec", "echo", "--", "sh", "-c", "exit 7", check=False).returncode == 7
    result = lab.viscum("exec", "echo", "--", "no-such-program", check=False)
    assert (result.returncode, "no-such-program" in result.stderr) == (1, True)
