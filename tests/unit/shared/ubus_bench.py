"""A broker, clients of it and a loop that serves them all, on a socket of the test's own; also as a program:

    python ubus_bench.py SOCKET

serves a broker with the object `bench` until its standard input ends. It runs under both interpreters.
"""

import os
import select
import sys

if __name__ == "__main__":
    sys.path.insert(0, ".")

from viscum_agent import compat
from viscum_agent.ubus import blob, wire
from viscum_agent.ubus.broker import Broker
from viscum_agent.ubus.client import DEFERRED, Client, Method
from viscum_agent.ubus.codes import NOT_FOUND, UbusStatus

HANG = 120.0  # seconds, as in tests/lab.py
RECORDINGS = __file__.rsplit("/", 3)[0] + "/data/ubus"


def recording(name):
    """[(direction, message as bytes)] of a recorded exchange: > to ubusd, < from ubusd."""
    messages = []
    with open("%s/%s.txt" % (RECORDINGS, name)) as file:
        for line in file:
            if line[0] in "<>":
                messages.append((line[0], unhex(line[2:].strip())))
    return messages


def recordings():
    return sorted([name[:-4] for name in os.listdir(RECORDINGS)])


def unhex(text):
    return bytes([int(text[i : i + 2], 16) for i in range(0, len(text), 2)])


def socket_path():
    """A path in a directory of its own, that every account may look into."""
    number = int.from_bytes(os.urandom(4), "big")
    directory = "/tmp/viscum-ubus-%d-%08x" % (compat.getpid(), number)
    os.mkdir(directory)
    return directory + "/sock"


class Bench:
    """Use as a context manager."""

    def __init__(self, readable=None, serve=True):
        self.path = socket_path()
        self.readable = readable
        self.notes = []
        self.broker = None
        self.clients = []
        self.raw = []
        if serve:
            self.start_broker()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for client in self.clients:
            client.close()
        for peer in self.raw:
            peer.close()
        self.stop_broker()
        try:  # noqa: SIM105 - MicroPython has no contextlib
            os.unlink(self.path)
        except OSError:
            pass
        os.rmdir(self.path[: self.path.rfind("/")])

    def start_broker(self):
        self.broker = Broker(self.path, self.readable, self.notes.append)
        self.broker.open()

    def stop_broker(self):
        if self.broker:
            self.broker.close()
        self.broker = None

    def client(self, **options):
        """A client that is connected."""
        faults = []
        client = Client(self.path, on_error=faults.append, **options)
        client.faults = faults
        self.clients.append(client)
        self.run(lambda: client.connected)
        return client

    def peer(self):
        """A connection without any of the client's code; the hello is read."""
        peer = Peer(compat.unix_connect(self.path), self)
        self.raw.append(peer)
        hello = peer.get()
        assert hello.kind == wire.HELLO
        peer.id = hello.peer
        return peer

    def publish(self, client, path, methods):
        item = client.add_object(path, methods)
        self.run(lambda: item.id)
        return item

    def run(self, done, seconds=HANG):
        """Serves everybody until done() is true, which has to be within the time."""
        end = compat.monotonic() + seconds
        while not done():
            assert compat.monotonic() < end, "not within %s s" % seconds
            self.step()

    def settle(self, seconds=0.2):
        """Serves everybody for a while."""
        end = compat.monotonic() + seconds
        while compat.monotonic() < end:
            self.step()

    def step(self):
        if self.broker:
            for fd, events in self.broker.fds():
                found = compat.wait_fd(fd, events, 0)
                if found:
                    self.broker.on_event(fd, found)
            self.broker.tick()
        for client in self.clients:
            step(client)

    def ask(self, client, path, method, args=None, timeout=HANG):
        """(error, reply) of a call."""
        answers = []
        client.invoke(path, method, args, lambda error, reply: answers.append((error, reply)), timeout)
        self.run(lambda: answers)
        return answers[0]

    def find(self, client, pattern):
        answers = []
        client.lookup(pattern, lambda error, found: answers.append((error, found)))
        self.run(lambda: answers)
        return answers[0]


