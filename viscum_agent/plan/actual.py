"""From a kernel dump to our own objects and to the facts about the router: a pure function.

An object is ours by a mark that lives and dies with it: a pair of devices by its alias, a namespace by the alias of its
loopback or by the pair that leads there, a filter by its classid, a qdisc by the filter in it that says so, an address,
route, sysctl or nft table by the namespace or device that it is in. Everything else is somebody else's and only a fact.
"""

from collections import namedtuple

from .. import address
from ..ebpf.layout import to_match
from ..records.dump import ARPHRD_ETHER, NOTHING, Counters, is_bare
from ..records.facts import Device, Facts
from ..records.objects import (
    ALIAS_PREFIX,
    BPF_PRIO,
    CLASSID,
    DEV_PREFIX,
    HOST_SYSCTLS,
    INNER_DEV,
    LEAVE,
    MARK_PRIO,
    MARK_PROTOCOL,
    NETKIT,
    NS_PREFIX,
    PRIOS,
    PROTOCOLS,
    VETH,
    Address,
    BpfLink,
    Counting,
    Filter,
    Guard,
    HashTable,
    Mute,
    Namespace,
    Nat,
    Pair,
    PktType,
    Prio,
    Qdisc,
    Route,
    Rule,
    Sysctl,
    Tbf,
    Up,
    alias_of,
    kind_of,
    left_classid,
    table_of,
)
from .answers import Open

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ..records.dump import Addr, Dump, FilterEntry, Link
    from ..records.facts import Features, Host

    Owners = dict[tuple[str, str], str]

RT_TABLE_MAIN, RTN_UNICAST = 254, 1  # linux/rtnetlink.h

# An object of ours with its tc handle (0 where there is none).
Found = namedtuple("Found", ("item", "handle"))

# The longest prefix that is a piece of a default route: nobody's network is a 16th of all addresses.
DEFAULT_PIECE = 4

PAIRS = (VETH, NETKIT)

PROTOCOL_NAMES = {PROTOCOLS[name]: name for name in PROTOCOLS}


class Observed:
    """`services` maps a service to its Found objects; `shared` are Found programs, qdiscs and hash tables of ours;
    `hooks` maps a device to the kind of ingress qdisc it has; `strangers` maps a device to whether somebody else's
    filters are at its hook, and `foreign_prios` are the (device, prio) with somebody else's filter in them; `orphans`
    are what of our redirects leads nowhere; `empty` are the Prios without any filter; `refused` are the services of
    which a part stays with the cloud because its port was closed; `taking_over` maps services that leave open TCP
    connections to the cloud to the indexes of their pairs (ebpf/flows.py); `counters` maps a service to Counters,
    `dropped` to how many packets of its own its Guard dropped."""

    def __init__(self, same: "dict[Any, Any] | None" = None) -> None:
        self._same = same or {}
        self.services: dict[str, list[Found]] = {}
        self.shared: list[Found] = []
        self.hooks: dict[str, str] = {}
        self.strangers: set[str] = set()
        self.foreign_prios: set[tuple[str, int]] = set()
        self.orphans: list[Found] = []
        self.empty: set[Prio] = set()
        self.refused: set[str] = set()
        self.taking_over: dict[str, int] = {}
        self.counters: dict[str, Counters] = {}
        self.dropped: dict[str, int] = {}

    def of(self, service: str) -> "list[Found]":
        return self.services.get(service, [])

    def without_redirects(self, services: "Sequence[str]") -> "Observed":
        """The same, after the redirects of these services were removed."""
        made = Observed()
        for key in self.__dict__:
            setattr(made, key, self.__dict__[key])
        made.services = dict(self.services)
        for service in services:
            made.services[service] = [each for each in self.of(service) if not kind_of(each.item).redirect]
        return made

    def _add(self, service: str, item: "Any", handle: int = 0) -> None:
        same = self._same.get(item, item) if self._same else item
        self.services.setdefault(service, []).append(Found(same, handle))


def observe(dump: "Dump", same: "dict[Any, Any] | None" = None) -> "Observed":
    """An Observed from a kernel.dump.Dump. `same` maps objects to equal ones, which stand for what is found."""
    observed = Observed(same)
    names = {(link.ns, link.index): link.name for link in dump.links}
    owners = _owners(dump)
    _pairs(observed, dump, owners)
    _inside(observed, dump, names, owners)
    _settings(observed, dump, owners)
    _counted(observed, dump, owners)
    _outside(observed, dump, names, owners)
    _hooks(observed, dump, names, owners)
    _programs(observed, dump, names, owners)
    observed._same = {}
    return observed


