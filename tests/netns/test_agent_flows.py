"""When a service is withdrawn, its established connections end in a reset instead of silence."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from agent import QUICK, TAKES, Agent, Served
from lab import PROGRAMS, echo_command, namespaces, pids_in, run, service, wait_for

from viscum_agent.service.sockets import PATIENCE

# With datapath `bpf`, what is open goes on for so long when somebody takes a service away.
SOON = "option drain_timeout 1"

# A client that sends once and then only waits, as a browser does: it prints how its waiting ended.
WAITS = """
import socket, sys
sock = socket.create_connection(('203.0.113.10', 7000), 5)
sock.sendall(b'hello')
print(sock.recv(100).split()[0].decode() if sys.argv[1] == 'answered' else 'connected', flush=True)
sock.settimeout(30)
try:
    print('end' if sock.recv(100) == b'' else 'data')
except OSError as error:
    print(type(error).__name__)
"""

# A server that accepts nobody: clients are connected by the kernel and wait for it. It has a file open whose name is no
# text.
ACCEPTS_NOBODY = """
import os, socket, time
file = os.memfd_create(b'\\xff\\xfe')
server = socket.create_server(('', 7000))
time.sleep(1000)
"""

# A server that asks the cloud, by one connection of its own for all clients.
ASKS_THE_CLOUD = """
import socket
server = socket.create_server(('', 7000))
cloud = socket.create_connection(('203.0.113.11', 7001))
while True:
    peer, _ = server.accept()
    cloud.sendall(b'x')
    answer = cloud.recv(100).split()[0]
    try:
        peer.recv(100)
        peer.sendall(b'edge-with-' + answer + b' -')
    except OSError:
        pass  # its redirect was taken out: reset, a broken pipe or not connected, wherever the server was just then
    peer.close()
"""


# A server whose clients wait in a queue, which it takes from without a pause; an error of accept(2) ends it.
ACCEPTS_ALL = """
import socket, time
server = socket.create_server(('', 7000), backlog=100)
while True:
    server.accept()[0].close()
    time.sleep(0.002)
"""

# Clients that come one after the other, from several processes.
STORM = """
import os, socket, time
for _ in range(5):
    os.fork()
while True:
    try:
        socket.create_connection(('203.0.113.10', 7000), 0.2).close()
    except OSError:
        time.sleep(0.01)
