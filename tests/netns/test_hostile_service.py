"""Somebody who has broken into a service (tests/hostile/intruder.py) with the defaults tries whatever there is to try,
and nothing succeeds. Each attempt is then seen to succeed with its protection off: in a service whose section takes
everything away, and where no option does, without any service, as an account without rights on the router."""

import ctypes
import fcntl
import json
import os
import re
import shutil
import socket
import struct
import time
from pathlib import Path

import pytest
from agent import Agent
from lab import (
    CPYTHON,
    HANG,
    MICROPYTHON,
    PROGRAMS,
    ROOT,
    Lab,
    echo_command,
    inside,
    left_as_it_was,
    pids_in,
    run,
    service,
    wait_for,
)

from viscum_agent.records.objects import mac_of

libc = ctypes.CDLL(None)
OTHER = 1  # the account of attempts.py
NOBODY = 65534
PORT = 7005  # of intruder.py
LINES = 5000
DEVICE = "list device lan0"
EVERYTHING = ("option user root", "list capability all", "list allow_syscalls all", "option view host")
EVERYTHING = (*EVERYTHING, "list egress any", "option core unlimited", "option oom_score_adj 0")
EVERYTHING = (*EVERYTHING, "option pids_max unlimited")

# What an account of its own, without root's powers, is not given.
ACCOUNT = """
become_another join_a_group signal_another signal_to_the_agent signal_to_init signal_to_another_service signal_by_pidfd
signal_with_a_value read_anothers_file give_a_file_away anothers_limits anothers_priority anothers_processors
passwords_read program_replaced own_program_replaced written_to_root written_to_etc written_to_usr written_to_var
written_to_dev written_to_cron disk_opened keys_typed_into_a_terminal console_opened kernels_log_written
kernels_memory_opened memory_device_opened sysrq
"""
CAPABILITIES = """
another_root device_file disk_made host_name domain_name before_others realtime disk_before_others locked_memory
clock_set clock_adjusted restarted swap_added swap_removed accounting kernels_log_silenced ports_of_the_machine audited
all_files_watched anothers_file_by_a_handle raw_socket raw_socket_over_ipv6 whole_packets packet_socket mark_set
any_source any_source_over_ipv6
"""
NETWORK = """
own_address address_taken address_taken_over_ipv6 route_added route_added_over_ipv6 rule_added neighbour_claimed
neighbour_claimed_over_ipv6 neighbours_asked_for neighbour_claimed_by_an_old_call device_made tunnel_made
hardware_address_changed listens_to_all firewall_changed traffic_control_changed
"""
CALLS = """
namespace_by_unshare namespace_by_clone namespace_by_clone3 namespace_by_the_numbers_of_i386 namespace_of_another
anothers_namespace new_mount_namespace new_cgroup_namespace new_uts_namespace new_ipc_namespace new_user_namespace
new_pid_namespace new_network_namespace new_time_namespace child_in_new_mount_namespace child_in_new_cgroup_namespace
child_in_new_uts_namespace child_in_new_ipc_namespace child_in_new_user_namespace child_in_new_pid_namespace
child_in_new_network_namespace mounted mounted_anew mount_copied mount_bound mount_moved mount_attributes_changed
mounts_propagated processes_mounted root_exchanged made_writable own_group_left groups_limit_raised key_added keys_found
page_faults network_of_another_kind pair_of_another_kind socket_of_any_other_kind ring program_for_the_kernel
counters traced trace_another memory_read anothers_memory_by_a_call compared
descriptor_taken anothers_descriptor module_loaded module_removed another_kernel
"""
VIEW = """
configuration_read network_configuration_read configuration_written written_outside anothers_temporary_file
socket_reached namespaces_found init_seen anothers_command_line all_processes_seen read_anothers_environment
anothers_memory anothers_map anothers_root anothers_folder anothers_descriptors anothers_end agents_memory
agents_environment agents_descriptors another_services_environment another_services_files another_services_network
anothers_segment tmp_filled shared_memory_filled many_files many_terminals kernels_setting device_changed
module_parameter_changed forwarding answers_for_others memory_overcommitted never_killed core_file
"""
EGRESS = """
hosts_ssh hosts_ssh_over_ipv6 hosts_pages hosts_resolver hosts_resolver_over_ipv6
lan_scanned routers_ssh routers_ssh_over_ipv6 routers_luci routers_luci_over_ipv6 routers_resolver
routers_resolver_over_ipv6 routers_wan routers_wan_over_ipv6 routers_end_of_the_pair routers_end_of_the_pair_over_ipv6
next_to_wan cloud cloud_over_ipv6 clouds_datagrams another_service another_service_over_ipv6 another_services_datagrams
"""
# What these send is looked for where it would get to.
SENT = """
as_a_host as_a_host_over_ipv6 as_the_router_over_ipv6 as_another_cloud as_another_cloud_over_ipv6 as_another_service
as_another_service_over_ipv6 sent_from_the_served_port to_a_group to_all_nodes to_everybody
"""
# No option takes these protections away.
ALWAYS = """
root_by_a_program another_by_a_program powers_by_a_file routers_devices_seen routers_connections_seen
routers_abstract_socket
"""
LIVES = {"daemon": "as_a_daemon", "group": "in_another_group", "deaf": "deaf", "chain": "from_child_to_child"}
SURVIVORS = ["lives_" + name for name in LIVES.values()]

