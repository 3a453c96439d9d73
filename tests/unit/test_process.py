"""Programs: what is worked out before one starts, and what is read of one that runs. (tests/netns starts services.)"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from lab import HANG, wait_for

from viscum_agent.config import calls, uci
from viscum_agent.config import service as model
from viscum_agent.errors import ConfigError
from viscum_agent.kernel import cgroup
from viscum_agent.service import process, running


def service(*lines):
    head = "config service 's'\noption enabled 1\noption command /bin/x\nlist interface lan\n"
    (found,) = model.read(uci.parse((head + "\n".join(lines) + "\n").encode(), "viscum")).services
    return found


def program(**values):
    made = service("list dest_port 1").program
    return made._replace(**values)


def configured(**values):
    """A service whose program has these values."""
    return service("list dest_port 1")._replace(program=program(**values))


# Whether a program that runs is the configured one


def test_the_tag_changes_with_what_is_started_and_with_nothing_else():
    first = program(account="nobody")
    assert process.tag(first) == "4a93e0f4", "the agent before this one has started it with another tag"
    assert process.tag(first) == process.tag(program(account="nobody", start_timeout=99, term_timeout=99))
    others = [
        program(account="nobody", command=("/bin/y",)),
        program(account="nobody", command=("/bin/x", "")),
        program(account="nobody", env=("A=1",)),
        program(),
        program(account="nobody", group="root"),
        program(account="nobody", workdir="/tmp"),
        program(account="nobody", seccomp=calls.Policy(0, ())),
        program(account="nobody", seccomp=calls.Policy(0, ((("read",), 0, ()),))),
    ]
    assert len({process.tag(one) for one in [first, *others]}) == 9


@pytest.fixture
def group(monkeypatch):
    """A folder for control groups of this test's own."""
    top = cgroup._mount_point()
    if not top or not os.access(top, os.W_OK):
        pytest.skip("no control groups of version 2 that may be written to")
    folder = "%s/viscum-test-%d" % (top, os.getpid())
    monkeypatch.setattr(cgroup, "_folder", [folder])
    yield folder
    cgroup.kill("s")
    cgroup.kill("s2")
    wait_for(lambda: [cgroup.remove(name) for name in ("s", "s2")] and not os.path.exists(folder))


@pytest.fixture
def sleeper():
    """Starts a sleeping process with an environment; ends it."""
    started = []

    def start(session=True, **environment):
        words = ["/bin/sleep", "60"]
        started.append(subprocess.Popen(words, env=environment, start_new_session=session))
        time.sleep(0.02)  # two clock ticks, in which a process's age is counted
        pid = started[-1].pid
        wait_for(lambda: os.readlink("/proc/%d/exe" % pid) == os.path.realpath(words[0]))
        return pid

    yield start
    for one in started:
        one.kill()
        one.wait()


def test_a_process_with_another_tag_is_stale(sleeper):
    current, other, none = sleeper(**{process.TAG: process.tag(program())}), sleeper(**{process.TAG: "0"}), sleeper()
    assert [process.is_stale(configured(), pid) for pid in (current, other, none)] == [False, True, False]


def test_what_a_process_calls_itself_is_read_as_bytes_and_up_to_a_limit(sleeper):
    """An environment that is no text, or a megabyte of it, is nobody's error but its own."""
    words = {process.TAG: "\udcff"}
    assert process.is_stale(configured(), sleeper(**words))
    large = {"A%d" % number: "x" * 100_000 for number in range(10)}
    assert not process.is_stale(configured(), sleeper(**large, **{process.TAG: "0"})), "behind the limit"


def test_a_name_that_is_no_text_is_that_of_a_process_like_any_other():
    code = "import ctypes; ctypes.CDLL(None).prctl(15, b'\\xff\\xfe) R 1', 0, 0, 0); print(flush=True); input()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        child.stdout.readline()
        assert running.alive(child.pid)
        assert running.main_pid([child.pid]) == child.pid
        assert running.age(child.pid) < 60
    finally:
        child.communicate(b"\n", 10)


