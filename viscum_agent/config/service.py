"""What the configuration means: services with their programs and matches, as plain records.

Sections come in checked one by one (`schema`); here they are checked together. A section with a problem is reported and
left out, the others go on. Nothing here knows about this router: devices, addresses and kernel features come in at
`plan`.
"""

from collections import namedtuple

from .. import address, optional
from ..errors import CONFIG, UNSUPPORTED, Problem, UnsupportedError
from ..plan import checks
from ..plan.groups import once
from ..records.objects import name_hash
from ..shell import shown, there_are
from . import groups, schema
from .fields import Health, Program, Respawn, Service, Settings, make
from .schema import OWN_ACCOUNTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..address import Prefix
    from .groups import Group
    from .tenants import Tenant
    from .uci import _Section as Section

# What traffic: `family` 4 or 6; `proto` "tcp", "udp" or "" for every protocol; `dst` and `src` address.Prefix or None
# for any; `dport` (low, high) or None for any; `to_port` is where the program listens, 0 for the same port; `host` the
# name that has the address of `dst`, "" for one that the configuration has; `mac` the client's, "" for any (and
# for those that the plan has yet to set: plan/clients.py).
Match = namedtuple("Match", ("family", "proto", "dst", "dport", "src", "to_port", "host", "mac"))

# Names, and what is taken of the addresses that they have: Matches without `dst` and `host` (plan/hosts.py).
Named = namedtuple("Named", ("hosts", "matches"))

# `services` in file order, including disabled ones, even with mistakes; `bad`: the names of the service sections that
# are left out because of a problem; `kept`: Services with the settings that some of those had before; `tenants`: by
# their names, tenants.Tenant, or None for one with a mistake.
Configuration = namedtuple("Configuration", ("settings", "services", "bad", "problems", "kept", "tenants"))

MAX_NAME = 64  # with its prefix, a file name in /var/run/netns; nobody types longer ones
MAX_MATCHES = 256  # filters of one service on one device; more is a mistake in a list


def read(
    sections: "Iterable[Section]",
    package: str = "viscum",
    before: "Configuration | None" = None,
    files: bool = True,
) -> "Configuration":
    """A Configuration from the sections of a file (uci.Section), with every problem found. What has a mistake keeps the
    settings that it had in the Configuration `before`: an option of globals, and a service. Without `files` those that
    sections name are not read: then the verdict is the same on every router. What a tenant has keeps nothing: the
    owner's last word counts."""
    problems = []
    parts: dict[str, list[Part]] = {kind: [] for kind in schema.SECTIONS}
    for section in sections:
        where = "%s.%s" % (package, section.name)
        if section.type not in schema.SECTIONS:
            problems.append(Problem(CONFIG, "", where, schema.unknown_type(section.type)))
            continue
        values, found = schema.check(section, package)
        problems.extend(found)
        if section.type == "globals" and parts["globals"]:
            problems.append(Problem(CONFIG, "", where, "is a second globals section, and only the first one counts"))
        parts[section.type].append(Part(section, values, {problem.where for problem in found}, where))
    services = parts["service"]
    settings = _settings(parts["globals"], before)
    redirected = _assign_redirects(parts["redirect"], services, problems, package)
    _refuse_same_names(services, problems)
    there = groups.read(parts["group"], problems)
    made = []
    accounts = _own_accounts(services)
    bad = {problem.service for problem in problems if problem.service}
    for part in services:
        name = part.section.name
        service, found = _service(part, redirected[name], accounts[name], there, files)
        problems.extend(found)
        if found:
            bad.add(name)
        if name not in bad or _is_off(part, settings):
            made.append(service)
    owned = [part.section.name for part in services if part.values["tenant"] or _broken(part, "tenant")]
    tenants: dict[str, Tenant | None] = {}
    if parts["tenant"] or owned:
        made, tenants = _of_tenants(parts["tenant"], services, made, problems)
        bad.update([problem.service for problem in problems if problem.service])
    left_out = sorted(bad - {service.name for service in made})
    kept = _kept([name for name in left_out if name not in owned], before)
    return Configuration(settings, made, left_out, problems, kept, tenants)


