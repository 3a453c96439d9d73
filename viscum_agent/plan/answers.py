"""How a service answers, and so how it is checked: decided once, here, from its matches and its open sockets.

In its namespace a program is reached in one of two ways: the cloud's address is a local one there, or an nft rule
redirects to the namespace's own address, perhaps to another port; with `reply` 'direct' every address may be a local
one. Traffic with ports is taken over only where the program listens, port by port and family by family; the rest stays
with the cloud, with the reason. Matches that can't be checked here (a family that the router can't route) were removed
before.

Pure functions. A way is a socket as clients of one family reach it: what to check for the program's health.
"""

from collections import namedtuple

from .. import address
from ..records import with_
from ..records.facts import Ports
from ..records.objects import NatRule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from ..config.service import Match
    from ..records.facts import Listener

# Where the packets of a match arrive: `address` (bytes) in the namespace, ports from `low` to `high` there, 0 for a
# match of every protocol. `client` (bytes) and `port` are what a client may connect to, `port` 0 for one of those
# ports.
Answer = namedtuple("Answer", ("match", "address", "low", "high", "client", "port"))

# `bound` is the socket's address, b"" for any: the first four fields identify a way. A client that connects to `client`
# and `client_port` uses it; `version` is the socket's.
Way = namedtuple("Way", ("proto", "family", "port", "bound", "version", "client", "client_port"))

# What is known of a service's sockets: facts.Listener records; the keys (way_key) of the ways that answer, None if
# nothing was checked and all count; and for others that were checked, the reason.
Open = namedtuple("Open", ("listeners", "awake", "mute"))

# What clients connect to where a match is for any address: addresses that nobody has (RFC 5737, RFC 3849).
NOBODY = {4: bytes([192, 0, 2, 1]), 6: b"\x20\x01\x0d\xb8" + bytes(11) + b"\x01"}

MOST_PORTS = 64  # taken over one by one for a match: a program can open all there are
ANY_PORT = (1, 65535)
EPHEMERAL = 32768  # the first port that a socket gets by itself (ip_local_port_range, ip-sysctl.rst): a check's is one
MOST_OWN = 8  # ports beyond that which are told apart; each takes as many rules as there are of them


def needs_nat(matches: "Sequence[Match]", named: "Collection[int]") -> bool:
    """Whether local addresses can't serve the matches (of one family): one address can, several only with TCP. `named`
    are the families in which the service has names."""
    addresses = {match.dst for match in matches}
    if any(match.dst is None or match.dst.length != address.bits(match.family) or match.to_port for match in matches):
        return True
    # A name may have several tomorrow, and other ways in would cost open connections.
    several = len(addresses) > 1 or any(match.family in named for match in matches)
    return several and any(match.proto != "tcp" for match in matches)


def any_local(matches: "Sequence[Match]", direct: bool, named: "Collection[int]") -> bool:
    """Whether in place of NAT every address (of the one family of these matches) is a local one in the namespace: with
    `reply` 'direct', for TCP, which answers from the address that a client used. UDP would not."""
    return direct and needs_nat(matches, named) and all(match.proto == "tcp" and not match.to_port for match in matches)


def _by_nat(matches: "Sequence[Match]", direct: bool, named: "Collection[int]") -> bool:
    return needs_nat(matches, named) and not any_local(matches, direct, named)


def nat_rules(matches: "Sequence[Match]", direct: bool = False, named: "Collection[int]" = ()) -> "tuple[NatRule, ...]":
    """The redirect rules inside the namespace, narrower ones first. `direct` and `named` as in any_local."""
    rules = set()
    for family in (4, 6):
        of_family = [match for match in matches if match.family == family]
        if not of_family or not _by_nat(of_family, direct, named):
            continue
        for match in of_family:
            daddr = address.format_prefix(match.dst) if match.dst else ("0.0.0.0/0" if family == 4 else "::/0")
            rules.add(NatRule(daddr, match.proto, match.dport, match.to_port))
    return tuple(sorted(rules, key=_rule_order))


def _rule_order(rule: "NatRule") -> tuple:
    length = int(rule.daddr.split("/")[1])
    width = rule.dport[1] - rule.dport[0] if rule.dport else 65536
    return (-length, width, rule.daddr, rule.proto, rule.dport or (0, 0), rule.to_port)