WITH_OPTIONS = " ".join((ACCOUNT, CAPABILITIES, NETWORK, CALLS, VIEW, EGRESS, SENT)).split()
ATTEMPTS = [*WITH_OPTIONS, *ALWAYS.split()]

# What the kernel says to who may do it, where it was built without it: these could succeed on no such machine.
WITHOUT = {
    "memory_device_opened": ("ENOENT", "ENXIO"),  # CONFIG_DEVMEM
    "kernels_memory_opened": ("ENOENT",),  # CONFIG_PROC_KCORE
    "sysrq": ("ENOENT",),  # CONFIG_MAGIC_SYSRQ
    "another_kernel": ("ENOSYS",),  # CONFIG_KEXEC
    "module_loaded": ("ENOSYS",),  # CONFIG_MODULES
    "module_removed": ("ENOSYS",),
    "key_added": ("ENOSYS",),  # CONFIG_KEYS
    "keys_found": ("ENOSYS",),
    "network_of_another_kind": ("EAFNOSUPPORT",),  # CONFIG_VSOCKETS
    "pair_of_another_kind": ("EAFNOSUPPORT",),
    "socket_of_any_other_kind": ("EAFNOSUPPORT",),
    "page_faults": ("ENOSYS",),  # CONFIG_USERFAULTFD
    "ring": ("ENOSYS", "EPERM"),  # CONFIG_IO_URING, kernel.io_uring_disabled
    "counters": ("ENOSYS", "ENOENT"),  # CONFIG_PERF_EVENTS
    "ports_of_the_machine": ("ENOSYS",),  # CONFIG_X86_IOPL_IOPERM
    "anothers_limits": ("EPERM",),  # a machine whose root has no CAP_SYS_RESOURCE
    "namespace_by_the_numbers_of_i386": ("signal SIGSEGV",),  # CONFIG_IA32_EMULATION
}
# What an attempt that is refused gets; whatever else came of one is no refusal.
REFUSED = ("EPERM", "EACCES", "EROFS", "ENOENT", "ENOSYS", "ENOSPC", "ESRCH", "EFBIG", "ETIMEDOUT", "EAFNOSUPPORT")
NO_SOURCE = ("ENETUNREACH",)  # the kernel's answer to who is not it
OTHERWISE = {"routers_abstract_socket": ("ECONNREFUSED",), "as_a_host": NO_SOURCE, "as_another_cloud": NO_SOURCE}
OTHERWISE.update({"as_another_service": NO_SOURCE, "neighbours_asked_for": ("EHOSTUNREACH",)})


