"""A program that listens where it is told, and nowhere else; it answers like echo.py, as "edge".

    listens.py PROTO/WHERE/PORT[/deaf]...        tcp/0.0.0.0/7000 udp/dual/7001 tcp/dev:eth0/7002/deaf

WHERE is an address (`::` for IPv6 only; it need not be there), `dual` for both families by one socket, `mapped` for
IPv4 by a socket of IPv6, `own` or `own6` for eth0's address, `dev:DEVICE` for any IPv4 address at a device. What is
`deaf` is open, and nobody takes anything in there.
"""

import fcntl
import select
import socket
import struct
import sys

IP_FREEBIND, IPV6_FREEBIND = 15, 78  # linux/in.h, linux/in6.h
SIOCGIFADDR = 0x8915  # linux/sockios.h
PLACES = {"dual": "::", "mapped": "::ffff:0.0.0.0"}


def main(words):
    opened = select.poll()
    sockets = {}
    deaf = []
    for word in words:
        proto, where, port, *more = word.split("/")
        one = listen(proto, where, int(port))
        if more:
            deaf.append(one)
        else:
            sockets[one.fileno()] = one
            opened.register(one, select.POLLIN)
    listening = set(sockets)
    while True:
        for fd, _ in opened.poll():
            one = sockets[fd]
            if one.type == socket.SOCK_DGRAM:
                data, peer = one.recvfrom(2048)
                one.sendto(b"edge - " + data, peer)
            elif fd in listening:
                peer, _ = one.accept()
                sockets[peer.fileno()] = peer
                opened.register(peer, select.POLLIN)
            elif not answer(one):
                opened.unregister(fd)
                del sockets[fd]
                one.close()


def listen(proto, where, port):
    device = where[4:] if where.startswith("dev:") else ""
    place = "0.0.0.0" if device else own(where) if where.startswith("own") else PLACES.get(where, where)
    family = socket.AF_INET6 if ":" in place else socket.AF_INET
    one = socket.socket(family, socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM)
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        one.setsockopt(socket.SOL_SOCKET, option, 1)
    if device:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    if family == socket.AF_INET6:
        one.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, where not in PLACES)
    else:
        one.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
    one.bind((place, port))
    if proto == "tcp":
        one.listen(128)
    return one


def own(where):
    """The address of eth0, one that nobody has where eth0 has none of that family."""
    if where == "own6":
        with open("/proc/net/if_inet6") as file:
            found = [line.split()[0] for line in file if line.split()[3] == "00" and line.split()[5] == "eth0"]
        return socket.inet_ntop(socket.AF_INET6, bytes.fromhex(found[0])) if found else "2001:db8::"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        try:
            return socket.inet_ntoa(fcntl.ioctl(asked, SIOCGIFADDR, struct.pack("256s", b"eth0"))[20:24])
        except OSError:
            return "192.0.2.0"


def answer(peer):
    """Whether the connection goes on."""
    try:
        data = peer.recv(2048)
        if data:
            peer.sendall(b"edge %s %s" % (peer.getsockname()[0].encode(), data))
        return bool(data)
    except OSError:
        return False


if __name__ == "__main__":
    main(sys.argv[1:])
