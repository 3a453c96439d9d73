"""A root of its own: what a program sees there, that no link in it leads out, and an image in place of a folder."""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from agent import QUICK, TAKES, Agent
from lab import ROOT, pids_in, run, with_own_mounts
from others import LIBRARIES, PACKAGES

from viscum_agent import compat
from viscum_agent.config import service as model
from viscum_agent.config import uci
from viscum_agent.errors import ConfigError
from viscum_agent.service import root

USR = "list mount /usr:/usr:ro"
SERVER = "/usr/bin/python3 /echo.py serve edge 7000"
# Looks around, writes down what it found in /out, and becomes the server.
LOOKS = """
import errno, json, os, sys
def tried(work):
    try:
        return work() or "done"
    except OSError as error:
        return errno.errorcode[error.errno]
found = {
    "root": sorted(os.listdir("/")),
    "above": sorted(os.listdir("/../..")),
    "out": tried(lambda: open("/out/secret").read()),
    "absolute": tried(lambda: open("/absolute").read()),
    "upwards": tried(lambda: open("/upwards").read()),
    "first process": tried(lambda: os.listdir("/proc/1/root")),
    "processes": {os.stat("/proc/" + name).st_uid for name in os.listdir("/proc") if name.isdigit()} == {os.getuid()},
    "kernel's setting": tried(lambda: open("/proc/sys/kernel/panic", "w").write("0") and None),
    "network's devices": tried(lambda: os.listdir("/sys/class/net")),
    "devices": sorted(os.listdir("/dev")),
    "new device": tried(lambda: os.symlink("x", "/dev/x")),
    "random": len(open("/dev/urandom", "rb").read(4)),
    "null": tried(lambda: open("/dev/null", "w").write("x") and None),
    "mounts": [line.split()[1:4:2] for line in open("/proc/self/mounts")],
}
def left():
    os.mkdir("/tmp/deeper")
    os.chroot("/tmp/deeper")
    os.chdir("../" * 20)
    os.chroot(".")
    return sorted(os.listdir("/"))
reading, writing = os.pipe()
if os.fork() == 0:
    os.write(writing, json.dumps(tried(left)).encode())
    os._exit(0)
found["left"] = json.loads(os.read(reading, 65536))
os.close(reading)
os.wait()
for place in ("/tmp/x", "/run/x", "/dev/shm/x", "/x", "/data/x", "/host/x", "/cache/x", "/usr/x"):
    found[place] = tried(lambda: open(place, "w").write("x") and None)
for place in ("/etc/hosts", "/etc/resolv.conf"):
    found[place] = tried(lambda: open(place).read())
json.dump(found, open("/out/found", "w"))
os.execv("/usr/bin/python3", ["python3"] + sys.argv[1:])
"""

# Executes a file of two mounts, writes down what came of it in /out, and becomes the server.
EXECUTES = """
import errno, json, os, subprocess, sys
def executed(path):
    try:
        return subprocess.call([path])
    except OSError as error:
        return errno.errorcode[error.errno]
json.dump({path: executed(path) for path in ("/host/true", "/data/true")}, open("/out/found", "w"))
os.execv("/usr/bin/python3", ["python3"] + sys.argv[1:])
"""


def section(folder, command, *lines):
    words = ["config service echo", "option enabled 1", "option command '%s'" % command, "option root %s" % folder]
    return "\n\t".join([*words, *TAKES, "list proto tcp", *lines]) + "\n"


@pytest.fixture
def app(tmp_path):
    """A root: what Debian's Python needs comes from the router, by a mount."""
    folder = tmp_path / "app"
    for name in ("etc", "usr", "run", "data", "out"):
        (folder / name).mkdir(parents=True)
    for name in ("bin", "lib", "lib64"):
        if Path("/" + name).is_symlink():
            (folder / name).symlink_to("usr/" + name)
    shutil.copy(ROOT / "tests/echo.py", folder)
    (folder / "looks.py").write_text(LOOKS)
    for name in ("data", "out"):
        (folder / name).chmod(0o777)
    return folder


