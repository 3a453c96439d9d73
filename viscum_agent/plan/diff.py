"""What to do so that the kernel holds what was planned: a pure function of two lists of records.

Nothing is removed before its successor exists: additions and changes come first, with the redirect last of them, then
removals, with the redirect first. Only if a service's namespace or pair of devices is not what it should be is the
whole service taken down and made again. The hook of its pair goes first where its filters get another kind: the kernel
keeps one kind in a prio, and the prio of u32 after its last filter.
"""

from ..records.objects import (
    KINDS,
    PAIR_FILTER,
    BpfLink,
    Guard,
    HashTable,
    Mark,
    Operation,
    Pair,
    Prio,
    Qdisc,
    is_left,
    kind_of,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from .actual import Found, Observed


def identity(item: "Any") -> tuple:
    """What identifies a wanted and an observed object as the same one, perhaps with other values."""
    key = kind_of(item).key
    return (type(item), key(item) if key else item)


def redirects_of(found: "Sequence[Found]") -> "list[Found]":
    """The redirect among the Found objects of a service."""
    return [each for each in found if kind_of(each.item).redirect]


def diff(wanted: "Sequence", found: "Sequence[Found]") -> "list[Operation]":
    """The operations from the Found objects of a service (observe) to the wanted ones (objects)."""
    if not wanted:
        return removal(found)
    if not same_base(wanted, found):
        return removal(found) + [Operation("add", item, None, 0) for item in _ordered(wanted)]
    gone = [each for each in found if _is_half(each.item)]
    first = []
    if gone:  # what hangs on the end that goes
        gone += [each for each in found if isinstance(each.item, Guard)] + _hook_of_pair(found)
        first = removal(gone)
    elif _has_other_kind(wanted, found):
        gone = _hook_of_pair(found)
        first = [Operation("del", None, each.item, each.handle) for each in gone if isinstance(each.item, Qdisc)]
    return first + _in_place(wanted, [each for each in found if each not in gone])


def _hook_of_pair(found: "Sequence[Found]") -> "list[Found]":
    """The qdisc of a pair and the filters in it."""
    return [each for each in found if isinstance(each.item, Qdisc) or kind_of(each.item) is PAIR_FILTER]


def _has_other_kind(wanted: "Sequence", found: "Sequence[Found]") -> bool:
    """Whether the hook of a pair stays, and has filters of another kind than the wanted ones."""
    kinds = {item.kind for item in wanted if kind_of(item) is PAIR_FILTER}
    stays = any(isinstance(item, Qdisc) for item in wanted)
    return stays and any(kind_of(each.item) is PAIR_FILTER and each.item.kind not in kinds for each in found)


def removal(found: "Sequence[Found]") -> "list[Operation]":
    """Takes a whole service down. What is in its namespace or on its devices goes with them."""
    places: list[list] = [[] for _ in KINDS]
    for last in (False, True):
        for each in found:
            kind = kind_of(each.item)
            if kind.outlives and _goes_last(each.item) == last:
                places[-1 - kind.rank].append(Operation("del", None, each.item, each.handle))
    return [operation for place in places for operation in place]


def _is_half(item: "Any") -> bool:
    """Whether it is a pair without its inner end: it is being deleted, or somebody moved that end."""
    return isinstance(item, Pair) and not item.ns


def same_base(wanted: "Sequence", found: "Sequence[Found]") -> bool:
    """Whether the namespace and the pair exist as wanted, except for values that can be changed.

    A pair that is gone, or half gone, is made again in the namespace where the program keeps running.
    """
    there = [identity(each.item) for each in found if kind_of(each.item).base and not _is_half(each.item)]
    pair = any(record is Pair for record, _ in there)
    for item in wanted:
        if kind_of(item).base and identity(item) not in there and (pair or not isinstance(item, Pair)):
            return False
    return True


def _in_place(wanted: "Sequence", found: "Sequence[Found]") -> "list[Operation]":
    there: dict = {}
    surplus = []
    for each in found:
        key = identity(each.item)
        if key in there:
            surplus.append(each)  # a duplicate: one is enough
        else:
            there[key] = each
    makes = []
    for item in _ordered(wanted):
        each = there.pop(identity(item), None)
        if each is None:
            makes.append(Operation("add", item, None, 0))
        elif _said(each.item) != _said(item):
            makes.append(Operation("change", item, each.item, each.handle))
    left = surplus + [each for each in there.values() if not kind_of(each.item).lasting]
    drops = [Operation("del", None, each.item, each.handle) for each in sorted(left, key=_down_key)]
    return makes + drops


def _said(item: "Any") -> "Any":
    said = kind_of(item).said
    return said(item) if said else item


def _ordered(items: "Iterable") -> list:
    """In the order of creation, and within a kind as planned (MicroPython's sort would not keep that)."""
    places: list[list] = [[] for _ in KINDS]
    for item in items:
        places[kind_of(item).rank].append(item)
    return [item for place in places for item in place]


def _down_key(found: "Found") -> "tuple[int, bool, str]":
    return (-kind_of(found.item).rank, _goes_last(found.item), str(found.item))


def _goes_last(item: "Any") -> bool:
    """Within its kind: without what a redirect leaves it would take that as well, for as long as it is there."""
    return bool(kind_of(item).redirect and is_left(item))


def diff_shared(wanted: "Iterable", observed: "Observed") -> "tuple[list[Operation], list[Operation]]":
    """(additions, removals) of what services share: programs, qdiscs and hash tables.

    A qdisc is added only if there is no ingress hook at all. One that we made is removed only if it has nobody else's
    filters; otherwise only our mark goes and the qdisc is theirs. A prio's hash table is removed with the prio, unless
    somebody else has a filter in that prio.
    """
    there = [each.item for each in observed.shared]
    adds = []
    gone = set()
    programs = {identity(item): item for item in there if isinstance(item, BpfLink)}
    needed = {identity(item) for item in wanted}
    dels = [Operation("del", None, programs[key], 0) for key in sorted(programs) if key not in needed]
    for item in there:
        if not isinstance(item, Qdisc) or item in wanted:
            continue
        if item.dev in observed.strangers:
            dels.append(Operation("del", None, Mark(item.dev), 0))
        else:
            gone.add(item.dev)
            dels.append(Operation("del", None, item, 0))
    for item in _ordered(wanted):
        if item in there or (isinstance(item, Qdisc) and item.dev in observed.hooks):
            continue
        old = programs.get(identity(item))
        adds.append(Operation("change" if old else "add", item, old, 0))
    for each in observed.shared:
        item = each.item
        if isinstance(item, HashTable) and item not in wanted and item.dev not in gone:
            prio = [] if (item.dev, item.prio) in observed.foreign_prios else [Prio(item.dev, item.prio, item.protocol)]
            dels[:0] = [Operation("del", None, item, each.handle)] + [Operation("del", None, one, 0) for one in prio]
    return adds, dels
