"""Every case file in this folder, under CPython; tests/micropython/run.py runs the same under MicroPython.

To accept what the code does now: VISCUM_GOLDEN_WRITE=1 pytest tests/golden; then read the difference, line by line.
"""

import os
from pathlib import Path

import pytest
from golden import cases

FOLDER = Path(__file__).resolve().parent
PATHS = cases.paths(str(FOLDER))
WRITE = os.environ.get("VISCUM_GOLDEN_WRITE") == "1"


@pytest.mark.parametrize("path", PATHS, ids=[str(Path(path).relative_to(FOLDER)) for path in PATHS])
def test_golden(path):
    introduction, sections = cases.load(path)
    found = cases.outcome(sections)
    if WRITE:
        Path(path).write_text(cases.rewritten(introduction, sections, found))
        return
    for got, wanted in zip(found, cases.expected(sections), strict=True):
        assert got == wanted


def test_every_case_says_what_it_proves_and_is_laid_out_alike():
    for path in PATHS:
        introduction, sections = cases.load(path)
        assert Path(path).read_text() == cases.rewritten(introduction, sections, cases.expected(sections)), path


def test_a_case_without_an_introduction_is_refused(tmp_path):
    (tmp_path / "case.txt").write_text("-- Config --\n")
    with pytest.raises(ValueError, match="does not say what it proves"):
        cases.load(str(tmp_path / "case.txt"))


def test_a_section_that_nobody_reads_is_refused(tmp_path):
    (tmp_path / "case.txt").write_text("Proves it.\n-- Expect comands --\n")
    with pytest.raises(ValueError, match="no section 'Expect comands'"):
        cases.load(str(tmp_path / "case.txt"))
