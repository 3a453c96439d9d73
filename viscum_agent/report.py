"""What the agent tells about its services: rows for `status` and `stats`, in answers that always fit.

A ubus message holds 1 MiB. So a row is bounded (long lists are cut and say how many they hold), and an answer has at
most PAGE rows; `next` in it is what the following question gives as `after`.
"""

from . import sockets
from .diff import filters_of
from .kernel.dump import NOTHING
from .plan import match_text

PAGE = 500  # rows; one has at most about 1.5 KiB: two lists of 8, a reason and a name
LISTED = 8  # items of a list, where all services are asked for
WORDS = 300  # letters of a reason
TEXT = 400 * 1024  # bytes of lines


def status(units, observed, whole):
    """Maps names to rows. `observed` is of a Dump of redirects; `whole` is whether lists are given in full."""
    return {unit.name: _row(unit, observed, whole) for unit in units}


def _row(unit, observed, whole):
    service = unit.service
    filters = [each.item for each in filters_of(observed.of(unit.name))]
    row = {
        "state": unit.state,
        "reason": unit.reason[:WORDS],
        "pid": unit.pid,
        "uptime": unit.uptime,
        "restarts": max(0, unit.starts - 1),
        "datapath": filters[0].kind if filters else "",
        "interfaces": list(service.interfaces + service.devices)[:LISTED] if service else [],
    }
    _add_list(row, "from", sorted({item.dev for item in filters}), whole)
    _add_list(row, "takes", sorted({match_text(match) for match in service.matches}) if service else [], whole)
    row.update(counters(unit, observed))
    return row


def _add_list(row, key, items, whole):
    row[key] = items if whole else items[:LISTED]
    if len(items) > len(row[key]):
        row[key + "_count"] = len(items)


def counters(unit, observed):
    """What the redirect of a service has counted, and its TCP connections now."""
    found = observed.counters.get(unit.name, NOTHING)
    return {
        "packets": found.packets,
        "bytes": found.bytes,
        "drops": found.drops,
        "overlimits": found.overlimits,
        "connections": sockets.connections(unit.pid) if unit.pid else 0,
    }


def fitting(lines, first):
    """As many lines, from one on, as one answer has room for."""
    size, last = 0, first
    while last < len(lines) and size + len(lines[last]) < TEXT:
        size += len(lines[last]) + 8  # what blobmsg adds
        last += 1
    return lines[first:last]


def page(units, after):
    """(units of one page, `next` or None); `after` is the name that the last page ended with, "" at first."""
    left = [unit for unit in units if unit.name > after]
    return left[:PAGE], left[PAGE - 1].name if len(left) > PAGE else None
