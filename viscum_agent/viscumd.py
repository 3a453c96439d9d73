"""`viscumd`: starts the agent. Its command line: [-c CONFDIR] [-s UBUS_SOCKET] [-b]."""

import sys

from . import __version__, compat
from .agent import Agent
from .cli.places import COMMON, Usage, take_place
from .errors import ViscumError
from .log import Log
from .paths import CONFDIR, SOCKET
from .shell import printable, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

USAGE = """usage: viscumd [-c CONFDIR] [-s UBUS_SOCKET] [-b]

  -c CONFDIR       read the configuration from CONFDIR (%s)
  -s UBUS_SOCKET   use this ubus socket (%s)
  -b               serve ubus on it, for a machine without ubusd
  --help           this text
  --version        print the version

SIGHUP reloads the configuration. SIGTERM ends the agent; the services keep running.
""" % (CONFDIR, SOCKET)
ALONE = {"--help": USAGE, "-h": USAGE, "--version": "viscum %s\n" % __version__}


def main(typed: "Sequence[str] | None" = None) -> int:
    """Runs until told to end; returns an exit code."""
    compat.start()
    typed = list(sys.argv[1:] if typed is None else typed)
    if len(typed) == 1 and typed[0] in ALONE:
        print(ALONE[typed[0]], end="")
        return 0
    try:
        places, serve = _parse(typed)
    except Usage as error:
        sys.stderr.write("viscumd: %s; see viscumd --help\n" % error.args[0])
        return 2
    log = Log()
    try:
        if compat.geteuid() != 0:
            raise ViscumError("this needs root: it changes network namespaces and traffic control")
        Agent(places.get("-c", CONFDIR), log).run((places.get("-s", SOCKET), serve))
    except ViscumError as error:
        log.end(printable(str(error)))
        return 1
    return 0


def _parse(typed: "list[str]") -> "tuple[dict[str, str], bool]":
    """(values of -c and -s, whether -b is there). Raises Usage for any other word and for one that is given twice."""
    places: dict[str, str] = {}
    serve = False
    while typed:
        word = typed.pop(0)
        if word in COMMON:
            take_place(places, word, typed)
        elif word != "-b":
            raise Usage("%s is not an option here, or stands alone" % shown(word))
        elif serve:
            raise Usage("-b is given twice")
        else:
            serve = True
    return places, serve


if __name__ == "__main__":
    sys.exit(main())
