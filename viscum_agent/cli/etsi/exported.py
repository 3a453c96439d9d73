"""Services as rules of ETSI MEC."""

import sys
from collections import namedtuple

from ... import __version__, address, compat
from ...config import schema, service, uci
from ...errors import CONFIG, Problem
from ...plan import clients, datapath
from ...shell import printable
from .. import agent_calls
from ..verbs import complain, refuse_unknown, say
from . import model

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ...address import Prefix
    from ...config.service import Service
    from ...config.uci import _Section as Section
    from ..words import Arguments

# What a service is in these models; `more` are the options that only EXTENSION says.
Rules = namedtuple("Rules", ("name", "traffic", "dns", "more"))

# How it is now, True or False, and whether somebody sent its clients to the cloud.
State = namedtuple("State", ("on", "bypass"))

NAMES_ALONE = "is no filter of these models, whose rule would be for any address: add dest_ip, or name other services"
OTHER = "the agent runs another configuration: state is what enabled says (`viscum reload` makes it the agent's)"
VERSION = "2.1.1"  # of both models


def show(arguments: "Arguments") -> int:
    path = arguments.confdir + "/viscum"
    data = uci.content(path)
    sections = uci.parse(data, path)
    configuration = service.read(sections, files=False)
    refuse_unknown(arguments, [each.name for each in sections if each.type == "service"])
    wanted = [each for each in sections if each.type == "service" and each.name in (arguments.names or [each.name])]
    names = [each.name for each in wanted]
    problems = [problem for problem in configuration.problems if problem.service in names]
    services = {each.name: each for each in configuration.services}
    rows = {} if problems or "--mec010" in arguments.options else _rows(arguments.socket, data)
    found = []
    for section in wanted if not problems else []:
        made = services[section.name]
        state = _state(rows.get(section.name), made.enabled and configuration.settings.enabled)
        found.append(rules(section, sections, made, state, problems))
    if problems:
        say(problems)
        return 1
    for section, each in zip(wanted, found):
        _note(section, each)
    make = _descriptors if "--mec010" in arguments.options else _answers
    print(model.text_of(make(found)))
    return 0


def _rows(socket: str, data: bytes) -> "dict[str, dict]":
    """What the agent says of services, {} if none runs this configuration."""
    agent = agent_calls.state_of(socket) if compat.exists(socket) else None
    if agent and agent.get("hash") != compat.sha256(data):
        complain(OTHER)
        return {}
    return agent["services"] if agent else {}


def _state(row: "dict | None", enabled: bool) -> "State":
    if row is None:
        return State(enabled, False)
    return State(row["from_count"] > 0, row["bypass"])


def _note(section: "Section", made: "Rules") -> None:
    """Says what is not in the rules of a service."""
    stays = [name for name in sorted(section.options) if name not in model.TRAFFIC and name != "enabled"]
    for text, names in (
        ("not in its rules", stays),
        ("only in %s, which others don't read" % model.EXTENSION, made.more),
    ):
        if names:
            sys.stderr.write(printable("viscum.%s: %s: %s" % (made.name, text, ", ".join(names))) + "\n")


# The two models


def _answers(found: "list[Rules]") -> "dict[str, Any]":
    """What GS MEC 011's GET .../traffic_rules and GET .../dns_rules answer."""
    rules = [rule for each in found for rule in each.traffic]
    return {"traffic_rules": rules, "dns_rules": [rule for each in found for rule in each.dns]}


def _descriptors(found: "list[Rules]") -> "list[dict[str, Any]]":
    return [_descriptor(each) for each in found]


def _descriptor(made: "Rules") -> "dict[str, Any]":
    """An AppD of GS MEC 010-2. It has to have more than rules; what of that a router does not know is only there."""
    host = str(compat.read_file("/proc/sys/kernel/hostname", 64), "utf-8").strip()
    return {
        "appDId": "%s.%s" % (made.name, host),
        "appName": made.name,
        "appProvider": host,
        "appSoftVersion": "unknown",
        "appDVersion": "1",
        "mecVersion": [VERSION],
        "appDescription": "Service %s of Viscum %s" % (made.name, __version__),
        "virtualComputeDescriptor": "none: a process of the router",
        "swImageDescriptor": "none: a program of the router",
        "appTrafficRule": [_on_board(rule) for rule in made.traffic],
        "appDNSRule": [_on_board(rule) for rule in made.dns],
    }


def _on_board(rule: "dict[str, Any]") -> "dict[str, Any]":
    """A rule of GS MEC 011 as 010-2 has it: without a state, for which there is our own word."""
    found = {key: rule[key] for key in rule if key != "state"}
    if "dstInterface" in found:
        found["dstInterface"] = [rule["dstInterface"]]
    if model.EXTENSION in found:
        enabled = "1" if rule["state"] == model.ACTIVE else "0"
        found[model.EXTENSION] = dict({"enabled": enabled}, **rule[model.EXTENSION])
    if rule.get("action") == model.ENCAPSULATED:
        found["action"] = model.AS_IS
    return found


# A service


