"""Draws docs/benchmarks.svg from what bench/datapath.py measured: bench/plot.py FILE.json >docs/benchmarks.svg

One panel for a figure, one bar for a variant: the median, with a line from the least to the most.
"""

import json
import statistics
import sys
from html import escape
from typing import Any

# (test, figure, title). Of what costs time, less is better; that is said beside the title.
PANELS = (
    ("in", "us", "A packet, client to program (us)"),
    ("out", "us", "A packet, program to client (us)"),
    ("rr", "median", "Round trip of 64 bytes (us)"),
    ("crr", "cpu", "Connect, ask, close (us of CPU)"),
    ("mtu", "cpu", "TCP of 1500-byte packets, in (CPU s/GB)"),
    ("mtur", "cpu", "TCP of 1500-byte packets, out (CPU s/GB)"),
)
NAMES, BARS, ROW, GAP, COLUMNS = 150, 260, 18, 44, 2  # pixels
OURS, OTHERS, INK, FAINT = "#2b7a4b", "#9aa5b1", "#1f2933", "#616e7c"
FONT = "font-family='system-ui, sans-serif' font-size='12'"


def panel(title: str, numbers: dict[str, list[float]], left: int, top: int) -> list[str]:
    """SVG elements of one panel; `numbers` are {variant: [number]}."""
    most = max(max(values) for values in numbers.values())
    parts = [text(left, top + 12, title, INK, "font-weight='600'")]
    for line, (name, values) in enumerate(numbers.items()):
        y = top + 22 + line * ROW
        middle, ends = statistics.median(values), (min(values), max(values))
        x = left + NAMES
        low, width, high = [BARS * number / most for number in (ends[0], middle, ends[1])]
        colour = OURS if name.startswith("viscum-") else OTHERS
        parts.append(text(x - 6, y + 11, name, INK, "text-anchor='end'"))
        parts.append("<rect x='%d' y='%d' width='%.1f' height='%d' fill='%s'/>" % (x, y, width, ROW - 4, colour))
        parts.append("<line x1='%.1f' x2='%.1f' y1='%d' y2='%d' stroke='%s'/>" % (x + low, x + high, y + 7, y + 7, INK))
        parts.append(text(x + max(width, high) + 6, y + 11, "%.3g" % middle, FAINT))
    return parts


def text(x: float, y: int, words: str, colour: str, more: str = "") -> str:
    return "<text x='%.1f' y='%d' fill='%s' %s %s>%s</text>" % (x, y, colour, FONT, more, escape(words))


def draw(result: dict[str, Any]) -> str:
    figures = result["figures"]
    shown = [(title, figures[test][key]) for test, key, title in PANELS if key in figures.get(test, {})]
    height = 22 + len(result["meanings"]) * ROW + GAP
    width = NAMES + BARS + 70
    parts: list[str] = []
    for number, (title, numbers) in enumerate(shown):
        parts += panel(title, numbers, 10 + number % COLUMNS * width, 40 + number // COLUMNS * height)
    rows = (len(shown) + COLUMNS - 1) // COLUMNS
    size = (10 + COLUMNS * width, 40 + rows * height)
    about = result["machine"]
    head = (
        "Less is better. Linux %(kernel)s, %(cpu)s, %(cores)d cores; medians of %(repeat)d, lines: least to most"
        % about
    )
    parts.insert(0, text(10, 20, head, FAINT))
    start = "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %d' width='%d' height='%d'>" % (size + size)
    return "\n".join([start, "<rect width='100%' height='100%' fill='#fff'/>", *parts, "</svg>"])


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        print(draw(json.load(file)))
