"""The second back end: messages by pyroute2, for routers that have it anyway. CPython only.

Works with 0.7.9 (what the OpenWrt releases have) and with 0.9, whose core is asyncio. Both open their socket in the
constructor, in the thread's namespace; so we enter a namespace, open an IPRoute there and return home, like the native
back end. The `netns` argument of 0.9 would do it in a child process instead (pyroute2/process.py), which we don't want
in a program that supervises its own children. An IPRoute of 0.9 keeps an event loop that runs only inside a call;
`close` ends the loop with the socket, so nothing stays behind. The socket belongs to one thread, and so does this
object.

pyroute2 has no netkit, no cls_flower and no act_skbmod, and its u32 encoder knows no hash tables and regroups keys.
What it can't express (see `packed_because`) is sent as our own option bytes (tc) inside its message; a netkit pair as
a message of our own. Filters are read by our parser.
"""

from .. import address, compat
from ..errors import UnsupportedError
from ..records.dump import Addr, Link, QdiscEntry, RouteEntry, RuleEntry
from ..records.objects import CLASSID, INNER_DEV, MARK_PRIO, MARK_PROTOCOL, PROTOCOLS, VETH, Prio, alias_of
from . import codec, rtnl, tc
from .backend import MOST_INSIDE, Backend, KernelError
from .native import GONE
from .netlink import RETRIES, Interrupted, Socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from ..records.dump import Dump, FilterEntry
    from ..records.objects import Operation

REMEDY = (
    "the netlink back end 'pyroute2' needs %s; or leave the option netlink out: 'native' works everywhere"
    " and needs nothing"
)

if compat.MICROPYTHON:
    raise UnsupportedError(REMEDY % "CPython, and this is MicroPython")
try:
    from pyroute2 import IPRoute  # absolute: not this module, which has the same last name
    from pyroute2.netlink import nlmsg
    from pyroute2.netlink.exceptions import NetlinkDumpInterrupted, NetlinkError
    from pyroute2.netlink.rtnl.tcmsg import cls_u32, tcmsg
except ImportError as error:
    text = "the package python3-pyroute2 (opkg install python3-pyroute2, or apk add python3-pyroute2): %s"
    raise UnsupportedError(REMEDY % (text % error)) from error

ACTIONS = ("mirred", "skbedit")  # those of ours that it knows
ETHERTYPES = {"ip": PROTOCOLS["ip"], "ipv6": PROTOCOLS["ipv6"], "mark": MARK_PROTOCOL}


class PackedFilter(nlmsg):
    """A filter message whose options are bytes. Not a subclass of tcmsg: that would inherit its table of attributes,
    where the options of u32 are a structure."""

    prefix = "TCA_"
    fields = tcmsg.fields
    nla_map = (("TCA_UNSPEC", "none"), ("TCA_KIND", "asciiz"), ("TCA_OPTIONS", "cdata"))


