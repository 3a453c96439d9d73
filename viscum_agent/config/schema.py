"""All options: one table that checks the configuration and that the manual and the LuCI form are made from.

An option has a name, a type, a mark whether it is a list, a default and a sentence of help. A type turns one text into
one value or says what would be right. `service` checks what needs two options to judge (a port without a protocol).
"""

from collections import namedtuple

from .. import address
from ..errors import CONFIG, Problem
from ..plan import checks, datapath
from ..shell import is_device, is_name, shown
from .uci import as_bool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .uci import _Section as Section

Type = namedtuple("Type", ("name", "parse", "expected"))
Option = namedtuple("Option", ("name", "type", "many", "default", "help"))

# What a service may reach itself: a word of EGRESS with `prefix` and `ports` None, or "" with an address.Prefix and
# (low, high), or None for every port and protocol.
Destination = namedtuple("Destination", ("word", "prefix", "ports"))
EGRESS = ("none", "lan", "wan", "any")

# What of the router is in a service's own root: a file or folder there, where it is seen, whether it may be changed.
# Without a `source` it is a folder of the service's own, in memory.
Mount = namedtuple("Mount", ("source", "target", "writable", "executable"))
TMPFS = "tmpfs"

LINK_LOCAL = "link-local"


def words_of(text: str) -> "list[str]":
    """The text split at blanks; str.split() would also split at other blanks, and not the same on both interpreters."""
    return [word for word in text.replace("\t", " ").replace("\n", " ").split(" ") if word]


# Destinations that are never redirected, and why: they don't leave the link, so no cloud service has one.
NEVER = (
    ("0.0.0.0/8", "no destination"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", LINK_LOCAL),
    ("224.0.0.0/3", "multicast, reserved or broadcast"),
    ("::/127", "unspecified or loopback"),
    ("fe80::/10", LINK_LOCAL),
    ("ff00::/8", "multicast"),
)


# Where no pool can be: addresses that don't belong to one device.
NO_POOL = ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3", "::/8", "fe80::/10", "ff00::/8")


# IPv4 addresses in IPv6 notation: how a socket shows them, and what RFC 4291, section 2.5.5.1 deprecates. No packet has
# either. (64:ff9b::/96, NAT64, and 2002::/16, 6to4, are addresses that packets do have.)
IN_IPV6 = (
    (address.parse_prefix("::ffff:0:0/96"), "a socket's way to show an IPv4 address"),
    (address.parse_prefix("::/96"), "an IPv4-compatible address, which nobody uses any more"),
)
NOBODY = address.parse_prefix("::/127")  # unspecified and loopback

RESERVED = "VISCUM_"  # prefix of the variables that say which service a process belongs to

# The accounts of services whose sections name none: the first and the last number. Nobody else is likely to have one:
# Debian counts from 1000 up and has 60000 and more for itself, OpenWrt's packages are below 1000 or count from 32768 or
# 65536. And every file system can store them: JFFS2 has 16 bits for the owner of a file.
OWN_ACCOUNTS = (40000, 59999)

NO_ID = 0xFFFFFFFF  # no account: (uid_t) -1 means "leave it" to setresuid(2) and chown(2)

EVERY_AP = "@wifi"  # every access point (ubus/netifd.py)

# By their numbers (linux/capability.h, capabilities(7)).
CAPABILITIES = words_of(
    "chown dac_override dac_read_search fowner fsetid kill setgid setuid setpcap linux_immutable net_bind_service "
    "net_broadcast net_admin net_raw ipc_lock ipc_owner sys_module sys_rawio sys_chroot sys_ptrace sys_pacct sys_admin "
    "sys_boot sys_nice sys_resource sys_time sys_tty_config mknod lease audit_write audit_control setfcap mac_override "
    "mac_admin syslog wake_alarm block_suspend audit_read perfmon bpf checkpoint_restore"
)
ALL = "all"

# Groups of system calls that are for no server (service/seccomp.py).
SYSCALLS = words_of("namespaces mount keyring userfaultfd io_uring bpf perf ptrace modules sockets")

UNLIMITED = -1  # as a limit: RLIM_INFINITY (linux/resource.h)
# As if a program took a fifth of the memory more than it does: where memory runs out, any daemon of the router that
# takes less than that outlives it (proc_pid_oom_score_adj(5)).
OOM_SCORE_ADJ = 200
# More than a server for the clients of one router needs, with a thread for each connection, and a small part of the
# 32,768 that all of them have together (kernel.pid_max).
PIDS_MAX = 1024
UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
LEAST = 1 << 20  # bytes: with less than that nothing starts

# Rates (bytes/s) and bursts (bytes). A burst that takes longer than 2^32 of the kernel's ticks could not be read back,
# nor, without an attribute of its own, a rate of 2^32 (TCA_TBF_PARMS).
SLOWEST, FASTEST = 64000 // 8, 32 * 10**9 // 8
LEAST_BURST, MOST_BURST = 2 << 10, 2 << 20
MULTIPLES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "ki": 1 << 10, "mi": 1 << 20, "gi": 1 << 30}

UNFILLED = "%s has a template's variable ({{ }}) that nothing has filled in: give it a value where the template is kept"


class Refused(ValueError):
    """A value of the right type that is refused; the argument, printed after the value, says why and what is right."""


def _text(text: str) -> str:
    if text == "":
        raise Refused("is empty")
    return text


