"""The command line of `viscum`: one table of commands. Words are checked against it, and help is made from it.

A word that a command does not use is refused: `viscum reload web` would not do what it says. Only -c and -s go with
every command, since they say which Viscum is meant. `argparse` is not used: it costs 5 MB on a router with CPython, and
MicroPython's is a different one.
"""

from collections import namedtuple

from ..paths import CONFDIR, SOCKET
from .places import COMMON, Usage, take_place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

# Which names of services follow a command.
NONE, SOME, EACH, ONE = "", "[NAME...]", "NAME... | --all", "NAME -- CMD [WORD...]"
FILE, MAYBE_FILE = "FILE", "[FILE]"  # a configuration that is somewhere else
PACKET = "PACKET | NAME [WORD...]"  # what tells of a packet (plan/packet.py), or a service to walk to
TENANT = "check NAME FILE | acl NAME [FOLDER]"  # cli/tenant.py
RECIPE = "RECIPE [NAME] [OPTION=VALUE...]"  # cli/recipes.py
RULES = "FILE [NAME] [OPTION=VALUE...]"  # cli/etsi

# `options` are those that a command takes besides -c and -s, `short` says in one line what it does, `more` the rest.
Command = namedtuple("Command", ("name", "names", "options", "short", "more"))

JSON, PROGRAM, TEXT = ("--json",), ("--no-program",), ("--text",)
EXPLAIN, RECIPES, MANY = "explain", "recipes", ("explain", "add", "import")  # MANY: any words, one twice as well
NO_AGENT = "While an agent runs, use `viscum start`, `stop` and `reload` instead."
COMMANDS = (
    Command(
        "check",
        MAYBE_FILE,
        JSON + ("--offline",),
        "report every configuration problem on this router",
        "Exit code 1 if the file is wrong, 3 if only this router can't have it so. With --offline only the file counts "
        "(FILE, /dev/stdin): the verdict is the same everywhere.",
    ),
    Command(
        "plan",
        NONE,
        JSON,
        "show what `up` would do, as ip, tc, nft and sysctl commands",
        "Changes nothing. No such command exists for eBPF programs and maps: those steps are comments.",
    ),
    Command("up", SOME, PROGRAM, "bring the enabled services (or those named) up", NO_AGENT),
    Command("down", SOME, PROGRAM, "take all services (or those named) down", NO_AGENT),
    Command("status", SOME, JSON, "show a table of the services", "Asks the agent, if one answers."),
    Command(
        "exec", ONE, (), "run a command in a service's namespace", "CMD runs as root; viscum exits with its exit code."
    ),
    Command(
        "doctor",
        NONE,
        JSON,
        "show what on this router helps or hinders services, and the command that fixes it",
        "Exit code 1 for an error or a warning.",
    ),
    Command(
        EXPLAIN,
        PACKET,
        JSON,
        "show which service takes a packet, or where one of ours stops on its way to service NAME",
        "PACKET is `[dev DEV] PROTO from SRC to DST [port PORT] [sport PORT] [mac MAC] [src_mac MAC] [vlan ID] "
        "[fragment]`, or a line of `tcpdump -n` or `conntrack -L` in quotes. Exit code 1 if none takes it. "
        "`NAME [dev DEV] [from SRC]` "
        "has no `to`: root lets a packet go a client's way to that service. Exit code 1 if it stops anywhere.",
    ),
    Command(RECIPES, NONE, JSON, "list the recipes: sections for what many want to run", ""),
    Command(
        "add",
        RECIPE,
        (),
        "write a recipe's section into the configuration",
        "OPTION=VALUE replaces what the recipe has, several of one make a list, OPTION= leaves it out. Nothing is "
        "written if anything is wrong.",
    ),
    Command(
        "export",
        SOME,
        ("--mec010",),
        "print the traffic and state of services as rules of ETSI MEC 011 (JSON)",
        "`state` is that of the redirect now, where the agent runs this configuration.",
    ),
    Command(
        "import",
        RULES,
        (),
        "give services the traffic and state that such rules say",
        "Reads rules of ETSI MEC 011 and application descriptors of MEC 010-2. NAME is the service, if they name "
        "another; a new one needs command=... Nothing is written if anything is wrong. Then the agent reloads.",
    ),
    Command(
        "tenant",
        TENANT,
        (),
        "judge what a tenant would configure, or print what gives him his rights",
        "Exit code 1 if anything in FILE is refused. `acl NAME /` puts the access lists of rpcd and ubusd in place.",
    ),
    Command(
        "verify",
        NONE,
        JSON + ("--wait",),
        "find out whether the agent does what its configuration says",
        "Prints what is missing, then with exit code 1. An interface that is down is nobody's mistake.",
    ),
    Command(
        "apply",
        FILE,
        ("--confirm",),
        "put a configuration in place, on trial",
        "A wrong FILE changes nothing. Unless `viscum confirm` follows in time, the one before comes back, also after "
        "a reboot.",
    ),
    Command("confirm", NONE, (), "keep the configuration that is on trial", ""),
    Command("rollback", NONE, (), "take the configuration that is on trial back now", ""),
    Command("list", NONE, JSON, "list the services that the agent knows", ""),
    Command("start", SOME, (), "start services that were stopped or have failed", ""),
    Command("stop", SOME, (), "take services down until they are started", "Lasts while the agent runs."),
    Command("restart", SOME, (), "stop programs and start them again", ""),
    Command(
        "reload", NONE, (), "make the agent read its configuration again", "It reads its own file, whatever -c says."
    ),
    Command(
        "bypass",
        EACH,
        ("--all", "--off"),
        "keep redirects out, so that clients reach the cloud",
        "Lasts while the agent runs; --off ends it.",
    ),
    Command("stats", NONE, JSON, "show packets, bytes and connections of each service", ""),
    Command(
        "metrics",
        NONE,
        TEXT,
        "print what Prometheus reads (OpenMetrics)",
        "Without an agent only that there is none, and exit code 1.",
    ),
    Command(
        "logs",
        SOME,
        JSON + ("-n", "-f"),
        "show the agent's last messages, with a name also the program's last output",
        "The full output of programs is in the system log. With -f, --json prints a line for each.",
    ),
    Command(
        "top", NONE, (), "show the current traffic of each service, every 2 seconds", "Only once without a terminal."
    ),
    Command("monitor", NONE, JSON, "print every change of a service's state", "Runs until interrupted."),
)
FIRST_OF_AGENT = "list"

