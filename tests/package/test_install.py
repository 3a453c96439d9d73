"""The package on a router: installed, upgraded and removed by opkg, its scripts run by busybox ash."""

import pytest
from opkg import Refused, opkg, read
from packages import FOR_BOTH, NEWS, build, next_release, unpacked
from router import OWN, Router

from viscum_agent import optional

SHIPPED = "/etc/config/viscum"
CACHE = "/tmp/run/viscum.pycache"


def of_package(ipk):
    """{path: (mode, owner, group, content)}, as Router.files() has them."""
    _, data = read(ipk)
    return {path[1:]: (info.mode, info.uid, info.gid, content) for path, (info, content) in data.items()}


def added(before, router):
    return {path: found for path, found in router.files().items() if before.get(path) != found}


def test_installation_adds_the_packages_files_and_nothing_else(router, installer, ipks, name):
    before = router.files()
    installer.install(ipks[name])
    once = "/etc/uci-defaults/"  # has run and is gone
    package = {path: found for path, found in of_package(ipks[name]).items() if not path.startswith(once)}
    wanted = {path: found for path, found in package.items() if path not in before}
    wanted["/etc/rc.d/S95viscum"] = (0o777, 0, 0, "../init.d/viscum")
    assert added(before, router) == wanted


def test_installation_enables_and_starts_the_init_script_and_leaves_the_firewall_alone(router, installer, ipks, name):
    installer.install(ipks[name])
    assert router.calls() == ["viscum enable", "viscum start"]


def test_in_an_image_that_is_being_built_it_is_enabled_and_not_started(router, installer, ipks, name):
    installer.install_image(ipks[name])
    assert router.path("/etc/rc.d/S95viscum").is_symlink()
    assert router.calls() == ["viscum enable"]


def test_a_router_without_openwrts_functions_is_left_alone(router, installer, ipks, name):
    router.path("/lib/functions.sh").unlink()
    installer.install(ipks[name])
    assert router.calls() == []


def test_an_upgrade_restarts_the_init_script_and_does_not_enable_it_again(router, installer, ipks, later_ipks):
    installer.install(ipks["viscum"])
    router.run("/etc/init.d/viscum", "disable")
    router.calls()
    installer.install(later_ipks["viscum"])
    assert router.calls() == ["viscum stop", "viscum start"]
    assert not router.path("/etc/rc.d/S95viscum").is_symlink()


def test_an_upgrade_replaces_configuration_that_nobody_changed(router, installer, ipks, later_ipks, name):
    installer.install(ipks[name])
    installer.install(later_ipks[name])
    assert NEWS in router.path(SHIPPED).read_text()
    assert not router.path(SHIPPED + "-opkg").exists()


def test_an_upgrade_keeps_changed_configuration_and_puts_the_new_one_beside_it(
    router, installer, ipks, later_ipks, name
):
    installer.install(ipks[name])
    mine = "config service 'mine'\n"
    router.write(SHIPPED, mine, 0o600)
    installer.install(later_ipks[name])
    assert router.path(SHIPPED).read_text() == mine
    assert router.path(SHIPPED).stat().st_mode & 0o777 == 0o600
    assert NEWS in router.path(SHIPPED + "-opkg").read_text()


def test_an_upgrade_leaves_nothing_of_the_old_version(router, installer, ipks, source, tmp_path):
    installer.install(ipks["viscum"])
    later = next_release(source, NEWS)
    (later / "viscum_agent/utf8.py").rename(later / "viscum_agent/utf9.py")
    built = build(later, "ipk", tmp_path)[0]["viscum"]
    installer.install(built)
    files = unpacked(router.path("/usr/lib/viscum/agent.packed").read_bytes())
    assert "viscum_agent/utf9.mpy" in files and "viscum_agent/utf8.mpy" not in files