def _bool(text: str) -> bool:
    value = as_bool(text)
    if value is None:
        raise ValueError()
    return value


def _integer(text: str, low: int, high: int) -> int:
    if not address.is_number(text) or len(text) > 10 or not low <= int(text) <= high:
        raise ValueError()
    return int(text)


def _port(text: str) -> int:
    return _integer(text, 1, 65535)


def _port_range(text: str) -> "tuple[int, int]":
    low, dash, high = text.partition("-")
    pair = (_port(low), _port(high) if dash else _port(low))
    if pair[0] > pair[1]:
        raise Refused("runs backwards; the range is %d-%d" % (pair[1], pair[0]))
    return pair


def _destination(text: str) -> "address.Prefix":
    prefix = _prefix(text)
    if prefix.length == 0:
        raise Refused("is any address: leave the option out for that, and name ports (dest_port)")
    for never, reason in NEVER:
        if address.overlaps(_network(never), prefix):
            raise Refused("can't be redirected: %s is %s" % (never, reason))
    return prefix


LABEL = "abcdefghijklmnopqrstuvwxyz0123456789-_"  # RFC 1123, section 2.1; and the `_` that some names have all the same


def _host(text: str) -> str:
    """A name in small letters, as DNS compares them, without a dot at its end; *. may be before it."""
    if text.startswith("*.") and not text.startswith("*.*"):
        return "*." + _host(text[2:])
    if not all(c <= "~" for c in text):
        raise Refused("is not as DNS has it: write the name that begins with xn-- (RFC 5890)")
    name = text.lower()
    return _name(name[:-1] if name.endswith(".") else name, "dest_ip")


def _name(name: str, other: str = "ip") -> str:
    """The name of a host; `other` is the option for addresses."""
    labels = name.lower().split(".")
    # What is left of 255 bytes with the first length and the root (RFC 1035, sections 2.3.4 and 3.1).
    if len(name) > 253 or max(name) > "~" or not all(0 < len(label) <= 63 and _is_label(label) for label in labels):
        raise ValueError()
    if address.is_number(labels[-1]):
        raise Refused("is no name: addresses are for " + other)
    return ".".join(labels)


def _is_label(label: str) -> bool:
    return label[0] != "-" and label[-1] != "-" and all(c in LABEL for c in label)


_networks: "dict[str, address.Prefix]" = {}  # those of the tables above, once somebody asked


def _network(text: str) -> "address.Prefix":
    if text not in _networks:
        _networks[text] = address.parse_prefix(text)
    return _networks[text]


def _prefix(text: str) -> "address.Prefix":
    """A prefix; one with bits set past its length is refused, since one of its two numbers is wrong."""
    body, slash, length = text.partition("/")
    if "%" in body and ":" in body:
        raise Refused("has a zone (%), which only link-local addresses need: name the device with option device")
    packed = address.parse_address(body)
    whole = 8 * len(packed)
    if not slash:
        return _on_the_wire(address.parse_prefix(text), "")
    if not address.is_number(length) or len(length) > 3 or int(length) > whole:
        raise Refused("has a wrong prefix length; it goes from 0 to %d" % whole)
    network = address.masked(packed, int(length))
    if network != packed:
        found = (address.format_address(network), length, body)
        raise Refused("has bits set past its length; the network is %s/%s, the address alone %s" % found)
    return _on_the_wire(address.parse_prefix(text), slash)


def _on_the_wire(prefix: "address.Prefix", slash: str) -> "address.Prefix":
    """The prefix, if packets can have its addresses."""
    for network, what in IN_IPV6:
        if address.contains(network, prefix) and not address.contains(NOBODY, prefix):
            text = address.format_address(prefix.packed[12:])
            text += "/%d" % (prefix.length - 96) if slash else ""
            raise Refused("is %s, and no packet has it: write %s" % (what, text))
    return prefix


def _clients(text: str) -> "address.Prefix":
    return _of_hosts(text, "can't be a client's")


def _of_hosts(text: str, why: str) -> "address.Prefix":
    """A prefix in which there may be a host; what is said of others begins with `why`."""
    prefix = _prefix(text)
    for never, reason in NEVER:
        if reason != LINK_LOCAL and address.contains(_network(never), prefix):
            raise Refused("%s: %s is %s" % (why, never, reason))
    return prefix


def _reached(text: str) -> "Destination":
    if text in EGRESS:
        return Destination(text, None, None)
    where, colon, port = text, "", ""
    if text.startswith("["):
        where, bracket, port = text[1:].partition("]")
        colon, port = port[:1], port[1:]
        if not bracket or ":" not in where or colon not in ("", ":"):
            raise ValueError()
    elif text.count(":") == 1:
        where, colon, port = text.partition(":")
    return Destination("", _of_hosts(where, "can't be reached"), _port_range(port) if colon else None)


def _pool(text: str) -> "address.Prefix":
    prefix = _prefix(text)
    shortest, longest = (14, 28) if prefix.family == 4 else (16, 110)
    if not shortest <= prefix.length <= longest:
        raise Refused("is too %s: its length has to be from %d to %d" % (_size(prefix, shortest), shortest, longest))
    for never in NO_POOL:
        if address.overlaps(_network(never), prefix):
            raise Refused("can't be a pool: no device has addresses of %s; take a private prefix" % never)
    return prefix


def _size(prefix: "address.Prefix", shortest: int) -> str:
    return "large" if prefix.length < shortest else "small"


