"""Reads UCI files exactly as libuci does, so that the agent and `uci show` never disagree about a configuration.

It is a reader of its own because the agent runs where there is no binding of libuci (MicroPython, hosts other than
OpenWrt), and because our messages name file, line and fix. The rules are those of libuci's file.c, list.c and util.c in
strict mode; the surprising ones have a comment here and a test in tests/unit/test_uci.py. Deliberate differences:

- A value that is not UTF-8 is an error, since the agent handles text; libuci passes any bytes on. Comments can hold
  any.
- A NUL byte is an error; libuci silently drops the rest of that line.
- A quote that is never closed is reported where it opens, not where the file ends.
- load() reads committed configuration only: no staged changes (`uci set` without `uci commit`), no override directory
  (`uci -C`), no file above MAX_SIZE, and none that anybody but root can write (trust.py).

The work grows only with the size of the input.
"""

from collections import namedtuple

from ..errors import ConfigError, UciError
from ..utf8 import is_strict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

# `name` is never empty: an anonymous section has the name that libuci generates. `options` maps a name to a string, or
# to a list of strings for what was written with `list`. `line` is where the section was first opened. `repeated`:
# (name, line) of each `option` that replaced another value, which uci does not report.
_Section = namedtuple("_Section", ("type", "name", "anonymous", "options", "line", "repeated"))


def Section(kind: str, name: str, anonymous: bool, options: dict, line: int) -> "_Section":  # noqa: N802 (it stands for the record)
    """A section with no repeated option yet."""
    return _Section(kind, name, anonymous, options, line, [])


# Bytes. 1,000 services are 125 kB and take 1 MB as parsed values in MicroPython, half of its usual heap, and only with
# gc.threshold() set: without it the heap is fragmented at a quarter of that. 1,000 addresses are 30 kB.
MAX_SIZE = 128 * 1024

# What functions.sh of base-files (config_get_bool) accepts as a boolean. Case matters there, so it does here.
_TRUE = ("1", "on", "true", "yes", "enabled")
_FALSE = ("0", "off", "false", "no", "disabled")

# uci accepts the first letter of a command for the whole word.
_COMMANDS = {
    b"package": b"package",
    b"p": b"package",
    b"config": b"config",
    b"c": b"config",
    b"option": b"option",
    b"o": b"option",
    b"list": b"list",
    b"l": b"list",
}

_END = 0  # what peek() returns at the end of a line; parse() refuses real NUL bytes
_TAB, _NEWLINE, _RETURN, _SPACE = 9, 10, 13, 32
_DOUBLE, _HASH, _SINGLE, _SEMICOLON, _BACKSLASH = 34, 35, 39, 59, 92


def load(confdir: str, package: str) -> "list[_Section]":
    """The sections of `package` in `confdir`; ConfigError if there is no such file or it can't be read, OSError if no
    descriptor is left for it, UciError."""
    path = "%s/%s" % (confdir, package)
    return parse(content(path), path)


def content(path: str, trusted: bool = True) -> bytes:
    """The bytes of a file, if it is not too large; without `trusted` anybody's, and a pipe's. Raises as load() does."""
    from .. import compat  # parsing text alone needs no C library
    from . import trust

    try:
        data = trust.read(path, MAX_SIZE + 1, True) if trusted else compat.read_file(path, MAX_SIZE + 1)
    except OSError as error:
        compat.unless_spent(error)
        raise ConfigError(_why_unreadable(path, error.args[0]))
    if len(data) > MAX_SIZE:
        raise ConfigError(too_large(path))
    return data


def too_large(path: str) -> str:
    return "%s is larger than %d bytes: move what is no configuration out of it" % (path, MAX_SIZE)


def parse(data: bytes, file: str) -> "list[_Section]":
    """The sections in `data` (bytes) in file order; UciError names `file` and the line."""
    nul = data.find(b"\0")
    if nul >= 0:
        raise UciError(file, data[:nul].count(b"\n") + 1, "NUL byte: this is not a text file")
    reader = Reader(data, file)
    package = _Package(reader)
    while reader.next_line():
        reader.skip_space()
        command = reader.command()
        while command:
            package.statement(command)
            command = reader.command()
    return package.sections


def as_bool(text: str) -> "bool | None":
    """True or False for the words that OpenWrt's scripts accept as a boolean, None for any other text."""
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    return None


def _why_unreadable(path: str, code: int) -> str:
    from .. import compat

    if code == compat.ENOENT:
        return "%s does not exist: create it (it may be empty), or name another directory with -c" % path
    remedy = "run this as root" if code == compat.EACCES else "put a UCI file in its place"
    return "%s cannot be read (%s): %s" % (path, compat.strerror(code), remedy)


