"""The sections that LuCI's form sends before anybody saves them, as the agent's method `check` takes them."""

from viscum_agent.errors import problem_text
from viscum_agent.ubus import blob
from viscum_agent.ubus.codes import UbusError
from viscum_agent.ubus_object import preview

ALLOWED = (UbusError,)
TOKENS = [b"\x83\0\0\x14\0\5.type\0\0", b"\x83\0\0\x10\0\5.name\0\0", b"service\0", b"redirect", b"globals\0"]
TOKENS += [b"\x81\0\0\x20\0\7dest_ip\0\0\0", b"203.0.113.1\0", b"\x82\0\0\x08", b"interface", b"command", b"\0\4user"]


def read(data):
    rows = blob.decode(data).get("sections")
    found = preview.read(rows, "viscum")
    for problem in found.problems:
        assert all(" " <= c <= "~" for c in problem_text(problem)), problem
    assert sum([len(problem_text(problem)) for problem in found.problems]) <= 2000 + 60 * len(data)
    return found


def message(rows):
    return blob.encode({"sections": rows})


def seeds():
    service = {".type": "service", ".name": "a", "command": "/bin/x", "dest_ip": ["203.0.113.1"], "interface": ["lan"]}
    more = {"dest_port": ["80", "443"], "proto": ["tcp"], "env": ["A=b"], "egress": ["lan", "203.0.113.7:53"]}
    redirect = {".type": "redirect", ".name": "r", "service": "a", "dest_ip": ["2001:db8::1"], "target_port": "8080"}
    everything = {".type": "globals", ".name": "g", "pool": ["10.213.0.0/16"], "datapath": "auto"}
    rows = [service, redirect, everything, dict(service, **{".name": "b"}, **more)]
    return [message([]), message(rows[:1]), message(rows[:2]), message(rows)]


def slow(size):
    name = lambda number: {".type": "service", ".name": "a%d" % number}  # noqa: E731
    redirect = lambda number: {".type": "redirect", ".name": "r%d" % number, "service": "x"}  # noqa: E731
    yield message([name(number) for number in range(size // 60)])
    yield message([name(0) for _ in range(size // 60)])
    yield message([name(number) for number in range(size // 120)] + [redirect(number) for number in range(size // 160)])
    yield message([dict(name(0), env=["A=%d" % number for number in range(size // 16)])])
    yield message([dict(name(0), env=["A%d=" % number for number in range(size // 16)])])
    yield message([dict(name(0), command="a" * size)])
    yield message([dict(name(0), dest_port=["%d" % (number % 65535 + 1) for number in range(size // 16)])])
    for option in ("dest_ip", "src_ip"):
        yield message([dict(name(0), **{option: ["203.0.113.%d" % (number % 256) for number in range(size // 24)]})])
    yield message(
        [dict(redirect(number), service="a0", dest_port=["%d" % (number + 1)]) for number in range(size // 99)]
        + [name(0)]
    )
