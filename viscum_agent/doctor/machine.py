"""The look at the machine: reads what the findings are made from, judges nothing, changes nothing.

Each value is None where it could not be read; `unread` says why. Paths are OpenWrt's (firewall4, mt76, opkg and apk
have them so); on another machine most are simply not there.
"""

import os
import sys
from collections import namedtuple

from .. import compat, optional
from ..config import uci
from ..errors import ConfigError, UnsupportedError
from ..kernel import cgroup, ethtool, netns, probe, ruleset
from ..records.objects import device_name
from ..service import box, process, seccomp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, TypeVar

    from ..config.service import Program
    from ..config.uci import _Section as Section
    from ..records.dump import Dump
    from .target import Target

    T = TypeVar("T")

# `unread` maps the name of a field to why it is None. `features` are facts.Features, `veth` whether there are veth
# pairs, `seccomp` why programs have no filter for system calls, "" where they have, `groups` why their control groups
# can't limit them, by controller, where they can't. `files` maps a path to its mode
# (None: not there), `accounts` maps
# (user, group) to what is wrong with them, "" for nothing. `firewall` are the options of firewall's defaults section
# ({}: no such file), `ruleset` a kernel ruleset.Ruleset, `tables` the legacy iptables' tables, `includes` maps our
# three files to whether they are there. `wed` maps a driver to whether WED is on, `running` holds those of NEIGHBOURS
# that run, `gro_list` the devices with rx-gro-list. `sqm` and `qosify` are the devices and interfaces that they are
# configured for. `sysctls` maps keys to text. `memory` is (all, available) and `disks` maps a path to (all, free), in
# bytes. `manager` is the package manager, "opkg", "apk" or "". `library` is whether pyroute2 could be imported.
Machine = namedtuple(
    "Machine",
    (
        "unread",
        "root",
        "features",
        "veth",
        "seccomp",
        "groups",
        "files",
        "accounts",
        "firewall",
        "ruleset",
        "tables",
        "includes",
        "wed",
        "running",
        "gro_list",
        "sqm",
        "qosify",
        "sysctls",
        "memory",
        "disks",
        "manager",
        "interpreter",
        "version",
        "library",
    ),
)

INCLUDES = (
    "chain-post/raw_prerouting/viscum.nft",
    "chain-pre/forward/viscum.nft",
    "chain-pre/input/viscum.nft",
)
INCLUDE_FOLDER = "/usr/share/nftables.d/"  # where firewall4 looks (fw4.uc)
NEIGHBOURS = ("bridger", "qosify")
WED_DRIVERS = ("mt7915e", "mt7996e")  # the mt76 drivers that have the parameter wed_enable
SYSCTLS = ("net/ipv4/ip_forward", "net/ipv4/conf/all/rp_filter", "net/ipv6/conf/all/forwarding")
DEVICE_SYSCTLS = ("net/ipv4/conf/%s/rp_filter", "net/ipv4/conf/%s/forwarding")


class _Look:
    """Calls the readers one by one and notes what could not be read."""

    def __init__(self) -> None:
        self.unread: dict[str, str] = {}

    def at(self, name: str, read: "Callable[..., T]", *arguments: object) -> "T | None":
        try:
            return read(*arguments)
        except OSError as error:
            self.unread[name] = compat.strerror(error.errno) if error.errno else str(error)
        except (UnsupportedError, ConfigError) as error:
            self.unread[name] = str(error)
        return None


def gather(targets: "list[Target]", dump: "Dump", confdir: str, root: str = "") -> "Machine":
    """A Machine. `root` stands before the paths of files, for a test."""
    look = _Look()
    at = look.at
    programs = [target.service.program for target in targets]
    return Machine(
        unread=look.unread,
        root=compat.geteuid() == 0,
        features=at("features", probe.features),
        veth=at("veth", probe.veth),
        seccomp=seccomp.missing(),
        groups={each: cgroup.missing(each) for _, each, _ in box.GROUPS if cgroup.missing(each)},
        files=_files(targets),
        accounts={(program.account, program.group or ""): _account(program) for program in programs},
        firewall=at("firewall", _options, confdir, "firewall", "defaults"),
        ruleset=at("ruleset", ruleset.read),
        tables=at("tables", _words, root + "/proc/net/ip_tables_names"),
        includes={name: compat.exists(root + INCLUDE_FOLDER + name) for name in INCLUDES},
        wed={
            driver: value for driver, value in [(each, _wed(root, each)) for each in WED_DRIVERS] if value is not None
        },
        running=at("running", _running),
        gro_list=at("gro_list", _gro_list, _below(targets, dump, root)),
        sqm=at("sqm", _sqm, confdir),
        qosify=at("qosify", _qosify, confdir),
        sysctls=_sysctls(targets),
        memory=at("memory", _memory),
        disks=_disks(),
        manager=optional.manager(root),
        interpreter=sys.implementation.name,
        version=compat.version(),
        library=compat.has_library("pyroute2"),
    )


def _mode(path: str) -> "int | None":
    try:
        return os.stat(path)[0]
    except OSError:
        return None


