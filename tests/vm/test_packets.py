"""The packets of tests/packets.py through what only the guest's kernel has. All others are in
tests/netns/test_packets.py, which runs here when it is asked for: run.sh tests/netns/test_packets.py."""

import datapaths
import pytest
from lab import CPYTHON, Lab
from packets import TABLES, check


@pytest.mark.parametrize("datapath", ["flower", "bpf-netkit"])
@pytest.mark.parametrize("table", TABLES)
def test_packets_end_up_where_they_should(tmp_path, table, datapath):
    assert datapaths.has(datapath), "the guest's kernel has both"
    with Lab(tmp_path, CPYTHON, clients=2) as lab:
        check(lab, table, datapath)
