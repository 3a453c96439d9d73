"""Records real messages of this machine's kernel as inputs to change: tests/fuzz/recorded/READER.txt.

    unshare --net .venv/bin/python tests/fuzz/record.py     # as root

In the new namespace, ip, tc and nft make what a router and a service's namespace have, and some of what they have not.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from fuzz import corpora  # noqa: E402

from viscum_agent import compat  # noqa: E402
from viscum_agent.kernel import codec, conntrack, rtnl, tc  # noqa: E402
from viscum_agent.kernel.netlink import Socket  # noqa: E402

COMMANDS = """
ip link set lo up
ip link add br0 type bridge
ip link add vsc-a type veth peer name eth9
ip link set vsc-a alias viscum:a
ip link set vsc-a master br0 up
ip link set eth9 up
ip link add dummy0 mtu 9000 type veth peer name dummy1
ip link property add dev dummy0 altname a-long-name-of-a-device
ip link set dummy0 up
ip address add 192.168.1.1/24 dev br0
ip address add 2001:db8::1/64 dev br0 nodad
ip link set br0 up
ip route add 10.213.0.0/30 dev dummy0 src 192.168.1.1
ip route add default via 192.168.1.2
ip route add 203.0.113.0/24 nexthop via 192.168.1.3 nexthop via 192.168.1.4
ip route add blackhole 198.51.100.0/24
ip route add fd00::/8 via 2001:db8::2 table 100
ip rule add iif vsc-a priority 100 table 100
ip rule add from 192.0.2.0/24 fwmark 1 table 9
ip -6 rule add to fd00::/8 priority 5 blackhole
tc qdisc add dev br0 clsact
tc qdisc add dev eth9 ingress
tc qdisc replace dev dummy0 root fq_codel
tc filter add dev br0 ingress prio 3 protocol ip u32 match ip dst 203.0.113.10/32 flowid 1:1 REDIRECT
tc filter add dev br0 ingress prio 5 protocol ip flower dst_ip 203.0.113.0/24 ip_proto tcp dst_port 80-90 HOST REDIRECT
tc filter add dev br0 ingress prio 6 protocol all matchall action drop
tc filter add dev br0 ingress prio 7 protocol ipv6 flower src_ip fd00::/8 dst_mac 02:00:5e:00:53:01 action gact pass
nft add table inet viscum
nft add chain inet viscum prerouting { type nat hook prerouting priority -100 ; }
nft add rule inet viscum prerouting iifname eth0 ip daddr 203.0.113.0/24 tcp dport 443 redirect to :8443
nft add rule inet viscum prerouting iifname eth0 ct state new counter drop
nft add table netdev viscum
nft add chain netdev viscum ingress { type filter hook ingress device eth9 priority 0 ; }
nft add rule netdev viscum ingress meta pkttype set host
nft add table inet vsc-a { comment "viscum" ; }
nft add chain inet vsc-a egress_0011 { type filter hook ingress device vsc-a priority 0 ; policy drop ; }
nft add rule inet vsc-a egress_0011 ip saddr 10.0.0.1 counter accept
nft add table inet fw4
nft add chain inet fw4 forward { type filter hook forward priority 0 ; policy drop ; }
nft add chain inet fw4 helper
nft add rule inet fw4 forward ip daddr { 10.0.0.1, 10.0.0.2 } limit rate 5/second accept comment "!viscum: x"
nft add flowtable inet fw4 ft { hook ingress priority 0 ; devices = { eth9, vsc-a } ; }
"""


def main():
    commands = COMMANDS.replace("REDIRECT", "action mirred egress redirect dev vsc-a")
    for line in commands.replace("HOST", "action skbedit ptype host pipe").strip().split("\n"):
        words = line.split(" ")
        if words[0] == "nft":  # one argument: its own syntax has blanks
            words = ["nft", line[4:]]
        result = subprocess.run(words, capture_output=True, text=True)
        if result.returncode:
            print("%s: %s" % (line, result.stderr.strip()), file=sys.stderr)
    routes = Socket(compat.NETLINK_ROUTE)
    found = []
    for which, request in ((0, rtnl.link_dump), (1, rtnl.address_dump), (2, rtnl.route_dump), (4, rtnl.rule_dump)):
        found += [bytes([which]) + body for body in routes.dump(request)]
    found += [b"\7" + body for body in routes.dump(rtnl.link_dump)]
    write("rtnetlink", found)
    found = [b"\2" + body for body in routes.dump(tc.qdisc_dump)]
    for index in range(1, 8):
        try:
            bodies = routes.dump(lambda seq, index=index: tc.filter_dump(index, seq))
        except OSError:
            continue
        found += [bytes([which]) + body for body in bodies for which in (0, 1)]
    write("tc", found)
    filters = Socket(compat.NETLINK_NETFILTER)
    found = []
    for kind in (1, 4, 7, 23):  # NFT_MSG_GETTABLE, GETCHAIN, GETRULE, GETFLOWTABLE
        request = lambda seq, kind=kind: codec.nf_message(codec.NFTABLES | kind, codec.NLM_F_DUMP, 0, b"", seq)  # noqa: E731
        answers = [codec.message(codec.NFTABLES | kind - 1, 2, body, 1) for body in filters.dump(request, True)]
        found += [bytes([way]) + answer for answer in answers for way in range(4)]
    write("nftables", found + [b"\0" + b"".join([each[1:] for each in found if each[0] == 0])])
    write("conntrack", [entry(4, 17), entry(6, 6)])


def entry(family, protocol):
    """As ctnetlink dumps a translated connection (ctnetlink_fill_info in net/netfilter/nf_conntrack_netlink.c)."""
    near, far = (
        (bytes([10, 213, 0, 2]), bytes([203, 0, 113, 10])) if family == 4 else (bytes(15) + b"\1", bytes(15) + b"\2")
    )
    numbers = (1, 2) if family == 4 else (3, 4)

    def side(source, target, ports):
        ends = codec.attribute(numbers[0], source) + codec.attribute(numbers[1], target)
        proto = codec.attribute(1, bytes([protocol])) + codec.attribute(2, ports[:2]) + codec.attribute(3, ports[2:])
        return codec.nest(1, ends) + codec.nest(2, proto)

    asked = codec.nest(conntrack.CTA_TUPLE_ORIG, side(near, far, b"\x80\1\1\xbb"))
    answers = codec.nest(conntrack.CTA_TUPLE_REPLY, side(near, near, b"\x20\xfb\x80\1"))
    return bytes([2 if family == 4 else 10, 0, 0, 0]) + asked + answers + codec.be32(3, 8) + codec.be32(7, 30)


def write(name, found):
    path = corpora.HERE / "recorded" / (name + ".txt")
    path.unlink(missing_ok=True)
    corpora.save(name, sorted(set(found)), "recorded")
    print("%s: %d messages, %d bytes" % (name, len(set(found)), path.stat().st_size))


if __name__ == "__main__":
    main()