def step(client):
    """What a loop does for a client, without waiting."""
    if client.fd >= 0:
        wanted = (compat.POLLIN if client.wants_read else 0) | (compat.POLLOUT if client.wants_write else 0)
        found = compat.wait_fd(client.fd, wanted, 0)
        if found & compat.POLLOUT:
            client.on_writable()
        if found & ~compat.POLLOUT:
            client.on_readable()
    time = client.next_timeout()
    now = compat.monotonic()
    if time is not None and time <= now:
        client.tick(now)


class Peer:
    """One end of a connection, message by message."""

    def __init__(self, fd, bench):
        self.fd = fd
        self.id = 0
        self._bench = bench
        self._stream = wire.Stream()

    def close(self):
        if self.fd >= 0:
            compat.fd_close(self.fd)
        self.fd = -1

    def put(self, data):
        """Sends bytes; what the socket does not take is served until it does."""
        while data:
            count = compat.fd_send(self.fd, data)
            data = data[count:]
            self._bench.step()

    def ask(self, kind, number, attributes, seq=1):
        self.put(wire.pack(kind, seq, number, attributes))

    def get(self):
        """The next message; None at the end of the connection."""
        messages = []

        def done():
            message = self._stream.next()
            if message is None:
                data = compat.fd_receive(self.fd, 65536)
                if data == b"":
                    messages.append(None)
                elif data:
                    self._stream.feed(data)
                    message = self._stream.next()
            if message is not None:
                messages.append(message)
            return messages

        self._bench.run(done)
        return messages[0]

    def status(self):
        """The status that ends the answer to a request, and the attributes of what came before."""
        parts = []
        while True:
            message = self.get()
            assert message is not None
            attributes = wire.parse(message.body)
            if message.kind == wire.STATUS:
                return attributes[wire.A_STATUS], parts
            parts.append(attributes)


def add(_method, args, _request):
    return {"sum": args.get("a", 0) + args.get("b", 0)}


def large(_method, args, _request):
    return {"text": "x" * args["size"]}


def missing(_method, _args, _request):
    raise UbusStatus(NOT_FOUND, "there is no service 'nix'")


def never(_method, _args, _request):
    return DEFERRED


def fault(_method, _args, _request):
    raise ValueError("a fault of the handler")


METHODS = [
    ("add", Method(add, [("a", blob.INT32), ("b", blob.INT32)])),
    ("large", Method(large, [("size", blob.INT32)])),
    ("missing", Method(missing, [])),
    ("never", Method(never, [])),
    ("fault", Method(fault, [])),
]


def serve(path):
    broker = Broker(path, {"bench": ("add",)})
    broker.open()
    client = Client(path, on_error=lambda _: None)
    item = client.add_object("bench", METHODS)
    ready = False
    tick = 0
    while True:
        poll = select.poll()
        poll.register(0, compat.POLLIN)
        for fd, events in broker.fds():
            poll.register(fd, events)
        if client.fd >= 0:
            poll.register(client.fd, compat.POLLIN | (compat.POLLOUT if client.wants_write else 0))
        for fd, events in poll.poll(20):
            if fd == 0:
                client.close()
                broker.close()
                return
            broker.on_event(fd, events)
        broker.tick()
        step(client)
        if compat.monotonic() < tick:
            continue
        tick = compat.monotonic() + 0.02
        if item.id and not ready:
            ready = True
            print("ready")
            sys.stdout.flush() if hasattr(sys.stdout, "flush") else None
        if item.has_subscribers:
            item.notify("state", {"state": "healthy"})
        client.send_event("bench.tick", {"n": 1})


if __name__ == "__main__":
    compat.start()
    serve(sys.argv[1])
