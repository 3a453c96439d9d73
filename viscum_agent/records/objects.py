"""The kernel objects of a service, as plain data.

`plan` makes them from the configuration, `observe` finds the same records in a kernel dump, `diff` compares the two,
and the back ends in kernel/ write them to the kernel and read them back. Every record is a tuple of text, numbers and
tuples, so that equality means what it says and a golden file can show it. Devices are named, never numbered: an index
dies with its device.

`ns` is the name of a network namespace in /var/run/netns, "" for the one that the agent runs in (the router's).
"""

from collections import namedtuple

from . import with_

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# A named network namespace (ip-netns(8)).
Namespace = namedtuple("Namespace", ("name",))

# A value under /proc/sys, seen from inside `ns`; `key` with slashes ("net/ipv4/ip_forward"), `value` as text.
Sysctl = namedtuple("Sysctl", ("ns", "key", "value"))

# A pair of devices of a `kind`: `name` in the router, `peer` inside `ns`, both up. `alias` (ifalias) marks it as ours
# and carries notes.
Pair = namedtuple("Pair", ("name", "ns", "peer", "mtu", "mac", "peer_mac", "alias", "kind"))
VETH, NETKIT = "veth", "netkit"

# A device that has to be up (the loopback of a namespace).
Up = namedtuple("Up", ("ns", "dev"))

# An address with its prefix length: "10.213.0.1/30".
Address = namedtuple("Address", ("ns", "dev", "address"))

# A route in the main table. `dst` is a prefix, or "default" with its `family`; `via` and `src` may be "".
Route = namedtuple("Route", ("ns", "family", "dst", "via", "dev", "src"))

# A policy rule (ip-rule(8)): packets that come in on `iif` look up `table`.
Rule = namedtuple("Rule", ("ns", "family", "priority", "iif", "table"))

# What comes in on eth0 of a namespace is for it, whatever the address (of one family): all addresses are local ones
# there, and what it sends looks up only its `own` among them, so that it finds its way out.
AnyLocal = namedtuple("AnyLocal", ("ns", "family", "own"))

# One rule of a Nat. `daddr` is a prefix in its usual text with its length ("203.0.113.10/32"), "0.0.0.0/0" or "::/0"
# for every address of one family, "" for every address of both. `proto` is "tcp", "udp" or "" (any; then without
# ports). `dport` is (low, high) or None. `to_port` is the program's port, 0 keeps the packet's.
NatRule = namedtuple("NatRule", ("daddr", "proto", "dport", "to_port"))

# The nft table `inet viscum` of a namespace: redirects what arrives for any address to the program there.
Nat = namedtuple("Nat", ("ns", "rules"))

# The nft table `netdev viscum` of a namespace: frames on `dev` count as addressed to us, whatever their MAC.
PktType = namedtuple("PktType", ("ns", "dev"))

# The nft table `inet viscum-lo` of a namespace: no datagram passes its loopback device from one of these ports to one
# of these: a program would answer itself. `ports` is text, "7000" or "1-32767_50000", "?" for what we would not have
# written.
Mute = namedtuple("Mute", ("ns", "ports"))

# What may leave the pair `dev` for the router: the nft table of that name there, which drops the rest. `rules` are
# GuardRules in order (plan/egress.py: Rules), None for no table: everything may. `mark` stands for them: their hash and
# how many they are, "" for no table. Only that is read back, so `rules` of an observed one are None.
Guard = namedtuple("Guard", ("dev", "mark", "rules"))

# `verdict` is "accept", "return" (to the table's policy: drop, and count) or "drop"; `saddr` and `daddr` as in a
# NatRule, "" for any; `proto` "tcp", "udp" or ""; ports (low, high) or None; `what` it must be besides, "" for nothing:
# "begun" for a TCP segment that begins no connection, "fragment" for one without ports, "error" of ICMP, "neighbour"
# discovery, "not tcp".
GuardRule = namedtuple("GuardRule", ("verdict", "family", "saddr", "daddr", "proto", "sport", "dport", "what"))

# What `dev` in `ns` sends waits in a token bucket (tc-tbf(8)) with our handle: `rate` in bytes/s, `burst` in bytes.
Tbf = namedtuple("Tbf", ("ns", "dev", "rate", "burst"))

# The ingress hook of a source interface. The desired one is clsact; an observed one may be plain ingress.
Qdisc = namedtuple("Qdisc", ("dev",))

# Only the mark in a qdisc that Viscum made (MARK_PRIO below).
Mark = namedtuple("Mark", ("dev",))

# A u32 hash table of 256 buckets over the last byte of the destination address, linked from its prio's root.
HashTable = namedtuple("HashTable", ("dev", "prio", "protocol"))

