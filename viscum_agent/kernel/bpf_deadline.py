"""The deadline of the eBPF datapath: a map (layout.py) from which the program sees that no agent lives that vouches for
its redirects. Written and read by its pin, without the other maps, since that happens every few seconds.
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
_NAME = "deadline"


def put_off(seconds: int) -> bool:
    """From now on redirects end in so many seconds, 0 for never. Returns whether there is a deadline to put off: maps
    that are pinned. Raises OSError."""
    value = _layout.deadline(compat.monotonic_ns(), seconds)
    return _with_map(lambda fd: _write(fd, value))


def has_passed() -> bool:
    """Whether no packet is redirected because the deadline has passed. Raises OSError."""
    return _with_map(_is_late)


def _write(fd: int, value: bytes) -> bool:
    call.map_update(fd, _layout.number(0), value)
    return True


def _is_late(fd: int) -> bool:
    value: Any = call.map_lookup(fd, _layout.number(0), bpf_pins.MAPS[_NAME].value)  # an array has all its elements
    return 0 < _layout.parse_number(value) < compat.monotonic_ns() >> layout.DEADLINE_SHIFT


def _with_map(step: "Callable[[int], bool]") -> bool:
    """What a step returns for the map's descriptor; False if there is no map of ours."""
    fd = bpf_pins.open_map(_NAME)
    if fd < 0:
        return False
    try:
        return step(fd)
    finally:
        compat.fd_close(fd)
