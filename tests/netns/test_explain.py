"""`viscum explain`, with and without an agent. That it is right is what test_packets.py shows."""

import json

import pytest
from agent import CONFIG, Served
from lab import ip, service, wait_for

from viscum_agent.ubus import codes
from viscum_agent.ubus.codes import UbusError

TO_ECHO = "tcp from 192.168.77.2 to 203.0.113.10 port 7000"
TRACKED = "tcp 6 431999 ESTABLISHED src=192.168.77.2 dst=203.0.113.10 sport=40000 dport=%d src=203.0.113.10 [ASSURED]"
PRINTED = "13:05:22.123456 lan0  In  IP 192.168.77.2.40000 > 203.0.113.10.7000: Flags [S], seq 1, length 0"


def explained(viscum, *words):
    """(exit code, answer) of the command."""
    result = viscum("explain", "--json", *words, check=False)
    assert result.returncode in (0, 1) and not result.stderr, result.stderr
    return result.returncode, json.loads(result.stdout)


def test_with_an_agent_the_service_the_match_and_the_rule_are_named(lab, datapath):
    lab.serve_cloud(7000)
    served = Served(lab, CONFIG)
    served.becomes("edge")
    wait_for(lambda: served.state() == "healthy")
    code, found = explained(served.viscum, "dev", "lan0", *TO_ECHO.split())
    assert (code, found["service"], found["match"]) == (0, "echo", "tcp 203.0.113.10/32 port 7000")
    # A redirect by eBPF that has just come leaves open connections alone.
    assert found["reasons"] in ([], ["connections that the cloud has stay there: only new ones are taken"])
    if datapath.startswith("bpf"):
        assert found["rule"] == "program on lan0: tcp 203.0.113.10/32 port 7000 to vsc-echo"
    else:
        words = found["rule"].split()
        assert words[:9] == ["tc", "filter", "dev", "lan0", "ingress", "prio", "1", "protocol", "ip"], words
        handle, kind = words[10:12]
        filters = lab.run(lab.router, "tc", "filter", "show", "dev", "lan0", "ingress").stdout
        assert "protocol ip pref 1 %s " % kind in filters and handle in filters, (found["rule"], filters)
    # The device, where nothing says it, is that to the client.
    for line in (TO_ECHO, PRINTED, TRACKED % 7000):
        code, same = explained(served.viscum, line)
        assert (code, same["device"], same["rule"]) == (0, "lan0", found["rule"])
    code, other = explained(served.viscum, TRACKED % 7001)
    assert (code, other["service"], other["taken"], other["device"]) == (1, "", False, "lan0")
    assert other["reasons"] == ["'echo' takes tcp 203.0.113.10/32 port 7000 there, and not this",
                                "'echo' takes udp 203.0.113.10/32 port 7000 there, and not this"]  # fmt: skip
    assert served.viscum("explain", TO_ECHO).stdout.split("\n")[0] == "echo takes it"
    assert "Traceback" not in served.log.read_text(), served.log.read_text()


def test_with_an_agent_the_reason_is_that_of_the_agent(lab):
    lab.serve_cloud(7000)
    lab.serve_cloud(7001)
    served = Served(lab, CONFIG.replace("list dest_port 7000", "list dest_port 7000-7001"))
    served.becomes("edge")
    code, found = explained(served.viscum, TO_ECHO.replace("7000", "7001"))
    assert (code, found["reasons"]) == (
        1,
        ["'echo' (tcp 203.0.113.10/32 ports 7000-7001): stays with the cloud: only where the program listens"],
    )
    served.viscum("bypass", "echo")
    served.becomes("cloud")
    code, found = explained(served.viscum, TO_ECHO)
    assert (code, found["reasons"]) == (
        1,
        ["'echo' (tcp 203.0.113.10/32 ports 7000-7001): its redirect is out: bypassed: asked for"],
    )
    # A session of LuCI calls it, too, with whatever was typed.
    for text in ("", "tcp from x to y port z", "a" * 100000, "\x1b[2J > \x07"):
        with pytest.raises(UbusError) as refused:
            served.call("explain", packet=text)
        assert refused.value.code == codes.INVALID_ARGUMENT
    with pytest.raises(UbusError):
        served.call("explain")
    assert "Traceback" not in served.log.read_text(), served.log.read_text()


def test_without_an_agent_the_kernel_tells(lab):
    lab.configure(CONFIG)
    assert explained(lab.viscum, TO_ECHO) == (
        1,
        {
            "taken": False,
            "device": "lan0",
            "service": "",
            "match": "",
            "rule": "",
            "reasons": ["'echo' (tcp 203.0.113.10/32 port 7000): its redirect is out: stopped"],
        },
    )
    lab.viscum("up")
    code, found = explained(lab.viscum, TO_ECHO)
    assert (code, found["service"]) == (0, "echo")
    assert explained(lab.viscum, TO_ECHO, "dev", "wan0")[0] == 1
    lab.viscum("down")


def test_a_port_of_a_bridge_and_whom_else_it_is_for_are_known(lab):
    lab.bridge()
    lab.configure(service("s", "/bin/true", "list device br-lan", "list dest_ip 203.0.113.10", "list dest_port 7000"))
    lab.viscum("up", "--no-program")
    assert explained(lab.viscum, TO_ECHO, "dev", "lan0")[1]["service"] == "s"
    to_others = (TO_ECHO, "dev", "lan0", "mac", "02:00:5e:00:53:99")
    assert explained(lab.viscum, *to_others)[0] == 1
    ip("-n", lab.router, "link", "set", "br-lan", "promisc", "on")
    assert explained(lab.viscum, *to_others)[0] == (
        0 if "tc filter" in explained(lab.viscum, TO_ECHO)[1]["rule"] else 1
    )
    lab.viscum("down", "--no-program")


@pytest.mark.parametrize(
    "words, says",
    [
        (("explain",), "explain takes a packet or a service's name; see viscum explain --help"),
        (("explain", "tcp", "from", "nobody"), "the packet 'nobody' is not an IP address; see viscum explain --help"),
        (("explain", *["word"] * 500), "the packet is longer than 2000 characters: paste one line"),
        (("explain", "--off", TO_ECHO), "explain does not take --off"),
    ],
)
def test_what_is_no_packet_is_wrong_usage(lab, words, says):
    result = lab.viscum(*words, check=False)
    assert result.returncode == 2 and says in result.stderr and "Traceback" not in result.stderr, result.stderr
