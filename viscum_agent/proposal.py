"""A configuration that is not in the file yet: LuCI's form asks what it would do before anybody saves it.

It comes as a list of tables, one for each section in the order of the file, with `.type`, `.name` and the options as
texts and lists of texts: what `uci get` gives over ubus.
"""

from . import model, process, uci
from .schema import is_section_name, shown
from .ubus import status as code


def read(rows, package):
    """A model.Configuration. Raises UbusStatus for what no file could say."""
    if not isinstance(rows, list):
        raise _refused("name the sections: a list of tables with .type, .name and options")
    sections = [_section(row) for row in rows]
    names = set()
    for section in sections:
        if section.name in names:
            raise _refused("two sections have the name %s" % shown(section.name))
        names.add(section.name)
    return model.read(sections, package)


def _section(row):
    if not isinstance(row, dict):
        raise _refused("a section is a table with .type, .name and options")
    kind, name = row.get(".type"), row.get(".name")
    if not isinstance(kind, str) or not isinstance(name, str) or not is_section_name(name):
        raise _refused("a section needs a .type and a .name of letters, digits and _")
    options = {key: row[key] for key in row if not key.startswith(".") and row[key] not in ("", [])}
    for key in options:
        if not _is_value(options[key]):
            raise _refused("%s.%s has to be a text or a list of texts" % (name, key))
    return uci.Section(kind, name, False, options, 0)


def _is_value(value):
    return isinstance(value, str) or isinstance(value, list) and all(isinstance(text, str) for text in value)


def _refused(text):
    return code.UbusStatus(code.INVALID_ARGUMENT, text)


def restarts(plan, units):
    """Names of services whose programs would be started anew, because they run with other settings."""
    found = []
    for part in plan.services:
        unit = units.get(part.service.name)
        if unit and unit.pid and process.is_stale(part.service.program, unit.pid):
            found.append(unit.name)
    return found