def _owners(dump: "Dump") -> "Owners":
    """Who has what: maps ("ns", name) and ("dev", name) to the service.

    A namespace of ours is marked inside, where a program with rights can take the mark away. The router's end of its
    pair is out of that program's reach, so where the pair leads to is ours as well.
    """
    owners = {}
    ends = {}
    for link in dump.links:
        if not link.alias.startswith(ALIAS_PREFIX):
            continue
        service = link.alias[len(ALIAS_PREFIX) :]
        if link.ns == "" and link.kind in PAIRS and link.name.startswith(DEV_PREFIX):
            owners[("dev", link.name)] = service
            ends[(NS_PREFIX + service, link.peer)] = link.index
        elif link.ns == NS_PREFIX + service and link.name == "lo":
            owners[("ns", link.ns)] = service
    for link in dump.links:
        if link.kind in PAIRS and link.peer and ends.get((link.ns, link.index)) == link.peer:
            owners[("ns", link.ns)] = link.ns[len(NS_PREFIX) :]
    return owners


def _pairs(observed: "Observed", dump: "Dump", owners: "Owners") -> None:
    inner = {link.ns: link for link in dump.links if link.name == INNER_DEV and link.kind in PAIRS}
    for ns in dump.namespaces:
        if ("ns", ns) in owners:
            observed._add(owners[("ns", ns)], Namespace(ns))
    for link in dump.links:
        service = owners.get(("dev", link.name))
        if link.ns != "" or service is None:
            continue
        ns = NS_PREFIX + service
        end = inner.get(ns) if ("ns", ns) in owners else None
        mtu = link.mtu if end is None or end.mtu == link.mtu else 0
        up = link.up and end is not None and end.up
        mac = link.mac if up else ""  # an end that is down differs from what was asked, like one without its MAC
        pair = Pair(
            name=link.name,
            ns=ns if end else "",
            peer=INNER_DEV,
            mtu=mtu,
            mac=mac,
            peer_mac=end.mac if end else "",
            alias=link.alias,
            kind=link.kind,
        )
        observed._add(service, pair)
        mark, dropped = dump.guards.get(link.name, ("", 0))
        observed._add(service, Guard(link.name, mark or "", None))
        observed.dropped[service] = dropped
    for dev in sorted(dump.guards):
        mark = dump.guards[dev][0]
        if mark and ("dev", dev) not in owners:
            observed.orphans.append(Found(Guard(dev, mark, None), 0))


def _inside(observed: "Observed", dump: "Dump", names: "dict[tuple[str, int], str]", owners: "Owners") -> None:
    for link in dump.links:
        service = owners.get(("ns", link.ns))
        if service and link.name == "lo" and link.up and link.alias == alias_of(link.ns):
            observed._add(service, Up(link.ns, "lo"))
    for entry in dump.addresses:
        service = owners.get(("ns", entry.ns))
        dev = names.get((entry.ns, entry.index), "")
        if service and dev and not _own_loopback(entry.address):
            observed._add(service, Address(entry.ns, dev, entry.address))
    for route in dump.routes:
        service = owners.get(("ns", route.ns))
        dev = names.get((route.ns, route.oif), "")  # of very many devices not all are read
        if service and dev and route.table == RT_TABLE_MAIN and route.type == RTN_UNICAST and route.via:
            observed._add(
                service, Route(ns=route.ns, family=route.family, dst=route.dst, via=route.via, dev=dev, src=route.src)
            )


def _settings(observed: "Observed", dump: "Dump", owners: "Owners") -> None:
    """What is set inside a namespace, its nft tables, and how much it may send."""
    for ns, key in dump.sysctls:
        if ("ns", ns) in owners:
            observed._add(owners[("ns", ns)], Sysctl(ns, key, dump.sysctls[(ns, key)]))
    for ns in dump.nats:
        if ("ns", ns) in owners and dump.nats[ns] is not None:
            observed._add(owners[("ns", ns)], Nat(ns, dump.nats[ns]))
        if ("ns", ns) in owners and dump.pkttypes[ns]:
            # What we would not have written is not the device's table: it differs, and is replaced.
            observed._add(owners[("ns", ns)], PktType(ns, INNER_DEV if dump.pkttypes[ns] is True else ""))
    for ns in dump.mutes:
        if ("ns", ns) in owners and dump.mutes[ns]:
            observed._add(owners[("ns", ns)], Mute(ns, dump.mutes[ns]))
    for ns in dump.tbfs:
        if ("ns", ns) in owners:
            observed._add(owners[("ns", ns)], Tbf(ns, INNER_DEV, *dump.tbfs[ns]))


