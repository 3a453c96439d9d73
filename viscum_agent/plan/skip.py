"""Why a service can't be planned on this router."""

from ..errors import CONFIG, Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..config.service import Service


class Skip(Exception):
    """This service can't be planned: its argument is the Problem."""


def skip(service: "Service", package: str, option: str, text: str, kind: str = CONFIG) -> "Skip":
    """A Skip to raise; `option` may be "" for the section as a whole."""
    where = "%s.%s%s" % (package, service.name, "." + option if option else "")
    return Skip(Problem(kind, service.name, where, text))
