"""The program of a service: started in its namespace without an extra process, found again by it, and stopped.

The namespace is the record of what belongs to a service: every process in it is the service's, whoever started it and
however often it forked. So nothing is written down, and a program outlives the agent that started it.
"""

import os

from . import compat, sockets
from .address import is_number
from .errors import ConfigError, ViscumError
from .kernel import netns
from .objects import name_hash, ns_name

# What a program finds in its environment, beside its own `env`.
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
TAG = "VISCUM_PROGRAM"
SERVICE = "VISCUM_SERVICE"

LOG_SOCKET = "/dev/log"
CANNOT_EXECUTE = 127  # the exit code that a shell gives, too
TERM_TIMEOUT = 5  # seconds, for a service that is in no configuration any more
POLL = 0.02  # seconds between looks at a starting program


class ProgramError(ViscumError):
    """The program cannot answer: whose fault it is, the user's configuration or the program's, its output tells."""

    kind = "config"


def processes():
    """Maps the identity of a network namespace (netns.identity) to the pids that belong there, sorted.

    What has the mounts of this process is only a visitor: an agent or a `viscum` that reads something there. Programs
    have mounts of their own (enter).
    """
    own = os.stat("/proc/self/ns/mnt")[1]
    found = {}
    for name in os.listdir("/proc"):
        if not is_number(name):
            continue
        try:
            identity = _network(name)
            if os.stat("/proc/%s/ns/mnt" % name)[1] == own:
                continue
        except OSError:
            continue  # gone meanwhile, or a kernel thread
        found.setdefault(identity, []).append(int(name))
    return {key: sorted(found[key]) for key in found}


def pids(name, table=None):
    """The pids of a service, those that are dead but not yet waited for left out.

    `table` is of a moment ago. Since then a namespace may have gone, with its inode given to this one, and who visited
    it may live on somewhere else: so each pid is looked at again.
    """
    try:
        identity = netns.identity(ns_name(name))
    except OSError:
        return []
    return [pid for pid in (processes() if table is None else table).get(identity, []) if _is_in(pid, identity)]


def _is_in(pid, identity):
    """Whether a process runs in a namespace. A zombie is in none any more."""
    try:
        return _network(pid) == identity
    except OSError:
        return False


def namespace_exists(name):
    try:
        netns.identity(ns_name(name))
    except OSError:
        return False
    return True


def alive(pid):
    """Whether a process runs: a zombie doesn't."""
    return _stat(pid)[0] not in ("", "Z", "X")


def main_pid(found):
    """The process that the others come from: the oldest leader of a session, else the oldest."""
    leaders = [pid for pid in found if _stat(pid)[1] == str(pid)]
    return min(leaders or found, key=_began) if found else 0


def _stat(pid):
    """(state, session, start time in clock ticks) from /proc/PID/stat (proc(5)), empty when it is gone."""
    try:
        with open("/proc/%d/stat" % pid) as file:
            text = file.read()
    except (OSError, UnicodeError):
        return "", "", "0"
    fields = text[text.rfind(")") + 2 :].split()  # the name before may hold anything, brackets as well
    return fields[0], fields[3], fields[19]


def _began(pid):
    return int(_stat(pid)[2])


def age(pid):
    """Seconds since a process began: /proc counts them in 1/100 s (USER_HZ, the same on all architectures)."""
    with open("/proc/uptime") as file:
        now = float(file.read().split()[0])
    return max(0, now - _began(pid) / 100)


def tag(program):
    """What says whether a running program is the configured one."""
    words = "\0".join(list(program.command) + list(program.env) + [program.user, program.group or "", program.workdir])
    return "%08x" % name_hash(words)


def is_stale(program, pid):
    """Whether the process was started from other settings. One that wrote over its environment counts as current."""
    return _variable(pid, TAG) not in ("", tag(program))


def is_visitor(pid):
    """Whether a process in a service's namespace is not of its program, but of a check or of `viscum exec`: these know
    the service, and have no tag."""
    return bool(_variable(pid, SERVICE)) and not _variable(pid, TAG)


def is_astray(name, pid):
    """Whether a program is not in the service's namespace, because somebody took that away. One that has just been
    forked is still in ours."""
    try:
        where = _network(pid)
    except OSError:
        return False  # gone
    try:
        return where not in (_network("self"), netns.identity(ns_name(name)))
    except OSError:
        return where != _network("self")