def looked(lab, app, *lines):
    """What a program found that looked around, before it served."""
    lab.configure(section(app, SERVER.replace("/echo.py", "/looks.py /echo.py"), USR, "list writable /out", *lines))
    lab.viscum("up")
    assert lab.ask("tcp", "203.0.113.10", 7000)[0] == "edge"
    found = json.loads((app / "out/found").read_text())
    lab.viscum("down")
    return found


def test_a_program_sees_its_root_and_nothing_of_the_router(lab, app, tmp_path):
    (tmp_path / "secret").write_text("secret")
    (app / "absolute").symlink_to(tmp_path / "secret")
    (app / "upwards").symlink_to("../" * 20 + str(tmp_path / "secret"))
    host = tmp_path / "host"
    host.mkdir()
    host.chmod(0o777)
    shared = ("list mount %s:/host" % host, "list mount tmpfs:/cache", "list writable /data")
    shutil.copytree("/etc", tmp_path / "etc", symlinks=True)
    (tmp_path / "etc/netns/viscum-echo").mkdir(parents=True)
    (tmp_path / "etc/netns/viscum-echo/hosts").write_text("192.0.2.1 box\n")
    run("mount", "--bind", tmp_path / "etc", "/etc")
    mounts = Path("/proc/self/mounts").read_text()
    try:
        found = looked(lab, app, *shared)
        assert Path("/proc/self/mounts").read_text() == mounts
    finally:
        run("umount", "/etc")
    names = {path.name for path in app.iterdir()} | {"proc", "dev", "tmp", "host", "cache"}
    assert found.pop("root") == found.pop("above") == sorted(names)
    assert found.pop("devices") == sorted([*root.DEVICES, "fd", "shm", "stderr", "stdin", "stdout"])
    powerful = {place for place, flags in found.pop("mounts") if not {"nosuid", "nodev"} <= set(flags.split(","))}
    assert powerful <= {"/dev/" + name for name in root.DEVICES}, "no program gets an account, no file a device"
    assert found == {
        "out": "ENOENT",
        "absolute": "ENOENT",
        "upwards": "ENOENT",
        "first process": "ENOENT",
        "processes": True,
        "kernel's setting": found["kernel's setting"],
        "network's devices": "ENOENT",
        "new device": "EROFS",
        "random": 4,
        "null": "done",
        "left": "EPERM",
        "/tmp/x": "done",
        "/run/x": "done",
        "/dev/shm/x": "done",
        "/x": "EROFS",
        "/data/x": "done",
        "/host/x": "done",
        "/cache/x": "done",
        "/usr/x": "EROFS",
        "/etc/hosts": "192.0.2.1 box\n",
        "/etc/resolv.conf": "ENOENT",
    }
    assert found["kernel's setting"] in ("EROFS", "EACCES")
    assert (app / "data/x").exists() and (host / "x").exists() and not (app / "tmp/x").exists()


def test_what_is_not_its_own_can_be_written_to_only_where_its_section_says_so(lab, app, tmp_path):
    """Root, too; and what nobody asked for stays as it was."""
    host = tmp_path / "host"
    host.mkdir()
    lines = ("option user root", "list capability dac_override", "list capability sys_chroot")
    found = looked(lab, app, *lines, "list mount %s:/host:ro" % host)
    assert [found[name] for name in ("/x", "/data/x", "/host/x", "kernel's setting")] == ["EROFS"] * 4
    assert found["left"] == found["root"], "who leaves a root by chroot(2) finds the same one"
    found = looked(lab, app, *lines, "list mount %s:/host" % host, "list writable /")
    assert [found[name] for name in ("/x", "/data/x", "/host/x")] == ["done"] * 3
    assert [found[name] for name in ("/usr/x", "kernel's setting", "new device")] == ["EROFS"] * 3


def test_nothing_is_executed_that_a_mount_says_is_not(lab, app, tmp_path):
    host = tmp_path / "host"
    host.mkdir()
    shutil.copy("/bin/true", host)
    (app / "looks.py").write_text(EXECUTES)
    found = looked(lab, app, "list mount %s:/host" % host, "list mount %s:/data:ro,noexec" % host)
    assert found == {"/host/true": 0, "/data/true": "EACCES"}


