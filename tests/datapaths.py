"""The datapaths that the running kernel has, by the names that tests and benchmarks use, and how each is configured.

The agent attaches `bpf` with tcx where the kernel has it. So that cls_bpf is seen there as well, the agent is then
started by tests/without_tcx.py, in which the kernel refuses links as one before 6.6 does. Such a kernel needs no help.
"""

from collections import namedtuple
from functools import cache
from pathlib import Path

from viscum_agent.errors import UnsupportedError
from viscum_agent.kernel import probe
from viscum_agent.plan import datapath as plan_datapath
from viscum_agent.records.objects import BPF_PRIO

# `option` is the configuration's name for it, `needs` what it needs of Features beside what that needs; `prio` is that
# of a filter for one address and port, 0 where there are no filters; `pair` is the option of that
# name, "" for none.
Datapath = namedtuple("Datapath", ("option", "needs", "prio", "pair"), defaults=("",))

_WITHOUT_TCX = str(Path(__file__).with_name("without_tcx.py"))
# A kernel with tcx may lack cls_bpf, but none is known that does.
DATAPATHS = {
    "u32": Datapath("u32", (), 1),
    "flower": Datapath("flower", (), 1),
    "bpf-cls": Datapath("bpf", (), BPF_PRIO),
    "bpf-tcx": Datapath("bpf", ("tcx",), 0),
    "bpf-netkit": Datapath("bpf", ("tcx", "netkit"), 0, "auto"),
}


@cache
def _features():
    try:
        return probe.features()
    except UnsupportedError:
        return None  # not root: the tests are skipped


def has(name):
    """Whether the kernel, and the agent, have a datapath."""
    found, datapath = _features(), DATAPATHS[name]
    if found is None or plan_datapath.named(datapath.option).lacks(found):
        return False
    return has_features(*datapath.needs)


def has_features(*names):
    """Whether the kernel has all of these Features."""
    return _features() is not None and all(getattr(_features(), name) for name in names)


def here():
    return [name for name in DATAPATHS if has(name)]


def option(name):
    """The lines of a service's section."""
    lines = ["option datapath " + DATAPATHS[name].option]
    if DATAPATHS[name].pair:
        lines.append("option pair " + DATAPATHS[name].pair)
    return "\n\t".join(lines)


def start(name):
    """The words between an interpreter and the name of a module that is to be run, so that it takes this datapath."""
    return (_WITHOUT_TCX,) if name == "bpf-cls" and has("bpf-tcx") else ("-m",)
