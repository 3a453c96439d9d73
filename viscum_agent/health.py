"""Can the program answer? One check at a time, without waiting: a connection that is begun here and ends in the loop.

The check is a client inside the service's namespace, so neither the redirect nor the router's firewall has a part in
it.

    tcp    a connection is made and taken: the kernel makes it for a program that hangs as well, so it counts only when
           the program has accepted what waits
    udp    no "port unreachable" comes back for an empty datagram, and the program has read what waits
    exec   a command, run like the program, ends with exit code 0
    none   it runs, so it is healthy
"""

from . import compat, process, sockets
from .address import format_address
from .errors import ViscumError
from .kernel.netns import Visit
from .loop import POLLIN, POLLOUT
from .objects import ns_name

STREAM, DATAGRAM = 1, 2  # SOCK_STREAM, SOCK_DGRAM; mips swaps them: compat knows
POLL = 0.02  # seconds between two looks at what waits
UDP_PATIENCE = 0.2  # seconds for an ICMP error to cross the namespace's loopback


def kind_of(service):
    """The kind of check: as configured, else by what the service takes over."""
    if service.health.kind != "auto":
        return service.health.kind
    found = process.listening_ports(service)
    return found[0][0] if found else "none"


def target_of(service):
    """(address, port) that a check talks to: the taken-over address if it is local in the namespace, else loopback."""
    found = process.listening_ports(service)
    port = service.health.port or (found[0][1] if found else 0)
    for match in service.matches:
        if match.dst and match.dst.length == 8 * len(match.dst.packed) and not match.to_port:
            return format_address(match.dst.packed), port
    return ("127.0.0.1" if service.matches[0].family == 4 else "::1"), port


class Check:
    """One check of one service: calls `done(reason)` once, with "" for healthy. `cancel` before that to forget it."""

    def __init__(self, loop, service, pid, done):
        self._loop = loop
        self._program = pid
        self._give_up = compat.monotonic() + service.health.timeout
        self._service = service
        self._done = done
        self._socket = None
        self._pid = 0
        self._pidfd = -1
        self._timer = None
        getattr(self, "_" + kind_of(service))()

    def cancel(self):
        self._loop.cancel(self._timer)
        if self._socket:
            self._loop.remove(self._socket.fileno())
            self._socket.close()
            self._socket = None
        if self._pidfd >= 0:
            self._loop.remove(self._pidfd)
            compat.fd_close(self._pidfd)
            self._pidfd = -1
        if self._pid:
            process.send([-self._pid, self._pid], compat.SIGKILL)  # its session, or only it while it has none yet
            compat.waitpid(self._pid, 0)
            self._pid = 0

    def _finish(self, reason):
        self.cancel()
        self._done(reason)

    def _none(self):
        self._timer = self._loop.after(0, lambda: self._finish(""))

    def _tcp(self):
        self._connect("tcp", STREAM, POLLOUT, self._service.health.timeout)

    def _udp(self):
        self._connect("udp", DATAGRAM, POLLIN, UDP_PATIENCE)

    def _connect(self, protocol, kind, events, patience):
        address, port = target_of(self._service)
        where = "%s port %d" % (protocol, port)
        try:
            with Visit() as visit:
                visit.enter(ns_name(self._service.name))
                self._socket = compat.connecting(kind, address, port)
            if kind == DATAGRAM:
                self._socket.send(b"")
        except OSError as error:
            reason = "%s: %s" % (where, compat.strerror(error.errno))
            self._timer = self._loop.after(0, lambda: self._finish(reason))
            return
        self._loop.add(self._socket.fileno(), lambda _: self._connected(where, protocol, port), events)
        silent = (lambda: self._finish("%s does not answer" % where)) if kind == STREAM else None
        self._timer = self._loop.after(patience, silent or (lambda: self._taken(where, protocol, port)))

    def _connected(self, where, protocol, port):
        try:
            compat.connected(self._socket)
        except OSError as error:
            self._finish("%s: %s" % (where, compat.strerror(error.errno)))
            return
        self._loop.remove(self._socket.fileno())
        self._loop.cancel(self._timer)
        self._taken(where, protocol, port)

    def _taken(self, where, protocol, port):
        """Healthy when nothing waits for the program any more; looks again until the time is over."""
        if not sockets.waiting(self._program).get((protocol, port)):
            self._finish("")
        elif compat.monotonic() >= self._give_up:
            self._finish("%s: the program takes nothing in" % where)
        else:
            self._timer = self._loop.after(POLL, lambda: self._taken(where, protocol, port))

    def _exec(self):
        try:
            self._pid = process.spawn(self._service, self._service.health.command)
            self._pidfd = compat.pidfd_open(self._pid)
        except (ViscumError, OSError) as error:
            reason = str(error)
            self._timer = self._loop.after(0, lambda: self._finish(reason))
            return
        self._loop.add(self._pidfd, lambda _: self._ended())
        patience = self._service.health.timeout
        self._timer = self._loop.after(patience, lambda: self._finish("the check does not end within %d s" % patience))

    def _ended(self):
        _, status = compat.waitpid(self._pid, 0)
        self._pid = 0
        self._finish("" if status == 0 else "the check ended with " + process.ending(status))
