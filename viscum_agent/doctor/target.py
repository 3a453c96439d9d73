"""What the findings are about: each enabled service with the devices of this router that it takes traffic from."""

from collections import namedtuple

from ..plan import datapath
from ..plan.answers import nat_rules
from ..plan.hosts import templates
from ..plan.sources import named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from ..config.service import Configuration, Service, Settings
    from ..records.facts import Device, Facts, Features

# `service` is a model.Service, `devices` the facts.Device that its options name, those without an Ethernet header, too.
Target = namedtuple("Target", ("service", "devices"))


def targets(configuration: "Configuration", facts: "Facts") -> "list[Target]":
    """A Target for each service that is to run."""
    if not configuration.settings.enabled:
        return []
    known = {device.name: device for device in facts.devices}
    return [Target(service, _devices(service, known, facts)) for service in configuration.services if service.enabled]


def _devices(service: "Service", known: "dict[str, Device]", facts: "Facts") -> "tuple[Device, ...]":
    names = {name for _, _, found in named(service, known, facts.interfaces) for name in found if name in known}
    return tuple([known[name] for name in sorted(names)])


def names(found: "Iterable[Target]") -> "tuple[str, ...]":
    """The names of the services of some Targets."""
    return tuple([target.service.name for target in found])


def on(found: "Iterable[Target]", device: str) -> "list[Target]":
    """Those of the Targets that take traffic from a device."""
    return [target for target in found if device in [each.name for each in target.devices]]


def has_family(target: "Target", family: int) -> bool:
    return any(match.family == family for match in target.service.matches + templates(target.service))


def way(target: "Target", settings: "Settings", features: "Features") -> "Any":
    """The datapath of a Target."""
    return datapath.of_service(target.service, settings, features)


def routed(target: "Target", settings: "Settings", features: "Features") -> bool:
    """Whether the firewall sees the replies: those of eBPF go past it, but not to clients at the port of a bridge
    that have no VLAN."""
    which = way(target, settings, features)
    bridged = not which.ROUTED and not target.service.vlan and any(device.bridged for device in target.devices)
    return datapath.routes(target.service, which) or bridged


def needs_nat(target: "Target", direct: bool) -> bool:
    matches = templates(target.service)
    by_name = any(match.proto != "tcp" or match.to_port for match in matches)
    return by_name or bool(nat_rules(target.service.matches, direct, {each.family for each in matches}))
