"""What a tenant sees in the browser: his own services, and nothing else of the router."""

import pytest
from conftest import ECHO, FORM, OVERVIEW, STATUS
from lab import wait_for
from rented import TENANTS, owned, rented

PAGE = "admin/status/viscum-tenant"
ROW = "tr[data-service=acme_web]"
CONFIG = TENANTS + ECHO + owned("corp", rented("corp_x", 7001)) + owned("acme", rented("acme_web", 7010))


@pytest.fixture
def tenant(router, page):
    """The page of tenant acme, who is logged in."""
    router.lab.serve_cloud(7000, 7010, 7011)
    router.agent = router.runs(CONFIG)
    for name in ("acme", "corp"):
        router.lab.viscum("tenant", "acl", name, str(router.lab.tmp))
    router.gateway.sessions.folders.append(router.lab.tmp / "usr/share/rpcd/acl.d")
    groups = ["luci-base", "luci-app-viscum-tenant", "viscum-tenant-acme"]
    router.gateway.sessions.accounts["acme"] = {"read": groups[:2], "write": groups[2:]}
    router.agent.becomes("acme", port=7010, address="203.0.113.11")
    page.open(PAGE, "acme")
    shows(page, "healthy")
    return page


def shows(page, state, row=ROW):
    page.until("([row, state]) => document.querySelector(row)?.innerText.includes(state)", [row, state])


def test_a_tenant_sees_only_what_is_his_own(tenant, router):
    text = tenant.text("body")
    assert tenant.run("() => [...document.querySelectorAll('tr[data-service]')].map((e) => e.dataset.service)") == [
        "acme_web"
    ]
    assert "corp" not in text and "echo" not in text and "203.0.113.10" not in text
    answers = router.gateway.answered
    assert answers and not any(name in each for each in answers for name in ("corp_x", "echo", "203.0.113.10"))
    cookie = "sysauth=" + tenant.run("() => L.env.sessionid")
    assert router.gateway.html(PAGE, cookie)
    for path in (STATUS, FORM):
        assert router.gateway.html(path, cookie) is None, path
    tenant.order("goto", router.gateway.page(OVERVIEW))
    tenant.until("() => window.L && L.loaded")
    assert "echo" not in tenant.text("body") and "corp" not in tenant.text("body")


def test_he_steers_his_service_and_reads_its_log(tenant, router):
    tenant.click(ROW + " [data-action=bypass]")
    router.agent.becomes("cloud", port=7010, address="203.0.113.11")
    shows(tenant, "bypassed")
    tenant.click(ROW + " [data-action=bypass]")
    router.agent.becomes("acme", port=7010, address="203.0.113.11")
    tenant.click(ROW + " [data-action=log]")
    tenant.sees("acme_web: healthy")
    tenant.click(ROW + " [data-action=stop]")
    shows(tenant, "stopped")
    router.agent.becomes("cloud", port=7010, address="203.0.113.11")
    assert router.agent.who(7000) == "edge"


def test_he_configures_within_his_bounds_and_is_told_what_is_beyond(tenant, router):
    tenant.until("() => document.querySelector('.viscum-text').value.includes('acme_web')")
    assert "corp" not in tenant.run("() => document.querySelector('.viscum-text').value")
    tenant.fill(".viscum-text", rented("acme_web", 7010) + rented("acme_mail", 22))
    tenant.click("[data-action=configure]")
    tenant.sees("port 22")
    tenant.fill(".viscum-text", rented("acme_web", 7010) + rented("acme_mail", 7011))
    tenant.click("[data-action=check]")
    tenant.sees("Nothing is wrong with it.")
    assert not tenant.has("tr[data-service=acme_mail]")
    tenant.click("[data-action=configure]")
    tenant.sees("It is in force.")
    shows(tenant, "healthy", "tr[data-service=acme_mail]")
    router.agent.becomes("acme", port=7011, address="203.0.113.11")
    wait_for(lambda: "acme_mail" in (router.lab.confdir / "viscum").read_text())


def test_who_has_nothing_sees_nothing(router, page):
    router.runs()
    page.open(PAGE, "viewer")
    page.sees("This account has no services of its own.")
