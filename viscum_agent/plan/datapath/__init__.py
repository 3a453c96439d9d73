"""How a redirect is built: one file for each datapath, all with `filters(dev, match, level, mac, actions)`.

Pure functions: a match in, ingress filters out. What they share is here: which prio a match belongs to, and what a
match for any address has to leave alone.
"""

from ... import address
from ...records.objects import PRIO_ANY, PRIO_EXACT, PRIO_WIDE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...config.service import Match

# What "any address" means for IPv6: global unicast, unique local and NAT64, so neither link-local nor multicast.
# IANA IPv6 address space; RFC 4193; RFC 6052.
ANY_IPV6 = ("2000::/3", "fc00::/7", "64:ff9b::/96")


def level_of(match: "Match") -> int:
    """The narrower the match, the lower the prio: one service may take a port of an address in another one's prefix."""
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
    return [type(match)(match.family, match.proto, part, match.dport, match.src, match.to_port) for part in parts]


def needs_mac(match: "Match") -> bool:
    """UDP to any IPv4 address would take broadcast and multicast as well: only frames to the router's own MAC count.

    TCP has neither, IPv6 is spelled out.
    """
    return match.family == 4 and match.dst is None and match.proto != "tcp"
