"""What of a tenant's service can only be judged on this router: it takes no packet that another service takes, and none
of the router's own. What its section may say is judged in config/tenants.py."""

from .. import address
from ..records import with_
from .claims import match_text, overlap
from .skip import skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from ..config.service import Match, Service
    from ..records.facts import Device, Facts
    from .claims import Claims

# Whose it is, and what else it takes, is nothing for a tenant.
TAKEN = "takes the same traffic on %s as another service (%s): take other addresses or ports"
OWN = "%s is the router's own address, and tenant '%s' has no `list dest` for it alone: take another"


def bounded(
    service: "Service", package: str, devices: "Iterable[Device]", facts: "Facts", claims: "Claims"
) -> "Service":
    """The service without the router's own addresses. Raises Skip for what it takes of others, also where one of the
    two matches is narrower: that settles it between services of one owner."""
    tenant: Any = service.tenant
    own = [address.parse_prefix(text) for text in facts.addresses]
    own = [prefix for prefix in own if prefix not in tenant.values["dest"]]
    for match in service.matches:
        for prefix in own:
            if match.dst == prefix:
                text = OWN % (address.format_address(prefix.packed), tenant.name)
                raise skip(service, package, "dest_ip", text)
        for device in devices:
            if _is_taken(service, match, device, claims):
                option = "dest_ip" if match.dst else "dest_port"
                raise skip(service, package, option, TAKEN % (device.name, match_text(match)))
    meets = [prefix for prefix in own if any(_meets(match, prefix) for match in service.matches)]
    return with_(service, exclude_dests=service.exclude_dests + tuple(meets))


def _is_taken(service: "Service", match: "Match", device: "Device", claims: "Claims") -> bool:
    taken = claims.beside((device.name, service.vlan), match)
    return any(name != service.name and overlap(match, other) for other, name in taken)


def _meets(match: "Match", prefix: "address.Prefix") -> bool:
    return match.family == prefix.family and address.meet(match.dst, prefix)
