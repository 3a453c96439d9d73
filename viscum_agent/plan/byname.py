"""What a service takes over by the names of the cloud: the addresses that they have now, as matches like any other.

Names are asked elsewhere (names/); here their addresses are facts. Whoever owns a name says what its addresses are, and
so what is taken here is less than what the configuration may name: nothing of the router itself, nothing that another
service has already.
"""

from .. import address
from ..errors import CONFIG, UNSUPPORTED, Problem
from ..records import with_
from ..records.facts import Host
from ..records.objects import Address, BpfMatch, is_left
from ..shell import some
from . import datapath, direct
from .claims import match_text
from .diff import redirects_of
from .hosts import ASKING, MOST
from .skip import skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from ..address import Prefix
    from ..config.service import Match, Service
    from ..records.facts import Device, Facts
    from .actual import Found
    from .claims import Claims
    from .planner import ServicePlan

UNKNOWN = "was not asked yet"
UNASKED, UNTOLD = Host((), UNKNOWN), Host((), "")
ITSELF = "is the router itself"
OTHER_FAMILY = "has no address of this family"
TOO_MANY = "comes after %d others" % MOST
SNOOPED = " by snooping"  # behind a name whose address a client was told
BEFORE = "as before"  # in place of a name, where it is not known which of them has an address


def with_names(
    service: "Service",
    package: str,
    devices: "list[Device]",
    past: bool,
    facts: "Facts",
    claims: "Claims",
    warnings: list,
    before: "ServicePlan | None",
) -> "tuple[Service, list[tuple[str, str]]]":
    """The service with the addresses that its names have, and what of its names stays with the cloud, and why."""
    found, why = named(service, facts)
    found, left = direct.apart(service, found) if past else (found, [])
    found, theirs = claims.free(service, devices, found)
    left += theirs
    there = {match: match for match in before.service.matches} if before else {}
    matches = service.matches + tuple([there.get(match, match) for match in found])
    warnings += missing(service, matches, why, left, package) + deaf(service, facts, package)
    stays = [(match_text(match), text) for match, text, _ in left]
    return with_(service, matches=matches), stays + [(host, why[host]) for host in sorted(why)]


def named(service: "Service", facts: "Facts") -> "tuple[list[Match], dict[str, str]]":
    """(matches, why): a Match for each address of the service's names, and why a name has none."""
    own = [address.parse_address(text) for text in facts.addresses]
    found: list[Match] = []
    why = {}
    seen: dict[tuple, int] = {}
    for match in service.matches:
        _note(match, match.dst, seen)
    fixed = [match.dst.packed for match in service.matches if match.dst]
    room = MOST - len(service.matches)
    for group in service.named:
        families = {match.family for match in group.matches}
        snooped = {}
        for host in group.hosts:
            known, told = facts.hosts.get(host, UNASKED), facts.hosts.get((service.name, host), UNTOLD)
            there = [packed for packed in known.addresses if address.family_of(packed) in families]
            theirs = [packed for packed in there if packed not in own]
            snooped[host] = [packed for packed in told.addresses if packed not in own]
            if not theirs and not any(address.family_of(packed) in families for packed in snooped[host]):
                why[host] = ITSELF if there else told.reason or known.reason or OTHER_FAMILY
            elif len(found) >= room:
                why[host] = TOO_MANY
            _add(theirs, host, group.matches, found, seen, room)
        for host in group.hosts:  # less certain, and so behind all others
            _add(snooped[host], host + SNOOPED, group.matches, found, seen, room)
        for proto, dst, ports, src, mac in facts.held.get(service.name, ()):
            if dst.packed not in own and dst.packed not in fixed:
                low, high = ports or (0, 65535)
                same = [each for each in group.matches if (each.proto, each.src, each.mac) == (proto, src, mac)]
                same = [each for each in same if not each.dport or each.dport[0] <= low <= high <= each.dport[1]]
                _add([dst.packed], BEFORE, same, found, seen, room)
    return found, why


def _add(
    addresses: "Iterable[bytes]",
    host: str,
    templates: "Sequence[Match]",
    found: "list[Match]",
    seen: "dict[tuple, int]",
    room: int,
) -> None:
    for packed in addresses:
        prefix = address.Prefix(address.family_of(packed), packed, 8 * len(packed))
        for each in templates:
            key = _key(each, prefix)
            if each.family != prefix.family or key in seen or len(found) >= room:
                continue
            if seen.get(key[:3], each.to_port) == each.to_port:
                _note(each, prefix, seen)
                found.append(with_(each, dst=prefix, host=host))


def _note(match: "Match", dst: "Prefix | None", seen: "dict[tuple, int]") -> None:
    """Notes where a match of `dst` leads to: nobody's packets can go elsewhere from there (config.service)."""
    key = _key(match, dst)
    seen[key] = seen[key[:3]] = match.to_port


def _key(match: "Match", dst: "Prefix | None") -> tuple:
    """Names may share an address; the first one has it."""
    return match.proto, dst, match.dport, match.src, match.mac


def deaf(service: "Service", facts: "Facts", package: str) -> "list[Problem]":
    """A warning where the answers are not seen that clients get."""
    texts = {facts.hosts.get((service.name, host), UNTOLD).reason for group in service.named for host in group.hosts}
    where = "%s.%s.snoop" % (package, service.name)
    return [Problem(UNSUPPORTED, "", where, text) for text in sorted(texts) if text]


def missing(
    service: "Service",
    matches: "Sequence[Match]",
    why: "dict[str, str]",
    left: "list[tuple[Match, str, str]]",
    package: str,
) -> "list[Problem]":
    """Warnings about names without an address, and about those of which something is `left`: [(match, why, who has
    it)]. They name no address: each new one would be another warning. Raises Skip if nothing is left to take."""
    said = [
        ["%s (%s)" % (host, why[host]) for host in sorted(why) if why[host] != UNKNOWN],
        sorted({"%s with %s" % (match.host, whose) for match, _, whose in left}),
    ]
    texts = [word + some(each) for word, each in zip(("has no address now: ", "shares addresses: "), said) if each]
    if not matches:
        raise skip(service, package, "dest_host", "; ".join((texts or [ASKING]) + ["the cloud answers"]))
    where = "%s.%s.dest_host" % (package, service.name)
    return [Problem(CONFIG, "", where, text + "; the service runs without") for text in texts]


def held(found: "Sequence[Found]") -> "list[tuple]":
    """What of a service's redirect in the kernel is for single addresses (datapath.taken). What its namespace shows
    does not count: its program may have rights there."""
    items = [each.item for each in redirects_of(found) if not is_left(each.item)]
    taken = [datapath.of(item).taken(item) for item in items]
    return [each for each in taken if each[1] and each[1].length == address.bits(each[1].family)]


def shared(part: "ServicePlan", before: "ServicePlan | None", found: "Sequence[Found]") -> "ServicePlan":
    """An equal plan, as far as possible of the objects of the one before (None without one) and of those that were
    found: each address has several, and with hundreds of them that is most of the memory that a look takes."""
    there = {each.item: each.item for each in found}
    texts = {item.address: item.address for item in part.items if isinstance(item, Address)}
    part = with_(part, items=[there.get(item) or _with_text_of(texts, item) for item in part.items])
    # After a reload the settings are new objects: then those of before have no place beside them.
    if before is None or before.service.program is not part.service.program:
        return part
    return type(part)(*[old if old == new else new for old, new in zip(before, part)])


def _with_text_of(texts: "dict[str, str]", item: "Any") -> "Any":
    if not isinstance(item, BpfMatch) or item.dst not in texts:
        return item
    return with_(item, dst=texts[item.dst])
