"""What the config.json of an OCI runtime bundle says of a program, as values of our own options.

https://github.com/opencontainers/runtime-spec. What a service has in any case may be in there or not: its own network,
/proc, /dev, no new powers. What a file says besides, and Viscum does not do, is refused by its name: who wrote it down
may rely on it.
"""

from collections import namedtuple

from ..errors import ConfigError
from ..shell import printable, shown
from . import document as documents
from . import schema
from .document import entries, get
from .schema import Refused, words_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# What a bundle says that is no option: a name in uname(2), groups by number, paths that are covered.
Bundle = namedtuple("Bundle", ("folder", "hostname", "groups", "masked"))

MOST = 1 << 16  # bytes of a config.json; umoci's has 3 KB
ADDED = ("env", "mount", "writable")  # options that add to what a bundle says; others replace it

# What may be in each part; what is in none of them must be empty. There is no terminal, the groups of a service have a
# place of their own, and it follows the router's mounts: those are said of nearly every bundle, and change nothing.
KNOWN = {
    "": "ociVersion process root hostname mounts linux annotations",
    "process": "terminal consoleSize user args env cwd capabilities rlimits noNewPrivileges oomScoreAdj",
    "process.user": "uid gid umask additionalGids",
    "process.capabilities": "bounding effective inheritable permitted ambient",
    "root": "path readonly",
    "linux": "resources namespaces cgroupsPath maskedPaths readonlyPaths seccomp",
    "linux.resources": "devices memory cpu pids",
    "linux.resources.memory": "limit",
    "linux.resources.cpu": "quota period",
    "linux.resources.pids": "limit",
}
NAMESPACES = words_of("pid network ipc uts mount cgroup")
# What is there anyway, or is not for a service (a terminal's devices, the kernel's settings): by place and type.
USUAL = words_of("/proc:proc /dev:tmpfs /dev/pts:devpts /dev/shm:tmpfs /dev/mqueue:mqueue /sys:sysfs")
USUAL += words_of("/sys/fs/cgroup:cgroup /sys/fs/cgroup:cgroup2")
FLAGS = words_of("bind rbind ro rw nosuid nodev noexec noatime relatime strictatime private rprivate slave rslave")
SIZES = ("size=", "mode=", "nr_inodes=")  # of a tmpfs: `tmp_size` is for all of them
LIMITS = words_of("nofile nproc core memlock fsize")
INFINITY = 1 << 63  # of a limit, and more


def load(folder: str, user: str = "") -> "tuple[dict[str, Any], list[str]]":
    """(values of options by their names; a sentence for each thing that is wrong) from a bundle's folder. `user` is an
    account in the place of the bundle's, which has neither its groups nor the powers of another kind of account."""
    path = folder + "/config.json"
    try:
        document = documents.read(path, MOST, "name the folder of a bundle")
    except ConfigError as error:
        return {}, [str(error)]
    values, wrong = values_of(document, folder, user)
    return values, ["%s: %s" % (path, text) for text in wrong]


def values_of(document: object, folder: str, user: str = "") -> "tuple[dict[str, Any], list[str]]":
    """(values of options, a sentence for each thing that is wrong) from what a config.json holds; `user` as above."""
    values: dict[str, Any] = {
        "hostname": "",
        "groups": [],
        "masked": [],
        "mount": [],
        "root": "rootfs",
        "writable": [],
        "bundle": folder,
        "user": user,
    }
    wrong: list[str] = []
    for read in (_refuse_unknown, _process, _user, _limits, _root, _mounts, _linux, _resources):
        try:
            read(document, values, wrong)
        except Refused as error:
            wrong.append(error.args[0])
    extra = [values.pop(name) for name in ("hostname", "groups", "masked")]
    try:
        values["root"] = schema.PLACE.parse(_path(folder, values["root"]))
        values["mount"] = [schema.MOUNT.parse(each) for each in values["mount"]]
    except ValueError:
        wrong.append("a path in it (root, mounts) is not a plain one: leave out `.`, `..` and `:`")
    values["bundle"] = Bundle(folder, extra[0], tuple(extra[1]), tuple(extra[2]))
    return values, wrong


def _path(folder: str, path: str) -> str:
    return path if path.startswith("/") else "%s/%s" % (folder, path)


def _parsed(where: str, kind: "schema.Type", text: str) -> "Any":
    try:
        return kind.parse(text)
    except Refused as error:
        raise Refused("%s: %s %s" % (where, shown(text), error.args[0]))
    except ValueError:
        raise Refused("%s: %s is not %s" % (where, shown(text), kind.expected))


def _number(option: str, where: str, value: int) -> "Any":
    """A number as an option takes it."""
    return _parsed(where, schema.option_named("service", option).type, "%d" % value)  # type: ignore[union-attr]


def _refuse_unknown(document: "Any", values: dict, wrong: "list[str]") -> None:
    for where in sorted(KNOWN):
        part = get(document, where, dict, {}) if where else document
        if not isinstance(part, dict):
            raise Refused("is no object")
        for key in sorted(part):
            if key not in KNOWN[where].split(" ") and documents.says_something(part[key]):
                wrong.append("%s is not supported: remove it" % printable((where + "." + key).strip(".")))