def _of_tenants(
    renting: "list[Part]", services: "list[Part]", made: "list[Service]", problems: "list[Problem]"
) -> "tuple[list[Service], dict[str, Tenant | None]]":
    """The Services, those of tenants as far as their bounds let them, and the tenants. Where the package for that is
    missing, no tenant has any."""
    wrong: list[Problem] = []
    try:
        made, tenants = optional.load("config.tenants").judge(renting, services, made, wrong)
    except UnsupportedError as error:
        tenants = {}
        for part in renting + [part for part in services if part.values["tenant"]]:
            name = part.section.name if part.section.type == "service" else ""
            wrong.append(Problem(UNSUPPORTED, name, part.where + (".tenant" if name else ""), str(error)))
    problems.extend(wrong)
    refused = {problem.service for problem in wrong}
    return [each for each in made if not each.enabled or each.name not in refused], tenants


def _kept(names: "list[str]", before: "Configuration | None") -> "list[Service]":
    """The Services of these names that were wanted before."""
    there = before.services + before.kept if before and before.settings.enabled else []
    return [service for service in there if service.name in names and service.enabled]


# A section as read: its checked values, and the `where` of each option that could not be read.
Part = namedtuple("Part", ("section", "values", "broken", "where"))


def _settings(parts: "list[Part]", before: "Configuration | None") -> "Settings":
    """What an option with a mistake was before: its default would be one more change that nobody wants."""
    if not parts:
        return make(Settings, schema.defaults("globals"))
    part = parts[0]
    values = dict(part.values)
    for name in values:
        if before and _broken(part, name):
            values[name] = getattr(before.settings, name)
    return make(Settings, values)


def _broken(part: "Part", *names: str) -> bool:
    """Whether one of these options could not be read: then what follows from its absence is not another mistake."""
    return any("%s.%s" % (part.where, name) in part.broken for name in names)


def _is_off(part: "Part", settings: "Settings") -> bool:
    """Whether a service is off; one with mistakes can be, too."""
    return not settings.enabled or not (part.values["enabled"] or _broken(part, "enabled"))


def _refuse_same_names(services: "list[Part]", problems: "list[Problem]") -> None:
    """The generated name of an anonymous section may be another section's given name (uci.py)."""
    names = set()
    for part in services:
        name = part.section.name
        if name in names:
            text = "is the name of two sections: name the anonymous one (config service 'NAME')"
            problems.append(Problem(CONFIG, name, part.where, text))
        names.add(name)


def _assign_redirects(
    redirects: "list[Part]", services: "list[Part]", problems: "list[Problem]", package: str
) -> "dict[str, list[Part]]":
    """The redirect sections of each service. One without its service is a problem of its own; a broken one is a problem
    of its service."""
    names = [part.section.name for part in services]
    found: dict[str, list[Part]] = {name: [] for name in names}
    for part in redirects:
        name = part.values["service"]
        if name in found:
            found[name].append(part)
            if part.broken:
                text = "is skipped, because its redirect section '%s' has a mistake" % part.section.name
                problems.append(Problem(CONFIG, name, "%s.%s" % (package, name), text))
        elif not _broken(part, "service"):
            text = "%s is no service section" % shown(name) if name else "is missing: name a service section"
            problems.append(Problem(CONFIG, "", part.where + ".service", text + there_are(names)))
    return found


def _own_accounts(services: "list[Part]") -> "dict[str, str]":
    """A number for each service, by its name, so that it stays the same; it is used where the section names no account.
    If somebody has that, the next one is taken: in the order of the file, with the services that are off."""
    first, last = OWN_ACCOUNTS
    taken = {int(part.values["user"]) for part in services if address.is_number(part.values["user"] or "")}
    found = {}
    for part in services:
        if part.section.name in found:
            continue
        number = first + name_hash(part.section.name) % (last - first + 1)
        while number in taken:
            number = number + 1 if number < last else first
        if not part.values["user"]:
            taken.add(number)
        found[part.section.name] = "%d" % number
    return found


