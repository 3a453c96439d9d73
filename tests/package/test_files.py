"""What else the package installs for the rest of OpenWrt to read: hotplug script, uci-defaults, ubus ACL."""

import json
import os

import pytest
from lab import ROOT, run
from router_root import RouterRoot

from viscum_agent.ubus_object import methods

HOTPLUG = "/etc/hotplug.d/iface/90-viscum"
DEFAULTS = "/etc/uci-defaults/90-viscum"
SEEN = "var/run/config.md5"
NUDGE = "ubus -t 5 call viscum check_devices"


@pytest.fixture
def router(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    return RouterRoot(tmp_path / "router")


def hotplug(router, action):
    """Sources the script as hotplug-call does, in a subshell."""
    result = router.run("/bin/ash", "-c", "( . %s ) && echo on" % HOTPLUG, ACTION=action, INTERFACE="lan")
    assert result.stdout == "on\n", result.stderr
    router.settle()
    return router.calls()


@pytest.mark.parametrize("action, calls", [("ifup", [NUDGE]), ("ifdown", [NUDGE]), ("ifupdate", []), ("", [])])
def test_an_interface_that_comes_or_goes_is_a_nudge_for_the_agent(router, action, calls):
    assert hotplug(router, action) == calls


def test_nothing_comes_back_by_a_nudge(router):
    assert router.agent() == ""
    hotplug(router, "ifup")
    assert (router.agent(), router.services_up()) == ("", [])


def test_netifd_does_not_wait_for_the_nudge(router):
    router.hold("ubus")
    result = router.run("/bin/ash", "-c", "( . %s )" % HOTPLUG, ACTION="ifup")
    assert result.returncode == 0 and router.processes()
    router.release("ubus")
    router.settle()


@pytest.mark.parametrize("directory", ["", "/var/run/config.check/", "/etc/config/"])
def test_the_first_reload_config_after_an_installation_counts(router, directory):
    """reload_config tells procd of the files of which `md5sum -c` says that they changed."""
    router.answer("uci", "viscum.iperf.enabled='0'")
    (router.path / SEEN).write_text("%s  %snetwork\n" % ("0" * 32, directory))
    assert router.run("/bin/ash", "-c", "( . %s )" % DEFAULTS).returncode == 0
    lines = (router.path / SEEN).read_text().splitlines()
    assert len(lines) == 2 and lines[1].endswith("  %sviscum" % directory)
    shown = router.path / "tmp" / directory.strip("/") / "viscum"
    shown.parent.mkdir(parents=True, exist_ok=True)
    check = "cd /tmp && grep viscum /%s | sed 's,  /,  ,' | md5sum -c" % SEEN
    for text, verdict in (("viscum.iperf.enabled='0'\n", "OK"), ("viscum.iperf.enabled='1'\n", "FAILED")):
        shown.write_text(text)
        assert router.run("/bin/ash", "-c", check).stdout == "%sviscum: %s\n" % (directory.lstrip("/"), verdict)


def test_what_reload_config_knows_already_stays(router):
    text = "%s  network\n%s  viscum\n" % ("0" * 32, "1" * 32)
    (router.path / SEEN).write_text(text)
    assert router.run("/bin/ash", DEFAULTS).returncode == 0
    assert (router.path / SEEN).read_text() == text


def test_in_an_image_there_is_nothing_to_do(router):
    assert router.run("/bin/ash", DEFAULTS).returncode == 0
    assert not (router.path / SEEN).exists()


def test_accounts_without_rights_may_read_and_nothing_else():
    acl = json.loads((ROOT / "files/usr/share/acl.d/viscum.json").read_text())
    assert acl["group"] == "viscum" and "user" not in acl
    assert {name: tuple(each["methods"]) for name, each in acl["access"].items()} == methods.READABLE
    assert (acl["subscribe"], acl["listen"]) == ([methods.OBJECT], [methods.EVENT])
    assert not {"publish", "send"} & set(acl)


def test_the_scripts_pass_shellcheck():
    scripts = [
        file for name in ("init.d", "hotplug.d", "uci-defaults") for file in (ROOT / "files/etc" / name).rglob("*")
    ]
    files = [str(file) for file in scripts if file.is_file()]
    assert len(files) == 3
    assert run("shellcheck", *files).stdout == ""


def test_the_form_is_in_the_menu_whatever_the_configuration_is_like():
    """LuCI asks once whether a file has sections and keeps the answer, also when it is mended. Who makes a tenant's
    account makes it ask again (the manual)."""
    menu = json.loads((ROOT / "package/luci-app-viscum/root/usr/share/luci/menu.d/luci-app-viscum.json").read_text())
    owners = [menu[path]["depends"] for path in menu if path != "admin/status/viscum-tenant"]
    assert owners == [{"acl": ["luci-app-viscum"]}] * 2
