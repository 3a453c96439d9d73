"""The agent's own broker: whatever a client sends, others are served, and nothing of it stays.

The first bit says whether it is a client without rights, the rest is what it sends."""

import os

from unit.shared.ubus_bench import HANG, Bench, add

from viscum_agent import compat
from viscum_agent.ubus import blob, broker
from viscum_agent.ubus.budget import Budget
from viscum_agent.ubus.client import Method

ALLOWED = ()
COUNT = 40
ALONE = True  # sockets and clocks: what it prints is not compared with the other interpreter
TOKENS = [b"\0\4\0\1\0\0\0\0\0\0\0\4", b"\2\0\0\x0abench\0\0\0", b"\3\0\0\x08\0\0\0\1", b"\4\0\0\x09send\0\0\0\0"]
TOKENS += [b"\4\0\0\x0dregister\0\0\0\0", b"\4\0\0\x08add\0", b"\3\0\0\x08\0\0\0\3", b"\7\0\0\4", b"\6\0\0\4", b"\0\6"]
GUEST = 65534
_bench = []


def bench():
    """One broker for all inputs, with a client that publishes something."""
    if not _bench:
        broker.GUEST_MESSAGES = broker.GUEST_BYTES = (1e9, 1e9)
        made = Bench({"bench": ("add",)})
        made.broker._messages = made.broker._bytes = Budget(1e9, 1e9)
        owner, caller = made.client(), made.client()
        made.publish(owner, "bench", [("add", Method(add, [("a", blob.INT32)]))])
        _bench.append((made, caller))
    return _bench[0]


def read(data):
    made, caller = bench()
    is_guest = bool(data) and data[0] & 1 and compat.geteuid() == 0
    bad = connect(made, is_guest)
    try:
        compat.fd_send(bad, data[1:60000])
        for _ in range(6):
            made.step()
        assert made.ask(caller, "bench", "add", {"a": 1}) == (None, {"sum": 1})
    except OSError:
        pass  # it was shown the door
    finally:
        compat.fd_close(bad)
    end = compat.monotonic() + HANG
    while len(made.broker._peers) > 2:
        assert compat.monotonic() < end
        made.step()
    assert [item.path for item in made.broker._objects.values() if item.path] == ["bench"]
    assert made.broker._queued(lambda each: True) == 0
    assert len(made.broker._types) == 1 and len(made.broker._peers_by_id) == 2
    del made.notes[:]
    return


def connect(made, is_guest):
    if not is_guest:
        return compat.unix_connect(made.path)
    os.seteuid(GUEST)  # the kernel tells the broker who connects
    try:
        return compat.unix_connect(made.path)
    finally:
        os.seteuid(0)


def seeds():
    from unit.shared import ubus_bench

    found = []
    for name in ubus_bench.recordings():
        sent = [data for way, data in ubus_bench.recording(name) if way == ">"]
        found += [b"\0" + b"".join(sent)[:3000], b"\1" + b"".join(sent)[:3000]]
    return found