class Answers:
    """An Answer for each match, made for whoever comes by: a name may have hundreds of addresses. `own` maps a family
    to the namespace's own address (bytes); `nat` are the families with NAT."""

    def __init__(self, matches: "Sequence[Match]", own: "dict[int, bytes]", nat: "Sequence[int]") -> None:
        self._made_from = matches, own, nat

    def __iter__(self) -> "Iterator[Answer]":
        matches, own, nat = self._made_from
        for match in matches:
            client = _client(match)
            low, high = _inside(match)
            port = (match.dport or ANY_PORT)[0] if match.to_port else 0
            where = own[match.family] if match.family in nat else client
            yield Answer(match=match, address=where, low=low, high=high, client=client, port=port)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Answers) and self._made_from == other._made_from


def answers(
    matches: "Sequence[Match]", own: "dict[int, bytes]", direct: bool = False, named: "Collection[int]" = ()
) -> "Answers":
    """The Answers of matches, IPv4 first; `direct` and `named` as in any_local."""
    by_family = {family: [match for match in matches if match.family == family] for family in (4, 6)}
    nat = [family for family in (4, 6) if _by_nat(by_family[family], direct, named)]
    return Answers(by_family[4] + by_family[6], own, nat)


def _inside(match: "Match") -> "tuple[int, int]":
    """The first and the last port where the packets of a match arrive, 0 for a match of every protocol."""
    if not match.proto:
        return 0, 0
    return (match.to_port, match.to_port) if match.to_port else match.dport or ANY_PORT


def asked_ports(matches: "Iterable[Match]", *more: int) -> "dict[str, Ports]":
    """The ports at which the program of these matches is checked, and `more`: {protocol: facts.Ports}."""
    found = {proto: Ports(set(more), []) for proto in ("tcp", "udp")}
    for match in matches:
        low, high = _inside(match)
        if match.proto and low == high:
            found[match.proto].single.add(low)
        elif match.proto and (low, high) not in found[match.proto].ranges:
            found[match.proto].ranges.append((low, high))
    return found


def own_ports(matches: "Iterable[Match]") -> str:
    """Between which UDP ports a program of these matches could answer itself, as a Mute has them; "" for none.

    Those below EPHEMERAL are one range, from the least to the greatest: two sockets of a program may answer each other
    as well. Of what is above only single ports count: others are those of checks, and of what the program asks."""
    low: list[int] = []
    more = set()
    for match in matches:
        if match.proto == "tcp":
            continue
        first, last = _inside(match) if match.proto else ANY_PORT
        if first < EPHEMERAL:
            low += [first, min(last, EPHEMERAL - 1)]
        elif first == last:
            more.add(first)
    found = [min(low), max(low)] if low else []
    texts = ["-".join(["%d" % port for port in sorted(set(found))])] if low else []
    return "_".join(texts + ["%d" % port for port in sorted(more)[:MOST_OWN]])


def _client(match: "Match") -> bytes:
    """An address that the match takes over: for a network, the first one after its own."""
    if match.dst is None:
        return NOBODY[match.family]
    single = match.dst.length == address.bits(match.family)
    return match.dst.packed if single else address.add(match.dst.packed, 1)


def without_names(found: "Answers") -> "set[Answer]":
    """The Answers, with those for the addresses of names as if these had none: their ways are the same."""
    return {
        with_(each, match=with_(each.match, dst=None, host=""), address=b"", client=b"") if each.match.host else each
        for each in found
    }


# What the open sockets mean


def ways(found: "Answers", listeners: "Iterable[Listener]") -> "list[Way]":
    """The Ways into a program with these Answers, each once, those of a single port first."""
    ways_by_key: dict[tuple, Way] = {}
    for answer in sorted(found, key=_width):
        open_ones = _open_at(answer, listeners)
        for port in sorted(open_ones):
            one = open_ones[port]
            way = Way(
                proto=one.proto,
                family=answer.match.family,
                port=port,
                bound=one.address,
                version=one.version,
                client=answer.client,
                client_port=answer.port or port,
            )
            ways_by_key.setdefault(way_key(way), way)
    return list(ways_by_key.values())


def settled(found: "Answers", before: "Sequence[Listener]", now: "Sequence[Listener]") -> "list[Listener]":
    """The listeners that count: a UDP socket that only a match of several ports takes must be there at two looks in a
    row. A program that queries somebody (DNS, NTP) opens one like that for a moment."""
    known = {one[:4] for one in before}
    return [
        one
        for one in now
        if one.proto == "tcp" or any(_takes(one, each) and each.low == each.high for each in found) or one[:4] in known
    ]