def test_a_program_in_a_group_is_known_by_that_whatever_it_says_of_itself(sleeper, group):
    tag = process.tag(program())
    for name, said, stale in (("0", tag, True), (tag, "0", False), (tag, "", False)):
        pid = sleeper(**{process.TAG: said})
        cgroup.join(cgroup.make("s", name), pid)
        assert process.is_stale(configured(), pid) == stale
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda pid=pid: pid not in cgroup.pids("s"))
        cgroup.remove("s")


def test_a_program_of_an_older_agent_is_put_into_a_group(sleeper, group, monkeypatch):
    pid = sleeper(**{process.TAG: process.tag(program())})
    monkeypatch.setattr(running, "_in_namespace", lambda name, table=None: [pid])
    process.adopt(configured(), pid)
    assert (cgroup.tags("s"), cgroup.pids("s")) == ([process.tag(program())], [pid])
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not cgroup.pids("s"))


# Control groups


def test_what_forks_faster_than_it_is_listed_is_ended(group):
    """Each process forks and ends: whoever lists them finds none that is still there."""
    program = (
        "import os, time\nend = time.monotonic() + 60\nwhile time.monotonic() < end:\n    os.fork() and os._exit(0)"
    )
    path = cgroup.make("s", "0")
    code = "import os; open(%r, 'w').write('0')\n%s" % (path + "/cgroup.procs", program)
    child = subprocess.Popen([sys.executable, "-c", code])
    wait_for(lambda: cgroup.tags("s") == ["0"])
    child.wait(HANG)
    cgroup.kill("s")
    wait_for(lambda: "populated 0" in Path(path + "/cgroup.events").read_text())


def test_a_kernel_without_cgroup_kill_ends_them_frozen(group, sleeper):
    pid = sleeper()
    path = cgroup.make("s", "0")
    cgroup.join(path, pid)
    cgroup._kill_frozen(path)
    wait_for(lambda: not running.alive(pid))


def test_groups_are_told_apart_by_service_and_a_check_is_no_program(group, sleeper):
    pids = {name: sleeper() for name in ("s.0", "s.check", "s2.0")}
    for name, pid in pids.items():
        cgroup.join(cgroup.make(*name.split(".")), pid)
    assert (cgroup.pids("s"), cgroup.pids("s", cgroup.CHECK)) == ([pids["s.0"]], [pids["s.check"]])
    assert cgroup.tags("s") == ["0"]
    cgroup.kill("s", cgroup.CHECK)
    wait_for(lambda: not running.alive(pids["s.check"]))
    assert running.alive(pids["s.0"]) and running.alive(pids["s2.0"])


def test_what_a_program_uses_is_that_of_its_own_group(group, sleeper):
    """Neither that of a check, nor of an empty group of older settings, nor a file of the folder."""
    for name in ("s.0", "s.1", "s.check", "cpu.0"):
        cgroup.make(*name.split("."))
    code = "while True: pass"
    child = subprocess.Popen([sys.executable, "-c", code])
    try:
        cgroup.join(group + "/s.0", child.pid)
        cgroup.join(group + "/s.check", sleeper())
        wait_for(lambda: cgroup.usage("s")["s"].cpu_usec > 10_000, 20)
        assert sorted(cgroup.usage()) == ["cpu", "s"] and cgroup.usage()["cpu"].cpu_usec == 0
        assert cgroup.usage("s2") == {}
    finally:
        child.kill()
        child.wait()
        cgroup.remove("cpu")


def test_without_groups_nothing_is_made_and_nothing_fails(monkeypatch):
    monkeypatch.setattr(cgroup, "_folder", [""])
    assert (cgroup.make("s", "0"), cgroup.tags("s"), cgroup.pids("s"), cgroup.usage()) == ("", [], [], {})
    cgroup.kill("s")
    cgroup.remove("s")


def test_a_process_that_is_gone_is_not_stale():
    assert not process.is_stale(configured(), 2**22 + 1)  # above pid_max (proc(5))


# Processes


