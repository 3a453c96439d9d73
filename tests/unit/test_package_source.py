"""What the packages make of a source for MicroPython's compiler: numbers become constants, and nothing else changes."""

import importlib.util
import subprocess

import pytest
from lab import MICROPYTHON, ROOT

SPEC = importlib.util.spec_from_file_location("package_source", ROOT / "tools/package/source.py")
source = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(source)

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
THEIRS = "from ours import SHARED\n"


def folded(*texts):
    return source.with_constants(list(texts))[0]


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
