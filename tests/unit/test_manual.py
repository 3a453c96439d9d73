"""docs/manual.md says what the agent does: it is made from the agent's own tables."""

import sys

import pytest
from lab import ROOT

sys.path.insert(0, str(ROOT / "tools"))

import manual  # noqa: E402

from viscum_agent.config import schema  # noqa: E402


def test_the_manual_is_what_the_generator_makes():
    assert manual.manual() == manual.MANUAL.read_text(), "run tools/manual.py"


def test_every_option_is_in_the_manual_with_its_help():
    text = manual.MANUAL.read_text()
    for table in schema.SECTIONS.values():
        for option in table:
            assert "| `%s` |" % option.name in text
            assert option.help in text


def test_a_template_that_leaves_a_table_out_is_an_error(monkeypatch, tmp_path):
    short = tmp_path / "template.md"
    short.write_text(manual.TEMPLATE.read_text().replace("{options redirect}", ""))
    monkeypatch.setattr(manual, "TEMPLATE", short)
    with pytest.raises(KeyError, match="options redirect"):
        manual.manual()


def test_every_example_is_a_configuration_without_problems(tmp_path):
    """Those in the text, taken together: indented blocks that begin with `config`."""
    from viscum_agent.config import service as model
    from viscum_agent.config import uci

    blocks, inside = [], False
    for line in manual.TEMPLATE.read_text().splitlines():
        inside = line.startswith("    config ") or (inside and (line.startswith("    ") or not line))
        if inside:
            blocks.append(line[4:])
    (tmp_path / "viscum").write_text("\n".join(blocks) + "\n")
    found = model.read(uci.load(str(tmp_path), "viscum"), "viscum")
    assert found.problems == []
    assert [service.name for service in found.services] == [
        "iperf",
        "web",
        "game",
        "updates",
        "recorder",
        "dns",
        "plates",
        "acme_web",
    ]
