"""What tenants may have: third parties who control services of their own on somebody's router.

A `config tenant` bounds what the services with its name may say. Nothing is allowed that is not listed: in the table of
options here, and in the tenant's section. The names of a tenant's services begin with his and a `_`: so one pattern in
an access list, `viscum.acme_*`, is all of his objects at ubus, and nobody else's. Pure functions.
"""

from collections import namedtuple

from .. import address
from ..errors import CONFIG, ConfigError, Problem
from ..plan import hosts
from ..records import with_
from ..shell import printable, quote, shown, some, there_are, word
from . import uci
from .schema import words_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .service import Match, Part, Service
    from .uci import _Section as Section

# The options of a service that a tenant may set. Whatever is not here is the owner's, with a reason for each in
# tests/unit/shared/test_tenants.py.
FREE = words_of(
    "enabled command env umask family src_ip src_mac target_port exclude_dest burst start_timeout dynamic_ports "
    "healthcheck health_port health_interval health_timeout health_rise health_fall tenant"
)
# Those that a tenant's section bounds.
BOUNDED = words_of("interface device proto dest_ip dest_host dest_port memory_max cpu_max rate")
ALONE = (22, 53)  # ports by which routers are reached and names are found: only for who has them by themselves
LARGEST = 16384  # bytes of all that a tenant configures

NOT_HIS = "is not for tenants: take it out; the router's owner may give the section to himself (no option tenant)"
TAKEN = "is in use by somebody else: choose another"

# `values` are those of its section, checked; `bounds` the same as text, for people; `services` names of sections.
Tenant = namedtuple("Tenant", ("name", "values", "bounds", "services"))


def prefix_of(name: str) -> str:
    """What the names of a tenant's services begin with."""
    return name + "_"


# Bounds


def judge(
    renting: "list[Part]", parts: "list[Part]", made: "list[Service]", problems: "list[Problem]"
) -> "tuple[list[Service], dict[str, Tenant | None]]":
    """The Services with their tenants, and those by their names, None for one with a mistake. What a service has beyond
    its bounds is added to `problems`. `parts` are the sections of all services, `made` what of them has no mistake of
    another kind."""
    tenants = _read(renting, problems)
    services = {each.name: each for each in made}
    used: dict[tuple[str, str], int] = {}
    for part in parts:
        name, section = part.values["tenant"], part.section.name
        said: set[tuple[str, str]] = set()

        def bad(option: str, text: str, part: "Part" = part, said: "set[tuple[str, str]]" = said) -> None:
            if (option, text) not in said:  # many matches make it many times
                said.add((option, text))
                where = part.where + ("." + option if option else "")
                problems.append(Problem(CONFIG, part.section.name, where, text))

        if not name:
            _warn_of_name(part, tenants, problems)
        elif tenants.get(name) is None:
            text = "has a mistake" if name in tenants else "is no tenant section" + there_are(sorted(tenants))
            bad("tenant", "%s %s" % (shown(name), text))
        else:
            tenant: Any = tenants[name]
            _judge_section(tenant, part, bad)
            _count(tenant, "services", 1, used, "", bad)
            if section in services:
                _judge_service(tenant, services[section], bad)
                _judge_sums(tenant, services[section], used, bad)
                services[section] = with_(services[section], tenant=tenant)
    return [services[each.name] for each in made], tenants


def _read(renting: "list[Part]", problems: "list[Problem]") -> "dict[str, Tenant | None]":
    found: dict[str, Tenant | None] = {}
    for part in renting:
        name = part.section.name
        if "_" in name or part.section.anonymous:
            text = (
                "needs a name without `_` (config tenant 'acme'): what is before it in a service's name is its tenant"
            )
            problems.append(Problem(CONFIG, "", part.where, text))
        wrong = part.broken or "_" in name or part.section.anonymous
        found[name] = None if wrong else Tenant(name, part.values, part.section.options, [])
    return found


def _warn_of_name(part: "Part", tenants: "dict[str, Tenant | None]", problems: "list[Problem]") -> None:
    """Of a service that a tenant would reach by its name: it has no object of its own at ubus."""
    first = part.section.name.split("_")[0]
    if first in tenants and "_" in part.section.name:
        text = "is named as the services of tenant '%s' are, and is not his: rename it, or set its option tenant"
        problems.append(Problem(CONFIG, "", part.where, text % first))


