"""What the agent reports: to the system log, and to stderr for people. `logging` costs too much memory.

It never waits for either. The reader may be stopped (logd, procd, a terminal after Ctrl-S, `viscumd 2>&1 | more`), and
an agent that waits for it supervises nothing. What is not accepted is lost there; `viscum logs` has it: the last lines
are kept, those of the agent apart from those that programs print, so that no program displaces them.
"""

import os
import struct
import time

from . import compat

# Severities of RFC 5424 in the facility daemon (3).
ERROR, WARNING, NOTICE, INFO = 3, 4, 5, 6
_DAEMON = 3 << 3
LOG_SOCKET = "/dev/log"
KEPT = 100  # lines of the agent's, for requests to it
LONGEST = 400  # characters of one of them
PRINTED, TOGETHER = 4096, 1 << 16  # bytes of what a program printed that are kept, and of all programs'
LINE = 1000  # characters of a written line: a pipe takes 4096 bytes (PIPE_BUF) whole or not at all
TRACE = 3000  # characters of a traceback, its end


def line(severity: int, text: str, when: float) -> "dict[str, object]":
    """A row of the answer to `logs`; `when` in seconds since 1970."""
    return {"time": int(when), "severity": severity, "text": text}


def last_words(text: str, stderr: "Stderr | None" = None) -> None:
    """What a child of the agent says that can't do its work. It has the agent's stderr, or already its program's.
    `stderr` is one that was made while there was a /proc."""
    (stderr or Stderr()).write("viscumd: %s\n" % text)


class Log:
    """`say(severity, text, service)`: `service` is the name of the service that it is about, "" for none."""

    def __init__(self) -> None:
        self._stderr = Stderr()
        self._own, self._programs = _SystemLog(False), _SystemLog(True)
        self._kept: list[tuple[int, str, dict[str, object]]] = []
        self._printed = Printed()
        # The number of the last line. It starts at random: whoever knows a number of an earlier agent gets everything.
        self._first = self.serial = struct.unpack("I", os.urandom(4))[0] & 0x3FFFFFFF

    def lines(self, name: str = "", since: int = 0) -> "list[dict[str, object]]":
        """The last lines of the agent's, the oldest first, as `line` makes them; with a name, those about that service,
        and what its program printed. `since` is what `serial` was: only lines that came later."""
        found = [(number, kept) for number, service, kept in self._kept if not name or service == name]
        for number, when, text in self._printed.of(name):
            found.append((number, line(INFO, "viscum-%s: %s" % (name, text), when)))
        since = since if self._first <= since <= self.serial else 0
        return [kept for number, kept in sorted(found, key=lambda each: each[0]) if number > since]

    def say(self, severity: int, text: str, service: str = "") -> None:
        if service:
            text = service + ": " + text
        self._kept.append((self._next(), service, line(severity, text[:LONGEST], time.time())))
        if len(self._kept) > KEPT:
            names = [kept[1] for kept in self._kept]  # who has the most lines loses one: a service may flap for days
            self._kept.pop(names.index(max(set(names), key=names.count)))
        text = text[:LINE]
        if not self._own.is_there() or not self._stderr.is_pipe:
            self._stderr.write("viscumd: %s\n" % text)
        self._own.send("<%d>viscumd[%d]: %s" % (_DAEMON | severity, compat.getpid(), text))

    def keep(self, name: str, text: str) -> None:
        """Keeps a line that a service's program printed (service/output.py)."""
        self._printed.add(name, self._next(), text)

    def pass_on(self, name: str, text: str) -> bool:
        """Writes such a line to the system log, or to stderr. Returns False if the log is behind."""
        there = self._programs.is_there()
        if there and not self._programs.send("<%d>viscum-%s: %s" % (_DAEMON | INFO, name, text)):
            return False
        if not there or not self._stderr.is_pipe:
            self._stderr.write("viscum-%s: %s\n" % (name, text))
        return True

    def printed(self, name: str, since: int = 0) -> "list[str]":
        """The last lines that a service's program printed, after the one with that number."""
        return [text for number, _, text in self._printed.of(name) if number > since]

    def _next(self) -> int:
        self.serial = self.serial + 1 if self.serial < 0x7FFFFFFF else self._first
        return self.serial

    def trace(self, error: Exception) -> None:
        """Where an error of ours came from, for people who look at stderr."""
        try:
            text = compat.error_text(error)
        except OSError:
            return  # no descriptor left to load the module that formats it
        self._stderr.write(text[-TRACE:])

    def end(self, error: object) -> None:
        """The last words of an agent that can't start or go on."""
        self._stderr.write("viscumd: %s\n" % error)


