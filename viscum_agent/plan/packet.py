"""A packet as text: as a person types it, or as a line that tcpdump or connection tracking printed.

    dev br-lan tcp from 192.168.1.2 to 203.0.113.10 port 5201
    13:05:22.123456 br-lan In  IP 192.168.1.2.40000 > 203.0.113.10.5201: Flags [S], seq 1, win 64240, length 0
    tcp      6 431999 ESTABLISHED src=192.168.1.2 dst=203.0.113.10 sport=40000 dport=5201 src=...

Whoever pastes a line does not know what is in it: it is read with bounds, and what is not understood is an error.
"""

from collections import namedtuple

from .. import address
from ..records import with_
from ..shell import is_device, shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# `dev` is where it comes in, "" if that is not known; `to` the MAC that its frame is for, "" for the device's own;
# `vlan` the number of its tag, -1 without one, 0 with what no service takes (two, one of 802.1ad, only a priority);
# addresses are bytes, `proto` a number (IANA), ports 0 where there are none. `part` is "" for a whole packet, "first"
# or "later" for a fragment; `options` whether there are IPv4 options, or IPv6 extension headers before `proto`; `bare`
# whether nothing follows its header. `quoted` is the Packet that an ICMP error is about, else None. `note` is what else
# the text said: "out" (it leaves by `dev`), "hardware" (offloaded). `sender` is the MAC that its frame is from, "" if
# that is not known.
Packet = namedtuple(
    "Packet",
    (
        "dev",
        "to",
        "vlan",
        "src",
        "dst",
        "proto",
        "sport",
        "dport",
        "part",
        "options",
        "bare",
        "quoted",
        "note",
        "sender",
    ),
)
NOTHING = Packet(
    dev="",
    to="",
    vlan=-1,
    src=b"",
    dst=b"",
    proto=-1,
    sport=0,
    dport=0,
    part="",
    options=False,
    bare=False,
    quoted=None,
    note="",
    sender="",
)

# As ip(8), tcpdump(8) and conntrack(8) call them.
PROTOCOLS = {
    "tcp": 6,
    "udp": 17,
    "icmp": 1,
    "icmp6": 58,
    "icmpv6": 58,
    "dccp": 33,
    "grev0": 47,
    "esp": 50,
    "frag": 44,
    "sctp": 132,
}
LONGEST = 2000  # characters; tcpdump -v and conntrack -o extended print some 300
DEVICE_LENGTH = 15  # IFNAMSIZ in linux/if.h, less its NUL
USAGE = "[dev DEVICE] tcp|udp|... from ADDRESS to ADDRESS [port PORT]"


def read(text: str) -> "Packet":
    """The Packet of a text. Raises ValueError, with the reason."""
    if len(text) > LONGEST:
        raise ValueError("is longer than %d characters: paste one line" % LONGEST)
    known, rest = _typed(_words(text))
    if any(word.startswith("src=") for word in rest):
        found = _conntrack(rest, known)
    elif ">" in rest:
        found = _tcpdump(rest, known)
    elif rest:
        raise ValueError(
            "%s is not understood: say %s, or paste a line of tcpdump or conntrack" % (shown(rest[0]), USAGE)
        )
    else:
        found = known
    return _whole(found)


def client(words: "list[str]") -> "Packet":
    """What is typed behind a service's name: `[dev DEVICE] [from ADDRESS]`. Raises ValueError, with no reason."""
    found, rest = _typed(words)
    if rest or found != with_(NOTHING, dev=found.dev, src=found.src):
        raise ValueError()
    return found


def _words(text: str, between: str = "\n\t") -> "list[str]":
    """(What else split() takes for a blank differs between the interpreters.)"""
    for c in between:
        text = text.replace(c, " ")
    return [word for word in text.split(" ") if word]


def _whole(packet: "Packet") -> "Packet":
    for value, what in ((packet.src, "where it is from"), (packet.dst, "where it goes to")):
        if not value:
            raise ValueError("does not say %s: %s" % (what, USAGE))
    if len(packet.src) != len(packet.dst):
        raise ValueError("is from an address of one family to one of another")
    if packet.proto < 0:
        raise ValueError("does not say which protocol it has: tcp, udp, icmp or a number")
    if packet.proto in (PROTOCOLS["tcp"], PROTOCOLS["udp"]) and not (packet.dport or packet.part):
        raise ValueError("does not say to which port it goes: %s" % USAGE)
    return packet


# As a person types it, like ip-route(8) and tc(8)


def _typed(words: "list[str]") -> "tuple[Packet, list[str]]":
    """What was typed, and the words from the first one on that nobody types."""
    found = NOTHING
    words = words[:]
    while words:
        word = words[0]
        if word in _ALONE:
            found = with_(found, **_ALONE[word])
        elif word in _TYPED and len(words) > 1:
            field, parse = _TYPED[word]
            found = with_(found, **{field: parse(words.pop(1))})
        elif word in PROTOCOLS and not (len(words) > 1 and _is_number(words[1], 255)):
            found = with_(found, proto=PROTOCOLS[word])
        else:
            break  # also `tcp 6 431999 ...`: connection tracking
        del words[0]
    return found, words


def _is_number(word: str, most: int) -> bool:
    return address.is_number(word) and len(word) <= 5 and int(word) <= most


def _number(word: str, most: int, what: str) -> int:
    if not _is_number(word, most):
        raise ValueError("%s is not a %s (up to %d)" % (shown(word), what, most))
    return int(word)


def _proto(word: str) -> int:
    return PROTOCOLS[word] if word in PROTOCOLS else _number(word, 255, "protocol")


