"""What the plan needs to know about this router, as plain data: no kernel here, so a test can write it down."""

from collections import namedtuple

# What the running kernel has (probed by kernel/probe.py). `nat` is nft redirect, `netdev` nft's ingress hook for a
# device, `guard` that of the inet family (kernel 5.10), `tbf` the queue that keeps a rate, `bpf` everything that the
# datapath of that name needs, `tcx` whether it works without a qdisc (kernel 6.6), `netkit` whether besides there
# are pairs of that kind (kernel 6.7), `lacks` what is missing for `bpf`, in words, "" for nothing.
Features = namedtuple(
    "Features",
    ("u32", "flower", "mirred", "skbmod", "skbedit", "nat", "netdev", "guard", "tbf", "bpf", "tcx", "netkit", "lacks"),
)

# What there is to say of one of them, by its `name`: `what` people call it; `remedy` OpenWrt's package for it
# (netsupport.mk, netfilter.mk of openwrt/openwrt), or what else to do; `without` what services do that have none, in
# which %(those)s are the datapaths that need it and %(others)s those that do not.
Feature = namedtuple("Feature", ("name", "what", "remedy", "without"))

EVERYTHING = Features(*([True] * 12 + [""]))

# A device of the router. `mac` is "" where there is none; `ethernet` says whether its frames begin with an Ethernet
# header, `bare` whether they begin with the IP header; `takes_mac` is the MAC that clients send to, on the port of a
# bridge the bridge's; `bridged` the name of that bridge, else ""; `families` those (4, 6) in which the router has an
# address there, all of them while it is down, and on a bare one, where replies need no neighbour but a route.
Device = namedtuple("Device", ("name", "up", "mtu", "mac", "ethernet", "takes_mac", "bridged", "families", "bare"))

# A socket that is open for clients in a service's namespace: `proto` "tcp" or "udp"; `version` is the socket's, 4 or 6;
# one of 6 that is open for any address may also answer IPv4 (IPV6_V6ONLY of ipv6(7), which can't be seen from outside);
# `address` its bytes, b"" for any; `waiting` connections that are not accepted yet, or bytes that are not read yet.
Listener = namedtuple("Listener", ("proto", "version", "address", "port", "waiting"))

# Which ports of a protocol count: `single` ones (a set) and `ranges` of them.
Ports = namedtuple("Ports", ("single", "ranges"))

# What a name of the cloud has: `addresses` (bytes of both families), `reason` why there is none.
Host = namedtuple("Host", ("addresses", "reason"))

# `devices` sorted by name, without our own; `networks` (prefix text, what it belongs to) of every address and route of
# the router that is not ours; `addresses` its own addresses (text, without length); `interfaces` maps a logical
# interface to its devices; `subnets` maps a service to the addresses of its host end; `taken` names of devices,
# namespaces and nft tables that look like ours and are not; `rp_filter` is conf/all; `ipv6` whether the kernel has it;
# `firewall` maps a family to (why the firewall blocks its replies, whether only those that the router routes); `opened`
# maps a service to what is known of its program's sockets (answers.Open), without services of which nothing is known.
# `neighbours` maps (device, address) of services' next hops to the MAC address, "" for one that does not answer.
# `hosts` maps a name to its Host, without those that were not asked yet, and (service, name) to that of what clients
# were told, its reason why that is not heard; `held` a service to what of its redirect an
# earlier agent made for single addresses (datapath.taken).
# `leases` maps the name of a host in a group to its Host, whose addresses are clients as Service.clients has them.
# `why` maps ("interface" or "device", name) to a sentence about a name that has no device (config/network.py).
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
        "opened",
        "firewall",
        "why",
        "neighbours",
        "hosts",
        "held",
        "leases",
    ),
)
