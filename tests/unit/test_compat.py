"""The two files behind viscum_agent.compat offer the same. MicroPython's can't be imported here, so it is read."""

import ast
import inspect
import re
from pathlib import Path

import pytest

from viscum_agent import compat

ROOT = Path(__file__).resolve().parents[2] / "viscum_agent"
FOLDER = ROOT / "compat"


def offered(name):
    """What a file of the package defines for others: the statement by name. Modules that it imports are not meant."""
    found = {}
    for node in ast.parse((FOLDER / name).read_text()).body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                names = target.elts if isinstance(target, ast.Tuple) else [target]
                found.update({each.id: node for each in names})
        elif isinstance(node, ast.AnnAssign):
            found[node.target.id] = node
    found.pop("TYPE_CHECKING", None)  # for mypy, and the package offers it already
    return {name: node for name, node in found.items() if not name.startswith("_")}


CPYTHON, MICROPYTHON = offered("cpython.py"), offered("micropython.py")


def parameters(node):
    """(names, how many of them have a default, whether there may be more)"""
    arguments = node.args
    assert not arguments.kwonlyargs, "%s: parameters are given by position" % node.name
    return [each.arg for each in arguments.args], len(arguments.defaults), bool(arguments.vararg or arguments.kwarg)


def count(node, name):
    """How many parameters a function of MicroPython's has; None for what is none. `getpid = _libc.func("i", "getpid",
    "")` is one: each letter of the last word is a parameter."""
    if isinstance(node, ast.FunctionDef):
        return len(node.args.args)
    call = node.value
    if isinstance(call, ast.Call) and ast.unparse(call.func) == "_libc.func":
        assert call.args[1].value == name
        return len(call.args[2].value)
    return None


def test_both_files_offer_the_same_names():
    assert sorted(CPYTHON) == sorted(MICROPYTHON)


@pytest.mark.parametrize("name", sorted(CPYTHON.keys() & MICROPYTHON.keys()))
def test_a_name_is_called_alike(name):
    one, other = CPYTHON[name], MICROPYTHON[name]
    if isinstance(one, ast.Assign) and isinstance(one.value, ast.Name):
        one = CPYTHON[one.value.id]  # another name for a function of the same file
    if isinstance(one, ast.FunctionDef) and isinstance(other, ast.FunctionDef):
        assert parameters(one) == parameters(other)
        return
    expected = count(other, name)
    assert callable(getattr(compat, name)) == (expected is not None)
    if expected is None:
        return
    try:
        signature = inspect.signature(getattr(compat, name))  # CPython's own, so the names are its own, too
    except ValueError:
        return  # time.sleep has none before 3.13
    signature.bind(*range(expected))


def test_the_package_hands_on_what_they_offer():
    """With `import *`, which takes all that has no underscore where there is no __all__. None of its own is hidden."""
    stars = re.findall(r"^ +from \.(\w+) import \*", (FOLDER / "__init__.py").read_text(), re.MULTILINE)
    assert sorted(stars) == ["cpython", "micropython"]
    for name in stars:
        assert "__all__" not in (FOLDER / (name + ".py")).read_text()
    assert [name for name in sorted(CPYTHON) if not hasattr(compat, name)] == []
    own = offered("__init__.py")
    assert sorted(own.keys() & (CPYTHON.keys() | MICROPYTHON.keys())) == []


def test_the_agent_uses_nothing_else():
    """A module that one of the files imports is in the package as well, and only there."""
    known = offered("__init__.py").keys() | (CPYTHON.keys() & MICROPYTHON.keys())
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            used = []
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "compat":
                used = [node.attr]
            elif isinstance(node, ast.ImportFrom) and node.level and node.module == "compat":
                used = [alias.name for alias in node.names]
            unknown = [each for each in used if each not in known]
            assert unknown == [], "%s, line %d" % (path.name, node.lineno)