def _variable(text: str) -> str:
    name, equals, _ = text.partition("=")
    if not equals or name == "" or "0" <= name[0] <= "9" or not all(is_name(c) for c in name):
        raise ValueError()
    if name.startswith(RESERVED):
        raise Refused("is a variable that Viscum sets itself: take a name without %s" % RESERVED)
    return text


def _account(text: str) -> str:
    if address.is_number(text):
        if len(text) > 10 or int(text) >= NO_ID:
            raise Refused("is not an account number; they go from 0 to %d" % (NO_ID - 1))
        return text
    if text == "" or not all("!" <= c <= "~" and c not in ":/" for c in text) or text[0] == "-":
        raise ValueError()
    return text


def _mac(text: str) -> str:
    lower = text.lower()
    packed = address.parse_mac(lower)
    if packed[0] & 1 or not any(packed):  # the group bit (IEEE 802, 8.2)
        raise Refused("is no single device's MAC address")
    return lower


def _client(text: str) -> "str | address.Prefix":
    """A MAC address as text, or a prefix: what Service.clients has; or the name of a group (groups.py)."""
    if is_section_name(text):
        return text
    return _mac(text) if [len(each) for each in text.split(":")] == [2] * 6 else _some(_clients(text))


def _some(prefix: "address.Prefix") -> "address.Prefix":
    if not prefix.length:
        raise Refused("is every address: name those that are meant")
    return prefix


def _nexthop(text: str) -> str:
    prefix = _of_hosts(text, "can't be a next hop")
    if "/" in text:
        raise ValueError()
    return address.format_address(prefix.packed)


def _capability(text: str) -> str:
    if text == ALL or text in CAPABILITIES:
        return text
    short = text.lower()
    short = short[4:] if short.startswith("cap_") else short
    if short in CAPABILITIES:
        raise Refused("is how a C program writes it: write %s" % short)
    raise ValueError()


def _limit(text: str) -> int:
    return UNLIMITED if text == "unlimited" else _integer(text, 0, 9999999999)


def _bytes(text: str, least: int = LEAST, most: int = (1 << 62) - 1) -> int:
    """As Docker, systemd and the kernel (memparse) write it: 64m and 64M are 64 * 1024 * 1024."""
    unit = UNITS.get(text[-1:], 0)
    count = _integer(text[:-1] if unit else text, 0, 9999999999) * (unit or 1)
    if not least <= count <= most:
        raise ValueError()
    return count


def _rate(text: str) -> int:
    """Bytes in a second, from what tc(8) takes: 20mbit and 20000000 are bits, 2500kbps bytes in a second."""
    lower = text.lower()
    digits = lower.rstrip("bgikmpst")
    unit = lower[len(digits) :] or "bit"
    whole, dot, part = digits.partition(".")
    if (
        unit[-3:] not in ("bit", "bps")
        or unit[:-3] not in MULTIPLES
        or len(part) > 6
        or not whole
        or (dot and not part)
    ):
        raise ValueError()
    count = _integer(whole + part, 0, 9999999999) * MULTIPLES[unit[:-3]] // 10 ** len(part)
    rate = count if unit[-3:] == "bps" else count // 8
    if not SLOWEST <= rate <= FASTEST:
        raise ValueError()
    return rate


def _umask(text: str) -> int:
    if len(text) not in (3, 4) or not all("0" <= c <= "7" for c in text) or (len(text) == 4 and text[0] != "0"):
        raise ValueError()
    return int(text, 8)


def _path(text: str) -> str:
    if not text.startswith("/") or any(c < " " or c == "\x7f" for c in text):
        raise ValueError()
    return text


def _place(text: str) -> str:
    if any(part in ("", ".", "..") for part in _path(text)[1:].split("/")) and text != "/":
        raise Refused("is not the plain way to write it: leave out `.`, `..`, `//` and a `/` at the end")
    return text


def _mount(text: str) -> "Mount":
    source, _, rest = text.partition(":")
    target, colon, words = rest.partition(":")
    flags = words.split(",") if colon else []
    if [each for each in flags if each not in ("ro", "noexec") or (each == "ro" and source == TMPFS)]:
        raise ValueError()
    if _place(target) == "/":
        raise Refused("can't be mounted on the root itself: name a folder in it")
    return Mount("" if source == TMPFS else _place(source), target, "ro" not in flags, "noexec" not in flags)


def _device(text: str) -> str:
    if not 0 < len(text) <= 15 or not is_device(text.replace("*", "").replace("?", "")):
        raise ValueError()
    return text


def _interface(text: str) -> str:
    if text == "" or not all(is_name(c) or c in "-.@" for c in text):
        raise ValueError()
    if text[0] == "@" and text != EVERY_AP:
        raise Refused("is how a device section of netifd names an interface: write %s" % shown(text[1:]))
    return text


def _section(text: str) -> str:
    if not is_section_name(text):
        raise ValueError()
    return text


def is_section_name(text: str) -> bool:
    return text != "" and all(is_name(c) for c in text)


def choice(*words: str) -> "Type":
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError()
        return text

    return Type("choice", parse, "one of: " + ", ".join(words))


def number(low: int, high: int, instance: str) -> "Type":
    what = "a percentage" if instance == "per cent" else "a number of " + instance
    return Type("number", lambda text: _integer(text, low, high), "%s from %d to %d" % (what, low, high))


