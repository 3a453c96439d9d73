"""docs/rooms.svg shows which rooms of viscum_agent import which, and rooms only know those below them."""

import sys

import pytest
from lab import ROOT

sys.path.insert(0, str(ROOT / "tools"))

import rooms  # noqa: E402


def test_the_drawing_is_what_the_tool_makes():
    assert rooms.drawing(rooms.layers(), rooms.all_arrows()) == rooms.DRAWING.read_text(), "run tools/rooms.py"


def test_every_arrow_leads_down():
    """So there is no circle."""
    arrows = rooms.all_arrows()
    assert ("agent", "kernel") in arrows
    assert rooms.not_down(arrows, rooms.layers()) == []


@pytest.mark.parametrize(
    "text",
    [
        "from ..cli import words",
        "from ..cli.words import usage",
        "from .. import cli",
        "import viscum_agent.cli.words",
        "from viscum_agent.cli import words",
        "def late():\n    from ..cli import words",
        "if TYPE_CHECKING:\n    pass\nelse:\n    from ..cli import words",
    ],
)
def test_an_import_from_above_is_seen(text):
    found = rooms.imports(text, "kernel/tc.py")
    assert found == {"cli"}
    assert rooms.not_down({("kernel", room) for room in found}, rooms.layers()) == [("kernel", "cli")]


@pytest.mark.parametrize(
    "text", ["if TYPE_CHECKING:\n    from ..cli.words import Usage", "from os import path", "import re"]
)
def test_imports_for_types_alone_and_of_the_interpreter_are_none(text):
    assert rooms.imports(text, "kernel/tc.py") == set()


def test_a_file_of_a_folder_imports_from_its_own_room():
    assert rooms.imports("from .rtnl import message", "kernel/tc.py") == {"kernel"}
    assert rooms.imports("from .u32 import blocks", "plan/datapath/ebpf.py") == {"plan"}
    assert rooms.imports("from . import layout", "ebpf/__init__.py") == {"ebpf"}


def test_rooms_in_the_same_row_do_not_know_each_other():
    assert rooms.not_down({("plan", "kernel")}, [["kernel", "plan"]]) == [("plan", "kernel")]


def test_an_arrow_is_left_out_where_a_way_says_the_same():
    assert rooms.shortened({("a", "b"), ("b", "c"), ("a", "c")}) == [("a", "b"), ("b", "c")]
    assert rooms.shortened({("a", "b"), ("a", "c")}) == [("a", "b"), ("a", "c")]


def test_what_is_wanted_at_one_place_stands_side_by_side():
    assert rooms.spread([50, 50], [20, 40]) == [35, 65]
    assert rooms.spread([10, 90], [20, 40]) == [10, 90]
