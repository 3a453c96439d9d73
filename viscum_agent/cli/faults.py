"""`viscum explain` and `viscum doctor`: what a person types who looks for a fault."""

from .. import compat
from ..errors import ViscumError
from ..plan import packet
from ..shell import printable
from .places import Usage
from .verbs import Reconciler, complain, print_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..plan.packet import Packet
    from .words import Arguments


def explain(arguments: "Arguments") -> int:
    text = " ".join(arguments.names)
    try:
        asked = packet.read(text)
    except ValueError as error:
        raise Usage("the packet %s" % error, arguments.command)
    found = _explained_by_agent(arguments, text) or _explained(arguments, asked)
    if arguments.json:
        print_json(found)
    else:
        print(_explanation(found))
    return 0 if found["taken"] else 1


def _explained_by_agent(arguments: "Arguments", text: str) -> "dict[str, Any] | None":
    """None if there is none, or it does not answer."""
    if not compat.exists(arguments.socket):
        return None
    from . import agent_calls

    try:
        return agent_calls.ask(arguments.socket, "explain", {"packet": text})
    except agent_calls.NoAgent:
        return None
    except ViscumError as error:
        complain("the agent does not answer (%s): below is what the kernel has" % error)
        return None


def _explained(arguments: "Arguments", asked: "Packet") -> "dict[str, Any]":
    from ..explained import explained
    from . import table

    with Reconciler(arguments.confdir, arguments.socket, loads=False) as reconciler:
        snapshot = reconciler.look()
        states = {row["name"]: (row["state"], row["reason"]) for row in table.rows(snapshot)}
        return explained(asked, snapshot, states)


def _explanation(found: "dict[str, Any]") -> str:
    lines = ["no service takes it"]
    if found["taken"]:
        lines = ["%s takes it" % found["service"], "  match: " + found["match"], "  rule: " + found["rule"]]
    return "\n".join(lines + ["  " + printable(text) for text in found["reasons"]])


def examine(arguments: "Arguments") -> int:
    from .. import doctor

    findings = doctor.look(arguments.confdir, arguments.socket)
    if arguments.json:
        print_json(doctor.dicts(findings))
    else:
        print(doctor.text(findings))
    return 1 if doctor.trouble(findings) else 0


RUN = {"explain": explain, "doctor": examine}
