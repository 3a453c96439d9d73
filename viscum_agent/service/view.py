"""What a program sees of the router's files and of its other processes: what it needs to run, and no more of it to
write to than it asks for.

The child that becomes the program mounts all of it, in a namespace of its own (mount_namespaces(7)). So it costs no
process, nobody else sees it, and it goes with the program's last process. It follows the router's mounts: a disk that
is plugged in later is there, and one that is taken out is let go.
"""

import os
import struct

from .. import compat
from ..config import trust
from ..errors import ConfigError
from ..records.objects import ns_name
from ..shell import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..config.service import Program, Service

NETNS_FILES = "/etc/netns"  # ip-netns(8): NAME/FILE there stands for /etc/FILE in the namespace NAME

HOST = "host"  # the view of a program that sees what the router's own do

# Folders of its own, for all of which there is so much memory: where all accounts may write, and where the router's
# daemons have their sockets. OpenWrt has nearly all of it in /tmp.
PRIVATE = ("/tmp", "/run", "/var/tmp", "/dev/shm")
# Empty folders. OpenWrt's /etc/config is below the second one as well (mount_root of fstools).
HIDDEN = ("/etc/config", "/overlay")
# What is in those folders on one router or another, and programs need: files, which are the router's, and empty
# folders.
FILES = ("/etc/resolv.conf", "/etc/TZ", "/etc/localtime", "/dev/log")
FOLDERS = ("/var/run", "/var/lock", "/var/log", "/var/lib", "/var/cache")

# Pseudo-terminals of its own, so many of the 4,096 that a machine has (kernel.pty.max). A devpts that is not mounted in
# the router's own namespace never gets the last 1,024 of them (kernel.pty.reserve).
TERMINALS = "/dev/pts"
TERMINALS_MOST = 256

INODES = 256  # files and folders for each megabyte: one takes about 1 KiB of the kernel's memory besides
COVER = compat.MS_NOSUID | compat.MS_NODEV
FD = "proc/self/fd/%d"  # from the router's root, which is the current folder, whatever is this process's
NS_GET_USERNS = 0xB701  # linux/nsfs.h
NO_SUCH_CALL = (38, 89)  # ENOSYS: the second one is that of mips (asm/errno.h)


def lacks(program: "Program") -> "list[tuple[str, str]]":
    """(option, sentence) for each path that a program is to see here and that is not there."""
    if program.root:
        from . import root

        return root.lacks(program)
    asked = [("visible", path) for path in program.visible] + [("writable", path) for path in program.writable]
    found = [(option, why_not(path)) for option, path in asked]
    return [(option, printable(why)) for option, why in found if why]


def why_not(path: str) -> str:
    """Why a program can't be given what is at a path, "" when it can."""
    try:
        compat.fd_close(trust.find(path))
    except OSError as error:
        compat.unless_spent(error)
        return "there is no %s: make it, or take it out" % path
    except ConfigError as error:
        return str(error)
    return ""


def is_image(program: "Program") -> bool:
    """Whether what is in a program's root can't be looked at from here."""
    return bool(program.root) and not compat.exists(str(program.root) + "/.")


def place_of(program: "Program", path: str) -> str:
    """Where on the router is what a program finds at a path."""
    if not program.root:
        return path
    from . import root

    return root.inside(program, path)


def share_mounts() -> None:
    """Makes the router's mounts shared, so that what is later mounted or unmounted there reaches programs as well. A
    kernel starts with private ones, and OpenWrt leaves them so; systemd makes them shared."""
    try:
        mounts = compat.read_file("/proc/self/mountinfo", 1 << 16)
    except OSError:
        return
    if is_private(mounts):
        try:
            compat.mount("none", "/", "none", compat.MS_SHARED | compat.MS_REC)
        except OSError:
            pass  # programs then see what was mounted when they started


def is_private(mounts: bytes) -> bool:
    """Whether what is mounted on the root is not shared, by a mountinfo (proc(5))."""
    for line in mounts.split(b"\n"):
        fields = line.split(b" ")
        if len(fields) > 6 and fields[4] == b"/" and not fields[6].startswith(b"shared:"):
            return True
    return False


