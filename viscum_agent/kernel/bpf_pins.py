"""The eBPF datapath in the kernel: what is pinned in a folder of the BPF file system.

    /sys/fs/bpf/viscum-NETNS/map_*        the maps with their contents: the kernel is the database here too
                             program_*    the programs, each once
                             link_*       one per device; it keeps the program attached when the agent ends
                             filter_*     instead, where the kernel has no tcx: the program that the device's filter
                                          holds, so that the folder knows it

NETNS is the inode of the router's network namespace: indexes of devices are only valid there. The folder exists while
there is a link or filter. File names in a BPF file system can't have dots, device names can: a colon, which those can't
have, replaces the dot.
"""

import os

from .. import compat, ebpf
from ..ebpf import layout
from ..errors import ViscumError
from ..records.dump import BpfEntry, BpfLinkEntry, Counters
from ..records.objects import BPF_PRIO, CLASSID, CLS, NETKIT, TCX
from . import bpf_syscall as call
from .netns import SELF

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from typing import Any

    from ..records.dump import Dump
    from .listening import Flow

MAP, PROGRAM, LINK, FILTER = "map_", "program_", "link_", "filter_"
# A device has one link: a pair of another kind is another pair.
PIN = {TCX: LINK, NETKIT: LINK, CLS: FILTER}
PLACES = {TCX: call.TCX_INGRESS, NETKIT: call.NETKIT_PEER}
MAPS = {one.name: one for one in layout.MAPS}
# How the keys of entries are read.
PARSE = {
    "exact": layout.Layout.parse_exact,
    "macs": layout.Layout.parse_macs,
    "wide": layout.Layout.parse_wide,
    "wide_macs": layout.Layout.parse_wide_macs,
}


class Entries:
    """What is in the maps, each as a dump.BpfEntry that is made for whoever comes by: a name may have hundreds of
    addresses, and as they were read they take a tenth of the memory."""

    def __init__(self, made: "layout.Layout", batches: "dict[str, list[tuple[bytes, bytes]]]") -> None:
        self._layout = made
        self._batches = batches  # by map, as of map_batches

    def __iter__(self) -> "Iterator[BpfEntry]":
        for name in self._batches:
            for key, value in call.pairs(self._batches[name], MAPS[name].key, MAPS[name].value):
                yield self._entry(name, key, value)

    def _entry(self, name: str, key: bytes, value: bytes) -> "BpfEntry":
        interface, kind, parts = PARSE[name](self._layout, key)
        index, vlan = layout.of_vlan(interface)
        target, mac, flags = self._layout.parse_value(value)
        return BpfEntry(
            index=index,
            vlan=vlan,
            target=target,
            kind=kind,
            tuple=parts,
            mac=mac,
            watched=self._layout.port_inside(value, parts.port),
            refused=bool(flags & layout.REFUSED),
            takes_over=bool(flags & layout.TAKE_OVER),
            checked=bool(flags & layout.CHECKED),
            leaves=bool(flags & layout.LEAVES),
        )


class PinError(ViscumError):
    """A pin can't be read or written."""


class FolderError(OSError):
    """The folder is not Viscum's; `words` say so."""

    def __init__(self, path: str) -> None:
        self.words = NOT_OURS % path
        super().__init__(compat.EEXIST, self.words)


class VlanError(OSError):
    """The index of a device leaves no room for a VLAN (layout.on_vlan)."""

    def __init__(self) -> None:
        self.words = (
            "an index of 2^19 or more leaves no room for a VLAN: take the VLAN's device without vlan, or restart"
        )
        super().__init__(compat.EINVAL, self.words)


NOT_OURS = "%s is not Viscum's: remove it"


def folder(inode: int = 0) -> str:
    """The folder of the caller's network namespace, or of the one with an inode."""
    return "%s/viscum-%d" % (call.BPFFS, inode or os.stat(SELF)[1])


NOBODYS, OURS, FOREIGN = range(3)


def whose(path: str) -> int:
    """Whose the folder is. Anybody can create something in a BPF file system, and the folder's owner can replace our
    pins: only a real folder of the agent's own user is read and written."""
    try:
        compat.readlink(path)
        return FOREIGN  # a symbolic link
    except OSError:
        pass  # not a link
    try:
        status = os.stat(path)
    except OSError:
        return NOBODYS
    own = status[0] & compat.S_IFMT == compat.S_IFDIR and status[4] == compat.geteuid()
    return OURS if own else FOREIGN


