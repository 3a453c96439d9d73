"""Reads an .apk of version 3: written apart from tools/package/apk.py, from apk-tools' description of the format."""

import struct
import zlib


def blocks(data):
    """[(type, payload)]"""
    assert data[:4] == b"ADBd"
    data = zlib.decompress(data[4:], -15)
    assert data[:8] == b"ADB.pckg"
    found, at = [], 8
    while at < len(data):
        (word,) = struct.unpack_from("<I", data, at)
        length = word & 0x3FFFFFFF
        found.append((word >> 30, data[at + 4 : at + length]))
        assert not any(data[at + length : at + (length + 7) // 8 * 8])
        at += (length + 7) // 8 * 8
    return found


def value(database, word):
    """A number, bytes, or a list of values: what a word of the database stands for."""
    kind, rest = word >> 28, word & 0x0FFFFFFF
    if kind == 0:
        return None
    if kind == 1:
        return rest
    if kind == 2:
        assert rest % 4 == 0
        return struct.unpack_from("<I", database, rest)[0]
    if kind in (8, 9, 10):
        form = "<" + "BHI"[kind - 8]
        size = struct.calcsize(form)
        assert rest % size == 0
        (length,) = struct.unpack_from(form, database, rest)
        return database[rest + size : rest + size + length]
    assert kind in (13, 14) and rest % 4 == 0
    (count,) = struct.unpack_from("<I", database, rest)
    return [value(database, word) for word in struct.unpack_from("<%dI" % (count - 1), database, rest + 4)]


def read(path):
    """(info, folders, scripts, contents) of a package. The lists are by field number, less one; contents are
    {(folder number, file number): bytes}."""
    first, *others = blocks(path.read_bytes())
    assert first[0] == 0 and all(kind == 2 for kind, _ in others)
    info, folders, scripts = value(first[1], struct.unpack_from("<I", first[1], 4)[0])
    return info, folders, scripts, {struct.unpack_from("<II", data): data[8:] for _, data in others}


def files(path):
    """{path: (mode, owner, group, time, SHA-256 as it says, content)}"""
    _, folders, _, contents = read(path)
    found = {}
    for number, folder in enumerate(folders, 1):
        name, entries = (folder[0] or b"").decode(), folder[2] if len(folder) > 2 else []
        for index, (file, acl, size, time, digest) in enumerate(entries, 1):
            content = contents.get((number, index), b"")
            assert len(content) == (size or 0)
            where = "/%s/%s" % (name, file.decode()) if name else "/" + file.decode()
            found[where] = (acl[0], acl[1], acl[2], time, digest, content)
    return found
