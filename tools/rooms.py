"""Draws docs/rooms.svg: the rooms of viscum_agent, and which imports which.

A room is a folder or a file of viscum_agent. The order of the rows is that of the layers in pyproject.toml
([tool.importlinter], the first contract), the arrows are made from the files' imports.

tools/rooms.py            writes docs/rooms.svg
tools/rooms.py --check    only says whether it is what would be written; exit code 1 when it is not
"""

import ast
import sys
import tomllib
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import uptodate

Rows = list[list[str]]
Arrow = tuple[str, str]

ROOT = Path(__file__).resolve().parent.parent
PACKAGE, DRAWING = ROOT / "viscum_agent", ROOT / "docs/rooms.svg"

WIDTH, BOX, GAP = 880, 30, 26  # of the drawing; a box's height; from one row to the next
LANE = 18  # from an arrow to what is next to it
LINE = 18  # from a line of text to the next
TITLE = "The rooms of viscum_agent, and which imports which"
CAPTION = [
    "An arrow: something in the upper room imports something of the lower one, at its top or inside of a function.",
    "Left out: an arrow where a way through other rooms leads to the same one; imports for types alone; and all arrows",
    "to the grey rows, of which nearly every room imports something.",
]
TEXT = '<text x="%d" y="%d" text-anchor="middle" %s>%s</text>'


def layers() -> Rows:
    """The rows from top to bottom, each a list of rooms."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    return [row.split(" | ") for row in contracts[0]["layers"]]


def imports(text: str, path: Path | str) -> set[str]:
    """The names below viscum_agent that the file with this text imports from; `path` is its own below viscum_agent."""
    package = (PACKAGE.name, *Path(path).parts[:-1])
    found: set[str] = set()
    for node in _not_for_types(ast.parse(text)):
        if isinstance(node, ast.Import):
            modules = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join(start + ((node.module,) if node.module else ()))
            modules = [module + "." + name.name for name in node.names]
        else:
            continue
        found.update(parts[1] for parts in (name.split(".") for name in modules) if parts[0] == PACKAGE.name)
    return found


def _not_for_types(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes, but not those below `if TYPE_CHECKING:`."""
    yield node
    children = ast.iter_child_nodes(node)
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        children = iter(node.orelse)
    for child in children:
        yield from _not_for_types(child)


def all_arrows() -> set[Arrow]:
    """(importing room, imported room) for the files as they are."""
    rooms = {room for row in layers() for room in row}
    found: set[Arrow] = set()
    for file in PACKAGE.rglob("*.py"):
        path = file.relative_to(PACKAGE)
        room = path.parts[0].removesuffix(".py")
        found.update((room, other) for other in imports(file.read_text(), path) & rooms - {room})
    return found


def not_down(arrows: Iterable[Arrow], rows: Rows) -> list[Arrow]:
    """Those arrows that do not lead to a lower row."""
    row_of = _row_of(rows)
    return sorted((one, other) for one, other in arrows if row_of[one] >= row_of[other])


def shortened(arrows: Collection[Arrow]) -> list[Arrow]:
    """Without the arrows for which a way through other rooms leads to the same one. There must be no circle."""
    below: dict[str, set[str]] = {}
    for one, other in arrows:
        below.setdefault(one, set()).add(other)

    def reached(room: str) -> set[str]:
        return set[str]().union(*({other} | reached(other) for other in below.get(room, ())))

    return sorted((one, other) for one, other in arrows if not any(other in reached(between) for between in below[one]))


def split(rows: Rows) -> tuple[Rows, Rows]:
    """(rows that are drawn with arrows, rows at the bottom that nearly all import): the latter are those below the last
    folder, where only compat is one."""
    last = max(index for index, row in enumerate(rows[:-1]) if any((PACKAGE / room).is_dir() for room in row))
    return rows[: last + 1], rows[last + 1 :]


def _row_of(rows: Rows) -> dict[str, int]:
    return {room: index for index, row in enumerate(rows) for room in row}


# Where things are


def place(
    rows: Rows, arrows: Collection[Arrow], before: dict[str, float]
) -> tuple[dict[str, float], dict[Arrow, list[float]]]:
    """({room: x of its middle}, {arrow: its x in each row from its first to its last}): row by row, each room below
    what leads to it, and arrows that pass a row beside its rooms. With the rooms' places of the time before, arrows
    that come from the same box are in the order in which their rooms are."""
    row_of = _row_of(rows)
    x_of: dict[str, float] = {}
    ways: dict[Arrow, list[float]] = {}
    for index, row in enumerate(rows):
        wanted: list[tuple[float, float, str | Arrow]] = []
        for room in row:
            into = [way[-1] for arrow, way in ways.items() if arrow[1] == room] or [WIDTH / 2]
            wanted.append((_mean(into), before.get(room, 0), room))
        passing = [arrow for arrow in ways if row_of[arrow[1]] > index]
        wanted += [(ways[arrow][-1], before.get(arrow[1], 0), arrow) for arrow in passing]
        wanted.sort(key=lambda thing: thing[:2])
        things = [thing for _, _, thing in wanted]
        found = dict(zip(things, spread([x for x, _, _ in wanted], [_width(thing) for thing in things]), strict=True))
        x_of.update((room, found[room]) for room in row)
        for arrow, way in ways.items():
            if row_of[arrow[1]] >= index:
                way.append(found[arrow if arrow in passing else arrow[1]])
        ways.update((arrow, [x_of[arrow[0]]]) for arrow in arrows if arrow[0] in row)
    return x_of, ways


