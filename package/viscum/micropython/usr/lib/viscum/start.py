# Importing this makes the agent importable from its archive.
#
# Names that many modules have in common (name, service, family) are in the byte code of each of them, and a router's
# flash is small: packed, all modules together are a third smaller, and one file instead of a hundred is found faster
# than unpacking takes. MicroPython imports from any file system, so the archive is one.
#
# The archive (tools/package/source.py writes it): the lengths of its list and of what follows it, in a line; the list,
# with a line for each module (name, offset in the last part, size); what the modules have in common, deflated; then the
# modules, deflated as if that came before each of them.

import gc
import struct
import sys
from io import BytesIO

import deflate
import vfs

WINDOW = 12  # the 4,096 bytes that a module was packed with, as a power of two
FOLDER, FILE = 0x4000, 0x8000  # stat.h: S_IFDIR, S_IFREG


class Archive:
    """A file system of modules."""

    def __init__(self, path):
        self._path = path
        with open(path, "rb") as file:
            listed, common = file.readline().split()
            self._list = b"\n" + file.read(int(listed))
            packed = file.read(int(common))
            self._begin = file.tell()
        self._common = bytearray(deflate.DeflateIO(BytesIO(packed), deflate.RAW, WINDOW).read())
        # MicroPython's inflate knows no dictionaries: it sees a block that is not packed (RFC 1951, 3.2.4).
        size = len(self._common)
        self._first = struct.pack("<BHH", 0, size, size ^ 0xFFFF) + self._common

    def mount(self, readonly, mkfs):
        pass

    def stat(self, path):
        name = path[1:]
        if not name or self._behind(name + "/"):
            return (FOLDER,) + (0,) * 9
        if self._behind(name + " "):
            return (FILE,) + (0,) * 9
        raise OSError(2)

    def open(self, path, mode):
        begin = self._behind(path[1:] + " ")
        offset, size = self._list[begin : self._list.find(b"\n", begin)].split()
        with open(self._path, "rb") as file:
            file.seek(self._begin + int(offset))
            packed = self._first + file.read(int(size))
        module = deflate.DeflateIO(BytesIO(packed), deflate.RAW, WINDOW)
        module.readinto(self._common)
        return module

    def _behind(self, text):
        found = self._list.find(b"\n" + text.encode())
        return found + 1 + len(text) if found >= 0 else 0


# What unpacking leaves would stay the process's memory, were it not collected soon: half a megabyte.
gc.threshold(96 << 10)
folder = sys.path[0] + "/agent"  # there is none of that name
vfs.mount(Archive(folder + ".packed"), folder)
# Nothing of ours is elsewhere: at each import of collections, struct or os MicroPython looks through all these folders.
sys.path[:] = [folder, ".frozen"]
