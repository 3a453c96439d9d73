"""Fixtures of the tests that need a kernel. `lab` runs each test once with CPython and once with MicroPython."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import datapaths  # noqa: E402
from lab import CPYTHON, MICROPYTHON, Lab, isolate, namespaces, run  # noqa: E402

if os.geteuid() == 0:
    isolate()


def pytest_collection_modifyitems(items):
    if os.geteuid() != 0:
        for item in items:
            item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.fixture(autouse=True)
def nothing_left():
    """Every test leaves the machine's namespaces, devices and services as they were."""
    before = namespaces(), run("ip", "-o", "link").stdout.count("\n")
    yield
    assert (namespaces(), run("ip", "-o", "link").stdout.count("\n")) == before


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
