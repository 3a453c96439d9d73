"""Fixtures of the tests of engines that steer many routers. Of the kernel they need what tests/netns needs."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.append(str(Path(__file__).resolve().parent.parent / "browser"))

from browser import there  # noqa: E402
from lab import ROOT, isolate, namespaces  # noqa: E402
from routers import Routers, answers  # noqa: E402

COUNT = int(os.environ.get("VISCUM_ROUTERS") or 20)  # fewer where somebody works on a test

NEEDS = "needs root and tools/setup.sh ansible openwisp node browser (make test-fleet)"

if os.geteuid() == 0:
    isolate()


def pytest_collection_modifyitems(items):
    engines = [(ROOT / ".cache" / engine / "bin/python").exists() for engine in ("ansible", "openwisp")]
    if os.geteuid() == 0 and all(engines) and there():
        return
    if os.environ.get("VISCUM_NO_SKIP"):
        raise pytest.UsageError(NEEDS)
    for item in items:
        if "engines" in item.path.parts:
            item.add_marker(pytest.mark.skip(reason=NEEDS))


@pytest.fixture(scope="session")
def twenty(tmp_path_factory):
    """Twenty routers; they last, for building them takes longer than a test."""
    before = namespaces()
    with Routers(tmp_path_factory.mktemp("routers"), COUNT) as made:
        yield made
        assert not [router.name for router in made.all if "Traceback" in router.log.read_text()]
    assert namespaces() == before, "nothing is left"


@pytest.fixture
def routers(twenty):
    """All of them with the configuration from before, reached, and answering their clients."""
    for router in twenty.all:
        router.cut(off=False)
    twenty.all_have(answers("before"), "before")
    return twenty