def _service(
    part: "Part", extra: "list[Part]", account: str, there: "dict[str, Group | None]", files: bool
) -> "tuple[Service, list[Problem]]":
    """(Service, problems) from a section and the redirect sections that belong to it. `account` is its own, `there` are
    groups."""
    section, values = part.section, part.values
    problems = []

    def bad(option: str, text: str, where: str = part.where) -> None:
        problems.append(Problem(CONFIG, section.name, "%s.%s" % (where, option) if option else where, text))

    if len(section.name) > MAX_NAME:
        bad("", "is a name longer than %d characters: choose a shorter one" % MAX_NAME)
    _refuse_doubled("env", [variable.split("=")[0] for variable in values["env"]], "is set", bad)
    _take_files(part, bad, files)
    _refuse_doubled("mount", [mount.target for mount in values["mount"]], "has something mounted on it", bad)
    command = _command(part, bad)
    if not (values["interface"] or values["device"] or _broken(part, "interface", "device")):
        bad("interface", "is missing: name at least one interface (lan) or device (br-lan) that the clients are behind")
    alone = [each.word for each in values["egress"] if each.word in ("none", "any")]
    if alone and len(values["egress"]) > 1:
        bad("egress", "'%s' stands alone: it says all there is to say" % alone[0])
    _judge_rate(part, bad)
    _judge_reply(part, bad)
    own = any(values[name] for name in OWN_MATCH) or _broken(part, *OWN_MATCH)
    if extra and not own:
        _refuse_unused(part, ("family", "proto", "target_port"), "its redirect sections have their own", bad)
    if values["view"] == "host":
        _refuse_unused(part, ("visible", "writable", "tmp_size"), "with view 'host' it sees everything", bad)
    if values["root"]:
        _refuse_unused(part, ("view", "visible"), "with a root of its own it sees that and what `mount` names", bad)
    elif not _broken(part, "root"):
        _refuse_unused(part, ("mount",), "only a `root` of its own has that: see `visible` and `writable`", bad)
    parts = ([part] if own or not extra else []) + extra
    _judge_names(part, parts, bad)
    matches, named = _all_matches(parts, bad)
    templates = tuple([match for each in named for match in each.matches])
    only, never = [groups.members(part, option, there, bad) for option in ("client", "exclude_client")]
    clients = once(tuple(values["src_mac"]) + only.clients)
    service = make(
        Service,
        values,
        name=section.name,
        program=make(Program, values, command=command, account=values["user"] or account),
        interfaces=tuple(values["interface"]),
        devices=tuple(values["device"]),
        matches=matches,
        named=named,
        clients=clients if clients or only.hosts else None,
        exclude_clients=never.clients,
        client_hosts=only.hosts,
        exclude_hosts=never.hosts,
        exclude_dests=tuple(values["exclude_dest"]),
        health=_health(part, matches + templates, bad),
        respawn=make(Respawn, values),
        tenant=None,
    )
    return service, problems


# What makes a section with redirect sections one that takes traffic itself, and all that its matches are made of.
OWN_MATCH = ("dest_ip", "dest_host", "dest_port", "src_ip")
MATCHING = OWN_MATCH + ("family", "proto", "target_port")

NO_SNOOP = (
    "%s needs what clients are told, since no resolver can be asked for all names: set the service's option snoop '1', "
    "or name each host (www.%s)"
)

# What lets a program take the queue away that keeps `rate`, or go around it (PACKET_QDISC_BYPASS of packet(7)).
PAST_RATE = ("net_admin", "net_raw", schema.ALL)


def _judge_rate(part: "Part", bad: "Callable") -> None:
    if part.values["rate"] is None:
        if not _broken(part, "rate"):
            _refuse_unused(part, ("burst",), "there is no rate", bad)
        return
    for name in part.values["capability"]:
        if name in PAST_RATE:
            bad("rate", "can't be kept: a program with capability '%s' gets around it; take out one of the two" % name)


