"""Writing sections into the configuration: what comes out is judged first, and is there whole or not at all."""

from .. import compat, replace
from ..config import schema, service, trust, uci
from ..errors import ConfigError, ForeignError, ViscumError
from ..shell import quote, shown
from .places import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from ..errors import Problem
    from .words import Arguments

STAGED = "/tmp/.uci/viscum"  # what `uci set` keeps until `uci commit` (UCI_SAVEDIR of libuci)


def given(arguments: "Arguments") -> "tuple[str, list[tuple[str, str]]]":
    """(the section's name or "", [(option, value)]) of `FILE [NAME] [OPTION=VALUE...]`. Raises Usage."""
    name, found = "", []
    for word in arguments.names[1:]:
        option, equals, value = word.partition("=")
        if equals and schema.is_section_name(option):
            found.append((option, value))
        elif equals or name or not schema.is_section_name(word):
            raise Usage("%s is neither a section's name nor OPTION=VALUE" % shown(word), arguments.command)
        else:
            name = word
    return name, found


def lines(option: str, values: "list[str]") -> "list[str]":
    """The lines of an option, none for an empty value."""
    row = schema.option_named("service", option)
    # A command as one text is split into words.
    many = row is not None and row.many and (row.type is not schema.TEXT or len(values) > 1)
    if len(values) > 1 and not many:
        raise Usage("%s is given twice" % option)
    return ["\t%s %s %s" % ("list" if many else "option", option, quote(value)) for value in values if value]


def change(
    path: str, names: "Collection[str]", make: "Callable[[bytes], bytes]"
) -> "tuple[list[Problem], service.Configuration | None]":
    """Writes what `make` returns for the file's bytes, unless a service of these names is wrong then: (problems, None),
    or ([], what it means). Raises ConfigError and ForeignError; then nothing has changed."""
    uci.content(path)  # says what is wrong with the file; it is no FIFO
    fd = compat.fd_open(path, compat.O_NONBLOCK)
    try:
        if not compat.try_flock(fd):  # as libuci does while it writes
            raise ForeignError("%s is being written by another program: try again" % path)
        before = uci.content(path)
        after = make(before)
        if len(after) > uci.MAX_SIZE:
            raise ConfigError(uci.too_large(path))
        configuration = service.read(uci.parse(after, path))
        problems = [problem for problem in configuration.problems if problem.service in names]
        if problems:
            return problems, None
        if after != before:
            _put_over(fd, after)
    finally:
        compat.fd_close(fd)
    return [], configuration


def refuse_staged(name: str) -> None:
    """Raises ConfigError if `uci set` keeps changes of a section."""
    try:
        staged = b"\n" + trust.read(STAGED, uci.MAX_SIZE)
    except OSError as error:
        compat.unless_spent(error)
        return
    if any(("\nviscum.%s%s" % (name, end)).encode() in staged for end in "=."):
        raise ConfigError("viscum.%s: has changes that are not committed: `uci commit viscum` first" % name)


def behind(before: bytes, text: str) -> bytes:
    """A file's bytes with a text below all that is there."""
    return before + (b"\n\n" if before and before[-1:] != b"\n" else b"\n") + text.encode()


def _put_over(fd: int, data: bytes) -> None:
    path = compat.readlink(trust.FD % fd)
    try:
        replace.put_over(fd, data)
    except OSError as error:
        raise ViscumError("%s can't be written (%s): nothing has changed" % (path, compat.strerror(error.args[0])))
