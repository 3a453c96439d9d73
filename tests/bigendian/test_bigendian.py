"""The agent on big-endian processors: mips under MicroPython, as in a router, and s390x under CPython.

qemu emulates one process: its instructions, its C library, and its system calls, with the numbers, structures and byte
order of its processor, which qemu translates for the kernel of this machine. So a wrong number or structure in
viscum_agent.compat fails here. The kernel stays a little-endian one: docs/kernels.md says what that leaves unproven.
"""

import os
import re
import subprocess

import pytest
from lab import ROOT
from unit.test_micropython import collected

BIG = ROOT / ".cache/bigendian"
pytestmark = pytest.mark.skipif(not BIG.exists(), reason="no big-endian interpreters here: make setup")

# What holds bytes, beside what both interpreters share: messages against those of a big-endian iproute2, nf_tables.
HELD_BYTES = ("tests/unit/shared", "tests/unit/test_messages.py", "tests/unit/test_nftables.py")


def run(*words, **environment):
    return subprocess.run(words, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True)


@pytest.mark.timeout(1800)  # emulated: six minutes on a processor that does nothing else
def test_all_shared_tests_pass_under_micropython_on_mips():
    words = (BIG / "micropython", "-X", "heapsize=16M", "tests/micropython/run.py")
    result = run(*words, MICROPYPATH=".:.frozen")
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-5000:]
    passed, failed = re.fullmatch(r"(\d+) passed, (\d+) failed", result.stdout.splitlines()[-1]).groups()
    assert (int(passed), int(failed)) == (collected(), 0)


def test_what_holds_bytes_passes_under_cpython_on_s390x():
    """With this machine's pytest, which is all Python, without its plugins."""
    path = os.pathsep.join([str(ROOT), os.path.dirname(os.path.dirname(pytest.__file__))])
    environment = {"PYTHONPATH": path, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    words = (BIG / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "ignore", *HELD_BYTES)
    result = run(*words, **environment)
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-5000:]
    assert int(re.search(r"(\d+) passed", result.stdout.splitlines()[-1])[1]) > 400
