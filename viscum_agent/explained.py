"""What becomes of a packet, from what a look has found: what `viscum explain` and the ubus method of that name ask."""

from . import address
from .kernel import bpf_deadline, commands, passage
from .plan import clients, explain
from .records import with_

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .plan.packet import Packet
    from .reconcile import Snapshot
    from .records.dump import Link

MOST_REASONS = 12  # an address may be near to many services


def _sender(asked: "Packet", links: "list[Link]") -> str:
    """The MAC address that the router knows of whom it is from, "" for none."""
    found = b""
    for link in links:
        if link.name == asked.dev:
            found = passage.neighbours(link.master or link.index).get(asked.src, b"")
    return address.format_mac(found) if found else ""


def explained(asked: "Packet", snapshot: "Snapshot", states: "dict[str, tuple[str, str]]") -> "dict[str, Any]":
    """In a Snapshot with its dump; `states` maps services to (state, reason)."""
    links = [link for link in snapshot.dump.links if link.ns == ""]
    names = {link.index: link.name for link in links}
    indexes = {link.name: link.index for link in links}
    if not asked.dev:  # the one that leads to whom it is from
        asked = with_(asked, dev=names.get(passage.back(0, b"", asked.src), ""))
    if not asked.sender and any(clients.asks_macs(part.service) for part in snapshot.plan.services):
        asked = with_(asked, sender=_sender(asked, links))

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
