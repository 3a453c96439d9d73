"""Which service takes a packet, by which of its matches and of the kernel's rules; or why none does.

What is in the kernel decides, as the records that were read back from it: each datapath's rules are tried on the packet
in the kernel's order (TAKES). Why a service does not take a packet that it is configured for is found the same way:
its rules are asked about a packet that has nothing in its way, and then with each thing that this one has.

A pure function. What the plan does not know of the kernel, it asks through `There`.
"""

from collections import namedtuple
from struct import pack

from .. import address
from ..ebpf import layout
from ..records import with_
from ..records.dump import ARPHRD_ETHER, is_bare
from ..records.objects import PROTO_NUMBER, BpfMatch, device_name, is_left
from . import datapath, direct
from .answers import NOBODY
from .claims import match_text
from .diff import redirects_of
from .packet import PROTOCOLS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from ..address import Prefix
    from ..config.service import Match, Service
    from ..records.dump import Link
    from .actual import Found
    from .packet import Packet
    from .planner import ServicePlan

# `links` are the router's dump.Links, `observed` an actual.Observed, `plan` a planner.Plan, `services` the configured
# ones; `states` maps them to (state, reason). `late` is whether eBPF's deadline has passed (kernel/bpf_deadline.py).
# `hears(device)` is whether that gets frames for others, too; `back(pair, service, client)` by which device the router
# sends to a client (both bytes) what comes out of a pair: "" for by none, None if it does not say.
There = namedtuple("There", ("links", "observed", "plan", "services", "states", "late", "hears", "back"))

# `service` is "" if none takes it, `match` text, `rule` an actual.Found or None; `reasons` are sentences.
Explanation = namedtuple("Explanation", ("service", "match", "rule", "reasons"))

ICMP, ICMPV6, FRAGMENT = PROTOCOLS["icmp"], PROTOCOLS["icmpv6"], PROTOCOLS["frag"]
WITH_PORTS = (PROTO_NUMBER["tcp"], PROTO_NUMBER["udp"])
BEFORE = 16  # bytes: the Ethernet header, from the start of a word on
NO_MAC = "00:00:00:00:00:00"
FLOWER_KEYS = ("dst_mac", "src_mac", "ip_proto", "dst_port", "src_ip", "dst_ip")
NOT_AS_PLANNED = "the kernel's rules are not as configured: `viscum plan` shows what is to be done"

# Why a rule does not take a packet, by what it has and others have not (fields of Packet).
WHY = (
    ("vlan", "frames with a VLAN tag are not taken: they are for another device (DEVICE.NUMBER), or need option vlan"),
    ("part", "fragments are not taken: only the first has a port, and without the others it is useless"),
    ("options", "the rule finds no port behind IP options or extension headers"),
    ("bare", "it is too short to have ports"),
    ("to", "it is not for the MAC address that the rule asks for"),
    ("src", "the rule takes other clients only (src_ip)"),
    ("sender", "the rule takes clients with other MAC addresses only (src_mac)"),
    ("dst", "'any address' means neither multicast, broadcast, link-local nor loopback addresses"),
    ("quoted", "u32 and flower do not know what an ICMP error is about"),
)
UNKNOWN_MAC = (
    "the rule takes clients by MAC address (src_mac), and whose this is the router does not know: `src_mac MAC`"
)
EXCLUDED = "leaves it to the cloud: its client or destination is excluded (exclude_client, exclude_dest)"
ANOTHER_TAG = "only frames with the tag of VLAN %d are taken (vlan)"


def explain(packet: "Packet", there: "There") -> "Explanation":
    """What becomes of a packet that comes in."""
    subject = _subject(packet)
    hooks = _hooks(packet, there)
    reasons = _on_the_way(packet, hooks, there)
    spared = []
    for seen in hooks:
        name, found = _winner(seen, there)
        why = _spared(name, found.item, seen, there) if found else ""
        if found and not why:
            part = _part(name, there)
            match = _nearest(part.takes if part else (), subject)
            text = match_text(match) if match else ""
            return Explanation(name, text, found, reasons + _beside(with_(subject, dev=seen.dev), name, there))
        if why:
            spared.append(name)
            reasons.append("'%s' %s" % (name, why))
    for service in there.services if hooks else ():
        reasons += [] if service.name in spared else _why_not(service, subject, hooks, there)
    return Explanation("", "", None, reasons or _nobody(packet, subject, there))


