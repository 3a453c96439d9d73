"""A netlink socket: messages out in one go, an acknowledgement and dumps back.

Requests are pipelined: the kernel processes one send() message by message, and answers in order. So a service costs a
few system calls, not a few per object.
"""

from struct import pack_into, unpack_from

from .. import compat
from ..errors import FOREIGN, ViscumError
from .codec import NLM_F_ACK, NLM_F_DUMP_INTR, NLMSG_DONE, NLMSG_ERROR, errno_of, error, messages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# Of the receive buffer's 208 KiB (net.core.rmem_default) an error with the kernel's words takes up to 2 KiB.
PIPELINE = 64
BUFFER = 32768  # bytes; the kernel fills a dump's answers up to this size (netlink_dump in af_netlink.c)
RETRIES = 5  # for a dump that changed while it was read


class Interrupted(ViscumError):
    """A dump that changed each time it was read. What was read is neither the current state nor an earlier one."""

    kind = FOREIGN

    def __init__(self) -> None:
        super().__init__("the router's devices, addresses or rules change faster than they can be read: try again")


class Socket:
    """One socket of one protocol, for good in the namespace that it was opened in."""

    def __init__(self, protocol: int, strict: bool = False) -> None:
        self._socket = compat.netlink_socket(protocol)
        self._seq = 0
        self.spent = False  # it has a dump that is not read to its end, so it can't be used again
        # Acknowledgements without a copy of the request (4.2), errors with the kernel's words (4.12); a dump of routes
        # without per-client exceptions, of which clients can make many (4.20).
        options = (compat.NETLINK_CAP_ACK, compat.NETLINK_EXT_ACK)
        for option in options + ((compat.NETLINK_GET_STRICT_CHK,) if strict else ()):
            try:
                self._socket.setsockopt(compat.SOL_NETLINK, option, 1)
            except OSError:
                pass  # an older kernel: errors are numbers only

    def close(self) -> None:
        self._socket.close()

    def seq(self) -> int:
        self._seq += 1
        return self._seq

    def _receive(self) -> bytes:
        """One message may be larger: that of a device with hundreds of alternative names (altname)."""
        return compat.receive(self._socket, max(BUFFER, compat.next_size(self._socket)))

    def transact(self, requests: "Sequence[Callable[..., bytes]]") -> "list[tuple[int, str]]":
        """Sends requests (functions of a sequence number that return a message with NLM_F_ACK).

        Returns a list of (errno, words), errno 0 for success. The kernel continues after an error, so the caller must,
        too.
        """
        results = []
        for start in range(0, len(requests), PIPELINE):
            results.extend(self._pipeline(requests[start : start + PIPELINE]))
        return results

    def _pipeline(self, requests: "Sequence[Callable[..., bytes]]") -> "list[tuple[int, str]]":
        """Only the last request asks for an acknowledgement: the kernel works in order, and reports errors unasked
        (netlink_rcv_skb in net/netlink/af_netlink.c). So most services need one answer, not one per object."""
        first = self._seq + 1
        made = [request(self.seq()) for request in requests]
        data = bytearray(b"".join(made))
        start = 0
        for each in made[:-1]:
            flags = unpack_from("H", data, start + 6)[0]  # of struct nlmsghdr: length, type, flags
            pack_into("H", data, start + 6, flags & ~NLM_F_ACK)
            start += len(each)
        self._socket.send(data)
        results = [(0, "")] * len(made)
        while True:
            for kind, flags, seq, body in messages(self._acknowledgement()):
                if kind != NLMSG_ERROR or not first <= seq <= self._seq:
                    continue
                results[seq - first] = error(flags, body)
                if seq == self._seq:
                    return results

    def _acknowledgement(self) -> bytes:
        """It has a known size, unlike what a dump may hold: no need to ask for it first."""
        return compat.receive(self._socket, BUFFER)

    def batch(self, data: bytes, seq: int) -> "tuple[int, str]":
        """Sends an nf_tables batch and returns (errno, words): the first answer with its number decides."""
        self._socket.send(data)
        while True:
            for kind, flags, answered, body in messages(self._acknowledgement()):
                if kind == NLMSG_ERROR and answered == seq:
                    return error(flags, body)

    def ask(self, request: "Callable[..., bytes]") -> "bytes | None":
        """Sends a request for one object: the body of its answer, or None if there is none. Raises OSError."""
        seq = self.seq()
        self._socket.send(request(seq))
        while True:
            for kind, flags, answered, body in messages(self._receive()):
                if answered != seq:
                    continue
                if kind != NLMSG_ERROR:
                    return body
                code, words = error(flags, body)
                if code in (compat.ENODEV, compat.ENOENT):
                    return None
                raise OSError(code, words or compat.strerror(code))

    def dump(
        self,
        request: "Callable[..., bytes]",
        hurried: bool = False,
        most: int = 0,
        sieve: "Callable[[bytes], bytes] | None" = None,
    ) -> "list[bytes]":
        """The bodies of a dump; read again if the kernel says that it changed meanwhile. Raises OSError, and
        Interrupted if it keeps changing: in a hurry, the last attempt is good enough.

        Only the first `most` (0 for all) are read. `sieve` reduces the result of a recv() to what is to be looked at.
        """
        for _ in range(RETRIES):
            bodies, whole = self._dump(request, most, sieve)
            if whole:
                return bodies
        if hurried:
            return bodies
        raise Interrupted()

    def _dump(
        self, request: "Callable[..., bytes]", most: int, sieve: "Callable[[bytes], bytes] | None"
    ) -> "tuple[list[bytes], bool]":
        seq = self.seq()
        self._socket.send(request(seq))
        bodies: list[bytes] = []
        whole = True
        while True:
            data = self._receive()
            for kind, flags, answered, body in messages(sieve(data) if sieve else data):
                if answered != seq:
                    continue
                whole = whole and not flags & NLM_F_DUMP_INTR
                if kind == NLMSG_DONE and not errno_of(body):
                    return bodies, whole
                if kind in (NLMSG_DONE, NLMSG_ERROR):  # refused, or begun and not finished
                    code, words = error(flags, body) if kind == NLMSG_ERROR else (errno_of(body), "")
                    raise OSError(code, words or compat.strerror(code))
                bodies.append(body)
            if most and len(bodies) >= most:
                self.spent = True
                return bodies[:most], True

    def answers(self, request: bytes, seq: int, most: int) -> "list[bytes]":
        """The raw buffers that answer a dump request with that number, up to its end, or the first `most` of them."""
        self._socket.send(request)
        buffers = []
        while True:
            buffers.append(self._receive())
            if len(buffers) >= most:
                self.spent = True
                return buffers
            for kind, _, answered, _ in messages(buffers[-1]):
                if answered == seq and kind in (NLMSG_DONE, NLMSG_ERROR):
                    return buffers
