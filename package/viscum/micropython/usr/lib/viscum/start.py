# Importing this makes the agent importable from its archive.
#
# Names that many modules have in common (name, service, family) are in the byte code of each of them, and a router's
# flash is small: packed, all modules together are a third smaller, and one file instead of a hundred is found faster
# than unpacking takes. MicroPython imports from any file system, so the archive is one.
#
# The archive (tools/package/source.py writes it): the lengths of its list and of what follows it, and its stamp, in a
# line; the list, with a line for each module (name, offset in the last part, size); what the modules have in common,
# deflated; then the modules, deflated as if that came before each of them.
#
# What packages of their own bring (viscum_agent/optional.py) is in further archives beside it. Their modules are
# deflated as if what its own have in common came before them, and they have its stamp: with another one they are of
# another version, and as if they were not there.

import gc
import os
import struct
import sys
from io import BytesIO

import deflate
import vfs

WINDOW = 12  # the 4,096 bytes that a module was packed with, as a power of two
FOLDER, FILE = 0x4000, 0x8000  # stat.h: S_IFDIR, S_IFREG


class Modules:
    """A file system of modules."""

    def __init__(self, folder, name):
        self._folder, self._name = folder, name
        with open(folder + name, "rb") as file:
            listed, common, self._stamp = file.readline().split()
            text = file.read(int(listed))
            packed = file.read(int(common))
            self._archives = [(name, b"\n" + text, file.tell())]
        self._common = bytearray(deflate.DeflateIO(BytesIO(packed), deflate.RAW, WINDOW).read())
        # MicroPython's inflate knows no dictionaries: it sees a block that is not packed (RFC 1951, 3.2.4).
        size = len(self._common)
        self._before = struct.pack("<BHH", 0, size, size ^ 0xFFFF) + self._common

    def mount(self, readonly, mkfs):
        pass

    def stat(self, path):
        name, first = path[1:], self._archives[:1]
        if not name or behind(first, name + "/"):
            return (FOLDER,) + (0,) * 9
        if "." in name and behind(self._archives, name + " "):
            return (FILE,) + (0,) * 9
        # Before a file's name that of a folder is asked for. The other packages may come and go while the agent runs.
        if "/" in name and "." not in name and not behind(first, name + "."):
            self._archives = first + self._others()
            if behind(self._archives, name + "/"):
                return (FOLDER,) + (0,) * 9
        raise OSError(2)

    def open(self, path, mode):
        (name, listed, begin), at = behind(self._archives, path[1:] + " ")
        offset, size = listed[at : listed.find(b"\n", at)].split()
        with open(self._folder + name, "rb") as file:
            file.seek(begin + int(offset))
            packed = self._before + file.read(int(size))
        module = deflate.DeflateIO(BytesIO(packed), deflate.RAW, WINDOW)
        module.readinto(self._common)
        return module

    def _others(self):
        found = []
        for name in os.listdir(self._folder):
            if name.endswith(".packed") and name != self._name:
                with open(self._folder + name, "rb") as file:
                    head = file.readline().split()
                    if head[2:] == [self._stamp]:
                        text = b"\n" + file.read(int(head[0]))
                        last = text.split(b"\n")[-2].split()
                        # Whole, too: a full flash cuts what is written to it.
                        if file.tell() + sum(map(int, last[1:])) == os.stat(self._folder + name)[6]:
                            found.append((name, text, file.tell()))
        return found


def behind(archives, text):
    """The first (name, list, where modules begin) whose list has a line that begins so, and where that goes on."""
    for archive in archives:
        found = archive[1].find(b"\n" + text.encode())
        if found >= 0:
            return archive, found + 1 + len(text)
    return None


# What unpacking leaves would stay the process's memory, were it not collected soon: half a megabyte.
gc.threshold(96 << 10)
folder = sys.path[0] + "/"
vfs.mount(Modules(folder, "agent.packed"), folder + "agent")  # there is none of that name
# Nothing of ours is elsewhere: at each import of collections, struct or os MicroPython looks through all these folders.
sys.path[:] = [folder + "agent", ".frozen"]
