"""Groups of clients: what `client` and `exclude_client` of a service stand for. A group has no groups in it, so none
can be in itself."""

from collections import namedtuple

from ..errors import CONFIG, Problem
from ..plan.groups import MOST, once
from ..shell import shown, there_are

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..address import Prefix
    from .service import Part

# Who is meant: `clients` as in Service.clients, and `hosts`, the names of others, whose leases say which clients they
# are (plan/leased.py).
Group = namedtuple("Group", ("clients", "hosts"))


def read(parts: "Iterable[Part]", problems: "list[Problem]") -> "dict[str, Group | None]":
    """Groups by their names, None for one with a mistake."""
    found: dict[str, Group | None] = {}
    for part in parts:
        values = part.values
        group = Group(tuple(values["mac"] + values["ip"]), tuple(values["name"]))
        wrong = ""
        if not any(group) and not part.broken:
            wrong = "has no members: name clients by mac, ip or name"
        elif _count(group) > MOST:
            wrong = "has %d members, and at most %d fit: use prefixes" % (_count(group), MOST)
        if wrong:
            problems.append(Problem(CONFIG, "", part.where, wrong))
        found[part.section.name] = None if wrong or part.broken else group
    return found


def members(part: "Part", option: str, groups: "dict[str, Group | None]", bad: "Callable") -> "Group":
    """Who is meant by an option of a service that names clients and groups. `bad(option, text)` takes what is wrong."""
    clients: list[str | Prefix] = []
    hosts: list[str] = []
    for each in part.values[option]:
        if not is_group(each):
            clients.append(each)
            continue
        group = groups.get(each)
        if group is not None:
            clients += group.clients
            hosts += group.hosts
        elif each in groups:
            bad("", "is skipped, because its group section '%s' has a mistake" % each)
        else:
            bad(option, "%s is no group section%s" % (shown(each), there_are(sorted(groups))))
    found = Group(once(clients), once(hosts))
    if _count(found) > MOST:
        bad(option, "means %d clients, and at most %d fit a service: use prefixes" % (_count(found), MOST))
    return found


def is_group(client: "str | Prefix") -> bool:
    """Whether a value of such an option is the name of a group: a MAC address has colons."""
    return isinstance(client, str) and ":" not in client


def _count(group: "Group") -> int:
    return len(group.clients) + len(group.hosts)
