"""What the agent says goes to the system log and to stderr, and nobody who does not listen harms it."""

import contextlib
import os
import socket
import subprocess
import sys
import termios

import pytest
from lab import HANG, MICROPYTHON_FILE, ROOT

INTERPRETERS = {"cpython": sys.executable, "micropython": str(MICROPYTHON_FILE)}
SAYS = """
from viscum_agent import log
log.LOG_SOCKET = %r
made = log.Log()
made.say(log.WARNING, 'bypassed, asked for', 'echo')
made.say(log.NOTICE, 'runs')
print([line['text'] for line in made.lines('echo')], [line['severity'] for line in made.lines()])
"""


# Much more than a pipe, a terminal or the queue of a socket holds (64 KiB; 10 messages of net.unix.max_dgram_qlen).
SAYS_MUCH = """
import sys
from viscum_agent import log
log.LOG_SOCKET = %r
made = log.Log()
for number in range(3000):
    made.say(log.NOTICE, 'line %%d ' %% number + 60 * '.')
    try:
        raise ValueError('a bug ' + 60 * '!')
    except ValueError as error:
        made.trace(error)
made.end('as it began')
print(made.lines()[-1]['text'][:9], flush=True) if sys.implementation.name == 'cpython' else print('line 2999')
"""


@pytest.fixture(params=sorted(INTERPRETERS))
def interpreter(request, tmp_path):
    """(words, options) for subprocess that run a text with the path of a system log."""

    def made(text):
        words = [INTERPRETERS[request.param], "-c", text % str(tmp_path / "log")]
        return words, {"cwd": ROOT, "env": dict(os.environ, MICROPYPATH=".:.frozen", PYTHONPATH=".")}

    return made


@pytest.fixture
def say(interpreter):
    """Runs SAYS with a system log and returns it."""

    def run(stderr, text=SAYS):
        words, options = interpreter(text)
        return subprocess.run(words, **options, stdout=subprocess.PIPE, stderr=stderr, text=True, timeout=HANG)

    return run


@pytest.fixture
def system_log(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "log"))
        sock.settimeout(HANG)
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


# Readers that are stopped. A hang is what these tests are for; what is measured is nothing.


def test_a_pipe_that_nobody_reads_is_not_waited_for_and_has_whole_lines(say):
    reading, writing = os.pipe()
    try:
        assert say(writing, SAYS_MUCH).stdout == "line 2999\n"
        assert os.get_blocking(writing), "others write there, too"
        os.close(writing)
        with os.fdopen(reading) as pipe:
            lines = pipe.read().splitlines()
        assert 100 < len(lines) < 3000
        assert all(line.startswith("viscumd: line ") for line in lines if "line" in line and "File" not in line)
    finally:
        for fd in (reading, writing):
            with contextlib.suppress(OSError):
                os.close(fd)


def test_a_terminal_that_is_stopped_is_not_waited_for(say):
    """Ctrl-S."""
    master, slave = os.openpty()
    try:
        termios.tcflow(slave, termios.TCOOFF)
        assert say(slave, SAYS_MUCH).stdout == "line 2999\n"
    finally:
        os.close(master)
        os.close(slave)


def test_a_socket_that_nobody_reads_is_not_waited_for(say):
    one, other = socket.socketpair()
    with one, other:
        assert say(one, SAYS_MUCH).stdout == "line 2999\n"
        assert one.gettimeout() is None and os.get_blocking(one.fileno())


def test_a_system_log_that_nobody_reads_is_not_waited_for(say, system_log):
    assert say(subprocess.DEVNULL, SAYS_MUCH).stdout == "line 2999\n"
    assert b"line 0 " in system_log.recv(1000)


# A program that prints more than the log takes, before and after the agent says something.
FLOODED = """
from viscum_agent import log
log.LOG_SOCKET = %r
made = log.Log()
for round in range(2):
    accepted = [made.pass_on('web', 'line %%d of the flood ' %% number + 300 * round * '.') for number in range(1000)]
    made.say(log.NOTICE, 'healthy', 'echo')
print(True in accepted, accepted[-1])
"""


def test_what_programs_print_leaves_room_in_the_system_log_for_what_the_agent_says(say, system_log):
    assert say(subprocess.DEVNULL, FLOODED).stdout == "False False\n"
    system_log.setblocking(False)
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(system_log.recv(1000).decode())
    assert [line.split("]: ")[1] for line in found if "viscumd[" in line] == 2 * ["echo: healthy"]
    assert found[0] == "<30>viscum-web: line 0 of the flood "


NEXT_FILE = """
from viscum_agent import log
log.LOG_SOCKET = %r
made = log.Log()
file = open(log.LOG_SOCKET + '.next', 'w')
print(2)
made.say(log.NOTICE, 'runs')
made.trace(ValueError())
"""


def test_a_stderr_that_is_closed_is_not_written_to_when_its_number_is_another_file_s(interpreter, tmp_path):
    words, options = interpreter(NEXT_FILE)
    shell = ["sh", "-c", 'exec 2>&-; exec "$@"', "sh", *words]
    result = subprocess.run(shell, **options, stdout=subprocess.PIPE, text=True, timeout=HANG)
    assert result.stdout == "2\n"
    assert (tmp_path / "log.next").read_text() == ""


NO_DESCRIPTOR = """
import resource, sys
from viscum_agent import log
made = log.Log()
sys.modules.pop('traceback', None)
resource.setrlimit(resource.RLIMIT_NOFILE, (1, 1))
made.trace(OSError(%r))
made.say(log.NOTICE, 'a file \\udcff')
"""


def test_without_a_descriptor_left_an_error_is_still_survived():
    """The interpreter loads the module that prints an error when it is wanted."""
    words = [sys.executable, "-c", NO_DESCRIPTOR % "x"]
    result = subprocess.run(words, cwd=ROOT, stderr=subprocess.PIPE, text=True, timeout=HANG)
    assert (result.returncode, result.stderr) == (0, "viscumd: a file ?\n")


def test_a_line_has_an_end(interpreter):
    text = "from viscum_agent import log\nlog.LOG_SOCKET = %r\nlog.Log().say(log.NOTICE, '\u20ac' * 100000)"
    words, options = interpreter(text)
    result = subprocess.run(words, **options, stderr=subprocess.PIPE, timeout=HANG)
    assert len(result.stderr) < 4096 and result.stderr.endswith(b"\n")
