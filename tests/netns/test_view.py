"""What a program sees of the router's files and processes: real attempts to see and change more (tests/attempts.py),
each of which is seen to succeed where its section takes the protection away, and to fail where it does not."""

import ctypes
import errno
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

import pytest
from agent import QUICK, TAKES, Agent
from lab import PROGRAMS, ROOT, echo_command, pids_in, run, service, with_own_mounts

from viscum_agent import compat
from viscum_agent.compat import cpython
from viscum_agent.config import service as model
from viscum_agent.config import uci
from viscum_agent.service import view

libc = ctypes.CDLL(None)
OTHER = 1  # the account of attempts.py
NEW_USER = 0x10000000  # CLONE_NEWUSER (linux/sched.h)
MINE = PROGRAMS / "folder"
COMMAND = "/usr/bin/python3 %s/attempts.py %s edge 7000 " % (PROGRAMS, MINE)

# What everyone can try: what the kernel says where it fails, and the line of a section that allows it.
SEEN = {
    "configuration_read": ("ENOENT", "list visible /etc/config"),
    "configuration_below_the_overlay": ("ENOENT", "list visible /overlay/attempt"),
    "written_outside": ("EROFS", "list writable /srv"),
    "anothers_temporary_file": ("ENOENT", "list visible /tmp/viscum-attempt"),
    "socket_reached": ("ENOENT", "list visible /run/ubus"),
    "namespaces_found": ("ENOENT", "list visible /run/netns"),
    "init_seen": ("ENOENT", "list visible /proc"),
    "anothers_command_line": ("ENOENT", "list visible /proc"),
    "all_processes_seen": ("ENOENT", "list visible /proc"),
    "tmp_filled": ("ENOSPC", "option tmp_size 64"),
    "shared_memory_filled": ("ENOSPC", "option tmp_size 64"),
    "many_files": ("ENOSPC", "option tmp_size 64"),
    "many_terminals": ("ENOSPC", "list visible /dev/pts"),
}
# What only root can try at all, without and with all of its powers.
ROOTS = {"kernels_setting": ("EROFS", "list writable /proc")}
POWERFUL = ("option user root", "list capability all")
UNDOES = {"uncovered": ("EPERM", "list allow_syscalls mount"), "made_writable": ("EPERM", "list allow_syscalls mount")}


@pytest.fixture
def router(lab):
    """The lab, whose router has what there is to be found on one: for this process's mounts only, but for the names of
    folders, which are everybody's."""
    alone = os.open("/", os.O_RDONLY)
    fcntl.flock(alone, fcntl.LOCK_EX)
    shutil.copytree("/etc", lab.tmp / "etc", symlinks=True)
    (lab.tmp / "etc/config").mkdir(exist_ok=True)
    made = not os.path.exists("/overlay")
    Path("/overlay").mkdir(exist_ok=True)
    for place in ("/overlay", "/srv"):
        run("mount", "-t", "tmpfs", "none", place, "-o", "mode=1777")
    run("mount", "--bind", lab.tmp / "etc", "/etc")
    for path in ("/etc/config/attempt", "/overlay/attempt", "/tmp/viscum-attempt"):
        Path(path).write_text("secret")
    yield lab
    for place in ("/etc", "/overlay", "/srv"):
        run("umount", place)
    Path("/tmp/viscum-attempt").unlink()
    if made:
        Path("/overlay").rmdir()
    os.close(alone)


@pytest.fixture
def tried(router):
    """Runs a service whose program attempts things; returns what came of each, {name: words}."""
    shutil.copy(ROOT / "tests/attempts.py", PROGRAMS)
    MINE.mkdir()
    MINE.chmod(0o777)
    other = subprocess.Popen(["/bin/sleep", "600"], user=OTHER)
    (MINE / "other").write_text(str(other.pid))
    segment = libc.shmget(other.pid, 4096, 0o1666)  # IPC_CREAT
    (MINE / "segment").write_text(str(other.pid))
    Path("/run/ubus").mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as bus:
        bus.bind("/run/ubus/ubus.sock")
        os.chmod("/run/ubus/ubus.sock", 0o666)
        bus.listen()

        def tries(names, *lines):
            router.configure(service("echo", COMMAND + " ".join(names), *TAKES, "list proto tcp", *lines))
            router.viscum("up")
            found = json.loads((MINE / "attempts").read_text())
            assert router.ask("tcp", "203.0.113.10", 7000)[0] == "edge", "it serves as before"
            router.viscum("down")
            return found

        yield tries
    libc.shmctl(segment, 0, None)  # IPC_RMID
    shutil.rmtree("/run/ubus")
    other.kill()
    other.wait()


