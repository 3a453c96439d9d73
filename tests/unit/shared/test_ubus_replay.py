"""The client hears what ubusd once said, byte for byte, and asks what the `ubus` command asked."""

import os

from unit.shared.ubus_bench import Bench, recording

from viscum_agent import compat
from viscum_agent.ubus import wire


def message(data):
    stream = wire.Stream()
    stream.feed(data)
    return stream.next()


class Ubusd:
    """Answers each request with what was recorded for the next one of that kind; only the sequence number is the
    client's. `unasked` is what else ubusd sent. Use as a context manager."""

    def __init__(self, path, *names):
        self.path = path
        self.asked = []  # (what the client asked, what was asked in the recording), as messages
        self.hello = recording(names[0])[0][1]
        self.unasked = []
        self._exchanges = []  # [request, [answers]]
        self._stream = wire.Stream()
        self._listener = compat.unix_listen(path, 1)
        self._fd = -1
        for name in names:
            self._read(recording(name)[1:])

    def _read(self, exchange):
        for way, data in exchange:
            if way == ">" and message(data).kind != wire.STATUS:
                self._exchanges.append([message(data), []])
            elif way == "<" and message(data).kind in (wire.STATUS, wire.DATA):
                self._exchanges[-1][1].append(data)
            elif way == "<":
                self.unasked.append(data)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for fd in (self._fd, self._listener):
            if fd >= 0:
                compat.fd_close(fd)
        os.unlink(self.path)

    def step(self):
        if self._fd < 0:
            self._fd = compat.unix_accept(self._listener) or -1
            if self._fd >= 0:
                compat.fd_send(self._fd, self.hello)
            return
        data = compat.fd_receive(self._fd, 65536)
        if data:
            self._stream.feed(data)
        request = self._stream.next()
        while request:
            self._answer(request)
            request = self._stream.next()

    def _answer(self, request):
        for exchange in self._exchanges:
            if exchange[0].kind == request.kind:
                break
        self._exchanges.remove(exchange)
        self.asked.append((request, exchange[0]))
        for data in exchange[1]:
            self.send(data[:2] + bytes([request.seq >> 8, request.seq & 255]) + data[4:])

    def send(self, data):
        compat.fd_send(self._fd, data)


def talk(bench, ubusd, done):
    def stepped():
        ubusd.step()
        return done()

    bench.run(stepped)


def connect(bench, ubusd):
    """A client that ubusd has said hello to."""
    plain = bench.run
    bench.run = lambda done, seconds=5.0: plain(lambda: (ubusd.step(), done())[1], seconds)
    try:
        return bench.client()
    finally:
        bench.run = plain


def test_a_call_is_asked_as_the_ubus_command_does_and_its_answer_understood():
    args = [("id", 7), ("msg", "h\u00e9llo"), ("t", True), ("f", False), ("n", None), ("d", 2.5), ("big", 1 << 40)]
    args += [("neg", -3), ("a", [1, "x", {"y": []}]), ("o", {"k": {"l": ""}})]
    with Bench(serve=False) as bench, Ubusd(bench.path, "call") as ubusd:
        client = connect(bench, ubusd)
        answers = []
        client.invoke("test", "hello", args, lambda error, reply: answers.append((error, reply)))
        talk(bench, ubusd, lambda: answers)
        assert answers == [(None, {"message": "test received a message: h\u00e9llo"})]
        assert len(ubusd.asked) == 2, "a lookup and an invoke"
        for request, recorded in ubusd.asked:
            assert (request.kind, request.peer) == (recorded.kind, recorded.peer)
            assert wire.parse(request.body) == wire.parse(recorded.body)


def test_a_call_of_what_is_not_there_is_an_error():
    with Bench(serve=False) as bench, Ubusd(bench.path, "call_unknown_object") as ubusd:
        client = connect(bench, ubusd)
        answers = []
        client.invoke("nosuch", "hello", {}, lambda error, reply: answers.append(error))
        talk(bench, ubusd, lambda: answers)
        assert answers[0].code == 4, "UBUS_STATUS_NOT_FOUND"


def test_an_event_and_the_end_of_what_was_subscribed_to():
    with Bench(serve=False) as bench, Ubusd(bench.path, "listen", "subscribe") as ubusd:
        client = connect(bench, ubusd)
        told = []
        client.listen("viscum.*", lambda name, data: told.append((name, data)))
        client.subscribe("test", lambda kind, data: None, lambda active, error: told.append((active, error)))
        talk(bench, ubusd, lambda: told)
        assert told == [(True, None)]
        for data in ubusd.unasked:
            ubusd.send(data)
        talk(bench, ubusd, lambda: len(told) == 3)
        assert told[1:] == [("viscum.test", {"a": 1}), (False, None)]
        assert client.faults == []
