"""`viscum tenant`: what a tenant's text would be answered (`check`), and the access lists that give him his (`acl`)."""

import os

from .. import compat, replace, tenancy
from ..config import tenants
from ..errors import ViscumError
from ..reconcile import Reconciler
from ..shell import printable
from ..ubus_object import tenants as objects
from ..ubus_object.methods import METHODS, PUBLIC, READ
from ..ubus_object.names import OBJECT
from ..ujson import dumps
from .places import Usage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .words import Arguments

RPCD, UBUSD = "/usr/share/rpcd/acl.d", "/usr/share/acl.d"
READS = ("list", "status", "config", "check")  # of a tenant's object; the others write


def command(arguments: "Arguments") -> int:
    words = arguments.names
    if len(words) == 3 and words[0] == "check":
        return _check(arguments, words[1], words[2])
    if len(words) in (2, 3) and words[0] == "acl":
        return _acl(arguments, words[1], words[2] if len(words) == 3 else "")
    raise Usage("tenant takes check NAME FILE, or acl NAME [FOLDER]", arguments.command)


def _check(arguments: "Arguments", name: str, path: str) -> int:
    try:
        text = compat.read_file(path, tenants.LARGEST + 1)
    except OSError as error:
        raise ViscumError("%s: %s" % (path, compat.strerror(error.args[0])))
    with Reconciler(arguments.confdir, arguments.socket) as reconciler:
        try:
            tenancy.judge(reconciler, arguments.confdir, name, text)
            reasons: list[str] = []
        except tenancy.Refused as error:
            reasons = error.reasons
    for reason in reasons:
        print(printable(reason))
    return 1 if reasons else 0


def _acl(arguments: "Arguments", name: str, folder: str) -> int:
    """Prints both access lists, or writes them below a folder (`/`)."""
    with Reconciler(arguments.confdir) as reconciler:
        tenancy.tenant_of(reconciler.configuration, name)
    for path, acl in lists(name):
        text = dumps(acl)
        if folder:
            where = folder.rstrip("/") + path
            _put(where, text + "\n")
            print(where)
        else:
            print("# %s\n%s" % (path, text))
    return 0


def lists(name: str) -> "list[tuple[str, dict]]":
    """(path, access list) of rpcd, for who logs in to LuCI, and of ubusd, for a local account of that name."""
    group = "viscum-tenant-" + name
    services, own = "%s.%s*" % (OBJECT, tenants.prefix_of(name)), objects.TENANT + name
    of_service = [method for method, _ in objects.of_service()]
    reads = [entry.name for entry in METHODS if entry.who in (PUBLIC, READ) and entry.name in of_service]
    writes = [method for method in of_service if method not in reads]
    configures = [method for method, _ in objects.OF_TENANT if method not in READS]
    rpcd = {
        "description": "Grant access to the services of tenant %s" % name,
        "read": {"ubus": {services: reads, own: list(READS)}},
        "write": {"ubus": {services: writes, own: configures}},
    }
    access = {services: {"methods": of_service}, own: {"methods": list(READS) + configures}}
    file = "/%s.json" % group
    return [(RPCD + file, {group: rpcd}), (UBUSD + file, {"user": name, "access": access})]


def _put(path: str, text: str) -> None:
    parts = path.split("/")
    try:
        for end in range(2, len(parts)):
            if not compat.exists("/".join(parts[:end])):
                os.mkdir("/".join(parts[:end]))
        replace.put(path, "%s/.%s.new" % ("/".join(parts[:-1]), parts[-1]), 0o644, text.encode())
    except OSError as error:
        raise ViscumError("%s can't be written: %s" % (path, compat.strerror(error.args[0])))
