"""The interface to the kernel: one dump, one apply, and what all back ends share.

Namespaces, sysctls and nftables are the same for all; links, addresses, routes, rules and filters are each back end's
own (`native`, `pyroute2`). A back end executes operations in order and stops at the first that fails; rolling back is
up to `apply`, which reads the kernel again and removes what should not be there.
"""

from .. import address, compat
from ..errors import BUG, FOREIGN, UNSUPPORTED, ViscumError
from ..records import with_
from ..records.dump import Dump
from ..records.objects import CLS, DEV_PREFIX, HOST_SYSCTLS, INNER_DEV, NS_SYSCTLS, Guard, Sysctl, alias_of, kind_of
from ..reserve import Reserve
from . import commands, conntrack, counters, listening, netns, nftables, rtnl, tc
from .bpf_pins import Loaded, PinError, Pinned
from .bpf_syscall import BPFFS
from .codec import parsed, understood
from .netlink import Socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from ..records.dump import FilterEntry
    from ..records.objects import Operation

    Request = Callable[..., bytes]

# Keys of the router's own namespace that the plan depends on.
ROUTER_SYSCTLS = ("net/ipv4/conf/all/rp_filter", "net/ipv6/conf/all/forwarding")

# Limits for the addresses and routes inside a service's namespace, and for its nftables (buffers of 32 KiB): a program
# with the rights for it may make a million. Ours are among the first. Of links only ours are requested.
MOST_INSIDE = 1000
MOST_BUFFERS = 32

# Descriptors that a dump or an apply has open at most at once: the eBPF datapath's maps, a link and a program; a
# namespace, a netlink socket of each protocol there and at home. (pyroute2 has four for each of its sockets.)
NEEDED = 25

# What removing something inside a namespace may fail with: it is not there, or what replaces it is.
NOT_THERE = (compat.ENOENT, compat.EINVAL, compat.ESRCH, compat.EEXIST)

_KINDS = {
    compat.EEXIST: FOREIGN,
    compat.EBUSY: FOREIGN,
    compat.EPERM: UNSUPPORTED,
    compat.EACCES: UNSUPPORTED,
    compat.EOPNOTSUPP: UNSUPPORTED,
}


class KernelError(ViscumError):
    """An operation that the kernel refused; the text is the equivalent command and the kernel's words."""

    def __init__(self, operation: "Operation", code: "int | None", words: str) -> None:
        typed = commands.commands(operation)
        super().__init__("`%s` failed: %s" % (typed[0], words or compat.strerror(code)))
        self.operation = operation
        self.errno = code
        self.kind = _kind(code, words)


# The kernel's own words (net/sched/cls_api.c, sch_api.c) for: the prio has somebody else's filter, the hook somebody
# else's qdisc. The second is what kernels say that don't have the first yet (6.12 says it, 6.18 no longer).
_FOREIGN_WORDS = ("Protocol mismatch", "specified priority/protocol not found", "kind does not match", "Exclusivity")


def _kind(code: "int | None", words: str) -> str:
    if any(some in words for some in _FOREIGN_WORDS):
        return FOREIGN
    if "not found" in words or "load" in words:  # "TC classifier not found", "Failed to load TC action module"
        return UNSUPPORTED
    return _KINDS.get(code or 0, BUG)


def _inner_ends(dump: "Dump") -> "dict[str, list]":
    """Maps the aliases of pairs to the indexes of their inner ends in their namespaces, from the router's links: those
    ends are ours under any other name."""
    found: dict = {}
    for link in dump.links:
        if link.peer:
            found.setdefault(link.alias, []).append(link.peer)
    return found


class _Work:
    """Dumps and applies that follow each other (`with backend.work:`, also inside itself). From the first to the last
    of them the reserve is given back, and what was opened and learned at home is kept."""

    def __init__(self, backend: "Backend") -> None:
        self._backend = backend
        self._reserve = Reserve(NEEDED)
        self._depth = 0

    def __enter__(self) -> "_Work":
        if self._depth == 0:
            self._reserve.__enter__()
        self._depth += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if self._depth:
            return
        try:
            self._backend.forget_home()
        finally:
            self._reserve.__exit__()

    def close(self) -> None:
        self._reserve.close()


