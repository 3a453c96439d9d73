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
from ..records.dump import ARPHRD_ETHER
from ..records.objects import PROTO_NUMBER, BpfMatch
from . import datapath
from .answers import NOBODY
from .claims import match_text
from .diff import redirects_of
from .packet import PROTOCOLS

TYPE_CHECKING = False
if TYPE_CHECKING:
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

# `service` is "" if none takes it; `match` and `rule` are text, `reasons` sentences.
Explanation = namedtuple("Explanation", ("service", "match", "rule", "reasons"))

ICMP, ICMPV6, FRAGMENT = PROTOCOLS["icmp"], PROTOCOLS["icmpv6"], PROTOCOLS["frag"]
WITH_PORTS = (PROTO_NUMBER["tcp"], PROTO_NUMBER["udp"])
BEFORE = 16  # bytes: the Ethernet header, from the start of a word on
MOST = 12  # reasons: an address may be near to many services

# Why a rule does not take a packet, by what it has and others have not (fields of Packet).
WHY = (
    ("vlan", "frames with a VLAN tag are not taken: they are for another device (DEVICE.NUMBER)"),
    ("part", "fragments are not taken: only the first has a port, and without the others it is useless"),
    ("options", "the rule finds no port behind IP options or extension headers"),
    ("bare", "it is too short to have ports"),
    ("to", "it is not for the MAC address that the rule asks for"),
    ("src", "the rule takes other clients only (src_ip)"),
    ("dst", "'any address' means neither multicast, broadcast, link-local nor loopback addresses"),
    ("quoted", "u32 and flower do not know what an ICMP error is about"),
)


def explain(packet: "Packet", there: "There") -> "Explanation":
    """What becomes of a packet that comes in."""
    subject = _subject(packet)
    hooks = [] if packet.note == "out" else _hooks(packet, there)
    reasons = _on_the_way(packet, hooks, there)
    spared = []
    for seen in hooks:
        name, found = _winner(seen, there)
        why = _spared(name, found.item, seen, there) if found else ""
        if found and not why:
            text = _text(_match(name, subject, there))
            return Explanation(name, text, rule_text(found), _beside(packet, subject, name, there)[:MOST])
        if why:
            spared.append(name)
            reasons.append("'%s' %s" % (name, why))
    for service in there.services if hooks else ():
        reasons += [] if service.name in spared else _why_not(service, subject, hooks, there)
    return Explanation("", "", "", (reasons or _nobody(packet, subject, there))[:MOST])


def _subject(packet: "Packet") -> "Packet":
    """What it is about: an ICMP error belongs to whom it quotes, as eBPF has it (ebpf/icmp.py)."""
    quoted = packet.quoted
    if quoted is None or quoted.src != packet.dst:
        return packet
    return with_(packet, src=quoted.dst, dst=quoted.src, proto=quoted.proto, sport=quoted.dport, dport=quoted.sport)


# Where it passes


def _hooks(packet: "Packet", there: "There") -> "list[Packet]":
    """The packet as it passes the ingress of its device, and then of the bridge whose port that is."""
    by_index = {link.index: link for link in there.links}
    found = []
    for link in there.links:
        if link.name != packet.dev or link.type != ARPHRD_ETHER:
            continue
        bridge = by_index.get(link.master)
        if bridge is not None and bridge.kind != "bridge":
            bridge = None
        to = packet.to or (bridge or link).mac
        reached = [each for each in (link, bridge) if each is not None and _gets(each, to, there)]
        found += [with_(packet, dev=each.name, to=to) for each in reached]
    return found


def _gets(link: "Link", to: str, there: "There") -> bool:
    """Whether a frame for that MAC gets to the device itself: a bridge passes most on from port to port."""
    return link.kind != "bridge" or to == link.mac or _is_group(to) or there.hears(link.name)


def _is_group(mac: str) -> bool:
    """Whether it is a MAC of many: broadcast and multicast."""
    return int(mac[:2], 16) & 1 == 1


def _on_the_way(packet: "Packet", hooks: "list[Packet]", there: "There") -> "list[str]":
    """Reasons that no service has anything to do with."""
    if packet.note == "out":
        return ["it leaves the router by %s: services take what comes in" % packet.dev]
    reasons = []
    if packet.note == "hardware":
        reasons.append("the hardware forwards this connection unseen (flow offloading), until it ends")
    if not packet.dev:
        reasons.append("by which device it comes in is not known: say `dev DEVICE`")
    elif packet.dev not in [link.name for link in there.links]:
        reasons.append("there is no device %s" % packet.dev)
    elif not hooks and all(link.type != ARPHRD_ETHER for link in there.links if link.name == packet.dev):
        reasons.append("%s has no Ethernet header (PPPoE, WireGuard, modem): no service takes from there" % packet.dev)
    elif not hooks:
        reasons.append("%s passes it on to another of its ports: it is for %s" % (packet.dev, packet.to))
    return reasons


# What the kernel's rules do with it


