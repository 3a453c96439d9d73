"""Which service takes which traffic, so that no two take the same."""

from .. import address
from ..ebpf import layout
from ..records import with_
from ..records.objects import PRIO_EXACT, BpfMatch, device_name, left_classid
from . import clients, hosts
from .skip import skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..config.service import Match, Service
    from ..records.facts import Device
    from .planner import ServicePlan


TOO_MANY = (
    "makes too many kinds of matches for datapath 'bpf': with those of the services before it they are %d, and %d fit. "
    "Each length of a prefix (dest_ip, src_ip) makes one for each part of a range of ports (dest_port): use fewer "
    "lengths, single ports or all, or another datapath"
)


class Claims:
    """What each service has exclusively: its device's name, its traffic, and a datapath for each device.

    Two services must not take the same packets of a device, unless one match is narrower by its prio
    (datapath.level_of). The kernel keeps only filters of one kind in a prio, so all services on a device have one
    datapath. With eBPF they share the room for kinds of matches (ebpf/layout.py).
    """

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._left: dict[int, tuple[str, bool]] = {}
        # By place and address: matches, each with its service behind it. There may be thousands of these.
        self._traffic: dict[tuple, dict[bytes, list]] = {}
        self._datapaths: dict[str, tuple[str, str]] = {}
        self._kinds: set[layout.Kind] = set()

    def take_name(self, service: "Service", package: str) -> None:
        """Claims the name of the service's device; raises Skip if a longer name was shortened to the same."""
        name = device_name(service.name)
        other = self._names.setdefault(name, service.name)
        if other != service.name:
            text = "its device would be called %s, like that of '%s': rename the section" % (name, other)
            raise skip(service, package, "", text)
        leaves = clients.leaves(service)
        other, other_leaves = self._left.setdefault(left_classid(name), (service.name, leaves))
        if other != service.name and (leaves or other_leaves):
            text = "what it leaves to the cloud would be taken for what '%s' does: rename the section"
            raise skip(service, package, "", text % other)

    def take(self, part: "ServicePlan", package: str) -> None:
        """Claims all of a ServicePlan; raises Skip, claiming nothing, if an earlier service has a part of it."""
        service = part.service
        for dev in part.devices:
            which, name = self._datapaths.get(dev, (part.datapath, ""))
            if which != part.datapath:
                text = "'%s' can't be on %s beside '%s' of service '%s': a device has one datapath"
                raise skip(service, package, "datapath", text % (part.datapath, dev, which, name))
        # Each VLAN of a device has traffic of its own.
        sources = [(dev, service.vlan) for dev in part.devices]
        for source in sources:
            for match in service.matches:
                _, text = self._whose(service, source, match)
                if text:
                    raise skip(service, package, "dest_ip" if match.dst else "dest_port", "takes " + text)
        self._take_kinds(part, package)
        for source in sources:
            for match in service.matches:
                for place, dst in _places(service, source, match):
                    self._traffic.setdefault(place, {}).setdefault(dst, []).extend((match, service.name))
        for dev in part.devices:
            self._datapaths[dev] = (part.datapath, service.name)

    def free(
        self, service: "Service", devices: "Iterable[Device]", matches: "Iterable[Match]"
    ) -> "tuple[list[Match], list[tuple[Match, str, str]]]":
        """(those of the matches that no earlier service has, [(match, why, who has it)] of the others)"""
        found, left = [], []
        for match in matches:
            whose = [self._whose(service, (each.name, service.vlan), match) for each in devices]
            whose = [each for each in whose if each[0]]
            if whose:
                left.append((match, "is " + whose[0][1], "service '%s'" % whose[0][0]))
            else:
                found.append(match)
        return found, left

    def _whose(self, service: "Service", source: tuple, match: "Match") -> "tuple[str, str]":
        """(which other service takes packets of a match on a (device, VLAN), that in words); "" for none."""
        for place, dst in _places(service, source, match):
            there = self._traffic.get(place, {}).get(dst, [])
            for other, name in zip(there[::2], there[1::2]):
                if name != service.name and overlap(match, other):
                    return name, "the same traffic on %s as service '%s': %s" % (source[0], name, match_text(other))
        return "", ""

    def beside(self, source: "tuple[str, int | None]", match: "Match") -> "Iterable[tuple[Match, str]]":
        """What services take on a (device, VLAN), and which, that could have packets of a match, whatever its level. Of
        single addresses others than the match's own are passed by: there may be thousands."""
        single = match.dst is not None and match.dst.length == address.bits(match.family)
        for place, found in self._traffic.items():
            if place[:2] == (source, match.family):
                for dst in (match.dst.packed, b"") if single else found:
                    there = found.get(dst, [])
                    for at in range(0, len(there), 2):
                        yield there[at], there[at + 1]

    def _take_kinds(self, part: "ServicePlan", package: str) -> None:
        kinds = {layout.kind_of(item) for item in part.items if isinstance(item, BpfMatch)}
        wide = self._kinds.union([kind for kind in kinds if not layout.is_exact(kind)])
        if len(wide) > layout.MASKS:
            raise skip(part.service, package, "dest_ip", TOO_MANY % (len(wide), layout.MASKS))
        self._kinds = wide


def _places(service: "Service", source: tuple, match: "Match") -> "list[tuple[tuple, bytes]]":
    """Where a match has a place: at its level, and where something is left out of it at the next one as well. Behind
    it the address, where only matches of the same one can overlap, else nothing."""
    found = []
    for level in clients.levels(service, match):
        if level == PRIO_EXACT and match.dst is not None:
            found.append(((source, match.family, level, match.dport), match.dst.packed))
        else:
            found.append(((source, match.family, level, None), b""))
    return found


def overlap(one: "Match", other: "Match") -> bool:
    """Whether two matches of a family have packets in common."""
    if one.proto and other.proto and one.proto != other.proto:
        return False
    if one.dport and other.dport and (one.dport[1] < other.dport[0] or other.dport[1] < one.dport[0]):
        return False
    if one.mac and other.mac and one.mac != other.mac:
        return False
    return address.meet(one.dst, other.dst) and address.meet(one.src, other.src)


def configured(service: "Service") -> "list[str]":
    """What is configured to be taken, in words, sorted: by name as far as it is taken."""
    found = {match_text(match) for match in service.matches}
    for group in service.named:
        for host in group.hosts:
            if len(found) < hosts.MOST:
                found.update([match_text(with_(match, host=host)) for match in group.matches])
    return sorted(found)[: max(hosts.MOST, len(service.matches))]


def match_text(match: "Match") -> str:
    """A match in a few words: `tcp 203.0.113.10/32 port 5201`."""
    words = [match.proto or "any protocol"]
    if match.dst:
        words.append(address.format_prefix(match.dst) + (" (%s)" % match.host if match.host else ""))
    else:
        words.append(match.host or "any IPv%d address" % match.family)
    if match.dport:
        low, high = match.dport
        words.append("port %d" % low if low == high else "ports %d-%d" % (low, high))
    if match.src:
        words.append("from " + address.format_prefix(match.src))
    if match.mac:
        words.append("from " + match.mac)
    return " ".join(words)
