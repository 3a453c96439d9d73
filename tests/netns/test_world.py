"""What a program finds around it: the files of its namespace, its account's groups, the router's mounts, and an output
that takes whatever it says."""

import fcntl
import os
import signal
import socket
import stat
import time
from pathlib import Path

import pytest
from agent import QUICK, TAKES, Agent, Served
from lab import PROGRAMS, echo_command, pids_in, run, service, wait_for

# A server that does what a client asks for, and answers with what comes of it.
DOES = """
import os, socket, sys
server = socket.create_server(('', 7000))
while True:
    peer, _ = server.accept()
    peer.settimeout(2)
    try:
        words = peer.recv(1000).decode()
        peer.sendall(str(eval(words)).encode() if words else b'')
    except OSError:
        pass
    peer.close()
"""


@pytest.fixture
def agent(lab):
    (PROGRAMS / "does.py").write_text(DOES)
    made = Agent(lab, service("echo", "/usr/bin/python3 %s/does.py" % PROGRAMS, *TAKES, *QUICK, "list proto tcp"))
    made.redirects()
    return made


def do(agent, words):
    code = "import socket; s = socket.create_connection(('203.0.113.10', 7000), 5)\n"
    code += "s.sendall(%r); print(s.recv(9999).decode())"
    found = agent.lab.run(agent.lab.client, "/usr/bin/python3", "-c", code % words.encode())
    return found.stdout.strip()


def test_files_of_etc_netns_stand_for_those_of_etc(lab):
    """As with `ip netns exec` (ip-netns(8)): a service may have name servers of its own."""
    folder = Path("/etc/netns/viscum-echo")
    alone = os.open("/etc", os.O_RDONLY)  # what is in there is everybody's: the other interpreter's turn comes later
    fcntl.flock(alone, fcntl.LOCK_EX)
    folder.mkdir(parents=True)
    try:
        (folder / "resolv.conf").write_text("nameserver 203.0.113.99\n")
        (folder / "no-such-file-in-etc").write_text("")
        (PROGRAMS / "does.py").write_text(DOES)
        lines = (*TAKES, *QUICK, "list proto tcp")
        agent = Agent(lab, service("echo", "/usr/bin/python3 %s/does.py" % PROGRAMS, *lines))
        agent.redirects()
        assert do(agent, "open('/etc/resolv.conf').read()") == "nameserver 203.0.113.99"
        assert "203.0.113.99" not in Path("/etc/resolv.conf").read_text()
    finally:
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
        if not list(folder.parent.iterdir()):
            folder.parent.rmdir()
        os.close(alone)


def test_a_program_has_the_groups_of_its_account(lab):
    """/etc/group as it is on this machine, with one more line: over the old one, for this test's mounts only."""
    copy = lab.tmp / "group"
    copy.write_text(Path("/etc/group").read_text() + "viscumtest:x:54321:daemon,nobody\n")
    run("mount", "--bind", copy, "/etc/group")
    try:
        (PROGRAMS / "does.py").write_text(DOES)
        lines = (*TAKES, *QUICK, "list proto tcp", "option user daemon")
        agent = Agent(lab, service("echo", "/usr/bin/python3 %s/does.py" % PROGRAMS, *lines))
        agent.redirects()
        assert do(agent, "(os.getuid(), os.getgid(), sorted(os.getgroups()))") == "(1, 1, [1, 54321])"
    finally:
        run("umount", "/etc/group")


@pytest.mark.parametrize("place", [PROGRAMS / "disk", Path("/srv")], ids=["in a path that it asked for", "elsewhere"])
def test_what_the_router_mounts_and_unmounts_later_reaches_the_program(agent, place):
    """A disk that is plugged in while the service runs, and one that has to be let go. It can be written to as on the
    router, although what was there when the program started can't."""
    place.mkdir(exist_ok=True)
    assert do(agent, "os.listdir('%s')" % place) == "[]"
    run("mount", "-t", "tmpfs", "none", place, "-o", "mode=1777")
    try:
        (place / "file").touch()
        assert do(agent, "os.listdir('%s')" % place) == "['file']"
        assert do(agent, "os.mkdir('%s/folder')" % place) == "None"
    finally:
        run("umount", place)
    assert do(agent, "os.listdir('%s')" % place) == "[]"


MAY_MOUNT = ("list capability sys_admin", "list allow_syscalls mount")


def test_what_the_program_mounts_stays_its_own(lab):
    place = PROGRAMS / "own"
    place.mkdir()
    command = "/bin/sh -c 'mount -t tmpfs none %s; exec %s'" % (place, echo_command("edge", 7000))
    lab.serve_cloud(7000)
    agent = Agent(lab, service("echo", command, *TAKES, *QUICK, "option user root", *MAY_MOUNT))
    agent.becomes("edge")
    (pid,) = pids_in("viscum-echo")
    assert str(place) in Path("/proc/%d/mounts" % pid).read_text()
    assert str(place) not in Path("/proc/self/mounts").read_text()


