"""A configuration that is not in the file yet: LuCI's form asks what it would do before anybody saves it.

It arrives as a list of tables, one for each section in the order of the file, with `.type`, `.name` and the options as
texts and lists of texts: what `uci get` returns over ubus.
"""

from ..config import service, uci
from ..config.schema import is_section_name
from ..plan.claims import match_text
from ..service import process
from ..service.instance import STOPPING
from ..ubus.codes import INVALID_ARGUMENT, UbusStatus

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from ..config.service import Configuration
    from ..config.uci import _Section as Section
    from ..plan.planner import Plan, ServicePlan
    from ..service.instance import Instance

TAKES = "sections: a list of tables with .type, .name (letters, digits and _) and options (texts and lists of texts)"


def read(rows: "Any", package: str, before: "Configuration | None" = None) -> "Configuration":
    """A config.service.Configuration; `before` is the current one. Raises UbusStatus for what no file could contain."""
    if not isinstance(rows, list) or not all(_is_section(row) for row in rows):
        raise UbusStatus(INVALID_ARGUMENT, TAKES)
    if sum([_size(row) for row in rows]) > uci.MAX_SIZE:
        raise UbusStatus(INVALID_ARGUMENT, "sections: more than the %d bytes of the largest file" % uci.MAX_SIZE)
    return service.read([_section(row) for row in rows], package, before)


def _size(row: "dict[str, Any]") -> int:
    """The bytes that a section takes in a file, at least."""
    size = len(row[".type"]) + len(row[".name"]) + 4
    for key in row:
        if not key.startswith("."):
            texts = row[key] if isinstance(row[key], list) else (row[key],)
            size += sum([len(key) + len(text) + 4 for text in texts])
    return size


def _is_section(row: "Any") -> bool:
    if not isinstance(row, dict) or not isinstance(row.get(".type"), str) or not isinstance(row.get(".name"), str):
        return False
    names = [key for key in row if not key.startswith(".")]
    return all(is_section_name(name) for name in names + [row[".name"]]) and all(_is_value(row[key]) for key in names)


def _is_value(value: object) -> bool:
    return all(isinstance(text, str) for text in (value if isinstance(value, list) else (value,)))


def _section(row: "dict[str, Any]") -> "Section":
    # An empty value counts as none, as in a file.
    options = {key: row[key] for key in row if not key.startswith(".") and row[key]}
    return uci.Section(row[".type"], row[".name"], False, options, 0)


def fates(plan: "Plan", keep: "Iterable[str]", instances: "dict[str, Instance]") -> "dict[str, list[str]]":
    """What happens to programs and their clients, as names of services: `starts`, `stops`, `restarts` (they run with
    other settings), and `changes` (they keep running, and take over other traffic). `keep` are those that are left
    alone."""
    found: dict[str, list[str]] = {"starts": [], "stops": [], "restarts": [], "changes": []}
    for part in plan.services:
        fate = _fate(part, instances.get(part.service.name))
        if fate:
            found[fate].append(part.service.name)
    wanted = [part.service.name for part in plan.services] + list(keep)
    found["stops"] = [
        instance.name for instance in instances.values() if _runs(instance) and instance.name not in wanted
    ]
    return {key: sorted(found[key]) for key in found}


def _runs(instance: "Instance") -> bool:
    return bool(instance.pid) and instance.state != STOPPING


def _fate(part: "ServicePlan", instance: "Instance | None") -> "str | None":
    if instance is None:
        return "starts"
    if instance.held:
        return None  # somebody called `stop`, and a configuration does not undo that
    if not _runs(instance):
        return "starts"
    if process.is_stale(part.service, instance.pid):
        return "restarts"
    return "changes" if instance.part and _taken(instance.part) != _taken(part) else None


def _taken(part: "ServicePlan") -> "tuple[list, list[str]]":
    return sorted(part.devices), sorted([match_text(match) for match in part.takes])
