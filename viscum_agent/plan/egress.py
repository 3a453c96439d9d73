"""What may leave a service's pair for the router, outside of the namespace and so out of its program's reach: replies,
and what the option `egress` names. A pure function of the service and the router.

A reply is what comes from an address and port that the service takes over. A TCP segment that begins a connection is
none, from whatever port. The rules come in the order in which they cost least: TCP replies first.
"""

import binascii

from .. import address
from ..records.objects import Guard, GuardRule, device_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ..config.schema import Destination
    from ..config.service import Match, Service
    from ..records.facts import Facts

# Near the router, besides the networks that it has an address in (RFC 1918, RFC 4193).
PRIVATE = {4: ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"), 6: ("fc00::/7",)}

# What is no single host's, or of a device itself: multicast, broadcast, reserved (RFC 5771, RFC 1112); link-local (RFC
# 3927, RFC 4291); loopback, which a router with route_localnet takes from outside (over IPv6 none does).
NO_HOST = {4: ("224.0.0.0/3", "169.254.0.0/16", "127.0.0.0/8"), 6: ("fe80::/10",)}


class Around:
    """What is the same for all services of a router, worked out once."""

    def __init__(self, pools: "Iterable[address.Prefix]", facts: "Facts") -> None:
        self._pools = pools
        self._facts = facts
        self._kept: dict[int, list[GuardRule]] = {}
        self._networks = [address.parse_prefix(text) for text, _ in facts.networks]

    def kept(self, family: int) -> "list[GuardRule]":
        """What is only for who is named: other services, the router itself, and what its broadcasts reach."""
        if family not in self._kept:
            found = list(NO_HOST[family])
            found += [address.format_prefix(pool) for pool in self._pools if pool.family == family]
            own = [address.format_prefix(address.parse_prefix(text)) for text in self._facts.addresses]
            own += [_broadcast(network) for network in self._networks if network.family == 4 and network.length < 31]
            found += sorted({each for each in own if (":" in each) == (family == 6)})
            self._kept[family] = [_no(family, daddr) for daddr in found]
        return self._kept[family]

    def near(self, family: int) -> "list[str]":
        """Private addresses, and the networks that the router has an address in."""
        private = [address.parse_prefix(text) for text in PRIVATE[family]]
        more = {each for each in self._networks if each.family == family}
        more = {each for each in more if not any(address.contains(one, each) for one in private)}
        return [address.format_prefix(each) for each in private + sorted(more)]


class Rules:
    """GuardRules in their order, made anew for whoever reads them: a name may have hundreds of addresses, and a back
    end writes them once."""

    def __init__(self, make: "Callable[[], Sequence[GuardRule]]") -> None:
        self._make = make

    def __iter__(self) -> "Iterator[GuardRule]":
        return iter(self._make())


def guard(service: "Service", matches: "Iterable[Match]", own: "dict[int, str]", around: "Around") -> "Guard":
    """The Guard of a service's pair. `own` maps each of its families to the namespace's own address (text)."""
    dev = device_name(service.name)
    if any(each.word == "any" for each in service.egress):
        return Guard(dev, "", None)
    rules = Rules(lambda: _rules(service, matches, own, around))
    made = [tuple(rule) for rule in rules]
    return Guard(dev, "%08x/%d" % (binascii.crc32(str(made).encode()), len(made)), rules)


def _rules(
    service: "Service", matches: "Iterable[Match]", own: "dict[int, str]", around: "Around"
) -> "list[GuardRule]":
    words = [each.word for each in service.egress]
    found = [_tcp(match) for match in matches if match.proto != "udp"]
    # Multicast first: what the kernel itself says in any namespace (MLD, RFC 3810; router solicitations) is nothing to
    # count. It asks for its neighbours by multicast, too.
    found += _neighbours(own[6] + "/128") if 6 in own else []
    found.append(_no(6, "ff00::/8", "drop"))
    for family in sorted(own):
        of_family = [match for match in matches if match.family == family]
        mine = own[family] + "/%d" % address.bits(family)
        found += _named(family, mine, service.egress)
        others = [match for match in of_family if match.proto != "tcp"]
        if others or "lan" in words or "wan" in words:
            found += around.kept(family)
        for match in others:
            found += _datagrams(match)
        found += _far_and_near(family, mine, around, words)
    return _once(found)


def _once(found: "Iterable[GuardRule]") -> "list[GuardRule]":
    seen: set = set()
    return [rule for rule in found if not (rule in seen or seen.add(rule))]  # type: ignore[func-returns-value]


def _rule(
    family: int,
    saddr: str = "",
    daddr: str = "",
    proto: str = "",
    sport: "tuple[int, int] | None" = None,
    dport: "tuple[int, int] | None" = None,
    what: str = "",
) -> "GuardRule":
    return GuardRule("accept", family, saddr, daddr, proto, sport, dport, what)


def _no(family: int, daddr: str, verdict: str = "return") -> "GuardRule":
    return GuardRule(verdict, family, "", daddr, "", None, None, "")


def _ends(match: "Match") -> "tuple[str, str]":
    """The source and the destination of a match's replies."""
    source, client = [address.format_prefix(each) if each is not None else "" for each in (match.dst, match.src)]
    return source, client


def _tcp(match: "Match") -> "GuardRule":
    source, client = _ends(match)
    return _rule(match.family, source, client, "tcp", match.dport, None, "begun")


def _datagrams(match: "Match") -> "list[GuardRule]":
    """Replies that are no TCP, with what has no port: the rest of a large one, and errors about requests."""
    source, client = _ends(match)
    rest = _rule(match.family, source, client, what="fragment")
    if not match.proto:
        return [_rule(match.family, source, client, what="not tcp"), rest]
    error = _rule(match.family, source, client, what="error")
    return [_rule(match.family, source, client, "udp", match.dport), rest, error]


def _neighbours(mine: str) -> "list[GuardRule]":
    """Each end of the pair finds the other by these. (ARP is no IP, and does not get here.)"""
    return [_rule(6, source, what="neighbour") for source in ("fe80::/10", mine)]


def _named(family: int, mine: str, egress: "Iterable[Destination]") -> "list[GuardRule]":
    found = []
    for each in egress:
        if each.prefix is None or each.prefix.family != family:
            continue
        to = address.format_prefix(each.prefix)
        protocols = ("tcp", "udp") if each.ports else ("",)
        found += [_rule(family, mine, to, proto, None, each.ports) for proto in protocols]
    return found


def _broadcast(network: "address.Prefix") -> str:
    last = address.add(network.packed, (1 << (32 - network.length)) - 1)
    return address.format_address(last) + "/32"


def _far_and_near(family: int, mine: str, around: "Around", words: "list[str]") -> "list[GuardRule]":
    if "wan" not in words:
        return [_rule(family, mine, daddr) for daddr in around.near(family)] if "lan" in words else []
    return ([] if "lan" in words else [_no(family, daddr) for daddr in around.near(family)]) + [_rule(family, mine)]
