"""A program that was broken into: it tries what its box forbids, writes down what came of each attempt, and then goes
on as the server that it was.

attempts.py FOLDER WHO PORT NAME...     FOLDER/attempts has JSON then: {name: "done", or what the kernel said}

Each attempt is a process of its own. What it would change, it leaves as it was, even where nothing stops it.
"""

import ctypes
import errno
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)
FOLDER = Path(sys.argv[1])
OTHER = 1  # Debian's account `daemon`, which these tests run nothing else as


def call(name, *arguments):
    """A function of the C library that returns -1 for an error; raises OSError."""
    function = getattr(libc, name)
    function.restype = ctypes.c_long
    result = function(*[ctypes.c_long(each) if isinstance(each, int) else each for each in arguments])
    if result == -1:
        raise OSError(ctypes.get_errno(), name)
    return result


# Powers of root


def become_another():
    os.setresuid(OTHER, OTHER, OTHER)


def join_a_group():
    os.setgroups([0, 4])


def signal_another():
    os.kill(int((FOLDER / "other").read_text()), 0)


def read_anothers_file():
    (FOLDER / "secret").read_bytes()


def give_a_file_away():
    path = FOLDER / "mine"
    path.touch()
    os.chown(path, OTHER, OTHER)


def raw_socket():
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)


def packet_socket():
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)


def own_address():
    """Another MTU for eth0: the same (SIOCSIFMTU)."""
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        found = fcntl.ioctl(sock, 0x8921, b"eth0".ljust(40, b"\0"))
        fcntl.ioctl(sock, 0x8922, found)


def another_root():
    os.chroot(FOLDER)


def device_file():
    os.mknod(FOLDER / "memory", 0o600 | 0o020000, os.makedev(1, 1))


def host_name():
    socket.sethostname(socket.gethostname())


def before_others():
    os.setpriority(os.PRIO_PROCESS, 0, -5)


def locked_memory():
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))
    memory = ctypes.create_string_buffer(1 << 20)
    call("mlock", memory, 1 << 20)


def powers_back():
    """What it gave up comes back when it executes something."""
    call("capset", struct.pack("Ii", 0x20080522, 0), bytes(24))
    code = "import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)"
    if subprocess.run(["/usr/bin/python3", "-c", code], stderr=subprocess.DEVNULL, check=False).returncode:
        raise PermissionError(errno.EPERM, "gone")


# What there is only so much of


def many_descriptors():
    held = []
    while len(held) < 500:
        held.append(os.open("/dev/null", os.O_RDONLY))


def many_processes():
    held = []
    try:
        while len(held) < 50:
            pid = os.fork()
            if pid == 0:
                signal.pause()
            held.append(pid)
    finally:
        for pid in held:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def core_file():
    pid = os.fork()
    if pid == 0:
        os.chdir(FOLDER)
        os.kill(os.getpid(), signal.SIGABRT)
    if not os.WCOREDUMP(os.waitpid(pid, 0)[1]):
        raise OSError(errno.EFBIG, "no core")


def much_locked():
    memory = ctypes.create_string_buffer(4 << 20)
    call("mlock", memory, 4 << 20)


def large_file():
    (FOLDER / "large").write_bytes(bytes(2 << 20))


def file_for_all():
    path = FOLDER / "open"
    path.unlink(missing_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o666))
    if path.stat().st_mode & 0o777 != 0o666:
        raise PermissionError(errno.EACCES, "umask")


def main():
    _, folder, who, port, *names = sys.argv
    found = {name: _outcome(globals()[name]) for name in names}
    (Path(folder) / "attempts").write_text(json.dumps(found))
    echo = str(Path(__file__).parent / "echo.py")
    os.execv("/usr/bin/python3", ["/usr/bin/python3", echo, "serve", who, port])


def _outcome(attempt):
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writing, _try(attempt).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as file:
        text = file.read()
    status = os.waitpid(pid, 0)[1]
    return text or "signal %s" % signal.Signals(os.WTERMSIG(status)).name


def _try(attempt):
    try:
        attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))
    except BaseException as error:
        return repr(error)
    return "done"


if __name__ == "__main__":
    main()