def _redirects(name: str, there: "There") -> "list[Found]":
    return redirects_of(there.observed.of(name))


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
    if item.dev != packet.dev or packet.vlan >= 0:
        return False
    return TAKES[datapath.of(item).NAME](item, packet)


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
    return bytes(2) + address.parse_mac(packet.to) + bytes(8) + head + packet.src + packet.dst + ports


def _takes_flower(item: "Any", packet: "Packet") -> bool:
    if item.protocol != _protocol(packet):
        return False
    for name, value in item.keys:
        if name == "dst_mac":
            right = value == packet.to
        elif name == "ip_proto":  # flower finds it behind extension headers, too
            right = PROTO_NUMBER[value] == packet.proto
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
    )


def _looked_up(packet: "Packet") -> "layout.Tuple | None":
    """What the program looks up, None for what it lets pass whatever there is."""
    if packet.bare or _is_group(packet.to):
        return None
    if len(packet.dst) == 4 and (packet.dst[0] >= 224 or packet.dst[:2] == b"\xa9\xfe"):
        return None  # multicast and beyond, link-local
    if len(packet.dst) == 4:
        return _looked_up4(packet)
    if packet.part or packet.options:
        return None  # by their own headers they are neither TCP nor UDP
    subject = packet
    if packet.proto == ICMPV6:
        subject = _subject(packet)
        if subject is packet or packet.quoted.part == "later" or not subject.dport:
            return None
    return layout.Tuple(subject.dst, subject.src, _port(subject), subject.proto)


def _looked_up4(packet: "Packet") -> "layout.Tuple | None":
    subject = packet
    if packet.proto == ICMP and not (packet.part or packet.options):
        subject = _subject(packet)
        quoted = packet.quoted
        if subject is not packet and subject.proto in WITH_PORTS and quoted.part != "later" and not quoted.sport:
            return None  # it quotes too little
        if subject is not packet and quoted.part == "later":
            subject = with_(subject, part="later")
    return layout.Tuple(layout.V4 + subject.dst, layout.V4 + subject.src, _port(subject), subject.proto)


def _port(packet: "Packet") -> int:
    return packet.dport if packet.proto in WITH_PORTS and not packet.part else 0


# For each datapath, by its NAME, whether a rule of it is one for a packet.
TAKES = {"u32": _takes_u32, "flower": _takes_flower, "bpf": _takes_bpf}


def _spared(name: str, item: "Any", packet: "Packet", there: "There") -> str:
    """Why a rule that is one for it does not take it, "" if it does: what eBPF does after it has found one."""
    if not isinstance(item, BpfMatch):
        return ""
    own = [link.mac for link in there.links if link.name == item.dev]
    if item.checked and packet.to not in own:
        return "takes what is for the router only, and this is for %s" % packet.to
    if name in there.observed.refused and not item.watched and _is_planned_otherwise(name, item, there):
        return "leaves it to the cloud: the program's port was found closed"
    why = "" if packet.quoted and _subject(packet) is not packet else _no_way_back(item, packet, there)
    if why or not there.late:
        return why
    return "leaves it to the cloud: its agent ended or hangs (watch_timeout)"


def _is_planned_otherwise(name: str, item: "BpfMatch", there: "There") -> bool:
    part = _part(name, there)
    return part is None or any(
        isinstance(each, BpfMatch) and each[:7] == item[:7] and each.watched for each in part.items
    )


def _no_way_back(item: "BpfMatch", packet: "Packet", there: "There") -> str:
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
    """Whether a match is for its destination, whoever sends it."""
    return (
        match.family == (4 if len(packet.dst) == 4 else 6)
        and (not match.proto or PROTO_NUMBER[match.proto] == packet.proto)
        and (match.dst is None or _holds(match.dst, packet.dst))
        and (match.dport is None or match.dport[0] <= packet.dport <= match.dport[1])
    )


def _is_client(match: "Match", packet: "Packet") -> bool:
    return match.src is None or _holds(match.src, packet.src)


def _match(name: str, packet: "Packet", there: "There") -> "Match | None":
    """The narrowest match of what a service takes over that is for the packet."""
    part = _part(name, there)
    found = None
    for match in part.takes if part else ():
        if _covers(match, packet) and _is_client(match, packet) and (found is None or _width(match) < _width(found)):
            found = match
    return found


def _width(match: "Match") -> "tuple[int, int]":
    ports = match.dport[1] - match.dport[0] if match.dport else 65536
    return datapath.level_of(match), ports


def _text(match: "Match | None") -> str:
    return match_text(match) if match is not None else ""


def _beside(packet: "Packet", subject: "Packet", winner: str, there: "There") -> "list[str]":
    """What there is to say of a packet that a service takes: what may still keep it away, and who else has a match."""
    found = []
    if packet.note == "hardware":
        found.append("its connection is the hardware's until it ends (flow offloading): only new ones are taken")
    if winner in there.observed.taking_over and subject.proto == PROTO_NUMBER["tcp"]:
        found.append("connections that the cloud has stay there: only new ones are taken")
    for service in there.services:
        match = _nearest(service, subject)
        if match is None or service.name == winner or not _is_client(match, subject):
            continue
        out = _out(service, match, subject, there)
        text = out[0] if out else "has a match for it, too, which is wider"
        found.append("'%s' (%s): %s" % (service.name, match_text(match), text))
    return found