class Pyroute2(Backend):
    """The same by pyroute2."""

    name = "pyroute2"

    def __init__(self) -> None:
        super().__init__()
        self._routes: dict[str, Any] = {}
        self._indexes: dict[tuple[str, str], int] = {}

    def close(self) -> None:
        for ns in list(self._routes):
            self._routes.pop(ns).close()
        super().close()

    def leave(self, ns: str) -> None:
        if ns in self._routes:
            self._routes.pop(ns).close()
        for key in [key for key in self._indexes if key[0] == ns]:
            del self._indexes[key]

    def _route(self, ns: str) -> "Any":
        """The IPRoute of a namespace."""
        if ns not in self._routes:
            self.visit.enter(ns)
            try:
                self._routes[ns] = IPRoute(ext_ack=True)  # errors with the kernel's words (4.12)
            finally:
                self.visit.home()
        return self._routes[ns]

    # Reading

    def _messages(self, ns: str, call: "Callable[[], Any]") -> list:
        return _read(call, self.hurried or ns != "", MOST_INSIDE if ns else 0)

    def dump_links(self, dump: "Dump") -> None:
        dump.links.extend([_link("", message) for message in self._messages("", self._route("").get_links)])

    def dump_ends(self, dump: "Dump", ns: str, ends: "Sequence[int | str]") -> None:
        found = [message for end in ends for message in self._one_link(ns, end)]
        dump.links.extend({link.index: link for link in [_link(ns, message) for message in found]}.values())
        for message in found:
            if message.get_attr("IFLA_IFNAME") == INNER_DEV:
                self.note_queue(dump, ns, message["index"], message.get_attr("IFLA_QDISC"))

    def _one_link(self, ns: str, which: "int | str") -> list:
        """The messages that answer a request for a link, by name or index: one, or none."""
        try:
            return _answer(self._route(ns).link("get", **{"ifname" if isinstance(which, str) else "index": which}))
        except NetlinkError as error:
            if error.code != compat.ENODEV:
                raise
            return []

    def dump_network(self, dump: "Dump", ns: str) -> None:
        route = self._route(ns)
        addresses = self._messages(ns, lambda: route.get_addr(family=0))
        dump.addresses.extend([item for item in [_address(ns, message) for message in addresses] if item])
        if ns == "":
            rules = self._messages(ns, lambda: route.get_rules(family=0))
            dump.rules.extend([item for item in [_rule_entry(ns, message) for message in rules] if item])

    def dump_routes(self, dump: "Dump", ns: str) -> None:
        route = self._route(ns)
        routes = self._messages(ns, lambda: route.get_routes(family=0))
        dump.routes.extend([item for item in [_route_entry(ns, message) for message in routes] if item])

    def dump_tc(self, dump: "Dump") -> None:
        route = self._route("")
        for message in self._messages("", route.get_qdiscs):
            kind = message.get_attr("TCA_KIND")
            if kind in ("clsact", "ingress"):
                dump.qdiscs.append(QdiscEntry(message["index"], kind))
        for qdisc in dump.qdiscs:
            for message in self._filters(qdisc.index, tc.INGRESS):
                entry = parse_filter(message)
                if entry:
                    dump.filters.append(entry)
            if qdisc.kind == "clsact" and self._filters(qdisc.index, tc.EGRESS):
                dump.egress.append(qdisc.index)

    def _filters(self, index: int, parent: int) -> list:
        route = self._route("")
        return self._messages("", lambda: route.get_filters(index=index, parent=parent))

    # Writing

    def carry(self, operation: "Operation") -> None:
        """Executes the operation at once: there is nothing to flush."""
        item = operation.new or operation.old
        self.visit.home()
        try:
            getattr(self, "_%s_%s" % (operation.verb, type(item).__name__.lower()))(operation, item)
        except NetlinkError as error:
            raise KernelError(operation, error.code, str(error.args[1])) from error

    def _index(self, ns: str, name: str, operation: "Operation") -> int:
        if (ns, name) not in self._indexes:
            found = self._one_link(ns, name)
            if not found:
                raise KernelError(operation, compat.ENODEV, "there is no device %s" % name)
            self._indexes[(ns, name)] = found[0]["index"]
        return self._indexes[(ns, name)]

    def _index_of(self, operation: "Operation") -> "Callable[[str], int]":
        return lambda name: self._index("", name, operation)

    def _add_pair(self, operation: "Operation", pair: "Any") -> None:
        # As in rtnl.pair_add: only the router's end is up at once, the alias needs a message of its own, and one queue.
        fd = self.visit.fd(pair.ns)  # a number: pyroute2 would open a name, and used to leak it
        if pair.kind == VETH:
            self._create_veth(pair, fd)
        else:
            self._send_own(operation, lambda seq: rtnl.pair_add(pair, fd, seq))
        self._route("").link("set", ifname=pair.name, state="up", ifalias=pair.alias)
        self._route(pair.ns).link("set", ifname=pair.peer, state="up")

    def _send_own(self, operation: "Operation", request: "Callable[[int], bytes]") -> None:
        """Sends a message of our own in the router's namespace, for what pyroute2 does not know at all."""
        socket = Socket(compat.NETLINK_ROUTE)
        try:
            code, words = socket.transact([request])[0]
        finally:
            socket.close()
        if code:
            raise KernelError(operation, code, words)

    def _create_veth(self, pair: "Any", fd: int) -> None:
        # (MicroPython reads this file as well, to say that the library is missing: no displays with `**`.)
        peer = {
            "num_tx_queues": 1,
            "num_rx_queues": 1,
            "ifname": pair.peer,
            "mtu": pair.mtu,
            "address": pair.peer_mac,
            "net_ns_fd": fd,
        }
        self._route("").link(
            "add",
            ifname=pair.name,
            kind="veth",
            mtu=pair.mtu,
            address=pair.mac,
            state="up",
            num_tx_queues=1,
            num_rx_queues=1,
            peer=peer,
        )

    def _change_pair(self, operation: "Operation", pair: "Any") -> None:
        ends = [
            (pair.ns, {"ifname": pair.peer, "address": pair.peer_mac}),
            ("", {"ifname": pair.name, "address": pair.mac, "ifalias": pair.alias}),
        ]
        if pair.mtu < operation.old.mtu:  # a pair carries what both ends allow: shrink the sending end first
            ends.reverse()
        for ns, values in ends:
            self._route(ns).link("set", state="up", mtu=pair.mtu, **values)

    def _del_pair(self, operation: "Operation", pair: "Any") -> None:
        _delete(lambda: self._route("").link("del", ifname=pair.name))
        self._indexes.pop(("", pair.name), None)

    def _add_up(self, operation: "Operation", item: "Any") -> None:
        self._route(item.ns).link("set", ifname=item.dev, state="up", ifalias=alias_of(item.ns))

    def _del_up(self, operation: "Operation", item: "Any") -> None:
        pass  # it goes with its namespace

    def _address(self, operation: "Operation", item: "Any") -> "dict[str, Any]":
        text, _, length = item.address.partition("/")
        values = {"index": self._index(item.ns, item.dev, operation), "address": text, "prefixlen": int(length)}
        values["family"] = rtnl.AF[6 if ":" in text else 4]
        if ":" in text:
            values["flags"] = rtnl.IFA_F_NODAD  # as in rtnl: nobody else is on the pair
        return values

    def _add_address(self, operation: "Operation", item: "Any") -> None:
        self._route(item.ns).addr("add", **self._address(operation, item))

    def _del_address(self, operation: "Operation", item: "Any") -> None:
        values = self._address(operation, item)
        _delete(lambda: self._route(item.ns).addr("del", **values))

    def _way(self, operation: "Operation", item: "Any") -> "dict[str, Any]":
        values = {"family": rtnl.AF[item.family], "oif": self._index(item.ns, item.dev, operation)}
        if item.dst != "default":
            values["dst"] = item.dst
        if item.via:
            values["gateway"] = item.via
        if item.src:
            values["prefsrc"] = item.src
        values["scope"] = rtnl.RT_SCOPE_UNIVERSE if item.via or item.family == 6 else rtnl.RT_SCOPE_LINK
        values["table"] = rtnl.RT_TABLE_MAIN
        values["proto"] = rtnl.RTPROT_STATIC
        values["type"] = rtnl.RTN_UNICAST
        return values

    def _add_route(self, operation: "Operation", item: "Any") -> None:
        self._route(item.ns).route("add", **self._way(operation, item))

    def _change_route(self, operation: "Operation", item: "Any") -> None:
        self._route(item.ns).route("replace", **self._way(operation, item))

    def _del_route(self, operation: "Operation", item: "Any") -> None:
        values = self._way(operation, item)
        _delete(lambda: self._route(item.ns).route("del", **values))

    def _rule(self, verb: str, item: "Any") -> None:
        self._route(item.ns).rule(
            verb, family=rtnl.AF[item.family], priority=item.priority, table=item.table, iifname=item.iif
        )

    def _add_rule(self, operation: "Operation", item: "Any") -> None:
        self._rule("add", item)

    def _del_rule(self, operation: "Operation", item: "Any") -> None:
        _delete(lambda: self._rule("del", item))

    # Traffic control

    def _add_qdisc(self, operation: "Operation", item: "Any") -> None:
        index = self._index("", item.dev, operation)
        self._route("").tc("add", "clsact", index)
        self._route("").tc(
            "add-filter",
            "u32",
            index,
            parent=tc.INGRESS,
            prio=MARK_PRIO,
            protocol=MARK_PROTOCOL,
            target=CLASSID,
            keys=_key_texts(((0, 0, 0),)),
        )

    def _del_qdisc(self, operation: "Operation", item: "Any") -> None:
        index = self._index("", item.dev, operation)
        _delete(lambda: self._route("").tc("del", "clsact", index))

    def _del_mark(self, operation: "Operation", item: "Any") -> None:
        self._delete_filters(operation, Prio(item.dev, MARK_PRIO, "mark"), 0)

    def _add_hashtable(self, operation: "Operation", item: "Any") -> None:
        index = self._index("", item.dev, operation)
        there = False
        try:
            self._packed("create", index, item, "u32", tc.table_of(item.prio) << 20, tc.hash_table_options(item))
        except NetlinkError as error:
            if error.code != compat.EEXIST:
                raise
            there = True
        self._packed("create", index, item, "u32", 0, tc.hash_link_options(item))
        if there:
            self._empty_table(operation, item, index)

    def _empty_table(self, operation: "Operation", item: "Any", index: int) -> None:
        """As in native: a table that existed, but in no dump, comes back with its filters."""
        for entry in [parse_filter(message) for message in self._filters(index, tc.INGRESS)]:
            if entry and entry.handle >> 20 == tc.table_of(item.prio) and entry.handle & 0xFFFFF:
                self._delete_filters(operation, item, entry.handle)

    def _del_hashtable(self, operation: "Operation", item: "Any") -> None:
        self._delete_filters(operation, item, operation.handle)
        give_up = compat.monotonic() + 1
        while True:  # as native._patiently: the table is busy until the kernel has freed the link
            try:
                self._delete_filters(operation, item, tc.table_of(item.prio) << 20)
                return
            except NetlinkError as error:
                if error.code != compat.EBUSY or compat.monotonic() > give_up:
                    raise
            compat.sleep(0.005)

    def _del_prio(self, operation: "Operation", item: "Any") -> None:
        self._delete_filters(operation, item, 0)

    def _add_filter(self, operation: "Operation", item: "Any") -> None:
        self._write_filter("create", operation, item, 0)

    def _change_filter(self, operation: "Operation", item: "Any") -> None:
        self._write_filter("replace", operation, item, operation.handle)

    def _del_filter(self, operation: "Operation", item: "Any") -> None:
        self._delete_filters(operation, item, operation.handle)

    def _write_filter(self, mode: str, operation: "Operation", item: "Any", handle: int) -> None:
        index = self._index("", item.dev, operation)
        index_of = self._index_of(operation)
        if packed_because(item):
            self._packed(mode, index, item, item.kind, handle, tc.filter_options(item, index_of))
            return
        self._route("").tc(
            {"create": "add-filter", "replace": "replace-filter"}[mode],
            item.kind,
            index,
            handle,
            parent=tc.INGRESS,
            prio=item.prio,
            protocol=PROTOCOLS[item.protocol],
            target=CLASSID,
            keys=_key_texts(item.keys),
            action=[_action(action, index_of) for action in item.actions],
        )

    def _packed(self, mode: str, index: int, item: "Any", kind: str, handle: int, options: bytes) -> None:
        """A filter message with our own bytes as options."""
        message = PackedFilter()
        message["index"] = index
        message["handle"] = handle
        message["parent"] = tc.INGRESS
        message["info"] = tc.prio_and_protocol(item.prio, PROTOCOLS[item.protocol])
        message["attrs"] = [["TCA_KIND", kind], ["TCA_OPTIONS", options]]
        flags = codec.NLM_F_REQUEST | codec.NLM_F_ACK | codec.NLM_F_CREATE
        flags |= {"create": codec.NLM_F_EXCL, "replace": codec.NLM_F_REPLACE}[mode]
        message["header"].update({"type": tc.RTM_NEWTFILTER, "flags": flags})
        # A batch of one: of all ways to send a message of one's own, this one works in both 0.7.9 and 0.9.
        tuple(self._route("").nlm_request_batch([message]))

    def _delete_filters(self, operation: "Operation", item: "Any", handle: int) -> None:
        """Deletes a filter in the item's prio, or with handle 0 the whole prio."""
        index = self._index("", item.dev, operation)
        info = tc.prio_and_protocol(item.prio, ETHERTYPES[item.protocol])
        # Without the kind: with it, 0.7.9 wants the filter's keys as well.
        _delete(lambda: self._route("").tc("del-filter", index=index, handle=handle, parent=tc.INGRESS, info=info))