def signed(low: int, high: int) -> "Type":
    def parse(text: str) -> int:
        return -_integer(text[1:], 0, -low) if text.startswith("-") else _integer(text, 0, high)

    return Type("signed", parse, "a number from %d to %d" % (low, high))


BOOL = Type("bool", _bool, "a boolean (1, on, true, yes, enabled; 0, off, false, no, disabled)")
TEXT = Type("text", _text, "a text")
PORT = Type("port", _port, "a port (1-65535)")
VLAN = Type("number", lambda text: _integer(text, 1, 4094), "a VLAN from 1 to 4094")
PORTS = Type("ports", _port_range, "a port or a range of ports (1-65535, 5000-5010)")
DESTINATION = Type("destination", _destination, "an address or prefix to redirect (203.0.113.10, 2001:db8::/64)")
HOST = Type("host", _host, "a host name (speed.example.com; with `snoop`, *.example.com)")
CLIENTS = Type("clients", _clients, "an address or prefix (192.168.1.0/24, 2001:db8::/64)")
CLIENT = Type(
    "client",
    _client,
    "the name of a group, a MAC address, an address or a prefix (cameras, 02:00:5e:00:53:01, 192.168.1.7)",
)
NAME = Type("name", _name, "the name of a host (camera)")
PREFIX = Type("prefix", lambda text: _some(_prefix(text)), "an address or prefix (192.168.0.0/16, fd00::/8)")
REACHED = Type(
    "reached",
    _reached,
    "none, lan, wan, any, or a destination (203.0.113.7, 203.0.113.0/24:443, [2001:db8::7]:53)",
)
POOL = Type(
    "pool", _pool, "a private prefix with room for a small subnet for each service (10.213.0.0/16, fd76:7363::/64)"
)
VARIABLE = Type("variable", _variable, "a variable with its value (NAME=value)")
ACCOUNT = Type("account", _account, "the name or number of an account (nobody, 65534)")
CAPABILITY = Type("capability", _capability, "a capability (net_raw, sys_nice; see capabilities(7)) or all")
LIMIT = Type("limit", _limit, "a number, or unlimited")
BYTES = Type("bytes", _bytes, "a number of bytes of at least 1m; k, m and g stand for 1024, 1024k and 1024m (64m)")
RATE = Type("rate", _rate, "a rate as tc(8) writes it, from 64kbit to 32gbit (20mbit, 1.5mbit; in bytes: 2mbps)")
BURST = Type(
    "burst",
    lambda text: _bytes(text, LEAST_BURST, MOST_BURST),
    "a number of bytes from 2k to 2m; k and m stand for 1024 and 1024k (64k)",
)
UMASK = Type("umask", _umask, "a umask of three octal digits (022, 077)")
NEXTHOP = Type("nexthop", _nexthop, "an address (192.0.2.1, fe80::1)")
MAC = Type("mac", _mac, "a MAC address (02:00:5e:00:53:01)")
PATH = Type("path", _path, "an absolute path (/tmp)")
PLACE = Type("place", _place, "an absolute path (/srv/data)")
MOUNT = Type(
    "mount", _mount, "two absolute paths (/srv/data:/data, /etc/ssl:/etc/ssl:ro), or tmpfs and one (tmpfs:/cache)"
)
DEVICE = Type("device", _device, "a device name of at most 15 characters, * and ? allowed (br-lan, phy*-ap0)")
INTERFACE = Type("interface", _interface, "the name of a network interface (lan)")
SECTION = Type("section", _section, "the name of a service section")
OWNER = Type("section", _section, "the name of a tenant section")

DATAPATH = choice("auto", *[each.NAME for each in datapath.ALL])
PAIR = choice("auto", "veth")

GLOBALS = (
    Option("enabled", BOOL, False, "1", "Whether any service runs at all."),
    Option(
        "datapath",
        DATAPATH,
        False,
        "auto",
        "How packets are redirected, unless a service sets its own. `auto` probes the running kernel and takes %s."
        % ", else ".join(["`%s`" % each.NAME for each in datapath.ALL]),
    ),
    Option(
        "pair",
        PAIR,
        False,
        "veth",
        "What pairs of devices lead into the services' namespaces, unless a service says so itself. `auto`: netkit, if "
        "the kernel has it (6.10, CONFIG_NETKIT), the datapath is %s and `reply` is not `routed`: a reply then leaves "
        "in the call that sends it. Else veth."
        % " or ".join(["`%s`" % each.NAME for each in datapath.ALL if not each.ROUTED]),
    ),
    Option(
        "pool",
        POOL,
        True,
        ("10.213.0.0/16", "fd76:7363:756d::/64"),
        "Prefixes from which each service gets a point-to-point subnet for its pair (a /30, a /126). A subnet "
        "that overlaps an address or a route of the router is skipped.",
    ),
    Option(
        "netlink",
        choice("native", "pyroute2"),
        False,
        "native",
        "The netlink back end: Viscum's own packed messages, or the pyroute2 library where it is installed.",
    ),
    Option(
        "bypass_load",
        number(0, 100, "per cent"),
        False,
        "0",
        "While the router's CPU is busier than this, all redirects are out and clients reach the cloud. The redirects "
        "come back 20 percentage points below it. 0 means never.",
    ),
    Option(
        "watch_timeout",
        number(0, 3600, "seconds"),
        False,
        "15",
        "How long redirects by eBPF hold without a sign of life of the agent. If it is killed or stuck for longer, "
        "clients reach the cloud until an agent lives again. 0 means for good.",
    ),
)

