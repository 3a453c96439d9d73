"""Logical interfaces as /etc/config/network names them, where netifd can't be asked; and why a name has no device.

An interface may name another interface instead of a device: `@wan` (device.c of netifd), formerly by a section of type
`alias`.
"""

from .. import compat
from ..errors import ConfigError
from ..shell import is_device, shown
from . import uci
from .schema import EVERY_AP

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..records.dump import Link
    from .service import Service
    from .uci import _Section as Section

PACKAGE = "network"
INTERFACE, DEVICE = "interface", "device"  # the options of a service


def interfaces(
    confdir: str, names: "dict[str, list[str]]"
) -> "tuple[dict[str, list[str]], dict[tuple[str, str], str]]":
    """(devices, why): the devices of each interface, and by (INTERFACE, name) a sentence why one has none; the name ""
    is for all that are in neither. `names` is what netifd says (netifd.names), and takes precedence."""
    path = "%s/%s" % (confdir, PACKAGE)
    devices: dict[str, list[str]] = {}
    why: dict[tuple[str, str], str] = {}
    for section in _sections(confdir, path, why):
        if section.type not in ("interface", "alias") or section.name in names:
            continue
        found = _named(section)
        if section.options.get("disabled") in ("1", "true"):  # as netifd reads it (config_parse_interface)
            why[(INTERFACE, section.name)] = "is disabled in %s" % path
        elif found:
            devices[section.name] = found
        else:
            why[(INTERFACE, section.name)] = "has no device in %s" % path
    devices.update(names)
    if EVERY_AP not in devices:
        why[(INTERFACE, EVERY_AP)] = "stands for the access points that netifd names, and it names none"
    return {name: _resolved(name, devices, why) for name in sorted(devices)}, why


def _sections(confdir: str, path: str, why: "dict[tuple[str, str], str]") -> "list[Section]":
    try:
        return uci.load(confdir, PACKAGE)
    except ConfigError as error:
        why[(INTERFACE, "")] = str(error) if compat.exists(path) else "there is no %s" % path
    return []


def _named(section: "Section") -> "list[str]":
    """The devices that a section names."""
    options = section.options
    if section.type == "alias":
        return ["@" + options["interface"]] if isinstance(options.get("interface"), str) else []
    if options.get("type") == "bridge":
        return ["br-" + section.name]  # before 21.02: the interface is the bridge
    found = options.get("device") or options.get("ifname") or ""
    return found.split() if isinstance(found, str) else found


def _resolved(name: str, devices: "dict[str, list[str]]", why: "dict[tuple[str, str], str]") -> "list[str]":
    """The devices of an interface; an @name is replaced by the devices of that interface."""
    found, way = devices[name], [name]
    while len(found) == 1 and found[0].startswith("@"):
        other = found[0][1:]
        if other in way or other not in devices:
            reason = why.get((INTERFACE, other), "is no interface")
            reason = "stands for itself" if other in way else reason
            why[(INTERFACE, name)] = "stands for interface %s, which %s" % (shown(other), reason)
            return []
        way.append(other)
        found = devices[other]
    return found


def missing(services: "Iterable[Service]", interfaces: "dict[str, list[str]]", links: "Iterable[Link]") -> "list[str]":
    """The names of devices that services and interfaces use and the router does not have, sorted."""
    names: set[str] = set()
    for service in services:
        if service.enabled:
            names.update(service.devices)
            for name in service.interfaces:
                names.update(interfaces.get(name, [name]))
    there = {link.name for link in links if not link.ns}
    return [name for name in sorted(names) if name not in there and is_device(name)]


def other_names(own: "dict[str, str]") -> "dict[tuple[str, str], str]":
    """Why there are no devices of these names, by (DEVICE, name): Viscum does not accept an alternative name (altname
    in ip-link(8)). `own` maps such names to the devices' own (kernel.altnames)."""
    return {(DEVICE, name): "is another name (altname) of %s: write that" % shown(own[name]) for name in own}