def _port(word: str) -> int:
    return _number(word, 65535, "port")


def _vlan(word: str) -> int:
    return _number(word, 4094, "VLAN")


def _address(word: str) -> bytes:
    try:
        return address.parse_address(word)
    except ValueError:
        raise ValueError("%s is not an IP address" % shown(word))


def _mac(word: str) -> str:
    try:
        return address.format_mac(address.parse_mac(word))
    except ValueError:
        raise ValueError("%s is not a MAC address" % shown(word))


def _device(word: str) -> str:
    if len(word) > DEVICE_LENGTH or not is_device(word):
        raise ValueError("%s is not the name of a device" % shown(word))
    return word


_ALONE: "dict[str, Any]" = {"fragment": {"part": "later"}, "options": {"options": True}}
_TYPED: "dict[str, tuple[str, Any]]" = {
    "dev": ("dev", _device),
    "proto": ("proto", _proto),
    "from": ("src", _address),
    "to": ("dst", _address),
    "sport": ("sport", _port),
    "port": ("dport", _port),
    "dport": ("dport", _port),
    "mac": ("to", _mac),
    "src_mac": ("sender", _mac),
    "vlan": ("vlan", _vlan),
}


# A line of `conntrack -L` or /proc/net/nf_conntrack


def _conntrack(words: "list[str]", known: "Packet") -> "Packet":
    """The first packet of the connection, as its client sent it: the first of the two tuples."""
    values: dict[str, str] = {}
    proto = -1
    before = ""
    for word in words:
        key, there, value = word.partition("=")
        if there:
            values.setdefault(key, value)
        elif proto < 0 and (word in PROTOCOLS or before == "unknown"):
            proto = _proto(word)
        before = word
    return with_(
        known,
        proto=proto,
        src=_address(values.get("src", "")),
        dst=_address(values.get("dst", "")),
        sport=_port(values.get("sport", "0")),
        dport=_port(values.get("dport", "0")),
        note="hardware" if "[HW_OFFLOAD]" in words else known.note,
    )


# A line of tcpdump


def _tcpdump(words: "list[str]", known: "Packet") -> "Packet":
    """With and without -e, -v and -i any."""
    words = _words(" ".join(words), "()")
    found = known
    ends = 0  # the place of the ">" between the addresses
    for place in [place for place in range(1, len(words) - 1) if words[place] == ">"]:
        right = _bare(words[place + 1])
        if [len(part) for part in right.split(":")] == [2] * 6:
            found = with_(found, sender=_mac(words[place - 1]), to=_mac(right))
        elif not ends:
            ends = place
            (src, sport), (dst, dport) = _end(words[place - 1]), _end(right)
            found = with_(found, src=src, dst=dst, sport=sport, dport=dport)
    if not ends:
        raise ValueError("has no IP addresses: only IPv4 and IPv6 are ever taken")
    found = _where(words[:ends], found)
    found = with_(found, proto=_named(words, ends, found))
    if found.proto == PROTOCOLS["frag"]:  # IPv6: `frag (0|1448)`, the first of the two numbers is its place
        return with_(found, part="first" if "frag 0|" in " ".join(words[ends + 2 : ends + 4]) else "later")
    if found.proto in (PROTOCOLS["tcp"], PROTOCOLS["udp"]) and not found.dport:
        return with_(found, part="later")
    return found


def _bare(word: str) -> str:
    """Without the comma or the colon behind it."""
    return word[:-1] if word[-1] in ",:" else word


def _end(word: str) -> "tuple[bytes, int]":
    """(address, port) of `192.168.1.2.40000`, `2001:db8::2.40000` and the same without a port."""
    body, dot, port = word.rpartition(".")
    with_port = dot and (":" in body or body.count(".") == 3)
    try:
        return address.parse_address(body if with_port else word), _port(port) if with_port else 0
    except ValueError:
        raise ValueError("%s is not an address with or without a port: let tcpdump print numbers (-n)" % shown(word))


def _where(words: "list[str]", found: "Packet") -> "Packet":
    """What the words before the addresses say of device, direction, tag and fragment."""
    for place in range(len(words) - 1):
        word, following = words[place], _bare(words[place + 1])
        if following in ("In", "Out", "B", "M", "P") and place < 3 and not found.dev:
            # -i any prints the device and how it got there: to it, from it, for all, for many, for others; before them
            # there may be a date and a time.
            found = with_(found, dev=_device(word), note="out" if following == "Out" else found.note)
        elif word == "vlan":
            found = with_(found, vlan=0 if found.vlan >= 0 or "802.1Q-QinQ" in words else _vlan(following))
        elif word == "offset" and following != "0":
            found = with_(found, part="later")
        elif word == "flags" and following.startswith("[+") and not found.part:
            found = with_(found, part="first")
        elif word == "options":  # `options (RA)`
            found = with_(found, options=True)
    return found


def _named(words: "list[str]", ends: int, found: "Packet") -> int:
    """The protocol: as -v says it, else by what is printed of the packet. Of UDP that may be only what is in it."""
    for place in range(ends - 3):
        if words[place] in ("proto", "next-header"):  # `proto TCP (6), ...`
            return _number(_bare(words[place + 2]), 255, "protocol")
    after = [_bare(word).lower() for word in words[ends + 2 :][:2]]
    for word in after:
        if word in PROTOCOLS:
            return PROTOCOLS[word]
        if word.startswith("ip-proto-"):
            return _proto(word[9:])
    if after and after[0] == "flags":
        return PROTOCOLS["tcp"]
    return PROTOCOLS["udp"] if found.dport else -1
