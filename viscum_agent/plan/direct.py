"""Replies past the router's IP stack with the classifiers of tc(8): the option `reply` 'direct'.

A redirected packet goes to the pair without being routed, and what answers it comes out of the pair as a frame without
a way. Filters at the router's end of the pair give it one: the MAC address of the next hop as its destination, that of
the source interface as its source, and out of that interface. They know nothing of clients, so all clients of a service
have one next hop. Filters at the inner end count what comes in, by its TCP flags.
"""

from ..records import with_
from ..records.objects import (
    INNER_DEV,
    PRIO_ANY,
    PRIO_EXACT,
    PRIO_WIDE,
    Counting,
    Qdisc,
    device_name,
    ns_name,
)
from ..shell import shown
from .skip import skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from ..config.service import Match, Service
    from ..records.facts import Device, Facts
    from ..records.objects import Filter

SYN, RST, ACK = 0x02, 0x04, 0x10  # RFC 9293, 3.1

# By protocol: the prios of the filters, and which flags (value, mask) they look for; None for whatever there are.
#
# A segment that begins a connection is no reply: it goes on to the router, where the Guard judges it. Every other one
# acknowledges something, but for the answer to a segment that nobody expected.
REPLIES = {
    "tcp": ((PRIO_EXACT, (SYN | ACK, 0xFF)), (PRIO_WIDE, (ACK, ACK)), (PRIO_ANY, (RST, SYN | RST | ACK))),
    "udp": ((PRIO_ANY, None),),
}
# The first that matches counts: what begins a connection, what only acknowledges, and all else.
REQUESTS = {
    "tcp": ((PRIO_EXACT, (SYN, 0xFF)), (PRIO_WIDE, (ACK, 0xFF)), (PRIO_ANY, None)),
    "udp": ((PRIO_ANY, None),),
}
LET_IN = (("skbedit", "host"),)


def items(
    service: "Service",
    matches: "Iterable[Match]",
    which: "Any",
    devices: "list[Device]",
    facts: "Facts",
    package: str,
) -> list:
    """What is needed at both ends of the pair; raises Skip."""
    if len(devices) != 1:
        text = "'direct' has one interface for all replies, and clients come in on %s: name one of them, or say 'auto'"
        raise skip(service, package, "reply", text % ", ".join([device.name for device in devices]))
    if not all(match.proto for match in matches):
        text = "'direct' knows replies by their port, and proto 'any' has none: name tcp, udp or both, or say 'auto'"
        raise skip(service, package, "reply", text)
    device = devices[0]
    hop = _next_hop(service, which, device, facts, package)
    pair = device_name(service.name)
    out = LET_IN + (("skbmod", hop, device.takes_mac), ("mirred", device.name))
    replies: set[Filter] = set()
    requests: set[Filter] = set()
    for match in matches:
        for level, flags in REPLIES[match.proto]:
            replies.update(which.flows(pair, match, level, out, flags, True))
        anywhere = with_(match, dst=None, src=None)
        for level, flags in REQUESTS[match.proto]:
            requests.update(which.flows(INNER_DEV, anywhere, level, LET_IN, flags))
    counting = Counting(ns_name(service.name), INNER_DEV, tuple(sorted(requests)))
    return [Qdisc(pair)] + sorted(replies) + [counting]


def _next_hop(service: "Service", which: "Any", device: "Device", facts: "Facts", package: str) -> str:
    """The MAC address that replies go to."""
    if service.nexthop_mac:
        return service.nexthop_mac
    if not service.nexthop:
        text = "'direct' with datapath '%s' sends replies to one next hop: name it (nexthop), or say 'auto'"
        raise skip(service, package, "reply", text % which.NAME)
    for dev, hop in sorted(facts.neighbours):
        # The neighbours of a bridge's port are the bridge's.
        if hop == service.nexthop and (dev == device.name or device.bridged):
            return facts.neighbours[(dev, hop)]
    text = "%s does not answer at %s, so replies have no way: name a neighbour there, or its MAC address (nexthop_mac)"
    raise skip(service, package, "nexthop", text % (shown(service.nexthop), device.name))
