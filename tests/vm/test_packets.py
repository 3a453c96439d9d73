"""The packets of tests/packets.py through what only the guest's kernel has. All others are in
tests/netns/test_packets.py, which runs here when it is asked for: run.sh tests/netns/test_packets.py."""

import datapaths
import pytest
from lab import CPYTHON, Lab
from packets import TABLES, check, check_random

ONLY_HERE = ["flower", "bpf-netkit"]


@pytest.mark.parametrize("datapath", ONLY_HERE)
@pytest.mark.parametrize("table", TABLES)
def test_packets_end_up_where_they_should(tmp_path, table, datapath):
    assert datapaths.has(datapath), "the guest's kernel has both"
    with Lab(tmp_path, CPYTHON, clients=2) as lab:
        check(lab, table, datapath)


@pytest.mark.parametrize("datapath", ONLY_HERE)
def test_a_thousand_random_packets_are_explained_as_the_kernel_has_them(tmp_path, datapath):
    with Lab(tmp_path, CPYTHON, clients=2) as lab:
        check_random(lab, datapath, seed=16)
