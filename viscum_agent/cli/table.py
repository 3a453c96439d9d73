"""The state of each service in a row: what the configuration wants, what the kernel has, what runs."""

from ..config.schema import printable
from ..plan import datapath
from ..plan.claims import match_text
from ..plan.diff import redirects_of
from ..records.dump import NOTHING
from ..records.objects import ns_name
from ..service import process

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..config.service import Service
    from ..plan.planner import ServicePlan
    from ..reconcile import Snapshot

COLUMNS = (
    ("SERVICE", "name"),
    ("STATE", "state"),
    ("PID", "pid"),
    ("DATAPATH", "datapath"),
    ("FROM", "from"),
    ("TAKES", "takes"),
)


def rows(snapshot: "Snapshot", agent: "dict[str, dict] | None" = None) -> "list[dict]":
    """A dict for each service that is configured or in the kernel, sorted by name."""
    table = process.processes()
    services = {service.name: service for service in snapshot.configuration.services}
    parts = {part.service.name: part for part in snapshot.plan.services}
    pending = {name for name, _ in snapshot.pending()}
    names = sorted(set(list(services) + list(snapshot.observed.services) + snapshot.configuration.bad))
    found = [_row(name, services.get(name), parts.get(name), snapshot, pending, table) for name in names]
    for row in found:
        if agent and row["name"] in agent:  # it knows more
            known = agent[row["name"]]
            for key in ("state", "reason", "uptime", "restarts", "connections", "takes", "stays"):
                row[key] = known[key]
    others = of_agent({name: known for name, known in (agent or {}).items() if name not in names})
    return sorted(found + others, key=lambda row: row["name"])


def of_agent(agent: "dict[str, dict]") -> "list[dict]":
    """Rows for services of which only the agent knows: its configuration is not the one that was read, or none was."""
    return [_agent_row(name, agent[name]) for name in sorted(agent)]


def _agent_row(name: str, known: dict) -> dict:
    keys = ("state", "reason", "pid", "datapath", "from", "takes", "stays", "packets", "bytes", "drops", "overlimits")
    row = {key: known[key] for key in keys + ("uptime", "restarts", "connections")}
    row.update({"name": name, "enabled": None, "pids": [known["pid"]] if known["pid"] else []})
    row["namespace"] = ns_name(name)
    return row


def _row(
    name: str,
    service: "Service | None",
    part: "ServicePlan | None",
    snapshot: "Snapshot",
    pending: "set[str]",
    table: dict,
) -> dict:
    found = snapshot.observed.of(name)
    pids = process.pids(name, table) if found else []
    filters = [each.item for each in redirects_of(found)]
    counters = snapshot.observed.counters.get(name, NOTHING)
    reasons = [problem.message for problem in snapshot.problems() if problem.service == name]
    return {
        "name": name,
        "enabled": bool(service and service.enabled),
        "state": _state(service, found, filters, pids, name in pending, reasons),
        "reason": "; ".join(reasons),
        "pid": process.main_pid(pids),
        "pids": pids,
        "namespace": ns_name(name),
        "datapath": datapath.of(filters[0]).NAME if filters else (part.datapath if part else ""),
        "from": sorted({item.dev for item in filters}),
        "takes": sorted({match_text(match) for match in service.matches}) if service else [],
        "packets": counters.packets,
        "bytes": counters.bytes,
        "drops": counters.drops,
        "overlimits": counters.overlimits,
    }


def _state(
    service: "Service | None", found: "Sequence", filters: list, pids: "list[int]", pending: bool, reasons: "list[str]"
) -> str:
    """One word: disabled and down have nothing in the kernel; up is all as configured; changed is there but not as
    configured; broken is up without a program; bypassed is there without its redirect; invalid has a problem."""
    if reasons and not found:
        return "invalid"
    if not found:
        return "down" if service and service.enabled else "disabled"
    if not filters:
        return "bypassed"
    if not pids:
        return "broken"
    return "changed" if pending or reasons else "up"


def table(found: "list[dict]") -> str:
    """The rows as text in columns."""
    lines = [[title for title, _ in COLUMNS] + ["PACKETS"]]
    lines += [[_cell(value) for value in [row[key] for _, key in COLUMNS] + [row["packets"]]] for row in found]
    reasons = ["%s: %s" % (row["name"], printable(row["reason"])) for row in found if row["reason"]]
    return "\n".join([columns(lines)] + reasons + [line for row in found for line in _stays(row)])


def _stays(row: dict) -> "list[str]":
    """What of a service's traffic the cloud answers as before, and why: an agent knows."""
    return ["%s: not taken: %s" % (row["name"], printable(text)) for text in row.get("stays", ())]


def columns(lines: "Sequence[Sequence[str]]") -> str:
    """Lines of cells as text, each column as wide as its widest cell."""
    widths = [max([len(line[column]) for line in lines]) for column in range(len(lines[0]))]
    text = [("  ".join([_pad(cell, width) for cell, width in zip(line, widths)])).rstrip() for line in lines]
    return "\n".join(text)


def _cell(value: object) -> str:
    if isinstance(value, list):
        return value[0] + (" +%d" % (len(value) - 1) if len(value) > 1 else "") if value else "-"
    return str(value) if value not in ("", 0) else "-"


def _pad(text: str, width: int) -> str:
    return text + " " * (width - len(text))
