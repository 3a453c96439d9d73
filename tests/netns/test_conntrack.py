"""Rules of a namespace that change while clients go on: who keeps a socket is answered by the rules of now."""

import json
import subprocess
import sys

from agent import PATIENT, Agent
from lab import PROGRAMS, ROOT, run, service, wait_for

# Asks by one UDP socket and one TCP connection as long as it lives, and prints who answered, line by line.
KEEPS = """
import socket, sys, time
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.connect(('203.0.113.10', 7000)); udp.settimeout(0.3)
tcp = socket.create_connection(('203.0.113.10', 7001), 3); tcp.settimeout(1)
while True:
    said = []
    for sock in (udp, tcp):
        try:
            sock.send(b'x')
            said.append(sock.recv(100).split()[0].decode())
        except OSError as error:
            said.append(type(error).__name__)
    print(*said, flush=True)
    time.sleep(0.05)
"""


# Answers on UDP with the port that it was asked at, and on TCP port 7001.
SAYS_ITS_PORT = """
import select, socket
socks = []
for port in (7100, 7200):
    socks.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    socks[-1].bind(('', port))
server = socket.create_server(('', 7001))
while True:
    for sock in select.select(socks + [server], [], [])[0]:
        if sock is server:
            socks.append(server.accept()[0])
        elif sock.type == socket.SOCK_DGRAM:
            sock.sendto(b'%d' % sock.getsockname()[1], sock.recvfrom(100)[1])
        else:
            data = sock.recv(100)
            sock.sendall(b'edge') if data else socks.remove(sock)
"""


def test_a_client_that_keeps_its_udp_socket_is_answered_by_the_new_rule_and_tcp_goes_on(lab):
    lab.serve_cloud(7000, 7001)
    (PROGRAMS / "ports.py").write_text(SAYS_ITS_PORT)
    section = service("echo", "/usr/bin/python3 %s/ports.py" % PROGRAMS, "list device lan0")
    more = "config redirect\n\toption service echo\n\tlist proto %s\n\tlist dest_ip 203.0.113.10\n\tlist dest_port %d\n"
    config = section.replace("\n\n", "\n\t%s\n\n" % "\n\t".join(PATIENT)) + more % ("tcp", 7001) + more % ("udp", 7000)
    agent = Agent(lab, config + "\toption target_port 7100\n")
    wait_for(lambda: lab.ask("udp", "203.0.113.10", 7000)[0] == "7100")
    wait_for(lambda: lab.ask("tcp", "203.0.113.10", 7001)[0] == "edge")
    client = lab.start(lab.client, sys.executable, "-c", KEEPS, stdout=subprocess.PIPE, text=True)
    assert [client.stdout.readline() for _ in range(3)][-1] == "7100 edge\n"
    agent.reload(config + "\toption target_port 7200\n")
    wait_for(lambda: ":7200" in lab.run("viscum-echo", "nft", "list ruleset").stdout)
    lines = [client.stdout.readline() for _ in range(60)]
    assert lines[-10:] == ["7200 edge\n"] * 10, lines
    assert all(line.split()[1] == "edge" for line in lines), lines


# In a namespace with 20,000 entries: how many are left, KiB of memory and seconds of work that each step took.
FULL = """
import json, resource, socket, subprocess, time
from viscum_agent.kernel import conntrack
from viscum_agent.records.objects import NatRule
subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)
tracked = 'add table t; add chain t c { type filter hook output priority 0; }; add rule t c ct state new accept'
subprocess.run(['nft', tracked], check=True)
open('/proc/sys/net/netfilter/nf_conntrack_udp_timeout', 'w').write('600')
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
def fill():
    for port in range(1, 20001):
        try:
            sock.sendto(b'', ('127.0.0.1', port))
        except OSError:
            pass
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = []
for conntrack.LONG, last in ((600, 100), (600, 20000), (-1, 100)):
    fill()
    rule = NatRule(daddr='127.0.0.1/32', proto='udp', dport=(1, last), to_port=9)
    before, begin = peak(), time.process_time()
    conntrack.forget_others([rule])
    left = int(open('/proc/sys/net/netfilter/nf_conntrack_count').read())
    found.append((left, peak() - before, time.process_time() - begin))
print(json.dumps(found))
"""


def test_of_a_full_table_little_is_held_and_what_is_too_much_is_forgotten_as_a_whole():
    """A program or its clients fill it."""
    done = run("unshare", "-n", sys.executable, "-c", FULL, cwd=ROOT)
    left, memory, seconds = zip(*json.loads(done.stdout), strict=True)
    assert left[0] > 19000, "what the rules would have made stays"
    assert max(left[1:]) < 100, "unless too many are wrong, or judging them takes too long"
    assert max(memory) < 3000 and max(seconds) < 3