@pytest.mark.parametrize(
    "attempts, lines",
    [(SEEN, ()), (SEEN, ("option user root",)), (ROOTS, ("option user root",)), (UNDOES, POWERFUL)],
    ids=["nobody", "root", "root only", "root with all"],
)
def test_what_it_does_not_need_it_does_not_see_or_change(tried, attempts, lines):
    names = list(attempts)
    assert tried(names, *lines) == {name: attempts[name][0] for name in names}
    allowing = {attempts[name][1] for name in names}
    assert tried(names, *lines, *sorted(allowing)) == dict.fromkeys(names, "done")


def test_what_nothing_else_opens_the_routers_view_does(tried):
    assert tried(["anothers_segment"]) == {"anothers_segment": "ENOENT"}
    names = ["anothers_segment"] + [name for name in SEEN if not name.endswith("_filled")]
    assert tried(names, "option view host") == dict.fromkeys(names, "done")


# What is its own


def test_its_terminals_are_its_own(tried):
    routers = os.openpty()
    assert tried(["own_terminal"]) == {"own_terminal": "done"}
    assert tried(["own_terminal"], "list visible /dev/pts") == {"own_terminal": "EIO"}, "it sees the router's"
    for fd in routers:
        os.close(fd)


def hidden(text):
    """The section without the line that lets a test's program see PROGRAMS."""
    return text.replace("list writable %s" % PROGRAMS, "")


def test_each_service_has_folders_of_its_own_whatever_its_account(lab):
    """Each makes a file of the same name, unless it is there."""
    command = "/bin/sh -c '[ ! -e /tmp/mine ] && : > /tmp/mine && : > /run/mine && exec %s'"
    takes = ("list device lan0", "list proto tcp", "list dest_ip 203.0.113.10")
    lab.configure(
        service("one", command % echo_command("one", 7000), *takes, "list dest_port 7000")
        + service("two", command % echo_command("two", 7001), *takes, "list dest_port 7001")
    )
    lab.viscum("up")
    assert lab.ask("tcp", "203.0.113.10", 7000)[0] == "one" and lab.ask("tcp", "203.0.113.10", 7001)[0] == "two"
    assert not os.path.exists("/tmp/mine") and not os.path.exists("/run/mine")


def test_what_its_command_names_in_such_a_folder_is_there_to_read(lab):
    """The program and its configuration, but not what lies beside them."""
    (PROGRAMS / "beside").touch()
    program = PROGRAMS / "program"
    program.write_text("#!/bin/sh\n[ ! -e %s/beside ] && ! echo x 2>/dev/null >> $0 && exec %%s\n" % PROGRAMS)
    program.write_text(program.read_text() % echo_command("edge", 7000))
    program.chmod(0o755)
    lab.configure(hidden(service("echo", "%s %s/echo.py" % (program, PROGRAMS), *TAKES, "list proto tcp")))
    lab.viscum("up")
    assert lab.ask("tcp", "203.0.113.10", 7000)[0] == "edge"


def test_a_check_by_command_has_the_files_of_its_program(lab):
    lab.serve_cloud(7000)
    command = "/bin/sh -c ': > /tmp/ready; exec %s'" % echo_command("edge", 7000)
    lines = ("option healthcheck exec", "option health_command '/usr/bin/test -e /tmp/ready'")
    agent = Agent(lab, service("echo", command, *TAKES, *QUICK, *lines))
    agent.becomes("edge")
    (pid,) = pids_in("viscum-echo")
    (Path("/proc/%d/root" % pid) / "tmp/ready").unlink()
    agent.becomes("cloud")
    assert pids_in("viscum-echo") == [pid]


def joined(prepare):
    """Whether a check would join the mounts of a program that does that first."""
    reading, writing = os.pipe()
    other = os.fork()
    if other == 0:
        os.close(reading)
        prepare()
        os.close(writing)
        signal.pause()
    os.close(writing)
    os.read(reading, 1)
    pid = os.fork()
    if pid == 0:
        try:
            view.join([other])
        except ProcessLookupError:
            os._exit(3)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.kill(other, signal.SIGKILL)
    os.waitpid(other, 0)
    os.close(reading)
    return {0: True, 3: False}[code]