def lacks(path: str, fd: int) -> str:
    """What prevents pins in a folder, "" for nothing. `fd` is any map's: it is pinned beside the folder, because the
    agent watches for removals in it."""
    if not call.is_mounted():
        return ""  # it will be, and will then be empty
    if whose(path) == FOREIGN:
        return "a folder for its maps: " + NOT_OURS % path
    trial = "%s_%d" % (path, compat.getpid())
    try:
        call.pin(fd, trial)
        os.remove(trial)
    except OSError as error:
        if error.errno != compat.EEXIST:  # left by a process that was killed here: it could write, too
            return "a BPF file system that it can write to (%s: %s)" % (call.BPFFS, compat.strerror(error.errno))
    return ""


def watch() -> int:
    """A descriptor that becomes readable when something in the folder is removed; -1 if there is none of ours."""
    path = folder()
    return compat.watch((path,), compat.IN_DELETE) if whose(path) == OURS else -1


def open_map(name: str) -> int:
    """A descriptor of a pinned map, -1 if there is none that is as this agent makes it. Raises OSError."""
    path = folder()
    if whose(path) != OURS:
        return -1
    try:
        return _open_as_made(path, name)
    except OSError as error:
        if error.errno != compat.ENOENT:
            raise
        return -1


def _open_as_made(path: str, name: str) -> int:
    """A descriptor of a map in our folder, -1 if it is another than this agent makes. Raises OSError."""
    fd = call.pinned("%s/%s%s" % (path, MAP, name))
    if _is_as(call.map_info(fd), MAPS[name]):
        return fd
    compat.fd_close(fd)
    return -1


class Loaded:
    """Descriptors of a whole set: all maps, and the programs that use them. The kernel checks a program for as long as
    all the rest of an `up` takes: what it was tried with (probe.py) is kept here, until it is pinned or the kernel is
    asked again."""

    def __init__(self) -> None:
        self.maps: dict[str, int] = {}
        self.programs: dict[str, int] = {}

    def make_maps(self, names: "Iterable[str]" = tuple(MAPS)) -> None:
        for name in names:
            self.maps[name] = call.map_create(MAPS[name])

    def load(self) -> None:
        """Loads the programs for these maps. Raises VerifierError for one that the kernel rejects."""
        for which in ebpf.PROGRAMS:
            name = ebpf.name_of(which)
            self.programs[name] = call.prog_load(ebpf.assemble(which, call.ORDER, self.maps), name)

    def load_trial(self) -> None:
        """Loads the program of ebpf.TRIAL alone. Raises VerifierError."""
        self.programs[ebpf.TRIAL] = call.prog_load(ebpf.assemble(ebpf.TRIAL, call.ORDER, self.maps), ebpf.TRIAL)

    def open(self, path: str) -> bool:
        """Whether the programs of this agent are pinned in a folder: then they are open now, and the map `state`."""
        if whose(path) != OURS:
            return False
        try:
            state = _open_as_made(path, "state")
            if state >= 0:
                self.maps["state"] = state
                for which in ebpf.PROGRAMS:
                    name = ebpf.name_of(which)
                    self.programs[name] = call.pinned("%s/%s%s" % (path, PROGRAM, name))
                return True
        except OSError as error:
            compat.unless_spent(error)
        self.close()
        return False

    def take(self, other: "Loaded") -> None:
        """Takes what another one has."""
        self.close()
        self.maps, self.programs, other.maps, other.programs = other.maps, other.programs, {}, {}

    def close(self) -> None:
        _close(self.maps)
        _close(self.programs)


