"""The datapaths that the running kernel has, by the names that tests and benchmarks use, and how each is configured.

The agent attaches `bpf` with tcx where the kernel has it. So that cls_bpf is seen as well, the agent is then started
without that field of Features: a kernel before 6.6 could not be told from it.
"""

import sys
from collections import namedtuple
from functools import cache

from viscum_agent.errors import UnsupportedError
from viscum_agent.kernel import probe

# `option` is the configuration's name for it, `needs` the Features without which it is not there, `hides` the Features
# that the agent is not to know of.
Datapath = namedtuple("Datapath", ("option", "needs", "hides"))

DATAPATHS = {
    "u32": Datapath("u32", ("u32", "mirred"), ()),
    "flower": Datapath("flower", ("flower", "mirred"), ()),
    "bpf-cls": Datapath("bpf", ("bpf",), ("tcx",)),
    "bpf-tcx": Datapath("bpf", ("bpf", "tcx"), ()),
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
    return all(getattr(_features(), field, False) for field in DATAPATHS[name].needs)


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