"""


def waiting_client(agent, mode="answered"):
    return agent.lab.start(
        agent.lab.client, sys.executable, "-c", WAITS, mode, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


class Flagged(Agent):
    """A service that is healthy while a file is there, whatever its program does."""

    def __init__(self, lab, program):
        self.flag = PROGRAMS / "flag"
        self.flag.touch()
        (PROGRAMS / "program.py").write_text(program)
        lines = (
            *TAKES,
            *QUICK,
            "list proto tcp",
            "option user root",
            "option healthcheck exec",
            "option health_fall 1",
            SOON,
            "list egress any",
        )
        check = "option health_command '/usr/bin/test -e %s'" % self.flag
        super().__init__(lab, service("echo", "/usr/bin/python3 %s/program.py" % PROGRAMS, *lines, check))


class Cpus:
    """The router's CPUs, as /proc/stat tells of them: `busy` or not, whatever others do on this machine. Use as a
    context manager."""

    def __init__(self, file):
        self._file = file
        self.busy = False
        self._ticks = {True: 0, False: 0}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self):
        self._file.write_text(self._line())
        run("mount", "--bind", self._file, "/proc/stat")
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()
        run("umount", "/proc/stat")

    def _line(self):
        return "cpu %09d 0 0 %09d 0 0 0 0\n" % (self._ticks[True], self._ticks[False])

    def _run(self):
        with self._file.open("r+") as file:
            while not self._ended.wait(0.05):
                self._ticks[self.busy] += 5
                os.pwrite(file.fileno(), self._line().encode(), 0)


def test_a_client_that_only_waits_for_a_hung_program_is_reset(agent):
    client = waiting_client(agent)
    assert client.stdout.readline() == "edge\n"
    (pid,) = pids_in("viscum-echo")
    os.kill(pid, signal.SIGSTOP)
    try:
        agent.redirects(there=False)
        assert client.communicate()[0] == "ConnectionResetError\n"
        assert agent.who() == "cloud"
    finally:
        os.kill(pid, signal.SIGCONT)
    agent.becomes("edge")
    assert pids_in("viscum-echo") == [pid], "the program goes on: only its connections ended"


@pytest.mark.usefixtures("datapath")
@pytest.mark.parametrize("words", [("bypass", "echo"), ("stop", "echo")])
def test_a_client_that_only_waits_is_reset_when_somebody_takes_the_service_away(lab, words):
    lab.serve_cloud(7000)
    agent = Served(lab, service("echo", echo_command("edge", 7000), *TAKES, *QUICK, SOON))
    agent.becomes("edge")
    wait_for(lambda: os.path.exists(agent.socket))
    client = waiting_client(agent)
    assert client.stdout.readline() == "edge\n"
    agent.viscum(*words)
    assert client.communicate()[0] == "ConnectionResetError\n"
    assert agent.who() == "cloud"


def test_an_overloaded_router_sends_clients_to_the_cloud_until_it_is_calm(lab, tmp_path):
    lab.serve_cloud(7000)
    shed = "config globals 'globals'\n\toption bypass_load 70\n\n"
    with Cpus(tmp_path / "stat") as cpus:
        made = Agent(lab, shed + service("echo", echo_command("edge", 7000), *TAKES, *QUICK, SOON))
        made.becomes("edge")
        client = waiting_client(made)
        assert client.stdout.readline() == "edge\n"
        cpus.busy = True
        assert client.communicate()[0] == "ConnectionResetError\n"
        assert made.who() == "cloud"
        made.says("echo: bypassed, the router's CPU is ")
        cpus.busy = False
        assert made.becomes("edge") > 7, "seconds: five calm looks in a row"


def test_a_client_of_a_program_that_was_killed_does_not_wait(agent):
    client = waiting_client(agent)
    assert client.stdout.readline() == "edge\n"
    os.kill(pids_in("viscum-echo")[0], signal.SIGKILL)
    assert client.communicate()[0] in ("end\n", "ConnectionResetError\n")


def test_a_client_that_a_hung_program_never_accepted_is_reset(lab):
    lab.serve_cloud(7000)
    agent = Flagged(lab, ACCEPTS_NOBODY)
    agent.redirects()
    wait_for(lambda: pids_in("viscum-echo"))
    client = waiting_client(agent, "connected")
    assert client.stdout.readline() == "connected\n"
    agent.flag.unlink()
    agent.redirects(there=False)
    assert client.communicate()[0] == "ConnectionResetError\n"
    assert agent.who() == "cloud"


def test_a_service_that_is_removed_while_clients_wait_leaves_nothing_to_do(lab):
    agent = Flagged(lab, ACCEPTS_NOBODY)
    agent.redirects()
    wait_for(lambda: pids_in("viscum-echo"))
    client = waiting_client(agent, "connected")
    assert client.stdout.readline() == "connected\n"
    agent.reload("")
    wait_for(lambda: "viscum-echo" not in namespaces())
    assert client.communicate()[0] in ("end\n", "ConnectionResetError\n")
    time.sleep(2 * PATIENCE)
    assert "bug" not in agent.log.read_text(), agent.log.read_text()


def test_a_busy_program_never_sees_that_its_clients_are_sent_away(lab):
    """Those that it has not accepted yet are its own to accept: taking them from it makes its accept(2) fail."""
    (lab.tmp / "program.py").write_text(ACCEPTS_ALL)
    lines = (*TAKES, *QUICK, "list proto tcp", "option user root", "option healthcheck none")
    agent = Served(lab, service("echo", "/usr/bin/python3 %s/program.py" % lab.tmp, *lines))
    agent.redirects()
    (pid,) = pids_in("viscum-echo")
    lab.start(lab.client, sys.executable, "-c", STORM)
    for _ in range(10):
        time.sleep(0.3)
        agent.call("bypass", name="echo", on=True)
        agent.redirects(there=False)
        time.sleep(0.3)
        agent.call("bypass", name="echo", on=False)
        agent.redirects()
    assert pids_in("viscum-echo") == [pid], agent.log.read_text()


def test_connections_that_the_program_began_itself_go_on(lab):
    lab.serve_cloud(7000, 7001)
    lab.run(lab.cloud, "ip", "route", "add", "10.0.0.0/8", "via", "198.51.100.1")  # to the service's own address
    agent = Flagged(lab, ASKS_THE_CLOUD)
    agent.becomes("edge-with-cloud")
    (pid,) = pids_in("viscum-echo")
    agent.flag.unlink()
    agent.becomes("cloud")
    agent.flag.touch()
    agent.becomes("edge-with-cloud")
    assert pids_in("viscum-echo") == [pid], agent.log.read_text()


@pytest.mark.usefixtures("datapath")
def test_while_a_program_ends_the_devices_lose_no_packet(lab):
    """A qdisc that goes takes with it what a device is about to send, such as the resets of the last clients: so none
    goes before the service."""
    agent = Served(lab, service("echo", echo_command("edge", 7000), *TAKES, *QUICK))
    agent.says("healthy")
    (pid,) = pids_in("viscum-echo")
    before = qdiscs(lab)
    os.kill(pid, signal.SIGSTOP)  # takes no SIGTERM, and has 5 s to end
    agent.viscum("stop", "echo")
    agent.says("echo: stopping")
    agent.redirects(there=False)
    agent.viscum("reload")  # a look
    assert qdiscs(lab) == before and pids_in("viscum-echo") == [pid]
    os.kill(pid, signal.SIGKILL)
    agent.says("echo: stopped")
    wait_for(lambda: "viscum-echo" not in namespaces())
    wait_for(lambda: "clsact" not in qdiscs(lab))


def qdiscs(lab):
    return lab.run(lab.router, "tc", "qdisc", "show", "dev", "lan0").stdout
