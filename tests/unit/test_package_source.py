"""What a package leaves out of a source, beside what test_package_constants.py is about."""

import ast
import sys

from lab import ROOT

sys.path.append(str(ROOT / "tools/package"))
from source import PACKAGE, bare  # noqa: E402

SOURCE = """
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LATER: "Any" = None


def of(
    one: "Any", *others: int, last: "str -> str" = ":"
) -> "dict[str, Any]":
    found: dict[str, int] = {}
    return found
"""


def test_what_is_only_for_mypy_is_not_in_a_package():
    short = '\nimport os\n\n\n\n\n\nLATER = None\n\n\ndef of(\n    one, *others, last = ":"\n):\n    found'
    assert bare(SOURCE) == short + " = {}\n    return found\n"


def test_no_module_of_a_package_imports_typing():
    """Also not for mypy alone, but in a block that is left out."""
    for path in (ROOT / PACKAGE).rglob("*.py"):
        text = bare(path.read_text())
        assert "TYPE_CHECKING" not in text, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom):
                assert node.module not in ("typing", "collections.abc"), path
