"""What should be in the kernel: services and facts in, the records of `objects` out. A pure function.

A service that cannot be planned on this router is named with the reason and left out; the others are planned.
"""

from collections import namedtuple

from . import address, datapath
from .datapath import flower, u32
from .errors import CONFIG, FOREIGN, UNSUPPORTED, Problem
from .model import Match
from .objects import (
    ALIAS_PREFIX,
    HOST_SYSCTLS,
    INNER_DEV,
    NS_SYSCTLS,
    PRIO_EXACT,
    Address,
    HashTable,
    Namespace,
    Nat,
    NatRule,
    PktType,
    Qdisc,
    Route,
    Sysctl,
    Up,
    Veth,
    device_name,
    mac_of,
    name_hash,
    ns_name,
    prio_of,
)

# One service's part: its own objects, those it shares with others, and what was decided on the way.
ServicePlan = namedtuple("ServicePlan", ("service", "items", "shared", "datapath", "devices", "warnings"))

# `services` are ServicePlans in file order; `skipped` are names of services with a problem.
Plan = namedtuple("Plan", ("services", "skipped", "problems"))

DATAPATHS = {"flower": flower, "u32": u32}

# How far the search for a free subnet goes. A pool with fewer free ones is as good as full.
TRIES = 4096
SUBNET = {4: 30, 6: 126}  # prefix lengths: two ends and what the protocol keeps for itself


class Skip(Exception):
    """This service can't be planned: its argument is the Problem."""


def plan(services, settings, facts, package="viscum"):
    """A Plan for the enabled services among `services` (model.Service)."""
    enabled = [service for service in services if service.enabled] if settings.enabled else []
    subnets = Subnets(enabled, settings.pool, facts)
    claims = Claims()
    planned, skipped, problems, names = [], [], [], {}
    for service in enabled:
        try:
            other = names.setdefault(device_name(service.name), service.name)
            if other != service.name:
                raise _skip(
                    service,
                    package,
                    "",
                    "its device would be called %s, like that of '%s': choose another name"
                    % (device_name(service.name), other),
                )
            part = _service(service, settings, facts, subnets, package)
            claims.take(service, part.devices, package)
        except Skip as skip:
            problems.append(skip.args[0])
            skipped.append(service.name)
            continue
        problems.extend(part.warnings)
        planned.append(part)
    return Plan(planned, skipped, problems)


def _skip(service, package, option, text, kind=CONFIG):
    where = "%s.%s%s" % (package, service.name, "." + option if option else "")
    return Skip(Problem(kind, service.name, where, text))


def _service(service, settings, facts, subnets, package):
    for name in (device_name(service.name), ns_name(service.name)):
        if name in facts.taken:
            text = "%s is there already and not Viscum's: remove or rename it" % name
            raise _skip(service, package, "", text, FOREIGN)
    devices, warnings = _devices(service, facts, package)
    families = _families(service, facts, package)
    matches = [match for match in service.matches if match.family in families]
    which = _datapath(service, settings, facts, package)
    warnings += _forwarding(service, families, facts, package)
    mtu = service.mtu or min([device.mtu for device in devices])
    if 6 in families and mtu < 1280:
        raise _skip(service, package, "mtu", "%d is less than the 1280 bytes that IPv6 needs (RFC 8200)" % mtu)
    frames = _frames(service, devices, facts, package)
    ends = {family: subnets.of(service, family, package) for family in families}
    items = _frame(service, frames, mtu)
    items += _host_sysctls(service, matches, facts)
    for family in families:
        items += _answers(service, family, [match for match in matches if match.family == family], ends[family])
    if _nat_rules(service, matches):
        if not facts.features.nat:
            text = "needs nft redirect inside the namespace, which this kernel lacks: install kmod-nft-nat"
            raise _skip(service, package, "", text, UNSUPPORTED)
        items.append(Nat(ns_name(service.name), _nat_rules(service, matches)))
    shared = []
    for device in devices:
        shared.append(Qdisc(device.name))
        for match in matches:
            items += _filters(service, device, match, which, frames, shared)
    return ServicePlan(service, items, shared, which, [device.name for device in devices], warnings)


# Where packets come from