OPTIONS = (
    ("-c CONFDIR", "read the configuration from CONFDIR (%s)" % CONFDIR),
    ("-s UBUS_SOCKET", "reach ubus, and so the agent, by this socket (%s)" % SOCKET),
    ("--json", "print JSON"),
    ("--text", "in Prometheus's older text format, for what does not know OpenMetrics"),
    ("--no-program", "kernel objects only, no programs"),
    ("--offline", "judge the file without this router"),
    ("--confirm SECONDS", "how long it is on trial"),
    ("--wait SECONDS", "so long until all is well"),
    ("--mec010", "as application descriptors of ETSI MEC 010-2, which have no state"),
    ("--all", "all services"),
    ("--off", "put the redirects back in"),
    ("-n LINES", "only so many of the last lines (of each service)"),
    ("-f", "print what comes later, too, until interrupted"),
    ("--help", "show what a command does and takes"),
    ("--version", "print the version"),
)


class Arguments:
    """A command line, parsed. `command` is "" if there is none."""

    def __init__(self, words: "Iterable[str]") -> None:
        self.command = ""
        self.names: list[str] = []
        self.options: list[str] = []
        self.rest: list[str] = []
        self.places: dict[str, str] = {}  # of -c and -s
        self.number = 0  # of the option that takes one
        self.help = self.version = False
        words = list(words)
        while words:
            self._take(words.pop(0), words)
        if self.command == "help":
            self.help = True
            self.command = self.names.pop(0) if self.names else ""
            if self.names:
                raise Usage("help is for one command")

    @property
    def confdir(self) -> str:
        return self.places.get("-c", CONFDIR)

    @property
    def socket(self) -> str:
        return self.places.get("-s", SOCKET)

    @property
    def json(self) -> bool:
        return "--json" in self.options

    @property
    def offline(self) -> bool:
        return "--offline" in self.options

    @property
    def programs(self) -> bool:
        return "--no-program" not in self.options

    @property
    def off(self) -> bool:
        return "--off" in self.options

    @property
    def follows(self) -> bool:
        return "-f" in self.options

    def _take(self, word: str, words: "list[str]") -> None:
        if word == "":
            raise Usage("one of the words is empty", self.command)
        if word == "--" and self.command == "exec":
            self.rest = words[:]
            del words[:]
        elif word in COMMON:
            take_place(self.places, word, words, self.command)
        elif word in ("-h", "--help"):
            self.help = True
        elif word in ("-V", "--version"):
            self.version = True
        elif word in NUMBERS:
            self._take_option(word)
            self.number = _number(word, words, self.command)
        elif word.startswith("-"):
            self._take_option(word)
        elif not self.command:
            self.command = word
        elif word in self.names and self.command not in MANY:
            raise Usage("%s is named twice" % _shown(word), self.command)
        else:
            self.names.append(word)

    def _take_option(self, word: str) -> None:
        if word not in [_word(option) for option, _ in OPTIONS]:
            raise Usage("unknown option %s" % _shown(word), self.command)
        if word in self.options:
            raise Usage("%s is given twice" % word, self.command)
        self.options.append(word)


