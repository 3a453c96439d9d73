"""Which clients have the name of a host now, as the router's DHCP servers know it: dnsmasq and odhcpd. What
/etc/config/dhcp says of a name (`config host`) goes first: that is the administrator's word, and the rest the clients'.

A lease gives a MAC address, so that a client is the same one whatever address it has; where there is none (DHCPv6), it
gives addresses. No clock counts: dnsmasq writes how long a lease is where a router has no clock (HAVE_BROKEN_RTC), and
both servers write what is valid.

Clients choose what is in these files. Everything is compared as bytes, and read up to a limit.
"""

import os
import time

from .. import address, compat
from ..config import trust, uci
from ..errors import ConfigError
from ..records.facts import Host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ..address import Prefix
    from ..config.uci import _Section as Section
    from ..loop import Loop

PACKAGE = "dhcp"
LEASEFILE = "/tmp/dhcp.leases"  # dnsmasq.init of openwrt/openwrt
MOST = 1 << 17  # bytes of a file that count: more than 1,000 leases
MOST_CLIENTS = 16  # of a name
PACE = 0.5  # seconds from a change to the look at it, and so between two of them: clients change leases at any rate
TRIES = 3  # to read files that change meanwhile
NONE = "has no lease"
ACCOUNTS = 1000  # from here on accounts are people's and programs', below it the system's: dnsmasq has 453 on OpenWrt

# IN_MODIFY (dnsmasq writes into its file), IN_ATTRIB and IN_DELETE_SELF (odhcpd puts another one in its place),
# IN_MOVE_SELF (linux/inotify.h)
CHANGES = 0x002 | 0x004 | 0x400 | 0x800


class Leases:
    """What names of hosts mean. With a `loop`, `changed()` is called when that is something else than before."""

    def __init__(
        self, confdir: str, loop: "Loop | None" = None, changed: "Callable[[], object]" = lambda: None
    ) -> None:
        self._confdir = confdir
        self._loop = loop
        self._changed = changed
        self._names: tuple[str, ...] = ()
        self._found: dict[str, Host] = {}
        self._files: list[tuple[str, Callable]] = []
        self._stamps: list[tuple[int, ...]] = []
        self._watch = -1

    def find(self, names: "Iterable[str]") -> "dict[str, Host]":
        """A Host for each name, with MAC addresses (text) and prefixes."""
        wanted = tuple(sorted(names))
        if wanted != self._names:
            self._names, self._stamps = wanted, []
            self._refresh()
        elif self._refresh():
            self._changed()
        return self._found

    def _refresh(self) -> bool:
        """Reads again what may have changed; returns whether it says something else."""
        before = self._found
        for _ in range(TRIES):
            self._follow()
            paths = self._paths()
            stamps = [_stamp(path) for path in paths]
            if stamps == self._stamps:
                break
            self._found = self._read()
            self._stamps = [_stamp(path) for path in paths]
            if self._paths() != paths:
                self.close()  # other files count from now on
            elif self._stamps == stamps:
                break
        # A file may change twice in the second that its time has.
        if max([each[2] for each in self._stamps]) >= int(time.time()) - 1:
            self._stamps = []
        return self._found != before

    def _paths(self) -> "list[str]":
        return ["%s/%s" % (self._confdir, PACKAGE)] + [path for path, _ in self._files]

    def _read(self) -> "dict[str, Host]":
        if not self._names:
            return {}
        sections = _sections(self._confdir)
        self._files = files(sections)
        found = static(sections, self._names)
        wanted = {name.encode(): name for name in self._names if name not in found}
        macs: dict[str, list] = {}
        addresses: dict[str, list] = {}
        why = NONE
        for path, reader in self._files if wanted else ():
            try:
                data = contents(path)
            except ConfigError:
                why = "%s: %s is no file of the router's own" % (NONE, path)
                continue
            for name, client in reader(data, wanted):
                there = (macs if isinstance(client, str) else addresses).setdefault(name, [])
                if client not in there and len(there) < MOST_CLIENTS:
                    there.append(client)
        for name in wanted.values():
            clients = macs.get(name) or addresses.get(name) or ()
            found[name] = Host(tuple(sorted(clients)), "" if clients else why)
        return found

    def _follow(self) -> None:
        """Before the files are read: what changes later is told then. A file that is not there is found by a look."""
        if self._loop is None or self._watch >= 0 or not self._names:
            return
        self._watch = compat.watch(self._paths(), CHANGES)
        if self._watch >= 0:
            self._loop.add(self._watch, lambda _: self._told())

    def _told(self) -> None:
        """Reads it in a moment: dnsmasq writes over what is there."""
        self.close()
        self._loop.after(PACE, self._look)  # type: ignore[union-attr]  # only a loop calls this

    def _look(self) -> None:
        if self._refresh():
            self._changed()

    def close(self) -> None:
        if self._watch >= 0:
            self._loop.remove(self._watch)  # type: ignore[union-attr]  # as above
            compat.fd_close(self._watch)
            self._watch = -1


