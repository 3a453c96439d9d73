"""Messages, and the stream they come in; against what ubusd and the `ubus` command said to each other."""

from unit.shared import ubus_bench
from unit.shared.expect import raises

from viscum_agent.ubus import blob, monitor, wire
from viscum_agent.ubus.codes import TooLargeError, UbusError
from viscum_agent.ubus.wire import Stream


def messages(stream):
    found = []
    while True:
        message = stream.next()
        if message is None:
            return found
        found.append(message)


def read(name, direction):
    """The messages of one direction of a recording, with what their data say."""
    stream = Stream()
    for way, data in ubus_bench.recording(name):
        if way == direction:
            stream.feed(data)
    return [(message, wire.parse(message.body)) for message in messages(stream)]


def again(message):
    """A message written anew from what was read of it."""
    if message.kind == wire.MONITOR:
        return monitor.pack(message.seq, in_order(message.body, monitor.parse))
    return wire.pack(message.kind, message.seq, message.peer, in_order(message.body, wire.parse))


def in_order(body, parse):
    values = parse(body)
    return [(number, values[number]) for number, _, _, _ in blob.attributes(body, 0, len(body))]


def test_every_recorded_message_is_written_as_it_was_read():
    count = 0
    for name in ubus_bench.recordings():
        for _, data in ubus_bench.recording(name):
            stream = Stream()
            stream.feed(data)
            assert again(stream.next()) == data, name
            count += 1
    assert count > 200


def test_recorded_data_are_written_as_they_were_read():
    for name in ("call", "listen", "send", "server", "wait_for"):
        for direction in "<>":
            for _, attributes in read(name, direction):
                if wire.A_DATA in attributes:
                    data = attributes[wire.A_DATA]
                    fields = blob.decode(data)
                    pairs = [(field, fields[field]) for field, _ in blob.names(data)]
                    if len(pairs) < 3:  # what has an order inside comes back in none
                        assert blob.encode(pairs) == data, name


def test_a_recorded_call_says_what_was_typed():
    _, invoke = read("call", ">")
    assert invoke[0].kind == wire.INVOKE and invoke[1][wire.A_METHOD] == "hello"
    assert blob.decode(invoke[1][wire.A_DATA]) == {
        "id": 7,
        "msg": "h\u00e9llo",
        "t": True,
        "f": False,
        "n": None,
        "d": 2.5,
        "big": 1099511627776,
        "neg": -3,
        "a": [1, "x", {"y": []}],
        "o": {"k": {"l": ""}},
    }
    hello, found, _, reply, status = read("call", "<")
    assert hello[0].kind == wire.HELLO and hello[0].peer >= wire.OBJECT_MAX
    assert found[1][wire.A_OBJPATH] == "test"
    assert blob.decode(found[1][wire.A_SIGNATURE])["hello"] == {"id": blob.INT32, "msg": blob.STRING}
    assert reply[0].peer == found[1][wire.A_OBJID] == invoke[0].peer
    assert blob.decode(reply[1][wire.A_DATA]) == {"message": "test received a message: h\u00e9llo"}
    assert status[1][wire.A_STATUS] == 0


def test_recorded_statuses_are_the_ones_that_have_names():
    assert read("call_unknown_object", "<")[-1][1][wire.A_STATUS] == 4  # NOT_FOUND
    assert read("call_unknown_method", "<")[-1][1][wire.A_STATUS] == 3  # METHOD_NOT_FOUND


def test_subscribers_of_a_recorded_notification():
    answers = [attributes for _, attributes in read("client", "<") if wire.A_SUBSCRIBERS in attributes]
    assert answers and wire.numbers(answers[0][wire.A_SUBSCRIBERS]) == [0x96EE4359]
    assert wire.pack_numbers([0x96EE4359]) == answers[0][wire.A_SUBSCRIBERS]


def test_messages_come_out_however_they_are_cut():
    whole = b"".join([data for way, data in ubus_bench.recording("server") if way == "<"])
    stream = Stream()
    stream.feed(whole)
    wanted = messages(stream)
    assert len(wanted) > 5
    for size in (1, 7, 12, 13, 500):
        stream = Stream()
        found = []
        for start in range(0, len(whole), size):
            stream.feed(whole[start : start + size])
            found.extend(messages(stream))
        assert found == wanted


def test_a_stream_that_is_no_ubus_is_refused_at_its_first_header():
    for data in (
        b"\1\0\0\0\0\0\0\0\0\0\0\4",  # version 1
        b"\0\0\0\0\0\0\0\0\0\0\0\3",  # shorter than its own header
        b"\0\0\0\0\0\0\0\0\0\x10\0\1",  # 1 MiB and a byte
        b"GET / HTTP/1.1\r\n",
    ):
        stream = Stream()
        stream.feed(data)
        raises(UbusError, stream.next)


def test_a_limit_holds_for_both_directions():
    wire.pack_body(wire.DATA, 1, 1, b"\0" * (wire.MAX_MESSAGE - 4))
    raises(TooLargeError, wire.pack_body, wire.DATA, 1, 1, b"\0" * (wire.MAX_MESSAGE - 3))
    small = Stream(64)
    small.feed(wire.pack_body(wire.DATA, 1, 1, b"\0" * 60))
    assert small.next() is not None
    small.feed(wire.pack_body(wire.DATA, 1, 1, b"\0" * 61))
    raises(UbusError, small.next)


def test_attributes_of_a_wrong_type_are_refused():
    for body in (
        b"\1\0\0\6\0\0\0\0",  # a status of two bytes
        b"\1\0\0\4",
        b"\2\0\0\4",  # a path without its NUL
        b"\2\0\0\x08abcd",
        b"\x09\0\0\4",  # a flag of nothing
        b"\3\0\0\x0c\0\0\0\1",  # longer than what is there
        b"\3\0\0",
        b"\x7f\0\0\0",  # of no length, so that the next one would be itself
    ):
        raises(UbusError, wire.parse, body)


def test_attributes_that_are_not_known_are_left_out():
    assert wire.parse(b"\x7f\0\0\x08abcd" + b"\3\0\0\x08\0\0\4\0") == {wire.A_OBJID: 1024}


def test_patterns():
    for pattern, name, meant in (
        ("viscum", "viscum", True),
        ("viscum", "viscum.x", False),
        ("viscum.*", "viscum.x", True),
        ("viscum.*", "viscum", False),
        ("*", "", True),
        ("a*b", "axb", False),
    ):
        assert wire.matches(pattern, name) == meant
