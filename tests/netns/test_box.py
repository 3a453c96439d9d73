"""A program that was broken into stays in its box: real attempts (tests/attempts.py), each of which is seen to succeed
where its section takes the box away, and to fail where it does not."""

import errno
import json
import os
import shutil
import subprocess

import pytest
from lab import PROGRAMS, ROOT, echo_command, pids_in, service

from viscum_agent.config import calls
from viscum_agent.kernel import cgroup

TAKES = ("list device lan0", "list proto tcp", "list dest_ip 203.0.113.10", "list dest_port 7000")
OTHER = 1  # the account of attempts.py

# Powers of root that a program of account root doesn't have: the capability of each.
POWERS = {
    "become_another": "setuid",
    "join_a_group": "setgid",
    "signal_another": "kill",
    "read_anothers_file": "dac_override",
    "give_a_file_away": "chown",
    "raw_socket": "net_raw",
    "packet_socket": "net_raw",
    "own_address": "net_admin",
    "another_root": "sys_chroot",
    "device_file": "mknod",
    "host_name": "sys_admin",
    "before_others": "sys_nice",
    "locked_memory": "ipc_lock",
}


# What there is only so much of: the option with a value that stops it, one that does not, and what the kernel says.
LIMITS = {
    "many_descriptors": ("nofile", "64", "1024", "EMFILE"),
    "many_processes": ("nproc", "20", "1000", "EAGAIN"),
    "core_file": ("core", "0", "unlimited", "EFBIG"),
    "much_locked": ("memlock", "65536", "8388608", "ENOMEM"),
    "large_file": ("fsize", "1048576", "unlimited", "EFBIG"),
    "file_for_all": ("umask", "027", "000", "EACCES"),
}
# System calls that no server needs: the group of each. The first can be made by everyone, those in ROOTS by root.
CALLS = {
    "namespace_by_unshare": "namespaces",
    "namespace_by_clone": "namespaces",
    "namespace_by_clone3": "namespaces",
    "namespace_by_the_numbers_of_i386": "namespaces",
    "key_added": "keyring",
    "keys_found": "keyring",
    "page_faults": "userfaultfd",
    "ring": "io_uring",
    "counters": "perf",
    "traced": "ptrace",
    "memory_read": "ptrace",
    "compared": "ptrace",
    "descriptor_taken": "ptrace",
}
ROOTS = {
    "namespace_of_another": "namespaces",
    "mounted": "mount",
    "mounted_anew": "mount",
    "mount_copied": "mount",
    "root_exchanged": "mount",
    "program_for_the_kernel": "bpf",
    "module_loaded": "modules",
    "module_removed": "modules",
}
ROOT_USER = ("option user root", "list capability all")
# What programs of one account can do to each other.
NEIGHBOURS = ("signal_another", "read_anothers_file", "trace_another", "read_anothers_environment")
# What a kernel may have been built without: the attempt has no meaning there.
OPTIONAL = ("keyring", "userfaultfd", "io_uring", "perf", "bpf", "modules")
X86_64 = 0xC000003E  # AUDIT_ARCH_X86_64: what these tests run on
ALONE = "option user 54321"  # an account that nobody else has


def field(pid, name):
    with open("/proc/%d/status" % pid) as file:
        return next(line.split(":")[1].split() for line in file if line.startswith(name + ":"))


@pytest.fixture
def tried(lab):
    """Runs a service whose program attempts things; returns what came of each, {name: words}."""
    shutil.copy(ROOT / "tests/attempts.py", PROGRAMS)
    folder = PROGRAMS / "folder"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    folder.chmod(0o777)
    (folder / "secret").write_text("secret")
    (folder / "secret").chmod(0o600)
    os.chown(folder / "secret", OTHER, OTHER)
    other = subprocess.Popen(["/bin/sleep", "600"], user=OTHER)
    (folder / "other").write_text(str(other.pid))

    def run(names, *lines, beside=""):
        command = "/usr/bin/python3 %s/attempts.py %s edge 7000 %s" % (PROGRAMS, folder, " ".join(names))
        lab.configure(beside + service("echo", command, *TAKES, *lines))
        lab.viscum("up")
        found = json.loads((folder / "attempts").read_text())
        assert lab.ask("tcp", "203.0.113.10", 7000)[0] == "edge", "it serves as before"
        lab.viscum("down")
        return found

    yield run
    other.kill()
    other.wait()


def test_root_has_no_power_that_its_section_does_not_name(tried):
    found = tried(POWERS, "option user root")
    assert not [name for name in POWERS if found[name] not in ("EPERM", "EACCES")], found
    assert tried(POWERS, "option user root", "list capability all") == dict.fromkeys(POWERS, "done")


