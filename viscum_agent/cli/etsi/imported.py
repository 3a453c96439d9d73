"""What rules of ETSI MEC say, by service. They come from others: no type, size or name in them is trusted, and what
Viscum can't do is a problem that names file, rule and field. All problems are found before anything is done."""

from collections import namedtuple

from ... import address
from ...config import document as documents
from ...config import schema, service
from ...config.document import says_something
from ...config.schema import Refused, words_of
from ...config.uci import as_bool
from ...errors import CONFIG, Problem
from ...shell import shown
from . import model

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ...address import Prefix

# What a service is to take: `parts` are {option: texts} of its filters; `options` those of EXTENSION, None where there
# is none and what the models can't say stays as it is; `left_out` the same of exclude_client and exclude_dest. `on` is
# None where no state is said.
Said = namedtuple("Said", ("name", "parts", "options", "left_out", "on"))

# A rule as read; `extension` as `options` above, `filters` are objects.
Rule = namedtuple("Rule", ("where", "action", "priority", "filters", "state", "extension"))

MOST = 1 << 16  # bytes of a file: hundreds of rules
MOST_RULES = 64  # in a file, filters of a rule, and services
MOST_TEXTS = 256  # in a list: as many as fit a service (service.MAX_MATCHES)
MOST_PREFIXES = 1024  # of all ranges in a file: one may be 254
MOST_PROBLEMS = 50

# What each may have; what else says something is refused.
RULE = words_of("trafficRuleId filterType priority trafficFilter action dstInterface state") + [model.EXTENSION]
FILTER = words_of("srcAddress dstAddress dstPort protocol") + [model.EXTENSION]
NAME = words_of("dnsRuleId domainName ipAddressType ipAddress ttl state")
INTERFACE = ["interfaceType"]
ANSWER = words_of("traffic_rules dns_rules")
# Of an AppD: what tells of the program and of what it offers, which is no matter of rules.
TOLD = words_of(
    "appDId appInfoName appProvider appSoftVersion appDVersion mecVersion appDescription virtualComputeDescriptor "
    "swImageDescriptor virtualStorageDescriptor appExtCpd appServiceOptional appServiceProduced appFeatureOptional "
    "appLatency terminateAppInstanceOpConfig changeAppInstanceStateOpConfig"
)
APPLICATION = words_of("appName appTrafficRule appDNSRule") + TOLD

NO_TUNNEL = "there are no tunnels here: take it out"
REMEDIES = {
    "srcPort": "a service takes whatever port a client has: take it out",
    "qCI": "no packet has that on Wi-Fi or Ethernet: take it out",
    "dSCP": "a service takes packets of every class: take it out",
    "tC": "a service takes packets of every class: take it out",
    "token": "Viscum has no tokens: take it out",
    "tag": "Viscum has no tags: take it out",
    "srcTunnelAddress": NO_TUNNEL,
    "tgtTunnelAddress": NO_TUNNEL,
    "srcTunnelPort": NO_TUNNEL,
    "dstTunnelPort": NO_TUNNEL,
    "tunnelInfo": NO_TUNNEL,
    "appServiceRequired": "a router offers no services of MEC: only an application that needs none runs here",
    "appFeatureRequired": "a router has no features of MEC: only an application that needs none runs here",
    "transportDependencies": "a router has no transports of MEC: only an application that needs none runs here",
}
OWN_INTERFACE = "a service has an interface and addresses of its own: take it out"
# The two models write them differently.
ADDRESSES = words_of("srcMacAddress srcMACAddress dstMacAddress dstMACAddress dstIpAddress dstIPAddress")
REMEDIES.update({field: OWN_INTERFACE for field in ADDRESSES})
ACTIONS = {
    "DROP": "Viscum drops nothing: write a rule for the firewall (/etc/config/firewall)",
    "FORWARD_DECAPSULATED": "there are no tunnels here: write %s" % model.AS_IS,
}
COPIES = "Viscum makes no copies of packets: write %s, or mirror the port (tc-mirred(8))" % model.AS_IS
PROTOCOLS = {"tcp": "tcp", "6": "tcp", "udp": "udp", "17": "udp", "any": "any"}
EITHER = ["tcp", "udp"]
EVERYTHING = "is for all packets: name dstAddress or dstPort"
NO_DNS = (
    "Viscum answers no DNS: a name counts where a filter has its ipAddress as dstAddress; to have clients told "
    "one, `uci add dhcp domain`"
)
PER_STATE = "is not that of the service's other rules, and a service is there or not: give all the same"


