"""What a process says of itself: its name, its environment, the paths of its descriptors. The agent must find what the
kernel says among it, whatever the process puts there."""

from fuzz.fuzzing import Pieces

from viscum_agent.service import running

ALLOWED = ()
TOKENS = [
    b")",
    b"(",
    b" ",
    b"\n",
    b"\0",
    b"VISCUM_PROGRAM=",
    b"VISCUM_SERVICE=",
    b") S 1 2 ",
    b"\xff",
    b"=",
    b"socket:[1]",
]


def read(data):
    pieces = Pieces(data)
    pid, session, began = pieces.number(1 << 22), pieces.number(1 << 22), pieces.number(1 << 32)
    name = pieces.bytes(15)
    tag, environment = pieces.bytes(20).replace(b"\0", b"."), pieces.rest()
    fields = ["S", "1", "2", session, 0, -1] + [0] * 13 + [began] + [0] * 30
    files = {
        "/proc/%d/stat" % pid: b"%d (%s) " % (pid, name) + " ".join([str(field) for field in fields]).encode() + b"\n",
        "/proc/%d/environ" % pid: (b"A=1\0%s=%s\0" % (running.TAG.encode(), tag) + environment)[: running.MOST],
    }
    before, running._read = running._read, lambda path: files.get(path, b"")
    try:
        assert running.stat(pid) == (b"S", str(session).encode(), str(began).encode())
        assert running.alive(pid) and running._began(pid) == began
        assert running.main_pid([pid, pid]) == pid
        assert running.started_with(pid, running.TAG) == tag
        visitor = running._is_visitor(pid)
        assert not tag or not visitor
        return visitor, running.started_with(pid, "A"), running.started_with(pid, running.SERVICE)
    finally:
        running._read = before


def seeds():
    names = [b"nginx", b"a) S 1 (b", b"\n) R 0 0", b"))))))", b"\xff\xfe"]
    return [
        b"\0\0\1\0" * 3 + bytes([len(name)]) + name + b"\4abcdVISCUM_SERVICE=x\0VISCUM_PROGRAM=y\0" for name in names
    ]


def slow(size):
    head = bytes(12) + b"\0" + b"\0"
    for piece in (b"\0", b"VISCUM_PROGRAM=\0", b"V", b"=\0"):
        yield head + piece * (size // len(piece))
