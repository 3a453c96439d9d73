"""Somebody who has broken into a service: it tries whatever helps against the router, its other programs and other
hosts, writes down what came of each attempt, and goes on as the server that it was.

    intruder.py FOLDER WHO PORT

FOLDER is the test's. `aims` has JSON: what there is to attack, and under "names" what to try. When `go` is there it
begins, and `attempts` has {name: "done", or what the kernel said} in the end. What it would change it leaves as it was,
even where nothing stops it; and what would harm the machine is asked for in a way that the kernel refuses for another
reason than who asks. Attempts that are not here are those of tests/attempts.py, which lies beside this file.
"""

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import attempts
from attempts import FOLDER, call, system

AIMS = {}
# arch/x86/entry/syscalls/syscall_64.tbl
attempts.NUMBERS.update({"settimeofday": 164, "swapon": 167, "reboot": 169, "ioperm": 173, "quotactl": 179})
attempts.NUMBERS.update({"kexec_load": 246, "ioprio_set": 251, "setns": 308, "open_by_handle_at": 304, "unshare": 272})
attempts.NUMBERS.update({"name_to_handle_at": 303, "acct": 163, "syslog": 103, "fanotify_init": 300, "adjtimex": 159})
attempts.NUMBERS.update({"rt_sigqueueinfo": 129, "mount_setattr": 442, "move_mount": 429, "swapoff": 168})
PORT = 7005  # where the test listens for what is sent


# Other accounts and processes


def _prints(words, wanted):
    if subprocess.run(words, capture_output=True, text=True, check=False).stdout.strip() != wanted:
        raise PermissionError(errno.EPERM, "not that")


def root_by_a_program():
    """A copy of id(1) that belongs to root and has the set-uid bit."""
    _prints([AIMS["set_uid"], "-u"], "0")


def another_by_a_program():
    """Not even another account without rights."""
    _prints([AIMS["set_uid_of_other"], "-u"], str(attempts.OTHER))


def powers_by_a_file():
    """A copy of id(1) with capabilities of its own: the kernel refuses to run it, or gives it none."""
    code = "import os; os.setuid(0)"
    _prints([AIMS["with_powers"], "-c", code + "; print(os.getuid())"], "0")


def _other(name="other"):
    return AIMS[name]


def signal_to_the_agent():
    os.kill(_other("agent"), 0)


def signal_to_init():
    os.kill(1, 0)


def signal_to_another_service():
    os.kill(_other("service"), 0)


def signal_by_pidfd():
    signal.pidfd_send_signal(os.pidfd_open(_other()), 0)


def signal_with_a_value():
    system("rt_sigqueueinfo", _other(), signal.SIGURG, struct.pack("iii", signal.SIGURG, 0, -1) + bytes(116))


def _of(what, name="other"):
    return Path("/proc/%d/%s" % (_other(name), what))


def anothers_memory():
    with _of("mem").open("rb") as file:
        file.seek(AIMS["address"])
        file.read(8)


def anothers_memory_by_a_call():
    there = ctypes.create_string_buffer(8)
    vectors = [struct.pack("PL", each, 8) for each in (ctypes.addressof(there), AIMS["address"])]
    system("process_vm_readv", _other(), vectors[0], 1, vectors[1], 1, 0)


def anothers_map():
    _of("maps").read_text()


def anothers_root():
    os.listdir(_of("root"))


def anothers_folder():
    os.readlink(_of("cwd"))


def anothers_descriptors():
    os.listdir(_of("fd"))


def anothers_descriptor():
    os.close(system("pidfd_getfd", os.pidfd_open(_other()), 1, 0))


def anothers_namespace():
    system("setns", os.pidfd_open(_other()), attempts.NEW_NS)


def anothers_limits():
    resource.prlimit(_other(), resource.RLIMIT_CORE, resource.prlimit(_other(), resource.RLIMIT_CORE))


def anothers_priority():
    os.setpriority(os.PRIO_PROCESS, _other(), 0)


def anothers_processors():
    os.sched_setaffinity(_other(), os.sched_getaffinity(_other()))