def _devices(service, facts, package):
    """The source devices, sorted, and a warning for each that is not there (yet)."""
    names, missing = set(), []
    for interface in service.interfaces:
        found = facts.interfaces.get(interface, [interface])
        there = [device.name for device in facts.devices if device.name in found]
        names.update(there)
        if not there:
            missing.append(("interface", interface))
    known = [device.name for device in facts.devices]
    for pattern in service.devices:
        there = [name for name in known if matches_glob(name, pattern)]
        names.update(there)
        if not there:
            missing.append(("device", pattern))
    devices = [device for device in facts.devices if device.name in names]
    wild = [pattern for pattern in service.devices if "*" in pattern or "?" in pattern]
    usable = []
    for device in devices:
        if device.ethernet:
            usable.append(device)
        elif not any(matches_glob(device.name, pattern) for pattern in wild):
            text = (
                "%s has no Ethernet header (PPPoE, WireGuard, modem): redirect on an Ethernet or Wi-Fi device instead"
            )
            raise _skip(service, package, "device", text % device.name, UNSUPPORTED)
    if not usable:
        option, name = missing[0] if missing else ("device", wild[0] if wild else "")
        raise _skip(service, package, option, "'%s' is not there; there are: %s" % (name, ", ".join(known)))
    warnings = []
    for option, name in missing:
        where = "%s.%s.%s" % (package, service.name, option)
        warnings.append(Problem(CONFIG, "", where, "'%s' is not there; the service goes on without it" % name))
    return usable, warnings


def matches_glob(name, pattern):
    """Whether a name matches a pattern with * and ? (no classes: a device name may hold brackets)."""
    if pattern == "":
        return name == ""
    if pattern[0] == "*":
        return any(matches_glob(name[start:], pattern[1:]) for start in range(len(name) + 1))
    return name != "" and pattern[0] in ("?", name[0]) and matches_glob(name[1:], pattern[1:])


def _families(service, facts, package):
    families = sorted({match.family for match in service.matches})
    if 6 in families and not facts.ipv6:
        families.remove(6)
        if not families:
            raise _skip(service, package, "dest_ip", "this kernel has no IPv6", UNSUPPORTED)
    return families


def _forwarding(service, families, facts, package):
    if 6 in families and not facts.ipv6_forwarding:
        text = "replies over IPv6 are dropped while net.ipv6.conf.all.forwarding is 0 on the router"
        return [Problem(CONFIG, "", "%s.%s" % (package, service.name), text)]
    return []


# How packets are taken


def _datapath(service, settings, facts, package):
    features = facts.features
    asked = service.datapath or settings.datapath
    if not features.mirred:
        text = "this kernel can't redirect (act_mirred): install kmod-sched-core"
        raise _skip(service, package, "datapath", text, UNSUPPORTED)
    if asked == "auto":
        asked = "flower" if features.flower else "u32"
    if not getattr(features, asked):
        kmod = {"flower": "kmod-sched-flower", "u32": "kmod-sched-core"}[asked]
        raise _skip(service, package, "datapath", "this kernel has no cls_%s: install %s" % (asked, kmod), UNSUPPORTED)
    return asked


# What is done to a frame: the actions before mirred, the MAC of the inner end, and whether the namespace takes any MAC.
Frames = namedtuple("Frames", ("actions", "inner_mac", "any_mac"))


def _frames(service, devices, facts, package):
    host, inner = mac_of(service.name, "host"), mac_of(service.name, "inner")
    features = facts.features
    rewrite = service.rewrite
    if rewrite == "auto":
        rewrite = "dst" if features.skbmod else "none"
    if rewrite != "none" and not features.skbmod:
        text = "'%s' needs act_skbmod: install kmod-sched, or leave the option at 'auto'" % rewrite
        raise _skip(service, package, "rewrite", text, UNSUPPORTED)
    if rewrite == "both" and not features.skbedit:
        raise _skip(service, package, "rewrite", "'both' needs act_skbedit: install kmod-sched-core", UNSUPPORTED)
    if rewrite == "dst":
        return Frames((("skbmod", inner, ""),), inner, False)
    if rewrite == "both":
        return Frames((("skbedit", "host"), ("skbmod", inner, host)), inner, False)
    macs = sorted({device.wears for device in devices if device.wears})
    # What crosses the port of a bridge may be addressed to a gateway behind it, whose MAC nobody here knows.
    if len(macs) == 1 and not any(device.bridged for device in devices):
        return Frames((), macs[0], False)
    if features.netdev:
        return Frames((), inner, True)
    if len(macs) == 1:
        return Frames((), macs[0], False)
    text = "the source devices have different MACs, which needs act_skbmod (kmod-sched) or an nft ingress hook (kmod-nft-netdev)"
    raise _skip(service, package, "device", text, UNSUPPORTED)