def _subject(packet: "Packet") -> "Packet":
    """What it is about: an ICMP error belongs to whom it quotes, as eBPF has it (ebpf/icmp.py)."""
    quoted = packet.quoted
    if quoted is None or quoted.src != packet.dst:
        return packet
    return with_(
        packet,
        src=quoted.dst,
        dst=quoted.src,
        proto=quoted.proto,
        sport=quoted.dport,
        dport=quoted.sport,
        part="later" if quoted.part == "later" else "",  # the first one is quoted with its ports
    )


# Where it passes


def _hooks(packet: "Packet", there: "There") -> "list[Packet]":
    """The packet as it passes the ingress of its device, and then of the bridge whose port that is."""
    found: list[Packet] = []
    for link in there.links:
        if link.name != packet.dev or not _can_be_source(link) or packet.note == "out":
            continue
        bridges = [each for each in there.links if each.index == link.master and each.kind == "bridge"]
        to = packet.to or (bridges + [link])[0].mac
        reached = [each for each in [link] + bridges if _gets(each, to, there)]
        found += [with_(packet, dev=each.name, to=to) for each in reached]
    return found


def _can_be_source(link: "Link") -> bool:
    return link.type == ARPHRD_ETHER or is_bare(link)


def _gets(link: "Link", to: str, there: "There") -> bool:
    """Whether a frame for that MAC gets to the device itself: a bridge passes most on from port to port."""
    return link.kind != "bridge" or to == link.mac or _is_group(to) or there.hears(link.name)


def _is_group(mac: str) -> bool:
    """Whether it is a MAC of many: broadcast and multicast. Without an Ethernet header there is none ("")."""
    return mac != "" and int(mac[:2], 16) & 1 == 1


def _on_the_way(packet: "Packet", hooks: "list[Packet]", there: "There") -> "list[str]":
    """Reasons that no service has anything to do with."""
    links = [link for link in there.links if link.name == packet.dev]
    reasons = []
    if packet.note == "hardware":
        reasons.append("the hardware forwards its connection unseen (flow offloading) until that ends")
    if packet.note == "out":
        reasons.append("it leaves the router by %s: services take what comes in" % packet.dev)
    elif not packet.dev:
        reasons.append("by which device it comes in is not known: say `dev DEVICE`")
    elif not links:
        reasons.append("there is no device %s" % packet.dev)
    elif not _can_be_source(links[0]):
        reasons.append(
            "%s is neither an Ethernet device nor one of plain IP packets: nothing is taken there" % packet.dev
        )
    elif not hooks:
        reasons.append("%s passes it on to another of its ports: it is for %s" % (packet.dev, packet.to))
    return reasons


# What the kernel's rules do with it


def _redirects(name: str, there: "There") -> "list[Found]":
    """Those that are as Viscum writes them: somebody may have put others in their place."""
    return [found for found in redirects_of(there.observed.of(name)) if _is_read(found.item)]


def _is_read(item: "Any") -> bool:
    if isinstance(item, BpfMatch):
        return True
    if item.keys is None or item.kind not in TAKES:
        return False
    return item.kind != "flower" or all(key in FLOWER_KEYS for key, _ in item.keys)


def _winner(packet: "Packet", there: "There") -> "tuple[str, Found | None]":
    """Whose rule takes it: that with the lowest prio, of which two services never have overlapping ones (claims)."""
    name, best = "", None
    for service in sorted(there.observed.services):
        for found in _redirects(service, there):
            if takes(found.item, packet) and (best is None or _prio(found.item) < _prio(best.item)):
                name, best = service, found
    return name, best


def _prio(item: "Any") -> int:
    return item.level if isinstance(item, BpfMatch) else item.prio


