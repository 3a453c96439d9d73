"""What the edge is worth (worth.py), as people read it."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

TITLES = ("EDGE", "CLOUD", "KEPT", "REQUESTS", "BYPASS")


def cells(row: "dict[str, Any]") -> "tuple[str, ...]":
    """What `viscum top` has below TITLES for a row of `status`."""
    worth = row["worth"]
    return (
        _time(worth["rtt"]),
        _time(worth["cloud_rtt"]),
        "%.1f MB" % (worth["kept_bytes"] / 1e6),
        _number(worth["requests"]),
        "%d s" % worth["bypass_seconds"],
    )


def sentence(row: "dict[str, Any]") -> str:
    """What `viscum status NAME` has."""
    text = "%s: worth: %s to the edge, %s to the cloud, %s kept off the uplink, %s requests answered, %s in bypass"
    return text % ((row["name"],) + cells(row))


def _time(microseconds: "int | None") -> str:
    return "-" if microseconds is None else "%.1f ms" % (microseconds / 1e3)


def _number(count: "int | None") -> str:
    return "-" if count is None else "%d" % count
