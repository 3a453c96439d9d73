"""Makes the LuCI form's table of options from the agent's own (viscum_agent/config/schema.py), so that they
can't drift apart.

tools/luci_options.py            writes viscum/options.js and po/templates/viscum.pot of package/luci-app-viscum
tools/luci_options.py --check    only says whether they are what would be written; exit code 1 when they are not
"""

import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import uptodate  # noqa: E402

from viscum_agent.config import schema, service  # noqa: E402

APPLICATION = ROOT / "package/luci-app-viscum"
RESOURCES = APPLICATION / "htdocs/luci-static/resources"
OPTIONS = RESOURCES / "viscum/options.js"
TEMPLATE = APPLICATION / "po/templates/viscum.pot"

HEAD = """'use strict';
'require baseclass';

/* Made by tools/luci_options.py from viscum_agent/config/schema.py: change that. */

"""

# What a person reads before a field, where that is not just its name; help and expectations are the agent's.
TITLES = {
    "snoop": "DNS answers to clients",
    "compare": "Compare with the cloud",
    "allow_syscalls": "Allowed system calls",
    "seccomp": "List of system calls",
    "bypass_load": "Bypass under load",
    "capability": "Capabilities",
    "core": "Core file (bytes)",
    "cpu_max": "CPU",
    "dest_ip": "Destination address",
    "dest_host": "Destination name",
    "dest_port": "Destination port",
    "egress": "May reach",
    "env": "Environment",
    "family": "Address family",
    "fsize": "File size (bytes)",
    "health_command": "Check command",
    "health_fall": "Bad checks",
    "health_interval": "Check interval",
    "health_port": "Check port",
    "health_rise": "Good checks",
    "health_timeout": "Check timeout",
    "healthcheck": "Health check",
    "memlock": "Locked memory (bytes)",
    "nexthop": "Next hop",
    "nexthop_mac": "MAC address of the next hop",
    "memory_max": "Memory",
    "mtu": "MTU",
    "netlink": "Netlink back end",
    "nofile": "Descriptors",
    "nproc": "Processes of its account",
    "oom_score_adj": "OOM score",
    "pids_max": "Processes",
    "pool": "Address pool",
    "proto": "Protocol",
    "reply": "Replies",
    "respawn_retry": "Crashes at most",
    "respawn_threshold": "Crash threshold",
    "respawn_timeout": "Restart delay",
    "src_ip": "Client address",
    "src_mac": "Client MAC address",
    "client": "Clients",
    "mac": "MAC address",
    "ip": "Address",
    "name": "Host name",
    "term_timeout": "End timeout",
    "tmp_size": "Temporary files (MB)",
    "view": "What it sees",
    "visible": "Visible paths",
    "vlan": "VLAN",
    "writable": "Writable paths",
    "drain_timeout": "Drain timeout",
    "workdir": "Working directory",
}
_TEXT = r"""\s*('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\s*"""
TRANSLATED = re.compile(r"\b(?:_\(|N_\([^,]+,%s,)%s\)" % (_TEXT, _TEXT))
COMMANDS = ("command", "health_command")  # of type text, and one line in the form
NEVER = {
    "destination": [list(row) for row in schema.NEVER],
    "clients": [list(row) for row in schema.NEVER if row[1] != schema.LINK_LOCAL],
    "client": [list(row) for row in schema.NEVER if row[1] != schema.LINK_LOCAL],
    "reached": [list(row) for row in schema.NEVER if row[1] != schema.LINK_LOCAL],
    "nexthop": [list(row) for row in schema.NEVER if row[1] != schema.LINK_LOCAL],
    "pool": list(schema.NO_POOL),
}


def options() -> str:
    """The text of viscum/options.js."""
    tables = ["\t%s: %s" % (name, _table(table)) for name, table in schema.SECTIONS.items()]
    return HEAD + "return baseclass.extend({\n\tlongestName: %d,\n\n%s\n});\n" % (
        service.MAX_NAME,
        ",\n\n".join(tables),
    )


def _table(table: Iterable[schema.Option]) -> str:
    return "[\n%s\n\t]" % ",\n".join("\t\t" + _row(option) for option in table)


