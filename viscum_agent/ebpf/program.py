"""The programs. layout.py describes what they keep in maps.

    forward   at the ingress of a source interface: what a service takes over goes into its namespace, past netfilter,
              the bridge and routing. Learns where the client is, and which service it uses.
    bare      the same for a device whose packets begin with the IP header (PPP, WireGuard, tun, modems with raw IP).
              There are no MACs: the route alone says where the client is.
    reply     at the ingress of a service's pair in the router, where its packets come out: replies go straight to a
              client whose place is known, else to the neighbour that the router's routes name. Everything else passes
              as if there were no program.
    tagged    the same for a service with a VLAN: replies go where the client's frames came from, with its tag.

Never taken: frames with a VLAN tag but for services with that VLAN, broadcast, multicast, link-local, ICMPv6 but for
errors, anything that is not IP, and frames for others, which a promiscuous device gets too, except at the port of a
bridge. A fragment has no port here, not even the first: a match with a port ignores all of them, so that one receiver
gets them all. An ICMP error counts as the packet that it is about.
"""

from .assembler import FP, R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, Assembler
from .layout import BY_MAC, CHECKED, DEADLINE_SHIFT, DRAINS, FIXED, MACS, REFUSED, SLOTS, TAGGED, VLAN_SHIFT, WATCHED

# Helpers: numbers and arguments in linux/bpf.h, bpf-helpers(7).
MAP_LOOKUP, MAP_UPDATE, MAP_DELETE, GET_PRANDOM, VLAN_PUSH, VLAN_POP, REDIRECT = 1, 2, 3, 7, 18, 19, 23
SKB_LOAD_BYTES, SKB_CHANGE_TYPE, SKB_PULL_DATA, FIB_LOOKUP, REDIRECT_NEIGH, REDIRECT_PEER = 26, 32, 39, 69, 152, 155
SKB_CHANGE_HEAD = 43  # in such programs from kernel 5.8 on
SK_LOOKUP_TCP, SK_RELEASE = 84, 86
KTIME_GET_COARSE_NS = 160  # the monotonic clock as of the last tick: a load, where the exact one asks the hardware

# struct __sk_buff (linux/bpf.h). Both protocols are in network order, in a word of the machine's byte order. The kernel
# has taken the outer tag off a frame that comes in (__netif_receive_skb_core in net/core/dev.c).
SKB_LEN, SKB_PKT_TYPE, SKB_PROTOCOL, SKB_IFINDEX = 0, 4, 16, 40
SKB_VLAN_PRESENT, SKB_VLAN_TCI, SKB_VLAN_PROTO = 20, 24, 28
SKB_DATA, SKB_DATA_END, SKB_GSO_SEGS = 76, 80, 164

# linux/if_packet.h: how the device classifies a frame. OTHERHOST is one for another MAC, such as the bridge's.
PACKET_HOST, PACKET_OTHERHOST = 0, 3

DROP = 2  # TC_ACT_SHOT
NEXT = -1  # TCX_NEXT, and TC_ACT_UNSPEC of cls_bpf: the next program or filter decides

ETH_IP, ETH_IPV6, ETH_8021Q = 0x0800, 0x86DD, 0x8100
IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMPV6 = 1, 6, 17, 58
ETH_HEADER = 14
# From the start of the frame: destination and source MAC; fields of RFC 791 and RFC 8200.
MAC_TO, MAC_FROM, ETH_TYPE = 0, 6, 12
IP_VERSION, IP_FRAGMENT, IP_PROTOCOL, IP_SRC, IP_DST, IP_END = 14, 20, 23, 26, 30, 34
IPV6_NEXT, IPV6_SRC, IPV6_DST, IPV6_END = 20, 22, 38, 54
PORTS = 4  # source and destination port: the first bytes of TCP and UDP alike
TCP_SEQ, TCP_FLAGS = 4, 13  # RFC 9293
FIN, SYN, RST, ACK = 1, 2, 4, 16
# An ICMP error: 8 bytes, then the packet that it is about (RFC 792, RFC 4443). Type and code are its first two bytes.
ICMP_HEADER, PORT_UNREACHABLE, PORT_UNREACHABLE6 = 8, 3 << 8 | 3, 1 << 8 | 4

# The stack, from the frame pointer down: keys as in layout.py, each aligned to a word, addresses to a double word.
EXACT_KEY = -36  # interface, service address, port, protocol
INDEX, SERVICE, PORT, PROTO = EXACT_KEY, EXACT_KEY + 4, EXACT_KEY + 20, EXACT_KEY + 22
MAC = EXACT_KEY + 24  # the client's, and 2 bytes of nothing
CLIENT = -56  # 16 bytes: also the key of `clients`
WIDE_KEY = -104
KIND, WIDE_INDEX, WIDE_SERVICE, WIDE_CLIENT, WIDE_PORT, WIDE_PROTO = (WIDE_KEY + at for at in (0, 4, 8, 24, 40, 42))
MAC_KEY = WIDE_KEY - 8  # the client's MAC, 2 bytes of nothing, and the wide key behind them
REFUSAL = -120  # whether the packet says that the service's port is closed
KNOWN = -116  # what `clients` knows of the client, see below
PLACE = -168  # 48 bytes: the value in `clients`
FIB = -232  # struct bpf_fib_lookup, 64 bytes
MODE = -236  # BY_MODE where the entry's mode is remembered with the client, else 0
HEAD = -280  # 44 bytes, of a bare packet: its IP header, without options, and the ports
SLOT_KEY = -284
MASK_KEY = -288
PORT_WORDS = -292  # the two ports of a packet with IP options

BY_MODE = 1 << 31  # in a place's slot: of TCP only what is in `flows` is taken (flows.py)
# The key in `clients` of one with a VLAN, once the wide key is not needed: a word that begins no client's address (such
# packets pass, _read), the pair's index, and both halves of the address as a sum; the value's first 16 bytes are the
# whole address. So nobody reaches the entry of another service's client.
TAGGED_KEY, NO_ADDRESS = WIDE_KEY + 8, 0x7FFFFFFF
NOTHING, OLD = 0, 1  # no entry, or one with another place or generation
PLACE_ONLY, CURRENT = 2, 3  # the place is right, and no service is stored, or another one
ERROR = 4  # not asked: it is an ICMP error (icmp.py)
SELDOM = 15  # a mask: one in sixteen

# Values (layout.py).
VALUE_TARGET, VALUE_FLAGS, VALUE_MAC, VALUE_SLOT = 0, 4, 6, 12
VALUE_PORT, VALUE_NSID = 6, 8  # where there is no MAC: of TCP
MASK_KIND, MASK_SERVICE, MASK_CLIENT, MASK_PORT, MASK_PROTO = 0, 8, 24, 40, 42
PLACE_SERVICE, PLACE_PORT, PLACE_GENERATION, PLACE_TARGET, PLACE_SLOT = 0, 16, 20, 24, 28
PLACE_INDEX, PLACE_CLIENT, PLACE_ROUTER, PLACE_SIZE = 32, 36, 42, 48
COUNT_PACKETS, COUNT_BYTES = 0, 8
STATE_GENERATION, STATE_KINDS = 0, 8

