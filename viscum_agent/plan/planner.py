"""What should be in the kernel: services and facts in, the records of `objects` out. A pure function.

A service that can't be planned on this router is reported with the reason and left out; the others are planned.
"""

from collections import namedtuple

from .. import address, optional
from ..errors import CONFIG, FOREIGN, UNSUPPORTED, Problem, UnsupportedError
from ..records.objects import (
    ALIAS_PREFIX,
    HOST_SYSCTLS,
    INNER_DEV,
    LEAVE,
    NETKIT,
    NS_SYSCTLS,
    VETH,
    Address,
    AnyLocal,
    Mute,
    Namespace,
    Nat,
    Pair,
    PktType,
    Route,
    Sysctl,
    Tbf,
    Up,
    device_name,
    mac_of,
    ns_name,
)
from . import answers, checks, clients, datapath, direct, groups, hosts
from .claims import Claims, match_text
from .egress import Around, guard
from .skip import Skip, skip
from .sources import answered, devices_of, families_of, family_warnings, mtu_of
from .subnets import SUBNET, Subnets

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from ..config.service import Match, Service, Settings
    from ..records.facts import Device, Facts
    from ..records.objects import Guard
    from .actual import Found
    from .answers import Answers
    from .datapath.classifier import MacPolicy

# One service's part: its own objects, those it shares with others, and what was decided on the way. `answers`: the
# answers.Answer of all that it could take over; `takes`: the matches, or parts of them, that it takes over; `stays`:
# pairs of what stays with the cloud, in words: traffic, reason. `gate` is how a check comes in (Gate).
ServicePlan = namedtuple(
    "ServicePlan",
    ("service", "items", "shared", "datapath", "devices", "warnings", "answers", "takes", "stays", "gate"),
)

# How a client's packets reach the namespace, for a check that takes the same way: through `dev`, the router's end of
# the pair, in frames for `mac`; `own` maps a family to the namespace's own address (bytes).
Gate = namedtuple("Gate", ("dev", "mac", "own"))

# Between what (bytes) a burst is that is not set. TCP sends up to 64 KiB at once, and what is larger than a burst is
# cut into packets first, which takes time.
BURST = (16 << 10, 2 << 20)
NO_TAGS = (
    "datapath '%s' takes no frames with a tag: set option datapath 'bpf', or take the option out and name the VLAN's "
    "own device (br-lan.%d)"
)
ETHERNET = 14  # bytes of a frame's header

# `services` are ServicePlans in file order; `skipped` are names of services with a problem.
Plan = namedtuple("Plan", ("services", "skipped", "problems"))


def _nothing(_: str) -> "tuple[None, Sequence[Found]]":
    return None, ()


def plan(
    services: "Iterable[Service]",
    settings: "Settings",
    facts: "Facts",
    package: str = "viscum",
    there: "Callable[[str], tuple[ServicePlan | None, Sequence[Found]]]" = _nothing,
) -> "Plan":
    """A Plan for the enabled services among `services` (service.Service). `there` says what there is of a service
    already, to be shared (byname.shared): (its last plan, what of it was found in the kernel)."""
    enabled = [service for service in services if service.enabled] if settings.enabled else []
    subnets = Subnets(enabled, settings.pool, facts)
    claims = Claims()
    around = Around(settings.pool, facts)
    planned, skipped, problems = {}, [], []
    # Whoever owns a name says what its addresses are: so what others have written down goes first. And the router's
    # owner goes before tenants.
    for service in _in_order(_in_order(enabled, "named"), "tenant"):
        try:
            claims.take_name(service, package)
            before, found = there(service.name) if service.named else (None, ())
            part = _service(service, settings, facts, subnets, around, claims, package, before)
            if service.named:
                part = _loaded("plan.byname", service, package, "dest_host").shared(part, before, found)
            claims.take(part, package)
        except Skip as error:
            problems.append(error.args[0])
            skipped.append(service.name)
            continue
        problems.extend(part.warnings)
        planned[service.name] = part
    return Plan([planned[each.name] for each in enabled if each.name in planned], skipped, problems)


def _in_order(services: "list[Service]", last: str) -> "list[Service]":
    """Those that have something in a field behind the others."""
    return [each for each in services if not getattr(each, last)] + [each for each in services if getattr(each, last)]