def test_a_check_never_has_the_routers_files_because_its_program_was_only_just_forked():
    assert joined(view.whole) and not joined(lambda: None)


def test_nor_what_its_program_mounted_as_root_of_a_user_namespace(tmp_path):
    """With `allow_syscalls 'namespaces'`: a disk on /dev/null, and a program of its own as that of the check."""

    def own():
        compat.unshare(NEW_USER | compat.CLONE_NEWNS)
        compat.mount("/etc/hostname", "/dev/null", "none", compat.MS_BIND)

    assert not joined(own)


def test_a_person_at_a_shell_has_the_routers_files(router):
    router.configure(service("echo", echo_command("edge", 7000), *TAKES))
    router.viscum("up")
    assert router.viscum("exec", "echo", "--", "cat", "/tmp/viscum-attempt").stdout == "secret"


def test_it_leaves_no_mount_to_the_router(lab):
    def mounts():
        return [line for line in Path("/proc/self/mounts").read_text().splitlines() if " /run/netns" not in line]

    before = mounts()
    lab.configure(service("echo", echo_command("edge", 7000), *TAKES, "list visible /run/netns"))
    lab.viscum("up")
    assert mounts() == before
    lab.viscum("down")
    assert mounts() == before
    assert not [name for name in ("/tmp/run", "/tmp/shm", "/run/lock") if os.path.exists(name)], "nor a folder"


def test_what_is_not_there_is_named_with_its_option(lab):
    lab.configure(service("echo", echo_command("edge", 7000), *TAKES, "list writable /srv/none", "list visible /none"))
    result = lab.viscum("check", check=False)
    assert result.returncode == 3, "another router may have them"
    for option, path in (("writable", "/srv/none"), ("visible", "/none")):
        said = "viscum.echo.%s: there is no %s: make it, or take it out" % (option, path)
        assert said in result.stdout + result.stderr


# Routers that look different


def seen(prepare, look, *lines, command="/bin/true"):
    """What a program would find: `look()`, after `prepare()`, with what the agent does for it. In a child."""
    section = hidden(service("echo", command, *TAKES, *lines))
    (made,) = model.read(uci.parse(section.encode(), "viscum")).services

    def makes():
        prepare()
        view.make(made)
        return look()

    return with_own_mounts(makes, repr)


def written(path):
    try:
        Path(path).write_text("x")
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"


def writable_mounts():
    lines = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return sorted(words[4] for words in lines if words[5].startswith("rw"))


def test_no_mount_can_be_written_to_but_its_own_and_what_is_asked_for():
    own = sorted([place for place in view.PRIVATE if os.path.exists(place)])
    asked = ("list writable /proc/sys/net", "list visible /tmp", "list writable /run")
    assert seen(lambda: None, writable_mounts) == own
    found = sorted([place for place in own if place != "/tmp"] + ["/proc/sys/net", "/run/netns"])
    assert seen(lambda: None, writable_mounts, *asked) == found, "with what is mounted in /run"


def test_on_openwrt_nearly_all_of_that_is_in_tmp(tmp_path):
    def openwrt():
        run("mount", "-t", "tmpfs", "none", tmp_path)
        for name in ("dev", "etc/config", "overlay", "proc", "srv", "sys", "tmp"):
            (tmp_path / name).mkdir(parents=True)
        (tmp_path / "var").symlink_to("tmp")
        (tmp_path / "run").symlink_to("var/run")
        (tmp_path / "dev/shm").symlink_to("/tmp/shm")
        (tmp_path / "etc/resolv.conf").symlink_to("/tmp/resolv.conf")
        (tmp_path / "etc/TZ").symlink_to("/tmp/TZ")
        (tmp_path / "etc/config/network").touch()
        run("mount", "-t", "proc", "proc", tmp_path / "proc")
        run("mount", "-t", "sysfs", "sysfs", tmp_path / "sys")
        run("mount", "-t", "tmpfs", "none", tmp_path / "tmp")
        for name in ("lib", "lock", "log", "resolv.conf.d", "run/ubus", "shm", "tmp"):
            (tmp_path / "tmp" / name).mkdir(parents=True)
        (tmp_path / "tmp/resolv.conf").symlink_to("/tmp/resolv.conf.d/resolv.conf.auto")
        (tmp_path / "tmp/resolv.conf.d/resolv.conf.auto").write_text("nameserver 192.0.2.1\n")
        (tmp_path / "tmp/TZ").write_text("UTC0\n")
        (tmp_path / "tmp/dhcp.leases").touch()
        os.chroot(tmp_path)
        os.chdir("/")

    def look():
        folders = ("/var/run", "/var/lock", "/var/log", "/var/lib", "/var/tmp", "/dev/shm")
        return {
            "tmp": sorted(os.listdir("/tmp")),
            "run": os.listdir("/var/run"),
            "config": os.listdir("/etc/config"),
            "read": [Path(path).read_text() for path in ("/etc/resolv.conf", "/etc/TZ")],
            "writes": [written(path + "/x") for path in folders],
            "outside": [written(path) for path in ("/srv/x", "/etc/TZ", "/etc/resolv.conf", "/x", "/overlay/x")],
        }

    found = seen(openwrt, look)
    assert found == {
        "tmp": ["TZ", "lib", "lock", "log", "resolv.conf", "run", "shm", "tmp"],
        "run": [],
        "config": [],
        "read": ["nameserver 192.0.2.1\n", "UTC0\n"],
        "writes": ["done"] * 6,
        "outside": ["EROFS"] * 5,
    }
    assert seen(openwrt, lambda: os.listdir("/var/run"), "list visible /var/run/ubus") == ["ubus"]
    assert "dhcp.leases" in seen(openwrt, lambda: os.listdir("/tmp"), "list writable /tmp")


