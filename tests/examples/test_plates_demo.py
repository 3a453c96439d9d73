"""`make demo-plates` tells its story and leaves nothing behind."""

import os
import subprocess
import sys

import pytest
from lab import HANG, ROOT


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_plates_are_read_in_the_cloud_on_the_router_and_in_the_cloud_while_the_reader_is_dead():
    words = (sys.executable, ROOT / "demo/cameras.py")
    result = subprocess.run(words, capture_output=True, text=True, timeout=2 * HANG)
    assert result.returncode == 0, result.stdout + result.stderr
    told = [line for line in result.stdout.splitlines() if line.startswith("=> ")]
    assert told == ["=> read by the cloud", "=> read by the edge", "=> read by the edge, then by the cloud"]