def _service(
    service: "Service",
    settings: "Settings",
    facts: "Facts",
    subnets: "Subnets",
    around: "Around",
    claims: "Claims",
    package: str,
    before: "ServicePlan | None" = None,
) -> "ServicePlan":
    dev = device_name(service.name)
    for what, name in (("device", dev), ("network namespace", ns_name(service.name)), ("nft table", "inet " + dev)):
        if name in facts.taken:
            text = "needs the name of the %s %s, which is not Viscum's: remove or rename it, or rename the section"
            raise skip(service, package, "", text % (what, name), FOREIGN)
    which = _datapath(service, settings, facts, package)
    service, away = _with_hosts(service, facts, package)
    service = clients.of_clients(service, package)
    devices, warnings = devices_of(service, facts, which, package)
    warnings += away
    clients.need_macs(service, devices, package)
    past = datapath.is_direct(service, which)
    service, without = _with_names(service, package, devices, past, facts, claims, warnings, before)
    service, excluded = clients.apart(service, package)
    families, lost = families_of(service, devices, which, facts, package)
    matches = [match for match in service.matches if match.family in families]
    warnings += family_warnings(service, families, lost, devices, package)
    mtu = mtu_of(service, families, devices, package)
    macs = which.mac_policy(service, devices, facts.features, package)
    ends = {family: subnets.of(service, family, package) for family in families}
    pair = NETKIT if facts.features.netkit and datapath.gains_by_netkit(service, settings, which) else VETH
    items = _base(service, pair, macs, mtu)
    own = {family: ends[family][1] for family in families}
    items.append(_guard(guard(service, matches, own, around), service, facts, package))
    items += _limits(service, mtu, facts, package)
    named = {each.family for each in hosts.templates(service)}
    warnings += _egress_warnings(service, matches, named, package)
    items += _host_sysctls(service, matches, facts)
    for family in families:
        of_family = [match for match in matches if match.family == family]
        items += _answers(service, family, of_family, ends[family], past, named)
    rules = answers.nat_rules(matches, past, named)
    if rules:
        if not facts.features.nat:
            text = "needs nft redirect inside the namespace, which this kernel lacks: install kmod-nft-nat"
            raise skip(service, package, "", text, UNSUPPORTED)
        items.append(Nat(ns_name(service.name), rules))
    # Whoever has a VLAN is asked for no route (ebpf/program.py).
    if (which.DECEIVED or service.vlan) and facts.features.guard:
        ports = answers.own_ports(matches)
        items += [Mute(ns_name(service.name), ports)] if ports else []
    if service.reply != "routed":
        items += which.reply(device_name(service.name), pair, facts.features, service.vlan or 0)
    if past:
        items += direct.items(service, matches, own, which, devices, facts, package)
    gate = Gate(
        dev=device_name(service.name),
        mac=macs.inner_mac,
        own={family: address.parse_address(own[family]) for family in families},
    )
    found = answers.answers(matches, gate.own, past, named)
    parts, stays = _what_it_takes(service, found, facts)
    stays += [(match_text(match), lost[match.family][1]) for match in service.matches if match.family in lost]
    stays += without + [(match_text(match), clients.EXCLUDED) for match in excluded]
    shared: list = []
    for device in devices:
        here = [(match, part) for match, part in parts if match.family in answered(service, device)]
        made = _filters(service, device, here, which, macs)
        items += made
        shared += which.shared(device, made, facts.features)
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


def _with_names(
    service: "Service", package: str, devices: "list[Device]", past: bool, facts: "Facts", *rest: "Any"
) -> "tuple[Service, list[tuple[str, str]]]":
    """As byname.with_names, and within a tenant's bounds, neither of which every router has. Raises Skip."""
    stays: list[tuple[str, str]] = []
    if service.named:
        byname = _loaded("plan.byname", service, package, "dest_host")
        service, stays = byname.with_names(service, package, devices, past, facts, *rest)
    if service.tenant:
        tenanted = _loaded("plan.tenanted", service, package, "tenant")
        service = tenanted.bounded(service, package, devices, facts, rest[0])
    return service, stays


def _with_hosts(service: "Service", facts: "Facts", package: str) -> "tuple[Service, list[Problem]]":
    """As leased.known."""
    if not groups.wanted((service,)):
        return service, []
    leased = _loaded("plan.leased", service, package, "client" if service.client_hosts else "exclude_client")
    found: tuple[Service, list[Problem]] = leased.known(service, facts, package)
    return found


def _loaded(name: str, service: "Service", package: str, option: str) -> "Any":
    try:
        return optional.load(name)
    except UnsupportedError as error:
        raise skip(service, package, option, str(error), UNSUPPORTED)


def _what_it_takes(
    service: "Service", found: "Answers", facts: "Facts"
) -> "tuple[list[tuple[Match, Match]], list[tuple[str, str]]]":
    """([(match, part)], [(traffic, reason)]): what is taken over, and what stays with the cloud."""
    there = facts.opened.get(service.name)
    kind = checks.named(service.health.healthcheck)
    whole = not kind.looks or (kind.asks is None and service.dynamic_ports)
    parts = answers.taken(found, there, whole, service.dynamic_ports)
    return parts, [(match_text(match), reason) for match, reason in answers.stays(found, there, parts)]


def _guard(made: "Guard", service: "Service", facts: "Facts", package: str) -> "Guard":
    if made.rules is not None and not facts.features.guard:
        text = "can't be limited: this kernel has no nft ingress hook (inet, kernel 5.10); or set it to 'any'"
        raise skip(service, package, "egress", text, UNSUPPORTED)
    return made


