"""A client that comes in on a service's eth0: so a check takes the same way as a client's packets.

A kernel socket in the namespace would reach the program over the loopback device, past everything that may be in a
client's way there (eth0 down, a missing nft rule, one that drops). So the packets are made here and sent out of the
router's end of the pair, as the redirect does with a client's. Their source is the namespace's own address, so the
answers stay inside: no packet of a check ever leaves the namespace, and the router's firewall never sees one.

For TCP there are two sockets in the namespace. One reads what comes back (raw(7); with the IP header for IPv4, without
it for IPv6). The other is bound to the port that the answers go to, and accepts nothing (a socket filter): without it
the kernel would reset a connection that it does not know. For UDP one socket does both.

It needs accept_local on eth0 (ip-sysctl.rst), which all of our namespaces have.
"""

import struct

from .. import compat
from ..records.objects import ns_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..plan.answers import Way
    from .netns import Visit

    Send = Callable[[bytes], object]

AF = {4: 2, 6: 10}  # AF_INET, AF_INET6
AF_PACKET, ETHERTYPE = 17, {4: 0x0800, 6: 0x86DD}  # linux/socket.h, linux/if_ether.h
ETH_P_ALL = 3  # linux/if_ether.h: also what leaves
IPPROTO_TCP, IPPROTO_UDP = 6, 17
STREAM, DATAGRAM, RAW = 1, 2, 3  # SOCK_*; compat knows those of mips
SO_ATTACH_FILTER = 26  # asm/socket.h, on mips as well
TAKE_NOTHING = struct.pack("HBBI", 6, 0, 0, 0)  # struct sock_filter: BPF_RET | BPF_K, 0 bytes

FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10  # RFC 9293, 3.1
WINDOW = 1024  # bytes; received data is not read
HOPS = 64
SOURCE_MAC = b"\x02\x76\x00\x00\x00\x02"  # locally administered; no device has it
MOST = 64  # packets read at once: a program can send any number
PACKET = 256  # bytes of one; only the headers count


