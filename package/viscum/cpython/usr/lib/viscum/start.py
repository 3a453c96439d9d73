"""Imports the agent from its archive, and keeps the byte code in memory.

A router's flash is small: packed sources are an eighth of the byte code's size, and fit every version of Python.
Compiling them takes longest of all at a start, so what was compiled is kept in a RAM disk until the next boot. Python's
own cache does neither: it knows no archives, and OpenWrt's Python has it switched off. The archive has the form of
MicroPython's (start.py there tells it), because in a zip each module would be packed without a view of the others.
"""

import os
import sys
from _frozen_importlib import ModuleSpec  # importlib.machinery's, without what importing that takes
from marshal import dumps, loads

ARCHIVE = "/usr/lib/viscum/sources.packed"
CACHE = "/var/run/viscum.pycache"
ENOUGH = 10  # modules
ANEW = "VISCUM_BEGUN_ANEW"
RAW = -15  # deflated with the largest window, 32 KiB, and no header (zlib.h, inflateInit2)


class Importer:
    """The modules of the archive, whose byte code is in CACHE once it was compiled."""

    def __init__(self):
        """ValueError: it is none, or not whole."""
        with open(ARCHIVE, "rb") as file:
            self._head = file.readline(64)
            listed, self._packed = map(int, self._head.split()[:2])
            self._head += file.read(listed)
            self._stamp = stamp(file) if private() else None
            _, offset, size = self._head.rsplit(None, 2)
            if len(self._head) + self._packed + int(offset) + int(size) != os.fstat(file.fileno()).st_size:
                raise ValueError
        self._common = None  # unpacked for the first module that is read: it takes as long as a module

    def find_spec(self, fullname, path=None, target=None):
        place = fullname.replace(".", "/")
        for name in (place + "/__init__.py", place + ".py"):
            if self._find(name) >= 0:
                package = name != place + ".py"
                return ModuleSpec(fullname, self, origin="%s/%s" % (ARCHIVE, name), is_package=package)
        return None

    def create_module(self, spec):
        """An ordinary one."""

    def exec_module(self, module):
        module.__file__ = module.__spec__.origin
        exec(self.get_code(module.__name__), vars(module))

    def get_code(self, fullname):
        path = "%s/%s" % (CACHE, fullname)
        if self._stamp:
            try:
                with open(path, "rb") as file:
                    found = file.read()
                if found.startswith(self._stamp):
                    return loads(found[len(self._stamp) :])
            except OSError:
                pass
        code = compile(*self._source(fullname), "exec", dont_inherit=True)
        if self._stamp and _keep(path, self._stamp + dumps(code)):
            compiled.append(fullname)
        return code

    def get_source(self, fullname):
        """Tracebacks ask for it."""
        return self._source(fullname)[0].decode()

    def _source(self, fullname):
        """A module's source and path. ImportError: after an upgrade or a removal the archive is another one, or none;
        this process goes on with what it has."""
        import zlib

        spec = self.find_spec(fullname)
        if not spec:
            raise ImportError("%s has no module %s" % (ARCHIVE, fullname), name=fullname)
        begin = self._find(spec.origin[len(ARCHIVE) + 1 :])
        _, offset, size = self._head[begin : self._head.index(b"\n", begin + 1)].split()
        try:
            with open(ARCHIVE, "rb") as file:
                if file.read(len(self._head)) != self._head:
                    raise ImportError("%s was replaced: restart viscum" % ARCHIVE, name=fullname)
                packed = file.read(self._packed)
                self._common = self._common or zlib.decompress(packed, RAW)
                file.seek(int(offset), os.SEEK_CUR)
                return zlib.decompressobj(RAW, self._common).decompress(file.read(int(size))), spec.origin
        except (OSError, zlib.error) as error:
            raise ImportError("%s: %s: install the package again" % (ARCHIVE, error), name=fullname) from None

    def _find(self, name):
        """Where the list has a file, or -1."""
        return self._head.find(b"\n%s " % name.encode())


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
    try:
        importer = Importer()
    except (OSError, ValueError):
        sys.exit("viscum: %s is missing or damaged: install the package again" % ARCHIVE)
    sys.meta_path.insert(-1, importer)  # what looks through folders is asked last
    # The launchers run without the module `site`, which takes longer than all else here: pyroute2 would be there.
    sys.path[:1] = []  # the folder of this module
    sys.path.append("%s/lib/python%d.%d/site-packages" % ((sys.prefix,) + sys.version_info[:2]))


def stamp(file):
    """What byte code is valid for: this Python and this archive. A file's ctime can't be set, not even by a package."""
    archive = os.fstat(file.fileno())
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
