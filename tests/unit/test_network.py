"""Which devices an interface has, by /etc/config/network and by netifd, and why one has none."""

import pytest

from viscum_agent.config import network
from viscum_agent.config.network import INTERFACE


def interfaces(folder, text, **names):
    (folder / "network").write_text(text)
    return network.interfaces(str(folder), names)


def reason(folder, text, name, **names):
    devices, why = interfaces(folder, text, **names)
    assert not devices.get(name)
    return why[(INTERFACE, name)].replace(str(folder), "")


def test_devices_are_named_in_all_the_ways_that_there_have_been(tmp_path):
    devices, _ = interfaces(
        tmp_path,
        "config interface lan\n\toption device br-lan\n"
        "config interface wan\n\tlist device eth1\n\tlist device eth2\n"
        "config interface old\n\toption ifname 'eth3 eth4'\n"
        "config interface older\n\toption type bridge\n\toption ifname 'eth5 eth6'\n"
        "config device\n\toption name br-lan\n",
    )
    assert devices == {"lan": ["br-lan"], "wan": ["eth1", "eth2"], "old": ["eth3", "eth4"], "older": ["br-older"]}


WAN6 = "config interface wan6\n\toption device '@wan'\n"


@pytest.mark.parametrize(
    "alias",
    [
        WAN6,
        "config interface wan6\n\toption ifname @wan\n",
        "config alias wan6\n\toption interface wan\n",
        "config interface wan6\n\toption device @between\nconfig interface between\n\toption device @wan\n",
    ],
)
def test_an_alias_has_the_devices_of_what_it_stands_for(tmp_path, alias):
    assert interfaces(tmp_path, alias + "config interface wan\n\toption device eth1\n")[0]["wan6"] == ["eth1"]
    assert interfaces(tmp_path, alias, wan=["pppoe-wan"])[0]["wan6"] == ["pppoe-wan"], "netifd knows more"


def test_what_netifd_says_counts_more(tmp_path):
    devices, why = interfaces(tmp_path, WAN6, wan6=["eth7"])
    assert devices == {"wan6": ["eth7"]} and (INTERFACE, "wan6") not in why


def test_an_alias_that_leads_nowhere_says_where(tmp_path):
    assert reason(tmp_path, WAN6, "wan6") == "stands for interface 'wan', which is no interface"
    assert reason(tmp_path, WAN6 + "config interface wan\n", "wan6") == (
        "stands for interface 'wan', which has no device in /network"
    )
    assert reason(tmp_path, WAN6 + "config interface wan\n\toption device @wan6\n", "wan6") == (
        "stands for interface 'wan6', which stands for itself"
    )
    disabled = WAN6 + "config interface wan\n\toption device eth1\n\toption disabled 1\n"
    assert reason(tmp_path, disabled, "wan6") == "stands for interface 'wan', which is disabled in /network"
    assert reason(tmp_path, disabled, "wan") == "is disabled in /network"


def test_an_interface_without_a_device_says_so(tmp_path):
    assert reason(tmp_path, "config interface guest\n\toption proto static\n", "guest") == "has no device in /network"


def test_every_access_point_is_netifds_to_say(tmp_path):
    assert reason(tmp_path, "", "@wifi").startswith("stands for the access points that netifd names")
    assert interfaces(tmp_path, "", **{"@wifi": ["phy0-ap0"]})[0] == {"@wifi": ["phy0-ap0"]}


def test_a_file_that_is_not_taken_is_the_reason_for_all_names(tmp_path):
    assert network.interfaces(str(tmp_path), {})[1][(INTERFACE, "")] == "there is no %s/network" % tmp_path
    for text, said in (("nonsense\n", "/network:1: 'nonsense' is no command"), (None, "is not a regular file")):
        (tmp_path / "network").unlink(missing_ok=True)
        if text is None:
            (tmp_path / "network").mkdir()
        else:
            (tmp_path / "network").write_text(text)
        devices, why = network.interfaces(str(tmp_path), {"lan": ["br-lan"]})
        assert devices == {"lan": ["br-lan"]} and said in why[(INTERFACE, "")]


@pytest.mark.parametrize("value", ["@", "@@", "@wan6", "@wan@", "@ @", "@wan @wan"])
def test_odd_names_end_somewhere(tmp_path, value):
    interfaces(tmp_path, "config interface wan6\n\toption device '%s'\nconfig interface wan\n" % value)
