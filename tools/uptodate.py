"""What the tools that make files have in common: they write them, or only say which are not up to date."""

import sys
from pathlib import Path


def main(root: Path, wanted: dict[Path, str], tool: str, words: list[str]) -> int:
    """`wanted` maps paths below `root` to texts, `tool` is the name of the tool that made them, `words` its arguments:
    none, or --check. Returns an exit code."""
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    if words == ["--check"]:
        for path in stale:
            print("%s is not up to date: run tools/%s" % (path.relative_to(root), tool), file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted[path])
    return 0
