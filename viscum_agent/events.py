"""What the kernel says about links, addresses and filters of the router, reduced to causes to look again.

An event is never acted upon by itself: it may be old, it may be our own. It only names a cause; what has to be done is
seen by reading the kernel anew. So losing events (ENOBUFS) is a cause as well, and nothing worse. Neighbours are no
cause: nothing of a plan depends on them, and a router's come and go with every client.
"""

from collections import namedtuple

from . import compat
from .kernel import rtnl, tc
from .objects import DEV_PREFIX

# RTMGRP_* of linux/rtnetlink.h: links, tc, addresses of both families.
GROUPS = 0x1 | 0x8 | 0x10 | 0x100

# Why to look again. `device` is whether it is about a device itself; it is urgent when a pair of ours went: filters
# that lead to it drop what they match.
Cause = namedtuple("Cause", ("text", "device", "urgent"))

CAUSES = {
    rtnl.RTM_NEWADDR: "an address came",
    rtnl.RTM_DELADDR: "an address went",
    tc.RTM_DELQDISC: "a qdisc went",
    tc.RTM_DELTFILTER: "a filter went",
    tc.RTM_NEWQDISC: "a qdisc came",
    tc.RTM_NEWTFILTER: "a filter came",
}


class Events:
    """`fd` is for a loop; `causes()` after it became readable."""

    def __init__(self):
        self._socket = compat.netlink_socket(compat.NETLINK_ROUTE, GROUPS)
        self._socket.setblocking(False)
        self.fd = self._socket.fileno()
        self._links = {}

    def close(self):
        self._socket.close()

    def causes(self):
        """The Causes in all that has come, without repetition."""
        found = []
        while True:
            try:
                data = compat.receive(self._socket, 32768)
            except OSError as error:
                if error.errno == compat.EAGAIN:
                    return found
                data = b""
                found.append(Cause("events were lost", True, True))
            for kind, _, _, body in rtnl.messages(data):
                cause = self._cause(kind, body)
                if cause and cause not in found:
                    found.append(cause)

    def _cause(self, kind, body):
        if kind in (rtnl.RTM_NEWLINK, rtnl.RTM_DELLINK):
            return self._link_cause(kind, body)
        return Cause(CAUSES[kind], False, False) if kind in CAUSES else None

    def _link_cause(self, kind, body):
        """Wireless drivers repeat a link for each scan: only what the plan can see counts."""
        if body[0]:  # ifi_family: a bridge's news about its port (AF_BRIDGE), the link itself has its own
            return None
        link = rtnl.parse_link("", body)
        if kind == rtnl.RTM_DELLINK:
            self._links.pop(link.index, None)
            return Cause("device %s went" % link.name, True, link.name.startswith(DEV_PREFIX))
        if self._links.get(link.index) == link:
            return None
        self._links[link.index] = link
        return Cause("device %s changed" % link.name, True, False)