def _filters(service, device, match, which, frames, shared):
    level = datapath.level_of(match)
    mac = device.wears if datapath.needs_mac(match) else ""
    actions = frames.actions + (("mirred", device_name(service.name)),)
    found = []
    for part in datapath.spread(match):
        found += DATAPATHS[which].filters(device.name, part, level, mac, actions)
    if which == "u32" and level == PRIO_EXACT:
        prio = prio_of(level, match.family)
        table = HashTable(device.name, prio, "ip" if match.family == 4 else "ipv6")
        if table not in shared:
            shared.append(table)
    return found


# The namespace and how it answers


def _frame(service, frames, mtu):
    ns = ns_name(service.name)
    items = [Namespace(ns)]
    items.append(
        Veth(
            device_name(service.name),
            ns,
            INNER_DEV,
            mtu,
            mac_of(service.name, "host"),
            frames.inner_mac,
            ALIAS_PREFIX + service.name,
        )
    )
    items.append(Up(ns, "lo"))
    if frames.any_mac:
        items.append(PktType(ns, INNER_DEV))
    return items


def _host_sysctls(service, matches, facts):
    """The router's end: replies have a source that is routed elsewhere, and perhaps one of the router's own addresses."""
    ns = ns_name(service.name)
    items = [Sysctl(ns, key, value) for key, value in NS_SYSCTLS if facts.ipv6 or "ipv6" not in key]
    own = [address.parse_address(text) for text in facts.addresses if ":" not in text]
    local = any(
        match.family == 4
        and (match.dst is None or any(address.masked(a, match.dst.length) == match.dst.packed for a in own))
        for match in matches
    )
    # The larger of conf/all and conf/DEV counts: where all is strict (1), loose (2) is the way out; it needs only some
    # route.
    values = ("2" if facts.rp_filter == 1 else "0", "1", "1" if local else "0")
    dev = device_name(service.name)
    return items + [Sysctl("", key % dev, value) for key, value in zip(HOST_SYSCTLS, values)]


def _answers(service, family, matches, ends):
    """Addresses and routes for one family. Without NAT, the taken-over addresses are local in the namespace.

    UDP answers from the address that its route prefers, so a service with UDP gets the one taken-over address as
    preferred source. TCP answers from the right one by itself, and its own connections keep a source that the router
    can masquerade.
    """
    ns, dev = ns_name(service.name), device_name(service.name)
    host, inner = ends
    length = SUBNET[family]
    items = [Address("", dev, "%s/%d" % (host, length)), Address(ns, INNER_DEV, "%s/%d" % (inner, length))]
    source = ""
    if not _needs_nat(matches):
        local = sorted({match.dst.packed for match in matches})
        items += [Address(ns, "lo", "%s/%d" % (address.format_address(packed), 8 * len(packed))) for packed in local]
        if any(match.proto != "tcp" for match in matches):
            source = address.format_address(local[0])
    items.append(Route(ns, family, "default", host, INNER_DEV, source))
    return items


def _needs_nat(matches):
    """Whether the matches (of one family) are more than one address, or one and TCP only, can stand for."""
    addresses = {match.dst for match in matches}
    if any(match.dst is None or match.dst.length != address.bits(match.family) or match.to_port for match in matches):
        return True
    return len(addresses) > 1 and any(match.proto != "tcp" for match in matches)


def _nat_rules(service, matches):
    """The redirect rules inside the namespace, the narrower first."""
    rules = set()
    for family in (4, 6):
        of_family = [match for match in matches if match.family == family]
        if not of_family or not _needs_nat(of_family):
            continue
        for match in of_family:
            daddr = address.format_prefix(match.dst) if match.dst else ("0.0.0.0/0" if family == 4 else "::/0")
            rules.add(NatRule(daddr, match.proto, match.dport, match.to_port))
    return tuple(sorted(rules, key=_rule_order))


def _rule_order(rule):
    length = int(rule.daddr.split("/")[1])
    width = rule.dport[1] - rule.dport[0] if rule.dport else 65536
    return (-length, width, rule.daddr, rule.proto, rule.dport or (0, 0), rule.to_port)


# Who gets which subnet