def proc_places(mounts: bytes) -> "list[bytes]":
    """Where a /proc is mounted, by a mountinfo (proc(5)), in the order in which they were mounted."""
    found = []
    for line in mounts.split(b"\n"):
        place, _, kind = line.partition(b" - ")
        fields = place.split(b" ")
        if kind.startswith(b"proc ") and len(fields) > 4:
            path = fields[4]
            for character in (b"#", b" ", b"\t", b"\n", b"\\"):  # mangle() of the kernel's fs/proc_namespace.c
                path = path.replace(b"\\%03o" % character[0], character)
            found.append(path)
    return found


def whole() -> None:
    """This process gets mounts of its own, which are the router's; only /sys shows the network that it is in. Raises
    OSError, as do the others."""
    compat.unshare(compat.CLONE_NEWNS)
    compat.mount("none", "/", "none", compat.MS_SLAVE | compat.MS_REC)
    try:
        compat.umount("/sys")
        compat.mount("sysfs", "/sys", "sysfs", 0)
    except OSError:
        pass  # no /sys, as in a container: nothing shows the wrong network


def of_namespace(name: str) -> None:
    """The files that ip-netns(8) knows for a service's namespace replace those of /etc."""
    for source, target in files_of(name):
        try:
            compat.mount(source, target, "none", compat.MS_BIND)
        except OSError:
            pass  # no such file in /etc to mount it over


def files_of(name: str) -> "list[tuple[str, str]]":
    """(file, what it replaces) for a service's namespace."""
    folder = "%s/%s" % (NETNS_FILES, ns_name(name))
    try:
        return [("%s/%s" % (folder, each), "/etc/" + each) for each in compat.list_names(folder)]
    except OSError:
        return []


def join(pids: "Iterable[int]") -> None:
    """This process sees what another one does: the first of these with a view that the agent made. One that was only
    just forked has the router's; and what is mounted in one that a program made itself (as root of a user namespace of
    its own) is what it likes: a disk, say, where a check looks for /dev/null. Raises OSError."""
    for pid in pids:
        try:
            views = compat.fd_open("/proc/%d/ns/mnt" % pid, 0)
        except OSError:
            continue  # gone meanwhile
        if _is_ours(views):
            break
        compat.fd_close(views)
    else:
        raise OSError(compat.ESRCH, compat.strerror(compat.ESRCH))
    for kind in ("ipc", "uts"):
        try:
            _enter(compat.fd_open("/proc/%d/ns/%s" % (pid, kind), 0))
        except OSError:
            pass  # a kernel without that
    _enter(views)


def _is_ours(fd: int) -> bool:
    """Whether a mount namespace is not this process's, but belongs to the same user namespace."""
    if os.stat("/proc/self/fd/%d" % fd)[1] == os.stat("/proc/self/ns/mnt")[1]:
        return False
    try:
        owner = compat.ioctl(fd, NS_GET_USERNS)
    except OSError:
        return False
    same = os.stat("/proc/self/fd/%d" % owner)[1] == os.stat("/proc/self/ns/user")[1]
    compat.fd_close(owner)
    return same


def _enter(fd: int) -> None:
    compat.setns(fd)
    compat.fd_close(fd)


def make(service: "Service") -> None:
    """In the child, as root: this process gets its program's view."""
    program = service.program
    whole()
    if program.view == HOST:
        of_namespace(service.name)
        return
    try:
        compat.unshare(compat.CLONE_NEWIPC)  # System V's shared memory: without bounds, and it outlives its processes
    except OSError:
        pass  # a kernel without that
    if program.root:
        from . import root  # most routers need it never

        root.make(service)
        return
    compat.chdir("/")
    compat.umask(0)
    asked = program.visible + program.writable
    kept = opened(asked, program.command + service.health.command + (program.workdir,) + FILES)
    folders = [path for path in FOLDERS if not why_not(path)]
    if "/proc" not in asked:
        mount_proc()
    if TERMINALS not in asked:
        mount_terminals()
    for path in [each for each in HIDDEN if each not in asked and compat.exists(each)]:
        compat.mount("viscum", path, "tmpfs", COVER, "mode=755")
    # Where the router's /tmp is asked for, one of these may be a link of others in there.
    own = [path for path in PRIVATE if path not in asked and not why_not(path)]
    make_own(own, program.tmp_size)
    for path in folders:
        compat.fd_close(trust.find(path, True))
    for path in sorted(kept):
        if path != "/" and (path in asked or not compat.exists(path)):
            # A program may have made another link meanwhile where it may write: what was mounted must not land there.
            mount_on(FD % trust.find(path, kept[path][1]), kept[path][0])
    of_namespace(service.name)
    own = [FD % trust.find(path) for path in own]
    protect(own, [(FD % trust.find(path), path in program.writable) for path in sorted(asked)])