def takes(item: "Any", packet: "Packet") -> bool:
    """Whether an objects.Filter or BpfMatch is one for the packet, of which device and MAC are known."""
    if item.dev != packet.dev or packet.vlan != _tag(item):
        return False
    return TAKES[datapath.of(item).NAME](item, packet)


def _tag(item: "Any") -> int:
    """The VLAN that a rule asks for, as a Packet has it."""
    return item.vlan or -1 if isinstance(item, BpfMatch) else -1


def _takes_u32(item: "Any", packet: "Packet") -> bool:
    if item.protocol != _protocol(packet):
        return False
    frame = _frame(packet)
    for value, mask, offset in item.keys:
        word = frame[BEFORE + offset : BEFORE + offset + 4]
        if len(word) < 4 or int.from_bytes(word, "big") & mask != value:
            return False
    return True


def _protocol(packet: "Packet") -> str:
    return "ip" if len(packet.src) == 4 else "ipv6"


def _frame(packet: "Packet") -> bytes:
    """What u32 can look at, BEFORE the network header and from there on (RFC 791, RFC 8200); 0 where no rule looks."""
    ports = b"" if packet.bare else pack(">HH", packet.sport, packet.dport)
    if len(packet.src) == 4:
        part = {"": 0, "first": 0x2000, "later": 1}[packet.part]  # "more fragments", or an offset
        head = pack(">BBHHHBBH", 0x46 if packet.options else 0x45, 0, 0, 0, part, 0, packet.proto, 0)
    else:
        following = FRAGMENT if packet.part else 0 if packet.options else packet.proto
        head = pack(">IHBB", 6 << 28, 0, following, 0)
    macs = [address.parse_mac(each or NO_MAC) for each in (packet.to, packet.sender)]
    return bytes(2) + macs[0] + macs[1] + bytes(2) + head + packet.src + packet.dst + ports


def _takes_flower(item: "Any", packet: "Packet") -> bool:
    if item.protocol != _protocol(packet):
        return False
    for name, value in item.keys:
        if name == "dst_mac":
            right = value == packet.to
        elif name == "src_mac":
            right = value == packet.sender
        elif name == "ip_proto":  # flower finds it behind extension headers, too
            right = PROTO_NUMBER.get(value) == packet.proto
        elif name == "dst_port":
            low, _, high = value.partition("-")
            right = not (packet.part or packet.bare) and int(low) <= packet.dport <= int(high or low)
        else:
            right = _holds(address.parse_prefix(value), packet.src if name == "src_ip" else packet.dst)
        if not right:
            return False
    return True


def _holds(prefix: "Prefix", packed: bytes) -> bool:
    return len(prefix.packed) == len(packed) and address.masked(packed, prefix.length) == prefix.packed


def _takes_bpf(item: "Any", packet: "Packet") -> bool:
    """As ebpf/program.py has it; what it does with a match that it found is in _spared."""
    found = _looked_up(packet)
    if found is None or (item.mac and item.mac != packet.to):
        return False
    kind, wanted = layout.of_match(item)
    return (
        address.masked(found.service, kind.service) == wanted.service
        and address.masked(found.client, kind.client) == wanted.client
        and (found.port ^ wanted.port) >> 16 - kind.port == 0
        and (not kind.proto or found.proto == wanted.proto)
        and item.src_mac in ("", packet.sender)
    )


def _looked_up(packet: "Packet") -> "layout.Tuple | None":
    """What the program looks up, None for what it lets pass whatever there is."""
    ipv4 = len(packet.dst) == 4
    plain = not (packet.part or packet.options)
    if packet.bare or _is_group(packet.to) or not (ipv4 or plain):
        return None  # of IPv6 it reads no extension headers
    if ipv4 and (packet.dst[0] >= 224 or packet.dst[:2] == b"\xa9\xfe"):
        return None  # multicast and beyond, link-local
    subject = _subject(packet) if plain else packet
    ports = subject.proto in WITH_PORTS
    if ports and subject is not packet and not (subject.part and ipv4 or subject.dport):
        return None  # it quotes too little
    port = subject.dport if ports and not subject.part else 0
    if packet.proto == ICMPV6 and not port:
        return None
    head = layout.V4 if ipv4 else b""
    return layout.Tuple(head + subject.dst, head + subject.src, port, subject.proto, layout.NO_MAC)


