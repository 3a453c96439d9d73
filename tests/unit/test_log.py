"""What the agent says goes to the system log and to stderr, and nobody who does not listen harms it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
INTERPRETERS = {"cpython": sys.executable, "micropython": str(ROOT / ".cache/micropython/micropython")}
SAYS = """
from viscum_agent import log
log.LOG_SOCKET = %r
made = log.Log()
made.say(log.WARNING, 'echo: bypassed, asked for')
made.say(log.NOTICE, 'runs')
print([line['text'] for line in made.lines('echo')], [line['severity'] for line in made.lines()])
"""


@pytest.fixture(params=sorted(INTERPRETERS))
def say(request, tmp_path):
    """Runs SAYS with a system log and returns it."""

    def run(stderr):
        words = [INTERPRETERS[request.param], "-c", SAYS % str(tmp_path / "log")]
        env = dict(os.environ, MICROPYPATH=".:.frozen", PYTHONPATH=".")
        return subprocess.run(words, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=stderr, text=True)

    return run


@pytest.fixture
def system_log(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "log"))
        sock.settimeout(5)
        yield sock


def test_the_system_log_has_it_with_facility_and_severity(say, system_log, tmp_path):
    with open(tmp_path / "stderr", "w") as stderr:
        result = say(stderr)
    assert result.stdout == "['echo: bypassed, asked for'] [4, 5]\n"
    first, second = system_log.recv(1000).decode(), system_log.recv(1000).decode()
    assert first.startswith("<28>viscumd[") and first.endswith("]: echo: bypassed, asked for"), "daemon.warning"
    assert second.startswith("<29>viscumd[") and second.endswith("]: runs"), "daemon.notice"
    assert (tmp_path / "stderr").read_text() == "viscumd: echo: bypassed, asked for\nviscumd: runs\n"


def test_where_procd_reads_stderr_it_is_said_once(say, system_log):
    assert say(subprocess.PIPE).stderr == ""


def test_without_a_system_log_stderr_has_it(say):
    assert say(subprocess.PIPE).stderr == "viscumd: echo: bypassed, asked for\nviscumd: runs\n"


def test_a_stderr_that_takes_nothing_is_no_reason_to_end(say):
    """/dev/full: every write fails."""
    with open("/dev/full", "w") as stderr:
        assert say(stderr).stdout == "['echo: bypassed, asked for'] [4, 5]\n"
