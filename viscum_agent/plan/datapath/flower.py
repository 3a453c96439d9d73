"""The flower datapath: a match as named fields, which the kernel hashes: a thousand of them cost no more than one."""

from ... import address
from ...records.facts import Feature
from ...records.objects import PRIO_ANY, Filter, Qdisc, prio_of
from . import classifier

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ...config.service import Match
    from ...records.facts import Device, Features

NAME = "flower"
FEATURES = (Feature(NAME, "cls_flower", "kmod-sched-flower", "datapath 'auto' takes %(others)s"),)
NEEDS = ("flower", "mirred")
ROUTED = MACS = DECEIVED = True
BARE, VLANS = classifier.BARE, classifier.VLANS

mac_policy, reply, missing = classifier.mac_policy, classifier.reply, classifier.missing


def lacks(features: "Features") -> str:
    return classifier.lacks(FEATURES[0], features)


def is_own(item: "Any") -> bool:
    return isinstance(item, Filter) and item.kind == NAME


def taken(item: "Filter") -> tuple:
    keys = dict(item.keys or ())
    dst, src = [address.network(keys[name]) if name in keys else None for name in ("dst_ip", "src_ip")]
    low, _, high = keys.get("dst_port", "").partition("-")
    ports = (int(low), int(high or low)) if low else None
    return keys.get("ip_proto", ""), dst, ports, src, keys.get("src_mac", "")


def shared(device: "Device", made: "list[Filter]", features: "Features") -> list:
    return [Qdisc(device.name)]


def rests_on(item: "Filter") -> list:
    return [Qdisc(item.dev)]


def filters(
    dev: str,
    match: "Match",
    level: int,
    mac: str,
    actions: "tuple[tuple, ...]",
    watched: bool = False,
    checked: bool = False,
    vlan: int = 0,
) -> "list[Filter]":
    """The filter of one match on one device, as a list with one objects.Filter. It sees neither replies nor routes, so
    nothing can be `watched` or `checked`."""
    return flows(dev, match, level, actions, mac=mac if level >= PRIO_ANY else "", src_mac=match.mac)


def flows(
    dev: str,
    match: "Match",
    level: int,
    actions: "tuple[tuple, ...]",
    flags: "tuple[int, int] | None" = None,
    back: bool = False,
    mac: str = "",
    src_mac: str = "",
) -> "list[Filter]":
    """The filter of what a match takes, or with `back` of the replies to it, as in u32."""
    source, target = (match.dst, match.src) if back else (match.src, match.dst)
    keys = []
    if mac:
        keys.append(("dst_mac", mac))
    if src_mac:
        keys.append(("src_mac", src_mac))
    if match.proto:
        keys.append(("ip_proto", match.proto))
    if source is not None:
        keys.append(("src_ip", address.format_prefix(source)))
    if target is not None:
        keys.append(("dst_ip", address.format_prefix(target)))
    if match.dport is not None:
        low, high = match.dport
        keys.append(("src_port" if back else "dst_port", "%d" % low if low == high else "%d-%d" % (low, high)))
    if flags is not None:
        keys.append(("tcp_flags", "0x%x/0x%x" % flags))
    protocol = "ip" if match.family == 4 else "ipv6"
    return [
        Filter(
            dev=dev,
            prio=prio_of(level, match.family),
            protocol=protocol,
            kind=NAME,
            bucket=-1,
            keys=tuple(keys),
            actions=actions,
        )
    ]
