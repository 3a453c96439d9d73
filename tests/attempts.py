"""A program that was broken into: it tries what its box forbids, writes down what came of each attempt, and then goes
on as the server that it was.

attempts.py FOLDER WHO PORT NAME...     FOLDER/attempts has JSON then: {name: "done", or what the kernel said}

Each attempt is a process of its own. What it would change, it leaves as it was, even where nothing stops it.
"""

import contextlib
import ctypes
import errno
import json
import mmap
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)
FOLDER = Path(sys.argv[1])
OTHER = 1  # Debian's account `daemon`, which these tests run nothing else as


def call(name, *arguments):
    """A function of the C library that returns -1 for an error; raises OSError."""
    function = getattr(libc, name)
    function.restype = ctypes.c_long if name == "syscall" else ctypes.c_int
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


def trace_another():
    system("ptrace", 0x4206, int((FOLDER / "other").read_text()), 0, 0)  # PTRACE_SEIZE


def read_anothers_environment():
    Path("/proc", (FOLDER / "other").read_text(), "environ").read_bytes()


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


def fork_bomb():
    """Children of children for ten minutes, or until somebody ends them, while it goes on."""
    if os.fork():
        return
    os.closerange(0, 64)  # nobody waits for their end
    end = time.monotonic() + 600
    while time.monotonic() < end:
        try:
            os.fork()
        except OSError:
            time.sleep(2)  # an emulated processor has others to do, too
    os._exit(0)


def much_memory():
    held = [bytearray(b"x") * (1 << 20) for _ in range(200)]
    assert len(held) == 200


def memory_bomb():
    """Until it is ended."""
    held = []
    while True:
        held.append(bytearray(b"x") * (1 << 20))


def busy():
    """One processor, for all of two seconds."""
    began, used = time.monotonic(), time.process_time()
    while time.monotonic() - began < 2:
        pass
    if time.process_time() - used < 1:
        raise OSError(errno.EDQUOT, "not even half of one")


def core_file():
    pid = os.fork()
    if pid == 0:
        os.chdir(FOLDER)
        os.kill(os.getpid(), signal.SIGABRT)
    if not os.WCOREDUMP(os.waitpid(pid, 0)[1]):
        raise OSError(errno.EFBIG, "no core")


def many_terminals():
    """Of those that a machine has for all (kernel.pty.max)."""
    held = []
    while len(held) < 600:
        held.append(os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY))


def own_terminal():
    """It works, and there are none of others."""
    holder, terminal = os.openpty()
    os.write(holder, b"x\n")
    os.close(os.open(os.ttyname(terminal), os.O_RDWR | os.O_NOCTTY))
    if os.read(terminal, 2) != b"x\n" or sorted(os.listdir("/dev/pts")) != ["0", "ptmx"]:
        raise OSError(errno.EIO, "another one")


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


# What no server asks the kernel for

NEW_USER, NEW_NET, NEW_NS, NEW_PID = 0x10000000, 0x40000000, 0x20000, 0x20000000  # linux/sched.h
# arch/x86/entry/syscalls/syscall_64.tbl
NUMBERS = {"clone": 56, "ptrace": 101, "pivot_root": 155, "init_module": 175, "delete_module": 176, "add_key": 248}
NUMBERS.update({"keyctl": 250, "perf_event_open": 298, "process_vm_readv": 310, "kcmp": 312, "bpf": 321})
NUMBERS.update({"userfaultfd": 323, "io_uring_setup": 425, "open_tree": 428, "fsopen": 430, "clone3": 435})
NUMBERS.update({"pidfd_getfd": 438})


def system(name, *arguments, fine=()):
    """A system call by its number. The errors in `fine` are those of who would have been served."""
    try:
        return call("syscall", NUMBERS[name], *arguments)
    except OSError as error:
        if error.errno not in fine:
            raise
        return 0


def namespace_by_unshare():
    call("unshare", NEW_USER | NEW_NET | NEW_NS | NEW_PID)


def _in_child(result):
    if result == 0:
        os._exit(0)
    os.waitpid(result, 0)


