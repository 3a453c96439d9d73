"""What the agent says about its services: rows for `status` and `stats`, in answers that always fit.

A ubus message holds 1 MiB. So a row is bounded (long lists are cut and say how many they hold), and an answer has at
most PAGE rows; the next call passes the answer's `next` as `after`.
"""

import os
import struct

from ..kernel import cgroup
from ..kernel.counters import NONE
from ..records.row import counters_row, status_row

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..kernel.counters import Traffic
    from ..service.instance import Instance
    from ..worth import Worths

PAGE = 200  # rows; one has at most 5 KiB: three lists of 8, one of 6, one of 4, a reason and a name
WORDS = 300  # characters of a reason
FIRST_SERIALS = 1 << 30  # of the 2^31 that fit into an int32 of ubus
TEXT = 400 * 1024  # bytes of lines


def status(
    instances: "Iterable[Instance]", traffic: "dict[str, Traffic]", whole: bool, worths: "Worths | None" = None
) -> "dict[str, dict]":
    """Maps names to rows. `traffic` is from Agent.traffic; `whole` is whether lists are given in full."""
    used, found = cgroup.usage(), {}
    for instance in instances:
        carried, takes = traffic.get(instance.name, NONE), used.get(instance.name, cgroup.UNKNOWN)
        found[instance.name] = _row(instance, carried, takes, whole, worths.row(instance, carried) if worths else None)
    return found


class Changes:
    """For pollers, such as an open page: only changed fields are returned. Encoding is most of an answer's cost.

    `serial` counts the answers in which something was not as in the one before. A value is remembered with the serial
    of the first answer that had it, for whichever poller. So a value is new to a poller if, and only if, its serial is
    higher than that of the poller's last answer. The count starts at a random number: a poller that knew an earlier
    agent gets everything.
    """

    def __init__(self) -> None:
        self.serial = struct.unpack("I", os.urandom(4))[0] % FIRST_SERIALS + 1
        self._first = self.serial
        self._rows: dict[str, dict] = {}  # maps a name to {key: (value, serial)}

    def since(self, rows: "dict[str, dict]", then: "int | None", now: int) -> "dict[str, dict]":
        """Records rows at the second `now`. Returns what changed in them after the answer with the serial `then` (None
        for a first call): empty rows for unchanged services."""
        known = then if then is not None and self._first <= then <= self.serial else None
        serial = self.serial + 1
        found = {}
        for name in rows:
            if name not in self._rows:
                self._rows[name] = {}
            found[name] = self._changed(rows[name], self._rows[name], serial if known is None else known, now, serial)
        return rows if known is None else found

    def _changed(self, row: dict, known: dict, then: int, now: int, serial: int) -> dict:
        told = {}
        for key in row:  # runs often, so without a function call
            value = row[key]
            if key == "uptime" and row["pid"]:
                # It grows by itself, so the start counts, which is known to the second.
                value = now - value
                if key in known and -1 <= known[key][0] - value <= 1:
                    value = known[key][0]
            seen = known.get(key)
            if seen is None or seen[0] != value:
                seen = known[key] = (value, serial)
                self.serial = serial
            if seen[1] > then:
                told[key] = row[key]
        return told

    def forget(self, names: "Iterable[str]") -> None:
        """Forgets services that are not among these."""
        for name in [name for name in self._rows if name not in names]:
            del self._rows[name]


def stats(instances: "Iterable[Instance]", traffic: "dict[str, Traffic]") -> "dict[str, dict]":
    """Maps names to what their redirects count, what their programs use, and their TCP connections now."""
    found, used = {}, cgroup.usage()
    for instance in instances:
        carried, takes = traffic.get(instance.name, NONE), used.get(instance.name, cgroup.UNKNOWN)
        found[instance.name] = counters_row(carried, takes, instance.connections(carried.counters.packets))
    return found


def _row(instance: "Instance", traffic: "Traffic", usage: "cgroup.Usage", whole: bool, worth: "dict | None") -> dict:
    return status_row(
        state=instance.state,
        reason=instance.reason[:WORDS],
        pid=instance.pid,
        uptime=instance.uptime,
        restarts=max(0, instance.starts - 1),
        bypass=instance.bypass_asked,
        inhibitors=instance.inhibitors,
        service=instance.service,
        traffic=traffic,
        usage=usage,
        takes=instance.takes(),
        stays=instance.stays(),
        connections=instance.connections(traffic.counters.packets),
        cut=not whole,
        worth=worth,
    )


def fitting(lines: "list[str]", first: int) -> "list[str]":
    """As many lines, from `first` on, as fit into one answer."""
    size, last = 0, first
    while last < len(lines) and size < TEXT:
        size += len(lines[last].encode()) + 8  # what blobmsg adds
        last += 1
    return lines[first:last]


def shortened(lines: "list[str]") -> "list[str]":
    """The first lines, as many as fit into one answer, and how many more there are."""
    found = fitting(lines, 0)
    return found + ["and %d more" % (len(lines) - len(found))] if len(found) < len(lines) else found


def page(instances: "list[Instance]", after: str) -> "tuple[list[Instance], str | None]":
    """(instances of one page, `next` or None); `after` is the name that the last page ended with, "" at first."""
    left = [instance for instance in instances if instance.name > after]
    return left[:PAGE], left[PAGE - 1].name if len(left) > PAGE else None
