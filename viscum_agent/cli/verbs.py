"""`viscum`: what a person or a script types. Words in, text or JSON out, and an exit code; the work is done elsewhere.

Exit codes: 0, 1 for a finding or a failure, 2 for wrong usage (words.py), 3 of `check`.
"""

import sys

from .. import __version__
from ..errors import ConfigError, ViscumError, problem_text
from . import words
from .places import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from types import ModuleType
    from typing import Any

    from ..errors import Problem
    from ..reconcile import Reconciler as _Reconciler
    from ..reconcile import Snapshot
    from .words import Arguments

EPIPE = 32  # asm-generic/errno-base.h; MicroPython's errno lacks it
LOCK_PATIENCE = 30  # seconds that one waits for another


def main(typed: "Sequence[str] | None" = None) -> int:
    """Runs one command and returns its exit code."""
    try:
        arguments = words.parse(sys.argv[1:] if typed is None else typed)
        if arguments.version:
            print("viscum " + __version__)
            return 0
        if arguments.help:
            print(words.help_of(arguments.command) if arguments.command else words.usage(), end="")
            return 0
        _compat().start()
        result = RUN.get(arguments.command, _remotely)(arguments)
        _compat().flush()
        return result
    except Usage as error:
        name = " " + error.command if words.command(error.command) else ""
        sys.stderr.write("viscum: %s; see viscum%s --help\n" % (error.args[0], name))
        return 2
    except ViscumError as error:
        complain(str(error))
        return 1
    except OSError as error:
        if error.errno != EPIPE:
            raise
        _compat().forget_output()
        return 1  # the reader (head, for example) has seen enough


def complain(text: str) -> None:
    from ..shell import printable

    sys.stderr.write("viscum: %s\n" % printable(text))


# What a command needs is imported when it runs: a router reads slowly, and most calls need little.


def _compat() -> "ModuleType":
    from .. import compat

    return compat


def Reconciler(*words: "Any", **options: "Any") -> "_Reconciler":  # noqa: N802 (the class, loaded when it is called)
    from .. import reconcile

    return reconcile.Reconciler(*words, **options)


def print_json(value: object) -> None:
    from ..ujson import dumps

    print(dumps(value))


def refuse_unknown(arguments: "Arguments", names: "Collection[str]") -> None:
    """A service that is named has to exist."""
    from ..shell import shown

    for name in arguments.names:
        if name not in names:
            there = ", ".join(sorted(names)) or "none"
            raise ConfigError("there is no service %s; there are: %s" % (shown(name), there))


def need_root() -> None:
    if _compat().geteuid() != 0:
        raise ViscumError("this needs root: it changes network namespaces and traffic control")


def say(problems: "list[Problem]") -> None:
    from ..shell import printable

    for problem in problems:
        sys.stderr.write(printable(problem_text(problem)) + "\n")


def _problems(snapshot: "Snapshot") -> "list[Problem]":
    """Everything that keeps services from running here."""
    from ..reconcile import PACKAGE
    from ..service import process

    return snapshot.problems() + process.problems(snapshot.configuration, PACKAGE)


NOT_HERE = 3  # the exit code for a file that is right, but not on this router


def check(arguments: "Arguments") -> int:
    from ..config import offline, uci

    if arguments.names and not arguments.offline:
        raise Usage("a file is judged with --offline: this router has its own", arguments.command)
    path = arguments.names[0] if arguments.names else arguments.confdir + "/viscum"
    found: list[Problem] = []
    if not arguments.offline:
        with Reconciler(arguments.confdir, arguments.socket) as reconciler:
            found = _problems(reconciler.look())
    wrong: list[Problem] = []
    if found or arguments.offline:
        wrong = offline.mistakes(uci.content(path, False), path)
    found = found or wrong
    if arguments.json:
        print_json([{"kind": p.kind, "service": p.service, "where": p.where, "message": p.message} for p in found])
    else:
        for problem in found:
            print(problem_text(problem))
    return 1 if wrong else NOT_HERE if found else 0


def plan(arguments: "Arguments") -> int:
    from ..kernel import commands

    with Reconciler(arguments.confdir, arguments.socket) as reconciler:
        snapshot = reconciler.look()
        problems = _problems(snapshot)
        say(problems)
        steps = [(name, commands.lines(operations)) for name, operations in reconciler.sure(snapshot).pending()]
        if arguments.json:
            print_json([{"service": name, "commands": lines} for name, lines in steps])
        else:
            print("\n".join(_text_of(steps)))
    return 1 if problems else 0


def _text_of(steps: "list[tuple[str, list[str]]]") -> "list[str]":
    """A plan as lines that a shell accepts."""
    if not steps:
        return ["# nothing to do"]
    found = []
    if any(line.startswith("#") for _, lines in steps for line in lines):
        found.append("# No command does what the comments below a service's name say (eBPF): `viscum up` does.")
    for name, lines in steps:
        found += ["# " + name] + lines
    return found


def _agent_states(arguments: "Arguments") -> "dict[str, Any] | None":
    """What a running agent says of its services (agent_calls.state_of), None without one.

    `agent_calls` is loaded only if there is a socket: ubus costs a router memory and time that `up` does not need.
    """
    if not _compat().exists(arguments.socket):
        return None
    from . import agent_calls

    return agent_calls.state_of(arguments.socket)


