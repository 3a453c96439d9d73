"""Applies the plan to the kernel, service by service, checks the result, and rolls back what failed.

A service is applied as a whole or not at all: the redirect last, so that no client is sent to something unfinished. If
a step fails, the kernel is read again and the service restored to what it had before (nothing, if it is new). Other
services are not touched. At the end a fresh dump must match the plan: what the kernel silently did otherwise is an
error too.
"""

from collections import namedtuple

from .errors import BUG, Problem, ViscumError
from .kernel import commands
from .plan import datapath
from .plan.actual import observe
from .plan.diff import diff, diff_shared, identity, redirects_of, removal
from .records.objects import BPF_PRIO, CLS, BpfLink, Filter, Operation, Pair, Prio, kind_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from typing import Any

    from .kernel.backend import Backend
    from .plan.actual import Found, Observed
    from .plan.planner import Plan, ServicePlan

# `done`: names of the services that were changed; `problems`: what failed, by service.
Result = namedtuple("Result", ("done", "problems"))


class Applier:
    """`backend` is a kernel.backend.Backend. Programs are not handled here: they run while their namespace exists."""

    def __init__(
        self,
        backend: "Backend",
        package: str = "viscum",
        breathe: "Callable[[], object] | None" = None,
        gone: "Collection[str]" = (),
    ) -> None:
        """`breathe()` is called between two services. Services whose names are in `gone` by then are left out."""
        self._backend = backend
        self._breathe = breathe
        self._gone = gone
        self._package = package
        self._problems: list[Problem] = []
        self._done: list[str] = []

    def run(
        self, plan: "Plan", before: "Observed", keep: "Sequence[str]" = (), ending: "Sequence[str]" = ()
    ) -> "Result":
        """Applies a Plan; `before` is the Observed that it was made from. Services in `keep` stay as they are. So do
        those in `ending`, whose clients are being sent away: until they are gone no shared object goes either, because
        removing a qdisc costs the device packets (qdisc_graft), and the last ones to their clients are among them."""
        with self._backend.work:
            return self._run(plan, before, keep, ending)

    def _run(self, plan: "Plan", before: "Observed", keep: "Sequence[str]", ending: "Sequence[str]") -> "Result":
        keep = list(keep) + list(ending)
        wanted = {part.service.name: part for part in plan.services}
        left, before = _left_over(plan, before, keep)
        if left:
            self._guard("", lambda: self._backend.apply(left))
        self._take_down([name for name in sorted(before.services) if name not in wanted and name not in keep], before)
        shared = [found.item for found in before.shared]
        failed = [part.service.name for part in plan.services if not self._see_to(part, before, shared)]
        self._settle(wanted, failed, before, None if ending else keep)
        return Result(self._done, self._problems)

    def _see_to(self, part: "ServicePlan", before: "Observed", shared: list) -> bool:
        if self._breathe:
            self._breathe()
        return part.service.name not in self._gone and self._bring_up(part, before, shared)

    def _guard(self, name: str, step: "Callable[..., object]") -> bool:
        """Whether a step succeeded; if not, its reason is kept."""
        try:
            step()
        except ViscumError as error:
            self._report(error.kind, name, str(error))
            return False
        return True

    def _report(self, kind_of_error: str, name: str, text: str) -> None:
        where = "%s.%s" % (self._package, name) if name else self._package
        self._problems.append(Problem(kind_of_error, name, where, text))

    def _take_down(self, names: "list[str]", observed: "Observed") -> None:
        """Sends clients to the cloud first, then removes the rest."""
        names = self._remove(names, observed, redirects_of)
        self._done.extend(self._remove(names, observed, _others))

    def _remove(
        self, names: "list[str]", observed: "Observed", part: "Callable[[list[Found]], list[Found]]"
    ) -> "list[str]":
        """Removes one part of what services have, all in one batch; returns the names for which it succeeded."""
        found = []
        for name in names:
            found.extend(part(observed.of(name)))
        try:
            self._backend.apply(removal(found))
            return names
        except ViscumError:  # removing each on its own shows which one fails
            now = observe(self._backend.dump())
        one = lambda name: self._backend.apply(removal(part(now.of(name))))  # noqa: E731
        return [name for name in names if self._guard(name, lambda name=name: one(name))]

    def _bring_up(self, part: "ServicePlan", before: "Observed", shared: list) -> bool:
        """Whether a service is now as planned; if not, it is as it was before."""
        name = part.service.name
        found = before.of(name)
        first, redirect = _halves(part, found, before, shared)
        if not self._guard(name, lambda: self._backend.apply(first)):
            self._restore(name, before.of(name), shared)
            return False
        if not self._guard(name, lambda: self._backend.apply(redirect)):
            self._restore(name, before.of(name), shared)
            return False
        shared.extend([operation.new for operation in redirect if _is_shared(operation)])
        if first or redirect:
            self._done.append(name)
        return True

    def _restore(self, name: str, old: "list[Found]", shared: list) -> None:
        """Restores what a service had (Found objects; none: down); `shared` becomes what is there now."""
        now = observe(self._backend.dump())
        shared[:] = [found.item for found in now.shared]
        operations = diff(_what_was_whole(old), now.of(name))
        self._guard(name, lambda: self._backend.apply(operations))

    def _settle(
        self, wanted: "dict[str, ServicePlan]", failed: "list[str]", before: "Observed", keep: "Sequence[str] | None"
    ) -> None:
        """Checks the result: removes shared objects that neither the plan nor `keep` needs (None: no matter who does),
        and applies once more what is not as planned.

        Somebody else may have changed something meanwhile. What is still missing after that, the kernel silently did
        not do.
        """
        failed = failed + [name for name in wanted if name in self._gone and name not in failed]
        good = [wanted[name] for name in wanted if name not in failed]
        touched = self._done or self._problems or before.orphans
        dump = self._backend.dump if good else self._backend.dump_marks
        # Of the addresses of names there may be hundreds: those that are as planned are no objects of their own.
        same = {item: item for part in good if part.service.named for item in part.items}
        now = observe(dump(), same) if touched else before
        late = [part for part in good if diff(part.items, now.of(part.service.name))]
        shared = [found.item for found in now.shared]
        again = [part for part in late if self._bring_up(part, now, shared)]
        if late:
            now = observe(self._backend.dump())
        failed = failed + [part.service.name for part in late if part not in again]
        there = [part for part in good if part.service.name not in failed]
        surplus = [] if keep is None else _surplus(there, list(keep) + failed, now)
        if surplus:
            self._guard("", lambda: self._backend.apply(surplus))
        for part in again:
            name = part.service.name
            left = diff(part.items, now.of(name))
            if left:
                self._report(BUG, name, "the kernel did not take it as planned: " + "; ".join(commands.lines(left)[:3]))
                self._restore(name, before.of(name), [])


