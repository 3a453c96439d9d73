"""UCI syntax as libuci reads it, case by case. Every expectation was seen to hold for the real `uci export` too,
except where a test says that Viscum differs."""

import os
import time

import pytest

from viscum_agent import shell
from viscum_agent.config import uci
from viscum_agent.errors import ConfigError, UciError
from viscum_agent.utf8 import is_strict


def parse(text):
    return uci.parse(text.encode() if isinstance(text, str) else text, "viscum")


def options(text):
    """The options of a file's only section, written without its `config` line."""
    data = text.encode() if isinstance(text, str) else text
    (section,) = parse(b"config service 's'\n" + data)
    return section.options


def error(text):
    with pytest.raises(UciError) as caught:
        parse(text)
    assert caught.value.file == "viscum"
    return caught.value


# What people write


def test_a_configuration_as_uci_commit_writes_it():
    sections = parse(
        "\n"
        "config viscum 'global'\n"
        "\toption datapath 'auto'\n"
        "\n"
        "config service 'iperf'\n"
        "\toption enabled '1'\n"
        "\toption command '/usr/bin/iperf3 -s'\n"
        "\tlist dest_ip '203.0.113.10'\n"
        "\tlist dest_ip '2001:db8::10'\n"
        "\n"
    )
    assert sections == [
        uci.Section("viscum", "global", False, {"datapath": "auto"}, 2),
        uci.Section(
            "service",
            "iperf",
            False,
            {"enabled": "1", "command": "/usr/bin/iperf3 -s", "dest_ip": ["203.0.113.10", "2001:db8::10"]},
            5,
        ),
    ]


def test_as_uci_export_writes_it_with_the_package_first():
    assert parse("package viscum\n\nconfig service 'a'\n")[0].name == "a"


def test_commands_may_be_one_letter():
    (section,) = parse("p viscum\nc service a\no x 1\nl y 2\n")
    assert section == uci.Section("service", "a", False, {"x": "1", "y": ["2"]}, 2)


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", " \t\r\n", "#", "package viscum\n"])
def test_a_file_without_sections(text):
    assert parse(text) == []


def test_comments_follow_anything():
    assert options("# one\n\t# two\n option x 1 # three\n option y '2'#four\n option z 3#five\n") == {
        "x": "1",
        "y": "2",
        "z": "3",
    }


def test_the_last_line_needs_no_newline():
    assert options("option x 1") == {"x": "1"}


def test_windows_line_endings():
    assert parse("config service a\r\n\toption x 'y'\r\n\tlist z 1\r\n")[0].options == {"x": "y", "z": ["1"]}


# Quotes and backslashes


@pytest.mark.parametrize(
    "written, value",
    [
        ("plain", "plain"),
        ("'in quotes'", "in quotes"),
        ('"in quotes"', "in quotes"),
        ("in\\ words", "in words"),
        ("""'it'\\''s'""", "it's"),
        ('''"it's"''', "it's"),
        ("""'say "hi"'""", 'say "hi"'),
        ('"say \\"hi\\""', 'say "hi"'),
        ("a'b c'\"d e\"f", "ab cd ef"),
        ("'#' ", "#"),
        ("\\#\\;\\'", "#;'"),
        ("';'", ";"),
        (r"'C:\temp'", r"C:\temp"),
        (r'"C:\\temp"', r"C:\temp"),
        (r'"\n"', "n"),
        ("'caf\u00e9 \U0001f600'", "caf\u00e9 \U0001f600"),
        ("'\x01\x7f'", "\x01\x7f"),
    ],
)
def test_one_value_written_so(written, value):
    assert options("option x %s\n" % written) == {"x": value}


def test_a_quoted_value_may_have_lines():
    assert options("option x 'one\ntwo\n\n'\n") == {"x": "one\ntwo\n\n"}
    assert options('option x "one\r\ntwo"\n') == {"x": "one\r\ntwo"}


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_backslash_joins_lines(newline):
    assert options("option x a\\" + newline + "b\n") == {"x": "ab"}
    assert options('option x "a\\' + newline + 'b"\n') == {"x": "ab"}
    assert options("option x\\" + newline + "y 1\n") == {"xy": "1"}


def test_in_single_quotes_a_backslash_joins_nothing():
    assert options("option x 'a\\\nb'\n") == {"x": "a\\\nb"}