def _network(pid):
    """The identity (netns.identity) of the network namespace that a process is in."""
    status = os.stat("/proc/%s/ns/net" % pid)
    return status[2], status[1]


def _variable(pid, name):
    """A variable that a process was started with, "" without it."""
    try:
        with open("/proc/%d/environ" % pid, "rb") as file:
            variables = file.read().split(b"\0")
    except OSError:
        return ""
    for variable in variables:
        if variable.startswith(name.encode() + b"="):
            return variable[len(name) + 1 :].decode()
    return ""


# Starting


def start(service):
    """Starts the program of a model.Service in its namespace, and waits until it listens. Returns its pid.

    Raises ConfigError for what the configuration names and the router has not, ProgramError when the program ends or
    does not listen.
    """
    pid = spawn(service)
    _await(service, pid)
    return pid


def spawn(service, command=()):
    """Starts the program of a service, or another command like it (a check), and returns its pid at once."""
    program = service.program
    uid, gid = account(program.user, program.group)
    _check_files(program, command or program.command)
    environment = {"PATH": PATH, "HOME": "/", SERVICE: service.name, TAG: tag(program)}
    for variable in program.env:
        name, _, value = variable.partition("=")
        environment[name] = value
    if command:
        del environment[TAG]  # it is not the program
    pid = compat.fork()
    if pid == 0:
        _become(service, command or program.command, uid, gid, environment)
    return pid


def _become(service, command, uid, gid, environment):
    """In the child: never returns."""
    try:
        compat.setsid()
        compat.umask(0o022)
        _redirect_output()
        _close_others()
        enter(service.name)
        compat.chdir(service.program.workdir)
        compat.drop_privileges(uid, gid)
        compat.no_new_privs()
        compat.default_signals()
        compat.unblock_signals()
        compat.execve(command[0], list(command), environment)
    except BaseException as error:  # noqa: B036 (nothing may get out of the child)
        compat.print_error(error)
    finally:
        compat.exit_now(CANNOT_EXECUTE)


def enter(name):
    """Moves this process into a service's network namespace, and into mounts of its own whose /sys shows it."""
    fd = compat.fd_open(netns.path(ns_name(name)), netns.O_RDONLY)
    compat.setns(fd)
    compat.fd_close(fd)
    compat.unshare(compat.CLONE_NEWNS)
    compat.mount("none", "/", "none", compat.MS_SLAVE | compat.MS_REC)
    try:
        compat.umount("/sys")
        compat.mount("sysfs", "/sys", "sysfs", 0)
    except OSError:
        pass  # without /sys, as in a container: nothing there to show the wrong network


def _close_others():
    """The agent's own descriptors close on exec; what it was started with itself is nothing for a program either."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            try:
                compat.fd_close(int(name))
            except OSError:
                pass  # it was that of the list


def _redirect_output():
    """stdin from nowhere, stdout and stderr to the system log: a write is a message, no process reads a pipe."""
    null = compat.fd_open("/dev/null", 2)  # O_RDWR
    try:
        out = compat.unix_datagram(LOG_SOCKET)
    except OSError:
        out = null  # no system log on this machine
    compat.dup2(null, 0)
    compat.dup2(out, 1)
    compat.dup2(out, 2)


def _check_files(program, command):
    path = command[0]
    try:
        mode = os.stat(path)[0]
    except OSError:
        raise ConfigError("command: there is no program %s: install it or correct the path" % path)
    if mode & 0o170000 != 0o100000 or not mode & 0o111:
        raise ConfigError("command: %s is not an executable file" % path)
    try:
        os.stat(program.workdir)
    except OSError:
        raise ConfigError("workdir: there is no directory %s" % program.workdir)


def account(user, group):
    """(uid, gid) of names in /etc/passwd and /etc/group, or of numbers. Raises ConfigError."""
    if is_number(user):
        uid, gid = int(user), int(user)
    else:
        fields = _entry("/etc/passwd", user)
        if fields is None:
            raise ConfigError("user: there is no account '%s' in /etc/passwd" % user)
        uid, gid = int(fields[2]), int(fields[3])
    if not group:
        return uid, gid
    if is_number(group):
        return uid, int(group)
    fields = _entry("/etc/group", group)
    if fields is None:
        raise ConfigError("group: there is no group '%s' in /etc/group" % group)
    return uid, int(fields[2])


def _entry(path, name):
    try:
        with open(path) as file:
            for line in file:
                fields = line.strip().split(":")
                if fields[0] == name and len(fields) > 2:
                    return fields
    except OSError as error:
        if error.errno != compat.ENOENT:
            raise  # it can't be read now, which says nothing of what is in it
    return None


def _await(service, pid):
    """Returns when the program listens where its matches lead, or anywhere when they name no port. Raises ProgramError
    when it ends or takes too long."""
    wanted = listening_ports(service)
    give_up = compat.monotonic() + service.program.start_timeout
    while True:
        ended, status = compat.waitpid(pid, compat.WNOHANG)
        if ended:
            raise ProgramError("the program ended at once (%s): %s" % (ending(status), _hint(service)))
        open_ones = sockets.waiting(pid)
        if any(one in open_ones for one in wanted) or (open_ones and not wanted):
            return
        if compat.monotonic() > give_up and not wanted:
            return  # one that opens no socket at all may answer what is no TCP or UDP
        if compat.monotonic() > give_up:
            ports = ", ".join(["%s %d" % one for one in wanted])
            text = "the program does not listen on %s after %d s (option start_timeout, or another target_port?)"
            raise ProgramError(text % (ports, service.program.start_timeout))
        compat.sleep(POLL)


def reap(pid):
    """How a child that ended did, in words; it is no zombie after this. "" for one that was somebody else's child."""
    try:
        return ending(compat.waitpid(pid, compat.WNOHANG)[1])
    except OSError:
        return "an unknown result"


