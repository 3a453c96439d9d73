"""What the configuration means: services with their programs and matches, as plain records.

Sections come in checked one by one (`schema`); here they are judged together. A section with a problem is named and
left out, the others go on. Nothing here knows about this router: devices, addresses and kernel features come in at
`plan`.
"""

from collections import namedtuple

from . import schema
from .errors import CONFIG, Problem

Settings = namedtuple("Settings", ("enabled", "datapath", "pool", "netlink"))

# What runs: `command` a list of words, `env` a list of NAME=value, times in seconds, `group` may be None.
Program = namedtuple("Program", ("command", "env", "user", "group", "workdir", "start_timeout", "term_timeout"))

# What traffic: `family` 4 or 6; `proto` "tcp", "udp" or "" for every protocol; `dst` and `src` address.Prefix or None
# for any; `dport` (low, high) or None for any; `to_port` is where the program listens, 0 for the same port.
Match = namedtuple("Match", ("family", "proto", "dst", "dport", "src", "to_port"))

Service = namedtuple(
    "Service", ("name", "enabled", "program", "interfaces", "devices", "matches", "datapath", "rewrite", "reply", "mtu")
)

# `services` in file order, the disabled ones too; `bad` are the names of the service sections that had a problem.
Configuration = namedtuple("Configuration", ("settings", "services", "bad", "problems"))

MAX_NAME = 64  # with the prefix a file name in /var/run/netns; nobody types longer ones
MAX_MATCHES = 256  # filters of one service on one device; more is a mistake in a list


def read(sections, package="viscum"):
    """A Configuration from the sections of a file (uci.Section), with every problem found."""
    problems = []
    settings = None
    services = []
    redirects = []
    for section in sections:
        where = "%s.%s" % (package, section.name)
        if section.type not in schema.SECTIONS:
            text = "section type '%s' is unknown; there are: globals, redirect, service" % section.type
            problems.append(Problem(CONFIG, "", where, text))
            continue
        values, found = schema.check(section, package)
        problems.extend(found)
        if section.type == "globals":
            settings = _settings(values)
        elif section.type == "service":
            services.append((section, values))
        else:
            redirects.append((section, values, found))
    _assign_redirects(redirects, services, problems, package)
    made = []
    bad = {problem.service for problem in problems if problem.service}
    for section, values in services:
        where = "%s.%s" % (package, section.name)
        extra = [other for _, other, _ in redirects if other["service"] == section.name]
        service, found = _service(section, values, extra, where)
        if found:
            problems.extend(found)
            bad.add(section.name)
        if section.name not in bad:
            made.append(service)
    return Configuration(settings or _settings(schema.defaults("globals")), made, sorted(bad), problems)


def _settings(values):
    return Settings(values["enabled"], values["datapath"], tuple(values["pool"]), values["netlink"])


def _assign_redirects(redirects, services, problems, package):
    """A redirect section without its service is a problem of its own; a bad one is a problem of its service."""
    names = [section.name for section, _ in services]
    for section, values, found in redirects:
        where = "%s.%s.service" % (package, section.name)
        name = values["service"]
        if name not in names:
            text = "names no service section%s" % (" ('%s')" % name if name else "; it is required")
            problems.append(Problem(CONFIG, "", where, text))
        elif found:
            text = "the service is skipped, because its redirect section '%s' has a problem" % section.name
            problems.append(Problem(CONFIG, name, "%s.%s" % (package, name), text))


