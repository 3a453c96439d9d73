"""The next hops of services (`reply` 'direct') among the router's neighbours: which MAC addresses they have, and news.

Clients fill the table of neighbours, and cause events about it as fast as they can send. So each entry that counts is
asked for by itself, and the kernel drops all other events (SO_ATTACH_FILTER of socket(7)) before anybody reads them.

An entry that is not there says nothing: the kernel forgets those that nobody uses. Nobody but services uses a next hop,
since their replies are not routed. So the kernel is told to find it, and to find out whether it is still there.
"""

import struct

from .. import address, compat
from . import rtnl
from .codec import messages, understood
from .handshake import SO_ATTACH_FILTER
from .netlink import Socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from .rtnl import Neighbour

    Place = tuple[int, bytes]

WAIT = 0.1  # seconds that one look waits for the answer of a next hop that was never asked for: a LAN's takes 1 ms
POLL = 0.01
PATIENCE = 4  # seconds without an answer: the kernel asks three times in 3 s (mcast_solicit, retrans_time of arp(7))
SOON, LATER = 2, 30  # seconds until another look while it is not known whether one answers, and while it does not

RTNLGRP_NEIGH, NETLINK_ADD_MEMBERSHIP = 3, 1  # linux/rtnetlink.h, netlink.h
MOST = 600  # instructions of such a filter for all addresses: it has to fit the 10 KB of optmem_max (32 bits)
READS = 64  # events in one turn: the rest wakes the loop again


class Hops:
    """What is known of next hops from one look to the next."""

    def __init__(self) -> None:
        self._since: dict[Place, float] = {}  # when those were first asked for that have not answered since
        self.again = 0  # seconds until another look at them, 0 if nothing is open

    def macs(self, places: "Iterable[Place]") -> "dict[Place, str | None]":
        """Their MAC addresses: "" for one that does not answer, None if that is not known yet."""
        places, now = set(places), compat.monotonic()
        self._since = {place: self._since[place] for place in self._since if place in places}
        found = self._found(places) if places else {}
        for place in found:
            if found[place]:
                self._since.pop(place, None)
            elif now - self._since.setdefault(place, now) > PATIENCE:
                found[place] = ""
        values = found.values()
        self.again = SOON if None in values else LATER if "" in values else 0
        return found

    def _found(self, places: "set[Place]") -> "dict[Place, str | None]":
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
        return {place: known[place].mac for place in known}


def _read(socket: "Socket", place: "Place") -> "Neighbour":
    try:
        body = socket.ask(lambda seq: rtnl.neighbour_get(*(place + (seq,))))
    except OSError as error:
        compat.unless_spent(error)
        body = None  # a kernel before 5.0
    return understood(rtnl.parse_neighbour, body) if body else rtnl.Neighbour(place, None, False)


class News:
    """`fd` is for a loop, -1 while nothing is followed; call `changed()` when it becomes readable."""

    def __init__(self) -> None:
        self.fd = -1
        self.hops: set[Place] = set()
        self._socket: Any = None
        self._macs: dict[Place, str] = {}

    def follow(self, hops: "set[Place]") -> None:
        """From now on the news are of these. Without any there is no socket."""
        self.close()
        if hops:
            self._socket = compat.netlink_socket(compat.NETLINK_ROUTE)
            self._socket.setblocking(False)
            self.fd = self._socket.fileno()
            code = bytearray(_only(hops))
            program = struct.pack("HP", len(code) // 8, compat.address_of(code))
            try:
                compat.set_option(self.fd, compat.SOL_SOCKET, SO_ATTACH_FILTER, program)
                self._socket.setsockopt(compat.SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, RTNLGRP_NEIGH)
            except OSError:
                self.close()  # somebody has set optmem_max to less: then looks find out
        self.hops = hops

    def close(self) -> None:
        if self._socket:
            self._socket.close()
        self.fd, self.hops, self._socket, self._macs = -1, set(), None, {}

    def changed(self) -> bool:
        """Whether one of them may have another MAC, or none any more."""
        news = False
        for _ in range(READS):
            try:
                data = compat.receive(self._socket, 32768)
            except OSError as error:
                if error.errno == compat.EAGAIN:
                    break
                self._macs, news = {}, True  # some were lost
                continue
            for kind, _, _, body in messages(data):
                # One that was forgotten says nothing (see above).
                found = understood(rtnl.parse_neighbour, body) if kind == rtnl.RTM_NEWNEIGH else None
                if found and found.mac is not None and self._macs.get(found.place) != found.mac:
                    self._macs[found.place] = found.mac
                    news = True
        return news


def _only(hops: "set[Place]") -> bytes:
    """The instructions of a socket filter that takes events about these: family and index (struct ndmsg), and NDA_DST,
    which is the first attribute (neigh_fill_info in net/core/neighbour.c). What does not fit in is found by looks."""
    code = b""
    for family in (4, 6):
        size = address.bits(family) // 8
        known = [_one(index, packed) for index, packed in sorted(hops) if len(packed) == size]
        offsets = [20] + list(range(32, 32 + size, 4))
        words = [_instruction(LOAD, offset) + _instruction(STORE, place) for place, offset in enumerate(offsets)]
        body = b"".join(words + known[: MOST // (4 * len(offsets) + 2)]) + _instruction(RETURN, 0)
        code += _instruction(LOAD_BYTE, 16) + _instruction(JUMP_IF_EQUAL, rtnl.AF[family], 1, 0)
        code += _instruction(JUMP, len(body) // 8) + body
    return code + _instruction(RETURN, 0)


def _one(index: int, packed: bytes) -> bytes:
    """The part that takes one of them; the words of an event are stored. (All are loaded as if in network order.)"""
    words = struct.unpack(">%dI" % (1 + len(packed) // 4), struct.pack("i", index) + packed)
    code = b""
    for place, word in enumerate(words):
        code += _instruction(RECALL, place) + _instruction(JUMP_IF_EQUAL, word, 0, 2 * (len(words) - place) - 1)
    return code + _instruction(RETURN, 0xFFFFFFFF)


# linux/bpf_common.h: BPF_LD | BPF_B or BPF_W | BPF_ABS, BPF_ST, BPF_LD | BPF_MEM, BPF_JMP | BPF_JEQ, BPF_JMP | BPF_JA,
# BPF_RET. What is loaded from behind the end of a message rejects it.
LOAD_BYTE, LOAD, STORE, RECALL, JUMP_IF_EQUAL, JUMP, RETURN = 0x30, 0x20, 0x02, 0x60, 0x15, 0x05, 0x06


def _instruction(code: int, value: int, equal: int = 0, other: int = 0) -> bytes:
    """struct sock_filter; a comparison leaves out so many instructions, if equal or not."""
    return struct.pack("HBBI", code, equal, other, value)
