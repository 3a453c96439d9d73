"""A file in the place of another: all of it or, after a power cut as well, nothing."""

import os

from . import compat

O_WRONLY = 1  # asm-generic/fcntl.h


def put(path: str, half: str, mode: int, data: bytes) -> None:
    """`half`, in the same folder, is the name until all is written: whoever calls knows that nobody else uses it.
    Raises OSError; then `path` is as it was."""
    clear(half)
    fd = compat.fd_open(half, O_WRONLY | compat.O_CREATE_EXCLUSIVE, mode)
    try:
        try:
            while data:
                data = data[compat.fd_write(fd, data) :]
            compat.fsync(fd)
        finally:
            compat.fd_close(fd)
        os.rename(half, path)
    except OSError:
        clear(half)
        raise
    sync(path.rsplit("/", 1)[0])


def put_over(fd: int, data: bytes) -> None:
    """In the place of an open file, with its mode. Whoever calls has its lock (flock(2)), and with that the name of
    what is half written. Raises OSError."""
    path = compat.readlink("/proc/self/fd/%d" % fd)
    put(path, "%s/.%s.new" % tuple(path.rsplit("/", 1)), os.stat(path)[0] & 0o777, data)


def sync(folder: str) -> None:
    """What was renamed or removed in a folder stays so after a power cut."""
    fd = compat.fd_open(folder, 0)
    try:
        compat.fsync(fd)
    finally:
        compat.fd_close(fd)


def clear(half: str) -> None:
    """Removes what was left half written."""
    if compat.exists(half):
        os.remove(half)