MATCH = (
    Option(
        "family", choice("any", "ipv4", "ipv6"), False, "any", "Restricts a service without addresses to one family."
    ),
    Option(
        "proto",
        choice("tcp", "udp", "any"),
        True,
        ("tcp", "udp"),
        "The protocols taken over. `any` is everything for IPv4, and TCP and UDP for IPv6 (ICMPv6 is never "
        "redirected).",
    ),
    Option("dest_ip", DESTINATION, True, (), "The cloud's addresses or prefixes. None means any address."),
    Option(
        "dest_host",
        HOST,
        True,
        (),
        "The cloud's names: the addresses that the router's own resolver has for them, as they change. They are taken "
        "over besides those of `dest_ip`. `*.example.com` is every name below that one, and needs `snoop`.",
    ),
    Option("dest_port", PORTS, True, (), "The destination ports or ranges. None means any port."),
    Option("src_ip", CLIENTS, True, (), "Only clients with these addresses."),
    Option(
        "target_port", PORT, False, "", "The port that the program listens on, if it is not the one that clients use."
    ),
)

# Whose packets, and where to: for all that a service takes, by its redirect sections as well.
WHOSE = (
    Option(
        "src_mac",
        MAC,
        True,
        (),
        "Only clients with these MAC addresses, whatever address they have. With `src_ip` both have to be right.",
    ),
    Option(
        "client",
        CLIENT,
        True,
        (),
        "Only these clients: groups (`config group`), MAC addresses, addresses, prefixes. Those of `src_mac` are taken "
        "as well. With `src_ip` both have to be right.",
    ),
    Option(
        "exclude_client",
        CLIENT,
        True,
        (),
        "Clients that are not taken, named as in `client`: the cloud answers them.",
    ),
    Option(
        "exclude_dest", PREFIX, True, (), "Destinations that are not taken although `dest_ip` or a name includes them."
    ),
)

ENABLED = (Option("enabled", BOOL, False, "0", "Whether the service runs."),)

# What a program is started with: another value restarts it (service/process.tag). New ones come last.
PROGRAM: "tuple[Option, ...]" = (
    Option(
        "command",
        TEXT,
        True,
        (),
        "The program and its arguments: one text, split at blanks (quotes keep words together), or a list with one "
        "word per entry. It runs without a shell and must stay in the foreground.",
    ),
    Option(
        "env",
        VARIABLE,
        True,
        (),
        "Environment variables of the program. A value with blanks needs a `list` entry of its own.",
    ),
    Option(
        "user",
        ACCOUNT,
        False,
        "",
        "The account that the program runs as; digits are a user ID. Unset: one of its own, which is a number from %d "
        "to %d that follows from the service's name." % OWN_ACCOUNTS,
    ),
    Option("group", ACCOUNT, False, "", "Its group, if it is not the account's own."),
    Option("workdir", PATH, False, "/", "The directory that the program starts in."),
    Option(
        "capability",
        CAPABILITY,
        True,
        (),
        "What of root's powers the program has, whatever its account, and may pass on to what it starts. None by "
        "default, for `root` as well. Ports below 1024 need none. `all` is everything that the agent has.",
    ),
    Option("nofile", LIMIT, False, "", "How many descriptors each of its processes may have. Unset: as the agent's."),
    Option(
        "nproc",
        LIMIT,
        False,
        "",
        "How many processes and threads its account may have, those of other services with that account included. Not "
        "for `root`. Unset: as the agent's.",
    ),
    Option("core", LIMIT, False, "0", "The size in bytes of what is left of a process that crashes (a core file)."),
    Option("memlock", LIMIT, False, "", "How many bytes each of its processes may lock into memory."),
    Option("fsize", LIMIT, False, "", "How many bytes a file may have that it writes."),
    Option("umask", UMASK, False, "022", "The rights that files which it makes do not get."),
    Option(
        "oom_score_adj",
        signed(-1000, 1000),
        False,
        "%d" % OOM_SCORE_ADJ,
        "How early the kernel kills it when memory runs out: 1000 first, -1000 never. The default puts it before the "
        "router's own daemons.",
    ),
    Option(
        "allow_syscalls",
        choice(*(SYSCALLS + [ALL])),
        True,
        (),
        "System calls that the program may make although no server needs them, by group; "
        "the manual says what is in which. `all`: no filter at all.",
    ),
    Option(
        "nice", signed(-20, 19), False, "", "How far others go before it where the CPU is busy. Unset: as the agent."
    ),
    Option(
        "view",
        choice("private", "host"),
        False,
        "private",
        "What the program sees of the router's files: `private` is what the manual says under "
        '"What it sees of the router", `host` all that its account may see and change.',
    ),
    Option("visible", PLACE, True, (), "Hidden files and folders that it sees after all, to read (`/var/run/ubus`)."),
    Option("writable", PLACE, True, (), "Files and folders that it may change, as its account may (`/srv/data`)."),
    Option(
        "tmp_size",
        number(1, 65536, "megabytes"),
        False,
        "16",
        "How much fits into what is its own: `/tmp`, `/run`, `/var/tmp` and `/dev/shm` together. It takes memory.",
    ),
    Option(
        "memory_max",
        BYTES,
        False,
        "",
        "How much memory it may have, with what the kernel keeps for it (files that it reads, sockets). A program that "
        "needs more is ended and restarted. Unset: no limit.",
    ),
    Option(
        "cpu_max",
        number(1, 25600, "per cent"),
        False,
        "",
        "How much of the time of one CPU it may have; 200 is two CPUs. Unset: no limit.",
    ),
    Option(
        "pids_max",
        LIMIT,
        False,
        "%d" % PIDS_MAX,
        "How many processes and threads it may have. The default is in force where the kernel can do that.",
    ),
    Option(
        "root",
        PLACE,
        False,
        "",
        "A folder, or an image (squashfs), that is the program's root: it sees what is in there and nothing of the "
        "router. All its paths are paths in there.",
    ),
    Option(
        "mount",
        MOUNT,
        True,
        (),
        "What of the router is in its `root`, and where: `/srv/data:/data`, with `:ro` only to read, `:noexec` not to "
        "execute, `:ro,noexec` for both; `tmpfs:/cache` is an empty folder of its own.",
    ),
    Option(
        "bundle",
        PLACE,
        False,
        "",
        "The folder of an OCI runtime bundle: its `config.json` says what the options do not, among them `command` and "
        "`root`. Options beside it replace what it says; `env`, `mount` and `writable` are added.",
    ),
    Option(
        "seccomp",
        PLACE,
        False,
        "",
        "A file with a list of system calls, in the JSON form that procd, OCI runtimes and Docker share: it says which "
        "calls the program may make, in place of what Viscum refuses by itself.",
    ),
)

