"""Which modules each package of OpenWrt brings that Viscum could depend on, and interpreters that have no others.

From lang/python/python3/files/python3-package-*.mk and the file lists in python3's and micropython's Makefile, in the
branches openwrt-24.10 (3.11), openwrt-25.12 (3.13) and master (3.14) of openwrt/packages: python3-light has all of the
standard library that no other package has.
"""

import sys

from lab import CPYTHON, MICROPYTHON, ROOT, run

GUARD = str(ROOT / "tests/guard.py")
NEWEST = ROOT / ".cache/python/python"

LIGHT = "python3-light"
OTHERS = {
    "python3-asyncio": ("asyncio",),
    "python3-cgi": ("cgi", "cgitb"),
    "python3-codecs": (
        "_codecs_cn",
        "_codecs_hk",
        "_codecs_iso2022",
        "_codecs_jp",
        "_codecs_kr",
        "_codecs_tw",
        "unicodedata",
    ),
    "python3-ctypes": ("ctypes", "_ctypes"),
    "python3-dbm": ("dbm", "_dbm", "_gdbm"),
    "python3-decimal": ("decimal", "_decimal"),
    "python3-distutils": ("distutils",),
    "python3-email": ("email",),
    "python3-lib2to3": ("lib2to3",),
    "python3-logging": ("logging",),
    "python3-lzma": ("lzma", "_lzma"),
    "python3-multiprocessing": ("multiprocessing", "_multiprocessing"),
    "python3-ncurses": ("curses", "_curses", "_curses_panel"),
    "python3-openssl": ("_hashlib", "_ssl"),
    "python3-pydoc": ("doctest", "pydoc", "pydoc_data"),
    "python3-readline": ("readline",),
    "python3-sqlite3": ("sqlite3", "_sqlite3"),
    "python3-unittest": ("unittest",),
    "python3-urllib": ("urllib",),
    "python3-uuid": ("uuid", "_uuid"),
    "python3-venv": ("ensurepip", "venv"),
    "python3-xml": ("xml", "xmlrpc", "_elementtree", "pyexpat"),
}
NOWHERE = ("idlelib", "tkinter", "_tkinter", "turtledemo", "turtle", "webbrowser", "_osx_support", "nis")

# What the package `viscum-cpython` names (package/viscum/Makefile), and what `viscum` does.
NAMED = (LIGHT, "python3-ctypes")

# What is built into micropython-nossl from 1.23 on, without its one frozen module (asyncio) and micropython-lib.
# fmt: off
NOSSL = (
    "array", "binascii", "builtins", "collections", "errno", "ffi", "gc", "hashlib", "heapq", "io", "json", "math",
    "micropython", "os", "re", "select", "socket", "struct", "sys", "termios", "time", "uctypes", "ujson",
)
# fmt: on


def modules_of(package, standard):
    """The modules of a package, of all those in the standard library of an interpreter."""
    if package != LIGHT:
        return set(OTHERS[package])
    return set(standard) - set(NOWHERE) - {name for names in OTHERS.values() for name in names}


def allowed(packages=NAMED, standard=sys.stdlib_module_names):
    return set().union(*[modules_of(package, standard) for package in packages])


def standard_of(interpreter):
    """The names of the modules in the standard library of a CPython."""
    return run(*interpreter, "-I", "-S", "-c", "import sys; print(*sys.stdlib_module_names)").stdout.split()


def guarded(interpreter, log, packages=NAMED):
    """The words that start an interpreter whose imports are watched; what follows is as for the interpreter itself."""
    if interpreter == MICROPYTHON:
        return (*MICROPYTHON, GUARD, str(log), ",".join(NOSSL))
    names = sorted(allowed(packages, standard_of(interpreter)))
    return (*interpreter, "-I", "-S", "-B", GUARD, str(log), ",".join(names))


def refused(log):
    """What was not to be imported, by a log of the guard."""
    return sorted({line[1:] for line in log.read_text().split() if line.startswith("!")})


INTERPRETERS = {"oldest": CPYTHON, "newest": (str(NEWEST),), "micropython": MICROPYTHON}
