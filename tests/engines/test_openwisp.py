"""The real controller of OpenWISP with fleet/openwisp in it, and on each router what openwisp-config does there."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from browser import Browser, Page
from lab import HANG, PROGRAMS, ROOT, echo_command, ip, kill, run, wait_for
from routers import CLOUD, CONTROLLER, CONTROLLER_URL, PORT

PYTHON = ROOT / ".cache/openwisp/bin/python"  # tools/setup.sh openwisp
EMPTY = ROOT / ".cache/openwisp/empty.db"  # what a minute of migrations makes
SCRIPT = ROOT / "fleet/openwisp/router/viscum-test"
WAIT = "20"  # seconds


def template(who, **more):
    """A configuration by which a router's clients are answered by `who` and its name, a variable of the controller."""
    section = {
        "config_name": "service",
        "config_value": "echo",
        "enabled": True,
        "command": echo_command(who + "-{{ name }}", PORT),
        "writable": [str(PROGRAMS)],
        "device": ["lan0"],
        "dest_ip": [CLOUD],
        "dest_port": [str(PORT)],
        "respawn_timeout": "1",
        "health_interval": "1",
        "env": ['HARD=it\'s "so" ä    b'],
    }
    return {"viscum": [{**section, **more}]}


class Controller:
    def __init__(self, routers, tmp):
        if EMPTY.exists():
            shutil.copy(EMPTY, tmp / "controller.db")
        env = {**os.environ, "CONTROLLER_FOLDER": str(tmp), "PYTHONPATH": "%s:%s/fleet/openwisp" % (ROOT, ROOT)}
        self.log = tmp / "log"
        with self.log.open("w") as stream:
            self.process = routers.start(
                *(PYTHON, ROOT / "tests/engines/controller", *CONTROLLER),
                **{"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": stream, "env": env, "text": True},
            )
        assert self._answer() == {"done": "serves"}
        if not EMPTY.exists():
            shutil.copy(tmp / "controller.db", EMPTY.with_suffix(".new"))
            EMPTY.with_suffix(".new").rename(EMPTY)

    def ask(self, *words):
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self):
        line = self.process.stdout.readline()
        assert line, self.log.read_text()
        return json.loads(line)

    def do(self, *words):
        answer = self.ask(*words)
        assert "done" in answer, answer
        return answer["done"]

    def status(self, router):
        return self.do("status", [])[router.name]