def _delete(call: "Callable[[], Any]") -> None:
    """Deletes something; what is already gone counts as deleted."""
    try:
        call()
    except NetlinkError as error:
        if error.code not in GONE:
            raise


# What pyroute2 can express


def packed_because(item: "Any") -> str:
    """Why a filter must be sent as our own bytes; "" if pyroute2's encoders produce the same."""
    if item.kind != "u32":
        return "pyroute2 has no cls_%s" % item.kind
    unknown = [action[0] for action in item.actions if action[0] not in ACTIONS]
    if unknown:
        return "pyroute2 has no act_%s" % unknown[0]
    if item.bucket >= 0:
        return "pyroute2 puts no u32 filter in a bucket of a hash table"
    if _encoded(item.keys) != item.keys:
        return "pyroute2 regroups these u32 keys"
    return ""


def _key_texts(keys: "Any") -> "list[str]":
    """Keys as pyroute2 takes them. It looks for leading zero bytes in the text of a mask; in that of 0 it must not."""
    return ["0x%x/%s+%d" % (value, "0x%08x" % mask if mask else "0x0", offset) for value, mask, offset in keys]


def _encoded(keys: "Any") -> "tuple | None":
    """The keys that pyroute2 makes of ours, None if it can't make any.

    It works byte by byte in a table of 256, so it can't reach in front of the network header (the MAC), closes gaps
    inside a mask, begins words at the first byte that counts and sorts them by offset.
    """
    selector = cls_u32.options.u32_sel(data=bytearray(4), offset=4)  # as in a message: not at the start
    selector.setvalue({"keys": _key_texts(keys)})
    try:
        selector.encode()
    except ValueError:
        return None  # 0.7.9, if it finds nothing to match
    return tc.parse_selector(bytes(selector.data[8:]))  # without the attribute's header


