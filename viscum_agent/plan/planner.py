"""What should be in the kernel: services and facts in, the records of `objects` out. A pure function.

A service that cannot be planned on this router is named with the reason and left out; the others are planned.
"""

from collections import namedtuple

from .. import address
from ..config.schema import is_device, printable, shown
from ..errors import CONFIG, FOREIGN, UNSUPPORTED, Problem
from ..records.objects import (
    ALIAS_PREFIX,
    HOST_SYSCTLS,
    INNER_DEV,
    NS_SYSCTLS,
    PRIO_EXACT,
    Address,
    Namespace,
    Nat,
    PktType,
    Route,
    Sysctl,
    Up,
    Veth,
    device_name,
    mac_of,
    name_hash,
    ns_name,
)
from . import answers, datapath
from .skip import Skip, skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from ..config.service import Match, Service, Settings
    from ..records.facts import Device, Facts
    from .answers import Answer
    from .datapath.classifier import MacPolicy

# One service's part: its own objects, those it shares with others, and what was decided on the way. `answers` are the
# answers.Answer of all that it could take; `takes` the matches, or parts of them, that it takes, and `stays` pairs of
# what stays with the cloud, in words: traffic, reason. `gate` is how a check comes in (Gate).
ServicePlan = namedtuple(
    "ServicePlan",
    ("service", "items", "shared", "datapath", "devices", "warnings", "answers", "takes", "stays", "gate"),
)

# How a client's packets reach the namespace, for a check that goes the same way: by `dev`, the router's end of the
# pair, in frames for `mac`; `own` maps a family to the namespace's own address (bytes).
Gate = namedtuple("Gate", ("dev", "mac", "own"))

# `services` are ServicePlans in file order; `skipped` are names of services with a problem.
Plan = namedtuple("Plan", ("services", "skipped", "problems"))

# How far the search for a free subnet goes. A pool with fewer free ones is as good as full.
TRIES = 4096
SUBNET = {4: 30, 6: 126}  # prefix lengths: two ends and what the protocol keeps for itself


def plan(services: "Iterable[Service]", settings: "Settings", facts: "Facts", package: str = "viscum") -> "Plan":
    """A Plan for the enabled services among `services` (model.Service)."""
    enabled = [service for service in services if service.enabled] if settings.enabled else []
    subnets = Subnets(enabled, settings.pool, facts)
    claims = Claims()
    planned, skipped, problems = [], [], []
    for service in enabled:
        try:
            claims.take_name(service, package)
            part = _service(service, settings, facts, subnets, package)
            claims.take(part, package)
        except Skip as skip:
            problems.append(skip.args[0])
            skipped.append(service.name)
            continue
        problems.extend(part.warnings)
        planned.append(part)
    return Plan(planned, skipped, problems)


def _service(
    service: "Service", settings: "Settings", facts: "Facts", subnets: "Subnets", package: str
) -> "ServicePlan":
    for what, name in (("device", device_name(service.name)), ("network namespace", ns_name(service.name))):
        if name in facts.taken:
            text = "needs the name of the %s %s, which is not Viscum's: remove or rename it, or rename the section"
            raise skip(service, package, "", text % (what, name), FOREIGN)
    devices, warnings = _devices(service, facts, package)
    which = _datapath(service, settings, facts, package)
    families, lost = _families(service, devices, which, facts, package)
    matches = [match for match in service.matches if match.family in families]
    warnings += _family_warnings(service, families, lost, devices, package)
    mtu = _mtu(service, families, devices, package)
    macs = which.mac_policy(service, devices, facts.features, package)
    ends = {family: subnets.of(service, family, package) for family in families}
    items = _base(service, macs, mtu)
    items += _host_sysctls(service, matches, facts)
    for family in families:
        items += _answers(service, family, [match for match in matches if match.family == family], ends[family])
    rules = answers.nat_rules(matches)
    if rules:
        if not facts.features.nat:
            text = "needs nft redirect inside the namespace, which this kernel lacks: install kmod-nft-nat"
            raise skip(service, package, "", text, UNSUPPORTED)
        items.append(Nat(ns_name(service.name), rules))
    if service.reply == "auto":
        items += which.reply(device_name(service.name), facts.features)
    gate = Gate(
        dev=device_name(service.name),
        mac=macs.inner_mac,
        own={family: address.parse_address(ends[family][1]) for family in families},
    )
    found = answers.answers(matches, gate.own)
    parts, stays = _what_it_takes(service, found, facts)
    stays += [(match_text(match), lost[match.family][1]) for match in service.matches if match.family in lost]
    shared: list = []
    for device in devices:
        here = [(match, part) for match, part in parts if match.family in device.families]
        made = _filters(service, device, here, which, macs)
        items += made
        shared += which.shared(device.name, made, facts.features)
    return ServicePlan(
        service=service,
        items=items,
        shared=shared,
        datapath=which.NAME,
        devices=[device.name for device in devices],
        warnings=warnings,
        answers=found,
        takes=[part for _, part in parts],
        stays=stays,
        gate=gate,
    )


