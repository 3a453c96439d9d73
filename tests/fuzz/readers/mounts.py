"""What is mounted, as /proc/self/mounts and /proc/self/mountinfo have it: places and devices may have any name."""

from fuzz.fuzzing import Pieces

from viscum_agent.kernel import cgroup
from viscum_agent.service import view

ALLOWED = ()
TOKENS = [b"cgroup2", b"/sys/fs/cgroup", b"shared:1", b"master:2", b" / ", b" - ", b"\\040", b"\n", b"\xff", b"/"]
TYPES = (b"cgroup2", b"cgroup", b"tmpfs", b"overlay", b"cgroup2x", b"proc")
LINE = b"%s %s %s rw,nosuid 0 0\n"
LONG = b"%d 1 0:%d / %s rw,relatime %s- %s %s rw\n"


def read(data):
    pieces = Pieces(data)
    if not pieces.number(4):
        text = pieces.rest()
        return found(text), view.is_private(text), view.proc_places(text)
    places, procs, private = [], [], False
    short, long = [], []
    while pieces:
        kind, shared = TYPES[pieces.number(len(TYPES))], (b"", b"shared:7 ", b"master:3 ")[pieces.number(3)]
        device, raw = name(pieces.bytes(12)), b"/" + pieces.bytes(12).replace(b"\0", b".")
        place = name(raw)
        procs += [raw] if kind == b"proc" else []
        short.append(LINE % (device, place, kind))
        long.append(LONG % (len(long) + 20, len(long), place, shared, kind, device))
        places += [place] if kind == b"cgroup2" else []
        private = private or (place == b"/" and shared != b"shared:7 ")
    plain = [place.decode() for place in places if b"\\" not in place and max(place) < 127]
    assert found(b"".join(short)) == (plain[0] if plain else ""), short
    assert view.is_private(b"".join(long)) == private, long
    assert view.proc_places(b"".join(long)) == procs, long
    return plain, private


def found(text):
    """Where the agent makes its control groups."""
    before, cgroup._read = cgroup._read, lambda path: text
    try:
        place = cgroup._mount_point()
    finally:
        cgroup._read = before
    assert isinstance(place, str)
    return place


def name(raw):
    """As the kernel writes a name there (mangle of fs/proc_namespace.c)."""
    text = b""
    for byte in raw.replace(b"\0", b"."):
        text += b"\\%03o" % byte if byte in b" \t\n\\#" else bytes([byte])
    return text or b""


def seeds():
    lines = b"none /sys/fs/cgroup cgroup2 rw,nosuid,nodev,noexec,relatime 0 0\n/dev/root /rom squashfs ro 0 0\n"
    long = b"20 1 0:1 / / rw,relatime shared:1 - overlay overlayfs:/overlay rw\n21 20 0:2 / /sys rw - sysfs none rw\n"
    pieces = (b"\0\0\4none\0", b"\0\1\4none\6cgroup", b"\3\2\1a\0", b"\0\0\1a\2\xff/", b"\0\0\1a\3a b", b"\2\0\0\0")
    return [b"\0" + lines, b"\0" + long, b"\0"] + [b"\1" + one + two for one in pieces for two in pieces]


def slow(size):
    for piece in (b"\n", b" ", b"a a cgroup2 ", b"a \\ cgroup2 a\n", b"1 1 0:1 / / rw - a b c\n"):
        yield b"\0" + piece * (size // len(piece))
