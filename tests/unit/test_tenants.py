"""What is on a router without the package viscum-tenants: no tenant's service runs, and it is said what to install."""

import sys

import pytest
from rented import TENANTS, owned, rented

from viscum_agent.config import uci
from viscum_agent.config.service import read
from viscum_agent.errors import UNSUPPORTED

OTHER = "config service 'shop'\n\toption command '/bin/shop'\n\tlist device 'lan0'\n\tlist dest_port '80'\n"


@pytest.fixture
def missing(monkeypatch):
    for name in ("config.tenants", "plan.tenanted"):
        monkeypatch.setitem(sys.modules, "viscum_agent." + name, None)


def configuration(text, before=None):
    return read(uci.parse(text.encode(), "viscum"), "viscum", before)


@pytest.mark.usefixtures("missing")
@pytest.mark.parametrize("text", [owned("acme", rented("acme_web", 7010)), TENANTS])
def test_what_tenants_have_is_refused_with_what_to_install(text):
    found = configuration(text + OTHER)
    assert [each.name for each in found.services] == ["shop"]
    assert found.problems and all(each.kind == UNSUPPORTED for each in found.problems)
    assert all("the package viscum-tenants is not installed" in each.message for each in found.problems)


@pytest.mark.usefixtures("missing")
def test_nor_does_one_that_ran_before_go_on():
    web = rented("acme_web", 7010)
    before = configuration(web)
    after = configuration(owned("acme", web), before)
    assert [each.name for each in before.services] == ["acme_web"]
    assert (after.services, after.kept, after.bad) == ([], [], ["acme_web"])


@pytest.mark.usefixtures("missing")
def test_a_configuration_without_tenants_asks_for_nothing():
    assert configuration(OTHER).problems == []
