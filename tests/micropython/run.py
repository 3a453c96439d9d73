"""Runs the tests that both interpreters share under the one that runs this file: there is no pytest for MicroPython.

    MICROPYPATH=.:.frozen micropython -X heapsize=16M tests/micropython/run.py

from the root of the repository. The tests are the functions test_* of tests/unit/shared/test_*.py and the golden cases;
under CPython, pytest runs the very same. Prints each failure and `N passed, N failed`; exits with 1 after a failure.
"""

import gc
import os
import sys

sys.path.insert(0, "tests")

from golden import cases  # noqa: E402

from viscum_agent import compat  # noqa: E402

SHARED = "tests/unit/shared"
GOLDEN = "tests/golden"
MANY = 1000  # services, for the collector: it shall run seldom, since each test is followed by a collection anyway


def golden(path):
    """A test of one golden case."""

    def run():
        _, sections = cases.load(path)
        for got, wanted in zip(cases.outcome(sections), cases.expected(sections)):  # noqa: B905 (MicroPython)
            _assert_same(got, wanted)

    return run


def _assert_same(lines, wanted):
    for number in range(max(len(lines), len(wanted))):
        line = lines[number] if number < len(lines) else "(nothing)"
        expected = wanted[number] if number < len(wanted) else "(nothing)"
        assert line == expected, "\n  expected %s\n  got      %s" % (expected, line)


def tests():
    """(name, function) of every test, module by module."""
    for file in sorted(os.listdir(SHARED)):
        if not file.startswith("test_") or not file.endswith(".py"):
            continue
        name = "unit.shared." + file[:-3]
        __import__(name)
        module = sys.modules[name]
        for test in sorted(dir(module)):
            if test.startswith("test_"):
                yield "%s/%s::%s" % (SHARED, file, test), getattr(module, test)
    for path in cases.paths(GOLDEN):
        yield path, golden(path)


def main():
    compat.start()
    compat.expect(MANY)
    passed = failed = 0
    for name, test in tests():
        gc.collect()
        try:
            test()
            passed += 1
        except Exception as error:
            failed += 1
            print("FAILED " + name)
            _show(error)
    print("%d passed, %d failed" % (passed, failed))
    return 1 if failed or not passed else 0


def _show(error):
    if hasattr(sys, "print_exception"):
        sys.print_exception(error)
        return
    import traceback

    traceback.print_exception(error)


if __name__ == "__main__":
    sys.exit(main())
