"""`viscum explain` and `viscum doctor`: what a person types who looks for a fault."""

from .. import compat
from ..config.schema import is_section_name
from ..errors import ViscumError
from ..shell import printable
from .places import Usage
from .verbs import Reconciler, complain, need_root, print_json, refuse_unknown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..plan.packet import Packet
    from ..reconcile import Snapshot
    from .words import Arguments


def explain(arguments: "Arguments") -> int:
    from ..plan import packet

    text = " ".join(arguments.names)
    try:
        asked = packet.read(text)
    except ValueError as error:
        return _walk(arguments, str(error))
    found = _explained_by_agent(arguments, text)
    if found is None:
        with Reconciler(arguments.confdir, arguments.socket, loads=False) as reconciler:
            found = _explained(asked, reconciler.look())
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


def _explained(asked: "Packet", snapshot: "Snapshot") -> "dict[str, Any]":
    from ..explained import explained
    from . import table

    states = {row["name"]: (row["state"], row["reason"]) for row in table.rows(snapshot)}
    return explained(asked, snapshot, states)


def _walk(arguments: "Arguments", wrong: str) -> int:
    """What was typed is no packet, and `wrong` says why: it may be a service's name."""
    from ..plan import packet

    wrong, name = "the packet " + wrong, arguments.names[0]
    try:
        client = packet.client(arguments.names[1:])
    except ValueError:
        raise Usage(wrong, arguments.command)
    if not is_section_name(name):
        raise Usage(wrong, arguments.command)
    with Reconciler(arguments.confdir, arguments.socket, loads=False) as reconciler:
        snapshot = reconciler.look()
        names = [service.name for service in snapshot.configuration.services] + snapshot.configuration.bad
        if name not in names and client != packet.NOTHING:
            raise Usage(wrong, arguments.command)
        arguments.names = [name]
        refuse_unknown(arguments, names)
        need_root()
        return _walked(arguments, client, snapshot)


def _walked(arguments: "Arguments", client: "Packet", snapshot: "Snapshot") -> int:
    from ..plan import packet
    from . import table, walk

    def told(text: str) -> "dict[str, Any]":
        return _explained_by_agent(arguments, text) or _explained(packet.read(text), snapshot)

    hops = walk.Walk(arguments.names[0], client, snapshot, told).run()
    if arguments.json:
        print_json([dict(zip(("hop", "result", "text", "fix"), hop)) for hop in hops])
    else:
        rows = [(hop, result, text + (" (to do: %s)" % fix if fix else "")) for hop, result, text, fix in hops]
        print(table.columns([[printable(cell) for cell in row] for row in rows]))
    return 1 if hops[-1][1] == walk.STOPPED else 0


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
