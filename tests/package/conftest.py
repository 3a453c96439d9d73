"""Fixtures of the package's tests: packages are built once."""

import os

import pytest
from opkg import opkg
from packages import NEWS, build, copy_source, next_release
from router import Router


@pytest.fixture(scope="session")
def source(tmp_path_factory):
    return copy_source(tmp_path_factory.mktemp("source") / "viscum")


@pytest.fixture(scope="session")
def ipks(source, tmp_path_factory):
    return build(source, "ipk", tmp_path_factory.mktemp("ipk"))[0]


@pytest.fixture(scope="session")
def later_ipks(source, tmp_path_factory):
    """The next release, whose shipped configuration has a line more."""
    return build(next_release(source, NEWS), "ipk", tmp_path_factory.mktemp("later"))[0]


@pytest.fixture(scope="session")
def apks(source, tmp_path_factory):
    return build(source, "apk", tmp_path_factory.mktemp("apk"))[0]


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
