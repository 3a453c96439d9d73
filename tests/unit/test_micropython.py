"""The tests that both interpreters share, under MicroPython: as many as there are, and all of them pass."""

import ast
import os
import re
import subprocess

import pytest
from golden import cases
from lab import MICROPYTHON, MICROPYTHON_FILE, ROOT

RUN = (*MICROPYTHON, "tests/micropython/run.py")


def collected():
    """How many tests CPython sees, found in another way than the runner does it: by the text of the files."""
    count = len(cases.paths(str(ROOT / "tests/golden")))
    for path in (ROOT / "tests/unit/shared").glob("test_*.py"):
        functions = [node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
        assert len(functions) == len(set(functions)), (
            "%s: of two tests with one name only the last one runs" % path.name
        )
        count += len([name for name in functions if name.startswith("test_")])
    return count


@pytest.mark.skipif(not MICROPYTHON_FILE.exists(), reason="no MicroPython here: make setup")
def test_all_shared_tests_pass_under_micropython():
    environment = {**os.environ, "MICROPYPATH": ".:.frozen"}
    result = subprocess.run(RUN, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-5000:]
    passed, failed = re.fullmatch(r"(\d+) passed, (\d+) failed", result.stdout.splitlines()[-1]).groups()
    assert (int(passed), int(failed)) == (collected(), 0)


def called(node, *names):
    """Whether a node calls a function or a method of one of these names."""
    return isinstance(node, ast.Call) and (getattr(node.func, "id", "") or getattr(node.func, "attr", "")) in names


def calls_super(function):
    return any(called(node, "super") for node in ast.walk(function))


def is_error(node):
    """Whether a node is a class of errors, by the names of what it derives from."""
    return isinstance(node, ast.ClassDef) and any(
        re.search("Error|Exception", ast.unparse(base)) for base in node.bases
    )


# What some MicroPython of those that are supported (docs/micropython.md) can't do, or does in another way than the one
# that the tests run under: (what it is, whether a node is it, an example).
NOT_EVERYWHERE = {
    "an error raised from another: there is no chain of them": (
        lambda node: isinstance(node, ast.Raise) and node.cause,
        "raise ValueError from error",
    ),
    "next() with a second argument: not before 1.25": (
        lambda node: called(node, "next") and len(node.args) > 1,
        "next(iter(found), None)",
    ),
    "to_bytes without its length or byte order: not before 1.24": (
        lambda node: called(node, "to_bytes") and len(node.args) < 2,
        "number.to_bytes(4)",
    ),
    "from_bytes without its byte order: not before 1.24": (
        lambda node: called(node, "from_bytes") and len(node.args) < 2,
        "int.from_bytes(data)",
    ),
    "startswith of several words or of a part: not before 1.25": (
        lambda node: (
            called(node, "startswith", "endswith") and (len(node.args) > 1 or isinstance(node.args[0], ast.Tuple))
        ),
        "text.endswith(('a', 'b'))",
    ),
    "bytes of hexadecimal digits with blanks: not before 1.24": (
        lambda node: called(node, "fromhex", "unhexlify"),
        "bytes.fromhex('00 ff')",
    ),
    "an error that does not make its base: can't be raised since 1.28": (
        lambda node: (
            is_error(node)
            and any(each.name == "__init__" and not calls_super(each) for each in node.body if hasattr(each, "name"))
        ),
        "class Bad(ValueError):\n    def __init__(self):\n        self.x = 1",
    ),
}
CPYTHON_ALONE = {"compat/cpython.py", "kernel/pyroute2_backend.py"}


@pytest.mark.parametrize("what", sorted(NOT_EVERYWHERE))
def test_the_agent_has_nothing_that_some_micropython_has_not(what):
    """MicroPython finds such a thing only when the line runs, and the tests run under one version of it."""
    is_it, example = NOT_EVERYWHERE[what]
    assert any(is_it(node) for node in ast.walk(ast.parse(example))), "this would not be found"
    for path in (ROOT / "viscum_agent").rglob("*.py"):
        if path.relative_to(ROOT / "viscum_agent").as_posix() not in CPYTHON_ALONE:
            found = [node.lineno for node in ast.walk(ast.parse(path.read_text())) if is_it(node)]
            assert not found, "%s, lines %s" % (path.name, found)
