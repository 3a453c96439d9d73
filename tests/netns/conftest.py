"""Fixtures of the tests that need a kernel. `lab` runs each test once with CPython and once with MicroPython."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import datapaths  # noqa: E402
from agent import answering  # noqa: E402
from lab import CPYTHON, MICROPYTHON, Lab, isolate, left_as_it_was, run  # noqa: E402

if os.geteuid() == 0:
    isolate()


def pytest_collection_modifyitems(config, items):
    twice = [item for item in items if _is_seen_elsewhere(item)]
    config.hook.pytest_deselected(items=twice)
    items[:] = [item for item in items if item not in twice]
    if os.geteuid() != 0:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="needs root"))


def _is_seen_elsewhere(item):
    """How a program is attached makes no difference to an interpreter: both do it in test_bpf.py, and everywhere else
    both do it the other way (tcx)."""
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    both = (parameters.get("interpreter"), parameters.get("datapath")) == ("micropython", "bpf-cls")
    return both and item.path.name != "test_bpf.py" and datapaths.has("bpf-tcx")


@pytest.fixture(autouse=True)
def nothing_left():
    with left_as_it_was():
        yield


@pytest.fixture(params=["cpython", "micropython"])
def interpreter(request):
    return {"cpython": CPYTHON, "micropython": MICROPYTHON}[request.param]


@pytest.fixture(params=datapaths.here() or [None])
def datapath(request):
    """For a test that is run with each datapath that this kernel has; its lab has it as the router's."""
    return request.param


@pytest.fixture
def lab(request, tmp_path, interpreter):
    datapath = request.getfixturevalue("datapath") if "datapath" in request.fixturenames else None
    with Lab(tmp_path, interpreter, datapath=datapath) as made:
        yield made


@pytest.fixture
def resolv_conf(tmp_path):
    """The router's resolver is its own, for all that this process starts."""
    file = tmp_path / "resolv.conf"
    file.write_text("search example.com\nnameserver 127.0.0.1\nnameserver fe80::1%wan0\n")
    run("mount", "--bind", file, "/etc/resolv.conf")
    yield file
    run("umount", "--lazy", "/etc/resolv.conf")  # an agent that is killed may have it open still


@pytest.fixture
def agent(lab):
    """One that keeps a service whose program answers."""
    with answering(lab) as made:
        yield made
