"""Makes what OpenWISP's controller knows of Viscum's options, from the agent's own table
(viscum_agent/config/schema.py) and its recipes, so that they can't drift apart.

tools/openwisp.py            writes schema.json and templates.json of fleet/openwisp/viscum_openwisp
tools/openwisp.py --check    only says whether they are what would be written; exit code 1 when they are not
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import uptodate  # noqa: E402

from viscum_agent.config import schema, service, uci  # noqa: E402

PACKAGE = ROOT / "fleet/openwisp/viscum_openwisp"
RECIPES = ROOT / "files/usr/share/viscum/recipes"
NUMBERS = ("number", "port", "signed")  # types that are a whole number between two
NUMBER = r"^(-?[0-9]+|.*\{\{.*\}\}.*)?$"  # as a text; what a variable becomes is judged when it has its value
SECTION_NAME = "^[A-Za-z0-9_]%s$"


def form() -> dict:
    """The JSON schema of the list of sections, from which the controller makes its form."""
    return {
        "type": "array",
        "title": "Viscum",
        "propertyOrder": 20,
        "items": {"type": "object", "title": "Section", "oneOf": [_section(name) for name in schema.SECTIONS]},
    }


def _section(name: str) -> dict:
    names: dict = {"type": "string", "title": "name", "pattern": SECTION_NAME % "+"}
    if name == "service":
        names["pattern"] = SECTION_NAME % ("{1,%d}" % service.MAX_NAME)
    if name == "globals":
        names = {"type": "string", "enum": [name], "options": {"hidden": True}}
    properties = {"config_name": {"type": "string", "enum": [name], "options": {"hidden": True}}, "config_value": names}
    properties.update({option.name: _option(option) for option in schema.SECTIONS[name]})
    return {
        "type": "object",
        "title": name,
        "required": ["config_name", "config_value"],
        "additionalProperties": False,
        "properties": properties,
    }


def _option(option: schema.Option) -> dict:
    found = _value(option.type)
    if option.many:
        found = {"type": "array", "items": {**found, "title": option.name}}
        if option.type is schema.TEXT:  # a command: as one text, or word by word
            # Without titles: the form would show them in place of the option's name.
            found = {"anyOf": [{"type": "string"}, found]}
    return {"title": option.name, "description": "%s (%s)" % (option.help, option.type.expected), **found}


def _value(kind: schema.Type) -> dict:
    if kind is schema.BOOL:
        return {"type": "boolean", "format": "checkbox"}
    if kind.name == "choice":
        return {"type": "string", "enum": kind.expected[len("one of: ") :].split(", ")}
    if kind.name in NUMBERS:
        return {"type": "string", "pattern": NUMBER}
    return {"type": "string"}


def templates() -> dict:
    """Each recipe as the configuration of a template; what only the user knows is a variable of its name."""
    found = {}
    for file in sorted(RECIPES.iterdir()):
        if "." in file.name:  # what a recipe's program reads
            continue
        text = re.sub(r"\{(\w+)\}", r"{{ \1 }}", file.read_text())
        needs = re.search("^# Needs: (.*)$", text, re.MULTILINE)
        (section,) = uci.parse(text.encode(), str(file))
        values = {name: _read(section.type, name, value) for name, value in section.options.items()}
        for name in needs[1].split() if needs else ():
            option = schema.option_named(section.type, name)
            values[name] = ["{{ %s }}" % name] if option and option.many else "{{ %s }}" % name
        found[file.name] = {"viscum": [{"config_name": section.type, "config_value": section.name, **values}]}
    return found


def _read(section: str, name: str, value: "str | list[str]") -> object:
    option = schema.option_named(section, name)
    if option and option.type is schema.BOOL:
        return uci.as_bool(str(value))
    if option and option.many and option.type is not schema.TEXT and isinstance(value, str):
        return schema.words_of(value)
    return value


def made() -> dict[Path, str]:
    """The text of each file."""
    files = {"schema.json": form(), "templates.json": templates()}
    return {PACKAGE / name: json.dumps(each, indent=1) + "\n" for name, each in files.items()}


if __name__ == "__main__":
    sys.exit(uptodate.main(ROOT, made(), "openwisp.py", sys.argv[1:]))
