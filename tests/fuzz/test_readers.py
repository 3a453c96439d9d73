"""Whatever a reader is given, it answers in time: a value or an error of a known kind, the same on both interpreters.

The short pass: what is kept and recorded, and changes of it, the same in every run. `make fuzz` is the long one.
"""

import contextlib
import gc
import random
import time
import tracemalloc

import pytest
from fuzz import corpora, engine, fuzzing

CHANGED = 120  # inputs for each reader that are made from others
SIZES = (16 * 1024, 64 * 1024)  # bytes
GROWS = 9  # times as long, at most, for an input that is 4 times as long; a square would be 16 times
SHORT = 0.03  # seconds that say nothing about growth
MEMORY = 100  # bytes for each byte of an input; an empty table in CPython is 64, for 8 bytes
WITH_SLOW = [name for name in fuzzing.NAMES if hasattr(fuzzing.load(name), "slow")]


def inputs(name):
    """What is kept and recorded for a reader, and changes of it."""
    reader = fuzzing.load(name)
    chance = random.Random(name)
    known = reader.seeds() + corpora.load(name)
    return known + [engine.mutated(chance, known, reader.TOKENS) for _ in range(getattr(reader, "COUNT", CHANGED))]


@pytest.fixture(scope="module")
def other():
    with engine.Other() as other:
        yield other


@pytest.mark.parametrize("name", fuzzing.NAMES)
def test_both_interpreters_read_the_same_and_only_known_kinds_of_error(name, other):
    reader = fuzzing.load(name)
    for data in inputs(name):
        found = fuzzing.outcome(reader, data)
        if not getattr(reader, "ALONE", False):
            assert other.outcome(name, data) == found, data


@pytest.mark.parametrize("name", WITH_SLOW)
def test_the_time_grows_as_the_input_does(name):
    reader = fuzzing.load(name)
    for short, long in zip(reader.slow(SIZES[0]), reader.slow(SIZES[1]), strict=True):
        took = seconds(reader, long)
        assert took < SHORT or took < GROWS * min(seconds(reader, short) for _ in range(3)), long[:60]


def seconds(reader, data):
    gc.disable()  # it looks at everything that is there, each time that so much is new
    try:
        began = time.process_time()
        fuzzing.outcome(reader, data)
        return time.process_time() - began
    finally:
        gc.enable()


@pytest.mark.parametrize("name", WITH_SLOW)
def test_the_memory_grows_as_the_input_does(name):
    reader = fuzzing.load(name)
    for data in reader.slow(SIZES[0]):
        tracemalloc.start()
        with contextlib.suppress(reader.ALLOWED):
            reader.read(data)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < MEMORY * len(data), data[:60]