NUMBERS = {"-n": "lines", "--wait": "seconds", "--confirm": "seconds"}


def _number(option: str, words: "list[str]", command: str) -> int:
    """Takes the value of an option from the words that follow."""
    from ..address import is_number  # not for every call: with CPython it brings the socket module

    if not words or not is_number(words[0]) or len(words[0]) > 9 or not int(words[0]):
        raise Usage("%s needs a number of %s" % (option, NUMBERS[option]), command)
    return int(words.pop(0))


def _shown(word: str) -> str:
    from ..shell import shown  # only after a mistake

    return shown(word)


def parse(words: "Iterable[str]") -> "Arguments":
    """Arguments, all of which their command uses. Raises Usage."""
    arguments = Arguments(words)
    if arguments.version and (arguments.command or arguments.options or arguments.help):
        raise Usage("--version stands alone")
    if arguments.command and command(arguments.command) is None:
        raise Usage("unknown command %s" % _shown(arguments.command))
    if not (arguments.help or arguments.version):
        _refuse_unused(arguments)
    return arguments


def command(name: str) -> "Command | None":
    """The row of a command, None for no command."""
    for row in COMMANDS:
        if row.name == name:
            return row
    return None


def _refuse_unused(arguments: "Arguments") -> None:
    row = command(arguments.command)
    if row is None:
        raise Usage("a command is missing")
    for option in arguments.options:
        if option not in row.options:
            raise Usage("%s does not take %s" % (row.name, option), row.name)
    if row.names == NONE and arguments.names:
        raise Usage("%s takes no names, and %s is one" % (row.name, _shown(arguments.names[0])), row.name)
    count = len(arguments.names)
    if (row.names in (FILE, RULES) and not count) or (row.names in (FILE, MAYBE_FILE) and count > 1):
        raise Usage("%s takes one file" % row.name, row.name)
    if row.names == ONE and (len(arguments.names) != 1 or not arguments.rest):
        raise Usage("%s takes a service's name, --, and a command" % row.name, row.name)
    if row.names == PACKET and not arguments.names:
        raise Usage("%s takes a packet or a service's name" % row.name, row.name)
    if row.names == RECIPE and not arguments.names:
        raise Usage("%s takes a recipe: `viscum %s` lists them" % (row.name, RECIPES), row.name)
    if row.names == EACH and bool(arguments.names) == ("--all" in arguments.options):
        raise Usage("%s takes names of services, or --all" % row.name, row.name)


# Help


def usage() -> str:
    """The help for all commands."""
    lines = ["usage: viscum [-c CONFDIR] [-s UBUS_SOCKET] COMMAND [WORD...]", ""]
    for row in COMMANDS:
        if row.name == FIRST_OF_AGENT:
            lines += ["", "of a running agent (viscumd):"]
        lines.append(_line(_form(row), row.short))
    lines += ["", "options:"]
    for option, text in OPTIONS:
        names = [row.name for row in COMMANDS if _word(option) in row.options]
        lines.append(_line(option, "%s: %s" % (", ".join(names), text) if names else text))
    return "\n".join(lines) + "\n"


def help_of(name: str) -> str:
    """The help for one command."""
    row: Any = command(name)  # there is one (parse)
    lines = ["usage: viscum %s" % " ".join([row.name] + ["[%s]" % each for each in _optional(row)] + [row.names])]
    lines = [lines[0].rstrip(), "", row.short[0].upper() + row.short[1:] + "." + (" " + row.more if row.more else "")]
    taken = [option for option in OPTIONS if _word(option[0]) in row.options + _places(row)]
    return "\n".join(lines + [""] * bool(taken) + [_line(*option) for option in taken]) + "\n"


def _optional(row: "Command") -> "list[str]":
    return [option for option, _ in OPTIONS if _word(option) in row.options and option not in row.names]


def _word(option: str) -> str:
    """An option without its value, as it is typed."""
    return option.split(" ")[0]


def _places(row: "Command") -> "tuple[str, ...]":
    """Those of -c and -s that make a difference to a command."""
    names = [each.name for each in COMMANDS]
    if names.index(row.name) >= names.index(FIRST_OF_AGENT):
        return ("-s",)
    if row.names == RECIPE:
        return ("-c",)
    return () if row.names == ONE or row.name == RECIPES else COMMON


def _form(row: "Command") -> str:
    return (row.name + " " + row.names.replace(" [WORD...]", "")).rstrip()


def _line(left: str, right: str) -> str:
    return "  %s%s %s" % (left, " " * (22 - len(left)), right)