def _width(answer: "Answer") -> int:
    return answer.high - answer.low


def way_key(way: "Way") -> tuple:
    return way[:4]


def _open_at(answer: "Answer", listeners: "Iterable[Listener]") -> "dict[int, Listener]":
    """{port: Listener} of the sockets that receive what arrives for an Answer, for the first MOST_PORTS ports."""
    found: dict[int, Listener] = {}
    for one in listeners:
        if _takes(one, answer) and (one.port not in found or _rank(one, answer) < _rank(found[one.port], answer)):
            found[one.port] = one
    if len(found) > MOST_PORTS:
        found = {port: found[port] for port in sorted(found)[:MOST_PORTS]}
    return found


def _takes(one: "Listener", answer: "Answer") -> bool:
    match = answer.match
    if one.proto != match.proto or not answer.low <= one.port <= answer.high:
        return False
    if one.version == match.family:
        return one.address in (b"", answer.address)
    return one.version == 6 and not one.address  # an IPv6 socket may take IPv4, too: a check tells


def _rank(one: "Listener", answer: "Answer") -> "tuple[bool, bool]":
    """The kernel's preference: a socket of the same family before another, one of the address before one of any."""
    return one.version != answer.match.family, one.address == b""


def taken(
    found: "Answers", there: "Open | None", whole: bool = False, dynamic: bool = False
) -> "list[tuple[Match, Match]]":
    """The parts of matches that are taken over, as [(match, part)]: each match of the Answers with the part that is
    answered.

    `there` is Open, None if nothing is known: then everything counts as answered, as with `whole`. With `dynamic` a
    whole family does, as soon as one way of it answers.
    """
    if there is None or whole:
        return [(answer.match, answer.match) for answer in found]
    awake = set()
    ports = []
    for answer in found:
        open_ones = _open_at(answer, there.listeners)
        ports.append([port for port in sorted(open_ones) if _is_awake(there, _key(answer, open_ones[port]))])
        if ports[-1]:
            awake.add(answer.match.family)
    parts = []
    for answer, answered in zip(found, ports):
        if not answer.match.proto or (dynamic and answer.match.family in awake):
            parts.append((answer.match, answer.match))
        else:
            parts.extend([(answer.match, part) for part in _parts(answer, answered)])
    return parts


def _is_awake(there: "Open", key: tuple) -> bool:
    return there.awake is None or key in there.awake


def _key(answer: "Answer", one: "Listener") -> tuple:
    return one.proto, answer.match.family, one.port, one.address


def _parts(answer: "Answer", ports: "list[int]") -> "list[Match]":
    """The parts of a match that these ports inside are: the whole match if they are all of its ports."""
    match = answer.match
    if not ports:
        return []
    if match.to_port or len(ports) == answer.high - answer.low + 1:
        return [match]
    runs: list[list[int]] = []
    for port in ports:
        if runs and runs[-1][1] == port - 1:
            runs[-1][1] = port
        else:
            runs.append([port, port])
    return [with_(match, dport=(low, high), to_port=0) for low, high in runs]


def stays(found: "Answers", there: "Open | None", parts: "list[tuple[Match, Match]]") -> "list[tuple[Match, str]]":
    """[(match, reason)] of what the cloud still answers; `parts` is what `taken` returned."""
    if there is None:
        return []
    whole = [match for match, part in parts if match == part]
    some = [match for match, _ in parts]
    left = []
    for answer in found:
        if answer.match in whole:
            continue
        if answer.match in some:
            left.append((answer.match, "only where the program listens"))
        else:
            left.append((answer.match, _why(answer, there)))
    return left


def _why(answer: "Answer", there: "Open") -> str:
    """Why nothing of a match is taken over."""
    open_ones = _open_at(answer, there.listeners)
    if open_ones:
        port = min(open_ones)
        return there.mute.get(_key(answer, open_ones[port]), "it was not checked yet")
    near = [one for one in there.listeners if one.proto == answer.match.proto and answer.low <= one.port <= answer.high]
    if not near:
        return "the program does not listen there"
    bound = [address.format_address(one.address) for one in near if one.address]
    if bound:
        return "the program listens on %s only" % bound[0]
    return "the program listens over IPv%d only" % near[0].version
