"""Fixtures of the examples' tests. What a service needs of the kernel is as in tests/netns."""

import os

import pytest
from lab import CPYTHON, HANG, MICROPYTHON, Lab, isolate, left_as_it_was
from plates import PACKAGES, Server, render

if os.geteuid() == 0:
    isolate()


def pytest_collection_modifyitems(items):
    if not PACKAGES.is_dir():
        for item in items:
            if "examples" in item.path.parts:
                item.add_marker(pytest.mark.skip(reason="needs tools/setup.sh plates"))


@pytest.fixture(autouse=True)
def nothing_left():
    """Every test leaves the machine's namespaces, devices and services as they were."""
    with left_as_it_was():
        yield


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """A folder with some pictures."""
    folder = tmp_path_factory.mktemp("pictures")
    render(folder, 3, 6)
    return folder


@pytest.fixture(scope="session")
def picture(pictures):
    return (pictures / "000.jpg").read_bytes()


@pytest.fixture(scope="module")
def impatient():
    """A server that waits less than a second for anybody, with a name that is markup."""
    with Server("--name", "<i>here</i>", "--patience", "0.3") as made:
        yield made


@pytest.fixture(scope="module")
def server():
    with Server("--name", "here", "--patience", str(HANG)) as made:
        yield made


@pytest.fixture(params=["cpython", "micropython"])
def lab(request, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with Lab(tmp_path, {"cpython": CPYTHON, "micropython": MICROPYTHON}[request.param]) as made:
        yield made
