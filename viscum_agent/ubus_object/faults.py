"""The methods `doctor` and `explain` of the ubus object: for who looks for a fault, loaded when they are called.

They `load` what they use too: its package may be removed while the agent runs.
"""

from ..optional import load
from ..plan import packet
from ..ubus import codes as code

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..agent import Agent
    from .kept import Kept


def doctor(agent: "Agent") -> "dict[str, Any]":
    doctor = load("doctor")
    findings = doctor.examine(agent.reconciler, agent.snapshot(), agent.confdir)
    return {"findings": doctor.dicts(findings), "trouble": doctor.trouble(findings)}


def explain(agent: "Agent", text: str, looks: "Kept") -> "dict[str, Any]":
    """`looks` keeps the last Snapshot. Raises UbusStatus."""
    try:
        asked = packet.read(text)
    except ValueError as error:
        raise code.UbusStatus(code.INVALID_ARGUMENT, "the packet %s" % error)
    states = {name: (each.state, each.whole_reason) for name, each in agent.instances.items()}
    return load("explained").explained(asked, looks.get(agent.snapshot), states)
