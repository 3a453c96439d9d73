"""Findings about what carries packets past the places where Viscum can see them.

Order on receive: hardware, then traffic control (Viscum), then netfilter's flow tables, then the bridge. So only what
the hardware does itself, or what is put together before, is of interest.
"""

from ..config import uci
from .finding import note, ok, unread, warning
from .target import names, on

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..kernel.ruleset import Flowtable
    from .finding import Finding
    from .machine import Machine
    from .target import Target

HARDWARE_MEANS = (
    "a connection that was open before the redirect (after a bypass, say) stays with the cloud until it ends, because "
    "the hardware forwards it unseen; new ones are answered here"
)
HARDWARE_OFF = (
    "uci set firewall.@defaults[0].flow_offloading_hw='0' && uci commit firewall && /etc/init.d/firewall reload"
)


def findings(machine: "Machine", targets: "list[Target]") -> "list[Finding]":
    return _flows(machine, targets) + _wed(machine, targets) + _bridger(machine, targets) + _gro(machine, targets)


def _option(machine: "Machine", name: str) -> bool:
    return bool(uci.as_bool((machine.firewall or {}).get(name, "0")))


def _flows(machine: "Machine", targets: "list[Target]") -> "list[Finding]":
    if machine.ruleset is None and machine.firewall is None:
        return [unread("flow-offloading", machine.unread["ruleset"])]
    configured = _option(machine, "flow_offloading")
    hardware = configured and _option(machine, "flow_offloading_hw")
    if machine.ruleset is None:
        why = machine.unread["ruleset"]
        text = "configured %s; the flow tables could not be read: %s"
        word = "in hardware" if hardware else "in software" if configured else "off"
        return [note("flow-offloading", text % (word, why), HARDWARE_MEANS if hardware else "")]
    tables = machine.ruleset.flowtables
    in_hardware = [table for table in tables if table.hardware]
    if in_hardware:
        found = "in hardware: " + _shown(in_hardware)
        return [warning("flow-offloading", found, HARDWARE_MEANS, names(targets), HARDWARE_OFF)]
    if tables:
        found = "in software: " + _shown(tables)
        if hardware:
            found += "; hardware is configured, but the kernel refuses it, so firewall4 falls back"
        return [note("flow-offloading", found, "harmless: packets are redirected before a flow table sees them")]
    if configured:
        found = "configured %s, but there is no flow table" % ("in hardware" if hardware else "in software")
        return [note("flow-offloading", found, "takes effect when the firewall is next loaded")]
    if machine.firewall is None:
        return [note("flow-offloading", "no flow table; its option could not be read: " + machine.unread["firewall"])]
    return [ok("flow-offloading", "off")]


def _shown(tables: "Iterable[Flowtable]") -> str:
    return ", ".join(["flow table %s %s on %s" % (each.table, each.name, " ".join(each.devices)) for each in tables])


def _wed(machine: "Machine", targets: "list[Target]") -> "list[Finding]":
    drivers = [driver for driver in sorted(machine.wed) if machine.wed[driver]]
    if not drivers:
        return []
    found = "WED is on (%s): the hardware also forwards Wi-Fi traffic" % ", ".join(drivers)
    tables = machine.ruleset.flowtables if machine.ruleset else ()
    if "bridger" not in (machine.running or ()) and not any(table.hardware for table in tables):
        return [note("wed", found, "does nothing unless hardware flow offloading or bridger is on")]
    fix = "sed -i 's/wed_enable=[Y1]/wed_enable=N/' /etc/modules.conf /etc/modules.d/*; reboot"
    return [warning("wed", found, HARDWARE_MEANS, names(targets), fix)]


def _bridger(machine: "Machine", targets: "list[Target]") -> "list[Finding]":
    if machine.running is None:
        return [unread("bridger", machine.unread["running"])]
    if "bridger" not in machine.running:
        return []
    ports = sorted({device.name for target in targets for device in target.devices if device.bridged})
    if not ports:
        means = "harmless: it acts between the ports of a bridge, and services take their traffic elsewhere"
        return [note("bridger", "runs", means)]
    touched = names([target for target in targets if any(on([target], port) for port in ports)])
    fix = ["uci add_list bridger.@defaults[0].blacklist='%s'" % port for port in ports]
    means = (
        "what it has handed to the hardware on %s is forwarded unseen: such a connection stays with the cloud until "
        "it ends" % ", ".join(ports)
    )
    fix.append("uci commit bridger && /etc/init.d/bridger reload")
    return [warning("bridger", "runs", means, touched, "\n".join(fix))]


def _gro(machine: "Machine", targets: "list[Target]") -> "list[Finding]":
    if machine.gro_list is None:
        return [unread("rx-gro-list", machine.unread["gro_list"])]
    if not machine.gro_list:
        there = any(target.devices for target in targets)
        return [ok("rx-gro-list", "off where services take traffic from")] if there else []
    means = (
        "packets arrive merged and are split again in the service's namespace: correct, but slower. It is OpenWrt's "
        "default, and on again after a restart"
    )
    fix = "\n".join(["ethtool -K %s rx-gro-list off   # package ethtool" % device for device in machine.gro_list])
    return [note("rx-gro-list", "on: " + ", ".join(machine.gro_list), means, names(targets), fix)]
