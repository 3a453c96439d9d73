"""What the doctor makes of a reading: one line of CASES for each thing that can be wrong with a router.

A case is a change to a healthy OpenWrt router on which `echo` takes TCP from br-lan, and what the doctor then says that
he does not say of the healthy one: (id, severity, services, a piece of the command that fixes it, a piece of the rest).
"""

from viscum_agent import doctor
from viscum_agent.config import service as model
from viscum_agent.config import uci
from viscum_agent.doctor import finding, target
from viscum_agent.doctor.machine import INCLUDES, Machine
from viscum_agent.errors import CONFIG, UNSUPPORTED, Problem
from viscum_agent.kernel import cgroup
from viscum_agent.kernel.ruleset import Chain, Flowtable, Ruleset
from viscum_agent.plan.actual import Found, Observed
from viscum_agent.records import with_
from viscum_agent.records.facts import EVERYTHING, Device, Facts
from viscum_agent.records.objects import Qdisc

MB = 1024 * 1024
ECHO = {
    "enabled": "1",
    "command": "/usr/bin/echo",
    "interface": ["lan"],
    "dest_ip": ["203.0.113.10"],
    "dest_port": ["7000"],
}
DEVICES = [
    Device("br-lan", True, 1500, "02:00:00:00:00:01", True, "02:00:00:00:00:01", "", (4, 6), False),
    Device("eth1", True, 1500, "02:00:00:00:00:02", True, "02:00:00:00:00:02", "", (4, 6), False),
    Device("phy0-ap0", True, 1500, "02:00:00:00:00:03", True, "02:00:00:00:00:01", "br-lan", (4, 6), False),
    Device("pppoe-wan", True, 1492, "", False, "", "", (4, 6), True),
    Device("can0", True, 72, "", False, "", "", (), False),
]
NAMES = {"lan": ["br-lan"], "wan": ["pppoe-wan"], "bus": ["can0"]}
HEALTHY_SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv6/conf/all/forwarding": "1",
    "net/ipv4/conf/vsc-echo/rp_filter": "0",
    "net/ipv4/conf/vsc-echo/forwarding": "1",
}
FW4 = [
    Chain("inet", "fw4", "raw_prerouting", "prerouting", True),
    Chain("inet", "fw4", "input", "input", False),
    Chain("inet", "fw4", "forward", "forward", False),
]
OURS = {"prerouting": 2, "forward": 1, "input": 1}
HEALTHY = {
    "unread": {},
    "root": True,
    "features": EVERYTHING,
    "veth": True,
    "seccomp": "",
    "groups": {},
    "files": {"/usr/bin/echo": 0o100755, "/": 0o040755},
    "accounts": {("53348", ""): ""},
    "firewall": {},
    "ruleset": Ruleset(FW4, [], OURS),
    "tables": [],
    "includes": {name: True for name in INCLUDES},
    "wed": {},
    "running": [],
    "gro_list": [],
    "sqm": [],
    "qosify": [],
    "sysctls": HEALTHY_SYSCTLS,
    "memory": (256 * MB, 128 * MB),
    "disks": {"/overlay": (16 * MB, 8 * MB), "/tmp": (128 * MB, 100 * MB)},
    "manager": "opkg",
    "interpreter": "cpython",
    "version": (3, 11),
    "library": False,
}


FOLDER = "a folder for its maps: /sys/fs/bpf/viscum-5 is not Viscum's: remove it"
READ_ONLY = "a BPF file system that it can write to (/sys/fs/bpf: Read-only file system)"


def features(*missing, lacks=""):
    return with_(EVERYTHING, lacks=lacks, **{name: False for name in missing})


def sysctls(**changes):
    """The healthy ones with changes; `__` stands for / and the values are text or None."""
    values = dict(HEALTHY_SYSCTLS)
    for key in changes:
        values[key.replace("__", "/").replace("vsc_", "vsc-")] = changes[key]
    return values


def rules(hardware=False, flow=True, **ours):
    tables = [Flowtable("fw4", "ft", ("eth1", "lan1"), hardware)] if flow else []
    counts = dict(OURS)
    counts.update(ours)
    return Ruleset(FW4, tables, counts)


def hook(device, kind, ours=False, prios=()):
    observed = Observed()
    observed.hooks[device] = kind
    if ours:
        observed.shared.append(Found(Qdisc(device), 0))
    observed.foreign_prios.update([(device, prio) for prio in prios])
    return observed


def unread(name):
    return {name: None, "unread": {name: "the reason"}}


