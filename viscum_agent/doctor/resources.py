"""Findings about memory and flash."""

from .finding import note, ok, unread, warning

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .finding import Finding
    from .machine import Machine

MB = 1024 * 1024
# What the agent takes at its peak, measured on x86-64 (docs/benchmarks.md), rounded up.
AGENT = {"cpython": 20 * MB, "micropython": 6 * MB}
SMALL = 100 * MB  # a router sold with 128 MB has that much left by kernel and firmware; OpenWrt recommends 128
SPARE = 512 * 1024  # flash: UBIFS and JFFS2 need room to write anything at all


def findings(machine: "Machine") -> "list[Finding]":
    return _memory(machine) + _disks(machine)


def _memory(machine: "Machine") -> "list[Finding]":
    if machine.memory is None:
        return [unread("memory", machine.unread["memory"])]
    total, available = machine.memory
    text = "%d MB of %d MB available" % (available // MB, total // MB)
    if available < AGENT.get(machine.interpreter, 0):
        means = "the kernel may kill the agent or a service's program when it needs more"
        return [warning("memory", text, means, (), "ps w   # what could go")]
    if total < SMALL and machine.interpreter == "cpython":
        return [note("memory", text, "little for CPython: the package viscum does the same in a third of it")]
    return [ok("memory", text)]


def _disks(machine: "Machine") -> "list[Finding]":
    found = []
    for path in sorted(machine.disks):
        total, free = machine.disks[path]
        what = "flash" if path != "/tmp" else "tmp"
        text = "%s: %s of %s free" % (path, _size(free), _size(total))
        if free < SPARE:
            means = "configuration and packages can't be written" if what == "flash" else "programs can't write there"
            found.append(warning(what, text, means, (), "du -ax %s | sort -n | tail" % path))
        else:
            found.append(ok(what, text))
    return found


def _size(count: int) -> str:
    return "%d MB" % (count // MB) if count >= 10 * MB else "%d kB" % (count // 1024)
