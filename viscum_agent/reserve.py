"""Descriptors held in reserve for when no others are left: removing a redirect needs some, and must not fail because
something took all of them (RLIMIT_NOFILE, EMFILE; the limit for the whole system does not bind root).

Use it as a context manager around what must be possible. What is opened inside must be closed inside.
"""

from . import compat

O_RDONLY = 0


class Reserve:
    """`with reserve:` gives its `count` descriptors back for that long."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._fds: list[int] = []
        self._fill()

    def _fill(self) -> None:
        try:
            while len(self._fds) < self._count:
                self._fds.append(compat.fd_open("/dev/null", O_RDONLY))
        except OSError:
            pass  # none left now: those that we have must do

    def __enter__(self) -> "Reserve":
        while self._fds:
            compat.fd_close(self._fds.pop())
        return self

    def __exit__(self, *_: object) -> None:
        self._fill()

    def close(self) -> None:
        self.__enter__()