# fmt: off
# (title, changes of the machine, changes of the service, observed or None, what is said)
CASES = [
    # The kernel
    ("no act_mirred", {"features": features("bpf", "mirred")}, {}, None,
     [("kernel-mirred", "error", "", "opkg install kmod-sched-core", "no service can run"),
      ("kernel-bpf", "note", "", "24.10", "")]),
    ("no act_mirred, 25.12", {"features": features("bpf", "mirred"), "manager": "apk"}, {}, None,
     [("kernel-mirred", "error", "", "apk add kmod-sched-core", ""), ("kernel-bpf", "note", "", "24.10", "")]),
    ("no filter for system calls", {"seccomp": "this kernel has no seccomp filters"}, {}, None,
     [("kernel-seccomp", "note", "", "CONFIG_KERNEL_SECCOMP=y", "every system call")]),
    ("no control groups", {"groups": dict.fromkeys(("memory", "cpu", "pids"), cgroup.NO_MOUNT)}, {}, None,
     [("kernel-cgroup", "note", "", "mount -t cgroup2", "memory_max or cpu_max or pids_max, and none is kept")]),
    ("no memory controller", {"groups": {"memory": "this kernel's control groups have no controller 'memory'"}}, {},
     None, [("kernel-cgroup", "note", "", "CONFIG_KERNEL_MEMCG=y", "no service can have memory_max")]),
    ("controllers of version 1", {"groups": {"cpu": "version 1 of control groups is mounted"}}, {}, None,
     [("kernel-cgroup", "note", "", "", "cpu_max")]),
    ("nothing can keep a rate", {"features": features("tbf")}, {"rate": "20mbit"}, None,
     [("kernel-tbf", "error", "echo", "kmod-sched-core", "is skipped")]),
    ("nothing can keep a rate, and nobody asks", {"features": features("tbf")}, {}, None,
     [("kernel-tbf", "note", "", "kmod-sched-core", "no service can have a rate")]),
    ("no flower", {"features": features("flower")}, {}, None,
     [("kernel-flower", "note", "", "kmod-sched-flower", "takes bpf or u32")]),
    ("no flower, and it is asked for", {"features": features("flower")}, {"datapath": "flower"}, None,
     [("kernel-flower", "error", "echo", "kmod-sched-flower", "is skipped")]),
    ("no u32, flower does it", {"features": features("u32")}, {}, None,
     [("kernel-u32", "note", "", "kmod-sched-core", "")]),
    ("neither u32 nor flower", {"features": features("bpf", "u32", "flower")}, {}, None,
     [("kernel-u32", "error", "", "kmod-sched-core", "no service can run"),
      ("kernel-bpf", "note", "", "kernel 6.6", ""),
      ("kernel-flower", "note", "", "kmod-sched-flower", "")]),
    ("no skbmod, and it is asked for", {"features": features("skbmod")}, {"rewrite": "dst", "datapath": "u32"}, None,
     [("kernel-skbmod", "error", "echo", "opkg install kmod-sched", "")]),
    ("no skbedit, and it is asked for", {"features": features("skbedit")}, {"rewrite": "both", "datapath": "u32"}, None,
     [("kernel-skbedit", "error", "echo", "kmod-sched-core", "")]),
    ("no nft redirect, nobody needs it", {"features": features("nat")}, {}, None,
     [("kernel-nat", "note", "", "kmod-nft-nat", "")]),
    ("no nft redirect, and it is needed", {"features": features("nat")}, {"target_port": "80"}, None,
     [("kernel-nat", "error", "echo", "kmod-nft-nat", "")]),
    ("nothing can keep a program in", {"features": features("guard")}, {}, None,
     [("kernel-guard", "error", "echo", "egress 'any'", "is skipped")]),
    ("nothing can keep a program in, nor has to", {"features": features("guard")}, {"egress": "any"}, None,
     [("kernel-guard", "note", "", "22.03", "not 'any'")]),
    ("no eBPF", {"features": features("bpf")}, {}, None,
     [("kernel-bpf", "note", "", "24.10", "takes flower or u32")]),
    ("no eBPF, for want of a module", {"features": features("bpf", lacks="tcx and cls_bpf (kmod-sched-bpf)")}, {},
     None, [("kernel-bpf", "note", "", "opkg update && opkg install kmod-sched-bpf", "hook: lacks tcx and cls_bpf")]),
    ("no eBPF, for want of a file system", {"features": features("bpf", lacks="a BPF file system (/x)")}, {},
     None, [("kernel-bpf", "note", "", "24.10", "hook: lacks a BPF file system")]),
    ("no eBPF, for somebody else's folder is in the way", {"features": features("bpf", lacks=FOLDER)}, {},
     None, [("kernel-bpf", "note", "", "rm -r /sys/fs/bpf/viscum-5 && /etc/init.d/viscum reload", "not Viscum's")]),
    ("no eBPF, for its file system is read-only", {"features": features("bpf", lacks=READ_ONLY)}, {},
     None, [("kernel-bpf", "note", "", "mount -o remount,rw /sys/fs/bpf &&", "it can write to")]),
    ("no eBPF, and it is asked for", {"features": features("bpf")}, {"datapath": "bpf"}, None,
     [("kernel-bpf", "error", "echo", "24.10", "is skipped")]),
    ("no act_mirred, bpf needs none", {"features": features("mirred")}, {}, None,
     [("kernel-mirred", "note", "", "kmod-sched-core", "'u32' can't run")]),
    ("no act_mirred, and it is needed", {"features": features("mirred")}, {"datapath": "u32"}, None,
     [("kernel-mirred", "error", "echo", "kmod-sched-core", "is skipped")]),
    ("no skbmod, bpf needs none", {"features": features("skbmod")}, {"rewrite": "dst"}, None,
     [("kernel-skbmod", "note", "", "kmod-sched", "")]),
    ("no veth", {"veth": False}, {}, None,
     [("kernel-veth", "error", "", "kmod-veth", "")]),
    ("no network namespaces", unread("features"), {}, None,
     [("kernel", "error", "", "CONFIG_KERNEL_NET_NS", "the reason")]),
    # The programs
    ("no program", {"files": {"/usr/bin/echo": None, "/": 0o040755}}, {}, None,
     [("program", "error", "echo", "opkg list '*echo*'", "/usr/bin/echo")]),
    ("no program, 25.12", {"files": {"/usr/bin/echo": None, "/": 0o040755}, "manager": "apk"}, {}, None,
     [("program", "error", "echo", "apk search echo", "")]),
    ("a program that is a directory", {"files": {"/usr/bin/echo": 0o040755, "/": 0o040755}}, {}, None,
     [("program", "error", "echo", "", "not a file")]),
    ("a program that is not executable", {"files": {"/usr/bin/echo": 0o100644, "/": 0o040755}}, {}, None,
     [("program", "error", "echo", "chmod +x /usr/bin/echo", "")]),
    ("no program for the check",
     {"files": {"/usr/bin/echo": 0o100755, "/usr/bin/ask": None, "/": 0o040755}},
     {"healthcheck": "exec", "health_command": "/usr/bin/ask"}, None,
     [("program", "error", "echo", "*ask*", "")]),
    ("a program in a root of its own, where only `viscum check` looks", {"files": {}},
     {"root": "/srv/app", "command": ("/bin/onlyhere",), "workdir": "/data"}, None, []),
    ("no workdir", {"files": {"/usr/bin/echo": 0o100755, "/data": None}}, {"workdir": "/data"}, None,
     [("workdir", "error", "echo", "mkdir -p /data", "")]),
    ("no such account", {"accounts": {("ghost", ""): "user: there is no account 'ghost' in /etc/passwd"}},
     {"user": "ghost"}, None,
     [("account", "error", "echo", "uci delete viscum.echo.user\nuci commit viscum && reload_config", "ghost")]),
    ("no such group", {"accounts": {("53348", "ghost"): "group: there is no group 'ghost' in /etc/group"}},
     {"group": "ghost"}, None,
     [("account", "error", "echo", "uci delete viscum.echo.group\nuci commit viscum && reload_config", "ghost")]),
    # Forwarding and rp_filter
    ("IPv4 is not forwarded", {"sysctls": sysctls(net__ipv4__ip_forward="0")}, {}, None,
     [("ip-forward", "note", "echo", "net.ipv4.ip_forward=1", "in a bypass")]),
    ("IPv4 is not forwarded from the service", {"sysctls": sysctls(net__ipv4__conf__vsc_echo__forwarding="0")}, {},
     None, [("ip-forward", "error", "echo", "net.ipv4.conf.vsc-echo.forwarding=1", "dropped")]),
    ("IPv6 is not forwarded, nobody needs it", {"sysctls": sysctls(net__ipv6__conf__all__forwarding="0")}, {}, None,
     [("ipv6-forward", "note", "", "", "")]),
    ("IPv6 is not forwarded, and it is needed", {"sysctls": sysctls(net__ipv6__conf__all__forwarding="0")},
     {"dest_ip": ["2001:db8::1"]}, None,
     [("ipv6-forward", "error", "echo", "net.ipv6.conf.all.forwarding=1", "")]),
    ("no IPv6 in the kernel", {"sysctls": sysctls(net__ipv6__conf__all__forwarding=None)}, {}, None,
     [("ipv6-forward", "note", "", "", "no IPv6")]),
    ("strict reverse path filter on the service's device",
     {"sysctls": sysctls(net__ipv4__conf__vsc_echo__rp_filter="1")}, {}, None,
     [("rp-filter", "error", "echo", "net.ipv4.conf.vsc-echo.rp_filter=0", "dropped")]),
    ("strict reverse path filter everywhere, the device has 0",
     {"sysctls": sysctls(net__ipv4__conf__all__rp_filter="1")}, {}, None,
     [("rp-filter", "error", "echo", "net.ipv4.conf.vsc-echo.rp_filter=2", "")]),
    ("strict reverse path filter everywhere, the device is loose",
     {"sysctls": sysctls(net__ipv4__conf__all__rp_filter="1", net__ipv4__conf__vsc_echo__rp_filter="2")}, {}, None,
     [("rp-filter", "note", "echo", "", "strict everywhere")]),
    ("strict reverse path filter everywhere, the service is down",
     {"sysctls": sysctls(net__ipv4__conf__all__rp_filter="1", net__ipv4__conf__vsc_echo__rp_filter=None)}, {}, None,
     [("rp-filter", "note", "echo", "", "strict everywhere")]),
    # The firewall
    ("the firewall was loaded before the package came", {"ruleset": rules(flow=False, prerouting=0, forward=0)},
     {"datapath": "u32"}, None,
     [("firewall", "error", "echo", "/etc/init.d/firewall reload", "were loaded before"),
      ("firewall", "error", "echo", "/etc/init.d/firewall reload", INCLUDES[1])]),
    ("likewise, but replies of eBPF go past the firewall", {"ruleset": rules(flow=False, prerouting=0, forward=0)},
     {"datapath": "bpf"}, None, [("firewall", "note", "", "", "no enabled service needs")]),
    ("likewise, auto is bpf", {"ruleset": rules(flow=False, prerouting=0, forward=0)}, {}, None,
     [("firewall", "note", "", "", "no enabled service needs")]),
    ("likewise, auto is u32", {"ruleset": rules(flow=False, forward=0), "features": features("bpf", "flower")}, {},
     None, [("firewall", "error", "echo", "firewall reload", INCLUDES[1]), ("kernel-bpf", "note", "", "24.10", ""),
      ("kernel-flower", "note", "", "kmod-sched-flower", "")]),
    ("likewise, but not to clients at the port of a bridge", {"ruleset": rules(flow=False, forward=0)},
     {"interface": None, "device": ["phy0-ap0"]}, None,
     [("firewall", "error", "echo", "firewall reload", INCLUDES[1]), ("neighbours", "ok", "", "", "")]),
    ("auto_includes is off", {"ruleset": rules(flow=False, forward=0), "firewall": {"auto_includes": "0"}},
     {"datapath": "u32"}, None, [("firewall", "error", "echo", "auto_includes='1'", "auto_includes '0'")]),
    ("auto_includes is off, and the rules are in by hand", {"firewall": {"auto_includes": "0"}}, {}, None, []),
    ("an include is gone", {"ruleset": rules(flow=False, forward=0),
                            "includes": {name: name != INCLUDES[1] for name in INCLUDES}}, {"datapath": "u32"}, None,
     [("firewall", "error", "echo", "--force-reinstall viscum-cpython ", "which is not installed")]),
    ("an include is gone, MicroPython and 25.12",
     {"ruleset": rules(flow=False, forward=0), "includes": {name: name != INCLUDES[1] for name in INCLUDES},
      "manager": "apk", "interpreter": "micropython", "version": (1, 23)}, {"datapath": "flower"}, None,
     [("firewall", "error", "echo", "apk fix viscum", ""), ("interpreter", "ok", "", "", "MicroPython 1.23")]),
    ("only the include for IPv6 neighbours is not loaded", {"ruleset": rules(flow=False, input=0)},
     {"dest_ip": ["2001:db8::1"]}, None, [("firewall", "warning", "echo", "firewall reload", "IPv6")]),
    ("likewise, and nobody takes over IPv6", {"ruleset": rules(flow=False, input=0)}, {"datapath": "u32"}, None,
     [("firewall", "note", "", "", "no enabled service needs")]),
    ("no firewall at all", {"ruleset": Ruleset([], [], {})}, {}, None,
     [("firewall", "ok", "", "", "none is loaded")]),
    ("somebody else's firewall that lets everything pass",
     {"ruleset": Ruleset([Chain("ip", "docker", "fwd", "forward", True)], [], {})}, {"datapath": "u32"}, None,
     [("firewall", "note", "echo", "", "docker")] * 2),
    ("somebody else's firewall that drops",
     {"ruleset": Ruleset([Chain("ip", "mine", "fwd", "forward", False)], [], {})}, {"datapath": "u32"}, None,
     [("firewall", "warning", "echo", "put the rules of", "mine")] * 2),
    ("legacy iptables", {"ruleset": Ruleset([], [], {}), "tables": ["nat", "filter"]}, {}, None,
     [("firewall", "note", "", "", "legacy iptables")]),
    ("the firewall can't be read", unread("ruleset"), {}, None,
     [("firewall", "note", "", "", "could not be read: the reason"),
      ("flow-offloading", "note", "", "", "the flow tables could not be read: the reason")]),
    # Devices
    ("PPPoE, which eBPF takes", {}, {"interface": ["wan"]}, None, []),
    ("PPPoE, which only eBPF takes", {}, {"interface": ["wan"], "datapath": "flower"}, None,
     [("l3-device", "error", "echo", "uci set viscum.echo.datapath='bpf'\nuci commit", "pppoe-wan")]),
    ("PPPoE, and no eBPF", {"features": features("bpf")}, {"interface": ["wan"]}, None,
     [("kernel-bpf", "note", "", "24.10", ""),
      ("l3-device", "error", "echo",
       "delete viscum.echo.interface\nuci add_list viscum.echo.interface='lan'\nuci commit", "pppoe-wan")]),
    ("PPPoE by its device, and no eBPF", {"features": features("bpf")},
     {"interface": None, "device": ["pppoe-wan"]}, None,
     [("kernel-bpf", "note", "", "24.10", ""),
      ("l3-device", "error", "echo", "uci -q delete viscum.echo.device\n", "pppoe-wan")]),
    ("PPPoE beside the LAN, and no eBPF", {"features": features("bpf")}, {"interface": ["lan", "wan"]}, None,
     [("kernel-bpf", "note", "", "24.10", ""),
      ("l3-device", "note", "echo", "", "pppoe-wan")]),
    ("neither Ethernet nor IP", {}, {"interface": ["bus"]}, None,
     [("l3-device", "error", "echo", "interface='lan'", "can0")]),
    # What goes past Viscum
    ("flow offloading in software", {"ruleset": rules(), "firewall": {"flow_offloading": "1"}}, {}, None,
     [("flow-offloading", "note", "", "", "harmless")]),
    ("flow offloading in hardware", {"ruleset": rules(hardware=True)}, {}, None,
     [("flow-offloading", "warning", "echo", "flow_offloading_hw='0'", "eth1 lan1")]),
    ("flow offloading in hardware, which the kernel refused",
     {"ruleset": rules(), "firewall": {"flow_offloading": "1", "flow_offloading_hw": "1"}}, {}, None,
     [("flow-offloading", "note", "", "", "falls back")]),
    ("flow offloading, but the firewall was not loaded again", {"firewall": {"flow_offloading": "1"}}, {}, None,
     [("flow-offloading", "note", "", "", "configured in software, but there is no flow table")]),
    ("flow offloading in hardware, but the firewall was not loaded again",
     {"firewall": {"flow_offloading": "1", "flow_offloading_hw": "1"}}, {}, None,
     [("flow-offloading", "note", "", "", "configured in hardware, but there is no flow table")]),
    ("flow offloading in hardware is configured, and the flow tables can't be read",
     {"firewall": {"flow_offloading": "1", "flow_offloading_hw": "1"}, "ruleset": None, "unread": {"ruleset": "why"}},
     {}, None,
     [("firewall", "note", "", "", "why"), ("flow-offloading", "note", "", "", "configured in hardware; ")]),
    ("no package manager", {"features": features("flower"), "manager": ""}, {}, None,
     [("kernel-flower", "note", "", "install kmod-sched-flower (opkg install, on OpenWrt 25.12 apk add)", "")]),
    ("hardware alone is not flow offloading", {"firewall": {"flow_offloading_hw": "1"}}, {}, None, []),
    ("WED with flow offloading in hardware", {"wed": {"mt7915e": True}, "ruleset": rules(hardware=True)}, {}, None,
     [("flow-offloading", "warning", "echo", "flow_offloading_hw='0'", ""),
      ("wed", "warning", "echo", "wed_enable=N", "mt7915e")]),
    ("WED alone", {"wed": {"mt7915e": True}}, {}, None, [("wed", "note", "", "", "does nothing")]),
    ("WED is off", {"wed": {"mt7915e": False}}, {}, None, []),
    ("bridger", {"running": ["bridger"]}, {}, None, [("bridger", "note", "", "", "harmless")]),
    ("bridger, and a service on the port of a bridge", {"running": ["bridger"]},
     {"interface": None, "device": ["phy0-ap0"]}, None,
     [("bridger", "warning", "echo", "blacklist='phy0-ap0'", ""), ("neighbours", "ok", "", "", "phy0-ap0")]),
    ("rx-gro-list", {"gro_list": ["eth1"]}, {}, None,
     [("rx-gro-list", "note", "echo", "ethtool -K eth1 rx-gro-list off   # package ethtool", "")]),
    ("rx-gro-list can't be read", unread("gro_list"), {}, None,
     [("rx-gro-list", "note", "", "", "could not be read")]),
    # Neighbours
    ("SQM shares the hook", {"sqm": ["br-lan"]}, {}, hook("br-lan", "ingress", prios=[10]),
     [("sqm", "note", "echo", "", "not shaped"), ("ingress", "note", "echo", "", "prio 10")]),
    ("SQM is kept out by our clsact", {"sqm": ["br-lan"]}, {}, hook("br-lan", "clsact", ours=True),
     [("sqm", "warning", "echo",
       "/etc/init.d/viscum stop && /etc/init.d/sqm restart && /etc/init.d/viscum start", "clsact")]),
    ("SQM on another device", {"sqm": ["eth1"]}, {}, None, []),
    ("SQM's configuration can't be read", unread("sqm"), {}, None, [("sqm", "note", "", "", "the reason")]),
    ("qosify by its interface", {"qosify": ["lan"], "running": ["qosify"]}, {}, None,
     [("qosify", "note", "echo", "", "qosify shapes br-lan")]),
    ("qosify by its device, not running", {"qosify": ["br-lan"]}, {}, None,
     [("qosify", "note", "echo", "", "is configured for")]),
    ("somebody's filter in a prio of ours", {}, {}, hook("br-lan", "clsact", prios=[2, 300]),
     [("ingress", "error", "echo", "tc filter show dev br-lan ingress", ": 2")]),
    ("somebody's clsact", {}, {}, hook("br-lan", "clsact"), [("ingress", "note", "echo", "", "shares it")]),
    ("our clsact", {}, {}, hook("br-lan", "clsact", ours=True), []),
    ("somebody's hook on another device", {}, {}, hook("eth1", "clsact", prios=[1]), []),
    # The machine
    ("not root", {"root": False, "features": None, "unread": {"features": "EPERM"}}, {}, None,
     [("root", "warning", "", "run it as root", ""), ("kernel", "note", "", "", "needs root")]),
    ("little memory left", {"memory": (256 * MB, 12 * MB)}, {}, None, [("memory", "warning", "", "ps", "12 MB")]),
    ("little memory left, enough for MicroPython",
     {"memory": (256 * MB, 12 * MB), "interpreter": "micropython", "version": (1, 23)}, {}, None,
     [("memory", "ok", "", "", "12 MB"), ("interpreter", "ok", "", "", "")]),
    ("a small router", {"memory": (60 * MB, 30 * MB)}, {}, None,
     [("memory", "note", "", "", "viscum does the same in a third")]),
    ("memory can't be read", unread("memory"), {}, None, [("memory", "note", "", "", "the reason")]),
    ("flash is full", {"disks": {"/overlay": (16 * MB, 0)}}, {}, None,
     [("flash", "warning", "", "du -ax /overlay", "0 kB")]),
    ("the oldest MicroPython", {"interpreter": "micropython", "version": (1, 23)}, {}, None,
     [("interpreter", "ok", "", "", "MicroPython 1.23")]),
    ("the newest MicroPython", {"interpreter": "micropython", "version": (1, 28)}, {}, None,
     [("interpreter", "ok", "", "", "MicroPython 1.28")]),
    ("an older MicroPython, OpenWrt 23.05's", {"interpreter": "micropython", "version": (1, 20)}, {}, None,
     [("interpreter", "warning", "", "24.10 or newer, which has 1.23", "(1.23 to 1.28)")]),
    ("a newer MicroPython than any that was tried", {"interpreter": "micropython", "version": (1, 29)}, {}, None,
     [("interpreter", "note", "", "", "is newer than what Viscum is tested with (1.23 to 1.28)")]),
    ("an older CPython", {"version": (3, 10)}, {}, None,
     [("interpreter", "warning", "", "24.10 or newer, which has 3.11", "(3.11 to 3.15)")]),
    ("a newer CPython", {"version": (3, 16)}, {}, None, [("interpreter", "note", "", "", "is newer")]),
]
# fmt: on


