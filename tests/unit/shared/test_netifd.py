"""What netifd answers, and that what it once said stays while it is away."""

from unit.shared.expect import raises

from viscum_agent.ubus import netifd
from viscum_agent.ubus.codes import NOT_FOUND, TIMEOUT, UbusStatus

DUMP = {
    "interface": [
        {"interface": "lan", "l3_device": "br-lan", "device": "br-lan"},
        {"interface": "wan", "l3_device": "pppoe-wan", "device": "eth0"},
        {"interface": "off", "device": "eth1"},
        {"interface": "virtual"},
    ]
}
STATION = {"ifname": "phy0-ap0.sta1"}
WIRELESS = {
    "radio0": {
        "interfaces": [
            {"section": "ap", "ifname": "phy0-ap0", "config": {"mode": "ap"}, "stations": [STATION], "vlans": []},
            {"section": "uplink", "ifname": "phy0-sta0", "config": {"mode": "sta"}},
            {"section": "unused", "config": {"mode": "ap"}},
        ]
    }
}


def test_an_interface_is_where_its_ip_packets_are():
    assert netifd.names(DUMP, {}) == {"lan": ["br-lan"], "wan": ["pppoe-wan"], "off": ["eth1"]}


def test_a_wifi_network_is_its_device_and_those_of_its_stations():
    found = netifd.names({}, WIRELESS)
    assert found["ap"] == ["phy0-ap0", "phy0-ap0.sta1"]
    assert found["uplink"] == ["phy0-sta0"] and found["unused"] == []
    assert found["@wifi"] == ["phy0-ap0", "phy0-ap0.sta1"], "access points only"


class Bus:
    """An ubus client that is answered by the test."""

    def __init__(self):
        self.asked = []
        self.told = []
        self.follower = netifd.Follower(self, self.told.append)

    def listen(self, pattern, callback):
        pass

    def invoke(self, path, method, args, done):
        self.asked.append((path, done))

    def answer(self, error, reply):
        self.asked.pop()[1](error, reply)


def test_what_is_known_of_wifi_stays_known_while_netifd_has_no_word_for_it():
    """It comes back piece by piece: its interfaces first."""
    bus = Bus()
    bus.follower.ask()
    bus.answer(None, DUMP)
    bus.answer(None, WIRELESS)
    assert bus.told[-1]["@wifi"] == ["phy0-ap0", "phy0-ap0.sta1"]
    bus.follower.ask()
    bus.answer(None, {"interface": []})
    bus.answer(UbusStatus(NOT_FOUND, ""), None)
    assert bus.told[-1] == netifd.names({}, WIRELESS)


def test_no_answer_is_no_news():
    bus = Bus()
    bus.follower.ask()
    bus.answer(UbusStatus(TIMEOUT, ""), None)
    assert bus.told == [] and bus.asked == []


def test_who_asks_while_an_answer_is_on_its_way_is_answered_after_it():
    bus = Bus()
    bus.follower.ask()
    bus.follower.ask()
    bus.answer(None, DUMP)
    bus.answer(None, {})
    assert len(bus.asked) == 1, "once more"


def test_an_answer_that_makes_no_sense_does_not_end_the_asking():
    bus = Bus()
    bus.follower.ask()
    bus.answer(None, DUMP)
    raises(AttributeError, bus.answer, None, {"radio0": "down"})
    bus.follower.ask()
    assert len(bus.asked) == 1
