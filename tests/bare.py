"""Links between a client and the router of a lab whose packets have no Ethernet header, and what has to work there.

A link is a function that makes the device `dev` of a host and the router's `port`; it is over with the lab's processes
and namespaces.
"""

import os
import signal
import sys

from agent import QUICK
from lab import ROOT, echo_command, listens, pids_in, service, wait_for

UNDER = ("10.98.0.1", "10.98.0.2")  # the router's and the host's end of what a tunnel goes through
INSIDE = "10.97.0."  # what PPP agrees upon, besides the lab's own addresses

ADDRESSES = ("203.0.113.10", "2001:db8:cafe::10")
QUESTIONS = [(proto, address, 7000) for proto in ("tcp", "udp") for address in ADDRESSES]
EDGE = echo_command("edge", 7000)
TAKES = (*("list dest_ip " + address for address in ADDRESSES), "list dest_port 7000", *QUICK)
BOTH = service("echo", EDGE, "list device lan0", *TAKES)


def tun(lab, ns, dev, router, port):
    """Two tun devices, and a process that carries packets from one to the other."""
    lab.start(router, sys.executable, ROOT / "demo/distance.py", port, dev, 0, 1000)
    wait_for(lambda: '"%s"' % dev in lab.run(router, "ip", "-j", "link").stdout)
    lab.run(router, "ip", "link", "set", dev, "netns", ns)


def wireguard(lab, ns, dev, router, port):
    """Two peers that let everything through."""
    _under(lab, ns, router)
    public = {}
    for where, name in ((router, port), (ns, dev)):
        secret = lab.tmp / (where + ".key")
        made = "umask 077; wg genkey | tee %s | wg pubkey" % secret
        public[where] = lab.run(where, "sh", "-c", made).stdout.strip()
        lab.run(where, "ip", "link", "add", name, "type", "wireguard")
        lab.run(where, "wg", "set", name, "listen-port", 51820, "private-key", secret)
    for where, name, other, address in ((router, port, ns, UNDER[1]), (ns, dev, router, UNDER[0])):
        everything = ("allowed-ips", "0.0.0.0/0,::/0", "endpoint", address + ":51820")
        lab.run(where, "wg", "set", name, "peer", public[other], *everything)


def pppoe(lab, ns, dev, router, port):
    """The router dials in, with the kernel's PPPoE; the host is the provider: pppoe-server, which Debian builds without
    that, so there PPP is in a pseudo terminal."""
    _under(lab, ns, router)
    options = ("noauth", "noipdefault", "nodefaultroute", "+ipv6", "persist", "holdoff", "1")
    file = lab.tmp / "pppoe-server-options"
    file.write_text("noauth nodefaultroute +ipv6 ifname %s\n" % dev)
    server = ("-F", "-I", "under", "-L", INSIDE + "1", "-R", INSIDE + "2", "-N", "1", "-O", file)
    lab.start(ns, "pppoe-server", *server)
    lab.start(router, "pppd", "nodetach", "plugin", "pppoe.so", "nic-under", *options, "ifname", port)
    for where, name in ((router, port), (ns, dev)):
        shown = (where, "ip", "addr", "show", name)
        wait_for(lambda shown=shown: INSIDE in lab.run(*shown, check=False).stdout)


def _under(lab, ns, router):
    """An Ethernet link beneath; its name is the same at both ends."""
    lab.run(router, "ip", "link", "add", "under", "type", "veth", "peer", "name", "under", "netns", ns)
    for where, address in zip((router, ns), UNDER, strict=True):
        lab.run(where, "ip", "link", "set", "under", "up")
        lab.run(where, "ip", "addr", "add", address + "/24", "dev", "under")


def there_and_back(agent):
    """With Served of agent.py: the edge answers, in a bypass the cloud, then the edge again; for both protocols and
    families, and past the router's firewall."""
    lab = agent.lab
    nothing = "meta l4proto { tcp, udp } th %s 7000 drop;"
    chains = "chain c { type filter hook prerouting priority -300; %s %s }" % (nothing % "dport", nothing % "sport")
    for _ in range(2):
        assert lab.who(QUESTIONS) == ["edge"] * 4
        lab.run(lab.router, "nft", "table inet never { %s; }" % chains)
        assert lab.who(QUESTIONS) == ["edge"] * 4
        lab.run(lab.router, "nft", "delete table inet never")
        agent.call("bypass", name="echo", on=True)
        agent.becomes("cloud")
        assert lab.who(QUESTIONS) == ["cloud"] * 4
        agent.call("bypass", name="echo", on=False)
        agent.becomes("edge")


def left_alone(agent):
    """The program ends although no agent looks: what is in the kernel leaves its clients to the cloud, and the agent
    brings them back once it goes on."""
    agent.process.send_signal(signal.SIGSTOP)
    (program,) = pids_in("viscum-echo")
    os.kill(program, signal.SIGKILL)
    wait_for(lambda: not listens("viscum-echo", 7000))
    assert agent.lab.who(QUESTIONS[:2]) == ["cloud"] * 2, "TCP repeats what is lost"
    agent.lab.who(QUESTIONS[2:], timeout=0.5)
    assert agent.lab.who(QUESTIONS) == ["cloud"] * 4
    agent.process.send_signal(signal.SIGCONT)
    agent.becomes("edge")