def test_a_joined_line_that_begins_with_a_blank_begins_a_new_word():
    assert options("option x\\\n y\n") == {"x": "y"}
    # Where the backslash stood alone it was a word already, an empty one.
    assert error("config service s\noption x \\\n y\n").reason.startswith("'y' is one word too many")


def test_a_backslash_at_the_very_end_joins_nothing():
    assert options("option x a\\") == {"x": "a"}


# Several statements on a line


def test_a_semicolon_separates_statements_behind_a_quoted_word():
    assert options("option x '1'; option y '2'\n") == {"x": "1", "y": "2"}
    assert options("option x '1';option y '2' ; # end\n") == {"x": "1", "y": "2"}


def test_behind_a_plain_word_a_semicolon_hides_the_rest_of_the_line():
    assert options("option x 1; nonsense ' \"\noption y 2;option z 3\n") == {"x": "1", "y": "2"}


def test_a_blank_before_the_semicolon_makes_it_separate_too():
    assert parse("config service a ; option x 1 ; option y 2\n")[0].options == {"x": "1", "y": "2"}
    # But a semicolon where a name or value could be stands for an empty one, and the statement is not over.
    assert error("config service ; option x 1\n").reason.startswith("'option' is one word too many")


def test_a_line_may_not_end_with_a_semicolon_that_separates():
    caught = error("config service s\noption x '1';\n")
    assert (caught.line, caught.reason) == (2, "nothing after the last ';' of the line: remove it")


# Options and lists


def test_the_last_of_two_options_counts():
    assert options("option x 1\noption x 2\n") == {"x": "2"}


def test_an_option_replaces_a_list():
    assert options("list x 1\nlist x 2\noption x 3\n") == {"x": "3"}


def test_a_list_goes_on_from_an_option():
    assert options("option x 1\nlist x 2\nlist x 3\n") == {"x": ["1", "2", "3"]}


def test_an_empty_option_is_no_option_and_removes_none():
    assert options("option x ''\noption y\n") == {}
    assert options("option x 1\noption x ''\noption x\n") == {"x": "1"}
    assert options("list x 1\noption x ''\n") == {"x": ["1"]}


def test_an_empty_list_item_is_an_item():
    assert options("list x ''\nlist x\n") == {"x": ["", ""]}


def test_options_keep_their_order_where_the_interpreter_keeps_it():
    assert list(options("option b 1\noption c 1\nlist a 1\nlist c 2\noption b 2\n")) == ["b", "c", "a"]


# Sections


def test_a_section_that_is_opened_again_goes_on():
    sections = parse("config service a\noption x 1\nconfig service b\nconfig service a\noption y 2\n")
    assert [(s.name, s.options, s.line) for s in sections] == [("a", {"x": "1", "y": "2"}, 1), ("b", {}, 3)]


def test_a_section_can_not_change_its_type():
    caught = error("config service a\n\nconfig client a\n")
    assert (caught.line, caught.reason) == (
        3,
        "section 'a' has been a 'service' since line 1, so it can't be a 'client': choose another name",
    )


def test_anonymous_sections_have_the_names_that_uci_shows():
    sections = parse("config service\nconfig client x\nconfig wifi-iface ''\n")
    assert [(s.name, s.anonymous) for s in sections] == [("cfg015996", True), ("x", False), ("cfg033579", True)]


def test_anonymous_names_beyond_two_digits():
    assert [s.name for s in parse("config service\n" * 300)][9::290] == ["cfg0a5996", "cfg12c5996"]


def test_an_anonymous_section_can_be_called_by_its_name():
    sections = parse("config service\noption x 1\nconfig service cfg015996\noption y 2\n")
    assert sections == [uci.Section("service", "cfg015996", True, {"x": "1", "y": "2"}, 1)]


def test_of_two_sections_with_a_generated_name_the_first_is_meant():
    sections = parse("config service cfg025996\nconfig service\nconfig service cfg025996\noption x 1\n")
    assert [(s.anonymous, s.options) for s in sections] == [(False, {"x": "1"}), (True, {})]


@pytest.mark.parametrize("kind", ["wifi-iface", "a.b", "!", "service'", "@x[0]"])
def test_a_type_may_be_any_printable_word(kind):
    assert parse("config %s s\n" % shell.quote(kind))[0].type == kind


# What is refused, and where


