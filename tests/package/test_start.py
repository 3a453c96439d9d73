"""The installed commands: they start, and CPython's byte code is kept where nobody can plant it.

The package is unpacked over this machine's own system in a mount namespace, so the launchers run at their real paths.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys

import opkg
import pytest
from depends import guarded, refused
from lab import HANG, MICROPYTHON_FILE, ROOT, wait_for
from packages import unpacked
from router import run

from viscum_agent import optional
from viscum_agent.ubus import codes
from viscum_agent.ubus.caller import Caller

sys.path.append(str(ROOT / "tools/package"))
from source import FOR_BOTH, archive  # noqa: E402

CACHE = "/var/run/viscum.pycache"
NOBODY = 65534
LAN = "ip link add lan0 type veth && ip addr add 192.168.1.1/24 dev lan0 && ip link set lan0 up && "


class Machine:
    """This machine with a package on it: its commands see /usr with the package's files, and a /run of their own."""

    def __init__(self, folder, *ipks):
        self.folder = folder
        self.upper = folder / "usr"
        self.run_dir = folder / "run"
        self.run_dir.mkdir(parents=True)
        for ipk in ipks:
            self.unpack(ipk)
        launcher = self.upper / "bin/micropython"
        launcher.write_text('#!/bin/sh\nexec %s "$@"\n' % MICROPYTHON_FILE)
        launcher.chmod(0o755)

    def unpack(self, ipk):
        for path, (info, content) in opkg.read(ipk)[1].items():
            target = self.folder / path[2:]
            if content is None:
                target.mkdir(exist_ok=True)
            else:
                target.write_bytes(content)
                target.chmod(info.mode)

    def __call__(self, *words, check=True, uid=0):
        script = (
            "mount -t overlay overlay -o lowerdir=%s:/usr /usr && mount --bind %s /run &&"
            ' exec setpriv --reuid %d --clear-groups -- "$@"' % (self.upper, self.run_dir, uid)
        )
        command = ["unshare", "--mount", "sh", "-c", script, "sh", *map(str, words)]
        return run(command, check, {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})

    @property
    def cache(self):
        return self.run_dir / "viscum.pycache"

    @property
    def archive(self):
        return self.upper / "lib/viscum/sources.packed"

    def change_source(self, name, text):
        """Another archive, as an upgrade brings it."""
        files = {**unpacked(self.archive.read_bytes(), 15), name: text.encode()}
        self.archive.unlink()
        self.archive.write_bytes(archive(list(files.items()), 15, b""))


@pytest.fixture
def machine(tmp_path, ipks, name):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    parts = [ipks[part] for part in optional.PARTS if name == "viscum" or part in FOR_BOTH]
    return Machine(tmp_path / "machine", ipks[name], *parts)


@pytest.fixture
def cpython(tmp_path, ipks):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    return Machine(tmp_path / "machine", ipks["viscum-cpython"])


@pytest.mark.parametrize("words", [["--version"], ["check"]])
def test_the_launcher_needs_no_module_that_the_named_packages_have_not(cpython, tmp_path, words):
    """Also to start from the archive, with and without kept byte code."""
    log = tmp_path / "imports"
    (tmp_path / "viscum").write_text("")
    for _ in range(2):
        cpython(*guarded(("/usr/bin/python3",), log), "-f", "/usr/bin/viscum", "-c", tmp_path, *words)
        seen = log.read_text().split()
        assert refused(log) == [] and "viscum_agent.cli.verbs" in seen
        log.unlink()
    assert list(cpython.cache.iterdir())


def test_the_feeds_test_of_the_package_passes(machine, name):
    version = re.search(r"^PKG_VERSION:=(.*)$", (ROOT / "package/viscum/Makefile").read_text(), re.MULTILINE).group(1)
    script = ROOT / "package/viscum/test.sh"
    # /etc/config of this machine: the package's own configuration.
    shutil.copytree(machine.folder / "etc/config", machine.folder / "config")
    text = script.read_text().replace("viscum check", "viscum -c %s check" % (machine.folder / "config"))
    copy = machine.folder / "test.sh"
    copy.write_text(text)
    machine("sh", copy, name, version)
    for part in optional.PARTS:
        machine("sh", copy, part, version)
    assert machine("sh", copy, name, version + ".1", check=False).returncode == 1


def test_both_commands_give_their_usage_and_exit_codes(machine):
    for command in ("viscum", "viscumd"):
        assert machine(command, "--help").stdout.startswith("usage: %s " % command) or machine(
            command, "--help"
        ).stderr.startswith("usage: %s " % command)
        assert machine(command, "--no-such-option", check=False).returncode == 2


