"""Whose packets a service takes, and what it leaves to the cloud of what it could take: parts of its matches.

With `clients` a match becomes one for each of them. What is left out of a match has entries of its own in front of it:
they have its level, and what takes it has the next one (levels). So a narrower match of another service goes before
both, and a wider one after both. Pure functions.
"""

from .. import address
from ..errors import UNSUPPORTED
from ..records import with_
from ..records.objects import NEXT
from . import datapath
from .skip import skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..address import Prefix
    from ..config.service import Match, Service
    from ..records.facts import Device

MOST = 256  # matches or parts left out of them, of a service; more is a mistake in a list
NOBODY = "takes nobody's packets: none of its clients has an address of a family that it takes; the cloud answers"
EXCLUDED = "is excluded (exclude_client, exclude_dest)"
TOO_MANY = "makes %d entries with the matches, and at most %d fit a service: name fewer, or prefixes"
TOO_MANY_CLIENTS = "src_mac and client make %d entries with the matches, and at most %d fit: name fewer, or prefixes"
NO_MACS = "packets of %s have no MAC address: name clients there by address (src_ip, or in client, exclude_client)"


def of_clients(service: "Service", package: str) -> "Service":
    """The service with a match for each of its clients, those of names as well. Raises Skip if none is left."""
    if service.clients is None:
        return service
    matches = _each(service.matches, service.clients)
    named = [with_(group, matches=tuple(_each(group.matches, service.clients))) for group in service.named]
    named = [group for group in named if group.matches]
    if not matches and not named:
        raise skip(service, package, "", NOBODY)
    count = max([len(each) for each in [matches] + [group.matches for group in named]])
    if count > MOST:
        raise skip(service, package, "", TOO_MANY_CLIENTS % (count, MOST))
    return with_(service, matches=tuple(matches), named=tuple(named))


def _each(matches: "Iterable[Match]", clients: "Iterable[str | Prefix]") -> "list[Match]":
    found: list[Match] = []
    for match in matches:
        for client in clients:
            part = _part(match, client)
            if part is not None and part not in found:
                found.append(part)
    return found


def _part(match: "Match", client: "str | Prefix") -> "Match | None":
    """What of a match a client has, by MAC address or prefix; None for nothing."""
    if isinstance(client, str):
        return None if match.mac not in ("", client) else with_(match, mac=client)
    src = _both(match.src, client, match.family)
    return with_(match, src=src if src.length else None) if src else None


def _both(one: "Prefix | None", other: "Prefix", family: int) -> "Prefix | None":
    """What a match's prefix (None: any) and another one have in common, None for nothing."""
    if other.family != family or not address.meet(one, other):
        return None
    return other if one is None or other.length > one.length else one


def need_macs(service: "Service", devices: "Iterable[Device]", package: str) -> None:
    """Raises Skip if the packets of a device have none, and the service asks for them."""
    bare = [device.name for device in devices if device.bare]
    if bare and asks_macs(service):
        raise skip(service, package, "", NO_MACS % ", ".join(bare), UNSUPPORTED)


def is_right(client: "str | Prefix", packed: bytes, mac: str) -> bool:
    """Whether an alternative is right for an address (bytes) and a MAC address ("" for one that is not known)."""
    if isinstance(client, str):
        return client == mac
    return len(client.packed) == len(packed) and address.masked(packed, client.length) == client.packed


def takes(service: "Service", matches: "Iterable[Match]", packed: bytes, mac: str) -> bool:
    """Whether one of a service's matches is for a client."""
    if any(is_right(each, packed, mac) for each in service.exclude_clients):
        return False
    return any(each.mac in ("", mac) and (each.src is None or is_right(each.src, packed, mac)) for each in matches)


def asks_macs(service: "Service") -> bool:
    """Whether it matters to a service which MAC address a client has."""
    return any(isinstance(each, str) for each in (service.clients or ()) + service.exclude_clients)


# What is left to the cloud


def apart(service: "Service", package: str) -> "tuple[Service, list[Match]]":
    """(the service with the matches of which it takes something, the others). Raises Skip if it takes nothing."""
    if not leaves(service):
        return service, []
    whole = [match for match in service.matches if match in left(service, match)]
    kept = [match for match in service.matches if match not in whole]
    if whole and not kept:
        raise skip(service, package, "exclude_dest", "leaves nothing to take: take something out; the cloud answers")
    count = sum([len(left(service, match)) for match in kept])
    if count > MOST:
        option = "exclude_client" if service.exclude_clients else "exclude_dest"
        raise skip(service, package, option, TOO_MANY % (count, MOST))
    return with_(service, matches=tuple(kept)), whole


def leaves(service: "Service") -> bool:
    return bool(service.exclude_clients or service.exclude_dests)


def levels(service: "Service", match: "Match") -> "tuple[int, ...]":
    """The PRIO_* of a service's entries for a match: the last one of what takes, the first one of what is left out."""
    level = datapath.level_of(match)
    return (level, level + NEXT) if leaves(service) else (level,)


def left(service: "Service", match: "Match") -> "list[Match]":
    """What is left out of a match, or of a part of one: all of it if that is among them."""
    found = [_part(match, client) for client in service.exclude_clients]
    for prefix in service.exclude_dests:
        dst = _both(match.dst, prefix, match.family)
        found.append(with_(match, dst=dst) if dst else None)
    return [each for each in found if each is not None]
