"""Fixtures of the package's tests: packages are built once."""

import fcntl
import os

import pytest
from opkg import opkg
from packages import NEWS, build, copy_source, next_release, packages_in
from router import Router


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    return copy_source(tmp_path_factory.mktemp("source") / "viscum")


@pytest.fixture(scope="session")
def ipks(source, tmp_path_factory):
    return once(tmp_path_factory, "ipks", lambda folder: build(source, "ipk", folder))


@pytest.fixture(scope="session")
def later_ipks(source, tmp_path_factory):
    """The next release, whose shipped configuration has a line more."""
    return once(tmp_path_factory, "later", lambda folder: build(next_release(source, NEWS), "ipk", folder))


@pytest.fixture(scope="session")
def apks(source, tmp_path_factory):
    return once(tmp_path_factory, "apks", lambda folder: build(source, "apk", folder))


def once(tmp_path_factory, name, make):
    """What `make` builds in a folder, by whichever process of this run of tests comes first."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            new = folder.with_suffix(".new")
            make(new)
            new.rename(folder)
    return packages_in(folder)


@pytest.fixture(params=["viscum", "viscum-cpython"])
def name(request):
    return request.param


@pytest.fixture
def router(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    return Router(tmp_path / "router")


@pytest.fixture
def installer(router):
    return opkg(router)