@pytest.fixture(scope="module")
def controller(twenty, tmp_path_factory):
    made = Controller(twenty, tmp_path_factory.mktemp("controller"))
    keys = made.do("devices", [[router.name, "02:00:00:00:00:%02x" % router.number] for router in twenty.all])
    made.do("template", "first", template("first"))
    made.do("assign", "first", list(keys))
    loops = []
    for router in twenty.all:
        words = (sys.executable, ROOT / "tests/engines/device.py", CONTROLLER_URL, router.address, *keys[router.name])
        log = (router.own / "device.log").open("w")
        words = router.words(*words, SCRIPT, WAIT)
        loops.append(subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
    yield made
    for process in (*loops, made.process):
        kill(process)


@pytest.fixture
def steered(controller, twenty):
    """All routers have the first configuration from the controller, and answer their clients with it."""
    for router in twenty.all:
        router.cut(off=False)
    controller.do("assign", "first", [router.name for router in twenty.all])
    all_become(controller, twenty.all, "applied", "first")
    return twenty


def all_become(controller, routers, status, who):
    names = [router.name for router in routers]
    wait_for(lambda: [controller.do("status", [])[name] for name in names] == [status] * len(names), 2 * HANG)
    for router in routers:  # it reports before the redirect is there again
        router.becomes("%s-%s" % (who, router.name))


def test_a_wrong_template_is_not_saved(controller):
    said = controller.ask("template", "wrong", template("wrong", dest_port=["70000"], command="/bin/x"))
    assert "viscum.echo.dest_port: '70000' is not a port" in said["refused"]


def test_a_bad_template_reaches_one_canary_and_a_good_one_all(controller, steered):
    canary, *others = steered.all
    before = steered.each(lambda router: router.told()["generation"])
    controller.do("template", "bad", template("bad", command="/bin/sleep 600"))
    controller.do("assign", "bad", [canary.name])
    all_become(controller, [canary], "error", "first")
    wait_for(lambda: canary.told()["missing"] == [])  # it reports before it knows what the program answers
    assert "echo: " in controller.do("reasons", [])[canary.name], "why, at the device's page"
    assert steered.each(lambda router: router.told()["generation"]) == [before[0] + 2, *before[1:]], "19 are untouched"
    controller.do("template", "good", template("good"))
    controller.do("assign", "good", [canary.name])
    all_become(controller, [canary], "applied", "good")
    assert {router.who() for router in others} == {"first-" + router.name for router in others}
    controller.do("assign", "good", [router.name for router in others])
    all_become(controller, steered.all, "applied", "good")


@pytest.fixture
def page(controller, twenty):
    """The controller's pages, in a browser near it, for somebody who may do all."""
    controller.do("person", "admin", "password")
    with Browser() as browser:
        words = "link add browser0 type veth peer name eth0 netns"
        ip("-n", twenty.internet, *words.split(), browser.ns)
        ip("-n", twenty.internet, "link", "set", "browser0", "master", "br0", "up")
        ip("-n", browser.ns, "addr", "add", "198.51.100.253/24", "dev", "eth0")
        ip("-n", browser.ns, "link", "set", "eth0", "up")
        with Page(browser, None) as made:
            made.order("goto", CONTROLLER_URL + "/admin/login/?next=/admin/")
            made.fill("[name=username]", "admin")
            made.fill("[name=password]", "password")
            made.click("[type=submit]")
            yield made


PORT_FIELD = "[name='root[viscum][0][dest_port][0]']"
# The names of those fields of the form in which something lies over the place where the text begins.
COVERED = """() => [...document.querySelectorAll('[name^="root[viscum]"][type=text]')].filter((field) => {
    field.scrollIntoView({ block: 'center' });
    const place = field.getBoundingClientRect();
    const left = place.left + parseFloat(getComputedStyle(field).paddingLeft) + 1;
    return document.elementFromPoint(left, (place.top + place.bottom) / 2) !== field;
}).map((field) => field.name)"""


def test_the_form_shows_a_templates_services_and_saves_them_as_they_were(controller, steered, page):
    where, config = controller.do("kept", "first")
    page.order("goto", CONTROLLER_URL + where)
    page.until("(field) => document.querySelector(field)", PORT_FIELD)
    assert page.run("(field) => document.querySelector(field).value", PORT_FIELD) == str(PORT)
    assert page.run(COVERED) == []
    page.click("[name=_continue] >> nth=0")
    page.sees("was changed successfully")
    assert controller.do("kept", "first")[1] == config
    page.until("(field) => document.querySelector(field)", PORT_FIELD)
    page.fill(PORT_FIELD, "70000")
    page.order("press", PORT_FIELD, "Tab")
    page.click("[name=_continue] >> nth=0")
    page.sees("viscum.echo.dest_port: '70000' is not a port")
    assert page.noise() == []


@pytest.fixture
def commanded(controller, steered):
    """A router that the controller reaches by ssh."""
    router = steered.all[0]
    controller.do("reached", router.name, steered.key.read_text())
    yield router
    controller.do("alone", router.name)


def test_the_controllers_commands_are_done_by_the_agent_of_the_router_that_they_are_for(controller, commanded):
    def said(kind, words, *statuses):
        status, output = controller.do("command", commanded.name, kind, words)
        assert status in (statuses or ("success",)), output
        return output

    assert re.search(r"^echo +healthy", said("viscum_status", {}), re.MULTILINE)
    said("viscum_bypass", {"service": "echo", "clients_reach": "the cloud"})
    commanded.becomes("cloud")
    said("viscum_bypass", {"clients_reach": "the service"})
    commanded.becomes("first-" + commanded.name)
    assert "kernel: has " in said("viscum_doctor", None, "success", "failed"), "as this machine is"
    assert "no service 'nobody'" in said("viscum_status", {"service": "nobody"}, "failed")
    refused = controller.ask("command", commanded.name, "viscum_status", {"service": "x; touch /tmp/run"})
    assert "does not match" in refused["refused"]


# What netjson-monitoring says of a router, as far as it matters here.
NETJSON = {
    "type": "DeviceMonitoring",
    "general": {"hostname": "router", "local_time": 1790000000, "uptime": 100},
    "interfaces": [{"name": "br-lan", "type": "bridge", "up": True}],
}


def test_the_state_of_services_is_in_what_openwisp_monitoring_is_sent(controller, steered):
    router = steered.all[0]
    theirs = router.path("/tmp/netjson")
    theirs.write_text("#!/bin/sh\necho '%s'\n" % json.dumps(NETJSON))
    theirs.chmod(0o755)
    script = ROOT / "fleet/openwisp/router/netjson-monitoring"
    sent = json.loads(run(*router.words("env", "NETJSON=/tmp/netjson", script, "--dump", "*")).stdout)
    (service,) = sent["viscum"]["services"]
    assert service["name"] == "echo" and service["state"] == "healthy"
    assert sent == {**NETJSON, "viscum": {"services": [service]}}
    assert "done" in controller.ask("monitoring", sent)
    sent["interfaces"][0]["name"] = 1
    assert controller.ask("monitoring", sent)["refused"] == "1 is not of type 'string'", "it does judge"


class Held:
    """openwisp-config stops on this router in its post-reload hook, until it is let go: the configuration is in place
    and not yet judged."""

    HOOK = '#!/bin/sh\necho held >>/tmp/log\nwhile [ -e "$0" ]; do sleep 0.1; done\n'

    def __init__(self, router):
        self._router = router
        self._hook = router.path("/tmp/openwisp/post-reload-hook")
        self._hook.parent.mkdir(exist_ok=True)
        self._hook.write_text(self.HOOK)
        self._hook.chmod(0o755)

    def wait(self):
        wait_for(lambda: "held" in self._router.logread())

    def go(self):
        self._hook.unlink()


def test_a_router_that_is_cut_off_while_it_applies_comes_back_to_what_it_had(controller, steered):
    lost = steered.all[1]
    controller.do("template", "other", template("other"))
    held = Held(lost)
    controller.do("assign", "other", [lost.name])
    held.wait()
    assert "other-" in lost.config.read_text()
    lost.cut()
    held.go()
    wait_for(lambda: "first-" in lost.config.read_text())
    lost.becomes("first-" + lost.name)
    wait_for(lambda: "Failed to report status" in lost.logread())
    assert "the controller is not reached" in lost.logread()
    assert controller.status(lost) == "modified", "nobody has heard of it"
    lost.cut(off=False)
    all_become(controller, [lost], "applied", "other")  # what it could not report it tries once more
