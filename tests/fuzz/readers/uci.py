"""UCI files, as root and every package that edits /etc/config may write them."""

from viscum_agent.config import uci
from viscum_agent.errors import UciError

ALLOWED = (UciError,)
TOKENS = [b"config ", b"option ", b"list ", b"package ", b"c a\n", b"o b 'c'\n", b"l b c\n", b"#", b";", b"\\\n"]
TOKENS += [b"'", b'"', b"\\", b"\r\n", b"\v", b"cfg01b606", b"\xc3\xa9", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\0"]


def read(data):
    count = data.count(b"\n") + 1
    try:
        sections = uci.parse(data, "fuzz")
    except UciError as error:
        check(error, count)
        raise
    for section in sections:
        assert section.name and section.type
        assert 1 <= section.line <= count
    return sections


def check(error, count):
    assert 1 <= error.line <= count
    assert all(" " <= c <= "~" for c in error.reason), error.reason


def seeds():
    from pathlib import Path

    root = Path(__file__).resolve().parents[3]
    found = [(root / "files/etc/config/viscum").read_bytes()]
    for path in sorted((root / "tests/golden").glob("*/*"))[::12]:
        text = path.read_bytes()
        if text.startswith(b"config "):
            found.append(text[:1500])
    return found + [b"config a 'b'\n\toption c \"d\\\ne\"\n\tlist f 'g'; list f h #i\n"]


def slow(size):
    yield b"c a\n" * (size // 4)
    yield b"c a\n" + b"l b c\n" * (size // 6)
    yield b"c a\n" + b"".join([b"o x%d y\n" % number for number in range(size // 12)])
    yield b"c a\no b " + b"''" * (size // 2)
    yield b"c a\no b " + b"'\n'" * (size // 3)
    yield b"c a\no b " + b"\\\n" * (size // 2)
    yield b"c a\no b " + b'"' * size
    yield b"c a\no b '" + b"\n" * size
    yield b"c a\no b '" + b"x" * size
    yield b"c " + b"a" * size + b"\n" + b"c b\n"
    yield b"p a;" * (size // 4)