def machine(changes):
    values = dict(HEALTHY)
    values.update(changes)
    return Machine(**values)


def configuration(changes, settings=()):
    options = dict(ECHO)
    options.update(changes)
    options = {name: options[name] for name in options if options[name] is not None}
    sections = [uci.Section("service", "echo", False, options, 1)]
    sections += [uci.Section("globals", "globals", False, dict([pair]), 1) for pair in settings]
    return model.read(sections)


def facts():
    return Facts(DEVICES, [], [], NAMES, {}, [], 0, True, True, EVERYTHING, {}, {}, {}, {}, {}, {}, {})


def findings(changes=(), service=(), observed=None, settings=(), problems=()):
    read = configuration(dict(service), settings)
    assert not read.problems, read.problems
    chosen = target.targets(read, facts())
    return doctor.judge(machine(dict(changes)), chosen, read.settings, observed or Observed(), NAMES, list(problems))


def fits(said, wanted):
    identity, severity, services, fix, rest = wanted
    return (
        (said.id, said.severity, ", ".join(said.services)) == (identity, severity, services)
        and fix in said.fix
        and bool(fix) == bool(said.fix)
        and rest in said.found + " " + said.means
    )


def test_netkit_is_missed_only_where_a_service_would_take_it():
    without = {"features": features("netkit")}
    would = {"pair": "auto"}

    def said_of(changes, service):
        return [each for each in findings(changes, service) if each.id == "kernel-netkit"]

    for service in ({}, {"pair": "veth"}, {"pair": "auto", "reply": "routed"}, {"pair": "auto", "datapath": "flower"}):
        assert not said_of(without, service), service
    assert not said_of({"features": features("netkit", "tcx")}, would), "no kernel before 6.6 has it: tcx is missed"
    (said,) = said_of(without, would)
    assert (said.id, said.severity, said.services) == ("kernel-netkit", "note", ("echo",))
    assert "takes veth" in said.means and "CONFIG_NETKIT=y" in said.fix