def test_an_upgrade_keeps_what_is_in_memory(router, installer, ipks, later_ipks, name):
    installer.install(ipks[name])
    router.write("/tmp/run/viscum.lock", "")
    router.write("/tmp/ruleset", 'iifname "vsc-*" notrack comment "!viscum: replies of a service"\n')
    router.calls()
    installer.install(later_ipks[name])
    assert router.path("/tmp/run/viscum.lock").exists()
    assert "firewall reload" not in router.calls()


def test_removal_leaves_nothing_behind_and_touches_nothing_of_others(router, installer, ipks, name):
    before = router.files()
    installer.install(ipks[name])
    router.write(CACHE + "/viscum_agent.cli.verbs", "byte code")
    router.write("/tmp/run/viscum.lock", "")
    router.write("/tmp/run/other.lock", "")
    router.calls()
    installer.remove(name)
    assert router.files() == before
    assert all(router.path(path).exists() for path in OWN)
    assert sorted(path.name for path in router.path("/tmp/run").iterdir()) == ["other.lock"]
    assert router.calls() == ["viscum disable", "viscum stop"]


def test_removal_takes_the_firewall_rules_out_of_the_kernel_when_they_are_in(router, installer, ipks, name):
    installer.install(ipks[name])
    router.write("/tmp/ruleset", '\t\tiifname "vsc-*" notrack comment "!viscum: replies of a service"\n')
    router.calls()
    installer.remove(name)
    assert router.calls() == ["viscum disable", "viscum stop", "firewall reload"]


def test_removal_keeps_configuration_that_was_changed(router, installer, ipks, name):
    installer.install(ipks[name])
    router.write(SHIPPED, "config service 'mine'\n", 0o600)
    installer.remove(name)
    assert router.path(SHIPPED).read_text() == "config service 'mine'\n"


def test_the_luci_application_comes_and_goes_beside_either(router, installer, ipks, name):
    router.write("/etc/init.d/rpcd", "#!/bin/sh /etc/rc.common\n", 0o755)
    installer.install(ipks[name])
    if name == "viscum":
        installer.install(ipks[DOCTOR])
    before = router.files()
    router.write("/tmp/luci-indexcache.x", "{}")
    router.calls()
    installer.install(ipks["luci-app-viscum"])
    assert {path: found for path, found in added(before, router).items() if found[3] is not None} == {
        path: found for path, found in of_package(ipks["luci-app-viscum"]).items() if found[3] is not None
    }
    assert router.calls() == ["rpcd reload"] and not router.path("/tmp/luci-indexcache.x").exists()
    installer.remove("luci-app-viscum")
    found = router.files()
    assert not [path for path in found if path.startswith("/www") and "viscum" in path], "no empty folder, either"
    left = {path: each for path, each in found.items() if each[3] is not None}
    assert left == {path: found for path, found in before.items() if found[3] is not None}


# Packages beside the agent's


DOCTOR, NAMES = "viscum-doctor", "viscum-names"
both = pytest.mark.parametrize("part", [DOCTOR, NAMES])


@pytest.mark.parametrize("part, calls", [(DOCTOR, []), (NAMES, ["viscum reload"])])
def test_a_part_comes_and_goes_beside_the_agent_which_goes_on(router, installer, ipks, part, calls):
    """Services that names were missing for begin at once."""
    installer.install(ipks["viscum"])
    before = router.files()
    router.calls()
    installer.install(ipks[part])
    assert list(added(before, router)) == ["/usr/lib/viscum/%s.packed" % part]
    assert router.calls() == calls
    installer.remove(part)
    assert router.files() == before
    assert router.calls() == [], "the agent is not restarted"


@both
def test_a_part_is_not_installed_beside_another_version(router, installer, ipks, later_ipks, part):
    installer.install(ipks["viscum"])
    with pytest.raises(Refused, match=r"viscum \(= ?0"):
        installer.install(later_ipks[part])
    assert not router.path("/usr/lib/viscum/%s.packed" % part).exists()


