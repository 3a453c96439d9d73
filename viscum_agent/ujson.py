"""JSON for both interpreters: MicroPython's C module or CPython's `json`; only what the two have in common."""

try:
    from ujson import dumps, loads  # type: ignore  # noqa: F401
except ImportError:
    from json import dumps, loads  # noqa: F401