def spread(wanted: Sequence[float], widths: Sequence[float]) -> list[float]:
    """As near to what is wanted as can be without one over another (least squares: those that are too near to each
    other move together)."""
    starts = [0.0]
    for one, other in pairwise(widths):
        starts.append(starts[-1] + (one + other) / 2)
    groups: list[list[float]] = []
    for x, start in zip(wanted, starts, strict=True):
        groups.append([x - start])
        while len(groups) > 1 and _mean(groups[-2]) > _mean(groups[-1]):
            groups[-2:] = [groups[-2] + groups[-1]]
    return [_mean(group) + start for group, start in zip((g for g in groups for _ in g), starts, strict=True)]


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers)


def _width(thing: str | Arrow) -> int:
    return 2 * LANE if isinstance(thing, tuple) else _box(thing) + 2 * LANE


def _box(room: str) -> int:
    return 9 * len(_label(room)) + 24


def _label(room: str) -> str:
    return room + ("/" if (PACKAGE / room).is_dir() else ".py")


def _ends(arrows: dict[Arrow, float], x_of: dict[str, float], side: int) -> dict[Arrow, float]:
    """{arrow: x}: the places at a box's edge, side by side in the order in which the arrows come or go."""
    found: dict[Arrow, float] = {}
    for room, x in x_of.items():
        own = sorted((beside, arrow) for arrow, beside in arrows.items() if arrow[side] == room)
        found.update((arrow, x + LANE * (number - (len(own) - 1) / 2)) for number, (_, arrow) in enumerate(own))
    return found


# What is drawn


def drawing(rows: Rows, arrows: Collection[Arrow]) -> str:
    """The text of the SVG file."""
    upper, lower = split(rows)
    row_of = _row_of(upper)
    arrows = shortened({(one, other) for one, other in arrows if one in row_of and other in row_of})
    x_of, _ = place(upper, arrows, {})
    x_of, ways = place(upper, arrows, x_of)
    starts = _ends({arrow: way[1] for arrow, way in ways.items()}, x_of, 0)
    ends = _ends({arrow: way[-2] for arrow, way in ways.items()}, x_of, 1)
    parts = [_way(row_of[arrow[0]], [starts[arrow], *way[1:-1], ends[arrow]]) for arrow, way in ways.items()]
    parts += [_room(_label(room), x, _top(row_of[room]), _box(room), "#fff") for room, x in x_of.items()]
    bottom = _top(len(upper))
    for row in lower:
        parts.append(_room("   ".join(map(_label, row)), WIDTH / 2, bottom, WIDTH / 2, "#eaeef2"))
        bottom += BOX + 6
    for line in CAPTION:
        bottom += LINE
        parts.append(TEXT % (WIDTH / 2, bottom, 'font-size="12" fill="#555"', line))
    return _svg(bottom + LINE, parts)


def _top(index: int) -> int:
    return 20 + index * (BOX + GAP)


def _room(label: str, x: float, y: float, width: float, fill: str) -> str:
    edges = (x - width / 2, y, width, BOX, fill)
    box = '<rect x="%d" y="%d" width="%d" height="%d" rx="5" fill="%s" stroke="#666"/>' % edges
    return box + "\n  " + TEXT % (x, y + 20, 'font-weight="bold" xml:space="preserve"', label)


def _way(index: int, way: Sequence[float]) -> str:
    """From the lower edge of a box in row `index` down to the upper edge of one: straight where it passes a row, with a
    bend between two of them."""
    steps = ["M%d %d" % (way[0], _top(index) + BOX)]
    for row, (x, next_x) in enumerate(pairwise(way), index):
        y, next_y = _top(row) + BOX, _top(row + 1)
        steps.append("V%dC%d %d %d %d %d %d" % (y, x, y + GAP / 2, next_x, next_y - GAP / 2, next_x, next_y))
    return '<path d="%s" fill="none" stroke="#555" stroke-width="1.6" marker-end="url(#a)"/>' % "".join(steps)


def _svg(height: int, parts: list[str]) -> str:
    return """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img"
     font-family="'DejaVu Sans', Verdana, sans-serif" font-size="13" fill="#222">
  <title>%s</title>
  <!-- Made by tools/rooms.py from the imports and pyproject.toml: change those. -->
  <defs>
    <marker id="a" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">
      <path d="M0 0 10 5 0 10z" fill="#555"/>
    </marker>
  </defs>
  <rect width="%d" height="%d" fill="#fff"/>
  %s
</svg>
""" % (WIDTH, height, WIDTH, height, TITLE, WIDTH, height, "\n  ".join(parts))


def main(words: list[str]) -> int:
    rows, arrows = layers(), all_arrows()
    wrong = not_down(arrows, rows)
    if wrong:
        print("imports that do not lead down: " + ", ".join("%s -> %s" % arrow for arrow in wrong), file=sys.stderr)
        return 1
    return uptodate.main(ROOT, {DRAWING: drawing(rows, arrows)}, "rooms.py", words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
