"""The commands that only an agent can do, called over ubus; and, for every command, whether one runs."""

import time

from .. import compat
from ..errors import ViscumError
from ..shell import printable
from ..ubus.caller import Caller
from ..ubus.codes import CONNECTION_FAILED, NOT_FOUND, UbusError
from ..ubus_object.names import EVENT, OBJECT
from ..ujson import dumps

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .words import Arguments

# Seconds to wait for ubus's hello: fewer than the client's own HELLO_TIMEOUT, after which it gives up.
PATIENCE = 4.0


class NoAgent(ViscumError):
    """No agent answers."""

    kind = "unsupported"


def ask(path: str, method: str, args: "dict[str, Any] | None" = None) -> "dict[str, Any]":
    """The agent's answer to a call. Raises NoAgent, or UbusError with the agent's message."""
    try:
        with Caller(path, PATIENCE) as caller:
            return caller.call(OBJECT, method, args or {})
    except UbusError as error:
        if error.code == CONNECTION_FAILED or (error.code == NOT_FOUND and not (args or {}).get("name")):
            text = "no agent answers on %s: start viscumd, or name its socket with -s"
            raise NoAgent(text % path)
        raise


def ask_all(path: str, method: str, args: "dict[str, Any] | None" = None) -> "Any":
    """All services of a paged answer: a dict, or a list."""
    return whole(path, method, args)["services"]


def whole(path: str, method: str, args: "dict[str, Any] | None" = None) -> "dict[str, Any]":
    """A paged answer, as one."""
    args = dict(args or {})
    found = None
    while True:
        answer = ask(path, method, args)
        part = answer["services"]
        if found is None:
            found = answer
        elif isinstance(part, dict):
            found["services"].update(part)
        else:
            found["services"].extend(part)
        if "next" not in answer:
            return found
        args["after"] = answer["next"]


def state_of(path: str) -> "dict[str, Any] | None":
    """The agent's `status`, each service in full; None if no agent runs. Raises UbusError if one runs and does not
    answer: a caller that took this for none would work against it."""
    try:
        found = whole(path, "status")
        rows = found["services"]
        for name in rows:
            if any(rows[name][key + "_count"] > len(rows[name][key]) for key in ("from", "takes", "stays")):
                rows[name] = ask(path, "status", {"name": name})["services"][name]
        return found
    except NoAgent:
        return None


def command(arguments: "Arguments") -> int:
    """Runs the function that OWN has for a command; for the others it calls the method of that name, and prints
    nothing."""
    return OWN.get(arguments.command, _call)(arguments)


def _call(arguments: "Arguments") -> int:
    for args in _each_name(arguments):
        ask(arguments.socket, arguments.command, args)
    return 0


def _each_name(arguments: "Arguments") -> "list[dict[str, Any]]":
    """The arguments of a call for each service that was named; one call for all when none was."""
    return [{"name": name} for name in arguments.names] or [{}]


def _bypass(arguments: "Arguments") -> int:
    for args in _each_name(arguments):
        args["on"] = not arguments.off
        ask(arguments.socket, "bypass", args)
    return 0


def _list(arguments: "Arguments") -> int:
    names = ask_all(arguments.socket, "list")
    print(dumps(names) if arguments.json else "\n".join(names))
    return 0


def _stats(arguments: "Arguments") -> int:
    found = ask_all(arguments.socket, "stats")
    print(dumps(found) if arguments.json else "\n".join([_counted(name, found[name]) for name in sorted(found)]))
    return 0


def _counted(name: str, row: "dict[str, Any]") -> str:
    return "%s: %d packets, %d bytes, %d connections" % (name, row["packets"], row["bytes"], row["connections"])


def _logs(arguments: "Arguments") -> int:
    asked = _each_name(arguments)
    for args in asked:
        args["lines"] = arguments.number
    lines = _lines(arguments, asked)
    if arguments.json and not arguments.follows:
        print(dumps(lines))
        return 0
    while True:
        for line in lines:
            text = "%s %s" % (clock(line["time"]), printable(line["text"]))
            print(dumps(line) if arguments.json else text)
        if not arguments.follows:
            return 0
        compat.flush()
        compat.sleep(FOLLOW)
        try:
            lines = _lines(arguments, asked)
        except ViscumError:
            lines = []  # the agent is being restarted, or does not know the service yet