def _judge_reply(part: "Part", bad: "Callable") -> None:
    if part.values["reply"] == "direct":
        _refuse_unused(part, ("rewrite",), "reply 'direct' rewrites both MACs", bad)
        if part.values["nexthop_mac"]:
            _refuse_unused(part, ("nexthop",), "nexthop_mac says where replies go", bad)
    elif not _broken(part, "reply"):
        _refuse_unused(part, ("nexthop", "nexthop_mac"), "only reply 'direct' has a next hop", bad)


def _judge_names(part: "Part", parts: "list[Part]", bad: "Callable") -> None:
    if part.values["snoop"] and not any(each.values["dest_host"] or _broken(each, "dest_host") for each in parts):
        _refuse_unused(part, ("snoop",), "there is no dest_host", bad)
    for each in parts if not (part.values["snoop"] or _broken(part, "snoop")) else ():
        for host in each.values["dest_host"]:
            if host.startswith("*."):
                bad("dest_host", NO_SNOOP % (shown(host), host[2:]), each.where)


def _take_files(part: "Part", bad: "Callable", files: bool) -> None:
    """Completes a section's values by what files say that it names, if `files`."""
    if part.values["bundle"] and not _broken(part, "bundle"):
        _take_bundle(part, bad, files)
    if part.values["seccomp"] and not _broken(part, "seccomp"):
        _take_calls(part, bad, files)


def _take_bundle(part: "Part", bad: "Callable", files: bool) -> None:
    """Completes a section's values by what its bundle says; of one that is not read only that it has a root."""
    from . import bundle  # most routers need it never

    said: dict = {"root": part.values["bundle"]}
    wrong: list[str] = []
    if files:
        said, wrong = bundle.load(part.values["bundle"], part.values["user"] or "")
    for text in wrong:
        bad("bundle", text)
    _refuse_unused(part, ("root",), "its bundle has one", bad)
    for name in said:
        if name in bundle.ADDED:
            part.values[name] = said[name] + part.values[name]
        elif name not in part.section.options or name in ("bundle", "root"):
            part.values[name] = said[name]


def _take_calls(part: "Part", bad: "Callable", files: bool) -> None:
    """Puts a list of system calls in the place of its file's name; a bundle's is there already."""
    if files and isinstance(part.values["seccomp"], str):
        from . import calls  # with the numbers of all system calls

        part.values["seccomp"], wrong = calls.load(part.values["seccomp"])
        for text in wrong:
            bad("seccomp", text)
    _refuse_unused(part, ("allow_syscalls",), "a list says which system calls it may make", bad)


def _refuse_doubled(option: str, names: "list[str]", what: str, bad: "Callable") -> None:
    known: set[str] = set()
    twice: set[str] = set()
    for name in names:
        (twice if name in known else known).add(name)
    for name in sorted(twice):
        bad(option, "%s %s more than once: leave one" % (shown(name), what))


def _refuse_unused(part: "Part", options: "tuple[str, ...]", why: str, bad: "Callable") -> None:
    """Reports options that are set but change nothing: whoever set them expects an effect."""
    for name in options:
        if name in part.section.options and not _broken(part, name):
            bad(name, "is not used, because %s: take it out" % why)


def _health(part: "Part", matches: "tuple[Match, ...]", bad: "Callable") -> "Health":
    values = part.values
    kind = checks.named(values["healthcheck"])
    command = _words(part, "health_command", bad)
    if kind.option == "health_command" and not command and not _broken(part, "health_command"):
        bad("health_command", "is missing: name the command that checks, with its whole path, or another healthcheck")
    if not _broken(part, "healthcheck"):
        _refuse_check(part, kind, matches, bad)
    return make(Health, values, command=command)


