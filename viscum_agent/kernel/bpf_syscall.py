"""bpf(2): maps, programs, links, and their pins in a BPF file system.

Attributes are the parts of union bpf_attr (linux/bpf.h), in the machine's own layout; a pointer has 64 bits on every
machine. Descriptors are closed on exec by the kernel.
"""

import os
import struct
import sys

from .. import compat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ..ebpf.layout import Map

    Buffer = bytes | bytearray

MAP_CREATE, MAP_LOOKUP, MAP_UPDATE, MAP_DELETE, PROG_LOAD, OBJ_PIN, OBJ_GET = 0, 1, 2, 3, 5, 6, 7
PROG_BY_ID, INFO, MAP_LOOKUP_BATCH, LINK_CREATE, LINK_UPDATE = 13, 15, 24, 28, 29
PROG_TYPE_SCHED_CLS = 3
TCX_INGRESS, NETKIT_PEER = 46, 55
LINK_TYPE_TCX, LINK_TYPE_NETKIT = 11, 13

BPFFS = "/sys/fs/bpf"  # where everybody mounts it (OpenWrt's init too)
BATCH = 128  # entries read at once; more than a bucket of a map ever holds
VERIFIER_LOG = 64 * 1024
VERIFIER_WORDS = 1500  # characters of its log in an error: the end says why


