"""Which clients have the name of a host (names/leases.py): what dnsmasq and odhcpd write, and what others may."""

import os
import sys

from viscum_agent import compat
from viscum_agent.address import parse_prefix
from viscum_agent.config import trust, uci
from viscum_agent.names import leases
from viscum_agent.names.leases import MOST_CLIENTS, Leases

CAMERA, OTHER = "02:00:5e:00:53:10", "02:00:5e:00:53:11"
WANTED = {b"camera": "camera"}
SIX = parse_prefix("2001:db8:1::a1b")

DNSMASQ = b"""1700000000 02:00:5e:00:53:11 192.168.1.11 * 01:02:00:5e:00:53:11
1700000001 02:00:5e:00:53:10 192.168.1.10 Camera *
1700000002 06-aa:bb 192.168.1.12 camera *
duid 00:01:00:01:2c:00:00:00:02:00:5e:00:53:01
1700000003 12345 2001:db8:1::a1b camera 00:01:00:01
1700000003 T12346 2001:db8:1::a1c other 00:01:00:01
"""
ODHCPD = b"""# br-lan 00010001aa 1 other 1700000000 a1c 128 2001:db8:1::a1c/128
192.168.1.10\tcamera.lan\tcamera
# br-lan 02005e005310 ipv4 camera 1700000000 c0a8010a 32 192.168.1.10/32
# br-lan 00010001bb 1 broken\\x20camera 1700000000 a1d 128 2001:db8:1::a1d/128
# br-lan 00010001cc 1 camera -1 a1b 128 2001:db8:1::a1b/128 2001:db8:2::a1b/128
# br-lan 00010001dd 1 camera 0 a1e 128
"""


def found(reader, data):
    return [client for _, client in reader(data, WANTED)]


def test_dnsmasq_has_the_mac_of_a_client_and_addresses_of_dhcpv6():
    assert found(leases.dnsmasq, DNSMASQ) == [CAMERA, SIX]


def test_odhcpd_has_both_as_well_and_no_name_that_it_calls_broken():
    assert found(leases.odhcpd, ODHCPD) == [CAMERA, SIX, parse_prefix("2001:db8:2::a1b")]


def test_what_is_no_lease_is_none():
    for data in (
        b"",
        b"\n\n  \n",
        b"camera",
        b"1 2 3 camera",
        b"1 ff:ff:ff:ff:ff:ff 192.168.1.1 camera *",
        b"1 00:00:00:00:00:00 192.168.1.1 camera *",
        b"1 01:00:5e:00:53:10 192.168.1.1 camera *",
        b"1 02:00:5e:00:53:1\xff 192.168.1.1 camera *",
        b"duid 1\n1 2 fe80::1%lan camera *",
        b"duid 1\n1 2 2001:db8::/999 camera *",
        b"# br-lan 02005e00531 ipv4 camera 1 c0a8010a 32 192.168.1.10/32",
        b"# br-lan \xff\xfe 1 camera 1 a 128 \xff\xfe/128",
    ):
        assert found(leases.dnsmasq, data) == []
        assert found(leases.odhcpd, data) == []


def test_a_name_is_compared_whole_and_only_as_bytes():
    line = b"1 02:00:5e:00:53:10 192.168.1.10 %s *"
    for name in (b"camera2", b"camera\0", b"came\xccra", b"camera.lan", b"*"):
        assert found(leases.dnsmasq, line % name) == []


def test_the_files_are_those_that_the_configuration_names():
    text = b"config dnsmasq\nconfig dnsmasq 'guest'\n option leasefile '/tmp/guest'\n"
    text += b"config odhcpd 'odhcpd'\n option leasefile '/tmp/hosts/odhcpd'\n"
    text += b"config dnsmasq 'odd'\n option leasefile 'here'\nconfig dhcp 'lan'\n option leasefile '/etc/shadow'\n"
    expected = [("/tmp/dhcp.leases", leases.dnsmasq), ("/tmp/guest", leases.dnsmasq)]
    assert leases.files(uci.parse(text, "dhcp")) == expected + [("/tmp/hosts/odhcpd", leases.odhcpd)]