# struct bpf_fib_lookup.
FIB_FAMILY, FIB_PROTOCOL, FIB_INDEX, FIB_SRC, FIB_DST = 0, 1, 8, 16, 32
FIB_ROUTER, FIB_CLIENT, FIB_SIZE = 52, 58, 64
NO_NEIGHBOUR = 7  # BPF_FIB_LKUP_RET_NO_NEIGH: the route is known, the MAC is not
NOT_FORWARDED = 4  # BPF_FIB_LKUP_RET_NOT_FWDED: no route, or the router's own; below it, the route refuses all packets
AF_INET, AF_INET6 = 2, 10

# struct bpf_sock_tuple, on the stack where the route was asked: both addresses, both ports. Its size tells the family.
SOCKET, SOCKET_SIZE, SOCKET6_SIZE = FIB, 12, 36


def forward(order: str, maps: "dict[str, int]", kinds: int, bare: bool = False) -> bytes:
    """The bytes of the forward program; `maps` maps names to descriptors, `kinds` is how many `masks` can hold."""
    from . import flows, icmp  # they need what is here

    asm = Assembler(order, bare)
    asm.move(R6, R1)
    asm.load(R0, R6, SKB_PKT_TYPE, 4)
    asm.jump_if(R0, "==", PACKET_HOST, "to us")
    asm.jump_if(R0, "!=", PACKET_OTHERHOST, "pass")
    asm.label("to us")
    asm.load(R7, R6, SKB_IFINDEX, 4)
    if not bare:
        asm.load(R0, R6, SKB_VLAN_PRESENT, 4)
        asm.jump_if(R0, "!=", 0, "tagged")
        asm.label("read")
    asm.store(FP, INDEX, R7, 4)
    _read(asm, IP_DST, IPV6_DST, IP_SRC, IPV6_SRC, 2, ("icmp", "icmpv6"))
    # Before any lookup: what is learned then is at least as new as this generation.
    _state(asm, maps, R8, STATE_GENERATION)
    _recall(asm, maps)
    asm.store(FP, PLACE + PLACE_GENERATION, R8, 4)
    asm.store_number(FP, MODE, 0, 4)
    _find(asm, maps, kinds, not bare, "" if bare else "sender")
    _unless_for_others(asm)
    asm.load(R0, R7, VALUE_FLAGS, 2)
    asm.mask(R0, flows.MODES)
    asm.jump_if(R0, "!=", 0, "by mode")
    asm.label("take")
    asm.load(R8, R7, VALUE_TARGET, 4)  # the map may change under us: read it once
    _copy(asm, FP, SLOT_KEY, R7, VALUE_SLOT, 4, 4)
    _learn(asm, maps)
    asm.label("taken")
    _unless_late(asm, maps)
    _count(asm, maps)
    asm.load(R0, R6, SKB_PKT_TYPE, 4)
    asm.jump_if(R0, "==", PACKET_HOST, "go")
    # A frame for the bridge that came in on a port: kernels before 6.15 do not correct that themselves.
    asm.move(R1, R6)
    asm.number(R2, PACKET_HOST)
    asm.call(SKB_CHANGE_TYPE)
    asm.label("go")
    if bare:
        _put_header(asm)
    else:
        asm.load(R0, R6, SKB_VLAN_PRESENT, 4)
        asm.jump_if(R0, "!=", 0, "without tag")
    asm.label("in")
    asm.move(R1, R8)
    asm.number(R2, 0)
    asm.call(REDIRECT_PEER)
    asm.leave()
    if not bare:
        _by_sender(asm, maps)
        _tagged(asm)
        _learn_tagged(asm, maps)
    icmp.errors(asm)
    flows.by_mode(asm, maps)
    flows.recalled(asm, maps)
    flows.drained(asm, maps, 0)
    _count_passed(asm, maps)
    _pass(asm)
    asm.label("itself")
    asm.number(R0, DROP)
    asm.leave()
    return asm.code()


def bare(order: str, maps: "dict[str, int]", kinds: int) -> bytes:
    """The bytes of the forward program for packets that begin with the IP header."""
    return forward(order, maps, kinds, True)


def _put_header(asm: "Assembler") -> None:
    """An Ethernet header without MACs, as on the loopback device, for who looks at frames inside: nobody else reads it,
    since the kernel has already classified the packet. Without memory for it the packet is lost."""
    asm.move(R1, R6)
    asm.number(R2, ETH_HEADER)
    asm.number(R3, 0)
    asm.call(SKB_CHANGE_HEAD)
    asm.jump_if(R0, "!=", 0, "itself")
    asm.load(R7, R6, SKB_DATA, 4)
    asm.load(R3, R6, SKB_DATA_END, 4)
    asm.address(R4, R7, ETH_HEADER)
    asm.jump_if_register(R4, ">", R3, "itself")
    asm.load(R0, R6, SKB_PROTOCOL, 4)
    asm.store(R7, ETH_TYPE, R0, 2)


def _tagged(asm: "Assembler") -> None:
    """What a frame with a VLAN tag needs besides: the interface (R7) in its keys is another one for each VLAN
    (layout.on_vlan), and the tag comes off when it is taken. Neither 802.1ad nor a priority alone (VLAN 0) is one."""
    asm.label("tagged")
    asm.load(R0, R6, SKB_VLAN_PROTO, 4)
    asm.jump_if(R0, "!=", asm.network16(ETH_8021Q), "pass")
    asm.jump_if(R7, ">=", 1 << VLAN_SHIFT, "pass")
    asm.load(R0, R6, SKB_VLAN_TCI, 4)
    asm.mask(R0, 0xFFF)
    asm.jump_if(R0, "==", 0, "pass")
    asm.set_bits(R0, TAGGED >> VLAN_SHIFT)
    asm.shift_left(R0, VLAN_SHIFT)
    asm.add(R7, R0)
    asm.jump("read")
    asm.label("without tag")
    asm.move(R1, R6)
    asm.call(VLAN_POP)
    asm.jump("in")