class VerifierError(OSError):
    """A program that the kernel rejected; `words` are the end of the verifier's log."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(code, words)
        self.words = words


def _call(command: int, form: str, *values: object) -> int:
    return compat.bpf(command, bytearray(struct.pack(form, *values)))


# Maps


def map_create(layout_map: "Map") -> int:
    """A descriptor of a new map, as described by a layout.Map."""
    one = layout_map
    name = one.name.encode() + bytes(16 - len(one.name))
    return _call(MAP_CREATE, "IIIIIII16s", one.type, one.key, one.value, one.entries, one.flags, 0, 0, name)


def map_update(fd: int, key: "Buffer", value: "Buffer", flags: int = 0) -> None:
    key, value = bytearray(key), bytearray(value)
    _call(MAP_UPDATE, "IIQQQ", fd, 0, compat.address_of(key), compat.address_of(value), flags)


def map_lookup(fd: int, key: "Buffer", value_size: int) -> "bytes | None":
    """The value, None if there is none."""
    key, value = bytearray(key), bytearray(value_size)
    try:
        _call(MAP_LOOKUP, "IIQQQ", fd, 0, compat.address_of(key), compat.address_of(value), 0)
    except OSError as error:
        if error.errno != compat.ENOENT:
            raise
        return None
    return bytes(value)


def map_delete(fd: int, key: "Buffer") -> bool:
    """Whether there was something to delete."""
    key = bytearray(key)
    try:
        _call(MAP_DELETE, "IIQ", fd, 0, compat.address_of(key))
    except OSError as error:
        if error.errno != compat.ENOENT:
            raise
        return False
    return True


def map_read(fd: int, key_size: int, value_size: int) -> "list[tuple[bytes, bytes]]":
    """[(key, value)] of a hash map."""
    return list(pairs(map_batches(fd, key_size, value_size), key_size, value_size))


def pairs(batches: "Iterable[tuple[bytes, bytes]]", key_size: int, value_size: int) -> "Iterator[tuple[bytes, bytes]]":
    """Each (key, value) of what map_batches returned."""
    for keys, values in batches:
        for at in range(len(keys) // key_size):
            yield keys[at * key_size : (at + 1) * key_size], values[at * value_size : (at + 1) * value_size]


def map_batches(fd: int, key_size: int, value_size: int) -> "list[tuple[bytes, bytes]]":
    """All keys and all values of a hash map, in batches (kernel 5.6), each one behind the other: so they take as much
    memory as they have bytes, and one by one several times that."""
    keys, values = bytearray(key_size * BATCH), bytearray(value_size * BATCH)
    place, found, first = bytearray(max(4, key_size)), [], True
    while True:
        where = compat.address_of(place)
        attribute = bytearray(
            struct.pack(
                "QQQQIIQQ",
                *(0 if first else where, where, compat.address_of(keys), compat.address_of(values), BATCH, fd, 0, 0),
            )
        )
        try:
            compat.bpf(MAP_LOOKUP_BATCH, attribute)
            last = False
        except OSError as error:
            if error.errno != compat.ENOENT:  # that was the last batch
                raise
            last = True
        count = struct.unpack_from("I", attribute, 32)[0]
        if count:
            found.append((bytes(keys[: count * key_size]), bytes(values[: count * value_size])))
        if last:
            return found
        first = False


def array_read(fd: int, value_size: int, count: int) -> bytearray:
    """The values of the first elements of a per-CPU array, one after the other (kernel 5.13)."""
    keys, values, place = bytearray(4 * count), bytearray(value_size * count), bytearray(4)
    where = [compat.address_of(each) for each in (place, keys, values)]
    try:
        _call(MAP_LOOKUP_BATCH, "QQQQIIQQ", 0, *where, count, fd, 0, 0)
    except OSError as error:
        if error.errno != compat.ENOENT:  # that was the last batch
            raise
    return values


_possible: list = []


def possible_cpus() -> int:
    """How many values an entry of a per-CPU map has: the same number until the kernel ends."""
    if not _possible:
        _possible.append(_count_cpus())
    return _possible[0]


def _count_cpus() -> int:
    with open("/sys/devices/system/cpu/possible") as file:
        text = file.read().strip()
    count = 0
    for part in text.split(","):
        low, _, high = part.partition("-")
        count += int(high or low) - int(low) + 1
    return count


# Programs and links


def prog_load(code: "Buffer", name: str) -> int:
    """A descriptor of a classifier. Raises VerifierError if the kernel rejects it."""
    code, licence = bytearray(code), bytearray(b"GPL\0")  # what the kernel wants for calling every helper
    known = name.encode() + bytes(16 - len(name))
    where, size = compat.address_of(code), len(code) // 8

    def load(log: "bytearray | None") -> int:
        level, length, place = (1, len(log), compat.address_of(log)) if log else (0, 0, 0)
        values = (PROG_TYPE_SCHED_CLS, size, where, compat.address_of(licence), level, length, place, 0, 0, known, 0, 0)
        return _call(PROG_LOAD, "IIQQIIQII16sII", *values)

    try:
        return load(None)
    except OSError as error:
        if error.errno not in (compat.EINVAL, compat.EACCES):
            raise
    log = bytearray(VERIFIER_LOG)
    try:
        return load(log)  # again, with the verifier's log
    except OSError as error:
        words = bytes(log).split(b"\0")[0].decode()[-VERIFIER_WORDS:]
        raise VerifierError(error.errno, words)


def link_create(program: int, index: int, where: int = TCX_INGRESS) -> int:
    """A descriptor of a link, after existing ones: the program at the ingress of a device (tcx, kernel 6.6), or where
    the other end of a netkit pair sends (NETKIT_PEER, kernel 6.7)."""
    return _call(LINK_CREATE, "IIIIIIQ16s", program, index, where, 0, 0, 0, 0, bytes(16))


def link_update(link: int, program: int) -> None:
    """Replaces the program of a link, from one packet to the next."""
    _call(LINK_UPDATE, "IIIIQ", link, program, 0, 0, 0)


def link_info(fd: int) -> "tuple[int, int, int]":
    """(index of the device, 0 when it is gone; id of the program; where it is, 0 for none of link_create's). The device
    of NETKIT_PEER is the other end, with the index that it has in its namespace (netkit_dev_fetch)."""
    info = _info(fd, 80)
    kind, _, program = struct.unpack_from("III", info, 0)
    if kind not in (LINK_TYPE_TCX, LINK_TYPE_NETKIT):
        return 0, program, 0
    index, where = struct.unpack_from("II", info, 16)
    return index, program, where


def prog_info(fd: int) -> "tuple[str, tuple[int, ...]]":
    """(name, ids of the maps)"""
    ids = bytearray(4 * 16)
    info = _info(fd, 160, lambda info: struct.pack_into("IIQ", info, 48, 0, 16, compat.address_of(ids)))
    count = struct.unpack_from("I", info, 52)[0]
    return _text(info[64:80]), struct.unpack_from("I" * min(count, 16), ids, 0)


def prog_by_id(number: int) -> int:
    return _call(PROG_BY_ID, "III", number, 0, 0)


def map_info(fd: int) -> "tuple[int, ...]":
    """(type, id, bytes of a key, bytes of a value, entries, flags)"""
    return struct.unpack_from("IIIIII", _info(fd, 80), 0)


def _info(fd: int, size: int, prepare: "Callable[[bytearray], object] | None" = None) -> bytearray:
    info = bytearray(size)
    if prepare:
        prepare(info)
    _call(INFO, "IIQ", fd, size, compat.address_of(info))
    return info


def _text(data: "Buffer") -> str:
    return bytes(data).split(b"\0")[0].decode()


# Pins


def pin(fd: int, path: str) -> None:
    data = bytearray(path.encode() + b"\0")
    _call(OBJ_PIN, "QII", compat.address_of(data), fd, 0)


def pinned(path: str) -> int:
    """A descriptor of what is pinned there; OSError with ENOENT if nothing is."""
    data = bytearray(path.encode() + b"\0")
    return _call(OBJ_GET, "QII", compat.address_of(data), 0, 0)


def is_mounted(path: str = BPFFS) -> bool:
    """Whether a BPF file system is mounted there: it has a device of its own, unlike the directory that holds it."""
    try:
        return os.stat(path)[2] != os.stat(path + "/..")[2]
    except OSError:
        return False


def can_mount(path: str = BPFFS) -> bool:
    """Whether one is mounted, or `mount` can do it."""
    if is_mounted(path):
        return True
    try:
        os.stat(path)
        with open("/proc/filesystems") as file:
            return "\tbpf\n" in file.read()
    except OSError:
        return False


def mount(path: str = BPFFS) -> None:
    """Mounts one if there is none. OpenWrt does so at boot; a container may not have done it."""
    if not is_mounted(path):
        compat.mount("bpf", path, "bpf", 0)


ORDER = sys.byteorder
