"""Whatever comes over a socket, codec, stream, client and broker answer with a value, an error of ours or an end."""

import gc
import struct
import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st
from unit.shared import ubus_bench
from unit.shared.test_ubus_talk import Silent
from unit.shared.ubus_bench import Bench, Peer, add, step

from viscum_agent import compat
from viscum_agent.ubus import blob, monitor, wire
from viscum_agent.ubus.client import Client, Method
from viscum_agent.ubus.codes import UbusError

BOUNDED = settings(max_examples=200, deadline=None)
SOCKETS = settings(max_examples=60, deadline=None)

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-(1 << 63), (1 << 63) - 1), st.floats(allow_nan=False), TEXTS, st.just("")
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=12
)
TABLES = st.dictionaries(TEXTS, VALUES, max_size=6)

MESSAGES = [data for name in ubus_bench.recordings() for _, data in ubus_bench.recording(name)]
TO_BROKER = [data for name in ubus_bench.recordings() for way, data in ubus_bench.recording(name) if way == ">"]
TO_CLIENT = [data for name in ubus_bench.recordings() for way, data in ubus_bench.recording(name) if way == "<"]
# Numbers that mean something where they land.
WORDS = st.sampled_from([0, 1, 3, 4, 8, 0xFF, 0x7FFFFFFF, 0x80000004, 0x81000008, 0xFFFFFFFF, 0x00100000, 0x00100001])


@st.composite
def mutated(draw, messages, framed=False):
    """A recorded message with some of it changed. `framed` leaves its length right, so that what is inside is read."""
    data = bytearray(draw(st.sampled_from(messages)))
    for _ in range(draw(st.integers(1, 4))):
        first = 12 if framed else 0
        if len(data) <= first:
            break
        place = draw(st.integers(first, len(data) - 1))
        change = draw(st.sampled_from(["byte", "word", "cut", "repeat"]))
        if change == "byte":
            data[place] = draw(st.integers(0, 255))
        elif change == "word":
            place -= place % 4
            data[place : place + 4] = struct.pack(">I", draw(WORDS))
        elif change == "cut":
            del data[place : place + draw(st.integers(1, 8))]
        else:
            data[place:place] = data[place : place + draw(st.integers(1, 64))]
    if framed:
        data[8:12] = struct.pack(">I", len(data) - 8)
        data[0] = 0
    return bytes(data)


@BOUNDED
@given(TABLES)
def test_what_was_written_is_read_back(table):
    assert blob.decode(blob.encode(table)) == table


@BOUNDED
@given(st.binary(max_size=200))
def test_any_bytes_are_a_table_or_an_error(data):
    try:
        assert isinstance(blob.decode(data), dict)
        blob.names(data)
    except UbusError:
        pass


@BOUNDED
@given(mutated(MESSAGES, framed=True))
def test_a_changed_message_is_read_or_refused(data):
    stream = wire.Stream()
    stream.feed(data)
    message = stream.next()
    for parse in (wire.parse, monitor.parse):
        try:
            attributes = parse(message.body)
            if parse is wire.parse and wire.A_DATA in attributes:
                blob.encode(blob.decode(attributes[wire.A_DATA]))
        except UbusError:
            pass


@BOUNDED
@given(st.lists(mutated(MESSAGES), max_size=4), st.integers(1, 40))
def test_a_stream_ends_or_goes_on_and_never_hoards(pieces, size):
    data = b"".join(pieces)
    stream = wire.Stream(4096)
    for start in range(0, len(data), size):
        stream.feed(data[start : start + size])
        try:
            while stream.next():
                pass
        except UbusError:
            break
        assert len(stream._buffer) <= 65536 + 4096 + 12


def test_a_length_that_never_comes_takes_no_memory():
    gc.collect()
    tracemalloc.start()
    streams = [wire.Stream() for _ in range(64)]
    for stream in streams:
        stream.feed(struct.pack(">BBHII", 0, 2, 1, 1, wire.MAX_MESSAGE))
        assert stream.next() is None
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 256 * 1024


def test_small_values_of_a_large_message_take_a_bounded_amount():
    """The worst that a message can become: tables without anything inside, 8 bytes each."""
    size = 1 << 17
    data = b"\x81" + (size - 8).to_bytes(3, "big") + b"\0\1a\0" + b"\x82\0\0\x08\0\0\0\0" * ((size - 16) // 8)
    gc.collect()
    tracemalloc.start()
    blob.decode(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 16 * size


@SOCKETS
@given(st.lists(st.one_of(mutated(TO_BROKER), mutated(TO_BROKER, framed=True), st.sampled_from(TO_BROKER)), max_size=6))
def test_a_broker_goes_on_serving(pieces):
    with Bench() as bench:
        good = bench.client()
        bench.publish(good, "bench", [("add", Method(add, [("a", blob.INT32)]))])
        bad = bench.peer()
        try:
            for piece in pieces:
                bad.put(piece)
            bench.settle(0.005)
        except OSError:
            pass  # it was shown the door
        caller = bench.client()
        assert bench.ask(caller, "bench", "add", {"a": 1}) == (None, {"sum": 1})
        bad.close()
        bench.run(lambda: len(bench.broker._peers) == 2)
        assert [item.path for item in bench.broker._objects.values() if item.path] == ["bench"]
        assert bench.find(caller, None)[0] is None


@SOCKETS
@given(st.lists(st.one_of(mutated(TO_CLIENT), mutated(TO_CLIENT, framed=True), st.sampled_from(TO_CLIENT)), max_size=6))
def test_a_client_goes_on_or_connects_anew(pieces):
    """The other end speaks as a ubusd that lost its mind."""
    faults = []
    with Bench(serve=False) as bench, Silent(bench.path) as server:
        client = Client(bench.path, on_error=faults.append)
        client.add_object("bench", [("add", Method(add, [("a", blob.INT32)]))])
        client.listen("*", lambda _name, data: data.get("x"))
        client.subscribe("other", lambda _kind, data: data.get("x"))
        client.tick(compat.monotonic())
        server.accept()
        compat.fd_send(server.fd, wire.pack(wire.HELLO, 0, 5000))
        step(client)
        # Answers to what the client asks first, so that some of what follows is meant for objects that it knows.
        for seq, number in ((1, 2821837689), (2, 428256352), (3, 4139648833)):
            answer = wire.pack(wire.DATA, seq, 0, [(wire.A_OBJID, number)])
            compat.fd_send(server.fd, answer + wire.pack(wire.STATUS, seq, 0, [(wire.A_STATUS, 0)]))
        for piece in pieces:
            if client.fd < 0:
                break  # it left
            compat.fd_send(server.fd, piece)
            for _ in range(3):
                step(client)
        assert faults == []
        assert client.fd < 0 or client.connected
        assert client.next_timeout() is not None or client.connected
        client.close()


def test_every_recorded_message_cut_anywhere_leaves_the_broker_alive():
    with Bench() as bench:
        caller = bench.client()
        bench.publish(caller, "bench", [])
        for data in TO_BROKER[:40]:
            for size in range(1, len(data), 7):
                peer = Peer(compat.unix_connect(bench.path), bench)
                peer.put(data[:size])
                bench.step()
                peer.close()
        bench.run(lambda: len(bench.broker._peers) == 1)
        assert bench.find(caller, "bench")[0] is None
