"""The only interface to the kernel. Back ends: `native` (our own messages) and `pyroute2`; `commands` makes text."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .backend import Backend


def open_backend(name: str) -> "Backend":
    """Opens the back end of that name ("native", "pyroute2"). Raises UnsupportedError if it is not available here."""
    if name == "pyroute2":
        from .pyroute2_backend import Pyroute2

        return Pyroute2()
    from .native import Native

    return Native()