def test_no_link_in_a_root_leads_what_is_mounted_there_out_of_it(lab, app, tmp_path):
    """Whoever made the folder made the links: nothing is made, written or mounted outside."""
    run("mount", "-t", "tmpfs", "none", "/srv")
    outside = Path("/srv/outside")
    outside.mkdir()
    shutil.rmtree(app / "etc")
    (app / "etc").symlink_to("../" * 20 + str(outside)[1:])
    (app / "dev").symlink_to(outside / "dev")
    (app / "cache").symlink_to(outside / "made")
    (app / "host").symlink_to("../" * 20 + "srv/outside/file")
    lines = ("list mount tmpfs:/cache", "list mount /etc/hostname:/host:ro")
    try:
        found = looked(lab, app, *lines)
        assert list(outside.iterdir()) == []
    finally:
        run("umount", "/srv")
    assert found["null"] == "done" and found["/cache/x"] == "done"
    assert (app / str(outside)[1:]).is_dir(), "it is inside"


def made_where_a_link_leads(app, link, *lines, before=()):
    """Whether something is made on the router when the agent is to mount something on a link in the root. Not in /tmp,
    which the root covers."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as outside:
        (app / "host").symlink_to("%s%s/made" % (link, outside))
        text = section(app, SERVER, USR, "list mount /etc:/host", *lines)
        (made,) = model.read(uci.parse(text.encode(), "viscum")).services
        pid = os.fork()
        if pid == 0:
            compat.unshare(compat.CLONE_NEWNS)
            run("mount", "--make-rprivate", "/")
            for command in before:
                run(*command)
            with contextlib.suppress(FileNotFoundError):
                root.make(made)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        return (Path(outside) / "made").exists()


def test_nothing_is_made_where_a_magic_link_of_proc_would_lead(app):
    """Who owns the folder, and not the router, puts such a link where the agent is to mount something."""
    assert not made_where_a_link_leads(app, "/proc/self/cwd", "list mount /srv:/data")


def test_nor_where_that_of_a_proc_would_lead_that_is_in_the_folder_already(app):
    """As in many a folder that one changes into by chroot(8)."""
    (app / "old proc").mkdir()
    there = ("mount", "-t", "proc", "proc", app / "old proc")
    assert not made_where_a_link_leads(app, "/old proc/self/cwd", "list mount /srv:/data", before=[there])


def test_nor_where_that_of_a_mount_would_lead(app, tmp_path):
    (tmp_path / "more/proc").mkdir(parents=True)
    there = ("mount", "-t", "proc", "proc", tmp_path / "more/proc")
    line = "list mount %s/more:/data" % tmp_path
    assert not made_where_a_link_leads(app, "/data/proc/self/cwd", line, before=[there])


def found_in(app, look, *lines):
    """What root finds in a root, or what keeps it from being one."""
    (made,) = model.read(uci.parse(section(app, SERVER, USR, *lines).encode(), "viscum")).services

    def makes():
        root.make(made)
        return look()

    return with_own_mounts(makes, str)


@pytest.fixture
def host(tmp_path):
    """A folder of the router."""
    folder = tmp_path / "router"
    folder.mkdir()
    return folder


def linked(app, name, to, owner=0):
    if (app / name).is_dir():
        (app / name).rmdir()
    (app / name).symlink_to(to)
    os.chown(app / name, owner, owner, follow_symlinks=False)


def test_what_is_mounted_to_read_is_not_written_to_by_another_name(app, host):
    """Whoever may write to the folder makes a link of what its section calls writable."""
    lines = ("list mount %s:/a:ro" % host, "list writable /data")
    (app / "a").mkdir()
    linked(app, "data", "/a")
    assert found_in(app, lambda: os.access("/a", os.W_OK), *lines) is False
    linked(app, "out", "/", 1)
    said = "writable: /out is refused: others than root can change where a link on the way leads"
    assert said in found_in(app, lambda: os.access("/", os.W_OK), "list writable /out")


def test_nor_where_its_place_is_in_what_is_writable(app, host):
    (app / "data/a").mkdir()
    linked(app, "a", "data/a", 1)
    lines = ("list mount %s:/a:ro" % host, "list writable /data")
    look = lambda: [os.access(path, os.W_OK) for path in ("/data", "/data/a")]  # noqa: E731
    assert found_in(app, look, *lines) == [True, False]


def test_no_link_makes_the_kernels_settings_writable(app):
    """Account 0 may change them without any capability."""
    look = lambda: os.access("/proc/sys/kernel/panic", os.W_OK)  # noqa: E731
    linked(app, "run", "/proc")
    assert found_in(app, look) is False
    linked(app, "data", "/proc")
    assert found_in(app, look, "list writable /data") is False


def test_nor_the_routers_devices_or_what_came_with_the_folder(app):
    names = ("more", "data/more")
    for name in names:
        (app / name).mkdir()
        run("mount", "-t", "tmpfs", "none", app / name)
    places = ("/dev", "/dev/shm", "/etc", "/more", "/data/more")
    look = lambda: [os.access(path, os.W_OK) for path in places]  # noqa: E731
    try:
        found = found_in(app, look, "list writable /data")
        modes = found_in(app, lambda: os.chmod("/dev/null", 0o666))
    finally:
        for name in names:
            run("umount", app / name)
    assert found == [False, True, False, False, True]
    assert "Read-only file system" in modes


def test_nothing_is_made_in_what_is_mounted_to_read(app, host):
    """The agent makes places as root."""
    linked(app, "z", "/a/made", 1)
    said = found_in(app, lambda: None, "list mount %s:/a:ro" % host, "list mount /srv:/z")
    assert "there is no /z in %s to mount something on, and it can't be made (Read-only" % app in said
    assert list(host.iterdir()) == []


@pytest.mark.parametrize("owner, refused", [(1, True), (0, False)])
@pytest.mark.parametrize("what", ["root", "mount"])
def test_no_link_of_others_than_root_names_a_root_or_a_mount(app, tmp_path, owner, refused, what):
    """They could make it lead to what the router hides from programs."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "link").symlink_to(app)
    for path in (folder, folder / "link"):
        os.chown(path, owner, owner, follow_symlinks=False)
    text = section(folder / "link" if what == "root" else app, SERVER, USR)
    text += "\tlist mount %s/link:/data\n" % folder if what == "mount" else ""
    (made,) = model.read(uci.parse(text.encode(), "viscum")).services
    assert [option for option, why in root.lacks(made.program) if "is refused" in why] == [what] * refused
    pid = os.fork()
    if pid == 0:
        compat.unshare(compat.CLONE_NEWNS)
        run("mount", "--make-rprivate", "/")
        try:
            root.make(made)
        except ConfigError:
            os._exit(3)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 3 * refused


