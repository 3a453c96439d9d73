"""The kinds of error, classified once.

A reader of a message has one question: is it mine to fix? The kind answers it, so that no caller has to look into the
text. `Config`: the user's configuration. `Unsupported`: this kernel, interpreter or account can't do it. `Foreign`:
somebody else's object is in the way. `Bug`: none of these, so it is ours.
"""

from collections import namedtuple

CONFIG = "config"
UNSUPPORTED = "unsupported"
FOREIGN = "foreign"
BUG = "bug"

# A fault that stops nothing else: `where` is what to look at ("viscum.iperf.dest_ip", "br-lan"), `service` the section
# that is skipped because of it ("" for none), `message` says what is wrong and what would be right.
Problem = namedtuple("Problem", ("kind", "service", "where", "message"))


class ViscumError(Exception):
    """An error of a known kind; its text is a sentence for the user, with the fix."""

    kind = BUG


class ConfigError(ViscumError):
    """The user's configuration."""

    kind = CONFIG


class UnsupportedError(ViscumError):
    """This kernel or this package can't."""

    kind = UNSUPPORTED


class ForeignError(ViscumError):
    """Somebody else's object is in the way."""

    kind = FOREIGN


class UciError(ConfigError):
    """A file that is not UCI syntax. `file` and `line` (from 1) say where; `reason` says what."""

    def __init__(self, file: str, line: int, reason: str) -> None:
        super().__init__("%s:%d: %s" % (file, line, reason))
        self.file = file
        self.line = line
        self.reason = reason


def section_of(problem: "Problem") -> str:
    """What a problem is about: the service that is skipped, and of a warning, which skips none, its section."""
    return problem.service or (problem.where + ".").split(".")[1]


def problem_text(problem: "Problem") -> str:
    """One line for people: `where: message`."""
    return "%s: %s" % (problem.where, problem.message)
