"""Findings about the programs of the services: whether they are there, may run, and have their account."""

from .. import compat
from ..errors import UNSUPPORTED
from ..shell import word
from .finding import configure, error, ok
from .machine import with_files
from .target import names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..config.service import Program, Service
    from ..errors import Problem
    from .finding import Finding
    from .machine import Machine
    from .target import Target

_EXECUTE = 0o111  # inode(7)
_OPTIONS = ("command", "health_command", "user", "group", "workdir")


def findings(machine: "Machine", targets: "list[Target]", problems: "list[Problem]") -> "list[Finding]":
    """`problems` are those of `viscum check`, which looks closer (process.lacks)."""
    found = []
    for path, users in _users(targets, lambda service: [service.program.command, service.health.command]):
        found += _program(machine, path, users)
    for path, users in _users(targets, lambda service: [(service.program.workdir,)]):
        if (machine.files[path] or 0) & compat.S_IFMT != compat.S_IFDIR:
            text = "there is no directory %s" % path
            found.append(error("workdir", text, "does not start", users, "mkdir -p %s" % word(path)))
    for account in sorted(machine.accounts):
        if machine.accounts[account]:
            found.append(_account(account, machine.accounts[account], targets))
    lacking = any(problem.kind == UNSUPPORTED and problem.where.split(".")[-1] in _OPTIONS for problem in problems)
    if targets and not found and not lacking:
        found.append(ok("programs", "every enabled service has its program and its account"))
    return found


def _users(
    targets: "list[Target]", commands: "Callable[[Service], list[tuple[str, ...]]]"
) -> "list[tuple[str, tuple[str, ...]]]":
    """(path, names of the services) for the first word of each command, sorted by path."""
    users: dict[str, list[str]] = {}
    for target in with_files(targets):
        for path in {command[0] for command in commands(target.service) if command}:
            users.setdefault(path, []).append(target.service.name)
    return [(path, tuple(users[path])) for path in sorted(users)]


def _program(machine: "Machine", path: str, users: "tuple[str, ...]") -> "list[Finding]":
    mode = machine.files[path]
    if mode is None:
        return [error("program", "there is no program %s" % path, "does not start", users, _search(machine, path))]
    if mode & compat.S_IFMT != compat.S_IFREG:
        return [error("program", "%s is not a file" % path, "does not start: correct option command", users)]
    if not mode & _EXECUTE:
        return [error("program", "%s is not executable" % path, "does not start", users, "chmod +x %s" % word(path))]
    return []


def _search(machine: "Machine", path: str) -> str:
    """How to find the package: the name of the program is the best guess."""
    name = path.split("/")[-1]
    if machine.manager == "apk":
        return "apk update && apk search %s   # then: apk add PACKAGE" % word(name)
    if machine.manager == "opkg":
        return "opkg update && opkg list %s   # then: opkg install PACKAGE" % word("*%s*" % name)
    return "install the package that has it, or correct option command"


def _account_of(program: "Program") -> "tuple[str, str]":
    return program.account, program.group or ""


def _account(account: "tuple[str, str]", why: str, targets: "list[Target]") -> "Finding":
    touched = names([each for each in targets if _account_of(each.service.program) == account])
    change = "delete viscum.%s." + ("user" if why.startswith("user") else "group")
    return error("account", why, "does not start", touched, configure([change % name for name in touched]))
