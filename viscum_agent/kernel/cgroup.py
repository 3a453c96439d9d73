"""A control group for each service (cgroups(7), version 2): what its program forks stays in it, whatever else it does.

    MOUNT/viscum-NETNS/NAME.TAG     the processes of service NAME, started with the settings that TAG stands for
                       NAME.check   those of a check by command

NETNS is the inode of the router's network namespace: one machine may have several agents. Only root can write there, so
the name is proof of the settings that a program was started with, also for a later agent. The group ends with its last
process. It needs no controller, so none is enabled. Where version 2 is not mounted, services run without groups: their
processes are then found only by their network namespace.
"""

import os

from .. import compat
from .netns import SELF

CHECK = "check"
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
        if len(fields) > 3 and fields[2] == b"cgroup2" and b"\\" not in fields[1]:
            return fields[1].decode()
    return ""


def _read(path: str) -> bytes:
    """The bytes of a file, at most MOST of them; b"" if it does not exist."""
    try:
        return compat.read_file(path, MOST)
    except OSError:
        return b""


def _groups(name: str) -> "list[str]":
    """Paths of a service's groups."""
    top = folder()
    try:
        names = compat.list_names(top) if top else []
    except OSError:
        names = []
    return ["%s/%s" % (top, each) for each in sorted(names) if each.rsplit(".", 1)[0] == name]


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