def _counted(observed: "Observed", dump: "Dump", owners: "Owners") -> None:
    for item in dump.any_local:
        if ("ns", item.ns) in owners:
            observed._add(owners[("ns", item.ns)], item)
    for ns in dump.counting:
        if ("ns", ns) in owners and dump.counting[ns]:
            observed._add(owners[("ns", ns)], Counting(ns, INNER_DEV, _counting(dump.counting[ns])))


def _counting(entries: "list[FilterEntry]") -> "tuple[Filter, ...] | None":
    """None if something of it is not as we would have written it. (The root table of a prio is everybody's.)"""
    entries = [each for each in entries if not each.divisor]
    if [each for each in entries if each.classid != CLASSID or each.keys is None or each.actions is None]:
        return None
    return tuple(sorted([_filter(each, INNER_DEV, each.actions) for each in entries]))


def _own_loopback(text: str) -> bool:
    return text.startswith("127.") or text == "::1/128" or text.startswith("fe80:")


def _outside(observed: "Observed", dump: "Dump", names: "dict[tuple[str, int], str]", owners: "Owners") -> None:
    for entry in dump.addresses:
        dev = names.get(("", entry.index), "")
        service = owners.get(("dev", dev))
        if entry.ns == "" and service and not _own_loopback(entry.address):
            observed._add(service, Address("", dev, entry.address))
    for rule in dump.rules:
        service = owners.get(("dev", rule.iif))
        if service:
            observed._add(service, Rule("", rule.family, rule.priority, rule.iif, rule.table))
    for link in dump.links:
        service = owners.get(("dev", link.name))
        if link.ns != "" or service is None:
            continue
        for pattern in HOST_SYSCTLS:
            value = dump.sysctls.get(("", pattern % link.name))
            if value is not None:
                observed._add(service, Sysctl("", pattern % link.name, value))


def _hooks(observed: "Observed", dump: "Dump", names: "dict[tuple[str, int], str]", owners: "Owners") -> None:
    marked = _filters(observed, dump, names, owners)
    for entry in dump.qdiscs:
        dev = names.get(("", entry.index), "")
        observed.hooks[dev] = entry.kind
        service = owners.get(("dev", dev))
        if dev in marked and service:
            observed._add(service, Qdisc(dev))
        elif dev in marked:
            observed.shared.append(Found(Qdisc(dev), 0))


def _filters(observed: "Observed", dump: "Dump", names: "dict[tuple[str, int], str]", owners: "Owners") -> "set[str]":
    """Filters and hash tables; returns the devices that have our mark."""
    marked, tables, links = set(), set(), {}
    left: dict[int, str] = {}
    roots, used = set(), set()
    for entry in dump.filters:
        dev = names.get(("", entry.index), "")
        role = _role(entry)
        if role == "root":
            roots.add(Prio(dev, entry.prio, PROTOCOL_NAMES.get(entry.protocol, "")))
        else:
            used.add((dev, entry.prio))
        if role == "mark":
            marked.add(dev)
        elif role == "table":
            tables.add((dev, entry.prio))
        elif role == "link":
            links[(dev, entry.prio)] = entry.handle
        elif role == "filter":
            _our_filter(observed, entry, dev, names, owners, left)
        elif role == "stranger":
            observed.strangers.add(dev)
            observed.foreign_prios.add((dev, entry.prio))
    observed.empty = {each for each in roots if (each.dev, each.prio) not in used}
    observed.strangers.update([names.get(("", index), "") for index in dump.egress])
    for dev, prio in sorted(tables):
        if (dev, prio) in links:
            observed.shared.append(Found(HashTable(dev, prio, "ip" if prio % 2 else "ipv6"), links[(dev, prio)]))
    return marked


def _is_root(entry: "FilterEntry") -> bool:
    """Whether a table is the one that the kernel makes for each prio of u32, at 800: or above (gen_new_htid in
    net/sched/cls_u32.c)."""
    return entry.kind == "u32" and entry.divisor == 1 and entry.handle >> 20 >= 0x800


