"""Every packet of the table in tests/packets.py ends up where it should, through every datapath of this kernel, and
`viscum explain` says where that is."""

import bare
import pytest
from datapaths import DATAPATHS, here
from lab import Lab
from packets import TABLES, check, check_random


# Once and not for each interpreter: what packets meet is the kernel's, whoever asked for it.
@pytest.mark.parametrize("datapath", here())
@pytest.mark.parametrize("table", TABLES)
def test_packets_end_up_where_they_should(tmp_path, table, datapath):
    with Lab(tmp_path, clients=2) as lab:
        check(lab, table, datapath)


# Others each time would find more, and nobody could repeat what failed.
@pytest.mark.parametrize("datapath", here())
def test_a_thousand_random_packets_are_explained_as_the_kernel_has_them(tmp_path, datapath):
    with Lab(tmp_path, clients=2) as lab:
        check_random(lab, datapath, seed=16)


@pytest.mark.parametrize("datapath", [name for name in here() if DATAPATHS[name].option == "bpf"])
@pytest.mark.parametrize("table", [name for name in TABLES if "bridge" not in name])
def test_packets_without_an_ethernet_header_end_up_there_as_well(tmp_path, table, datapath):
    with Lab(tmp_path, clients=2, link=bare.tun) as lab:
        check(lab, table, datapath)
