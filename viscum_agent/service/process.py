"""The program of a service: started in its namespace without an extra process, and stopped. running.py finds it."""

import os

from .. import compat, optional
from ..address import is_number
from ..config import trust
from ..config.schema import ALL, NO_ID, PROGRAM, default
from ..errors import UNSUPPORTED, ConfigError, Problem, UnsupportedError, ViscumError
from ..kernel import cgroup, netns
from ..log import Stderr, last_words
from ..records.objects import name_hash, ns_name
from ..shell import printable, shown
from . import box, output, seccomp, view
from .running import SERVICE, TAG, pids, programs, started_with, usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

    from ..config.service import Configuration, Program, Service
    from ..kernel.cgroup import Usage

# What a program finds in its environment, besides its own `env` and the two of running.py.
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"

ENTERS = (ALL, "dac_override", "dac_read_search")  # capabilities of who may enter every folder
CANNOT_EXECUTE = 127  # the exit code that a shell uses, too
TERM_TIMEOUT = 5  # seconds, for a service that is no longer configured
FIRST = ("command", "env", "user", "group", "workdir")  # the options that every version had
LATER = [option for option in PROGRAM if option.name not in FIRST]
KEPT = "the check has ended, but a process that traces it holds it: kill that process"
AT_ONCE = 100  # milliseconds within which a killed process is dead, unless the kernel holds it


def tag(program: "Program") -> str:
    """A hash that tells whether a running program is the configured one: all that it is started with."""
    words = list(program.command) + list(program.env) + [program.account, program.group or "", program.workdir]
    # A later option counts only where it is not its default: otherwise a new version of Viscum would take every program
    # for another one, and restart it.
    for option in LATER:
        value = getattr(program, option.name)
        value = list(value) if option.many else value
        if value != default(option):
            words.append("%s=%s" % (option.name, value if isinstance(value, str) else compat.spelled(value)))
    return "%08x" % name_hash("\0".join(words))


def is_stale(service: "Service", pid: int) -> bool:
    """Whether the program runs with other settings. Without control groups only its environment tells, which it may
    have overwritten: then it counts as current."""
    wanted = tag(service.program)
    known = cgroup.tags(service.name)
    if known:
        return known != [wanted]
    return started_with(pid, TAG) not in (b"", wanted.encode())


def adopt(service: "Service", pid: int) -> None:
    """Puts the processes of a program that was started without control groups into a group."""
    if cgroup.tags(service.name):
        return
    known = started_with(pid, TAG)
    wanted = tag(service.program)
    path = cgroup.make(service.name, wanted if known in (b"", wanted.encode()) else "other")
    for each in programs(service.name) if path else []:
        try:
            cgroup.join(path, each)
        except OSError:
            pass  # gone meanwhile


# Starting


def spawn(service: "Service", command: "Sequence[str]" = ()) -> int:
    """Starts the program of a service, or another command like it (a check), and returns its pid at once. Raises
    ConfigError for what the configuration names and the router lacks, and ViscumError while a check is held (KEPT)."""
    program = service.program
    for option, text in lacks(service):
        raise ConfigError("%s: %s" % (option, text))
    _look_at_kept()
    if command and service.name in _kept.values():
        raise ViscumError(KEPT)
    uid, gid, groups = account(program.account, program.group)
    if program.bundle:
        groups = list(program.bundle.groups)
    environment = {"PATH": PATH, "HOME": "/", SERVICE: service.name, TAG: tag(program)}
    for variable in program.env:
        name, _, value = variable.partition("=")
        environment[name] = value
    if command:
        del environment[TAG]  # it is not the program
    words = command or program.command
    path = _whole_path(program, words[0])
    group = cgroup.make(service.name, cgroup.CHECK if command else tag(program))
    # A check has the program's own view, and so its files. Any process of it will do that has it.
    inside = (cgroup.pids(service.name) or programs(service.name)) if command else []
    pid = -1
    try:
        box.hold(program, group)
        view.share_mounts()
        seccomp.prepare(program)
        pid = compat.fork()
    finally:
        if pid < 0:
            cgroup.remove(service.name)
    if pid == 0:
        _become(service, words, (uid, gid, groups), environment, (group, inside, path))
    return pid


