"""How a redirect is built: one file for each datapath, listed in ALL. Pure functions and a few constants:

NAME       as in the option `datapath`
FEATURES   a facts.Feature for each thing that no other datapath asks of the kernel
NEEDS      which of facts.Features it can't do without, its own first
ROUTED     whether the router and its firewall see every reply, unless `reply` is 'direct' (plan/direct.py)
DECEIVED   whether a client may pass for the service itself, which then answers itself
MACS       whether frames must have a MAC that the namespace accepts, so that the option `rewrite` counts
BARE       whether it takes packets that begin with the IP header (facts.Device)
VLANS      whether it takes frames with a VLAN tag, and sends replies with it
lacks(features)                                     why this router can't use it, "" if it can
missing(features)                                   what it misses, if the probe knows more than which features; else ""
mac_policy(service, devices, features, package)     a classifier.MacPolicy; raises Skip
reply(dev, pair, features, vlan)                    what sends replies back, at the router's end of a pair of that kind
filters(dev, match, level, mac, actions, vlan)      what takes the packets of a match at a source device, or with
                                                    objects.LEAVE as the action leaves them to the cloud
is_own(redirect)                                    whether one that was found in the kernel is its own
taken(redirect)                                     what such a one is for: (protocol, address.Prefix, ports, clients,
                                                    their MAC)
flows(dev, match, level, actions, flags, back)      if it is ROUTED: the filters of what a match takes or of its replies
shared(device, filters, features)                   what these depend on there, like those of other services
rests_on(filter)                                    the same for one that was found in the kernel

What they share is here: the prio that a match belongs to, and what a match for any address must leave alone.
"""

from ... import address
from ...records import with_
from ...records.objects import PRIO_ANY, PRIO_EXACT, PRIO_WIDE
from . import ebpf, flower, u32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from ...config.service import Match, Service, Settings
    from ...records.facts import Features
    from ...records.objects import BpfMatch, Filter

# The best first: `auto` takes the first one that a router supports. The option `datapath` has their names.
ALL: "tuple[Any, ...]" = (ebpf, flower, u32)

# What "any address" means for IPv6: global unicast, unique local and NAT64, so neither link-local nor multicast.
# IANA IPv6 address space; RFC 4193; RFC 6052.
ANY_IPV6 = ("2000::/3", "fc00::/7", "64:ff9b::/96")


def chosen(asked: str, features: "Features | None") -> "Any":
    """The datapath that `auto` or a name stands for; with `auto`, the last one if the router supports none, or if its
    features are unknown."""
    if asked != "auto":
        return named(asked)
    there = [each for each in ALL if features and not each.lacks(features)]
    return there[0] if there else ALL[-1]


def of_service(service: "Service", settings: "Settings", features: "Features | None") -> "Any":
    """The one that a service has."""
    return chosen(service.datapath or settings.datapath, features)


def gains_by_netkit(service: "Service", settings: "Settings", which: "Any") -> bool:
    """Whether a service takes such a pair where there is one: only if the router does not route its replies."""
    return (service.pair or settings.pair) == "auto" and service.reply != "routed" and not which.ROUTED


def is_direct(service: "Service", which: "Any") -> bool:
    """Whether filters send its replies (plan/direct.py)."""
    return service.reply == "direct" and bool(which.ROUTED)


def routes(service: "Service", which: "Any") -> bool:
    """Whether the router and its firewall see the replies."""
    return service.reply == "routed" or (which.ROUTED and not is_direct(service, which))


def may_be(name: str, settings: "Settings", services: "Iterable[Service]") -> bool:
    """Whether any of these services may have the datapath of that name, on some router."""
    return any((service.datapath or settings.datapath) in ("auto", name) for service in services)


def named(name: str) -> "Any":
    """The datapath of a name, None for `auto`."""
    return {each.NAME: each for each in ALL}.get(name)


def of(redirect: "Filter | BpfMatch") -> "Any":
    """The datapath that a redirect belongs to."""
    return next(each for each in ALL if each.is_own(redirect))


def level_of(match: "Match") -> int:
    """The narrower the match, the lower the prio: one service may take a port of an address in another's prefix."""
    if match.dst is None:
        return PRIO_ANY
    if match.dst.length == address.bits(match.family) and match.dport and match.dport[0] == match.dport[1]:
        return PRIO_EXACT
    return PRIO_WIDE


def spread(match: "Match") -> "list[Match]":
    """The matches that filters are made for: any IPv6 address is spelled out."""
    if match.dst is not None or match.family == 4:
        return [match]
    parts = [address.parse_prefix(text) for text in ANY_IPV6]
    return [with_(match, dst=part) for part in parts]


def needs_mac(match: "Match") -> bool:
    """UDP to any IPv4 address would include broadcast and multicast: only frames to the router's own MAC count.

    TCP has neither, IPv6 is spelled out.
    """
    return match.family == 4 and match.dst is None and match.proto != "tcp"