class _Package:
    """The sections so far, and what each statement does to them."""

    def __init__(self, reader: "Reader") -> None:
        self.sections: list[_Section] = []
        self._reader: Reader = reader
        self._by_name: dict[str, _Section] = {}
        self._current: _Section | None = None

    def statement(self, command: bytes) -> None:
        if command == b"config":
            self._config()
        elif command == b"package":
            # Where one file is one package, uci checks the name and otherwise ignores the statement.
            self._reader.name("package", b"-")
            self._reader.end_of_statement()
        else:
            self._option(command == b"list")

    def _config(self) -> None:
        reader = self._reader
        line = reader.line
        word = reader.required("section type")
        for byte in word:
            if not 33 <= byte <= 126:
                reader.fail("'%s' is no section type: only printable ASCII without blanks" % _shown(word))
        name = reader.word()
        if name:
            reader.check_name(name, "section", b"")
        reader.end_of_statement()
        kind = str(word, "ascii")
        if name:
            self._open(kind, str(name, "ascii"), line)
        else:
            self._add(kind, _anonymous_name(kind, len(self.sections) + 1), True, line)

    def _open(self, kind: str, name: str, line: int) -> None:
        """Continues the section of that name; it may be an anonymous one, called by its generated name."""
        known = self._by_name.get(name)
        if known is None:
            self._add(kind, name, False, line)
            return
        if known.type != kind:
            self._reader.fail(
                "section '%s' has been a '%s' since line %d, so it can't be a '%s': choose another name"
                % (name, known.type, known.line, kind)
            )
        self._current = known

    def _add(self, kind: str, name: str, anonymous: bool, line: int) -> None:
        self._current = Section(kind, name, anonymous, {}, line)
        self.sections.append(self._current)
        # A generated name may be taken already; then there are two, and the name still means the first.
        self._by_name.setdefault(name, self._current)

    def _option(self, is_list: bool) -> None:
        reader = self._reader
        line = reader.line
        if self._current is None:
            reader.fail("option or list before the first 'config': say which section it belongs to")
        name = str(reader.name("option", b""), "ascii")
        value = reader.word()
        reader.end_of_statement()
        text = _decode(value)
        if text is None:
            raise UciError(reader.file, line, "the value of '%s' is not UTF-8: save the file as UTF-8" % name)
        options = self._current.options
        if is_list:
            _append(options, name, text)
        elif text:
            # An empty value counts as no statement: it neither sets the option nor removes an earlier value.
            if options.get(name, text) != text:
                self._current.repeated.append((name, line))
            options[name] = text


def _append(options: dict, name: str, text: str) -> None:
    """A list after an option begins with the option's value; an option after a list (elsewhere) replaces it."""
    known = options.get(name)
    if known is None:
        options[name] = [text]
    elif isinstance(known, str):
        options[name] = [known, text]
    else:
        known.append(text)


