"""A benchmark that nobody runs for a while soon can't run any more. What it measures is not judged."""

import json
import sys

from lab import ROOT, run


def test_the_benchmark_of_the_control_path_runs():
    """It compares with what `viscum plan` prints; the other two have only traffic to make, and need a compiler."""
    words = (ROOT / "bench/control.py", "--counts", "1", "--repeat", "1")
    said = run(sys.executable, *words, timeout=300).stdout
    results = json.loads(said.splitlines()[-1])["services"]["1"]
    assert {"native-cpython", "native-micropython", "script", "batch"} <= set(results)
