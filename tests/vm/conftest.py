"""Fixtures of the tests that run in the guest (tests/vm/run.sh)."""

import os
from pathlib import Path

import pytest
from lab import CPYTHON, Lab, left_as_it_was
from wifi import Wifi

HERE = Path(__file__).resolve().parent


def pytest_collection_modifyitems(items):
    # These tests load modules and take over the radios: never on a machine that somebody uses.
    if "VISCUM_GUEST" in os.environ:
        return
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="runs in the guest only: tests/vm/run.sh"))


@pytest.fixture(autouse=True)
def nothing_left():
    """Every test leaves the guest's namespaces and devices as they were, also for the test that follows."""
    with left_as_it_was():
        yield


@pytest.fixture
def lab(tmp_path):
    """client -- router -- cloud in namespaces, as in tests/netns; here with CPython."""
    with Lab(tmp_path, CPYTHON) as made:
        yield made


@pytest.fixture
def wifi(lab, tmp_path):
    """A Wi-Fi station whose access point is the lab's router."""
    with Wifi(tmp_path, router=lab.router) as made:
        yield made


@pytest.fixture
def bridged_wifi(lab, tmp_path):
    """The same, and the access point is a port of br-lan: what OpenWrt makes of every router."""
    with Wifi(tmp_path, router=lab.router, bridge="br-lan") as made:
        yield made