@pytest.mark.parametrize("user", ["root", "nobody"])
def test_a_program_has_the_powers_that_its_section_names_and_no_others(tried, user):
    """Whatever its account, and what it starts as well: the attempts are its children's."""
    found = tried(POWERS, "option user " + user, "list capability net_raw", "list capability sys_chroot")
    named = [name for name in POWERS if POWERS[name] in ("net_raw", "sys_chroot")]
    assert [name for name in POWERS if found[name] == "done"] == named, found


def test_what_root_gave_up_is_gone_for_good(tried):
    lines = ("option user root", "list capability net_raw")
    assert tried(["raw_socket", "powers_back"], *lines) == {"raw_socket": "done", "powers_back": "EPERM"}


def test_what_it_executes_can_get_nothing_back(lab):
    """The bounding set ends what exec could add, and account 0 adds nothing (securebits, locked)."""
    for user, lines, mask in (("nobody", (), 0), ("root", (), 0), ("root", ("list capability net_raw",), 1 << 13)):
        command = "/usr/bin/python3 %s/echo.py serve edge 7000" % PROGRAMS
        lab.configure(service("echo", command, *TAKES, "option user " + user, *lines))
        lab.viscum("up")
        (pid,) = pids_in("viscum-echo")
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert [int(word, 16) for word in field(pid, name)] == [mask], (user, name)
        lab.viscum("down")


def test_what_the_agent_has_not_itself_is_refused_with_the_option(lab):
    """In a box of its own, as in a container."""
    lab.configure(service("echo", "/usr/bin/python3 x", *TAKES, "list capability sys_boot", "list capability chown"))
    words = ("setpriv", "--bounding-set", "-sys_boot", *lab.agent("viscum_agent"))
    result = lab.run(lab.router, *words, "-c", lab.confdir, "check", check=False, cwd=ROOT, env=lab.env())
    said = "viscum.echo.capability: the agent has no 'sys_boot' itself: take it out, or start the agent with it"
    assert result.returncode == 3 and said in result.stdout + result.stderr, result
    assert "'chown'" not in result.stdout + result.stderr


# Accounts


@pytest.mark.parametrize("shared", [False, True])
def test_two_services_are_strangers_unless_they_share_an_account(lab, tried, shared):
    lines = ("list allow_syscalls all", "option view host", *(["option user nobody"] if shared else []))
    takes = ("list device lan0", "list proto tcp", "list dest_ip 203.0.113.11", "list dest_port 7001")
    other = service("other", echo_command("other", 7001), *takes, *lines)
    lab.configure(other)
    lab.viscum("up")
    (pid,) = pids_in("viscum-other")
    folder = PROGRAMS / "folder"
    (folder / "other").write_text(str(pid))
    os.chown(folder / "secret", *2 * (int(field(pid, "Uid")[0]),))
    found = tried(NEIGHBOURS, *lines, beside=other)
    if shared:
        assert found == dict.fromkeys(NEIGHBOURS, "done")
    else:
        assert all(found[name] in ("EPERM", "EACCES") for name in NEIGHBOURS), found


def test_no_link_of_a_program_takes_it_to_where_its_account_may_not_go(lab, tried):
    """Whoever is in a folder needs no right to those above."""
    closed = PROGRAMS / "closed"
    (closed / "open").mkdir(parents=True)
    (closed / "open/secret").write_text("secret")
    (PROGRAMS / "link").symlink_to(closed / "open")
    os.chown(PROGRAMS / "link", 54321, 54321, follow_symlinks=False)
    line = "option workdir %s/link" % PROGRAMS
    assert tried(["read_where_it_works"], ALONE, line) == {"read_where_it_works": "done"}
    closed.chmod(0o700)
    lab.configure(service("echo", echo_command("edge", 7000), *TAKES, ALONE, line))
    said = "workdir: the kernel refuses this value (Permission denied)"
    assert said in lab.viscum("up", check=False).stderr
    found = tried(["read_where_it_works"], ALONE, line, "list capability dac_read_search")
    assert found == {"read_where_it_works": "done"}


# Who is no client


OTHERS = ("hosts_ssh", "hosts_ssh_over_ipv6", "routers_ssh", "routers_ssh_over_ipv6", "routers_resolver", "cloud")
OTHERS = (*OTHERS, "cloud_over_ipv6")


def test_a_program_reaches_nobody_but_its_clients(tried, lab):
    """tests/netns/test_egress.py has what an attacker with more rights than a program sends."""
    lab.serve(lab.client, "host", 22)
    lab.serve(lab.router, "router@192.168.77.1,2001:db8:77::1", 22, 53)
    lab.serve_cloud(7001)
    both = ("list dest_ip 2001:db8:cafe::10",)
    assert tried(OTHERS, *both) == dict.fromkeys(OTHERS, "ETIMEDOUT")
    assert tried(OTHERS, *both, "list egress any") == dict.fromkeys(OTHERS, "done")


