"""Programs: what is worked out before one starts, and what is read of one that runs. (tests/netns starts services.)"""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from lab import wait_for

from viscum_agent import model, process, sockets, uci
from viscum_agent.errors import ConfigError


def service(*lines):
    head = "config service 's'\noption enabled 1\noption command /bin/x\nlist interface lan\n"
    (found,) = model.read(uci.parse((head + "\n".join(lines) + "\n").encode(), "viscum")).services
    return found


def program(**values):
    made = service("list dest_port 1").program
    return made._replace(**values)


# Which ports tell that a program is ready


@pytest.mark.parametrize(
    "lines, ports",
    [
        (["list dest_port 80", "list proto tcp"], [("tcp", 80)]),
        (["list dest_port 80"], [("tcp", 80)]),
        (["list dest_port 53", "list proto udp"], [("udp", 53)]),
        (["option dest_port '80 443'", "list proto tcp"], [("tcp", 80), ("tcp", 443)]),
        (["list dest_port 443", "option target_port 8443", "list proto tcp"], [("tcp", 8443)]),
        (["list dest_ip 203.0.113.1", "option target_port 8443", "list proto tcp"], [("tcp", 8443)]),
        (["list dest_port 5000-5010"], []),
        (["list dest_ip 203.0.113.1"], []),
        (["list dest_ip 203.0.113.1", "list proto any"], []),
    ],
)
def test_a_program_is_ready_when_it_listens_where_its_matches_lead(lines, ports):
    """TCP before UDP, and no port where the matches name no single one."""
    assert process.listening_ports(service(*lines)) == ports


def test_open_sockets_are_found_by_protocol_and_port():
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp:
        udp.bind(("::1", 0))
        ports = [tcp.getsockname()[1], udp.getsockname()[1]]
        assert ("tcp", ports[0]) in sockets.waiting(os.getpid())
        assert ("udp", ports[1]) in sockets.waiting(os.getpid())
        assert ("udp", ports[0]) not in sockets.waiting(os.getpid())
    assert ("tcp", ports[0]) not in sockets.waiting(os.getpid())


def test_a_connection_does_not_listen():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = server.accept()
    with client, accepted:
        assert ("tcp", port) not in sockets.waiting(os.getpid())


# Whether a program that runs is the configured one


def test_the_tag_changes_with_what_is_started_and_with_nothing_else():
    first = program()
    assert process.tag(first) == process.tag(program()) == process.tag(program(start_timeout=99, term_timeout=99))
    others = [
        program(command=("/bin/y",)),
        program(command=("/bin/x", "")),
        program(env=("A=1",)),
        program(user="root"),
        program(group="root"),
        program(workdir="/tmp"),
    ]
    assert len({process.tag(one) for one in [first, *others]}) == 7


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
    assert [process.is_stale(program(), pid) for pid in (current, other, none)] == [False, True, False]


def test_a_process_that_is_gone_is_not_stale():
    assert not process.is_stale(program(), 2**22 + 1)  # above pid_max (proc(5))


# Processes


def test_a_zombie_is_not_alive(sleeper):
    pid = sleeper()
    assert process.alive(pid)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not process.alive(pid))
    os.kill(pid, 0)  # still there, until its parent waits for it
    assert not process.alive(2**22 + 1)


def test_who_knows_all_processes_is_believed_also_when_there_are_none(monkeypatch):
    """Reading /proc once for each of a hundred services takes long."""
    monkeypatch.setattr(process.netns, "identity", lambda _: (4, 4026531840))
    monkeypatch.setattr(process, "processes", lambda: pytest.fail("reads /proc"))
    assert process.pids("echo", {}) == []


def test_who_left_a_namespace_is_not_taken_for_who_is_in_the_next_of_its_number(sleeper, monkeypatch):
    """The kernel gives the inode of a namespace that is gone to the next one, and who only visited the first lives on.
    To take it for the service's program would be to start none, and to kill a stranger at its end."""
    pid = sleeper()
    here = process._network(pid)
    for number, expected in (here[1], [pid]), (here[1] + 1, []):
        monkeypatch.setattr(process.netns, "identity", lambda _, number=number: (here[0], number))
        assert process.pids("echo", {(here[0], number): [pid]}) == expected


def test_a_name_with_brackets_and_blanks_is_no_field(tmp_path):
    """The name in /proc/PID/stat may be `a) Z 1 1`: that is no zombie."""
    path = tmp_path / "a) Z 1 1"
    path.symlink_to(sys.executable)
    child = subprocess.Popen([str(path), "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
    try:
        wait_for(lambda: b"(a) Z 1 1)" in Path("/proc/%d/stat" % child.pid).read_bytes())
        assert process.alive(child.pid)
        assert process._stat(child.pid)[1] == str(child.pid)
    finally:
        child.communicate(b"\n")


def test_the_main_process_leads_a_session_and_is_the_oldest_that_does(sleeper):
    inside, leader, younger = sleeper(session=False), sleeper(), sleeper()
    assert process.main_pid(sorted([younger, inside, leader], reverse=True)) == leader
    assert process.main_pid([inside]) == inside
    assert process.main_pid([]) == 0


@pytest.mark.parametrize(
    "status, words", [(0, "exit code 0"), (127 << 8, "exit code 127"), (9, "signal 9"), (0x8B, "signal 11")]
)
def test_an_ending_in_words(status, words):
    """wait(2): the low seven bits are the signal, the next says that there is a core, the next byte is the code."""
    assert process.ending(status) == words


# Accounts and programs


def test_accounts_by_name_and_by_number():
    assert process.account("root", None) == (0, 0)
    assert process.account("65534", None) == (65534, 65534)
    assert process.account("root", "65534") == (0, 65534)
    assert process.account("root", "root") == (0, 0)


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


def test_a_program_that_can_not_be_started_is_named_before_it_is_tried(tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("")
    for command, said in ((str(tmp_path / "none"), "there is no program"), (str(plain), "is not an executable file")):
        with pytest.raises(ConfigError, match=said):
            process._check_files(program(), (command,))
    with pytest.raises(ConfigError, match="is not an executable file"):
        process._check_files(program(), (str(tmp_path),))
    with pytest.raises(ConfigError, match="workdir: there is no directory"):
        process._check_files(program(workdir=str(tmp_path / "none")), (sys.executable,))