def _row(option: schema.Option) -> str:
    fields = {
        "name": _js(option.name),
        "type": _js("command" if option.name in COMMANDS else option.type.name),
        "many": _js(option.many),
        "fallback": _js(list(option.default) if option.many else option.default),
        "title": "_(%s)" % _js(_title(option) + _unit(option.type)),
        "help": "_(%s)" % _js(option.help),
        "expected": "_(%s)" % _js(option.type.expected),
    }
    fields.update(_limits(option.type))
    return "{ %s }" % ",\n\t\t\t".join("%s: %s" % field for field in fields.items())


def _title(option: schema.Option) -> str:
    return TITLES.get(option.name) or option.name.replace("_", " ").capitalize()


def _unit(kind: schema.Type) -> str:
    """What a number counts, for its title; checks and crashes are in it already."""
    instances = (("a number of seconds", " (seconds)"), ("a number of bytes", " (bytes)"), ("a percentage", " (%)"))
    return "".join([instance for words, instance in instances if kind.expected.startswith(words)])


def _limits(kind: schema.Type) -> dict[str, str]:
    """What else a type has to know, which is in the sentence that says what it expects."""
    if kind.name == "choice":
        words = kind.expected[len("one of: ") :].split(", ")
        assert all(kind.parse(word) for word in words)
        return {"words": _js(words)}
    if kind.name == "number":
        found = re.fullmatch(r"a .+ from (\d+) to (\d+)", kind.expected)
        assert found
        low, high = map(int, found.groups())
        return {"low": _js(low), "high": _js(high)}
    if kind.name == "signed":
        return dict(zip(("low", "high"), re.findall(r"-?\d+", kind.expected), strict=True))
    if kind is schema.CAPABILITY:
        return {"words": _js([schema.ALL, *schema.CAPABILITIES])}
    return {"never": _js(NEVER[kind.name])} if kind.name in NEVER else {}


def _js(value: object) -> str:
    """A JavaScript literal; texts in single quotes, as LuCI's scanner for translations likes them."""
    if isinstance(value, str):
        return "'%s'" % json.dumps(value, ensure_ascii=False)[1:-1].replace('\\"', '"').replace("'", "\\'")
    if isinstance(value, list):
        return "[ %s ]" % ", ".join(_js(each) for each in value) if value else "[]"
    return json.dumps(value)


def template(made: str) -> str:
    """The text of the template for translators: every `_('...')` and `N_(count, '...', '...')` of the application, with
    the files that have it."""
    found: dict[tuple[str, ...], list[str]] = {}
    for path in sorted(RESOURCES.rglob("*.js")):
        text = made if path == OPTIONS else path.read_text()
        for words in TRANSLATED.findall(text):
            places = found.setdefault(tuple(_unquoted(word) for word in words if word), [])
            place = path.relative_to(APPLICATION).as_posix()
            if place not in places:
                places.append(place)
    for path in sorted((APPLICATION / "root/usr/share").rglob("*.json")):
        for title in re.findall(r'"(?:title|description)": ("(?:[^"\\]|\\.)*")', path.read_text()):
            found.setdefault((json.loads(title),), []).append(path.relative_to(APPLICATION).as_posix())
    entries = [_entry(words, found[words]) for words in sorted(found)]
    return 'msgid ""\nmsgstr "Content-Type: text/plain; charset=UTF-8"\n\n' + "\n".join(entries)


def _entry(words: tuple[str, ...], paths: list[str]) -> str:
    """A text, or one for a single thing and one for several."""
    head = "%s\nmsgid %s\n" % (_places(paths), _po(words[0]))
    if len(words) == 1:
        return head + 'msgstr ""\n'
    return head + 'msgid_plural %s\nmsgstr[0] ""\nmsgstr[1] ""\n' % _po(words[1])


def _unquoted(literal: str) -> str:
    return re.sub(r"\\(.)", r"\1", literal[1:-1])


def _places(paths: list[str]) -> str:
    return "\n".join("#: package/luci-app-viscum/" + path for path in dict.fromkeys(paths))


def _po(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def main(words: list[str]) -> int:
    made = options()
    return uptodate.main(ROOT, {OPTIONS: made, TEMPLATE: template(made)}, "luci_options.py", words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
