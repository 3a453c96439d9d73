"""Changes inside the services' namespaces: causes to look at the kernel again, like those of monitor.py.

A program with rights, or somebody at a shell, may remove an address, a route, eth0 or an nft table in there, and
clients would get no answer. Two sockets in the router's namespace listen for all services: a netlink socket with
NETLINK_LISTEN_ALL_NSID (kernel 4.2) also receives the events of namespaces that have a number here (nsid, ip-netns(8)).
The kernel gives one to the other end of each pair. Events of other namespaces are ignored, and of the router's own
only a change of its firewall counts.
"""

from .. import compat
from .rtnl import LINK_NETNSID_NONE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..records.dump import Dump

# RTMGRP_* of linux/rtnetlink.h: links, queues, addresses and routes of both families; nftables is group 7 of nfnetlink.
NETWORK = 0x1 | 0x8 | 0x10 | 0x40 | 0x100 | 0x400
NFTABLES = 1 << 6
HERE = -1  # the router's own namespace
NETLINK_LISTEN_ALL_NSID = 8  # linux/netlink.h
SIZE = 4096  # bytes of a message: only its namespace counts
MOST = 64  # messages at once: a program can cause any number


class Inside:
    """`fds` are for a loop; `changed(fd)` says in which services something has changed."""

    def __init__(self) -> None:
        self._sockets: dict[int, Any] = {}
        self._names: dict[int, str] = {}  # service by nsid
        self._nft = -1
        self.firewall = False  # whether the router's own rules have changed since this was set to False
        for protocol, groups in ((compat.NETLINK_ROUTE, NETWORK), (compat.NETLINK_NETFILTER, NFTABLES)):
            try:
                self._open(protocol, groups)
            except OSError:
                pass  # a kernel without nfnetlink: then there are no tables

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
        """Sorted names of services; "" means that some events were missed."""
        found = set()
        for _ in range(MOST):
            try:
                nsid = compat.receive_nsid(self._sockets[fd], SIZE)
            except OSError as error:
                if error.errno == compat.EAGAIN:
                    break
                found.add("")  # ENOBUFS: more came than the buffer holds
                continue
            if nsid in self._names:
                found.add(self._names[nsid])
            elif nsid == HERE and fd == self._nft:
                self.firewall = True
        return sorted(found)