def _what_it_takes(
    service: "Service", found: "list[Answer]", facts: "Facts"
) -> "tuple[list[tuple[Match, Match]], list[tuple[str, str]]]":
    """([(match, part)], [(traffic, reason)]): what is taken, and what stays with the cloud."""
    there = facts.opened.get(service.name)
    kind = service.health.kind
    whole = kind == "none" or (kind == "exec" and service.dynamic_ports)
    parts = answers.taken(found, there, whole, service.dynamic_ports)
    return parts, [(match_text(match), reason) for match, reason in answers.stays(found, there, parts)]


# Where packets come from


def _devices(service: "Service", facts: "Facts", package: str) -> "tuple[list[Device], list[Problem]]":
    """The source devices, sorted, and a warning for each that is not there (yet)."""
    known = {device.name: device for device in facts.devices if is_device(device.name)}
    found, missing = set(), []
    for option, value, names in named(service, known, facts):
        there = [known[name] for name in sorted(names) if name in known]
        usable = [device.name for device in there if device.ethernet]
        found.update(usable)
        if not there:
            missing.append((option, _missing(option, value, names, known, facts)))
        elif len(usable) < len(there) and not (usable and _is_pattern(value)):
            text = "%s has no Ethernet header (PPPoE, WireGuard, modem): take an Ethernet or Wi-Fi device"
            bare = [device.name for device in there if not device.ethernet]
            name = bare[0] if bare[0] == value else "%s: %s" % (shown(value), bare[0])
            raise skip(service, package, option, text % name, UNSUPPORTED)
    if not found:
        raise skip(service, package, missing[0][0], missing[0][1])
    warnings = []
    for option, text in missing:
        where = "%s.%s.%s" % (package, service.name, option)
        warnings.append(Problem(CONFIG, "", where, text + "; the service goes on without it"))
    return [known[name] for name in sorted(found)], warnings


def named(service: "Service", known: "dict[str, Device]", facts: "Facts") -> "list[tuple[str, str, list[str]]]":
    """(option, value, names of devices) for each value that names source devices."""
    found = [("interface", value, facts.interfaces.get(value, [value])) for value in service.interfaces]
    for value in service.devices:
        names = [name for name in known if matches_glob(name, value)]
        found.append(("device", value, names if _is_pattern(value) else [value]))
    return found


def _missing(option: str, value: str, names: "list[str]", known: "dict[str, Device]", facts: "Facts") -> str:
    why = facts.why.get((option, value)) or facts.why.get(("device", value))
    if why:
        return "%s %s" % (shown(value), printable(why))
    if option == "interface" and value in facts.interfaces and not names:
        return "%s has no device now" % shown(value)
    if option == "interface" and value in facts.interfaces:
        reasons = ["%s %s" % (shown(name), facts.why.get(("device", name), "is not there")) for name in names]
        return "%s has no device now: %s" % (shown(value), printable("; ".join(reasons)))
    there = sorted((facts.interfaces if option == "interface" else None) or known)
    text = "%s is not there; there are: %s" % (shown(value), ", ".join(there) or "none")
    unknown = facts.why.get(("interface", "")) if option == "interface" else ""
    return text + ("; interfaces are not known: %s" % printable(unknown) if unknown else "")