@pytest.mark.parametrize(
    "text, line, part",
    [
        ("config service\nserver x\n", 2, "'server' is no command"),
        ("config\tservice\n configs x\n", 2, "'configs' is no command"),
        ("\ufeffconfig service\n", 1, "is no command"),
        ("config\n", 1, "'config' without a name"),
        ("config", 1, "'config' without a name"),
        ("config \n", 1, "the section type is missing"),
        ("config '' s\n", 1, "the section type is missing"),
        ("config 'a b'\n", 1, "'a b' is no section type"),
        ("config caf\u00e9\n", 1, "is no section type"),
        ("config service a-b\n", 1, "'a-b' is no section name"),
        ("config service a b\n", 1, "'b' is one word too many"),
        ("config service ; option x 1\n", 1, "'option' is one word too many"),
        ("package\r\n", 1, "'package' without a name"),
        ("package a.b\n", 1, "'a.b' is no package name"),
        ("package a b\n", 1, "one word too many"),
        ("\noption x 1\n", 2, "before the first 'config'"),
        ("package viscum\nlist x 1\n", 2, "before the first 'config'"),
        ("config service\noption \n", 2, "the option name is missing"),
        ("config service\noption ; x\n", 2, "the option name is missing"),
        ("config service\noption a.b 1\n", 2, "'a.b' is no option name"),
        ("config service\noption x /bin/sh -c\n", 2, "'-c' is one word too many"),
        ("config service\n\noption x 'one\ntwo\n", 3, "never closed"),
        ('config service\noption x "one\\"\n', 2, "never closed"),
        ("config service\noption x 'a\nb' c\n", 3, "'c' is one word too many"),
    ],
)
def test_refused(text, line, part):
    caught = error(text)
    assert part in caught.reason
    assert caught.line == line


def test_a_package_name_may_have_a_hyphen():
    assert parse("package luci-app\n") == []


def test_the_message_is_fit_for_a_terminal():
    reason = error("\x1b[2J" + "x" * 1000 + "\xff\n").reason
    assert reason.startswith("'?[2Jxxx")
    assert len(reason) < 120


# Where Viscum differs from libuci


@pytest.mark.parametrize(
    "raw",
    [
        b"\xff",
        b"caf\xe9",
        b"\xc3",
        b"\xc0\x80",  # overlong
        b"\xe0\x80\x80",
        b"\xf0\x80\x80\x80",
        b"\xed\xa0\x80",  # surrogate
        b"\xf4\x90\x80\x80",  # above U+10FFFF
    ],
)
def test_a_value_must_be_utf8(raw):
    caught = error(b"config service\n\noption x '" + raw + b"'\n")
    assert (caught.line, caught.reason) == (3, "the value of 'x' is not UTF-8: save the file as UTF-8")
    assert is_strict(b"a\xc3\xa9\xed\x9f\xbf\xee\x80\x80\xf0\x90\x80\x80\xf4\x8f\xbf\xbf")


