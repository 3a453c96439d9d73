"""Findings about the running kernel: what it has, and which service needs what it lacks."""

from ..kernel.bpf_syscall import BPFFS
from ..plan.datapath import DATAPATHS
from .finding import configure, error, note, ok, unread, warning
from .target import names, needs_nat, way

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..config.service import Settings
    from ..records.facts import Features
    from .finding import Finding
    from .machine import Machine
    from .target import Target

# A feature, what it is called there, and OpenWrt's package for it (netsupport.mk, netfilter.mk of openwrt/openwrt); ""
# for what no package brings.
FEATURES = (
    ("bpf", "eBPF programs at an ingress hook", ""),
    ("tcx", "tcx", ""),
    ("u32", "cls_u32 at an ingress hook", "kmod-sched-core"),
    ("flower", "cls_flower", "kmod-sched-flower"),
    ("mirred", "act_mirred", "kmod-sched-core"),
    ("skbmod", "act_skbmod", "kmod-sched"),
    ("skbedit", "act_skbedit", "kmod-sched-core"),
    ("nat", "nft redirect", "kmod-nft-nat"),
    ("netdev", "nft's ingress hook", "kmod-nft-netdev"),
)

NEWER = "take OpenWrt 24.10 or newer (kernel 6.6), built with CONFIG_KERNEL_BPF_SYSCALL (it is by default)"
CLS_BPF = "kmod-sched-bpf"
RELOAD = "/etc/init.d/viscum reload"


def install(machine: "Machine", package: str) -> str:
    """The command that installs a package here."""
    if machine.manager == "apk":
        return "apk add " + package
    if machine.manager == "opkg":
        return "opkg update && opkg install " + package
    return "install %s (opkg install, on OpenWrt 25.12 apk add)" % package


def findings(machine: "Machine", targets: "list[Target]", settings: "Settings") -> "list[Finding]":
    if machine.features is None:
        return [_blind(machine)]
    found = [_veth(machine)] if machine.veth is False else []
    if machine.veth is None:
        found.append(unread("kernel-veth", machine.unread["veth"]))
    for feature, what, package in FEATURES:
        if feature == "tcx" and not machine.features.bpf:
            continue  # that says it all
        if not getattr(machine.features, feature):
            found.append(_missing(machine, targets, settings, feature, what, package))
    there = [what for feature, what, _ in FEATURES if getattr(machine.features, feature)]
    if machine.veth:
        there.append("veth")
    return ([ok("kernel", "has " + ", ".join(there))] if there else []) + found


def _blind(machine: "Machine") -> "Finding":
    why = machine.unread["features"]
    if not machine.root:
        return unread("kernel", "this needs root")
    means = "no service can run; small-flash builds leave network namespaces out, and no package adds them"
    return error("kernel", why, means, (), "build an image with CONFIG_KERNEL_NAMESPACES=y and CONFIG_KERNEL_NET_NS=y")


def _veth(machine: "Machine") -> "Finding":
    return error("kernel-veth", "has no veth", "no service can run", (), install(machine, "kmod-veth"))


def _missing(
    machine: "Machine", targets: "list[Target]", settings: "Settings", feature: str, what: str, package: str
) -> "Finding":
    features = machine.features
    identity, found = "kernel-" + feature, "has no " + what
    mend = install(machine, package) if package else NEWER
    if feature == "bpf" and machine.lacks:
        found += ": lacks " + machine.lacks
        mend = _mend_bpf(machine)
    if not features.bpf and (feature == "mirred" or feature == "u32" and not features.flower):
        return error(identity, found, "no service can run: nothing can be redirected", (), mend)
    touched = names([target for target in targets if _needs(target, feature, settings, features)])
    if touched:
        return error(identity, found, "needs it and is skipped", touched, mend)
    return note(identity, found, WITHOUT[feature], (), mend)


def _mend_bpf(machine: "Machine") -> str:
    """What is lacking names the package, or what is wrong with the BPF file system."""
    if CLS_BPF in machine.lacks:
        return install(machine, CLS_BPF)
    for word in machine.lacks.split():
        if word.startswith(BPFFS + "/"):
            return "rm -r %s && %s" % (word, RELOAD)
        if word.startswith("(%s:" % BPFFS):
            return "mount -o remount,rw %s && %s" % (BPFFS, RELOAD)
    return NEWER


# What the other services do without a feature.
WITHOUT = {
    "bpf": "datapath 'auto' takes flower or u32, whose replies are routed and cost more",
    "tcx": "programs are attached as filters (cls_bpf), in a qdisc that others may delete for a moment",
    "u32": "services with datapath 'u32' can't run",
    "flower": "datapath 'auto' takes bpf or u32",
    "mirred": "services with datapath 'flower' or 'u32' can't run",
    "skbmod": "with rewrite 'auto' the service's interface takes the MAC address that clients send to",
    "skbedit": "rewrite 'both' is not available",
    "nat": "services for prefixes, for several UDP addresses or with target_port can't run",
    "netdev": "without act_skbmod, all source devices of a service need the same MAC address",
}


def _needs(target: "Target", feature: str, settings: "Settings", features: "Features") -> bool:
    """Whether a service cannot run without a feature."""
    service = target.service
    asked = DATAPATHS.get(service.datapath or settings.datapath)  # None for 'auto', which takes another one
    if asked and feature in asked.NEEDS:
        return True
    if feature == "nat":
        return needs_nat(target)
    if not way(target, settings, features).MACS:
        return False
    return service.rewrite in {"skbmod": ("dst", "both"), "skbedit": ("both",)}.get(feature, ())


def back_end(machine: "Machine", settings: "Settings") -> "list[Finding]":
    """The second netlink back end needs a library."""
    if settings.netlink != "pyroute2" or machine.library:
        return []
    means = "the agent does not start; 'native' needs no library"
    mend = configure(["set viscum.@globals[0].netlink='native'"])
    if machine.interpreter == "micropython":
        return [error("netlink", "option netlink 'pyroute2' under MicroPython", means, (), mend)]
    found = "option netlink 'pyroute2', but pyroute2 is not installed"
    return [error("netlink", found, means, (), mend + "\n" + install(machine, "python3-pyroute2"))]


def interpreter(machine: "Machine") -> "Finding":
    version = ".".join([str(number) for number in machine.version])
    least = (1, 23) if machine.interpreter == "micropython" else (3, 11)
    found = "%s %s" % ("MicroPython" if machine.interpreter == "micropython" else "CPython", version)
    if machine.version >= least:
        return ok("interpreter", found)
    return warning("interpreter", found, "is older than what Viscum is tested with (%d.%d)" % least)