def reply(order: str, maps: "dict[str, int]", kinds: int) -> bytes:
    """The bytes of the reply program."""
    asm = _of_replies(order)
    _state(asm, maps, R7, STATE_GENERATION)
    _look_up(asm, maps, "clients", CLIENT)
    asm.move(R8, R0)
    asm.jump_if(R8, "!=", 0, "known")
    asm.load(R8, R6, SKB_IFINDEX, 4)
    _ask_route(asm)
    asm.jump_if(R0, "==", 0, "routed")
    asm.jump_if(R0, "!=", NO_NEIGHBOUR, "pass")
    asm.label("routed")
    _copy(asm, FP, INDEX, FP, FIB + FIB_INDEX, 4, 4)
    asm.number(R8, 0)
    asm.jump("whose")
    asm.label("known")
    _copy(asm, FP, INDEX, R8, PLACE_INDEX, 4, 4)
    asm.load(R0, FP, REFUSAL, 4)
    asm.jump_if(R0, "!=", 0, "whose")
    _same_generation(asm, R8, R7, "whose")
    _same_service(asm, R8, "whose")
    asm.load(R0, R8, PLACE_TARGET, 4)
    asm.load(R1, R6, SKB_IFINDEX, 4)
    asm.jump_if_register(R0, "==", R1, "straight")
    asm.label("whose")
    # Now, and not where it is looked up: the verifier would follow both ways for each kind.
    asm.jump_if(R8, "==", 0, "mac by route")
    _store_mac(asm, MAC, R8, PLACE_CLIENT)
    asm.jump("mac known")
    asm.label("mac by route")
    _store_mac(asm, MAC, FP, FIB + FIB_CLIENT)
    asm.label("mac known")
    # Only what this very service takes over on the client's interface goes that way.
    _find(asm, maps, kinds, False, "receiver")
    _unless_of_another(asm)
    asm.label("answer")
    asm.jump_if(R8, "==", 0, "to neighbour")
    asm.label("straight")
    # Read anew: how much of the frame was looked at differs between packets, and the verifier would check all that is
    # between for each length.
    _open(asm, ETH_HEADER)
    _copy(asm, R9, MAC_TO, R8, PLACE_CLIENT, 12, 2)  # both MACs, in the order of a frame
    asm.load(R1, FP, INDEX, 4)
    asm.number(R2, 0)
    asm.call(REDIRECT)
    asm.leave()
    asm.label("to neighbour")
    asm.load(R1, FP, INDEX, 4)
    asm.number(R2, 0)  # the kernel looks up the next hop itself and resolves its MAC
    asm.number(R3, 0)
    asm.number(R4, 0)
    asm.call(REDIRECT_NEIGH)
    asm.leave()
    _by_receiver(asm, maps)
    return _end_of_replies(asm, maps)


def tagged(order: str, maps: "dict[str, int]", kinds: int) -> bytes:
    """The bytes of the reply program of services with a VLAN. Who is not known is left to the router's routes."""
    asm = _of_replies(order)
    asm.load(R8, R6, SKB_IFINDEX, 4)
    _look_up_tagged(asm, maps)
    asm.move(R8, R0)
    asm.jump_if(R8, "==", 0, "pass")
    _same(asm, R8, PLACE_SERVICE, FP, CLIENT, 16, 8, "pass")
    _copy(asm, FP, INDEX, R8, PLACE_INDEX, 4, 4)
    _store_mac(asm, MAC, R8, PLACE_CLIENT)
    _find(asm, maps, kinds, False, "receiver")
    _unless_of_another(asm)
    asm.label("answer")
    _open(asm, ETH_HEADER)
    _copy(asm, R9, MAC_TO, R8, PLACE_CLIENT, 12, 2)
    asm.move(R1, R6)
    asm.number(R2, asm.network16(ETH_8021Q))
    asm.load(R3, FP, INDEX, 4)
    asm.shift_right(R3, VLAN_SHIFT)
    asm.mask(R3, 0xFFF)
    asm.call(VLAN_PUSH)
    asm.load(R1, FP, INDEX, 4)
    asm.mask(R1, (1 << VLAN_SHIFT) - 1)
    asm.number(R2, 0)
    asm.call(REDIRECT)
    asm.leave()
    _by_receiver(asm, maps)
    return _end_of_replies(asm, maps)


def _of_replies(order: str) -> "Assembler":
    """What both begin with: from "parsed" on, there is a packet of a protocol with ports, and what it refuses."""
    asm = Assembler(order)
    asm.move(R6, R1)
    asm.load(R0, R6, SKB_VLAN_PRESENT, 4)
    asm.jump_if(R0, "!=", 0, "pass")
    _read(asm, IP_SRC, IPV6_SRC, IP_DST, IPV6_DST, 0, ("no port", "icmpv6"), True)
    asm.store_number(FP, REFUSAL, 0, 4)
    _note_refusal(asm)
    asm.label("parsed")
    return asm


def _end_of_replies(asm: "Assembler", maps: "dict[str, int]") -> bytes:
    from . import flows

    _unreachable6(asm)
    _refuse(asm, maps)
    flows.drained(asm, maps, 2)
    _pass(asm)
    return asm.code()


def _unless_of_another(asm: "Assembler") -> None:
    """Jumps to "pass" for what the entry (R7) takes to another pair than this, to "refused" if its port is closed."""
    asm.load(R0, R7, VALUE_TARGET, 4)
    asm.load(R1, R6, SKB_IFINDEX, 4)
    asm.jump_if_register(R0, "!=", R1, "pass")
    asm.load(R0, FP, REFUSAL, 4)
    asm.jump_if(R0, "!=", 0, "refused")


def trial(order: str, maps: "dict[str, int]", kinds: int) -> bytes:
    """The bytes of a program that does nothing with a packet, but calls all that the others call. It needs the maps of
    TRIAL_MAPS (__init__.py) only, and the kernel checks it in a fortieth of the time."""
    asm = Assembler(order)
    asm.move(R6, R1)
    for at in range(-FIB_SIZE, 0, 8):
        asm.store_number(FP, at, 0, 8)
    asm.load(R0, R6, SKB_GSO_SEGS, 4)
    _state(asm, maps, R7, STATE_GENERATION)
    _look_up(asm, maps, "clients", -64)
    _store(asm, maps, "clients", -64, -48)
    asm.address(R2, FP, -64)
    asm.map(R1, maps["clients"])
    asm.call(MAP_DELETE)
    asm.call(GET_PRANDOM)
    asm.call(KTIME_GET_COARSE_NS)
    asm.move(R1, R6)
    asm.number(R2, 0)
    asm.address(R3, FP, -64)
    asm.number(R4, 4)
    asm.call(SKB_LOAD_BYTES)
    asm.move(R1, R6)
    asm.address(R2, FP, -64)
    asm.number(R3, SOCKET_SIZE)
    asm.number(R4, 0)
    _look_for_socket(asm, "no socket")
    asm.label("no socket")
    for helper in (SKB_CHANGE_TYPE, SKB_PULL_DATA, VLAN_PUSH, VLAN_POP):
        asm.move(R1, R6)
        asm.number(R2, 0)
        asm.number(R3, 0)
        asm.call(helper)
    asm.move(R1, R6)
    asm.address(R2, FP, -FIB_SIZE)
    asm.number(R3, FIB_SIZE)
    asm.number(R4, 0)
    asm.call(FIB_LOOKUP)
    for helper in (REDIRECT, REDIRECT_NEIGH, REDIRECT_PEER):
        for register in (R1, R2, R3, R4):
            asm.number(register, 0)
        asm.call(helper)
    _pass(asm)
    return asm.code()


def _pass(asm: "Assembler") -> None:
    asm.label("pass")
    asm.number(R0, NEXT)
    asm.leave()


