"""`viscumd`: starts the agent. Its command line is design.md's: [-c CONFDIR] [-s UBUS_SOCKET] [-b]."""

import sys

from . import __version__, compat
from .agent import Agent
from .errors import ViscumError
from .log import Log
from .ubus.client import SOCKET

CONFDIR = "/etc/config"
USAGE = """usage: viscumd [-c CONFDIR] [-s UBUS_SOCKET] [-b]

  -c CONFDIR       read the configuration from there (%s)
  -s UBUS_SOCKET   speak ubus there (%s)
  -b               serve ubus on that socket, for a machine without ubusd
  --version        print the version

SIGHUP reads the configuration again. SIGTERM ends the agent; the services go on.
""" % (CONFDIR, SOCKET)


def main(words=None):
    """Runs until told to end; returns an exit code."""
    compat.start()
    words = list(sys.argv[1:] if words is None else words)
    values = {"-c": CONFDIR, "-s": SOCKET}
    serve = False
    while words:
        word = words.pop(0)
        if word == "--version":
            print("viscum " + __version__)
            return 0
        if word == "-b":
            serve = True
        elif word in values and words:
            values[word] = words.pop(0)
        else:
            sys.stderr.write(USAGE)
            return 0 if word in ("-h", "--help") else 2
    log = Log()
    try:
        if compat.geteuid() != 0:
            raise ViscumError("this needs root: it changes network namespaces and traffic control")
        Agent(values["-c"], log).run((values["-s"], serve))
    except ViscumError as error:
        log.end(error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