def test_of_a_healthy_router_everything_is_ok():
    assert not finding.trouble(findings())
    features = (
        "eBPF programs at an ingress hook, tcx, cls_flower, cls_u32 at an ingress hook, act_mirred, act_skbmod, "
        "act_skbedit, nft's ingress hook, nft redirect, nft's ingress hook in the inet family, sch_tbf, veth, netkit"
    )
    assert [(each.severity, each.id, each.found) for each in findings()] == [
        ("ok", "kernel", "has " + features),
        ("ok", "programs", "every enabled service has its program and its account"),
        ("ok", "forwarding", "on"),
        ("ok", "rp-filter", "off on the way of the replies"),
        ("ok", "firewall", "has loaded Viscum's rules, in table fw4"),
        ("ok", "flow-offloading", "off"),
        ("ok", "rx-gro-list", "off where services take traffic from"),
        ("ok", "neighbours", "nothing else uses the ingress of br-lan"),
        ("ok", "memory", "128 MB of 256 MB available"),
        ("ok", "flash", "/overlay: 8192 kB of 16 MB free"),
        ("ok", "tmp", "/tmp: 100 MB of 128 MB free"),
        ("ok", "interpreter", "CPython 3.11"),
    ]


def test_each_thing_that_is_wrong_is_found_and_nothing_else():
    for title, changes, service, observed, wanted in CASES:
        asked = {"datapath": service["datapath"]} if "datapath" in service else {}
        healthy = findings() + findings({}, asked)
        said = [each for each in findings(changes, service, observed) if each not in healthy]
        left = list(said)
        for each in wanted:
            found = [one for one in left if fits(one, each)]
            assert found, (title, each, said)
            left.remove(found[0])
        assert [each for each in left if each.severity != "ok"] == [], (title, left)


