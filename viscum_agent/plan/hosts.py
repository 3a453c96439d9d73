"""What everybody knows of the names of services' clouds. What is taken over by their addresses is in byname.py."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..config.service import Match, Service, Settings
    from ..errors import Problem

# Matches of a service until which it takes addresses of its names: as many rules (of 640 bytes) are sent to nftables at
# once, and a socket sends 160 KiB (net.core.wmem_default).
MOST = 240
ASKING = "has names that were not asked yet"


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


def lasting(problems: "Iterable[Problem]") -> "list[Problem]":
    """Without that names were not asked yet: of a service that is about to be configured, that says nothing."""
    return [each for each in problems if not each.message.startswith(ASKING)]