class Reader:
    """The bytes of the file, the current position and its line, split into words as uci splits them.

    `_end` is behind the line's newline. It moves back to `_pos` where the rest of a line is ignored, so the start of
    the next line is kept separately, in `_next`.
    """

    def __init__(self, data: bytes, file: str) -> None:
        self.file = file
        self.line = 0
        self._data = data
        self._pos = 0
        self._end = 0
        self._next = 0

    def fail(self, reason: str) -> "NoReturn":
        raise UciError(self.file, self.line, reason)

    def next_line(self) -> bool:
        """Goes to the start of the next line; False at the end of the file."""
        self._pos = self._next
        self._end = self._next
        if self._next == len(self._data):
            return False
        newline = self._data.find(b"\n", self._next)
        self._next = len(self._data) if newline < 0 else newline + 1
        self._end = self._next
        self.line += 1
        return True

    def skip_space(self) -> None:
        while _is_space(self._peek()):
            self._pos += 1

    def command(self) -> "bytes | None":
        """The command that a statement begins with, spelled out; None if the line has no more statements.

        Only space and tab end a command. So a line must not end with `;`: uci takes the newline after it for a command.
        """
        while self._peek() in (_SPACE, _TAB):
            self._pos += 1
        begin = self._pos
        while self._peek() not in (_SPACE, _TAB, _END):
            self._pos += 1
        word = self._data[begin : self._pos]
        if not word or word[0] == _HASH:
            return None
        command = _COMMANDS.get(word)
        if command is None:
            self.fail(_why_no_command(word.strip()))
        if self._pos == self._end:
            self.fail(_why_no_command(word))
        self._pos += 1
        return command

    def required(self, what: str) -> bytes:
        word = self.word()
        if not word:
            self.fail("the %s is missing" % what)
        return word

    def name(self, what: str, extra: bytes) -> bytes:
        """A word that must be present and be a name; `extra`: what it may contain besides letters, digits and `_`."""
        word = self.required("%s name" % what)
        self.check_name(word, what, extra)
        return word

    def check_name(self, word: bytes, what: str, extra: bytes) -> None:
        for byte in word:
            if not (_is_alphanumeric(byte) or byte == 95 or byte in extra):  # 95: underscore
                self.fail("'%s' is no %s name: only ASCII letters, digits and _" % (_shown(word), what))

    def end_of_statement(self) -> None:
        """Only white space, a comment or one `;` may follow."""
        word = self.word()
        if word:
            self.fail("'%s' is one word too many: put a value with blanks in quotes" % _shown(word))

    def word(self) -> bytes:
        """The next word without its quotes and backslashes; empty if there is none. A `;` instead of it is consumed."""
        self.skip_space()
        if self._peek() == _SEMICOLON:
            self._pos += 1
            return b""
        pieces = []
        begin = self._pos
        byte = self._peek()
        while byte != _END and not _is_space(byte):
            if byte in (_SINGLE, _DOUBLE):
                pieces.append(self._data[begin : self._pos])
                self._quoted(byte, pieces)
                begin = self._pos
            elif byte == _BACKSLASH:
                pieces.append(self._data[begin : self._pos])
                begin = self._escaped()
            elif byte == _HASH:
                # A comment starts even inside a word.
                self._end = self._pos
            elif byte == _SEMICOLON:
                # uci ends the word by overwriting the byte after its text, and if nothing was unquoted, that is the `;`
                # itself: the rest of the line is lost. After 'quotes' the `;` survives and separates statements.
                if not pieces:
                    self._end = self._pos
                break
            else:
                self._pos += 1
            byte = self._peek()
        pieces.append(self._data[begin : self._pos])
        if _is_space(byte):
            self._pos += 1
        return b"".join(pieces)

    def _quoted(self, mark: int, pieces: "list[bytes]") -> None:
        """Appends what is between two quotes, across lines. Only "double" quotes know a backslash."""
        opened = self.line
        self._pos += 1
        begin = self._pos
        if mark == _SINGLE:
            closed = self._data.find(b"'", begin, self._end)
            if closed >= 0:  # in the same line, as nearly always: no need to go byte by byte
                pieces.append(self._data[begin:closed])
                self._pos = closed + 1
                return
        while True:
            byte = self._peek()
            if byte == mark:
                pieces.append(self._data[begin : self._pos])
                self._pos += 1
                return
            if byte == _END:
                if not self.next_line():
                    raise UciError(self.file, opened, "a quote is opened here and never closed")
            elif byte == _BACKSLASH and mark == _DOUBLE:
                pieces.append(self._data[begin : self._pos])
                begin = self._escaped()
            else:
                self._pos += 1

    def _escaped(self) -> int:
        """Skips a backslash and the byte that it escapes, or joins the next line; returns where the text continues."""
        self._pos += 1
        begin = self._pos
        following = self._data[begin : begin + 2]
        if following in (b"", b"\r\n") or following[0] == _NEWLINE:
            self.next_line()
            return self._pos
        self._pos += 1
        return begin

    def _peek(self) -> int:
        return self._data[self._pos] if self._pos < self._end else _END


def _why_no_command(word: bytes) -> str:
    if not word:
        return "nothing after the last ';' of the line: remove it"
    if word in _COMMANDS:
        return "'%s' without a name" % _shown(word)
    return "'%s' is no command: use config, option, list or package" % _shown(word)


def _anonymous_name(kind: str, number: int) -> str:
    """libuci's name for the `number`th section (from 1) of a file: `cfg`, the number and a hash of the type, in hex.

    The hash is djb2 (5381, times 33). libuci keeps 31 bits and prints 16; 16 are enough for the same result.
    """
    value = 5381
    for byte in kind.encode():
        value = (value * 33 + byte) & 0xFFFF
    return "cfg%02x%04x" % (number, value)


def _decode(raw: bytes) -> "str | None":
    """`raw` as text, None if it is not UTF-8."""
    try:
        text = str(raw, "utf-8")
    except UnicodeError:
        return None
    if len(text) == len(raw):  # ASCII
        return text
    return text if is_strict(raw) else None


def _is_space(byte: int) -> bool:
    """isspace() in the C locale: space, and tab, newline, VT, FF, CR."""
    return byte == _SPACE or _TAB <= byte <= _RETURN


def _is_alphanumeric(byte: int) -> bool:
    """isalnum() in the C locale."""
    return 48 <= byte <= 57 or 65 <= byte <= 90 or 97 <= byte <= 122


def _shown(word: bytes) -> str:
    """A word of the file for a message: its first 40 bytes, with ? for what could confuse a terminal or log."""
    return "".join([chr(byte) if 32 <= byte <= 126 else "?" for byte in word[:40]])