class Pinned:
    """Open while in use; created in the router's namespace, or for the one with an inode. `spare` is pinned where
    nothing is."""

    def __init__(self, inode: int = 0, spare: "Loaded | None" = None) -> None:
        self._folder = folder(inode)
        self._spare = spare or Loaded()
        self._layout = layout.Layout(call.ORDER)
        self._maps: dict[str, int] = {}
        self._programs: dict[str, int] = {}  # name: descriptor
        self._slots: dict[bytes, int] | None = None  # {pair, as in the map: slot}, once read
        self._free: list[int] = []  # free slots, the lowest last
        self._dirty = False
        self._changing = False  # the matches
        self.cut_in = 0  # the mode of entries that are written (layout.TAKE_OVER)

    def settle(self) -> None:
        """What was changed counts from now on."""
        if self._changing:
            self._changed()

    def close(self) -> None:
        self.settle()
        _close(self._maps)
        _close(self._programs)
        self._slots = None  # may be wrong for the next maps

    def _path(self, kind: str, name: str) -> str:
        return "%s/%s%s" % (self._folder, kind, name.replace(".", ":"))

    def _names(self, kind: str) -> "list[str]":
        try:
            names = compat.list_names(self._folder) if whose(self._folder) == OURS else []
        except OSError as error:
            compat.unless_spent(error)
            return []  # no folder, or none that we may read
        return sorted([name[len(kind) :].replace(":", ".") for name in names if name.startswith(kind)])

    # Reading

    def dump(self, dump: "Dump") -> None:
        """Adds links, entries and counters to a Dump, which already has the devices and their filters."""
        links, noted, filters = self._names(LINK), self._names(FILTER), _filters(dump)
        gone = [name for name in noted if name not in filters]
        dump.bpf_links.extend([BpfLinkEntry(name, CLS, 0, "") for name in gone])
        whole = (links or filters) and self._open_maps()
        ours = {call.map_info(self._maps[name])[1] for name in self._maps}
        for name in sorted(filters):
            index, program = filters[name]
            known = _program_name(program, ours) if name in noted else ""
            dump.bpf_links.append(BpfLinkEntry(name, CLS, index, known))
        # Also where the maps are not as this agent makes them: what another version has left in its own goes on there.
        self._dump_links(dump, links, ours)
        if whole:
            dump.bpf_entries = self.entries()
            dump.bpf_counters.update(self.counters())

    def _dump_links(self, dump: "Dump", links: "list[str]", ours: "set[int]") -> None:
        known = {}
        for name in links:
            try:
                fd = call.pinned(self._path(LINK, name))
            except OSError as error:
                if error.errno != compat.ENOENT:
                    raise
                continue  # removed meanwhile
            try:
                index, program, place = call.link_info(fd)
            finally:
                compat.fd_close(fd)
            if program not in known:
                known[program] = _program_name(program, ours)
            hook = TCX
            if place == call.NETKIT_PEER:
                hook, index = NETKIT, home_end(dump, name, index)
            dump.bpf_links.append(BpfLinkEntry(name, hook, index, known[program]))

    def _read(self, name: str) -> "list[tuple[bytes, bytes]]":
        one = MAPS[name]
        return call.map_read(self._maps[name], one.key, one.value)

    def entries(self) -> "Entries":
        """All entries."""
        names = PARSE if self._open_maps() else ()
        batches = {name: call.map_batches(self._maps[name], MAPS[name].key, MAPS[name].value) for name in names}
        return Entries(self._layout, batches)

    def counters(self) -> "dict[tuple[int, int], Counters]":
        """{(index of the source interface, of the pair): Counters}. Read every second: no other map is opened."""
        fds = self._maps or self._open(("slots", "counters", "passed"))
        try:
            return self._counters(fds) if fds else {}
        finally:
            if not self._maps:
                _close(fds)

    def _counters(self, fds: "dict[str, int]") -> "dict[tuple[int, int], Counters]":
        made, slots, cpus = self._layout, MAPS["slots"], call.possible_cpus()
        places = [(pair, made.parse_number(slot)) for pair, slot in call.map_read(fds["slots"], slots.key, slots.value)]
        if not places:
            return {}
        many = max([slot for _, slot in places]) + 1
        taken, passed = [call.array_read(fds[name], MAPS[name].value * cpus, many) for name in ("counters", "passed")]
        found = {}
        for pair, slot in places:
            numbers = made.parse_counters(taken, "Q", 2, slot, cpus) + [0, 0]
            found[made.parse_pair(pair)] = Counters(*numbers + made.parse_counters(passed, "I", 4, slot, cpus))
        return found

    # The maps

    def _open_maps(self) -> bool:
        """Whether all maps exist, as this agent makes them."""
        self._maps = self._maps or self._open(MAPS)
        return bool(self._maps)

    def _open(self, names: "Collection[str]") -> "dict[str, int]":
        """{name: descriptor} of these maps; nothing if one is missing, or not as this agent makes it."""
        if whose(self._folder) != OURS:
            return {}
        fds: dict[str, int] = {}
        for name in names:
            fd = -1
            try:
                fd = _open_as_made(self._folder, name)
            except OSError as error:
                if error.errno in compat.SPENT:
                    _close(fds)
                    raise
            if fd < 0:
                _close(fds)
                return {}
            fds[name] = fd
        return fds

    def _make_maps(self) -> None:
        if self._open_maps():
            self._spare.close()  # its programs have other maps
            return
        call.mount()
        try:
            os.mkdir(self._folder)
        except OSError as error:
            if error.errno != compat.EEXIST:
                raise
        if whose(self._folder) != OURS:
            raise FolderError(self._folder)
        self._remove(MAP, self._names(MAP))  # incomplete, or another agent's
        self._remove(PROGRAM, self._names(PROGRAM))  # they use those maps
        self._pin_new()

    def _pin_new(self) -> None:
        new = Loaded()
        try:
            new.take(self._spare)
            if not new.maps:
                new.make_maps()
            for name in MAPS:
                call.pin(new.maps[name], self._path(MAP, name))
            for name in new.programs:
                call.pin(new.programs[name], self._path(PROGRAM, name))
            self._maps, self._programs, new.maps, new.programs = new.maps, new.programs, {}, {}
        finally:
            new.close()

    def _remove(self, kind: str, names: "Iterable[str]") -> None:
        for name in names:
            try:
                os.remove(self._path(kind, name))
            except OSError as error:
                if error.errno != compat.ENOENT:
                    raise

    # The programs, their links and filters

    def program(self, name: str) -> int:
        """A descriptor of the program; loads it if it is not there yet."""
        self._make_maps()
        if name not in self._programs:
            path = self._path(PROGRAM, name)
            try:
                self._programs[name] = call.pinned(path)
            except OSError:
                code = ebpf.assemble(name.split("_")[0], call.ORDER, self._maps)
                self._programs[name] = call.prog_load(code, name)
                call.pin(self._programs[name], path)
        return self._programs[name]

    def add_link(self, item: "Any", index: int) -> None:
        path = self._path(LINK, item.dev)
        self._remove(LINK, [item.dev])  # left by a removed device of that name
        fd = call.link_create(self.program(item.program), index, PLACES[item.hook])
        try:
            call.pin(fd, path)
        finally:
            compat.fd_close(fd)

    def change_link(self, item: "Any") -> None:
        """Replaces the program, from one packet to the next."""
        program = self.program(item.program)
        fd = call.pinned(self._path(LINK, item.dev))
        try:
            call.link_update(fd, program)
        finally:
            compat.fd_close(fd)
        self._dirty = True

    def note_filter(self, item: "Any") -> None:
        """Pins the program that the device's filter now holds."""
        self._remove(FILTER, [item.dev])
        call.pin(self.program(item.program), self._path(FILTER, item.dev))
        self._dirty = True

    def del_link(self, item: "Any") -> None:
        """Removes the pin, and with it the link: nobody else holds it. (Of a filter only the pin goes.)"""
        self._remove(PIN[item.hook], [item.dev])
        self._dirty = True

    # The entries

    def set_match(self, item: "Any", index: int, target: int, nsid: int) -> None:
        """Adds an entry, or changes where it leads; `nsid` is the number of the pair's namespace, -1 without one."""
        self._make_maps()
        if item.vlan and index >> layout.VLAN_SHIFT:
            raise VlanError()
        kind, parts = layout.of_match(item)
        slot = self._slot(self._layout.pair(index, target))
        if not layout.is_exact(kind) or (kind.mac and not self._state()[2] & layout.MACS):
            self._set_kinds(self._kinds() | {kind})
        name, key = self._layout.key(kind, layout.on_vlan(index, item.vlan), parts)
        self._change()
        more = layout.LEAVES if item.leaves else layout.LASTS if layout.lasts(kind, item.mac) else 0
        value = self._layout.value(target, item.mac, slot, item.watched, item.checked, self.cut_in, nsid, more)
        call.map_update(self._maps[name], key, value)
        if self.cut_in:
            self._note_missed(slot)

    def del_match(self, item: "Any", index: int, target: int) -> None:
        """Deletes an entry, unless it leads to another pair by now; `target` is 0 for one that leads nowhere."""
        if not self._open_maps():
            return
        kind, parts = layout.of_match(item)
        name, key = self._layout.key(kind, layout.on_vlan(index, item.vlan), parts)
        value = call.map_lookup(self._maps[name], key, MAPS[name].value)
        if value is None or target not in (0, self._layout.parse_value(value)[0]):
            return
        self._change()
        call.map_delete(self._maps[name], key)
        self._dirty = True

    def _change(self) -> None:
        """Before the first change of matches: what the programs remember of them does not count until `settle`. If the
        agent is killed in between, that stays so: every packet is looked up, which is slower but correct."""
        if not self._changing:
            self._changing = True
            _, last, kinds = self._state()
            self._set_state(0, last, kinds)

    def _changed(self) -> None:
        self._changing = False
        _, last, kinds = self._state()
        new = last % 0xFFFFFFFF + 1  # 32 bits, and never 0
        self._set_state(new, new, kinds)

    def _state(self) -> "tuple[int, int, int]":
        # An array: it has all its elements.
        value: Any = call.map_lookup(self._maps["state"], self._layout.number(0), MAPS["state"].value)
        return self._layout.parse_state(value)

    def _set_state(self, *numbers: int) -> None:
        call.map_update(self._maps["state"], self._layout.number(0), self._layout.state(*numbers))

    def _slot(self, pair: bytes) -> int:
        """The slot that counts a pair; a new pair gets the lowest free one, starting from zero."""
        if self._slots is None:
            self._slots = {key: self._layout.parse_number(value) for key, value in self._read("slots")}
            taken = set(self._slots.values())
            self._free = [slot for slot in range(layout.SLOTS - 1, -1, -1) if slot not in taken]
        if pair in self._slots:
            return self._slots[pair]
        if not self._free:
            raise OSError(compat.E2BIG, "no place in map_counters")
        slot = self._free.pop()
        for name in ("counters", "passed"):
            empty = bytes(MAPS[name].value * call.possible_cpus())
            call.map_update(self._maps[name], self._layout.number(slot), empty)
        call.map_update(self._maps["slots"], pair, self._layout.number(slot))
        self._slots[pair] = slot
        return slot

    def _kinds(self) -> set:
        return {entry.kind for entry in self.entries()}

    def _set_kinds(self, kinds: set) -> None:
        """Writes `masks`, the narrower levels first. One that moves is briefly there twice, but never missing."""
        wanted = [self._layout.mask(kind) for kind in sorted(kinds) if not layout.is_exact(kind)]
        there = {key: value for key, value in self._read("masks") if any(value)}
        place = self._layout.number
        if [there.get(place(at)) for at in range(len(wanted) + 1)] != wanted + [None]:
            last_first = list(range(len(wanted)))
            if len(wanted) > len(there):
                last_first.reverse()
            for at in last_first:
                call.map_update(self._maps["masks"], place(at), wanted[at])
            for at in range(len(there) - 1, len(wanted) - 1, -1):
                call.map_update(self._maps["masks"], place(at), bytes(MAPS["masks"].value))
        generation, last, count = self._state()
        flags = count & layout.DRAINS | (layout.MACS if layout.EXACT_MAC in kinds else 0)
        if count != len(wanted) | flags:
            self._set_state(generation, last, len(wanted) | flags)

    # Connections that stay with the side that has them (ebpf/flows.py)

    def join(self, target: int) -> "list[tuple[int, int]]":
        """From now on the SYNs that a pair's entries take are noted. Returns (slot, VLAN) of those entries."""
        joined = []
        for name, key, value in self._entries_to({target}):
            interface = PARSE[name](self._layout, key)[0]
            joined.append((self._layout.slot_of(value), layout.of_vlan(interface)[1]))
            if not self._layout.parse_value(value)[2] & layout.JOINS:
                self._set_mode(name, key, value, layout.JOINS)
        self.settle()
        return joined

    def note_flows(self, flows: "Iterable[Flow]", target: int, joined: "Sequence[tuple[int, int]]", vlan: int) -> None:
        """Notes a pair's TCP connections. They count in the first slot of what it `joined`, and have its VLAN; without
        one they are not counted, and have `vlan`."""
        if not self._open_maps():
            return
        slot, vlan = joined[0] if joined else (layout.SLOTS, vlan)
        value = self._layout.value(target, "", slot)
        for one in flows:
            key = self._layout.flow_key(one.client, one.client_port, one.service, one.port, vlan)
            known = call.map_lookup(self._maps["flows"], key, MAPS["flows"].value)
            if known is None or self._layout.parse_value(known)[0] != target:
                call.map_update(self._maps["flows"], key, value)

    def forget_flows(self, target: int) -> None:
        """A pair's connections are taken no longer, unless an entry takes them."""
        if not self._open_maps():
            return
        for key, value in self._read("flows"):
            if self._layout.parse_value(value)[0] == target:
                call.map_delete(self._maps["flows"], key)

    def flow_targets(self) -> "set[int]":
        """The indexes of the pairs that have connections noted."""
        if not self._open_maps():
            return set()
        return {self._layout.parse_value(value)[0] for _, value in self._read("flows")}

    def drains(self) -> bool:
        """Whether what is noted is taken without an entry."""
        return bool(self._open_maps() and self._state()[2] & layout.DRAINS)

    def set_drains(self, drains: bool) -> bool:
        """Returns whether anything is pinned."""
        if not self._open_maps():
            return False
        generation, last, count = self._state()
        self._set_state(generation, last, count & ~layout.DRAINS | (layout.DRAINS if drains else 0))
        return True

    def end_take_over(self, targets: "Collection[int]", quiet: int) -> None:
        """Entries of these pairs take everything from now on, if no packet of another's connection was seen for so many
        seconds."""
        since = self._now() - (quiet * 1000000000 >> layout.DEADLINE_SHIFT)
        for name, key, value in self._entries_to(targets):
            if self._missed(self._layout.slot_of(value)) <= since:
                self._set_mode(name, key, value, 0)
        self.settle()

    def _entries_to(self, targets: "Collection[int]") -> "list[tuple[str, bytes, bytes]]":
        """(map, key, value) of each entry that leads to one of these pairs."""
        if not self._open_maps():
            return []
        parse = self._layout.parse_value
        return [(name, key, value) for name in PARSE for key, value in self._read(name) if parse(value)[0] in targets]

    def _set_mode(self, name: str, key: bytes, value: bytes, mode: int) -> None:
        self._change()
        call.map_update(self._maps[name], key, self._layout.in_mode(value, mode))

    def _note_missed(self, slot: int) -> None:
        """A take-over begins: who is silent now has as long as who was seen now."""
        place = self._layout.number
        call.map_update(self._maps["missed"], place(slot), place(self._now()))

    def _missed(self, slot: int) -> int:
        value: Any = call.map_lookup(self._maps["missed"], self._layout.number(slot), 4)  # an array has all of them
        return self._layout.parse_number(value)

    def _now(self) -> int:
        return compat.monotonic_ns() >> layout.DEADLINE_SHIFT

    def tidy(self) -> None:
        """Removes what nothing uses any more, after something was deleted."""
        if not self._dirty:
            return
        self._dirty = False
        if not self._names(LINK) and not self._names(FILTER):
            self.close()
            for kind in (PROGRAM, MAP):
                self._remove(kind, self._names(kind))
            try:
                os.rmdir(self._folder)
            except OSError as error:
                if error.errno != compat.ENOENT:
                    raise
            return
        if not self._open_maps():
            return
        entries = self.entries()
        self._set_kinds({entry.kind for entry in entries})
        pairs = {(entry.index, entry.target) for entry in entries}
        if self.drains():
            return  # what drains is still counted
        for pair, _ in self._read("slots"):
            if self._layout.parse_pair(pair) not in pairs:
                call.map_delete(self._maps["slots"], pair)
        self._slots = None
        current = [ebpf.name_of(which) for which in ebpf.EVERY]
        self._remove(PROGRAM, [name for name in self._names(PROGRAM) if name not in current])


