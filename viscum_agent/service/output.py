"""What a program prints: lines of the system log with the service's name, whether anybody reads them or not.

A program must not wait for its log, and must not end because of it. A pipe fills up while the agent is stopped, and
breaks when it ends; a socket to the system log is dead once the log restarts. So a program's stdout and stderr are a
datagram socket that sends to a multicast group on the loopback device of its own namespace, with a TTL of 0: a write
never waits and never fails, and is lost if nobody has joined the group. The agent joins, and so can the next one.

(A single write of more than 64 KiB fails, as with every datagram.)
"""

import struct

from .. import compat
from ..kernel.handshake import DATAGRAM, socket_address
from ..utf8 import is_strict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..loop import Loop, Timer

AF_INET = 2
# Link-local multicast (RFC 5771), the last byte "v" for Viscum: it never leaves the namespace. Port 514 is syslog's.
GROUP, PORT = bytes([224, 0, 0, 118]), 514
LOOPBACK = bytes([127, 0, 0, 1])
SOL_IP, IP_MULTICAST_IF, IP_MULTICAST_TTL, IP_ADD_MEMBERSHIP = 0, 32, 33, 35  # linux/in.h

LONGEST = 400  # bytes of a line; the rest starts the next one
BURST, RATE = 200, 50  # lines that a program may print at once, and per second after that
SIZE = 1 << 16  # bytes of a datagram
MOST = 32  # datagrams read at once
PAUSE = 0.2  # seconds without reading a program that prints more than that
AGAIN, TRIES = 0.05, 5  # seconds until a system log that is behind is tried again, and how often it may accept nothing
LATE = 100  # lines that wait for it, at most

# Characters that a log escapes: controls (C1), line and paragraph separators (Zl, Zp), those that change the direction
# of text (UAX #9) and invisible ones (Default_Ignorable_Code_Point in DerivedCoreProperties.txt of Unicode 15.1).
HIDDEN = (
    (0x7F, 0x9F),
    (0xAD, 0xAD),
    (0x34F, 0x34F),
    (0x61C, 0x61C),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x200B, 0x200F),
    (0x2028, 0x202E),
    (0x2060, 0x206F),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFFB),
    (0x1BCA0, 0x1BCA3),
    (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),
)
# Most characters are on none of these pages and need no search, which counts in a flood.
_PAGES = {page for first, last in HIDDEN for page in range(first >> 8, (last >> 8) + 1)}


def open_for_program() -> int:
    """A socket for a program's output, in the caller's current namespace. Raises OSError."""
    fd = compat.socket_open(AF_INET, DATAGRAM, 0)
    compat.set_option(fd, SOL_IP, IP_MULTICAST_IF, LOOPBACK)
    compat.set_option(fd, SOL_IP, IP_MULTICAST_TTL, struct.pack("i", 0))
    compat.socket_connect(fd, socket_address(GROUP, PORT))
    compat.set_blocking(fd, True)  # a write does not wait anyway
    return fd


def open_for_reader() -> int:
    """A socket that receives what programs print in the caller's current namespace. Raises OSError."""
    fd = compat.socket_open(AF_INET, DATAGRAM, 0)
    try:
        compat.set_option(fd, compat.SOL_SOCKET, compat.SO_REUSEADDR, struct.pack("i", 1))
        compat.socket_bind(fd, socket_address(GROUP, PORT))
        compat.set_option(fd, SOL_IP, IP_ADD_MEMBERSHIP, GROUP + LOOPBACK)
    except OSError:
        compat.fd_close(fd)
        raise
    return fd