def ending(status):
    """A wait status in words (wait(2))."""
    if status & 0x7F:
        return "signal %d" % (status & 0x7F)
    return "exit code %d" % (status >> 8 & 0xFF)


def _hint(service):
    return "its output is in the system log; `viscum exec %s -- %s` shows it" % (
        service.name,
        " ".join(service.program.command),
    )


def listening_ports(service):
    """(protocol, port) pairs of which one is enough; none when the matches name no single port.

    TCP goes before UDP: many servers (iperf3) open their UDP port only for a client that has come over TCP.
    """
    found = {}
    for match in service.matches:
        single = match.dport and match.dport[0] == match.dport[1]
        port = match.to_port or (match.dport[0] if single else 0)
        if port and match.proto:
            found.setdefault(match.proto, set()).add((match.proto, port))
    return sorted(found.get("tcp") or found.get("udp") or [])


# Stopping


def stop(name, term_timeout):
    """Ends every process in a service's namespace: SIGTERM, and SIGKILL for what is left after the time (seconds)."""
    left = signal_all(name, compat.SIGTERM)
    give_up = compat.monotonic() + term_timeout
    while left and compat.monotonic() < give_up:
        _wait(left[0], give_up)
        left = pids(name)
    while left:
        left = signal_all(name, compat.SIGKILL)
        if left:
            _wait(left[0], compat.monotonic() + 1)
            left = pids(name)


def signal_all(name, signal, table=None):
    """Sends a signal to every process in a service's namespace; returns their pids."""
    return send(pids(name, table), signal)


def send(found, signal):
    """Sends a signal to processes; returns their pids."""
    for pid in found:
        try:
            compat.kill(pid, signal)
        except OSError:
            pass  # gone meanwhile
    return found


def _wait(pid, until):
    """Waits until a process ends or the time has come (compat.monotonic)."""
    try:
        fd = compat.pidfd_open(pid)
    except OSError:
        return
    try:
        compat.poll_fd(fd, max(0, int((until - compat.monotonic()) * 1000)))
    finally:
        compat.fd_close(fd)


def execute(name, command):
    """Replaces this process by a command in a service's namespace; returns only by an error (ViscumError)."""
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


def find_program(name):
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


class Programs:
    """The programs as `apply` needs them: `timeouts` maps services to their term_timeout (seconds)."""

    def __init__(self, timeouts):
        self._timeouts = timeouts
        self._table = processes()

    def stale(self, service):
        """Whether a program runs that was started from another configuration."""
        found = pids(service.name, self._table)
        return bool(found) and is_stale(service.program, main_pid(found))

    def start(self, service):
        """Starts the program unless it runs."""
        if not pids(service.name, self._table):
            start(service)

    def stop(self, name):
        stop(name, self._timeouts.get(name, TERM_TIMEOUT))
        self._table = processes()
