"""The native back end: our own rtnetlink messages, packed and pipelined, one socket for each namespace."""

from .. import compat
from ..records.objects import INNER_DEV, Filter, HashTable, Mark, Prio, alias_of
from . import rtnl, tc
from .backend import MOST_INSIDE, Backend, KernelError
from .codec import parsed, understood
from .netlink import PIPELINE, Socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from ..records.dump import Dump, Link
    from ..records.objects import Operation, Pair

    Request = Callable[..., bytes]

# What a deletion may fail with if the object is already gone.
GONE = (compat.ENOENT, compat.ENODEV, compat.ESRCH, compat.EADDRNOTAVAIL)

# Devices to delete are put into this group, which nobody else uses ("vs"), and deleted together: for each deletion the
# kernel waits until nobody uses the device any more (synchronize_net: 35 ms measured), be it one device or fifty.
# Group and deletion go in one send(), which the kernel processes completely: no device is ever left in the group.
DOOMED = 0x76730001
TOGETHER = PIPELINE - 1


def _gone(operation: "Operation", code: int) -> bool:
    """Whether a deletion failed because there was nothing to delete. With its last filter a hook loses its chain, and
    then tc_del_tfilter (net/sched/cls_api.c) returns EINVAL."""
    in_chain = isinstance(operation.old, (Filter, HashTable, Prio, Mark))
    return code in GONE or (in_chain and code == compat.EINVAL)