def with_files(targets: "list[Target]") -> "list[Target]":
    """Those whose programs are among the router's files; in a root of its own only process.lacks looks for one."""
    return [target for target in targets if not target.service.program.root]


def _files(targets: "list[Target]") -> "dict[str, int | None]":
    paths = set()
    for target in with_files(targets):
        program, check = target.service.program, target.service.health.command
        paths.update([command[0] for command in (program.command, check) if command])
        paths.add(program.workdir)
    return {path: _mode(path) for path in paths}


def _account(program: "Program") -> str:
    try:
        process.account(program.account, program.group)
    except ConfigError as error:
        return str(error)
    return ""


# Other programs' configuration


def _sections(confdir: str, package: str) -> "list[Section]":
    """The sections of a file of UCI, [] where it is not there. Raises ConfigError for one that can't be read."""
    return uci.load(confdir, package) if compat.exists("%s/%s" % (confdir, package)) else []


def _options(confdir: str, package: str, kind: str) -> "dict[str, Any]":
    """The options of the first section of a type."""
    for section in _sections(confdir, package):
        if section.type == kind:
            return section.options
    return {}


def _sqm(confdir: str) -> "list[str]":
    """Devices of the queues that are enabled (sqm-scripts, run-openwrt.sh)."""
    queues = [section.options for section in _sections(confdir, "sqm") if section.type == "queue"]
    return [queue.get("interface", "") for queue in queues if uci.as_bool(queue.get("enabled", "0"))]


def _qosify(confdir: str) -> "list[str]":
    """Devices and interfaces that qosify shapes (qosify.init)."""
    sections = [section for section in _sections(confdir, "qosify") if section.type in ("interface", "device")]
    return [
        section.options.get("name", "") for section in sections if not uci.as_bool(section.options.get("disabled", "0"))
    ]


# The kernel


def _words(path: str) -> "list[str]":
    if not compat.exists(path):
        return []
    with open(path) as file:
        return file.read().split()


def _wed(root: str, driver: str) -> "bool | None":
    try:
        return _words("%s/sys/module/%s/parameters/wed_enable" % (root, driver))[0] in ("Y", "1")
    except (OSError, IndexError):
        return None


def _running() -> "list[str]":
    """Which neighbours run, by the names of the processes (proc(5))."""
    found = set()
    for pid in os.listdir("/proc"):
        if "0" <= pid[0] <= "9":
            try:
                with open("/proc/%s/comm" % pid) as file:
                    found.add(file.read().strip())
            except (OSError, UnicodeError):
                pass  # gone meanwhile, or a name that is no text
    return [name for name in NEIGHBOURS if name in found]


def _below(targets: "list[Target]", dump: "Dump", root: str) -> "list[str]":
    """The devices of the Targets and those that their frames come in by: ports of a bridge, what a VLAN is on."""
    home = [link for link in dump.links if link.ns == ""]
    index = {link.name: link.index for link in home}
    found, waiting = set(), [device.name for target in targets for device in target.devices]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        waiting += [link.name for link in home if link.master and link.master == index.get(name)]
        waiting += [lower for lower in _lower(root, name) if lower in index]
    return sorted(found)


def _lower(root: str, name: str) -> "list[str]":
    """What sysfs has below a device (a bridge, a VLAN, a port of a DSA switch)."""
    try:
        entries = compat.list_names("%s/sys/class/net/%s" % (root, name))
    except OSError:
        return []
    return [entry[len("lower_") :] for entry in entries if entry.startswith("lower_")]


def _gro_list(devices: "Iterable[str]") -> "list[str]":
    found = []
    with ethtool.Ethtool() as asked:
        for device in devices:
            try:
                active = asked.active(device)
            except OSError as error:
                if error.errno in (compat.ENODEV, compat.EOPNOTSUPP):
                    continue  # gone meanwhile, or without features
                raise
            if "rx-gro" in active and "rx-gro-list" in active:
                found.append(device)
    return found


def _sysctls(targets: "list[Target]") -> "dict[str, str | None]":
    keys = list(SYSCTLS)
    for target in targets:
        keys += [key % device_name(target.service.name) for key in DEVICE_SYSCTLS]
    return {key: netns.read_sysctl(key) for key in keys}


# The machine


def _memory() -> "tuple[int, int]":
    """(all, available) bytes from /proc/meminfo (proc(5): in kB)."""
    values = {}
    with open("/proc/meminfo") as file:
        for line in file:
            words = line.split()
            if words[0] in ("MemTotal:", "MemAvailable:"):
                values[words[0]] = int(words[1]) * 1024
    return values["MemTotal:"], values["MemAvailable:"]


def _disks() -> "dict[str, tuple[int, int]]":
    """(all, free) bytes for the place of configuration and packages (/overlay on a router) and for /tmp."""
    found = {}
    for path in ("/overlay" if compat.exists("/overlay") else "/", "/tmp"):
        try:
            status = os.statvfs(path)  # f_bsize, f_frsize, f_blocks, f_bfree, f_bavail (statvfs(3))
        except OSError:
            continue
        found[path] = (status[1] * status[2], status[1] * status[4])
    return found
