"""What the kernel says of connections, as the round trips of clients."""

import struct

from viscum_agent.kernel import snmp, tcp_info
from viscum_agent.kernel.codec import attribute
from viscum_agent.kernel.handshake import AF
from viscum_agent.records.facts import Ports

CLOUD, CLIENT, OWN = bytes([203, 0, 113, 10]), bytes([192, 168, 77, 2]), bytes([10, 213, 0, 2])
PORTS = Ports({443}, [(7000, 7010)])
MAPPED = bytes(10) + b"\xff\xff"


def info(rtt=0, least=tcp_info.UNKNOWN, size=tcp_info.SIZE):
    data = bytearray(tcp_info.SIZE)
    struct.pack_into("I", data, tcp_info.RTT, rtt)
    struct.pack_into("I", data, tcp_info.MIN_RTT, least)
    return bytes(data[:size])


BOTH = info(1500, 1100)


def body(port=7000, here=CLOUD, there=CLIENT, family=4, data=BOTH):
    """struct inet_diag_msg and its attributes (linux/inet_diag.h)."""
    ends = struct.pack(">HH", port, 50000) + struct.pack("16s16s", here, there)
    return bytes([AF[family], 1, 0, 0]) + ends + bytes(12 + 20) + attribute(tcp_info.INET_DIAG_INFO, data)


def found(**changes):
    return tcp_info._of_client(body(**changes), [OWN], PORTS)


def test_a_connection_of_a_client_has_the_least_round_trip_that_was_measured():
    assert found() == 1100
    assert found(port=443) == found(port=7010) == 1100
    assert found(family=6, here=MAPPED + CLOUD, there=MAPPED + CLIENT) == 1100
    assert found(data=info(1500)) == 1500
    assert found(data=info(1500, 1100, size=104)) == 1500, "a kernel that says less"


def test_others_have_none():
    assert found(port=7011) is None
    assert found(there=OWN) is None
    assert found(there=CLOUD) is None
    assert found(family=6, here=MAPPED + CLOUD, there=MAPPED + OWN) is None
    assert found(data=info()) is None
    assert found(data=b"") is None


def test_names_and_numbers_are_in_two_lines():
    lines = ["Tcp: RtoMin MaxConn PassiveOpens", "Tcp: 200 -1 17", "Udp: InDatagrams", "Udp: 4"]
    assert snmp._in_pairs(lines) == {
        "Tcp:": {"RtoMin": 200, "MaxConn": -1, "PassiveOpens": 17},
        "Udp:": {"InDatagrams": 4},
    }
