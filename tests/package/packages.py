"""Builds the packages, from a copy of what the build reads."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

from lab import ROOT

sys.path.append(str(ROOT / "tools/package"))
from source import FOR_BOTH  # noqa: E402, F401  (packages that are for either interpreter)

EPOCH = "1700000000"
NEWS = "# A line that the next release adds.\n"
INIT = """#!/bin/sh /etc/rc.common

START=95
"""


def copy_source(folder):
    """What the build reads, without what else a checkout has. Its init script belongs to other tests."""
    for name in ("viscum_agent", "files", "package", "tools/package"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    init = folder / "files/etc/init.d/viscum"
    init.parent.mkdir(exist_ok=True)
    init.write_text(INIT)
    init.chmod(0o755)
    return folder


def build(source, kind, folder, check=True, **environment):
    """Builds all packages of a kind: {name: path}."""
    command = [sys.executable, source / "tools/package", kind, folder]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": EPOCH, **environment}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    if check and result.returncode:
        raise AssertionError(result.stderr)
    return packages_in(folder), result


def packages_in(folder):
    return {re.match(r"(.+?)[-_]\d", path.name).group(1): path for path in sorted(folder.glob("*.[ai]pk"))}


def unpacked(archive, window=12, of=None):
    """{path: bytes} of what is in an archive, unpacked with no more memory than the launchers take: MicroPython's, or
    with a window of 15 CPython's. `of` is the archive that has what is common, if that is another one."""
    listed, _, data = _parts(archive)
    common = zlib.decompress(_parts(of or archive)[1], -window)
    found, end = {}, 0
    for name, offset, size in (line.split() for line in listed.decode().splitlines()):
        assert int(offset) == end, "one behind the other, with nothing in between"
        end += int(size)
        unpacker = zlib.decompressobj(-window, zdict=common)
        found[name] = unpacker.decompress(data[int(offset) : end]) + unpacker.flush()
        assert unpacker.eof
    assert end == len(data)
    return found


def _parts(archive):
    """(the list, what is common, the modules), each as it is in the archive"""
    first, rest = archive.split(b"\n", 1)
    listed, packed = map(int, first.split()[:2])
    return rest[:listed], rest[listed : listed + packed], rest[listed + packed :]


def next_release(source, line):
    """A copy of the source with another release number, a name more in the agent, and a line more in the shipped
    configuration."""
    later = Path(tempfile.mkdtemp(dir=source.parent)) / "viscum"
    shutil.copytree(source, later)
    makefile, settings = later / "package/viscum/Makefile", later / "files/etc/config/viscum"
    makefile.write_text(makefile.read_text().replace("PKG_RELEASE:=", "PKG_RELEASE:=9"))
    settings.write_text(settings.read_text() + line)
    with (later / "viscum_agent/__init__.py").open("a") as file:
        file.write("NEWS = ['a later release']\n")
    return later
