"""Documents as JSON files hold them, from inputs: a right one, changed in places. For both interpreters.

How strictly a text is JSON is for each interpreter's own module to say; what the agent makes of what came out is the
same."""

from fuzz.fuzzing import Pieces

from viscum_agent import ujson
from viscum_agent.shell import printable

NUMBERS = (0, 1, -1, 5, 6, 38, 4095, 4096, 1 << 31, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64, 10**30)
RAW = 0  # the first byte of an input that is a text
DEEPEST = 3


def changed(data, right, words):
    """The text itself where the input is one, else a document: `right`, changed in places."""
    pieces = Pieces(data)
    if pieces.number(8) == RAW:
        return pieces.rest()
    document = ujson.loads(ujson.dumps(right))
    while pieces:
        document = _change(pieces, document, words)
    return document


def _change(pieces, document, words):
    """The document with another value in one place, which a few steps lead to."""
    if not pieces.number(4) or not isinstance(document, (dict, list)):
        return value(pieces, words, 0)
    if isinstance(document, dict):
        keys = sorted(document)
        at = pieces.number(len(keys) + 2)
        key = keys[at] if at < len(keys) else words[pieces.number(len(words))]
        document[key] = _change(pieces, document.get(key), words)
        if at == len(keys) + 1:
            del document[key]
    elif document:
        at = pieces.number(len(document))
        document[at] = _change(pieces, document[at], words)
    else:
        document.append(value(pieces, words, 0))
    return document


def value(pieces, words, depth):
    kind = pieces.number(8)
    if kind < 2:
        return words[pieces.number(len(words))]
    if kind == 2:
        return NUMBERS[pieces.number(len(NUMBERS))]
    if kind == 3:
        return (None, True, False, 1.5, "", [], {})[pieces.number(7)]
    if kind == 4:
        return "".join([chr(number) for number in pieces.bytes(20)])
    if depth == DEEPEST or not pieces:
        return pieces.number(256)
    items = [value(pieces, words, depth + 1) for _ in range(pieces.number(4))]
    if kind == 5:
        return items
    return {words[pieces.number(len(words))]: item for item in items}


def parsed(text):
    """What a JSON module makes of a text, None where it is none."""
    try:
        return ujson.loads(str(text, "utf-8"))
    except (ValueError, RuntimeError):
        return None


def check(messages):
    for text in messages:
        assert text == printable(text) and len(text) < 900, text


def seeds(right):
    """A document that is right, and changes of it (CPython only)."""
    import json

    found = [b"\0" + json.dumps(right).encode()]
    for first in range(1, 6):
        for second in range(0, 12):
            found.append(bytes([first, 1, second, 1, second // 2, 0, second % 8, first]))
    return found
