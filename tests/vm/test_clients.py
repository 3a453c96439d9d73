"""Clients by MAC address on the datapaths that only the guest has: the others are in tests/netns/test_clients.py."""

import datapaths
import pytest
from lab import CPYTHON, Lab
from two_clients import behind_a_bridge, left_out, named_by_mac


@pytest.mark.parametrize("datapath", ["flower", "bpf-netkit"])
@pytest.mark.parametrize("case", [named_by_mac, left_out])
def test_of_two_clients_one_is_at_the_edge(tmp_path, case, datapath):
    if not datapaths.has(datapath):
        pytest.skip("this kernel has no netkit as Viscum needs it (6.10)")
    with Lab(tmp_path, CPYTHON, clients=2, datapath=datapath) as lab:
        behind_a_bridge(lab)
        case(lab)