def test_a_pasted_line_may_be_longer_than_a_word_of_micropython(machine):
    line = "> * 1 ESTABLISHED src=192.168.1.2 dst=203.0.113.10 sport=1 dport=2 " + "mark=0 " * 60
    result = machine("viscum", "explain", line, check=False)
    assert result.returncode == 2 and "does not say which protocol it has" in result.stderr, result.stderr


# Packages beside the agent's


@pytest.fixture
def alone(tmp_path, ipks):
    if os.geteuid() != 0:
        pytest.skip("needs root")
    return Machine(tmp_path / "without", ipks["viscum"])


DOCTOR = "lib/viscum/viscum-doctor.packed"
FAULTS = [("explain", "dev lo tcp from 10.0.0.1 to 10.0.0.2 port 80"), ("doctor",)]
MISSING = "the package viscum-doctor is not installed, or of another version than viscum: "
HERE = "install viscum-doctor (opkg install, on OpenWrt 25.12 apk add)"


@pytest.mark.parametrize("words", FAULTS)
def test_without_the_doctors_package_a_command_names_it(alone, words):
    result = alone("viscum", *words, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (1, "", "viscum: " + MISSING + HERE + "\n")
    assert alone("viscum", words[0], "--help").stdout.startswith("usage: viscum " + words[0])


@pytest.mark.parametrize(
    "words, part", [(("metrics",), "metrics"), (("recipes",), "recipes"), (("add", "dns"), "recipes")]
)
def test_without_the_package_of_a_command_it_names_it(alone, words, part):
    result = alone("viscum", *words, check=False)
    said = (MISSING + HERE).replace("viscum-doctor", "viscum-" + part)
    assert (result.returncode, result.stdout, result.stderr) == (1, "", "viscum: " + said + "\n")


def test_a_doctor_of_another_version_is_as_if_it_were_not_there(alone, later_ipks):
    alone.unpack(later_ipks["viscum-doctor"])
    result = alone("viscum", "doctor", check=False)
    assert (result.returncode, result.stderr) == (1, "viscum: " + MISSING + HERE + "\n")


@pytest.mark.parametrize("size", [0, 3, 40, -1], ids=("empty", "in its first line", "in its list", "by a byte"))
def test_a_doctor_that_was_cut_is_as_if_it_were_not_there(alone, ipks, size):
    """What a power failure or a full flash leaves."""
    alone.unpack(ipks["viscum-doctor"])
    file = alone.upper / DOCTOR
    file.write_bytes(file.read_bytes()[:size])
    result = alone("viscum", "doctor", check=False)
    assert (result.returncode, result.stderr) == (1, "viscum: " + MISSING + HERE + "\n")


@pytest.mark.parametrize("change", ["none", "another version", "cut"])
def test_a_package_for_both_is_there_for_cpython_too_when_it_is_whole_and_of_this_version(
    tmp_path, ipks, later_ipks, change
):
    machine = Machine(tmp_path / "machine", ipks["viscum-cpython"])
    said = (MISSING + HERE).replace("viscum-doctor", "viscum-etsi")
    export = ("viscum", "-c", machine.folder / "etc/config", "export")
    missing = (1, "viscum: " + said + "\n")
    result = machine(*export, check=False)
    assert (result.returncode, result.stderr) == missing
    machine.unpack((later_ipks if change == "another version" else ipks)["viscum-etsi"])
    if change == "cut":
        file = machine.upper / "lib/viscum/viscum-etsi.sources"
        file.write_bytes(file.read_bytes()[:-1])
    result = machine(*export, check=False)
    if change == "none":
        assert result.returncode == 0 and json.loads(result.stdout)["traffic_rules"], result.stderr
    else:
        assert (result.returncode, result.stderr) == missing


def test_an_agent_has_a_doctor_as_soon_as_and_as_long_as_the_package_is_there(alone, ipks):
    """The same process: who reads that a package is missing and installs it need not restart anything."""
    socket, file = str(alone.folder / "ubus.sock"), alone.upper / DOCTOR
    with background(sys.executable, ROOT / "tests/ubus_peer.py", "broker", socket), agent(alone, socket):
        for method, words in (("doctor", {}), ("explain", {"packet": FAULTS[0][1]})):
            assert refused_call(socket, method, words) == (codes.NOT_SUPPORTED, MISSING + HERE)
        alone.unpack(ipks["viscum-doctor"])
        assert called(socket, "explain", {"packet": FAULTS[0][1]})["taken"] is False
        file.unlink()
        assert refused_call(socket, "doctor", {}) == (codes.NOT_SUPPORTED, MISSING + HERE)
        alone.unpack(ipks["viscum-doctor"])
        assert called(socket, "doctor", {})["findings"]


SPEED = """
config service 'speed'
\toption enabled 1
\toption command '/bin/sleep 1000'
\tlist device lan0
\tlist %s
\tlist dest_port 5201
"""
OTHER = (SPEED % "dest_ip 203.0.113.9").replace("speed", "other")
NO_NAMES = "viscum.speed.dest_host: " + (MISSING + HERE).replace("viscum-doctor", "viscum-names")


def test_without_the_names_package_a_service_with_a_name_is_refused_and_others_are_not(alone, ipks, tmp_path):
    (tmp_path / "viscum").write_text(SPEED % "dest_host speed.example.com" + OTHER)
    viscum = ("unshare", "--net", "sh", "-c", LAN + 'exec viscum "$@"', "sh", "-c", tmp_path)
    result = alone(*viscum, "check", check=False)
    assert (result.returncode, result.stdout, result.stderr) == (3, NO_NAMES + "\n", "")
    commands = alone(*viscum, "plan", check=False).stdout
    assert "vsc-other" in commands and "vsc-speed" not in commands
    alone.unpack(ipks["viscum-names"])
    result = alone(*viscum, "check", check=False)
    assert result.stdout.startswith("viscum.speed.dest_host: has no address now: speed.example.com ("), result


def test_a_group_of_hosts_needs_the_names_package_and_a_group_of_others_does_not(alone, ipks, tmp_path):
    group = "config group 'cameras'\n\tlist %s '%s'\n"
    config = SPEED % "dest_ip 203.0.113.10" + "\tlist client 'cameras'\n" + group
    check = ("unshare", "--net", "sh", "-c", LAN + "exec viscum -c $0 check", tmp_path)
    (tmp_path / "viscum").write_text(config % ("mac", "02:00:5e:00:53:10"))
    assert alone(*check).stdout == ""
    (tmp_path / "viscum").write_text(config % ("name", "camera"))
    assert alone(*check, check=False).stdout == NO_NAMES.replace("dest_host", "client") + "\n"
    alone.unpack(ipks["viscum-names"])
    assert "camera (has no lease); the cloud answers" in alone(*check, check=False).stdout


def test_an_agent_asks_for_names_as_soon_as_the_package_is_there(alone, ipks):
    """The same process, at its next look; the package's script calls for one by a reload (test_install.py)."""
    socket = str(alone.folder / "ubus.sock")
    with (
        background(sys.executable, ROOT / "tests/ubus_peer.py", "broker", socket),
        agent(alone, socket, SPEED % "dest_host speed.example.com"),
    ):
        assert called(socket, "plan", {})["problems"] == [NO_NAMES]
        alone.unpack(ipks["viscum-names"])
        wait_for(lambda: "has no address now: speed.example.com (" in str(called(socket, "plan", {})["problems"]))


@contextlib.contextmanager
def background(*words):
    process = subprocess.Popen([str(word) for word in words], stderr=subprocess.PIPE, text=True)
    try:
        yield
    finally:
        process.terminate()
        assert "Traceback" not in process.communicate(timeout=HANG)[1]


@contextlib.contextmanager
def agent(machine, socket, config=""):
    """Of the unpacked package, with a network and a /run of its own."""
    (machine.folder / "etc/config/viscum").write_text(config)
    script = LAN + 'mount --bind "$0" /run && exec "$@"'
    words = [MICROPYTHON_FILE, "-X", "heapsize=16M", machine.upper / "lib/viscum/viscumd.py"]
    words += ["-c", machine.folder / "etc/config", "-s", socket]
    with background("unshare", "--mount", "--net", "sh", "-c", script, machine.run_dir, *words):
        wait_for(lambda: is_there(socket))
        yield


def is_there(socket):
    try:
        return called(socket, "list", {})
    except codes.UbusError:
        return None


def called(socket, method, words):
    with Caller(socket) as caller:
        return caller.call("viscum", method, words)


def refused_call(socket, method, words):
    with pytest.raises(codes.UbusStatus) as refusal:
        called(socket, method, words)
    return refusal.value.code, refusal.value.message


def test_a_command_reads_configuration_and_the_kernel(machine):
    config = machine.folder / "empty"
    config.mkdir()
    (config / "viscum").write_text("config service 'web'\n\toption enabled 1\n\toption command /bin/true\n")
    result = machine("viscum", "-c", config, "--json", "check", check=False)
    assert result.returncode == 1
    assert "web" in json.dumps(json.loads(result.stdout))


def test_a_package_says_that_it_serves_no_ubus(machine):
    config = machine.folder / "empty"
    config.mkdir()
    (config / "viscum").write_text("")
    result = machine("viscumd", "-c", config, "-s", machine.folder / "ubus.sock", "-b", check=False)
    assert (result.returncode, result.stderr.count("no package has a ubus of its own")) == (1, 1)


def test_byte_code_is_kept_in_memory_and_used_again(cpython):
    cpython("viscum", "--version")
    kept = {path.name: path.stat().st_ino for path in cpython.cache.iterdir()}
    assert "viscum_agent.cli.verbs" in kept and cpython.cache.stat().st_mode & 0o7777 == 0o700
    result = cpython("strace", "-f", "-e", "trace=openat,rename", "viscum", "--version")
    assert {path.name: path.stat().st_ino for path in cpython.cache.iterdir()} == kept
    assert "viscum.pycache/viscum_agent.cli.verbs" in result.stderr and "rename" not in result.stderr
    assert result.stderr.count('/sources.packed"') == 1, "the list of its files is read, and no source"


def test_an_agent_that_had_to_compile_begins_anew_without_what_that_left_in_memory(cpython):
    def starts():
        result = cpython("strace", "-f", "-e", "trace=execve", "viscumd", "--version")
        assert re.fullmatch(r"viscum [0-9.]+\n", result.stdout)
        return result.stderr.count('"-IS", "/usr/sbin/viscumd"')

    assert starts() == 1, "by the launcher's first line it is the kernel that starts Python; this is the second time"
    assert starts() == 0, "from byte code"


def test_byte_code_of_another_archive_is_not_used(cpython):
    cpython("viscum", "--version")
    cpython.change_source("viscum_agent/__init__.py", '__version__ = "9.9.9"\n')
    assert cpython("viscum", "--version").stdout == "viscum 9.9.9\n"
    assert cpython("viscum", "--version").stdout == "viscum 9.9.9\n"


@pytest.mark.parametrize("mode, owner", [(0o700, NOBODY), (0o777, 0), (0o755, NOBODY)])
def test_byte_code_that_somebody_else_may_have_written_is_not_executed(cpython, mode, owner):
    """Planted code with a valid stamp, in a folder that is not root's alone."""
    cpython("viscum", "--version")
    path = cpython.cache / "viscum_agent"
    data = path.read_bytes()
    code = (
        "import marshal,sys; sys.stdout.buffer.write(marshal.dumps(compile('__version__ = \"planted\"', 'x', 'exec')))"
    )
    planted = subprocess.run(["/usr/bin/python3", "-c", code], capture_output=True, check=True).stdout
    stamp = data[: data.index(b")") + 1]
    path.write_bytes(stamp + planted)
    assert cpython("viscum", "--version").stdout == "viscum planted\n", "the test's own plant must work"
    cpython.cache.chmod(mode)
    os.chown(cpython.cache, owner, owner)
    before = sorted(path.name for path in cpython.cache.iterdir())
    assert cpython("viscum", "--version").stdout != "viscum planted\n"
    assert sorted(path.name for path in cpython.cache.iterdir()) == before


def test_a_link_in_the_place_of_the_folder_is_not_followed(cpython):
    target = cpython.folder / "elsewhere"
    target.mkdir(mode=0o700)
    cpython.cache.symlink_to(target)
    cpython("viscum", "--version")
    assert list(target.iterdir()) == []


def test_others_than_root_can_ask_for_the_version_too(machine):
    # pytest's own folders are root's: the path to the package has to be open for others.
    for parent in [machine.folder, *machine.folder.parents][:4]:
        parent.chmod(0o755)
    assert machine("viscum", "--version", uid=NOBODY).stdout.startswith("viscum ")
    assert not machine.cache.exists()


@pytest.mark.parametrize("room", ["4k,nr_inodes=1", "8k"])
def test_it_starts_when_nothing_can_be_kept(cpython, room):
    script = "mount -t tmpfs -o size=%s none /run && viscum --version && ls /run/viscum.pycache 2>/dev/null" % room
    version, *kept = cpython("sh", "-c", script + "; true").stdout.splitlines()
    assert version.startswith("viscum ")
    assert not any(name.split(".")[-1].isdigit() for name in kept), "no half-written file stays"


def test_a_traceback_shows_the_line_of_the_repository(cpython):
    lines = (ROOT / "viscum_agent/address.py").read_text().splitlines()
    number, text = next((n, line) for n, line in enumerate(lines, 1) if line.startswith("def "))
    name = text.split()[1].split("(")[0]
    code = (
        "import sys; sys.path.insert(0, '/usr/lib/viscum'); from start import start; start();"
        "from viscum_agent import address; print(address.%s.__code__.co_filename, address.%s.__code__.co_firstlineno);"
        "import linecache; print(linecache.getline(address.__file__, %d, vars(address)), end='')" % (name, name, number)
    )
    where, line = cpython("/usr/bin/python3", "-IS", "-c", code).stdout.splitlines()
    assert where == "/usr/lib/viscum/sources.packed/viscum_agent/address.py %d" % number
    assert line.startswith("def %s(" % name)  # annotations are not shipped


def test_the_commands_import_nothing_that_opkg_did_not_bring(cpython):
    """With `site` left out, nothing of the machine's own packages is imported at a start."""
    code = (
        "import sys; sys.path.insert(0, '/usr/lib/viscum'); from start import start; start();"
        "import viscum_agent.cli.verbs;"
        "print([m for m in ('site', 'typing', 'asyncio', 'logging', 'pyroute2', 'argparse') if m in sys.modules])"
    )
    assert cpython("/usr/bin/python3", "-IS", "-c", code).stdout == "[]\n"


# The archive


@pytest.mark.parametrize("what", ["none", "empty", "half", "another file"])
def test_an_archive_that_is_missing_or_not_whole_is_told_in_one_line(cpython, what):
    data = cpython.archive.read_bytes()
    cpython.archive.unlink()
    if what != "none":
        wrong = {"empty": b"", "half": data[: len(data) // 2], "another file": os.urandom(len(data))}
        cpython.archive.write_bytes(wrong[what])
    result = cpython("viscum", "--version", check=False)
    says = "viscum: /usr/lib/viscum/sources.packed is missing or damaged: install the package again\n"
    assert (result.returncode, result.stdout, result.stderr) == (1, "", says)


def test_a_module_of_a_damaged_archive_is_not_run(cpython):
    """Zeros are what a file system may leave of the last blocks when the power fails."""
    data = cpython.archive.read_bytes()
    cpython.archive.write_bytes(data[: len(data) // 2] + bytes(len(data) - len(data) // 2))
    result = cpython("viscum", "check", check=False)
    assert result.returncode == 1
    assert re.fullmatch(
        r"ImportError: /usr/lib/viscum/sources.packed: .+: install the package again", result.stderr.splitlines()[-1]
    )


# /usr is read-only here: what replaces an archive needs a folder of its own. Then a process for each word.
REPLACEABLE = """
cp -a /usr/lib/viscum /run/own && mount --bind /run/own /usr/lib/viscum || exit
for code; do /usr/bin/python3 -IS -c "$code"; done
"""
# A process that has begun with an archive, of which something becomes.
LATER = """
import os, sys
sys.path.insert(0, "/usr/lib/viscum")
from start import ARCHIVE, start
start()
import viscum_agent
%s
try:
    import viscum_agent.utf8
    print("imported", viscum_agent.utf8.__file__)
except ImportError as error:
    print(error)
"""
IMPORTED = "imported /usr/lib/viscum/sources.packed/viscum_agent/utf8.py\n"


@pytest.mark.parametrize(
    "change, says",
    [
        ("pass", IMPORTED),
        ("os.unlink(ARCHIVE)", "/usr/lib/viscum/sources.packed: .*No such file.*: install the package again\n"),
        ("os.rename(ARCHIVE + '.new', ARCHIVE)", "/usr/lib/viscum/sources.packed was replaced: restart viscum\n"),
    ],
)
def test_a_process_reads_nothing_of_an_archive_that_replaced_its_own(cpython, change, says):
    """Its list would name other places in it."""
    old = cpython.archive.read_bytes()
    cpython.change_source("viscum_agent/__init__.py", "__version__ = 'a later one'\n")
    cpython.archive.rename("%s.new" % cpython.archive)
    cpython.archive.write_bytes(old)
    assert re.fullmatch(says, cpython("sh", "-c", REPLACEABLE, "sh", LATER % change).stdout)


def test_what_was_kept_is_imported_even_when_the_archive_has_gone(cpython):
    words = LATER % "pass", LATER % "os.unlink(ARCHIVE)"
    assert cpython("sh", "-c", REPLACEABLE, "sh", *words).stdout == 2 * IMPORTED
