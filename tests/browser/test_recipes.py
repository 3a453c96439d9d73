"""A recipe that is chosen in the form becomes a service; and what a browser makes of the speed test's page."""

import os
import subprocess

import pytest
from conftest import FORM
from lab import listens, wait_for
from others import LIBRARIES, PACKAGES, needed
from recipes import FOLDER, NAMES, installed
from rpcd import Status
from test_steer import save_and_apply, save_dialog

from viscum_agent.config import uci
from viscum_agent.paths import RECIPES
from viscum_agent.ubus import codes as code


@pytest.fixture
def form(router, page):
    """The form, and what rpcd's `exec` runs is the real command."""

    def execute(args):
        words = " ".join([args["command"], *args["params"]])
        if not router.gateway.sessions.allows(args["ubus_rpc_session"], "file", words, "exec"):
            raise Status(code.PERMISSION_DENIED)
        assert args["command"] == "/usr/bin/viscum"
        return {"code": 0, "stdout": router.lab.viscum(*args["params"]).stdout}

    router.gateway.objects["file", "exec"] = execute
    with installed():
        router.runs()
        page.open(FORM)
        page.click(".viscum-recipe")
        page.sees("Recipes")
        yield page


def choose(page, name):
    page.order("selectOption", ".viscum-recipes", name)


def sections(router):
    return {each.name: each for each in uci.load(str(router.lab.confdir), "viscum")}


def test_every_recipe_is_offered_with_its_sentence_and_the_package_that_is_missing(form):
    assert form.run(OFFERED) == NAMES
    for name, sentence, package in (("dns", "DNS for all", "dnsmasq"), ("mqtt", "A broker", "mosquitto-nossl")):
        choose(form, name)
        form.sees(sentence)
        if not os.path.exists("/usr/sbin/" + package.split("-")[0]):
            form.sees("is not on this router: install the package %s." % package)


OFFERED = "() => Array.from(document.querySelectorAll('.viscum-recipes option'), (each) => each.value)"


def test_a_recipe_asks_for_what_it_needs_and_opens_as_a_service(form, router):
    choose(form, "http_cache")
    for value, says in (
        ("", "Destination address: "),
        ("203.0.113", "203.0.113"),
        ("ff02::1", "ff02::1"),
        ("203.0.113.0/24", "one address"),
    ):
        form.fill("#modal_overlay [name=dest_ip]", value)
        form.click(".viscum-take")
        form.until(MISTAKE, says)
    form.fill("#modal_overlay [name=dest_ip]", "2001:db8:cafe::10")
    for name, says in (("echo", 'There is a section "echo" already.'), ("a b", "letters"), ("", "letters")):
        form.fill("#modal_overlay [name=name]", name)
        form.click(".viscum-take")
        form.until(MISTAKE, says)
    form.fill("#modal_overlay [name=name]", "cache")
    form.click(".viscum-take")
    form.until("() => document.querySelector('#modal_overlay [data-name=command] textarea')")
    save_dialog(form)
    save_and_apply(form)
    assert list(sections(router)) == ["echo", "cache"]
    made = sections(router)["cache"].options
    assert made["command"] == "/usr/share/viscum/recipes/http_cache.sh /usr/sbin/nginx [2001:db8:cafe::10]"
    assert (made["dest_ip"], made["egress"]) == (["2001:db8:cafe::10"], ["[2001:db8:cafe::10]:80"])
    assert (made["enabled"], made["interface"], made["target_port"]) == ("1", ["lan"], "8080")


MISTAKE = "(says) => document.querySelector('.viscum-mistake').textContent.includes(says)"


def test_who_dismisses_the_new_section_has_none(form, router):
    choose(form, "dns")
    form.click(".viscum-take")
    form.until("() => document.querySelector('#modal_overlay [data-name=command] textarea')")
    form.click("#modal_overlay button:has-text('Dismiss')")
    form.until("() => document.querySelector('#modal_overlay').hidden")
    assert not form.has("#cbi-viscum-dns") and list(sections(router)) == ["echo"]


def test_who_may_only_look_adds_nothing(router, page):
    router.runs()
    page.open(FORM, "viewer")
    page.until("() => document.querySelector('.viscum-recipe')?.disabled")


@pytest.fixture
def speedtest(browser, tmp_path):
    """The recipe's nginx, where the browser can reach it."""
    needed()
    common = (FOLDER / "nginx.inc").read_text()
    text = (FOLDER / "speedtest.conf").read_text().replace("include %s/nginx.inc;" % RECIPES, common)
    (tmp_path / "nginx.conf").write_text(text.replace("/tmp/", "%s/" % tmp_path))
    words = (PACKAGES / "usr/sbin/nginx", "-e", "stderr", "-g", "user root;", "-c", tmp_path / "nginx.conf")
    command = ("nsenter", "--net=/run/netns/" + browser.ns, "env", "LD_LIBRARY_PATH=%s" % LIBRARIES, *words)
    with subprocess.Popen(list(map(str, command)), stderr=subprocess.DEVNULL) as process:
        wait_for(lambda: listens(browser.ns, 80))
        yield
        process.terminate()


@pytest.mark.usefixtures("speedtest")
def test_the_page_of_the_speed_test_measures_both_directions(page):
    page.order("goto", "http://127.0.0.1/")
    for direction in ("down", "up"):
        page.until("(name) => Number(document.getElementById(name).textContent) > 1", direction)
