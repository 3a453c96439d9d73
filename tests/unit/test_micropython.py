"""The tests that both interpreters share, under MicroPython: as many as there are, and all of them pass."""

import ast
import os
import re
import subprocess
from pathlib import Path

import pytest
from golden import cases

ROOT = Path(__file__).resolve().parents[2]
MICROPYTHON = ROOT / ".cache/micropython/micropython"
RUN = (str(MICROPYTHON), "-X", "heapsize=16M", "tests/micropython/run.py")


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


@pytest.mark.skipif(not MICROPYTHON.exists(), reason="no MicroPython here: make setup")
def test_all_shared_tests_pass_under_micropython():
    environment = {**os.environ, "MICROPYPATH": ".:.frozen"}
    result = subprocess.run(RUN, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-5000:]
    passed, failed = re.fullmatch(r"(\d+) passed, (\d+) failed", result.stdout.splitlines()[-1]).groups()
    assert (int(passed), int(failed)) == (collected(), 0)


def test_no_error_is_raised_from_another():
    """MicroPython has no chain of exceptions, and prints a warning to whoever is there."""
    own = {"compat/cpython.py", "kernel/pyroute2_backend.py"}
    for path in (ROOT / "viscum_agent").rglob("*.py"):
        if path.relative_to(ROOT / "viscum_agent").as_posix() in own:
            continue
        found = [
            node.lineno for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Raise) and node.cause
        ]
        assert not found, "%s, lines %s" % (path.name, found)