# Where its packets come from.
SOURCES = (
    Option(
        "interface",
        INTERFACE,
        True,
        (),
        "Networks (`lan`, a `wifi-iface`) whose incoming traffic is matched; `@wifi` for every access point.",
    ),
    Option("device", DEVICE, True, (), "Devices (`br-lan`, `phy*-ap0`) whose incoming traffic is matched."),
)

# How its packets travel.
WAY = (
    Option(
        "vlan",
        VLAN,
        False,
        "",
        "Only frames with this VLAN tag (802.1Q) are matched, and replies get it: for source devices that carry "
        "several VLANs (a trunk: `eth0`, the port of a switch). Unset: only frames without a tag. Datapath %s only."
        % " or ".join(["`%s`" % each.NAME for each in datapath.ALL if each.VLANS]),
    ),
    Option("datapath", DATAPATH, False, "", "As in `globals`, for this service."),
    Option("pair", PAIR, False, "", "As in `globals`, for this service."),
    Option(
        "rewrite",
        choice("auto", "dst", "both", "none"),
        False,
        "auto",
        "How the redirect rewrites an incoming frame. `dst`: the destination MAC becomes the service's. `both`: "
        "the source MAC also becomes that of the router's end of the pair, and the packet counts as addressed to "
        "this host. `none`: no change; the service's interface takes the MAC address of the source interface. "
        "`auto` is `dst` where the kernel has act_skbmod, else `none`. Datapath %s ignores this option and leaves "
        "frames unchanged." % " or ".join(["`%s`" % each.NAME for each in datapath.ALL if not each.MACS]),
    ),
    Option(
        "reply",
        choice("auto", "routed", "direct"),
        False,
        "auto",
        "How replies reach the client. `auto`: past routing and firewall where the datapath can do that (%s). "
        "`routed`: through the router and its firewall. `direct`: past both with every datapath; %s send all replies "
        "of TCP and UDP to one next hop (`nexthop`) out of the service's one interface."
        % (
            ", ".join(["`%s`" % each.NAME for each in datapath.ALL if not each.ROUTED]),
            " and ".join(["`%s`" % each.NAME for each in datapath.ALL if each.ROUTED]),
        ),
    ),
    Option(
        "nexthop",
        NEXTHOP,
        False,
        "",
        "With `reply` `direct` and datapath %s: the neighbour that all replies are sent to. It is the router that the "
        "clients of this service are behind, or the only client (`src_ip`): others get none. Its MAC address is that "
        "in the router's table of neighbours. While it does not answer, the cloud does."
        % " or ".join(["`%s`" % each.NAME for each in datapath.ALL if each.ROUTED]),
    ),
    Option("nexthop_mac", MAC, False, "", "Its MAC address, in place of `nexthop`: whatever that neighbour says."),
    Option(
        "egress",
        REACHED,
        True,
        ("none",),
        "What the program may reach by itself, besides its clients. `none`: only replies leave. `lan`: private "
        "addresses and the router's own networks. `wan`: everything else. Or destinations, with a port or a range of "
        "TCP and UDP. `any`: all that the firewall lets out, which the others need as well.",
    ),
    Option(
        "rate",
        RATE,
        False,
        "",
        "How much the program may send, replies included: `20mbit`, as tc(8) writes it. What is more waits in a queue. "
        "Unset: no limit.",
    ),
    Option(
        "burst",
        BURST,
        False,
        "",
        "How many bytes it may send at once after a pause, at any speed. Unset: what `rate` sends in 50 ms, but at "
        "least 16k and at most 2m.",
    ),
    Option(
        "mtu",
        number(576, 65535, "bytes"),
        False,
        "",
        "The MTU of the pair. Unset, it is the smallest MTU of the source interfaces.",
    ),
)

