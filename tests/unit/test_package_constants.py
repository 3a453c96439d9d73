"""What the packages make of a source for MicroPython's compiler: numbers become constants, and nothing else changes."""

import subprocess
import sys
from pathlib import PurePosixPath as Path

import pytest
from lab import MICROPYTHON, ROOT

sys.path.append(str(ROOT / "tools/package"))
from constants import with_constants  # noqa: E402

OURS = """
ALONE = 7
FIRST, SHARED = 1, 2
SUM = ALONE + FIRST << 4
_HIDDEN = -3
WORDS = ("ALONE", ALONE)


class Thing:
    ALONE = 5


def answer(thing, value=FIRST):
    return [value + ALONE * SUM, thing.ALONE, SHARED, _HIDDEN, WORDS]


print(answer(Thing))
"""
THEIRS = "from . import ours\nours.SHARED\n"


def folded(ours, theirs="", path="agent/ours.py"):
    texts = {Path("agent/ours.py"): ours, Path("agent/theirs.py"): theirs}
    return with_constants(texts)[Path(path)]


def test_a_number_that_only_its_module_names_becomes_a_constant():
    lines = folded(OURS, THEIRS).split("\n")
    assert lines[1:4] == ["ALONE = 7", "_FIRST = const(1); SHARED = 2", "SUM = ALONE + _FIRST << 4"]
    assert "def answer(thing, value=_FIRST):" in lines
    lines = folded(OURS.replace("    ALONE = 5", "    OTHER = 5"), THEIRS).split("\n")
    assert lines[1:5] == [
        "_ALONE = const(7)",
        "_FIRST = const(1); SHARED = 2",
        "_SUM = const(_ALONE + _FIRST << 4)",
        "_HIDDEN = const(-3)",
    ]
    assert "    return [value + _ALONE * _SUM, thing.ALONE, SHARED, _HIDDEN, WORDS]" in lines


@pytest.mark.parametrize("theirs", ["from ours import ALONE", "import ours\nours.ALONE", "getattr(ours, 'ALONE')"])
def test_a_number_that_another_module_names_stays_as_it_is(theirs):
    assert "ALONE = 7" in folded("ALONE = 7\n", theirs).split("\n")


def test_a_number_that_is_used_above_stays_as_it_is():
    """There the compiler does not know it yet, and what it forgets afterwards is no name."""
    text = "def answer():\n    return LATE\n\n\nLATE = 5\n"
    assert folded(text) == text


def test_a_number_that_is_imported_by_name_is_written_where_it_is_needed():
    theirs = "from .ours import (\n    ALONE,\n    WORDS,\n)\n\nprint(ALONE, WORDS)\n"
    found = folded("ALONE = 7\nWORDS = 'x'\n", theirs, "agent/theirs.py").split("\n")
    assert found[0] == "from .ours import WORDS; _ALONE = const(7)"
    assert found[-2] == "print(_ALONE, WORDS)"
    assert folded("ALONE = 7\nWORDS = 'x'\n", theirs).split("\n")[0] == "_ALONE = const(7)"
    inner = with_constants(
        {Path("agent/ours.py"): "ALONE = 7", Path("agent/in/x.py"): "from ..ours import ALONE\nALONE"}
    )
    assert inner[Path("agent/in/x.py")] == "_ALONE = const(7)\n_ALONE"


def test_a_number_that_has_the_name_of_another_modules_stays_where_that_is_imported_under_a_new_one():
    theirs = "from .ours import ALONE as OTHER\n\nALONE = 3\nprint(ALONE, OTHER)\n"
    assert folded("ALONE = 7\n", theirs, "agent/theirs.py") == theirs
    assert folded("ALONE = 7\n", theirs) == "ALONE = 7\n"


def test_a_number_that_depends_on_the_machine_is_imported_when_it_runs():
    texts = {Path("agent/compat/__init__.py"): "SIGNAL = 7", Path("agent/x.py"): "from .compat import SIGNAL\nSIGNAL"}
    assert with_constants(texts) == texts


def test_what_is_no_number_stays_as_it_is():
    text = 'TEXT = "a"\nTRUTH = True\nMADE = range(4)\nlow = 1\nA, B = range(2)\nC = D = 3\nE: int = 4\n'
    assert folded(text) == text


def test_the_program_says_the_same(tmp_path):
    """MicroPython itself folds the constants; who prints differently has another program."""
    found = []
    for number, text in enumerate((OURS, folded(OURS, THEIRS))):
        path = tmp_path / ("program%d.py" % number)
        path.write_text(text)
        found.append(subprocess.run([*MICROPYTHON, str(path)], capture_output=True, text=True, check=True).stdout)
    assert found[0] == found[1] != ""
