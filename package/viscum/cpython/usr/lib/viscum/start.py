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
PARTS = ".sources"  # the ends of the names of archives beside it: what packages of their own bring
CACHE = "/var/run/viscum.pycache"
ENOUGH = 10  # modules
ANEW = "VISCUM_BEGUN_ANEW"
RAW = -15  # deflated with the largest window, 32 KiB, and no header (zlib.h, inflateInit2)


class Importer:
    """The modules of one archive, whose byte code is in CACHE once it was compiled. `of` is the importer of the agent's
    own archive, if this is another package's: that has what is common, and its version."""

    def __init__(self, path=ARCHIVE, of=None):
        """ValueError: it is none, or not whole, or of another version."""
        self._path, self._of = path, of
        with open(path, "rb") as file:
            self._head = file.readline(64)
            listed, self._packed, self._version = self._head.split()
            self._head += file.read(int(listed))
            self._stamp = stamp(file) if private() else None
            _, offset, size = self._head.rsplit(None, 2)
            self._packed = int(self._packed)
            if len(self._head) + self._packed + int(offset) + int(size) != os.fstat(file.fileno()).st_size:
                raise ValueError
        if of and of._version != self._version:
            raise ValueError
        self._unpacked = None  # for the first module that is read: it takes as long as a module

    def find_spec(self, fullname, path=None, target=None):
        place = fullname.replace(".", "/")
        for name in (place + "/__init__.py", place + ".py"):
            if self._find(name) >= 0:
                package = name != place + ".py"
                return ModuleSpec(fullname, self, origin="%s/%s" % (self._path, name), is_package=package)
        return None if self._of or not fullname.startswith("viscum_agent.") else self._elsewhere(fullname)

    def _elsewhere(self, fullname):
        """In an archive of another package: they may come and go while the agent runs."""
        folder = os.path.dirname(self._path)
        for name in os.listdir(folder):
            if name.endswith(PARTS):
                try:
                    spec = Importer("%s/%s" % (folder, name), self).find_spec(fullname)
                except (OSError, ValueError):
                    continue
                if spec:
                    return spec
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
            raise ImportError("%s has no module %s" % (self._path, fullname), name=fullname)
        begin = self._find(spec.origin[len(self._path) + 1 :])
        _, offset, size = self._head[begin : self._head.index(b"\n", begin + 1)].split()
        try:
            packed = self._read(self._packed + int(offset), int(size))
            return zlib.decompressobj(RAW, (self._of or self)._common()).decompress(packed), spec.origin
        except (OSError, zlib.error) as error:
            raise ImportError("%s: %s: install the package again" % (self._path, error), name=fullname) from None

    def _common(self):
        import zlib

        self._unpacked = self._unpacked or zlib.decompress(self._read(0, self._packed), RAW)
        return self._unpacked

    def _read(self, offset, size):
        """What is behind the list."""
        with open(self._path, "rb") as file:
            if file.read(len(self._head)) != self._head:
                raise ImportError("%s was replaced: restart viscum" % self._path)
            file.seek(offset, os.SEEK_CUR)
            return file.read(size)

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
