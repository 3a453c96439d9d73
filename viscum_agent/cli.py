"""`viscum`: what a person or a script types. Words in, text or JSON out, and an exit code; the work is done elsewhere.

Exit codes: 0, 1 for a finding or a failure, 2 for wrong usage. `argparse` is not used: it costs CPython on a router 5
MB and is another one under MicroPython.
"""

import os
import sys

from . import __version__
from .errors import ConfigError, ViscumError, problem_text

EPIPE = 32  # asm-generic/errno-base.h; MicroPython's errno has no such name
CONFDIR = "/etc/config"
SOCKET = "/var/run/ubus/ubus.sock"
LOCK_PATIENCE = 30  # seconds that one waits for another

USAGE = """usage: viscum [-c CONFDIR] [-s UBUS_SOCKET] COMMAND

  check               every problem of the configuration; exit code 1 when there is one
  plan                what `up` would do, as the commands that a person would type
  up [NAME...]        bring the enabled services (or the named ones) up
  down [NAME...]      take all services (or the named ones) down
  status [NAME...]    a table of the services
  exec NAME -- CMD    run a command in a service's namespace
  doctor              what on this router helps or hinders which service, and the command that mends it

of a running agent (viscumd):
  list                the services that it knows
  start [NAME...]     start services that were stopped or have failed
  stop [NAME...]      take services down until they are started
  restart [NAME...]   end programs and start them anew
  reload              read the configuration again
  bypass [NAME...]    keep redirects out, so that clients reach the cloud; with --off let them in again
  stats               packets, bytes and connections of each service
  logs [NAME...]      what the agent last said; the output of programs is in the system log
  top                 what each service carries now, every 2 seconds
  monitor             print every change of a service's state

options:
  -c CONFDIR          read the configuration from there (%s)
  -s UBUS_SOCKET      find the agent there (%s)
  --json              check, plan, status, doctor, list, stats, logs, monitor: print JSON
  --no-program        up, down: kernel objects only; programs are neither started nor stopped
  --version           print the version
""" % (CONFDIR, SOCKET)


class Usage(Exception):
    """The command line is wrong; the argument says how."""


class Arguments:
    """A parsed command line."""

    def __init__(self, words):
        self.confdir = CONFDIR
        self.command = ""
        self.names = []
        self.rest = []
        self.socket = SOCKET
        self.json = False
        self.off = False
        self.programs = True
        words = list(words)
        while words:
            self._take(words.pop(0), words)

    def _take(self, word, words):
        if word == "--" and self.command == "exec":
            self.rest = words[:]
            del words[:]
        elif word == "-c":
            if not words:
                raise Usage("-c needs a directory")
            self.confdir = words.pop(0)
        elif word == "-s":
            if not words:
                raise Usage("-s needs a socket")
            self.socket = words.pop(0)
        elif word == "--off":
            self.off = True
        elif word == "--json":
            self.json = True
        elif word == "--no-program":
            self.programs = False
        elif word.startswith("-") and word not in ("--version", "--help", "-h", "-V"):
            raise Usage("unknown option '%s'" % word)
        elif not self.command:
            self.command = word
        else:
            self.names.append(word)


def main(words=None):
    """Runs one command and returns its exit code."""
    try:
        arguments = Arguments(sys.argv[1:] if words is None else words)
        if arguments.command in ("--version", "-V"):
            print("viscum " + __version__)
            return 0
        if arguments.command in ("", "--help", "-h", "help"):
            print(USAGE, end="")
            return 0 if arguments.command else 2
        if arguments.command not in COMMANDS:
            raise Usage("unknown command '%s'" % arguments.command)
        _compat().start()
        result = COMMANDS[arguments.command](arguments)
        _compat().flush()
        return result
    except Usage as error:
        sys.stderr.write("viscum: %s; see viscum --help\n" % error.args[0])
        return 2
    except ViscumError as error:
        sys.stderr.write("viscum: %s\n" % error)
        return 1
    except OSError as error:
        if error.errno != EPIPE:
            raise
        _compat().forget_output()
        return 1  # who reads (head, say) has seen enough


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


def _root():
    if _compat().geteuid() != 0:
        raise ViscumError("this needs root: it changes network namespaces and traffic control")


def _say(problems):
    for problem in problems:
        sys.stderr.write(problem_text(problem) + "\n")


def check(arguments):
    with State(arguments.confdir, arguments.socket) as state:
        state.look()
        found = state.problems()
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
        _say(state.problems())
        steps = state.pending()
        if arguments.json:
            _print_json([{"service": name, "commands": script.lines(operations)} for name, operations in steps])
        elif not steps:
            print("# nothing to do")
        else:
            for name, operations in steps:
                print("# " + name)
                print("\n".join(script.lines(operations)))
    return 1 if state.problems() else 0


def _agent_states(arguments):
    """What a running agent says of its services (remote.state_of), None without one.

    `remote` is loaded only where there is a socket: ubus costs a router memory and time that `up` does not need.
    """
    try:
        os.stat(arguments.socket)
    except OSError:
        return None
    from . import remote

    return remote.state_of(arguments.socket)


def _remotely(arguments):
    from . import remote

    return {"monitor": remote.monitor, "top": remote.top}.get(arguments.command, remote.command)(arguments)


def _do(arguments, up):
    """`up` or `down`. An agent would undo what they do behind its back."""
    from . import lock

    _root()
    word = "up" if up else "down"
    try:
        if arguments.programs:
            return _with_programs(arguments, word)
        return _objects_only(arguments, word)
    except lock.Busy as busy:
        if busy.who != lock.AGENT:
            raise
        instead = "`viscum reload` or `viscum start`" if up else "`viscum stop`"
        raise ViscumError("an agent runs, and it sees to that: use %s" % instead)


def _with_programs(arguments, word):
    from .once import Once

    once = Once(arguments.confdir, arguments.names, word == "up")
    return _finish(*once.run(arguments.socket), word)


def _objects_only(arguments, word):
    from . import lock

    held = lock.Lock(word)
    held.take(LOCK_PATIENCE)
    try:
        with State(arguments.confdir, arguments.socket) as state:
            state.look()
            state.require(arguments.names)
            result = state.up(arguments.names) if word == "up" else state.down(arguments.names)
            problems = state.problems() if word == "up" else []
    finally:
        held.release()
    problems = [each for each in problems if not arguments.names or each.service in arguments.names]
    return _finish(result.done, problems + result.problems, word)


def up(arguments):
    return _do(arguments, True)


def down(arguments):
    return _do(arguments, False)


def _finish(done, problems, word):
    _say(problems)
    for name in done:
        print("%s: %s" % (name, word))
    return 1 if problems else 0


def show_status(arguments):
    from . import status

    with State(arguments.confdir, arguments.socket) as state:
        state.look()
        state.require(arguments.names)
        agent = _agent_states(arguments)
        rows = [row for row in status.rows(state, agent) if not arguments.names or row["name"] in arguments.names]
    if arguments.json:
        _print_json(rows)
    else:
        print(status.table(rows))
    return 0


def execute(arguments):
    if len(arguments.names) != 1 or not arguments.rest:
        raise Usage("exec takes a service's name, --, and a command")
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


COMMANDS = {
    "check": check,
    "plan": plan,
    "up": up,
    "down": down,
    "status": show_status,
    "exec": execute,
    "doctor": examine,
}
for _name in ("list", "start", "stop", "restart", "reload", "bypass", "stats", "logs", "top", "monitor"):
    COMMANDS[_name] = _remotely