class Reader:
    """Reads one document. `problems` is complete once `services` has returned."""

    def __init__(self, path: str, name: str) -> None:
        self._path = path
        self._name = name  # of the service, whatever the rules say; "" for what they say
        self._rules: dict[str, list[Rule]] = {}
        self._names: dict[str, list[tuple]] = {}
        self._ids: set[str] = set()
        self._applications: set[str] = set()
        self._prefixes = 0  # that ranges were made to
        self.problems: list[Problem] = []

    def services(self, document: object) -> "list[Said]":
        for item in self._list(document if isinstance(document, list) else [document], "", "", dict):
            self._item(item)
        if self._name and len(self._applications) > 1:
            self._bad("", "appName", "there are several, and a name is for one: import one at a time")
        for name in sorted([name for name in self._names if name not in self._rules]):
            self._bad("", "dnsRuleId", "is of %s, which has no traffic rule: %s" % (shown(name), NO_DNS))
        if not self._rules and not self.problems:
            self._bad("", "", "has no rules")
        found = [self._service(name) for name in sorted(self._rules) if self._rules[name]]
        return found if not self.problems else []

    def _bad(self, where: str, field: str, text: str) -> None:
        if len(self.problems) < MOST_PROBLEMS:
            place = ": ".join([each for each in (self._path, where, field) if each])
            self.problems.append(Problem(CONFIG, "", place, text))
        elif len(self.problems) == MOST_PROBLEMS:
            self.problems.append(Problem(CONFIG, "", self._path, "has more problems than these"))

    # Values

    def _get(self, holder: dict, where: str, field: str, kind: "Any", default: "Any") -> "Any":
        try:
            found = documents.get(holder, field, kind, default)
        except Refused:
            self._bad(where, field, "has a wrong type")
            return default
        if isinstance(found, str) and ("\0" in found or len(found) > MOST_TEXTS):
            self._bad(where, field, "is no plain text of at most %d letters" % MOST_TEXTS)
            return default
        return found

    def _list(self, items: "list", where: str, field: str, kind: "Any") -> "list":
        """Those of a list that have a type, if they are not too many."""
        most = MOST_TEXTS if kind is str else MOST_RULES
        if len(items) > most:
            self._bad(where, field, "has %d entries, and at most %d are read" % (len(items), most))
            return []
        found = [each for each in items if isinstance(each, kind)]
        if kind is str:
            found = [each for each in found if "\0" not in each and len(each) <= MOST_TEXTS]
        if len(found) != len(items):
            self._bad(where, field, "has an entry of a wrong type")
        return found

    def _texts(self, holder: dict, where: str, field: str) -> "list[str]":
        return self._list(self._get(holder, where, field, list, []), where, field, str)

    def _refuse_others(self, holder: dict, where: str, known: "list[str]") -> None:
        for field in sorted(holder):
            if field not in known and says_something(holder[field]):
                self._bad(where, shown(field)[1:-1], REMEDIES.get(field, "is nothing that Viscum knows: take it out"))

    # Documents

    def _item(self, item: dict) -> None:
        if any(field in item for field in ("appName", "appDId", "appTrafficRule", "appDNSRule")):
            where = "application %s" % shown(self._get(item, "", "appName", str, ""))
            self._refuse_others(item, where, APPLICATION)
            application = self._get(item, where, "appName", str, "")
            self._applications.add(application)
            self._take(item, where, ("appTrafficRule", "appDNSRule"), application)
        elif any(field in item for field in ANSWER):
            self._refuse_others(item, "", ANSWER)
            self._take(item, "", ANSWER, "")
        elif "trafficRuleId" in item:
            self._rule(item, "")
        elif "dnsRuleId" in item:
            self._dns(item, "")
        else:
            self._bad("", "", "has what is no rule and no application descriptor")

    def _take(self, holder: dict, where: str, fields: "Any", application: str) -> None:
        for field, take in zip(fields, (self._rule, self._dns)):
            for rule in self._list(self._get(holder, where, field, list, []), where, field, dict):
                take(rule, application)

    def _owner(self, identity: str, application: str, where: str) -> str:
        """The service that a rule belongs to: by its application, or by its own name up to a dot."""
        name = self._name or application or identity.split(".")[0]
        if not schema.is_section_name(name) or len(name) > service.MAX_NAME:
            text = "%s is no section's name (letters, digits, _): name the service, `viscum import FILE NAME`"
            self._bad(where, "appName" if application else "", text % shown(name))
        if len(self._rules) == MOST_RULES and name not in self._rules:
            self._bad(where, "", "is for one more service, and at most %d are read" % MOST_RULES)
        return name

    def _identity(self, rule: dict, field: str, what: str) -> "tuple[str, str]":
        """(a rule's name, it in words)"""
        identity = self._get(rule, what, field, str, "")
        where = "%s %s" % (what, shown(identity))
        if not identity:
            self._bad(what, field, "is missing: give it a name")
        elif where in self._ids:
            self._bad(where, field, "is there twice: name each rule differently")
        self._ids.add(where)
        return identity, where

    # Rules

    def _rule(self, rule: dict, application: str) -> None:
        identity, where = self._identity(rule, "trafficRuleId", "traffic rule")
        self._refuse_others(rule, where, RULE)
        kind = self._get(rule, where, "filterType", str, model.FLOW)
        if kind != model.FLOW:
            self._bad(
                where, "filterType", "%s: replies always belong to a service: write %s" % (shown(kind), model.FLOW)
            )
        priority = self._get(rule, where, "priority", int, -1)
        if not 0 <= priority < 1 << 31:
            self._bad(where, "priority", "is no number from 0 on: 0 is the highest")
        filters = self._list(self._get(rule, where, "trafficFilter", list, []), where, "trafficFilter", dict)
        if not filters:
            self._bad(where, "trafficFilter", "is missing: say which packets")
        for each in filters:
            self._refuse_others(each, where + " trafficFilter", FILTER)
        self._interface(rule, where)
        found = Rule(
            where=where,
            action=self._action(rule, where),
            priority=priority,
            filters=filters,
            state=self._state(rule, where),
            extension=self._extension(rule, where, model.OF_RULE + ("enabled",)),
        )
        rules = self._rules.setdefault(self._owner(identity, application, where), [])
        if found.action in (model.AS_IS, model.PASSTHROUGH):
            rules.append(found)

    def _action(self, rule: dict, where: str) -> str:
        action = self._get(rule, where, "action", str, "")
        if action in (model.AS_IS, model.ENCAPSULATED):
            return model.AS_IS
        if action != model.PASSTHROUGH:
            other = "is none: write %s or %s" % (model.AS_IS, model.PASSTHROUGH)
            text = COPIES if action.startswith("DUPLICATE") else ACTIONS.get(action, other)
            self._bad(where, "action", "%s: %s" % (shown(action), text) if action else other)
        return action

    def _state(self, rule: dict, where: str) -> "bool | None":
        state = self._get(rule, where, "state", str, "")
        if state not in ("", model.ACTIVE, model.INACTIVE):
            self._bad(where, "state", "%s is neither %s nor %s" % (shown(state), model.ACTIVE, model.INACTIVE))
        return state == model.ACTIVE if state else None

    def _interface(self, rule: dict, where: str) -> None:
        """The models have one or a list."""
        found = rule.get("dstInterface")
        for each in self._list(found if isinstance(found, list) else [found or {}], where, "dstInterface", dict):
            kind = self._get(each, where, "interfaceType", str, "MAC")
            if kind not in ("MAC", "IP"):
                self._bad(where, "dstInterface.interfaceType", "%s: %s" % (shown(kind), NO_TUNNEL))
            self._refuse_others(each, where + " dstInterface", INTERFACE)

    def _extension(self, holder: dict, where: str, known: "tuple[str, ...]") -> "dict[str, list[str]] | None":
        """{option: texts} of our own member, None if it is not there."""
        said = self._get(holder, where, model.EXTENSION, dict, None)
        if said is None:
            return None
        found = {}
        for name in sorted(said):
            place = "%s.%s" % (model.EXTENSION, shown(name)[1:-1])
            texts = [said[name]] if isinstance(said[name], str) else said[name]
            if name not in known:
                self._bad(where, place, "is no option that it may have: " + ", ".join(known))
            elif not isinstance(texts, list):
                self._bad(where, place, "has a wrong type")
            else:
                found[name] = self._list(texts, where, place, str)
                row = schema.option_named("service", name)
                if len(texts) > 1 and not (row and row.many):
                    self._bad(where, place, "has more than one value")
        return found

    def _dns(self, rule: dict, application: str) -> None:
        identity, where = self._identity(rule, "dnsRuleId", "DNS rule")
        self._refuse_others(rule, where, NAME)
        host = self._parsed(where, "domainName", "dest_host", self._get(rule, where, "domainName", str, ""))
        family = {model.TYPES[each]: each for each in model.TYPES}.get(self._get(rule, where, "ipAddressType", str, ""))
        found = self._parsed(where, "ipAddress", "dest_ip", self._get(rule, where, "ipAddress", str, ""))
        if family is None or (found and found.family != family):
            self._bad(where, "ipAddressType", "is not what ipAddress is: write IP_V4 or IP_V6")
        name = self._owner(identity, application, where)
        self._names.setdefault(name, []).append((where, host, found, self._state(rule, where)))

    def _parsed(self, where: str, field: str, option: str, text: str) -> "Any":
        """What an option has for a text, None for a wrong one."""
        kind = schema.option_named("service", option).type  # type: ignore[union-attr]
        try:
            return kind.parse(text)
        except Refused as error:
            self._bad(where, field, "%s %s" % (shown(text), error.args[0]))
        except ValueError:
            self._bad(where, field, "%s is not %s" % (shown(text), kind.expected))
        return None

    # Services

    def _service(self, name: str) -> "Said":
        rules = self._rules[name]
        taking = [rule for rule in rules if rule.action == model.AS_IS]
        if not taking:  # all of its traffic passes: the cloud has it
            last = max([rule.priority for rule in rules])
            taking = [rule for rule in rules if rule.priority == last]
        others = [rule for rule in rules if rule not in taking]
        states = {rule.state for rule in rules}.union([each[3] for each in self._names.get(name, ())])
        if len(states) > 1:
            self._bad(rules[0].where, "state", PER_STATE)
        state = rules[0].state
        on = False if taking[0].action == model.PASSTHROUGH else state
        options = None
        for rule in taking:
            if rule.extension is not None:
                options = dict(options or {}, **rule.extension)
        if options and options.get("enabled") and not on:
            on = as_bool(options["enabled"][0])  # it is out for a while only
        parts = [self._part(rule, each) for rule in taking for each in rule.filters]
        if len(parts) > MOST_RULES:
            self._bad(taking[0].where, "trafficFilter", "is one of %d, and at most %d fit" % (len(parts), MOST_RULES))
        self._add_names(name, parts)
        left_out: dict[str, list[str]] = {"exclude_client": [], "exclude_dest": []}
        for rule in others:
            self._leave_out(rule, min([each.priority for each in taking]), left_out)
        return Said(name, parts, options, left_out, on)

    def _part(self, rule: "Rule", said: dict) -> "dict[str, list[str]]":
        """The options that a filter is."""
        where = rule.where + " trafficFilter"
        found = self._extension(said, where, model.OF_FILTER) or {}
        dst = self._addresses(said, where, "dstAddress", "dest_ip", found)
        found["dest_ip"] = dst
        found["src_ip"] = self._addresses(said, where, "srcAddress", "src_ip", found)
        found["dest_port"] = self._texts(said, where, "dstPort")
        for text in found["dest_port"]:
            self._parsed(where, "dstPort", "dest_port", text)
        protocols = []
        for text in self._texts(said, where, "protocol"):
            protocol = PROTOCOLS.get(text.lower(), "")
            if not protocol:
                self._bad(where, "protocol", "%s is not TCP, UDP or ANY: Viscum tells only those apart" % shown(text))
            elif protocol not in protocols:
                protocols.append(protocol)
        if not protocols or "any" in protocols:
            protocols = EITHER if found["dest_port"] or found.get("target_port") else ["any"]
        if not (dst or found["dest_port"] or found.get("dest_host")):
            self._bad(where, "", EVERYTHING)
        found["proto"] = [] if sorted(protocols) == EITHER else protocols
        return {name: found[name] for name in found if found[name]}

    def _addresses(self, said: dict, where: str, field: str, option: str, part: dict) -> "list[str]":
        """The texts of addresses for an option. All of a family, as a destination, is the option `family`."""
        texts = [one for text in self._texts(said, where, field) for one in self._in_range(text, where, field)]
        whole = [family for family in (4, 6) if model.ANY[family] in texts]
        if option == "dest_ip" and whole:
            if [text for text in texts if text not in model.ANY.values()]:
                self._bad(where, field, "has all of a family and others: write a filter for each")
            if len(whole) == 1:
                part["family"] = ["ipv%d" % whole[0]]
            return []
        for text in texts:
            self._parsed(where, field, option, text)
        return texts

    def _in_range(self, text: str, where: str, field: str) -> "list[str]":
        if "-" not in text or self._prefixes > MOST_PREFIXES:
            return [text]
        found = _range(text)
        self._prefixes += len(found)
        if self._prefixes > MOST_PREFIXES:
            self._bad(where, field, "has ranges that are too many prefixes: write prefixes")
        return found or [text]

    def _add_names(self, name: str, parts: "list[dict[str, list[str]]]") -> None:
        """Gives the parts that have a name's address the name, unless one has it already."""
        for where, host, prefix, _ in self._names.get(name, ()):
            if not host or not prefix or any(host in part.get("dest_host", ()) for part in parts):
                continue
            here = [part for part in parts if prefix in _parsed_all(part.get("dest_ip", []))]
            if not here:
                self._bad(where, "ipAddress", NO_DNS)
            for part in here:
                part["dest_host"] = part.get("dest_host", []) + [host]

    def _leave_out(self, rule: "Rule", taken: int, found: "dict[str, list[str]]") -> None:
        if rule.priority >= taken:
            self._bad(rule.where, "priority", "never counts behind what takes the packets: 0 is the highest")
        if rule.extension:
            self._bad(rule.where, model.EXTENSION, "is for a rule that takes packets: take it out")
        for said in rule.filters:
            where = rule.where + " trafficFilter"
            fields = [field for field in ("srcAddress", "dstAddress") if says_something(said.get(field))]
            if len(fields) != 1 or any(
                says_something(said.get(field)) for field in ("dstPort", "protocol", model.EXTENSION)
            ):
                self._bad(where, "", "can leave out only all of a client (srcAddress) or of a destination (dstAddress)")
                continue
            option = "exclude_client" if fields[0] == "srcAddress" else "exclude_dest"
            found[option] += self._addresses(said, where, fields[0], option, {})


def _parsed_all(texts: "list[str]") -> "list[Prefix]":
    found = []
    for text in texts:
        try:
            found.append(address.parse_prefix(text))
        except ValueError:
            pass  # and a problem already
    return found


def _range(text: str) -> "list[str]":
    """The prefixes of a range of addresses (192.0.2.4-192.0.2.9), [] for any other text."""
    first, dash, last = text.partition("-")
    try:
        low, high = address.parse_address(first), address.parse_address(last)
    except ValueError:
        return []
    if len(low) != len(high) or low > high:
        return []
    found, size = [], len(low)
    one, end = int.from_bytes(low, "big"), int.from_bytes(high, "big")
    while one <= end:
        bits = 0
        while bits < 8 * size and not one & (1 << bits) and one + (2 << bits) - 1 <= end:
            bits += 1
        found.append("%s/%d" % (address.format_address(one.to_bytes(size, "big")), 8 * size - bits))
        one += 1 << bits
    return found