def _judge_section(tenant: "Tenant", part: "Part", bad: "Callable") -> None:
    prefix = prefix_of(tenant.name)
    if not part.section.name.startswith(prefix) or part.section.name == prefix:
        bad("", "is a service of tenant '%s': name it '%sNAME'" % (tenant.name, prefix))
    else:
        tenant.services.append(part.section.name)
    for option in denied(part.section):
        bad(option, NOT_HIS)
    for option in ("interface", "device"):
        for each in part.values[option]:
            if each not in tenant.values[option]:
                bad(option, _beyond(tenant, shown(each), option))


def denied(section: "Section") -> "list[str]":
    """The options of a section that are not for tenants, sorted."""
    return [name for name in sorted(section.options) if name not in FREE and name not in BOUNDED]


def _beyond(tenant: "Tenant", what: str, bound: str) -> str:
    there = tenant.bounds.get(bound, [])
    may = some(words_of(there) if isinstance(there, str) else there, 8) or "none"
    return "%s is beyond the bounds of tenant '%s' (%s: %s): take what is in them" % (what, tenant.name, bound, may)


def _judge_service(tenant: "Tenant", service: "Service", bad: "Callable") -> None:
    for match in service.matches:
        _judge_destination(tenant, match, bad)
    for match in service.matches + hosts.templates(service):
        _judge_ports(tenant, match, bad)
    for group in service.named:
        for host in group.hosts:
            if not any(_has_host(bound, host) for bound in tenant.values["dest_host"]):
                bad("dest_host", _beyond(tenant, shown(host), "dest_host"))


def _judge_destination(tenant: "Tenant", match: "Match", bad: "Callable") -> None:
    wanted = match.dst or address.parse_prefix("0.0.0.0/0" if match.family == 4 else "::/0")
    if not any(address.contains(bound, wanted) for bound in tenant.values["dest"]):
        what = address.format_prefix(wanted) if match.dst else "any IPv%d address" % match.family
        bad("dest_ip", _beyond(tenant, what, "dest"))


def _has_host(bound: str, host: str) -> bool:
    return host == bound or (bound.startswith("*.") and host.endswith(bound[1:]))


def _judge_ports(tenant: "Tenant", match: "Match", bad: "Callable") -> None:
    if not match.proto:
        bad("proto", "'any' has no ports, which is what bounds a tenant: say tcp, udp or both")
        return
    bound = match.proto + "_port"
    low, high = match.dport or (1, 65535)
    what = match.proto.upper() + (" port %d" % low if low == high else " ports %d-%d" % (low, high))
    if not any(first <= low and high <= last for first, last in tenant.values[bound]):
        bad("dest_port", _beyond(tenant, what, bound))
    for port in ALONE:
        if low <= port <= high and (port, port) not in tenant.values[bound]:
            text = "%s has port %d, which tenant '%s' has no `list %s` for alone: take others"
            bad("dest_port", text % (what, port, tenant.name, bound))


# Bounds of a sum: the tenant's option, that of each service, and how the sum is written.
SUMS = (
    ("memory", lambda service: service.program.memory_max, "memory_max"),
    ("cpu", lambda service: service.program.cpu_max, "cpu_max"),
    ("rate", lambda service: service.rate, "rate"),
)


def _judge_sums(tenant: "Tenant", service: "Service", used: "dict[tuple[str, str], int]", bad: "Callable") -> None:
    for bound, value_of, option in SUMS if service.enabled else ():
        if tenant.values[bound] is None:
            continue
        value = value_of(service)
        if value is None:
            text = "is missing: tenant '%s' has %s %s for all of its services, so each says how much of it is its own"
            bad(option, text % (tenant.name, bound, tenant.bounds[bound]))
        else:
            _count(tenant, bound, value, used, option, bad)