def _become(
    service: "Service",
    command: "Sequence[str]",
    ids: "tuple[int, int, list[int]]",
    environment: "dict[str, str]",
    company: "tuple[str, list[int], str]",
) -> "NoReturn":
    """In the child: never returns. `company`: its control group, processes of which it shares a view, and where the
    command is."""
    stderr = None
    try:
        group, inside, path = company
        if group:
            cgroup.join(group)
        compat.setsid()
        _close_others()
        stderr = Stderr()  # a root of its own has no /proc until the end
        enter_network(service.name)
        box.place(service.program)
        null = compat.fd_open("/dev/null", 2)  # O_RDWR: the router's, whatever a view has in that place
        if inside:
            view.join(inside)
        else:
            view.make(service)
        _redirect_output(null)
        stderr = None
        box.confine(service.program, ids)
        compat.default_signals()
        compat.unblock_signals()
        compat.execve(path, list(command), environment)
    except OSError as error:
        # For one, somebody has just taken its namespace's name away.
        why = " (its account has more processes than nproc)" if error.errno == compat.EAGAIN else ""
        last_words("%s: its program can't be started: %s%s" % (service.name, compat.strerror(error.errno), why), stderr)
    except ConfigError as error:
        last_words("%s: its program can't be started: %s" % (service.name, error), stderr)
    except BaseException as error:  # noqa: B036 (no exception may leave the child)
        compat.print_error(error)
    finally:
        compat.exit_now(CANNOT_EXECUTE)


def enter(name: str) -> None:
    """Moves this process into a service's network namespace, with mounts of its own: /sys shows that network, and the
    files that ip-netns(8) knows for it replace those of /etc."""
    enter_network(name)
    view.whole()
    view.of_namespace(name)


def enter_network(name: str) -> None:
    """Moves this process into a service's network namespace."""
    fd = compat.fd_open(netns.path(ns_name(name)), netns.O_RDONLY)
    compat.setns(fd)
    compat.fd_close(fd)


def _close_others() -> None:
    """The agent's own descriptors close on exec; those that it inherited are not for a program either."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            try:
                compat.fd_close(int(name))
            except OSError:
                pass  # the one that read the list


def _redirect_output(null: int) -> None:
    """stdin from /dev/null, stdout and stderr to whoever listens in the namespace (output.py)."""
    try:
        out = output.open_for_program()
    except OSError:
        out = null
    compat.dup2(null, 0)
    compat.dup2(out, 1)
    compat.dup2(out, 2)


# What a service names, and whether this router has it


def problems(configuration: "Configuration", package: str) -> "list[Problem]":
    """A Problem for each thing that an enabled service names and this router lacks."""
    if not configuration.settings.enabled:
        return []
    found = []
    for service in configuration.services:
        for option, text in lacks(service) + _lacks_package(service) if service.enabled else ():
            where = "%s.%s.%s" % (package, service.name, option)
            found.append(Problem(UNSUPPORTED, service.name, where, text))
    return found


def _lacks_package(service: "Service") -> "list[tuple[str, str]]":
    """Without it the program starts all the same."""
    try:
        if service.compare:
            optional.load("worth")
    except UnsupportedError as error:
        return [("compare", str(error))]
    return []


def lacks(service: "Service") -> "list[tuple[str, str]]":
    """(option, sentence) for each thing that keeps a service's program from starting here."""
    program = service.program
    uid = 0
    found = []
    try:
        uid = account(program.account, program.group)[0]
        if program.user is None:
            _require_own(uid)
    except ConfigError as error:
        option, _, text = str(error).partition(": ")
        found.append((option, text))
    found += box.lacks(program) + view.lacks(program)
    if any([each in program.capability for each in ENTERS]):
        uid = 0
    if view.is_image(program):
        return found  # what is in there shows when it is mounted
    for option, command in (("command", program.command), ("health_command", service.health.command)):
        text = _why_not_run(program, _whole_path(program, command[0]), uid) if command else ""
        if text:
            found.append((option, printable(text)))
    text = _why_not_enter(program, program.workdir.rstrip("/"), uid, "it is to work")
    if _mode(view.place_of(program, program.workdir)) & compat.S_IFMT != compat.S_IFDIR:
        text = "there is no directory %s: make it or name another one" % program.workdir
    if text:
        found.append(("workdir", printable(text)))
    return found


def _mode(path: str) -> int:
    """The mode of a file, 0 where there is none."""
    try:
        return os.stat(path)[0]
    except OSError:
        return 0


def _whole_path(program: "Program", name: str) -> str:
    """Where a program is that a bundle may name without its folder, as execvp(3) finds it."""
    if name.startswith("/"):
        return name
    path = PATH
    for variable in program.env:
        path = variable[5:] if variable.startswith("PATH=") else path
    for folder in [program.workdir] if "/" in name else path.split(":"):
        whole = "%s/%s" % (folder.rstrip("/"), name)
        if _mode(view.place_of(program, whole)) & 0o111:
            return whole
    return name


