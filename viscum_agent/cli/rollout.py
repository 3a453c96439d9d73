"""What engines for many routers ask of one.

`verify`: does it do what its configuration says? The question after a change (TEST_SCRIPT of openwisp-config, a health
gate of Ansible). `apply`, `confirm`, `rollback`: a change that is taken back if nobody can reach the router after it
(trial.py).
"""

from .. import compat, trial
from ..config import offline, service, uci
from ..errors import ViscumError, problem_text
from ..service.states import DISABLED, HEALTHY, STOPPED, WAITING
from ..shell import printable
from ..ubus.caller import Caller
from ..ubus.codes import UbusError
from ..ujson import dumps
from . import agent_calls
from .places import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .words import Arguments

OFF = (DISABLED, STOPPED)
POLL = 0.5  # seconds
SHOWN = 3  # commands that are left to do
IS_AWAY = "has no device now"  # what config/network.py says of an interface that is down, which is no mistake


def command(arguments: "Arguments") -> int:
    try:
        return OWN[arguments.command](arguments)
    except OSError as error:  # of trial.py
        raise ViscumError("%s: %s" % (arguments.confdir, compat.strerror(error.errno)))


def _verify(arguments: "Arguments") -> int:
    """Tries again until all is well or the time is up; prints what is missing then."""
    give_up = compat.monotonic() + arguments.number
    agent, missing = _compare(arguments)
    while missing and compat.monotonic() < give_up:
        compat.sleep(POLL)
        agent, missing = _compare(arguments)
    if arguments.json:
        found = {name: agent.get(name) for name in ("generation", "hash", "trial")}
        found["missing"] = missing
        print(dumps(found))
    else:
        for text in missing:
            print(printable(text))
    return 1 if missing else 0


def _compare(arguments: "Arguments") -> "tuple[dict[str, Any], list[str]]":
    """(the agent's `status`, what is not as the configuration says, in sentences). Raises ConfigError."""
    path = arguments.confdir + "/viscum"
    data = uci.content(path)
    wanted = service.read(uci.parse(data, path), files=False)
    on = {each.name for each in wanted.services if each.enabled and wanted.settings.enabled}
    missing = [problem_text(problem) for problem in wanted.problems]
    try:
        agent = agent_calls.whole(arguments.socket, "status")
    except agent_calls.NoAgent as error:  # where nothing is enabled, none has to run
        return {}, missing + [str(error)] * bool(on)
    if agent.get("hash") != compat.sha256(data):
        return agent, ["the agent runs another configuration than %s: `viscum reload`" % path]
    rows = agent["services"]
    for name in sorted(set(rows).difference(wanted.bad)):
        state, reason = rows[name]["state"], rows[name]["reason"]
        if state not in ((HEALTHY,) if name in on else OFF) and not (state == WAITING and IS_AWAY in reason):
            missing.append("%s: %s" % (name, state) + (", " + reason if reason else ""))
    # The plan costs the router more, so it is asked last.
    return agent, missing or _left(agent_calls.ask(arguments.socket, "plan"), rows)


def _left(plan: "dict[str, Any]", rows: "dict[str, Any]") -> "list[str]":
    """What the agent would still do, or can't."""
    kept = [name for name in plan["skipped"] if name not in rows or rows[name]["state"] != WAITING]
    missing = ["%s: goes on as before, because of a problem: `viscum check`" % name for name in kept]
    missing += ["%s: what it answers is not known yet" % name for name in plan["unsure"]]
    return missing + ["left to do: " + text for text in plan["commands"][:SHOWN]]


def _apply(arguments: "Arguments") -> int:
    if not arguments.number:
        raise Usage("apply needs --confirm SECONDS", arguments.command)
    path = arguments.names[0]
    data = uci.content(path, False)
    wrong = offline.mistakes(data, path)
    for problem in wrong:
        print(problem_text(problem))
    if wrong:
        return 1
    trial.begin(arguments.confdir, data, arguments.number)
    try:
        tell(arguments.socket)
    except UbusError:  # it does not take it, or does not answer
        _rollback(arguments)
        raise
    print(trial.ON_TRIAL_FOR % arguments.number)
    return 0


def _confirm(arguments: "Arguments") -> int:
    trial.end(arguments.confdir, undo=False)
    return 0


def _rollback(arguments: "Arguments") -> int:
    trial.end(arguments.confdir, undo=True)
    tell(arguments.socket)
    return 0


def tell(socket: str) -> None:
    """Has the agent read its file, or procd see whether there has to be an agent now, as `reload_config` does. Raises
    UbusError for what the agent refuses."""
    try:
        agent_calls.ask(socket, "reload")
    except agent_calls.NoAgent:
        try:
            with Caller(socket, agent_calls.PATIENCE) as caller:
                caller.call("service", "event", {"type": "config.change", "data": {"package": "viscum"}})
        except UbusError:
            pass  # no procd, and so nobody who would start one


OWN = {"verify": _verify, "apply": _apply, "confirm": _confirm, "rollback": _rollback}
