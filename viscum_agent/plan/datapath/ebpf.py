"""The eBPF datapath: a match as entries of a hash map that one program on each source interface searches."""

from ...address import format_prefix, network
from ...ebpf import TAGGED, name_of
from ...records.facts import Feature
from ...records.objects import CLS, LEAVE, NETKIT, PRIO_ANY, TCX, BpfLink, BpfMatch, Qdisc, mac_of
from .classifier import MacPolicy
from .u32 import blocks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ...config.service import Match, Service
    from ...records.facts import Device, Features

NAME = "bpf"
_NEWER = "take OpenWrt 24.10 or newer (kernel 6.6), built with CONFIG_KERNEL_BPF_SYSCALL (it is by default)"
FEATURES = (
    Feature(
        "bpf",
        "eBPF programs at an ingress hook",
        _NEWER,
        "datapath 'auto' takes %(others)s, whose replies are routed and cost more, and which reset open connections",
    ),
    Feature(
        "tcx",
        "tcx",
        _NEWER,
        "programs are attached as filters (cls_bpf), in a qdisc that others may delete for a moment",
    ),
)
NEEDS = ("bpf",)
BARE = VLANS = True
ROUTED = DECEIVED = False
MACS = False  # bpf_redirect_peer passes packets from device to device whatever their MAC


def lacks(features: "Features") -> str:
    return "" if features.bpf else "'bpf' can't be used: this router lacks %s; or say 'auto'" % missing(features)


def missing(features: "Features") -> str:
    return features.lacks


def mac_policy(service: "Service", devices: "list[Device]", features: "Features", package: str) -> "MacPolicy":
    return MacPolicy((), mac_of(service.name, "inner"), False)


def reply(dev: str, pair: str, features: "Features", vlan: int) -> list:
    which = TAGGED if vlan else "reply"
    if pair == NETKIT:  # where what the program sends gets there, not behind a queue of the kernel's
        return [BpfLink(dev, NETKIT, name_of(which))]
    return _at_hook(dev, which, features)


def is_own(item: "Any") -> bool:
    return isinstance(item, BpfMatch)


def taken(item: "BpfMatch") -> tuple:
    dst, src = [network(text) if text else None for text in (item.dst, item.src)]
    ports = (item.port, item.port | 0xFFFF >> item.port_bits) if item.port_bits else None
    return item.proto, dst, ports, src, item.src_mac


def shared(device: "Device", made: "list[BpfMatch]", features: "Features") -> list:
    return _at_hook(device.name, "bare" if device.bare else "fwd", features)


def rests_on(item: "BpfMatch") -> list:
    """A match does not say which program it is for, nor at which hook that is; only the place counts."""
    return [Qdisc(item.dev)] + [BpfLink(item.dev, hook, name_of("fwd")) for hook in (TCX, CLS)]


def _at_hook(dev: str, which: str, features: "Features") -> list:
    """A program at a device, and the qdisc that it needs if it is a filter."""
    link = BpfLink(dev, TCX if features.tcx else CLS, name_of(which))
    return [link] if features.tcx else [Qdisc(dev), link]


def filters(
    dev: str,
    match: "Match",
    level: int,
    mac: str,
    actions: "tuple[tuple, ...]",
    watched: bool = False,
    checked: bool = False,
    vlan: int = 0,
) -> "list[BpfMatch]":
    """The entries of one match on one device, as objects.BpfMatch; a range of ports may take several.
    `watched` is whether a port that turns out to be closed is left to the cloud at once, `checked` whether
    only clients are taken that the router would answer over this device."""
    dst = format_prefix(match.dst) if match.dst is not None else "0.0.0.0/0"  # any IPv6 address is spelled out
    src = format_prefix(match.src) if match.src is not None else ""
    target = actions[-1][1]
    leaves = actions[0][0] == LEAVE
    mac = mac if level >= PRIO_ANY else ""
    found = []
    for block in blocks(match.dport):
        port, mask = block or (0, 0)
        bits = bin(mask).count("1")
        found.append(
            BpfMatch(
                dev=dev,
                vlan=vlan,
                level=level,
                proto=match.proto,
                dst=dst,
                src=src,
                src_mac=match.mac,
                port=port,
                port_bits=bits,
                mac=mac,
                target=target,
                # One port of a range may well be closed.
                watched=(not mac and match.to_port or port) if watched and bits == 16 else 0,
                checked=checked,
                leaves=leaves,
            )
        )
    return found
