"""The firewall of the router's own namespace, as far as Viscum needs to know it: read by netlink, without `nft`.

Nothing is ever written here. Rules are identified by their comment: ours begin with MARK (files/usr/share/nftables.d).
Numbers are from linux/netfilter/nf_tables.h, nfnetlink.h and linux/netfilter.h; integers in attributes are big-endian.
"""

from collections import namedtuple

from .. import compat
from .codec import NFTABLES, NLM_F_DUMP, attributes, be32_of, elements, nf_message, parsed, text, text_of
from .netlink import Socket

MARK = b"!viscum:"

# A chain at a hook of netfilter: `family` a name of FAMILIES, `hook` one of HOOKS, `accepts` whether its policy is.
Chain = namedtuple("Chain", ("family", "table", "name", "hook", "accepts"))

# `hardware`: whether it was created with `flags offload`.
Flowtable = namedtuple("Flowtable", ("table", "name", "devices", "hardware"))

# `ours` maps a hook to the number of our rules in its chains.
Ruleset = namedtuple("Ruleset", ("chains", "flowtables", "ours"))

FAMILIES = {1: "inet", 2: "ip", 10: "ip6"}  # NFPROTO_
HOOKS = ("prerouting", "input", "forward", "output", "postrouting")  # NF_INET_, from 0

_GETCHAIN, _GETRULE, _GETFLOWTABLE = 4, 7, 23  # NFT_MSG_
_HEADER = 4  # struct nfgenmsg
_CHAIN_TABLE, _CHAIN_NAME, _CHAIN_HOOK, _CHAIN_POLICY = 1, 3, 4, 5  # NFTA_CHAIN_
_HOOK_NUM = 1  # NFTA_HOOK_
_RULE_TABLE, _RULE_CHAIN, _RULE_USERDATA = 1, 2, 7  # NFTA_RULE_
_FLOW_TABLE, _FLOW_NAME, _FLOW_HOOK, _FLOW_FLAGS = 1, 2, 3, 7  # NFTA_FLOWTABLE_
_FLOW_HOOK_DEVS = 3  # NFTA_FLOWTABLE_HOOK_
_HW_OFFLOAD = 1  # NFT_FLOWTABLE_HW_OFFLOAD
_ACCEPT = 1  # NF_ACCEPT


def read() -> "Ruleset":
    """A Ruleset of the caller's namespace. Raises OSError: no nf_tables in this kernel, or no rights."""
    socket = Socket(compat.NETLINK_NETFILTER)
    try:
        chains = parsed(_chain, _dump(socket, _GETCHAIN))
        flowtables = parsed(_flowtable, _dump(socket, _GETFLOWTABLE))
        ours: dict[str, int] = {}
        for chain in chains:
            if chain.hook in ("prerouting", "input", "forward"):
                ours[chain.hook] = ours.get(chain.hook, 0) + _count_ours(socket, chain)
        return Ruleset(chains, flowtables, ours)
    finally:
        socket.close()


def rejects(found: "Ruleset", past: "list[str]") -> "dict[int, tuple[str, bool]]":
    """{family: (why firewall4 rejects replies of services, whether only those that the router routes)} from a Ruleset;
    `past` are the datapaths whose replies bypass it. Other firewalls can't be judged; and where firewall4 accepts
    everything, it does not matter."""
    forward = [chain for chain in found.chains if chain.table == "fw4" and chain.hook == "forward"]
    if all(chain.accepts for chain in forward):
        return {}
    reasons = {}
    if not found.ours.get("prerouting") or not found.ours.get("forward"):
        text = "firewall4 has not loaded the rules that let replies pass: see `viscum doctor`, or take datapath '%s'"
        text %= "' or '".join(past)
        reasons = {4: (text, True), 6: (text, True)}
    if not found.ours.get("input"):
        reasons[6] = ("firewall4 has not loaded the rule for neighbour discovery: see `viscum doctor`", False)
    return reasons


def _dump(socket: "Socket", kind: int, family: int = 0, wanted: bytes = b"") -> "list[bytes]":
    request = lambda seq: nf_message(NFTABLES | kind, NLM_F_DUMP, family, wanted, seq)  # noqa: E731
    return socket.dump(request, hurried=True)


def _chain(body: bytes) -> "Chain | None":
    """A Chain, None if no hook leads to it or its family has other hooks."""
    found = attributes(body, _HEADER)
    if _CHAIN_HOOK not in found or body[0] not in FAMILIES:
        return None
    hook = be32_of(attributes(found[_CHAIN_HOOK])[_HOOK_NUM])
    if hook >= len(HOOKS):
        return None  # the ingress hook of a device (NF_INET_INGRESS): before all that is looked at here
    accepts = _CHAIN_POLICY not in found or be32_of(found[_CHAIN_POLICY]) == _ACCEPT
    return Chain(FAMILIES[body[0]], text_of(found[_CHAIN_TABLE]), text_of(found[_CHAIN_NAME]), HOOKS[hook], accepts)


def _count_ours(socket: "Socket", chain: "Chain") -> int:
    family = [number for number in FAMILIES if FAMILIES[number] == chain.family][0]
    wanted = text(_RULE_TABLE, chain.table) + text(_RULE_CHAIN, chain.name)
    bodies = _dump(socket, _GETRULE, family, wanted)
    return len([1 for body in bodies if MARK in attributes(body, _HEADER).get(_RULE_USERDATA, b"")])


def _flowtable(body: bytes) -> "Flowtable":
    found = attributes(body, _HEADER)
    names = elements(attributes(found[_FLOW_HOOK]).get(_FLOW_HOOK_DEVS, b""))  # NFTA_DEVICE_NAME, in no order
    devices = sorted([text_of(name) for _, name in names])
    hardware = bool(be32_of(found.get(_FLOW_FLAGS, bytes(4))) & _HW_OFFLOAD)
    return Flowtable(text_of(found[_FLOW_TABLE]), text_of(found[_FLOW_NAME]), tuple(devices), hardware)