def _copy(asm: "Assembler", base: int, offset: int, source: int, place: int, size: int, step: int) -> None:
    """Copies `size` bytes, `step` at once; clobbers R0."""
    for at in range(0, size, step):
        asm.load(R0, source, place + at, step)
        asm.store(base, offset + at, R0, step)


def _same(asm: "Assembler", base: int, offset: int, other: int, place: int, size: int, step: int, label: str) -> None:
    """Continues if the bytes are the same in both places, else jumps to the label; clobbers R1 and R2."""
    for at in range(0, size, step):
        asm.load(R1, base, offset + at, step)
        asm.load(R2, other, place + at, step)
        asm.jump_if_register(R1, "!=", R2, label)


def _store(asm: "Assembler", maps: "dict[str, int]", name: str, key: int, value: int) -> None:
    """Stores the value for the key, which are at those places of the stack, whether there is one or not."""
    asm.address(R2, FP, key)
    asm.address(R3, FP, value)
    asm.number(R4, 0)  # BPF_ANY
    asm.map(R1, maps[name])
    asm.call(MAP_UPDATE)


def _look_up(asm: "Assembler", maps: "dict[str, int]", name: str, key: int) -> None:
    """R0 is the address of the value for the key at that place of the stack, 0 if there is none."""
    asm.address(R2, FP, key)
    asm.map(R1, maps[name])
    asm.call(MAP_LOOKUP)


def _state(asm: "Assembler", maps: "dict[str, int]", register: int, field: int) -> None:
    asm.map_value(register, maps["state"])
    asm.load(register, register, field, 4)


# Parsing a packet


def _read(
    asm: "Assembler",
    service4: int,
    service6: int,
    client4: int,
    client6: int,
    port: int,
    others: "tuple[str, str]",
    sent: bool = False,
) -> None:
    """Writes SERVICE, CLIENT, PORT and PROTO; R9 is then the frame, R7 clobbered. The arguments are the offsets of the
    service's half in the frame (in the ports), and where it goes on with an IPv4 protocol (R5) that has no ports, and
    with ICMPv6; `sent` is whether the sender itself may have said what protocol it is, for a netkit pair: over veth the
    kernel reads it from the frame."""
    asm.load(R0, R6, SKB_PROTOCOL, 4)
    asm.jump_if(R0, "==", asm.network16(ETH_IPV6), "ipv6")
    asm.jump_if(R0, "!=", asm.network16(ETH_IP), "pass")
    _open(asm, IP_END + PORTS)
    _if_type(asm, ETH_IP, sent)
    # Not included in "any address", whatever MAC the frame is for: multicast and beyond (RFC 5771, RFC 1112),
    # link-local (RFC 3927). For IPv6 the matches spell it out (datapath.spread).
    asm.load(R0, R9, service4, 1)
    asm.jump_if(R0, ">=", 224, "pass")
    asm.load(R0, R9, service4, 2)
    asm.jump_if(R0, "==", asm.network16(169 << 8 | 254), "pass")
    # 0, but the verifier does not know: so what follows is checked once for both families.
    asm.load(R1, R6, SKB_PKT_TYPE, 4)
    asm.shift_right(R1, 3)  # it has three bits
    for place, where in ((SERVICE, service4), (CLIENT, client4)):
        asm.store(FP, place, R1, 4)
        asm.store(FP, place + 4, R1, 4)
        asm.store_number(FP, place + 8, asm.network32(0xFFFF), 4)
        _copy(asm, FP, place + 12, R9, where, 4, 4)
    asm.load(R5, R9, IP_PROTOCOL, 1)
    asm.store(FP, PROTO, R5, 1)
    asm.store_number(FP, PROTO + 1, 0, 1)  # no byte of a key may stay uninitialised
    asm.load(R0, R9, IP_FRAGMENT, 2)
    asm.mask(R0, asm.network16(0x3FFF))  # without the DF flag
    asm.jump_if(R0, "!=", 0, "no port")
    _with_ports(asm, "ipv4 ports", others[0])
    asm.label("ipv4 ports")
    asm.load(R0, R9, IP_VERSION, 1)
    asm.jump_if(R0, "!=", 0x45, "options")
    asm.load(R0, R9, IP_END + port, 2)
    asm.jump("port")
    asm.label("options")
    asm.mask(R0, 0x0F)
    asm.shift_left(R0, 2)  # the header's length is in words of 4 bytes
    asm.move(R1, R6)
    asm.address(R2, R0, _from_start(asm, ETH_HEADER))
    asm.address(R3, FP, PORT_WORDS)
    asm.number(R4, PORTS)
    asm.call(SKB_LOAD_BYTES)
    asm.jump_if(R0, "!=", 0, "pass")
    asm.load(R0, FP, PORT_WORDS + port, 2)
    asm.jump("port")
    asm.label("ipv6")
    _open(asm, IPV6_END + PORTS)
    _if_type(asm, ETH_IPV6, sent)
    for place, where in ((SERVICE, service6), (CLIENT, client6)):
        _copy(asm, FP, place + 4, R9, where + 4, 12, 4)
        _copy(asm, FP, place, R9, where, 4, 4)
        if place == CLIENT:
            asm.jump_if(R0, "==", NO_ADDRESS, "pass")
        _pass_if_mapped(asm, place)
    asm.load(R5, R9, IPV6_NEXT, 1)
    asm.jump_if(R5, "==", IPPROTO_ICMPV6, others[1])
    asm.store(FP, PROTO, R5, 1)
    asm.store_number(FP, PROTO + 1, 0, 1)
    _with_ports(asm, "ipv6 ports", "no port")
    asm.label("ipv6 ports")
    asm.load(R0, R9, IPV6_END + port, 2)
    asm.jump("port")
    asm.label("no port")
    asm.number(R0, 0)
    asm.label("port")
    asm.store(FP, PORT, R0, 2)


def _pass_if_mapped(asm: "Assembler", place: int) -> None:
    """No packet has an IPv4 address in the notation of IPv6 (RFC 4291, 2.5.5.2), which is a key of IPv4 here. R0 is the
    address's first word."""
    other = asm.new_label("not mapped")
    asm.jump_if(R0, "!=", 0, other)
    asm.load(R0, FP, place + 4, 4)
    asm.jump_if(R0, "!=", 0, other)
    asm.load(R0, FP, place + 8, 2)
    asm.jump_if(R0, "!=", 0, other)
    asm.load(R0, FP, place + 10, 2)
    asm.jump_if(R0, "==", 0xFFFF, "pass")
    asm.label(other)


def _with_ports(asm: "Assembler", label: str, otherwise: str) -> None:
    """Jumps to the label for a protocol (R5) with ports, to the other label for one without."""
    asm.jump_if(R5, "==", IPPROTO_TCP, label)
    asm.jump_if(R5, "!=", IPPROTO_UDP, otherwise)


def _from_start(asm: "Assembler", offset: int) -> int:
    """For a helper: where in a packet is what is there in a frame."""
    return offset - ETH_HEADER if asm.bare else offset


