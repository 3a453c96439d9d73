"""Modules that a router may do without: a package of their own brings them (MicroPython), and nothing but what is here
imports them. Each archive of modules has one package's (tools/package/source.py)."""

from . import compat
from .errors import UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

# {package: its modules below viscum_agent, and what is below those}.
PARTS = {
    "viscum-doctor": (
        "cli.faults",
        "cli.walk",
        "doctor",
        "explained",
        "kernel.passage",
        "kernel.tap",
        "plan.explain",
        "plan.packet",
        "ubus_object.faults",
    ),
    "viscum-names": ("kernel.overhear", "names", "plan.byname", "plan.leased"),
    "viscum-metrics": ("cli.metrics",),
    "viscum-recipes": ("cli.recipes",),
    "viscum-worth": ("cli.worth", "kernel.snmp", "kernel.tcp_info", "worth"),
    "viscum-tenants": ("cli.tenant", "config.tenants", "plan.tenanted", "tenancy", "ubus_object.tenants"),
    "viscum-etsi": ("cli.etsi",),
}
MANAGERS = (("opkg", "/bin/opkg"), ("apk", "/usr/bin/apk"))


def load(name: str) -> "ModuleType":
    """A module of PARTS, or below one. Raises UnsupportedError if its package is not there."""
    package, part = [(each, part) for each in PARTS for part in PARTS[each] if (name + ".").startswith(part + ".")][0]
    try:
        return __import__("viscum_agent." + name, None, None, ("*",))
    except ImportError as error:
        if "viscum_agent." + part not in str(error):
            raise  # it is there, and something else is not
    text = "the package %s is not installed, or of another version than viscum: %s"
    raise UnsupportedError(text % (package, install(manager(), package)))


def manager(root: str = "") -> str:
    """The router's package manager: "opkg", "apk", or "" for none."""
    for name, path in MANAGERS:
        if compat.exists(root + path):
            return name
    return ""


def install(manager: str, package: str) -> str:
    """The command that installs a package."""
    if manager == "apk":
        return "apk add " + package
    if manager == "opkg":
        return "opkg update && opkg install " + package
    return "install %s (opkg install, on OpenWrt 25.12 apk add)" % package
