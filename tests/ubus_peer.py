"""Others on a ubus, as processes of their own for the tests.

ubus_peer.py broker SOCKET             serves ubus there
ubus_peer.py netifd SOCKET STATE       says what netifd would say about its interfaces: STATE is a JSON file with the
                                       answers to `network.interface dump` and `network.wireless status`; with SIGHUP
                                       it tells everybody that something changed
"""

import json
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from viscum_agent import compat  # noqa: E402
from viscum_agent.loop import POLLIN, POLLOUT, Loop  # noqa: E402
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


if __name__ == "__main__":
    {"broker": serve, "netifd": netifd}[sys.argv[1]](*sys.argv[2:])