# The ingress hook of `dev` in `ns`, with nothing but these Filters of ours, sorted: they count what comes in, and let
# it in. It is made and removed as a whole.
Counting = namedtuple("Counting", ("ns", "dev", "filters"))

# An empty prio of ours: it is only ever removed. (The kernel does that by itself for flower, but not for u32 while
# another prio has u32 filters.)
Prio = namedtuple("Prio", ("dev", "prio", "protocol"))

# An ingress filter, of a source interface or of the router's end of a pair. `protocol` is "ip" or "ipv6"; `kind`
# "flower" or "u32" (tc(8)); `bucket` is a bucket of the HashTable of its prio, or -1 for none. `keys` for u32: (value,
# mask, offset) of 32-bit words in network order, the offset counted from the network header; for flower: (name, value)
# pairs in the order in which kernel/tc.py reads them. `actions` are ("skbedit", "host"), ("skbmod", dmac or "", smac or
# ""), ("mirred", device): redirect to the egress of that device; or only (LEAVE, device), which is none in the kernel:
# the packet passes, and the classid says whose filter it is (classid_of).
Filter = namedtuple("Filter", ("dev", "prio", "protocol", "kind", "bucket", "keys", "actions"))

LEAVE = "pass"

# A program of the eBPF datapath at the ingress of `dev` (a source interface, or the router's end of a pair), by the
# name that is derived from its bytes (bpf.name_of); "" for one that is not ours or lost its maps. `hook` is TCX or CLS:
# a link of its own, or a filter (cls_bpf) in the device's Qdisc; or NETKIT: a link of such a pair's, for what its inner
# end sends.
BpfLink = namedtuple("BpfLink", ("dev", "hook", "program"))
TCX, CLS = "tcx", "cls"

# What such a program takes over: what comes in on `dev`, with the tag of `vlan` or without one (0), from `src` and the
# MAC address `src_mac` ("" for any) to `dst` (prefixes) over `proto` ("" for all). Of the 16 bits of `port` the first
# `port_bits` count: 16 for one port, 0 for any. `level` is a PRIO_*; frames must be addressed to `mac`, if it is set;
# `target` is the router's end of the service's pair. `watched` is the program's port, if the match is left to the cloud
# once that is closed, else 0; with `leaves` all of it is.
BpfMatch = namedtuple(
    "BpfMatch",
    (
        "dev",
        "vlan",
        "level",
        "proto",
        "dst",
        "src",
        "src_mac",
        "port",
        "port_bits",
        "mac",
        "target",
        "watched",
        "checked",
        "leaves",
    ),
)


def is_left(item: "Any") -> bool:
    """Whether it leaves packets to the cloud, of a Filter or a BpfMatch."""
    return item.leaves if isinstance(item, BpfMatch) else bool(item.actions and item.actions[0][0] == LEAVE)


# What the agent needs to know about a kind of object, besides how it is planned, found, written and read:
#
# rank      its place in the order of creation
# key       what stays the same when one is changed in place (a function); without it, another value is another object
# said      what tells a changed one (a function); without it, all of it
# whole     whether an observed one can be recreated as it is (a function); without it, each can
# base      whether everything else of a service is in or on it
# alone     whether it is in the namespace and needs no pair
# outlives  whether it stays when namespace and pair go, or is one of them: taking a service down deletes it
# lasting   whether it stays when nobody needs it any more, until its namespace or device goes
# redirect  whether it takes clients' packets: in last, out first, and out while the service can't answer
# late      whether it is created with the redirect, after everything else
# outside   whether namespace and pair are the same without it
# shared    whether several services may depend on the same one
Kind = namedtuple(
    "Kind",
    ("rank", "key", "said", "whole", "base", "alone", "outlives", "lasting", "redirect", "late", "outside", "shared"),
)

KINDS: "dict[Any, Kind]" = {}
_NOTHING_SAID = Kind(
    rank=0,
    key=None,
    said=None,
    whole=None,
    base=False,
    alone=False,
    outlives=False,
    lasting=False,
    redirect=False,
    late=False,
    outside=False,
    shared=False,
)


def _kind(record: "Any", **facts: "Any") -> "Kind":
    """The next one in the order of creation. What is not given is false."""
    KINDS[record] = with_(_NOTHING_SAID, rank=len(KINDS), **facts)
    return KINDS[record]


