"""The next hops of services (`reply` 'direct') among the router's neighbours: which MAC addresses they have.

Clients fill the table of neighbours, and cause events about it as fast as they can send. So each entry that counts is
asked for by itself, now and then, and no events are read.

An entry that is not there says nothing: the kernel forgets those that nobody uses. Nobody but services uses a next hop,
since their replies are not routed. So the kernel is told to find it, and to find out whether it is still there.
"""

from .. import compat
from . import rtnl
from .codec import understood
from .netlink import Socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .rtnl import Neighbour

    Place = tuple[int, bytes]

WAIT = 0.1  # seconds that one look waits for the answer of a next hop that was never asked for: a LAN's takes 1 ms
POLL = 0.01
PATIENCE = 4  # seconds without an answer: the kernel asks three times in 3 s (mcast_solicit, retrans_time of arp(7))


class Hops:
    """What is known of next hops from one look to the next."""

    def __init__(self) -> None:
        self._since: dict[Place, float] = {}  # when those were first asked for that have not answered since

    def macs(self, places: "Iterable[Place]") -> "dict[Place, str | None]":
        """Their MAC addresses: "" for one that does not answer, None if that is not known yet."""
        found, now = {}, compat.monotonic()
        known = self._known(set(places))
        for place in known:
            found[place] = known[place].mac
            if not found[place] and now - self._since.get(place, now) > PATIENCE:
                found[place] = ""
        self._since = {place: self._since.get(place, now) for place in found if not found[place]}
        return found

    def _known(self, places: "set[Place]") -> "dict[Place, Neighbour]":
        if not places:
            return {}
        socket = Socket(compat.NETLINK_ROUTE)
        try:
            known = {place: _read(socket, place) for place in places}
            asked = [place for place in known if not known[place].sure]
            socket.transact([lambda seq, place=place: rtnl.neighbour_use(*(place + (seq,))) for place in asked])
            new = [place for place in asked if place not in self._since and not known[place].mac]
            give_up = compat.monotonic() + WAIT
            while new and compat.monotonic() < give_up:
                compat.sleep(POLL)
                known.update({place: _read(socket, place) for place in new})
                new = [place for place in new if not known[place].mac]
        finally:
            socket.close()
        return known


def _read(socket: "Socket", place: "Place") -> "Neighbour":
    try:
        body = socket.ask(lambda seq: rtnl.neighbour_get(*(place + (seq,))))
    except OSError as error:
        compat.unless_spent(error)
        body = None  # a kernel before 5.0
    return understood(rtnl.parse_neighbour, body) if body else rtnl.Neighbour(None, False)
