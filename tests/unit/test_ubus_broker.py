"""The broker in ubusd's place: the recorded exchanges once more, accounts with fewer rights, callers that wait."""

import os
import resource
import struct
import subprocess
import sys

import pytest
from lab import MICROPYTHON, MICROPYTHON_FILE, ROOT
from unit.shared import ubus_bench
from unit.shared.ubus_bench import METHODS, Bench

from viscum_agent import compat
from viscum_agent.ubus import blob, wire
from viscum_agent.ubus import codes as status
from viscum_agent.ubus.broker import GUEST_LIMIT, GUEST_MESSAGE, GUEST_MESSAGES, MAX_OF_GUEST, TOTAL_LIMIT
from viscum_agent.ubus.budget import Budget
from viscum_agent.ubus.caller import Caller
from viscum_agent.ubus.client import Method
from viscum_agent.ubus.codes import UbusError, UbusStatus

SERVER = "tests/unit/shared/ubus_bench.py"
NOBODY, SOMEBODY = 65534, 65533

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="takes other accounts: run as root")


# What examples/server of ubus published while the exchanges were recorded.
POLICIES = [
    ("hello", [("id", blob.INT32), ("msg", blob.STRING)]),
    ("watch", [("id", blob.INT32), ("counter", blob.INT32)]),
    ("count", [("to", blob.INT32), ("string", blob.STRING)]),
]


def hello(_method, args, _request):
    return {"message": "test received a message: " + args["msg"]}


class Replay:
    """The program's side of a recording, once more, against our broker: each answer has to be what ubusd said.

    Only numbers of clients, objects and types differ, which ubusd draws by lot: each recorded one stands for one here.
    """

    def __init__(self, bench, before):
        self.bench = bench
        self.before = before  # {index of a message: what happens elsewhere before it comes}
        self.real = {}
        self.peer = None

    def run(self, name):
        for index, (way, data) in enumerate(ubus_bench.recording(name)):
            if index in self.before:
                self.before[index]()
            if way == ">":
                self.peer.put(self.translate(data))
            elif self.peer is None:
                self.connect(data)
            else:
                self.compare(data, self.peer.get(), "%s, message %d" % (name, index))

    def connect(self, data):
        self.peer = ubus_bench.Peer(compat.unix_connect(self.bench.path), self.bench)
        self.bench.raw.append(self.peer)
        self.compare(data, self.peer.get(), "hello")

    def translate(self, data):
        for recorded, real in self.real.items():
            data = data.replace(struct.pack(">I", recorded), struct.pack(">I", real))
        return data

    def compare(self, data, got, where):
        stream = wire.Stream()
        stream.feed(data)
        wanted = stream.next()
        assert (got.kind, got.seq) == (wanted.kind, wanted.seq), where
        self.same(wanted.peer, got.peer, where)
        expected, found = wire.parse(wanted.body), wire.parse(got.body)
        assert list(found) == list(expected), where
        for number in expected:
            if number in (wire.A_OBJID, wire.A_OBJTYPE, wire.A_TARGET):
                self.same(expected[number], found[number], where)
            elif number == wire.A_DATA and blob.decode(expected[number]).keys() == {"id", "path"}:
                self.same(
                    blob.decode(expected[number])["id"] & 0xFFFFFFFF,
                    blob.decode(found[number])["id"] & 0xFFFFFFFF,
                    where,
                )
            else:
                assert found[number] == expected[number], where

    def same(self, recorded, real, where):
        if recorded < wire.OBJECT_MAX or real < wire.OBJECT_MAX:
            assert recorded == real, where
            return
        assert self.real.setdefault(recorded, real) == real, where


@pytest.mark.parametrize("name", ["list", "call", "call_unknown_object", "send"])
def test_the_ubus_command_would_get_the_answers_that_it_got_from_ubusd(name):
    with Bench() as bench:
        bench.publish(bench.client(), "test", [(method, Method(hello, policy)) for method, policy in POLICIES])
        Replay(bench, {}).run(name)


def test_wait_for_once_more():
    with Bench() as bench:
        server = bench.client()
        Replay(bench, {8: lambda: server.add_object("test", METHODS)}).run("wait_for")


