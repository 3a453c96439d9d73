"""One service as a row: what `status` says of it, with the same keys over ubus and as JSON, with and without an agent
(but for `worth`).

ubus_object/rows.py makes it of what the agent knows, cli/table.py of what the kernel shows. The states are in
service/states.py.
"""

from .dump import PASSED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..config.service import Service
    from ..kernel.cgroup import Usage
    from ..kernel.counters import Traffic

LISTED = 8  # items of a list in a row that is cut
LEFT, LEFT_WORDS = 4, 150  # items of what stays with the cloud, and letters of one of them, there


def status_row(
    state: str,
    reason: str,
    pid: int,
    uptime: int,
    restarts: "int | None",
    bypass: bool,
    inhibitors: "list[str] | None",
    service: "Service | None",
    traffic: "Traffic",
    usage: "Usage",
    takes: "list[str]",
    stays: "list[str]",
    connections: "int | None",
    cut: bool = False,
    worth: "dict | None" = None,
) -> dict:
    """`uptime` is in seconds, `bypass` whether somebody asked for it, `inhibitors` what keeps the redirect out
    (service/inhibitors.py), `takes` and `stays` in words (Instance.takes); `cut` is whether long lists are cut; `worth`
    is what it is worth (worth.py), if that package is there. None is what only an agent knows."""
    most = LISTED if cut else None
    row = {
        "state": state,
        "reason": reason,
        "pid": pid,
        "uptime": uptime,
        "restarts": restarts,
        "bypass": bypass,
        "inhibitors": inhibitors,
        "user": service.program.account if service else "",
        "rate": service.rate * 8 if service and service.rate else None,
        "datapath": traffic.kind,
        "interfaces": list(service.interfaces + service.devices)[:LISTED] if service else [],
        "from": list(traffic.devices)[:most],
        "from_count": len(traffic.devices),
        "takes": takes[:most],
        "takes_count": len(takes),
        "stays": [text[:LEFT_WORDS] for text in stays[:LEFT]] if cut else stays,
        "stays_count": len(stays),
    }
    row.update(counters_row(traffic, usage, connections))
    row["passed"] = {reason: getattr(traffic.counters, reason) for reason in PASSED}
    row["direct"] = traffic.direct
    if worth is not None:
        row["worth"] = worth
    return row


def counters_row(traffic: "Traffic", usage: "Usage", connections: "int | None") -> dict:
    """What its redirects count, what its program has sent and uses, and its TCP connections now."""
    return {
        "packets": traffic.counters.packets,
        "bytes": traffic.counters.bytes,
        "drops": traffic.counters.drops,
        "overlimits": traffic.counters.overlimits,
        "sent_packets": traffic.sent.packets,
        "sent_bytes": traffic.sent.bytes,
        "connections": connections,
        "memory": usage.memory,
        "tasks": usage.tasks,
        "cpu_usec": usage.cpu_usec,
        "oom_kills": usage.oom_kills,
        "tasks_refused": usage.refused,
    }
