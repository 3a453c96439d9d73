"""Writes who may call which ubus method from the agent's own table (viscum_agent/ubus_object/methods.py) into the
access lists of ubusd and rpcd, and into docs/luci.md. What else stands in these files is kept.

tools/ubus_rights.py            writes them
tools/ubus_rights.py --check    only says whether they are what would be written; exit code 1 when they are not
"""

import json
import re
import sys
from collections.abc import Container, Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import uptodate  # noqa: E402

from viscum_agent.ubus_object import methods  # noqa: E402

APPLICATION = "luci-app-viscum"
UBUSD = ROOT / "files/usr/share/acl.d/viscum.json"
RPCD = ROOT / "package" / APPLICATION / "root/usr/share/rpcd/acl.d" / (APPLICATION + ".json")
LUCI = ROOT / "docs/luci.md"
BEGIN = "<!-- Made by tools/ubus_rights.py from viscum_agent/ubus_object/methods.py: change that. -->\n"
END = "<!-- End of what is made. -->\n"
# What each of LuCI's two rights lets call.
READS, WRITES = (methods.PUBLIC, methods.READ), (methods.WRITE,)


def names(who: Container[str]) -> list[str]:
    """The methods of the words `who`, in the order of the table."""
    return [entry.name for entry in methods.METHODS if entry.who in who]


def made() -> dict[Path, str]:
    """The text of each file. KeyError or ValueError for one that has no place for the rights."""
    return {UBUSD: _ubusd(), RPCD: _rpcd(), LUCI: _document()}


def _ubusd() -> str:
    acl = json.loads(UBUSD.read_text())
    acl["access"] = {methods.OBJECT: {"methods": names([methods.PUBLIC])}}
    acl["subscribe"], acl["listen"] = [methods.OBJECT], [methods.EVENT]
    return _json(acl) + "\n"


def _rpcd() -> str:
    acl = json.loads(RPCD.read_text())
    for right, who in (("read", READS), ("write", WRITES)):
        acl[APPLICATION][right]["ubus"][methods.OBJECT] = names(who)
    return _json(acl) + "\n"


def _json(value: object, indent: str = "") -> str:
    """JSON as OpenWrt's packages write it: tabs, and a list in one line."""
    if isinstance(value, dict):
        inner = indent + "\t"
        rows = ["%s%s: %s" % (inner, json.dumps(name), _json(value[name], inner)) for name in value]
        return "{\n%s\n%s}" % (",\n".join(rows), indent)
    if isinstance(value, list):
        return "[ %s ]" % ", ".join(json.dumps(each) for each in value)
    return json.dumps(value)


def _document() -> str:
    rows = ["| right | allows to call of the ubus object `%s` |" % methods.OBJECT, "|---|---|"]
    rows += ["| read | %s |" % _quoted(names(READS)), "| write | also %s |" % _quoted(names(WRITES))]
    table = "%s\n%s\n\n%s" % (BEGIN, "\n".join(rows), END)
    text, count = re.subn(re.escape(BEGIN) + ".*?" + re.escape(END), lambda _: table, LUCI.read_text(), flags=re.S)
    if count != 1:
        raise ValueError("%s has %d places for the rights" % (LUCI, count))
    return text


def _quoted(words: Iterable[str]) -> str:
    return ", ".join("`%s`" % word for word in words)


def main(words: list[str]) -> int:
    return uptodate.main(ROOT, made(), "ubus_rights.py", words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