class Printed:
    """The last lines of every program, as bytes: bounded for each and for all together, and nothing before a program
    prints. Objects for each line would take three times as much."""

    def __init__(self) -> None:
        self._of: dict[str, bytearray] = {}  # by service: lines of b"NUMBER SECONDS TEXT\\n"
        self._size = 0

    def add(self, name: str, number: int, text: str) -> None:
        piece = ("%d %d %s\n" % (number, int(time.time()), text)).encode()
        if name not in self._of:
            self._of[name] = bytearray()
        self._of[name].extend(piece)
        self._size += len(piece)
        while len(self._of[name]) > PRINTED:
            self._shorten(name)
        while self._size > TOGETHER:
            self._shorten(max(self._of, key=lambda each: len(self._of[each])))

    def _shorten(self, name: str) -> None:
        """Drops a program's oldest lines: a quarter, since each time all others are copied."""
        kept = self._of[name]
        cut = kept.find(b"\n", len(kept) // 4) + 1
        self._size -= cut
        self._of[name] = kept[cut:]

    def of(self, name: str) -> "list[tuple[int, int, str]]":
        """(number, seconds since 1970, text) of each line that is kept of a service."""
        lines = [each.split(b" ", 2) for each in bytes(self._of.get(name, b"")).split(b"\n")[:-1]]
        return [(int(number), int(when), str(text, "utf-8")) for number, when, text in lines]


class _SystemLog:
    """A connection to the system log. Of programs all share one that is `narrow`: what it has sent and nobody has read
    yet are some 6 lines (the least that SO_SNDBUF can be), while the queue of the log has room for 10 of anybody's
    (net.unix.max_dgram_qlen): the rest is for the agent's."""

    def __init__(self, narrow: bool) -> None:
        self._narrow = narrow
        self._fd = -1

    def is_there(self) -> bool:
        """Whether there is a system log; connects to it."""
        if self._fd < 0:
            try:
                self._fd = compat.unix_datagram(LOG_SOCKET)
                if self._narrow:
                    compat.set_option(self._fd, compat.SOL_SOCKET, compat.SO_SNDBUF, struct.pack("i", 0))
            except OSError:
                pass
        return self._fd >= 0

    def send(self, message: str) -> bool:
        """Whether the log accepted it. One that was restarted is reached by a new connection."""
        if self._fd < 0 or compat.try_send(self._fd, _bytes(message)):
            return self._fd >= 0
        if self._narrow and not compat.wait_fd(self._fd, compat.POLLOUT, 0) & compat.POLLOUT:
            return False  # it is only behind, and another connection would have room of its own
        compat.fd_close(self._fd)
        self._fd = -1
        return self.is_there() and compat.try_send(self._fd, _bytes(message))


def _bytes(text: str) -> bytes:
    """UTF-8; CPython can't encode the bytes of a file name that are not UTF-8."""
    try:
        return text.encode()
    except UnicodeError:
        return "".join([c if ord(c) < 128 else "?" for c in text]).encode()


STDERR = "/proc/self/fd/2"
O_WRONLY = 1


class Stderr:
    """Standard error. A pipe or terminal is opened once more to get an O_NONBLOCK flag of its own: others write there
    as well, and everybody who shares a descriptor shares its flags."""

    def __init__(self) -> None:
        try:
            self._kind = os.stat(STDERR)[0] & compat.S_IFMT
        except OSError:
            self._kind = 0  # closed, and the number may be reused later
        self._fd = self._open() if self._kind in (compat.S_IFIFO, compat.S_IFCHR) else 2
        # The other end of a pipe is procd, which writes it to the system log, too: once is enough.
        self.is_pipe = self._kind == compat.S_IFIFO

    def _open(self) -> int:
        try:
            return compat.fd_open(STDERR, O_WRONLY | compat.O_NONBLOCK | compat.O_NOCTTY)
        except OSError:
            return 2  # somebody else's terminal

    def write(self, text: str) -> None:
        data = _bytes(text)
        if self._kind == compat.S_IFSOCK:
            compat.try_send(2, data)
        elif self._kind and compat.wait_fd(self._fd, compat.POLLOUT, 0) & compat.POLLOUT:
            self._write(data)

    def _write(self, data: bytes) -> None:
        try:
            compat.fd_write(self._fd, data)
        except OSError:
            pass  # nobody reads it any more