class Machine:
    """A lab whose router has what there is to attack: files, processes, an agent with its socket, another service,
    hosts that answer."""

    def __init__(self, lab):
        self.lab = lab
        self.lived, self.printed = {}, {}  # of each intruder: (which processes, and after its end), lines
        self._sockets = {}
        lab.serve(lab.client, "host", 22, 53, 80)
        lab.serve(lab.router, "router@192.168.77.1,2001:db8:77::1,198.51.100.1,2001:db8:100::1", 22, 53)
        lab.serve(lab.router, "router", 80)
        lab.serve(lab.cloud, "next@198.51.100.2", 22)
        lab.serve_cloud(7001)
        for name in ("attempts.py", "hostile/intruder.py"):
            shutil.copy(ROOT / "tests" / name, PROGRAMS)
        self._files()
        self.other = lab.start(lab.router, "setpriv", "--reuid", OTHER, "--clear-groups", "sleep", 600)
        self._terminal = os.openpty()
        libc.shmget(self.other.pid, 4096, 0o1666)  # IPC_CREAT
        self._temporary = Path("/tmp/viscum-theirs-%d" % os.getpid())
        self._temporary.write_text("secret")
        name = os.ttyname(self._terminal[1])
        os.chown(name, OTHER, OTHER)
        os.chmod(name, 0o600)
        self.agent = Bus(lab, self._beside())
        self.happens(lambda: self.who("203.0.113.12", 7001) == "other")
        (pid,) = pids_in("viscum-other")
        wait_for(lambda: _first_address(self.other.pid))
        self.aims = {
            "other": self.other.pid,
            "address": _first_address(self.other.pid),
            "agent": self.agent.process.pid,
            "service": pid,
            "terminal": name,
            "program": str(PROGRAMS / "intruder.py"),
            "temporary": str(self._temporary),
            "routers_port": 22,
            "abstract": "viscum-%d" % os.getpid(),
            **_addresses("viscum-other", "eth0", "service%d"),
            **self._programs(),
        }
        with inside(lab.router):
            self._abstract = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._abstract.bind("\0" + self.aims["abstract"])
            self._abstract.listen()

    def _files(self):
        """For this process's mounts only."""
        shutil.copytree("/etc", self.lab.tmp / "etc", symlinks=True)
        (self.lab.tmp / "etc/config").mkdir(exist_ok=True)
        run("mount", "--bind", self.lab.tmp / "etc", "/etc")
        run("mount", "-t", "tmpfs", "none", "/srv", "-o", "mode=1777")
        for name in ("attempt", "network"):
            Path("/etc/config", name).write_text("secret")
        Path("/run/ubus").mkdir()

    def _programs(self):
        """Copies of programs that give an account more than it has."""
        found = {}
        for name, owner in (("set_uid", 0), ("set_uid_of_other", OTHER)):
            path = PROGRAMS / name
            shutil.copy("/usr/bin/id", path)
            os.chown(path, owner, owner)
            path.chmod(0o4755)
            found[name] = str(path)
        path = PROGRAMS / "with_powers"
        shutil.copy(os.path.realpath("/usr/bin/python3"), path)
        # struct vfs_cap_data of version 2 (linux/capability.h): CAP_SETUID, effective.
        os.setxattr(path, "security.capability", struct.pack("<5I", 0x02000001, 1 << 7, 0, 0, 0))
        return {**found, "with_powers": str(path)}

    def _beside(self):
        """Another service. It may answer whoever asks it: only the asker's own section is in the way."""
        takes = ("list dest_ip 203.0.113.12", "list dest_ip 2001:db8:cafe::11", "list dest_port 7001")
        lines = (DEVICE, *takes, "option target_port 7001", "list egress any")
        return service("other", echo_command("other", 7001), *lines)

    # One intruder

    def intrudes(self, name, addresses, *lines):
        """Starts a service whose program attempts everything; returns {name: what came of it}."""
        folder = self._folder(name)
        command = "/usr/bin/python3 %s/intruder.py %s %s 7000" % (PROGRAMS, folder, name)
        takes = [DEVICE, "list proto tcp", "list dest_port 7000", *["list dest_ip " + each for each in addresses]]
        text = service(name, command, *takes, "option start_timeout 120", *lines)
        self.agent.reload(self._beside() + text)
        self.happens((folder / "here").exists)
        dev = "vsc-" + name
        ends = _addresses(self.lab.router, dev, "gateway%d")
        aims = {"gateway": ends["gateway4"], "gateway6": ends["gateway6"], "served": addresses[0]}
        aims["link_local"] = _link_local(mac_of(name, "host")) + "%eth0"
        self._listen(dev)
        self._count_from_the_served_port(addresses[0])
        begun = time.monotonic()
        found = self._attempts(folder, {**self.aims, **aims, "names": ATTEMPTS + SURVIVORS, "lines": LINES})
        self.happens(lambda: self.who(addresses[0], 7000) == name)
        heard = self._hear()
        lives = self._lives(name)
        self.agent.viscum("stop", name)
        self.happens(lambda: "viscumd: %s: stopped" % name in self.agent.log.read_text())
        self.lived[name] = lives, self._lives(name)
        lines = self.agent.log.read_text().count("viscum-%s: line " % name)
        self.printed[name] = lines, time.monotonic() - begun
        return {each: _what(each, found[each], heard) for each in found}

    def without_service(self):
        """The same program, as an account without rights, in the router's own namespace."""
        folder = self._folder("bare")
        words = ("setpriv", "--reuid", NOBODY, "--regid", NOBODY, "--clear-groups", "/usr/bin/python3")
        with (folder / "printed").open("wb") as stream:
            words = (*words, PROGRAMS / "intruder.py", folder, "bare", 7009)
            process = self.lab.start(self.lab.router, *words, stdout=stream)
        found = self._attempts(folder, {**self.aims, "names": ALWAYS.split() + SURVIVORS, "lines": LINES})
        lives = self._lives("bare")
        process.kill()
        process.wait(HANG)
        self.lived["bare"] = lives, self._lives("bare")
        (folder / "end").touch()
        self.printed["bare"] = (folder / "printed").read_text().count("line ")
        return found

    def _folder(self, name):
        folder = PROGRAMS / name
        folder.mkdir()
        folder.chmod(0o777)
        (folder / "secret").write_text("secret")
        os.chown(folder / "secret", OTHER, OTHER)
        (folder / "secret").chmod(0o600)
        (folder / "other").write_text(str(self.other.pid))
        (folder / "segment").write_text(str(self.other.pid))
        return folder

    def _attempts(self, folder, aims):
        (folder / "aims").write_text(json.dumps(aims))
        (folder / "go").touch()
        self.happens((folder / "attempts").exists)
        return json.loads((folder / "attempts").read_text())

    def happens(self, condition):
        try:
            wait_for(condition)
        except AssertionError:
            raise AssertionError(self.agent.log.read_text()) from None

    def who(self, address, port):
        return self.lab.ask("tcp", address, port)[0]

    # What is sent

    def _listen(self, dev):
        for ns in (self.lab.router, self.lab.client, self.lab.cloud):
            for family in (socket.AF_INET, socket.AF_INET6):
                self._sockets[ns, family] = self._listening(ns, family, dev)

    def _listening(self, ns, family, dev):
        if (ns, family) in self._sockets:
            self._sockets[ns, family].close()
        with inside(ns):
            sock = socket.socket(family, socket.SOCK_DGRAM)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(("", PORT))
            if family == socket.AF_INET and ns == self.lab.router:
                group = struct.pack("4s4si", socket.inet_aton("224.0.0.251"), bytes(4), socket.if_nametoindex(dev))
                sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
        sock.setblocking(False)
        return sock

    def _count_from_the_served_port(self, address):
        """At the host, which can't answer there."""
        rule = "ip saddr %s tcp sport 7000 tcp dport 22 counter" % address
        chain = "add chain inet heard in { type filter hook input priority 0; }"
        for words in ("add table inet heard", "flush table inet heard", chain, "add rule inet heard in " + rule):
            self.lab.run(self.lab.client, "nft", words)

    def _hear(self):
        counted = self.lab.run(self.lab.client, "nft", "list", "table", "inet", "heard").stdout
        found = set() if "packets 0 " in counted else {"sent_from_the_served_port"}
        for sock in self._sockets.values():
            try:
                while True:
                    found.add(sock.recv(100).decode())
            except BlockingIOError:
                pass
        return found

    def _lives(self, name):
        """Which of an intruder's processes do, by the locks that they hold."""
        found = []
        for each in LIVES:
            with (PROGRAMS / name / ("lives-" + each)).open() as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    found.append(each)
        return found

    def close(self):
        for folder in PROGRAMS.iterdir():
            if folder.is_dir():
                (folder / "end").touch()
        for sock in [*self._sockets.values(), self._abstract]:
            sock.close()
        for fd in self._terminal:
            os.close(fd)
        self.agent.kill()
        self._temporary.unlink()
        libc.shmctl(libc.shmget(self.other.pid, 4096, 0), 0, None)  # IPC_RMID
        for place in ("/etc", "/srv"):
            run("umount", place)
        shutil.rmtree("/run/ubus")


