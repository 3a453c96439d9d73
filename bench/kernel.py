"""What a service costs the kernel: measured from /proc/slabinfo, printed, never judged.

    kernel.py [--count 100] [--caches 12]     (make bench-kernel)

Two tables, in KB for each of 100 services. The first is made by hand, step by step, as `ip` makes what a service
consists of: so it says which part costs what. The second is what `viscum up --no-program` makes. `--caches` also
prints the slab caches that grew most.

What counts is objects in use in the slab caches, but for those of files, processes and their memory, which grow and
shrink with whatever else runs. Memory of each processor ("Percpu" in /proc/meminfo) is printed beside it: the kernel
takes it in large chunks, so that it may not change. Others must not make namespaces meanwhile: best alone on a machine,
or in the guest (tests/vm/run.sh --run python bench/kernel.py).
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent.parent / part) for part in ("", "tests")]

from lab import Lab, isolate, run, service  # noqa: E402

PAIR = "link add vk# {0} type veth peer name eth0 {0} netns vk#"
ONE = "numtxqueues 1 numrxqueues 1"
NAT = "table inet viscum { chain p { type nat hook prerouting priority -100; tcp dport 80 redirect to :8080; }; }"
# (title, commands for each service, with # for its number)
STEPS = (
    ("an empty namespace", ["ip netns add vk#"]),
    ("its loopback up", ["ip -n vk# link set lo up"]),
    ("a pair with a queue for each processor", ["ip " + PAIR.format("")]),
    ("without it", ["ip link del vk#"]),
    ("a pair with one queue", ["ip " + PAIR.format(ONE)]),
    (
        "both ends up, IPv4 addresses, a route",
        [
            "ip link set vk# up",
            "ip -n vk# link set eth0 up",
            "ip addr add 10.99.#.1/30 dev vk#",
            "ip -n vk# addr add 10.99.#.2/30 dev eth0",
            "ip -n vk# route add default via 10.99.#.1",
        ],
    ),
    ("IPv6 switched off in it", ["ip netns exec vk# sysctl -qw net.ipv6.conf.all.disable_ipv6=1"]),
    ("an nft redirect in it", ["ip netns exec vk# nft '%s'" % NAT]),
)
# Caches of files, processes and their memory: how their names begin.
OTHERS: tuple[str, ...] = (
    "ext4",
    "jbd2",
    "proc_inode",
    "shmem_inode",
    "inode_cache",
    "ovl_inode",
    "fuse",
    "dentry",
    "buffer_head",
)
OTHERS += ("radix_tree", "extent_status", "bio", "lsm_inode", "task_", "vm_area", "anon_vma", "maple", "mm_", "filp")
OTHERS += ("files_", "sighand", "signal", "pid", "cred", "pde_opener", "kmalloc-rcl", "names_cache", "eventpoll")
Reading = tuple[dict[str, int], int]


def reading() -> Reading:
    """(bytes in use by slab cache, KiB of "Percpu"), without what is only cached."""
    Path("/proc/sys/vm/drop_caches").write_text("2")
    time.sleep(0.5)
    caches = {}
    for line in Path("/proc/slabinfo").read_text().splitlines()[2:]:
        name, active, _, size, *_ = line.split()
        if not name.startswith(OTHERS):
            caches[name] = int(active) * int(size)
    text = Path("/proc/meminfo").read_text()
    return caches, next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Percpu:"))


def measured(title: str, step: Callable[[], object], count: int, most: int) -> None:
    """Does a step and prints what it costs for each service."""
    before, percpu = reading()
    step()
    after, percpu_after = reading()
    grown = {name: (after[name] - before.get(name, 0)) / count / 1024 for name in after}
    print("%-40s %8.1f %8.1f" % (title, sum(grown.values()), (percpu_after - percpu) / count), flush=True)
    for name in sorted(grown, key=lambda name: -abs(grown[name]))[:most]:
        print("    %-36s %8.1f" % (name, grown[name]))


def by_hand(commands: list[str], count: int) -> None:
    lines = [command.replace("#", str(number)) for number in range(count) for command in commands]
    subprocess.run(["sh", "-e"], input="\n".join(lines), text=True, check=True)


def config(count: int, *lines: str) -> str:
    text = ""
    for number in range(count):
        where = ("list device lan0", "list dest_ip 203.0.113.10", "list dest_port %d" % (7000 + number))
        text += service("s%d" % number, "/bin/true", *where, "list proto tcp", *lines)
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--caches", type=int, default=0)
    words = parser.parse_args()
    isolate()
    print("%-40s %8s %8s" % ("KB for each of %d services" % words.count, "slab", "percpu"))
    measured("nothing (what others do meanwhile)", lambda: time.sleep(2), words.count, 0)
    try:
        for title, commands in STEPS:
            measured(title, partial(by_hand, commands, words.count), words.count, words.caches)
    finally:
        by_hand(["ip netns del vk#"], words.count)
        time.sleep(5)
    with tempfile.TemporaryDirectory() as tmp, Lab(tmp) as lab:
        kinds = (("viscum up", ()), ("viscum up, target_port", ("option target_port 80",)))
        for title, lines in kinds:
            lab.configure(config(words.count, *lines))
            measured(title, lambda: lab.viscum("up", "--no-program"), words.count, words.caches)
            lab.viscum("down")
            time.sleep(5)
    run("sync")


if __name__ == "__main__":
    main()
