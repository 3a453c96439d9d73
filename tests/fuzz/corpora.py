"""The kept inputs: tests/fuzz/corpus/READER.txt, one a line, as Python writes bytes; `#` begins a comment.

They are those that led a reader where no shorter one had (tests/fuzz/run.py keeps them), and each that was a finding.
recorded/READER.txt are real messages of a kernel (tests/fuzz/record.py).
"""

import ast
from pathlib import Path

HERE = Path(__file__).resolve().parent


def load(name, folder="corpus"):
    path = HERE / folder / (name + ".txt")
    if not path.exists():
        return []
    return [ast.literal_eval(line) for line in path.read_text().splitlines() if line and not line.startswith("#")]


def recorded(name):
    return load(name, "recorded")


def save(name, inputs, folder="corpus"):
    """Adds inputs to those that are there."""
    path = HERE / folder / (name + ".txt")
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        for data in inputs:
            file.write(repr(data) + "\n")
