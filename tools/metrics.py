"""Makes what says which metrics there are of METRICS in viscum_agent/cli/metrics.py: the table in docs/metrics.md, and
those of the collectors for the two node exporters of OpenWrt. What else is in these files is written by hand.

tools/metrics.py            writes them
tools/metrics.py --check    only says whether they are what would be written; exit code 1 when they are not
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import uptodate  # noqa: E402

from viscum_agent.cli.metrics import METRICS, Metric  # noqa: E402

PAGE, COLLECTORS = ROOT / "docs/metrics.md", ROOT / "package/viscum-collectors"
LUA = COLLECTORS / "lua/usr/lib/lua/prometheus-collectors/viscum.lua"
UCODE = COLLECTORS / "ucode/usr/share/ucode/node-exporter/lib/viscum.uc"
# What is made is between the lines with these words.
BEGIN, END = "Made by tools/metrics.py", "End of what is made"


def made() -> dict[Path, str]:
    """{path: text} of all files. ValueError for one without the two lines."""
    rows = {PAGE: ["", *page(), ""], LUA: [lua(each) for each in METRICS], UCODE: [ucode(each) for each in METRICS]}
    return {path: _filled(path, lines) for path, lines in rows.items()}


def _filled(path: Path, lines: list[str]) -> str:
    pattern = r"(^[^\n]*%s[^\n]*\n).*?(^[^\n]*%s)" % (re.escape(BEGIN), re.escape(END))
    text = "".join(line + "\n" for line in lines)
    found, count = re.subn(
        pattern, lambda marks: marks[1] + text + marks[2], path.read_text(), flags=re.MULTILINE | re.DOTALL
    )
    if count != 1:
        raise ValueError("%s has no lines with %r and %r" % (path, BEGIN, END))
    return found


def page() -> list[str]:
    """The lines of the table in the documentation."""
    rows = ["| metric | is a | labels | |", "|---|---|---|---|"]
    return rows + ["| `%s` | %s | %s | %s |" % (each.name, each.kind, _labels(each), each.says) for each in METRICS]


def _labels(metric: Metric) -> str:
    words = ["`service`"] if metric.whose == "service" else []
    if metric.label:
        values = ", ".join("`%s`" % each for each in metric.values)
        words.append("`%s`" % metric.label + (": " + values if values else ""))
    return "; ".join(words)


def lua(metric: Metric) -> str:
    """A row of the collector's table in Lua."""
    return "  { %s }," % _fields(metric, "%s = %s", "{ %s }", "\n    ")


def ucode(metric: Metric) -> str:
    """A row of the collector's table in ucode."""
    return "\t{ %s }," % _fields(metric, "%s: %s", "[ %s ]", "\n\t  ")


def _fields(metric: Metric, field: str, array: str, indent: str) -> str:
    """What a collector has to know, without what is empty, in lines of few enough letters."""
    keys = ("name", "kind", "whose", "key", "form", "label")
    lines = [", ".join(field % (key, _quoted(getattr(metric, key))) for key in keys if getattr(metric, key))]
    if metric.values:
        lines.append(field % ("values", array % ", ".join(map(_quoted, metric.values))))
    return ("," + indent).join([*lines, field % ("help", _quoted(metric.says))])


def _quoted(text: str) -> str:
    """A string of either language."""
    if re.search(r'["\\\n]', text):
        raise ValueError("needs quoting: %r" % text)
    return '"%s"' % text


def main(words: list[str]) -> int:
    return uptodate.main(ROOT, made(), "metrics.py", words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