def _why_not_run(program: "Program", path: str, uid: int) -> str:
    """Why a program's account can't run what is at a path of its, "" when it can."""
    user, place = program.account, view.place_of(program, path)
    mode = _mode(place)
    if not mode:
        words = " (in a list each word of a command is an entry of its own)" if " " in path else ""
        return "there is no program %s: install it or correct the path%s" % (path, words)
    if mode & compat.S_IFMT != compat.S_IFREG or not mode & 0o111:
        return "%s is not an executable file: chmod +x it, or name another one" % path
    if not _may_execute(place, uid):
        return "account '%s' may not run %s (mode %o): chmod o+x it, or name another user" % (user, path, mode & 0o7777)
    text = _why_not_enter(program, path[: path.rfind("/")], uid, path + " is")
    if text:
        return text
    interpreter = _interpreter(view.place_of(program, path))
    if interpreter and not _mode(view.place_of(program, interpreter)):
        return "%s is a script for %s, which is not there: install that" % (path, shown(interpreter))
    return ""


def _why_not_enter(program: "Program", folder: str, uid: int, what: str) -> str:
    """Why a program's account can't enter a folder, "" when it can."""
    while folder:
        place = view.place_of(program, folder)
        if not _may_execute(place, uid):
            text = "account '%s' may not enter %s (mode %o), where %s: move it, or name another user"
            return text % (program.account, folder, _mode(place) & 0o7777, what)
        folder = folder[: folder.rfind("/")]
    return ""


def _may_execute(path: str, uid: int) -> bool:
    """Whether an account may run a file or enter a directory (path_resolution(7)). Its groups are not looked up: in
    doubt it may."""
    try:
        status = os.stat(path)
    except OSError:
        return True  # gone meanwhile
    return uid == 0 or bool(status[0] & (0o100 if status[4] == uid else 0o011))


def _interpreter(path: str) -> str:
    """The interpreter that a script names after #!, "" for anything else; the kernel reads 256 bytes
    (BINPRM_BUF_SIZE)."""
    try:
        line = trust.read(path, 256).split(b"\n")[0]
        if not line.startswith(b"#!"):
            return ""
        name = str(line[2:].strip(b" \t").replace(b"\t", b" ").split(b" ")[0], "utf-8")
    except (OSError, ConfigError, UnicodeError):
        return ""  # only root may read it, or it is no text
    return name if name.startswith("/") else ""


PASSWD, GROUP = "/etc/passwd", "/etc/group"
LARGEST = 256 * 1024  # bytes of each: a router has 1 KB


def account(user: str, group: "str | None") -> "tuple[int, int, list[int]]":
    """(uid, gid, all gids) of names in /etc/passwd and /etc/group, or of numbers. Raises ConfigError."""
    if is_number(user):
        uid = gid = _number("user", user.encode(), user)
    else:
        fields = _entry("user", PASSWD, user)
        uid, gid = _number("user", fields[2], user), _number("user", fields[3], user)
    if group:
        gid = _group(group)
    return uid, gid, [gid] + [each for each in _groups_of(user) if each != gid]


def _require_own(uid: int) -> None:
    """Raises ConfigError if the account of a service's own is somebody's in /etc/passwd."""
    try:
        rows = [line.split(b":") for line in trust.read(PASSWD, LARGEST).split(b"\n")]
    except (OSError, ConfigError):
        return  # there is none, or it is not for us
    if b"%d" % uid in [row[2] for row in rows if len(row) > 2]:
        raise ConfigError("user: the account of its own, %d, is somebody's in %s: name another one" % (uid, PASSWD))


def _group(group: str) -> int:
    if is_number(group):
        return _number("group", group.encode(), group)
    return _number("group", _entry("group", GROUP, group)[2], group)


def _number(option: str, text: bytes, name: str) -> int:
    """A uid or gid from bytes. The kernel has 32 bits for it, of which the last value means none."""
    if not _is_number(text):
        raise ConfigError("%s: '%s' has no number from 0 to %d" % (option, name, NO_ID - 1))
    return int(str(text, "ascii"))


def _is_number(text: bytes) -> bool:
    return bool(text) and len(text) <= 10 and all(48 <= byte <= 57 for byte in text) and int(str(text, "ascii")) < NO_ID


def _groups_of(user: str) -> "list[int]":
    """The groups that list an account as a member (group(5)), as initgroups(3) finds them."""
    try:
        rows = [line.strip().split(b":") for line in trust.read(GROUP, LARGEST).split(b"\n")]
    except (OSError, ConfigError):
        return []
    return [int(row[2]) for row in rows if len(row) > 3 and _is_number(row[2]) and user.encode() in row[3].split(b",")]


def _entry(option: str, path: str, name: str) -> "list[bytes]":
    """The fields of a line of /etc/passwd or /etc/group (bytes: comments in there may have any encoding)."""
    what, least = ("account", 4) if option == "user" else ("group", 3)
    try:
        data = b"\n" + trust.read(path, LARGEST) + b"\n"
    except OSError as error:
        if error.errno != compat.ENOENT:
            raise  # it can't be read now, which says nothing about its content
        data = b""
    except ConfigError as error:
        raise ConfigError("%s: %s" % (option, error))
    start = data.find(b"\n" + name.encode() + b":") + 1
    if not start:
        raise ConfigError("%s: there is no %s '%s' in %s" % (option, what, name, path))
    fields = data[start : data.find(b"\n", start)].strip().split(b":")
    if len(fields) < least:
        raise ConfigError("%s: the line of '%s' in %s is incomplete" % (option, name, path))
    return fields


