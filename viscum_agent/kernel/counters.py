"""What the redirects carry: read every second while somebody watches, so with as little work as possible.

Where to look and whose a filter is was learned at the last look at the kernel (`places`); here only the filters of
those devices are read, and of those only their counters. What `reply` 'direct' counts is in filters at both ends of a
pair, and is read for who shows it.
"""

from collections import namedtuple

from ..records import with_
from ..records.dump import NOTHING, Counters
from ..records.objects import ALIAS_PREFIX, BPF_PRIO, CLASSID, DEV_PREFIX, ns_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..records.dump import Dump, FilterEntry
    from .backend import Backend

# `hooks`: the indexes of devices with an ingress hook; `names` maps indexes of devices to their names, `pairs` those of
# our pairs to their services; `direct` is what direct_ends returns.
Places = namedtuple("Places", ("hooks", "names", "pairs", "direct"))

# The traffic of a service: names of its source `devices`, the `kind` of its filters, Counters of them and of what its
# program has `sent`; `direct`: what direct() returns, {} where it was not read.
Traffic = namedtuple("Traffic", ("devices", "kind", "counters", "sent", "direct"))
NONE = Traffic((), "", NOTHING, NOTHING, {})

# What the filters of `reply` 'direct' count at the inner end of a pair and at the router's, by their prios
# (plan/direct.py): packets that begin a connection, that only acknowledge, and all others; none that are replies,
# replies to the first, and all others.
DIRECT = (("syn", "ack", "other"), ("", "syn_ack", "replies"))

DEVICES = "/proc/net/dev"  # unlike netlink, without a lock that others may hold for long


def places(dump: "Dump") -> "Places":
    """Places from a Dump."""
    names = {link.index: link.name for link in dump.links if link.ns == ""}
    pairs = {}
    for link in dump.links:
        if link.ns == "" and link.name.startswith(DEV_PREFIX) and link.alias.startswith(ALIAS_PREFIX):
            pairs[link.index] = link.alias[len(ALIAS_PREFIX) :]
    # A pair has only a program, whose counters are in a map, or filters for replies.
    hooks = [qdisc.index for qdisc in dump.qdiscs if qdisc.index in names and qdisc.index not in pairs]
    return Places(sorted(hooks), names, pairs, direct_ends(dump))


def direct_ends(dump: "Dump") -> "dict[str, tuple[int, int]]":
    """Maps the namespaces of services with filters of ours at their pair (`reply` 'direct') to the indexes of its ends,
    the router's and the inner one."""
    hooks = {each.index for each in dump.qdiscs}
    ends = [link for link in dump.links if link.ns == "" and link.alias.startswith(ALIAS_PREFIX)]
    pairs = {link.index: link for link in ends if link.index in hooks}
    ours = [pairs[each.index] for each in dump.filters if each.index in pairs and _is_direct(each)]
    return {ns_name(link.alias[len(ALIAS_PREFIX) :]): (link.index, link.peer) for link in ours}


def _is_direct(entry: "FilterEntry") -> bool:
    return entry.classid == CLASSID and entry.prio < BPF_PRIO