@both
def test_an_upgrade_of_the_agent_alone_leaves_a_part_that_the_next_command_brings_up_to_it(
    router, installer, ipks, later_ipks, part
):
    """opkg does not ask what depends on the old version; the agent refuses that part's byte code (test_start.py)."""
    installer.install(ipks["viscum"])
    installer.install(ipks[part])
    installer.install(later_ipks["viscum"])
    installer.install(later_ipks[part])
    _, data = read(later_ipks[part])
    (new,) = [content for _, content in data.values() if content is not None]
    assert router.path("/usr/lib/viscum/%s.packed" % part).read_bytes() == new


@both
def test_the_agent_is_not_removed_while_a_part_needs_it(router, installer, ipks, part):
    installer.install(ipks["viscum"])
    installer.install(ipks[part])
    installer.remove("viscum", check=False)
    assert router.path("/usr/bin/viscum").exists()


def test_each_part_goes_where_the_package_comes_that_has_it_and_those_for_both_stay(router, installer, ipks):
    before = router.files()
    installer.install(ipks["viscum"])
    for part in optional.PARTS:
        installer.install(ipks[part])
    installer.install(ipks["viscum-cpython"])
    for part in optional.PARTS:
        assert router.path("/usr/lib/viscum/%s.packed" % part).exists() == (part in FOR_BOTH)
    for part in FOR_BOTH:
        installer.remove(part)
    installer.remove("viscum-cpython")
    assert router.files() == before


# The two packages


BOTH = [("viscum", "viscum-cpython"), ("viscum-cpython", "viscum")]


@pytest.mark.parametrize("first, second", BOTH)
def test_one_package_takes_the_others_place_in_one_step(router, installer, ipks, tmp_path, first, second):
    """With nothing of the other left; so what is there is what is there when only this one was installed, and it goes
    with it."""
    before = router.files()
    installer.install(ipks[first])
    installer.install(ipks[second])
    fresh = Router(tmp_path / "fresh")
    opkg(fresh).install(ipks[second])
    assert router.files() == fresh.files()
    info = [path.stem for path in router.path("/usr/lib/opkg/info").glob("viscum*.control")]
    assert info == [second], "the manager knows that it has gone, too"
    installer.remove(second)
    assert router.files() == before


@pytest.mark.parametrize("first, second", BOTH)
def test_a_swap_keeps_changed_configuration_and_puts_the_new_one_beside_it(router, installer, ipks, first, second):
    installer.install(ipks[first])
    shipped = router.path(SHIPPED).read_text()
    mine = "config service 'mine'\n"
    router.write(SHIPPED, mine, 0o600)
    installer.install(ipks[second])
    assert router.path(SHIPPED).read_text() == mine
    assert router.path(SHIPPED).stat().st_mode & 0o777 == 0o600
    assert router.path(SHIPPED + "-opkg").read_text() == shipped


@pytest.mark.parametrize("first, second", BOTH)
def test_a_swap_keeps_what_is_in_memory_and_in_the_firewall(router, installer, ipks, first, second):
    installer.install(ipks[first])
    router.write("/tmp/run/viscum.lock", "")
    router.write("/tmp/run/viscum.swap", "")  # of the init script, where it finds that the other one comes
    router.write("/tmp/ruleset", 'iifname "vsc-*" notrack comment "!viscum: replies of a service"\n')
    router.calls()
    installer.install(ipks[second])
    assert router.path("/tmp/run/viscum.lock").exists()
    assert router.calls() == ["viscum disable", "viscum stop", "viscum enable", "viscum start"]


@pytest.mark.parametrize("first, second", BOTH)
def test_the_luci_application_stays_where_one_takes_the_others_place(router, installer, ipks, first, second):
    router.write("/etc/init.d/rpcd", "#!/bin/sh /etc/rc.common\n", 0o755)
    installer.install(ipks[first])
    if first == "viscum":
        installer.install(ipks[DOCTOR])
    installer.install(ipks["luci-app-viscum"])
    pages = {path: found for path, found in router.files().items() if path.startswith("/www")}
    installer.install(ipks[second])
    assert {path: found for path, found in router.files().items() if path.startswith("/www")} == pages
