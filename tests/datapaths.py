"""The datapaths that the running kernel has, by the names that tests and benchmarks use, and how each is configured.

The agent attaches `bpf` with tcx where the kernel has it. So that cls_bpf is seen as well, the agent is then started
without that field of Features: a kernel before 6.6 could not be told from it.
"""

import sys
from collections import namedtuple
from functools import cache

from viscum_agent.errors import UnsupportedError
from viscum_agent.kernel import probe

# `option` is the configuration's name for it, `there` says of Features whether it is, `hides` the Features that the
# agent is not to know of.
Datapath = namedtuple("Datapath", ("option", "there", "hides"))

DATAPATHS = {
    "u32": Datapath("u32", lambda found: found.u32 and found.mirred, ()),
    "flower": Datapath("flower", lambda found: found.flower and found.mirred, ()),
    "bpf-cls": Datapath("bpf", lambda found: hasattr(found, "tcx") and found.bpf, ("tcx",)),
    "bpf-tcx": Datapath("bpf", lambda found: getattr(found, "bpf", False) and getattr(found, "tcx", True), ()),
}

HIDING = """
import sys
from viscum_agent.kernel import probe
ask = probe.features
probe.features = lambda: ask()._replace(**dict.fromkeys(%r, False))
from viscum_agent.cli import main
sys.exit(main(sys.argv[1:]))
"""


@cache
def _features():
    try:
        return probe.features()
    except UnsupportedError:
        return None  # not root: the tests are skipped


def has(name):
    """Whether the kernel, and the agent, have a datapath."""
    return _features() is not None and bool(DATAPATHS[name].there(_features()))


def here():
    return [name for name in DATAPATHS if has(name)]


def option(name):
    """A line of a service's section."""
    return "option datapath " + DATAPATHS[name].option


def command(name):
    """How `viscum` is started for a datapath: the words before its own."""
    hides = [field for field in DATAPATHS[name].hides if hasattr(_features(), field)]
    if not hides:
        return [sys.executable, "-m", "viscum_agent"]
    return [sys.executable, "-c", HIDING % (hides,)]