class Backend:
    """A context manager; it closes every descriptor and never leaves the process in another namespace."""

    name: str  # as in the option `netlink`
    _unguarded: "tuple[Operation, ...]" = ()  # deletions of guards that wait

    def __init__(self) -> None:
        self.visit = netns.Visit()
        self._nft: dict[str, Socket] = {}
        self._pinned: Pinned | None = None
        self.cut_in = 0  # the mode of redirects by eBPF that are written (layout.TAKE_OVER)
        self.spare = Loaded()  # what is pinned next, if the kernel was tried with it
        self._home_links: dict[str, tuple[int, int]] = {}  # (index, rtnl.nsid_of) by name
        self.work = _Work(self)
        self.hurried = False  # a dump that keeps changing is good enough

    def __enter__(self) -> "Backend":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.forget_all()
        self.spare.close()
        self.visit.close()
        self.work.close()

    def forget_all(self) -> None:
        for ns in list(self._nft):
            self._nft.pop(ns).close()

    # What a back end must provide

    def dump_links(self, dump: "Dump") -> None:
        """Adds the links of the router's namespace to a Dump."""
        raise NotImplementedError

    def dump_ends(self, dump: "Dump", ns: str, ends: "Sequence[int | str]") -> None:
        """Adds those links of a service's namespace to a Dump that have one of these names or indexes, each once."""
        raise NotImplementedError

    def dump_network(self, dump: "Dump", ns: str) -> None:
        """Adds the addresses and rules of a namespace to a Dump."""
        raise NotImplementedError

    def dump_routes(self, dump: "Dump", ns: str) -> None:
        """Adds the routes of a namespace to a Dump."""
        raise NotImplementedError

    def dump_tc(self, dump: "Dump") -> None:
        """Adds the ingress qdiscs of the router's namespace and their filters to a Dump."""
        raise NotImplementedError

    def carry(self, operation: "Operation") -> None:
        """Executes one operation on a link, address, route, rule, qdisc or filter. It may wait for `flush`."""
        raise NotImplementedError

    def flush(self, inside: bool = True) -> None:
        """Returns when all operations are executed, those in namespaces only with `inside`; raises KernelError for the
        first that failed."""

    def drop(self) -> None:
        """Forgets operations that wait for `flush`."""

    def take_socket(self, ns: str, socket: "Socket") -> None:
        """Takes an rtnetlink socket that was opened in a new namespace, to use or to close it."""
        socket.close()

    def leave(self, ns: str) -> None:
        """Closes what is kept open for a namespace."""

    # What they share

    def apply(self, operations: "Sequence[Operation]") -> None:
        """Executes operations in order. Raises KernelError for the first that failed; later ones may be done. Raises
        OSError if no descriptor is left for one."""
        with self.work:
            try:
                self._apply(operations)
            except ViscumError:
                self.forget_home()  # it may be wrong
                raise

    def _apply(self, operations: "Sequence[Operation]") -> None:
        try:
            for operation in operations:
                item = operation.new or operation.old
                if operation.verb != "del" or not isinstance(item, Guard):
                    self._unguard()
                shared = self._SHARED.get(type(item).__name__)
                if shared is None:
                    self._carry(operation)
                    continue
                self._flush_before(item)
                try:
                    shared(self, operation)
                except OSError as error:
                    compat.unless_spent(error)
                    raise KernelError(operation, error.errno, "")  # a namespace that is gone
            self._unguard()
            self.flush()
            self._tidy()
        finally:
            self._unguarded = ()
            self.drop()
            self.visit.home()
            self._release()

    def _flush_before(self, item: "Any") -> None:
        """Everything that waits, but for a sysctl: it needs only its device, which nothing inside a namespace makes."""
        if not isinstance(item, Sysctl):
            self.flush()
        elif not kind_of(item).alone:
            self.flush(inside=False)

    def _carry(self, operation: "Operation") -> None:
        try:
            self.carry(operation)
        except OSError as error:  # a namespace that is gone, no descriptor left
            self.flush()  # what is queued came before it: now or never
            raise KernelError(operation, error.errno, "")

    def _release(self) -> None:
        """Closes the sockets and descriptors of the namespaces: a hundred services must not hold hundreds."""
        for ns in list(self.visit.names()):
            self._leave(ns)
        if self._pinned:
            self._pinned.settle()

    def forget_home(self) -> None:
        """Closes those of home as well: what was learned of its devices may be wrong at the next look."""
        self._leave("")
        self._home_links.clear()
        if self._pinned:
            self._pinned.close()
            self._pinned = None

    def _leave(self, ns: str) -> None:
        self.leave(ns)
        if ns in self._nft:
            self._nft.pop(ns).close()
        self.visit.forget(ns)

    def _namespace(self, operation: "Operation") -> None:
        try:
            if operation.verb == "add":
                self._create(operation.new.name)
                return
            self.visit.home()
            self._leave(operation.old.name)
            self.visit.delete(operation.old.name)
        except OSError as error:
            raise KernelError(operation, error.errno, "")

    def _create(self, name: str) -> None:
        try:
            self.visit.create(name, lambda: self._mark(name))
            self.visit.fd(name)  # so that it is left in the end (_release)
        except OSError:
            self._leave(name)
            raise

    def _mark(self, name: str) -> None:
        """Marks the caller's namespace as ours (observe): its loopback is up and has our alias."""
        socket = Socket(compat.NETLINK_ROUTE)
        try:
            code, _ = socket.transact([lambda seq: rtnl.link_set("lo", seq, alias=alias_of(name))])[0]
        finally:
            self.take_socket(name, socket)
        if code:
            raise OSError(code)

    def _sysctl(self, operation: "Operation") -> None:
        if operation.verb == "del":
            return  # it goes with its namespace or device
        item = operation.new
        try:
            self.visit.enter(item.ns)
            netns.write_sysctl(item.key, item.value)
        except OSError as error:
            raise KernelError(operation, error.errno, "")

    def _nat(self, operation: "Operation") -> None:
        item = operation.new or operation.old
        if operation.verb == "del":
            self._nft_batch(operation, item.ns, lambda seq: nftables.delete_batch(nftables.INET, seq), nftables.INET)
        else:
            self._nft_batch(operation, item.ns, lambda seq: nftables.nat_batch(item.rules, seq), nftables.INET)
            if operation.verb == "change" and conntrack.changes_any(operation.old.rules, item.rules):
                self._nft.pop(item.ns).close()  # the next step has sockets of its own
                self.visit.enter(item.ns)
                conntrack.forget_others(item.rules)

    def _pkttype(self, operation: "Operation") -> None:
        item = operation.new or operation.old
        if operation.verb == "del":
            self._nft_batch(
                operation, item.ns, lambda seq: nftables.delete_batch(nftables.NETDEV, seq), nftables.NETDEV
            )
        else:
            self._nft_batch(operation, item.ns, lambda seq: nftables.pkttype_batch(seq, item.dev), nftables.NETDEV)

    def _mute(self, operation: "Operation") -> None:
        item = operation.new or operation.old
        ports = None if operation.verb == "del" else item.ports
        batch = lambda seq: nftables.mute_batch(ports, operation.old is not None, seq)  # noqa: E731
        self._nft_batch(operation, item.ns, batch, nftables.GUARD)

    def _guard(self, operation: "Operation") -> None:
        item = operation.new or operation.old
        there = operation.old is not None and operation.old.mark != ""
        if operation.verb != "del" and item.rules is not None:
            item = with_(item, rules=tuple(item.rules))
            for start in range(0, max(1, len(item.rules)), nftables.MOST_RULES):
                batch = lambda seq, start=start: nftables.guard_batch(item, start, there, seq)  # noqa: E731
                self._nft_batch(operation, "", batch, nftables.GUARD)
        elif there:
            self._unguarded += (operation,)

    def _unguard(self) -> None:
        """Deletes together: guards that follow each other, of a hundred services say."""
        gone, self._unguarded = self._unguarded, ()
        if gone:
            devs = [operation.old.dev for operation in gone]
            self._nft_batch(gone[-1], "", lambda seq: nftables.guards_delete_batch(devs, seq), nftables.GUARD)

    def pinned(self) -> "Pinned":
        """What is pinned for the router's namespace."""
        if self._pinned is None:
            self.visit.home()
            self._pinned = Pinned(spare=self.spare)
        self._pinned.cut_in = self.cut_in
        return self._pinned

    def with_pinned(self, step: "Callable[[Pinned], Any]") -> "Any":
        """What a step on what is pinned returns. Raises OSError."""
        with self.work:
            self.visit.home()
            return step(self.pinned())

    def _bpf(self, operation: "Operation", step: "Callable[[Pinned], object]") -> None:
        """Runs a step on what is pinned, in the router's namespace."""
        self.visit.home()
        try:
            step(self.pinned())
        except OSError as error:
            full = "a map of the eBPF datapath is full: fewer services, prefixes and port ranges, or another datapath"
            words = full if error.errno == compat.E2BIG else getattr(error, "words", "")
            raise KernelError(operation, error.errno, words)

    def _tidy(self) -> None:
        if self._pinned:
            try:
                self._pinned.tidy()
            except OSError as error:
                compat.unless_spent(error)
                raise PinError("can't tidy up %s: %s" % (BPFFS, compat.strerror(error.errno)))

    def _home_link(self, name: str, operation: "Operation") -> "tuple[int, int]":
        """(index, the number that the namespace of a pair's other end has here) of a device."""
        if name not in self._home_links:
            socket = Socket(compat.NETLINK_ROUTE)
            try:
                body = socket.ask(lambda seq: rtnl.link_get(name, seq))
            finally:
                socket.close()
            if body is None:
                raise KernelError(operation, compat.ENODEV, "there is no device %s" % name)
            self._home_links[name] = rtnl.index_of(body), rtnl.nsid_of(body)
        return self._home_links[name]

    def _home_index(self, name: str, operation: "Operation") -> int:
        return self._home_link(name, operation)[0]

    def _bpf_link(self, operation: "Operation") -> None:
        self.visit.home()
        item = operation.new or operation.old
        if item.hook == CLS:
            self._bpf_filter(operation, item)
        elif operation.verb == "del":
            self._bpf(operation, lambda pinned: pinned.del_link(item))
        elif operation.verb == "change":
            self._bpf(operation, lambda pinned: pinned.change_link(item))
        else:
            index = self._home_index(item.dev, operation)
            self._bpf(operation, lambda pinned: pinned.add_link(item, index))

    def _bpf_filter(self, operation: "Operation", item: "Any") -> None:
        """The filter and its pin: there is never a filter that the folder does not know."""
        if operation.verb == "del":
            try:
                index = self._home_index(item.dev, operation)
                self._at_home(operation, lambda seq: tc.program_del(index, seq), (compat.ENOENT, compat.EINVAL))
            except KernelError as error:
                if error.errno != compat.ENODEV:
                    raise
            self._bpf(operation, lambda pinned: pinned.del_link(item))
            return
        index = self._home_index(item.dev, operation)
        self._bpf(operation, lambda pinned: pinned.note_filter(item))
        program = self.pinned().program(item.program)
        self._at_home(operation, lambda seq: tc.program_set(index, program, item.program, seq))

    def _at_home(self, operation: "Operation", request: "Request", fine: "tuple[int, ...]" = ()) -> None:
        """One rtnetlink request in the router's namespace; `fine`: errors to ignore."""
        socket = Socket(compat.NETLINK_ROUTE)
        try:
            code, words = socket.transact([request])[0]
        finally:
            socket.close()
        if code and code not in fine:
            raise KernelError(operation, code, words)

    def _bpf_match(self, operation: "Operation") -> None:
        self.visit.home()
        item = operation.new or operation.old
        if operation.verb == "del":
            target = 0
            if item.target:
                try:
                    target = self._home_index(item.target, operation)
                except KernelError:
                    pass  # it is gone: wherever the entry leads, it is not wanted
            self._bpf(operation, lambda pinned: pinned.del_match(item, operation.handle, target))
            return
        index = self._home_index(item.dev, operation)
        target, nsid = self._home_link(item.target, operation)
        self._bpf(operation, lambda pinned: pinned.set_match(item, index, target, nsid))

    def _tbf(self, operation: "Operation") -> None:
        item = operation.new or operation.old
        if operation.verb == "del":
            self._inside(operation, item.dev, lambda index: [lambda seq: tc.tbf_del(index, seq)], NOT_THERE)
        else:
            self._inside(operation, item.dev, lambda index: [lambda seq: tc.tbf_set(item, index, seq)])

    def _any_local(self, operation: "Operation") -> None:
        item = operation.new or operation.old
        # Also before it is added: a crash may have left half of it.
        self._inside(operation, "lo", lambda _: rtnl.any_local_del(item.family), NOT_THERE)
        if operation.new:
            self._inside(operation, "lo", lambda _: rtnl.any_local_add(item))

    def _counting(self, operation: "Operation") -> None:
        item = operation.new or operation.old
        self._inside(operation, item.dev, lambda index: [lambda seq: tc.clsact_del(index, seq)], NOT_THERE)
        if operation.new:
            self._inside(operation, item.dev, lambda index: tc.hook_add(item.filters, index))

    def _inside(
        self, operation: "Operation", dev: str, requests: "Callable[[int], list]", fine: "tuple[int, ...]" = ()
    ) -> None:
        """Sends requests in a service's namespace: `requests` gives them for the index of a device there; `fine`:
        errors to ignore."""
        try:
            self.visit.enter((operation.new or operation.old).ns)
            socket = Socket(compat.NETLINK_ROUTE)
        except OSError as error:
            raise KernelError(operation, error.errno, "")
        try:
            body = socket.ask(lambda seq: rtnl.link_get(dev, seq))
            if body is None:
                raise KernelError(operation, compat.ENODEV, "there is no device %s" % dev)
            results = socket.transact(requests(rtnl.index_of(body)))
        finally:
            socket.close()
        for code, words in results:
            if code and code not in fine:
                raise KernelError(operation, code, words)

    _SHARED = {
        "Namespace": _namespace,
        "Sysctl": _sysctl,
        "Nat": _nat,
        "PktType": _pkttype,
        "Mute": _mute,
        "Guard": _guard,
        "Tbf": _tbf,
        "AnyLocal": _any_local,
        "Counting": _counting,
        "BpfLink": _bpf_link,
        "BpfMatch": _bpf_match,
    }

    def _nft_socket(self, ns: str) -> "Socket":
        if ns not in self._nft:
            self.visit.enter(ns)
            self._nft[ns] = Socket(compat.NETLINK_NETFILTER)
        return self._nft[ns]

    def _nft_batch(self, operation: "Operation", ns: str, batch: "Request", family: int) -> None:
        socket = self._nft_socket(ns)
        seq = socket.seq()
        code, words = socket.batch(batch(seq), seq)
        if code:
            raise KernelError(operation, code, nftables.error_text(code, family) or words)

    # Reading

    def dump(
        self,
        pools: "Sequence[address.Prefix] | None" = (),
        ports: "dict[str, dict] | None" = None,
        breathe: "Callable[[], object] | None" = None,
    ) -> "Dump":
        """A Dump of the router's namespace and of those named viscum-*. Of the router's own routes it has those that
        overlap one of these prefixes; all if `pools` is None. `ports` maps the namespaces whose open sockets are wanted
        to what listening.listeners takes. `breathe()` is called between two namespaces, and may use this back end."""
        return self._fresh(lambda dump: self._dump(dump, pools, ports or {}, breathe))

    def _fresh(self, read: "Callable[[Dump], object]") -> "Dump":
        """What `read` puts into a Dump, with nothing remembered of home."""
        dump = Dump()
        with self.work:
            self.forget_home()
            read(dump)
        return dump

    def _dump(
        self,
        dump: "Dump",
        pools: "Sequence[address.Prefix] | None",
        ports: "dict[str, dict]",
        breathe: "Callable[[], object] | None",
    ) -> None:
        try:
            self.dump_links(dump)
            self.dump_network(dump, "")
            if pools is None:
                self.dump_routes(dump, "")
            else:
                self._dump_near(dump, rtnl.Near(pools))
            self.dump_tc(dump)
            self._dump_bpf(dump)
            self._dump_guards(dump)
            self._dump_sysctls(dump)
            ends, direct = _inner_ends(dump), counters.direct_ends(dump)
            for ns in netns.ours():
                if breathe:
                    breathe()
                if self._enter(dump, ns):
                    if ns in direct or alias_of(ns) not in ends:
                        self._dump_direct(dump, ns, direct.get(ns))
                    self._dump_namespace(dump, ns, ends, ports.get(ns))
        finally:
            self.visit.home()
            self._release()

    def dump_marks(self) -> "Dump":
        """A Dump with only as much of the services' namespaces as tells whose they are: enough to take them down."""
        return self._fresh(self._dump_marks)

    def _dump_marks(self, dump: "Dump") -> None:
        try:
            self.dump_links(dump)
            self.dump_network(dump, "")
            self.dump_tc(dump)
            self._dump_bpf(dump)
            self._dump_guards(dump)
            ends = _inner_ends(dump)
            for ns in netns.ours():
                if self._enter(dump, ns):
                    self._dump_ends(dump, ns, ends)
                    self._leave(ns)
        finally:
            self.visit.home()
            self._release()

    def dump_redirects(self) -> "Dump":
        """A Dump of only what redirects are made of, and what they count: links and filters of the router. While these
        keep changing it has the last state read: a redirect that must be removed can't wait."""
        return self._fresh(self._dump_redirects)

    def _dump_redirects(self, dump: "Dump") -> None:
        self.hurried = True
        try:
            self.dump_links(dump)
            self.dump_tc(dump)
            self._dump_bpf(dump)
        finally:
            self.hurried = False
            self._release()

    def _dump_near(self, dump: "Dump", near: "rtnl.Near") -> None:
        """Routes of the router, of which there may be very many: the same code for all back ends."""
        if not near.families:
            return
        self.visit.home()
        socket = Socket(compat.NETLINK_ROUTE, strict=True)
        try:
            for family in near.families:
                bodies = socket.dump(lambda seq, family=family: rtnl.route_dump(seq, family), sieve=near.sieve)
                dump.routes.extend(parsed(lambda body: rtnl.parse_route("", body, near), bodies))
        finally:
            socket.close()

    def _dump_bpf(self, dump: "Dump") -> None:
        try:
            self.pinned().dump(dump)
        except OSError as error:
            compat.unless_spent(error)
            raise PinError("can't read %s: %s" % (BPFFS, compat.strerror(error.errno)))

    def counters(self, indexes: "Sequence[int]") -> "list[tuple]":
        """What our filters on the devices with these indexes count: a list of what tc.parse_counters returns, and what
        the eBPF datapath counts on any device."""
        with self.work:
            found = self._count_filters(indexes) if indexes else []
            counted = self.pinned().counters()
            self._release()
        found.extend([("bpf", pair[0], pair[1], counted[pair]) for pair in sorted(counted)])
        return found

    def _count_filters(self, indexes: "Sequence[int]") -> "list[tuple]":
        found = []
        socket = Socket(compat.NETLINK_ROUTE)
        try:
            for index in indexes:
                found.extend(parsed(tc.parse_counters, self._filters_of(socket, index)))
        finally:
            socket.close()
        return found

    def filters_at(self, ns: str, ends: "tuple[int, int]") -> "tuple[list[FilterEntry], list[FilterEntry]]":
        """The filters at the inner end of a pair, which is in `ns`, and at the router's; `ends` are the indexes of the
        router's and of the inner one. None are found where one is gone."""
        with self.work:
            try:
                return self._filters_in(ns, ends[1]), self._filters_in("", ends[0])
            finally:
                self.visit.home()
                self._release()

    def _filters_in(self, ns: str, index: int) -> "list[FilterEntry]":
        try:
            self.visit.enter(ns)
            socket = Socket(compat.NETLINK_ROUTE)
        except OSError as error:
            compat.unless_spent(error)
            return []
        try:
            return parsed(tc.parse_filter, self._filters_of(socket, index, MOST_INSIDE))
        finally:
            socket.close()

    def _filters_of(self, socket: "Socket", index: int, most: int = 0) -> "list[bytes]":
        try:
            return socket.dump(lambda seq: tc.filter_dump(index, seq), True, most)
        except OSError:
            return []  # the device or its hook is gone

    def _dump_guards(self, dump: "Dump") -> None:
        tables, chains = nftables.GUARD_DUMPS
        try:
            socket = self._nft_socket("")
            found = socket.dump(tables, True)
            if understood(nftables.guards, found, ()):
                dump.guards = understood(nftables.guards, found, socket.dump(chains, True))
        except OSError as error:
            compat.unless_spent(error)  # else a kernel without nf_tables

    def _dump_sysctls(self, dump: "Dump") -> None:
        self.visit.home()
        keys = list(ROUTER_SYSCTLS)
        for link in dump.links:
            if link.ns == "" and link.name.startswith(DEV_PREFIX):
                keys.extend([key % link.name for key in HOST_SYSCTLS])
        for key in keys:
            self._read_sysctl(dump, "", key)

    def _enter(self, dump: "Dump", ns: str) -> bool:
        """Whether a namespace can be read. A file that holds none (a crash between the two steps of creating one) has
        only a name."""
        dump.namespaces.append(ns)
        try:
            self.visit.enter(ns)
        except OSError as error:
            compat.unless_spent(error)
            return False
        return True

    def _dump_ends(self, dump: "Dump", ns: str, ends: "dict[str, list]") -> None:
        self.dump_ends(dump, ns, ["lo", INNER_DEV] + ends.get(alias_of(ns), []))

    def _dump_namespace(self, dump: "Dump", ns: str, ends: "dict[str, list]", ports: "dict | None") -> None:
        for key, _ in NS_SYSCTLS:
            self._read_sysctl(dump, ns, key)
        self._dump_ends(dump, ns, ends)
        self.dump_network(dump, ns)
        self.dump_routes(dump, ns)
        dump.nats[ns], dump.pkttypes[ns], dump.mutes[ns] = self._read_nft(ns)
        if ports:
            self.visit.enter(ns)
            dump.listeners[ns] = listening.listeners(ports)
        self._leave(ns)

    def _dump_direct(self, dump: "Dump", ns: str, ends: "tuple[int, int] | None") -> None:
        """What `reply` 'direct' has in a service's namespace; without its pair (None), what has outlived that."""
        self.visit.enter(ns)
        socket = Socket(compat.NETLINK_ROUTE)
        try:
            if ends:
                dump.counting[ns] = parsed(tc.parse_filter, self._filters_of(socket, ends[1], MOST_INSIDE))
            dump.any_local.extend(understood(rtnl.any_locals, ns, socket.dump(rtnl.rule_dump, True, MOST_INSIDE)))
        finally:
            socket.close()

    def note_queue(self, dump: "Dump", ns: str, index: int, kind: str) -> None:
        """Reads the queue of a device in a service's namespace, if it may be ours: `kind` is its IFLA_QDISC."""
        if kind != "tbf":
            return
        self.visit.enter(ns)
        socket = Socket(compat.NETLINK_ROUTE)
        try:
            # (Asked for one, the kernel would tell everybody who listens for changes.)
            found = [tc.parse_tbf(body, index) for body in socket.dump(tc.qdisc_dump, True, MOST_INSIDE)]
        finally:
            socket.close()
        for one in found:
            if one:
                dump.tbfs[ns] = one

    def _read_sysctl(self, dump: "Dump", ns: str, key: str) -> None:
        value = netns.read_sysctl(key)
        if value is not None:
            dump.sysctls[(ns, key)] = value

    def _read_nft(self, ns: str) -> tuple:
        """(rules or None, pkttype, ports of its Mute) of a namespace."""
        try:
            socket = self._nft_socket(ns)
        except OSError as error:
            compat.unless_spent(error)
            return None, False, ""  # a kernel without nf_tables
        seq = socket.seq()
        requests = nftables.dump_requests(seq)
        buffers = socket.answers(requests[0], seq, MOST_BUFFERS)
        # Which tables of ours there are: usually none, which saves two dumps.
        whole, mute = [
            any(name.encode() + b"\0" in buffer for buffer in buffers) for name in (nftables.TABLE, nftables.MUTE)
        ]
        for request in requests[1:] if whole else requests[1:2] if mute else ():
            if socket.spent:
                return None, False, ""  # too many tables of others: ours can't be read
            buffers.extend(socket.answers(request, seq, MOST_BUFFERS))
        ports = understood(nftables.muted, buffers) if mute else ""
        nat, pkttype = understood(nftables.decode, buffers) if whole else (None, False)
        return nat, pkttype, ports
