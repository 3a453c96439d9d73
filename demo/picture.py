"""Draws what a program wrote to a terminal, colours included, as an SVG: the picture in the README.

    demo/demo.py --colour | demo/picture.py >docs/demo.svg

It changes nothing of the text: what is in the picture was in the output.
"""

import re
import sys
from html import escape

SIZE, WIDTH, HEIGHT, MARGIN = 14, 8.43, 19, 18  # pixels: letter, its advance in a monospace font, line, border
BACKGROUND, TEXT = "#16181d", "#d7dae0"
FONTS = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"
STYLES = {
    "1": "font-weight:bold",
    "2": "fill:#8b909a",
    "31": "fill:#ff6b68",
    "32": "fill:#7ee08a",
    "33": "fill:#f0c674",
}


def line(text, number):
    """One line as a <text> element: pieces between escape sequences (ECMA-48, SGR), each at its column."""
    pieces, codes, column = [], [], 0
    for part in re.split(r"(\033\[[\d;]*m)", text):
        if part.startswith("\033"):
            codes = [code for code in part[2:-1].split(";") if code in STYLES]
        elif part:
            style = ";".join(STYLES[code] for code in codes)
            length = WIDTH * len(part)
            pieces.append(
                '<tspan x="%.1f" textLength="%.1f"%s>%s</tspan>'
                % (MARGIN + WIDTH * column, length, ' style="%s"' % style if style else "", escape(part))
            )
            column += len(part)
    return '<text y="%d">%s</text>' % (MARGIN + HEIGHT * number + SIZE, "".join(pieces)) if pieces else ""


def picture(text):
    lines = text.rstrip("\n").split("\n")
    longest = max(len(re.sub(r"\033\[[\d;]*m", "", each)) for each in lines)
    width, height = MARGIN * 2 + WIDTH * longest, MARGIN * 2 + HEIGHT * len(lines)
    head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img">' % (
        (width, height) * 2
    )
    frame = '<rect width="100%%" height="100%%" rx="8" fill="%s"/>' % BACKGROUND
    group = '<g font-family="%s" font-size="%d" fill="%s" xml:space="preserve" style="white-space:pre">' % (
        FONTS,
        SIZE,
        TEXT,
    )
    body = [drawn for drawn in (line(each, number) for number, each in enumerate(lines)) if drawn]
    return "\n".join([head, "<title>Output of make demo</title>", frame, group, *body, "</g>", "</svg>"]) + "\n"


if __name__ == "__main__":
    sys.stdout.write(picture(sys.stdin.read()))
