"""An ordinary server and client for the tests: the server knows nothing of Viscum and binds to the wildcard address.

echo.py serve WHO [PROTO/]PORT...    answers "WHO LOCAL-ADDRESS" on TCP and UDP (or just one), IPv4 and IPv6 echo.py
serve WHO@ADDRESS,... PORT   the same, bound to addresses (a host with several, that has to answer from the right one)
echo.py ask tcp|udp ADDRESS PORT TIMEOUT          prints JSON: [who, the server's address], or ["", reason] echo.py loop
tcp|udp ADDRESS PORT RATE SECONDS    a steady client; prints JSON: sent, answered, by whom, slowest
"""

import json
import select
import socket
import sys
import time
from contextlib import suppress


def serve(who, ports):
    listeners, datagrams = [], []
    who, _, addresses = who.partition("@")
    for text in ports:
        proto, _, port = text.rpartition("/")
        for address in addresses.split(",") if addresses else ("0.0.0.0", "::"):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            for kind, name, found in ((socket.SOCK_STREAM, "tcp", listeners), (socket.SOCK_DGRAM, "udp", datagrams)):
                if proto in ("", name):
                    found.append(_bind(family, kind, address, int(port)))
    connections = []
    while True:
        ready, _, _ = select.select(listeners + datagrams + connections, [], [])
        for sock in ready:
            if sock in listeners:
                connections.append(sock.accept()[0])
            elif sock in datagrams:
                data, peer = sock.recvfrom(2048)
                with suppress(OSError):  # a forged client may be nowhere, or the table of neighbours full
                    sock.sendto(("%s - %s" % (who, data.decode())).encode(), peer)
            else:
                _answer(who, sock, connections)


def _bind(family, kind, wildcard, port):
    sock = socket.socket(family, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind((wildcard, port))
    if kind == socket.SOCK_STREAM:
        sock.listen(128)
    return sock


def _answer(who, sock, connections):
    try:
        data = sock.recv(2048)
        if data:
            sock.sendall(("%s %s %s" % (who, sock.getsockname()[0], data.decode())).encode())
            return
    except OSError:
        pass
    connections.remove(sock)
    sock.close()


def client(proto, address):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.socket(family, socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM)


def ask(sock, address, port, timeout):
    """(who answers there, the server's view of its own address), or ("", reason)."""
    try:
        with sock:
            sock.settimeout(timeout)
            sock.connect((address, port))
            sock.sendall(b"hello")
            return tuple(sock.recv(2048).decode().split()[:2])
    except OSError as error:
        return "", str(error)


def loop(proto, address, port, rate, seconds):
    sock = client(proto, address)
    sock.settimeout(1.0)
    sock.connect((address, int(port)))
    sent = answered = 0
    slowest = 0.0
    who = {}
    begin = time.monotonic()
    while time.monotonic() - begin < float(seconds):
        wait = begin + sent / float(rate) - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        sent += 1
        number = b"%d" % sent
        asked = time.monotonic()
        try:
            sock.send(number)
            data = sock.recv(2048)
            while data.split()[-1] != number:  # a late answer to an earlier one
                data = sock.recv(2048)
        except OSError:
            continue
        answered += 1
        slowest = max(slowest, time.monotonic() - asked)
        name = data.split()[0].decode()
        who[name] = who.get(name, 0) + 1
    print(json.dumps({"sent": sent, "answered": answered, "who": who, "slowest_ms": round(slowest * 1000, 2)}))


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve(sys.argv[2], sys.argv[3:])
    elif sys.argv[1] == "ask":
        proto, address, port, timeout = sys.argv[2:]
        print(json.dumps(ask(client(proto, address), address, int(port), float(timeout))))
    else:
        loop(*sys.argv[2:])
