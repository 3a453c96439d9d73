"""The processes of services, as the kernel shows them: all that those need who only look. process.py starts and ends
them.

A program outlives the agent that started it, so nothing is stored: its processes are those in the service's control
groups (kernel/cgroup.py) and those in its namespace, whoever started them and however often they forked. What a process
says of itself (its name, its environment) is not believed where the kernel knows better, and whatever is read of it is
read as bytes and up to a limit.
"""

import os

from .. import compat
from ..address import is_number
from ..kernel import cgroup, netns
from ..records.objects import ns_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..kernel.cgroup import Usage

# What a program finds in its environment, besides its own `env`.
TAG = "VISCUM_PROGRAM"
SERVICE = "VISCUM_SERVICE"

MOST = 1 << 16  # bytes of a file of /proc


def processes() -> "dict[tuple, list[int]]":
    """Maps the identity of a network namespace (netns.identity) to the pids that belong there, sorted.

    A process with our own mounts is only a visitor: an agent or a `viscum` that reads something there. Programs have
    their own mounts (enter).
    """
    own = os.stat("/proc/self/ns/mnt")[1]
    found: dict[tuple, list[int]] = {}
    for name in os.listdir("/proc"):
        if not is_number(name):
            continue
        try:
            identity = network(name)
            if os.stat("/proc/%s/ns/mnt" % name)[1] == own:
                continue
        except OSError:
            continue  # gone meanwhile, or a kernel thread
        found.setdefault(identity, []).append(int(name))
    return {key: sorted(found[key]) for key in found}


def pids(name: str, table: "dict[tuple, list[int]] | None" = None) -> "list[int]":
    """The pids of a service, without zombies. `table` may be a moment old."""
    found = cgroup.pids(name)
    return found + [pid for pid in _in_namespace(name, table) if pid not in found]


def _in_namespace(name: str, table: "dict[tuple, list[int]] | None") -> "list[int]":
    """Checks each pid again: since the table was made, a namespace may have gone and its inode be reused for this one,
    while its visitors live on elsewhere."""
    try:
        identity = netns.identity(ns_name(name))
    except OSError:
        return []
    return [pid for pid in (processes() if table is None else table).get(identity, []) if _is_in(pid, identity)]


def programs(name: str, table: "dict[tuple, list[int]] | None" = None) -> "list[int]":
    """The pids of a service's program, without visitors: those of a check, or of `viscum exec`."""
    found = cgroup.pids(name)
    checks = cgroup.pids(name, cgroup.CHECK)
    others = [pid for pid in _in_namespace(name, table) if pid not in found and pid not in checks]
    return found + [pid for pid in others if not _is_visitor(pid)]


def _is_in(pid: int, identity: tuple) -> bool:
    """Whether a process runs in a namespace. A zombie is in none."""
    try:
        return network(pid) == identity
    except OSError:
        return False


def namespace_exists(name: str) -> bool:
    try:
        netns.identity(ns_name(name))
    except OSError:
        return False
    return True


def alive(pid: int) -> bool:
    """Whether a process runs: a zombie doesn't."""
    return stat(pid)[0] not in (b"", b"Z", b"X")


def main_pid(found: "list[int]") -> int:
    """The process that the others come from: the oldest session leader, else the oldest process."""
    leaders = [pid for pid in found if stat(pid)[1] == str(pid).encode()]
    return min(leaders or found, key=_began) if found else 0


def stat(pid: int) -> "tuple[bytes, bytes, bytes]":
    """(state, session, start time in clock ticks) from /proc/PID/stat (proc(5)), empty when it is gone."""
    text = _read("/proc/%d/stat" % pid)
    fields = text[text.rfind(b")") + 2 :].split()  # the name before it may hold anything, also brackets
    return (fields[0], fields[3], fields[19]) if len(fields) > 19 else (b"", b"", b"0")


def _read(path: str) -> bytes:
    """The bytes of a file, at most MOST of them; b"" if it is gone."""
    try:
        return compat.read_file(path, MOST)
    except OSError:
        return b""


def _began(pid: int) -> int:
    return int(stat(pid)[2])


def age(pid: int) -> float:
    """Seconds since a process began: /proc counts them in 1/100 s (USER_HZ, the same on all architectures)."""
    uptime = _read("/proc/uptime").split()  # nothing where no descriptor is left
    return max(0, float(uptime[0]) - _began(pid) / 100) if uptime else 0


def memory() -> "int | None":
    """Bytes that this process has in memory (proc_pid_status(5): in kB); None where no descriptor is left."""
    for line in _read("/proc/self/status").split(b"\n"):
        if line.startswith(b"VmRSS:"):
            return int(line.split()[1]) * 1024
    return None


def _is_visitor(pid: int) -> bool:
    """Whether a process in a service's namespace is not part of its program: a check or a command of `viscum exec`
    knows the service, but has no tag. Needed without control groups, and for commands at a shell."""
    return bool(started_with(pid, SERVICE)) and not started_with(pid, TAG)


def is_astray(name: str, pid: int) -> bool:
    """Whether a program is not in the service's namespace: somebody deleted that, or the program left it. One that was
    just forked is still in ours."""
    try:
        where = network(pid)
    except OSError:
        return False  # gone
    try:
        return where not in (network("self"), netns.identity(ns_name(name)))
    except OSError:
        return where != network("self")


def network(pid: "int | str") -> "tuple[int, int]":
    """The identity (netns.identity) of the network namespace that a process is in."""
    status = os.stat("/proc/%s/ns/net" % pid)
    return status[2], status[1]


def started_with(pid: int, name: str) -> bytes:
    """A variable that a process was started with (bytes); b"" if there is none, or only behind MOST bytes of others."""
    start = name.encode() + b"="
    for variable in _read("/proc/%d/environ" % pid).split(b"\0"):
        if variable.startswith(start):
            return variable[len(start) :]
    return b""


def usage(name: str) -> "Usage":
    """What a service's program uses (cgroup.Usage)."""
    return cgroup.usage(name).get(name, cgroup.UNKNOWN)