# In the order in which a service is created; it is removed in reverse. A namespace gets its sysctls before it gets
# devices, which inherit them; both ends of the pair get their own once they exist.
_kind(Namespace, base=True, alone=True, outlives=True)
_kind(Up, alone=True)
_kind(Sysctl, key=lambda item: (item.ns, item.key), alone=True, lasting=True)
_kind(
    Pair,
    key=lambda item: (item.name, item.ns, item.peer, item.kind),
    whole=lambda item: bool(item.ns and item.mtu and item.mac and item.peer_mac),  # half a pair, an end that was down
    base=True,
    outlives=True,
)
_kind(
    Guard,  # before the namespace has an address on its pair
    key=lambda item: item.dev,
    said=lambda item: item.mark,
    whole=lambda item: item.rules is not None or item.mark == "",
    outlives=True,
    lasting=True,  # it is changed, never just taken away: a service that is restored stays guarded
)
_kind(Tbf, key=lambda item: (item.ns, item.dev))
_PAIR_SYSCTL = _kind("Sysctl of a pair", key=lambda item: (item.ns, item.key), lasting=True)
_kind(PktType, key=lambda item: item.ns, whole=lambda item: item.dev != "")
_kind(Address)
_kind(Route, key=lambda item: (item.ns, item.family, item.dst))
_kind(Nat, key=lambda item: item.ns, alone=True)
_kind(Mute, key=lambda item: item.ns, whole=lambda item: item.ports != "?", alone=True)
_kind(Rule, outlives=True)
_kind(Qdisc, outside=True, shared=True)


def _filter_key(item: "Filter") -> tuple:
    return (item.dev, item.prio, item.protocol, item.kind, item.bucket, item.keys)


def _is_written(item: "Filter") -> bool:
    return item.keys is not None  # else one that we did not write


# What is in the namespace besides is only looked for where there are some of these: they are made before it, and go
# after it.
PAIR_FILTER = _kind("Filter of a pair", key=_filter_key, whole=_is_written, outside=True)
_kind(Counting, key=lambda item: item.ns, whole=lambda item: item.filters is not None)
_kind(AnyLocal, key=lambda item: (item.ns, item.family), whole=lambda item: item.own != "", alone=True)
_kind(HashTable, outside=True, shared=True)
_kind(
    BpfLink,
    key=lambda item: (item.dev, item.hook),
    whole=lambda item: item.program != "",
    outlives=True,
    late=True,
    outside=True,
    shared=True,
)
_kind(
    Filter,
    key=_filter_key,
    whole=_is_written,
    outlives=True,
    redirect=True,
    late=True,
    outside=True,
)
_kind(
    BpfMatch,
    key=lambda item: item[:9],  # everything that a packet is matched by
    outlives=True,
    redirect=True,
    late=True,
    outside=True,
)
# These two are never created on their own.
_kind(Mark, outside=True)
_kind(Prio, outside=True)


def kind_of(item: "Any") -> "Kind":
    """The row of an object's kind; sysctls and filters of the pair have one of their own."""
    if isinstance(item, Sysctl) and (not item.ns or INNER_DEV in item.key):
        return _PAIR_SYSCTL
    return PAIR_FILTER if isinstance(item, Filter) and item.dev.startswith(DEV_PREFIX) else KINDS[type(item)]


# Something to do: `verb` is "add", "change" or "del"; `old` is the observed object that "change" and "del" act on (else
# None); `handle` is that object's tc handle, for a BpfMatch the index of its device (0 where there is none).
Operation = namedtuple("Operation", ("verb", "new", "old", "handle"))

# How our objects are told from everybody else's.
NS_PREFIX = "viscum-"
DEV_PREFIX = "vsc-"
INNER_DEV = "eth0"
ALIAS_PREFIX = "viscum "

# The classid (flowid) of our filters; its major number is "vs". Nothing else looks at it: a redirected packet never
# reaches a class.
CLASSID = 0x76730001


def left_classid(pair: str) -> int:
    """Of filters that leave packets to the cloud, for the service of that pair (the router's end): claims.py sees to it
    that no two have the same."""
    return CLASSID + 1 + name_hash(pair) % 0xFFFE


def classid_of(item: "Any") -> int:
    """Of a Filter."""
    return left_classid(item.actions[0][1]) if is_left(item) else CLASSID


# The handle of our queues, with the same number.
TBF_HANDLE = CLASSID & ~0xFFFF

# The one filter of a device that holds a program, for kernels without tcx: every packet passes it; narrower filters of
# ours would take theirs before. A device has one datapath, so there are none.
BPF_PRIO = 7
BPF_PROTOCOL = 0x0003  # ETH_P_ALL, linux/if_ether.h
BPF_HANDLE = 1

# A filter that matches nothing marks the qdiscs that Viscum made, so that taking the last service down also removes the
# qdisc, and never one that somebody else made. Its protocol is an Ethernet type below 0x0600, which no frame can have
# (IEEE 802.3: those are lengths), so it costs one comparison per packet.
MARK_PRIO = 9
MARK_PROTOCOL = 0x0076

