"""A short run of `make chaos`: whatever is done to a service, its clients are answered, and nothing is left over."""

import chaos
import datapaths
import pytest

# Each datapath with one of the interpreters: what the kernel is asked for is the same with the other one.
INTERPRETERS = {"u32": "micropython", "flower": "cpython", "bpf-cls": "cpython", "bpf-netkit": "cpython"}
ROWS = [(INTERPRETERS.get(name, "micropython"), name) for name in datapaths.here()]


@pytest.mark.parametrize("interpreter, datapath", ROWS, indirect=True)
def test_clients_are_answered_and_nothing_leaks_when_everything_goes_wrong(tmp_path, interpreter, datapath):
    report = chaos.run(tmp_path, interpreter, seconds=25, seed=7, datapath=datapath)
    print(report)
    assert chaos.left_over(report) == []
    assert chaos.too_long(report, chaos.BUSY) == []
    assert set(report["by"]) >= {"cloud", "edge"}
