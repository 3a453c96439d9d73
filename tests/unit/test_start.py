"""A call imports what it needs and nothing else: reading and compiling modules is what a router is slow at.

The times are printed, not judged: this machine is no router.
"""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from depends import INTERPRETERS, guarded
from lab import ROOT

CONFIG = "config service 'x'\n\toption enabled 1\n\toption command '/bin/true'\n\tlist device lo\n\tlist dest_port 7\n"
RUNS = 5

# What a call must not import, and what it must, or the test would see nothing; a name stands for what is in it, too.
CALLS = {
    "--version": (
        ("ctypes", "socket", "struct", "json", "viscum_agent.compat", "viscum_agent.reconcile", "viscum_agent.ubus"),
        ("viscum_agent.errors",),
    ),
    "--help": (("ctypes", "socket", "json", "viscum_agent.compat", "viscum_agent.reconcile"), ("viscum_agent.errors",)),
    "check": (
        (
            "json",
            "viscum_agent.ubus",
            "viscum_agent.cli.agent_calls",
            "viscum_agent.doctor",
            "viscum_agent.kernel.pyroute2_backend",
        ),
        ("viscum_agent.plan.planner", "viscum_agent.kernel.native"),
    ),
    "status": (
        (
            "json",
            "viscum_agent.ubus",
            "viscum_agent.cli.agent_calls",
            "viscum_agent.doctor",
            "viscum_agent.kernel.pyroute2_backend",
        ),
        ("viscum_agent.cli.table",),
    ),
    "doctor": (("json", "viscum_agent.ubus", "viscum_agent.kernel.pyroute2_backend"), ("viscum_agent.doctor",)),
    "list": (
        (
            "viscum_agent.reconcile",
            "viscum_agent.plan",
            "viscum_agent.kernel",
            "viscum_agent.agent",
            "viscum_agent.ubus_object.methods",
        ),
        ("viscum_agent.cli.agent_calls", "viscum_agent.ubus.client"),
    ),
}


@pytest.fixture(params=sorted(INTERPRETERS))
def interpreter(request):
    words = INTERPRETERS[request.param]
    if not Path(words[0]).exists():
        pytest.skip("no such interpreter here: make setup")
    return words


def arguments(tmp_path, call):
    (tmp_path / "viscum").write_text(CONFIG)
    return ["-m", "viscum_agent", "-c", str(tmp_path), "-s", str(tmp_path / "no.sock"), call]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("call", sorted(CALLS))
def test_a_call_imports_what_it_needs(call, interpreter, tmp_path):
    log = tmp_path / "imports"
    result = subprocess.run([*guarded(interpreter, log), *arguments(tmp_path, call)], capture_output=True, text=True)
    assert "Traceback" not in result.stderr, result.stderr
    without, needed = CALLS[call]
    loaded = log.read_text().split()
    for name in needed:
        assert name in loaded
    for name in without:
        assert [each for each in loaded if (each + ".").startswith(name + ".")] == [], loaded


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_how_long_a_call_takes(interpreter, tmp_path, capsys):
    """Of some runs the fastest, with byte code where the interpreter has it."""
    environment = {**os.environ, "MICROPYPATH": "%s:.frozen" % ROOT, "PYTHONPATH": str(ROOT)}
    environment["PYTHONPYCACHEPREFIX"] = str(tmp_path / "cache")
    flags = () if "micropython" in interpreter[0] else ("-S",)
    shown = ["%s -c pass: %.0f ms" % (Path(interpreter[0]).name, _fastest([*interpreter, *flags, "-c", "pass"], None))]
    for call in sorted(CALLS):
        words = [*interpreter, *flags, *arguments(tmp_path, call)]
        shown.append("%s %.0f ms" % (call, _fastest(words, environment)))
    with capsys.disabled():
        print("\n" + ", ".join(shown))


@pytest.mark.parametrize("words", [["viscum_agent", "doctor"], ["viscum_agent", "up"], ["viscum_agent.viscumd"]])
def test_a_micropython_that_lacks_something_is_told_so_in_one_line(words, tmp_path):
    """None of this machine's lacks ffi, so a copy of the agent asks for a module that no MicroPython has."""
    micropython = INTERPRETERS["micropython"]
    if not Path(micropython[0]).exists():
        pytest.skip("no MicroPython here: make setup")
    shutil.copytree(ROOT / "viscum_agent", tmp_path / "viscum_agent")
    file = tmp_path / "viscum_agent/compat/__init__.py"
    file.write_text(file.read_text().replace('("ffi", ', '("ffi_of_nobody", '))
    environment = {**os.environ, "MICROPYPATH": "%s:.frozen" % tmp_path}
    command = [*micropython, "-m", *words]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (1, "")
    says = (
        r"viscum: this MicroPython \(1\.\d+\) was built without ffi_of_nobody: install the package micropython-nossl\n"
    )
    assert re.fullmatch(says, result.stderr)


def _fastest(words, environment):
    times = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        subprocess.run(words, cwd=ROOT, env=environment, capture_output=True)
        times.append(time.perf_counter() - begin)
    return 1000 * min(times)