# Prios below 10: sqm-scripts' own filter has prio 10, qosify's start at 0x110, and those redirect everything.
# A narrower match has a lower prio; one prio holds one protocol only.
PRIO_EXACT = 1  # one address and one port
PRIO_WIDE = 3  # one address with several ports, or a prefix
PRIO_ANY = 5  # any address
NEXT = 2  # from one to the next: what takes comes there where a service leaves something out of it (plan/clients.py)
PRIOS = (1, 2, 3, 4, 5, 6, 7, 8)
PROTOCOLS = {"ip": 0x0800, "ipv6": 0x86DD}  # linux/if_ether.h
PROTO_NUMBER = {"tcp": 6, "udp": 17}  # IANA protocol numbers
PROTO_NAME = {PROTO_NUMBER[name]: name for name in PROTO_NUMBER}


# u32 hash tables are numbered per qdisc, not per prio: ours are 0x761 to 0x766, far from the kernel's own (0x800 and
# up) and from those that people count from 1.
HASH_TABLE = 0x760


def table_of(prio: int) -> int:
    """The number of a prio's hash table."""
    return HASH_TABLE + prio


def bucket_of(dst: bytes) -> int:
    """The bucket that a destination address (bytes) falls in."""
    return dst[-1]


def prio_of(level: int, family: int) -> int:
    """IPv4 uses the odd prios, IPv6 the even ones."""
    return level + (family == 6)


def name_hash(text: str) -> int:
    """32-bit FNV-1a: the same on every machine and interpreter, which hash() is not."""
    value = 0x811C9DC5
    for byte in text.encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def device_name(service: str) -> str:
    """`vsc-NAME`, at most 15 characters (IFNAMSIZ in linux/if.h, less its NUL): a longer name ends in a hash."""
    name = DEV_PREFIX + service
    if len(name) <= 15:
        return name
    return "%s-%04x" % (name[:10], name_hash(service) & 0xFFFF)


def ns_name(service: str) -> str:
    return NS_PREFIX + service


def alias_of(ns: str) -> str:
    """The ifalias that marks what belongs to the service of a namespace."""
    return ALIAS_PREFIX + ns[len(NS_PREFIX) :]


def mac_of(service: str, end: str) -> str:
    """A locally administered MAC address for an end ("host", "inner") of a service's veth pair: the same every time."""
    value = name_hash(service + "/" + end)
    return "02:76:%02x:%02x:%02x:%02x" % (value >> 24, (value >> 16) & 255, (value >> 8) & 255, value & 255)


# What every service's namespace gets. A new namespace inherits the router's IPv4 settings (forwarding, arp_ignore=1 on
# OpenWrt): inside, nothing is forwarded, every address answers, addresses are usable at once, and an unprivileged
# program may listen on any port (ip_unprivileged_port_start, kernel 4.11). accept_local is for the agent's checks: they
# come in on eth0 with the namespace's own address (kernel/handshake.py). ip-sysctl.rst in the kernel's documentation.
NS_SYSCTLS = (
    ("net/ipv4/ip_forward", "0"),
    ("net/ipv4/conf/all/rp_filter", "0"),
    ("net/ipv4/conf/default/rp_filter", "0"),
    ("net/ipv4/conf/all/arp_ignore", "0"),
    ("net/ipv4/conf/default/arp_ignore", "0"),
    ("net/ipv4/conf/all/accept_local", "1"),
    ("net/ipv4/ip_unprivileged_port_start", "0"),
    ("net/ipv6/conf/all/accept_ra", "0"),
    ("net/ipv6/conf/default/accept_ra", "0"),
    ("net/ipv6/conf/default/accept_dad", "0"),
    # All namespaces share one table of neighbours (gc_thresh3 in arp(7), 1,024): whoever asks for enough that do not
    # exist leaves no room for the router's clients. The one that does exist answers at once, so the others are soon
    # known to fail, and give way. (20 ms is a whole number of jiffies with every HZ.)
    ("net/ipv4/neigh/eth0/mcast_solicit", "1"),
    ("net/ipv4/neigh/eth0/retrans_time_ms", "20"),
    ("net/ipv6/neigh/eth0/mcast_solicit", "1"),
    ("net/ipv6/neigh/eth0/retrans_time_ms", "20"),
)

# What the router's end of a pair gets; the plan sets the values.
HOST_SYSCTLS = (
    "net/ipv4/conf/%s/rp_filter",
    "net/ipv4/conf/%s/forwarding",
    "net/ipv4/conf/%s/accept_local",
)
