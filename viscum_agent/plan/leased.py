"""Who the names of hosts in a service's groups are: the clients that have them now. Leases are facts here; they are
read elsewhere (names/leases.py)."""

from ..errors import CONFIG, Problem
from ..records import with_
from ..records.facts import Host
from ..shell import some
from .groups import MOST, once
from .skip import skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..config.service import Service
    from ..records.facts import Facts

UNKNOWN = Host((), "was not looked for yet")


def known(service: "Service", facts: "Facts", package: str) -> "tuple[Service, list[Problem]]":
    """(the service with the clients that its names mean now, warnings about others). Raises Skip if that is nobody."""
    clients: list[tuple | None] = []
    warnings = []
    for option, there, hosts in (
        ("client", service.clients, service.client_hosts),
        ("exclude_client", service.exclude_clients, service.exclude_hosts),
    ):
        if hosts:
            there, said = _with(there or (), hosts, facts)
            if option == "client" and not there:
                raise skip(service, package, option, said + "; the cloud answers")
            warnings += [Problem(CONFIG, "", "%s.%s.%s" % (package, service.name, option), said)] if said else []
        clients.append(there)
    return with_(service, clients=clients[0], exclude_clients=clients[1]), warnings


def _with(clients: tuple, hosts: "tuple[str, ...]", facts: "Facts") -> "tuple[tuple, str]":
    """(these and the hosts' clients, what there is to say of those)."""
    leases = {host: facts.leases.get(host, UNKNOWN) for host in hosts}
    found = once(list(clients) + [client for host in hosts for client in leases[host].addresses])
    away = ["%s (%s)" % (host, leases[host].reason) for host in hosts if not leases[host].addresses]
    text = ""
    if away:
        text = "is without hosts that are not known now: " + some(away)
    elif len(found) > MOST:
        text = "means %d clients now, and only %d of them count: use prefixes" % (len(found), MOST)
    return found[:MOST], text