def _left_over(plan: "Plan", observed: "Observed", keep: "Sequence[str]") -> "tuple[list[Operation], Observed]":
    """(the removal of what is in the way, what is there after that): orphans; what is in a prio where filters of
    another kind are to come, since a prio has one kind, and such prios that u32 has left empty, which it keeps while
    another prio has filters of it (u32_delete in net/sched/cls_u32.c); redirects that move to another service, since
    the kernel has one for the same packets (EEXIST of flower)."""
    others, emptied = _of_another_kind(plan, observed)
    found = [Operation("del", None, prio, 0) for prio in sorted(emptied)]
    parts = plan.services if len(plan.services) > 1 else []
    whose = {identity(item): part.service.name for part in parts for item in part.items if kind_of(item).redirect}
    moved = {}
    for name in sorted(observed.services) if whose else ():
        theirs = redirects_of(observed.of(name)) if name not in keep else []
        gone = [each for each in theirs if whose.get(identity(each.item), name) != name]
        if gone:
            moved[name] = gone
    after = observed.without_redirects(()) if moved or others else observed
    for name in moved:
        after.services[name] = [each for each in observed.of(name) if each not in moved[name]]
    if others:
        after.shared = [each for each in after.shared if each not in others]
        for name in after.services:
            after.services[name] = [each for each in after.services[name] if each not in others]
    return removal(observed.orphans + others + [each for name in sorted(moved) for each in moved[name]]) + found, after


