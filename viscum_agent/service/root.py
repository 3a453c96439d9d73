"""A root of its own for a program: a folder, or an image (squashfs). What is in there is all that it sees, but for what
its section mounts.

It is furnished while it is the root of this process (chroot(2)), but not yet what it sees as its current folder: so
whatever links are in there, they lead to what they will lead the program to, and never out. Whether something can be
written to is decided before it is there: a path may have become a link to something else. In the end it takes the place
of the router's (pivot_root(2)), and nothing is left that leads back.
"""

import os
import struct

from .. import compat
from ..config import trust
from ..errors import ConfigError
from . import view

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..config.bundle import Bundle
    from ..config.service import Program, Service

STAGE = "/tmp"  # which it covers until it takes the router's place; only this process sees that
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
LINKS = (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2"))  # to /proc/self/fd

MAGIC = b"hsqs"  # fs/squashfs: SQUASHFS_MAGIC, always little endian
CONTROL = "/dev/loop-control"
# linux/loop.h
LOOP_CONFIGURE, LOOP_CTL_GET_FREE = 0x4C0A, 0x4C82
LO_FLAGS_READ_ONLY, LO_FLAGS_AUTOCLEAR = 1, 4
TRIES = 20  # somebody else may take the device that was free; or its file comes a moment later (hotplug)
NO_POWERS = compat.MOUNT_ATTR_NOSUID | compat.MOUNT_ATTR_NODEV
TO_READ = compat.MOUNT_ATTR_RDONLY
MOUNTS_MOST = 1 << 20  # bytes of a mountinfo, of which only root's own mounts are
PARTS_MOST = 128  # of a path with all its links; the agent waits while they are looked up, and programs make links


def lacks(program: "Program") -> "list[tuple[str, str]]":
    """(option, sentence) for each thing that a program with a root is to have here and can't."""
    path = program.root or ""
    kind = _kind(path)
    found = []
    if kind == compat.S_IFREG:
        why = _why_no_image(path)
        found += [("root", why)] if why else []
        if program.writable:
            text = "%s is an image, in which nothing can be changed: take it out, and see `mount`" % path
            found.append(("writable", text))
    elif kind != compat.S_IFDIR:
        found.append(("root", "there is no folder or image %s: make it, or name another one" % path))
    else:
        found.append(("root", view.why_not(path)))
        text = "there is no %s in " + path + ": make it, or take it out"
        found += [("writable", text % each) for each in program.writable if not compat.exists(inside(program, each))]
    text = "%s is of /proc, and every program has its own: take it out"
    found += [("writable", text % each) for each in program.writable if _is_proc(each)]
    found += [("mount", text % each) for one in program.mount for each in (one.source, one.target) if _is_proc(each)]
    found += [("mount", view.why_not(each.source)) for each in program.mount if each.source]
    return [(option, view.printable(text)) for option, text in found if text]


def _is_proc(path: str) -> bool:
    return (path + "/").startswith("/proc/")


def _kind(path: str) -> int:
    try:
        return os.stat(path)[0] & compat.S_IFMT
    except OSError:
        return 0


def _why_no_image(path: str) -> str:
    """The kernel trusts an image: so it takes none that others than root can change."""
    try:
        if trust.read(path, len(MAGIC), True) != MAGIC:
            return "%s is neither a folder nor an image (squashfs): name another one" % path
    except (OSError, ConfigError) as error:
        return str(error)
    return (
        "" if compat.exists(CONTROL) else "there are no loop devices for %s: install kmod-loop, or use a folder" % path
    )


def inside(program: "Program", path: str) -> str:
    """Where on the router is what a program finds at a path in its root; "" (where there is never anything) if its
    links lead too far, or their names are no text."""
    mounts: list[tuple[str, str]] = []
    for each in sorted(program.mount, key=lambda each: each.target):
        target = _resolved(program, mounts, each.target)
        if target is not None:
            mounts.append((target, each.source))
    found = _resolved(program, mounts, path)
    return "" if found is None else _behind(program, mounts, found)


def _behind(program: "Program", mounts: "list[tuple[str, str]]", path: str) -> str:
    for target, source in reversed(mounts):
        if source and (path + "/").startswith(target + "/"):
            return source + path[len(target) :]
    return (program.root or "") + path


def _resolved(program: "Program", mounts: "list[tuple[str, str]]", path: str) -> "str | None":
    """A path in a root without links; None for one that has too many, or such as are no text."""
    parts, found, left = path.split("/"), "", PARTS_MOST
    while parts:
        if len(parts) > left:
            return None
        part = parts.pop(0)
        left -= 1
        if part == "..":
            found = found[: found.rfind("/")] if found else ""
        elif part not in ("", "."):
            try:
                link = compat.readlink(_behind(program, mounts, "%s/%s" % (found, part)))
            except OSError:
                found = "%s/%s" % (found, part)
                continue
            except UnicodeError:
                return None
            found = "" if link.startswith("/") else found
            parts = link.split("/") + parts
    return found


def make(service: "Service") -> None:
    """In the child, as root, with mounts of its own: makes the root of a service this process's. Raises OSError, and
    ConfigError for what can't be as configured."""
    program = service.program
    compat.chdir("/")
    devices = view.opened(["/dev/" + name for name in DEVICES])
    files = view.opened([source for source, _ in view.files_of(service.name)])
    sources = view.opened([each.source for each in program.mount])
    compat.umask(0o022)
    _stage(program.root or "")
    compat.chroot(STAGE)
    _take_proc_out()
    _furnish(program, devices)
    for path in [each for each in program.writable if each != "/"]:
        _let_write(path)
    for source in files:
        target = "/etc" + source[source.rfind("/") :]
        try:
            view.place(target, False)
            _attach(target, files[source], NO_POWERS | TO_READ)
        except OSError:
            pass  # an image without that
    for each in sorted(program.mount, key=lambda each: each.target):
        bits = 0 if each.executable else compat.MOUNT_ATTR_NOEXEC
        if each.source:
            _place(program, each.target, sources[each.source][1])
            _attach(each.target, sources[each.source], bits | NO_POWERS | (0 if each.writable else TO_READ))
            _take_proc_out()
        else:
            view.attributes(each.target, 0, bits, 0)
    # Only now: whoever may write to the folder could have made a link to /proc/self/cwd, which leads out.
    if not view.mount_proc(compat.MS_RDONLY):  # before 5.8 it sees the processes of all
        compat.mount("proc", "/proc", "proc", view.COVER | compat.MS_NOEXEC | compat.MS_RDONLY)
    if program.bundle:
        _add(program.bundle)
    for path in [each for each in ("/dev", "/") if each not in program.writable]:
        view.attributes(path, 0, TO_READ, 0)
    _enter()


def _attach(path: str, found: "tuple[int, bool]", more: int, less: int = 0) -> None:
    """Mounts what `opened` found, with and without those bits: they are set before it is moved from a place of the
    router's, which nobody can have changed."""
    fd, is_folder = found
    aside = "dev" if is_folder else "dev/null"
    view.mount_on(aside, fd)
    view.attributes(aside, compat.AT_RECURSIVE, more, less)
    compat.mount(aside, path, "none", compat.MS_MOVE)


def _let_write(path: str) -> None:
    """Mounts what is at a path over itself, with all that is mounted below."""
    try:
        fd = trust.find(path, None, view.FD)
    except ConfigError as error:
        raise ConfigError("writable: %s" % error)
    _attach(view.FD % fd, (fd, _kind(view.FD % fd) == compat.S_IFDIR), 0, TO_READ)


def _take_proc_out() -> None:
    """Unmounts every /proc that came with a folder: its links (self/cwd, PID/root) lead out of the root, and places to
    mount something on would be made there."""
    for _ in range(TRIES):  # who owns the folder may move what is in there at the same time
        found = view.proc_places(compat.read_file("proc/self/mountinfo", MOUNTS_MOST))
        if not found:
            return
        for path in reversed(found):
            try:
                compat.umount(str(path, "utf-8"))
            except (OSError, ValueError):
                pass  # it went with another, or was moved; or its name is no text
    raise ConfigError("root: /proc is mounted in a folder of its, and can't be taken out: unmount it")


def _add(bundle: "Bundle") -> None:
    """What only a bundle says of a root."""
    for path in bundle.masked:
        if compat.exists(path):
            if _kind(path) == compat.S_IFDIR:
                compat.mount("viscum", path, "tmpfs", view.COVER | compat.MS_RDONLY, "size=4k")
            else:
                compat.mount("/dev/null", path, "none", compat.MS_BIND)
    if bundle.hostname:
        compat.unshare(compat.CLONE_NEWUTS)
        # The router's /proc, by the current folder: the owner of the root may have moved what is mounted there.
        compat.write_file("proc/sys/kernel/hostname", bundle.hostname.encode())


def _stage(path: str) -> None:
    if _kind(path) == compat.S_IFDIR:
        view.mount_on(STAGE, trust.find(path))
        view.attributes(STAGE, compat.AT_RECURSIVE, NO_POWERS | TO_READ, 0)
        view.attributes(STAGE, 0, 0, TO_READ)  # until all places are made
        return
    try:
        device, fd = _loop_device(path)
        compat.mount(device, STAGE, "squashfs", view.COVER | compat.MS_RDONLY)
        compat.fd_close(fd)  # from here on it goes with the mount
    except OSError as error:
        why = "this kernel has no squashfs" if error.errno == compat.ENODEV else compat.strerror(error.errno)
        raise ConfigError("root: the image %s can't be mounted (%s): use a folder, or mend that" % (path, why))


def _loop_device(path: str) -> "tuple[str, int]":
    """(a device that has the content of a file, a descriptor of it). It goes when nobody uses it any more."""
    file, control = compat.fd_open(path, 0), compat.fd_open(CONTROL, 2)
    # struct loop_config: the file, the size of a block, struct loop_info64 with only its flags, room for later.
    flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR
    data = struct.pack("II", file, 0) + bytes(52) + struct.pack("I", flags) + bytes(240)
    for left in range(TRIES - 1, -1, -1):
        device = "/dev/loop%d" % compat.ioctl(control, LOOP_CTL_GET_FREE)
        try:
            fd = compat.fd_open(device, 0)
            compat.ioctl(fd, LOOP_CONFIGURE, data)
            break
        except OSError as error:
            if not left or error.errno not in (compat.ENOENT, compat.EBUSY):
                raise
            compat.sleep(0.05)
    return device, fd


def _furnish(program: "Program", devices: "dict[str, tuple[int, bool]]") -> None:
    """Mounts what every program has, and the folders that are its own."""
    memory = [each.target for each in program.mount if not each.source]
    taken = [each.target for each in program.mount if each.source]
    for path in ["/proc", "/dev", "/tmp"] + memory:
        _place(program, path, True)
    compat.mount("viscum", "/dev", "tmpfs", view.COVER, "mode=755,size=64k")
    for path in devices:
        view.place(path, False)
        _attach(path, devices[path], TO_READ)  # or account 0 changes the mode of the router's
    for name, which in LINKS:
        compat.symlink("/proc/self/fd" + which, "/dev/" + name)
    view.place("/dev/shm", True)
    memory = [path for path in memory if path not in view.PRIVATE]
    own = [path for path in list(view.PRIVATE) + memory if path not in taken and compat.exists(path)]
    compat.umask(0)
    view.make_own(own, program.tmp_size)
    compat.umask(0o022)


def _place(program: "Program", path: str, is_folder: bool) -> None:
    try:
        view.place(path, is_folder)
    except OSError as error:
        text = "root: there is no %s in %s to mount something on, and it can't be made (%s): make it there"
        raise ConfigError(text % (path, program.root, compat.strerror(error.errno)))


def _enter() -> None:
    """From a root that is furnished: what is left of the router goes."""
    compat.chroot(".")
    compat.chdir(STAGE)
    try:
        compat.pivot_root(".", ".")
    except OSError as error:
        if error.errno != compat.EINVAL:
            raise
        compat.mount(".", "/", "none", compat.MS_MOVE)  # a router that runs from its initramfs, which stays
        compat.chroot(".")
    else:
        compat.umount(".")
    compat.chdir("/")
