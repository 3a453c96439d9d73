"""The value of any option: addresses, ports, capabilities, egress, groups of system calls, limits and all others.

The first byte says which option, the rest is the text."""

from fuzz.fuzzing import Pieces

from viscum_agent import address
from viscum_agent.config import schema, uci
from viscum_agent.config.service import split_words
from viscum_agent.errors import problem_text

ALLOWED = ()
OPTIONS = [(kind, option) for kind in sorted(schema.SECTIONS) for option in schema.SECTIONS[kind]]
TOKENS = [b"203.0.113.7", b"/24", b":443", b"[2001:db8::7]", b"::ffff:1.2.3.4", b"fe80::1%eth0", b"-", b"5000-5010"]
TOKENS += [b"none", b"wan", b"cap_", b"net_admin", b"all", b"unlimited", b"64m", b"0x10", b"1_0", b" 1", b"+1", b"1e3"]
TOKENS += ["\u0663".encode(), b"4294967295", b"A=b", b"VISCUM_X=", b"/..", b"//", b"@wifi", b"'", b'"', b"\\", b"022"]


def read(data):
    pieces = Pieces(data)
    kind, option = OPTIONS[pieces.number(len(OPTIONS))]
    raw = pieces.rest()
    try:
        text = str(raw, "utf-8")
    except UnicodeError:
        return None
    if uci._decode(raw) is None:  # what no file holds
        return None
    section = uci.Section(kind, "s", False, {option.name: [text] if option.many else text}, 1)
    values, problems = schema.check(section, "viscum")
    for problem in problems:
        assert all(" " <= c <= "~" for c in problem_text(problem)), problem
        assert len(problem.message) < 900, problem
    return option.name, values.get(option.name), problems, words(text), parsed(text)


def words(text):
    try:
        return split_words(text)
    except ValueError as error:
        return str(error)


def parsed(text):
    """An address or prefix, which reads back what it is written as."""
    try:
        prefix = address.parse_prefix(text)
    except ValueError as error:
        return str(error)
    assert address.parse_prefix(address.format_prefix(prefix)) == prefix
    return prefix


def seeds():
    texts = ["203.0.113.0/24", "[2001:db8::7]:53", "203.0.113.7:443", "5000-5010", "net_admin", "all", "none", "64m"]
    texts += ["A=b", "nobody", "65534", "/srv/data", "phy*-ap0", "lan", "022", "-20", "unlimited", "auto", "tcp", "1"]
    texts += [
        "/bin/x 'a b' \"c\" \\d",
        "10.213.0.0/16",
        "fd76:7363:756d::/64",
        "namespaces",
        "io_uring",
        "@wifi",
        "::1",
    ]
    return [bytes([number]) + texts[number % len(texts)].encode() for number in range(len(OPTIONS))] + [
        bytes([number % len(OPTIONS)]) + text.encode() for number, text in enumerate(texts * 3)
    ]


def slow(size):
    types = [option.type.name for _, option in OPTIONS]
    for name in sorted(set(types)):
        number = bytes([types.index(name)])
        for piece in (b"1", b"[", b"1."):
            yield number + piece * (size // len(piece))
        yield number + b"1.2.3.4/" + b"9" * size
    for piece in (b"\\", b"a", b"'a'", b"a ", b'"a', b"a="):
        yield b"\0" + piece * (size // len(piece))
