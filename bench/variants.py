"""The ways in which a client's packets reach a program, each made in a lab of its own, for bench/datapath.py."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import datapaths
from firewall import start_firewall
from lab import ROOT, Lab, ip, run, service
from traffic import PORT, PacketPath

Variant = Callable[[Lab], PacketPath]

ADDRESS = "203.0.113.10"
NAME = "bench"

# The chains that Docker makes ("Packet filtering and firewalls" in its manual) for docker run -p 7000:7000, and what a
# router adds so that firewall4 forwards the bridge.
DOCKER = """
table ip docker {
    chain prerouting {
        type nat hook prerouting priority dstnat; policy accept;
        fib daddr type local jump published
    }
    chain output {
        type nat hook output priority -100; policy accept;
        ip daddr != 127.0.0.0/8 fib daddr type local jump published
    }
    chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        oifname != "docker0" ip saddr 172.17.0.0/16 counter masquerade
    }
    chain published {
        iifname "docker0" counter return
        iifname != "docker0" meta l4proto { tcp, udp } th dport PORT counter dnat to 172.17.0.2:PORT
    }
    chain user {
        counter return
    }
    chain isolation_2 {
        oifname "docker0" counter drop
        counter return
    }
    chain isolation_1 {
        iifname "docker0" oifname != "docker0" counter jump isolation_2
        counter return
    }
    chain forward {
        type filter hook forward priority filter; policy accept;
        counter jump user
        counter jump isolation_1
        oifname "docker0" ct state related,established counter accept
        oifname "docker0" ip daddr 172.17.0.2 meta l4proto { tcp, udp } th dport PORT counter accept
        iifname "docker0" oifname != "docker0" counter accept
        iifname "docker0" oifname "docker0" counter accept
    }
}
insert rule inet fw4 forward iifname "docker0" accept
insert rule inet fw4 forward oifname "docker0" accept
""".replace("PORT", str(PORT))


def firewall(lab: Lab) -> None:
    """firewall4's rules as it ships them, without flow offloading, and without its limit of 25 new connections a second
    to the router itself: that one would end the comparison of how many there can be."""
    start_firewall(lab, "default", offload=False)
    lab.run(lab.router, "nft", "flush", "chain", "inet", "fw4", "syn_flood")


def native(lab: Lab) -> PacketPath:
    """The program on the router itself: the address is one of the router's."""
    ip("-n", lab.router, "addr", "add", ADDRESS + "/32", "dev", "lo")
    return PacketPath(lab, lab.client, lab.router, ADDRESS, "lan0", ADDRESS)


def native_firewall(lab: Lab) -> PacketPath:
    path = native(lab)
    firewall(lab)
    return path


def routed(lab: Lab) -> PacketPath:
    """The program one hop further, in a namespace that the router routes to, as it does to the cloud."""
    return PacketPath(lab, lab.client, lab.cloud, ADDRESS, "eth0", ADDRESS)


def routed_firewall(lab: Lab) -> PacketPath:
    path = routed(lab)
    firewall(lab)
    return path


def docker(lab: Lab) -> PacketPath:
    """The program in a namespace on a bridge, its port published by DNAT."""
    path, inside = native_firewall(lab), lab.cloud
    router = lab.router
    for line in (
        "link add docker0 type bridge",
        "addr add 172.17.0.1/16 dev docker0",
        "link set docker0 up",
        "link del wan0",
        "link add veth0 type veth peer name eth0 netns " + inside,
        "link set veth0 master docker0",
        "link set veth0 up",
    ):
        ip("-n", router, *line.split())
    for line in ("addr flush dev lo", "addr add 172.17.0.2/16 dev eth0", "link set eth0 up"):
        ip("-n", inside, *line.split())
    ip("-n", inside, "route", "add", "default", "via", "172.17.0.1")
    run("modprobe", "-q", "br_netfilter", check=False)  # where it is a module
    lab.run(router, "sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1")
    rules = lab.tmp / "docker.nft"
    rules.write_text(DOCKER)
    lab.run(router, "nft", "-f", rules)
    return path._replace(server=inside, bind="0.0.0.0", device="eth0")


def viscum(datapath: str) -> Variant:
    """The program behind a redirect of Viscum's, on a router with the firewall and the package's includes."""

    def make(lab: Lab) -> PacketPath:
        firewall(lab)
        takes = ("list device lan0", "list dest_ip " + ADDRESS, "list dest_port %d" % PORT)
        up(lab, datapath, service(NAME, "/bin/true", *takes, datapaths.option(datapath)))
        return PacketPath(lab, lab.client, "viscum-" + NAME, "0.0.0.0", "eth0", ADDRESS)

    return make


def up(lab: Lab, datapath: str, configuration: str) -> None:
    lab.configure(configuration)
    agent(lab, datapath, "up", "--no-program")
    left = agent(lab, datapath, "plan").stdout
    if left != "# nothing to do\n":
        raise SystemExit("up, but there is more to do:\n" + left)


def down(lab: Lab, datapath: str) -> None:
    agent(lab, datapath, "down", "--no-program")


def agent(lab: Lab, datapath: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = (*lab.interpreter, *datapaths.start(datapath), "viscum_agent", "-c", lab.confdir, *words)
    return lab.run(lab.router, *command, cwd=ROOT, env=lab.env(), timeout=600)


VARIANTS: dict[str, Variant] = {
    "native": native,
    "native-firewall": native_firewall,
    "routed": routed,
    "routed-firewall": routed_firewall,
    "docker": docker,
}
VARIANTS.update({"viscum-" + name: viscum(name) for name in datapaths.DATAPATHS})

MEANINGS = {
    "native": "program in the router's namespace, no firewall",
    "native-firewall": "the same behind firewall4's rules",
    "routed": "program behind a router without firewall",
    "routed-firewall": "the same behind firewall4's rules",
    "docker": "bridge, DNAT, masquerade, firewall4's rules",
    "viscum-u32": "Viscum, datapath u32, firewall4's rules",
    "viscum-flower": "Viscum, datapath flower, firewall4's rules",
    "viscum-bpf-cls": "Viscum, datapath bpf (cls_bpf), firewall4's rules",
    "viscum-bpf-tcx": "Viscum, datapath bpf (tcx), firewall4's rules",
    "viscum-bpf-netkit": "Viscum, datapath bpf and pair auto (netkit), firewall4's rules",
}


def usable(names: list[str]) -> list[str]:
    """The variants that can run here; says of each other one why not."""
    found = []
    for name in names:
        datapath = name[len("viscum-") :] if name.startswith("viscum-") else ""
        if datapath and not datapaths.has(datapath):
            print("%s is left out: this kernel, or this agent, has no such datapath" % name)
        else:
            found.append(name)
    return found


def machine() -> dict[str, str | int]:
    """What the figures were measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "kernel": run("uname", "-r").stdout.strip(),
        "cpu": cpu[0] if cpu else "",
        "cores": len(cpu),
        "iproute2": run("ip", "-V").stdout.strip(),
        "iperf3": run("iperf3", "--version").stdout.split("\n")[0],
        "nft": run("nft", "--version").stdout.strip(),
    }
