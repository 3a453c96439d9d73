"""Whatever is in a UCI file, the reader answers with sections or a UciError, and it reads back what was written."""

from hypothesis import given, settings
from hypothesis import strategies as st

from viscum_agent import shell
from viscum_agent.config import uci
from viscum_agent.errors import UciError

BOUNDED = settings(max_examples=300, deadline=None)

# Pieces that mean something to the reader; random bytes alone hardly ever get behind the first word.
PIECES = [b"config", b"option", b"list", b"package", b"c", b"o", b"l", b"p", b"a", b"b1", b"x-y", b"cfg01b606", b"a b"]
PIECES += [b" ", b"\t", b"\n", b"\r\n", b"\r", b"\v", b";", b"#", b"'", b'"', b"\\", b"\\\n", b"''", b"'q'"]
PIECES += [b"config a\n", b"config a b\n", b"\toption x 'y'\n", b"\tlist x y\n", b"\xc3\xa9", b"\xff", b"\0"]

NAMES = st.text("abcxyzABC_0129", min_size=1, max_size=6)
TYPES = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=8)
VALUES = st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=20)
TRICKY = st.text("ab '\"\\#;\n\r\t\u00e9", max_size=12)
TEXTS = st.one_of(VALUES, TRICKY)
OPTIONS = st.dictionaries(NAMES, st.one_of(TEXTS.filter(len), st.lists(TEXTS, min_size=1, max_size=4)), max_size=5)
SECTIONS = st.lists(st.tuples(TYPES, st.one_of(st.none(), NAMES), OPTIONS), max_size=5)


def outcome(data):
    """The sections, or the error; anything else that the reader raises fails the test that asked."""
    try:
        sections = uci.parse(data, "fuzz")
    except UciError as error:
        assert 1 <= error.line <= data.count(b"\n") + 1  # noqa: PT017 (an error is one of two right outcomes)
        assert error.reason.isprintable()  # noqa: PT017
        return error
    for section in sections:
        assert section.name and section.type
        assert 1 <= section.line <= data.count(b"\n") + 1
        for value in section.options.values():
            assert isinstance(value, str) or [str] == list({type(item) for item in value})
    return sections


def in_single_quotes(text, draw):
    return "'" + text.replace("'", draw(st.sampled_from(["'\\''", "'\"'\"'"]))) + "'"


def in_double_quotes(text, draw):
    joint = draw(st.sampled_from(["", "\\\n"]))
    return '"' + joint + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def in_mixed_quotes(text, draw):
    """A style of its own for every character: bare, behind a backslash, in quotes, with joined lines between."""
    pieces = ["''"]  # an empty text has to be written somehow
    for char in text:
        styles = ["'%s'" % char] if char != "'" else ['"\'"']
        if char not in '"\\':
            styles.append('"%s"' % char)
        if char not in "\r\n":
            styles.append("\\" + char)
        if char not in " \t\n\r\v\f\"'\\#;":
            styles += [char, "\\\n" + char]
        pieces.append(draw(st.sampled_from(styles)))
    return "".join(pieces)


def write(sections, word):
    """A file with `sections` as (type, name or None, options), each word of it written by `word`."""
    lines = []
    for kind, name, options in sections:
        lines.append("config " + word(kind) + (" " + word(name) if name else ""))
        for key, value in options.items():
            if isinstance(value, str):
                lines.append("\toption %s %s" % (word(key), word(value)))
            else:
                lines += ["\tlist %s %s" % (word(key), word(item)) for item in value]
    return "\n".join(lines + [""]).encode()


def unambiguous(sections):
    """Without those whose name was used before. (The letters of NAMES spell no generated name: it begins with cfg.)"""
    seen = set()
    kept = []
    for section in sections:
        if section[1] is None or section[1] not in seen:
            kept.append(section)
        seen.add(section[1])
    return kept


def as_written(sections):
    return [(s.type, None if s.anonymous else s.name, s.options) for s in sections]


@BOUNDED
@given(st.binary(max_size=200))
def test_any_bytes(data):
    outcome(data)


@BOUNDED
@given(st.lists(st.sampled_from(PIECES), max_size=40))
def test_any_pieces_of_syntax(pieces):
    outcome(b"".join(pieces))


@BOUNDED
@given(SECTIONS, st.integers(0, 400), st.integers(0, 3), st.sampled_from(PIECES))
def test_a_file_that_was_damaged(sections, place, removed, piece):
    data = write(sections, shell.quote)
    place = min(place, len(data))
    outcome(data[:place] + piece + data[place + removed :])


@BOUNDED
@given(SECTIONS, st.integers(0, 400))
def test_a_file_that_was_cut_off(sections, length):
    outcome(write(sections, shell.quote)[:length])


@BOUNDED
@given(TEXTS.filter(len), st.data())
def test_a_value_is_read_back_however_it_was_quoted(text, data):
    style = data.draw(st.sampled_from([in_single_quotes, in_double_quotes, in_mixed_quotes]))
    line = "option %s %s\n" % (style("x", data.draw), style(text, data.draw))
    (section,) = uci.parse(b"config a\n" + line.encode(), "fuzz")
    assert section.options == {"x": text}


@BOUNDED
@given(SECTIONS.map(unambiguous))
def test_sections_are_read_back(sections):
    assert as_written(uci.parse(write(sections, shell.quote), "fuzz")) == sections


@BOUNDED
@given(st.lists(st.sampled_from(PIECES), max_size=40))
def test_what_was_read_can_be_written_and_read_again(pieces):
    first = outcome(b"".join(pieces))
    if isinstance(first, UciError):
        return
    again = uci.parse(write(as_written(first), shell.quote), "fuzz")
    assert as_written(again) == as_written(first)
