"""A real Wi-Fi network without radio waves: mac80211_hwsim's simulated radios under the kernel's own mac80211.

    station 192.168.76.2 ~~~ wlan0 [access point] 192.168.76.1, on wlan0 itself or on a bridge that wlan0 is a port of
            2001:db8:76::2                        2001:db8:76::1

The station lives in a namespace of its own, "client". The access point lives in the namespace `router`, by default the
one that the tests run in; tests/lab.py's `lab.router` does as well, and its cloud is then behind it:

    with Lab(tmp) as lab, Wifi(tmp, router=lab.router, bridge="br-lan") as wifi:
        lab.serve_cloud(7000)
        lab.ask("tcp", "203.0.113.10", 7000, ns=wifi.client)
"""

import os
import signal
import subprocess
import time
from pathlib import Path

from lab import Built, ip, kill, namespaces, pids_in, run, wait_for

NET4 = "192.168.76"
NET6 = "2001:db8:76:"
SSID = "viscum"
# An open network on 2.4 GHz: the redirects see frames behind decryption, so a password would test nothing of ours.
HOSTAPD = """\
interface=%s
driver=nl80211
ssid=%s
hw_mode=g
channel=1
"""


class Wifi(Built):
    """Use as a context manager: inside, the station is associated and both ends have addresses.

    `ap` is the access point's device, `device` the one with the router's addresses (the bridge, if there is one),
    `sta` the station's device in the namespace `client`.
    """

    def __init__(self, tmp, router="", bridge="", client="client"):
        self.tmp = Path(tmp)
        self.router = router
        self.bridge = bridge
        self.client = client
        self.ap = self.sta = self.device = ""
        self._hostapd = None
        self._made_bridge = False

    def _build(self):
        self._make_radios()
        self._start_access_point()
        self._associate()
        self._give_addresses()

    def close(self):
        if self._hostapd:
            kill(self._hostapd)
            self._hostapd = None
        if self._made_bridge:
            ip(*self._n(), "link", "del", self.bridge)
            self._made_bridge = False
        if self.client in namespaces():
            for pid in pids_in(self.client):
                os.kill(pid, signal.SIGKILL)
            ip("netns", "del", self.client)
        # The radios go with their module, wherever their devices are by now.
        wait_for(lambda: run("modprobe", "-r", "mac80211_hwsim", check=False).returncode == 0)

    # Commands

    def on_router(self, *words, **options):
        """Runs a command where the access point is; its result has stdout and stderr as text."""
        prefix = ("nsenter", "--net=/run/netns/" + self.router) if self.router else ()
        return run(*prefix, *map(str, words), **options)

    def on_client(self, *words, **options):
        return run("nsenter", "--net=/run/netns/" + self.client, *map(str, words), **options)

    def link(self):
        """What the station says of its connection; begins with "Connected to" while there is one."""
        return self.on_client("iw", "dev", self.sta, "link").stdout

    # Steps

    def _make_radios(self):
        if Path("/sys/module/mac80211_hwsim").exists():
            raise AssertionError("mac80211_hwsim is loaded already: only one Wifi at a time")
        run("modprobe", "mac80211_hwsim", "radios=2")
        radios = Path("/sys/class/ieee80211")
        wait_for(lambda: len(_devices(radios)) == 2)
        (ap_phy, self.ap), (sta_phy, self.sta) = _devices(radios)
        ip("netns", "add", self.client)
        ip("-n", self.client, "link", "set", "lo", "up")
        run("iw", "phy", sta_phy, "set", "netns", "name", self.client)
        if self.router:
            run("iw", "phy", ap_phy, "set", "netns", "name", self.router)
        # No duplicate address detection: else nobody finds his neighbours in the first second.
        self.on_client("sysctl", "-qw", "net.ipv6.conf.%s.accept_dad=0" % self.sta)

    def _start_access_point(self):
        self.device = self.bridge or self.ap
        if self.bridge and self.on_router("ip", "link", "show", self.bridge, check=False).returncode:
            self.on_router("ip", "link", "add", self.bridge, "type", "bridge", "forward_delay", "0")
            self._made_bridge = True
        if self.bridge:
            self.on_router("ip", "link", "set", self.bridge, "up")
        text = HOSTAPD % (self.ap, SSID) + ("bridge=%s\n" % self.bridge if self.bridge else "")
        config, log = self.tmp / "hostapd.conf", self.tmp / "hostapd.log"
        config.write_text(text)
        # `ip netns exec` and not nsenter: hostapd looks the bridge up in /sys, which has to be that namespace's.
        prefix = ("ip", "netns", "exec", self.router) if self.router else ()
        with log.open("wb") as output:
            self._hostapd = subprocess.Popen(
                [*prefix, "hostapd", str(config)], stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        try:
            wait_for(lambda: b"AP-ENABLED" in log.read_bytes())
        except AssertionError:
            raise AssertionError("hostapd did not start:\n" + log.read_text()) from None

    def _associate(self):
        self.on_client("ip", "link", "set", self.sta, "up")
        give_up = time.monotonic() + 60
        while "Connected to" not in self.link():
            if time.monotonic() > give_up:
                raise AssertionError("the station did not associate:\n" + (self.tmp / "hostapd.log").read_text())
            # Fails while an earlier attempt is under way, and an attempt ends without a word if its scan found nothing.
            self.on_client("iw", "dev", self.sta, "connect", SSID, check=False)
            try:
                wait_for(lambda: "Connected to" in self.link())
            except AssertionError:
                self.on_client("iw", "dev", self.sta, "disconnect", check=False)

    def _give_addresses(self):
        self.on_router("ip", "addr", "add", NET4 + ".1/24", "dev", self.device)
        self.on_router("ip", "addr", "add", NET6 + ":1/64", "dev", self.device, "nodad")
        self.on_client("ip", "addr", "add", NET4 + ".2/24", "dev", self.sta)
        self.on_client("ip", "addr", "add", NET6 + ":2/64", "dev", self.sta, "nodad")
        self.on_client("ip", "route", "add", "default", "via", NET4 + ".1")
        self.on_client("ip", "-6", "route", "add", "default", "via", NET6 + ":1")

    def _n(self):
        return ("-n", self.router) if self.router else ()


def _devices(radios):
    """(phy, device) of each radio, by its number; numbers go on counting when the module is loaded again."""
    found = []
    for radio in radios.iterdir() if radios.exists() else ():
        for device in (radio / "device/net").glob("wlan*"):
            found.append((int(radio.name[len("phy") :]), radio.name, device.name))
    return [(phy, device) for _, phy, device in sorted(found)]