# Limits


def test_each_limit_stops_what_it_is_for(tried):
    tight = ["option %s %s" % LIMITS[name][:2] for name in LIMITS]
    assert tried(LIMITS, ALONE, *tight) == {name: LIMITS[name][3] for name in LIMITS}
    wide = ["option %s %s" % (LIMITS[name][0], LIMITS[name][2]) for name in LIMITS]
    assert tried(LIMITS, ALONE, *wide) == dict.fromkeys(LIMITS, "done")


def test_without_options_it_leaves_no_core_and_goes_before_the_routers_daemons(lab):
    lab.configure(service("echo", "/usr/bin/python3 %s/echo.py serve edge 7000" % PROGRAMS, *TAKES))
    lab.viscum("up")
    (pid,) = pids_in("viscum-echo")
    assert "Max core file size        0                    0 " in _read(pid, "limits")
    assert _limits(pid, "Max open files") == _limits(os.getpid(), "Max open files"), "as who started it"
    assert int(_read(pid, "oom_score_adj")) == max(200, int(_read(os.getpid(), "oom_score_adj")))
    assert field(pid, "Umask") == ["0022"]
    assert os.getpriority(os.PRIO_PROCESS, pid) == os.getpriority(os.PRIO_PROCESS, 0)


def test_priorities_are_those_of_its_section(lab):
    lines = ("option nice -7", "option oom_score_adj 900")
    lab.configure(service("echo", "/usr/bin/python3 %s/echo.py serve edge 7000" % PROGRAMS, *TAKES, *lines))
    lab.viscum("up")
    (pid,) = pids_in("viscum-echo")
    assert os.getpriority(os.PRIO_PROCESS, pid) == -7
    assert int(_read(pid, "oom_score_adj")) == 900
    if os.path.exists("/proc/%d/autogroup" % pid):
        assert _read(pid, "autogroup").endswith("nice -7\n")


@pytest.mark.parametrize(
    "line, said",
    [
        (
            "option nofile unlimited",
            "nofile: the kernel refuses this value (Operation not permitted): take another one",
        ),
        ("option nproc 0", "(its account has more processes than nproc)"),
    ],
)
def test_a_value_that_the_kernel_refuses_is_named(lab, line, said):
    """No process may have more descriptors than fs.nr_open."""
    lab.configure(service("echo", "/usr/bin/python3 %s/echo.py serve edge 7000" % PROGRAMS, *TAKES, ALONE, line))
    other = subprocess.Popen(["/bin/sleep", "600"], user=54321)
    result = lab.viscum("up", check=False)
    other.kill()
    other.wait()
    assert result.returncode == 1 and said in result.stderr, result.stderr


def test_a_limit_for_which_there_are_no_control_groups_is_refused_with_the_option(lab):
    """Whoever sets one relies on it. The default one is kept where that is possible."""
    lines = ("option memory_max 64m", "option cpu_max 50", "option pids_max 20")
    command = "/usr/bin/python3 %s/echo.py serve edge 7000" % PROGRAMS
    hidden = "for each in $(awk '$3 == \"cgroup2\" { print $2 }' /proc/self/mounts); do umount -l $each; done; "
    shell = ("unshare", "-m", "sh", "-ec", hidden + 'exec "$@"', "-")

    def viscum(*words):
        words = (*shell, *lab.agent("viscum_agent"), "-c", lab.confdir, *words)
        return lab.run(lab.router, *words, check=False, cwd=ROOT, env=lab.env())

    lab.configure(service("echo", command, *TAKES, *lines))
    why = ": no control groups of version 2 are mounted: take the option out, and the program runs without that limit"
    result = viscum("check")
    for name in ("memory_max", "cpu_max", "pids_max"):
        assert "viscum.echo.%s%s" % (name, why) in result.stdout + result.stderr, result
    result = viscum("up")
    assert result.returncode == 1 and "memory_max" + why in result.stderr, result
    lab.configure(service("echo", command, *TAKES))
    assert viscum("check").returncode == 0
    found = {each["id"]: each for each in json.loads(viscum("doctor", "--json").stdout)}
    assert found["kernel-cgroup"]["means"].startswith("no service can have memory_max or cpu_max or pids_max, and none")