# For each datapath, by its NAME, whether a rule of it is one for a packet.
TAKES = {"u32": _takes_u32, "flower": _takes_flower, "bpf": _takes_bpf}


def _spared(name: str, item: "Any", packet: "Packet", there: "There") -> str:
    """Why a rule that is one for it does not take it, "" if it does: what eBPF does after it has found one."""
    if is_left(item):
        return EXCLUDED
    if not isinstance(item, BpfMatch):
        return ""
    own = [link.mac for link in there.links if link.name == item.dev]
    if item.checked and packet.to not in own:
        return "takes what is for the router only, and this is for %s" % packet.to
    part = _part(name, there)
    # One that was closed reads as one that was never watched (actual.observe).
    if name in there.observed.refused and not item.watched and not (part and item in part.items):
        return "leaves it to the cloud: the program's port was found closed"
    why = "" if packet.quoted and _subject(packet) is not packet else _no_way_back(item, packet, there)
    if why or not there.late:
        return why
    return "leaves it to the cloud: its agent ended or hangs (watch_timeout)"


def _no_way_back(item: "BpfMatch", packet: "Packet", there: "There") -> str:
    if item.vlan:
        return "would answer itself: source and destination are the same" if packet.src == packet.dst else ""
    by = there.back(item.target, packet.dst, packet.src)
    if by is None or by == packet.dev:
        return ""
    if by == item.target:
        return "would answer itself: the source is its own address"
    if item.checked:
        how = "over %s" % by if by else "nowhere"
        return "takes no client that the router would answer elsewhere (%s): its address may be forged" % how
    return "would answer itself: source and destination are the same" if packet.src == packet.dst else ""


# What is said of a service


def _part(name: str, there: "There") -> "ServicePlan | None":
    for part in there.plan.services:
        if part.service.name == name:
            return part
    return None


def _covers(match: "Match", packet: "Packet") -> bool:
    """Whether a match is for its destination, whoever sends it. A fragment may be of anything that it does not name."""
    any_proto = not match.proto or (packet.part != "" and packet.proto == FRAGMENT)
    any_port = match.dport is None or _has_no_port(packet)
    return (
        match.family == address.family_of(packet.dst)
        and (any_proto or PROTO_NUMBER[match.proto] == packet.proto)
        and (match.dst is None or _holds(match.dst, packet.dst))
        and (any_port or match.dport[0] <= packet.dport <= match.dport[1])
    )


def _has_no_port(packet: "Packet") -> bool:
    return packet.part != "" and not packet.dport


def _is_client(match: "Match", packet: "Packet") -> bool:
    return (match.src is None or _holds(match.src, packet.src)) and match.mac in ("", packet.sender)


def _nearest(matches: "Iterable[Match]", packet: "Packet") -> "Match | None":
    """The match that is for the packet, even if it takes other clients only; the narrowest of several."""
    found = [match for match in matches if _covers(match, packet)]
    return min(found, key=lambda each: (not _is_client(each, packet), _width(each))) if found else None


def _width(match: "Match") -> "tuple[int, int]":
    return datapath.level_of(match), match.dport[1] - match.dport[0] if match.dport else 65536


def _beside(packet: "Packet", winner: str, there: "There") -> "list[str]":
    """What else there is to say of a packet that a service takes: what may still keep it away, where its replies go if
    not to its sender, and who has a wider match for it, or a narrower one that is out."""
    found = []
    if winner in there.observed.taking_over and packet.proto == PROTO_NUMBER["tcp"]:
        found.append("connections that the cloud has stay there: only new ones are taken")
    hop = direct.mac_of([each.item for each in there.observed.of(winner)])
    if hop:
        text = "its replies go to the next hop %s, whoever asks: tc -s filter show dev %s ingress"
        found.append(text % (hop, device_name(winner)))
    for service in there.services:
        match = _nearest(service.matches, packet)
        here = match and packet.vlan == (service.vlan or -1)
        if match and here and service.name != winner and _is_client(match, packet):
            wider = packet.dev in [each.item.dev for each in _redirects(service.name, there)]
            texts = _out(service, match, packet, there) or ["has a wider match for it"] * wider
            found += [_said(service, match, text) for text in texts]
    return found


