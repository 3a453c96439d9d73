"""The sockets that are open for clients in a network namespace, as listed in /proc (proc_net_tcp.rst, proc(5)).

/proc, because OpenWrt builds its kernels without sock_diag (target/linux/generic/hack-*/901-debloat_sock_diag.patch),
and without the counters of /proc/net/snmp (902-debloat_proc.patch). A program can open any number of sockets, so
everything is read in pieces and up to a limit, and a line is parsed only as far as needed to see whether it counts:

- TCP: the kernel lists open sockets before connections (tcp_get_idx in net/ipv4/tcp_ipv4.c), so reading ends at the
  first connection, however many there are.
- UDP: the order is that of a hash, so all have to be read, up to MOST bytes. What comes after is not seen. And between
  two pieces the kernel finds by counting where it goes on (udp_get_idx in net/ipv4/udp.c): where a socket was closed
  meanwhile, it leaves another one out. So what is missing is looked for once more, in other pieces.
"""

import sys
from collections import namedtuple

from .. import compat
from ..records.facts import Listener, Ports

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PIECE = 4096  # bytes read at once; a line of TCP has 150, of TCP over IPv6 up to 178
MOST = 1 << 20  # bytes of a file: some 7,000 sockets
MOST_FOUND = 256  # sockets of a file at a port that counts, and
FEW = 16  # others: enough to tell that the program listens elsewhere
O_RDONLY = 0

# net/tcp_states.h, as the file writes them; an unconnected UDP socket is in the state TCP_CLOSE.
_OPEN = {"tcp": b"0A", "udp": b"07"}
_CONNECTED = (b"01", b"08")  # ESTABLISHED, CLOSE_WAIT
_SYN_RECEIVED = b"03"
# Also FIN_WAIT1, CLOSING, LAST_ACK: what the program has sent may not have arrived yet.
_UNFINISHED = (b"01", _SYN_RECEIVED, b"04", b"08", b"09", b"0B")
_NOBODY = (b"00000000:0000", b"00000000000000000000000000000000:0000")
_MAPPED = bytes(10) + b"\xff\xff"  # RFC 4291, 2.5.5.2
_WIDTH = {4: 8, 6: 32}  # digits of an address

# A TCP connection of a client: both addresses as bytes, of IPv4, IPv6 or both (_MAPPED).
Flow = namedtuple("Flow", ("client", "client_port", "service", "port"))

ALL = {"tcp": Ports(set(), [(1, 65535)]), "udp": Ports(set(), [(1, 65535)])}


def listeners(ports: "dict[str, Ports] | None" = None) -> "list[Listener]":
    """facts.Listener of each open socket of TCP and UDP in the caller's namespace. `ports` maps a protocol to the Ports
    that count; None for all."""
    ports = ports or ALL
    return _open_ones("tcp", ports["tcp"]) + _open_ones("udp", ports["udp"])


def _open_ones(proto: str, ports: "Ports", few: int = FEW) -> "list[Listener]":
    return _open_sockets(proto, 4, proto, ports, few) + _open_sockets(proto, 6, proto + "6", ports, few)


def waiting(proto: str, version: int, address: bytes, port: int) -> int:
    """What waits for the program at a socket: connections that are not accepted yet, or bytes that are not read yet. -1
    if it is no longer open. Several programs may share an address (SO_REUSEPORT): the most of any."""
    open_ones = _open_ones(proto, Ports({port}, []), 0)
    found = [one.waiting for one in open_ones if (one.version, one.address, one.port) == (version, address, port)]
    return max(found) if found else -1


def connections() -> int:
    """How many TCP connections clients have in the caller's namespace, as far as MOST bytes tell."""
    count = [0]

    def client(_inode: int) -> None:
        count[0] += 1

    _connections(client, {})
    return count[0]


def has_clients() -> bool:
    """Whether any client has a TCP connection in the caller's namespace."""
    found: list[int] = []
    waiting: dict[int, int] = {}
    _connections(found.append, waiting, lambda: bool(found))
    return bool(found) or any(waiting.values())


def clients() -> "tuple[list[int], dict[int, int]]":
    """(inodes of the sockets of clients' TCP connections, {inode of an open socket: how many wait there}) in the
    caller's namespace. A connection that is not accepted yet has no inode."""
    found: list[int] = []
    waiting: dict[int, int] = {}
    _connections(found.append, waiting)
    return [inode for inode in found if inode], {inode: waiting[inode] for inode in waiting if waiting[inode]}


def flows(own: "Sequence[bytes]" = (), unfinished: bool = False) -> "list[Flow]":
    """Each TCP connection of a client in the caller's namespace, as far as MOST bytes tell, but for those from `own`
    addresses. With `unfinished` at most one, of which an end still has something to send: a look at thousands of
    connections is then over after the first."""
    found: list[Flow] = []
    ports: set[int] = set()
    for name, width in (("tcp", _WIDTH[4]), ("tcp6", _WIDTH[6])):
        if not (unfinished and found):
            _read(name, lambda line, width=width: _flow(line, width, ports, own, unfinished, found))
    return found


