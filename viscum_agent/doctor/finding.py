"""What the doctor says: one record for each thing that was looked at, and how it is shown."""

from collections import namedtuple

from ..shell import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

# `id` is a word for scripts, `found` what is there, `means` the consequence, `services` the names of those affected
# (none: all services, or no particular one), `fix` the commands that fix it, "" where there is nothing to fix.
# What could not be read is a note that says so, never ok.
Finding = namedtuple("Finding", ("id", "severity", "found", "means", "services", "fix"))

OK, NOTE, WARNING, ERROR = "ok", "note", "warning", "error"
SEVERITIES = (ERROR, WARNING, NOTE, OK)  # the worst first
WIDTH = 100  # characters of a line, commands apart: those are to be copied
INDENT = "         "


def ok(identity: str, found: str) -> "Finding":
    return Finding(id=identity, severity=OK, found=found, means="", services=(), fix="")


def note(identity: str, found: str, means: str = "", services: "Iterable[str]" = (), fix: str = "") -> "Finding":
    return Finding(id=identity, severity=NOTE, found=found, means=means, services=tuple(services), fix=fix)


def warning(identity: str, found: str, means: str, services: "Iterable[str]" = (), fix: str = "") -> "Finding":
    return Finding(id=identity, severity=WARNING, found=found, means=means, services=tuple(services), fix=fix)


def error(identity: str, found: str, means: str, services: "Iterable[str]" = (), fix: str = "") -> "Finding":
    return Finding(id=identity, severity=ERROR, found=found, means=means, services=tuple(services), fix=fix)


def unread(identity: str, why: str, means: str = "") -> "Finding":
    return note(identity, "could not be read: " + why, means)


def configure(changes: "Iterable[str]") -> str:
    """The commands that change Viscum's configuration, each change in the words of `uci`."""
    return "\n".join(["uci " + change for change in changes] + ["uci commit viscum && reload_config"])


def trouble(findings: "Iterable[Finding]") -> bool:
    """Whether there is something to fix."""
    return any(finding.severity in (ERROR, WARNING) for finding in findings)


def ordered(findings: "list[Finding]") -> "list[Finding]":
    """The worst first, otherwise in their order."""
    return [finding for severity in SEVERITIES for finding in findings if finding.severity == severity]


def dicts(findings: "Iterable[Finding]") -> "list[dict[str, Any]]":
    return [
        {
            "id": each.id,
            "severity": each.severity,
            "found": each.found,
            "means": each.means,
            "services": list(each.services),
            "fix": each.fix,
        }
        for each in findings
    ]


def text(findings: "list[Finding]") -> str:
    """The findings for a terminal, and a last line that counts them."""
    lines = []
    for each in findings:
        lines += _wrapped("%s: %s" % (each.id, each.found), each.severity)
        if each.means:
            who = ", ".join(each.services) + ": " if each.services else ""
            lines += _wrapped(who + each.means)
        lines += [INDENT + "do: " + line for line in each.fix.split("\n") if line]
    return "\n".join([printable(line) for line in lines] + [_count(findings)])


def _count(findings: "list[Finding]") -> str:
    words = []
    for severity in SEVERITIES:
        number = len([1 for finding in findings if finding.severity == severity])
        if number:
            plural = "s" if number > 1 and severity != OK else ""
            words.append("%d %s%s" % (number, severity, plural))
    return ", ".join(words)


def _wrapped(text: str, head: str = "") -> "list[str]":
    """Lines of a text behind `head`, indented alike."""
    lines, line = [], head + INDENT[len(head) :]
    empty = True
    for word in text.split(" "):
        if not empty and len(line) + 1 + len(word) > WIDTH:
            lines.append(line)
            line, empty = INDENT, True
        line += word if empty else " " + word
        empty = False
    return lines + [line]
