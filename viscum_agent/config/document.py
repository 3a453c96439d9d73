"""Files in JSON that say something of a service: read as the configuration is, and no type in them is trusted."""

from .. import ujson, utf8
from ..errors import ConfigError
from . import trust
from .schema import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def read(path: str, most: int, advice: str) -> "Any":
    """What a file of at most `most` bytes holds. Raises ConfigError; `advice` is what to do where there is no file."""
    try:
        data = trust.read(path, most + 1, True)
    except OSError:
        raise ConfigError("there is no file %s: %s" % (path, advice))
    return parse(data, path, most)


def parse(data: bytes, path: str, most: int) -> "Any":
    """What the bytes of a file hold, of which `most` + 1 were read. Raises ConfigError."""
    if len(data) > most:
        raise ConfigError("%s has more than %d bytes" % (path, most))
    try:
        text = str(data, "utf-8")
        document = ujson.loads(text)
        if utf8.is_strict(data) and not _is_open(text):
            return document
    except (ValueError, RuntimeError):  # RuntimeError: it is nested too deeply
        pass
    raise ConfigError("%s is not JSON: mend it" % path)


def _is_open(text: str) -> bool:
    """Whether a text ends within its outermost part, as half of a file does: MicroPython reads that as if it were all
    there is."""
    try:
        ujson.loads(text + "}")
    except (ValueError, RuntimeError):
        return False
    return True


def get(document: object, where: str, kind: "Any", default: "Any") -> "Any":
    """What is at a place (process.user.uid), the default where there is nothing. Raises Refused for another type."""
    for key in where.split("."):
        if document is None:
            break
        if not isinstance(document, dict):
            raise Refused("%s is not where it belongs" % where)
        document = document.get(key)
    if document is None:
        return default
    if not isinstance(document, kind) or (kind is int and isinstance(document, bool)):
        raise Refused("%s has a wrong type" % where)
    return _text(document, where) if kind is str else document


def entries(document: object, where: str, kind: "Any" = str) -> "list":
    """The list at a place, all of one type, [] where there is none. Raises Refused."""
    found = get(document, where, list, [])
    if not all([isinstance(each, kind) and (kind is not str or "\0" not in each) for each in found]):
        raise Refused("%s has an entry of a wrong type" % where)
    return [_text(each, where) for each in found] if kind is str else found


def _text(text: str, where: str) -> str:
    """A text without surrogates: MicroPython leaves the two of a pair (\\ud83d\\ude00) as they are. Raises Refused for
    half of one, which is no letter."""
    if not [c for c in text if _is_surrogate(c)]:
        return text
    found, high = "", 0
    for c in text:
        code = ord(c)
        if not high and not _is_surrogate(c):
            found += c
        elif not high and code < 0xDC00:
            high = code
        elif high and 0xDC00 <= code <= 0xDFFF:
            found, high = found + chr(((high & 0x3FF) << 10) + (code & 0x3FF) + 0x10000), 0
        else:
            high = -1
            break
    if high:
        raise Refused("%s has half of a surrogate pair (\\ud800-\\udfff), which is no letter: take it out" % where)
    return found


def _is_surrogate(c: str) -> bool:
    return 0xD800 <= ord(c) <= 0xDFFF


def says_something(value: object) -> bool:
    return not (value is None or value is False or value in ("", [], {}))