def test_what_a_program_uses_is_in_its_status(lab):
    """What this kernel counts of it; tests/vm/test_limits.py has the rest."""
    lab.configure(service("echo", "/usr/bin/python3 %s/echo.py serve edge 7000" % PROGRAMS, *TAKES))
    lab.viscum("up")
    row = lab.status("echo")
    if not os.path.exists(cgroup._mount_point()):
        pytest.skip("no control groups of version 2")
    assert 10_000 < row["cpu_usec"] < 600_000_000
    for key in ("memory", "tasks", "oom_kills", "tasks_refused"):
        assert row[key] is None or row[key] >= 0
    lab.viscum("down")
    assert lab.status("echo")["cpu_usec"] is None


def _read(pid, name):
    with open("/proc/%d/%s" % (pid, name)) as file:
        return file.read()


def _limits(pid, what):
    return [line for line in _read(pid, "limits").split("\n") if line.startswith(what)]


# System calls


@pytest.mark.parametrize("calls, lines", [(CALLS, (ALONE,)), (ROOTS, ROOT_USER)], ids=["everyone", "root"])
def test_a_system_call_that_no_server_needs_is_refused(tried, calls, lines):
    """Also to root with all of its powers, and by the numbers of another processor."""
    free = tried(calls, *lines, "list allow_syscalls all")
    lacking = [name for name in calls if free[name] in ("ENOSYS", "signal SIGSEGV")]
    assert all(calls[name] in OPTIONAL or name.endswith("i386") for name in lacking), free
    assert [name for name in calls if free[name] != "done"] == lacking, free
    found = tried([name for name in calls if name not in lacking], *lines)
    absent = [name for name in calls if name.endswith("clone3") or calls[name] == "io_uring"]
    assert found == {name: "ENOSYS" if name in absent else "EPERM" for name in found} and found


def test_what_its_section_allows_is_served_and_nothing_else(tried):
    groups = ("ptrace", "keyring", "perf")
    free = tried(CALLS, ALONE, "list allow_syscalls all")
    found = tried(CALLS, ALONE, *["list allow_syscalls %s" % group for group in groups])
    assert [name for name in CALLS if found[name] == "done"] == [
        name for name in CALLS if CALLS[name] in groups and free[name] == "done"
    ]


def test_a_list_takes_the_place_of_what_is_refused_without_one(lab, tried, tmp_path):
    """One that refuses some calls, and one that allows some: here all that there are but one."""
    names = ("traced", "compared", "keys_found")
    free = tried(names, ALONE, "list allow_syscalls all")
    assert (free["traced"], free["compared"]) == ("done", "done")
    assert tried(names, ALONE) == dict.fromkeys(names, "EPERM")
    path = tmp_path / "list.json"
    option = "option seccomp %s" % path
    refused = {"names": ["keyctl", "kcmp"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.EACCES}
    path.write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [refused]}))
    assert tried(names, ALONE, option) == {"traced": "done", "compared": "EACCES", "keys_found": "EACCES"}
    every = [name for name in calls.numbers(X86_64) if name != "kcmp"]
    passes = {"names": every, "action": "SCMP_ACT_ALLOW"}
    path.write_text(json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 28, "syscalls": [passes]}))
    assert tried(names, ALONE, option) == {**free, "compared": "ENOSPC"}


def test_a_list_is_trusted_as_the_configuration_is(lab, tmp_path):
    path = tmp_path / "list.json"
    lab.configure(service("echo", "/usr/bin/python3 x", *TAKES, "option seccomp %s" % path, "list allow_syscalls bpf"))
    cases = (
        ("", "there is no file %s: name a list of system calls" % path),
        ('{"defaultAction": "SCMP_ACT_ALLOW"', "%s is not JSON: mend it" % path),
        ('{"defaultAction": "ALLOW"}', "%s: defaultAction: 'ALLOW' is not supported: say SCMP_ACT_ALLOW" % path),
        (
            '{"defaultAction": "SCMP_ACT_ALLOW"}',
            "it can be written by others than root (mode 666): chmod go-w %s" % path,
        ),
    )
    for text, message in cases:
        if text:
            path.write_text(text)
        path.parent.chmod(0o755)
        if "mode 666" in message:
            path.chmod(0o666)
        result = lab.viscum("check", check=False)
        assert result.returncode == 1
        said = result.stdout + result.stderr
        assert "viscum.echo.seccomp: " in said and message in said, said
        assert "viscum.echo.allow_syscalls: is not used, because a list says which system calls it may make" in said


def test_every_process_of_a_service_has_the_filter_and_who_may_make_all_has_none(lab):
    command = "/usr/bin/python3 %s/echo.py serve edge 7000" % PROGRAMS
    for lines, mode in (((), "2"), (("list allow_syscalls bpf",), "2"), (("list allow_syscalls all",), "0")):
        lab.configure(service("echo", command, *TAKES, *lines))
        lab.viscum("up")
        (pid,) = pids_in("viscum-echo")
        assert field(pid, "Seccomp") == [mode]
        lab.viscum("down")