def anothers_end():
    """It is to go first when memory runs out."""
    path = _of("oom_score_adj")
    path.write_text(path.read_text())


def agents_memory():
    _of("mem", "agent").open("rb").close()


def agents_environment():
    _of("environ", "agent").read_bytes()


def agents_descriptors():
    os.listdir(_of("fd", "agent"))


def another_services_environment():
    _of("environ", "service").read_bytes()


def another_services_files():
    os.listdir(_of("root/tmp", "service"))


def another_services_network():
    with _of("ns/net", "service").open() as file:
        call("setns", file.fileno(), 0)


def keys_typed_into_a_terminal():
    """As if somebody sat there (TIOCSTI)."""
    fd = os.open(AIMS["terminal"], os.O_RDWR | os.O_NOCTTY)
    fcntl.ioctl(fd, 0x5412, b"x")


def console_opened():
    os.close(os.open("/dev/tty1", os.O_RDWR | os.O_NOCTTY))


# Files


def anothers_temporary_file():
    Path(AIMS["temporary"]).read_bytes()


def passwords_read():
    Path("/etc/shadow").read_bytes()


def network_configuration_read():
    Path("/etc/config/network").read_bytes()


def configuration_written():
    with open("/etc/config/network", "a"):
        pass


def _made(folder):
    path = Path(folder, "viscum-%d" % os.getpid())
    path.touch()
    path.unlink()


def written_to_root():
    _made("/")


def written_to_etc():
    _made("/etc")


def written_to_usr():
    _made("/usr/bin")


def written_to_var():
    _made("/var/lib")


def written_to_dev():
    _made("/dev")


def written_to_cron():
    """Somebody else would execute it."""
    _made("/etc/cron.d")


def program_replaced():
    os.close(os.open("/usr/bin/env", os.O_WRONLY))


def own_program_replaced():
    """What root, or the next start, executes."""
    os.close(os.open(AIMS["program"], os.O_WRONLY))


def write_again(path):
    """As it was, so that nothing changes where it succeeds."""
    Path(path).write_text(Path(path).read_text())


def device_changed():
    write_again("/sys/class/net/lo/mtu")


def module_parameter_changed():
    write_again("/sys/module/printk/parameters/time")


def forwarding():
    write_again("/proc/sys/net/ipv4/ip_forward")


def answers_for_others():
    write_again("/proc/sys/net/ipv4/conf/eth0/proxy_arp")


def memory_overcommitted():
    write_again("/proc/sys/vm/overcommit_memory")


def anothers_file_by_a_handle():
    """Of any file of the same file system, hidden or not (CAP_DAC_READ_SEARCH)."""
    handle, mount = ctypes.create_string_buffer(struct.pack("Ii", 120, 0), 128), ctypes.c_int()
    system("name_to_handle_at", -100, b"/usr/bin/env", handle, ctypes.byref(mount), 0)  # AT_FDCWD
    os.close(system("open_by_handle_at", os.open("/usr/bin", os.O_RDONLY), handle, 0))


def all_files_watched():
    os.close(system("fanotify_init", 4, 0))  # FAN_CLASS_CONTENT


def disk_made():
    """A device file for a disk that is there."""
    path = FOLDER / "disk"
    os.mknod(path, 0o600 | 0o060000, os.makedev(7, 0))
    path.unlink()


def disk_opened():
    os.close(os.open("/dev/loop0", os.O_RDONLY))


def memory_device_opened():
    os.close(os.open("/dev/mem", os.O_RDONLY))


def kernels_memory_opened():
    os.close(os.open("/proc/kcore", os.O_RDONLY))


def sysrq():
    os.close(os.open("/proc/sysrq-trigger", os.O_WRONLY))


# Mounts and namespaces


def _unshared(flag):
    call("unshare", flag)


def _cloned(flag):
    attempts._in_child(system("clone", flag | signal.SIGCHLD, 0, 0, 0, 0))


