"""Features of a device, read by ioctl: netlink has them only in a kernel with CONFIG_ETHTOOL_NETLINK.

Numbers and structs are from linux/ethtool.h and linux/sockios.h, in host byte order.
"""

import struct

from .. import compat

SIOCETHTOOL = 0x8946
ETHTOOL_GSTRINGS, ETHTOOL_GSSET_INFO, ETHTOOL_GFEATURES = 0x1B, 0x37, 0x3A
ETH_SS_FEATURES, ETH_GSTRING_LEN = 4, 32


class Ethtool:
    """Reads from devices in the namespace that it was opened in. A context manager."""

    def __init__(self) -> None:
        self._socket = compat.netlink_socket(compat.NETLINK_ROUTE)  # any socket works for SIOCETHTOOL
        self._names: list[str] = compat.LATER

    def __enter__(self) -> "Ethtool":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def active(self, device: str) -> "list[str]":
        """The names of the features that are on. Raises OSError; EOPNOTSUPP for a device without features."""
        if self._names is None:
            self._names = self._strings(device)
        blocks = (len(self._names) + 31) // 32
        # struct ethtool_gfeatures: command, number of blocks; a block is available, requested, active, never_changed.
        data = bytearray(struct.pack("II", ETHTOOL_GFEATURES, blocks) + bytes(16 * blocks))
        self._ask(device, data)
        words = [struct.unpack_from("I", data, 16 + 16 * block)[0] for block in range(blocks)]
        return [name for bit, name in enumerate(self._names) if words[bit // 32] >> bit % 32 & 1]

    def _strings(self, device: str) -> "list[str]":
        """The name of each bit: the numbers differ from kernel to kernel."""
        # struct ethtool_sset_info: command, reserved, a bit for each set asked for (64 of them), then its size.
        data = bytearray(struct.pack("IIQI", ETHTOOL_GSSET_INFO, 0, 1 << ETH_SS_FEATURES, 0))
        self._ask(device, data)
        count = struct.unpack_from("I", data, 16)[0]
        # struct ethtool_gstrings: command, set, number of strings.
        data = bytearray(struct.pack("III", ETHTOOL_GSTRINGS, ETH_SS_FEATURES, count) + bytes(ETH_GSTRING_LEN * count))
        self._ask(device, data)
        starts = range(12, 12 + ETH_GSTRING_LEN * count, ETH_GSTRING_LEN)
        return [bytes(data[start : start + ETH_GSTRING_LEN]).split(b"\0", 1)[0].decode() for start in starts]

    def _ask(self, device: str, data: bytearray) -> None:
        compat.device_ioctl(self._socket.fileno(), SIOCETHTOOL, device, data)
