"""The records that options become. Each row of a table of schema.py is a field of the record that is made of the table,
under the option's name without the table's prefix: `health_port` is Health.port. So an option that can be judged by
itself is written down in schema.py and nowhere else.

What mypy sees of the records is in fields.pyi, which `make manual` writes from the same rows.
"""

from collections import namedtuple

from .schema import GLOBALS, HEALTH, OWN, PROGRAM, RESPAWN, TIMEOUTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .schema import Option

# Maps a record to (field, Option) pairs, for those of its fields that are options.
OPTIONS: "dict[Any, list[tuple[str, Option]]]" = {}


def _record(name: str, options: "tuple[Option, ...]", prefix: str = "", judged: "tuple[str, ...]" = ()) -> "Any":
    """A named tuple with a field for each option, behind those that take more than an option to make."""
    names = [option.name[len(prefix) :] if option.name.startswith(prefix) else option.name for option in options]
    record = namedtuple(name, judged + tuple(names))
    OPTIONS[record] = list(zip(names, options))
    return record


def make(record: "Any", values: dict, **judged: "Any") -> "Any":
    """A record from checked values (schema.check), but for what was judged. A list becomes a tuple, None is unset."""
    found = {}
    for field, option in OPTIONS[record]:
        value = values[option.name]
        found[field] = tuple(value) if option.many else value
    found.update(judged)
    return record(**found)


Settings = _record("Settings", GLOBALS)

# What runs, and how long (seconds) that may take; `account` is `user`, or the number of the service's own account.
Program = _record("Program", PROGRAM + TIMEOUTS, "", ("account",))

# How the agent checks health: times in seconds, `command` words.
Health = _record("Health", HEALTH, "health_")

# When a program that ended is restarted, in procd's words (service/respawn.py): seconds, seconds, times in a row.
Respawn = _record("Respawn", RESPAWN, "respawn_")

# Whose packets: `clients` is None for whoever sends, else alternatives: a client's packet is taken if one of them is
# right, and the Match's own `src`, if it has one. () is nobody: a group that has no members now. `exclude_clients` are
# alternatives, and `exclude_dests` prefixes: what one of them is right for stays with the cloud. They hold for all
# matches, those of names as well (plan/clients.py). An alternative is a MAC address as text (in small letters, with
# colons) or an address.Prefix (a single address is one of full length); those of the other family are never right.
# `client_hosts` and `exclude_hosts` are names of hosts: their leases say which other clients these are
# (plan/leased.py). `tenant` is whose it is (tenants.Tenant), None for the router's owner's.
Service = _record(
    "Service",
    OWN,
    "",
    (
        "name",
        "program",
        "interfaces",
        "devices",
        "matches",
        "named",
        "clients",
        "exclude_clients",
        "client_hosts",
        "exclude_hosts",
        "exclude_dests",
        "health",
        "respawn",
        "tenant",
    ),
)
