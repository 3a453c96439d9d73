"""Can the program answer? One check at a time, without waiting: a connection that is begun here and ends in the loop.

The check is a client inside the service's namespace, so neither the redirect nor the router's firewall has a part in
it.

    tcp    a connection is accepted
    udp    no "port unreachable" comes back for an empty datagram: all that can be said without knowing the protocol
    exec   a command, run like the program, ends with exit code 0
    none   it runs, so it is healthy
"""

from . import compat, process
from .address import format_address
from .kernel.netns import Visit
from .loop import POLLIN, POLLOUT
from .objects import ns_name

STREAM, DATAGRAM = 1, 2  # SOCK_STREAM, SOCK_DGRAM; mips swaps them: compat knows
UDP_PATIENCE = 0.2  # seconds for an ICMP error to cross the namespace's loopback


def kind_of(service):
    """The kind of check: as configured, else by what the service takes over."""
    if service.health.kind != "auto":
        return service.health.kind
    found = process.listening_ports(service)
    return found[0][0] if found else "none"


def target_of(service):
    """(address, port) that a check talks to: the taken-over address where it is local in the namespace, else loopback."""
    found = process.listening_ports(service)
    port = service.health.port or (found[0][1] if found else 0)
    for match in service.matches:
        if match.dst and match.dst.length == 8 * len(match.dst.packed) and not match.to_port:
            return format_address(match.dst.packed), port
    return ("127.0.0.1" if service.matches[0].family == 4 else "::1"), port


class Check:
    """One check of one service: calls `done(reason)` once, with "" for healthy. `cancel` before that to forget it."""

    def __init__(self, loop, service, done):
        self._loop = loop
        self._service = service
        self._done = done
        self._socket = None
        self._pid = self._pidfd = 0
        self._timer = None
        getattr(self, "_" + kind_of(service))()

    def cancel(self):
        self._loop.cancel(self._timer)
        if self._socket:
            self._loop.remove(self._socket.fileno())
            self._socket.close()
            self._socket = None
        if self._pid:
            self._loop.remove(self._pidfd)
            compat.fd_close(self._pidfd)
            compat.kill(self._pid, compat.SIGKILL)
            compat.waitpid(self._pid, 0)
            self._pid = 0

    def _finish(self, reason):
        self.cancel()
        self._done(reason)

    def _none(self):
        self._timer = self._loop.after(0, lambda: self._finish(""))

    def _tcp(self):
        self._connect(STREAM, POLLOUT, self._service.health.timeout, "does not answer within %d s")

    def _udp(self):
        self._connect(DATAGRAM, POLLIN, UDP_PATIENCE, "")

    def _connect(self, kind, events, patience, late):
        address, port = target_of(self._service)
        try:
            with Visit() as visit:
                visit.enter(ns_name(self._service.name))
                self._socket = compat.connecting(kind, address, port)
            if kind == DATAGRAM:
                self._socket.send(b"")
        except OSError as error:
            reason = "port %d: %s" % (port, compat.strerror(error.errno))
            self._timer = self._loop.after(0, lambda: self._finish(reason))
            return
        self._loop.add(self._socket.fileno(), lambda _: self._connected(port), events)
        text = "port %d " % port + late % patience if late else ""
        self._timer = self._loop.after(patience, lambda: self._finish(text))

    def _connected(self, port):
        try:
            compat.connected(self._socket)
        except OSError as error:
            self._finish("port %d: %s" % (port, compat.strerror(error.errno)))
            return
        self._finish("")

    def _exec(self):
        try:
            self._pid = process.spawn(self._service, self._service.health.command)
        except process.ViscumError as error:
            reason = str(error)
            self._timer = self._loop.after(0, lambda: self._finish(reason))
            return
        self._pidfd = compat.pidfd_open(self._pid)
        self._loop.add(self._pidfd, lambda _: self._ended())
        patience = self._service.health.timeout
        self._timer = self._loop.after(patience, lambda: self._finish("the check does not end within %d s" % patience))

    def _ended(self):
        _, status = compat.waitpid(self._pid, 0)
        self._loop.remove(self._pidfd)
        compat.fd_close(self._pidfd)
        self._pid = 0
        self._finish("" if status == 0 else "the check ended with " + process.ending(status))