def _open(asm: "Assembler", length: int) -> None:
    """R9 is the frame, of which `length` bytes can be read; jumps to "pass" if it is shorter."""
    if asm.bare:
        _open_bare(asm, length)
        return
    ready = asm.new_label("ready")
    for attempt in (1, 2):
        asm.load(R9, R6, SKB_DATA, 4)
        asm.load(R3, R6, SKB_DATA_END, 4)
        asm.address(R4, R9, length)
        if attempt == 2:
            asm.jump_if_register(R4, ">", R3, "pass")
            break
        asm.jump_if_register(R4, "<=", R3, ready)
        asm.move(R1, R6)
        asm.number(R2, length)
        asm.call(SKB_PULL_DATA)  # the rest of the head is in pages
    asm.label(ready)


def _open_bare(asm: "Assembler", length: int) -> None:
    """R9 is where the frame would begin, if HEAD were a part of it. A copy, because the verifier takes it that the IP
    header is 14 bytes behind a multiple of 4 bytes less 2 (NET_IP_ALIGN): where a processor needs alignment, it allows
    no access of 4 bytes to one that the packet begins with."""
    asm.move(R1, R6)
    asm.number(R2, 0)
    asm.address(R3, FP, HEAD)
    asm.number(R4, length - ETH_HEADER)
    asm.call(SKB_LOAD_BYTES)
    asm.jump_if(R0, "!=", 0, "pass")
    asm.address(R9, FP, HEAD - ETH_HEADER)


# Finding the match


def _find(asm: "Assembler", maps: "dict[str, int]", kinds: int, check_mac: bool, by_mac: str) -> None:
    """R7 is the value of the narrowest match for the tuple; without one jumps to "pass", or to "unmatched" where there
    is more to look up. R8 is kept; PLACE_GENERATION becomes 0 if it is not an exact match. `by_mac` is where a match by
    the client's MAC is looked up (_by_sender, _by_receiver), "" where there are no MACs."""
    _look_up(asm, maps, "exact", EXACT_KEY)
    asm.move(R7, R0)
    asm.jump_if(R7, "!=", 0, "found")
    _state(asm, maps, R0, STATE_KINDS)
    asm.jump_if(R0, "==", 0, "pass")  # most packets end here: saves a lookup
    if by_mac == "sender":
        asm.jump_if(R0, "&", MACS, "exact sender")
        asm.label("kinds")
    elif by_mac:  # seldom: it is not worth another way for the verifier
        _look_up(asm, maps, "macs", EXACT_KEY)
        asm.move(R7, R0)
        asm.jump_if(R7, "!=", 0, "found")
    _copy(asm, FP, WIDE_INDEX, FP, INDEX, 4, 4)
    asm.store_number(FP, WIDE_PROTO, 0, 2)
    asm.store_number(FP, PLACE + PLACE_GENERATION, 0, 4)  # the match may depend on more than a client's entry holds
    asm.number(R7, 0)  # the place in `masks`
    asm.label("kind")
    asm.jump_if(R7, ">=", kinds, "unmatched")
    asm.store(FP, MASK_KEY, R7, 4)
    asm.add_number(R7, 1)
    _look_up(asm, maps, "masks", MASK_KEY)
    asm.jump_if(R0, "==", 0, "unmatched")
    asm.load(R3, R0, MASK_KIND, 4)
    asm.jump_if(R3, "==", 0, "unmatched")
    asm.store(FP, KIND, R3, 4)
    for place, source, mask in ((WIDE_SERVICE, SERVICE, MASK_SERVICE), (WIDE_CLIENT, CLIENT, MASK_CLIENT)):
        for word in (0, 8):
            _masked(asm, place + word, source + word, mask + word, 8)
    _masked(asm, WIDE_PORT, PORT, MASK_PORT, 2)
    _masked(asm, WIDE_PROTO, PROTO, MASK_PROTO, 1)
    asm.jump_if(R3, "&", BY_MAC, by_mac or "kind")
    _look_up(asm, maps, "wide", WIDE_KEY)
    asm.label("looked up")
    asm.jump_if(R0, "==", 0, "kind")
    if check_mac:
        asm.load(R1, R0, VALUE_FLAGS, 2)
        asm.mask(R1, FIXED)
        asm.jump_if(R1, "==", 0, "any mac")
        _same(asm, R0, VALUE_MAC, R9, MAC_TO, 6, 2, "kind")
        asm.label("any mac")
    asm.move(R7, R0)
    asm.label("found")


def _by_sender(asm: "Assembler", maps: "dict[str, int]") -> None:
    """Looks up the match of the client whose frame it is, by its MAC."""
    asm.label("exact sender")
    _store_mac(asm, MAC, R9, MAC_FROM)
    asm.store_number(FP, PLACE + PLACE_GENERATION, 0, 4)
    _look_up(asm, maps, "macs", EXACT_KEY)
    asm.move(R7, R0)
    asm.jump_if(R7, "!=", 0, "found")
    _state(asm, maps, R0, STATE_KINDS)
    asm.mask(R0, DRAINS - 1)
    asm.jump_if(R0, "==", 0, "unmatched")
    asm.jump("kinds")
    asm.label("sender")
    _store_mac(asm, MAC_KEY, R9, MAC_FROM)
    _look_up(asm, maps, "wide_macs", MAC_KEY)
    asm.jump("looked up")


def _by_receiver(asm: "Assembler", maps: "dict[str, int]") -> None:
    """The same of the client whom a reply is for, whose MAC is at MAC."""
    asm.label("receiver")
    _copy(asm, FP, MAC_KEY, FP, MAC, 8, 4)
    _look_up(asm, maps, "wide_macs", MAC_KEY)
    asm.jump("looked up")


def _store_mac(asm: "Assembler", place: int, base: int, offset: int) -> None:
    _copy(asm, FP, place, base, offset, 6, 2)
    asm.store_number(FP, place + 6, 0, 2)


def _if_type(asm: "Assembler", number: int, asked: bool) -> None:
    """Jumps to "pass" for a frame that has another type in its header, if that is asked."""
    if asked:
        asm.load(R0, R9, ETH_TYPE, 2)
        asm.jump_if(R0, "!=", asm.network16(number), "pass")


def _unless_for_others(asm: "Assembler") -> None:
    """Jumps to "pass" for a frame that is for another host, unless the entry (R7) is one of a bridge's port: frames for
    the bridge may have another MAC than that."""
    asm.load(R0, R6, SKB_PKT_TYPE, 4)
    asm.jump_if(R0, "==", PACKET_HOST, "for us")
    asm.load(R0, R7, VALUE_FLAGS, 2)
    asm.mask(R0, CHECKED)
    asm.jump_if(R0, "!=", 0, "pass")
    asm.label("for us")


def _masked(asm: "Assembler", place: int, source: int, mask: int, size: int) -> None:
    asm.load(R1, FP, source, size)
    asm.load(R2, R0, mask, size)
    asm.both(R1, R2)
    asm.store(FP, place, R1, size)


