"""Findings about services whose packets tc filters take: what only the eBPF programs do."""

from .finding import note
from .target import names, way

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..config.service import Settings
    from .finding import Finding
    from .machine import Machine
    from .target import Target

RESETS = "each time its redirect comes or goes, open TCP connections are reset"
ERRORS = "ICMP errors about its answers go to the cloud: behind a link of a smaller MTU clients get no large answer"
FORGED = "who forges a source address makes the service answer that address, wherever it is"
BY_EBPF = "take datapath 'bpf' or 'auto' for it"
BY_MTU = BY_EBPF + ", or set option mtu to the smallest MTU on the way to its clients"


def findings(machine: "Machine", targets: "list[Target]", settings: "Settings") -> "list[Finding]":
    if machine.features is None or not machine.features.bpf:
        return []  # the finding about what is missing says that much
    features = machine.features
    filtered = [target for target in targets if way(target, settings, features).ROUTED]
    touched = names([each for each in filtered if not way(each, settings, features).lacks(features)])
    if not touched:
        return []
    return [
        note("connections", "takes packets by tc filters (datapath 'u32' or 'flower')", RESETS, touched, BY_EBPF),
        note("icmp-errors", "not read by datapaths 'u32' and 'flower'", ERRORS, touched, BY_MTU),
        note("sources", "not compared to routes by datapaths 'u32' and 'flower'", FORGED, touched, BY_EBPF),
    ]
