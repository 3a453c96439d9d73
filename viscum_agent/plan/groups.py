"""Who the names of hosts in a service's groups are: the clients that have them now. Leases are facts here; they are
read elsewhere (names/leases.py)."""

from ..errors import CONFIG, Problem
from ..records import with_
from ..records.facts import Host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..config.service import Service
    from ..records.facts import Facts

MOST = 256  # clients of a service, or of those that it excludes, and members of a group; more is a mistake in a list
SAID = 3  # names in a message
UNKNOWN = Host((), "was not looked for yet")


def wanted(services: "Iterable[Service]") -> "set[str]":
    """The names whose leases count."""
    return {host for each in services if each.enabled for host in each.client_hosts + each.exclude_hosts}


def known(service: "Service", facts: "Facts", package: str, warnings: "list[Problem]") -> "Service":
    """The service with the clients that its names mean now."""
    only, never = service.clients, service.exclude_clients
    where = "%s.%s." % (package, service.name)
    if service.client_hosts:
        only = _with(only or (), service.client_hosts, facts, where + "client", warnings)
    if service.exclude_hosts:
        never = _with(never, service.exclude_hosts, facts, where + "exclude_client", warnings)
    return with_(service, clients=only, exclude_clients=never)


def _with(clients: tuple, hosts: "tuple[str, ...]", facts: "Facts", where: str, warnings: "list[Problem]") -> "tuple":
    leases = {host: facts.leases.get(host, UNKNOWN) for host in hosts}
    found = once(list(clients) + [client for host in hosts for client in leases[host].addresses])
    missing = ["%s (%s)" % (host, leases[host].reason) for host in hosts if not leases[host].addresses]
    text = ""
    if missing:
        text = "is without hosts that are not known now: " + ", ".join(missing[:SAID])
        text += " and %d more" % (len(missing) - SAID) if len(missing) > SAID else ""
    elif len(found) > MOST:
        text = "means %d clients now, and only %d of them count: use prefixes" % (len(found), MOST)
    if text:
        warnings.append(Problem(CONFIG, "", where, text))
    return found[:MOST]


def once(items: "Iterable") -> tuple:
    """Without those that were there before."""
    found: list = []
    for each in items:
        if each not in found:
            found.append(each)
    return tuple(found)