def test_a_service_that_could_have_its_icmp_errors_and_sources_looked_at_is_named():
    asked = ({}, "u32", True), ({}, "flower", True), ({}, "auto", False), ({"features": features("bpf")}, "u32", False)
    for changes, name, there in asked:
        said = {
            each.id: each for each in findings(changes, {"datapath": name}) if each.id in ("icmp-errors", "sources")
        }
        assert len(said) == (2 if there else 0), (name, said)
        if there:
            assert "smaller MTU" in said["icmp-errors"].means and "option mtu" in said["icmp-errors"].fix
            assert "forges" in said["sources"].means and "'bpf'" in said["sources"].fix
            assert said["icmp-errors"].services == said["sources"].services == ("echo",)


def test_of_two_services_only_the_one_that_is_touched_is_named():
    """`other` takes UDP over IPv6 from eth1, with its own program and account."""
    other = {"user": "www", "command": "/usr/bin/other", "proto": ["udp"], "interface": None, "device": ["eth1"]}
    other["dest_ip"] = ["2001:db8::1"]
    files = {"/usr/bin/echo": 0o100755, "/usr/bin/other": None, "/": 0o040755}
    accounts = {("53348", ""): "", ("www", ""): "user: there is no account 'www' in /etc/passwd"}
    values = sysctls(net__ipv4__ip_forward="0", net__ipv6__conf__all__forwarding="0")
    changes = {"files": files, "accounts": accounts, "sysctls": values, "qosify": ["eth1"], "sqm": ["br-lan"]}
    read = [configuration({}), configuration(other)]
    services = [read[0].services[0], model.Service("other", *list(read[1].services[0])[1:])]
    both = model.Configuration(read[0].settings, services, [], [], [], {})
    chosen = target.targets(both, facts())
    said = doctor.judge(machine(changes), chosen, both.settings, hook("eth1", "clsact"), NAMES, [])
    assert sorted([(each.id, each.services) for each in said if each.services]) == [
        ("account", ("other",)),
        ("ingress", ("other",)),
        ("ip-forward", ("echo",)),
        ("ipv6-forward", ("other",)),
        ("program", ("other",)),
        ("qosify", ("other",)),
        ("sqm", ("echo",)),
    ]


