"""Named network namespaces, as ip-netns(8) keeps them: files in /var/run/netns that hold a namespace by a bind mount.

A thread is in one namespace at a time, and a socket stays where it was opened. So the agent enters a namespace only to
open a socket or to write a sysctl there, and `Visit` takes it home again.
"""

import os

from .. import compat
from ..records.objects import NS_PREFIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

DIRECTORY = "/var/run/netns"
SELF = "/proc/thread-self/ns/net"
O_RDONLY = 0


def path(name: str) -> str:
    return "%s/%s" % (DIRECTORY, name)


def ours() -> "list[str]":
    """The names that begin like ours; whether they are ours is up to `observe`."""
    try:
        names = compat.list_names(DIRECTORY)
    except OSError as error:
        compat.unless_spent(error)
        return []
    return sorted([name for name in names if name.startswith(NS_PREFIX) and is_mounted(name)])


def is_mounted(name: str) -> bool:
    """Whether the file holds a namespace: then it is on the kernel's nsfs, not on the directory's file system."""
    try:
        return os.stat(path(name))[2] != os.stat(DIRECTORY)[2]
    except OSError:
        return False


def make_directory() -> None:
    for folder in ("/var/run", DIRECTORY):
        try:
            os.mkdir(folder)
        except OSError as error:
            if error.errno != compat.EEXIST:
                raise


def prepare() -> None:
    """Makes the directory a shared mount, as ip-netns does, so that every mount namespace sees the namespaces."""
    make_directory()
    try:
        compat.mount("none", DIRECTORY, "none", compat.MS_SHARED | compat.MS_REC)
    except OSError as error:
        if error.errno != compat.EINVAL:  # not a mount point yet
            raise
        compat.mount(DIRECTORY, DIRECTORY, "none", compat.MS_BIND | compat.MS_REC)
        compat.mount("none", DIRECTORY, "none", compat.MS_SHARED | compat.MS_REC)


def _make_file(name: str) -> None:
    compat.fd_close(compat.fd_open(path(name), O_RDONLY | compat.O_CREATE_EXCLUSIVE, 0o444))


def identity(name: str) -> "tuple[int, int]":
    """(device, inode) of a namespace, equal to those of /proc/PID/ns/net of the processes in it."""
    status = os.stat(path(name))
    return status[2], status[1]


class Visit:
    """Enters namespaces and returns home: `with Visit() as visit: visit.enter(name)`; "" is home."""

    def __init__(self) -> None:
        self._home = compat.fd_open(SELF, O_RDONLY)
        self._fds: dict[str, int] = {}
        self._here: str | None = ""
        self._prepared = False

    def __enter__(self) -> "Visit":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Returns home and closes every descriptor."""
        self.enter("")
        for name in list(self._fds):
            self.forget(name)
        compat.fd_close(self._home)

    def home(self) -> None:
        self.enter("")

    def fd(self, name: str) -> int:
        """A descriptor of the namespace; this object keeps and closes it."""
        if name == "":
            return self._home
        if name not in self._fds:
            self._fds[name] = compat.fd_open(path(name), O_RDONLY)
        return self._fds[name]

    def forget(self, name: str) -> None:
        if name in self._fds:
            compat.fd_close(self._fds.pop(name))

    def names(self) -> "list[str]":
        return list(self._fds)

    def enter(self, name: str) -> None:
        if name != self._here:
            compat.setns(self.fd(name))
            self._here = name

    def create(self, name: str, mark: "Callable[[], object]") -> None:
        """Creates a namespace and stays in it; `mark` is called in there before the namespace gets its name, so that
        none of ours is ever without its mark. Raises OSError; EEXIST if the name is taken."""
        if not self._prepared:
            prepare()
            self._prepared = True
        try:
            _make_file(name)
        except OSError as error:
            if error.errno != compat.EEXIST or is_mounted(name):
                raise
            os.remove(path(name))  # left by a process that was stopped before the name held a namespace
            _make_file(name)
        try:
            self.scratch()
            mark()
            compat.mount(SELF, path(name), "none", compat.MS_BIND)
            self._here = name
        except OSError:
            self.home()
            os.remove(path(name))
            raise

    def scratch(self) -> None:
        """Enters a new namespace without a name, which is gone when this object goes home."""
        compat.unshare(compat.CLONE_NEWNET)
        self._here = None  # no namespace with a name

    def delete(self, name: str) -> None:
        """Removes the name; the kernel removes the namespace when nobody is in it any more."""
        self.forget(name)
        try:
            compat.umount(path(name))
        except OSError as error:
            if error.errno != compat.EINVAL:  # nothing is mounted on the file
                raise
        os.remove(path(name))


def read_sysctl(key: str) -> "str | None":
    """The value in the caller's namespace, None if the kernel has no such key."""
    try:
        with open("/proc/sys/" + key) as file:
            return file.read().strip()
    except OSError:
        return None


def write_sysctl(key: str, value: str) -> None:
    with open("/proc/sys/" + key, "w") as file:
        file.write(value)
