"""Descriptors that are held for the moment when there are no others left: taking a redirect out needs some, and it may
not fail because something took all (RLIMIT_NOFILE, EMFILE; the limit for the whole system does not bind root).

Use as a context manager around what has to be possible. What is opened inside has to be closed inside.
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
            pass  # none left now: what there is has to do

    def __enter__(self) -> "Reserve":
        while self._fds:
            compat.fd_close(self._fds.pop())
        return self

    def __exit__(self, *_: object) -> None:
        self._fill()

    def close(self) -> None:
        self.__enter__()