def _is_pattern(text: str) -> bool:
    return "*" in text or "?" in text


def matches_glob(name: str, pattern: str) -> bool:
    """Whether a name matches a pattern with * and ? (no classes: a device name may hold brackets)."""
    places = {0}  # how much of the name the pattern so far can have matched
    for c in pattern:
        if c == "*":
            places = set(range(min(places), len(name) + 1))
        else:
            places = {place + 1 for place in places if place < len(name) and c in ("?", name[place])}
        if not places:
            return False
    return len(name) in places


def _mtu(service: "Service", families: "list[int]", devices: "list[Device]", package: str) -> int:
    """The MTU of the pair."""
    least, name = min([(device.mtu, device.name) for device in devices])
    mtu = service.mtu or least
    if 6 in families and mtu < 1280:
        whose = "'%d'" % mtu if service.mtu else "the MTU of %s (%d)" % (name, mtu)
        text = "%s is less than the 1280 bytes that IPv6 needs (RFC 8200); with option family ipv4 it would do"
        raise skip(service, package, "mtu", text % whose)
    return mtu


def _families(
    service: "Service", devices: "list[Device]", which: "Any", facts: "Facts", package: str
) -> "tuple[list[int], dict[int, tuple[str, str]]]":
    """(families that can be served, {family that can't be: (kind of error, why)}). Raises Skip when none can."""
    wanted = sorted({match.family for match in service.matches})
    routed = which.ROUTED or service.reply == "routed" or all(device.bridged for device in devices)
    reasons = [(family, _why_lost(family, devices, routed, facts)) for family in wanted]
    lost = {family: why for family, why in reasons if why}
    if len(lost) == len(wanted):
        raise skip(service, package, "", lost[wanted[0]][1], lost[wanted[0]][0])
    return [family for family in wanted if family not in lost], lost


def _why_lost(family: int, devices: "list[Device]", routed: bool, facts: "Facts") -> "tuple[str, str] | None":
    """(kind of error, why clients of a family would get no reply), None where they do."""
    if family == 6 and not facts.ipv6:
        return UNSUPPORTED, "IPv6 stays with the cloud: this kernel has none"
    if family == 6 and not facts.ipv6_forwarding:
        text = "IPv6 stays with the cloud, because the router does not forward the replies: "
        return UNSUPPORTED, text + "set net.ipv6.conf.all.forwarding to 1"
    why, only_routed = facts.firewall.get(family, ("", True))
    if why and (routed or not only_routed):
        return UNSUPPORTED, "IPv%d stays with the cloud, because %s" % (family, why)
    deaf = _deaf(family, devices)
    return (CONFIG, _no_way_back(family, deaf)) if len(deaf) == len(devices) else None


def _family_warnings(
    service: "Service", families: "list[int]", lost: "dict[int, tuple[str, str]]", devices: "list[Device]", package: str
) -> "list[Problem]":
    """What of the families that somebody has named is not served. Any address means: whatever there is."""
    named_ones = {match.family for match in service.matches if match.dst or match.src}
    said = [(family, lost[family]) for family in sorted(lost)]
    for family in families:
        deaf = _deaf(family, devices)
        said += [(family, (CONFIG, _no_way_back(family, deaf)))] if deaf else []
    where = "%s.%s" % (package, service.name)
    return [Problem(kind, "", where, text) for family, (kind, text) in said if family in named_ones]


def _deaf(family: int, devices: "list[Device]") -> "list[str]":
    return [device.name for device in devices if family not in device.families]


def _no_way_back(family: int, names: "list[str]") -> str:
    text = "IPv%d of clients at %s stays with the cloud, because replies have no way back: give the interface an IPv%d"
    return (text + " address in their network") % (family, ", ".join(names), family)


# How packets are taken


def _datapath(service: "Service", settings: "Settings", facts: "Facts", package: str) -> "Any":
    which = datapath.chosen(service.datapath or settings.datapath, facts.features)
    why = which.lacks(facts.features)
    if why:
        raise skip(service, package, "datapath", why, UNSUPPORTED)
    return which


