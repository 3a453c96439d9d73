"""`viscum status`: a row for each service, from the agent, or from what the kernel shows if no agent runs."""

from ..kernel import bpf_deadline, counters
from ..plan import datapath
from ..plan.claims import configured
from ..plan.diff import redirects_of
from ..records.dump import NOTHING
from ..records.objects import ns_name
from ..records.row import status_row
from ..service import running
from ..service.states import BYPASSED, DISABLED, FAILED, HEALTHY, STOPPED, WAITING
from ..shell import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..config.service import Service
    from ..plan.actual import Found
    from ..plan.planner import ServicePlan
    from ..reconcile import Snapshot
    from ..records.dump import Counters

COLUMNS = (
    ("SERVICE", "name"),
    ("STATE", "state"),
    ("PID", "pid"),
    ("DATAPATH", "datapath"),
    ("FROM", "from"),
    ("TAKES", "takes"),
)
DEAD_END = "no program runs, so clients get no answer: `viscum up` starts it, `viscum down` takes the redirect out"
OTHERWISE = "it is not as configured: `viscum plan` shows what `viscum up` changes"


def rows(snapshot: "Snapshot", agent: "dict[str, dict] | None" = None) -> "list[dict]":
    """A row for each service that is configured, in the kernel, or known to the agent, sorted by name; the agent's own
    where it knows the service."""
    agent = agent or {}
    table = running.processes()
    enabled = {service.name: service.enabled for service in snapshot.configuration.services}
    names = set(list(enabled) + list(snapshot.observed.services) + snapshot.configuration.bad)
    pids = {name: running.pids(name, table) for name in names.union(agent)}
    found = dict(agent)
    found.update(_kernel_rows(snapshot, {name: pids[name] for name in names if name not in agent}))
    return [
        _named(name, found[name], enabled.get(name, False) if name in names else None, pids[name])
        for name in sorted(found)
    ]


def of_agent(agent: "dict[str, dict]") -> "list[dict]":
    """Rows of an agent whose configuration can't be read here."""
    return [
        _named(name, agent[name], None, [agent[name]["pid"]] if agent[name]["pid"] else []) for name in sorted(agent)
    ]


def _named(name: str, row: dict, enabled: "bool | None", pids: "list[int]") -> dict:
    """Adds to a row what only a command says. `enabled` is as in the configuration that was read, None if that has no
    such service."""
    row.update({"name": name, "enabled": enabled, "pids": pids, "namespace": ns_name(name)})
    return row


def _kernel_rows(snapshot: "Snapshot", pids: "dict[str, list[int]]") -> "dict[str, dict]":
    """What the kernel shows of the services in `pids`, which no agent knows better."""
    if not pids:
        return {}
    services = {service.name: service for service in snapshot.configuration.services}
    parts = {part.service.name: part for part in snapshot.plan.services}
    pending = {name for name, _ in snapshot.pending()}
    where = counters.places(snapshot.dump)
    sent = counters.Sent().read(where)
    return {
        name: _kernel_row(
            name,
            snapshot,
            services.get(name),
            parts.get(name),
            pids[name],
            sent.get(name, NOTHING),
            counters.direct_of(snapshot.dump, where, name),
            name in pending,
        )
        for name in pids
    }


def _kernel_row(
    name: str,
    snapshot: "Snapshot",
    service: "Service | None",
    part: "ServicePlan | None",
    pids: "list[int]",
    sent: "Counters",
    direct: "dict[str, int]",
    pending: bool,
) -> dict:
    found = snapshot.observed.of(name)
    filters = [each.item for each in redirects_of(found)]
    problems = [problem.message for problem in snapshot.problems() if problem.service == name]
    ended = _ended(name, filters, snapshot)
    state, reason = _state(bool(service and service.enabled), found, bool(filters), ended, pids, pending, problems)
    kind = datapath.of(filters[0]).NAME if filters else part.datapath if part else ""
    devices = tuple(sorted({item.dev for item in filters}))
    pid = running.main_pid(pids)
    return status_row(
        state=state,
        reason=reason,
        pid=pid,
        uptime=int(running.age(pid)) if pid else 0,
        restarts=None,
        bypass=False,
        inhibitors=None,
        service=service,
        traffic=counters.Traffic(devices, kind, snapshot.observed.counters.get(name, NOTHING), sent, direct),
        usage=running.usage(name),
        takes=configured(service) if service else [],
        stays=sorted({"%s: %s" % each for each in part.stays}) if part and pids else [],
        connections=None,
    )


def _ended(name: str, filters: list, snapshot: "Snapshot") -> str:
    """Why the redirect of a service ended by itself, which only eBPF's do; "" if it did not."""
    if filters and datapath.of(filters[0]) is datapath.ebpf and bpf_deadline.has_passed():
        return "its agent ended or hangs (watch_timeout)"
    return "a port of it was closed" if name in snapshot.observed.refused else ""


def _state(
    enabled: bool,
    found: "Sequence[Found]",
    redirected: bool,
    ended: str,
    pids: "list[int]",
    pending: bool,
    problems: "list[str]",
) -> "tuple[str, str]":
    """(state, reason) without an agent (service/states.py); `ended` is why its redirect ended by itself, if it did."""
    said = "; ".join(problems)
    if not found:
        return (WAITING, said) if problems else (STOPPED if enabled else DISABLED, "")
    if not pids:
        return FAILED, said or (DEAD_END if redirected and not ended else "no program runs")
    if ended:
        return BYPASSED, said or ended
    if not redirected:
        return BYPASSED, said or "its redirect is out"
    return HEALTHY, said or (OTHERWISE if pending else "")


def table(found: "list[dict]") -> str:
    """The rows as text in columns."""
    lines = [[title for title, _ in COLUMNS] + ["PACKETS"]]
    lines += [[_cell(value) for value in [row[key] for _, key in COLUMNS] + [row["packets"]]] for row in found]
    reasons = ["%s: %s" % (row["name"], printable(row["reason"])) for row in found if row["reason"]]
    rates = ["%s: rate %dkbit" % (row["name"], row["rate"] // 1000) for row in found if row.get("rate")]
    rates += ["%s: %s" % (row["name"], _direct(row["direct"])) for row in found if row.get("direct")]
    return "\n".join([columns(lines)] + reasons + rates + [line for row in found for line in _stays(row)])


def _direct(counted: "dict[str, int]") -> str:
    return "direct: " + ", ".join(["%s %d" % (key, counted[key]) for key in sorted(counted)])


def _stays(row: dict) -> "list[str]":
    """The part of a service's traffic that the cloud still answers, and why."""
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
