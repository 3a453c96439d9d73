"""A router's memory at its start: Debian's userland of a processor (.cache/routers), those modules of its kernel that a
router has with Viscum's packages and their optional ones, the packages themselves, and what the tests need.

Nothing here knows a package's name: all that `make ipk` makes for an interpreter go in.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
CACHE = ROOT / ".cache/routers"

# What OpenWrt has in these packages, by the names of the kernel's modules. `base`: what a router has anyway; firewall4
# brings the parts of nftables.
MODULES = {
    "base": "bridge nf_tables nf_conntrack nft_ct nft_chain_nat nft_redir crc32c_generic ipv6 af_packet",
    "kmod-veth": "veth",
    "kmod-sched-core": "sch_ingress cls_u32 cls_matchall act_mirred act_skbedit act_gact sch_htb sch_tbf",
    "kmod-sched-flower": "cls_flower",
    "kmod-sched-bpf": "cls_bpf act_bpf",
    "kmod-sched": "act_skbmod act_pedit act_csum",
}
FOLDERS = "proc sys dev tmp run etc root etc/rc.d etc/init.d etc/config etc/uci-defaults usr/lib/opkg/info srv/packages"
# Of the repository, under /srv: the tests' own programs, and the agent's sources for what stands in for ubusd.
SOURCES = "tests/echo.py tests/ubus_peer.py tests/package/opkg.py tests/package/router.py tests/routers/guest.py"
# Debian's static busybox prefers its own applets to any program, so these are asked for by their paths: /usr/sbin/ip.
NOT_LINKED = ("ip", "tc", "busybox")
FILES = {
    "etc/passwd": "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/var:/bin/false\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/shells": "/bin/sh\n",
}


def build(processor: str, packages: list[Path], file: Path) -> None:
    """Writes the compressed archive that the kernel unpacks. Raises CalledProcessError."""
    folder = file.with_suffix(".root")
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(CACHE / processor / "root", folder, symlinks=True)
    for name in FOLDERS.split():
        (folder / name).mkdir(parents=True, exist_ok=True)
    # As on OpenWrt: what is in /var is in memory, and both names of /run are one.
    shutil.rmtree(folder / "var", ignore_errors=True)
    (folder / "var").symlink_to("tmp")
    shutil.rmtree(folder / "run")
    (folder / "run").symlink_to("tmp/run")
    (folder / "tmp/run").mkdir()
    for path, text in FILES.items():
        (folder / path).write_text(text)
    _link_applets(folder)
    _copy_modules(CACHE / processor / "kernel", folder)
    for path in packages:
        shutil.copy(path, folder / "srv/packages")
    for name in SOURCES.split():
        (folder / "srv" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / "srv" / name)
    shutil.copytree(ROOT / "viscum_agent", folder / "srv/viscum_agent", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "tests/routers/init.sh", folder / "init")
    _pack(folder, file)
    shutil.rmtree(folder)


def _link_applets(folder: Path) -> None:
    """The machine's own busybox has the same applets: the router's can't be asked here."""
    for name in subprocess.check_output(["busybox", "--list"], text=True).split():
        there = [folder / part / name for part in ("usr/bin", "usr/sbin")]
        if name not in NOT_LINKED and not any(os.path.lexists(path) for path in there):
            there[0].symlink_to("busybox")
    for name in ("modprobe", "sysctl"):  # where the kernel looks for it; where `service` scripts do
        if not os.path.lexists(folder / "usr/sbin" / name):
            (folder / "usr/sbin" / name).symlink_to("../bin/busybox")
    (folder / "usr/bin/python3").symlink_to("python3.11")


def _copy_modules(kernel: Path, folder: Path) -> None:
    """The modules and what they need. A name that this kernel does not know is built in, or not there at all: which
    datapaths work says the run."""
    version = next((kernel / "lib/modules").iterdir()).name
    own = kernel / "lib/modules" / version
    target = folder / "usr/lib/modules" / version
    for name in " ".join(MODULES.values()).split():
        words = ["modprobe", "-d", str(kernel), "-S", version, "--show-depends", name]
        found = subprocess.run(words, capture_output=True, text=True).stdout
        for line in found.splitlines():
            if line.startswith("insmod "):
                path = Path(line.split()[1])
                place = target / path.relative_to(own)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, place)
    for name in ("modules.builtin", "modules.order", "modules.builtin.modinfo"):
        if (own / name).exists():
            shutil.copy(own / name, target)
    subprocess.check_call(["depmod", "-b", str(folder), version])


def _pack(folder: Path, file: Path) -> None:
    names = "\n".join(sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))) + "\n"
    words = ["busybox", "cpio", "-o", "-H", "newc", "-R", "0:0"]
    archive = subprocess.run(words, cwd=folder, input=names.encode(), capture_output=True, check=True).stdout
    file.write_bytes(subprocess.run(["gzip", "-1"], input=archive, capture_output=True, check=True).stdout)


if __name__ == "__main__":
    build(sys.argv[1], [Path(word) for word in sys.argv[3:]], Path(sys.argv[2]))
