"""Every packet of the table in tests/packets.py ends up where it should, through every datapath of this kernel, and
`viscum explain` says where that is."""

import bare
import pytest
from datapaths import DATAPATHS, here
from lab import Lab
from packets import check, check_random, tables

CASES = [(datapath, table) for datapath in here() for table in tables(datapath)]
BARE = [name for name in here() if DATAPATHS[name].option == "bpf"]


# Once and not for each interpreter: what packets meet is the kernel's, whoever asked for it.
@pytest.mark.parametrize("datapath, table", CASES)
def test_packets_end_up_where_they_should(tmp_path, table, datapath):
    with Lab(tmp_path, clients=2) as lab:
        check(lab, table, datapath)


# Others each time would find more, and nobody could repeat what failed.
@pytest.mark.parametrize("datapath", here())
def test_a_thousand_random_packets_are_explained_as_the_kernel_has_them(tmp_path, datapath):
    with Lab(tmp_path, clients=2) as lab:
        check_random(lab, datapath, seed=16)


@pytest.mark.parametrize("datapath, table", [(name, table) for name in BARE for table in tables(name, bare.tun)])
def test_packets_without_an_ethernet_header_end_up_there_as_well(tmp_path, table, datapath):
    with Lab(tmp_path, clients=2, link=bare.tun) as lab:
        check(lab, table, datapath)