def _filters(
    service: "Service", device: "Device", parts: "list[tuple[Match, Match]]", which: "Any", macs: "MacPolicy"
) -> list:
    """The filters of a device, each once: ranges of ports that overlap have parts in common. A part of a match has the
    prio of the whole, so that a narrower match of another service goes before it."""
    actions = macs.actions + (("mirred", device_name(service.name)),)
    found, seen = [], set()
    for whole, match in parts:
        level = datapath.level_of(whole)
        mac = device.wears if datapath.needs_mac(match) else ""
        for part in datapath.spread(match):
            for item in which.filters(device.name, part, level, mac, actions):
                if item not in seen:
                    seen.add(item)
                    found.append(item)
    return found


# The namespace and how it answers


def _base(service: "Service", macs: "MacPolicy", mtu: int) -> list:
    ns = ns_name(service.name)
    items: list = [Namespace(ns)]
    items.append(
        Veth(
            device_name(service.name),
            ns,
            INNER_DEV,
            mtu,
            mac_of(service.name, "host"),
            macs.inner_mac,
            ALIAS_PREFIX + service.name,
        )
    )
    items.append(Up(ns, "lo"))
    if macs.any_mac:
        items.append(PktType(ns, INNER_DEV))
    return items


def _host_sysctls(service: "Service", matches: "list[Match]", facts: "Facts") -> list:
    """The router's end: replies have a source that is routed elsewhere, or one of the router's own addresses."""
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


def _answers(service: "Service", family: int, matches: "list[Match]", ends: "tuple[str, str]") -> list:
    """Addresses and routes for one family. Without NAT, the taken-over addresses are local in the namespace.

    UDP answers from the address that its route prefers, so a service with UDP gets the one taken-over address as
    preferred source. TCP answers from the right one by itself, and its own connections keep a source that the router
    can masquerade.
    """
    ns, dev = ns_name(service.name), device_name(service.name)
    host, inner = ends
    length = SUBNET[family]
    items: list = [Address("", dev, "%s/%d" % (host, length)), Address(ns, INNER_DEV, "%s/%d" % (inner, length))]
    source = ""
    if not answers.needs_nat(matches):
        local = sorted({match.dst.packed for match in matches})
        items += [Address(ns, "lo", "%s/%d" % (address.format_address(packed), 8 * len(packed))) for packed in local]
        if any(match.proto != "tcp" for match in matches):
            source = address.format_address(local[0])
    items.append(Route(ns, family, "default", host, INNER_DEV, source))
    return items


# Who gets which subnet


