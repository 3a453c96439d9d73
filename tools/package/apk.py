"""apk-tools' package format, version 3, as `apk mkpkg` of apk-tools 3 writes it, unsigned.

A file is the word "ADB." and a schema, then blocks: one database with all that is to say about the package, and one
block for each file's content. All of it is deflated after the word "ADBd". apk-tools describes it in doc/apk-v3.5.scd.

A database is a header, then values wherever they came to lie. Whoever holds a value has 32 bits of it: its type in the
upper four, and below either the number itself or the place. Everything is little-endian.
"""

import hashlib
import struct
import zlib

import recipe
import script
import tree

_INT, _INT32 = 0x10000000, 0x20000000
_BLOB8, _BLOB16, _BLOB32 = 0x80000000, 0x90000000, 0xA0000000
_OBJECT = 0xE0000000  # also of arrays
_NULL = 0
_BLOCK_DATABASE, _BLOCK_DATA = 0, 2  # the upper two bits of a block's length

# The fields of each kind of object, in the order of their numbers, from 1.
_PACKAGE = ("info", "paths", "scripts")
_INFO: "tuple[str, ...]" = ("name", "version", "hashes", "description", "arch", "license", "origin", "maintainer")
_INFO += ("url", "repo-commit", "build-time", "installed-size", "file-size", "provider-priority")
_INFO += ("depends", "provides")
_DEPENDENCY = ("name", "version", "match")
_FOLDER = ("name", "acl", "files")
_FILE = ("name", "acl", "size", "mtime", "hash", "target")
_ACL = ("mode", "user", "group")
_SCRIPTS = ("trigger", "pre-install", "post-install", "pre-deinstall", "post-deinstall", "pre-upgrade", "post-upgrade")
_AT_LEAST = 1 | 4  # of a dependency's match: equal or greater; without one, a version has to be equal
_UNIQUE_ID = 20  # bytes of a SHA-256 sum


def file_name(package: recipe.Package) -> str:
    return "%s-%s-r%s.apk" % (package.name, package.version, package.release)


def pack(package: recipe.Package, entries: "list[tree.Entry]", epoch: int) -> bytes:
    """The bytes of the package, the same for the same files and time."""
    entries = sorted(entries + _lists(package, entries))
    folders = [""] + [path[1:] for path in tree.folders(entries)]
    files = {folder: [entry for entry in entries if _split(entry)[0] == folder] for folder in folders}
    blocks = [_block(_BLOCK_DATABASE, _database(package, files, tree.installed_size(entries), epoch))]
    for path_number, folder in enumerate(folders, 1):
        for file_number, entry in enumerate(files[folder], 1):
            if entry.data:
                where = struct.pack("<II", path_number, file_number)
                blocks.append(_block(_BLOCK_DATA, where + entry.data))
    return b"ADBd" + _deflate(b"ADB.pckg" + b"".join(blocks))


def _lists(package: recipe.Package, entries: "list[tree.Entry]") -> "list[tree.Entry]":
    """What default_postinst, default_prerm and sysupgrade read where opkg has its own lists. Not in themselves."""
    prefix = "/lib/apk/packages/" + package.name
    sums = {entry.path: hashlib.sha256(entry.data).hexdigest() for entry in entries}
    lines = {
        ".list": sorted(sums),
        ".conffiles": package.conffiles,
        ".conffiles_static": ["%s %s" % (path, sums[path]) for path in package.conffiles],
    }
    return [tree.Entry(prefix + name, 0o644, "".join(x + "\n" for x in lines[name]).encode()) for name in lines]


def _split(entry: tree.Entry) -> "tuple[str, str]":
    folder, _, name = entry.path[1:].rpartition("/")
    return folder, name


def _database(package: recipe.Package, files: "dict[str, list[tree.Entry]]", installed_size: int, epoch: int) -> bytes:
    writer = _Writer()
    info = {
        "name": writer.text(package.name),
        "version": writer.text("%s-r%s" % (package.version, package.release)),
        "description": writer.text(" ".join(package.description.split())),
        "arch": writer.text("noarch"),
        "license": writer.text(package.license),
        "maintainer": writer.text(package.maintainer),
    }
    # The build system tells apk of no conflict: two that provide one version of a name can't be installed together.
    provides = ["%s=%s-r%s" % (name, package.version, package.release) for name in package.provides]
    if package.priority:
        info["provider-priority"] = writer.number(package.priority)
    info["depends"] = _dependencies(writer, package.depends)
    info["provides"] = _dependencies(writer, provides)
    paths = [_folder(writer, folder, files[folder], epoch) for folder in files]
    info["installed-size"] = writer.number(installed_size)
    info["hashes"], place = writer.reserve(_UNIQUE_ID)
    fields = {"info": writer.object(_INFO, info), "paths": writer.array(paths)}
    scripts = {name: writer.text(text) for name, text in sorted(script.for_apk(package).items(), key=_script_number)}
    fields["scripts"] = writer.object(_SCRIPTS, scripts)
    writer.root(writer.object(_PACKAGE, fields))
    # The package's identity is a sum of all that was said, made while its own place was empty.
    writer.data[place : place + _UNIQUE_ID] = hashlib.sha256(writer.data).digest()[:_UNIQUE_ID]
    return bytes(writer.data)