class Bus(Agent):
    """It serves ubus itself, where ubus is."""

    socket = "/run/ubus/ubus.sock"

    def words(self):
        return (*super().words(), "-b")

    def viscum(self, *words):
        return self.lab.viscum("-s", self.socket, *words)


def _what(name, came, heard):
    if name not in SENT.split() or came != "done":
        return came
    return "done" if name in heard else "ETIMEDOUT"


def _first_address(pid):
    text = Path("/proc/%d/maps" % pid).read_text()
    return int(text.split("-")[0], 16) if "sleep" in text else 0


def _addresses(ns, dev, key):
    """{key with 4 or 6: the address} of a device."""
    (link,) = json.loads(run("ip", "-n", ns, "-j", "addr", "show", "dev", dev).stdout)
    found = [each for each in link["addr_info"] if each["scope"] == "global"]
    return {key % (6 if each["family"] == "inet6" else 4): each["local"] for each in found}


def _link_local(mac):
    """RFC 4291, appendix A."""
    one, two, *rest = [int(each, 16) for each in mac.split(":")]
    return "fe80::%02x%02x:%02xff:fe%02x:%02x%02x" % (one ^ 2, two, *rest)


@pytest.fixture(scope="module", autouse=True)
def nothing_left():
    """As of conftest.py, once for all: these tests only look at what came of the attempts."""
    with left_as_it_was():
        yield