def _remotely(arguments: "Arguments") -> int:
    from . import agent_calls

    return agent_calls.command(arguments)


def _do(arguments: "Arguments", up: bool) -> int:
    """`up` or `down`. A running agent would undo what they do."""
    from .. import lock

    need_root()
    word = "up" if up else "down"
    try:
        if arguments.programs:
            return _with_programs(arguments, word)
        return _objects_only(arguments, word)
    except lock.Busy as busy:
        if busy.who != lock.AGENT:
            raise
        instead = "`viscum reload` or `viscum start`" if up else "`viscum stop`"
        raise ViscumError("an agent runs and does that itself: use %s" % instead)


def _with_programs(arguments: "Arguments", word: str) -> int:
    from ..once import Once

    once = Once(arguments.confdir, arguments.names, word == "up")
    done, problems = once.run(arguments.socket)
    return _finish(done, problems, word)


def _objects_only(arguments: "Arguments", word: str) -> int:
    from .. import lock
    from ..kernel import bpf_deadline

    held = lock.Lock(word)
    held.take(LOCK_PATIENCE)
    try:
        with Reconciler(arguments.confdir, arguments.socket) as reconciler:
            snapshot = reconciler.look() if word == "up" else reconciler.found()
            reconciler.require(snapshot, arguments.names, word == "up")
            make = reconciler.up if word == "up" else reconciler.down
            result = make(snapshot, arguments.names)
            bpf_deadline.put_off(0)  # nobody will
            problems = reconciler.problems_of(snapshot, arguments.names) if word == "up" else []
    finally:
        held.release()
    return _finish(result.done, problems + result.problems, word)


def up(arguments: "Arguments") -> int:
    return _do(arguments, True)


def down(arguments: "Arguments") -> int:
    return _do(arguments, False)


def _finish(done: "Iterable[str]", problems: "list[Problem]", word: str) -> int:
    say(problems)
    for name in done:
        print("%s: %s" % (name, word))
    return 1 if problems else 0


def show_status(arguments: "Arguments") -> int:
    from . import table

    try:
        agent = _agent_states(arguments)
    except ViscumError as error:
        complain("the agent does not answer (%s): below is what the kernel has" % error)
        agent = None
    services = agent and agent["services"]
    try:
        reconciler = Reconciler(arguments.confdir, arguments.socket, loads=False)
    except ConfigError as error:
        if services is None:
            raise
        if "-c" in arguments.places or _compat().exists(words.CONFDIR + "/viscum"):
            complain("%s (below is what the agent says)" % error)
        rows = table.of_agent(services)
    else:
        with reconciler:
            snapshot = reconciler.look()
            rows = table.rows(reconciler.sure(snapshot) if services is None else snapshot, services)
    refuse_unknown(arguments, [row["name"] for row in rows])
    rows = [row for row in rows if not arguments.names or row["name"] in arguments.names]
    if arguments.json:
        print_json(rows)
    else:
        print(table.table(rows))
        for row in rows if arguments.names else ():
            if "worth" in row:
                print(_optional("cli.worth").sentence(row))
        if agent:
            said = (agent["version"], agent["uptime"], agent.get("generation", 0), agent.get("hash", "")[:12])
            print("viscumd %s has run for %d s; configuration %d (%s)" % said)
        else:
            print("no agent answers: this is what the kernel shows, and nothing checks the programs")
    return 0


def execute(arguments: "Arguments") -> int:
    from ..records.objects import ns_name
    from ..service import process, running

    need_root()
    name = arguments.names[0]
    if not running.namespace_exists(name):
        raise ConfigError("service '%s' is not up: there is no namespace %s" % (name, ns_name(name)))
    process.execute(name, arguments.rest)
    return 1


def _optional(name: str) -> "Any":
    from ..optional import load

    return load(name)


def _look_for_fault(arguments: "Arguments") -> int:
    found: int = _optional("cli.faults").RUN[arguments.command](arguments)
    return found


def cook(arguments: "Arguments") -> int:
    recipes = _optional("cli.recipes")
    return recipes.add(arguments) if arguments.names else recipes.show(arguments)


def _exchange(arguments: "Arguments") -> int:
    found: int = _optional("cli.etsi").RUN[arguments.command](arguments)
    return found


def _rent(arguments: "Arguments") -> int:
    found: int = _optional("cli.tenant").command(arguments)
    return found


def _roll_out(arguments: "Arguments") -> int:
    from . import rollout

    return rollout.command(arguments)


# The other commands are calls to the agent.
RUN = {
    "check": check,
    "plan": plan,
    "up": up,
    "down": down,
    "status": show_status,
    "explain": _look_for_fault,
    "exec": execute,
    "doctor": _look_for_fault,
    words.RECIPES: cook,
    "add": cook,
    "export": _exchange,
    "import": _exchange,
    "tenant": _rent,
    "verify": _roll_out,
    "apply": _roll_out,
    "confirm": _roll_out,
    "rollback": _roll_out,
}
