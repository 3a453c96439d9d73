"""What a package leaves out of a source, beside what test_package_constants.py is about."""

import ast
import random
import sys
import zlib

import pytest
from lab import ROOT

sys.path.append(str(ROOT / "tools/package"))
import common  # noqa: E402
from source import PACKAGE, bare, shallow  # noqa: E402

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


DEEP = """
def of(one,
       two):
    if one and \\
            two:
        text = '''
            as it is
        '''.strip(
            two
        )
        for each in [
            1,
        ]: pass

    else:
        try:
            return {
                "a": 1,
            }

        finally:
            pass
    return text
"""
SHALLOW = """
def of(one,
two):
 if one and \\
two:
  text='''
            as it is
        '''.strip(
two
)
  for each in[
1,
]:pass

 else:
  try:
   return{
"a":1,
}

  finally:
   pass
 return text
"""


def test_indentation_is_as_short_as_it_can_be_and_no_text_or_line_number_changes():
    assert shallow(DEEP) == SHALLOW
    assert ast.dump(ast.parse(DEEP)) == ast.dump(ast.parse(SHALLOW))


@pytest.mark.parametrize("text", ["", "\n", "a = 1", "if a:\n    b", "if a:\n    b\n\n    # c\nd\n"])
def test_a_source_may_end_anywhere(text):
    assert shallow(text).split() == text.replace(" = ", "=").split() and shallow(text).count("\n") == text.count("\n")


def test_spaces_go_but_between_words():
    text = 'a = [b if c else "d" for e, f in g (-1, ** h)] or not (i . j is None)\n'
    assert shallow(text) == 'a=[b if c else "d"for e,f in g(-1,**h)]or not(i.j is None)\n'
    assert ast.dump(ast.parse(text)) == ast.dump(ast.parse(shallow(text)))


def test_what_is_left_of_each_module_means_the_same():
    for path in (ROOT / PACKAGE).rglob("*.py"):
        text = bare(path.read_text())
        assert ast.dump(ast.parse(shallow(text))) == ast.dump(ast.parse(text)), path
        assert shallow(text).count("\n") == text.count("\n"), path


def test_no_module_of_a_package_imports_typing():
    """Also not for mypy alone, but in a block that is left out."""
    for path in (ROOT / PACKAGE).rglob("*.py"):
        text = bare(path.read_text())
        assert "TYPE_CHECKING" not in text, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom):
                assert node.module not in ("typing", "collections.abc"), path


def test_a_dictionary_holds_what_several_texts_have_and_no_more_than_its_size():
    rng = random.Random(5)
    shared = rng.randbytes(4 * common.PIECE)
    texts = [rng.randbytes(500) + shared + rng.randbytes(500) for _ in range(5)]
    found = common.dictionary(texts, 5 * common.PIECE)
    assert found == common.dictionary(texts, 5 * common.PIECE), "the same package from the same sources"
    packer = zlib.compressobj(9, zlib.DEFLATED, -12, zdict=found)
    assert len(packer.compress(shared) + packer.flush()) < len(shared) / 2
    for size in (0, common.PIECE - 1, common.PIECE, 3 * common.PIECE + 1):
        assert len(common.dictionary(texts, size)) == size // common.PIECE * common.PIECE
    assert common.dictionary([], 100) == common.dictionary([b"short"], 100) == b""
