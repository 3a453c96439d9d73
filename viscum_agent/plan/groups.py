"""What everybody knows of groups of clients (config/groups.py). Who the hosts in them are is in leased.py."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..config.service import Service

MOST = 256  # clients of a service, or of those that it excludes, and members of a group; more is a mistake in a list


def wanted(services: "Iterable[Service]") -> "set[str]":
    """The names whose leases count."""
    return {host for each in services if each.enabled for host in each.client_hosts + each.exclude_hosts}


def once(items: "Iterable") -> tuple:
    """Without those that were there before."""
    found: list = []
    for each in items:
        if each not in found:
            found.append(each)
    return tuple(found)
