"""A configuration that is not in the file yet: LuCI's form asks what it would do before anybody saves it.

It comes as a list of tables, one for each section in the order of the file, with `.type`, `.name` and the options as
texts and lists of texts: what `uci get` gives over ubus.
"""

from . import model, process, uci
from .schema import is_section_name
from .ubus.status import INVALID_ARGUMENT, UbusStatus

TAKES = "sections: a list of tables with .type, .name (letters, digits and _) and options (texts and lists of texts)"


def read(rows, package):
    """A model.Configuration. Raises UbusStatus for what no file could say."""
    if not isinstance(rows, list) or not all(_is_section(row) for row in rows):
        raise UbusStatus(INVALID_ARGUMENT, TAKES)
    return model.read([_section(row) for row in rows], package)


def _is_section(row):
    if not isinstance(row, dict) or not isinstance(row.get(".type"), str) or not isinstance(row.get(".name"), str):
        return False
    return is_section_name(row[".name"]) and all(_is_value(row[key]) for key in row if not key.startswith("."))


def _is_value(value):
    return all(isinstance(text, str) for text in (value if isinstance(value, list) else (value,)))


def _section(row):
    # An empty value is none, as in a file.
    options = {key: row[key] for key in row if not key.startswith(".") and row[key]}
    return uci.Section(row[".type"], row[".name"], False, options, 0)


def restarts(plan, units):
    """Names of services whose programs would be started anew, because they run with other settings."""
    found = []
    for part in plan.services:
        unit = units.get(part.service.name)
        if unit and unit.pid and process.is_stale(part.service, unit.pid):
            found.append(unit.name)
    return found
