"""Findings about others that use traffic control on the same devices: sqm-scripts, qosify and others."""

from ..records.objects import BPF_PRIO, MARK_PRIO, PRIOS, Qdisc
from .finding import error, note, ok, unread, warning
from .target import names, on

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..plan.actual import Observed
    from .finding import Finding
    from .machine import Machine
    from .target import Target

UNSHAPED = "redirected packets are not shaped on ingress"


def findings(
    machine: "Machine", targets: "list[Target]", observed: "Observed", interfaces: "dict[str, list[str]]"
) -> "list[Finding]":
    found = []
    devices = sorted({device.name for target in targets for device in target.devices})
    for device in devices:
        touched = names(on(targets, device))
        found += _sqm(machine, device, touched, observed)
        found += _qosify(machine, device, touched, interfaces)
        found += _strangers(device, touched, observed)
    if machine.sqm is None:
        found.append(unread("sqm", machine.unread["sqm"]))
    if machine.qosify is None:
        found.append(unread("qosify", machine.unread["qosify"]))
    if devices and not found:
        found.append(ok("neighbours", "nothing else uses the ingress of " + ", ".join(devices)))
    return found


def _sqm(machine: "Machine", device: str, touched: "tuple[str, ...]", observed: "Observed") -> "list[Finding]":
    if device not in (machine.sqm or ()):
        return []
    if observed.hooks.get(device) == "clsact":
        found = "SQM is configured for %s, whose ingress hook is a clsact" % device
        means = "SQM can't shape incoming traffic there (it needs a plain ingress qdisc) unless it starts before Viscum"
        fix = "/etc/init.d/viscum stop && /etc/init.d/sqm restart && /etc/init.d/viscum start"
        return [warning("sqm", found, means, touched, fix)]
    found = "SQM shapes %s" % device
    means = UNSHAPED + "; a restart of SQM deletes the redirect, and the agent puts it back"
    return [note("sqm", found, means, touched)]


def _qosify(
    machine: "Machine", device: str, touched: "tuple[str, ...]", interfaces: "dict[str, list[str]]"
) -> "list[Finding]":
    names_of = [name for name in interfaces if device in interfaces[name]] + [device]
    if not any(name in (machine.qosify or ()) for name in names_of):
        return []
    runs = "shapes" if "qosify" in (machine.running or ()) else "is configured for"
    return [note("qosify", "qosify %s %s" % (runs, device), UNSHAPED, touched)]


def _strangers(device: str, touched: "tuple[str, ...]", observed: "Observed") -> "list[Finding]":
    """Filters that are not ours, and a hook that is not ours."""
    prios = sorted([prio for dev, prio in observed.foreign_prios if dev == device])
    clash = [prio for prio in prios if prio in PRIOS + (BPF_PRIO, MARK_PRIO)]
    if clash:
        found = "another program's filter at the ingress of %s uses a prio of Viscum's: %s" % (device, _list(clash))
        means = "the kernel may refuse the redirect there"
        fix = "tc filter show dev %s ingress   # move it to a prio from 10 on" % device
        return [error("ingress", found, means, touched, fix)]
    ours = any(found.item.dev == device for found in observed.shared if isinstance(found.item, Qdisc))
    if prios:
        found = "another program has filters at the ingress of %s (prio %s)" % (device, _list(prios))
        return [note("ingress", found, "Viscum's run first, so redirected packets do not reach them", touched)]
    if device in observed.hooks and not ours:
        found = "another program made the %s qdisc of %s" % (observed.hooks[device], device)
        return [note("ingress", found, "Viscum shares it; deleting it deletes the redirect", touched)]
    return []


def _list(numbers: "Iterable[int]") -> str:
    return ", ".join([str(number) for number in numbers])