def _role(entry: "FilterEntry") -> str:
    """What an entry of a device's filters is: a "mark", "table", "link" or "filter" of ours, the "root" table of one of
    our prios, a "stranger", or "" for what counts for nothing here."""
    ours = entry.classid >> 16 == CLASSID >> 16
    if entry.prio == MARK_PRIO and entry.protocol == MARK_PROTOCOL:
        return "mark" if ours else ""
    table = table_of(entry.prio) << 20 if entry.prio in PRIOS else -1
    if entry.divisor:
        if entry.handle == table:
            return "table"
        return "root" if table >= 0 and _is_root(entry) else ""
    if entry.link == table:
        return "link"
    if ours and entry.kind == "bpf":
        return "" if entry.prio == BPF_PRIO else "stranger"  # "": _programs sees to it
    return "filter" if ours and table >= 0 else "stranger"


def _our_filter(
    observed: "Observed",
    entry: "FilterEntry",
    dev: str,
    names: "dict[tuple[str, int], str]",
    owners: "Owners",
    left: "dict[int, str]",
) -> None:
    """`left` maps the classids of filters that leave packets to the pairs of services, once there was one."""
    if entry.classid != CLASSID and not left:
        left.update({left_classid(name): name for what, name in owners if what == "dev"})
    target = left.get(entry.classid, "") if entry.actions == () else ""
    actions: list[tuple] = [(LEAVE, target)] if target else []
    for action in entry.actions or ():
        if action[0] == "mirred":
            target = names.get(("", action[1]), "")
            action = ("mirred", target)
        actions.append(action)
    item = _filter(entry, dev, tuple(actions))
    own = owners.get(("dev", dev))
    if own is not None:  # one for replies
        observed._add(own, item, entry.handle)
        return
    service = owners.get(("dev", target))
    if service is None:
        observed.orphans.append(Found(item, entry.handle))
        return
    observed._add(service, item, entry.handle)
    before = observed.counters.get(service, NOTHING)
    observed.counters[service] = Counters(*[one + other for one, other in zip(before, entry.counters)])


def _filter(entry: "FilterEntry", dev: str, actions: "tuple[tuple, ...]") -> "Filter":
    bucket = -1
    if entry.kind == "u32" and entry.handle >> 20 == table_of(entry.prio):
        bucket = entry.handle >> 12 & 0xFF
    return Filter(
        dev=dev,
        prio=entry.prio,
        protocol=PROTOCOL_NAMES.get(entry.protocol, "ip"),
        kind=entry.kind,
        bucket=bucket,
        keys=entry.keys,
        actions=actions,
    )


def _programs(observed: "Observed", dump: "Dump", names: "dict[tuple[str, int], str]", owners: "Owners") -> None:
    texts = {entry.address: entry.address for entry in dump.addresses if entry.ns}  # to have each only once
    for link in dump.bpf_links:
        service = owners.get(("dev", link.pin))
        # Its device is gone, or has another name; or nobody knows whom it takes where, because its maps are not those
        # that are pinned.
        if names.get(("", link.index)) != link.pin or not (link.program or service):
            observed.orphans.append(Found(BpfLink(link.pin, link.hook, ""), 0))
            continue
        found = Found(BpfLink(link.pin, link.hook, link.program), 0)
        if service:
            observed._add(service, found.item)
        else:
            observed.shared.append(found)
    for entry in dump.bpf_entries:
        dev, target = names.get(("", entry.index), ""), names.get(("", entry.target), "")
        service = owners.get(("dev", target))
        # One that takes nothing any more is not as it was planned, so it is written anew.
        watched = 0 if entry.refused else entry.watched
        whose = target if service else ""
        item = to_match(
            dev, entry.vlan, entry.kind, entry.tuple, entry.mac, whose, watched, entry.checked, entry.leaves, texts
        )
        if service is None or not dev:
            observed.orphans.append(Found(item, entry.index))
        else:
            observed._add(service, item, entry.index)
            if entry.refused:
                observed.refused.add(service)
            if entry.takes_over:
                observed.taking_over[service] = entry.target
    for index, pair in dump.bpf_counters:
        service = owners.get(("dev", names.get(("", pair), "")))
        if service and ("", index) in names:
            before = observed.counters.get(service, NOTHING)
            new = dump.bpf_counters[(index, pair)]
            observed.counters[service] = Counters(*[one + other for one, other in zip(before, new)])


# Facts