def home_end(dump: "Dump", name: str, inner: int) -> int:
    """The index of the netkit device of that name here, if the other end has the given one; else 0."""
    here = [link for link in dump.links if (link.ns, link.name, link.kind) == ("", name, NETKIT)]
    return here[0].index if here and inner and here[0].peer == inner else 0


def _close(fds: "dict[str, int]") -> None:
    for name in list(fds):
        compat.fd_close(fds.pop(name))


def _is_as(info: "tuple[int, ...]", one: "layout.Map") -> bool:
    kind, _, key, value, entries, flags = info
    return (kind, key, value, entries, flags) == (one.type, one.key, one.value, one.entries, one.flags)


def _filters(dump: "Dump") -> "dict[str, tuple[int, int]]":
    """{device: (its index, the number of the program in the filter of ours there)}"""
    names = {link.index: link.name for link in dump.links if link.ns == ""}
    found = {}
    for entry in dump.filters:
        if entry.kind == "bpf" and entry.prio == BPF_PRIO and entry.classid == CLASSID and entry.index in names:
            found[names[entry.index]] = (entry.index, entry.keys)
    return found


def _program_name(number: int, ours: "set[int]") -> str:
    """The name of the program with that id; "" if it has other maps than the pinned ones."""
    try:
        fd = call.prog_by_id(number)
    except OSError as error:
        compat.unless_spent(error)
        return ""
    try:
        name, maps = call.prog_info(fd)
    finally:
        compat.fd_close(fd)
    return name if set(maps) <= ours else ""
