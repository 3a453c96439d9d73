"""docs/metrics.md and the collectors have the metrics of the table, and the table has what the agent says."""

import re
import sys

import pytest
from lab import ROOT

sys.path.insert(0, str(ROOT / "tools"))

import metrics  # noqa: E402

from viscum_agent.cli.metrics import METRICS  # noqa: E402


@pytest.mark.parametrize("path", [metrics.PAGE, metrics.LUA, metrics.UCODE], ids=lambda path: path.name)
def test_a_file_has_what_the_generator_makes(path):
    assert metrics.made()[path] == path.read_text(), "run tools/metrics.py"


def test_a_file_that_has_lost_its_marks_is_an_error(monkeypatch, tmp_path):
    short = tmp_path / "viscum.lua"
    short.write_text(metrics.LUA.read_text().replace(metrics.END, ""))
    monkeypatch.setattr(metrics, "LUA", short)
    with pytest.raises(ValueError, match=r"viscum\.lua has no lines"):
        metrics.made()


@pytest.mark.parametrize("name", ["viscum.dashboard.json", "viscum.rules.yml", "viscum.rules.test.yml"])
def test_what_asks_prometheus_asks_only_for_what_there_is(name):
    asked = set(re.findall(r"\bviscum_\w+", (ROOT / "fleet/prometheus" / name).read_text()))
    assert asked and asked <= {metric.name for metric in METRICS}


def test_the_page_has_each_alert():
    names = re.findall(r"alert: (\w+)", (ROOT / "fleet/prometheus/viscum.rules.yml").read_text())
    assert names == re.findall(r"^\| `(Viscum\w+)` \|", metrics.PAGE.read_text(), re.MULTILINE)