def test_listen_once_more():
    with Bench() as bench:
        sender = bench.client()
        Replay(bench, {8: lambda: sender.send_event("viscum.test", {"a": 1})}).run("listen")


def test_subscribe_once_more():
    with Bench() as bench:
        server = bench.client()
        item = bench.publish(server, "test", [(method, Method(hello, policy)) for method, policy in POLICIES])
        Replay(bench, {9: item.remove}).run("subscribe")


def test_many_peers_that_do_not_read_take_no_more_than_the_limit_together():
    with Bench() as bench:
        bench.publish(bench.client(), "bench", METHODS)
        number = bench.find(bench.clients[0], "bench")[1][0].id
        data = blob.encode({"size": 1000000})
        call = [(wire.A_OBJID, number), (wire.A_METHOD, "large"), (wire.A_DATA, data)]
        most = 0
        for _ in range(8):
            peer = bench.peer()
            for seq in range(4):
                if bench.broker._peers_by_id.get(peer.id) is None:
                    break  # it was shown the door
                peer.ask(wire.INVOKE, number, call, seq)
                bench.settle(0.05)
                most = max(most, sum(each.channel.queued for each in bench.broker._peers.values()))
        assert TOTAL_LIMIT // 2 < most < TOTAL_LIMIT + 2 * wire.MAX_MESSAGE
        assert bench.ask(bench.client(), "bench", "add", {"a": 1}) == (None, {"sum": 1})


def test_without_descriptors_for_new_connections_the_old_ones_are_served_and_the_loop_rests():
    with Bench() as bench:
        bench.publish(bench.client(), "bench", METHODS)
        caller = bench.client()
        bench.ask(caller, "bench", "add")
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        waiting = compat.unix_connect(bench.path)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (waiting + 1, hard))
            bench.run(lambda: bench.notes)
            assert bench.broker._listener not in [fd for fd, _ in bench.broker.fds()]
            number = bench.find(caller, "bench")[1][0].id
            assert bench.ask(caller, number, "add", {"a": 1}) == (None, {"sum": 1})
            assert len(bench.notes) == 1
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        bench.run(lambda: len(bench.broker._peers) == 3)
        compat.fd_close(waiting)


# Other accounts.


