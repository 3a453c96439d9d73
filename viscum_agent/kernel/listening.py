"""The sockets that are open for clients in a network namespace, as /proc lists them (proc_net_tcp.rst, proc(5)).

/proc, because OpenWrt builds its kernels without sock_diag (target/linux/generic/hack-*/901-debloat_sock_diag.patch),
and without the counters of /proc/net/snmp (902-debloat_proc.patch). A program can open as many sockets as it likes, so
everything is read in pieces and up to a limit:

- TCP: the kernel lists open sockets before connections (tcp_get_idx in net/ipv4/tcp_ipv4.c), so reading ends at the
  first connection, however many there are.
- UDP: the order is that of a hash, so all have to be read, up to MOST bytes. What is behind that is not seen.
"""

import sys

from .. import compat
from ..facts import Listener

PIECE = 4096  # bytes read at once; a line of TCP has 150, of TCP over IPv6 up to 178
MOST = 1 << 20  # bytes of a file: some 7,000 sockets
O_RDONLY = 0

# net/tcp_states.h, in the file's words; an unconnected UDP socket is in the state TCP_CLOSE.
_OPEN = {"tcp": b"0A", "udp": b"07"}
_CONNECTED = (b"01", b"08")  # ESTABLISHED, CLOSE_WAIT
_NOBODY = (b"00000000:0000", b"00000000000000000000000000000000:0000")
_MAPPED = bytes(10) + b"\xff\xff"  # RFC 4291, 2.5.5.2
_HEX = {ord(c): value for value, c in enumerate("0123456789ABCDEF")}


def listeners():
    """facts.Listener of each open socket of TCP and UDP in the namespace that the caller is in."""
    return _open_ones("tcp") + _open_ones("udp")


def _open_ones(proto):
    return _open_sockets(proto, 4, proto) + _open_sockets(proto, 6, proto + "6")


def waiting(proto, version, address, port):
    """What waits for the program at a socket: connections that it has not accepted, or bytes that it has not read. -1
    where it is not open any more. Several programs may share a place (SO_REUSEPORT): the most of any."""
    found = [
        one.waiting for one in _open_ones(proto) if (one.version, one.address, one.port) == (version, address, port)
    ]
    return max(found) if found else -1


def connections():
    """How many TCP connections clients have in the namespace that the caller is in, as far as MOST bytes tell."""
    count = [0]

    def client(_inode):
        count[0] += 1

    _connections(client, {})
    return count[0]


def clients():
    """(inodes of the sockets of clients' TCP connections, {inode of an open socket: how many wait there}) in the
    namespace that the caller is in. One that nobody has accepted has no inode yet."""
    found, waiting = [], {}
    _connections(found.append, waiting)
    return [inode for inode in found if inode], {inode: waiting[inode] for inode in waiting if waiting[inode]}


def _connections(client, waiting):
    """Calls `client(inode)` for each TCP connection to a port that is open; `waiting` gets what waits at those."""
    ports = set()

    def step(fields):
        if fields[3] == _OPEN["tcp"]:
            ports.add(_port(fields[1]))
            waiting[int(fields[9])] = _number(fields[4].split(b":")[1])
        elif fields[3] in _CONNECTED and _port(fields[1]) in ports:
            client(int(fields[9]))
        return True

    for name in ("tcp", "tcp6"):
        _read(name, step)


def _open_sockets(proto, version, name):
    found = []

    def step(fields):
        if fields[3] == _OPEN[proto] and fields[2] in _NOBODY:
            found.append(_listener(proto, version, fields))
            return True
        return proto == "udp"  # of TCP it is the first connection

    _read(name, step)
    return found


def _listener(proto, version, fields):
    address = _address(fields[1].split(b":")[0])
    if version == 6 and address[:12] == _MAPPED:
        version, address = 4, address[12:]  # open for IPv4 only
    if not any(address):
        address = b""
    return Listener(
        proto=proto, version=version, address=address, port=_port(fields[1]), waiting=_number(fields[4].split(b":")[1])
    )


def _read(name, step):
    """Calls `step` with the fields of each line of /proc/net/NAME until it returns False. The kernel has no such file
    without IPv6."""
    try:
        fd = compat.fd_open("/proc/thread-self/net/" + name, O_RDONLY)
    except OSError:
        return
    try:
        _read_lines(fd, step)
    finally:
        compat.fd_close(fd)


def _read_lines(fd, step):
    size, rest = 0, b""
    while size < MOST:
        piece = compat.fd_read(fd, PIECE)
        if not piece:
            return
        size += len(piece)
        lines = (rest + piece).split(b"\n")
        rest = lines.pop()
        for line in lines:
            fields = line.split(None, 10)
            if len(fields) > 9 and fields[0] != b"sl" and not step(fields):
                return


def _number(text):
    value = 0
    for byte in text:
        value = value << 4 | _HEX[byte]
    return value


def _port(place):
    return _number(place[place.find(b":") + 1 :])


def _address(text):
    """The bytes of an address, which is written as 32-bit numbers of this machine."""
    return b"".join([_number(text[at : at + 8]).to_bytes(4, sys.byteorder) for at in range(0, len(text), 8)])
