"""Alternative names of devices (altname in ip-link(8)): the kernel finds a device by any of its names."""

from .. import compat
from . import rtnl
from .codec import understood
from .netlink import Socket

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def own_names(names: "Sequence[str]") -> "dict[str, str]":
    """Which of these names are alternative ones, with the devices' own names: {name: own name}."""
    if not names:
        return {}
    socket = Socket(compat.NETLINK_ROUTE)
    try:
        found = {name: _own_name(socket, name) for name in names}
    finally:
        socket.close()
    return {name: found[name] for name in found if found[name]}


def _own_name(socket: "Socket", name: str) -> str:
    """The own name of a device that the kernel finds by any of its names, "" for none."""
    try:
        body = socket.ask(lambda seq: rtnl.link_get(name, seq))
    except OSError:
        return ""  # longer than a name can be
    return understood(rtnl.parse_link, "", body).name if body else ""
