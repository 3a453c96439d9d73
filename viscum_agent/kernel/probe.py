"""Asks the running kernel what it has, by trying it: in a namespace without a name that is gone a moment later.

A file under /lib/modules proves nothing (a module may be built in, or be for another kernel), and trying also loads
what is there. lo has an ingress hook like any device, so nothing has to be made first.
"""

from .. import compat
from ..ebpf import TRIAL_MAPS
from ..errors import UnsupportedError
from ..records import with_
from ..records.facts import Features
from ..records.objects import VETH, Filter, Guard, Pair, Tbf
from . import bpf_pins, nftables, rtnl, tc
from . import bpf_syscall as call
from .bpf_pins import MAPS, Loaded
from .netlink import Socket
from .netns import O_RDONLY, SELF, Visit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_LO = rtnl.LOOPBACK_INDEX
_MAC = "02:76:00:00:00:01"

# How each classifier is tried, which is also the name of the feature: in a prio of its own, by a filter for TCP.
CLASSIFIERS = {"u32": (1, ((6 << 16, 0xFF << 16, 8),)), "flower": (3, (("ip_proto", "tcp"),))}


def features(programs: bool = True, spare: "Loaded | None" = None, loads: bool = True) -> "Features":
    """Features of this kernel, for the network namespace that the caller is in: what eBPF pins has a folder for each.
    Without `programs` eBPF is not tried, which takes longer than all the rest, and counts as missing. With it `spare`
    gets the maps and programs that were made for trying, if all went well, in place of what it had. Without `loads` a
    small program that calls the same is tried instead of them: for who only looks.
    Raises UnsupportedError where namespaces can't be made, or no descriptor is left."""
    if spare:
        spare.close()
    try:
        return _features(programs, spare, loads)
    except OSError as error:
        text = "can't try what the kernel has: %s (Viscum runs as root, on a kernel with CONFIG_NET_NS)"
        raise UnsupportedError(text % compat.strerror(error.errno))


def _features(programs: bool, spare: "Loaded | None", loads: bool) -> "Features":
    visit = Visit()
    sockets: list[Socket] = []
    try:
        lacks, tcx = "", False
        if programs:
            folder = bpf_pins.folder()
            visit.scratch()
            lacks, tcx = _bpf_lacks(folder, spare if loads else None, loads)
        # Another one: what was tried for eBPF, a qdisc perhaps, must not be in the way of what is tried next.
        visit.scratch()
        sockets.append(Socket(compat.NETLINK_ROUTE))
        nft = _nft_socket()
        sockets.extend([nft] if nft else [])
        found = _ask(sockets[0], nft)
        return with_(found, bpf=programs and not lacks, tcx=tcx, netkit=tcx and found.netkit, lacks=lacks)
    finally:
        visit.close()
        for socket in sockets:
            socket.close()


def veth() -> bool:
    """Whether this kernel has veth pairs. Raises OSError where that can't be tried."""
    visit, route = Visit(), None
    try:
        visit.scratch()
        route = Socket(compat.NETLINK_ROUTE)
        pair = Pair(name="probe0", ns="", peer="probe1", mtu=1500, mac=_MAC, peer_mac=_MAC, alias="", kind=VETH)
        there = compat.fd_open(SELF, O_RDONLY)
        try:
            code, _ = route.transact([lambda seq: rtnl.pair_add(pair, there, seq)])[0]
        finally:
            compat.fd_close(there)
    finally:
        visit.close()
        if route:
            route.close()
    if code not in (0, compat.EOPNOTSUPP):
        raise OSError(code, compat.strerror(code))
    return code == 0


def _nft_socket() -> "Socket | None":
    try:
        return Socket(compat.NETLINK_NETFILTER)
    except OSError as error:
        compat.unless_spent(error)
        return None  # a kernel without nfnetlink