def _refuse_check(part: "Part", kind: "checks.Kind", matches: "tuple[Match, ...]", bad: "Callable") -> None:
    """Refuses a check that can never run, and options that this kind of check does not use."""
    for other in checks.KINDS:
        if other.option and other is not kind:
            _refuse_unused(part, (other.option,), "only healthcheck '%s' runs it" % other.name, bad)
    if kind.asks is None:
        _refuse_unused(part, ("health_port",), "healthcheck '%s' checks no port" % kind.name, bad)
        return
    if not kind.needs or part.values["health_port"] or _broken(part, "health_port"):
        return
    if not matches or any(match.proto in kind.needs for match in matches):
        return
    if any(not match.proto for match in matches):
        text = "'%s' has no port to check, because proto 'any' has none: name a health_port, or say 'exec' or 'none'"
        bad("healthcheck", text % kind.name)
        return
    text = "'%s' has no port to check, because the service takes no %s (proto): name a health_port, or say 'auto'"
    bad("healthcheck", text % (kind.name, " or ".join([each.upper() for each in kind.needs])))


_TWO_PORTS = "the same traffic can't go to two ports (%s and %s)"
_WHOEVER = ", whatever its src_ip: make a separate service for those clients"


def _all_matches(parts: "list[Part]", bad: "Callable") -> "tuple[tuple[Match, ...], tuple[Named, ...]]":
    """The matches of a service's sections in order, without duplicates, and what is taken by names."""
    matches: list[Match] = []
    named: list[Named] = []
    known = set()
    for part in parts:
        found, templates = _matches(part, bad)
        if templates:
            names = part.values["dest_host"]
            there = [one for each in named if set(names).intersection(each.hosts) for one in each.matches]
            if any(_leads_elsewhere(match, there, part, bad) for match in templates):
                return (), ()
            named.append(Named(tuple(names), tuple(templates)))
        for match in found:
            if tuple(match) in known:
                continue
            if _leads_elsewhere(match, matches, part, bad):
                return (), ()
            known.add(tuple(match))
            matches.append(match)
        if len(matches) > MAX_MATCHES:
            bad("dest_ip", _too_many(len(matches)))
            break
    return tuple(matches), tuple(named)


def _leads_elsewhere(match: "Match", others: "list[Match]", part: "Part", bad: "Callable") -> bool:
    """Whether it has packets in common with another one that leads them to another port; that is a problem."""
    for other in others:
        if _goes_elsewhere(match, other):
            both = tuple([one.to_port or "the client's" for one in (other, match)])
            bad("target_port", _TWO_PORTS % both + (_WHOEVER if match.src != other.src else ""), part.where)
            return True
    return False


def _goes_elsewhere(one: "Match", other: "Match") -> bool:
    """Whether two matches have packets in common, whoever sends them, but lead them to different ports. A match for
    every protocol has no ports."""
    if one.to_port == other.to_port or (one.family, one.proto) != (other.family, other.proto):
        return False
    low = max([match.dport[0] if match.dport else 1 for match in (one, other)])
    high = min([match.dport[1] if match.dport else 65535 for match in (one, other)])
    if low > high or not address.meet(one.dst, other.dst):
        return False
    return low < high or (one.to_port or low) != (other.to_port or low)


def _too_many(count: int) -> str:
    return "the lists make %d matches, and at most %d fit a service: use prefixes or ranges" % (count, MAX_MATCHES)


def _command(part: "Part", bad: "Callable") -> "tuple[str, ...]":
    if not (part.values["command"] or part.values["bundle"] or _broken(part, "command", "bundle")):
        bad("command", "is missing: name the program to run, with its whole path")
    return _words(part, "command", bad)


def _words(part: "Part", option: str, bad: "Callable") -> "tuple[str, ...]":
    """A command as a tuple of words; () if there is none or it has a mistake."""
    words = part.values[option]
    if not words or _broken(part, option):
        return ()
    if isinstance(part.section.options.get(option), str):
        try:
            words = split_words(words[0])
        except ValueError as error:
            bad(option, str(error.args[0]))
            return ()
    if not words or not (words[0].startswith("/") or (part.values["bundle"] and option == "command")):
        first = shown(words[0] if words else part.values[option][0])
        bad(option, "%s is not an absolute path; write the whole path of the program (/usr/bin/iperf3)" % first)
    return tuple(words)


