"""What a child of the agent says that can't do its work. Somebody may take its namespace's name away meanwhile:
that is no bug of ours. (tests/netns starts programs.)"""

import os

import pytest

from viscum_agent.service import process, sockets

GONE = FileNotFoundError(2, "No such file or directory")


def gone(*_):
    raise GONE


def starts_a_program(monkeypatch):
    monkeypatch.setattr(process, "enter_network", gone)
    process._become(SERVICE, ["/bin/true"], (0, 0, []), {}, ("", [], "/bin/true"))


def resets_connections(monkeypatch):
    sockets._work([], gone, False)


class SERVICE:
    name = "echo"


@pytest.mark.parametrize(
    "child, sentence, code",
    [
        (starts_a_program, "echo: its program can't be started: No such file or directory", process.CANNOT_EXECUTE),
        (resets_connections, "clients' connections can't be reset: No such file or directory", 0),
    ],
)
def test_a_child_without_its_namespace_says_so_in_a_line(child, sentence, code, monkeypatch, capfd):
    pid = os.fork()
    if pid == 0:
        child(monkeypatch)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == code
    assert capfd.readouterr().err == "viscumd: %s\n" % sentence