def as_nobody(function, uid=NOBODY):
    """Runs it in a child that has given up root; returns what it returned, or the text of its error."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            compat.drop_privileges(uid, uid, [uid])
            answer = repr(function())
        except BaseException as error:
            answer = "%s: %s" % (type(error).__name__, error)
        os.write(writing, answer.encode()[:60000])
        os._exit(0)
    os.close(writing)
    return child, reading


def outcome(bench, function, uid=NOBODY):
    child, reading = as_nobody(function, uid)
    try:
        bench.run(lambda: compat.poll_fd(reading, 0), 20)
        return os.read(reading, 65536).decode()
    finally:
        os.waitpid(child, 0)
        os.close(reading)


def code_of(function):
    try:
        return function() or 0
    except UbusError as error:
        return error.code


@needs_root
def test_another_account_may_look_up_and_call_what_is_listed_and_nothing_else():
    with Bench(readable={"bench": ("add",)}) as bench:
        server = bench.client()
        users = []

        def who(_method, _args, request):
            users.append((request.user, request.group))

        methods = METHODS + [("who", Method(who, []))]
        bench.publish(server, "bench", methods)
        bench.publish(server, "hidden", [("m", Method(hello, []))])

        def visit():
            with Caller(bench.path) as caller:
                found = [(each.path, sorted(each.methods)) for each in caller.lookup()]
                return [
                    found,
                    caller.call("bench", "add", {"a": 1, "b": 2}),
                    code_of(lambda: caller.call("bench", "missing")),
                    code_of(lambda: caller.call("bench", "large", {"size": 10})),
                    code_of(lambda: caller.lookup("hidden")),
                    code_of(lambda: caller.send_event("viscum.service", {})),
                    code_of(lambda: caller.listen(lambda *_: True, "*", 1)),
                    code_of(lambda: caller.call("bench", "who")),
                ]

        denied = status.PERMISSION_DENIED
        wanted = [[("bench", ["add"])], {"sum": 3}, denied, denied, status.NOT_FOUND, denied, denied, denied]
        assert outcome(bench, visit) == repr(wanted)
        assert users == []


@needs_root
def test_a_called_method_learns_who_calls():
    with Bench(readable={"bench": ("who",)}) as bench:
        users = []
        server = bench.client()

        def who(_method, _args, request):
            users.append((request.user, request.group))

        bench.publish(server, "bench", [("who", Method(who, []))])
        bench.ask(bench.client(), "bench", "who")

        def visit():
            with Caller(bench.path) as caller:
                return caller.call("bench", "who")

        assert outcome(bench, visit) == "{}"
        assert users == [("root", "root"), ("nobody", "nogroup")]


@needs_root
def test_another_account_can_not_publish_subscribe_or_monitor():
    with Bench(readable={"bench": ("add",)}) as bench:
        server = bench.client()
        item = bench.publish(server, "bench", METHODS)

        def visit():
            codes = []
            client = Caller(bench.path)
            for kind, body in (
                (wire.ADD_OBJECT, [(wire.A_OBJPATH, "mine")]),
                (wire.ADD_OBJECT, []),
                (wire.REMOVE_OBJECT, [(wire.A_OBJID, item.id)]),
                (wire.SUBSCRIBE, [(wire.A_OBJID, item.id), (wire.A_TARGET, item.id)]),
                (wire.NOTIFY, [(wire.A_OBJID, item.id), (wire.A_METHOD, "x")]),
                (wire.INVOKE, [(wire.A_OBJID, 3), (wire.A_METHOD, "add")]),
            ):
                answers = []
                client.client._ask(kind, 0, body, lambda code, _, answers=answers: answers.append(code))
                client._wait(lambda answers=answers: answers, 5)
                codes += answers
            return codes

        denied = status.PERMISSION_DENIED
        wrong = status.INVALID_ARGUMENT
        assert outcome(bench, visit) == repr([wrong, denied, denied, wrong, denied, denied])
        assert not item.has_subscribers


@needs_root
def test_another_account_can_not_fill_the_broker():
    with Bench(readable={"bench": ("add",)}) as bench:
        bench.publish(bench.client(), "bench", METHODS)

        def visit():
            callers = []
            try:
                for _ in range(MAX_OF_GUEST + 1):
                    callers.append(Caller(bench.path))
            except UbusStatus as error:
                refused = error.code
            callers[0].call("bench", "add", {"a": 1})
            return len(callers), refused, code_of(lambda: callers[1].call("bench", "add", {"x": "y" * GUEST_MESSAGE}))

        assert outcome(bench, visit) == repr((MAX_OF_GUEST, status.CONNECTION_FAILED, status.CONNECTION_FAILED))
        assert any("refused" in note for note in bench.notes)
        assert bench.ask(bench.client(), "bench", "add", {"a": 1}) == (None, {"sum": 1})


class Held:
    """What another account does and then keeps as it is. Use as a context manager."""

    def __init__(self, bench, function, uid=NOBODY):
        self.go_on, self.wait = os.pipe()

        def hold():
            kept = function()
            os.write(self.said, b"done")
            os.read(self.go_on, 1)
            return kept

        heard, self.said = os.pipe()
        self.child, self.result = as_nobody(hold, uid)
        bench.run(lambda: compat.poll_fd(heard, 0) or compat.poll_fd(self.result, 0), 20)
        assert compat.poll_fd(heard, 0), os.read(self.result, 65536).decode()
        os.close(heard)
        os.close(self.said)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.write(self.wait, b"x")
        os.waitpid(self.child, 0)
        for fd in (self.go_on, self.wait, self.result):
            os.close(fd)


def connections(bench, account_bytes):
    """As many connections as an account gets, each of which has sent these bytes; the descriptors."""
    found = []
    while True:
        fd = compat.unix_connect(bench.path)
        compat.wait_fd(fd, compat.POLLIN, 5000)
        if not compat.fd_receive(fd, 100):
            return found
        compat.fd_send(fd, account_bytes)
        found.append(fd)


def call(number, method="add", args=(), seq=1):
    body = [(wire.A_OBJID, number), (wire.A_METHOD, method), (wire.A_DATA, blob.encode(dict(args)))]
    return wire.pack(wire.INVOKE, seq, number, body)


def visit_and_add(bench):
    """A visitor who calls once."""

    def visit():
        with Caller(bench.path) as caller:
            return caller.call("bench", "add", {"a": 1})

    return visit


@needs_root
def test_connections_of_one_account_with_half_a_message_for_ever_keep_no_other_account_out():
    with Bench(readable={"bench": ("add",)}) as bench:
        item = bench.publish(bench.client(), "bench", METHODS)
        half = call(item.id)[:20]
        with Held(bench, lambda: len(connections(bench, half))):
            assert outcome(bench, visit_and_add(bench), SOMEBODY) == "{'sum': 1}"
            assert bench.ask(bench.client(), "bench", "add", {"a": 1}) == (None, {"sum": 1})
            assert outcome(bench, visit_and_add(bench)) != "{'sum': 1}"
        bench.run(lambda: outcome(bench, visit_and_add(bench)) == "{'sum': 1}")


@needs_root
def test_a_flood_of_one_account_is_dealt_with_at_the_pace_of_its_budget():
    with Bench(readable={"bench": ("add",)}) as bench:
        handled = []
        rate, most = GUEST_MESSAGES

        def add(_method, args, request):
            handled.append((request.user, compat.monotonic()))
            return {"sum": 1}

        item = bench.publish(bench.client(), "bench", [("add", Method(add, []))])
        flood = call(item.id) * 2 * most

        def visit():
            fds = [compat.unix_connect(bench.path) for _ in range(3)]
            for fd in fds:
                os.set_blocking(fd, True)
                compat.fd_send(fd, flood)  # as much as a socket takes
            return fds

        with Held(bench, visit):
            began = compat.monotonic()
            bench.settle(1)
            assert bench.ask(bench.client(), "bench", "add") == (None, {"sum": 1})
            assert outcome(bench, visit_and_add(bench), SOMEBODY) == "{'sum': 1}"
            passed = compat.monotonic() - began
            by_nobody = len([each for each in handled if each[0] == "nobody"])
            assert most // 2 < by_nobody <= most + rate * (passed + 1)
            bench.run(lambda: len(bench.broker.fds()) <= 3)  # who has used up what it has is not even polled
            bench.run(lambda: 0 < bench.broker.next_timeout() - compat.monotonic() < 1)


@needs_root
def test_who_connects_again_and_again_uses_up_the_budget_too():
    with Bench(readable={"bench": ("add",)}) as bench:
        bench.publish(bench.client(), "bench", METHODS)

        def visit():
            welcome = 0
            for _ in range(GUEST_MESSAGES[1]):
                fd = compat.unix_connect(bench.path)
                compat.wait_fd(fd, compat.POLLIN, 5000)
                welcome += bool(compat.fd_receive(fd, 100))
                compat.fd_close(fd)
            return welcome

        assert GUEST_MESSAGES[1] // 4 < int(outcome(bench, visit)) < GUEST_MESSAGES[1] * 3 // 4
        assert outcome(bench, visit_and_add(bench), SOMEBODY) == "{'sum': 1}"


@needs_root
def test_an_account_that_does_not_read_its_answers_takes_little_memory_and_nobody_elses_place():
    with Bench(readable={"bench": ("large",)}) as bench:
        item = bench.publish(bench.client(), "bench", METHODS)
        question = call(item.id, "large", {"size": 500000})
        trusted = bench.peer()
        with Held(bench, lambda: len(connections(bench, question))):
            bench.settle(0.5)
            queued = [each.channel.queued for each in bench.broker._peers.values() if not each.trusted]
            assert 0 < sum(queued) <= GUEST_LIMIT
            for seq in range(3):  # it reads, but later
                trusted.put(call(item.id, "large", {"size": 900000}, seq))
            bench.settle(0.2)
            for seq in range(3):
                assert trusted.get().seq == seq and trusted.get().kind == wire.STATUS


def test_a_budget_is_one_for_each_account_and_comes_back():
    budget = Budget(1000, 10)
    assert budget.wait("a") == 0
    budget.spend("a", 30)
    assert 0.015 < budget.wait("a") <= 0.02 and budget.wait("b") == 0
    compat.sleep(0.05)
    assert budget.wait("a") == 0
    for number in range(1000):
        budget.spend(number, 1)
    assert len(budget._used) < 200, "accounts that owe nothing are forgotten"


def test_a_caller_waits_while_too_many_others_connect():
    path = ubus_bench.socket_path()
    listener = compat.unix_listen(path, 0)
    waiting = []
    try:
        with pytest.raises(BlockingIOError):  # noqa: PT012 (sooner or later)
            while len(waiting) < 10:
                waiting.append(compat.unix_connect(path))
        began = compat.monotonic()
        with pytest.raises(UbusStatus) as caught:
            Caller(path, 0.3)
        assert caught.value.code == status.TIMEOUT and compat.monotonic() - began >= 0.3
    finally:
        for fd in [*waiting, listener]:
            compat.fd_close(fd)
        os.unlink(path)
        os.rmdir(os.path.dirname(path))


# Callers that wait, against a broker in a process of its own.


@pytest.fixture(params=["cpython", "micropython"])
def served(request):
    if request.param == "micropython":
        if not MICROPYTHON_FILE.exists():
            pytest.skip("no MicroPython here: make setup")
        command = [*MICROPYTHON, SERVER]
    else:
        command = [sys.executable, SERVER]
    path = ubus_bench.socket_path()
    environment = {**os.environ, "MICROPYPATH": ".:.frozen"}
    server = subprocess.Popen(
        command + [path], cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout.readline() == "ready\n"
        yield path
        server.stdin.close()
        assert server.wait() == 0
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
        if os.path.exists(path):
            os.unlink(path)
        os.rmdir(os.path.dirname(path))


def test_a_caller_gets_answers_and_errors(served):
    with Caller(served) as caller:
        assert caller.call("bench", "add", {"a": 20, "b": 22}) == {"sum": 42}
        with pytest.raises(UbusStatus, match="there is no service 'nix'") as caught:
            caller.call("bench", "missing")
        assert caught.value.code == status.NOT_FOUND
        with pytest.raises(UbusStatus) as caught:
            caller.call("bench", "never", timeout=0.2)
        assert caught.value.code == status.TIMEOUT
        assert [found.path for found in caller.lookup()] == ["bench"]
        assert caller.call("bench", "add", {"a": 1}) == {"sum": 1}


def test_a_thousand_calls_of_a_caller(served):
    with Caller(served) as caller:
        for n in range(1000):
            assert caller.call("bench", "add", {"a": n}) == {"sum": n}


def test_answers_near_a_mebibyte(served):
    with Caller(served) as caller:
        fits = wire.MAX_DATA - 16
        for size in (65536, 500000, fits):
            assert len(caller.call("bench", "large", {"size": size})["text"]) == size
        with pytest.raises(UbusStatus, match="does not fit") as caught:
            caller.call("bench", "large", {"size": fits + 8})
        assert caught.value.code == status.NO_MEMORY
        assert caller.call("bench", "add", {"a": 1}) == {"sum": 1}


def test_a_caller_can_listen_and_subscribe(served):
    seen = []

    def enough(name, data):
        seen.append((name, data))
        return len(seen) == 3

    with Caller(served) as caller:
        caller.listen(enough, "bench.*", 5)
        assert seen == [("bench.tick", {"n": 1})] * 3
        seen.clear()
        caller.subscribe("bench", enough, 5)
        assert seen == [("state", {"state": "healthy"})] * 3
        caller.listen(lambda *_: None, "nothing", 0.1)


def test_a_caller_without_a_broker_says_so(tmp_path):
    with pytest.raises(UbusStatus, match="sock: No such file") as caught:
        Caller(str(tmp_path / "sock"))
    assert caught.value.code == status.CONNECTION_FAILED


def test_connections_leave_no_descriptors_behind():
    with Bench() as bench:
        bench.publish(bench.client(), "bench", METHODS)
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(50):
            client = bench.client()
            bench.ask(client, "bench", "add", {"a": 1})
            client.close()
            bench.clients.remove(client)
        bench.run(lambda: len(bench.broker._peers) == 1)
        assert len(os.listdir("/proc/self/fd")) == before