def filtered(kind: int, index: int, code: bytes) -> int:
    """A packet socket (packet(7)) at a device of the caller's namespace, for what passes a filter: `code` is its
    struct sock_filter, one behind the other. Raises OSError."""
    fd = compat.socket_open(AF_PACKET, kind, 0)  # protocol 0: nothing comes before the filter is there
    steps = bytearray(code)
    try:
        program = struct.pack("HP", len(steps) // 8, compat.address_of(steps))
        compat.set_option(fd, compat.SOL_SOCKET, SO_ATTACH_FILTER, program)
        place = struct.pack("H", AF_PACKET) + struct.pack(">H", ETH_P_ALL) + struct.pack("i", index) + bytes(12)
        compat.socket_bind(fd, place)
    except OSError:
        compat.fd_close(fd)
        raise
    return fd


class Door:
    """The router's end of the pairs: sends frames out of them. One socket for all, open as long as the agent runs:
    closing one takes the kernel a grace period of RCU (packet_release in net/packet/af_packet.c)."""

    def __init__(self) -> None:
        self._fd = compat.socket_open(AF_PACKET, RAW, 0)  # protocol 0: it receives nothing

    def close(self) -> None:
        compat.fd_close(self._fd)

    def send(self, index: int, mac: bytes, family: int, packet: bytes) -> None:
        """Sends an IP packet, in a frame for a MAC (bytes), out of the device with that index. Raises OSError."""
        kind = ETHERTYPE[family]
        frame = mac + SOURCE_MAC + struct.pack(">H", kind) + packet
        place = struct.pack("H", AF_PACKET) + struct.pack(">H", kind) + struct.pack("iHBB8s", index, 0, 0, 6, mac)
        compat.send_to(self._fd, frame, place)


def open_in(visit: "Visit", name: str, kind: str, way: "Way", own: bytes) -> "Handshake | Datagram":
    """A Handshake ("tcp") or a Datagram ("udp") with a service's program over an answers.Way; `own` is the namespace's
    address of that family (bytes). `visit` is a netns.Visit. Raises OSError; nothing is sent yet."""
    visit.enter(ns_name(name))
    try:
        return (Handshake if kind == "tcp" else Datagram)(way.family, own, way.client, way.client_port)
    finally:
        visit.home()


class Handshake:
    """`fd` becomes readable when something came back; `read` says what. `send` is a function of a packet."""

    def __init__(self, family: int, own: bytes, client: bytes, port: int) -> None:
        self._family, self._own, self._client, self._port = family, own, client, port
        self._begin = compat.random32()
        self._next = 0  # what the program's side sends next
        self.open = False
        self._catch = compat.socket_open(AF[family], STREAM, 0)
        self.fd = -1
        try:
            code = bytearray(TAKE_NOTHING)
            program = struct.pack("HP", 1, compat.address_of(code))
            compat.set_option(self._catch, compat.SOL_SOCKET, SO_ATTACH_FILTER, program)
            compat.socket_bind(self._catch, socket_address(own, 0))
            compat.socket_listen(self._catch, 1)
            self._at = port_of(compat.socket_name(self._catch))
            self.fd = compat.socket_open(AF[family], RAW, IPPROTO_TCP)
            compat.socket_bind(self.fd, socket_address(own, 0))
            compat.socket_connect(self.fd, socket_address(client, 0))  # only packets from there
        except OSError:
            self.close()
            raise

    def begin(self, send: "Send") -> None:
        send(self._segment(self._begin, 0, SYN))

    def read(self, send: "Send") -> bool:
        """Whether the connection is established. Raises OSError (ECONNREFUSED) if it is refused."""
        for _ in range(MOST):
            packet = compat.fd_receive(self.fd, PACKET)
            if packet is None:
                break
            flags = self._flags(packet)
            if flags & RST:
                raise OSError(compat.ECONNREFUSED, compat.strerror(compat.ECONNREFUSED))
            if flags & (SYN | ACK) == SYN | ACK and not self.open:
                self.open = True
                send(self._segment(self._begin + 1, self._next, ACK))
        return self.open

    def _flags(self, packet: bytes) -> int:
        """The flags of a segment of this connection, 0 for any other."""
        at = (packet[0] & 0x0F) * 4 if self._family == 4 else 0
        if len(packet) < at + 14:
            return 0
        source, target, number, answered = struct.unpack_from(">HHII", packet, at)
        if (source, target) != (self._port, self._at) or (answered - self._begin) & 0xFFFFFFFF not in (1, 2):
            return 0
        flags = packet[at + 13]
        if flags & SYN:
            self._next = number + 1
        return flags

    def end(self, send: "Send", politely: bool) -> None:
        """Ends the connection as a client does, or resets it. `hang_up` follows a little later: what the program's side
        sends in reply must still find its socket."""
        if self.open:
            send(self._segment(self._begin + 1, self._next, FIN | ACK if politely else RST))

    def hang_up(self, send: "Send") -> None:
        """After `end`: if the program's side has replied since, a RST says that nobody is there any more."""
        try:
            for _ in range(MOST):
                packet = compat.fd_receive(self.fd, PACKET)
                if packet is None:
                    break
                if self._flags(packet) & FIN:
                    send(self._segment(self._begin + 2, self._next, RST))
                    break
        finally:
            self.close()

    def close(self) -> None:
        for fd in (self.fd, self._catch):
            if fd >= 0:
                compat.fd_close(fd)
        self.fd = self._catch = -1

    def _segment(self, number: int, answered: int, flags: int) -> bytes:
        """A TCP segment without options or data (RFC 9293, 3.1)."""
        head = struct.pack(">HHII", self._at, self._port, number & 0xFFFFFFFF, answered & 0xFFFFFFFF)
        tail = struct.pack(">H", 0)  # urgent pointer
        head += struct.pack(">BBH", 5 << 4, flags, WINDOW)
        return ip_packet(self._own, self._client, IPPROTO_TCP, head, tail)


class Datagram:
    """`fd` becomes readable when the program answers, or when nothing listens."""

    def __init__(self, family: int, own: bytes, client: bytes, port: int) -> None:
        self._own, self._client, self._port = own, client, port
        self.fd = compat.socket_open(AF[family], DATAGRAM, 0)
        try:
            compat.socket_bind(self.fd, socket_address(own, 0))
            compat.socket_connect(self.fd, socket_address(client, port))
            self._at = port_of(compat.socket_name(self.fd))
        except OSError:
            self.close()
            raise

    def begin(self, send: "Send") -> None:
        """Sends an empty datagram (RFC 768)."""
        head = struct.pack(">HHH", self._at, self._port, 8)
        send(ip_packet(self._own, self._client, IPPROTO_UDP, head, b""))

    def read(self, _send: "Send") -> bool:
        """Whether the program has answered. Raises OSError (ECONNREFUSED) if nothing listens."""
        return compat.fd_receive(self.fd, PACKET) is not None

    def end(self, _send: "Send", _politely: bool) -> None:
        pass

    def hang_up(self, _send: "Send") -> None:
        self.close()

    def close(self) -> None:
        if self.fd >= 0:
            compat.fd_close(self.fd)
        self.fd = -1


def socket_address(packed: bytes, port: int) -> bytes:
    """struct sockaddr_in or sockaddr_in6 (ip(7), ipv6(7))."""
    if len(packed) == 4:
        return struct.pack("H", AF[4]) + struct.pack(">H", port) + packed + bytes(8)
    return struct.pack("H", AF[6]) + struct.pack(">HI", port, 0) + packed + bytes(4)


def port_of(name: bytes) -> int:
    """The port in such a structure."""
    return struct.unpack_from(">H", name, 2)[0]


def ip_packet(source: bytes, target: bytes, protocol: int, head: bytes, tail: bytes, hops: int = HOPS) -> bytes:
    """An IP packet (RFC 791, RFC 8200); the checksum of its payload goes between `head` and `tail`."""
    size = len(head) + 2 + len(tail)
    ends = source + target
    if len(source) == 4:
        pseudo = ends + struct.pack(">BBH", 0, protocol, size)
        begin = struct.pack(">BBHHHBB", 0x45, 0, 20 + size, 0, 0x4000, hops, protocol)  # don't fragment
        begin += struct.pack(">H", checksum(begin + ends)) + ends
    else:
        pseudo = ends + struct.pack(">II", size, protocol)
        begin = struct.pack(">IHBB", 6 << 28, size, protocol, hops) + ends
    return begin + head + struct.pack(">H", checksum(pseudo + head + tail) or 0xFFFF) + tail


def checksum(data: bytes) -> int:
    """RFC 1071."""
    total = 0
    for word in struct.unpack(">%dH" % (len(data) // 2), data):
        total += word
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF
