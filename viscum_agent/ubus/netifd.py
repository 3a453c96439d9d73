"""The devices behind netifd's interfaces: `lan` is a device today, perhaps another one tomorrow; and so is a Wi-Fi
network.

Read over ubus: `network.interface dump` for logical interfaces, `network.wireless status` for wifi-iface sections and
for @wifi, every access point. Where netifd doesn't run, /etc/config/network has to do (State).
"""

from ..config.schema import EVERY_AP
from ..errors import ViscumError
from .codes import CONNECTION_FAILED, TIMEOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .caller import Caller
    from .client import Client
    from .codes import UbusStatus

INTERFACES = ("network.interface", "dump")
WIRELESS = ("network.wireless", "status")
PATIENCE = 2.0  # seconds; netifd answers from memory


def names(dump: dict, wireless: dict) -> "dict[str, list[str]]":
    """Maps names to lists of devices, from the two answers (either may be {}).

    `l3_device` carries an interface's IP packets (pppoe-wan), `device` is below it; one that is down has only the
    second.
    """
    found = {}
    for interface in dump.get("interface") or []:
        device = interface.get("l3_device") or interface.get("device")
        if interface.get("interface") and device:
            found[interface["interface"]] = [device]
    if not wireless:
        return found
    every = []
    for radio in sorted(wireless):
        for network in wireless[radio].get("interfaces") or []:
            devices = _devices(network)
            if network.get("section"):
                found[network["section"]] = devices
            if (network.get("config") or {}).get("mode") == "ap":
                every.extend(devices)
    found[EVERY_AP] = every
    return found


def _devices(network: dict) -> "list[str]":
    """The device of a Wi-Fi network, and those that hostapd creates for its VLANs and stations."""
    devices = [network["ifname"]] if network.get("ifname") else []
    for part in (network.get("vlans") or []) + (network.get("stations") or []):
        if part.get("ifname") and part["ifname"] not in devices:
            devices.append(part["ifname"])
    return devices


def ask(path: str) -> "dict[str, list[str]]":
    """The names as netifd has them; {} if no ubusd or no netifd answers."""
    from .caller import Caller

    try:
        with Caller(path, PATIENCE) as caller:
            return names(_answer(caller, INTERFACES), _answer(caller, WIRELESS))
    except ViscumError:
        return {}


def _answer(caller: "Caller", question: "tuple[str, str]") -> dict:
    try:
        return caller.call(question[0], question[1], {}, PATIENCE)
    except ViscumError:
        return {}


class Follower:
    """Asks again when something changes: `on_names(names)` with every answer that differs. `client` is a ubus Client.

    The last answer stays valid while netifd or ubusd restarts: a redirect must not be removed because of that.
    """

    def __init__(self, client: "Client", on_names: "Callable[[dict[str, list[str]]], object]") -> None:
        self._client = client
        self._on_names = on_names
        self._last: dict[str, list[str]] | None = None
        self._radios: dict = {}
        self._asking = self._again = False
        client.listen("network.interface", lambda name, data: self.ask())
        client.listen("ubus.object.add", self._appeared)

    def _appeared(self, _name: str, data: dict) -> None:
        if data.get("path") in (INTERFACES[0], WIRELESS[0]):
            self.ask()

    def ask(self) -> None:
        """Asks now, or once more after the pending answers."""
        self._again = self._asking
        if self._asking:
            return
        self._asking = True
        self._client.invoke(*INTERFACES, {}, self._interfaces)

    def _interfaces(self, error: "UbusStatus | None", dump: dict) -> None:
        if error:
            self._done(None)
            return
        self._client.invoke(*WIRELESS, {}, lambda error, wireless: self._wireless(error, dump, wireless))

    def _wireless(self, error: "UbusStatus | None", dump: dict, wireless: dict) -> None:
        if error and error.code in (CONNECTION_FAILED, TIMEOUT):
            self._done(None)
            return
        self._asking = False  # whatever the answer was
        if not error:
            self._radios = wireless
        self._done(names(dump, self._radios))

    def _done(self, found: "dict[str, list[str]] | None") -> None:
        self._asking = False
        if found is not None and found != self._last:
            self._last = found
            self._on_names(found)
        if self._again:
            self.ask()
