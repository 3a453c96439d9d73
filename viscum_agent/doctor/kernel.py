"""Findings about the running kernel: what it has, and which service needs what it lacks."""

from .. import compat
from ..kernel import cgroup
from ..kernel.bpf_syscall import BPFFS
from ..optional import install
from ..plan import datapath
from ..plan.datapath import classifier
from ..records.facts import Feature
from ..service import box
from .finding import configure, error, note, ok, unread, warning
from .target import names, needs_nat, way

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..config.service import Settings
    from ..records.facts import Features
    from .finding import Finding
    from .machine import Machine
    from .target import Target

# What is no datapath's business.
NAT = Feature(
    "nat",
    "nft redirect",
    "kmod-nft-nat",
    "services for prefixes, for several UDP addresses or with target_port can't run",
)

GUARD = Feature(
    "guard",
    "nft's ingress hook in the inet family",
    "take OpenWrt 22.03 or newer with firewall4 (kernel 5.10), or set option egress 'any'",
    "services whose egress is not 'any' can't run",
)

NETKIT = "build an image with CONFIG_NETKIT=y (kernel 6.10 or newer)"

TBF = Feature("tbf", "sch_tbf", "kmod-sched-core", "no service can have a rate")

# What OpenWrt calls the controllers of control groups; each is on but in small-flash builds.
SYMBOLS = {"memory": "MEMCG", "cpu": "CFS_BANDWIDTH", "pids": "CGROUP_PIDS"}

RELOAD = "/etc/init.d/viscum reload"


def findings(machine: "Machine", targets: "list[Target]", settings: "Settings") -> "list[Finding]":
    if machine.features is None:
        return [_blind(machine)]
    found = [_veth(machine)] if machine.veth is False else []
    if machine.veth is None:
        found.append(unread("kernel-veth", machine.unread["veth"]))
    there = []
    for row, words in _features(machine.features):
        if getattr(machine.features, row.name):
            there.append(row.what)
        else:
            found.append(_missing(machine, targets, settings, row, words))
    if machine.veth:
        there.append("veth")
    if machine.features.netkit:
        there.append("netkit")
    elif machine.features.tcx:
        found += _netkit(machine.features, targets, settings)
    found += [_seccomp(machine.seccomp)] if machine.seccomp else []
    found += [_groups(machine.groups)] if machine.groups else []
    return ([ok("kernel", "has " + ", ".join(there))] if there else []) + found


def _blind(machine: "Machine") -> "Finding":
    why = machine.unread["features"]
    if not machine.root:
        return unread("kernel", "this needs root")
    means = "no service can run; small-flash builds leave network namespaces out, and no package adds them"
    return error("kernel", why, means, (), "build an image with CONFIG_KERNEL_NAMESPACES=y and CONFIG_KERNEL_NET_NS=y")


def _veth(machine: "Machine") -> "Finding":
    return error("kernel-veth", "has no veth", "no service can run", (), install(machine.manager, "kmod-veth"))


def _netkit(features: "Features", targets: "list[Target]", settings: "Settings") -> "list[Finding]":
    ways = [(target, way(target, settings, features)) for target in targets]
    touched = [target for target, which in ways if datapath.gains_by_netkit(target.service, settings, which)]
    if not touched:
        return []
    means = "pair 'auto' takes veth, and a reply waits for the kernel once more than it would have to"
    return [note("kernel-netkit", "has no netkit", means, names(touched), NETKIT)]


def _seccomp(why: str) -> "Finding":
    means = "programs may make every system call that their account may"
    return note("kernel-seccomp", why, means, (), "build an image with CONFIG_KERNEL_SECCOMP=y")


def _groups(missing: "dict[str, str]") -> "Finding":
    lacking = [(option, each) for option, each, _ in box.GROUPS if each in missing]
    means = "no service can have %s" % " or ".join([option for option, _ in lacking])
    if "pids" in missing:
        means += ", and none is kept from filling the router with processes"
    found = "; ".join(sorted(set(missing.values())))
    words = ["CONFIG_KERNEL_%s=y" % SYMBOLS[each] for _, each in lacking if missing[each].startswith("this kernel")]
    fix = "build an image with " + " ".join(words) if words else ""
    if found == cgroup.NO_MOUNT:
        fix = "mount -t cgroup2 cgroup2 /sys/fs/cgroup && /etc/init.d/viscum restart"
    return note("kernel-cgroup", found, means, (), fix)