# Links of a program's own


APP = "/srv/app"


def an_app(to, owner):
    """A folder of an account with a link in it; the router has a secret where it covers folders."""
    for place in ("/srv", "/run", "/mnt"):
        run("mount", "-t", "tmpfs", "none", place)
    Path("/run/ubus").mkdir()
    Path("/run/ubus/secret").touch()
    Path(APP).mkdir()
    Path(APP, "link").symlink_to(to)
    for place in (APP, APP + "/link"):
        os.chown(place, owner, owner, follow_symlinks=False)


# What a section names below a folder that its program may write, where that has made a link of it.
NAMED = {
    "workdir": ["option workdir %s/link" % APP],
    "a word of its command": [],
    "a word of its check": ["option healthcheck exec", "option health_command '/bin/true %s/link/secret'" % APP],
    "visible": ["list visible %s/link" % APP],
    "writable": ["list writable %s/link" % APP],
}


@pytest.mark.parametrize("named", NAMED)
def test_no_link_of_a_program_opens_what_is_hidden(named):
    lines = ("list writable " + APP, *NAMED[named])
    command = "/bin/true" if NAMED[named] else "/bin/true %s/link" % APP
    look = lambda: os.listdir("/run")  # noqa: E731
    assert "ubus" not in seen(lambda: an_app("/run/ubus", OTHER), look, *lines, command=command)
    assert "ubus" in seen(lambda: an_app("/run/ubus", 0), look, *lines, command=command), "one of root's does"


def test_nor_what_is_only_to_read():
    look = lambda: written("/mnt/x")  # noqa: E731
    lines = ("list writable %s/link" % APP,)
    assert "refused" in seen(lambda: an_app("/mnt", OTHER), look, *lines)
    assert seen(lambda: an_app("/mnt", 0), look, *lines) == "done"


def test_nor_its_place_for_what_is_its_own():
    """On OpenWrt /var/tmp is in /tmp, where whoever is first makes it."""

    def openwrt():
        for place in ("/tmp", "/var"):
            run("mount", "-t", "tmpfs", "none", place, "-o", "mode=1777")
        os.symlink("/tmp/tmp", "/var/tmp")
        os.symlink("/", "/tmp/tmp")
        os.chown("/tmp/tmp", OTHER, OTHER, follow_symlinks=False)

    assert seen(openwrt, lambda: os.access("/", os.W_OK), "list writable /tmp") is False


def test_a_kernel_that_makes_no_tree_read_only_starts_it_all_the_same(tmp_path, monkeypatch):
    """Before 5.12: what its account may change is what it was before."""
    tmp_path.joinpath("x").touch()
    look = lambda: [written("/srv/x"), os.listdir("/tmp")]  # noqa: E731
    assert seen(lambda: run("mount", "-t", "tmpfs", "none", "/srv"), look)[0] == "EROFS"
    monkeypatch.setattr(cpython, "_MOUNT_SETATTR", 9999)
    assert seen(lambda: run("mount", "-t", "tmpfs", "none", "/srv"), look)[0] == "done"