def _of_another_kind(plan: "Plan", observed: "Observed") -> "tuple[list[Found], set[Prio]]":
    """(what is in a prio where something of another kind is to come: a program's filter and those of an address with
    something left out (plan/clients.py) have one; prios that u32 has left empty there, or will have)"""
    there = []
    for each in observed.shared + [each for name in observed.services for each in observed.of(name)]:
        place, kind = _place_of(each.item)
        if place and place[1] == BPF_PRIO:
            there.append((each, place, kind))
    if not there and not observed.empty:
        return [], set()
    wanted: dict[tuple[str, int], set[str]] = {}
    for part in plan.services:
        for item in part.items + part.shared:
            place, kind = _place_of(item)
            if place:
                wanted.setdefault(place, set()).add(kind)
    emptied = {prio for prio in observed.empty if wanted.get((prio.dev, prio.prio), {"u32"}) != {"u32"}}
    theirs = []
    for each, place, kind in there:
        if wanted.get(place, {kind}) != {kind}:
            theirs.append(each)
            if kind == "u32":
                emptied.add(Prio(each.item.dev, BPF_PRIO, each.item.protocol))
    return theirs, emptied


def _place_of(item: "Any") -> "tuple[tuple[str, int] | None, str]":
    """((device, prio), kind) of a filter, None for what is none."""
    if isinstance(item, Filter):
        return (item.dev, item.prio), item.kind
    return ((item.dev, BPF_PRIO), "bpf") if isinstance(item, BpfLink) and item.hook == CLS else (None, "")


def _what_was_whole(found: "list[Found]") -> list:
    """What a service can be restored to. What was broken before can't be recreated: half a pair, an end that was down,
    a filter that we did not write. Without its pair a service keeps its namespace, where its program runs."""
    items = [each.item for each in found if _can_be_made(each.item)]
    if any(isinstance(each.item, Pair) and each.item not in items for each in found):
        return [item for item in items if kind_of(item).alone]
    return items


def _can_be_made(item: "Any") -> bool:
    whole = kind_of(item).whole
    return whole is None or whole(item)


def _others(found: "list[Found]") -> "list[Found]":
    return [each for each in found if not kind_of(each.item).redirect]


def _is_shared(operation: "Operation") -> bool:
    return kind_of(operation.new or operation.old).shared


def _halves(
    part: "ServicePlan", found: "list[Found]", observed: "Observed", shared: list
) -> "tuple[list[Operation], list[Operation]]":
    """The operations of a service before its program starts, and those after: the redirect, and what it replaces.

    `shared` are the shared objects that exist by now.
    """
    operations = diff(part.items, found)
    cut = _redirect_start(operations)
    missing = [operation for operation in diff_shared(part.shared, observed)[0] if operation.new not in shared]
    return operations[:cut], missing + operations[cut:]


def _redirect_start(operations: "list[Operation]") -> int:
    """Where the redirect begins: at its first part that is added or changed, else where only removals are left."""
    for position, operation in enumerate(operations):
        if operation.verb != "del" and kind_of(operation.new).late:
            return position
    position = len(operations)
    while position and operations[position - 1].verb == "del":
        position -= 1
    return position


def _surplus(parts: "Iterable[ServicePlan]", others: "Iterable[str]", observed: "Observed") -> "list[Operation]":
    """The removal of shared objects that neither the plan's parts nor the other services depend on."""
    needed = set()
    for part in parts:
        needed.update(part.shared)
    for name in others:
        needed.update(shared_of(observed.of(name)))
    return diff_shared(needed, observed)[1]


def shared_of(found: "list[Found]") -> set:
    """The shared objects that observed redirects depend on."""
    needed: set = set()
    for each in redirects_of(found):
        needed.update(datapath.of(each.item).rests_on(each.item))
    return needed


def pending(plan: "Plan", observed: "Observed", keep: "Sequence[str]" = ()) -> "list[tuple[str, list[Operation]]]":
    """What `run` would do, as [(heading, operations)] in that order: what `viscum plan` prints."""
    wanted = {part.service.name: part for part in plan.services}
    over, observed = _left_over(plan, observed, keep)
    parts = [("left over", over)]
    left = [name for name in sorted(observed.services) if name not in wanted and name not in keep]
    parts += [(name, removal(observed.of(name))) for name in left]
    shared = [found.item for found in observed.shared]
    for part in plan.services:
        first, redirect = _halves(part, observed.of(part.service.name), observed, shared)
        shared.extend([operation.new for operation in redirect if _is_shared(operation)])
        parts.append((part.service.name, first + redirect))
    parts.append(("shared", _surplus(plan.services, keep, observed)))
    return [(heading, operations) for heading, operations in parts if operations]
