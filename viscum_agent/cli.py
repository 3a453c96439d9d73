"""`viscum`: what a person or a script types. Words in, text or JSON out, and an exit code; the work is done elsewhere.

Exit codes: 0, 1 for a finding or a failure, 2 for wrong usage (words.py).
"""

import os
import sys

from . import __version__, words
from .errors import ConfigError, ViscumError, problem_text

EPIPE = 32  # asm-generic/errno-base.h; MicroPython's errno has no such name


def main(typed=None):
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
    except words.Usage as error:
        name = " " + error.command if words.command(error.command) else ""
        sys.stderr.write("viscum: %s; see viscum%s --help\n" % (error.args[0], name))
        return 2
    except ViscumError as error:
        _complain(str(error))
        return 1
    except OSError as error:
        if error.errno != EPIPE:
            raise
        _compat().forget_output()
        return 1  # who reads (head, say) has seen enough


def _complain(text):
    from .schema import printable

    sys.stderr.write("viscum: %s\n" % printable(text))


# What a command needs is imported when it runs: a router reads slowly, and most calls need little.


def _compat():
    from . import compat

    return compat


def State(*words):  # noqa: N802 (the class, loaded when it is called)
    from . import state

    return state.State(*words)


def _print_json(value):
    from .ujson import dumps

    print(dumps(value))


def _refuse_unknown(arguments, names):
    """Who names a service means one that is there."""
    from .schema import shown

    for name in arguments.names:
        if name not in names:
            there = ", ".join(sorted(names)) or "none"
            raise ConfigError("there is no service %s; there are: %s" % (shown(name), there))


def _known(arguments, state):
    """The named services must be in the configuration or in the kernel."""
    names = [service.name for service in state.configuration.services] + state.configuration.bad
    _refuse_unknown(arguments, names + [name for name in state.observed.services if name not in names])


def _to_run(arguments, state):
    """Services that are named for `up` must be enabled: else `up` would take down what it is asked to bring up."""
    uci = "uci " if arguments.confdir == words.CONFDIR else "uci -c %s " % arguments.confdir
    remedy = "%sset viscum.%%s.enabled='1' && %scommit viscum" % (uci, uci)
    enabled = {service.name: service.enabled for service in state.configuration.services}
    for name in arguments.names:
        if name in state.configuration.bad:
            continue  # its problems say more
        if name not in enabled:
            raise ConfigError("'%s' is in no configuration any more: `viscum down %s` takes it down" % (name, name))
        if not enabled[name]:
            raise ConfigError("'%s' is disabled (option enabled '0'): %s" % (name, remedy % name))
        if not state.configuration.settings.enabled:
            text = "all services are disabled (option enabled '0' in config globals): %s"
            raise ConfigError(text % (remedy % "@globals[0]"))


def _root():
    if _compat().geteuid() != 0:
        raise ViscumError("this needs root: it changes network namespaces and traffic control")


def _lock():
    from . import lock

    lock.take()


def _say(problems):
    from .schema import printable

    for problem in problems:
        sys.stderr.write(printable(problem_text(problem)) + "\n")


def _problems(state):
    """All that keeps services from running here."""
    from . import process
    from .state import PACKAGE

    return state.problems() + process.problems(state.configuration, PACKAGE)


def check(arguments):
    with State(arguments.confdir, arguments.socket) as state:
        state.look()
        found = _problems(state)
        if arguments.json:
            _print_json([{"kind": p.kind, "service": p.service, "where": p.where, "message": p.message} for p in found])
        else:
            for problem in found:
                print(problem_text(problem))
    return 1 if found else 0


def plan(arguments):
    from .kernel import script

    with State(arguments.confdir, arguments.socket) as state:
        state.look()
        problems = _problems(state)
        _say(problems)
        steps = [(name, script.lines(operations)) for name, operations in state.pending()]
        if arguments.json:
            _print_json([{"service": name, "commands": lines} for name, lines in steps])
        else:
            print("\n".join(_text_of(steps)))
    return 1 if problems else 0


