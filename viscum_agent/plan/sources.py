"""Where a service's packets come from: its source devices, their MTU, and the families in which clients get replies."""

from ..errors import CONFIG, UNSUPPORTED, Problem
from ..shell import is_device, printable, shown
from . import datapath
from .skip import skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection
    from typing import Any

    from ..config.service import Service
    from ..records.facts import Device, Facts


# Why a device can't be a source, by whether its packets begin with the IP header.
NO_WAY = {
    True: "%s has no Ethernet header (PPPoE, WireGuard, modem): set option datapath 'bpf', or take another device",
    False: "%s is neither an Ethernet device nor one of plain IP packets (PPP, WireGuard, tun): take another device",
}
NO_TAG = "%s has no Ethernet header, and so no VLAN: take the option vlan out, or take another device"


def devices_of(service: "Service", facts: "Facts", which: "Any", package: str) -> "tuple[list[Device], list[Problem]]":
    """The source devices, sorted, for a datapath, and a warning for each that does not exist (yet)."""
    known = {device.name: device for device in facts.devices if is_device(device.name)}
    found, missing = set(), []
    for option, value, names in named(service, known, facts.interfaces):
        there = [known[name] for name in sorted(names) if name in known]
        usable = [device.name for device in there if takes(which, device, service.vlan)]
        found.update(usable)
        if not there:
            missing.append((option, _missing(option, value, names, known, facts)))
        elif len(usable) < len(there) and not (usable and _is_pattern(value)):
            left = [device for device in there if not takes(which, device, service.vlan)][0]
            name = left.name if left.name == value else "%s: %s" % (shown(value), left.name)
            text = NO_TAG if service.vlan else NO_WAY[left.bare]
            raise skip(service, package, option, text % name, UNSUPPORTED)
    if not found:
        raise skip(service, package, missing[0][0], missing[0][1])
    warnings = []
    for option, text in missing:
        where = "%s.%s.%s" % (package, service.name, option)
        warnings.append(Problem(CONFIG, "", where, text + "; the service runs without it"))
    return [known[name] for name in sorted(found)], warnings


def takes(which: "Any", device: "Device", vlan: "int | None") -> bool:
    """Whether a datapath can take packets at a device, or frames with a VLAN."""
    return bool(device.ethernet or (device.bare and which.BARE and not vlan))


def named(
    service: "Service", known: "Collection[str]", interfaces: "dict[str, list[str]]"
) -> "list[tuple[str, str, list[str]]]":
    """(option, value, names of devices) for each value that names source devices, of the `known` ones for a pattern."""
    found = [("interface", value, interfaces.get(value, [value])) for value in service.interfaces]
    for value in service.devices:
        names = [name for name in known if matches_glob(name, value)] if _is_pattern(value) else [value]
        found.append(("device", value, names))
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
    places = {0}  # how much of the name the pattern so far may have matched
    for c in pattern:
        if c == "*":
            places = set(range(min(places), len(name) + 1))
        else:
            places = {place + 1 for place in places if place < len(name) and c in ("?", name[place])}
        if not places:
            return False
    return len(name) in places


def mtu_of(service: "Service", families: "list[int]", devices: "list[Device]", package: str) -> int:
    """The MTU of the pair."""
    least, name = min([(device.mtu, device.name) for device in devices])
    mtu = service.mtu or least
    if 6 in families and mtu < 1280:
        whose = "'%d'" % mtu if service.mtu else "the MTU of %s (%d)" % (name, mtu)
        text = "%s is less than the 1280 bytes that IPv6 needs (RFC 8200); option family ipv4 would work"
        raise skip(service, package, "mtu", text % whose)
    return mtu


def families_of(
    service: "Service", devices: "list[Device]", which: "Any", facts: "Facts", package: str
) -> "tuple[list[int], dict[int, tuple[str, str]]]":
    """(families that can be served, {family that can't: (kind of error, why)}). Raises Skip if none can."""
    wanted = sorted({match.family for match in service.matches})
    # Those of eBPF go past it, but not to clients at the port of a bridge that have no VLAN.
    bridged = not which.ROUTED and not service.vlan and all(device.bridged for device in devices)
    routed = datapath.routes(service, which) or bridged
    reasons = [(family, _why_lost(family, service, devices, routed, facts)) for family in wanted]
    lost = {family: why for family, why in reasons if why}
    if len(lost) == len(wanted):
        raise skip(service, package, "", lost[wanted[0]][1], lost[wanted[0]][0])
    return [family for family in wanted if family not in lost], lost


def answered(service: "Service", device: "Device") -> "tuple[int, ...]":
    """The families in which clients at a device get replies. Those with a VLAN get them where their frames came from,
    unless replies are routed: then the VLAN has a device with an address, whichever that is."""
    return (4, 6) if service.vlan else device.families


def _why_lost(
    family: int, service: "Service", devices: "list[Device]", routed: bool, facts: "Facts"
) -> "tuple[str, str] | None":
    """(kind of error, why clients of a family would get no reply), None if they do."""
    if family == 6 and not facts.ipv6:
        return UNSUPPORTED, "IPv6 stays with the cloud: this kernel has none"
    if family == 6 and not facts.ipv6_forwarding and (routed or not service.vlan):
        text = "IPv6 stays with the cloud, because the router does not forward the replies: "
        return UNSUPPORTED, text + "set net.ipv6.conf.all.forwarding to 1"
    why, only_routed = facts.firewall.get(family, ("", True))
    if why and (routed or not only_routed):
        return UNSUPPORTED, "IPv%d stays with the cloud, because %s" % (family, why)
    deaf = _deaf(family, service, devices)
    return (CONFIG, _no_way_back(family, deaf)) if len(deaf) == len(devices) else None


def family_warnings(
    service: "Service", families: "list[int]", lost: "dict[int, tuple[str, str]]", devices: "list[Device]", package: str
) -> "list[Problem]":
    """Warnings about families that were named and are not served. Any address means: whatever there is."""
    named_ones = {match.family for match in service.matches if match.dst or match.src}
    said = [(family, lost[family]) for family in sorted(lost)]
    for family in families:
        deaf = _deaf(family, service, devices)
        said += [(family, (CONFIG, _no_way_back(family, deaf)))] if deaf else []
    where = "%s.%s" % (package, service.name)
    return [Problem(kind, "", where, text) for family, (kind, text) in said if family in named_ones]


def _deaf(family: int, service: "Service", devices: "list[Device]") -> "list[str]":
    return [device.name for device in devices if family not in answered(service, device)]


def _no_way_back(family: int, names: "list[str]") -> str:
    text = "IPv%d of clients at %s stays with the cloud, because replies have no way back: give the interface an IPv%d"
    return (text + " address in their network") % (family, ", ".join(names), family)