# What is stored of a client: where it is, and the service that it uses


def _recall(asm: "Assembler", maps: "dict[str, int]") -> None:
    """Jumps to "taken" if this is the service, R8 then the index of its pair and SLOT_KEY its slot; to "recalled" if it
    takes over, R0 then the place's slot. Continues if it is not, with R8 unchanged and KNOWN written.

    One lookup then serves for two. What is stored is valid until something changes: any change of the matches changes
    the generation, which is 0 in the meantime.
    """
    # Whoever is known sends frames for this very device (_learn).
    asm.load(R0, R6, SKB_PKT_TYPE, 4)
    asm.jump_if(R0, "!=", PACKET_HOST, "new")
    _look_up(asm, maps, "clients", CLIENT)
    asm.move(R7, R0)
    asm.jump_if(R7, "==", 0, "new")
    _same(asm, R7, PLACE_INDEX, FP, INDEX, 4, 4, "moved")
    if not asm.bare:
        _same(asm, R7, PLACE_CLIENT, R9, MAC_FROM, 6, 2, "moved")
    _same_generation(asm, R7, R8, "old")
    _same_service(asm, R7, "other")
    asm.load(R0, R7, PLACE_SLOT, 4)
    asm.jump_if(R0, ">", SLOTS, "recalled")
    asm.store(FP, SLOT_KEY, R0, 4)
    asm.load(R8, R7, PLACE_TARGET, 4)
    asm.jump("taken")
    asm.label("new")
    asm.store_number(FP, KNOWN, NOTHING, 4)
    asm.jump("not quoted")
    asm.label("old")
    asm.jump_if(R8, "==", 0, "other")
    asm.store_number(FP, KNOWN, PLACE_ONLY, 4)
    asm.load(R1, R7, PLACE_GENERATION, 4)
    asm.jump_if(R1, "==", 0, "not quoted")
    asm.label("moved")
    asm.store_number(FP, KNOWN, OLD, 4)
    asm.jump("not quoted")
    asm.label("other")
    asm.store_number(FP, KNOWN, CURRENT, 4)
    asm.label("not quoted")
    # An ICMP error comes from elsewhere (icmp.py) with the ports that it quotes. The verifier does not know that only
    # then they are read, and before Linux 6.3 wants them written; a number that it knows would be more ways to follow.
    asm.load(R0, R6, SKB_PKT_TYPE, 4)
    asm.store(FP, PORT_WORDS, R0, 4)
    asm.label("whose")


def _same_generation(asm: "Assembler", entry: int, generation: int, label: str) -> None:
    """Continues if an entry of `clients` was made in this generation, and no change is in progress."""
    asm.jump_if(generation, "==", 0, label)
    asm.load(R1, entry, PLACE_GENERATION, 4)
    asm.jump_if_register(R1, "!=", generation, label)


def _same_service(asm: "Assembler", entry: int, label: str) -> None:
    """Continues if the tuple is that of an entry of `clients`."""
    _same(asm, entry, PLACE_SERVICE, FP, SERVICE, 16, 8, label)
    _same(asm, entry, PLACE_PORT, FP, PORT, 4, 4, label)  # and the protocol


# Ports that are closed


def _note_refusal(asm: "Assembler") -> None:
    """Writes 1 to REFUSAL for a packet that says that a port is closed: a RST that answers a SYN (RFC 9293, 3.5.2: its
    sequence number is 0, and it has an ACK), or an ICMP error about UDP, PORT and PROTO then being those of what it is
    about. A TCP segment that begins a connection is no reply (jumps to "pass"), nor one whose flags are not where they
    usually are."""
    asm.load(R0, FP, PROTO, 1)
    asm.jump_if(R0, "==", IPPROTO_TCP, "segment")
    asm.jump_if(R0, "!=", IPPROTO_ICMP, "parsed")
    inner = IP_END + ICMP_HEADER
    _long_enough(asm, inner + IP_END - ETH_HEADER + PORTS, "parsed")
    for at, size, value in (
        (IP_VERSION, 1, 0x45),
        (IP_END, 2, asm.network16(PORT_UNREACHABLE)),
        (inner, 1, 0x45),
        (inner + IP_PROTOCOL - ETH_HEADER, 1, IPPROTO_UDP),
    ):
        asm.load(R0, R9, at, size)
        asm.jump_if(R0, "!=", value, "parsed")
    _refused_udp(asm, inner + IP_END - ETH_HEADER)
    asm.jump("parsed")
    asm.label("segment")
    asm.load(R3, R6, SKB_DATA_END, 4)
    asm.load(R0, R9, IP_VERSION, 1)
    asm.jump_if(R0, "==", 0x45, "segment of ipv4")
    asm.mask(R0, 0xF0)
    asm.jump_if(R0, "!=", 0x60, "pass")
    _flags(asm, IPV6_END)
    asm.jump("flags")
    asm.label("segment of ipv4")
    _flags(asm, IP_END)
    asm.label("flags")
    asm.move(R2, R0)
    asm.mask(R2, SYN | ACK)
    asm.jump_if(R2, "==", SYN, "pass")
    asm.mask(R0, FIN | SYN | RST | ACK)
    asm.jump_if(R0, "!=", RST | ACK, "parsed")
    asm.jump_if(R1, "!=", 0, "parsed")
    asm.store_number(FP, REFUSAL, 1, 4)


def _flags(asm: "Assembler", start: int) -> None:
    """R0 are the flags of the segment that starts there, R1 is its sequence number; R3 is the end of the frame."""
    asm.address(R4, R9, start + TCP_FLAGS + 1)
    asm.jump_if_register(R4, ">", R3, "pass")
    asm.load(R1, R9, start + TCP_SEQ, 4)
    asm.load(R0, R9, start + TCP_FLAGS, 1)


def _unreachable6(asm: "Assembler") -> None:
    """What _note_refusal does, for ICMPv6, of which nothing else is a reply."""
    inner = IPV6_END + ICMP_HEADER
    asm.label("icmpv6")
    _long_enough(asm, inner + IPV6_END - ETH_HEADER + PORTS, "pass")
    for at, size, value in (
        (IPV6_END, 2, asm.network16(PORT_UNREACHABLE6)),
        (inner + IPV6_NEXT - ETH_HEADER, 1, IPPROTO_UDP),
    ):
        asm.load(R0, R9, at, size)
        asm.jump_if(R0, "!=", value, "pass")
    _refused_udp(asm, inner + IPV6_END - ETH_HEADER)
    asm.jump("parsed")


def _refused_udp(asm: "Assembler", ports: int) -> None:
    """`ports` is where those of the datagram that found no socket are."""
    _copy(asm, FP, PORT, R9, ports + 2, 2, 2)
    asm.store_number(FP, PROTO, IPPROTO_UDP, 1)
    asm.store_number(FP, PROTO + 1, 0, 1)
    asm.store_number(FP, REFUSAL, 1, 4)


