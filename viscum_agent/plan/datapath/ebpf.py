"""The eBPF datapath: a match as entries of a hash map that one program on each source interface looks packets up in."""

from ...address import format_prefix
from ...records.objects import PRIO_ANY, BpfMatch
from .u32 import blocks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ...config.service import Match


def filters(dev: str, match: "Match", level: int, mac: str, actions: "tuple[tuple, ...]") -> "list[BpfMatch]":
    """The entries of one match on one device, as objects.BpfMatch; a range of ports may take several."""
    dst = format_prefix(match.dst) if match.dst is not None else "0.0.0.0/0"  # any IPv6 address is spelled out
    src = format_prefix(match.src) if match.src is not None else ""
    target = actions[-1][1]
    mac = mac if level == PRIO_ANY else ""
    found = []
    for block in blocks(match.dport):
        port, mask = block or (0, 0)
        bits = bin(mask).count("1")
        found.append(BpfMatch(dev, level, match.proto, dst, src, port, bits, mac, target))
    return found