def _text_of(steps):
    """A plan as lines that a shell takes."""
    if not steps:
        return ["# nothing to do"]
    found = []
    if any(line.startswith("#") for _, lines in steps for line in lines):
        found.append("# No command does what the comments below a service's name say (eBPF): `viscum up` does.")
    for name, lines in steps:
        found += ["# " + name] + lines
    return found


def _is_there(path):
    try:
        os.stat(path)
    except OSError:
        return False
    return True


def _agent_states(arguments):
    """What a running agent says of its services (remote.state_of), None without one.

    `remote` is loaded only where there is a socket: ubus costs a router memory and time that `up` does not need.
    """
    if not _is_there(arguments.socket):
        return None
    from . import remote

    return remote.state_of(arguments.socket)


def _remotely(arguments):
    from . import remote

    return {"monitor": remote.monitor, "top": remote.top}.get(arguments.command, remote.command)(arguments)


def _no_agent(arguments, instead):
    """An agent would undo what `up` and `down` do behind its back."""
    try:
        states = _agent_states(arguments)
    except ViscumError as error:
        raise ViscumError("an agent may run, but does not answer (%s): end it, or use %s" % (error, instead))
    if states is not None:
        raise ViscumError("an agent runs, and it sees to that: use %s" % instead)


def up(arguments):
    _root()
    _no_agent(arguments, "`viscum reload` or `viscum start`")
    _lock()
    with State(arguments.confdir, arguments.socket) as state:
        state.look()
        _known(arguments, state)
        _to_run(arguments, state)
        result = state.up(arguments.names, arguments.programs)
        wanted = [p for p in state.problems() if not arguments.names or p.service in arguments.names]
    return _finish(result, wanted, "up")


def down(arguments):
    _root()
    _no_agent(arguments, "`viscum stop`")
    _lock()
    with State(arguments.confdir, arguments.socket) as state:
        state.look()
        _known(arguments, state)
        result = state.down(arguments.names, arguments.programs)
    return _finish(result, [], "down")


def _finish(result, problems, word):
    _say(problems + result.problems)
    for name in result.done:
        print("%s: %s" % (name, word))
    return 1 if problems or result.problems else 0


def show_status(arguments):
    from . import status

    try:
        agent = _agent_states(arguments)
    except ViscumError as error:
        _complain("the agent does not answer (%s): below is what the kernel has" % error)
        agent = None
    try:
        state = State(arguments.confdir, arguments.socket)
    except ConfigError as error:
        if agent is None:
            raise
        if "-c" in arguments.places or _is_there(words.CONFDIR + "/viscum"):
            _complain("%s (below is what the agent says)" % error)
        rows = status.of_agent(agent)
    else:
        with state:
            state.look()
            rows = status.rows(state, agent)
    _refuse_unknown(arguments, [row["name"] for row in rows])
    rows = [row for row in rows if not arguments.names or row["name"] in arguments.names]
    if arguments.json:
        _print_json(rows)
    else:
        print(status.table(rows))
    return 0


def execute(arguments):
    from . import process
    from .objects import ns_name

    _root()
    name = arguments.names[0]
    if not process.namespace_exists(name):
        raise ConfigError("service '%s' is not up: there is no namespace %s" % (name, ns_name(name)))
    process.execute(name, arguments.rest)
    return 1


def examine(arguments):
    from . import doctor

    findings = doctor.look(arguments.confdir, arguments.socket)
    if arguments.json:
        _print_json(doctor.dicts(findings))
    else:
        print(doctor.text(findings))
    return 1 if doctor.trouble(findings) else 0


# The other commands are for an agent.
RUN = {
    "check": check,
    "plan": plan,
    "up": up,
    "down": down,
    "status": show_status,
    "exec": execute,
    "doctor": examine,
}
