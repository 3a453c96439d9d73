"""What a program prints: any bytes, in datagrams of any size. The first byte is the size of the pieces."""

from fuzz.fuzzing import Pieces

from viscum_agent.log import PRINTED, Printed
from viscum_agent.service import output

ALLOWED = ()
TOKENS = [
    b"\n",
    b"\r",
    b"\x1b[2J",
    b"\xe2\x80\xae",
    b"\xc2\x9b",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\xf3\xa0\x80\x81",
    b"\xff",
]
ROOM = 12 * output.LONGEST  # bytes of a line, all of which may have to be escaped


def read(data):
    pieces = Pieces(data)
    size, data = pieces.number(255) + 1, pieces.rest()
    whole = lines_of(data, len(data) + 1)
    if data.count(b"\n") + len(data) // output.LONGEST < output.BURST - 2:  # else some are left out
        assert lines_of(data, size) == whole, "the same lines, whatever the pieces"
    kept = Printed()
    for number, line in enumerate(whole):
        assert 0 < len(line) <= ROOM
        assert all(ord(c) >= 32 and not 127 <= ord(c) < 160 and c not in "\u2028\u2029\u202e\ufeff" for c in line)
        kept.add("s", number, line)
    found = [text for _, _, text in kept.of("s")]
    assert found == whole[len(whole) - len(found) :]
    assert len(kept._of.get("s", b"")) <= PRINTED
    return whole


def lines_of(data, size):
    lines = output.Lines(0.0)
    found = []
    for start in range(0, len(data), size):
        found += lines.take(data[start : start + size], 0.0)
        assert len(lines._rest) <= output.LONGEST
    return found + lines.flush(0.0)


def seeds():
    return [
        b"\7one\ntwo\n",
        b"\1caf\xc3\xa9\n\x1b[31mred\n",
        b"\x40" + b"x" * 900 + b"\nlast",
        b"\xff" + b"\n" * 300 + b"a",
    ]


def slow(size):
    for piece in (b"\n", b"a", b"\xff", b"\xe2\x80\xae", b"a\n", b" "):
        yield b"\xfe" + piece * (size // len(piece))
