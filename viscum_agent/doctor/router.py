"""Findings about the way of the replies and of clients in a bypass: forwarding, rp_filter, firewall, L3 devices."""

from ..config import uci
from ..optional import install
from ..plan.sources import takes
from ..records.objects import device_name
from .finding import configure, error, note, ok, unread, warning
from .machine import INCLUDES
from .target import has_family, names, routed, way

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..config.service import Settings
    from ..records.facts import Device
    from .finding import Finding
    from .machine import Machine
    from .target import Target

# Where each of our includes ends up: at which hook of netfilter, and what is lost without it.
_PLACES = {
    "prerouting": (INCLUDES[0], error, "replies count as invalid connections and are dropped"),
    "forward": (INCLUDES[1], error, "replies are rejected"),
    "input": (INCLUDES[2], warning, "IPv6 replies are lost: neighbour discovery is rejected"),
}
RELOAD = "/etc/init.d/firewall reload"


def findings(machine: "Machine", targets: "list[Target]", settings: "Settings") -> "list[Finding]":
    found = _forwarding(machine, targets) + _rp_filter(machine, targets)
    return found + _firewall(machine, targets, settings) + _devices(machine, targets, settings)


def _forwarding(machine: "Machine", targets: "list[Target]") -> "list[Finding]":
    """Also with eBPF: bpf_fib_lookup knows no way to a client where forwarding is off."""
    found = []
    ipv4 = [target for target in targets if has_family(target, 4)]
    ipv6 = [target for target in targets if has_family(target, 6)]
    deaf = [each for each in ipv4 if _value(machine, "net/ipv4/conf/%s/forwarding", each) == 0]
    if deaf:
        keys = ["sysctl -w net.ipv4.conf.%s.forwarding=1" % device_name(each.service.name) for each in deaf]
        text = "IPv4 is not forwarded from %s" % ", ".join([device_name(each.service.name) for each in deaf])
        found.append(error("ip-forward", text, "replies are dropped", names(deaf), "\n".join(keys)))
    if _number(machine, "net/ipv4/ip_forward") is None:
        found.append(unread("ip-forward", "there is no net.ipv4.ip_forward"))
    elif _number(machine, "net/ipv4/ip_forward") == 0:
        means = "in a bypass, clients reach the cloud only if they have another router"
        text = "this router does not forward IPv4"
        found.append(note("ip-forward", text, means, names(ipv4), "sysctl -w net.ipv4.ip_forward=1"))
    forwards = _number(machine, "net/ipv6/conf/all/forwarding")
    if forwards is None:
        found.append(note("ipv6-forward", "this kernel has no IPv6", "IPv6 matches are skipped", names(ipv6)))
    elif forwards == 0 and ipv6:
        means = "replies over IPv6 are dropped"
        fix = "sysctl -w net.ipv6.conf.all.forwarding=1"
        found.append(error("ipv6-forward", "this router does not forward IPv6", means, names(ipv6), fix))
    elif forwards == 0:
        found.append(note("ipv6-forward", "this router does not forward IPv6", "no service needs it"))
    return found or [ok("forwarding", "on")]


def _number(machine: "Machine", key: str) -> "int | None":
    value = machine.sysctls.get(key)
    return None if value is None else int(value)


def _value(machine: "Machine", pattern: str, target: "Target") -> "int | None":
    """A sysctl of a service's device, None while the service is down."""
    return _number(machine, pattern % device_name(target.service.name))


def _rp_filter(machine: "Machine", targets: "list[Target]") -> "list[Finding]":
    """The kernel takes the larger of conf/all and conf/DEV (ip-sysctl.rst): 1 is strict, 2 loose.

    Also with eBPF: the ARP requests by which the service finds the router have the cloud's address, too.
    """
    everywhere = _number(machine, "net/ipv4/conf/all/rp_filter")
    if everywhere is None:
        return [unread("rp-filter", "there is no net.ipv4.conf.all.rp_filter")]
    values = [(target, _value(machine, "net/ipv4/conf/%s/rp_filter", target)) for target in targets]
    strict = [target for target, value in values if value is not None and max(everywhere, value) == 1]
    if strict:
        loose = 2 if everywhere == 1 else 0
        fix = ["sysctl -w net.ipv4.conf.%s.rp_filter=%d" % (device_name(each.service.name), loose) for each in strict]
        means = "replies have the cloud's address as source and are dropped"
        text = "strict on " + ", ".join([device_name(each.service.name) for each in strict])
        return [error("rp-filter", text, means, names(strict), "\n".join(fix))]
    if everywhere:
        text = "%s everywhere" % ("strict" if everywhere == 1 else "loose")
        means = "Viscum sets it to loose on its own devices; replies pass while the router has a route to the cloud"
        return [note("rp-filter", text, means, names(targets))]
    return [ok("rp-filter", "off on the way of the replies")]