def _why_not(service: "Service", packet: "Packet", hooks: "list[Packet]", there: "There") -> "list[str]":
    """Why a service that has a match for the packet does not take it; nothing if it has none."""
    match = _nearest(service.matches, packet)
    if match is None:
        return []
    why = _out(service, match, packet, there) or _passed(service.name, match, packet, hooks, there)
    return [_said(service, match, text) for text in why]


def _said(service: "Service", match: "Match", text: str) -> str:
    return "'%s' (%s): %s" % (service.name, match_text(match), text)


def _out(service: "Service", match: "Match", packet: "Packet", there: "There") -> "list[str]":
    """Why the redirect of a match is not in."""
    part = _part(service.name, there)
    if part and not _nearest(part.takes, packet):
        for text, reason in part.stays:
            if text == match_text(match):
                return ["stays with the cloud: " + reason]
    if redirects_of(there.observed.of(service.name)):
        return []
    state, reason = there.states.get(service.name, ("", ""))
    if not service.enabled:
        state, reason = "disabled", ""
    return [": ".join([text for text in ("its redirect is out", state, reason) if text])]


def _passed(name: str, match: "Match", packet: "Packet", hooks: "list[Packet]", there: "There") -> "list[str]":
    """Why the rules of a redirect that is in take another packet like this one."""
    items = [found.item for found in _redirects(name, there) if not is_left(found.item)]
    devices = sorted({item.dev for item in items})
    here = [seen for seen in hooks if seen.dev in devices]
    if items and not here:
        to = " for " + hooks[0].to if hooks[0].to else ""
        return ["takes what comes in by %s, and this comes in by %s" % (", ".join(devices), hooks[0].dev) + to]
    if not items:
        return [NOT_AS_PLANNED]
    seen = here[0]
    items = [item for item in items if item.dev == seen.dev]
    macs = [item.mac for item in items if isinstance(item, BpfMatch) and item.mac]
    plain = with_(
        packet,
        dev=seen.dev,
        to=(macs or [link.mac for link in there.links if link.name == seen.dev])[0],
        vlan=_tag(items[0]),
        part="",
        options=False,
        bare=False,
        quoted=None,
        src=match.src.packed if match.src else packet.src,
        sender=match.mac or packet.sender,
        dst=NOBODY[match.family] if match.dst is None else packet.dst,
    )
    if _has_no_port(packet):
        proto = PROTO_NUMBER[match.proto] if match.proto else packet.proto
        plain = with_(plain, proto=proto, dport=match.dport[0] if match.dport else 0)
    if not any(takes(item, plain) for item in items):
        return [NOT_AS_PLANNED]
    found = []
    for field, text in WHY:
        value = getattr(seen, field)
        if value == getattr(plain, field):
            continue
        other = with_(plain, **{field: value})
        if field == "quoted":
            other = with_(other, proto=seen.proto, dport=0)
        if not any(takes(item, other) for item in items):
            found.append(_in_words(field, text, plain, seen))
    return found


def _in_words(field: str, text: str, plain: "Packet", seen: "Packet") -> str:
    if field == "vlan" and plain.vlan > 0:
        return ANOTHER_TAG % plain.vlan
    return text if field != "sender" or seen.sender else UNKNOWN_MAC


def _nobody(packet: "Packet", subject: "Packet", there: "There") -> "list[str]":
    """What is said of a packet that no service has a match for."""
    if packet.proto in (ICMP, ICMPV6):
        return ["ICMP is not taken, but for errors about what a service has sent (datapath bpf)"]
    found = []
    for service in there.services:
        near = [match for match in service.matches if match.dst is not None and _holds(match.dst, subject.dst)]
        found += ["'%s' takes %s there, and not this" % (service.name, match_text(match)) for match in near[:2]]
    return found or ["no service has a match for its destination"]