KINDS = {"mount": 0x20000, "cgroup": 0x2000000, "uts": 0x4000000, "ipc": 0x8000000}  # linux/sched.h
KINDS.update({"user": 0x10000000, "pid": 0x20000000, "network": 0x40000000})
for _kind, _flag in KINDS.items():
    globals()["new_%s_namespace" % _kind] = lambda flag=_flag: _unshared(flag)
    globals()["child_in_new_%s_namespace" % _kind] = lambda flag=_flag: _cloned(flag)


def new_time_namespace():
    _unshared(0x80)


def mount_bound():
    place = str(FOLDER).encode()
    call("mount", b"/etc", place, None, 0x1000, None)  # MS_BIND
    call("umount2", place, 2)


def processes_mounted():
    """Another /proc, which hides nothing."""
    place = str(FOLDER).encode()
    call("mount", b"proc", place, b"proc", 0, None)
    call("umount2", place, 2)


def mounts_propagated():
    call("mount", b"none", b"/", None, 0x4000 | 0x40000, None)  # MS_REC, MS_PRIVATE


def mount_attributes_changed():
    system("mount_setattr", -100, b"/nowhere", 0, bytes(32), 32, fine=(errno.ENOENT,))


def mount_moved():
    system("move_mount", -100, b"/nowhere", -100, b"/nowhere", 0, fine=(errno.ENOENT,))


def _groups():
    """All control groups, mounted anew."""
    place = FOLDER / "groups"
    place.mkdir(exist_ok=True)
    call("mount", b"none", str(place).encode(), b"cgroup2", 0, None)
    return place


def own_group_left():
    place = _groups()
    try:
        own = next(line for line in Path("/proc/self/cgroup").read_text().split("\n") if line.startswith("0::"))[4:]
        (place / "cgroup.procs").write_text("0")
        (place / own / "cgroup.procs").write_text("0")
    finally:
        call("umount2", str(place).encode(), 2)


def groups_limit_raised():
    place = _groups()
    try:
        own = next(line for line in Path("/proc/self/cgroup").read_text().split("\n") if line.startswith("0::"))[4:]
        (place / own / "cgroup.max.descendants").write_text("max")
    finally:
        call("umount2", str(place).encode(), 2)


# The machine


def clock_set():
    """As settimeofday(2) sets the time zone: to one that there is none."""
    system("settimeofday", None, struct.pack("ii", 100000, 0), fine=(errno.EINVAL,))


def clock_adjusted():
    """ADJ_TICK, with a tick that is out of bounds."""
    system("adjtimex", struct.pack("I", 0x4000) + bytes(204), fine=(errno.EINVAL,))


def domain_name():
    name = os.uname()
    call("setdomainname", b"(none)" if not hasattr(name, "domainname") else name.domainname.encode(), 6)


def restarted():
    """With a magic number that is none."""
    system("reboot", 0, 0, 0, 0, fine=(errno.EINVAL,))


def another_kernel():
    system("kexec_load", 0, 1 << 20, 0, 0, fine=(errno.EINVAL,))


def swap_added():
    system("swapon", b"/nowhere", 0, fine=(errno.ENOENT,))


def swap_removed():
    system("swapoff", b"/nowhere", fine=(errno.ENOENT,))


def accounting():
    system("acct", b"/nowhere", fine=(errno.ENOENT,))


def kernels_log_silenced():
    system("syslog", 8, None, 0, fine=(errno.EINVAL,))  # SYSLOG_ACTION_CONSOLE_LEVEL, of no such level


def kernels_log_written():
    os.close(os.open("/dev/kmsg", os.O_WRONLY))


def ports_of_the_machine():
    system("ioperm", 0x80, 1, 1)


def realtime():
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


def disk_before_others():
    system("ioprio_set", 1, 0, 1 << 13)  # IOPRIO_WHO_PROCESS, IOPRIO_CLASS_RT


def never_killed():
    """It is not the first to go when memory runs out."""
    Path("/proc/self/oom_score_adj").write_text("0")