def test_a_command_fixes_it_for_every_service_that_is_touched():
    options = {"user": "ghost", "interface": ["bus"]}
    accounts = {("ghost", ""): "user: there is no account 'ghost' in /etc/passwd"}
    read = configuration(options)
    other = model.Service("other", *list(read.services[0])[1:])
    both = model.Configuration(read.settings, [read.services[0], other], [], [], [], {})
    chosen = target.targets(both, facts())
    said = doctor.judge(machine({"accounts": accounts}), chosen, both.settings, Observed(), NAMES, [])
    fixes = {each.id: each.fix.split("\n") for each in said if each.severity == "error"}
    assert fixes["account"] == [
        "uci delete viscum.echo.user",
        "uci delete viscum.other.user",
        "uci commit viscum && reload_config",
    ]
    for name in ("echo", "other"):
        assert "uci add_list viscum.%s.interface='lan'" % name in fixes["l3-device"]


def test_without_an_enabled_service_that_is_said():
    said = [each for each in findings({}, {"enabled": "0"}) if each.id == "configuration"]
    assert [(each.severity, each.found) for each in said] == [("note", "no service is enabled")]


def test_after_an_installation_there_is_nothing_to_fix():
    """The firewall's includes are there, and firewall4 has not read them yet: no service is enabled."""
    for ours in ({}, {"input": 1}):
        for chains in (FW4, [Chain("ip", "mine", "fwd", "forward", False)]):
            said = findings({"ruleset": Ruleset(chains, [], ours)}, {"enabled": "0"})
            assert not finding.trouble(said), said
            assert [each.severity for each in said if each.id == "firewall"] == ["note"]


