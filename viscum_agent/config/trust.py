"""Reads files without ever blocking, and refuses what anybody but root could have written.

Root does what the configuration says. So its file is read as sshd reads authorized_keys (StrictModes) and sudo its
sudoers: whoever can write it, or put another one in its place, can run any program as root.
"""

import os

from .. import compat
from ..errors import ConfigError
from ..shell import word

_STICKY = 0o1000  # in such a directory (/tmp) nobody can remove or rename what belongs to others
_GROUP, _OTHERS = 0o020, 0o002
LINKS_MOST = 40  # as the kernel's MAXSYMLINKS


def read(path: str, most: int, trusted: bool = False) -> bytes:
    """At most `most` bytes of a regular file; `trusted` refuses one that others can change. Raises OSError, and
    ConfigError for what is refused."""
    # To look at it only: a FIFO would block the agent for ever, and a watchdog starts when it is opened.
    fd = compat.fd_open(path, compat.O_PATH)
    try:
        opened = FD % fd  # an open file stays the same; a path may lead elsewhere meanwhile
        status = os.stat(opened)
        if status[0] & compat.S_IFMT != compat.S_IFREG:
            raise ConfigError("%s is not a regular file: put one in its place" % path)
        if trusted:
            _refuse_others(path, compat.readlink(opened), status)
        with open(opened, "rb") as file:
            return file.read(most)
    finally:
        compat.fd_close(fd)


def _refuse_others(path: str, real: str, status: tuple) -> None:
    """`real` is the path without symbolic links."""
    user = compat.geteuid()
    if user and status[4] == user:
        return  # not root's agent, but somebody looking at a file of their own
    _refuse(path, "it", real, status, user)
    folder = real[: real.rfind("/")] or "/"
    _refuse(path, "its directory", folder, os.stat(folder), user)
    while folder != "/":
        folder = folder[: folder.rfind("/")] or "/"
        status = os.stat(folder)
        # Further up, the sticky bit and a group that is root's are no danger: what lies below is checked separately.
        _refuse(path, folder + ", which leads to it,", folder, status, user, _safe(status))


def _safe(status: tuple) -> int:
    """The bits of a folder's mode that are no danger to what others can't change themselves in there."""
    return _GROUP | _OTHERS if status[0] & _STICKY else _GROUP if status[5] == 0 else 0


def _refuse(path: str, what: str, place: str, status: tuple, user: int, safe: int = 0) -> None:
    """Checks the file or a directory; `safe`: bits of its mode that are no danger."""
    if status[4] not in (0, user):
        text = "%s is refused: %s belongs to account %d, which could change what root runs: chown root %s"
        raise ConfigError(text % (path, what, status[4], word(place)))
    if status[0] & (_GROUP | _OTHERS) & ~safe:
        text = "%s is refused: %s can be written by others than root (mode %o): chmod go-w %s"
        raise ConfigError(text % (path, what, status[0] & 0o7777, word(place)))


FD = "/proc/self/fd/%d"


def find(path: str, make: "bool | None" = None, descriptors: str = FD) -> int:
    """A descriptor (O_PATH) of what is at a whole path, which stays the same whatever comes in its place. No link is
    followed that others than root could have put there: ConfigError. `make`: what is not there is made, a folder (True)
    or an empty file, with the folders above. `descriptors`: where this process's are. Raises OSError, too."""
    here, links, parts = -1, 0, _parts(path)
    try:
        while parts:
            part = parts.pop(0)
            there = part if part == "/" else descriptors % here + "/" + part
            fd = _open(there, True if parts and make is not None else make)
            try:
                link = _link(path, there, descriptors % here, descriptors % fd)
                if not link:
                    here, fd = fd, here
            finally:
                if fd >= 0:
                    compat.fd_close(fd)
            parts = _parts(link) + parts
            links += bool(link)
            if links > LINKS_MOST:
                raise ConfigError("%s is refused: its links lead nowhere" % path)
        here, fd = -1, here
        return fd
    finally:
        if here >= 0:
            compat.fd_close(here)


def _parts(path: str) -> "list[str]":
    return ["/"] * path.startswith("/") + [part for part in path.split("/") if part not in ("", ".")]


def _open(path: str, make: "bool | None") -> int:
    flags = compat.O_PATH | compat.O_NOFOLLOW
    try:
        return compat.fd_open(path, flags)
    except OSError as error:
        if make is None or error.errno != compat.ENOENT:
            raise
    if make:
        os.mkdir(path)
    else:
        compat.fd_close(compat.fd_open(path, compat.O_CREATE_EXCLUSIVE, 0o666))
    return compat.fd_open(path, flags)


def _link(path: str, there: str, holder: str, opened: str) -> str:
    """Where a link leads, "" for anything else."""
    status = os.stat(opened)
    if status[0] & compat.S_IFMT != compat.S_IFLNK:
        return ""
    folder, users = os.stat(holder), (0, compat.geteuid())
    mine = status[4] in users and folder[4] in users and not folder[0] & (_GROUP | _OTHERS) & ~_safe(folder)
    try:
        link = compat.readlink(there) if mine else ""
    except UnicodeError:
        link = ""
    if not link:
        raise ConfigError("%s is refused: others than root can change where a link on the way leads: name that" % path)
    return link