def _long_enough(asm: "Assembler", length: int, otherwise: str) -> None:
    """R9 is the frame, of which `length` bytes can be read; jumps to the label if it has fewer."""
    asm.load(R0, R6, SKB_LEN, 4)
    asm.jump_if(R0, "<", length, otherwise)
    _open(asm, length)


def _refuse(asm: "Assembler", maps: "dict[str, int]") -> None:
    """The entry (R7) that led to a closed port leads nowhere from now on, and nobody hears of it but the agent: the
    client's next SYN or datagram reaches the cloud. What is remembered with clients does not count any more.

    A RST proves nothing: the kernel says the same to the second SYN of a connection that begins or has ended. Nor does
    it count where nobody knows which sockets there are. Its client asks once more."""
    asm.label("refused")
    asm.load(R0, R7, VALUE_FLAGS, 2)
    asm.move(R1, R0)
    asm.mask(R1, WATCHED)
    asm.jump_if(R1, "==", 0, "answer")
    asm.load(R1, FP, PROTO, 1)
    asm.jump_if(R1, "!=", IPPROTO_TCP, "closed")
    _unless_listens(asm)
    asm.label("closed")
    asm.load(R0, R7, VALUE_FLAGS, 2)
    asm.set_bits(R0, REFUSED)
    asm.store(R7, VALUE_FLAGS, R0, 2)
    asm.map_value(R1, maps["state"])
    asm.store_number(R1, STATE_GENERATION, 0, 4)
    asm.map_value(R1, maps["refusals"])
    asm.load(R0, R1, 0, 4)
    asm.add_number(R0, 1)
    asm.store(R1, 0, R0, 4)
    asm.label("open")
    asm.number(R0, DROP)
    asm.leave()


def _unless_listens(asm: "Assembler") -> None:
    """Jumps to "open" if the service's namespace has a socket that listens at its address and the program's port, or if
    it has no number. Sockets that are bound to a device, or to the pair's address where the namespace redirects, are
    not found."""
    asm.load(R8, R7, VALUE_NSID, 4)
    asm.jump_if(R8, "==", 0, "open")
    asm.add_number(R8, -1)
    asm.load(R4, R7, VALUE_PORT, 2)
    asm.load(R0, R6, SKB_PROTOCOL, 4)
    asm.jump_if(R0, "==", asm.network16(ETH_IPV6), "socket of ipv6")
    _socket(asm, 12, 4)
    asm.number(R3, SOCKET_SIZE)
    asm.jump("look for socket")
    asm.label("socket of ipv6")
    _socket(asm, 0, 16)
    asm.number(R3, SOCKET6_SIZE)
    asm.label("look for socket")
    asm.move(R1, R6)
    asm.address(R2, FP, SOCKET)
    asm.move(R4, R8)
    _look_for_socket(asm, "closed")
    asm.jump("open")


def _look_for_socket(asm: "Assembler", otherwise: str) -> None:
    """Jumps to the label if there is none. R1: the packet, R2: a bpf_sock_tuple, R3: its size, R4: whose namespace."""
    asm.number(R5, 0)
    asm.call(SK_LOOKUP_TCP)
    asm.jump_if(R0, "==", 0, otherwise)
    asm.move(R1, R0)
    asm.call(SK_RELEASE)


def _socket(asm: "Assembler", start: int, size: int) -> None:
    """Writes SOCKET; of an address the bytes from `start` on count. R4 is the port. The client's is none, so that none
    of its connections is found."""
    _copy(asm, FP, SOCKET, FP, CLIENT + start, size, 4)
    _copy(asm, FP, SOCKET + size, FP, SERVICE + start, size, 4)
    asm.store_number(FP, SOCKET + 2 * size, 0, 2)
    asm.store(FP, SOCKET + 2 * size + 2, R4, 2)


def _unless_late(asm: "Assembler", maps: "dict[str, int]") -> None:
    """Jumps to "late" if the agent let its deadline pass: it is gone or stuck, and nobody knows whether the program
    still answers. Clobbers R7."""
    asm.map_value(R7, maps["deadline"])
    asm.load(R7, R7, 0, 4)
    asm.jump_if(R7, "==", 0, "in time")
    asm.call(KTIME_GET_COARSE_NS)
    asm.shift_right(R0, DEADLINE_SHIFT)
    asm.jump_if_register(R0, ">", R7, "late")
    asm.label("in time")


# Counting and learning


def _count(asm: "Assembler", maps: "dict[str, int]") -> None:
    """At SLOT_KEY. A large packet (GSO) counts as the segments that it was received as or will be sent as."""
    _look_up(asm, maps, "counters", SLOT_KEY)
    asm.jump_if(R0, "==", 0, "counted")
    asm.load(R1, R6, SKB_GSO_SEGS, 4)
    asm.jump_if(R1, "!=", 0, "segments")
    asm.number(R1, 1)
    asm.label("segments")
    _increase(asm, COUNT_PACKETS)
    asm.load(R1, R6, SKB_LEN, 4)
    _increase(asm, COUNT_BYTES)
    asm.label("counted")


def _count_passed(asm: "Assembler", maps: "dict[str, int]") -> None:
    """Packets that an entry would take and that pass, by reason (dump.PASSED), at SLOT_KEY; if the port was closed, at
    that of the entry (R7)."""
    for place, label in enumerate(("of the cloud", "late", "closed", "not answered here")):
        asm.label(label)
        if label == "closed":
            _copy(asm, FP, SLOT_KEY, R7, VALUE_SLOT, 4, 4)
        asm.number(R7, 4 * place)
        asm.jump("passed")
    asm.label("passed")
    _look_up(asm, maps, "passed", SLOT_KEY)
    asm.jump_if(R0, "==", 0, "pass")
    asm.add(R0, R7)
    asm.load(R1, R0, 0, 4)
    asm.add_number(R1, 1)
    asm.store(R0, 0, R1, 4)


def _increase(asm: "Assembler", offset: int) -> None:
    """No atomic instruction is needed: the value belongs to this CPU."""
    asm.load(R2, R0, offset, 8)
    asm.add(R2, R1)
    asm.store(R0, offset, R2, 8)