def opened(paths: "Iterable[str]", words: "Iterable[str]" = ()) -> "dict[str, tuple[int, bool]]":
    """Of those paths, and words that are paths of something: (a descriptor, by which it is found under whatever is
    mounted over it; whether it is a folder). Raises ConfigError for a path that a link of others than root leads to;
    such a word is left out: what others may write to a program needs no help to see."""
    found = {}
    for path in list(paths) + list(words):
        try:
            if path.startswith("/") and path not in found:
                fd = trust.find(path)
                found[path] = (fd, os.stat(FD % fd)[0] & compat.S_IFMT == compat.S_IFDIR)
        except OSError as error:
            compat.unless_spent(error)  # otherwise nothing is there
        except ConfigError:
            if path in paths:
                raise
    return found


def mount_proc(flags: int = 0) -> bool:
    """Of the processes that it could not trace it sees nothing (proc(5), hidepid=4 since kernel 5.8). False where that
    is not possible."""
    try:
        compat.mount("proc", "/proc", "proc", COVER | compat.MS_NOEXEC | flags, "hidepid=4")
    except OSError:
        return False
    return True


def mount_terminals() -> None:
    """What /dev/ptmx makes is in the devpts beside it."""
    options = "mode=620,ptmxmode=666,max=%d" % TERMINALS_MOST
    try:
        compat.mount("devpts", TERMINALS, "devpts", compat.MS_NOSUID | compat.MS_NOEXEC, options)
    except OSError as error:
        if error.errno not in (compat.ENOENT, compat.ENODEV):  # there are none, or the kernel has none
            raise


def make_own(own: "list[str]", megabytes: int) -> None:
    """Folders that are the program's, with so much room in all."""
    for path in own:
        if path == own[0]:
            size = "size=%dm,nr_inodes=%d" % (megabytes, megabytes * INODES)
            compat.mount("viscum", path, "tmpfs", COVER, "mode=1777," + size)
            continue
        place(path, True)  # it may have been in the one before
        part = own[0] + (path[path.rfind("/") :] if path in PRIVATE else "/." + path[1:].replace("/", "."))
        place(part, True)
        compat.mount(part, path, "none", compat.MS_BIND)


def place(path: str, is_folder: bool) -> None:
    """Makes a folder or an empty file to mount something on, and the folders above, unless they exist. Where links lead
    to nothing, that is made."""
    if compat.exists(path):
        return
    above = path[: path.rfind("/")]
    try:
        link = compat.readlink(path)
    except OSError:
        link = ""
    if link:
        place(link if link.startswith("/") else "%s/%s" % (above, link), is_folder)
        return
    if above:
        place(above, True)
    if is_folder:
        os.mkdir(path)
    else:
        compat.fd_close(compat.fd_open(path, compat.O_CREATE, 0o666))


def mount_on(path: str, fd: int) -> None:
    """Mounts what `opened` found. The current folder is the router's root, whatever is that of this process."""
    compat.mount(FD % fd, path, "none", compat.MS_BIND | compat.MS_REC)


def protect(own: "list[str]", asked: "list[tuple[str, bool]]") -> None:
    """Makes everything read-only but for what is its own, and what it asked for: (path, whether to write)."""
    bits = compat.MOUNT_ATTR_RDONLY
    attributes("/", compat.AT_RECURSIVE, bits, 0)
    for path in own:
        attributes(path, 0, 0, bits)
    for path, to_write in asked:
        attributes(path, compat.AT_RECURSIVE, 0 if to_write else bits, bits if to_write else 0)


def attributes(path: str, flags: int, more: int, less: int) -> None:
    """Sets and clears bits of a mount, and with AT_RECURSIVE of those below it. A kernel before 5.12 does nothing."""
    try:
        # struct mount_attr: what to set, what to clear, propagation, userns_fd.
        compat.mount_setattr(path, flags, struct.pack("4Q", more, less, 0, 0))
    except OSError as error:
        if error.errno not in NO_SUCH_CALL:
            raise
