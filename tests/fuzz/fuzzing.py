"""What all readers have in common: an input goes in, and out comes one line of text, the same on both interpreters.

A reader is a module of tests/fuzz/readers with

    read(data)   what the agent makes of these bytes: plain values. It fails (AssertionError) where that is wrong.
    ALLOWED      the kinds of error that may come instead
    TOKENS       pieces that mean something to it, from which inputs are made
    seeds()      real inputs, to change (CPython only)
    COUNT        how many inputs the short pass makes, where the usual number takes too long
    slow(size)   inputs of about so many bytes that would take a careless reader longest; may be missing (CPython only)

This file and `read` run under both interpreters; so they are in the subset that the agent is in.
"""

import struct
import sys

NAMES = (
    "blobmsg",
    "broker",
    "bundle",
    "calls",
    "cgroup",
    "conntrack",
    "etsi",
    "leases",
    "mounts",
    "names",
    "netlink",
    "nftables",
    "options",
    "output",
    "packet_text",
    "packets",
    "preview",
    "proc_net",
    "proc_pid",
    "rtnetlink",
    "seccomp",
    "snooped",
    "tc",
    "uci",
    "wire",
)


def load(name):
    """The module of a reader."""
    module = "fuzz.readers." + name
    __import__(module)
    return sys.modules[module]


def outcome(reader, data):
    """What a reader made of an input, as text; raises what no reader may raise."""
    try:
        value = reader.read(data)
    except reader.ALLOWED as error:
        return "%s: %s" % ("OSError" if isinstance(error, OSError) else type(error).__name__, shown(error.args))
    return shown(value)


def shown(value):
    """A value as text. (repr() differs between the interpreters, and so does the order of a dict.)"""
    if value is None or isinstance(value, bool):
        return str(value)
    if isinstance(value, int):
        return "%d" % value
    if isinstance(value, float):
        return "f" + shown(struct.pack(">d", value))
    if isinstance(value, (bytes, bytearray)):
        return "b'%s'" % "".join(["%02x" % byte for byte in value])
    if isinstance(value, str):
        return "'%s'" % "".join([c if " " <= c <= "~" and c not in "'\\" else "\\u%x" % ord(c) for c in value])
    if isinstance(value, dict):
        return "{%s}" % ",".join(sorted(["%s:%s" % (shown(key), shown(value[key])) for key in value]))
    if isinstance(value, (set, frozenset)):
        return "<%s>" % ",".join(sorted([shown(item) for item in value]))
    assert isinstance(value, (list, tuple)), value
    return "(%s)" % ",".join([shown(item) for item in value])


class Pieces:
    """Takes an input apart into what a reader's file or message is then made of."""

    def __init__(self, data):
        self._data = data
        self._at = 0

    def __bool__(self):
        return self._at < len(self._data)

    def number(self, limit):
        """A number below `limit`, 0 when the input is used up."""
        size = 1 if limit <= 256 else 2 if limit <= 65536 else 4
        piece = self._data[self._at : self._at + size]
        self._at += size
        return int.from_bytes(piece, "big") % limit

    def bytes(self, most):
        """Up to `most` bytes, which is below 256."""
        size = self.number(most + 1)
        piece = self._data[self._at : self._at + size]
        self._at += size
        return bytes(piece)

    def rest(self):
        piece = self._data[self._at :]
        self._at = len(self._data)
        return bytes(piece)
