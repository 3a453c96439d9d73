"""ubus messages: what arrives at the agent's client and at its own broker, in pieces of any size.

The first byte is the size of the pieces, the rest what arrives."""

from fuzz.fuzzing import Pieces

from viscum_agent.ubus import blob, broker, client, monitor, wire
from viscum_agent.ubus.codes import UbusError

ALLOWED = ()
LIMIT = 4096  # bytes of a message
TOKENS = [b"\0\2\0\1\0\0\0\0\0\0\0", b"\x01\0\0\x08\0\0\0\0", b"\x03\0\0\x08", b"\x04\0\0\x06", b"\x07\0\0\x08"]
TOKENS += [b"\x0b\0\0\x04", b"\x0a\0\0\x05\1\0\0\0", b"\xff\xff\xff", b"\0\x10\0\0", b"\0\0\0\4"]


def read(data):
    pieces = Pieces(data)
    size, data = pieces.number(255) + 1, pieces.rest()
    stream, found = wire.Stream(LIMIT), []
    for start in range(0, len(data), size):
        stream.feed(data[start : start + size])
        try:
            message = stream.next()
            while message:
                found.append(message)
                message = stream.next()
        except UbusError as error:
            found.append(str(error))
            break
    assert len(stream._buffer) <= 65536 + LIMIT + wire.HEADER + 255
    return [(each, contents(each)) for each in found if isinstance(each, tuple)] + found[-1:]


def contents(message):
    found = [attempt(monitor.parse, message.body), attempt(wire.parse, message.body)]
    attributes = found[-1]
    if not isinstance(attributes, dict):
        return found
    for number in (wire.A_DATA, wire.A_SIGNATURE):
        if number in attributes:
            found += [attempt(blob.decode, attributes[number]), attempt(blob.names, attributes[number])]
            found.append(attempt(broker._event_fields, attributes[number]))
    if wire.A_SUBSCRIBERS in attributes:
        found.append(attempt(wire.numbers, attributes[wire.A_SUBSCRIBERS]))
    known = {number: attributes[number] for number in attributes if number != wire.A_SIGNATURE}
    assert wire.parse(wire.pack_attributes(list(known.items()))) == known
    client._looked_up(0, [attributes], lambda error, methods: found.append((str(error), methods)))
    client._invoked(0, [attributes, attributes], lambda error, reply: found.append((str(error), reply)))
    return found


def attempt(function, data):
    try:
        return function(data)
    except UbusError as error:
        return str(error)


def seeds():
    from unit.shared import ubus_bench

    found = []
    for name in ubus_bench.recordings():
        messages = [data for _, data in ubus_bench.recording(name)]
        found += [b"\x07" + each for each in messages[:12]] + [b"\xfe" + b"".join(messages)[:4000]]
    return found


def slow(size):
    yield b"\xfe" + b"\0\0\0\0\0\0\0\0\0\0\0\4" * (size // 12)
    yield b"\0" + b"\0\2\0\0\0\0\0\0\0\0\x10\0" + bytes(size)
    yield b"\xfe\0\2\0\0\0\0\0\0\0\0\x10\0" + b"\3\0\0\5a\0\0\0" * (size // 8)
