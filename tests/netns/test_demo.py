"""The demo is what a newcomer runs first: it tells its story, says who answered, and leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from lab import HANG, PROGRAMS, ROOT, wait_for

COMMAND = (sys.executable, ROOT / "demo/demo.py")


@pytest.fixture(autouse=True)
def no_processes_left():
    """Nor files; `nothing_left` looks after namespaces. What another demo beside this one started, that one ends."""
    before = traces(labs())
    yield
    wait_for(lambda: not traces(nobodys()) - before)


def labs():
    """Folders of labs."""
    return PROGRAMS.parent.glob("viscum-lab-*")


def nobodys():
    """Those of processes that have ended: a folder has the number of the one that made it."""
    return [path for path in labs() if not Path("/proc", path.name[11:]).exists()]


def traces(folders):
    """Of what nobody waits for any more: other labs have processes of these names, too."""
    words = ["ps", "--ppid", "1", "-o", "pid,args"]
    running = subprocess.run(words, capture_output=True, text=True, check=False).stdout.splitlines()
    found = [line for line in running if "demo/distance.py" in line or "iperf3 -s" in line]
    return {*found, *map(str, folders)}


def test_the_cloud_answers_then_the_edge_then_the_cloud_again():
    result = subprocess.run(COMMAND, capture_output=True, text=True, timeout=HANG)
    assert result.returncode == 0, result.stdout + result.stderr
    found = re.findall(
        r"=> page from the (\w+), ([\d.]+) ms away; speed test by the (\w+), (\d+) Mbit/s", result.stdout
    )
    assert [(page, speed) for page, _, speed, _ in found] == [("cloud", "cloud"), ("edge", "edge"), ("cloud", "cloud")]
    away = [float(milliseconds) for _, milliseconds, _, _ in found]
    # demo.py puts the cloud 15 ms away, each way; how much less the edge is depends on what else the machine does.
    assert away[1] < 30 <= min(away[0], away[2]), "the edge is nearer"
    rates = [int(rate) for _, _, _, rate in found]
    assert max(rates[0], rates[2]) <= 55 < rates[1], "and faster than the line to the cloud"
    assert "\033" not in result.stdout, "colours are for terminals"


def test_ctrl_c_in_the_middle_leaves_nothing_behind():
    with subprocess.Popen(COMMAND, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0) as demo:
        # The status table's last line: both services are up.
        assert any(line.startswith("web ") for line in demo.stdout)
        os.killpg(demo.pid, signal.SIGINT)  # as a terminal does it
        _, words = demo.communicate()
    assert demo.returncode == 130
    assert "Traceback" not in words