def test_a_service_that_is_not_enabled_has_no_findings():
    changes = {"files": {}, "accounts": {}, "gro_list": ["eth1"]}
    assert not finding.trouble(findings(changes, {"enabled": "0"}))


def test_what_could_not_be_read_is_never_ok():
    for name in ("features", "veth", "firewall", "ruleset", "running", "gro_list", "sqm", "qosify", "memory"):
        changes = {name: None, "unread": {name: "the reason"}}
        if name == "firewall":
            changes["ruleset"] = None
            changes["unread"]["ruleset"] = "the reason"
        said = [each for each in findings(changes) if "the reason" in each.found]
        assert said and all(each.severity != "ok" for each in said), name


def test_a_service_whose_open_connections_are_reset_although_they_need_not_be_is_named():
    for changes, asked, there in (
        ({}, "u32", True),
        ({}, "flower", True),
        ({}, "auto", False),
        ({"features": features("bpf")}, "u32", False),
    ):
        said = [each for each in findings(changes, {"datapath": asked}) if each.id == "connections"]
        assert bool(said) == there, (asked, said)
        for each in said:
            assert each.services == ("echo",) and "are reset" in each.means and "'bpf' or 'auto'" in each.fix


def test_the_worst_comes_first_and_the_last_line_counts():
    said = findings({"features": features("bpf", "mirred", "flower"), "running": ["bridger"], "memory": (256 * MB, 1)})
    assert [each.severity for each in said][:2] == ["error", "warning"]
    lines = finding.text(said).split("\n")
    assert lines[0].startswith("error    kernel-mirred: has no act_mirred")
    assert lines[-1].startswith("1 error, 1 warning, 3 notes, "), lines[-1]


