"""The only border to the kernel. Back ends are `native` (our own messages) and `pyroute2`; `commands` makes text."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .backend import Backend


def open_backend(name: str) -> "Backend":
    """The back end of that name ("native", "pyroute2"), open. Raises UnsupportedError when it can't be had here."""
    if name == "pyroute2":
        from .pyroute2_backend import Pyroute2

        return Pyroute2()
    from .native import Native

    return Native()
