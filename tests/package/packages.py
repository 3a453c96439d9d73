"""Builds the packages, from a copy of what the build reads."""

import os
import shutil
import subprocess
import sys

from lab import ROOT

EPOCH = "1700000000"
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
    return {path.name.replace("_", "-").split("-0.")[0]: path for path in sorted(folder.glob("*." + kind))}, result


def change(source, path, old, new):
    """The packages of a later version: a copy of the source with another release number and one change."""
    later = source.parent / "later"
    shutil.rmtree(later, ignore_errors=True)
    shutil.copytree(source, later)
    for name, before, after in (("package/viscum/Makefile", "PKG_RELEASE:=1", "PKG_RELEASE:=2"), (path, old, new)):
        text = (later / name).read_text()
        assert before in text
        (later / name).write_text(text.replace(before, after))
    return later
