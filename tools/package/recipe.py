"""Reads what a package is from its Makefile for OpenWrt's build system, so that it is written down once.

Of make's language it knows what that Makefile uses: `NAME:=VALUE`, `NAME+= VALUE`, `A = $(B)`, `define`, references
to variables, and `$(if $(DUMP), ...)`, which is for the build system's menu and nothing here. What it does not know
stays as it is, and is an error where it is used.
"""

import re
from pathlib import Path
from typing import NamedTuple


class Package(NamedTuple):
    """One package. Lists are lists of names, in `depends` perhaps with a version (`_depends`); `postinst` and `postrm`
    are shell scripts or empty."""

    name: str
    version: str
    release: str  # as in VERSION-rRELEASE
    maintainer: str
    license: str
    license_files: str
    section: str
    title: str
    description: str
    depends: "list[str]"
    conflicts: "list[str]"
    provides: "list[str]"
    replaces: "list[str]"  # opkg's
    conffiles: "list[str]"
    postinst: str
    postrm: str
    priority: int  # apk's, among packages that provide the same name


_FOR_THE_MENU = re.compile(r"\$\(if \$\(DUMP\),[^()]*\)")
_REPLACES = re.compile(r"^Replaces: (.+)$", re.MULTILINE)
_REFERENCE = re.compile(r"\$\((?:call )?([\w/.-]+)\)")


class RecipeError(Exception):
    """The Makefile says something that this does not understand."""


def read(makefile: Path) -> "list[Package]":
    """The packages of a Makefile, in its order."""
    text = makefile.read_text(encoding="utf-8")
    known = variables(text)
    names = re.findall(r"^\$\(eval \$\(call BuildPackage,([\w-]+)\)\)$", text, re.MULTILINE)
    return [_package(name, known, makefile) for name in names]


def variables(text: str) -> "dict[str, str]":
    """What a Makefile's text sets and defines, unexpanded."""
    found: dict[str, str] = {}
    lines: list[str] = []
    name = ""
    for line in text.split("\n"):
        if name and line == "endef":
            found[name], name, lines = "\n".join(lines), "", []
        elif name:
            lines.append(line)
        elif line.startswith("define "):
            name = line.split()[1]
        else:
            words = re.match(r"([\w/-]+) ?(:=|\+=|=) ?(.*)$", line)
            if words:
                _assign(found, *words.groups())
    return found


def _assign(variables: "dict[str, str]", name: str, operator: str, value: str) -> None:
    if operator == "+=":
        value = (variables.get(name, "") + " " + value.strip()).strip()
    variables[name] = value


def _package(name: str, variables: "dict[str, str]", makefile: Path) -> Package:
    fields: dict[str, str] = {}
    for line in _expand("Package/" + name, variables, makefile).split("\n"):
        found = re.match(r"\s*(\w+) ?(:=|\+=) ?(.*)$", line)
        if found:
            _assign(fields, *found.groups())
    if fields.get("PKGARCH") != "all":
        raise RecipeError("%s: %s is not for all architectures" % (makefile, name))
    part = dict.fromkeys(("description", "conffiles", "postinst", "postrm"), "")
    for key in part:
        if "Package/%s/%s" % (name, key) in variables:
            part[key] = _expand("Package/%s/%s" % (name, key), variables, makefile)
    return Package(
        name,
        variables["PKG_VERSION"],
        variables["PKG_RELEASE"],
        variables["PKG_MAINTAINER"],
        variables["PKG_LICENSE"],
        variables["PKG_LICENSE_FILES"],
        fields["SECTION"],
        fields["TITLE"],
        part["description"].strip(),
        _depends(fields, makefile),
        fields.get("CONFLICTS", "").split(),
        fields.get("PROVIDES", "").split(),
        re.findall(r"[\w-]+", "".join(_REPLACES.findall(variables.get("Package/%s/CONTROL" % name, "")))),
        part["conffiles"].split(),
        part["postinst"].replace("$$", "$") + "\n",
        part["postrm"].replace("$$", "$") + "\n",
        100 if fields.get("DEFAULT_VARIANT") else 0,  # as package-pack.mk has it
    )


def _depends(fields: "dict[str, str]", makefile: Path) -> "list[str]":
    """The names in DEPENDS, those with a version in EXTRA_DEPENDS as `name (>=version)` or `name (=version)`."""
    versioned = {}
    for each in filter(None, fields.get("EXTRA_DEPENDS", "").split(", ")):
        # One blank: package-pack.mk takes the second word for the version. No other limits are needed here.
        if not re.match(r"[\w-]+ \(>?=[\w.-]+\)$", each):
            raise RecipeError("%s: can't tell what EXTRA_DEPENDS '%s' needs" % (makefile, each))
        versioned[each.split(" ")[0]] = each
    names = [dependency(word, makefile) for word in fields["DEPENDS"].split()]
    if not set(versioned) <= set(names):
        raise RecipeError("%s: EXTRA_DEPENDS names what DEPENDS does not" % makefile)
    return [versioned.get(name, name) for name in names]


def dependency(word: str, makefile: Path) -> str:
    """The name in a word of DEPENDS."""
    # `+name` alone: no conditions, since a package made without a build configuration has none to ask.
    if not re.match(r"\+[\w-]+$", word):
        raise RecipeError("%s: can't tell what DEPENDS '%s' needs" % (makefile, word))
    return word[1:]


def _expand(name: str, variables: "dict[str, str]", makefile: Path) -> str:
    """A variable's text, with what it refers to. Shell text is not meant: `$$` stays."""
    if name not in variables:
        raise RecipeError("%s: no %s" % (makefile, name))
    text = _FOR_THE_MENU.sub("", variables[name])
    return _REFERENCE.sub(lambda found: _expand(found.group(1), variables, makefile), text)
