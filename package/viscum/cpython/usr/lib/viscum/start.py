"""Imports the agent from its archive, and keeps the byte code in memory.

A router's flash is small: packed sources are an eighth of the byte code's size, and fit every version of Python.
Compiling them takes longest of all at a start, so what was compiled is kept in a RAM disk until the next boot. Python's
own cache does neither: it knows no archives, and OpenWrt's Python has it switched off.
"""

import os
import sys
from marshal import dumps, loads
from zipimport import zipimporter

ARCHIVE = "/usr/lib/viscum/agent.zip"
CACHE = "/var/run/viscum.pycache"
ENOUGH = 10  # modules
ANEW = "VISCUM_BEGUN_ANEW"


class Importer(zipimporter):
    """The modules of an archive, whose byte code is in CACHE once it was compiled."""

    def get_filename(self, fullname):
        """zipimport's own compiles the source to know, at every import: half of a start, and 2 MB of holes."""
        place = "%s/%s" % (ARCHIVE, fullname.replace(".", "/"))
        return place + ("/__init__.py" if self.is_package(fullname) else ".py")

    def get_code(self, fullname):
        path = "%s/%s" % (CACHE, fullname)
        try:
            with open(path, "rb") as file:
                found = file.read()
            if found.startswith(_stamp):
                return loads(found[len(_stamp) :])
        except OSError:
            pass
        code = super().get_code(fullname)
        if _keep(path, _stamp + dumps(code)):
            compiled.append(fullname)
        return code


compiled = []  # what this process had to compile, and has kept


def begin_anew():
    """For a process that stays: once more from the beginning, if much was compiled. The compiler leaves 4 MB of holes
    in the memory; from kept byte code the same process is a third smaller."""
    if len(compiled) < ENOUGH or ANEW in os.environ:
        return
    os.environ[ANEW] = "1"
    os.execv(sys.executable, [sys.executable, "-IS"] + sys.argv)


def start():
    """Afterwards the agent can be imported. Of libraries, only those of OpenWrt's Python packages."""
    global _stamp
    _stamp = stamp() if private() else None
    if _stamp:
        sys.path_hooks.insert(0, Importer)
    sys.path[0] = ARCHIVE
    # The launchers run without the module `site`, which takes longer than all else here: pyroute2 would be there.
    sys.path.append("%s/lib/python%d.%d/site-packages" % ((sys.prefix,) + sys.version_info[:2]))


def stamp():
    """What byte code is valid for: this Python and this archive. A file's ctime can't be set, not even by a package."""
    archive = os.stat(ARCHIVE)
    return repr((sys.hexversion, archive.st_ctime_ns, archive.st_ino, archive.st_size)).encode()


def private():
    """Whether the byte code is safe in CACHE: nobody but root may write there, since root executes what is there."""
    try:
        os.mkdir(CACHE, 0o700)
    except OSError:
        pass
    try:
        found = os.lstat(CACHE)
    except OSError:
        return False
    return (found.st_mode, found.st_uid, os.geteuid()) == (0o040700, 0, 0)


def _keep(path, data):
    """Whether it could be kept. Another process may read or write the same file: it is whole or not there. No room is
    no error."""
    new = "%s.%d" % (path, os.getpid())
    try:
        with open(new, "wb") as file:
            file.write(data)
        os.rename(new, path)
        return True
    except OSError:
        try:
            os.unlink(new)
        except OSError:
            pass
        return False
