"""DEPENDS is complete and minimal: what the agent's files import, with all that this imports in turn, comes with the
packages that are named, on the oldest and the newest CPython here, and no package is named in vain.

tests/netns/test_depends.py sees the same of what is really imported, call by call.
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from depends import INTERPRETERS, LIGHT, NAMED, NOSSL, OTHERS, allowed, guarded, modules_of, refused
from lab import ROOT

from viscum_agent import compat

sys.path.append(str(ROOT / "tools/package"))
from source import bare  # noqa: E402

AGENT = ROOT / "viscum_agent"
RECIPE = ROOT / "package/viscum/Makefile"

# The other interpreter's half, and the second back end with its library, which is nobody's dependency.
NOT_CPYTHON = ("compat/micropython.py",)
NOT_MICROPYTHON = ("compat/cpython.py",)
OPTIONAL = ("kernel/pyroute2_backend.py",)

# A name that is tried and may be missing: (module, the interpreter that does not have it, or not in each version).
TRIED = {"ujson": "cpython", "_socket": "micropython", "_sha2": "cpython", "_sha256": "cpython"}


def imported(*without):
    """The top-level modules that the agent's files name, wherever they do: those that are imported late, too, but not
    what is only for mypy."""
    found = set()
    for path in sorted(AGENT.rglob("*.py")):
        if str(path.relative_to(AGENT)) in without:
            continue
        for node in ast.walk(ast.parse(bare(path.read_text()))):
            if isinstance(node, ast.Import):
                found.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found.add(node.module.split(".")[0])
    return found - {"viscum_agent"}


def of_cpython():
    return imported(*NOT_CPYTHON, *OPTIONAL) - {name for name in TRIED if TRIED[name] == "cpython"}


def test_the_agent_imports_nothing_that_the_named_packages_have_not():
    assert of_cpython() - allowed() == set()


@pytest.mark.parametrize("which", ["oldest", "newest"])
def test_nor_does_what_it_imports(which, tmp_path):
    interpreter = INTERPRETERS[which]
    if not Path(interpreter[0]).exists():
        pytest.skip("no such CPython here: make setup")
    log = tmp_path / "imports"
    subprocess.run([*guarded(interpreter, log), "-i", *sorted(of_cpython())], check=True)
    assert refused(log) == []
    assert {"ctypes", "struct"} <= set(log.read_text().split()), "the log tells what was imported"


@pytest.mark.parametrize("name", ["asyncio", "logging", "urllib.request", "decimal"])
def test_the_guard_refuses_what_is_in_another_package(name, tmp_path):
    """Else the tests with it would show nothing."""
    words = guarded(INTERPRETERS["oldest"], tmp_path / "imports")
    result = subprocess.run([*words, "-i", name], capture_output=True, text=True)
    assert result.returncode == 1 and "no module named" in result.stderr
    assert refused(tmp_path / "imports")[0] == name.split(".")[0]


@pytest.mark.parametrize("package", NAMED)
def test_no_package_is_named_in_vain(package):
    base = set(sys.builtin_module_names)  # these come with the interpreter itself
    assert (of_cpython() & modules_of(package, sys.stdlib_module_names)) - base


def test_without_a_package_the_agent_does_not_even_start(tmp_path):
    for package in NAMED:
        rest = [each for each in NAMED if each != package]
        words = guarded(INTERPRETERS["oldest"], tmp_path / package, rest)
        result = subprocess.run([*words, "-m", "viscum_agent.viscumd", "--version"], capture_output=True, text=True)
        assert result.returncode == 1 and "no module named" in result.stderr, package


def test_every_module_of_a_package_is_of_the_standard_library():
    """A name that is none would be a mistake in the table. Four are gone since 3.12 or 3.13."""
    known = set(sys.stdlib_module_names) | {"distutils", "lib2to3", "cgi", "cgitb"}
    assert {name for names in OTHERS.values() for name in names} - known == set()


def test_micropython_imports_only_what_is_built_in():
    tried = {name for name in TRIED if TRIED[name] == "micropython"}
    assert imported(*NOT_MICROPYTHON, *OPTIONAL) - set(NOSSL) - tried == set()


def test_what_a_micropython_must_not_be_built_without_is_what_the_agent_imports():
    assert set(compat.BUILT_IN) - imported(*NOT_MICROPYTHON, *OPTIONAL) == set()


@pytest.mark.skipif(not Path(INTERPRETERS["micropython"][0]).exists(), reason="no MicroPython here: make setup")
def test_what_counts_as_built_in_is_so_in_this_micropython(tmp_path):
    words = guarded(INTERPRETERS["micropython"], tmp_path / "imports")
    subprocess.run([*words, "-i", *NOSSL], check=True)
    for name in ("asyncio", "requests"):  # frozen into Debian's
        assert subprocess.run([*words, "-i", name], capture_output=True).returncode == 1


@pytest.mark.skipif(not RECIPE.exists(), reason="there is no recipe of the package yet")
def test_the_recipe_names_these_packages():
    text = RECIPE.read_text()
    parts = {name: body for name, body in re.findall(r"define Package/([\w-]+)\n(.*?)\nendef", text, re.S)}
    depends = {name: re.findall(r"\+((?:micro)?python[\w-]*)", parts[name]) for name in ("viscum", "viscum-cpython")}
    assert sorted(depends["viscum-cpython"]) == sorted(NAMED) and LIGHT in NAMED
    assert depends["viscum"] == ["micropython-nossl"]
    oldest, _ = compat.TESTED["micropython"]
    assert "EXTRA_DEPENDS:=micropython-nossl (>=%d.%d)" % oldest in parts["viscum"]