def _process(document: object, values: dict, wrong: "list[str]") -> None:
    values["command"] = entries(document, "process.args")
    if not values["command"]:
        wrong.append("process.args is missing: name the program")
    values["env"] = [_parsed("process.env", schema.VARIABLE, each) for each in entries(document, "process.env")]
    values["workdir"] = _parsed("process.cwd", schema.PATH, get(document, "process.cwd", str, "/"))
    if not get(document, "process.noNewPrivileges", bool, True):
        wrong.append("process.noNewPrivileges is false, and no service gets new ones: remove it")
    score = get(document, "process.oomScoreAdj", int, None)
    if score is not None:
        values["oom_score_adj"] = _number("oom_score_adj", "process.oomScoreAdj", score)
    values["hostname"] = get(document, "hostname", str, "")
    if len(values["hostname"]) > 64 or values["hostname"] != printable(values["hostname"]):
        wrong.append("hostname is no name for a host")


def _user(document: object, values: dict, wrong: "list[str]") -> None:
    other = values["user"]
    uid = _parsed("process.user.uid", schema.ACCOUNT, "%d" % get(document, "process.user.uid", int, 0))
    values["user"] = other or uid
    gid = get(document, "process.user.gid", int, 0)
    values["group"] = _parsed("process.user.gid", schema.ACCOUNT, "%d" % gid)
    groups = entries(document, "process.user.additionalGids", int)
    values["groups"] = [int(_parsed("process.user.additionalGids", schema.ACCOUNT, "%d" % each)) for each in groups]
    if other:
        values["group"], values["groups"] = None, []
    values["umask"] = get(document, "process.user.umask", int, 0o022) & 0o777
    # What is left after exec (capabilities(7)): for root what bounds it, for others what is ambient.
    name = "process.capabilities.%s" % ("bounding" if values["user"] in ("0", "root") else "ambient")
    words = [each.lower() for each in entries(document, name)]
    values["capability"] = [_parsed(name, schema.CAPABILITY, each[4:] if each[:4] == "cap_" else "?") for each in words]


def _limits(document: object, values: dict, wrong: "list[str]") -> None:
    for each in entries(document, "process.rlimits", dict):
        kind, hard = get(each, "type", str, ""), get(each, "hard", int, 0)
        name = kind[7:].lower()
        if kind[:7] != "RLIMIT_" or name not in LIMITS:
            wrong.append("process.rlimits: %s is not supported: remove it" % shown(kind))
        elif hard != get(each, "soft", int, hard):
            wrong.append("process.rlimits: %s has two values, and a service has one: make them the same" % kind)
        else:
            values[name] = hard if 0 <= hard < INFINITY else schema.UNLIMITED


def _root(document: object, values: dict, wrong: "list[str]") -> None:
    values["root"] = get(document, "root.path", str, "rootfs")
    values["writable"] = [] if get(document, "root.readonly", bool, False) else ["/"]


def _mounts(document: object, values: dict, wrong: "list[str]") -> None:
    for each in entries(document, "mounts", dict):
        place, kind = get(each, "destination", str, ""), get(each, "type", str, "")
        flags = entries(each, "options")
        if "%s:%s" % (place, kind) in USUAL:
            continue
        is_bound = "bind" in flags or "rbind" in flags
        if kind != schema.TMPFS and not is_bound:
            wrong.append("mounts: the type %s of %s is not supported: remove it" % (shown(kind), shown(place)))
            continue
        for flag in flags:
            if flag not in FLAGS and (is_bound or flag[: flag.find("=") + 1] not in SIZES):
                wrong.append("mounts: %s of %s is not supported: remove it" % (shown(flag), shown(place)))
        source = _path(values["bundle"], get(each, "source", str, "")) if is_bound else schema.TMPFS
        words = [word for word in ("ro", "noexec") if word in flags]
        values["mount"].append(":".join([source, place] + ([",".join(words)] if words else [])))


def _linux(document: object, values: dict, wrong: "list[str]") -> None:
    for each in entries(document, "linux.namespaces", dict):
        kind = get(each, "type", str, "")
        if kind not in NAMESPACES or each.get("path"):
            wrong.append(
                "linux.namespaces: %s%s is not supported: remove it"
                % (shown(kind), " of others" * (kind in NAMESPACES))
            )
    values["masked"] = [
        _parsed("linux.maskedPaths", schema.PLACE, each) for each in entries(document, "linux.maskedPaths")
    ]
    for each in entries(document, "linux.readonlyPaths"):
        if values["writable"] and each[:6] != "/proc/" and each[:5] != "/sys/":
            wrong.append("linux.readonlyPaths: %s can't be kept in a root to write: say root.readonly" % shown(each))
    calls = get(document, "linux.seccomp", dict, None)
    if calls:
        values["seccomp"] = _calls(calls)


def _calls(document: object) -> "Any":
    from .calls import policy_of  # with the numbers of all system calls

    try:
        return policy_of(document)
    except Refused as error:
        raise Refused("linux.seccomp: %s" % error.args[0])


def _resources(document: object, values: dict, wrong: "list[str]") -> None:
    if [each for each in entries(document, "linux.resources.devices", dict) if each.get("allow")]:
        wrong.append("linux.resources.devices: a service has the usual devices only: remove what allows more")
    memory = get(document, "linux.resources.memory.limit", int, -1)
    if memory >= 0:
        values["memory_max"] = _number("memory_max", "linux.resources.memory.limit", memory)
    quota = get(document, "linux.resources.cpu.quota", int, 0)
    period = get(document, "linux.resources.cpu.period", int, 0)
    if quota > 0:
        share = max(1, quota * 100 // (period if period > 0 else 100000))
        values["cpu_max"] = _number("cpu_max", "linux.resources.cpu.quota", share)
    tasks = get(document, "linux.resources.pids.limit", int, 0)
    if tasks > 0:
        values["pids_max"] = _number("pids_max", "linux.resources.pids.limit", tasks)