# How long the agent waits for it.
TIMEOUTS = (
    Option(
        "start_timeout",
        number(1, 600, "seconds"),
        False,
        "10",
        "How long the program may take until a check passes.",
    ),
    Option(
        "term_timeout",
        number(0, 600, "seconds"),
        False,
        "5",
        "How long the program may take to exit before it is killed.",
    ),
    Option(
        "drain_timeout",
        number(0, 86400, "seconds"),
        False,
        "20",
        "How long open TCP connections may go on when the redirect goes although the program can answer (`bypass`, "
        "load, other settings, `stop`, disabled); then they are reset. Only with datapath `bpf`.",
    ),
)

# What of its traffic is taken.
TAKEN = (
    Option(
        "snoop",
        BOOL,
        False,
        "0",
        "1: the names of `dest_host` also have the addresses that clients at the source devices are told, by whatever "
        "resolver they ask (DNS over UDP). Each packet that leaves there costs the router a little more.",
    ),
    Option(
        "dynamic_ports",
        BOOL,
        False,
        "0",
        "0: only the ports that the program listens on are taken over; the others stay with the cloud. 1: for "
        "programs that open further ports once a client has connected (iperf3 its UDP port, FTP); all ports are "
        "taken over while one of them answers.",
    ),
)

# What is measured besides.
MEASURED = (
    Option(
        "compare",
        BOOL,
        False,
        "0",
        "1: while somebody watches the service and clients use it, the router connects to the first address and port "
        "that it takes over, at most once a minute, to say how far away that cloud is (TCP only).",
    ),
)

HEALTH = (
    Option(
        "healthcheck",
        choice(*checks.NAMES),
        False,
        "auto",
        "How the agent checks whether the program answers. Checks come in as a client's packets do. "
        + " ".join([kind.help for kind in checks.KINDS]),
    ),
    Option("health_port", PORT, False, "", "The port to check, if it is not a matched one."),
    Option(
        "health_command",
        TEXT,
        True,
        (),
        "The command that `exec` runs, written like `command`; exit code 0 means healthy.",
    ),
    Option("health_interval", number(1, 3600, "seconds"), False, "5", "The time between two checks."),
    Option("health_timeout", number(1, 600, "seconds"), False, "2", "How long a check may take."),
    Option("health_rise", number(1, 100, "checks"), False, "1", "Good checks in a row before the redirect goes in."),
    Option("health_fall", number(1, 100, "checks"), False, "3", "Failed checks in a row before it comes out."),
)

RESPAWN = (
    Option(
        "respawn_threshold",
        number(0, 86400, "seconds"),
        False,
        "3600",
        "A program that exits sooner than this counts as crashed.",
    ),
    Option(
        "respawn_timeout",
        number(0, 3600, "seconds"),
        False,
        "5",
        "How long the agent waits before it restarts a program.",
    ),
    Option(
        "respawn_retry",
        number(0, 1000, "crashes"),
        False,
        "5",
        "After more crashes in a row than this, the agent stops restarting the program. 0 means it never stops.",
    ),
)

OWNED = (Option("tenant", OWNER, False, "", "Whose service it is (`config tenant`), if not the router's owner's."),)

SERVICE = ENABLED + PROGRAM + SOURCES + MATCH + WHOSE + WAY + TIMEOUTS + TAKEN + MEASURED + HEALTH + RESPAWN + OWNED

OWN = ENABLED + WAY + TAKEN + MEASURED  # no part of anything else (fields.py)

REDIRECT = (Option("service", SECTION, False, "", "The service that this extra match belongs to."),) + MATCH

GROUP = (
    Option("mac", MAC, True, (), "MAC addresses of clients."),
    Option("ip", CLIENTS, True, (), "Addresses and prefixes of clients."),
    Option(
        "name",
        NAME,
        True,
        (),
        "Names of hosts: the client to which the router's DHCP server has given a lease with this name, by its MAC "
        "address; what `/etc/config/dhcp` says of a name (`config host`) goes first.",
    ),
)

# What a tenant's services may have (config/tenants.py): nothing of what is not named here.
TENANT = (
    Option("interface", INTERFACE, True, (), "Networks that they may name."),
    Option("device", DEVICE, True, (), "Devices that they may name, each as it is written here."),
    Option(
        "dest",
        CLIENTS,
        True,
        (),
        "Prefixes of which they may take addresses; `0.0.0.0/0` is any IPv4 address, `::/0` any of IPv6. An address of "
        "the router's own is left out of them unless it is named by itself.",
    ),
    Option(
        "dest_host",
        HOST,
        True,
        (),
        "Names whose addresses they may take; `*.example.com` is every name below that one.",
    ),
    Option(
        "tcp_port",
        PORTS,
        True,
        (),
        "Ports of TCP that they may take, and ranges. Port 22 or 53 only where it is named by itself.",
    ),
    Option("udp_port", PORTS, True, (), "The same of UDP."),
    Option("memory", BYTES, False, "", "What `memory_max` of all of them may come to; each has to have one then."),
    Option("cpu", number(1, 25600, "per cent"), False, "", "The same of `cpu_max`."),
    Option("rate", RATE, False, "", "The same of `rate`."),
    Option("services", number(1, 1000, "services"), False, "4", "How many there may be."),
)

SECTIONS = {"globals": GLOBALS, "service": SERVICE, "redirect": REDIRECT, "group": GROUP, "tenant": TENANT}


# By type of section: worked out once, and not for each of a hundred services.
_OPTIONS: "dict[str, dict[str, Option]]" = {}
_DEFAULTS: "dict[str, dict]" = {}


