"""What is in a package of its own, and what is said where that is not there."""

from viscum_agent import optional


def test_each_module_of_a_package_of_its_own_can_be_loaded_by_its_name():
    for package in optional.PARTS:
        for name in optional.PARTS[package]:
            assert optional.load(name).__name__ == "viscum_agent." + name


def test_the_command_that_installs_is_that_of_the_routers_package_manager():
    assert optional.install("opkg", "viscum-doctor") == "opkg update && opkg install viscum-doctor"
    assert optional.install("apk", "viscum-doctor") == "apk add viscum-doctor"
    assert optional.install("", "viscum-doctor").startswith("install viscum-doctor (")


def test_without_a_package_manager_there_is_none():
    assert optional.manager("/no/such/folder") == ""