# Ending


# Dead children that are not reaped yet, with their service. A tracer can hold one as long as it likes (ptrace(2)), and
# a program may trace the checks that run with its account: so the agent never waits for them.
_kept: "dict[int, str]" = {}


def result(pid: int, name: str) -> "int | None":
    """The wait status of a service's dead child, which this reaps. None if a tracer holds it (it is tried again with
    the next one), or if it was not our child."""
    _kept[pid] = name
    return _look_at_kept().get(pid)


def _look_at_kept() -> "dict[int, int | None]":
    found: dict[int, int | None] = {}
    for pid in list(_kept):
        try:
            ended, status = compat.waitpid(pid, compat.WNOHANG)
        except OSError:
            ended, status = pid, None  # not our child
        if ended:
            del _kept[pid]
            found[pid] = status
    return found


def reap(pid: int, name: str) -> str:
    """How a service's program ended, in words. This reaps it, except where `result` can't."""
    status = result(pid, name)
    return "an unknown result" if status is None else ending(status)


def ran_into(service: "Service", before: "Usage") -> str:
    """Which limit of its control group a service's program has met since its Usage was `before`: the end of a sentence,
    with the option; "" for none."""
    now = usage(service.name)
    if (now.oom_kills or 0) > (before.oom_kills or 0):
        return "; the kernel ended it for want of memory" + (" (memory_max)" if service.program.memory_max else "")
    count = (now.refused or 0) - (before.refused or 0)
    return "; it was refused %d processes or threads (pids_max)" % count if count > 0 else ""


# SIGSYS and SIGXFSZ (asm/signal.h).
_SYS, _XFSZ = (12, 31) if compat.is_mips(compat.MACHINE) else (31, 25)
_LIMITS = {_SYS: " (a system call: see `allow_syscalls` and `seccomp`)", _XFSZ: " (a large file: see `option fsize`)"}


def ending(status: int) -> str:
    """A wait status in words (wait(2))."""
    if status & 0x7F:
        return "signal %d" % (status & 0x7F) + _LIMITS.get(status & 0x7F, "")
    return "exit code %d" % (status >> 8 & 0xFF)


def signal_all(name: str, signal: int, table: "dict[tuple, list[int]] | None" = None) -> "list[int]":
    """Sends a signal to every process of a service; returns their pids. SIGKILL first goes to the whole control group
    at once: a program can fork faster than it is listed."""
    if signal == compat.SIGKILL:
        cgroup.kill(name)
    return send(pids(name, table), signal)


def send(found: "list[int]", signal: int) -> "list[int]":
    """Sends a signal to processes; returns their pids."""
    for pid in found:
        try:
            compat.kill(pid, signal)
        except OSError:
            pass  # gone meanwhile
    return found


def clear(name: str) -> None:
    """Removes what was made for a service's processes, after they have ended."""
    _look_at_kept()
    cgroup.remove(name)


def end_check(name: str, pid: int, pidfd: int) -> None:
    """Kills a check by command, with everything that it started; `pidfd` is -1 if there is none."""
    cgroup.kill(name, cgroup.CHECK)
    send([-pid, pid], compat.SIGKILL)  # its process group, or only itself while it has none yet
    if pidfd >= 0:
        compat.poll_fd(pidfd, AT_ONCE)
    result(pid, name)


def execute(name: str, command: "list[str]") -> "NoReturn":
    """Replaces this process by a command in a service's namespace; raises ViscumError if that fails."""
    try:
        enter(name)
    except OSError as error:
        raise ViscumError("can't enter the namespace of '%s': %s" % (name, compat.strerror(error.errno)))
    path = find_program(command[0])
    environment = {"PATH": PATH, SERVICE: name}
    for variable in ("TERM", "HOME", "LANG", "PATH"):
        value = compat.getenv(variable)
        if value:
            environment[variable] = value
    try:
        compat.execve(path, command, environment)
    except OSError as error:
        raise ConfigError("%s: %s" % (path, compat.strerror(error.errno)))


def find_program(name: str) -> str:
    """The path of a program, looked up in PATH unless it has one. Raises ConfigError."""
    if "/" in name:
        return name
    for folder in (compat.getenv("PATH") or PATH).split(":"):
        path = "%s/%s" % (folder, name)
        try:
            if os.stat(path)[0] & 0o111:
                return path
        except OSError:
            continue
    raise ConfigError("there is no program '%s' in PATH" % name)
