"""Makes docs/manual.md from docs/manual.template.md and what the agent itself says about its options and commands.

tools/manual.py            writes docs/manual.md
tools/manual.py --check    only says whether it is what would be written; exit code 1 when it is not
"""

import re
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import uptodate  # noqa: E402

from viscum_agent.cli import words  # noqa: E402
from viscum_agent.config import schema, service, tenants  # noqa: E402
from viscum_agent.names import known, leases, snoop  # noqa: E402
from viscum_agent.plan import groups, hosts  # noqa: E402
from viscum_agent.service import seccomp  # noqa: E402

TEMPLATE, MANUAL = ROOT / "docs/manual.template.md", ROOT / "docs/manual.md"
NOTE = (
    "<!-- Made by tools/manual.py from docs/manual.template.md and viscum_agent/config/schema.py: change those. -->\n\n"
)


def manual() -> str:
    """The text of docs/manual.md. KeyError when the template asks for what there isn't."""
    parts = {"options " + name: options(table) for name, table in schema.SECTIONS.items()}
    parts["syscalls"] = "\n".join("- `%s`: %s" % (name, _calls(name)) for name in seccomp.GROUPS)
    parts["never"] = "\n".join("- %s (%s)" % row for row in schema.NEVER)
    parts["usage"] = "\n".join(("    " + line).rstrip() for line in words.usage().rstrip().split("\n"))
    parts["max_name"] = str(service.MAX_NAME)
    parts["max_matches"] = str(service.MAX_MATCHES)
    parts["max_named"] = str(hosts.MOST)
    parts["free"], parts["bounded"] = "`, `".join(tenants.FREE), "`, `".join(tenants.BOUNDED)
    parts["alone"] = " and ".join(map(str, tenants.ALONE))
    parts["max_clients"], parts["max_of_name"] = str(groups.MOST), str(leases.MOST_CLIENTS)
    parts["max_leases"] = str(leases.MOST >> 10)
    parts["least"], parts["most"] = str(known.LEAST), str(known.MOST)
    parts["window"], parts["addresses"] = str(snoop.WINDOW), str(known.MOST_ADDRESSES)
    unused = set(parts)

    def fill(found: re.Match[str]) -> str:
        unused.discard(found.group(1))
        return parts[found.group(1)]

    text = re.sub(r"\{([a-z_ ]+)\}", fill, TEMPLATE.read_text())
    if unused:
        raise KeyError("the template has no place for: " + ", ".join(sorted(unused)))
    return NOTE + text


def options(table: Iterable[schema.Option]) -> str:
    rows = ["| option | takes | default | |", "|---|---|---|---|"]
    rows += [
        "| `%s` | %s | %s | %s |" % (option.name, _takes(option), _default(option), option.help) for option in table
    ]
    return "\n".join(rows)


def _calls(group: str) -> str:
    names: list[str] = seccomp.GROUPS[group].split(" ")
    text = ", ".join(names)
    notes = {
        "namespaces": " (clone and unshare only where they make a namespace)",
        "sockets": " (only of families other than unix, inet, inet6, netlink and packet)",
    }
    return text + notes.get(group, "")


def _takes(option: schema.Option) -> str:
    text: str = option.type.expected
    return ("a list, each " if option.many else "") + text


def _default(option: schema.Option) -> str:
    values = option.default if option.many else [option.default]
    return " ".join("`%s`" % value for value in values if value != "")


def main(words: list[str]) -> int:
    return uptodate.main(ROOT, {MANUAL: manual()}, "manual.py", words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