def _firewall(machine: "Machine", targets: "list[Target]", settings: "Settings") -> "list[Finding]":
    if machine.ruleset is None:
        return [unread("firewall", machine.unread["ruleset"], "so it is not known whether replies pass")]
    fw4 = any(chain.table == "fw4" for chain in machine.ruleset.chains)
    filters = sorted({chain.table for chain in machine.ruleset.chains if chain.hook == "forward"})
    if not filters and not machine.tables:
        return [ok("firewall", "none is loaded that could drop replies")]
    found = []
    if "filter" in (machine.tables or ()):
        means = "Viscum can't read them: they must let replies pass untracked (docs/operations.md)"
        found.append(note("firewall", "legacy iptables rules are loaded", means))
    if not filters:
        return found
    missing = [hook for hook in ("prerouting", "forward", "input") if not machine.ruleset.ours.get(hook)]
    if not missing:
        return found + [ok("firewall", "has loaded Viscum's rules, in table " + ", ".join(filters))]
    touched = {"input": names([target for target in targets if has_family(target, 6)])}
    for hook in ("prerouting", "forward"):
        touched[hook] = names([target for target in targets if routed(target, settings, machine.features)])
    lacks = [_lacks(machine, hook, fw4, filters, touched[hook]) for hook in missing if touched[hook]]
    if not lacks:
        means = "enabling the first service reloads firewall4, which reads them"
        lacks.append(
            note("firewall", "has not loaded all of Viscum's rules, but no enabled service needs the others", means)
        )
    return found + lacks


def _lacks(machine: "Machine", hook: str, fw4: bool, filters: "list[str]", touched: "tuple[str, ...]") -> "Finding":
    name, severity, means = _PLACES[hook]
    if not fw4:
        text = "table %s lacks Viscum's rules at the hook %s" % (", ".join(filters), hook)
        if all(chain.accepts for chain in machine.ruleset.chains if chain.hook == "forward"):
            return note("firewall", text, "harmless as long as it lets everything pass", touched)
        fix = "put the rules of %s there (docs/operations.md)" % name
        return warning("firewall", text, "if it does not let them pass, " + means, touched, fix)
    text = "firewall4 has not loaded %s" % name
    if not machine.includes[name]:
        package = "viscum" if machine.interpreter == "micropython" else "viscum-cpython"
        return severity("firewall", text + ", which is not installed", means, touched, _again(machine, package))
    if uci.as_bool((machine.firewall or {}).get("auto_includes", "1")) is False:
        fix = "uci set firewall.@defaults[0].auto_includes='1' && uci commit firewall && " + RELOAD
        return severity("firewall", text + ": option auto_includes '0'", means, touched, fix)
    return severity("firewall", text + ": its rules were loaded before Viscum was installed", means, touched, RELOAD)


def _again(machine: "Machine", package: str) -> str:
    if machine.manager == "apk":
        return "apk fix %s && %s" % (package, RELOAD)
    if machine.manager == "opkg":
        return "opkg install --force-reinstall %s && %s" % (package, RELOAD)
    return install(machine.manager, package) + "; then " + RELOAD


def _devices(machine: "Machine", targets: "list[Target]", settings: "Settings") -> "list[Finding]":
    """Devices whose frames have no Ethernet header: PPPoE, WireGuard, modems with raw IP. eBPF takes their packets."""
    found = []
    left = [(target, _not_taken(machine, target, settings)) for target in targets]
    for device in sorted({device for _, devices in left for device in devices}):
        touched = [target for target, devices in left if device in devices]
        stuck = [target for target, devices in left if device in devices and len(devices) == len(target.devices)]
        text = "%s has no Ethernet header (PPPoE, WireGuard, modem with raw IP)" % device.name
        if not stuck:
            found.append(note("l3-device", text, "traffic from there is not redirected", names(touched)))
        elif device.bare and machine.features and machine.features.bpf:
            changes = ["set viscum.%s.datapath='bpf'" % name for name in names(stuck)]
            found.append(error("l3-device", text, "only datapath 'bpf' takes it", names(stuck), configure(changes)))
        else:
            means = "nothing can be redirected there: name the device that clients come in on"
            found.append(error("l3-device", text, means, names(stuck), configure(_to_lan(stuck))))
    return found


def _not_taken(machine: "Machine", target: "Target", settings: "Settings") -> "list[Device]":
    """The source devices whose packets a Target's datapath does not take."""
    which = way(target, settings, machine.features)
    return [device for device in target.devices if not takes(which, device, target.service.vlan)]


def _to_lan(stuck: "list[Target]") -> "list[str]":
    """The changes that have services take their traffic from the LAN and from nowhere else."""
    changes = []
    for name in names(stuck):
        changes += ["-q delete viscum.%s.%s" % (name, option) for option in ("device", "interface")]
        changes.append("add_list viscum.%s.interface='lan'" % name)
    return changes