def _features(features: "Features") -> "list[tuple[Feature, str]]":
    """What is judged, with what the probe says of it. What a datapath could do without says nothing where that can't be
    had at all."""
    found = []
    for each in datapath.ALL:
        known = [row for row in each.FEATURES if row.name in each.NEEDS or not each.lacks(features)]
        found += [(row, each.missing(features)) for row in known]
    return found + [(row, "") for row in classifier.FEATURES + (NAT, GUARD, TBF)]


def _missing(
    machine: "Machine", targets: "list[Target]", settings: "Settings", row: "Feature", words: str
) -> "Finding":
    features = machine.features
    identity, found = "kernel-" + row.name, "has no " + row.what + (": lacks " + words if words else "")
    fix = _remedy(machine, row, words)
    if row.name in datapath.ALL[-1].NEEDS and not _others(row, features):
        return error(identity, found, "no service can run: nothing can be redirected", (), fix)
    touched = names([target for target in targets if _needs(target, row.name, settings, features)])
    if touched:
        return error(identity, found, "needs it and is skipped", touched, fix)
    those = " or ".join(["'%s'" % each.NAME for each in datapath.ALL if row.name in each.NEEDS])
    others = " or ".join([each.NAME for each in datapath.ALL if row.name not in each.NEEDS])
    return note(identity, found, row.without % {"those": those, "others": others}, (), fix)


def _others(row: "Feature", features: "Features") -> list:
    """The datapaths that can do without a feature, and have what is their own."""
    return [each for each in datapath.ALL if row.name not in each.NEEDS and getattr(features, each.NEEDS[0])]


def _remedy(machine: "Machine", row: "Feature", words: str) -> str:
    """What the probe says may name a package, or what is wrong with the BPF file system."""
    for word in words.split():
        if word.startswith("(kmod-"):
            return install(machine.manager, word[1:-1])
        if word.startswith(BPFFS + "/"):
            return "rm -r %s && %s" % (word, RELOAD)
        if word.startswith("(%s:" % BPFFS):
            return "mount -o remount,rw %s && %s" % (BPFFS, RELOAD)
    return install(machine.manager, row.remedy) if row.remedy.startswith("kmod-") else row.remedy


def _needs(target: "Target", feature: str, settings: "Settings", features: "Features") -> bool:
    """Whether a service cannot run without a feature."""
    service = target.service
    asked = datapath.named(service.datapath or settings.datapath)  # None for 'auto', which takes another one
    if asked and feature in asked.NEEDS:
        return True
    which = way(target, settings, features)
    direct = datapath.is_direct(service, which)
    if feature == "nat":
        return needs_nat(target, direct)
    if feature == "guard":
        return service.egress[0].word != "any"
    if feature == "tbf":
        return service.rate is not None
    if not which.MACS:
        return False
    return ("both" if direct else service.rewrite) in {"skbmod": ("dst", "both"), "skbedit": ("both",)}.get(feature, ())


def back_end(machine: "Machine", settings: "Settings") -> "list[Finding]":
    """The second netlink back end needs a library."""
    if settings.netlink != "pyroute2" or machine.library:
        return []
    means = "the agent does not start; 'native' needs no library"
    fix = configure(["set viscum.@globals[0].netlink='native'"])
    if machine.interpreter == "micropython":
        return [error("netlink", "option netlink 'pyroute2' under MicroPython", means, (), fix)]
    found = "option netlink 'pyroute2', but pyroute2 is not installed"
    return [error("netlink", found, means, (), fix + "\n" + install(machine.manager, "python3-pyroute2"))]


def interpreter(machine: "Machine") -> "Finding":
    version = ".".join([str(number) for number in machine.version])
    oldest, newest = compat.TESTED[machine.interpreter]
    found = "%s %s" % ("MicroPython" if machine.interpreter == "micropython" else "CPython", version)
    tested = "%%s than what Viscum is tested with (%d.%d to %d.%d)" % (oldest + newest)
    if machine.version > newest:
        return note("interpreter", found, tested % "is newer")
    if machine.version >= oldest:
        return ok("interpreter", found)
    means = tested % "is older" + ": what this one lacks shows only when it is used"
    return warning("interpreter", found, means, (), "upgrade OpenWrt to 24.10 or newer, which has %d.%d" % oldest)
