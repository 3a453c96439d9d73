"""A short run of `make test-flows`: open connections go on, whatever is done to their service and its agent."""

import pytest
import rounds


@pytest.fixture(params=rounds.BY_MODE)
def datapath(request):
    return request.param


def test_100_connections_go_on_while_their_service_comes_and_goes_and_its_agent_is_swapped(
    tmp_path, interpreter, datapath
):
    report = rounds.run(tmp_path, interpreter, 2, datapath)
    print(report)
    assert rounds.bad(report) == []