class Subnets:
    """A point-to-point subnet for each service: the one it has, else the first free one from a place that its name gives."""

    def __init__(self, services, pool, facts):
        self._pools = {}
        for prefix in pool:
            self._pools.setdefault(prefix.family, []).append(prefix)
        self._networks = [(address.parse_prefix(text), owner) for text, owner in facts.networks]
        self._given = {}
        self._used = set()
        for service in services:
            for text in facts.subnets.get(service.name, []):
                subnet = address.network(text)
                if self._usable(subnet) and (service.name, subnet.family) not in self._given:
                    self._given[(service.name, subnet.family)] = subnet
                    self._used.add(subnet)

    def _usable(self, subnet):
        if subnet.length != SUBNET[subnet.family] or subnet in self._used or self._in_the_way(subnet):
            return False
        return any(address.contains(pool, subnet) for pool in self._pools.get(subnet.family, []))

    def _in_the_way(self, subnet):
        for network, owner in self._networks:
            if address.overlaps(network, subnet):
                return owner
        return ""

    def of(self, service, family, package):
        """(address of the router's end, address of the inner end) as text; raises Skip."""
        key = (service.name, family)
        if key not in self._given:
            self._given[key] = self._find(service, family, package)
            self._used.add(self._given[key])
        subnet = self._given[key]
        return tuple([address.format_address(address.add(subnet.packed, offset)) for offset in (1, 2)])

    def _find(self, service, family, package):
        reasons = []
        for pool in self._pools.get(family, []):
            owner = next(iter([owner for network, owner in self._networks if address.contains(network, pool)]), "")
            if owner:
                reasons.append("%s overlaps the router's %s" % (address.format_prefix(pool), owner))
                continue
            count = 1 << (SUBNET[family] - pool.length)
            place = name_hash(service.name) % count
            for step in range(min(count, TRIES)):
                packed = address.add(pool.packed, (place + step) % count * 4)
                subnet = address.Prefix(family, packed, SUBNET[family])
                if self._usable(subnet):
                    return subnet
            reasons.append("%s has no free subnet" % address.format_prefix(pool))
        if not reasons:
            reasons.append("it has no IPv%d prefix" % family)
        where = "%s.globals.pool" % package
        text = "no subnet for service '%s': %s; choose another private prefix" % (service.name, "; ".join(reasons))
        raise Skip(Problem(CONFIG, service.name, where, text))


# Who takes which traffic


class Claims:
    """Two services may not take the same packets of a device, unless one match is narrower by its prio (datapath.level_of)."""

    def __init__(self):
        self._claims = {}

    def take(self, service, devices, package):
        """Claims all matches of a service; raises Skip, claiming nothing, when an earlier service has one of them."""
        wanted = [(dev, match) for dev in devices for match in service.matches]
        for dev, match in wanted:
            for other, name in self._claims.get(self._key(dev, match), []):
                if name != service.name and _overlap(match, other):
                    text = "takes the same traffic on %s as service '%s': %s" % (dev, name, match_text(other))
                    raise _skip(service, package, "dest_ip" if match.dst else "dest_port", text)
        for dev, match in wanted:
            self._claims.setdefault(self._key(dev, match), []).append((match, service.name))

    def _key(self, dev, match):
        level = datapath.level_of(match)
        return (dev, match.family, level, (match.dst.packed, match.dport) if level == PRIO_EXACT else "")


def _overlap(one, other):
    if one.proto and other.proto and one.proto != other.proto:
        return False
    if one.dport and other.dport and (one.dport[1] < other.dport[0] or other.dport[1] < one.dport[0]):
        return False
    return _prefixes_overlap(one.dst, other.dst) and _prefixes_overlap(one.src, other.src)


def _prefixes_overlap(one, other):
    return one is None or other is None or address.overlaps(one, other)


def match_text(match):
    """A match in a few words: `tcp 203.0.113.10/32 port 5201`."""
    words = [
        match.proto or "any protocol",
        address.format_prefix(match.dst) if match.dst else "any IPv%d address" % match.family,
    ]
    if match.dport:
        low, high = match.dport
        words.append("port %d" % low if low == high else "ports %d-%d" % (low, high))
    if match.src:
        words.append("from " + address.format_prefix(match.src))
    return " ".join(words)


__all__ = ["Match", "Plan", "ServicePlan", "match_text", "matches_glob", "plan"]