def _script_number(item: "tuple[str, str]") -> int:
    return _SCRIPTS.index(item[0])


def _dependencies(writer: "_Writer", words: "list[str]") -> int:
    """`name`, `name=version`, `name (=version)` or `name (>=version)`; apk wants to find them by halving, so sorted by
    name."""
    found = []
    for word in words:
        name, least, version = word.replace(" (", "").rstrip(")").partition(">=")
        if not least:
            name, _, version = name.partition("=")
        fields = {"name": writer.text(name), "version": writer.text(version)}
        if least:
            fields["match"] = writer.number(_AT_LEAST)
        found.append((name, writer.object(_DEPENDENCY, fields)))
    return writer.array([value for _, value in sorted(found)])


def _folder(writer: "_Writer", folder: str, entries: "list[tree.Entry]", epoch: int) -> int:
    files = [_file(writer, entry, epoch) for entry in entries]
    fields = {"name": writer.text(folder), "acl": _acl(writer, 0o755), "files": writer.array(files)}
    return writer.object(_FOLDER, fields)


def _file(writer: "_Writer", entry: tree.Entry, epoch: int) -> int:
    fields = {
        "name": writer.text(_split(entry)[1]),
        "hash": writer.blob(hashlib.sha256(entry.data).digest()),
        "mtime": writer.number(epoch),
        "size": writer.number(len(entry.data)),
        "acl": _acl(writer, entry.mode),
    }
    return writer.object(_FILE, fields)


def _acl(writer: "_Writer", mode: int) -> int:
    root = writer.text("root")
    return writer.object(_ACL, {"mode": writer.number(mode), "user": root, "group": root})


class _Writer:
    """A database that grows. Every method but `root` returns the 32 bits by which the value is known."""

    def __init__(self) -> None:
        self.data = bytearray(8)  # two versions, both 0, and the place of the root
        self._known: dict[bytes, int] = {}

    def root(self, value: int) -> None:
        struct.pack_into("<I", self.data, 4, value)

    def number(self, value: int) -> int:
        return _INT | value if value < 0x10000000 else _INT32 | self._place(struct.pack("<I", value), 4)

    def text(self, text: str) -> int:
        return self.blob(text.encode())

    def blob(self, data: bytes) -> int:
        if not data:
            return _NULL
        kind, form = _BLOB8, "<B"
        if len(data) > 0xFFFF:
            kind, form = _BLOB32, "<I"
        elif len(data) > 0xFF:
            kind, form = _BLOB16, "<H"
        return kind | self._place(struct.pack(form, len(data)) + data, struct.calcsize(form))

    def reserve(self, length: int) -> "tuple[int, int]":
        """An empty blob that nothing else shares, and the place of its bytes."""
        place = len(self.data)
        self.data += bytes([length]) + bytes(length)
        return _BLOB8 | place, place + 1

    def object(self, names: "tuple[str, ...]", fields: "dict[str, int]") -> int:
        return self.array([fields.get(name, _NULL) for name in names])

    def array(self, values: "list[int]") -> int:
        while values and values[-1] == _NULL:
            values = values[:-1]
        if not values:
            return _NULL
        return _OBJECT | self._place(struct.pack("<%dI" % (len(values) + 1), len(values) + 1, *values), 4)

    def _place(self, data: bytes, alignment: int) -> int:
        """Where these bytes are: the same ones are there once."""
        place = self._known.get(data)
        if place is None or place % alignment:
            self.data += bytes(-len(self.data) % alignment)
            place = self._known[data] = len(self.data)
            self.data += data
        return place


def _block(kind: int, payload: bytes) -> bytes:
    length = len(payload) + 4
    return struct.pack("<I", kind << 30 | length) + payload + bytes(-length % 8)


def _deflate(data: bytes) -> bytes:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)  # raw: no header of its own
    return deflate.compress(data) + deflate.flush()