def _ask(route: "Socket", nft: "Socket | None") -> "Features":
    """All but eBPF."""
    requests = [lambda seq: rtnl.link_set("lo", seq), lambda seq: tc.clsact_add(_LO, seq)]
    requests += [_filter(kind, ()) for kind in CLASSIFIERS]
    requests += [_filter("u32", (action,)) for action in (("mirred", "lo"), ("skbmod", _MAC, ""), ("skbedit", "host"))]
    requests.append(lambda seq: tc.tbf_set(Tbf("", "lo", 1 << 20, 1 << 20), _LO, seq))
    requests.append(rtnl.netkit_try)
    codes = [code for code, _ in route.transact(requests)]
    up, clsact, *tried, tbf = [code == 0 for code in codes[:-1]]
    kinds = dict(zip(CLASSIFIERS, tried))
    redirects, modifies, edits = [kinds["u32"] and one for one in tried[len(kinds) :]]
    nat = netdev = guard = False
    if nft:
        rules = (nftables.NatRule("", "tcp", (1, 1), 2),)
        nat = _try(nft, lambda seq: nftables.nat_batch(rules, seq))
        netdev = _try(nft, lambda seq: nftables.pkttype_batch(seq, "lo"))
        guard = _try(nft, lambda seq: nftables.guard_batch(Guard("lo", "probe", ()), 0, False, seq))
    return Features(
        **{kind: clsact and kinds[kind] for kind in kinds},
        mirred=redirects,
        skbmod=modifies,
        skbedit=edits,
        nat=nat,
        netdev=netdev,
        guard=guard,
        tbf=tbf,
        bpf=False,
        tcx=False,
        netkit=codes[-1] == compat.EADDRNOTAVAIL,
        lacks="",
    )


def _bpf_lacks(folder: str, spare: "Loaded | None", loads: bool) -> "tuple[str, bool]":
    """(what the eBPF datapath lacks, "" for nothing; whether there is tcx): in a scratch namespace both programs, with
    maps of their own, and a link on lo, else a filter. `folder` is where they are to be pinned. Programs that are there
    already were taken by this kernel, since no file system of eBPF outlives it: only the rest is tried, with them."""
    if not call.can_mount():
        return "a BPF file system (%s)" % call.BPFFS, False
    tried = Loaded()
    step = "maps (CONFIG_BPF_SYSCALL)"
    try:
        pinned = tried.open(folder)
        if not pinned:
            tried.make_maps(MAPS if loads else TRIAL_MAPS)
            call.map_read(tried.maps["exact"], MAPS["exact"].key, MAPS["exact"].value)
            call.array_read(tried.maps["counters"], MAPS["counters"].value * call.possible_cpus(), 1)  # kernel 5.13
        lacks = bpf_pins.lacks(folder, tried.maps["state"])
        if lacks:
            return lacks, False
        step = "what its programs call"
        if not pinned:
            load = tried.load if loads else tried.load_trial
            load()
        tcx = _tcx(tried)
        if not tcx and not _cls_bpf(_any(tried)):
            return "tcx (kernel 6.6) and cls_bpf (kmod-sched-bpf)", False
        if spare and not pinned:
            spare.take(tried)
        return "", tcx
    except OSError as error:
        compat.unless_spent(error)
        return "%s: %s" % (step, compat.strerror(error.errno)), False
    finally:
        tried.close()


def _any(loaded: "Loaded") -> int:
    return list(loaded.programs.values())[0]


def _tcx(loaded: "Loaded") -> bool:
    """Whether a program can have a link, in the same namespace."""
    try:
        compat.fd_close(call.link_create(_any(loaded), _LO))
        return True
    except OSError as error:  # a kernel before 6.6
        compat.unless_spent(error)
        return False


def _cls_bpf(program: int) -> bool:
    """Whether a program can be a filter, in the same namespace."""
    route = Socket(compat.NETLINK_ROUTE)
    try:
        qdisc = lambda seq: tc.clsact_add(_LO, seq)  # noqa: E731
        results = route.transact([qdisc, lambda seq: tc.program_set(_LO, program, "probe", seq)])
    finally:
        route.close()
    return results[1][0] == 0


def _filter(kind: str, actions: "tuple[tuple, ...]") -> "Callable[[int], bytes]":
    prio, keys = CLASSIFIERS[kind]
    item = Filter(dev="lo", prio=prio, protocol="ip", kind=kind, bucket=-1, keys=keys, actions=actions)
    return lambda seq: tc.filter_add(item, _LO, lambda _: _LO, seq)


def _try(nft: "Socket", batch: "Callable[[int], bytes]") -> bool:
    seq = nft.seq()
    return nft.batch(batch(seq), seq)[0] == 0