def direct(ends: "Sequence[Sequence[FilterEntry]]") -> "dict[str, int]":
    """Packets by the names in DIRECT, of the filters at both ends of a pair; empty if there are none."""
    found: dict[str, int] = {}
    for entries, names in zip(ends, DIRECT):
        for entry in entries:
            name = names[(entry.prio - 1) // 2] if _is_direct(entry) else ""
            if name:
                found[name] = found.get(name, 0) + entry.counters.packets
    return found


def direct_of(dump: "Dump", where: "Places", service: str) -> "dict[str, int]":
    """The same, as it is in a Dump."""
    ns = ns_name(service)
    if ns not in where.direct:
        return {}
    outer = [entry for entry in dump.filters if entry.index == where.direct[ns][0]]
    return direct((dump.counting.get(ns, []), outer))


class Sent:
    """What the services' programs sent: what their pairs have received on the router's side (proc_pid_net(5)), that is
    replies and what the programs start themselves."""

    def __init__(self) -> None:
        # Maps lines to (device, Counters): most are unchanged and need not be parsed again.
        self._lines: dict[str, tuple[str, Counters]] = {}

    def read(self, where: "Places") -> "dict[str, Counters]":
        """Maps services to their current Counters."""
        with open(DEVICES) as file:
            lines = file.read().split("\n")  # MicroPython reads a line byte by byte
        known, self._lines = self._lines, {}
        for line in lines:
            if DEV_PREFIX in line:
                self._lines[line] = known.get(line) or _counted(line)
        services = {where.names[index]: where.pairs[index] for index in where.pairs}
        found = [each for each in self._lines.values() if each[0] in services]
        return {services[device]: counters for device, counters in found}


def _counted(line: str) -> "tuple[str, Counters]":
    device, size, packets, _, drops = line.split(None, 5)[:5]
    return device[:-1], with_(NOTHING, packets=int(packets), bytes=int(size), drops=int(drops))


def read(backend: "Backend", where: "Places") -> "dict[str, Traffic]":
    """Maps services to their current Traffic, without what they sent; services without a redirect are missing."""
    found: dict[str, Traffic] = {}
    for kind, index, target, counters in backend.counters(where.hooks):
        name = where.pairs.get(target)
        if name is None or index not in where.names:
            continue
        device = where.names[index]
        if name in found:
            found[name] = _added(found[name], device, kind, counters)
        else:
            found[name] = Traffic((device,), kind, counters, NOTHING, {})
    return found


def _added(before: "Traffic", device: str, kind: str, counters: "Counters") -> "Traffic":
    devices = before.devices if device in before.devices else before.devices + (device,)
    total = Counters(*[one + other for one, other in zip(before.counters, counters)])
    return Traffic(devices, kind, total, NOTHING, {})


class Totals:
    """What each service has counted since the agent started: filters and maps start at zero each time a redirect goes
    in, devices each time one is created."""

    def __init__(self) -> None:
        self._before: dict[str, Counters] = {}  # what earlier redirects have counted
        self._last: dict[str, Counters] = {}  # what the current one has counted

    def count(self, name: str, counters: "Counters | None") -> "Counters":
        """Takes the current count (None: nothing counts now), and returns the service's total Counters."""
        if counters is None:
            return self.of(name)
        last = self._last.get(name, NOTHING)
        if counters.packets < last.packets:
            self.out(name)
        self._last[name] = counters
        return self.of(name)

    def out(self, name: str) -> None:
        """The redirect is out: the next one starts at zero."""
        if name in self._last:
            self._before[name] = self.of(name)
            del self._last[name]

    def of(self, name: str) -> "Counters":
        pairs = zip(self._before.get(name, NOTHING), self._last.get(name, NOTHING))
        return Counters(*[one + other for one, other in pairs])

    def forget(self, name: str) -> None:
        self._before.pop(name, None)
        self._last.pop(name, None)


class Accounts:
    """What the services have carried since the agent started, and where that is counted now."""

    def __init__(self) -> None:
        self._places = Places([], {}, {}, {})
        self._redirects, self._programs = Totals(), Totals()
        self._sent = Sent()

    def learn(self, dump: "Dump") -> "dict[int, str]":
        """Learns from a Dump where the counters are. Returns the services by the indexes of their pairs."""
        self._places = places(dump)
        return self._places.pairs

    def index_of(self, service: str) -> int:
        """The index of a service's pair, 0 for none."""
        for index, name in self._places.pairs.items():
            if name == service:
                return index
        return 0

    def out(self, name: str, counters: "Counters | None") -> None:
        """A redirect goes; what it has counted is kept."""
        if counters is not None:
            self._redirects.count(name, counters)
        self._redirects.out(name)

    def forget(self, name: str) -> None:
        """The service no longer exists."""
        self._redirects.forget(name)
        self._programs.forget(name)

    def read(self, backend: "Backend", names: "Iterable[str]", whole: bool) -> "dict[str, Traffic]":
        """Maps services to their current Traffic, also those whose redirects are out; if `whole`, with `direct`."""
        found, sent = read(backend, self._places), self._sent.read(self._places)
        for name in names:
            now = found.get(name, NONE)
            counted = self._redirects.count(name, now.counters if name in found else None)
            ns = ns_name(name)
            ends = self._places.direct.get(ns) if whole else None
            passed = direct(backend.filters_at(ns, ends)) if ends else {}
            found[name] = Traffic(now.devices, now.kind, counted, self._programs.count(name, sent.get(name)), passed)
        return found
