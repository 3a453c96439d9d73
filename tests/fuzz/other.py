"""The other interpreter's half: reads inputs from its standard input, and writes what its readers made of them.

    MICROPYPATH=.:.frozen micropython -X heapsize=64M tests/fuzz/other.py

An input is the length of a reader's name, the name, the length of the data (4 bytes, big-endian) and the data; an
answer its length (4 bytes) and the text. It ends with its input.
"""

import sys

sys.path.insert(0, "tests")

from fuzz import fuzzing  # noqa: E402

from viscum_agent import compat  # noqa: E402


def main():
    compat.start()
    source, target = sys.stdin.buffer, sys.stdout.buffer
    while True:
        head = source.read(1)
        if not head:
            return
        name = source.read(head[0]).decode()
        data = source.read(int.from_bytes(source.read(4), "big"))
        answer = answered(name, data).encode()
        target.write(len(answer).to_bytes(4, "big") + answer)
        target.flush() if hasattr(target, "flush") else None


def answered(name, data):
    try:
        return fuzzing.outcome(fuzzing.load(name), data)
    except Exception as error:
        return "%s from the reader: %s" % (type(error).__name__, error)


main()