class Native(Backend):
    """Rtnetlink messages of our own, sent many at a time."""

    name = "native"

    def __init__(self) -> None:
        super().__init__()
        self._sockets: dict[str, Socket] = {}
        self._indexes: dict[tuple[str, str], int] = {}
        self._outer: list[tuple[Operation, Request]] = []  # what waits for the router's namespace, and
        self._inner: list[tuple[Operation, Request]] = []  # what waits for namespace self._ns: goes after it
        self._doomed: list[Operation] = []  # deletions of pairs: all of them wait, and nothing else does
        self._ns = ""
        self._ends: dict[str, tuple[str, str]] = {}  # (namespace, device) at the other end of a new pair

    def close(self) -> None:
        for ns in list(self._sockets):
            self._sockets.pop(ns).close()
        super().close()

    def take_socket(self, ns: str, socket: "Socket") -> None:
        self._sockets[ns] = socket

    def leave(self, ns: str) -> None:
        if ns in self._sockets:
            self._sockets.pop(ns).close()
        for key in [key for key in self._indexes if key[0] == ns]:
            del self._indexes[key]

    def _socket(self, ns: str) -> "Socket":
        if ns in self._sockets and self._sockets[ns].spent:
            self._sockets.pop(ns).close()
        if ns not in self._sockets:
            self.visit.enter(ns)
            self._sockets[ns] = Socket(compat.NETLINK_ROUTE)
        return self._sockets[ns]

    # Reading

    def _bodies(self, ns: str, request: "Request") -> "list[bytes]":
        return self._socket(ns).dump(request, self.hurried or ns != "", MOST_INSIDE if ns else 0)

    def dump_links(self, dump: "Dump") -> None:
        dump.links.extend(parsed(lambda body: rtnl.parse_link("", body), self._bodies("", rtnl.link_dump)))

    def dump_ends(self, dump: "Dump", ns: str, ends: "Sequence[int | str]") -> None:
        links: dict[int | str, Link] = {}
        for end in ends:
            body = None if end in links else self._socket(ns).ask(lambda seq, end=end: rtnl.link_get(end, seq))
            if body is not None:
                link = understood(rtnl.parse_link, ns, body)
                links[link.index] = link
                if link.name == INNER_DEV:
                    self.note_queue(dump, ns, link.index, rtnl.queue_of(body))
        dump.links.extend(links.values())

    def dump_network(self, dump: "Dump", ns: str) -> None:
        dump.addresses.extend(parsed(lambda body: rtnl.parse_address(ns, body), self._bodies(ns, rtnl.address_dump)))
        if ns == "":
            dump.rules.extend(parsed(lambda body: rtnl.parse_rule(ns, body), self._bodies(ns, rtnl.rule_dump)))

    def dump_routes(self, dump: "Dump", ns: str) -> None:
        dump.routes.extend(parsed(lambda body: rtnl.parse_route(ns, body), self._bodies(ns, rtnl.route_dump)))

    def dump_tc(self, dump: "Dump") -> None:
        dump.qdiscs.extend(parsed(tc.parse_qdisc, self._bodies("", tc.qdisc_dump)))
        for qdisc in dump.qdiscs:
            bodies = self._bodies("", lambda seq, index=qdisc.index: tc.filter_dump(index, seq))
            dump.filters.extend(parsed(tc.parse_filter, bodies))
            if qdisc.kind == "clsact" and self._bodies(
                "", lambda seq, index=qdisc.index: tc.filter_dump(index, seq, tc.EGRESS)
            ):
                dump.egress.append(qdisc.index)

    # Writing

    def carry(self, operation: "Operation") -> None:
        item = operation.new or operation.old
        name = "_%s_%s" % (operation.verb, type(item).__name__.lower())
        if self._doomed and name != "_del_pair":
            self.flush()
        getattr(self, name)(operation, item)

    def _queue(self, ns: str, operation: "Operation", *requests: "Request") -> None:
        if ns and ns != self._ns:
            self.flush()
            self._ns = ns
        waiting = self._inner if ns else self._outer
        waiting.extend([(operation, request) for request in requests])

    def flush(self, inside: bool = True) -> None:
        """The router's part goes first: a pair, before its inner end is used. It depends on nothing in a namespace."""
        if self._doomed:
            self._outer.append((self._doomed[-1], lambda seq: rtnl.group_del(DOOMED, seq)))
            self._doomed = []
        waiting, self._outer = self._outer, []
        self._send("", waiting)
        if inside:
            waiting, self._inner = self._inner, []
            self._send(self._ns, waiting)

    def drop(self) -> None:
        self._outer, self._inner, self._doomed = [], [], []

    def _send(self, ns: str, waiting: "list[tuple[Operation, Request]]") -> None:
        if not waiting:
            return
        try:
            results = self._socket(ns).transact([request for _, request in waiting])
        except OSError as error:  # the namespace is gone
            raise KernelError(waiting[0][0], error.errno, "")
        for (operation, _), (code, words) in zip(waiting, results):
            if code and not (operation.verb == "del" and _gone(operation, code)):
                raise KernelError(operation, code, words)

    def _index(self, ns: str, name: str, operation: "Operation") -> int:
        """The index of a device; flushes first, because a queued request may create it."""
        if ns and name == "lo":
            return rtnl.LOOPBACK_INDEX
        if (ns, name) not in self._indexes:
            self.flush(inside=False)
            body = self._socket(ns).ask(lambda seq: rtnl.link_get(name, seq))
            if body is None:
                raise KernelError(operation, compat.ENODEV, "there is no device %s" % name)
            self._indexes[(ns, name)] = rtnl.index_of(body)
            if not ns and name in self._ends:  # the next question would be for its inner end
                self._indexes[self._ends.pop(name)] = rtnl.peer_of(body)
        return self._indexes[(ns, name)]

    def _home_index(self, name: str, operation: "Operation") -> int:
        return self._index("", name, operation)

    def _index_of(self, operation: "Operation", item: "Any") -> "Callable[[str], int]":
        """A function from a device's name to its index. Those of the actions are looked up now, so that no look-up
        comes between queued requests."""
        for action in item.actions:
            if action[0] == "mirred":
                self._index("", action[1], operation)
        return lambda name: self._index("", name, operation)

    def _add_pair(self, operation: "Operation", pair: "Pair") -> None:
        fd = self.visit.fd(pair.ns)
        self._queue(
            "",
            operation,
            lambda seq: rtnl.pair_add(pair, fd, seq),
            lambda seq: rtnl.link_set(pair.name, seq, alias=pair.alias),
        )
        self._queue(pair.ns, operation, lambda seq: rtnl.link_set(pair.peer, seq))
        self._ends[pair.name] = (pair.ns, pair.peer)

    def _change_pair(self, operation: "Operation", pair: "Pair") -> None:
        host = lambda seq: rtnl.link_set(pair.name, seq, True, pair.mtu, pair.mac, pair.alias)  # noqa: E731
        inner = lambda seq: rtnl.link_set(pair.peer, seq, True, pair.mtu, pair.peer_mac)  # noqa: E731
        ends = [(pair.ns, inner), ("", host)]
        if pair.mtu < operation.old.mtu:  # a pair carries what both ends allow: shrink the sending end first
            ends.reverse()
        for ns, request in ends:
            self._queue(ns, operation, request)
            self.flush()

    def _del_pair(self, operation: "Operation", pair: "Pair") -> None:
        if len(self._doomed) in (0, TOGETHER):
            self.flush()
        self._queue("", operation, lambda seq: rtnl.link_group(pair.name, DOOMED, seq))
        self._doomed.append(operation)
        self._indexes.pop(("", pair.name), None)
        self._ends.pop(pair.name, None)

    def _add_up(self, operation: "Operation", item: "Any") -> None:
        self._queue(item.ns, operation, lambda seq: rtnl.link_set(item.dev, seq, alias=alias_of(item.ns)))

    def _del_up(self, operation: "Operation", item: "Any") -> None:
        pass  # it goes with its namespace

    def _add_address(self, operation: "Operation", item: "Any") -> None:
        index = self._index(item.ns, item.dev, operation)
        self._queue(item.ns, operation, lambda seq: rtnl.address_add(index, item.address, seq))

    def _del_address(self, operation: "Operation", item: "Any") -> None:
        index = self._index(item.ns, item.dev, operation)
        self._queue(item.ns, operation, lambda seq: rtnl.address_del(index, item.address, seq))

    def _add_route(self, operation: "Operation", item: "Any") -> None:
        index = self._index(item.ns, item.dev, operation)
        self._queue(item.ns, operation, lambda seq: rtnl.route_add(item, index, seq))

    def _change_route(self, operation: "Operation", item: "Any") -> None:
        index = self._index(item.ns, item.dev, operation)
        self._queue(item.ns, operation, lambda seq: rtnl.route_replace(item, index, seq))

    def _del_route(self, operation: "Operation", item: "Any") -> None:
        index = self._index(item.ns, item.dev, operation)
        self._queue(item.ns, operation, lambda seq: rtnl.route_del(item, index, seq))

    def _add_rule(self, operation: "Operation", item: "Any") -> None:
        self._queue(item.ns, operation, lambda seq: rtnl.rule_add(item, seq))

    def _del_rule(self, operation: "Operation", item: "Any") -> None:
        self._queue(item.ns, operation, lambda seq: rtnl.rule_del(item, seq))

    def _add_qdisc(self, operation: "Operation", item: "Any") -> None:
        index = self._index("", item.dev, operation)
        self._queue("", operation, lambda seq: tc.clsact_add(index, seq), lambda seq: tc.mark_add(index, seq))

    def _del_qdisc(self, operation: "Operation", item: "Any") -> None:
        index = self._index("", item.dev, operation)
        self._queue("", operation, lambda seq: tc.clsact_del(index, seq))

    def _del_mark(self, operation: "Operation", item: "Any") -> None:
        index = self._index("", item.dev, operation)
        self._queue("", operation, lambda seq: tc.mark_del(index, seq))

    def _add_hashtable(self, operation: "Operation", item: "Any") -> None:
        index = self._index("", item.dev, operation)
        self.flush()
        add = lambda seq: tc.hash_table_add(item, index, seq)  # noqa: E731
        link = lambda seq: tc.hash_link_add(item, index, seq)  # noqa: E731
        (code, words), linked = self._socket("").transact([add, link])
        if code == compat.EEXIST and not linked[0]:
            self._empty_table(item, index)
        elif code or linked[0]:
            raise KernelError(operation, code or linked[0], words or linked[1])

    def _empty_table(self, item: "Any", index: int) -> None:
        """Deletes the contents of a table that already existed.

        Deleting a prio of u32 does not delete its tables as long as another prio has u32 filters: they vanish from
        every dump, and reappear, filters and all, when the prio does (u32_destroy in net/sched/cls_u32.c).
        """
        bodies = self._socket("").dump(lambda seq: tc.filter_dump(index, seq))
        for entry in parsed(tc.parse_filter, bodies):
            if entry.handle >> 20 == tc.table_of(item.prio) and entry.handle & 0xFFFFF:
                self._socket("").transact([lambda seq, one=entry: tc.filter_del(item, one.handle, index, seq, "u32")])

    def _del_hashtable(self, operation: "Operation", item: "Any") -> None:
        index = self._index("", item.dev, operation)
        self._queue("", operation, lambda seq: tc.hash_link_del(item, operation.handle, index, seq))
        self.flush()
        self._patiently(operation, lambda seq: tc.hash_table_del(item, index, seq))

    def _del_prio(self, operation: "Operation", item: "Any") -> None:
        index = self._index("", item.dev, operation)
        self._queue("", operation, lambda seq: tc.prio_del(item, index, seq))

    def _patiently(self, operation: "Operation", request: "Request") -> None:
        """Deletes a hash table, which the kernel calls busy until it has freed the link (u32_delete_key_work, after a
        grace period of RCU: some milliseconds)."""
        give_up = compat.monotonic() + 1
        while True:
            code, words = self._socket("").transact([request])[0]
            if code == 0 or _gone(operation, code):
                return
            if code != compat.EBUSY or compat.monotonic() > give_up:
                raise KernelError(operation, code, words)
            compat.sleep(0.005)

    def _add_filter(self, operation: "Operation", item: "Any") -> None:
        index = self._index("", item.dev, operation)
        index_of = self._index_of(operation, item)
        self._queue("", operation, lambda seq: tc.filter_add(item, index, index_of, seq))

    def _change_filter(self, operation: "Operation", item: "Any") -> None:
        index = self._index("", item.dev, operation)
        index_of = self._index_of(operation, item)
        self._queue("", operation, lambda seq: tc.filter_replace(item, operation.handle, index, index_of, seq))

    def _del_filter(self, operation: "Operation", item: "Any") -> None:
        index = self._index("", item.dev, operation)
        self._queue("", operation, lambda seq: tc.filter_del(item, operation.handle, index, seq))