def _learn(asm: "Assembler", maps: "dict[str, int]") -> None:
    """Learns where the client is: the interface, its MAC there and the router's, as replies need them.

    A packet's own addresses prove nothing: a sender that spoofs somebody else's address would draw that host's replies
    to itself. So the router's own tables have to agree: the route of a reply, looked up as if it had come out of the
    pair (R8), leads to this interface and this MAC. While they don't (a port of a bridge, a neighbour not resolved yet,
    a client that moved) there is no entry, and replies go where the routes say.

    Those who are not known and whose route leads elsewhere are not taken ("not answered here"): whoever has that
    address has not asked. What is known was asked for before, so it costs them nothing.

    Nobody is the service itself (its address in the pair's network, or the one that it takes over): a program would
    answer its own answers for ever. Such packets are dropped: the cloud would answer the first of these addresses.
    """
    asm.load(R0, FP, KNOWN, 4)
    asm.jump_if(R0, "<=", OLD, "ask")
    asm.load(R1, FP, PLACE + PLACE_GENERATION, 4)
    asm.jump_if(R1, "==", 0, "taken")
    asm.jump_if(R0, "==", PLACE_ONLY, "ask")
    # The service that is used the most is likely the one that is stored, and two services do not constantly replace
    # each other.
    asm.call(GET_PRANDOM)
    asm.mask(R0, SELDOM)
    asm.jump_if(R0, "!=", 0, "taken")
    asm.label("ask")
    if not asm.bare:
        asm.load(R0, R6, SKB_VLAN_PRESENT, 4)
        asm.jump_if(R0, "!=", 0, "learn tagged")
    _ask_route(asm)
    asm.jump_if(R0, "!=", 0, "no way")  # BPF_FIB_LKUP_RET_SUCCESS
    _same(asm, FP, FIB + FIB_INDEX, FP, INDEX, 4, 4, "another way")
    if asm.bare:
        asm.label("learn")
    else:
        _same(asm, FP, FIB + FIB_CLIENT, R9, MAC_FROM, 6, 2, "forget")
    asm.store(FP, PLACE + PLACE_TARGET, R8, 4)
    for to, source, size, step in (
        (PLACE_SERVICE, SERVICE, 16, 8),
        (PLACE_PORT, PORT, 4, 4),  # and the protocol
        (PLACE_INDEX, INDEX, 4, 4),
        (PLACE_CLIENT, FIB + FIB_CLIENT, 6, 2),
        (PLACE_ROUTER, FIB + FIB_ROUTER, 6, 2),
    ):
        _copy(asm, FP, PLACE + to, FP, source, size, step)
    asm.load(R0, FP, SLOT_KEY, 4)
    asm.load(R1, FP, MODE, 4)
    asm.add(R0, R1)
    asm.store(FP, PLACE + PLACE_SLOT, R0, 4)
    _store(asm, maps, "clients", CLIENT, PLACE)
    asm.jump("taken")
    asm.label("no way")
    asm.jump_if(R0, "==", NO_NEIGHBOUR, "which way")
    asm.jump_if(R0, ">", NOT_FORWARDED, "forget")  # the router itself could not say
    asm.jump("elsewhere")
    asm.label("which way")
    _same(asm, FP, FIB + FIB_INDEX, FP, INDEX, 4, 4, "another way")
    asm.jump("learn" if asm.bare else "forget")
    asm.label("another way")
    asm.load(R0, FP, FIB + FIB_INDEX, 4)
    asm.jump_if_register(R0, "==", R8, "itself")
    asm.label("elsewhere")
    asm.load(R0, R7, VALUE_FLAGS, 2)
    asm.mask(R0, CHECKED)
    asm.jump_if(R0, "!=", 0, "not answered here")
    _same(asm, FP, SERVICE, FP, CLIENT, 16, 8, "forget")
    asm.jump("itself")
    asm.label("forget")
    asm.load(R0, FP, KNOWN, 4)
    asm.jump_if(R0, "==", NOTHING, "taken")
    asm.address(R2, FP, CLIENT)
    asm.map(R1, maps["clients"])
    asm.call(MAP_DELETE)


def _learn_tagged(asm: "Assembler", maps: "dict[str, int]") -> None:
    """What _learn does, for a client with a VLAN: where its frame came from, as a bridge learns it. The router need not
    have an address in that VLAN, so no route can be asked. Replies leave by that VLAN only: whoever forges an address
    draws replies to somebody of the same VLAN and service to itself, as it could by ARP, and to nobody else."""
    asm.label("learn tagged")
    _same(asm, FP, SERVICE, FP, CLIENT, 16, 8, "not itself")
    asm.jump("itself")
    asm.label("not itself")
    asm.load(R0, R9, MAC_FROM, 1)
    asm.mask(R0, 1)
    asm.jump_if(R0, "!=", 0, "pass")  # many would get the replies
    _copy(asm, FP, PLACE + PLACE_SERVICE, FP, CLIENT, 16, 8)
    asm.store_number(FP, PLACE + PLACE_PORT, 0, 8)  # and the generation
    asm.store(FP, PLACE + PLACE_TARGET, R8, 4)
    asm.store_number(FP, PLACE + PLACE_SLOT, 0, 4)
    _copy(asm, FP, PLACE + PLACE_INDEX, FP, INDEX, 4, 4)
    _copy(asm, FP, PLACE + PLACE_CLIENT, R9, MAC_FROM, 6, 2)
    _copy(asm, FP, PLACE + PLACE_ROUTER, R9, MAC_TO, 6, 2)
    _look_up_tagged(asm, maps)
    asm.jump_if(R0, "==", 0, "elsewhere now")
    _same(asm, R0, 0, FP, PLACE, PLACE_SIZE, 4, "elsewhere now")
    asm.jump("taken")
    asm.label("elsewhere now")
    _store(asm, maps, "clients", TAGGED_KEY, PLACE)
    asm.jump("taken")


def _look_up_tagged(asm: "Assembler", maps: "dict[str, int]") -> None:
    """Writes TAGGED_KEY, for the pair with the index R8; R0 is the address of its value, 0 if there is none."""
    asm.store_number(FP, TAGGED_KEY, NO_ADDRESS, 4)
    asm.store(FP, TAGGED_KEY + 4, R8, 4)
    asm.load(R0, FP, CLIENT, 8)
    asm.load(R1, FP, CLIENT + 8, 8)
    asm.add(R0, R1)
    asm.store(FP, TAGGED_KEY + 8, R0, 8)
    _look_up(asm, maps, "clients", TAGGED_KEY)


def _ask_route(asm: "Assembler") -> None:
    """R0 is 0 when FIB holds the way to the client."""
    for word in range(0, FIB_SIZE, 4):
        asm.store_number(FP, FIB + word, 0, 4)
    _copy(asm, FP, FIB + FIB_PROTOCOL, FP, PROTO, 1, 1)
    asm.store(FP, FIB + FIB_INDEX, R8, 4)
    asm.load(R0, R6, SKB_PROTOCOL, 4)
    asm.jump_if(R0, "==", asm.network16(ETH_IPV6), "ask ipv6")
    asm.store_number(FP, FIB + FIB_FAMILY, AF_INET, 1)
    for place, source in ((FIB_SRC, SERVICE), (FIB_DST, CLIENT)):
        _copy(asm, FP, FIB + place, FP, source + 12, 4, 4)
    asm.jump("ask now")
    asm.label("ask ipv6")
    asm.store_number(FP, FIB + FIB_FAMILY, AF_INET6, 1)
    for place, source in ((FIB_SRC, SERVICE), (FIB_DST, CLIENT)):
        _copy(asm, FP, FIB + place, FP, source, 16, 4)
    asm.label("ask now")
    asm.move(R1, R6)
    asm.address(R2, FP, FIB)
    asm.number(R3, FIB_SIZE)
    asm.number(R4, 0)
    asm.call(FIB_LOOKUP)