def test_a_check_by_command_has_the_root_of_its_program(lab, app):
    lab.serve_cloud(7000)
    lines = ("option healthcheck exec", "option health_command '/bin/sh -c \"test -e /run/ready && test -e /echo.py\"'")
    command = '/bin/sh -c ": > /run/ready; exec %s"' % SERVER
    agent = Agent(lab, section(app, command, USR, *QUICK, *lines))
    agent.becomes("edge")
    (pid,) = pids_in("viscum-echo")
    (Path("/proc/%d/root" % pid) / "run/ready").unlink()
    agent.becomes("cloud")


def test_what_is_not_there_is_named_with_its_option(lab, app, tmp_path):
    shutil.copy("/bin/true", tmp_path / "program")
    (app / "absolute").symlink_to(tmp_path / "program")
    lacking = {
        "root": ("/srv/none", "there is no folder or image /srv/none: make it, or name another one"),
        "command": ("/absolute", "there is no program /absolute: install it or correct the path"),
        "workdir": ("/none", "there is no directory /none: make it or name another one"),
        "writable": ("/none", "there is no /none in %s: make it, or take it out" % app),
        "mount": ("/none:/x", "there is no /none: make it, or take it out"),
    }
    text = ""
    for option, (value, _) in lacking.items():
        lines = ["%s %s %s" % ("option" if option == "workdir" else "list", option, value)]
        command, folder = value if option == "command" else SERVER, value if option == "root" else app
        lines = [] if option in ("command", "root") else lines
        text += section(folder, command, USR, *lines).replace("service echo", "service " + option)
    lab.configure(text)
    result = lab.viscum("check", check=False)
    said = [line for line in (result.stdout + result.stderr).splitlines() if "there is no" in line]
    assert said == ["viscum.%s.%s: %s" % (name, name, lacking[name][1]) for name in lacking]