def _flow(
    line: bytes, width: int, ports: "set[int]", own: "Sequence[bytes]", unfinished: bool, found: "list[Flow]"
) -> bool:
    local, state = _places(line, width)
    port = _port(line, local, width)
    kind = line[state : state + 2]
    if kind == _OPEN["tcp"]:
        ports.add(port)
    elif port in ports and (kind in _UNFINISHED or not unfinished):
        service, client = [part.split(b":") for part in line[local : state - 1].split()]
        address = _address(client[0])
        if address not in own:
            found.append(Flow(address, int(client[1], 16), _address(service[0]), port))
            return not unfinished
    return True


def _connections(
    client: "Callable[[int], object]", waiting: "dict[int, int]", enough: "Callable[[], bool]" = bool
) -> None:
    """Calls `client(inode)` for each TCP connection to an open port, until `enough()`; `waiting` gets what waits at
    those ports."""
    ports: set[int] = set()
    for name, width in (("tcp", _WIDTH[4]), ("tcp6", _WIDTH[6])):
        _read(name, lambda line, width=width: _connection(line, width, ports, client, waiting) and not enough())


def _connection(
    line: bytes, width: int, ports: "set[int]", client: "Callable[[int], object]", waiting: "dict[int, int]"
) -> bool:
    local, state = _places(line, width)
    if line[state : state + 2] == _OPEN["tcp"]:
        fields = line.split(None, 10)
        ports.add(_port(line, local, width))
        waiting[int(fields[9])] = int(fields[4].split(b":")[1], 16)
    elif line[state : state + 2] in _CONNECTED and _port(line, local, width) in ports:
        client(int(line.split(None, 10)[9]))
    return True


def _open_sockets(proto: str, version: int, name: str, ports: "Ports", few: int = 0) -> "list[Listener]":
    found, pieces = _listed(proto, version, name, ports, few, PIECE)
    if proto == "udp" and pieces > 1 and (ports.ranges or ports.single.difference([one.port for one in found])):
        known = {one[:4] for one in found}
        again, _ = _listed(proto, version, name, ports, few, PIECE // 2)
        found += [one for one in again if one[:4] not in known]
    return found


def _listed(proto: str, version: int, name: str, ports: "Ports", few: int, first: int) -> "tuple[list[Listener], int]":
    """(what is open, in how many pieces it was read, the first one of so many bytes)"""
    found: list[Listener] = []
    others: list[Listener] = []
    width = _WIDTH[version]
    nobody = _NOBODY[version == 6]

    def step(line: bytes) -> bool:
        local, state = _places(line, width)
        if line[state : state + 2] != _OPEN[proto]:
            return proto == "udp"  # for TCP, this is the first connection
        port = _port(line, local, width)
        if port in ports.single or any([low <= port <= high for low, high in ports.ranges]):
            kept = found if len(found) < MOST_FOUND else None
        else:
            kept = others if len(others) < few else None
        if kept is not None and line[local + width + 6 : state - 1] == nobody:
            kept.append(_listener(proto, version, port, line.split(None, 5)))
        return True

    pieces = _read(name, step, first)
    return found + others, pieces


def _places(line: bytes, width: int) -> "tuple[int, int]":
    """Where the local address and the state begin in a line `NUMBER: ADDRESS:PORT ADDRESS:PORT STATE ...`."""
    local = line.find(b":") + 2
    return local, local + 2 * (width + 6)


def _port(line: bytes, local: int, width: int) -> int:
    return int(line[local + width + 1 : local + width + 5], 16)


def _listener(proto: str, version: int, port: int, fields: "list[bytes]") -> "Listener":
    address = _address(fields[1].split(b":")[0])
    if version == 6 and address[:12] == _MAPPED:
        version, address = 4, address[12:]  # open for IPv4 only
    if not any(address):
        address = b""
    waits = int(fields[4].split(b":")[1], 16)
    return Listener(proto=proto, version=version, address=address, port=port, waiting=waits)


def _read(name: str, step: "Callable[..., bool]", first: int = PIECE) -> int:
    """Calls `step` with each line of /proc/net/NAME until it returns False; the first piece that is read has so many
    bytes. Returns how many pieces that were. Without IPv6 the kernel has no such file."""
    try:
        fd = compat.fd_open("/proc/thread-self/net/" + name, O_RDONLY)
    except OSError as error:
        compat.unless_spent(error)
        return 0
    try:
        return _read_lines(fd, step, first)
    finally:
        compat.fd_close(fd)


def _read_lines(fd: int, step: "Callable[..., bool]", first: int) -> int:
    size, pieces, rest = 0, 0, None  # the first line is a heading
    while size < MOST:
        piece = compat.fd_read(fd, PIECE if pieces else first)
        if not piece:
            return pieces
        size += len(piece)
        pieces += 1
        lines = ((rest or b"") + piece).split(b"\n")
        if rest is None:
            lines.pop(0)
        rest = lines.pop()
        for line in lines:
            if not step(line):
                return pieces
    return pieces


def _address(text: bytes) -> bytes:
    """The bytes of an address, which is written as 32-bit numbers in this machine's byte order."""
    return b"".join([int(text[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(text), 8)])
