"""Fixtures of the tests with what watches and steers many routers. Of the kernel they need what tests/netns needs."""

import os

import pytest
from lab import CPYTHON, MICROPYTHON, Lab, isolate, namespaces, run
from prometheus import TOOLS

NEEDS = "needs root and tools/setup.sh prometheus (make test-metrics)"

if os.geteuid() == 0:
    isolate()


def pytest_collection_modifyitems(items):
    if os.geteuid() != 0 or not TOOLS.is_dir():
        if os.environ.get("VISCUM_NO_SKIP"):
            raise pytest.UsageError(NEEDS)
        for item in items:
            if "metrics" in item.path.parts:
                item.add_marker(pytest.mark.skip(reason=NEEDS))


@pytest.fixture(autouse=True)
def nothing_left():
    """Every test leaves the machine's namespaces, devices and services as they were."""
    before = namespaces(), run("ip", "-o", "link").stdout.count("\n")
    yield
    assert (namespaces(), run("ip", "-o", "link").stdout.count("\n")) == before


@pytest.fixture(params=["cpython", "micropython"])
def lab(request, tmp_path):
    with Lab(tmp_path, {"cpython": CPYTHON, "micropython": MICROPYTHON}[request.param]) as made:
        yield made