def test_lines_are_short_and_commands_are_whole():
    said = findings({"features": features("mirred"), "wed": {"mt7915e": True}, "ruleset": rules(hardware=True)})
    lines = finding.text(said).split("\n")
    assert all(len(line) <= 100 for line in lines if "do: " not in line)
    assert "         do: opkg update && opkg install kmod-sched-core" in lines


def test_a_command_of_several_lines_is_shown_line_by_line():
    said = finding.text([finding.error("x", "found", "means", (), "one\ntwo")])
    assert said == "error    x: found\n         means\n         do: one\n         do: two\n1 error"


def test_json_has_every_field():
    said = finding.dicts([finding.error("x", "found", "means", ("a", "b"), "do")])
    assert said == [
        {"id": "x", "severity": "error", "found": "found", "means": "means", "services": ["a", "b"], "fix": "do"}
    ]


def test_pyroute2_that_is_not_there_is_an_error():
    said = [each for each in findings(settings=[("netlink", "pyroute2")]) if each.id == "netlink"][0]
    assert said.severity == "error" and "opkg install python3-pyroute2" in said.fix
    assert said.fix.startswith("uci set viscum.@globals[0].netlink='native'\nuci commit viscum && reload_config\n")
    assert not [
        each for each in findings({"library": True}, settings=[("netlink", "pyroute2")]) if each.id == "netlink"
    ]
    micro = {"interpreter": "micropython", "version": (1, 25)}
    said = [each for each in findings(micro, settings=[("netlink", "pyroute2")]) if each.id == "netlink"][0]
    assert said.severity == "error" and "python3-pyroute2" not in said.fix and "'native'" in said.fix


def test_problems_of_the_configuration_are_told_too():
    bad = Problem(CONFIG, "web", "viscum.web.dest_port", "'70000' is not a port")
    soft = Problem(CONFIG, "", "viscum.echo", "something")
    said = [each for each in findings(problems=[bad, soft]) if each.id == "configuration"]
    assert [(each.severity, each.services) for each in said] == [("error", ("web",)), ("warning", ())]
    assert said[0].found == "viscum.web.dest_port: '70000' is not a port"


def test_a_problem_that_the_doctor_has_found_himself_is_told_once():
    known = Problem(UNSUPPORTED, "echo", "viscum.echo.datapath", "needs cls_flower")
    changes = {"features": features("flower")}
    said = findings(changes, {"datapath": "flower"}, problems=[known])
    assert [each.id for each in said if each.severity == "error"] == ["kernel-flower"]
    said = findings({}, {}, problems=[known])
    assert [each.id for each in said if each.severity == "error"] == ["configuration"]


def test_globals_disabled_is_told_and_no_service_is_judged():
    said = findings({"files": {}, "accounts": {}}, settings=[("enabled", "0")])
    assert [each.found for each in said if each.id == "configuration"] == ["option enabled '0' in globals"]
    assert not finding.trouble(said)