def _limits(service: "Service", mtu: int, facts: "Facts", package: str) -> list:
    """How much it may send: at the inner end of its pair, where all it sends is, with every datapath. What it sends
    waits there, and local sockets wait with it; at the router's end it could only be dropped."""
    if service.rate is None:
        return []
    if not facts.features.tbf:
        text = "can't be kept: this kernel has no sch_tbf: install kmod-sched-core, or take the option out"
        raise skip(service, package, "rate", text, UNSUPPORTED)
    frame = mtu + ETHERNET
    burst = service.burst or max(min(max(service.rate // 20, BURST[0]), BURST[1]), frame)
    if burst < frame:
        text = "is less than a frame (%d bytes), so nothing could leave: take more, or leave it out" % frame
        raise skip(service, package, "burst", text, CONFIG)
    return [Tbf(ns_name(service.name), INNER_DEV, service.rate, burst)]


def _egress_warnings(service: "Service", matches: "list[Match]", named: "set[int]", package: str) -> "list[Problem]":
    """Where its own packets have the cloud's address, what answers them does not come back; and without a match of a
    family it has no address of that family."""
    if service.egress[0].word in ("none", "any"):
        return []
    said = []
    for family in (4, 6):
        of_family = [match for match in matches if match.family == family]
        if any(match.proto != "tcp" for match in of_family) and not answers.needs_nat(of_family, named):
            text = "has no effect over IPv%d: what the program begins has the cloud's address as its source; set "
            said.append((text + "target_port (it may be the port that clients use), or take TCP only") % family)
        if not of_family and any(each.prefix is not None and each.prefix.family == family for each in service.egress):
            said.append("has no effect over IPv%d: the service takes over none of it" % family)
    return [Problem(CONFIG, "", "%s.%s.egress" % (package, service.name), text) for text in said]


# How packets are taken


def _datapath(service: "Service", settings: "Settings", facts: "Facts", package: str) -> "Any":
    which = datapath.of_service(service, settings, facts.features)
    why = which.lacks(facts.features)
    if why:
        raise skip(service, package, "datapath", why, UNSUPPORTED)
    if service.vlan and not which.VLANS:
        text = NO_TAGS % (which.NAME, service.vlan)
        raise skip(service, package, "vlan", text, UNSUPPORTED)
    return which


def _filters(
    service: "Service", device: "Device", parts: "list[tuple[Match, Match]]", which: "Any", macs: "MacPolicy"
) -> list:
    """The filters of a device, without duplicates: overlapping port ranges have parts in common. A part of a match has
    the prio of the whole, so that a narrower match of another service goes before it."""
    actions = macs.actions + (("mirred", device_name(service.name)),)
    found, seen = [], set()
    for whole, match in parts:
        levels = clients.levels(service, whole)
        mac = device.takes_mac if datapath.needs_mac(match) else ""
        for part in datapath.spread(match):
            # The route of a client at the port of a bridge names the bridge.
            how = not service.dynamic_ports, not device.bridged, service.vlan or 0
            made = []
            for out in clients.left(service, part):
                made += which.filters(device.name, out, levels[0], "", ((LEAVE, actions[-1][1]),), False, False, how[2])
            for item in made + which.filters(device.name, part, levels[-1], mac, actions, *how):
                if item not in seen:
                    seen.add(item)
                    found.append(item)
    return found


# The namespace and how it answers


def _base(service: "Service", pair: str, macs: "MacPolicy", mtu: int) -> list:
    ns = ns_name(service.name)
    items: list = [Namespace(ns)]
    items.append(
        Pair(
            name=device_name(service.name),
            ns=ns,
            peer=INNER_DEV,
            mtu=mtu,
            mac=mac_of(service.name, "host"),
            peer_mac=macs.inner_mac,
            alias=ALIAS_PREFIX + service.name,
            kind=pair,
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
    # The larger of conf/all and conf/DEV counts: if all is strict (1), use loose (2), which needs only some route.
    values = ("2" if facts.rp_filter == 1 else "0", "1", "1" if local else "0")
    dev = device_name(service.name)
    return items + [Sysctl("", key % dev, value) for key, value in zip(HOST_SYSCTLS, values)]


def _answers(
    service: "Service",
    family: int,
    matches: "list[Match]",
    ends: "tuple[str, str]",
    past: bool,
    named: "set[int]",
) -> list:
    """Addresses and routes for one family. Without NAT, the taken-over addresses are local in the namespace, or all of
    them are (answers.any_local).

    UDP answers from the address that its route prefers, so a service with UDP gets the one taken-over address as
    preferred source. TCP answers from the right one by itself, and the program's own connections keep a source that the
    router can masquerade.
    """
    ns, dev = ns_name(service.name), device_name(service.name)
    host, inner = ends
    length = SUBNET[family]
    items: list = [Address("", dev, "%s/%d" % (host, length)), Address(ns, INNER_DEV, "%s/%d" % (inner, length))]
    source = ""
    if answers.any_local(matches, past, named):
        items.append(AnyLocal(ns, family, inner))
    elif not answers.needs_nat(matches, named):
        local = sorted({match.dst.packed for match in matches})
        items += [Address(ns, "lo", "%s/%d" % (address.format_address(packed), 8 * len(packed))) for packed in local]
        if any(match.proto != "tcp" for match in matches):
            source = address.format_address(local[0])
    items.append(Route(ns=ns, family=family, dst="default", via=host, dev=INNER_DEV, src=source))
    return items
