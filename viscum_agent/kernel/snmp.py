"""What programs in a namespace have taken in, as the kernel counts it there for SNMP (snmp_counter.rst). A kernel for
routers with little flash counts nothing (CONFIG_PROC_STRIPPED, OpenWrt's 902-debloat_proc.patch).
"""

from .. import compat

MOST = 16384  # bytes of a file; snmp6 has 4,000
FOLDER = "/proc/thread-self/net/"


def taken() -> "int | None":
    """How many TCP connections were accepted in the caller's namespace (PassiveOpens, RFC 4022: once a client has
    completed its handshake), and how many UDP datagrams were read there; None if the kernel does not count them. Raises
    OSError if no descriptor is left."""
    try:
        found = _in_pairs(_lines("snmp"))
        return found["Tcp:"]["PassiveOpens"] + found["Udp:"]["InDatagrams"] + _over_ipv6()
    except OSError as error:
        compat.unless_spent(error)
    except (LookupError, ValueError):
        pass  # a kernel that has other words for it
    return None


def _over_ipv6() -> int:
    """Datagrams over IPv6, 0 in a kernel without it; connections over it are among the others."""
    if not compat.exists(FOLDER + "snmp6"):
        return 0
    return int(dict([line.split() for line in _lines("snmp6")])["Udp6InDatagrams"])


def _lines(name: str) -> "list[str]":
    return compat.read_file(FOLDER + name, MOST).decode().split("\n")[:-1]


def _in_pairs(lines: "list[str]") -> "dict[str, dict[str, int]]":
    """{first word: {name: number}}: of two lines one has the names, and the next one their numbers."""
    found = {}
    for names, numbers in zip(lines[::2], lines[1::2]):
        words = numbers.split()
        found[words[0]] = dict(zip(names.split()[1:], [int(word) for word in words[1:]]))
    return found
