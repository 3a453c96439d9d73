"""What the plan has to know about this router, as plain data: no kernel in here, so a test can write it down."""

from collections import namedtuple

# What the running kernel has (kernel/probe.py asks it). `nat` is nft redirect, `netdev` nft's ingress hook for a
# device, `bpf` all that the datapath of that name needs, `tcx` whether it can do without a qdisc (kernel 6.6), `lacks`
# what is missing for `bpf`, in words, "" for nothing.
Features = namedtuple(
    "Features", ("u32", "flower", "mirred", "skbmod", "skbedit", "nat", "netdev", "bpf", "tcx", "lacks")
)

EVERYTHING = Features(*([True] * 9 + [""]))

# A device of the router. `mac` is "" where there is none; `ethernet` says whether frames on it begin with an Ethernet
# header; `wears` is the MAC that clients send to: the bridge's on the port of a bridge; `bridged` whether it is such a
# port.
Device = namedtuple("Device", ("name", "up", "mtu", "mac", "ethernet", "wears", "bridged"))

# `devices` sorted by name, without our own; `networks` are (prefix text, what it belongs to) of every address and route
# of the router that is not ours; `addresses` are its own addresses (text, without length); `interfaces` maps a logical
# interface to its devices; `subnets` maps a service to the addresses that its host end has; `taken` are names of
# devices and namespaces that look like ours and are not; `rp_filter` is conf/all; `ipv6` whether the kernel has it.
Facts = namedtuple(
    "Facts",
    (
        "devices",
        "networks",
        "addresses",
        "interfaces",
        "subnets",
        "taken",
        "rp_filter",
        "ipv6",
        "ipv6_forwarding",
        "features",
    ),
)