def split_words(text: str) -> "list[str]":
    """Splits a command at blanks; quotes of either kind keep blanks, and a backslash outside '' escapes the next
    character. No variables, no globs: this is not a shell. Raises ValueError for an unclosed quote, and for a backslash
    at the end."""
    words, quote = [], ""
    word: list[str] = []
    begun = False  # inside a word, which may be empty: ''
    escaped = False
    for c in text:
        if escaped:
            word.append(c)
            escaped = False
        elif c == "\\" and quote != "'":
            escaped = begun = True
        elif c == quote:
            quote = ""
        elif quote or c not in " \t\n'\"":
            word.append(c)
            begun = True
        elif c in "'\"":
            quote, begun = c, True
        elif begun:
            words.append("".join(word))
            word, begun = [], False
    if quote or escaped:
        open_end = "has a quote (%s) that is not closed" % quote
        no_end = "ends in a backslash, and nothing follows it: write two for one"
        raise ValueError("%s %s" % (shown(text), open_end if quote else no_end))
    if begun:
        words.append("".join(word))
    return words


def _matches(part: "Part", bad: "Callable") -> "tuple[list[Match], list[Match]]":
    """The matches that one section's lists combine to, and those for the addresses of its names."""
    values = part.values
    if _broken(part, *MATCHING):
        return [], []

    def wrong(option: str, text: str) -> "tuple[list[Match], list[Match]]":
        bad(option, text, part.where)
        return [], []

    if not values["dest_ip"] and not values["dest_host"] and not values["dest_port"]:
        text = "is missing: name the cloud's address (dest_ip) or name (dest_host), its port (dest_port), or both"
        return wrong("dest_ip", text)
    protocols = values["proto"]
    if "any" in protocols and len(protocols) > 1:
        return wrong("proto", "'any' stands alone: it includes the others")
    if "any" in protocols and (values["dest_port"] or values["target_port"]):
        return wrong("proto", "'any' has no ports; with dest_port or target_port say tcp, udp or both")
    if not _families(values, values["dest_ip"]):
        return wrong("family", "dest_ip, src_ip and family have no address family in common, so nothing would match")
    own = values["dest_ip"] or not values["dest_host"]
    found = _combined(values, values["dest_ip"], wrong) if own else []
    return found, _combined(values, [], wrong) if values["dest_host"] and (found or not own) else []


def _combined(values: dict, prefixes: "list[Prefix]", wrong: "Callable") -> "list[Match]":
    """The matches for these destinations, or for any."""
    found: list[Match] = []
    for family in _families(values, prefixes):
        lists = (
            _of_family(prefixes, family),
            _of_family(values["src_ip"], family),
            _protocols(values["proto"], family),
            values["dest_port"] or [None],
        )
        count = len(lists[0]) * len(lists[1]) * len(lists[2]) * len(lists[3])
        if count > MAX_MATCHES:
            wrong("dest_ip", _too_many(count))
            return []
        to_port = values["target_port"] or 0
        found.extend(
            [
                Match(family=family, proto=proto, dst=dst, dport=dport, src=src, to_port=to_port, host="", mac="")
                for dst in lists[0]
                for src in lists[1]
                for proto in lists[2]
                for dport in lists[3]
            ]
        )
    return found


def _families(values: dict, prefixes: "list[Prefix]") -> "tuple[int, ...]":
    wanted = {"any": (4, 6), "ipv4": (4,), "ipv6": (6,)}[values["family"]]
    for each in (prefixes, values["src_ip"]):
        if each:
            there = [prefix.family for prefix in each]
            wanted = tuple([family for family in wanted if family in there])
    return wanted


def _of_family(prefixes: "list[Prefix]", family: int) -> "list[Prefix | None]":
    """Those of a family, None for all of its addresses."""
    return [prefix if prefix.length else None for prefix in prefixes if prefix.family == family] or [None]


def _protocols(protocols: "list[str]", family: int) -> "list[str]":
    if protocols == ["any"]:
        return [""] if family == 4 else ["tcp", "udp"]  # never ICMPv6: neighbours would not find each other
    return protocols
