"""The commands that only an agent can do, asked for over ubus; and what every command may ask: does one run?"""

from . import compat
from .errors import ViscumError
from .names import EVENT, OBJECT
from .ubus.caller import Caller
from .ubus.status import CONNECTION_FAILED, NOT_FOUND, UbusError
from .ujson import dumps


class NoAgent(ViscumError):
    """Nobody answers for the agent."""

    kind = "unsupported"


def ask(path, method, args=None):
    """The agent's answer to a call. Raises NoAgent, or UbusError with the agent's words."""
    try:
        with Caller(path) as caller:
            return caller.call(OBJECT, method, args or {})
    except UbusError as error:
        if error.code == CONNECTION_FAILED or (error.code == NOT_FOUND and not (args or {}).get("name")):
            text = "no agent answers on %s: start viscumd, or name its socket with -s"
            raise NoAgent(text % path) from error
        raise


def state_of(path):
    """{service: (state, reason)} as the agent has it, None where none runs."""
    try:
        services = ask(path, "status")["services"]
    except ViscumError:
        return None
    return {name: (services[name]["state"], services[name]["reason"]) for name in services}


def command(arguments):
    """`list`, `start`, `stop`, `restart`, `reload`, `bypass`, `stats`."""
    method = arguments.command
    if method in ("list", "stats"):
        answer = ask(arguments.socket, method)["services"]
        print(dumps(answer) if arguments.json else _lines(answer))
        return 0
    extra = {}
    if method == "bypass":
        extra["on"] = not arguments.off
    if method == "reload":
        ask(arguments.socket, method)
        return 0
    for name in arguments.names or [None]:
        args = dict(extra)
        if name:
            args["name"] = name
        ask(arguments.socket, method, args)
    return 0


def _lines(answer):
    if isinstance(answer, list):
        return "\n".join(answer)
    words = "%s: %d packets, %d bytes"
    return "\n".join([words % (name, answer[name]["packets"], answer[name]["bytes"]) for name in sorted(answer)])


def monitor(arguments):
    """Prints every change of a service's state until it is interrupted."""
    ask(arguments.socket, "list")  # says so when no agent runs

    def event(_name, data):
        if arguments.json:
            print(dumps(data))
        else:
            reason = ", " + data["reason"] if data.get("reason") else ""
            print("%s: %s -> %s%s" % (data["name"], data["before"], data["state"], reason))
        compat.flush()

    with Caller(arguments.socket) as caller:
        caller.listen(event, EVENT)
    return 0
