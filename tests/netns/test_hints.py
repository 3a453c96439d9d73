"""What a default or an option forbids a program is in the log with the option that allows it: nobody but the program
hears of it from the kernel, so it is what the program prints of it that counts."""

import pytest
from agent import QUICK, TAKES, Agent
from lab import PROGRAMS, echo_command, service, wait_for

# Does what it is told, twice, prints what comes of it as perror(3) does, and becomes the server; or ends.
TRIES = """
import ctypes, os, sys

def fork():
    if os.fork() == 0:
        os._exit(0)

def call(*numbers):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(*numbers) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

what = %r
for _ in range(2):
    try:
        eval(what)
    except OSError as error:
        print(what[:4] + ': ' + error.strerror, flush=True)
if sys.argv[1] == 'end':
    sys.exit(1)
os.execv(sys.argv[1], sys.argv[1:])
"""
SECRET = "open('%s/secret')" % PROGRAMS
LARGE = "os.ftruncate(os.memfd_create('x'),9999)"
MANY = "[os.dup(1)for(_)in(range(99))]"
# What the program does, with which options that fails, what is said then, and with which options it does not fail.
CASES = {
    "chroot": (
        "os.chroot('/')",
        (),
        "Operation not permitted",
        "`list capability` and `list allow_syscalls`",
        ("option user root", "list capability sys_chroot"),
    ),
    "key": (
        "call(250,0,-3,1)",  # keyctl(KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 1)
        (),
        "Operation not permitted",
        "`list capability` and `list allow_syscalls`",
        ("list allow_syscalls keyring",),
    ),
    "file": (SECRET, (), "Permission denied", "`option user` and `option group`", ("option user root",)),
    "ring": ("call(425,1,0)", (), "Function not implemented", "`list allow_syscalls`", None),
    "descriptors": (
        MANY,
        ("option nofile 64",),
        "Too many open files",
        "`option nofile`",
        ("option nofile 1024",),
    ),
    "size": (LARGE, ("option fsize 5000",), "File too large", "`option fsize`", ("option fsize 50000",)),
    "processes": (
        "fork()",
        ("option user 54321", "option nproc 1"),
        "fork: Resource temporarily unavailable",
        "`option nproc`",
        ("option user 54321", "option nproc 9"),
    ),
}


@pytest.fixture
def tried(lab):
    """The configuration of a service whose program tries something; `then` is what it becomes, or "end"."""
    (PROGRAMS / "secret").write_text("")
    (PROGRAMS / "secret").chmod(0o600)

    def made(what, lines, then):
        (PROGRAMS / "tries.py").write_text(TRIES % what)
        return service("echo", "/usr/bin/python3 %s/tries.py %s" % (PROGRAMS, then), *TAKES, *QUICK, *lines)

    return made


@pytest.mark.parametrize("case", CASES)
def test_what_is_forbidden_is_said_once_with_the_option_that_allows_it(lab, tried, case):
    what, lines, words, options, allow = CASES[case]
    agent = Agent(lab, tried(what, lines, echo_command("edge", 7000)))
    agent.says("echo: healthy")
    agent.says('viscumd: echo: its program said "%s": see %s' % (words, options))
    assert agent.log.read_text().count("its program said") == 1
    if allow is None:
        return
    before = len(agent.log.read_text())
    agent.reload(tried(what, allow, echo_command("edge", 7000)))
    wait_for(lambda: "echo: healthy" in agent.log.read_text()[before:])
    assert "its program said" not in agent.log.read_text()[before:]


def test_with_other_settings_it_is_said_again(lab, tried):
    agent = Agent(lab, tried(SECRET, (), echo_command("edge", 7000)))
    agent.says("its program said")
    agent.reload(tried(SECRET, ("option nice 1",), echo_command("edge", 7000)))
    wait_for(lambda: agent.log.read_text().count("its program said") == 2)


def test_a_program_that_ends_because_of_it_has_the_option_in_its_reason(lab, tried):
    """Its last words are read before its end is told, and those of an earlier start do not count."""
    lab.configure(tried(SECRET, (), "end"))
    result = lab.viscum("up", check=False)
    assert result.returncode == 1
    assert 'the program ended with exit code 1; it said "Permission denied": see `option user`' in result.stderr