def _nearest(service: "Service", packet: "Packet") -> "Match | None":
    """The match of a service that is for the packet, even if it takes other clients; the narrowest of several."""
    matches = [match for match in service.matches if _covers(match, packet)]
    return min(matches, key=lambda each: (not _is_client(each, packet), _width(each))) if matches else None


def _why_not(service: "Service", packet: "Packet", hooks: "list[Packet]", there: "There") -> "list[str]":
    """Why a service that has a match for the packet does not take it; nothing if it has none."""
    match = _nearest(service, packet)
    if match is None:
        return []
    why = _out(service, match, packet, there) or _passed(service.name, match, packet, hooks, there)
    return ["'%s' (%s): %s" % (service.name, match_text(match), text) for text in why]


def _out(service: "Service", match: "Match", packet: "Packet", there: "There") -> "list[str]":
    """Why the redirect of a match is not in."""
    part = _part(service.name, there)
    taken = part is None or any(_covers(each, packet) for each in part.takes)
    for reason in [] if taken else [why for text, why in part.stays if text == match_text(match)]:
        return ["stays with the cloud: " + reason]
    if _redirects(service.name, there):
        return []
    state, reason = there.states.get(service.name, ("", ""))
    if not service.enabled:
        state, reason = "disabled", ""
    return [": ".join([text for text in ("its redirect is out", state, reason) if text])]


def _passed(name: str, match: "Match", packet: "Packet", hooks: "list[Packet]", there: "There") -> "list[str]":
    """Why the rules of a redirect that is in take another packet like this one."""
    items = [found.item for found in _redirects(name, there)]
    devices = sorted({item.dev for item in items})
    here = [seen for seen in hooks if seen.dev in devices]
    if not here:
        return ["takes what comes in by %s, and this comes in by %s" % (", ".join(devices), hooks[0].dev)]
    seen = here[0]
    macs = [item.mac for item in items if isinstance(item, BpfMatch) and item.mac and item.dev == seen.dev]
    plain = with_(
        packet,
        dev=seen.dev,
        to=(macs or [link.mac for link in there.links if link.name == seen.dev])[0],
        vlan=-1,
        part="",
        options=False,
        bare=False,
        quoted=None,
        src=match.src.packed if match.src else packet.src,
        dst=NOBODY[match.family] if match.dst is None else packet.dst,
    )
    if not any(takes(item, plain) for item in items):
        return ["the kernel's rules are not as configured: `viscum plan` shows what is to be done"]
    found = []
    for field, text in WHY:
        value = getattr(seen, field)
        if value == getattr(plain, field):
            continue
        other = with_(plain, **{field: value})
        if field == "quoted":
            other = with_(other, proto=seen.proto, dport=0)
        if not any(takes(item, other) for item in items):
            found.append(text)
    return found


def _nobody(packet: "Packet", subject: "Packet", there: "There") -> "list[str]":
    """What is said of a packet that no service has a match for."""
    if packet.proto == ICMPV6:
        return ["ICMPv6 is not taken, but for errors about what a service has sent (datapath bpf)"]
    found = []
    for service in there.services:
        near = [match for match in service.matches if match.dst is not None and _holds(match.dst, subject.dst)]
        found += ["'%s' takes %s there, and not this" % (service.name, match_text(match)) for match in near[:2]]
    return found or ["no service has a match for its destination"]


def rule_text(found: "Found") -> str:
    """The kernel's rule, as `tc filter show` and the eBPF maps have it."""
    item = found.item
    if isinstance(item, BpfMatch):
        name = "exact" if layout.is_exact(layout.kind_of(item)) else "wide"
        words = ["bpf dev %s map %s" % (item.dev, name), item.proto or "any protocol", item.dst]
        if item.port_bits:
            words.append("port %d" % item.port + ("/%d" % item.port_bits if item.port_bits < 16 else ""))
        words += ["from " + item.src] if item.src else []
        words += ["mac " + item.mac] if item.mac else []
        return " ".join(words + ["to", item.target])
    where = (item.dev, item.protocol, item.prio, item.kind, _handle(item.kind, found.handle))
    return "tc filter dev %s ingress protocol %s pref %d %s handle %s" % where


def _handle(kind: str, handle: int) -> str:
    """As tc(8) prints it; u32: table, bucket and number (TC_U32_KEY in linux/pkt_cls.h)."""
    if kind != "u32":
        return "0x%x" % handle
    bucket = handle >> 12 & 0xFF
    return "%x:%s:%x" % (handle >> 20, "%x" % bucket if bucket else "", handle & 0xFFF)