def audited():
    """What the kernel's audit does, for who may change it (AUDIT_GET)."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9) as sock:
        sock.settimeout(1)
        sock.send(struct.pack("IHHII", 16, 1000, 5, 1, 0))
        kind, number = struct.unpack_from("4xH10xi", sock.recv(4096))
        if kind == 2 and number:
            raise OSError(-number, "refused")


# Its network


def _network(words, undo=None):
    """A command that changes it, and one that takes it back."""
    found = subprocess.run(words.split(), capture_output=True, text=True, check=False)
    if "not permitted" in found.stderr:
        raise PermissionError(errno.EPERM, found.stderr)
    assert found.returncode == 0, found.stderr
    if undo:
        subprocess.run(undo.split(), capture_output=True, check=True)


def address_taken():
    _network("ip addr add 192.168.77.2/32 dev eth0", "ip addr del 192.168.77.2/32 dev eth0")


def address_taken_over_ipv6():
    _network("ip addr add 2001:db8:77::2/128 dev eth0 nodad", "ip addr del 2001:db8:77::2/128 dev eth0")


def route_added():
    _network("ip route add 192.0.2.0/24 dev eth0", "ip route del 192.0.2.0/24 dev eth0")


def route_added_over_ipv6():
    _network("ip -6 route add 2001:db8:9::/64 dev eth0", "ip -6 route del 2001:db8:9::/64 dev eth0")


def rule_added():
    _network("ip rule add pref 99 lookup main", "ip rule del pref 99")


def neighbour_claimed():
    _network("ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:01 dev eth0", "ip neigh del 192.0.2.9 dev eth0")


def neighbour_claimed_over_ipv6():
    _network("ip neigh add fe80::9 lladdr 02:00:00:00:00:01 dev eth0", "ip neigh del fe80::9 dev eth0")


def neighbour_claimed_by_an_old_call():
    """SIOCSARP, and then SIOCDARP."""
    entry = struct.pack("HH4s8x", 2, 0, socket.inet_aton("192.0.2.9")) + struct.pack("H14s", 1, b"\2") + bytes(4 + 16)
    entry = entry[:32] + struct.pack("i", 2) + bytes(16) + b"eth0".ljust(16, b"\0")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, 0x8955, entry)
        fcntl.ioctl(sock, 0x8953, entry)


def device_made():
    _network("ip link add attempt type veth peer name attempt2", "ip link del attempt")


def tunnel_made():
    """TUNSETIFF, a tap device with an address of any kind."""
    with open("/dev/net/tun", "rb+", buffering=0) as file:
        fcntl.ioctl(file, 0x400454CA, struct.pack("16sH22x", b"attempt", 0x1002))


def hardware_address_changed():
    """The same once more (SIOCGIFHWADDR, SIOCSIFHWADDR)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, 0x8924, fcntl.ioctl(sock, 0x8927, b"eth0".ljust(40, b"\0")))


def listens_to_all():
    """IFF_PROMISC for eth0 (SIOCGIFFLAGS, SIOCSIFFLAGS)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        before = fcntl.ioctl(sock, 0x8913, b"eth0".ljust(40, b"\0"))
        flags = struct.unpack_from("16xH", before)[0] | 0x100
        fcntl.ioctl(sock, 0x8914, struct.pack("16sH22x", b"eth0", flags))
        fcntl.ioctl(sock, 0x8914, before)


def firewall_changed():
    _network("nft add table inet attempt", "nft delete table inet attempt")


def traffic_control_changed():
    _network("tc qdisc add dev lo clsact", "tc qdisc del dev lo clsact")


def raw_socket_over_ipv6():
    """For neighbour discovery of one's own."""
    socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)


def whole_packets():
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)


