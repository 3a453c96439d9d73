"""Makes viscum_agent/config/fields.pyi, what mypy sees of the records that options become: the fields of
viscum_agent/config/fields.py, with the types that the rows of viscum_agent/config/schema.py give them.

tools/option_types.py            writes it
tools/option_types.py --check    only says whether it is what would be written; exit code 1 when it is not
"""

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import uptodate  # noqa: E402

from viscum_agent.config import fields, schema  # noqa: E402

STUB = ROOT / "viscum_agent/config/fields.pyi"
HEAD = """# Made by tools/option_types.py from viscum_agent/config/schema.py: change that.

from typing import Any, NamedTuple, TypeVar

from ..address import Prefix
from .bundle import Bundle
from .calls import Policy
from .schema import Destination, Mount, Option
from .service import Match, Named
from .tenants import Tenant

Record = TypeVar("Record", bound=tuple)

OPTIONS: dict[Any, list[tuple[str, Option]]]

def make(record: type[Record], values: dict, **judged: Any) -> Record: ...
"""
# Of the fields that are no options, or become something else.
JUDGED = {
    "name": "str",
    "account": "str",
    "program": "Program",
    "interfaces": "tuple[str, ...]",
    "devices": "tuple[str, ...]",
    "matches": "tuple[Match, ...]",
    "named": "tuple[Named, ...]",
    "clients": "tuple[str | Prefix, ...] | None",
    "exclude_clients": "tuple[str | Prefix, ...]",
    "client_hosts": "tuple[str, ...]",
    "exclude_hosts": "tuple[str, ...]",
    "exclude_dests": "tuple[Prefix, ...]",
    "health": "Health",
    "respawn": "Respawn",
    "tenant": "Tenant | None",
    "bundle": "Bundle | None",
    "seccomp": "Policy | None",
}
# What a type of schema.py makes of a text, where that is no text.
MADE = {
    "bool": "bool",
    "number": "int",
    "limit": "int",
    "bytes": "int",
    "rate": "int",
    "burst": "int",
    "umask": "int",
    "signed": "int",
    "port": "int",
    "ports": "tuple[int, int]",
}
MADE["reached"] = "Destination"
MADE["mount"] = "Mount"
MADE.update({name: "Prefix" for name in ("destination", "clients", "pool", "prefix")})


def stub() -> str:
    """The text of fields.pyi."""
    return HEAD + "".join(_record(record, dict(pairs)) for record, pairs in fields.OPTIONS.items())


def _record(record: Any, options: "dict[str, schema.Option]") -> str:
    rows = ["    %s: %s" % (name, JUDGED.get(name) or _type(options[name])) for name in record._fields]
    return "\nclass %s(NamedTuple):\n%s\n" % (record.__name__, "\n".join(rows))


def _type(option: schema.Option) -> str:
    made = MADE.get(option.type.name, "str")
    if option.many:
        return "tuple[%s, ...]" % made
    return made if option.default else made + " | None"


def main(words: "list[str]") -> int:
    return uptodate.main(ROOT, {STUB: stub()}, "option_types.py", words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
