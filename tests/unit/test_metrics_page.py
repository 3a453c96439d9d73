"""docs/metrics.md and the collectors have the metrics of the table, and the table has what the agent says."""

import sys

import pytest
from lab import ROOT

sys.path.insert(0, str(ROOT / "tools"))

import metrics  # noqa: E402


@pytest.mark.parametrize("path", [metrics.PAGE, metrics.LUA, metrics.UCODE], ids=lambda path: path.name)
def test_a_file_has_what_the_generator_makes(path):
    assert metrics.made()[path] == path.read_text(), "run tools/metrics.py"


def test_a_file_that_has_lost_its_marks_is_an_error(monkeypatch, tmp_path):
    short = tmp_path / "viscum.lua"
    short.write_text(metrics.LUA.read_text().replace(metrics.END, ""))
    monkeypatch.setattr(metrics, "LUA", short)
    with pytest.raises(ValueError, match=r"viscum\.lua has no lines"):
        metrics.made()
