"""What the agent reports: to the system log, and to stderr for people. `logging` costs too much memory.

It never waits for either. The reader may be stopped (logd, procd, a terminal after Ctrl-S, `viscumd 2>&1 | more`), and
an agent that waits for it supervises nothing. What is not accepted at once is lost there; `viscum logs` has it.
"""

import os
import time

from . import compat

# Severities of RFC 5424 in the facility daemon (3).
ERROR, WARNING, NOTICE, INFO = 3, 4, 5, 6
_DAEMON = 3 << 3
LOG_SOCKET = "/dev/log"
KEPT = 100  # lines, for requests to the agent
LONGEST = 400  # characters of one of them
LINE = 1000  # characters of a written line: a pipe takes 4096 bytes (PIPE_BUF) whole or not at all
TRACE = 3000  # characters of a traceback, its end


def line(severity: int, text: str, when: float) -> "dict[str, object]":
    """A row of the answer to `logs`; `when` in seconds since 1970."""
    return {"time": int(when), "severity": severity, "text": text}


def last_words(text: str) -> None:
    """What a child of the agent says that can't do its work. It has the agent's stderr, or already its program's."""
    _Stderr().write("viscumd: %s\n" % text)


class Log:
    """`say(severity, text, service)`: `service` is the name of the service that it is about, "" for none."""

    def __init__(self) -> None:
        self._stderr = _Stderr()
        self._fd = -1
        self._kept: list[tuple[str, dict[str, object]]] = []

    def lines(self, name: str = "") -> "list[dict[str, object]]":
        """The last lines, about one service or all, the oldest first, as `line` makes them."""
        return [kept for service, kept in self._kept if not name or service == name]

    def say(self, severity: int, text: str, service: str = "") -> None:
        if service:
            text = service + ": " + text
        self._kept.append((service, line(severity, text[:LONGEST], time.time())))
        if len(self._kept) > KEPT:
            self._kept.pop(0)
        text = text[:LINE]
        self._send("<%d>viscumd[%d]: %s" % (_DAEMON | severity, compat.getpid(), text), "viscumd: " + text)

    def program(self, name: str, text: str) -> None:
        """A line that a service's program printed (service/output.py)."""
        self._send("<%d>viscum-%s: %s" % (_DAEMON | INFO, name, text), "viscum-%s: %s" % (name, text))

    def _send(self, message: str, plain: str) -> None:
        if self._fd < 0:
            self._connect()
        if self._fd < 0 or not self._stderr.is_pipe:
            self._stderr.write(plain + "\n")
        if self._fd >= 0 and not compat.try_send(self._fd, _bytes(message)):
            compat.fd_close(self._fd)  # logd was restarted, and the new one may already run; or it is behind
            self._fd = -1
            self._connect()
            if self._fd >= 0:
                compat.try_send(self._fd, _bytes(message))

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

    def _connect(self) -> None:
        try:
            self._fd = compat.unix_datagram(LOG_SOCKET)
        except OSError:
            self._fd = -1  # no system log here


def _bytes(text: str) -> bytes:
    """UTF-8; CPython can't encode the bytes of a file name that are not UTF-8."""
    try:
        return text.encode()
    except UnicodeError:
        return "".join([c if ord(c) < 128 else "?" for c in text]).encode()


STDERR = "/proc/self/fd/2"
O_WRONLY = 1


class _Stderr:
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
