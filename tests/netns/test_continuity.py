"""Changing other services loses no packet of one that runs."""

import json
import subprocess
import sys

import pytest
from lab import ROOT, echo_command, service

pytestmark = pytest.mark.usefixtures("datapath")

STEADY = service(
    "steady", echo_command("edge", 7000), "list device lan0", "list dest_ip 203.0.113.10", "list dest_port 7000"
)
OTHERS = 20


def others(port, target=""):
    """Sections of twenty services without much of a program, that take traffic on the same device."""
    lines = ["list device lan0", "list dest_ip 203.0.113.10", "list proto tcp", target]
    return "".join(
        service("other%d" % number, "/bin/sleep 1000", *lines, "list dest_port %d" % (port + number))
        for number in range(OTHERS)
    )


def test_a_client_with_1000_requests_a_second_loses_none_while_20_other_services_come_change_and_go(lab):
    """UDP on purpose: nothing would repeat a lost packet."""
    lab.configure(STEADY)
    lab.viscum("up")
    client = lab.start(
        lab.client,
        sys.executable,
        ROOT / "tests/echo.py",
        *("loop", "udp", "203.0.113.10", "7000", "1000", "12"),
        stdout=subprocess.PIPE,
        text=True,
    )
    changes = 0
    while client.poll() is None and changes < 9:
        for text in (others(9000), others(9500), others(9000, "option target_port 99"), ""):
            lab.configure(STEADY + text)
            lab.viscum("up", "--no-program")
            changes += 1
    found = json.loads(client.communicate()[0])
    print(found, "changes:", changes)
    assert changes >= 4, "every kind of change happened while the client asked"
    assert found["sent"] >= 2000, "a busy machine asks more slowly"
    assert found["answered"] == found["sent"]
    assert found["who"] == {"edge": found["sent"]}
