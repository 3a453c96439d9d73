"""How much a service sends: what `rate` and `burst` say, by every datapath, over both families, whatever it does."""

import json
import socket
import struct
import time

import pytest
from agent import PATIENT, Served
from lab import HANG, PROGRAMS, Lab, inside, run, service, wait_for

A, A6, PORT = "203.0.113.10", "2001:db8:cafe::10", 7000
RATE, BURST = 1_000_000, 65536  # bytes in a second, bytes: 8mbit, 64k
TAKES = ("list device lan0", "list dest_ip " + A, "list dest_ip " + A6, "list dest_port %d" % PORT)
LIMITED = ("option rate 8mbit", "option burst 64k")
WHILE = 0.7  # seconds

# Sends for as long as its client takes it, as much as it can; a datagram is answered by others for WHILE.
POURS = """
import select, socket, subprocess, threading, time

def listens(family, kind):
    made = socket.socket(family, kind)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    made.bind(('', %d))
    if kind == socket.SOCK_STREAM:
        made.listen()
    return made

def pour(connection):
    try:
        while connection.recv(1):
            while True:
                connection.sendall(bytes(65536))
    except OSError:
        connection.close()

def spill(made, peer):
    begin = time.monotonic()
    while time.monotonic() - begin < %.1f:
        try:
            made.sendto(bytes(1000), peer)
        except OSError:
            pass

# What it would do about a limit, if it could.
for words in (('del', 'dev', 'eth0', 'root'), ('replace', 'dev', 'eth0', 'root', 'pfifo')):
    print(subprocess.run(('tc', 'qdisc', *words), stderr=subprocess.PIPE, text=True).stderr, flush=True)
families = socket.AF_INET, socket.AF_INET6
streams = [listens(family, socket.SOCK_STREAM) for family in families]
datagrams = [listens(family, socket.SOCK_DGRAM) for family in families]
while True:
    for made in select.select(streams + datagrams, [], [])[0]:
        if made in streams:
            threading.Thread(target=pour, args=(made.accept()[0],), daemon=True).start()
            continue
        data, peer = made.recvfrom(9)
        if data:
            threading.Thread(target=spill, args=(made, peer), daemon=True).start()
""" % (PORT, WHILE)


def section(*lines):
    (PROGRAMS / "pours.py").write_text(POURS)
    command = "/usr/bin/python3 %s/pours.py" % PROGRAMS
    return service("pours", command, *TAKES, *PATIENT, "option user root", *lines)


@pytest.fixture
def served(lab):
    return lambda *lines: Served(lab, section(*lines))


def healthy(agent):
    """Waits until all of it is taken over."""
    waits = lambda: agent.state() == "healthy" and all(reaches(agent.lab, address) for address in (A, A6))  # noqa: E731
    agent._wait_for(waits, HANG, "does not answer")


def reaches(lab, address):
    with asking(lab, socket.SOCK_STREAM, address) as client:
        return client.connect_ex((address, PORT)) == 0


def asking(lab, kind, address):
    """A client's socket."""
    with inside(lab.client):
        made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    made.settimeout(HANG)
    return made


def taken(lab, kind, address):
    """(bytes that a client receives, at least WHILE long; seconds since it asked)."""
    with asking(lab, kind, address) as client:
        begin = time.monotonic()
        client.connect((address, PORT))
        client.send(b"x")
        count = 0
        while time.monotonic() - begin < WHILE:
            count += len(client.recv(1 << 20))
        return count, time.monotonic() - begin


def queue(lab):
    """The queues of the service's eth0."""
    found = run("ip", "netns", "exec", lab.router, "tc", "-n", "viscum-pours", "-j", "qdisc", "show", "dev", "eth0")
    return [(one["kind"], one.get("options", {}).get("rate")) for one in json.loads(found.stdout)]


def test_no_more_than_the_rate_leaves_by_any_datapath(served, datapath):
    agent = served(*LIMITED)
    healthy(agent)
    wait_for(lambda: agent.log.read_text().count("Operation not permitted") >= 2)  # root in there is not asked
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        for address in (A, A6):
            count, seconds = taken(agent.lab, kind, address)
            # Headers count, too, and what waits from before goes first; a busy machine sends much less.
            assert RATE * seconds / 50 < count < RATE * seconds + BURST, (kind, address)


def test_a_rate_is_set_changed_restored_and_taken_out_while_the_program_runs(served, lab):
    agent = served()
    healthy(agent)
    assert queue(lab) == [("noqueue", None)]
    count, seconds = taken(lab, socket.SOCK_STREAM, A)
    assert count > 5 * (RATE * seconds + BURST), "without a rate it would be seen"
    row = json.loads(agent.viscum("status", "--json").stdout)[0]
    assert row["rate"] is None
    pid = row["pid"]
    for line, rate in (("option rate 8mbit", RATE), ("option rate 16mbit", 2 * RATE)):
        agent.reload(section(line))
        agent._wait_for(lambda rate=rate: queue(lab) == [("tbf", rate)], HANG, "has no such queue")
    row = json.loads(agent.viscum("status", "--json").stdout)[0]
    assert (row["rate"], row["pid"]) == (16_000_000, pid)
    assert "pours: rate 16000kbit\n" in agent.viscum("status").stdout
    # Somebody else takes it away, or makes it wider.
    for number, words in enumerate(
        (("del",), ("change", "handle", "7673:", "tbf", "rate", "1gbit", "burst", "1m", "limit", "9m"))
    ):
        begin = time.monotonic()
        run(
            "ip",
            "netns",
            "exec",
            lab.router,
            "tc",
            "-n",
            "viscum-pours",
            "qdisc",
            words[0],
            "dev",
            "eth0",
            "root",
            *words[1:],
        )
        agent._wait_for(lambda: queue(lab) == [("tbf", 2 * RATE)], HANG, "was not restored")
        assert time.monotonic() - begin < 20, "by an event, and not by the next look"
        wait_for(lambda number=number: agent.log.read_text().count("pours: restored what") == number + 1)
    agent.reload(section())
    agent._wait_for(lambda: queue(lab) == [("noqueue", None)], HANG, "still has a queue")
    assert json.loads(agent.viscum("status", "--json").stdout)[0]["pid"] == pid


def test_a_program_with_raw_sockets_would_get_around_it(tmp_path):
    """Why a rate with the capability net_raw is refused: PACKET_QDISC_BYPASS of packet(7)."""
    with Lab(tmp_path) as lab:
        lab.configure(section("option rate 64kbit", "option burst 2k"))
        lab.viscum("up")
        with inside("viscum-pours"):
            sent = []
            for past in (0, 1):
                with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as raw:
                    raw.setsockopt(263, 20, struct.pack("i", past))  # SOL_PACKET, PACKET_QDISC_BYPASS
                    raw.bind(("eth0", 0))
                    raw.settimeout(1)
                    before = transmitted()
                    for _ in range(100):
                        try:
                            raw.send(bytes(12) + b"\x88\xb5" + bytes(1000))
                        except OSError:
                            break
                    sent.append(transmitted() - before)
        lab.viscum("down")
    assert sent[0] < 50 and sent[1] == 100


def transmitted():
    """Frames that have left eth0 of the caller's namespace."""
    with open("/proc/thread-self/net/dev") as file:
        return next(int(line.split()[10]) for line in file if line.strip().startswith("eth0:"))
