"""The packets of a check, held against scapy's and the kernel's own view."""

import contextlib
import socket
import struct
from types import SimpleNamespace

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6

from viscum_agent.address import parse_address
from viscum_agent.kernel import handshake, listening
from viscum_agent.records.facts import Listener, Ports

ENDS = {4: ("10.213.0.2", "203.0.113.10"), 6: ("fd76::2", "2001:db8::10")}


def kernels_view(family, packet):
    """The packet as scapy reads it, with the checksums that scapy would write."""
    layer = IP if family == 4 else IPv6
    read = layer(packet)
    again = layer(packet)
    for one in (again, again.payload):
        for field in ("chksum", "len", "plen"):
            if field in one.fields:
                del one.fields[field]
    return read, layer(bytes(again))


@pytest.mark.parametrize("family", [4, 6])
def test_a_segment_is_what_scapy_would_write(family):
    own, client = map(parse_address, ENDS[family])
    fake = SimpleNamespace(_own=own, _client=client, _at=40000, _port=443)
    packet = handshake.Handshake._segment(fake, 0x1_0000_0001, 7, handshake.SYN | handshake.ACK)
    read, written = kernels_view(family, packet)
    assert bytes(read) == bytes(written) == packet
    assert (read[TCP].sport, read[TCP].dport, read[TCP].seq, read[TCP].ack) == (40000, 443, 1, 7)
    assert (str(read[TCP].flags), read.src, read.dst) == ("SA", *ENDS[family])


@pytest.mark.parametrize("family", [4, 6])
def test_a_datagram_is_what_scapy_would_write(family):
    own, client = map(parse_address, ENDS[family])
    sent = []
    handshake.Datagram.begin(SimpleNamespace(_own=own, _client=client, _at=40000, _port=53), sent.append)
    read, written = kernels_view(family, sent[0])
    assert bytes(read) == bytes(written) == sent[0]
    assert (read[UDP].dport, read[UDP].len) == (53, 8)


def test_a_checksum_of_zero_is_written_as_ffff():
    """RFC 768: zero means that there is none."""
    for port in range(65536):
        packet = handshake.ip_packet(bytes(4), bytes(4), 17, struct.pack(">HHH", port, 0, 8), b"")
        if packet[-2:] == b"\xff\xff":
            return
        assert packet[-2:] != b"\0\0"
    raise AssertionError("no such packet")


# What is open, as the kernel lists it: of this very process


def test_open_sockets_are_listed_with_their_address_and_what_waits():
    with (
        socket.create_server(("127.0.0.1", 0)) as four,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as six,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
    ):
        udp.bind(("0.0.0.0", 0))
        ports = [each.getsockname()[1] for each in (four, six, udp)]
        client = socket.create_connection(("127.0.0.1", ports[0]))
        udp.sendto(b"hello", ("127.0.0.1", ports[2]))
        found = listening.listeners()
        with client:
            assert Listener("tcp", 4, bytes([127, 0, 0, 1]), ports[0], 1) in found
            assert Listener("tcp", 6, bytes(15) + b"\x01", ports[1], 0) in found
            (one,) = [each for each in found if each.proto == "udp" and each.port == ports[2]]
            assert (one.address, one.version) == (b"", 4) and one.waiting > 0
            assert listening.waiting("tcp", 4, bytes([127, 0, 0, 1]), ports[0]) == 1
            assert listening.waiting("tcp", 4, b"", ports[0]) == -1
            assert listening.connections() >= 1


def test_a_socket_of_ipv6_that_is_bound_to_an_ipv4_address_is_one_of_ipv4():
    with socket.socket(socket.AF_INET6) as sock:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(("::ffff:127.0.0.1", 0))
        sock.listen()
        port = sock.getsockname()[1]
        (one,) = [each for each in listening.listeners() if each.port == port]
        assert (one.version, one.address) == (4, bytes([127, 0, 0, 1]))
        assert listening.waiting("tcp", 4, bytes([127, 0, 0, 1]), port) == 0


def test_of_tcp_only_what_listens_is_read(monkeypatch):
    """64,000 connections are megabytes; what is open comes before them."""
    read = []
    plain = listening.compat.fd_read
    monkeypatch.setattr(listening.compat, "fd_read", lambda fd, size: read.append(plain(fd, size)) or read[-1])
    with socket.create_server(("127.0.0.1", 0), backlog=500) as server:
        clients = [socket.create_connection(server.getsockname()) for _ in range(300)]
        listening._open_sockets("tcp", 4, "tcp", listening.ALL["tcp"])
        for each in clients:
            each.close()
    assert sum(map(len, read)) <= 2 * listening.PIECE


def test_whether_any_connection_goes_on_is_known_after_the_first(monkeypatch):
    """It is asked every half second while a service drains (flows.py), of 64,000 connections perhaps."""
    read = []
    plain = listening.compat.fd_read
    monkeypatch.setattr(listening.compat, "fd_read", lambda fd, size: read.append(plain(fd, size)) or read[-1])
    here = bytes([127, 0, 0, 1])
    with socket.create_server(("127.0.0.1", 0), backlog=500) as server:
        port = server.getsockname()[1]
        clients = [socket.create_connection(server.getsockname()) for _ in range(300)]
        assert len([one for one in listening.flows() if (one.client, one.port) == (here, port)]) == 300
        assert not [one for one in listening.flows([here]) if one.client == here]
        whole = sum(map(len, read)) // 2
        read.clear()
        assert len(listening.flows(unfinished=True)) == 1
        assert sum(map(len, read)) < whole - 100 * 150, "bytes: a connection is a line of 150"
        for each in clients:
            each.close()


def test_a_file_without_an_end_is_read_up_to_a_limit(monkeypatch):
    line = b"  1: 0100007F:1F90 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0\n"
    monkeypatch.setattr(listening.compat, "fd_read", lambda fd, size: line * 20)
    assert len(listening._open_sockets("udp", 4, "udp", listening.ALL["udp"])) <= listening.MOST_FOUND


def test_no_socket_is_missed_because_others_are_closed_meanwhile(monkeypatch):
    """A resolver opens and closes one for each query: its own port must not come and go with them."""
    plain, opened = listening.compat.fd_read, {}

    def read(fd, size):
        piece = plain(fd, size)
        for port in [port for port in opened if b":%04X " % port in piece][:1]:
            opened.pop(port).close()
        return piece

    with contextlib.ExitStack() as stack:
        for _ in range(200):
            sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sock.bind(("127.0.0.1", 0))
            opened[sock.getsockname()[1]] = sock
        wanted = set(opened)
        monkeypatch.setattr(listening.compat, "fd_read", read)
        for ports in (Ports(wanted, []), Ports(set(), [(1, 65535)])):
            found = [one.port for one in listening._open_sockets("udp", 4, "udp", ports)]
            assert set(opened) <= set(found)


def test_of_many_sockets_those_at_the_ports_that_count_are_seen(monkeypatch):
    """A program may open thousands: their number costs it what it answers nowhere else."""
    monkeypatch.setattr(listening, "MOST_FOUND", 20)
    with contextlib.ExitStack() as stack:
        opened = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(60)]
        ports = [each.getsockname()[1] for each in opened]
        wanted = {
            "tcp": Ports(set(ports[-3:-1]), [(ports[-1], ports[-1])]),
            "udp": Ports(set(), []),
        }
        found = [one.port for one in listening.listeners(wanted) if one.proto == "tcp"]
        assert set(ports[-3:]) <= set(found)
        assert len(found) <= 3 + 2 * listening.FEW
