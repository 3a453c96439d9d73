"""How packets pass the router, for `viscum explain`: by which device they leave, and whether a device hears others'."""

from .. import compat
from . import rtnl
from .codec import parsed, understood
from .netlink import Socket

NO_WAY, UNSAID = 0, -1
EXDEV = 18  # asm-generic/errno-base.h
MOST = 2048  # neighbours read: two tables of 1,024 (gc_thresh3 in arp(7))


def back(pair: int, service: bytes, client: bytes) -> int:
    """The index of the device by which the router sends to a client what comes out of a pair, which has a service's
    address; NO_WAY, or UNSAID. With a pair of 0 it is what the router itself sends there."""
    socket = Socket(compat.NETLINK_ROUTE)
    try:
        body = socket.ask(lambda seq: rtnl.route_get(pair, service, client, seq))
        return understood(rtnl.way_of, body) if body else NO_WAY
    except OSError as error:
        compat.unless_spent(error)
        # Both mean that the kernel doubts the source (fib_validate_source in net/ipv4/fib_frontend.c), which eBPF does
        # not ask. All others, which processors number differently, that there is no route.
        return UNSAID if error.errno in (compat.EINVAL, EXDEV) else NO_WAY
    finally:
        socket.close()


def neighbours(index: int) -> "dict[bytes, bytes]":
    """{address: MAC} of those whom the router knows behind a device, at most MOST."""
    socket = Socket(compat.NETLINK_ROUTE)
    try:
        found = parsed(rtnl.parse_neighbour_row, socket.dump(rtnl.neighbour_dump, hurried=True, most=MOST))
    finally:
        socket.close()
    return {address: mac for device, address, mac in found if device == index}


def hears(index: int) -> bool:
    """Whether a device gets frames for others, too: it is promiscuous."""
    socket = Socket(compat.NETLINK_ROUTE)
    try:
        body = socket.ask(lambda seq: rtnl.link_get(index, seq))
        return bool(body) and understood(rtnl.is_promiscuous, body)
    finally:
        socket.close()