def _lines(arguments: "Arguments", asked: "list[dict[str, Any]]") -> "list[dict[str, Any]]":
    """The log lines of all whom the calls name, and in `asked` the arguments for what comes later."""
    lines = []
    for args in asked:
        answer = ask(arguments.socket, "logs", args)
        lines.extend(answer["lines"])
        args["since"], args["lines"] = answer["serial"], 0
    return lines


def clock(seconds: float) -> str:
    """Local date and time, as the system log writes them."""
    return "%04d-%02d-%02d %02d:%02d:%02d" % tuple(time.localtime(seconds)[:6])


TOP_INTERVAL, FOLLOW = 2, 1  # seconds
CLEAR = "\x1b[H\x1b[2J"  # cursor home, erase the screen (ECMA-48)
TOP_COLUMNS = ("SERVICE", "STATE", "CONNECTIONS", "PACKETS/S", "MBIT/S", "CPU%", "MEMORY", "UPTIME", "RESTARTS")


def _top(arguments: "Arguments") -> int:
    """A table of each service's current traffic, again and again; only once, over one interval, without a terminal."""
    from .table import columns

    before, began = ask_all(arguments.socket, "status"), compat.monotonic()
    while True:
        compat.sleep(TOP_INTERVAL)
        now, ended = ask_all(arguments.socket, "status"), compat.monotonic()
        lines = [TOP_COLUMNS] + [_top_row(name, now, before, ended - began) for name in sorted(now)]
        text = columns(_with_worth(lines, now))
        if not compat.isatty():
            print(text)
            return 0
        print(CLEAR + text)
        compat.flush()
        before, began = now, ended


def _top_row(name: str, now: "dict[str, dict]", before: "dict[str, dict]", seconds: float) -> "tuple[str, ...]":
    row, old = now[name], before.get(name, now[name])
    packets = max(0, row["packets"] - old["packets"]) / seconds
    cpu = max(0, (row["cpu_usec"] or 0) - (old["cpu_usec"] or 0)) / seconds / 1e4
    bits = 8 * max(0, row["bytes"] - old["bytes"]) / seconds / 1e6
    state = row["state"] + (" (%s)" % printable(row["reason"]) if row["reason"] and row["state"] != "healthy" else "")
    return (
        name,
        state,
        str(row["connections"]),
        "%.0f" % packets,
        "%.2f" % bits,
        "%.0f" % cpu,
        "%.1f MB" % (row["memory"] / 1e6) if row["memory"] else "-",
        "%d s" % row["uptime"],
        str(row["restarts"]),
    )


def _with_worth(lines: "list[tuple[str, ...]]", now: "dict[str, dict]") -> "list[tuple[str, ...]]":
    """With columns more, if the agent has that package."""
    if not any("worth" in now[name] for name in now):
        return lines
    from ..optional import load

    worth = load("cli.worth")
    more = [worth.TITLES] + [worth.cells(now[name]) for name in sorted(now)]
    return [line + cells for line, cells in zip(lines, more)]


def _metrics(arguments: "Arguments") -> int:
    from ..optional import load

    found: int = load("cli.metrics").show(arguments)
    return found


def _monitor(arguments: "Arguments") -> int:
    """Prints every change of a service's state until it is interrupted."""
    ask(arguments.socket, "list")  # raises NoAgent if none runs

    def event(_name: str, data: "dict[str, Any]") -> None:
        if arguments.json:
            print(dumps(data))
        else:
            reason = ", " + printable(data["reason"]) if data.get("reason") else ""
            print("%s: %s -> %s%s" % (data["name"], data["before"], data["state"], reason))
        compat.flush()

    with Caller(arguments.socket) as caller:
        caller.listen(event, EVENT)
    return 0


# Commands that print something, or do more than call a method with names of services.
OWN = {
    "list": _list,
    "bypass": _bypass,
    "stats": _stats,
    "metrics": _metrics,
    "logs": _logs,
    "top": _top,
    "monitor": _monitor,
}