def namespace_by_clone():
    _in_child(system("clone", NEW_USER | NEW_NET | signal.SIGCHLD, 0, 0, 0, 0))


def namespace_by_clone3():
    _in_child(system("clone3", struct.pack("8Q", NEW_USER, 0, 0, 0, signal.SIGCHLD, 0, 0, 0), 64))


def namespace_by_the_numbers_of_i386():
    """As a program of 64 bits can, by interrupt 0x80: push rbx; mov eax, edi; mov ebx, esi; int 0x80; pop rbx; ret."""
    memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(bytes.fromhex("53 89 f8 89 f3 cd 80 5b c3"))
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    result = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_int)(address)(310, NEW_USER)
    if result < 0:
        raise OSError(-result, "unshare")


def namespace_of_another():
    with open("/proc/self/ns/net") as file:
        call("setns", file.fileno(), 0)


def mounted():
    place = str(FOLDER).encode()
    call("mount", b"none", place, b"tmpfs", 0, None)
    call("umount2", place, 2)


def mounted_anew():
    os.close(system("fsopen", b"tmpfs", 0))


def mount_copied():
    os.close(system("open_tree", -100, b"/", 1))  # AT_FDCWD, OPEN_TREE_CLONE


def root_exchanged():
    system("pivot_root", b"/nowhere", b"/nowhere", fine=(errno.ENOENT,))


def key_added():
    system("add_key", b"user", b"attempt", b"x", 1, -2)  # KEY_SPEC_PROCESS_KEYRING


def keys_found():
    system("keyctl", 0, -2, 1)  # KEYCTL_GET_KEYRING_ID


def network_of_another_kind():
    """Sockets that no network namespace keeps apart, here for a virtual machine's host."""
    socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM).close()


def pair_of_another_kind():
    """The kernel makes two sockets of the family before it says that there are no such pairs."""
    try:
        socket.socketpair(socket.AF_VSOCK, socket.SOCK_STREAM)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise


def socket_of_any_other_kind():
    """Of all families but those that a service has (linux/socket.h)."""
    found = []
    for family in set(range(3, 64)) - {socket.AF_INET6, socket.AF_NETLINK, socket.AF_PACKET}:
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
            with contextlib.suppress(OSError):
                socket.socket(family, kind).close()
                found.append(family)
    if not found:
        raise OSError(errno.EAFNOSUPPORT, "none of them")


def page_faults():
    os.close(system("userfaultfd", 1))  # UFFD_USER_MODE_ONLY


def ring():
    os.close(system("io_uring_setup", 1, bytes(bytearray(120))))


def program_for_the_kernel():
    os.close(system("bpf", 0, struct.pack("IIIII", 2, 4, 4, 1, 0) + bytes(100), 120))  # BPF_MAP_CREATE, an array


def counters():
    attributes = struct.pack("IIQQQQQ", 1, 120, 1, 0, 0, 0, 0x60) + bytes(
        72
    )  # PERF_COUNT_SW_TASK_CLOCK, not the kernel
    os.close(system("perf_event_open", attributes, 0, -1, -1, 0))


def traced():
    pid = os.fork()
    if pid == 0:
        signal.pause()
    try:
        system("ptrace", 0x4206, pid, 0, 0)  # PTRACE_SEIZE
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def memory_read():
    """Its own, which is as good as another's of its account."""
    here, there = ctypes.create_string_buffer(b"x" * 8), ctypes.create_string_buffer(8)
    vectors = [struct.pack("PL", ctypes.addressof(each), 8) for each in (there, here)]
    system("process_vm_readv", os.getpid(), vectors[0], 1, vectors[1], 1, 0)


def compared():
    system("kcmp", os.getpid(), os.getppid(), 1, 0, 0)  # KCMP_VM


def descriptor_taken():
    os.close(system("pidfd_getfd", os.pidfd_open(os.getpid()), 0, 0))


def module_loaded():
    system("init_module", b"", 0, b"", fine=(errno.ENOEXEC,))


def module_removed():
    system("delete_module", b"nosuch_of_viscum", os.O_NONBLOCK, fine=(errno.ENOENT,))


