"""What the agent and the eBPF programs tell each other (layout.py): until when the agent vouches for its redirects, and
how often a program found that a port is closed. Written and read by their pins, without the other maps, since that
happens every few seconds.
"""

from .. import compat
from ..ebpf import layout
from . import bpf_pins
from . import bpf_syscall as call

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_layout = layout.Layout(call.ORDER)


def put_off(seconds: int) -> bool:
    """From now on redirects end in so many seconds, 0 for never. Returns whether there is a deadline to put off: maps
    that are pinned. Raises OSError."""
    value = _layout.deadline(compat.monotonic_ns(), seconds)
    return bool(_with_map("deadline", lambda fd: _write(fd, value)))


def has_passed() -> bool:
    """Whether no packet is redirected because the deadline has passed. Raises OSError."""
    return 0 < _with_map("deadline", _read) < compat.monotonic_ns() >> layout.DEADLINE_SHIFT


def refusals() -> int:
    """How often a closed port took a part of a redirect out, since the maps were made. Raises OSError."""
    return _with_map("refusals", _read)


def _write(fd: int, value: bytes) -> int:
    call.map_update(fd, _layout.number(0), value)
    return 1


def _read(fd: int) -> int:
    value: Any = call.map_lookup(fd, _layout.number(0), 4)  # an array has all its elements
    return _layout.parse_number(value)


def _with_map(name: str, step: "Callable[[int], int]") -> int:
    """What a step returns for the map's descriptor; 0 if there is no map of ours."""
    fd = bpf_pins.open_map(name)
    if fd < 0:
        return 0
    try:
        return step(fd)
    finally:
        compat.fd_close(fd)