def _action(action: tuple, index_of: "Callable[[str], int]") -> "dict[str, Any]":
    if action[0] == "skbedit":
        return {"kind": "skbedit", "ptype": action[1]}
    return {"kind": "mirred", "direction": "egress", "action": "redirect", "ifindex": index_of(action[1])}


# From pyroute2's messages to the records of dump


def _read(call: "Callable[[], Any]", hurried: bool, most: int) -> list:
    """The messages of a dump, as netlink.Socket.dump returns bodies. Raises OSError, and Interrupted."""
    found: list = []
    for _ in range(RETRIES):
        found = []
        try:
            for message in call():
                found.append(message)
                if len(found) == most:
                    return found
        except NetlinkDumpInterrupted:
            continue  # 0.7.9 says so after reading everything
        except NetlinkError as error:
            raise OSError(error.code, str(error.args[1])) from error
        if not any(message["header"]["flags"] & codec.NLM_F_DUMP_INTR for message in found):  # 0.9 leaves it to us
            return found
    if hurried:
        return found
    raise Interrupted()


def _answer(messages: "Any") -> list:
    return [message for message in messages if message["header"]["type"] == rtnl.RTM_NEWLINK]


def _link(ns: str, message: "Any") -> "Link":
    mac = message.get_attr("IFLA_ADDRESS") or ""
    info = message.get_attr("IFLA_LINKINFO")
    return Link(
        ns=ns,
        index=message["index"],
        name=message.get_attr("IFLA_IFNAME"),
        up=bool(message["flags"] & rtnl.IFF_UP),
        mtu=message.get_attr("IFLA_MTU") or 0,
        mac=mac if len(mac) == 17 else "",  # tunnels have an IP address there
        kind=(info.get_attr("IFLA_INFO_KIND") or "") if info else "",
        type=message["ifi_type"],
        master=message.get_attr("IFLA_MASTER") or 0,
        alias=message.get_attr("IFLA_IFALIAS") or "",
        peer=message.get_attr("IFLA_LINK") or 0,
        peer_nsid=_number_or(message.get_attr("IFLA_LINK_NETNSID"), rtnl.LINK_NETNSID_NONE),
    )


