"""What changes inside the services' namespaces: a cause to look at the kernel again, like those of monitor.py.

A program with rights, or somebody at a shell, may take an address, a route, eth0 or an nft table away in there, and
nobody would be answered. Two sockets in the router's namespace hear of it for all services: a netlink socket with
NETLINK_LISTEN_ALL_NSID (kernel 4.2) also gets what namespaces say that have a number here (nsid, ip-netns(8)). The
kernel gives one to the other end of each veth pair. Messages of other namespaces are left out, and of the router's own
only that its firewall has changed is worth knowing.
"""

from .. import compat
from .rtnl import LINK_NETNSID_NONE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..records.dump import Dump

# RTMGRP_* of linux/rtnetlink.h: links, addresses and routes of both families; nftables is group 7 of nfnetlink.
NETWORK = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
NFTABLES = 1 << 6
HERE = -1  # the router's own namespace
NETLINK_LISTEN_ALL_NSID = 8  # linux/netlink.h
SIZE = 4096  # bytes of a message: only whose it is counts
MOST = 64  # messages at once: a program may make as many as it likes


class Inside:
    """`fds` are for a loop; `changed(fd)` says which services something has changed in."""

    def __init__(self) -> None:
        self._sockets: dict[int, Any] = {}
        self._names: dict[int, str] = {}  # service by nsid
        self._nft = -1
        self.firewall = False  # whether the router's own rules have changed since somebody set this to False
        for protocol, groups in ((compat.NETLINK_ROUTE, NETWORK), (compat.NETLINK_NETFILTER, NFTABLES)):
            try:
                self._open(protocol, groups)
            except OSError:
                pass  # a kernel without nfnetlink: there are no tables then

    def _open(self, protocol: int, groups: int) -> None:
        socket = compat.netlink_socket(protocol, groups)
        socket.setsockopt(compat.SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, 1)
        socket.setblocking(False)
        self._sockets[socket.fileno()] = socket
        self._nft = socket.fileno()

    @property
    def fds(self) -> "list[int]":
        return list(self._sockets)

    def close(self) -> None:
        for socket in self._sockets.values():
            socket.close()

    def follow(self, dump: "Dump", pairs: "dict[int, str]") -> None:
        """Learns the numbers of the services' namespaces from a Dump; `pairs` maps indexes of pairs to services."""
        self._names = {}
        for link in dump.links:
            if link.ns == "" and link.index in pairs and link.peer_nsid != LINK_NETNSID_NONE:
                self._names[link.peer_nsid] = pairs[link.index]

    def changed(self, fd: int) -> "list[str]":
        """Sorted names of services; "" stands for: some were not heard."""
        found = set()
        for _ in range(MOST):
            try:
                nsid = compat.receive_nsid(self._sockets[fd], SIZE)
            except OSError as error:
                if error.errno == compat.EAGAIN:
                    break
                found.add("")  # ENOBUFS: more came than there was room for
                continue
            if nsid in self._names:
                found.add(self._names[nsid])
            elif nsid == HERE and fd == self._nft:
                self.firewall = True
        return sorted(found)