def mark_set():
    """Marks are how firewalls and routes tell packets apart (SO_MARK)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, 36, 1)


def any_source():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, 19, 1)  # IP_TRANSPARENT


def any_source_over_ipv6():
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, 75, 1)  # IPV6_TRANSPARENT


def routers_devices_seen():
    if not any(name.startswith(("lan", "wan", "vsc-")) for _, name in socket.if_nameindex()):
        raise FileNotFoundError(errno.ENOENT, "none of them")


def routers_connections_seen():
    """Ports that only the router has open: in hexadecimal, and in the state LISTEN."""
    if ":%04X 00000000:0000 0A" % AIMS["routers_port"] not in Path("/proc/net/tcp").read_text():
        raise FileNotFoundError(errno.ENOENT, "none of them")


def routers_abstract_socket():
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect("\0" + AIMS["abstract"])


def neighbours_asked_for():
    """So many who do not exist that the machine has no room for the router's own: its namespaces share that table.
    Where it may, it takes the time back that each then has to answer."""
    for path in Path("/proc/sys/net").glob("ipv?/neigh/eth0/*"):
        with contextlib.suppress(OSError):
            path.write_text({"mcast_solicit": "3", "retrans_time_ms": "1000"}.get(path.name, path.read_text()))
    index = socket.if_nametoindex("eth0")
    for number in range(300):
        with socket.socket(socket.AF_INET, UDP) as four, socket.socket(socket.AF_INET6, UDP) as six:
            four.setsockopt(socket.SOL_SOCKET, 25, b"eth0\0")  # SO_BINDTODEVICE
            four.setsockopt(socket.SOL_SOCKET, socket.SO_DONTROUTE, 1)
            four.sendto(b"", ("10.99.%d.%d" % divmod(number, 256), 9))
            six.sendto(b"", ("fe80::99:%x" % number, 9, 0, index))
    time.sleep(0.5)
    words = ("ip", "neigh", "show", "dev", "eth0")
    asked = subprocess.run(words, capture_output=True, text=True, check=True).stdout.count("INCOMPLETE")
    if asked < 100:
        raise OSError(errno.EHOSTUNREACH, "they are known to fail")


# Who is no client. `sent` ones are done when the test gets what they send


def _ask(kind, address, port):
    attempts._asked(kind, AIMS.get(address, address), port)


def _asks(name, kind, address, port):
    globals()[name] = lambda: _ask(kind, address, port)


TCP, UDP = socket.SOCK_STREAM, socket.SOCK_DGRAM
_asks("hosts_pages", TCP, "192.168.77.2", 80)
_asks("hosts_resolver", UDP, "192.168.77.2", 53)
_asks("hosts_resolver_over_ipv6", UDP, "2001:db8:77::2", 53)
_asks("routers_luci", TCP, "192.168.77.1", 80)
_asks("routers_luci_over_ipv6", TCP, "2001:db8:77::1", 80)
_asks("routers_resolver_over_ipv6", UDP, "2001:db8:77::1", 53)
_asks("routers_wan", TCP, "198.51.100.1", 22)
_asks("routers_wan_over_ipv6", TCP, "2001:db8:100::1", 22)
_asks("routers_end_of_the_pair", TCP, "gateway", 80)
_asks("routers_end_of_the_pair_over_ipv6", TCP, "gateway6", 80)
_asks("routers_link_local_address", TCP, "link_local", 80)
_asks("next_to_wan", TCP, "198.51.100.2", 22)
_asks("clouds_datagrams", UDP, "203.0.113.12", 7001)
_asks("another_service", TCP, "service4", 7001)
_asks("another_service_over_ipv6", TCP, "service6", 7001)
_asks("another_services_datagrams", UDP, "service4", 7001)


def sent_from_the_served_port():
    """Where replies come from. Whether anything came, the test has seen."""
    with contextlib.suppress(TimeoutError), socket.socket() as sock:
        sock.settimeout(1)
        sock.bind((AIMS["served"], 7000))
        sock.connect(("192.168.77.2", 22))


def lan_scanned():
    """Whoever is there, in one sweep."""
    found = []
    for number in range(1, 9):
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.settimeout(0.1)
            sock.connect(("192.168.77.%d" % number, 22))
            found.append(number)
    if not found:
        raise OSError(errno.ETIMEDOUT, "nobody")


def _send(name, to, source=None, **options):
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
    with socket.socket(family, UDP) as sock:
        if source and ":" in to:
            sock.setsockopt(socket.IPPROTO_IPV6, 78, 1)  # IPV6_FREEBIND
        elif source:
            sock.setsockopt(socket.IPPROTO_IP, 15, 1)  # IP_FREEBIND
            with contextlib.suppress(PermissionError):
                sock.setsockopt(socket.IPPROTO_IP, 19, 1)  # IP_TRANSPARENT
        if source:
            sock.bind((source, 0))
        if options.get("broadcast"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        to = (to, PORT, 0, socket.if_nametoindex("eth0")) if options.get("scope") else (to, PORT)
        for _ in range(3):
            sock.sendto(name.encode(), to)
            time.sleep(0.2)


def _sends(name, to, source=None, **options):
    globals()[name] = lambda: _send(name, AIMS.get(to, to), AIMS.get(source, source), **options)


_sends("as_a_host", "203.0.113.11", "192.168.77.2")
_sends("as_a_host_over_ipv6", "2001:db8:cafe::11", "2001:db8:77::2")
_sends("as_the_router_over_ipv6", "2001:db8:77::2", "2001:db8:77::1")
_sends("as_another_cloud", "192.168.77.2", "203.0.113.12")
_sends("as_another_cloud_over_ipv6", "2001:db8:77::2", "2001:db8:cafe::12")
_sends("as_another_service", "192.168.77.2", "service4")
_sends("as_another_service_over_ipv6", "2001:db8:77::2", "service6")
_sends("to_a_group", "224.0.0.251")
_sends("to_all_nodes", "ff02::1", scope=True)
_sends("to_everybody", "255.255.255.255", broadcast=True)


# What is to live on: each holds a lock of its name, by which the test finds it


def _survivor(name, before, step=None):
    if os.fork():
        return
    before()
    if os.fork():
        os._exit(0)
    fd = os.open(FOLDER / ("lives-" + name), os.O_CREAT | os.O_RDWR, 0o666)
    fcntl.flock(fd, fcntl.LOCK_EX)
    os.closerange(0, fd)
    os.closerange(fd + 1, 64)  # nobody waits for its end
    end = time.monotonic() + 120
    while time.monotonic() < end and not (FOLDER / "end").exists():
        time.sleep(0.02)
        if step:
            step()
    os._exit(0)


def _deaf():
    for number in set(range(1, 32)) - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
        signal.signal(number, signal.SIG_IGN)


def _another():
    """Another process each time, which inherits the lock."""
    if os.fork():
        os._exit(0)


def lives_as_a_daemon():
    _survivor("daemon", os.setsid)


def lives_in_another_group():
    _survivor("group", os.setpgrp)


def lives_deaf():
    _survivor("deaf", _deaf)


def lives_from_child_to_child():
    _survivor("chain", os.setsid, _another)


TOGETHER = ("sent_", "hosts_", "routers_", "cloud", "another_service", "next_", "lan_", "as_", "to_")


def main():
    _, folder, who, port = sys.argv
    (FOLDER / "here").touch()
    while not (FOLDER / "go").exists():
        time.sleep(0.02)
    AIMS.update(json.loads((FOLDER / "aims").read_text()))
    for number in range(AIMS.get("lines", 0)):
        print("line %d of many, each of which somebody else's could be" % number, flush=True)
    named = {name: globals().get(name) or getattr(attempts, name) for name in AIMS["names"]}
    # These wait for somebody who may not answer.
    waiting = {name: attempts.begun(named[name]) for name in named if name.startswith(TOGETHER)}
    found = {name: attempts.ended(*waiting[name]) for name in waiting}
    found.update({name: attempts._outcome(named[name]) for name in named if name not in waiting})
    (FOLDER / "attempts.new").write_text(json.dumps(found))
    (FOLDER / "attempts.new").rename(FOLDER / "attempts")
    echo = str(Path(__file__).parent / "echo.py")
    os.execv("/usr/bin/python3", ["/usr/bin/python3", echo, "serve", who, port])


if __name__ == "__main__":
    main()