def _number_or(value: "Any", other: int) -> int:
    return other if value is None else value


def _address(ns: str, message: "Any") -> "Addr | None":
    text = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
    if message["family"] not in rtnl.FAMILY or not text:
        return None
    return Addr(ns, message["index"], "%s/%d" % (_plain(text), message["prefixlen"]))


def _plain(text: "Any") -> str:
    """An address as we write it: pyroute2 writes some IPv6 addresses in its own way."""
    return address.format_address(address.parse_address(text))


def _route_entry(ns: str, message: "Any") -> "RouteEntry | None":
    if message["type"] != rtnl.RTN_UNICAST or message["family"] not in rtnl.FAMILY:
        return None  # as in rtnl: it leads to no neighbour
    if message["flags"] & rtnl.RTM_F_CLONED:
        return None
    dst, via, src = [message.get_attr("RTA_" + name) for name in ("DST", "GATEWAY", "PREFSRC")]
    return RouteEntry(
        ns=ns,
        family=rtnl.FAMILY[message["family"]],
        dst="%s/%d" % (_plain(dst), message["dst_len"]) if dst else "default",
        via=_plain(via) if via else "",
        oif=message.get_attr("RTA_OIF") or 0,
        src=_plain(src) if src else "",
        table=message.get_attr("RTA_TABLE") or message["table"],
        type=message["type"],
    )


def _rule_entry(ns: str, message: "Any") -> "RuleEntry | None":
    if message["family"] not in rtnl.FAMILY:
        return None
    return RuleEntry(
        ns,
        rtnl.FAMILY[message["family"]],
        message.get_attr("FRA_PRIORITY") or 0,
        message.get_attr("FRA_IIFNAME") or "",
        message.get_attr("FRA_TABLE") or message["table"],
    )


def parse_filter(message: "Any") -> "FilterEntry | None":
    """A FilterEntry, or None for the head of an empty prio: our parser on pyroute2's message, for all kinds.

    pyroute2 knows neither flower nor skbmod, and reads the keys of u32 from 4 bytes too early (u32_sel.decode in
    cls_u32.py, 0.7.9 as well as 0.9.7: it forgets the attribute's header).
    """
    return tc.parse_filter(bytes(message.data[message.offset + 16 : message.offset + message.length]))