def test_a_zombie_is_not_alive(sleeper):
    pid = sleeper()
    assert running.alive(pid)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not running.alive(pid))
    os.kill(pid, 0)  # still there, until its parent waits for it
    assert not running.alive(2**22 + 1)


def test_who_knows_all_processes_is_believed_also_when_there_are_none(monkeypatch):
    """Reading /proc once for each of a hundred services takes long."""
    monkeypatch.setattr(running.netns, "identity", lambda _: (4, 4026531840))
    monkeypatch.setattr(running, "processes", lambda: pytest.fail("reads /proc"))
    assert running.pids("echo", {}) == []


def test_who_left_a_namespace_is_not_taken_for_who_is_in_the_next_of_its_number(sleeper, monkeypatch):
    """The kernel gives the inode of a namespace that is gone to the next one, and who only visited the first lives on.
    To take it for the service's program would be to start none, and to kill a stranger at its end."""
    pid = sleeper()
    here = running.network(pid)
    for number, expected in (here[1], [pid]), (here[1] + 1, []):
        monkeypatch.setattr(running.netns, "identity", lambda _, number=number: (here[0], number))
        assert running.pids("echo", {(here[0], number): [pid]}) == expected


def test_a_name_with_brackets_and_blanks_is_no_field(tmp_path):
    """The name in /proc/PID/stat may be `a) Z 1 1`: that is no zombie."""
    path = tmp_path / "a) Z 1 1"
    path.symlink_to(sys.executable)
    child = subprocess.Popen([str(path), "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
    try:
        wait_for(lambda: b"(a) Z 1 1)" in Path("/proc/%d/stat" % child.pid).read_bytes())
        assert running.alive(child.pid)
        assert running.stat(child.pid)[1] == str(child.pid).encode()
    finally:
        child.communicate(b"\n")


def test_the_main_process_leads_a_session_and_is_the_oldest_that_does(sleeper):
    inside, leader, younger = sleeper(session=False), sleeper(), sleeper()
    assert running.main_pid(sorted([younger, inside, leader], reverse=True)) == leader
    assert running.main_pid([inside]) == inside
    assert running.main_pid([]) == 0


@pytest.mark.parametrize(
    "status, words",
    [
        (0, "exit code 0"),
        (127 << 8, "exit code 127"),
        (9, "signal 9"),
        (0x8B, "signal 11"),
        (signal.SIGSYS | 0x80, "signal %d (a system call: see `allow_syscalls` and `seccomp`)" % signal.SIGSYS),
        (signal.SIGXFSZ, "signal %d (a large file: see `option fsize`)" % signal.SIGXFSZ),
    ],
)
def test_an_ending_in_words(status, words):
    """wait(2): the low seven bits are the signal, the next says that there is a core, the next byte is the code."""
    assert process.ending(status) == words


# Accounts and programs


def test_accounts_by_name_and_by_number(monkeypatch):
    assert process.account("root", None)[:2] == (0, 0)
    assert process.account("65534", None) == (65534, 65534, [65534])
    assert process.account("root", "65534")[:2] == (0, 65534)
    assert process.account("root", "root")[:2] == (0, 0)


@pytest.mark.parametrize(
    "user, group, said", [("nosuch", None, "no account 'nosuch'"), ("root", "nosuch", "no group 'nosuch'")]
)
def test_an_account_that_is_not_there_is_named(user, group, said):
    with pytest.raises(ConfigError, match=said):
        process.account(user, group)


def test_a_program_is_looked_up_in_the_path(monkeypatch, tmp_path):
    (tmp_path / "tool").write_text("#!/bin/sh\n")
    monkeypatch.setenv("PATH", "/nowhere:%s" % tmp_path)
    with pytest.raises(ConfigError, match="no program 'tool' in PATH"):
        process.find_program("tool")
    (tmp_path / "tool").chmod(0o755)
    assert process.find_program("tool") == str(tmp_path / "tool")
    assert process.find_program("./tool") == "./tool"


@pytest.mark.parametrize("number", ["4294967295", "4294967296", "18446744073709551616", "99999999999999999999"])
def test_a_number_that_the_kernel_would_cut_is_no_account(number):
    """2**32 is root's 0 after the cut."""
    for user, group in (number, None), ("0", number):
        with pytest.raises(ConfigError, match="has no number from 0 to 4294967294"):
            process.account(user, group)


@pytest.fixture
def files(monkeypatch, tmp_path):
    """Files in the place of /etc/passwd and /etc/group."""
    for name in ("PASSWD", "GROUP"):
        monkeypatch.setattr(process, name, str(tmp_path / name))
    (tmp_path / "PASSWD").write_bytes(b"web:x:7:8::/:/bin/false\n")
    (tmp_path / "GROUP").write_bytes(b"www:x:9:\n")
    return tmp_path


def test_comments_in_any_encoding_hide_nobody(files):
    (files / "PASSWD").write_bytes(b"j\xfcrgen:x:1:1:J\xfcrgen:/:\nweb:x:7:8:W\xe9b:/:\n")
    (files / "GROUP").write_bytes(b"\xff\xff:x:1:\nwww:x:9:\xff\n")
    assert process.account("web", "www") == (7, 9, [9])


@pytest.mark.parametrize(
    "line, said",
    [
        (b"web:x:a:b::/:", "'web' has no number"),
        (b"web:x::8::/:", "'web' has no number"),
        (b"web:x:-1:8::/:", "'web' has no number"),
        (b"web:x:7:4294967295::/:", "'web' has no number"),
        (b"web:x:4294967296:8::/:", "'web' has no number"),
        (b"web:x:\xb2:8::/:", "'web' has no number"),
        (b"web:x:7", "the line of 'web' in .* is incomplete"),
        (b"web:", "the line of 'web' in .* is incomplete"),
        (b"+web:x:7:8::/:", "no account 'web'"),
        (b"webb:x:7:8::/:\n#web:x:7:8::/:\nx:web:7:8", "no account 'web'"),
    ],
)
def test_a_line_that_says_no_number_is_named_and_nothing_breaks(files, line, said):
    (files / "PASSWD").write_bytes(b"other:x:1:1::/:\n" + line)
    with pytest.raises(ConfigError, match="^user: .*" + said):
        process.account("web", None)


def test_the_first_of_two_lines_counts_as_for_the_c_library(files):
    (files / "PASSWD").write_bytes(b"web:x:7:8::/:\nweb:x:0:0::/:\n")
    assert process.account("web", None) == (7, 8, [8])


def test_an_account_has_all_groups_that_list_it(files):
    """As after a login (initgroups(3)): a program may need the group `dialout` for its serial line."""
    (files / "GROUP").write_bytes(b"\xff:x:1:web\nweb:x:8:\ntty:x:5:me,web\nbad\nup:x:9:webb\n")
    assert process.account("web", None) == (7, 8, [8, 1, 5])
    assert process.account("web", "tty") == (7, 5, [5, 1])


@pytest.mark.timeout(HANG)
def test_accounts_are_read_within_bounds(files):
    (files / "PASSWD").write_bytes(b"x" * process.LARGEST + b"\nweb:x:7:8::/:\n")
    with pytest.raises(ConfigError, match="no account 'web'"):
        process.account("web", None)
    (files / "PASSWD").unlink()
    os.mkfifo(files / "PASSWD")
    with pytest.raises(ConfigError, match="^user: .*is not a regular file"):
        process.account("web", None)


def missing(command=sys.executable, user="nobody", *lines):
    """What a service with these settings names and this machine has not, as {option: sentence}."""
    lines = ("list dest_port 1", "option user %s" % user, *lines)
    made = service(*lines)
    return dict(process.lacks(made._replace(program=made.program._replace(command=(str(command),)))))


def test_an_account_of_its_own_is_nobody_elses(files):
    (files / "PASSWD").write_text("root:x:0:0::/:/bin/sh\n")
    own = service("list dest_port 1")
    assert "user" not in dict(process.lacks(own))
    (files / "PASSWD").write_text("root:x:0:0::/:/bin/sh\nalice:x:%s:1::/:/bin/sh\n" % own.program.account)
    said = "the account of its own, %s, is somebody's in %s/PASSWD: name another one" % (own.program.account, files)
    assert dict(process.lacks(own))["user"] == said
    assert "user" not in dict(process.lacks(service("list dest_port 1", "option user " + own.program.account)))
    (files / "PASSWD").unlink()
    assert "user" not in dict(process.lacks(own)), "it needs no such file"


def test_a_program_that_is_not_there_is_named(tmp_path):
    assert missing(tmp_path / "none")["command"] == (
        "there is no program %s/none: install it or correct the path" % tmp_path
    )
    assert "in a list each word" in missing("/bin/true -x")["command"]


def test_what_is_no_program_is_named(tmp_path):
    (tmp_path / "plain").write_text("")
    os.mkfifo(tmp_path / "fifo", 0o755)
    for name in ("plain", "fifo", ""):
        assert "is not an executable file" in missing(tmp_path / name, "root")["command"]


def test_a_program_that_the_account_may_not_run_is_named():
    """As /root/server is, or one that was copied with the mode of a secret."""
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder, "server")
        program.write_bytes(b"\x7fELF")
        program.chmod(0o700)
        assert missing(program, "root") == {}
        assert "account 'nobody' may not run %s (mode 700)" % program in missing(program)["command"]
        program.chmod(0o755)
        assert "account 'nobody' may not enter %s (mode 700), where" % folder in missing(program)["command"]
        Path(folder).chmod(0o711)
        assert missing(program) == {}
        os.chown(program, 65534, 65534)
        program.chmod(0o077)
        assert "may not run" in missing(program)["command"], "its owner has less than others"
        program.chmod(0o010)
        assert missing(program, "daemon") == {}, "it may be in that group"


@pytest.mark.parametrize(
    "head, named",
    [
        (b"#!/bin/nosuch\nexit\n", "/bin/nosuch"),
        (b"#! \t/bin/nosuch -x\n", "/bin/nosuch"),
        (b"#!/bin/sh\r\nexit\r\n", "/bin/sh\\u000d"),
        (b"#!/bin/sh\n", None),
        (b"#!/bin/sh", None),
        (b"#!\n", None),
        (b"#!\xff\xff\n", None),
        (b"#!" + b"/x" * 400, "/x/x"),
        (b"", None),
        (b"exit\n#!/bin/nosuch\n", None),
    ],
)
def test_a_script_whose_interpreter_is_not_there_is_named(tmp_path, head, named):
    """execve(2) then says that the script is not there, which misleads everybody."""
    (tmp_path / "script").write_bytes(head)
    (tmp_path / "script").chmod(0o755)
    said = missing(tmp_path / "script", "root").get("command", "")
    assert ("is a script for '%s" % named in said) if named else said == ""


def test_the_check_the_account_and_the_directory_are_looked_at_as_well(tmp_path):
    found = missing(
        sys.executable,
        "nosuch",
        "option healthcheck exec",
        "option health_command /bin/nosuch",
        "option workdir /bin/sh",
        "option group nosuch",
    )
    assert list(found) == ["user", "health_command", "workdir"]
    assert found["user"] == "there is no account 'nosuch' in /etc/passwd"
    assert found["workdir"] == "there is no directory /bin/sh: make it or name another one"
    assert missing(sys.executable, "root", "option group nosuch") == {
        "group": "there is no group 'nosuch' in /etc/group"
    }


def test_only_services_that_are_to_run_have_such_problems():
    text = "config service '%s'\noption enabled %d\noption command /bin/nosuch\nlist interface l\nlist dest_port %d\n"
    configuration = model.read(uci.parse((text % ("a", 1, 1) + text % ("b", 0, 2)).encode(), "viscum"))
    assert [(each.kind, each.where) for each in process.problems(configuration, "viscum")] == [
        ("unsupported", "viscum.a.command")
    ]
    off = "config globals g\noption enabled 0\n" + text % ("a", 1, 1)
    assert process.problems(model.read(uci.parse(off.encode(), "viscum")), "viscum") == []