class Lines:
    """Splits output into lines: bounded, printable, and no more than a program may print. Pure: the caller gives the
    time."""

    def __init__(self, now: float) -> None:
        self._rest = b""
        self._left: float = BURST
        self._when = now
        self.missing = 0  # lines left out since the last one that was not

    def take(self, data: bytes, now: float) -> "list[str]":
        """Takes more bytes, and returns the lines that are complete now, as text. Lines beyond the limit are only
        counted, which costs no time, however many they are."""
        self._pass_time(now)
        data = self._rest + data if self._rest else data
        found: list[bytes] = []
        at = 0
        while self._left >= 1:
            self._say_missing(found)
            end = data.find(b"\n", at, at + LONGEST)
            if end < 0 and len(data) - at < LONGEST:
                break
            self._left -= 1
            if end < 0:
                found.append(data[at : at + LONGEST])
                at += LONGEST
            else:
                found.append(data[at:end])
                at = end + 1
        self._rest = data[at:] if self._left >= 1 else self._left_out(data, at)
        return [printable(piece) for piece in found if piece.strip()]

    def _left_out(self, data: bytes, at: int) -> bytes:
        """Counts the lines of `data` from `at` on, and returns the start of an unfinished one."""
        self.missing += data.count(b"\n", at)
        at = max(at, data.rfind(b"\n") + 1)
        self.missing += (len(data) - at) // LONGEST
        return data[at + (len(data) - at) // LONGEST * LONGEST :]

    def flush(self, now: float) -> "list[str]":
        """After a pause: returns the unfinished line, and a note about lines that were left out."""
        found = self.take(b"\n", now) if self._rest else []
        self._pass_time(now)
        missing: list[bytes] = []
        self._say_missing(missing)
        return found + [printable(piece) for piece in missing]

    @property
    def waits(self) -> bool:
        """Whether `flush` has something to return, now or later."""
        return bool(self._rest or self.missing)

    def _pass_time(self, now: float) -> None:
        self._left = min(BURST, self._left + (now - self._when) * RATE)
        self._when = now

    def _say_missing(self, found: "list[bytes]") -> None:
        if self.missing and self._left >= 1:
            self._left -= 1
            found.append(b"(%d lines left out)" % self.missing)
            self.missing = 0


def printable(data: bytes) -> str:
    """Bytes as text that is safe in a log and on a terminal: UTF-8 as it is, but \\uNNNN for characters that are not
    printable or change how others look, and \\xNN for other bytes."""
    if data and min(data) >= 32 and max(data) < 127:
        return data.decode()  # nearly always; one character at a time costs MicroPython a hundred times as much
    try:
        text = str(data, "utf-8")
    except UnicodeError:
        text = None
    if text is None or not is_strict(data):
        return "".join([chr(byte) if 32 <= byte < 127 else "\\x%02x" % byte for byte in data])
    return "".join([c if " " <= c <= "~" else _shown(ord(c)) for c in text])


def _shown(number: int) -> str:
    if number < 32 or number == 127:
        return "\\x%02x" % number
    hidden = number >> 8 in _PAGES and any([first <= number <= last for first, last in HIDDEN])
    return "\\u%04x" % number if hidden else chr(number)


class Output:
    """What one service's program prints, read in the loop: each line is given to `keep(text)`, and to `pass_on(text)`
    until that returns True."""

    def __init__(
        self, loop: "Loop", fd: int, keep: "Callable[[str], object]", pass_on: "Callable[[str], bool]"
    ) -> None:
        self._loop, self._fd, self._keep, self._pass_on = loop, fd, keep, pass_on
        self._lines = Lines(compat.monotonic())
        self._timer: Timer | None = None
        self._late: list[str] = []  # lines that the system log had no room for yet
        self._tries = 0
        self.taken = 0  # datagrams that were read
        self._listen()

    def close(self) -> None:
        self.catch_up()
        self._loop.cancel(self._timer)
        self._loop.remove(self._fd)
        compat.fd_close(self._fd)

    def catch_up(self) -> None:
        """Reads what the program printed up to now: its last words, when it has ended."""
        self._came()
        self._print(self._lines.flush(compat.monotonic()))
        self._pause(AGAIN if self._late else 0)

    def _listen(self) -> None:
        """Goes on, once the system log has what is late or accepts nothing any more."""
        self._timer = None
        self._send()
        if self._late:
            self._timer = self._loop.after(AGAIN, self._listen)
            return
        self._loop.add(self._fd, lambda _: self._came())
        self._wait_for_rest()

    def _came(self) -> None:
        for _ in range(MOST):
            data = compat.fd_receive(self._fd, SIZE)
            if data is None:
                self._wait_for_rest()
                return
            self.taken += 1
            self._print(self._lines.take(data, compat.monotonic()))
            if self._late:
                self._pause(AGAIN)
                return
        self._pause(PAUSE)  # it prints faster than we read

    def _pause(self, seconds: float) -> None:
        """What meanwhile does not fit into the socket is lost, and nobody else waits for us."""
        self._loop.remove(self._fd)
        self._loop.cancel(self._timer)
        self._timer = self._loop.after(seconds, self._listen)

    def _wait_for_rest(self) -> None:
        self._loop.cancel(self._timer)
        self._timer = self._loop.after(PAUSE, self._flush) if self._lines.waits else None

    def _flush(self) -> None:
        self._print(self._lines.flush(compat.monotonic()))
        if self._late:
            self._pause(AGAIN)
        else:
            self._wait_for_rest()

    def _print(self, lines: "list[str]") -> None:
        for line in lines:
            self._keep(line)
        self._late = (self._late + lines)[:LATE]
        self._send()

    def _send(self) -> None:
        late = len(self._late)
        while self._late and self._pass_on(self._late[0]):
            self._late.pop(0)
        if len(self._late) < late:
            self._tries = 0
        elif late:
            self._tries += 1
        if self._tries > TRIES:
            self._late = []  # nobody reads it: from now on, it is not waited for until it accepts something
