"""Groups of clients in the form, with the clients that LuCI knows to choose from; and the addresses that names have."""

import pytest
from conftest import ECHO, FORM, STATUS
from test_steer import TAB, save_and_apply, save_dialog
from test_text import BAIT, ROW, answers, innocent

from viscum_agent.config import uci

CAMERA, TABLET, NOBODY = "02:00:5e:00:53:10", "02:00:5e:00:53:11", "02:00:5e:00:53:12"
HINTS = {
    CAMERA.upper(): {"name": "camera", "ipaddrs": ["192.168.1.10"], "ip6addrs": ["2001:db8::10"]},
    TABLET.upper(): {"name": BAIT, "ipaddrs": ["192.168.1.11"]},
    NOBODY.upper(): {},
}


@pytest.fixture
def form(router, page):
    router.gateway.objects["luci-rpc", "getHostHints"] = lambda args: HINTS
    router.runs()
    page.open(FORM)
    return page


def offered(page, option):
    """{value: what is shown for it} in a menu of the dialog."""
    return dict(page.run(OFFERED, option))


OFFERED = """(option) => Array.from(
    document.querySelectorAll('#modal_overlay [data-name=' + option + '] li[data-value]:not([data-value="-"])'),
    (each) => [ each.dataset.value, each.textContent ])"""


def choose(page, option, value):
    page.click("#modal_overlay [data-name=%s] .cbi-dropdown" % option)
    page.click("#modal_overlay [data-name=%s] li[data-value='%s']" % (option, value))


def new_group(page, name):
    page.fill("#cbi-viscum-group .cbi-section-create-name", name)
    page.click("#cbi-viscum-group .cbi-button-add")
    page.until("() => document.querySelector('#modal_overlay [data-name=mac]')")


def edit_echo(page):
    page.click("#cbi-viscum-echo .cbi-button-edit")
    page.click(TAB % "match")


def section(router, name):
    (found,) = (each for each in uci.load(str(router.lab.confdir), "viscum") if each.name == name)
    return found


def test_a_group_is_chosen_from_the_clients_that_luci_knows_and_a_service_names_it(form, router):
    new_group(form, "cameras")
    addresses = ["192.168.1.10", "2001:db8::10"]
    assert offered(form, "mac") == {
        CAMERA: "%s (camera, %s)" % (CAMERA, ", ".join(addresses)),
        TABLET: "%s (192.168.1.11)" % TABLET,
        NOBODY: NOBODY,
    }
    assert list(offered(form, "ip")) == [*addresses, "192.168.1.11"]
    assert offered(form, "name") == {"camera": "camera (%s, %s)" % (CAMERA, ", ".join(addresses))}
    choose(form, "mac", TABLET)
    choose(form, "name", "camera")
    form.add("ip", "192.168.7.0/24")
    save_dialog(form)
    save_and_apply(form)
    made = section(router, "cameras")
    assert (made.type, made.options) == ("group", {"mac": [TABLET], "name": ["camera"], "ip": ["192.168.7.0/24"]})
    edit_echo(form)
    for option in ("client", "exclude_client"):
        assert list(offered(form, option)) == ["cameras", CAMERA, TABLET, NOBODY]
    choose(form, "client", "cameras")
    choose(form, "exclude_client", NOBODY)
    save_dialog(form)
    save_and_apply(form)
    made = section(router, "echo").options
    assert (made["client"], made["exclude_client"]) == (["cameras"], [NOBODY])


def test_where_luci_knows_nobody_everything_can_be_typed(router, page):
    router.runs()
    page.open(FORM)
    new_group(page, "cameras")
    page.add("mac", CAMERA)
    page.add("name", "camera")
    page.click("#modal_overlay .cbi-button-positive")
    page.until("() => document.querySelector('#modal_overlay').hidden")
    assert "cameras" in page.text("#cbi-viscum-group")


@pytest.mark.parametrize("name", ["echo", "a" * 65])
def test_a_group_needs_a_name_of_its_own(form, name):
    form.fill("#cbi-viscum-group .cbi-section-create-name", name)
    form.click("#cbi-viscum-group .cbi-button-add")
    form.sees('There is a section "echo" already.' if name == "echo" else "A name has at most 64 characters.")
    assert not form.has("#modal_overlay .cbi-button-positive")


def test_the_name_that_a_client_gives_itself_does_not_become_markup(form):
    edit_echo(form)
    assert BAIT not in "".join(offered(form, "client").values())
    innocent(form)


def test_a_name_stands_beside_the_addresses_that_it_has_now(router, page):
    """On the status page, where protocols that share the rest are in one line."""
    takes = [
        "%s 203.0.113.%d/32 (speed.example.com) port 443" % (proto, n) for n in (10, 11) for proto in ("tcp", "udp")
    ]
    answers(router, status={"echo": {**ROW, "takes": takes}})
    page.open(STATUS)
    for n in (10, 11):
        page.sees("tcp+udp 203.0.113.%d (speed.example.com) port 443" % n)


def test_the_groups_of_the_file_are_shown_and_may_only_be_looked_at_with_that_right(router, page):
    router.lab.configure(ECHO + "config group 'cameras'\n\tlist mac '%s'\n" % CAMERA)
    page.open(FORM, "viewer")
    page.sees("cameras")
    assert page.run("() => document.querySelector('#cbi-viscum-group .cbi-button-add').disabled")
