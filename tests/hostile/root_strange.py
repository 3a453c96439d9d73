# Attacks whoever reads what is in its namespace: routes, links, rules and tables of every kind, Viscum's names on some.
import subprocess

import stage

COMMANDS = """
ip link add br type bridge
ip link add macvlan0 link eth0 type macvlan
ip link add tunnel0 type ipip local 10.1.1.1 remote 10.1.1.2
ip link add tunnel1 type ip6gre local 2001:db8::1 remote 2001:db8::2
ip link add tunnel2 type sit local 10.1.1.1
ip link add v0 type veth peer name v1
ip link set v0 up
ip link set v1 up
ip link set lo mtu 65536
ip link set v0 mtu 70
ip nexthop add id 1 blackhole
ip nexthop add id 2 dev v0
ip nexthop add id 3 group 2
ip route add 10.9.1.0/24 nhid 1
ip route add 10.9.2.0/24 nhid 3
ip route add 10.9.3.0/24 nexthop dev v0 nexthop dev v1
ip route add 10.9.4.0/24 via inet6 fe80::1 dev v0
ip route add 10.9.5.0/24 dev v0 mtu lock 1000 advmss 900 congctl reno
ip route add throw 10.9.6.0/24
ip route add unreachable 10.9.7.0/24 table 77
ip route add multicast 239.0.0.0/8 dev v0 table 77
ip route add 10.9.8.0/24 encap mpls 100 dev v0
ip -6 route add 2001:db8:9::/64 encap seg6 mode encap segs 2001:db8::7 dev v0
ip -6 route add default dev v0 metric 1 pref high
ip route add default dev v0 metric 1
ip rule add fwmark 7 table 77
ip addr add 10.9.9.1 peer 10.9.9.2/32 dev v0
ip -6 addr add 2001:db8:9::1 peer 2001:db8:9::2/128 dev v0
"""
TABLES = """
flush ruleset
table inet viscum {
  set s { type ipv4_addr . inet_service ; flags interval ; }
  map m { type inet_service : verdict ; elements = { 7000 : accept } }
  chain redirect {
    type nat hook prerouting priority -90 ; policy accept ;
    tcp dport vmap @m
    tcp dport { 1, 2 } redirect to :7001-7005 random
  }
  chain other { ct state { new, established } counter log prefix "x" ; meta mark set jhash ip saddr mod 7 ; }
}
table netdev viscum { chain x { type filter hook ingress device lo priority 5 ; ip saddr @nh,96,8 1 drop ; } }
table ip viscum { }
"""

stage.serve_beside()
stage.wait_for_go()
for line in COMMANDS.strip().split("\n"):
    subprocess.run(line.split(), check=False, stderr=subprocess.DEVNULL)
for text in (TABLES, TABLES.replace("ip saddr @nh,96,8 1 drop ;", "")):
    subprocess.run(["nft", text], check=False, stderr=subprocess.DEVNULL)
stage.begun()
stage.sleep()