@pytest.fixture(scope="module", params=["cpython", "micropython"])
def machine(request, tmp_path_factory):
    interpreter = {"cpython": CPYTHON, "micropython": MICROPYTHON}[request.param]
    with Lab(tmp_path_factory.mktemp("intruder"), interpreter) as lab:
        made = Machine(lab)
        yield made
        made.close()


@pytest.fixture(scope="module")
def boxed(machine):
    return machine.intrudes("boxed", ("203.0.113.10", "2001:db8:cafe::10"))


@pytest.fixture(scope="module")
def free(machine, boxed):
    return machine.intrudes("free", ("198.18.5.5", "2001:db8:cafe::12"), *EVERYTHING)


@pytest.fixture(scope="module")
def bare(machine, free):
    return machine.without_service()


def test_there_are_many_attempts_and_the_documents_count_them(boxed):
    assert len(set(ATTEMPTS + SURVIVORS)) == len(ATTEMPTS + SURVIVORS) == len(boxed) > 150
    rows = re.findall(r"\| (\d+) \| `([A-Z]+)` \|", (ROOT / "docs/security.md").read_text())
    lists = [globals()[name] for _, name in rows]
    assert [int(number) for number, _ in rows] == [len(each.split() if each is not LIVES else each) for each in lists]
    assert sum(int(number) for number, _ in rows) == len(boxed)


def differing(names, found, wanted):
    """What came of those attempts of which something else did than `wanted(name)` has."""
    return {name: found[name] for name in names if found[name] not in wanted(name)}


def test_with_the_defaults_each_attempt_is_refused(boxed):
    assert differing(ATTEMPTS, boxed, lambda name: (*REFUSED, *OTHERWISE.get(name, ()))) == {}


def test_with_everything_allowed_each_that_an_option_allows_succeeds(free):
    assert differing(WITH_OPTIONS, free, lambda name: ("done", *WITHOUT.get(name, ()))) == {}


def test_without_a_service_the_others_succeed(bare):
    assert differing(ALWAYS.split(), bare, lambda _: ("done",)) == {}


def test_what_it_left_behind_ends_with_it(machine, boxed, bare):
    assert machine.lived["boxed"] == (list(LIVES), [])
    assert machine.lived["bare"] == (list(LIVES), list(LIVES)), "seen to live on where nobody stops it"


def test_what_it_prints_displaces_nobodys_lines(machine, boxed, bare):
    """200 lines at once and 50 a second (docs/manual.md)."""
    lines, seconds = machine.printed["boxed"]
    assert 100 < lines <= 200 + 50 * (seconds + 1) < LINES / 2
    assert machine.printed["bare"] == LINES
