"""The sockets of a service's program, as the kernel lists them: what is open for clients, what waits in it, who is
connected; and how connections are ended when clients are to go to the cloud.

A client whose redirect was taken out reaches the cloud with its next packet, and the cloud resets a connection that it
does not know. But a client that only waits sends nothing, and a program that hangs tells it nothing. So the connections
are ended here, from outside of the program: connect(2) to no address (AF_UNSPEC) resets a connection, whoever shares
the socket, and pidfd_getfd(2) (Linux 5.6) shares it. SOCK_DESTROY (`ss -K`) would do as well, but OpenWrt's kernels are
built without INET_DIAG_DESTROY.
"""

import os
from collections import namedtuple

from . import compat

# net/tcp_states.h; 07 is TCP_CLOSE, the state of an unconnected UDP socket.
ESTABLISHED, CLOSE_WAIT = "01", "08"
OPEN = {"tcp": "0A", "udp": "07"}

# `waiting` is for an open TCP socket the connections that nobody has accepted, else bytes that nobody has read.
Entry = namedtuple("Entry", ("port", "state", "waiting", "inode"))


def entries(pid, protocol):
    """The sockets of a protocol ("tcp", "udp") in the network namespace of a process (proc(5), /proc/net/tcp)."""
    found = []
    for version in ("", "6"):
        try:
            with open("/proc/%d/net/%s%s" % (pid, protocol, version)) as file:
                lines = file.read().split("\n")[1:]
        except OSError:
            continue  # gone meanwhile, or a kernel without IPv6
        for line in lines:
            fields = line.split()
            if len(fields) > 9:
                port, waiting = int(fields[1].split(":")[1], 16), int(fields[4].split(":")[1], 16)
                found.append(Entry(port, fields[3], waiting, fields[9]))
    return found


def waiting(pid):
    """Maps the (protocol, port) pairs that are open for clients to what waits in them."""
    found = {}
    for protocol in OPEN:
        for entry in entries(pid, protocol):
            if entry.state == OPEN[protocol]:
                key = (protocol, entry.port)
                found[key] = max(found.get(key, 0), entry.waiting)
    return found


def _clients(listed):
    """Those TCP entries that are a client's connection: to a port that is open in the same namespace."""
    ports = {entry.port for entry in listed if entry.state == OPEN["tcp"]}
    return [entry for entry in listed if entry.state in (ESTABLISHED, CLOSE_WAIT) and entry.port in ports]


_place: list = []


def connections(pid):
    """How many TCP connections there are now in the namespace of a process: one counter (CurrEstab of RFC 4022, in
    /proc/PID/net/snmp) instead of a walk through the kernel's table of all connections."""
    try:
        with open("/proc/%d/net/snmp" % pid, "rb") as file:
            data = file.read()
    except OSError:
        return 0  # gone meanwhile
    names = data.find(b"\nTcp: ")
    values = data.find(b"\nTcp: ", names + 1)
    if not _place:  # where a kernel has it: in the same place every time
        _place.append(data[names:values].split(b" ").index(b"CurrEstab"))
    return int(data[values:].split(b" ", _place[0] + 1)[_place[0]])


def reset(pids):
    """Resets the TCP connections that clients have to these processes of one namespace; those that the program itself
    began go on. Returns how many it has not accepted yet: they are still there."""
    listed = entries(pids[0], "tcp") if pids else []
    _with_each(pids, {entry.inode for entry in _clients(listed)}, _end)
    return sum([entry.waiting for entry in listed if entry.state == OPEN["tcp"]])


def refuse(pids):
    """Resets the connections that these processes have not accepted; for those that no longer accept any: another one's
    accept(2) may fail in that moment."""
    listed = entries(pids[0], "tcp") if pids else []
    _with_each(pids, {entry.inode for entry in listed if entry.state == OPEN["tcp"] and entry.waiting}, _refuse_waiting)


def _with_each(pids, inodes, step):
    """Calls `step` once with a copy of each of these sockets."""
    for pid in pids:
        for number, inode in _numbers(pid) if inodes else ():
            if inode in inodes:
                _with_copy(pid, number, step)
                inodes.remove(inode)


def _numbers(pid):
    """(descriptor, inode) of each socket that a process has."""
    found = []
    try:
        for name in os.listdir("/proc/%d/fd" % pid):
            target = compat.readlink("/proc/%d/fd/%s" % (pid, name))
            if target.startswith("socket:["):
                found.append((int(name), target[8:-1]))
    except OSError:
        pass  # gone meanwhile: its sockets are closed
    return found


def _with_copy(pid, number, step):
    """Calls `step` with a copy of a process's descriptor."""
    try:
        pidfd = compat.pidfd_open(pid)
    except OSError:
        return
    try:
        fd = compat.pidfd_getfd(pidfd, number)
    except OSError:
        return  # closed meanwhile
    finally:
        compat.fd_close(pidfd)
    try:
        step(fd)
    except OSError:
        pass  # ended by itself meanwhile
    finally:
        compat.fd_close(fd)


def _end(fd):
    try:
        compat.disconnect(fd)
    except OSError:
        # Linux 6.4 to 6.6 refuse while a thread of the program waits in that socket: then an end instead of a reset.
        compat.shutdown(fd)


def _refuse_waiting(fd):
    """Connections that the program has not accepted are accepted here and reset.

    The program shares the descriptor's flags: for this moment its own accept(2) would not wait, but fail with EAGAIN.
    That is better than waiting here, should it wake and take the last one.
    """
    before = compat.get_blocking(fd)
    compat.set_blocking(fd, False)
    try:
        taken = compat.unix_accept(fd)
        while taken is not None:
            compat.reset_on_close(taken)
            compat.fd_close(taken)
            taken = compat.unix_accept(fd)
    finally:
        compat.set_blocking(fd, before)
