"""Every packet of the table in tests/packets.py ends up where it should, through every datapath of this kernel."""

import pytest
from datapaths import here
from lab import Lab
from packets import TABLES, check


# Once and not for each interpreter: what packets meet is the kernel's, whoever asked for it.
@pytest.mark.parametrize("datapath", here())
@pytest.mark.parametrize("table", TABLES)
def test_packets_end_up_where_they_should(tmp_path, table, datapath):
    with Lab(tmp_path, clients=2) as lab:
        check(lab, table, datapath)