def facts(
    dump: "Dump",
    features: "Features",
    interfaces: "dict[str, list[str]]",
    opened: "dict[str, Open | None] | None" = None,
    firewall: "dict[int, tuple[str, bool]] | None" = None,
    why: "dict[tuple[str, str], str] | None" = None,
    hosts: "dict[str, Host] | None" = None,
    held: "dict[str, list[tuple]] | None" = None,
    leases: "dict[str, Host] | None" = None,
) -> "Facts":
    """Facts from the same dump; `interfaces` maps logical interface names to lists of devices, `opened` services to
    what is known of their sockets better than from the dump, None for nothing; `firewall` and what follows as in
    Facts."""
    owners = _owners(dump)
    home = [link for link in dump.links if link.ns == ""]
    by_index = {link.index: link for link in home}
    routed = {(entry.index, 6 if ":" in entry.address else 4) for entry in dump.addresses if _has_clients(entry)}
    devices = [_device(link, by_index, routed) for link in home if ("dev", link.name) not in owners]
    taken = [link.name for link in home if link.name.startswith(DEV_PREFIX) and ("dev", link.name) not in owners]
    taken += [ns for ns in dump.namespaces if ("ns", ns) not in owners]
    taken += ["inet " + dev for dev in dump.guards if dump.guards[dev][0] is None]
    networks = []
    own = []
    subnets: dict[str, list[str]] = {}
    for entry in dump.addresses:
        dev = by_index[entry.index].name if entry.ns == "" and entry.index in by_index else ""
        service = owners.get(("dev", dev))
        if entry.ns != "" or _own_loopback(entry.address):
            continue
        if service:
            subnets.setdefault(service, []).append(entry.address)
            continue
        own.append(entry.address.split("/")[0])
        networks.append(
            (address.format_prefix(address.network(entry.address)), "address %s of %s" % (entry.address, dev))
        )
    for route in dump.routes:
        dev = by_index[route.oif].name if route.oif in by_index else ""
        if route.ns != "" or route.type != RTN_UNICAST or ("dev", dev) in owners or not _counts(route.dst):
            continue
        networks.append((route.dst, "route %s%s" % (route.dst, " dev " + dev if dev else "")))
    rp_filter = dump.sysctls.get(("", "net/ipv4/conf/all/rp_filter"), "0")
    forwarding = dump.sysctls.get(("", "net/ipv6/conf/all/forwarding"))
    return Facts(
        devices=sorted(devices),
        networks=sorted(set(networks)),
        addresses=sorted(set(own)),
        interfaces=interfaces,
        subnets=subnets,
        taken=sorted(taken),
        rp_filter=int(rp_filter),
        ipv6=forwarding is not None,
        ipv6_forwarding=forwarding == "1",
        features=features,
        opened=_opened(dump, owners, opened or {}),
        firewall=firewall or {},
        why=why or {},
        neighbours={},
        hosts=hosts or {},
        held=held or {},
        leases=leases or {},
    )


def _opened(dump: "Dump", owners: "Owners", known: "dict[str, Open | None]") -> "dict[str, Open]":
    """What is open in the services' namespaces. Where nothing is open no program runs yet, or it is about to."""
    found: dict[str, Open | None] = {
        owners[("ns", ns)]: Open(listeners=dump.listeners[ns], awake=None, mute={})
        for ns in dump.listeners
        if ("ns", ns) in owners and dump.listeners[ns]
    }
    found.update(known)
    return {name: there for name, there in found.items() if there is not None}


def _counts(dst: str) -> bool:
    """Default routes and what every IPv6 device has overlap with everything and mean nothing for the pool.

    A VPN often writes its default route in two halves or a few more pieces, so as not to replace the other one.
    """
    if dst == "default" or dst.startswith("fe80:") or dst.startswith("ff00:"):
        return False
    return int(dst.split("/")[1]) > DEFAULT_PIECE


def _has_clients(entry: "Addr") -> bool:
    """Whether an address of the router is one by which replies find clients: link-local ones are on every device."""
    return entry.ns == "" and not entry.address.startswith("fe80:")


def _device(link: "Link", by_index: "dict[int, Link]", routed: "set[tuple[int, int]]") -> "Device":
    master = by_index.get(link.master)
    bridged = master is not None and master.kind == "bridge"
    there = master if master and bridged else link
    bare = is_bare(link)
    return Device(
        name=link.name,
        up=link.up,
        mtu=link.mtu,
        mac=link.mac,
        ethernet=link.type == ARPHRD_ETHER,
        takes_mac=there.mac,
        bridged=master.name if master and bridged else "",
        families=tuple([family for family in (4, 6) if bare or not there.up or (there.index, family) in routed]),
        bare=bare,
    )