class Subnets:
    """A point-to-point subnet for each service: the one it has, else the first free one from where its name says."""

    def __init__(self, services: "list[Service]", pool: "Iterable[address.Prefix]", facts: "Facts") -> None:
        self._pools: dict[int, list[address.Prefix]] = {}
        for prefix in pool:
            self._pools.setdefault(prefix.family, []).append(prefix)
        self._networks = [(address.parse_prefix(text), owner) for text, owner in facts.networks]
        self._given: dict[tuple, address.Prefix] = {}
        self._used = set()
        for service in services:
            for text in facts.subnets.get(service.name, []):
                subnet = address.network(text)
                if self._usable(subnet) and (service.name, subnet.family) not in self._given:
                    self._given[(service.name, subnet.family)] = subnet
                    self._used.add(subnet)

    def _usable(self, subnet: "address.Prefix") -> bool:
        if subnet.length != SUBNET[subnet.family] or subnet in self._used or self._in_the_way(subnet) is not None:
            return False
        return any(address.contains(pool, subnet) for pool in self._pools.get(subnet.family, []))

    def _in_the_way(self, subnet: "address.Prefix") -> "address.Prefix | None":
        """The widest network of the router that overlaps a subnet, or None."""
        found = [network for network, _ in self._networks if address.overlaps(network, subnet)]
        return min(found, key=lambda network: network.length) if found else None

    def of(self, service: "Service", family: int, package: str) -> "tuple[str, str]":
        """(address of the router's end, address of the inner end) as text; raises Skip."""
        key = (service.name, family)
        if key not in self._given:
            self._given[key] = self._find(service, family, package)
            self._used.add(self._given[key])
        subnet = self._given[key]
        host, inner = [address.format_address(address.add(subnet.packed, offset)) for offset in (1, 2)]
        return host, inner

    def _find(self, service: "Service", family: int, package: str) -> "address.Prefix":
        reasons = []
        for pool in self._pools.get(family, []):
            owner = next(iter([owner for network, owner in self._networks if address.contains(network, pool)]), "")
            subnet = None if owner else self._first_free(pool, name_hash(service.name))
            if subnet:
                return subnet
            reason = "overlaps the router's %s" % printable(owner) if owner else "has no free subnet"
            reasons.append("%s %s" % (address.format_prefix(pool), reason))
        where = "%s.globals.pool" % package
        text = "no subnet for service '%s': %s; add another private prefix"
        reason = "; ".join(reasons) or "there is no IPv%d prefix" % family
        raise Skip(Problem(CONFIG, service.name, where, text % (service.name, reason)))

    def _first_free(self, pool: "address.Prefix", start: int) -> "address.Prefix | None":
        """The first free subnet of a pool from a place on, and round; None when there is none (within TRIES)."""
        length = SUBNET[pool.family]
        count = 1 << (length - pool.length)
        place, gone = start % count, 0
        for _ in range(TRIES):
            if gone >= count:
                return None
            subnet = address.Prefix(pool.family, address.add(pool.packed, place * 4), length)
            if self._usable(subnet):
                return subnet
            network = self._in_the_way(subnet)
            size = 1 << max(0, length - network.length) if network else 1  # of what is in the way, in subnets
            step = min(size - place % size, count - place)
            place, gone = (place + step) % count, gone + step
        return None


# Who takes which traffic


class Claims:
    """What each service has for itself: its device's name, its traffic, and a datapath for each device.

    Two services may not take the same packets of a device, unless one match is narrower by its prio
    (datapath.level_of). The kernel keeps filters of one kind only in a prio, so all services of a device have one
    datapath.
    """

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._traffic: dict[tuple, list[tuple[Match, str]]] = {}
        self._datapaths: dict[str, tuple[str, str]] = {}

    def take_name(self, service: "Service", package: str) -> None:
        """Claims the name of the service's device; raises Skip when a longer name was shortened to the same."""
        name = device_name(service.name)
        other = self._names.setdefault(name, service.name)
        if other != service.name:
            text = "its device would be called %s, like that of '%s': rename the section" % (name, other)
            raise skip(service, package, "", text)

    def take(self, part: "ServicePlan", package: str) -> None:
        """Claims all of a ServicePlan; raises Skip, claiming nothing, when an earlier service has a part of it."""
        service = part.service
        for dev in part.devices:
            which, name = self._datapaths.get(dev, (part.datapath, ""))
            if which != part.datapath:
                text = "'%s' can't be on %s beside '%s' of service '%s': a device has one datapath"
                raise skip(service, package, "datapath", text % (part.datapath, dev, which, name))
        wanted = [(dev, match) for dev in part.devices for match in service.matches]
        for dev, match in wanted:
            for other, name in self._traffic.get(self._key(dev, match), []):
                if name != service.name and _overlap(match, other):
                    text = "takes the same traffic on %s as service '%s': %s" % (dev, name, match_text(other))
                    raise skip(service, package, "dest_ip" if match.dst else "dest_port", text)
        for dev, match in wanted:
            self._traffic.setdefault(self._key(dev, match), []).append((match, service.name))
        for dev in part.devices:
            self._datapaths[dev] = (part.datapath, service.name)

    def _key(self, dev: str, match: "Match") -> tuple:
        level = datapath.level_of(match)
        return (dev, match.family, level, (match.dst.packed, match.dport) if level == PRIO_EXACT else "")


def _overlap(one: "Match", other: "Match") -> bool:
    if one.proto and other.proto and one.proto != other.proto:
        return False
    if one.dport and other.dport and (one.dport[1] < other.dport[0] or other.dport[1] < one.dport[0]):
        return False
    return address.meet(one.dst, other.dst) and address.meet(one.src, other.src)


def match_text(match: "Match") -> str:
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
