"""IP addresses, prefixes and MAC addresses as text and as bytes.

MicroPython has no `ipaddress`, and on CPython that module costs more memory than all of this agent's configuration.
Bytes are in network order. Everything here is a pure function.
"""

from collections import namedtuple

try:
    from _socket import inet_ntop, inet_pton  # CPython's `socket` holds much more (compat/cpython.py)
except ImportError:
    from socket import inet_ntop, inet_pton

AF_INET = 2  # linux/socket.h: the same on every architecture
AF_INET6 = 10

# A network prefix: `family` 4 or 6, `packed` 4 or 16 bytes with no bit set past `length`.
Prefix = namedtuple("Prefix", ("family", "packed", "length"))


def bits(family: int) -> int:
    """The length of an address of a family (4 or 6), in bits."""
    return 32 if family == 4 else 128


def parse_address(text: str) -> bytes:
    """The bytes of an IPv4 or IPv6 address. Raises ValueError for anything else."""
    if "%" in text or "\0" in text:
        raise ValueError("not an IP address")
    try:
        return bytes(inet_pton(AF_INET6 if ":" in text else AF_INET, text))
    except (OSError, ValueError):
        raise ValueError("not an IP address")


def format_address(packed: bytes) -> str:
    """The usual text of 4 or 16 bytes (RFC 5952 for IPv6). Raises ValueError for any other number."""
    if len(packed) not in (4, 16):
        raise ValueError("not an IP address")  # MicroPython would read what is behind them in memory
    return inet_ntop(AF_INET if len(packed) == 4 else AF_INET6, packed)


def family_of(packed: bytes) -> int:
    """4 or 6, of an address as bytes."""
    return 4 if len(packed) == 4 else 6


def parse_prefix(text: str) -> "Prefix":
    """`ADDRESS` or `ADDRESS/LENGTH` as a Prefix. Raises ValueError, with the reason, for anything else.

    Bits past the length are an error: nearly always one of the two numbers is wrong.
    """
    body, slash, length = text.partition("/")
    packed = parse_address(body)
    family = family_of(packed)
    if not slash:
        return Prefix(family, packed, bits(family))
    if not is_number(length) or len(length) > 3 or int(length) > bits(family):
        raise ValueError("the prefix length goes from 0 to %d" % bits(family))
    network = masked(packed, int(length))
    if network != packed:
        raise ValueError("has bits set past its length; the network is %s/%s" % (format_address(network), length))
    return Prefix(family, packed, int(length))


def format_prefix(prefix: "Prefix") -> str:
    """`ADDRESS/LENGTH`, always with the length."""
    return "%s/%d" % (format_address(prefix.packed), prefix.length)


def network(text: str) -> "Prefix":
    """The network of an interface's address (`192.168.1.1/24`), as a Prefix."""
    body, _, length = text.partition("/")
    packed = parse_address(body)
    family = family_of(packed)
    count = int(length) if length else bits(family)
    return Prefix(family, masked(packed, count), count)


def mask(length: int, size: int) -> bytes:
    """A mask of `size` bytes with the first `length` bits set."""
    whole = size * 8
    return (((1 << whole) - 1) ^ ((1 << (whole - length)) - 1)).to_bytes(size, "big")


def masked(packed: bytes, length: int) -> bytes:
    """The address with every bit past `length` cleared."""
    rest = 8 * len(packed) - length
    return (int.from_bytes(packed, "big") >> rest << rest).to_bytes(len(packed), "big")


def contains(outer: "Prefix", inner: "Prefix") -> bool:
    """Whether prefix `outer` holds all of prefix `inner`."""
    if outer.family != inner.family or outer.length > inner.length:
        return False
    rest = 8 * len(outer.packed) - outer.length
    return int.from_bytes(inner.packed, "big") >> rest == int.from_bytes(outer.packed, "big") >> rest


def overlaps(one: "Prefix", other: "Prefix") -> bool:
    """Whether two prefixes have an address in common."""
    return contains(one, other) or contains(other, one)


def meet(one: "Prefix | None", other: "Prefix | None") -> bool:
    """The same for prefixes where None means any address."""
    return one is None or other is None or overlaps(one, other)


def add(packed: bytes, offset: int) -> bytes:
    """The address `offset` further on."""
    return (int.from_bytes(packed, "big") + offset).to_bytes(len(packed), "big")


def parse_mac(text: str) -> bytes:
    """The 6 bytes of `02:00:5e:00:53:01`. Raises ValueError for anything else."""
    words = text.split(":")
    if len(words) != 6 or not all(len(word) == 2 and is_hex(word) for word in words):
        raise ValueError("not a MAC address")
    return bytes([int(word, 16) for word in words])


def format_mac(packed: bytes) -> str:
    return ":".join(["%02x" % byte for byte in packed])


def is_number(text: str) -> bool:
    """Whether the text is decimal digits only (int() would also take signs, spaces and underscores)."""
    return text != "" and all("0" <= c <= "9" for c in text)


def is_hex(text: str) -> bool:
    return all(c in "0123456789abcdefABCDEF" for c in text)
