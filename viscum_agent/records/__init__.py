"""What the folders pass to each other, as plain data with names, so that a test can write it down.

    objects  the kernel objects of a service, planned or found
    dump     what the kernel reports, before it is clear what is ours
    facts    what the plan needs to know about this router

Nothing here asks the kernel.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    Record = TypeVar("Record", bound=tuple)


def with_(record: "Record", **changes: "Any") -> "Record":
    """The same record with other values in some fields (MicroPython's named tuples have no _replace and no _fields)."""
    make = type(record)
    places: Any = make(*range(len(record)))  # by name: the position of each field
    values = list(record)
    for name in changes:
        values[getattr(places, name)] = changes[name]
    return make(*values)