# Output


class SystemLog:
    """A system log at /dev/log, in a /dev for this process's mounts only. `lines` are what came so far."""

    PATH = "/dev/log"

    def __init__(self, folder):
        run("mount", "-t", "tmpfs", "none", folder)
        for name, minor in (("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)):
            os.mknod(folder / name, 0o666 | stat.S_IFCHR, os.makedev(1, minor))
            (folder / name).chmod(0o666)
        run("mount", "--bind", folder, "/dev")
        self._folder = folder
        self._socket = None
        self.lines = []
        self.restart()

    def restart(self):
        """As logd does when its size is changed: whoever was connected has lost it."""
        if self._socket:
            self._socket.close()
        Path(self.PATH).unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.PATH)
        self._socket.setblocking(False)

    def close(self):
        self._socket.close()
        run("umount", "-l", "/dev")
        run("umount", "-l", self._folder)

    def has(self, line):
        try:
            while True:
                self.lines.append(self._socket.recv(4096).decode())
        except BlockingIOError:
            return line in self.lines


@pytest.fixture
def system_log(tmp_path):
    folder = tmp_path / "dev"
    folder.mkdir()
    log = SystemLog(folder)
    yield log
    log.close()


def test_what_a_program_prints_has_its_name_and_survives_the_log_and_the_agent(lab, system_log):
    """The program is asked all the time: neither restart may stop it, nor lose what it prints afterwards."""
    (PROGRAMS / "does.py").write_text(DOES)
    # A program that is asked all the time may be late with an answer to the agent.
    lines = (*TAKES, "option health_timeout 10", "option respawn_timeout 1", "list proto tcp")
    agent = Served(lab, service("echo", "/usr/bin/python3 -u %s/does.py" % PROGRAMS, *lines))
    agent.redirects()
    (pid,) = pids_in("viscum-echo")

    def says(word):
        """Again and again: right after too much, a line is one of those that are left out."""

        def is_heard():
            do(agent, "print('%s')" % word)
            time.sleep(0.2)
            return system_log.has("<30>viscum-echo: " + word)

        wait_for(is_heard)

    says("one")
    system_log.restart()
    says("two")
    agent.kill()
    do(agent, "print('nobody listens')")
    agent.start()
    agent.says("found running")
    says("three")
    agent.process.send_signal(signal.SIGSTOP)
    do(agent, "[print('x' * 1000) for _ in range(10000)]")  # 10 MB that nobody reads
    agent.process.send_signal(signal.SIGCONT)
    time.sleep(1)  # in which the agent reads what is left of that, and the log has no room for it
    system_log.has("")
    says("four")
    assert sum("xxx" in line for line in system_log.lines) < 1000
    assert pids_in("viscum-echo") == [pid]
    assert "<30>viscum-echo: nobody listens" not in system_log.lines
    assert "four" in agent.viscum("logs", "echo").stdout


def test_what_a_program_prints_at_once_reaches_a_system_log_that_is_read(lab, system_log):
    """Its queue has room for 10 lines (net.unix.max_dgram_qlen); a Python program that fails prints 30."""
    (PROGRAMS / "does.py").write_text(DOES)
    lines = (*TAKES, *QUICK, "list proto tcp", "option healthcheck none")
    agent = Agent(lab, service("echo", "/usr/bin/python3 -u %s/does.py" % PROGRAMS, *lines))
    agent.redirects()
    do(agent, "[print('line %d' % each) for each in range(60)]")
    wanted = ["<30>viscum-echo: line %d" % each for each in range(60)]
    wait_for(lambda: system_log.has(wanted[-1]))
    assert [line for line in system_log.lines if "viscum-echo" in line] == wanted


LAST_WORDS = "__import__('signal').signal(15, lambda *_: [print('last words'), os._exit(0)])"


def test_the_last_lines_of_a_program_outlive_it(lab):
    (PROGRAMS / "does.py").write_text(DOES)
    lines = (*TAKES, *QUICK, "list proto tcp")
    agent = Served(lab, service("echo", "/usr/bin/python3 -u %s/does.py" % PROGRAMS, *lines))
    agent.redirects()
    do(agent, LAST_WORDS)
    agent.viscum("restart", "echo")
    agent.redirects(there=False)
    agent.redirects()
    agent.viscum("stop", "echo")
    wait_for(lambda: agent.state() == "stopped")
    said = agent.viscum("logs", "echo").stdout
    assert said.count("viscum-echo: last words") == 1, said
    assert said.index("stopping, restart") < said.index("last words") < said.index("echo: stopped"), said


def test_a_program_may_open_its_output_and_close_it(lab):
    lab.serve_cloud(7000)
    command = "/bin/sh -c 'exec 1>&- 2>&-; exec %s'" % echo_command("edge", 7000)
    agent = Agent(lab, service("echo", command, *TAKES, *QUICK))
    agent.becomes("edge")
