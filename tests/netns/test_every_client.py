"""For generated services: every client that is redirected gets the program's answer, every other one the cloud's, and
all of them the cloud's when the program hangs and nobody asks; and `viscum up` agrees with the agent. Both
interpreters and all datapaths at once.

CI tries the same examples each time. VISCUM_EXAMPLES=500 tries more, VISCUM_SEED=7 others.
"""

import json
import os
import subprocess
import sys
import time

import datapaths
import generated
import pytest
from hypothesis import HealthCheck, given, seed, settings
from lab import HANG, ROOT

# How a program is attached makes no difference to what is taken.
PATHS = [name for name in datapaths.here() if name != "bpf-cls" or not datapaths.has("bpf-tcx")]
COMBINATIONS = [(interpreter, path) for interpreter in ("cpython", "micropython") for path in PATHS]
EXAMPLES = int(os.environ.get("VISCUM_EXAMPLES", "8"))
SEED = os.environ.get("VISCUM_SEED")
SHRINK = 120  # seconds after the first failure in which a smaller one is looked for


def bounded(examples):
    def decorate(test):
        test = settings(
            max_examples=examples,
            deadline=None,
            derandomize=SEED is None,
            database=None,
            report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck),
        )(test)
        return seed(int(SEED))(test) if SEED else test

    return decorate


class Combinations:
    """Processes of tests/combination.py: each case is tried by all of them at the same time."""

    def __init__(self, tmp):
        self._processes = {}
        self._tried = tmp / "cases.json"  # for tests/combination.py, where what fails depends on what was before
        self._failed = {}
        self._first = None
        for interpreter, path in COMBINATIONS:
            name = "%s %s" % (interpreter, path)
            words = (sys.executable, ROOT / "tests/combination.py", interpreter, path, tmp / name.replace(" ", "-"))
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            self._processes[name] = subprocess.Popen(
                list(map(str, words)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
            )

    def close(self):
        for process in self._processes.values():
            process.stdin.close()
        for process in self._processes.values():
            process.wait(HANG)

    def check(self, how, case):
        """Fails where something is wrong. What has failed is not tried again, and a while after the first failure
        nothing is: else looking for the smallest one would take for ever."""
        if case not in self._failed:
            if self._first and time.monotonic() > self._first + SHRINK:
                return
            wrong = self._try(how, case)
            if not wrong:
                return
            self._first = self._first or time.monotonic()
            self._failed[case] = wrong
        raise AssertionError("\n".join([*self._failed[case], "all that was tried is in %s" % self._tried]))

    def _try(self, how, case):
        line = json.dumps([how, case])
        with self._tried.open("a") as file:
            print(line, file=file)
        for process in self._processes.values():
            print(line, file=process.stdin, flush=True)
        found = {name: self._processes[name].stdout.readline() for name in self._processes}
        wrong = []
        for name, line in found.items():
            sentences = json.loads(line) if line else ["it ended with %s" % self._processes[name].wait(HANG)]
            wrong += ["%s: %s" % (name, sentence) for sentence in sentences]
        return wrong


@pytest.fixture
def combinations(tmp_path):
    """The same labs for all examples of a test."""
    made = Combinations(tmp_path)
    yield made
    made.close()


@pytest.mark.timeout(3600)
@bounded(EXAMPLES)
@given(generated.cases())
def test_every_client_is_answered_by_who_should(combinations, case):
    combinations.check("agent", case)


@pytest.mark.timeout(3600)
@bounded(EXAMPLES)
@given(generated.cases())
def test_up_agrees_with_the_agent(combinations, case):
    combinations.check("up", case)
