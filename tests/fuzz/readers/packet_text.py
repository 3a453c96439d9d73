"""A packet as text: what people type and paste."""

from viscum_agent.plan import packet

ALLOWED = (ValueError,)
LINE = (
    "dev br-lan tcp from 192.168.1.2 to 203.0.113.10 port 5201 sport 9 mac 02:00:5e:00:53:01 vlan 5 fragment options",
    "13:05:22.123456 br-lan In  IP 192.168.1.2.40000 > 203.0.113.10.5201: Flags [S], seq 1, length 0",
    "IP (tos 0x0, ttl 64, id 7, offset 1480, flags [+], proto UDP (17), length 99) 192.168.1.2 > 203.0.113.10: udp",
    "13:05 02:00:5e:00:53:09 > 02:00:5e:00:53:01, ethertype 802.1Q, vlan 5, p 0, 192.168.1.2.9 > 203.0.113.10.53: x",
    "IP6 fd00::2 > fd00::10: frag (0|1448) 40000 > 53: UDP, length 3000",
    "ipv4 2 tcp 6 431999 ESTABLISHED src=192.168.1.2 dst=203.0.113.10 sport=4 dport=5 src=::1 dst=::2 [HW_OFFLOAD]",
    "unknown 2 590 src=192.168.1.2 dst=224.0.0.22 src=224.0.0.22 dst=192.168.1.2",
)
TOKENS = sorted({word.encode() + b" " for line in LINE for word in line.split(" ")})
TOKENS += [b">", b":", b".", b",", b"(", b"=", b"%", b"\n", b"\x1c", b"\xa0", b"\0", b"65536", b"ip-proto-256"]


def read(data):
    found = packet.read("".join([chr(byte) for byte in data]))
    assert len(found.src) == len(found.dst) and len(found.src) in (4, 16)
    assert 0 <= found.proto <= 255 and -1 <= found.vlan <= 4094
    assert 0 <= found.sport <= 65535 and 0 <= found.dport <= 65535
    assert found.part in ("", "first", "later") and found.note in ("", "out", "hardware")
    return list(found)


def seeds():
    return [line.encode() for line in LINE]


def slow(size):
    for piece in (b"> ", b"src= ", b"dev x ", b"(", b"1.", b"a" * 50 + b" "):
        yield piece * (size // len(piece))
