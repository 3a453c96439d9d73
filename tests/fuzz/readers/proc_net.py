"""The lists of open sockets and connections in /proc/net, which OpenWrt has in place of sock_diag. A program opens as
many as it likes, wherever it likes; the kernel writes the lines. So an input says what is in them, and a reader must
find exactly that, however the file falls into pieces."""

from fuzz.fuzzing import Pieces

from viscum_agent import compat
from viscum_agent.kernel import listening
from viscum_agent.records.facts import Ports

ALLOWED = ()
COUNT = 40
TOKENS = [b"\x0a", b"\1", b"\7", b"\xff" * 8, bytes(8)]
HEAD = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
STATES = (10, 10, 10, 1, 3, 4, 6, 7, 8, 11, 12)


def row(pieces, number, width):
    """(line, state, (address, port), (address, port), what waits, inode) as the kernel's get_tcp4_sock writes it."""
    state = STATES[pieces.number(len(STATES))]
    ends = []
    for _ in range(2):
        packed = bytes([pieces.number(256) for _ in range(4)]) * (width // 8) if pieces.number(4) else bytes(width // 2)
        ends.append((packed, pieces.number(65536)))
    if state in (10, 7):
        ends[1] = (bytes(width // 2), 0)
    waits, inode = pieces.number(1 << 32), pieces.number(1 << 32)
    texts = tuple(["%s:%04X" % (words(packed), port) for packed, port in ends])
    form = "%4d: %s %s %02X %08X:%08X 02:%08X %08X %5d        %d %d 2 0000000000000000 100 0 0 10 %d"
    line = form % ((number,) + texts + (state, 7, waits, 9, 0, 65534, 0, inode, -1))
    return (line + " " * (149 - len(line))).encode() + b"\n", state, ends[0], ends[1], waits, inode


def words(packed):
    """32-bit numbers in this machine's byte order."""
    import sys

    return "".join(["%08X" % int.from_bytes(packed[at : at + 4], sys.byteorder) for at in range(0, len(packed), 4)])


def read(data):
    pieces = Pieces(data)
    size = pieces.number(4096) + 200  # never less than the heading
    files, rows = {}, {}
    for name, width in (("tcp", 8), ("tcp6", 32)):
        made = [row(pieces, number, width) for number in range(pieces.number(12))]
        # The kernel lists open sockets first. (sort() of MicroPython keeps no order.)
        made = [one for one in made if one[1] == 10] + [one for one in made if one[1] != 10]
        rows[name] = made
        files[name] = HEAD + b"".join([one[0] for one in made])
    files["udp"] = files["udp6"] = HEAD
    before, before_size = listening._read, listening.PIECE
    listening._read = lambda name, step, first=size: from_pipe(files[name], step, first)
    listening.PIECE = size
    try:
        check(rows)
        return listening.listeners({"tcp": Ports({80}, [(1000, 40000)]), "udp": Ports(set(), [])}), listening.flows()
    finally:
        listening._read, listening.PIECE = before, before_size


def from_pipe(data, step, first):
    """A file that is read by its descriptor, as the agent reads one."""
    path = "/tmp/viscum-fuzz-%d" % compat.getpid()
    with open(path, "wb") as file:
        file.write(data)
    fd = compat.fd_open(path, 0)
    try:
        return listening._read_lines(fd, step, first)
    finally:
        compat.fd_close(fd)
        compat.unlink(path) if hasattr(compat, "unlink") else remove(path)


def remove(path):
    import os

    os.unlink(path)


def check(rows):
    opened: set = set()
    flows, waiting, inodes = [], {}, []
    for name in ("tcp", "tcp6"):
        for _, state, near, far, waits, inode in rows[name]:
            if state == 10:
                opened.add(near[1])
                waiting[inode] = waits
            elif near[1] in opened:
                flows.append((far[0], far[1], near[0], near[1]))
                if state in (1, 8):
                    inodes.append(inode)
    found = [tuple(one) for one in listening.flows()]
    assert found == flows, (found, flows)
    assert listening.clients() == (
        [one for one in inodes if one],
        {one: waiting[one] for one in waiting if waiting[one]},
    )
    assert listening.connections() == len(inodes)
    ends = [end for name in rows for _, state, end, _, _, _ in rows[name] if state == 10 and end[1]]
    seen = [(one.address, one.port) for one in listening.listeners()]
    for packed, port in ends:
        packed = packed[12:] if packed[:12] == listening._MAPPED else packed
        assert (packed if any(packed) else b"", port) in seen


def seeds():
    import random

    chance = random.Random(15)
    return [bytes([0, 200 - size % 90, 3 + size % 9]) + chance.randbytes(20 * size) for size in range(12)]
