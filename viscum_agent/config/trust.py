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


def read(path: str, most: int, trusted: bool = False) -> bytes:
    """At most `most` bytes of a regular file; `trusted` refuses one that others can change. Raises OSError, and
    ConfigError for what is refused."""
    fd = compat.fd_open(path, compat.O_NONBLOCK)  # a FIFO would block the agent for ever
    try:
        opened = "/proc/self/fd/%d" % fd  # an open file stays the same; a path may lead elsewhere meanwhile
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
        safe = _GROUP | _OTHERS if status[0] & _STICKY else _GROUP if status[5] == 0 else 0
        _refuse(path, folder + ", which leads to it,", folder, status, user, safe)


def _refuse(path: str, what: str, place: str, status: tuple, user: int, safe: int = 0) -> None:
    """Checks the file or a directory; `safe`: bits of its mode that are no danger."""
    if status[4] not in (0, user):
        text = "%s is refused: %s belongs to account %d, which could change what root runs: chown root %s"
        raise ConfigError(text % (path, what, status[4], word(place)))
    if status[0] & (_GROUP | _OTHERS) & ~safe:
        text = "%s is refused: %s can be written by others than root (mode %o): chmod go-w %s"
        raise ConfigError(text % (path, what, status[0] & 0o7777, word(place)))
