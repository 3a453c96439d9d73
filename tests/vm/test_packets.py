"""The packets of tests/packets.py through the datapaths that only the guest's kernel has."""

import pytest
from datapaths import here
from lab import CPYTHON, Lab
from packets import TABLES, check


@pytest.mark.parametrize("datapath", [name for name in here() if name != "u32"])
@pytest.mark.parametrize("table", TABLES)
def test_packets_end_up_where_they_should(tmp_path, table, datapath):
    with Lab(tmp_path, CPYTHON, clients=2) as lab:
        check(lab, table, datapath)
