"""The packets of tests/packets.py through what only the guest's kernel has. All others are in
tests/netns/test_packets.py, which runs here when it is asked for: run.sh tests/netns/test_packets.py -k netkit."""

import datapaths
import pytest
from lab import CPYTHON, Lab
from packets import check, check_random, tables

# Its programs are those of bpf-tcx, which meet all packets on every machine: here one table for each way in.
OF_NETKIT = ("one address and port", "any address", "the port of a bridge", "a VLAN of a trunk")
CASES = [("flower", table) for table in tables("flower")] + [("bpf-netkit", table) for table in OF_NETKIT]


@pytest.mark.parametrize("datapath, table", CASES)
def test_packets_end_up_where_they_should(tmp_path, datapath, table):
    assert datapaths.has(datapath), "the guest's kernel has both"
    with Lab(tmp_path, CPYTHON, clients=2) as lab:
        check(lab, table, datapath)


def test_a_thousand_random_packets_are_explained_as_the_kernel_has_them(tmp_path):
    with Lab(tmp_path, CPYTHON, clients=2) as lab:
        check_random(lab, "flower", seed=16)
