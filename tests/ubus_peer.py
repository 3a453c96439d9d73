"""Others on a ubus, as processes of their own for the tests.

ubus_peer.py broker SOCKET             serves ubus there
ubus_peer.py netifd SOCKET STATE       says what netifd would say about its interfaces: STATE is a JSON file with the
                                       answers to `network.interface dump` and `network.wireless status`; with SIGHUP
                                       it tells everybody that something changed
ubus_peer.py procd SOCKET SECONDS WORD...
                                       runs an agent and watches it as procd does (its service/instance.c):
                                       one of which it has not heard for so long gets SIGTERM, SIGKILL and
                                       a successor; `service list` tells its pid and what was called last;
                                       with SIGHUP only a second is left
ubus_peer.py triggers SOCKET FILE      takes events as procd does for its triggers, and writes the last one to FILE
"""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from viscum_agent import compat  # noqa: E402
from viscum_agent.loop import POLLIN, POLLOUT, Loop  # noqa: E402
from viscum_agent.ubus import blob  # noqa: E402
from viscum_agent.ubus.broker import Broker  # noqa: E402
from viscum_agent.ubus.client import Client, Method  # noqa: E402


def serve(path):
    broker = Broker(path)
    broker.open()
    loop, watched, timers = Loop(), [], [None]

    def watch():
        for fd in [fd for fd in watched if fd not in dict(broker.fds())]:
            loop.remove(fd)
            watched.remove(fd)
        for fd, events in broker.fds():
            loop.add(fd, lambda ready, fd=fd: broker.on_event(fd, ready), events)
            watched.append(fd)
        loop.cancel(timers.pop())
        due = broker.next_timeout()
        timers.append(None if due is None else loop.after(max(0, due - compat.monotonic()), broker.tick))

    loop.prepare.append(watch)
    loop.run()


def netifd(path, file):
    client = Client(path)

    def answer(name):
        return lambda *_: json.loads(Path(file).read_text())[name]

    client.add_object("network.interface", [("dump", Method(answer("dump"), ()))])
    client.add_object("network.wireless", [("status", Method(answer("wireless"), ()))])
    hangup = compat.signal_fd((signal.SIGHUP,))
    while True:
        client.tick(compat.monotonic())
        if client.fd < 0:
            compat.sleep(0.05)
            continue
        if compat.wait_fd(client.fd, POLLIN | (POLLOUT if client.wants_write else 0), 50):
            client.on_writable()
            client.on_readable()
        if compat.read_signal(hangup):
            client.send_event("network.interface", {"action": "ifup", "interface": "lan"})


class Procd:
    """A service `viscum` with an instance `agent`, in mode 1: the init script has asked for it to be watched."""

    POLICY = [("name", blob.STRING), ("instance", blob.STRING), ("timeout", blob.INT32)]

    def __init__(self, path, seconds, *words):
        self.words = words
        self.timeout, self.calls = float(seconds), 0
        self.client = Client(path)
        methods = [("watchdog", Method(self.called, self.POLICY)), ("list", Method(self.list, []))]
        self.client.add_object("service", methods)
        signal.signal(signal.SIGHUP, self.hurry)
        self.start()

    def hurry(self, *_):
        self.until = time.monotonic() + 1

    def start(self):
        self.process = subprocess.Popen(self.words)
        self.until = time.monotonic() + self.timeout

    def called(self, _name, arguments, _request):
        assert (arguments["name"], arguments["instance"]) == ("viscum", "agent")
        self.timeout = arguments.get("timeout", self.timeout)
        self.until = time.monotonic() + self.timeout
        self.calls += 1
        return {"name": "viscum", "instance": "agent", "mode": 1, "timeout": int(self.timeout)}

    def list(self, *_):
        return {"pid": self.process.pid, "timeout": int(self.timeout), "calls": self.calls}

    def run(self):
        while True:
            self.client.tick(compat.monotonic())
            if self.client.fd >= 0 and compat.wait_fd(self.client.fd, POLLIN, 50):
                self.client.on_readable()
            self.client.on_writable()
            if time.monotonic() > self.until:
                self.restart()

    def restart(self):
        self.process.terminate()
        try:
            self.process.wait(1)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.start()


def procd(*words):
    Procd(*words).run()


def triggers(path, file):
    client = Client(path)
    policy = [("type", blob.STRING), ("data", blob.TABLE)]
    client.add_object(
        "service", [("event", Method(lambda _, told, __: Path(file).write_text(json.dumps(told)), policy))]
    )
    while True:
        client.tick(compat.monotonic())
        if client.fd >= 0 and compat.wait_fd(client.fd, POLLIN, 50):
            client.on_readable()
        client.on_writable()


if __name__ == "__main__":
    {"broker": serve, "netifd": netifd, "procd": procd, "triggers": triggers}[sys.argv[1]](*sys.argv[2:])
