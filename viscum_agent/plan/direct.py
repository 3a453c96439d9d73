"""Replies past the router's IP stack with the classifiers of tc(8): the option `reply` 'direct'.

A redirected packet goes to the pair without being routed, and what answers it comes out of the pair as a frame without
a way. Filters at the router's end of the pair give it one: the MAC address of the next hop as its destination, that of
the source interface as its source, and out of that interface. They know nothing of clients, so all clients of a service
have one next hop. Filters at the inner end count what comes in, by its TCP flags.
"""

from .. import address
from ..records import with_
from ..records.objects import (
    INNER_DEV,
    PAIR_FILTER,
    PRIO_ANY,
    PRIO_EXACT,
    PRIO_WIDE,
    Counting,
    Qdisc,
    device_name,
    kind_of,
    ns_name,
)
from ..shell import shown
from . import datapath
from .hosts import templates
from .skip import Skip, skip
from .sources import devices_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from ..address import Prefix
    from ..config.service import Match, Service, Settings
    from ..records.facts import Device, Facts
    from ..records.objects import Filter

SYN, RST, ACK = 0x02, 0x04, 0x10  # RFC 9293, 3.1

# By protocol: the prios of the filters, and which flags (value, mask) they look for; None for whatever there are.
#
# A segment that begins a connection is no reply: it goes on to the router, where the Guard judges it. Every other one
# acknowledges something, but for the answer to a segment that nobody expected. What the program sends as itself (OWN)
# goes on as well, before these: it answers nobody there.
OWN = PRIO_EXACT
REPLIES = {
    "tcp": ((PRIO_WIDE, (SYN | ACK, 0xFF)), (PRIO_ANY, (ACK, ACK)), (PRIO_ANY, (RST, SYN | RST | ACK))),
    "udp": ((PRIO_ANY, None),),
}
# The first that matches counts: what begins a connection, what only acknowledges, and all else.
REQUESTS = {
    "tcp": ((PRIO_EXACT, (SYN, 0xFF)), (PRIO_WIDE, (ACK, 0xFF)), (PRIO_ANY, None)),
    "udp": ((PRIO_ANY, None),),
}
LET_IN = (("skbedit", "host"),)

# Of the filters in a namespace a dump reads a limited number (MOST_INSIDE in kernel/backend.py), among them those that
# the kernel makes. More of ours count protocols in place of ports.
MOST_COUNTING = 900


def items(
    service: "Service",
    matches: "Sequence[Match]",
    own: "dict[int, str]",
    which: "Any",
    devices: "list[Device]",
    facts: "Facts",
    package: str,
) -> list:
    """What is needed at both ends of the pair; `own` maps a family to the namespace's own address. Raises Skip."""
    _refuse(service, matches, devices, package)
    device = devices[0]
    hop = _next_hop(service, which, device, facts, package)
    pair = device_name(service.name)
    out = LET_IN + (("skbmod", hop, device.takes_mac), ("mirred", device.name))
    replies: set[Filter] = set()
    for match in matches:
        mine = address.parse_prefix(own[match.family])
        if address.meet(match.dst, mine):
            itself = with_(match, proto="", dst=mine, dport=None, src=None)
            replies.update(which.flows(pair, itself, OWN, LET_IN, None, True))
        for level, flags in REPLIES[match.proto]:
            replies.update(which.flows(pair, match, level, out, flags, True))
    requests = _requests(which, [with_(match, dst=None, src=None) for match in matches])
    if len(requests) > MOST_COUNTING:
        requests = _requests(which, [with_(match, dst=None, src=None, dport=None) for match in matches])
    counting = Counting(ns_name(service.name), INNER_DEV, tuple(sorted(requests)))
    return [Qdisc(pair)] + sorted(replies) + [counting]


def _requests(which: "Any", matches: "Iterable[Match]") -> "set[Filter]":
    found: set[Filter] = set()
    for match in matches:
        for level, flags in REQUESTS[match.proto]:
            found.update(which.flows(INNER_DEV, match, level, LET_IN, flags))
    return found