def rules(
    section: "Section", sections: "list[Section]", made: "Service", state: "State", problems: "list[Problem]"
) -> "Rules":
    """The rules of a service, as GS MEC 011 has them. `problems` takes what can't be said."""
    values = schema.check(section)[0]
    parts = parts_of(section, sections)
    taken = [schema.check(part)[0] for part in parts]
    for part, what in zip(parts, taken):
        if what["dest_host"] and not what["dest_ip"]:
            problems.append(Problem(CONFIG, section.name, "viscum.%s.dest_host" % part.name, NAMES_ALONE))
    only = _only(values, taken)
    filters = [_filter(part, what, only) for part, what in zip(parts, taken)]
    more = sorted({name for each in filters for name in each.get(model.EXTENSION, ())})
    main = {
        "trafficRuleId": section.name,
        "filterType": model.FLOW,
        "priority": max([clients.levels(made, match)[-1] for match in made.matches] + [0]),
        "trafficFilter": filters,
        "action": model.PASSTHROUGH if state.bypass else model.ENCAPSULATED,
        "dstInterface": model.INTERFACE,
        "state": model.ACTIVE if state.on or state.bypass else model.INACTIVE,
    }
    said = options_of(section, model.OF_RULE)
    if only:
        said.pop("client")
    said["exclude_client"] = [each for each in said.get("exclude_client", []) if not is_address(each)]
    said = {name: said[name] for name in said if said[name]}
    more += sorted(said)
    if made.enabled != (state.on and not state.bypass):
        said["enabled"] = "1" if made.enabled else "0"
    main[model.EXTENSION] = said
    return Rules(section.name, [main] + _left_out(main, made, values), _names(main, taken), more)


def redirects_of(name: str, sections: "list[Section]") -> "list[Section]":
    return [each for each in sections if each.type == "redirect" and each.options.get("service") == name]


def parts_of(section: "Section", sections: "list[Section]") -> "list[Section]":
    """The sections whose matches a service has."""
    redirects = redirects_of(section.name, sections)
    own = any(section.options.get(name) for name in service.OWN_MATCH)
    return ([section] if own or not redirects else []) + redirects


def options_of(section: "Section", names: "tuple[str, ...]") -> "dict[str, Any]":
    """Options as they are written, those that take lists as lists."""
    found: dict[str, Any] = {}
    for name in names:
        raw = section.options.get(name)
        if raw is not None:
            many = schema.option_named("service", name).many  # type: ignore[union-attr]
            found[name] = schema.words_of(raw) if many and isinstance(raw, str) else raw
    return found


def _only(values: dict, taken: "list[dict]") -> "list[Prefix]":
    """Addresses of the only clients, where `src_ip` could say the same."""
    if values["src_mac"] or any(what["src_ip"] for what in taken):
        return []
    return [] if any(isinstance(each, str) for each in values["client"]) else values["client"]


def is_address(text: str) -> bool:
    """Whether one of `exclude_client` is an address or a prefix, and so something that the models have a word for."""
    try:
        return not isinstance(schema.CLIENT.parse(text), str)
    except ValueError:
        return False


def _filter(part: "Section", what: dict, only: "list[Prefix]") -> "dict[str, Any]":
    family = {"ipv4": 4, "ipv6": 6}.get(what["family"], 0)
    dst, src = [[each for each in what[name] if family in (0, each.family)] for name in ("dest_ip", "src_ip")]
    found: dict[str, Any] = {
        "srcAddress": [_text(each) for each in src or only],
        "dstAddress": [_text(each) for each in dst],
        "dstPort": ["%d" % low if low == high else "%d-%d" % (low, high) for low, high in what["dest_port"]],
        "protocol": [each.upper() for each in what["proto"] if each != "any"],
        model.EXTENSION: options_of(part, model.OF_FILTER),
    }
    if family and not dst and not src:
        found["dstAddress"] = [model.ANY[family]]
    return {name: found[name] for name in found if found[name]}


def _text(prefix: "Prefix") -> str:
    whole = prefix.length == address.bits(prefix.family)
    return address.format_address(prefix.packed) if whole else address.format_prefix(prefix)


def _left_out(main: "dict[str, Any]", made: "Service", values: dict) -> "list[dict[str, Any]]":
    """The rule for what a service leaves out of what it takes, if there is any."""
    src = [_text(each) for each in values["exclude_client"] if not isinstance(each, str)]
    dst = [_text(each) for each in values["exclude_dest"]]
    filters = [{"srcAddress": src}] * bool(src) + [{"dstAddress": dst}] * bool(dst)
    if not filters:
        return []
    found = {
        "trafficRuleId": main["trafficRuleId"] + ".except",
        "filterType": model.FLOW,
        "priority": max([datapath.level_of(match) for match in made.matches] + [0]),
        "trafficFilter": filters,
        "action": model.PASSTHROUGH,
        "dstInterface": model.INTERFACE,
        "state": main["state"],
    }
    return [found]


def _names(main: "dict[str, Any]", taken: "list[dict]") -> "list[dict[str, Any]]":
    """A rule for each name and family in which its filter has an address that the name could have at the edge."""
    pairs: list[tuple] = []
    for what in taken:
        for prefix in [_first(what["dest_ip"], family) for family in (4, 6)] if what["dest_host"] else ():
            if prefix:
                pairs += [
                    (host, prefix) for host in what["dest_host"] if host[0] != "*" and (host, prefix) not in pairs
                ]
    return [
        {
            "dnsRuleId": "%s.dns%d" % (main["trafficRuleId"], number + 1),
            "domainName": host,
            "ipAddressType": model.TYPES[prefix.family],
            "ipAddress": address.format_address(prefix.packed),
            "state": main["state"],
        }
        for number, (host, prefix) in enumerate(pairs)
    ]


def _first(prefixes: "list[Prefix]", family: int) -> "Prefix | None":
    """The first single address of a family."""
    found = [each for each in prefixes if each.family == family and each.length == address.bits(family)]
    return found[0] if found else None
