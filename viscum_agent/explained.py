"""What becomes of a packet, from what a look has found: what `viscum explain` and the ubus method of that name ask."""

from .kernel import bpf_deadline, commands, passage
from .plan import explain
from .records import with_

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .plan.packet import Packet
    from .reconcile import Snapshot

MOST_REASONS = 12  # an address may be near to many services


def explained(asked: "Packet", snapshot: "Snapshot", states: "dict[str, tuple[str, str]]") -> "dict[str, Any]":
    """In a Snapshot with its dump; `states` maps services to (state, reason)."""
    links = [link for link in snapshot.dump.links if link.ns == ""]
    names = {link.index: link.name for link in links}
    indexes = {link.name: link.index for link in links}
    if not asked.dev:  # the one that leads to whom it is from
        asked = with_(asked, dev=names.get(passage.back(0, b"", asked.src), ""))

    def back(pair: str, service: bytes, client: bytes) -> "str | None":
        index = passage.back(indexes[pair], service, client) if pair in indexes else passage.UNSAID
        return None if index == passage.UNSAID else names.get(index, "")

    planned = {part.service.name: part.service for part in snapshot.plan.services}  # with what names have
    there = explain.There(
        links=links,
        observed=snapshot.observed,
        plan=snapshot.plan,
        services=[planned.get(service.name, service) for service in snapshot.configuration.services],
        states=states,
        late=bpf_deadline.has_passed(),
        hears=lambda name: passage.hears(indexes[name]),
        back=back,
    )
    found = explain.explain(asked, there)
    return {
        "taken": found.service != "",
        "device": asked.dev,
        "service": found.service,
        "match": found.match,
        "rule": commands.rule(found.rule) if found.rule else "",
        "reasons": found.reasons[:MOST_REASONS],
    }