def _stamp(path: str) -> "tuple[int, ...]":
    """What is another one when a file has changed: its number, size and time (s)."""
    try:
        status = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return (status[1], status[6], int(status[8]))


def contents(path: str) -> bytes:
    """What counts of a file in a folder like /tmp, where others may put something in its place: ConfigError for that.
    Nothing for a file that is not there."""
    try:
        fd = trust.find(path)
        try:
            status = os.stat(trust.FD % fd)
            if status[0] & 0o002 or (status[4] >= ACCOUNTS and status[4] != compat.geteuid()):
                raise ConfigError()
            return trust.read(trust.FD % fd, MOST)
        finally:
            compat.fd_close(fd)
    except OSError as error:
        compat.unless_spent(error)
        return b""


def _sections(confdir: str) -> "list[Section]":
    try:
        return uci.load(confdir, PACKAGE)
    except ConfigError:
        return []  # dnsmasq and odhcpd have complained


def files(sections: "Iterable[Section]") -> "list[tuple[str, Callable]]":
    """[(path, reader)] of the files that the servers write."""
    found = {LEASEFILE: dnsmasq}
    for section in sections:
        path = section.options.get("leasefile")
        if isinstance(path, str) and path.startswith("/") and section.type in ("dnsmasq", "odhcpd"):
            found[path] = dnsmasq if section.type == "dnsmasq" else odhcpd
    return sorted(found.items())


def static(sections: "Iterable[Section]", names: "Iterable[str]") -> "dict[str, Host]":
    """What `config host` says of these names: its MAC addresses, else its address."""
    found: dict[str, list] = {}
    for section in sections:
        name = section.options.get("name")
        if section.type != "host" or not isinstance(name, str) or name.lower() not in names:
            continue
        macs = [client for word in _words(section, "mac") for client in _mac(word)]
        addresses = [client for word in _words(section, "ip") for client in _prefix(word)]
        found.setdefault(name.lower(), []).extend(macs or addresses)
    return {name: Host(tuple(sorted(set(found[name]))), "") for name in found if found[name]}


def _words(section: "Section", option: str) -> "list[str]":
    value = section.options.get(option, "")
    return value.split() if isinstance(value, str) else value


def dnsmasq(data: bytes, wanted: "dict[bytes, str]") -> "Iterator[tuple[str, str | Prefix]]":
    """(name, client) of a file of dnsmasq's (lease.c): time, MAC, address, name or `*`, client ID; behind a line with
    `duid`, for DHCPv6, time, IAID, address, name, client ID."""
    six = False
    for line in _lines(data):
        words = line.split(None, 4)
        six = six or words[:1] == [b"duid"]
        if len(words) < 4 or words[3].lower() not in wanted:
            continue
        for client in _prefix(_text(words[2])) if six else _mac(_text(words[1])):
            yield wanted[words[3].lower()], client


def odhcpd(data: bytes, wanted: "dict[bytes, str]") -> "Iterator[tuple[str, str | Prefix]]":
    """The same of odhcpd's (statefiles.c): `#`, device, DUID or the digits of a MAC, IAID or `ipv4`, name or `-`, time,
    number, length, addresses. What else is there is a hosts(5) file."""
    for line in _lines(data):
        words = line.split(None, 8 + MOST_CLIENTS)
        if len(words) < 9 or words[0] != b"#" or words[4].lower() not in wanted:
            continue
        if words[3] == b"ipv4":
            digits = _text(words[2])
            clients: list = _mac(":".join([digits[at : at + 2] for at in range(0, len(digits), 2)]))
        else:
            clients = [client for word in words[8 : 8 + MOST_CLIENTS] for client in _prefix(_text(word))]
        for client in clients:
            yield wanted[words[4].lower()], client


def _lines(data: bytes) -> "Iterator[bytes]":
    """One after the other: a list of all could be larger than the file."""
    begin = 0
    while begin < len(data):
        end = data.find(b"\n", begin)
        end = len(data) if end < 0 else end
        yield data[begin:end]
        begin = end + 1


def _text(word: bytes) -> str:
    return "".join([chr(byte) for byte in word[:64]])


def _mac(text: str) -> "list[str]":
    """[the MAC address of a device], or [] (dnsmasq writes the kind of other hardware in front of it)."""
    try:
        packed = address.parse_mac(text)
    except ValueError:
        return []
    return [address.format_mac(packed)] if any(packed) and not packed[0] & 1 else []


def _prefix(text: str) -> "list[Prefix]":
    try:
        return [address.parse_prefix(text)]
    except ValueError:
        return []