# What is there besides what it needs: files, processes, sockets

CONFIGURATION, OVERLAY, OUTSIDE, THEIRS = "/etc/config/attempt", "/overlay/attempt", "/srv", "/tmp/viscum-attempt"
SOCKET = "/run/ubus/ubus.sock"


def read_where_it_works():
    Path("secret").read_bytes()


def configuration_read():
    Path(CONFIGURATION).read_bytes()


def configuration_below_the_overlay():
    Path(OVERLAY).read_bytes()


def written_outside():
    path = Path(OUTSIDE) / "mine"
    path.write_text("x")
    path.unlink()


def anothers_temporary_file():
    Path(THEIRS).read_bytes()


def socket_reached():
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect(SOCKET)


def anothers_segment():
    """Shared memory as System V has it."""
    call("shmget", int((FOLDER / "segment").read_text()), 0, 0)


def namespaces_found():
    os.listdir("/run/netns")


def init_seen():
    os.stat("/proc/1")


def anothers_command_line():
    Path("/proc/%s/cmdline" % (FOLDER / "other").read_text()).read_bytes()


def all_processes_seen():
    if not any(os.stat("/proc/" + name).st_uid != os.getuid() for name in os.listdir("/proc") if name.isdigit()):
        raise FileNotFoundError(errno.ENOENT, "others")


def kernels_setting():
    path = Path("/proc/sys/kernel/core_pattern")
    path.write_text(path.read_text())


def _filled(path):
    with open(path, "wb") as file:
        os.unlink(path)
        for _ in range(24):
            file.write(bytes(1 << 20))
            file.flush()


def tmp_filled():
    _filled("/tmp/viscum-large")


def shared_memory_filled():
    _filled("/dev/shm/viscum-large")


def many_files():
    made = []
    try:
        while len(made) < 5000:
            path = Path("/tmp/viscum-%d-%d" % (os.getpid(), len(made)))
            path.touch()
            made.append(path)
    finally:
        for path in made:
            path.unlink()


def _mount_again(path, flags):
    call("mount", b"none", path, None, 0x1000 | 32 | flags, None)  # MS_BIND, MS_REMOUNT


def made_writable():
    _mount_again(b"/srv", 0)


def uncovered():
    call("umount2", b"/etc/config", 2)


# Who is none of its clients (the addresses of tests/lab.py)


def _asked(kind, address, port, own=None):
    """Something answers there."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind) as sock:
        sock.settimeout(1)
        if own:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            sock.bind(own)
        try:
            sock.connect((address, port))
            sock.send(b"who\n")
            sock.recv(1)
        except TimeoutError:
            raise OSError(errno.ETIMEDOUT, "nobody") from None


def hosts_ssh():
    _asked(socket.SOCK_STREAM, "192.168.77.2", 22)


def hosts_ssh_over_ipv6():
    _asked(socket.SOCK_STREAM, "2001:db8:77::2", 22)


def routers_ssh():
    _asked(socket.SOCK_STREAM, "192.168.77.1", 22)


def routers_ssh_over_ipv6():
    _asked(socket.SOCK_STREAM, "2001:db8:77::1", 22)


def routers_resolver():
    _asked(socket.SOCK_DGRAM, "192.168.77.1", 53)


def cloud():
    _asked(socket.SOCK_STREAM, "203.0.113.11", 7001)


def cloud_over_ipv6():
    _asked(socket.SOCK_DGRAM, "2001:db8:cafe::11", 7001)


def main():
    _, folder, who, port, *names = sys.argv
    found = {name: _outcome(globals()[name]) for name in names}
    (Path(folder) / "attempts").write_text(json.dumps(found))
    echo = str(Path(__file__).parent / "echo.py")
    os.execv("/usr/bin/python3", ["/usr/bin/python3", echo, "serve", who, port])


def _outcome(attempt):
    return ended(*begun(attempt))


def begun(attempt):
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writing, _try(attempt).encode())
        os._exit(0)
    os.close(writing)
    return pid, reading


def ended(pid, reading):
    """What came of it: "done", or what the kernel said."""
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
