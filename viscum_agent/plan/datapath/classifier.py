"""What the tc(8) datapaths have in common: a classifier finds a packet, and actions pass it to the pair."""

from collections import namedtuple

from ...errors import UNSUPPORTED
from ...records.facts import Feature
from ...records.objects import mac_of
from ..skip import skip

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...config.service import Service
    from ...records.facts import Device, Features

FEATURES = (
    Feature("mirred", "act_mirred", "kmod-sched-core", "services with datapath %(those)s can't run"),
    Feature(
        "skbmod",
        "act_skbmod",
        "kmod-sched",
        "with rewrite 'auto' the service's interface takes the MAC address that clients send to",
    ),
    Feature("skbedit", "act_skbedit", "kmod-sched-core", "rewrite 'both' is not available"),
    Feature(
        "netdev",
        "nft's ingress hook",
        "kmod-nft-netdev",
        "without act_skbmod, all source devices of a service need the same MAC address",
    ),
)

VLANS = False  # u32 sees no tag, and the router's routes would have to lead replies to the VLAN
BARE = False  # mirred passes a packet on as it is: without an Ethernet header it is no frame

# How a frame gets a MAC that the namespace accepts: actions on its way in, the MAC of the inner end, and whether the
# namespace accepts any MAC.
MacPolicy = namedtuple("MacPolicy", ("actions", "inner_mac", "any_mac"))


def lacks(own: "Feature", features: "Features") -> str:
    """Why this router can't redirect with a classifier, which has the name of its datapath; "" if it can."""
    if not features.mirred:
        return "this kernel can't redirect (no act_mirred): install kmod-sched-core"
    if not getattr(features, own.name):
        text = "'%s' needs cls_%s, which this kernel lacks: install %s, or say 'auto'"
        return text % (own.name, own.name, own.remedy)
    return ""


def missing(features: "Features") -> str:
    """Nothing but features."""
    return ""


def reply(dev: str, pair: str, features: "Features", vlan: int) -> list:
    """Nothing: the router routes replies."""
    return []


def mac_policy(service: "Service", devices: "list[Device]", features: "Features", package: str) -> "MacPolicy":
    """As the option `rewrite` says; raises Skip."""
    host, inner = mac_of(service.name, "host"), mac_of(service.name, "inner")
    rewrite, option = service.rewrite, "rewrite"
    if service.reply == "direct":
        rewrite, option = "both", "reply"
    if rewrite == "auto":
        rewrite = "dst" if features.skbmod else "none"
    if rewrite != "none" and not features.skbmod:
        text = "'%s' needs act_skbmod, which this kernel lacks: install kmod-sched, or say 'auto'"
        raise skip(service, package, option, text % getattr(service, option), UNSUPPORTED)
    if rewrite == "both" and not features.skbedit:
        text = "'%s' needs act_skbedit, which this kernel lacks: install kmod-sched-core, or say '%s'"
        other = "dst" if option == "rewrite" else "auto"
        raise skip(service, package, option, text % (getattr(service, option), other), UNSUPPORTED)
    if rewrite == "dst":
        return MacPolicy((("skbmod", inner, ""),), inner, False)
    if rewrite == "both":
        return MacPolicy((("skbedit", "host"), ("skbmod", inner, host)), inner, False)
    return _without_rewriting(service, devices, features, package)


def _without_rewriting(service: "Service", devices: "list[Device]", features: "Features", package: str) -> "MacPolicy":
    inner = mac_of(service.name, "inner")
    macs = sorted({device.takes_mac for device in devices if device.takes_mac})
    # What crosses a bridge port may be addressed to a gateway behind it, whose MAC is not known here.
    if len(macs) == 1 and not any(device.bridged for device in devices):
        return MacPolicy((), macs[0], False)
    if features.netdev:
        return MacPolicy((), inner, True)
    if len(macs) == 1:
        return MacPolicy((), macs[0], False)
    text = "%s have different MACs, which needs act_skbmod (kmod-sched) or nft's ingress hook (kmod-nft-netdev)"
    text = text % ", ".join([device.name for device in devices])
    raise skip(service, package, "device", text, UNSUPPORTED)
