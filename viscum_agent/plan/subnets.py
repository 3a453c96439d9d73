"""Which service gets which subnet of the pool."""

from .. import address
from ..errors import CONFIG, Problem
from ..records.objects import name_hash
from ..shell import printable
from .skip import Skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..config.service import Service
    from ..records.facts import Facts

# How far the search for a free subnet goes. A pool with fewer free ones counts as full.
TRIES = 4096
SUBNET = {4: 30, 6: 126}  # prefix lengths: two ends and what the protocol reserves


class Subnets:
    """A point-to-point subnet for each service: the one it has, else the first free one from where its name says."""

    def __init__(self, services: "list[Service]", pool: "Iterable[address.Prefix]", facts: "Facts") -> None:
        self._pools: dict[int, list[address.Prefix]] = {}
        for prefix in pool:
            self._pools.setdefault(prefix.family, []).append(prefix)
        self._networks = [(address.parse_prefix(text), owner) for text, owner in facts.networks]
        self._given: dict[tuple, address.Prefix] = {}
        self._used = set()
        for service in services:
            for text in facts.subnets.get(service.name, []):
                subnet = address.network(text)
                if self._usable(subnet) and (service.name, subnet.family) not in self._given:
                    self._given[(service.name, subnet.family)] = subnet
                    self._used.add(subnet)
        # What is left as it is, or still ends, has its subnet until its pair is gone.
        for name in facts.subnets:
            self._used.update([address.network(text) for text in facts.subnets[name]])

    def _usable(self, subnet: "address.Prefix") -> bool:
        if subnet.length != SUBNET[subnet.family] or subnet in self._used or self._in_the_way(subnet) is not None:
            return False
        return any(address.contains(pool, subnet) for pool in self._pools.get(subnet.family, []))

    def _in_the_way(self, subnet: "address.Prefix") -> "address.Prefix | None":
        """The widest network of the router that overlaps a subnet, or None."""
        found = [network for network, _ in self._networks if address.overlaps(network, subnet)]
        return min(found, key=lambda network: network.length) if found else None

    def of(self, service: "Service", family: int, package: str) -> "tuple[str, str]":
        """(address of the router's end, address of the inner end) as text; raises Skip."""
        key = (service.name, family)
        if key not in self._given:
            self._given[key] = self._find(service, family, package)
            self._used.add(self._given[key])
        subnet = self._given[key]
        host, inner = [address.format_address(address.add(subnet.packed, offset)) for offset in (1, 2)]
        return host, inner

    def _find(self, service: "Service", family: int, package: str) -> "address.Prefix":
        reasons = []
        for pool in self._pools.get(family, []):
            owners = [owner for network, owner in self._networks if address.contains(network, pool)]
            subnet = None if owners else self._first_free(pool, name_hash(service.name))
            if subnet:
                return subnet
            reason = "overlaps the router's %s" % printable(owners[0]) if owners else "has no free subnet"
            reasons.append("%s %s" % (address.format_prefix(pool), reason))
        where = "%s.globals.pool" % package
        text = "no subnet for service '%s': %s; add another private prefix"
        reason = "; ".join(reasons) or "there is no IPv%d prefix" % family
        raise Skip(Problem(CONFIG, service.name, where, text % (service.name, reason)))

    def _first_free(self, pool: "address.Prefix", start: int) -> "address.Prefix | None":
        """The first free subnet of a pool from a place on, wrapping around; None if there is none (within TRIES)."""
        length = SUBNET[pool.family]
        count = 1 << (length - pool.length)
        place, gone = start % count, 0
        for _ in range(TRIES):
            if gone >= count:
                return None
            subnet = address.Prefix(pool.family, address.add(pool.packed, place * 4), length)
            if self._usable(subnet):
                return subnet
            network = self._in_the_way(subnet)
            size = 1 << max(0, length - network.length) if network else 1  # size of what is in the way, in subnets
            step = min(size - place % size, count - place)
            place, gone = (place + step) % count, gone + step
        return None
