"""What the agent says: to the system log, and to stderr for a person. `logging` costs too much memory."""

import sys
import time

from . import compat

# Severities of RFC 5424 in the facility daemon (3).
ERROR, WARNING, NOTICE, INFO = 3, 4, 5, 6
_DAEMON = 3 << 3
LOG_SOCKET = "/dev/log"
KEPT = 100  # lines, for who asks the agent
LONGEST = 400  # letters of one of them


class Log:
    """`say(severity, text)`; a text begins with the service's name where it is about one."""

    def __init__(self, stream=None):
        self._stream = stream or sys.stderr
        self._fd = -1
        self._kept = []
        self._piped = _is_pipe()

    def lines(self, name=""):
        """The last lines, about one service or all, the oldest first: dicts with time (seconds since 1970), severity
        and text."""
        return [line for line in self._kept if not name or line["text"].startswith(name + ":")]

    def say(self, severity, text):
        self._kept.append({"time": int(time.time()), "severity": severity, "text": text[:LONGEST]})
        if len(self._kept) > KEPT:
            self._kept.pop(0)
        self._send("<%d>viscumd[%d]: %s" % (_DAEMON | severity, compat.getpid(), text), "viscumd: %s\n" % text)

    def program(self, name, text):
        """A line that a service's program has printed (output.py)."""
        self._send("<%d>viscum-%s: %s" % (_DAEMON | INFO, name, text), "viscum-%s: %s\n" % (name, text))

    def _send(self, message, line):
        if self._fd < 0:
            self._connect()
        if self._fd < 0 or not self._piped:
            self._write(line)
        if self._fd >= 0 and not compat.try_write(self._fd, message.encode()):
            compat.fd_close(self._fd)  # the log was restarted: the new one may be there already
            self._fd = -1
            self._connect()
            if self._fd >= 0:
                compat.try_write(self._fd, message.encode())

    def _write(self, line):
        try:
            self._stream.write(line)
        except OSError:
            pass  # nobody reads it any more

    def _connect(self):
        try:
            self._fd = compat.unix_datagram(LOG_SOCKET)
        except OSError:
            self._fd = -1  # no system log here


def _is_pipe():
    """Whether stderr is one: procd reads it and puts it into the system log too, and once is enough."""
    try:
        return compat.readlink("/proc/self/fd/2").startswith("pipe:")
    except OSError:
        return False
