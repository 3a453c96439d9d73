"""Kernel events about links, addresses and filters of the router, reduced to causes to look again.

An event is never acted on by itself: it may be old, it may be our own. It is only a cause; what to do is decided by
reading the kernel again. So losing events (ENOBUFS) is a cause as well, and nothing worse. What no plan depends on is
not a cause, since there is a lot of it: neighbours, which come and go with every client; an address whose lifetime is
renewed, as with each router advertisement; a qdisc or filter that shapes, which SQM with autorate changes several times
a second.
"""

import struct
from collections import namedtuple

from .. import compat
from ..records.objects import DEV_PREFIX
from . import rtnl, tc
from .codec import messages, understood

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..records.dump import Link

# RTMGRP_* of linux/rtnetlink.h: links, tc, addresses of both families.
GROUPS = 0x1 | 0x8 | 0x10 | 0x100

# Why to look again. `device`: whether it is about a device itself; `urgent`: a pair of ours was removed, and filters
# that lead to it drop what they match.
Cause = namedtuple("Cause", ("text", "device", "urgent"))

CAUSES = {
    rtnl.RTM_NEWADDR: "an address was added",
    rtnl.RTM_DELADDR: "an address was removed",
    tc.RTM_DELQDISC: "a qdisc was removed",
    tc.RTM_DELTFILTER: "a filter was removed",
    tc.RTM_NEWQDISC: "a qdisc was added",
    tc.RTM_NEWTFILTER: "a filter was added",
}

READS = 256  # messages in one turn: the rest wakes the loop again
SHARED_BLOCK = -1  # TCM_IFINDEX_MAGIC_BLOCK: filters for several devices


class Events:
    """`fd` is for a loop; call `causes()` when it becomes readable."""

    def __init__(self) -> None:
        self._socket = compat.netlink_socket(compat.NETLINK_ROUTE, GROUPS)
        self._socket.setblocking(False)
        self.fd = self._socket.fileno()
        self._forget()

    def _forget(self) -> None:
        """What is known of the router, to ignore repetitions: links by index, and sets of their addresses."""
        self._links: dict[int, Link] = {}
        self._addresses: dict[int, set[str]] = {}
        self._lost = False

    def _all_read(self) -> None:
        """What came before events were lost is read after the loss is reported, and may be outdated."""
        if self._lost:
            self._forget()

    def close(self) -> None:
        self._socket.close()

    def causes(self) -> "list[Cause]":
        """The Causes in the pending events, without repetition."""
        found = {}
        for _ in range(READS):
            try:
                data = compat.receive(self._socket, 32768)
            except OSError as error:
                if error.errno == compat.EAGAIN:
                    self._all_read()
                    break
                data = b""
                self._lost = True
                found["events were lost"] = Cause("events were lost", True, True)
            for kind, _, _, body in messages(data):
                cause = understood(self._cause, kind, body)
                if cause:
                    found[cause.text] = cause
        return list(found.values())

    def _cause(self, kind: int, body: bytes) -> "Cause | None":
        if kind in (rtnl.RTM_NEWLINK, rtnl.RTM_DELLINK):
            return self._link_cause(kind, body)
        if kind not in CAUSES or not self._matters(kind, body):
            return None
        return Cause(CAUSES[kind], False, False)

    def _matters(self, kind: int, body: bytes) -> bool:
        if kind in (rtnl.RTM_NEWADDR, rtnl.RTM_DELADDR):
            return self._address_matters(kind, body)
        if kind in (tc.RTM_NEWQDISC, tc.RTM_DELQDISC):
            return tc.parse_qdisc(body) is not None
        index, _, parent = struct.unpack_from("iII", body, 4)
        return index == SHARED_BLOCK or parent | 0xFFFF == tc.INGRESS | 0xFFFF

    def _address_matters(self, kind: int, body: bytes) -> bool:
        found = rtnl.parse_address("", body)
        if found is None:
            return False
        known = self._addresses.setdefault(found.index, set())
        if kind == rtnl.RTM_DELADDR:
            known.discard(found.address)
            return True
        if found.address in known:
            return False
        known.add(found.address)
        return True

    def _link_cause(self, kind: int, body: bytes) -> "Cause | None":
        """Wireless drivers repeat a link for each scan: only what the plan can see counts."""
        if body[0]:  # ifi_family: a bridge's event about its port (AF_BRIDGE); the link has its own
            return None
        link = rtnl.parse_link("", body)
        if kind == rtnl.RTM_DELLINK:
            self._links.pop(link.index, None)
            self._addresses.pop(link.index, None)
            return Cause("device %s was removed" % link.name, True, link.name.startswith(DEV_PREFIX))
        if self._links.get(link.index) == link:
            return None
        self._links[link.index] = link
        return Cause("device %s changed" % link.name, True, False)
