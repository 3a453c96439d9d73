"""What a service takes over by the names of the cloud: the addresses that they have now, as matches like any other.

Names are asked elsewhere (names/); here their addresses are facts. Whoever owns a name says what its addresses are, and
so what is taken here is less than what the configuration may name: nothing of the router itself, nothing that another
service has already.
"""

from .. import address
from ..errors import CONFIG, Problem
from ..records import with_
from ..records.objects import Address, Nat
from .skip import skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..config.service import Match, Service, Settings
    from ..records.facts import Facts
    from .actual import Found

MOST = 1024  # matches of a service for the addresses of its names: an eighth of what fits (ebpf/layout.py, `exact`)
SAID = 3  # names in a message
UNKNOWN = "was not asked yet"
ITSELF = "is the router itself"
OTHER_FAMILY = "has no address of this family"
TOO_MANY = "comes after %d others" % MOST
BEFORE = "as before"  # in place of a name, where it is not known which of them has an address


def templates(service: "Service") -> "tuple[Match, ...]":
    """What is taken of the addresses that a service's names have."""
    return tuple([match for group in service.named for match in group.matches])


def wanted(services: "Iterable[Service]", settings: "Settings") -> "dict[str, list[int]]":
    """The names that have to be asked, with the families that matter."""
    found: dict[str, list[int]] = {}
    for service in services if settings.enabled else ():
        for group in service.named if service.enabled else ():
            families = {match.family for match in group.matches}
            for host in group.hosts:
                found[host] = sorted(families.union(found.get(host, ())))
    return found


def named(service: "Service", facts: "Facts") -> "tuple[list[Match], dict[str, str]]":
    """(matches, why): a Match for each address of the service's names, and why a name has none."""
    own = [address.parse_address(text) for text in facts.addresses]
    found: list[Match] = []
    why = {}
    seen = {_key(match) for match in service.matches}
    for group in service.named:
        families = {match.family for match in group.matches}
        for host in group.hosts:
            known = facts.hosts.get(host)
            there = [packed for packed in known.addresses if _family(packed) in families] if known else []
            theirs = [packed for packed in there if packed not in own]
            if known is None:
                why[host] = UNKNOWN
            elif not theirs:
                why[host] = ITSELF if there else known.reason or OTHER_FAMILY
            elif len(found) >= MOST:
                why[host] = TOO_MANY
            _add(theirs, host, group.matches, found, seen)
        fixed = [match.dst.packed for match in service.matches if match.dst]
        before = [packed for packed in facts.held.get(service.name, ()) if packed not in fixed]
        _add(before, BEFORE, group.matches, found, seen)
    return found, why


def _add(
    addresses: "Iterable[bytes]", host: str, templates: "Sequence[Match]", found: "list[Match]", seen: "set[tuple]"
) -> None:
    for packed in addresses:
        prefix = address.Prefix(_family(packed), packed, 8 * len(packed))
        for template in templates:
            match = with_(template, dst=prefix, host=host)
            if template.family == prefix.family and _key(match) not in seen and len(found) < MOST:
                seen.add(_key(match))
                found.append(match)


def _family(packed: bytes) -> int:
    return 4 if len(packed) == 4 else 6


def _key(match: "Match") -> tuple:
    """Names may share an address; the first one has it."""
    return match.proto, match.dst, match.dport, match.src


def missing(
    service: "Service", matches: "Sequence[Match]", why: "dict[str, str]", taken: "list[tuple[str, str]]", package: str
) -> "list[Problem]":
    """Warnings about names without an address, and about addresses that are `taken` by others: [(match, why)]. Raises
    Skip if nothing is left to take."""
    said = [["%s (%s)" % (host, why[host]) for host in sorted(why)], ["%s %s" % each for each in taken]]
    texts = [
        word + ", ".join(each[:SAID]) + (" and %d more" % (len(each) - SAID) if len(each) > SAID else "")
        for word, each in zip(("has no address now: ", "shares addresses: "), said)
        if each
    ]
    if not matches:
        raise skip(service, package, "dest_host", "; ".join(texts + ["the cloud answers"]))
    if all(why[host] == UNKNOWN for host in why):
        texts = texts[1:] if why else texts
    where = "%s.%s.dest_host" % (package, service.name)
    return [Problem(CONFIG, "", where, text + "; the service runs without") for text in texts]


def held(found: "Iterable[Found]") -> "list[bytes]":
    """The single addresses that a service in the kernel answers for."""
    texts = set()
    for each in found:
        if isinstance(each.item, Nat):
            texts.update([rule.daddr for rule in each.item.rules])
        elif isinstance(each.item, Address) and each.item.dev == "lo":
            texts.add(each.item.address)
    prefixes = [address.parse_prefix(text) for text in sorted(texts)]
    return [prefix.packed for prefix in prefixes if prefix.length == address.bits(prefix.family)]
