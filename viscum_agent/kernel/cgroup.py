"""A control group for each service (cgroups(7), version 2): what its program forks stays in it, whatever else it does.

    MOUNT/viscum-NETNS/NAME.TAG     the processes of service NAME, started with the settings that TAG stands for
                       NAME.check   those of a check by command

NETNS is the inode of the router's network namespace: one machine may have several agents. Only root can write there, so
the name is proof of the settings that a program was started with, also for a later agent. Where version 2 is not
mounted, services run without groups: their processes are then found only by their network namespace.

A controller is enabled when the first service is to be limited by it: that makes the kernel count for all groups beside
MOUNT/viscum-NETNS, too. It stays enabled, since by then somebody else may rely on it.
"""

import os
from collections import namedtuple

from .. import compat
from .netns import SELF

CHECK = "check"
SWITCH = "/cgroup.subtree_control"
NO_MOUNT = "no control groups of version 2 are mounted"

# What a service's program uses now: `memory` in bytes, `tasks` (processes and threads); and since its group was made:
# `cpu_usec`, microseconds of CPU, `oom_kills`, processes killed because of memory_max, `refused`, processes and threads
# that pids_max did not let it have. None is what the kernel does not count here.
Usage = namedtuple("Usage", ("memory", "tasks", "cpu_usec", "oom_kills", "refused"))
UNKNOWN = Usage(None, None, None, None, None)
MOUNTS = "/proc/self/mounts"
MOST = 1 << 18  # bytes of a list: some 40,000 processes


_folder: list = []


def folder() -> str:
    """The folder of the router's services, "" where there are no groups; it stays the same as long as this process
    runs. The first call must be in the router's namespace."""
    if not _folder:
        top = _mount_point()
        _folder.append("%s/viscum-%d" % (top, os.stat(SELF)[1]) if top else "")
    return _folder[0]


def _mount_point() -> str:
    """Where version 2 is mounted, "" if it is not."""
    for line in _read(MOUNTS).split(b"\n"):
        fields = line.split(b" ")
        if len(fields) > 3 and fields[2] == b"cgroup2" and _is_plain(fields[1]):
            return fields[1].decode()
    return ""


def _is_plain(path: bytes) -> bool:
    """A place may have any name, also one that is no text. (What a blank is in one begins with a backslash.)"""
    return path[:1] == b"/" and b"\\" not in path and max(path) < 127


def _read(path: str) -> bytes:
    """The whole lines of a file, at most MOST bytes; b"" if it does not exist."""
    try:
        data = compat.read_file(path, MOST)
    except OSError:
        return b""
    # The beginning of a number would be another process, which may be somebody else's.
    return data if len(data) < MOST else data[: data.rfind(b"\n") + 1]


def _groups(name: str) -> "list[str]":
    """Paths of a service's groups, or of all."""
    top = folder()
    try:
        names = compat.list_names(top) if top else []
    except OSError:
        names = []
    return ["%s/%s" % (top, each) for each in sorted(names) if _belongs(each, name)]


def _belongs(group: str, name: str) -> bool:
    return group.rsplit(".", 1)[0] == name if name else "." in group


def tags(name: str) -> "list[str]":
    """The settings that a service's processes were started with: the tags of the groups that hold a process."""
    found = [path.rsplit(".", 1)[1] for path in _groups(name) if _read(path + "/cgroup.procs")]
    return [tag for tag in found if tag != CHECK]


def pids(name: str, tag: str = "") -> "list[int]":
    """The processes of a service's program, or with the tag CHECK those of its checks; zombies are not included."""
    found = []
    for path in _groups(name):
        if (path.rsplit(".", 1)[1] == CHECK) == (tag == CHECK):
            found.extend([int(line) for line in _read(path + "/cgroup.procs").split()])
    return found


def make(name: str, tag: str) -> str:
    """Creates a group and returns its path, "" if there can be none."""
    top = folder()
    if not top:
        return ""
    for path in (top, "%s/%s.%s" % (top, name, tag)):
        try:
            os.mkdir(path)
        except OSError as error:
            if error.errno != compat.EEXIST:
                return ""  # mounted read-only, or not ours to write to
    return path


