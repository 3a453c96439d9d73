"""The lease files of dnsmasq and odhcpd, in which clients choose their own names."""

from viscum_agent import address
from viscum_agent.names import leases

ALLOWED = ()
WANTED = {b"camera": "camera"}
TOKENS = [
    b"camera",
    b" camera ",
    b"duid ",
    b"# br-lan ",
    b" ipv4 camera ",
    b"02:00:5e:00:53:10",
    b"02005e005310",
    b"2001:db8::1/128",
    b"192.168.1.10",
    b"\n",
    b"\t",
    b"\0",
    b"\xc3",
]


def read(data):
    found = []
    for reader in (leases.dnsmasq, leases.odhcpd):
        for name, client in reader(data, WANTED):
            assert name == "camera"
            text = client if isinstance(client, str) else address.format_prefix(client)
            if isinstance(client, str):
                assert address.format_mac(address.parse_mac(client)) == client
            else:
                assert address.parse_prefix(text) == client
            found.append(text)
    return found


def seeds():
    return [
        b"1700000000 02:00:5e:00:53:11 192.168.1.11 * 01:02:00:5e:00:53:11\n"
        b"1700000001 02:00:5e:00:53:10 192.168.1.10 camera *\n"
        b"duid 00:01:00:01:2c:00:00:00:02:00:5e:00:53:01\n"
        b"1700000003 12345 2001:db8:1::a1b camera 00:01:00:01\n",
        b"# br-lan 02005e005310 ipv4 camera 1700000000 c0a8010a 32 192.168.1.10/32\n192.168.1.10\tcamera.lan\tcamera\n"
        b"# br-lan 00010001cc 1 camera -1 a1b 128 2001:db8:1::a1b/128 2001:db8:2::/62\n",
    ]


def slow(size):
    """Many leases of one name, many words in one line, and many empty lines."""
    line = b"1 02:00:5e:00:53:10 192.168.1.10 camera *\n"
    six = b"# br-lan 00010001cc 1 camera -1 a1b 128" + b" 2001:db8::1/128" * 99 + b"\n"
    return [line * (size // len(line)), six * (size // len(six)), b"x " * (size // 2), b"\n" * size]