def _service(section, values, extra, where):
    problems = []

    def bad(option, text):
        problems.append(Problem(CONFIG, section.name, "%s.%s" % (where, option) if option else where, text))

    if len(section.name) > MAX_NAME:
        bad("", "the section's name is longer than %d characters" % MAX_NAME)
    command = _command(section, values, bad)
    if not values["interface"] and not values["device"]:
        bad("interface", "is missing: name at least one interface (lan) or device (br-lan) that the clients are behind")
    matches = []
    own = values["dest_ip"] or values["dest_port"] or values["src_ip"]
    for part in ([values] if own or not extra else []) + extra:
        for match in _matches(part, bad):
            if match not in matches:
                matches.append(match)
    if len(matches) > MAX_MATCHES:
        bad("dest_ip", "the lists make %d matches; at most %d fit one service" % (len(matches), MAX_MATCHES))
    program = Program(
        command,
        tuple(values["env"]),
        values["user"],
        values["group"],
        values["workdir"],
        values["start_timeout"],
        values["term_timeout"],
    )
    service = Service(
        section.name,
        values["enabled"],
        program,
        tuple(values["interface"]),
        tuple(values["device"]),
        tuple(matches),
        values["datapath"],
        values["rewrite"],
        values["reply"],
        values["mtu"] or 0,
    )
    return service, problems


def _command(section, values, bad):
    words = values["command"]
    if not words:
        bad("command", "is missing: name the program to run, with its whole path")
        return ()
    if isinstance(section.options.get("command"), str):
        try:
            words = split_words(words[0])
        except ValueError as error:
            bad("command", str(error.args[0]))
            return ()
    if not words or not words[0].startswith("/"):
        shown = schema.shown(words[0]) if words else "''"
        bad("command", "%s is not an absolute path; write the whole path of the program (/usr/bin/iperf3)" % shown)
    return tuple(words)


def split_words(text):
    """Splits a command at blanks; quotes of either kind keep blanks, and a backslash outside of '' takes the next
    letter as it is. No variables, no globs: nothing here is a shell. Raises ValueError for a quote that is not
    closed."""
    words, word, quote = [], None, ""
    letters = iter(text)
    for c in letters:
        if quote:
            if c == quote:
                quote = ""
            elif c == "\\" and quote == '"':
                word += next(letters, "")
            else:
                word += c
        elif c in " \t\n":
            if word is not None:
                words.append(word)
            word = None
        else:
            word = word or ""
            if c in "'\"":
                quote = c
            elif c == "\\":
                word += next(letters, "")
            else:
                word += c
    if quote:
        raise ValueError("%s: a quote (%s) is not closed" % (schema.shown(text), quote))
    if word is not None:
        words.append(word)
    return words


def _matches(values, bad):
    """The matches that one section's lists multiply to."""
    if not values["dest_ip"] and not values["dest_port"]:
        bad("dest_ip", "is missing: name the cloud's address (dest_ip), its port (dest_port), or both")
        return []
    protocols = values["proto"]
    if "any" in protocols and len(protocols) > 1:
        bad("proto", "'any' stands alone: it holds the others")
        return []
    if "any" in protocols and (values["dest_port"] or values["target_port"]):
        bad("proto", "'any' has no ports; with dest_port or target_port say tcp, udp or both")
        return []
    families = _families(values, bad)
    found = []
    for family in families:
        for dst in _of_family(values["dest_ip"], family):
            for src in _of_family(values["src_ip"], family):
                for proto in _protocols(protocols, family):
                    for dport in values["dest_port"] or (None,):
                        found.append(Match(family, proto, dst, dport, src, values["target_port"] or 0))
    return found


def _families(values, bad):
    wanted = {"any": (4, 6), "ipv4": (4,), "ipv6": (6,)}[values["family"]]
    for name in ("dest_ip", "src_ip"):
        if not values[name]:
            continue
        there = [prefix.family for prefix in values[name]]
        wanted = tuple([family for family in wanted if family in there])
    if not wanted:
        bad("family", "no match is left: dest_ip, src_ip and family have no address family in common")
    return wanted


def _of_family(prefixes, family):
    return [prefix for prefix in prefixes if prefix.family == family] or [None]


def _protocols(protocols, family):
    if protocols == ["any"]:
        return [""] if family == 4 else ["tcp", "udp"]  # never ICMPv6: neighbours would not find each other
    return protocols
