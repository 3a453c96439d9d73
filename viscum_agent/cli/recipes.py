"""`viscum recipes` and `viscum add`: sections for what many people want to run, from files that the package brings.

A recipe is a file of UCI with one service section, named as the file is, below comments: a sentence for people, then
`# Package: NAME`, which has the program, and `# Needs: OPTION...`, which only the user can know. `{dest_ip}` in a value
is what was given for that option.
"""

from collections import namedtuple

from .. import compat, optional
from ..config import schema, service, uci
from ..errors import ConfigError
from ..paths import RECIPES
from ..shell import shown
from . import sections
from .verbs import print_json, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..errors import Problem
    from .words import Arguments

# `lines` are those of the section, with the sentence as a comment above; `needs`: names of options.
Recipe = namedtuple("Recipe", ("name", "lines", "package", "needs"))

PACKAGE, NEEDS = "# Package", "# Needs"
LARGEST = 4096  # bytes of a recipe


def show(arguments: "Arguments") -> int:
    found = [_row(_recipe(name)) for name in _names()]
    if arguments.json:
        print_json(found)
        return 0
    for row in found:
        print("%s%s %s" % (row["name"], " " * (10 - len(row["name"])), row["text"]))
        needs = ["%s=..." % option for option in row["needs"]]
        needs += [optional.install(optional.manager(), row["package"])] if row["missing"] else []
        if needs:
            print("%s needs %s" % (" " * 10, "; ".join(needs)))
    return 0


def add(arguments: "Arguments") -> int:
    name, given = sections.given(arguments)
    wanted, there = arguments.names[0], _names()
    if wanted not in there:
        raise ConfigError("there is no recipe %s; there are: %s" % (shown(wanted), ", ".join(there) or "none"))
    recipe = _recipe(wanted)
    name = name or recipe.name
    text = _section(recipe, name, given)
    path = arguments.confdir + "/viscum"
    problems, made = _append(path, name, text)
    if made is None:
        say(problems)
        return 1
    print(text)
    print("is in %s now. Next:" % path)
    for line in _next(recipe, made):
        print("  " + line)
    return 0


# Recipes


def _names() -> "list[str]":
    """What else is in the folder has a dot in its name."""
    try:
        return sorted([name for name in compat.list_names(RECIPES) if schema.is_section_name(name)])
    except OSError as error:
        compat.unless_spent(error)
        return []


def _recipe(name: str) -> "Recipe":
    said, lines = {PACKAGE: "", NEEDS: ""}, []
    for line in str(compat.read_file("%s/%s" % (RECIPES, name), LARGEST), "utf-8").split("\n"):
        key, _, value = line.partition(": ")
        if key in said:
            said[key] = value
        elif line:
            lines.append(line)
    return Recipe(name, lines, said[PACKAGE], schema.words_of(said[NEEDS]))


def _row(recipe: "Recipe") -> "dict":
    """A recipe as --json has it; `options` are those of its section, as uci has them."""
    (section,) = uci.parse("\n".join(recipe.lines).encode(), recipe.name)
    return {
        "name": recipe.name,
        "text": " ".join([line[2:] for line in recipe.lines if line.startswith("#")]),
        "package": recipe.package,
        "needs": recipe.needs,
        "missing": _missing(service.split_words(section.options["command"])),
        "options": section.options,
    }


def _section(recipe: "Recipe", name: str, given: "list[tuple[str, str]]") -> str:
    """The recipe's section with what was given."""
    values: dict[str, list[str]] = {}
    for option, value in given:
        values.setdefault(option, []).append(value)
    for option in recipe.needs:
        if not values.get(option, [""])[0]:
            row: Any = schema.option_named("service", option)
            text = "viscum.%s.%s: is missing: add %s=..., %s"
            raise ConfigError(text % (name, option, option, row.type.expected))
    lines = []
    for line in recipe.lines:
        words = schema.words_of(line)
        if words[0] == "config":
            lines.append("config service '%s'" % name)
        elif line.startswith("#") or words[1] not in values:
            lines.append(line)
        elif values[words[1]]:
            lines += sections.lines(words[1], values[words[1]])
            values[words[1]] = []  # its other lines go
    for option, _ in given:  # the order is that of the words
        lines += sections.lines(option, values[option])
        values[option] = []
    return _filled(recipe, name, given, "\n".join(lines) + "\n")


def _filled(recipe: "Recipe", name: str, given: "list[tuple[str, str]]", text: str) -> str:
    """A section's text with what was given in the place of its option's name."""
    for option in [option for option in recipe.needs if "{%s}" % option in text]:
        found = [value for each, value in given if each == option]
        if len(found) > 1 or "/" in found[0]:
            raise ConfigError("viscum.%s.%s: has to be one address: for others add the recipe again" % (name, option))
        text = text.replace("{%s}" % option, "[%s]" % found[0] if ":" in found[0] else found[0])
    return text


# The configuration


def _append(path: str, name: str, text: str) -> "tuple[list[Problem], service.Service | None]":
    """Writes a section behind all others: (problems, None), or ([], what it means)."""

    def make(before: bytes) -> bytes:
        if name in [section.name for section in uci.parse(before, path)]:
            raise ConfigError("viscum.%s: is there already: name the new one, `viscum add RECIPE NAME`" % name)
        sections.refuse_staged(name)
        return sections.behind(before, text)

    problems, made = sections.change(path, (name,), make)
    return problems, [each for each in made.services if each.name == name][0] if made else None


# What is left to do


def _missing(words: "list[str]") -> "list[str]":
    return [word for word in words if word.startswith("/") and not compat.exists(word)]


def _next(recipe: "Recipe", made: "service.Service") -> "list[str]":
    found = []
    missing = _missing(list(made.program.command))
    if missing:
        found.append(
            "install what has %s: %s" % (", ".join(missing), optional.install(optional.manager(), recipe.package))
        )
    if [each for each in made.egress if each.word != "none"]:
        found.append("let it through the firewall to what egress names: a zone with device 'vsc-+' (docs/recipes.md)")
    return found + ["viscum check; reload_config"]
