"""The rules of firewall4 on a lab's router, as it prints them (tests/data/firewall4), with the package's includes."""

import re

from lab import ROOT

INCLUDES = ROOT / "files/usr/share/nftables.d"
RULESETS = ROOT / "tests/data/firewall4"
ON_ROUTER = "/usr/share/nftables.d/"
USER_INCLUDES = 'include "/etc/nftables.d/*.nft"'  # would be those of the machine that runs the tests
FLOWTABLE = re.compile(r"\tflowtable ft \{.*?\n\t\}\n", re.S)
OFFLOAD = "meta l4proto { tcp, udp } flow offload @ft;"


def places(name):
    """The files in /usr/share/nftables.d that a printed ruleset includes."""
    return re.findall(r'^\s*include "%s(.*)"$' % ON_ROUTER, (RULESETS / (name + ".nft")).read_text(), re.M)


def start_firewall(lab, name, leave_out=None, offload=None):
    """Loads a printed ruleset in place of what is there. `leave_out` is the directory of an include that is not
    installed; `offload` whether flow offloading stays in, None for: where this kernel has it."""
    text = (RULESETS / (name + ".nft")).read_text().replace(USER_INCLUDES, "")
    if leave_out:
        text, count = re.subn(r'\tinclude "%s%s/.*"\n' % (ON_ROUTER, leave_out), "", text)
        assert count == 1
    text = text.replace(ON_ROUTER, "%s/" % INCLUDES)
    if offload is False or (offload is None and not can_offload(lab)):
        text = FLOWTABLE.sub("", text).replace(OFFLOAD, "")
    path = lab.tmp / "ruleset.nft"
    path.write_text(text)
    lab.run(lab.router, "nft", "-c", "-f", path)
    lab.run(lab.router, "nft", "-f", path)


def can_offload(lab):
    table = "table inet try { flowtable ft { hook ingress priority 0; devices = { lo }; } }"
    return lab.run(lab.router, "nft", "-c", table, check=False).returncode == 0


def connections(lab):
    """What the router's connection tracking knows, without what neighbours and the kernel say to each other."""
    lines = lab.run(lab.router, "cat", "/proc/net/nf_conntrack").stdout.splitlines()
    return [line for line in lines if "icmpv6" not in line]