def _refuse(service: "Service", matches: "Sequence[Match]", devices: "list[Device]", package: str) -> None:
    """Raises Skip for what can't be."""
    if len(devices) != 1:
        text = "'direct' has one interface for all replies, and clients come in on %s: name one of them, or say 'auto'"
        raise skip(service, package, "reply", text % ", ".join([device.name for device in devices]))
    if not all(match.proto for match in matches):
        text = "'direct' knows replies by their port, and proto 'any' has none: name tcp, udp or both, or say 'auto'"
        raise skip(service, package, "reply", text)
    if _goes_round(matches):
        text = (
            "with reply 'direct' has to name the clients of UDP, and none of dest_ip: a datagram with a forged source "
            "could go round without end between the next hop and the program; or take TCP only (proto), or say 'auto'"
        )
        raise skip(service, package, "src_ip", text)
    if service.mtu and service.mtu > devices[0].mtu:
        text = "'%d' is more than %s can send (%d), and reply 'direct' sends frames as they are: leave it out"
        raise skip(service, package, "mtu", text % (service.mtu, devices[0].name, devices[0].mtu))


def _goes_round(matches: "Iterable[Match]") -> bool:
    """Whether a reply of UDP may go to an address that is taken over: the next hop would send it back, and its TTL is
    new each time."""
    datagrams = [match for match in matches if match.proto == "udp"]
    return any(
        one.family == other.family and address.meet(one.src, other.dst) for one in datagrams for other in datagrams
    )


def _meets(one: "Prefix | None", others: "Iterable[Prefix | None]") -> bool:
    return any(address.meet(one, each) for each in others)


def apart(service: "Service", matches: "Iterable[Match]") -> "tuple[list[Match], list[tuple[Match, str, str]]]":
    """(those of the matches for its names' addresses whose replies can't go round, [(match, why, who has it)] of the
    others): the owner of a name does not stop the service. Without `src_ip` it is refused, whatever they are."""
    clients = [each.src for each in service.matches + templates(service) if each.proto == "udp" and each.src]
    fixed = [each.dst for each in service.matches if each.proto == "udp"]
    found, left = [], []
    for match in matches:
        if match.proto == "udp" and (_meets(match.dst, clients) or (match.src and _meets(match.src, fixed))):
            left.append((match, "is in src_ip: with reply 'direct' a datagram could go round", "its clients"))
        else:
            found.append(match)
    return found, left


# The next hop


def places(
    services: "Iterable[Service]", settings: "Settings", facts: "Facts", package: str
) -> "dict[tuple[str, str], list[str]]":
    """(device, address) of the next hops whose MAC addresses are needed, with the names of the services. The neighbours
    of a bridge's port are the bridge's."""
    found: dict[tuple[str, str], list[str]] = {}
    for service in services if settings.enabled else ():
        if not (service.enabled and service.nexthop) or service.nexthop_mac:
            continue
        which = datapath.of_service(service, settings, facts.features)
        if not datapath.is_direct(service, which):
            continue
        try:
            device = devices_of(service, facts, which, package)[0][0]
        except Skip:
            continue
        found.setdefault((device.bridged or device.name, service.nexthop), []).append(service.name)
    return found


def mac_of(items: "Iterable[Any]") -> str:
    """The MAC address that the objects of a service send its replies to, "" for none."""
    made = [action for item in items if kind_of(item) is PAIR_FILTER for action in item.actions]
    return max([action[1] for action in made if action[0] == "skbmod"] + [""])


def _next_hop(service: "Service", which: "Any", device: "Device", facts: "Facts", package: str) -> str:
    """The MAC address that replies go to."""
    if service.nexthop_mac:
        return service.nexthop_mac
    if not service.nexthop:
        text = "'direct' with datapath '%s' sends replies to one next hop: name it (nexthop), or say 'auto'"
        raise skip(service, package, "reply", text % which.NAME)
    mac = facts.neighbours.get((device.bridged or device.name, service.nexthop))
    if mac:
        return mac
    text = "%s does not answer at %s, so replies have no way: name a neighbour there, or its MAC address (nexthop_mac)"
    raise skip(service, package, "nexthop", text % (shown(service.nexthop), device.name))
