"""ubus values (blobmsg): the arguments and answers of any program on the bus."""

from viscum_agent.ubus import blob
from viscum_agent.ubus.codes import UbusError

ALLOWED = (UbusError,)
TOKENS = [b"\x81\0\0\x08", b"\x82\0\0\x08", b"\x83\0\0\x0c", b"\x84\0\0\x10", b"\x85\0\0\x0c", b"\x86\0\0\x0a"]
TOKENS += [b"\x87\0\0\x09", b"\x88\0\0\x10", b"\x80\0\0\x08", b"\0\0\0\0", b"\0\1a\0", b"\xff\xff", b"\x81\0\0\x10"]


def read(data):
    blob.names(data)
    table = blob.decode(data)
    again = blob.decode(blob.encode(table))
    assert same(again, table)
    return table


def same(one, other):
    """Equal, where NaN equals itself."""
    if isinstance(one, dict):
        return set(one) == set(other) and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all([same(one[at], other[at]) for at in range(len(one))])
    return one == other or (one != one and other != other)


def seeds():
    deep: list = []
    for _ in range(30):
        deep = [deep]
    tables = [
        {"a": 1, "b": [True, None, -1, 1 << 40], "c": {"d": "e\u00e9", "": ""}, "f": 1.5},
        {"interface": [{"interface": "lan", "l3_device": "br-lan", "up": True, "ipv4-address": [{"mask": 24}]}]},
        {"sections": [{".type": "service", ".name": "a", "command": "/bin/x", "dest_ip": ["203.0.113.1"]}]},
        {"x": blob.Typed(blob.INT16, 3), "y": blob.Typed(blob.INT64, 3), "z": deep},
    ]
    return [blob.encode(table) for table in tables]


def slow(size):
    yield b"\x81" + (size + 8).to_bytes(3, "big") + b"\0\1a\0" + b"\x82\0\0\x08\0\0\0\0" * (size // 8)
    yield b"\x80\0\0\x08\0\0\0\0" * (size // 8)
    yield b"".join([b"\x80\0\0\x0c\0\4%04x\0\0" % (number & 0xFFFF) for number in range(size // 12)])
    text = b"\xff" * size + b"\0"
    yield b"\x83" + (size + 9).to_bytes(3, "big") + b"\0\1a\0" + text + bytes(-len(text) & 3)
