"""A configuration on trial: `viscum apply --confirm N` puts it in place, and unless `viscum confirm` follows within N
seconds, the one before comes back; also if the agent is killed, or the router loses its power, at any moment.

The models are rpcd's `uci apply` with its rollback, which LuCI uses, and the checkpoints of nmstate. Both keep what was
before, and the time, in a process or in memory: after a power cut the new configuration stays. Here both are files, and
each step is one rename that was synced, so there is no moment at which a start could find something half done.

What there is, beside the configuration, in its folder. That is on one file system with it, so a rename is one step; it
survives a reboot and, with /etc/config, an upgrade; and neither uci nor reload_config see a name with a dot.

    .viscum.old     the configuration before. While this file is there, there is a trial, and nothing else says so.
    .viscum.until   until when: the boot (random/boot_id) and a second of its monotonic clock, which no NTP moves
    .viscum.undone  what was put back last, with whatever somebody had changed in it meanwhile: nobody's work is lost
    .viscum.tmp     what is being written

`begin` writes until, old, and the configuration, in this order. Each is written to tmp and synced, renamed, and the
folder synced, before the next one begins. Killed before `old` has its name, nothing has happened. Killed after that,
the trial has begun, with either configuration in place; it ends as any other does. `confirm` removes `old`, and an undo
renames it over the configuration: each is one step, and only one of them can win.

Who holds the time: the resident agent, by a timer. It judges a trial before it reads its configuration, at its start
and at every reload, and `apply` makes it reload. A new agent finds the trial and its time; one after a reboot, where
the time means nothing, undoes it, and so does one that starts too late. Without an agent nobody undoes anything until
one starts, or `viscum up` or `down`; while there is a trial, the init script starts one even if no service is enabled.
A trial may take two seconds more than it says, and none less.

Two at once: who changes something holds flock(2) on the folder, for as long as it writes; the kernel frees it when they
are killed. A second `apply` is refused while there is a trial, as rpcd and nmstate do: whose configuration would come
back?

Others who change the file meanwhile (an editor, `uci commit`, LuCI) change what is on trial, and a reload takes it as
always. If nobody confirms, the configuration from before the trial comes back, not theirs: it is the one that is known
to let people in. LuCI's own apply is another trial inside of this one. If this one ends first, LuCI's undo brings back
what it had found, which was on trial here. So end one before the other.
"""

import os

from . import compat, replace
from .config import uci
from .errors import ConfigError, ForeignError, ViscumError
from .paths import ON_TRIAL

CONFIGURATION, UNTIL, UNDONE, HALF = "/viscum", "/.viscum.until", "/.viscum.undone", "/.viscum.tmp"
RETRY = 5  # seconds until an undo that failed is tried again
ON_TRIAL_FOR = "the configuration is on trial for %d s: `viscum confirm` keeps it, `viscum rollback` does not"


def begin(confdir: str, data: bytes, seconds: int) -> None:
    """Puts a configuration in place, on trial. Raises ConfigError, ForeignError, OSError; then nothing has changed."""
    folder = _take(confdir)
    try:
        if compat.exists(confdir + ON_TRIAL):
            raise ForeignError("a configuration is on trial already: `viscum confirm` or `viscum rollback` ends that")
        if _is_link(confdir + CONFIGURATION):
            raise ConfigError("%s%s is a link: name the folder that it leads to with -c" % (confdir, CONFIGURATION))
        old = uci.content(confdir + CONFIGURATION)
        _put(confdir, UNTIL, ("%s %d" % (_boot(), _now() + seconds + 1)).encode())
        _put(confdir, ON_TRIAL, old)
        try:
            _put(confdir, CONFIGURATION, data)
        except OSError:
            os.rename(confdir + ON_TRIAL, confdir + CONFIGURATION)
            raise
    finally:
        replace.clear(confdir + HALF)
        compat.fd_close(folder)


def end(confdir: str, undo: bool) -> None:
    """Keeps what is on trial, or puts back what was before. Raises ConfigError where nothing is on trial, ForeignError,
    and OSError."""
    folder = _take(confdir)
    try:
        if not compat.exists(confdir + ON_TRIAL):
            raise ConfigError("no configuration is on trial: it was confirmed, or its time was up")
        if undo:
            _keep_undone(confdir)
            os.rename(confdir + ON_TRIAL, confdir + CONFIGURATION)
        else:
            os.remove(confdir + ON_TRIAL)
        compat.fsync(folder)
    finally:
        replace.clear(confdir + HALF)
        compat.fd_close(folder)


def judge(confdir: str) -> "tuple[int, str]":
    """Undoes a trial whose time is up. Returns (seconds until it has to be judged again, 0 for never; what to say)."""
    left = _left(confdir)
    if left > 0:
        return left, ON_TRIAL_FOR % left
    try:
        end(confdir, True)
    except (OSError, ViscumError) as error:
        return RETRY, "the configuration on trial can't be taken back, next try in %d s: %s" % (RETRY, error)
    return 0, "nobody has confirmed the configuration on trial: it is taken back, and is in %s%s" % (confdir, UNDONE)


def _left(confdir: str) -> int:
    """Seconds that a trial has left."""
    try:
        boot, until = compat.read_file(confdir + UNTIL, 100).decode().split()
        return int(until) - _now() if boot == _boot() else 0
    except (OSError, ValueError):
        return 0


def _now() -> int:
    return compat.monotonic_ns() // 10**9  # monotonic() may count from the start of the process


def _boot() -> str:
    return compat.read_file("/proc/sys/kernel/random/boot_id", 40).decode().strip()


def _take(confdir: str) -> int:
    """A descriptor of the folder, locked. Raises ForeignError, OSError."""
    folder = compat.fd_open(confdir, 0)
    if compat.try_flock(folder):
        return folder
    compat.fd_close(folder)
    raise ForeignError("another `viscum apply`, `confirm` or `rollback` is at work in %s: try again" % confdir)


def _is_link(path: str) -> bool:
    try:
        compat.readlink(path)
    except OSError:
        return False
    return True


def _keep_undone(confdir: str) -> None:
    try:
        _put(confdir, UNDONE, uci.content(confdir + CONFIGURATION))
    except (OSError, ViscumError):
        pass  # no room, or somebody has removed it: to come back is what counts


def _put(confdir: str, name: str, data: bytes) -> None:
    """For as few eyes as the configuration is for."""
    mode = os.stat(confdir + CONFIGURATION)[0] & 0o777
    replace.put(confdir + name, confdir + HALF, mode, data)