# With files


def opens_the_root():
    """Whether `/` is the machine's. An emulator of single processes (tests/bigendian) opens that of its processor's
    libraries, and so no path can be followed from there (trust.find)."""
    fd = compat.fd_open("/", compat.O_PATH)
    try:
        return compat.exists(trust.FD % fd + "/tmp")
    finally:
        compat.fd_close(fd)


class Router:
    """A folder with /etc/config/dhcp and a lease file; both interpreters have `os`, and no more."""

    def __init__(self):
        self.folder = "/tmp/viscum-leases-%d-%s" % (compat.getpid(), sys.implementation.name)
        os.mkdir(self.folder)
        self.file = self.folder + "/leases"

    def __enter__(self):
        self.write("dhcp", b"config dnsmasq\n option leasefile '%s'\n" % self.file.encode())
        return self

    def __exit__(self, *_):
        for name in os.listdir(self.folder):
            os.unlink(self.folder + "/" + name)
        os.rmdir(self.folder)

    def write(self, name, data):
        with open(self.folder + "/" + name, "wb") as file:
            file.write(data)

    def find(self, *names):
        return Leases(self.folder).find(names)


def test_a_name_is_its_mac_whatever_addresses_it_has_and_addresses_where_there_is_none():
    if not opens_the_root():
        return
    with Router() as router:
        router.write("leases", DNSMASQ)
        assert router.find("camera")["camera"] == ((CAMERA,), "")
        router.write("leases", DNSMASQ.replace(b"Camera", b"*"))
        assert router.find("camera")["camera"] == ((SIX,), "")
        router.write("leases", b"")
        assert router.find("camera")["camera"] == ((), "has no lease")
        os.unlink(router.file)
        assert router.find("camera")["camera"] == ((), "has no lease")


def test_what_the_administrator_says_of_a_name_goes_before_what_clients_say():
    if not opens_the_root():
        return
    with Router() as router:
        router.write("leases", DNSMASQ)
        text = b"config dnsmasq\n option leasefile '%s'\n" % router.file.encode()
        for option, expected in (
            (b"list mac '02:00:5E:00:53:11'", OTHER),
            (b"option mac '02:00:5e:00:53:11 *:*:*:00:00:00'", OTHER),
            (b"option ip '192.168.1.7'", parse_prefix("192.168.1.7")),
            (b"option hostid '1'", CAMERA),
        ):
            router.write("dhcp", text + b"config host\n option name 'CAMERA'\n " + option + b"\n")
            assert router.find("camera")["camera"].addresses == (expected,)


def test_as_many_clients_as_say_so_have_a_name_up_to_a_limit():
    if not opens_the_root():
        return
    line = b"1 02:00:5e:00:53:%02x 192.168.1.10 camera *\n"
    with Router() as router:
        router.write("leases", b"".join([line % (n % 99) for n in range(200)]))
        assert len(router.find("camera")["camera"].addresses) == MOST_CLIENTS


def test_only_the_first_bytes_of_a_huge_file_count():
    with Router() as router:
        router.write("leases", b"x" * leases.MOST + b"\n" + DNSMASQ)
        assert router.find("camera")["camera"].addresses == ()


def test_a_file_is_read_again_when_it_has_changed_also_within_a_second():
    if not opens_the_root():
        return
    with Router() as router:
        router.write("leases", DNSMASQ)
        known = Leases(router.folder)
        assert known.find(("camera",))["camera"].addresses == (CAMERA,)
        router.write("leases", DNSMASQ.replace(b"Camera", b"nobody"))
        router.write("leases", DNSMASQ.replace(b"53:10 ", b"53:12 "))
        assert known.find(("camera",))["camera"].addresses == ("02:00:5e:00:53:12",)
