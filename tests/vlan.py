"""VLANs of a lab, on kernels without devices for them: hosts whose frames get a tag, and lose it, by eBPF programs.

A trunk of the router carries what several of them send. What comes to them without their tag is dropped.
"""

import sys

from bare import QUESTIONS
from lab import inside, ip, ips, mac

from viscum_agent.compat import fd_close
from viscum_agent.ebpf.assembler import R0, R1, R2, R3, R6, Assembler
from viscum_agent.ebpf.program import (
    DROP,
    ETH_8021Q,
    NEXT,
    SKB_VLAN_TCI,
    VLAN_POP,
    VLAN_PUSH,
)
from viscum_agent.kernel import bpf_syscall as call

PROG_ATTACH, TCX_EGRESS = 8, 47  # linux/bpf.h; what is attached so stays until its device goes
NETWORK, NETWORK6 = "192.168.77.", "2001:db8:77::"


def tag(ns, vlan):
    """From now on a host's eth0 has a VLAN."""
    index = int(ip("-n", ns, "-o", "link", "show", "eth0").split(":")[0])
    with inside(ns):
        for make, where in ((_push, TCX_EGRESS), (_pop, call.TCX_INGRESS)):
            program = call.prog_load(make(vlan), "tag")
            call._call(PROG_ATTACH, "IIIIIIQ", index, program, where, 0, 0, 0, 0)
            fd_close(program)


def _push(vlan):
    asm = Assembler(sys.byteorder)
    asm.number(R2, asm.network16(ETH_8021Q))
    asm.number(R3, vlan)
    asm.call(VLAN_PUSH)
    asm.number(R0, NEXT)
    asm.leave()
    return asm.code()


def _pop(vlan):
    asm = Assembler(sys.byteorder)
    asm.move(R6, R1)
    asm.load(R0, R6, SKB_VLAN_TCI, 4)
    asm.mask(R0, 0xFFF)
    asm.jump_if(R0, "!=", vlan, "drop")
    asm.move(R1, R6)
    asm.call(VLAN_POP)
    asm.number(R0, NEXT)
    asm.leave()
    asm.label("drop")
    asm.number(R0, DROP)
    asm.leave()
    return asm.code()


def through(lab, vlan):
    """The router only passes frames on: its lan0 and wan0 are ports of a bridge, without an address, and the client's
    gateway is behind the other one: the cloud, in the same VLAN."""
    words = ("addr flush dev %s", "link set %s master br-lan")
    lines = [line % port for port in ("lan0", "wan0") for line in words]
    ips(lab.router, ["link add br-lan type bridge", "link set br-lan up", *lines])
    ip("-n", lab.cloud, "addr", "add", NETWORK + "1/24", "dev", "eth0")
    ip("-n", lab.cloud, "addr", "add", NETWORK6 + "1/64", "dev", "eth0", "nodad")
    for ns in (lab.client, lab.cloud):
        tag(ns, vlan)


def behind_a_switch(lab, vlans):
    """The first client of the lab becomes a switch at lan0, and each other one a host there with a VLAN of `vlans`, 0
    for none. All of them have the same addresses, and the router is the gateway of all."""
    switch, gateway = lab.client, mac(lab.router, "lan0")
    ip("-n", switch, "addr", "flush", "dev", "eth0")
    ip("-n", switch, "link", "add", "switch", "type", "bridge")
    for dev in ("switch", "eth0"):
        ip("-n", switch, "link", "set", dev, "up", *(("master", "switch") if dev == "eth0" else ()))
    for number, vlan in enumerate(vlans, 1):
        ns, port = lab.clients[number], "port%d" % number
        ip("-n", lab.router, "link", "del", "lan%d" % number)
        ip("-n", switch, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", ns)
        ip("-n", switch, "link", "set", port, "up", "master", "switch")
        for family, network, length in (("-4", NETWORK, "/24"), ("-6", NETWORK6, "/64")):
            nodad = ("nodad",) if family == "-6" else ()
            ip("-n", ns, "addr", "add", network + "2" + length, "dev", "eth0", *nodad)
            ip("-n", ns, "link", "set", "eth0", "up")
            ip("-n", ns, family, "route", "replace", "default", "via", network + "1", "dev", "eth0")
            if vlan:
                ip("-n", ns, "neigh", "replace", network + "1", "lladdr", gateway, "dev", "eth0", "nud", "permanent")
        if vlan:
            tag(ns, vlan)


def asked(lab, ns, sport):
    """Who answers each question of a host, whose port is always the same one."""
    return [lab.ask(*question, ns, 10, sport)[0] for question in QUESTIONS]