def missing(controller: str) -> str:
    """Why nothing can be limited by a controller ("memory", "cpu", "pids") here, "" if it can."""
    if not folder():
        return NO_MOUNT
    if controller.encode() in _read(_parent() + "/cgroup.controllers").split():
        return ""
    for line in _read("/proc/cgroups").split(b"\n"):
        fields = line.split(b"\t")
        if fields[0] == controller.encode() and fields[1] != b"0":
            return "version 1 of control groups is mounted and has the controller '%s'" % controller
    return "this kernel's control groups have no controller '%s'" % controller


def _parent() -> str:
    """Where version 2 is mounted. There must be groups."""
    return folder()[: folder().rfind("/")]


def enable(controller: str) -> None:
    """Has the kernel count and limit by a controller in all services' groups. Raises OSError."""
    for path in (_parent() + SWITCH, folder() + SWITCH):
        # Only where needed: a write waits for groups that have just been removed.
        if controller.encode() not in _read(path).split():
            compat.write_file(path, b"+" + controller.encode())


def usage(name: str = "") -> "dict[str, Usage]":
    """The Usage of each service, or of one, by its name. Read when somebody asks, and never kept."""
    found = {}
    counted = _read(folder() + SWITCH).split() if folder() else []
    for path in _groups(name):
        service, tag = path[path.rfind("/") + 1 :].rsplit(".", 1)
        # A restart with other settings may have left an empty one.
        if tag != CHECK and (service not in found or _read(path + "/cgroup.procs")):
            used = _usage(path, b"memory" in counted, b"pids" in counted)
            if used.cpu_usec is not None:  # else it is a file of the folder itself, like cgroup.procs
                found[service] = used
    return found


def _usage(path: str, memory: bool, tasks: bool) -> "Usage":
    return Usage(
        memory=_number(path + "/memory.current") if memory else None,
        tasks=_number(path + "/pids.current") if tasks else None,
        cpu_usec=_number(path + "/cpu.stat", b"usage_usec "),
        oom_kills=_number(path + "/memory.events", b"oom_kill ") if memory else None,
        refused=_number(path + "/pids.events", b"max ") if tasks else None,
    )


def _number(path: str, word: bytes = b"") -> "int | None":
    """The number of a file's line that begins with a word; None without one."""
    for line in _read(path).split(b"\n"):
        if line and line.startswith(word):
            return int(line[len(word) :])
    return None


def join(path: str, pid: int = 0) -> None:
    """Moves a process (0: the caller, with all its threads) into a group. Raises OSError."""
    compat.write_file(path + "/cgroup.procs", ("%d" % pid).encode())


def kill(name: str, tag: str = "") -> None:
    """Kills everything in a service's groups, however fast it forks: with cgroup.kill (kernel 5.14), else frozen
    (cgroup.freeze, 5.2) and one by one."""
    for path in _groups(name):
        if tag and not path.endswith("." + tag):
            continue
        try:
            compat.write_file(path + "/cgroup.kill", b"1")
        except OSError:
            _kill_frozen(path)


def _kill_frozen(path: str) -> None:
    _try(path + "/cgroup.freeze", b"1")
    for line in _read(path + "/cgroup.procs").split():
        try:
            compat.kill(int(line), compat.SIGKILL)
        except OSError:
            pass  # gone meanwhile
    _try(path + "/cgroup.freeze", b"0")


def _try(path: str, data: bytes) -> None:
    try:
        compat.write_file(path, data)
    except OSError:
        pass  # an older kernel, or the group is gone


def remove(name: str) -> None:
    """Removes the empty groups of a service, and the folder with the last of them."""
    paths = _groups(name)
    for path in paths + [folder()] if paths else []:
        try:
            os.rmdir(path)
        except OSError:
            pass  # a process is in it, or another service's group