@pytest.mark.parametrize("raw", [b"\xc0\x80", b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xed\xa0\x80", b"\xf0\x8f\xbf\xbf"])
def test_micropythons_decoder_is_not_trusted(raw):
    """It lets these through; so the module's own check must not, which CPython's decoder would hide."""
    assert not is_strict(raw)


@pytest.mark.parametrize("raw", [b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xf7\xbf\xbf\xbf"])
def test_nor_above_the_last_code_point(raw):
    assert not is_strict(b"x" + raw)


def test_a_comment_may_be_latin1():
    assert options(b"# caf\xe9\noption x 1 # caf\xe9\n") == {"x": "1"}


@pytest.mark.parametrize("text", ["config service\n# \0\n", "config service\noption x '\0'\n", "\n\0"])
def test_a_nul_byte_is_refused_wherever_it_is(text):
    assert (error(text).line, error(text).reason) == (2, "NUL byte: this is not a text file")


# Bounded work: each shape is where a careless reader goes over its input again for every byte of it.

SIZE = 400_000
SHAPES = {
    "lines of a quoted value": b"config a\noption x '" + b"\n" * SIZE + b"'",
    "escapes in quotes": b'config a\noption x "' + b"\\a" * SIZE + b'"',
    "escapes": b"config a\noption x " + b"\\a" * SIZE,
    "joined lines": b"config a\noption x " + b"\\\n" * SIZE,
    "empty quotes": b"config a\noption x " + b"''" * (SIZE // 2),
    "statements of a line": b"config a\n" + b"list x '';" * (SIZE // 10) + b"#",
    "blanks": b"config a\noption x" + b" " * SIZE + b"1",
    "comments": b"#\n" * (SIZE // 2),
    "anonymous sections": b"c a\n" * (SIZE // 4),
    "options": b"config a\n" + b"".join([b"o a%d 1\n" % i for i in range(SIZE // 10)]),
    "named sections": b"".join([b"c a a%d\n" % i for i in range(SIZE // 10)]),
    "one section again and again": b"c a a\n" * (SIZE // 6),
    "a list": b"config a\n" + b"l a 1\n" * (SIZE // 6),
    "an open quote": b"config a\n" + b"option x ''\n" * (SIZE // 12) + b"option x '",
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_work_grows_with_the_input_only(shape):
    """0.1 to 0.7 s here; with work by the square of the input at least ten times that."""
    begin = time.process_time()
    if shape == "an open quote":
        error(SHAPES[shape])
    else:
        parse(SHAPES[shape])
    assert time.process_time() - begin < 5


def test_an_option_that_takes_the_place_of_another_value_is_remembered():
    (section,) = parse("config a s\noption x 1\noption x 1\noption x ''\noption x 2\nlist y 1\noption y 2\n")
    assert (section.options, section.repeated) == ({"x": "2", "y": "2"}, [("x", 5), ("y", 7)])
    (section,) = parse("config a s\noption x 1\nlist x 2\nconfig a s\nlist x 3\noption y 1\n")
    assert (section.options, section.repeated) == ({"x": ["1", "2", "3"], "y": "1"}, [])
    (section,) = parse("config a s\noption x 1\n\nconfig a s\noption x 2\n")
    assert section.repeated == [("x", 5)], "a section that is opened again under the name of another one"


# Files


def test_load_reads_the_package_of_a_directory(tmp_path):
    (tmp_path / "viscum").write_text("config service 'a'\n")
    assert uci.load(str(tmp_path), "viscum") == [uci.Section("service", "a", False, {}, 1)]


def test_a_syntax_error_names_the_path(tmp_path):
    (tmp_path / "viscum").write_text("config service\nnonsense\n")
    with pytest.raises(UciError) as caught:
        uci.load(str(tmp_path), "viscum")
    assert str(caught.value).startswith("%s/viscum:2: 'nonsense' is no command" % tmp_path)


def test_a_missing_file_is_named_with_the_remedy(tmp_path):
    with pytest.raises(ConfigError, match="viscum does not exist: create it"):
        uci.load(str(tmp_path), "viscum")


def test_a_path_through_a_file_can_not_be_read(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file/viscum cannot be read"):
        uci.load(str(tmp_path / "file"), "viscum")


def test_a_directory_is_no_configuration(tmp_path):
    (tmp_path / "viscum").mkdir()
    with pytest.raises(ConfigError, match="is not a regular file"):
        uci.load(str(tmp_path), "viscum")


def test_a_fifo_does_not_block_the_agent(tmp_path):
    os.mkfifo(tmp_path / "viscum")
    with pytest.raises(ConfigError, match="is not a regular file"):
        uci.load(str(tmp_path), "viscum")


def test_a_file_may_be_as_large_as_max_size_and_no_larger(tmp_path):
    path = tmp_path / "viscum"
    path.write_bytes(b"#" * uci.MAX_SIZE)
    assert uci.load(str(tmp_path), "viscum") == []
    path.write_bytes(b"#" * (uci.MAX_SIZE + 1))
    with pytest.raises(ConfigError, match="larger than"):
        uci.load(str(tmp_path), "viscum")


# Booleans and quoting


@pytest.mark.parametrize("text", ["1", "on", "true", "yes", "enabled"])
def test_true(text):
    assert uci.as_bool(text) is True


@pytest.mark.parametrize("text", ["0", "off", "false", "no", "disabled"])
def test_false(text):
    assert uci.as_bool(text) is False


@pytest.mark.parametrize("text", ["", "2", "01", "On", "TRUE", " 1", "enable", "y", "auto"])
def test_neither_true_nor_false(text):
    """Case and blanks count, as in config_get_bool of OpenWrt's functions.sh."""
    assert uci.as_bool(text) is None


@pytest.mark.parametrize("text, quoted", [("", "''"), ("a b", "'a b'"), ("it's", r"'it'\''s'"), ('"\\', "'\"\\'")])
def test_quoted_as_uci_export_does(text, quoted):
    assert shell.quote(text) == quoted
