"""One end of a ubus connection: a non-blocking socket, messages in, a bounded queue of messages out."""

from .. import compat
from .codes import UbusError
from .wire import Stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .wire import Message

READ = 65536  # bytes at a time, so that others get their turn
_JOIN = 4096  # small messages are queued together up to this size, so that a queue has few pieces


class Channel:
    """`ended` says why the connection ended ("" while it works); the owner of the channel then closes it."""

    def __init__(self, fd: int, message_limit: "int | None" = None) -> None:
        self.fd = fd
        self.ended = ""
        self.queued = 0  # bytes
        self._stream = Stream(message_limit) if message_limit else Stream()
        self._queue: list[bytes] = []
        self._sent = 0  # of the first in the queue

    def close(self) -> None:
        if self.fd >= 0:
            compat.fd_close(self.fd)
        self.fd = -1
        self.ended = self.ended or "closed"
        self._forget()

    def _forget(self) -> None:
        self._queue = []
        self._sent = self.queued = 0

    def end(self, reason: str) -> None:
        """Gives up the connection; what waits is dropped."""
        self.ended = reason
        self._forget()

    def send(self, data: bytes, limit: int) -> bool:
        """Sends now what the socket accepts and queues the rest; False if that would queue more than `limit` bytes."""
        if self.ended:
            return False
        if self.queued:
            if self.queued + len(data) > limit:
                return False
            self._append(data)
            return True
        count = self._write(data)
        if count < len(data) and not self.ended:
            self._append(data if count == 0 else data[count:])
        return not self.ended

    def _append(self, data: bytes) -> None:
        self.queued += len(data)
        # Not to the first one, part of which may be sent already.
        if len(self._queue) > 1 and len(self._queue[-1]) + len(data) <= _JOIN:
            self._queue[-1] += data
            return
        self._queue.append(data)

    def _write(self, data: "bytes | memoryview") -> int:
        try:
            return compat.fd_send(self.fd, data)
        except OSError as error:
            self.end(compat.strerror(error.errno))
            return 0

    def flush(self) -> None:
        """Sends what waits, as far as the socket accepts it."""
        while self._queue:
            data = self._queue[0]
            count = self._write(memoryview(data)[self._sent :])
            if self.ended or count == 0:
                return
            self.queued -= count
            self._sent += count
            if self._sent == len(data):
                self._queue.pop(0)
                self._sent = 0

    def receive(self) -> int:
        """Reads once; returns how many bytes."""
        if self.ended:
            return 0
        try:
            data = compat.fd_receive(self.fd, READ)
        except OSError as error:
            self.end(compat.strerror(error.errno))
            return 0
        if data is None:
            return 0
        if not data:
            self.end("the other side closed the connection")
            return 0
        self._stream.feed(data)
        return len(data)

    @property
    def waiting(self) -> bool:
        """Whether a message was received that `next` has not returned yet: poll(2) does not wake up for it."""
        return self._stream.waiting

    def next(self) -> "Message | None":
        """The next received message, or None. What arrived before the connection ended still counts."""
        try:
            return self._stream.next()
        except UbusError as error:
            self.end(str(error.args[0]))
            self._stream = Stream()
            return None