def _count(
    tenant: "Tenant", bound: str, amount: int, used: "dict[tuple[str, str], int]", option: str, bad: "Callable"
) -> None:
    """Adds to what the tenant uses, in the order of the file."""
    total = used.get((tenant.name, bound), 0) + amount
    if total > tenant.values[bound]:
        text = "is more than tenant '%s' has left (%s %s for all of its services): make it less, or another"
        bad(option, text % (tenant.name, bound, tenant.bounds.get(bound, tenant.values[bound])))
    else:
        used[tenant.name, bound] = total


# What a tenant configures


def of_tenant(sections: "list[Section]", name: str) -> "list[Section]":
    return [each for each in sections if each.type == "service" and each.options.get("tenant") == name]


def text_of(sections: "list[Section]") -> str:
    """As `uci commit` writes them."""
    lines = []
    for section in sections:
        lines.append("config %s%s" % (word(section.type), "" if section.anonymous else " " + quote(section.name)))
        for name, value in section.options.items():
            many = isinstance(value, list)
            key = "\t%s %s " % ("list" if many else "option", name)
            lines += [key + quote(each) for each in (value if many else (value,))]
        lines.append("")
    return "\n".join(lines) + "\n" * bool(lines)


def merged(sections: "list[Section]", name: str, text: bytes) -> "tuple[bytes, list[Section]]":
    """The configuration, as text and as it is read, with the services of `text` in the place of those that the tenant
    had. What tenants have comes last, and of that what is new or changed: whoever had an address or an account before
    goes before it. Raises ConfigError for what is no text of a tenant's services."""
    if len(text) > LARGEST:
        raise ConfigError("it is larger than %d bytes: leave something out" % LARGEST)
    wanted = [_his(each, name) for each in uci.parse(text, "config")]
    mine = of_tenant(sections, name)
    others = [each.name for each in sections if each not in mine]
    for section in wanted:
        if section.name in others:
            raise ConfigError("%s: the name %s" % (section.name, TAKEN))
    same = [each for each in mine if (each.name, each.options) in [(one.name, one.options) for one in wanted]]
    known = [each.name for each in same]
    rented = [each for each in sections if each.options.get("tenant") and each.type == "service"]
    left = [each for each in sections if each not in rented]
    left += [each for each in rented if each not in mine or each in same]
    left += [each for each in wanted if each.name not in known]
    made = text_of(left).encode()
    if len(made) > uci.MAX_SIZE:
        raise ConfigError("there is no room for it: leave something out")
    # Whatever a text might do to other sections shows here.
    found = uci.parse(made, "config")
    if [_whole(each) for each in found] != [_whole(each) for each in left]:
        raise ConfigError("it would change what others have: the owner's unnamed services need names")
    return made, found


def _whole(section: "Section") -> tuple:
    """Without the name that libuci makes from where a section is in the file: only a service has it as its own."""
    return section.type, section.type != "service" and section.anonymous or section.name, section.options


def _his(section: "Section", name: str) -> "Section":
    """A section as it is written for the tenant. Raises ConfigError."""

    def refuse(option: str, text: str) -> None:
        raise ConfigError("%s%s: %s" % (printable(section.name), "." + option if option else "", text))

    if section.type != "service":
        refuse("", "config %s is not for tenants: they have `config service 'NAME'` and nothing else" % section.type)
    if section.anonymous:
        refuse("", "has no name: config service '%sNAME'" % prefix_of(name))
    for option in denied(section):
        refuse(option, NOT_HIS)
    for option, _ in section.repeated:
        refuse(option, "is set more than once: leave one, or write a list")
    for option, value in section.options.items():
        for text in value if isinstance(value, list) else (value,):
            if any(c < " " or c == "\x7f" for c in text):
                refuse(option, "has a line break or another control character: leave it out")
    if section.options.get("tenant", name) != name:
        refuse("tenant", "is another one: leave it out")
    options = dict(section.options)
    options["tenant"] = name
    return uci.Section("service", section.name, False, options, section.line)


def discreet(text: str, tenant: str, names: "list[str]") -> str:
    """What of a message a tenant may read: of one that names somebody else's service nothing but that it is so."""
    prefix = prefix_of(tenant)
    if not any("'%s'" % name in text for name in names if not name.startswith(prefix)):
        return text
    where = text.split(": ")[0]
    return where + ": " + TAKEN if where.startswith("viscum." + prefix) else TAKEN
