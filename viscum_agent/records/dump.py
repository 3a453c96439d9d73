"""What a back end reads from the kernel, before it is clear whose it is.

The records are the kernel's own view: devices by index, everybody's objects. `observe` turns a Dump into the records of
`objects`. Both back ends fill the same ones, so a test can compare their dumps.
"""

from collections import namedtuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .objects import AnyLocal

# `kind` is IFLA_INFO_KIND ("veth", "bridge", "" for hardware), `type` ARPHRD_* of linux/if_arp.h, `master` an index or
# 0; `peer` is the index of a pair's other end, 0 without one, `peer_nsid` the number that its namespace has here, -1
# without one.
Link = namedtuple(
    "Link", ("ns", "index", "name", "up", "mtu", "mac", "kind", "type", "master", "alias", "peer", "peer_nsid")
)
Addr = namedtuple("Addr", ("ns", "index", "address"))
RouteEntry = namedtuple("RouteEntry", ("ns", "family", "dst", "via", "oif", "src", "table", "type"))
RuleEntry = namedtuple("RuleEntry", ("ns", "family", "priority", "iif", "table"))
QdiscEntry = namedtuple("QdiscEntry", ("index", "kind"))

# An ingress filter. `protocol` is the Ethernet type; `classid` 0 for none. For u32: `divisor` > 0 is a hash table,
# `link` the table that a key of the root leads to. `keys` as in objects.Filter, None if not understood, for cls_bpf the
# number of its program; `actions` likewise, with the device of a mirred as an index. `counters` are those of its last
# action.
FilterEntry = namedtuple(
    "FilterEntry",
    (
        "index",
        "prio",
        "protocol",
        "kind",
        "handle",
        "classid",
        "divisor",
        "link",
        "keys",
        "actions",
        "counters",
    ),
)

# What tc counts for an action: `overlimits` of mirred are packets that its device did not accept (it was down). The
# eBPF datapath also counts what a match would take and was left alone (PASSED): because it belongs to a connection with
# the cloud, because no agent vouches, because the port was closed, because the router would answer elsewhere.
PASSED = ("cloud", "late", "closed", "elsewhere")
Counters = namedtuple("Counters", ("packets", "bytes", "drops", "overlimits", "cloud", "late", "closed", "elsewhere"))
NOTHING = Counters(0, 0, 0, 0, 0, 0, 0, 0)

# The eBPF datapath. A link or filter: its pin has the name of the device that it was made for, `index` is 0 if that is
# gone; `hook` and `program` as in objects.BpfLink. An entry: indexes of source interface and pair, a bpf.layout Kind
# and Tuple.
BpfLinkEntry = namedtuple("BpfLinkEntry", ("pin", "hook", "index", "program"))
BpfEntry = namedtuple(
    "BpfEntry",
    ("index", "vlan", "target", "kind", "tuple", "mac", "watched", "refused", "takes_over", "checked", "leaves"),
)

ARPHRD_ETHER = 1  # linux/if_arp.h
ARPHRD_PPP, ARPHRD_RAWIP, ARPHRD_NONE = 512, 519, 0xFFFE

# (type, kind) of links whose packets begin with the IP header for a program at their ingress: the driver sets the MAC
# header to where the network header is, in drivers/net: ppp/ppp_generic.c (also PPPoE), tun.c, wireguard/queueing.h
# (wg_reset_packet), usb/qmi_wwan.c (no kind), ethernet/qualcomm/rmnet/rmnet_handlers.c. And the kernel takes off the
# Ethernet header of what is redirected there (dev_is_mac_header_xmit of linux/if_arp.h; for PPP from 6.6 on, and in
# 5.15 and 6.1 since September 2023). What is not here is not known to be so: behind the type ARPHRD_NONE there is also
# xfrm, where a copy of the outer frame's header is in front (net/xfrm/xfrm_input.c). Other modems leave the MAC header
# unset: those of type ARPHRD_RAWIP without a kind, and the muxed ones of qmi_wwan.c (qmimux_rx_fixup).
BARE = (
    (ARPHRD_PPP, "ppp"),
    (ARPHRD_NONE, "tun"),
    (ARPHRD_NONE, "wireguard"),
    (ARPHRD_NONE, ""),
    (ARPHRD_RAWIP, "rmnet"),
)
MUXED = "qmimux"  # what the names of those begin with


def is_bare(link: "Link") -> bool:
    return (link.type, link.kind) in BARE and not (link.kind == "" and link.name.startswith(MUXED))


class Dump:
    """One reading of the kernel: the router's namespace and those named viscum-*.

    `sysctls` maps (ns, key) to text; `nats` maps a namespace to its NAT rules (None without the table), `pkttypes` to
    whether the netdev table is there. `egress`: the indexes of devices with filters at the egress hook of a clsact.
    `guards` maps the devices with a table of their own name to (the mark of their Guard, None for somebody else's; how
    many packets it dropped).
    `mutes` maps a namespace to the ports of its Mute, "" without one.
    `tbfs` maps a namespace to (rate, burst) of the queue with our handle at its eth0.
    `counting` maps a namespace to the FilterEntry records at the ingress hook of its eth0, if they were read.
    `any_local`: AnyLocal records of namespaces, where they were read.
    `listeners` maps a namespace that was asked about to its facts.Listener records. `bpf_counters` maps (index of the
    source interface, of the pair) to Counters.
    """

    def __init__(self) -> None:
        self.namespaces: list[str] = []
        self.links: list[Link] = []
        self.addresses: list[Addr] = []
        self.routes: list[RouteEntry] = []
        self.rules: list[RuleEntry] = []
        self.any_local: list[AnyLocal] = []
        self.qdiscs: list[QdiscEntry] = []
        self.filters: list[FilterEntry] = []
        self.egress: list[int] = []
        self.sysctls: dict[tuple[str, str], str] = {}
        self.nats: dict[str, tuple | None] = {}
        self.pkttypes: dict[str, object] = {}
        self.guards: dict[str, tuple[str | None, int]] = {}
        self.mutes: dict[str, str] = {}
        self.tbfs: dict[str, tuple[int, int]] = {}
        self.counting: dict[str, list[FilterEntry]] = {}
        self.listeners: dict[str, list] = {}
        self.bpf_links: list[BpfLinkEntry] = []
        self.bpf_entries: Iterable[BpfEntry] = []
        self.bpf_counters: dict[tuple[int, int], Counters] = {}

    def forget_inside(self) -> None:
        """Once it is clear what is ours: forgets what nobody asks for any more, and of which there may be thousands."""
        self.addresses = [each for each in self.addresses if each.ns == ""]
        self.bpf_entries = ()
