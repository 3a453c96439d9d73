"""What is wrong in a configuration, on whatever router: for controllers, CI, and before anything is put in place."""

from ..errors import CONFIG, Problem, UciError
from . import service, uci


def mistakes(data: bytes, path: str) -> "list[Problem]":
    """Of the bytes of a file."""
    try:
        sections = uci.parse(data, path)
    except UciError as error:
        return [Problem(CONFIG, "", "%s:%d" % (error.file, error.line), error.reason)]
    return service.read(sections, files=False).problems