def option_named(section_type: str, name: str) -> "Option | None":
    if section_type not in _OPTIONS:
        _OPTIONS[section_type] = {option.name: option for option in SECTIONS[section_type]}
    return _OPTIONS[section_type].get(name)


def defaults(section_type: str) -> dict:
    """The values of a section that sets nothing."""
    if section_type not in _DEFAULTS:
        _DEFAULTS[section_type] = {option.name: default(option) for option in SECTIONS[section_type]}
    return dict(_DEFAULTS[section_type])


def default(option: "Option") -> object:
    """Its value where it is unset: a list where it is one, None where there is no default."""
    if option.many:
        return [option.type.parse(text) for text in option.default]
    return option.type.parse(option.default) if option.default != "" else None


def check(section: "Section", package: str = "viscum") -> "tuple[dict, list[Problem]]":
    """Checks one section (uci.Section) of a known type.

    Returns (values, problems): `values` has every option of the type, parsed: a list where the option is one, None
    where it is unset and has no default. Callers use them only if there are no problems.
    """
    values = defaults(section.type)
    problems = []
    service = section.name if section.type == "service" else ""
    for name in sorted(section.options):
        where = "%s.%s.%s" % (package, section.name, name)
        option = option_named(section.type, name)
        if option is None:
            problems.append(Problem(CONFIG, service, where, _unknown(section.type, name)))
            continue
        value, wrong = _value(option, section.options[name])
        problems.extend([Problem(CONFIG, service, where, text) for text in wrong])
        if not wrong:
            values[name] = value
    for name, line in section.repeated:
        text = "is set more than once, and only the value in line %d would count: %s"
        where = "%s.%s.%s" % (package, section.name, name)
        problems.append(Problem(CONFIG, service, where, text % (line, _instead(section.type, name))))
    return values, problems


def _instead(section_type: str, name: str) -> str:
    option = option_named(section_type, name)
    return "write `list %s` for each of them" % name if option and option.many else "leave one"


def _is_unfilled(text: str) -> bool:
    """Whether it has what OpenWISP leaves of a variable without a value: var_pattern in utils.py of netjsonconfig. What
    others have in such braces is none: a Go template's {{.ID}} or {{json .}}."""
    parts = [part.lstrip("{") for part in text.split("{{")[1:] if "}}" in part]
    return any([all([is_name(c) for c in part.split("}}")[0].strip()]) for part in parts])


def _value(option: "Option", raw: "str | list[str]") -> "tuple[object, list[str]]":
    """(the parsed value of an option, a sentence for each text in it that is wrong)."""
    left = [text for text in ([raw] if isinstance(raw, str) else raw) if _is_unfilled(text)]
    if left:
        return None, [UNFILLED % shown(text) for text in left]
    if not option.many:
        if not isinstance(raw, str):
            return None, ["is a list; it takes one value: %s" % option.type.expected]
        raw = [raw]
    elif isinstance(raw, str):
        text, raw = raw, _split(option, raw)
        if option.type is VARIABLE and _is_ambiguous(raw):
            return None, ["%s is split at blanks: write `list env` for each variable" % shown(text)]
    if not raw:
        return None, ["is empty; it takes %s" % option.type.expected]
    values, wrong = [], []
    for text in raw:
        try:
            values.append(option.type.parse(text))
        except Refused as error:
            wrong.append("%s %s" % (shown(text), error.args[0]))
        except ValueError:
            wrong.append("%s is not %s" % (shown(text), option.type.expected))
    return values if option.many or wrong else values[0], wrong


def _split(option: "Option", text: str) -> "list[str]":
    """The values in one text, as is common in UCI files (`option dest_port '80 443'`). libuci's own conversion does the
    same (uci_array_to_blob in its blob.c). `service` splits a command."""
    return [text] if option.type is TEXT else words_of(text)


def _is_ambiguous(words: "list[str]") -> bool:
    """Whether variables in one text may be meant to have values with blanks."""
    quoted = any("'" in word or '"' in word for word in words)
    return len(words) > 1 and (quoted or not all("=" in word for word in words))


def unknown_type(name: str) -> str:
    """What to say about an unknown section type."""
    near = [word for word in sorted(SECTIONS) if _distance(word, name) <= 2]
    hint = "did you mean '%s'?" % near[0] if near else "there are: " + ", ".join(sorted(SECTIONS))
    return "%s is not a section type; %s" % (shown(name), hint)


def _unknown(section_type: str, name: str) -> str:
    known = [option.name for option in SECTIONS[section_type]]
    # In a short word two other letters are another word.
    near = [word for word in known if _distance(word, name) < min(3, len(word) / 2) or (len(name) > 2 and name in word)]
    if near:
        return "is not an option; did you mean %s?" % " or ".join(["'%s'" % word for word in near])
    others = [kind for kind in sorted(SECTIONS) if option_named(kind, name)]
    if others:
        return "is not an option of a %s section, but of config %s" % (section_type, " and config ".join(others))
    return "is not an option of a %s section; there are: %s" % (section_type, ", ".join(known))


def _distance(one: str, other: str) -> int:
    """How many characters to change to make one word the other (Levenshtein); 3 or more just means "far"."""
    if abs(len(one) - len(other)) > 2:
        return 3
    row = list(range(len(other) + 1))
    for i, a in enumerate(one):
        previous, row[0] = row[0], i + 1
        for j, b in enumerate(other):
            previous, row[j + 1] = row[j + 1], min(row[j + 1] + 1, row[j] + 1, previous + (a != b))
    return row[-1]
