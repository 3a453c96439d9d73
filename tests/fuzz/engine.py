"""Inputs from inputs, and the other interpreter's opinion on them: for the short pass of the tests and the long one."""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MICROPYTHON = os.environ.get("VISCUM_MICROPYTHON") or str(ROOT / ".cache/micropython/micropython")
NUMBERS = (0, 1, 2, 3, 4, 7, 8, 127, 128, 254, 255)
MOST = 6000  # bytes of an input that was made


def mutated(chance, inputs, tokens):
    """An input that was changed in a few places; `chance` is a random.Random."""
    data = bytearray(chance.choice(inputs))
    for _ in range(chance.choice((1, 1, 2, 3, 6))):
        chance.choice(CHANGES)(chance, data, inputs, tokens)
    return bytes(data[:MOST])


def _place(chance, data):
    return chance.randrange(len(data) + 1)


def _byte(chance, data, _inputs, _tokens):
    if data:
        data[chance.randrange(len(data))] = chance.choice((chance.randrange(256), chance.choice(NUMBERS)))


def _bit(chance, data, _inputs, _tokens):
    if data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _cut(chance, data, _inputs, _tokens):
    at = _place(chance, data)
    del data[at : at + chance.choice((1, 2, 4, 8, 64, len(data)))]


def _repeat(chance, data, _inputs, _tokens):
    at = _place(chance, data)
    data[at:at] = data[at : at + chance.choice((1, 4, 16, 64, 256))] * chance.choice((1, 1, 2, 9))


def _token(chance, data, _inputs, tokens):
    at = _place(chance, data)
    token = chance.choice(tokens)
    data[at : at + chance.choice((0, 0, len(token)))] = token


def _number(chance, data, _inputs, _tokens):
    """A length or a type: 2 or 4 bytes, of either order, at a place where one may be."""
    size = chance.choice((2, 2, 4))
    at = _place(chance, data) // size * size
    number = (
        chance.choice((0, 1, 3, 4, 5, 8, 0x10, len(data), 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)) & (1 << 8 * size) - 1
    )
    data[at : at + size] = number.to_bytes(size, chance.choice(("little", "big")))


def _splice(chance, data, inputs, _tokens):
    other = chance.choice(inputs)
    at, there = _place(chance, data), _place(chance, other)
    data[at:] = other[there:]


CHANGES = (_byte, _bit, _cut, _repeat, _token, _number, _splice)


class Other:
    """A MicroPython that reads what it is given (other.py). A context manager."""

    def __enter__(self):
        words = [MICROPYTHON, "-X", "heapsize=64M", "tests/fuzz/other.py"]
        environment = dict(os.environ, MICROPYPATH=".:.frozen")
        self._process = subprocess.Popen(
            words, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait(60)
        self._process.stdout.close()

    def outcome(self, name, data):
        head = bytes([len(name)]) + name.encode() + len(data).to_bytes(4, "big")
        self._process.stdin.write(head + data)
        self._process.stdin.flush()
        size = self._process.stdout.read(4)
        assert size, "it ended, with %s" % self._process.wait(60)
        return self._process.stdout.read(int.from_bytes(size, "big")).decode()