def test_what_its_links_lead_to_too_far_is_not_there(lab, app):
    """Who may write to the folder makes them, and the agent waits while it looks them up."""
    (app / "a").mkdir()
    for number in range(39):
        (app / ("%d" % number)).symlink_to("a/../" * 800 + "%d" % (number + 1))
    (app / "39").symlink_to("bin")
    os.symlink(b"/\xff", bytes(app) + b"/odd")
    (app / "near").symlink_to("a/../a/../out")
    lab.configure(section(app, "/0/true", "option workdir /odd", "list writable /near", "list writable /1"))
    result = lab.viscum("check", check=False)
    said = [line.split(": ")[0] for line in (result.stdout + result.stderr).splitlines() if "there is no" in line]
    assert said == ["viscum.echo." + option for option in ("writable", "command", "workdir")]


def test_nothing_of_proc_is_mounted_or_written_to(lab, app):
    lines = ["list mount " + each for each in ("/proc/sys:/data", "/srv:/proc/sys/net", "tmpfs:/proc")]
    lab.configure(section(app, SERVER, USR, *lines, "list writable /proc"))
    result = lab.viscum("check", check=False)
    said = [line for line in (result.stdout + result.stderr).splitlines() if "every program has its own" in line]
    options = ("writable", "/proc"), ("mount", "/proc/sys"), ("mount", "/proc/sys/net"), ("mount", "/proc")
    text = "viscum.echo.%s: %s is of /proc, and every program has its own: take it out"
    assert said == [text % each for each in options]


# An image


@pytest.fixture
def image(app, tmp_path):
    """Of the same root, with all that has to be there to mount on."""
    tool = shutil.which("mksquashfs") or PACKAGES / "usr/bin/mksquashfs"
    if not Path(tool).exists():
        pytest.skip("needs tools/setup.sh apt")
    for name in ("proc", "dev", "tmp", "host", "cache"):
        (app / name).mkdir()
    made = tmp_path / "app.img"
    words = [tool, app, made, "-quiet", "-no-progress", "-all-root", "-comp", "gzip"]
    subprocess.run(words, check=True, env={**os.environ, "LD_LIBRARY_PATH": LIBRARIES}, stdout=subprocess.DEVNULL)
    return made


def loops(image):
    return [
        path for path in Path("/sys/block").glob("loop*/loop/backing_file") if path.read_text().strip() == str(image)
    ]


def test_an_image_is_a_root_that_goes_with_its_program(lab, image, tmp_path):
    shared = ("list mount tmpfs:/cache", "option user root", "list capability dac_override")
    lab.configure(section(image, SERVER, USR, *shared))
    lab.viscum("up")
    assert lab.ask("tcp", "203.0.113.10", 7000)[0] == "edge"
    (pid,) = pids_in("viscum-echo")
    (line,) = [line for line in Path("/proc/%d/mounts" % pid).read_text().splitlines() if line.split()[1] == "/"]
    assert line.split()[2] == "squashfs" and {"ro", "nosuid", "nodev"} <= set(line.split()[3].split(","))
    assert len(loops(image)) == 1
    lab.viscum("down")
    assert loops(image) == []


def test_an_image_that_can_be_no_root_is_named_with_the_reason(lab, image):
    """The kernel trusts what it mounts, so nobody but root may have changed it."""

    def said(command, *lines):
        lab.configure(section(image, SERVER, USR, *lines))
        result = lab.viscum(command, check=False)
        assert result.returncode == (3 if command == "check" else 1)
        return result.stdout + result.stderr

    assert "viscum.echo.writable: %s is an image, in which nothing" % image in said("check", "list writable /data")
    nowhere = "root: there is no /none in %s to mount something on, and it can't be made" % image
    assert nowhere in said("up", "list mount /etc:/none") and loops(image) == []
    image.chmod(0o666)
    assert "viscum.echo.root: %s is refused: it can be written by others" % image in said("check")
    image.chmod(0o644)
    image.write_bytes(b"hsqs" + bytes(8192))
    assert "root: the image %s can't be mounted (" % image in said("up") and loops(image) == []
    image.write_bytes(bytes(8192))
    assert "%s is neither a folder nor an image (squashfs)" % image in said("check")
