"""`viscum doctor` on a router with something wrong: it says what, for which service, and its own command fixes it."""

import json
import re
import shutil
import subprocess

import datapaths
import pytest
from lab import PROGRAMS, ROOT, SILENCE, echo_command, ip, run, service, snapshot

INCLUDES = ROOT / "files/usr/share/nftables.d"
ECHO = service(
    "echo",
    echo_command("edge", 7000),
    "list device lan0",
    "list dest_ip 203.0.113.10",
    "list dest_ip 2001:db8:cafe::10",
    "list dest_port 7000",
)
# The places of firewall4's ruleset that matter here; what comes from lan is accepted, also neighbor discovery.
FIREWALL = """
table inet fw4 {
    chain input {
        type filter hook input priority filter; policy drop;
        {chain-pre/input}
        iifname lan0 accept
    }
    chain forward {
        type filter hook forward priority filter; policy drop;
        {chain-pre/forward}
    }
    chain raw_prerouting {
        type filter hook prerouting priority raw; policy accept;
        {chain-post/raw_prerouting}
    }
}
"""


@pytest.fixture
def router(lab):
    """The lab with a service up, whose replies are routed."""
    lab.datapath = "u32"
    return serving(lab)


def serving(lab):
    lab.serve_cloud("tcp/7000")
    lab.configure(ECHO)
    lab.viscum("up")
    assert answers(lab) == ["edge", "edge"]
    return lab


def answers(lab):
    """Who answers over IPv4 and over IPv6."""
    return lab.who([("tcp", address, 7000) for address in ("203.0.113.10", "2001:db8:cafe::10")], timeout=SILENCE)


def doctor(lab, code, *severities):
    """The findings that are not ok, and the exit code as expected."""
    result = lab.viscum("doctor", "--json", check=False)
    assert (result.returncode, result.stderr) == (code, ""), result.stdout + result.stderr
    return [each for each in json.loads(result.stdout) if each["severity"] in (severities or ("error", "warning"))]


def said(findings, identity):
    found = [each for each in findings if each["id"] == identity]
    assert found, findings
    return found[0]


def fix(lab, finding):
    lab.run(lab.router, "sh", "-c", finding["fix"])


def firewall(lab, leave_out=""):
    text = FIREWALL
    for place in ("chain-pre/input", "chain-pre/forward", "chain-post/raw_prerouting"):
        include = 'include "%s"' % (INCLUDES / place / "viscum.nft") if place != leave_out else ""
        text = text.replace("{%s}" % place, include)
    lab.run(lab.router, "nft", "delete table inet fw4", check=False)
    path = lab.tmp / "firewall.nft"
    path.write_text(text)
    lab.run(lab.router, "nft", "-f", path)


def test_on_a_router_that_serves_there_is_nothing_to_fix_and_nothing_is_changed(router):
    before = snapshot(router.router), snapshot("viscum-echo")
    assert doctor(router, 0) == []
    assert (snapshot(router.router), snapshot("viscum-echo")) == before
    assert ip("netns", "list").count("viscum-") == 1


def test_before_a_service_is_up_there_is_nothing_to_fix(lab):
    lab.configure(ECHO)
    assert doctor(lab, 0) == []


def test_the_text_is_for_people(router):
    lines = router.viscum("doctor").stdout.splitlines()
    assert any(line.startswith("ok       kernel: has ") and "cls_u32" in line for line in lines), lines
    assert lines[-1].endswith(" ok")


def test_a_strict_reverse_path_filter_is_found_and_fixed(router):
    router.run(router.router, "sysctl", "-qw", "net.ipv4.conf.vsc-echo.rp_filter=1")
    assert answers(router)[0] == "", "strict filtering does harm"
    found = said(doctor(router, 1), "rp-filter")
    assert (found["severity"], found["services"]) == ("error", ["echo"])
    fix(router, found)
    assert answers(router)[0] == "edge"
    assert doctor(router, 0) == []


def test_a_reverse_path_filter_that_is_strict_everywhere_is_found_and_fixed(router):
    router.run(router.router, "sysctl", "-qw", "net.ipv4.conf.all.rp_filter=1")
    assert answers(router)[0] == ""
    fix(router, said(doctor(router, 1), "rp-filter"))
    assert answers(router)[0] == "edge"
    note = said(doctor(router, 0, "note"), "rp-filter")
    assert note["found"] == "strict everywhere"


def test_forwarding_that_was_switched_off_is_found_and_fixed(router):
    """Writing ip_forward sets the forwarding of every device."""
    router.run(router.router, "sysctl", "-qw", "net.ipv4.ip_forward=0")
    assert answers(router)[0] == ""
    found = said(doctor(router, 1), "ip-forward")
    assert (found["severity"], found["services"]) == ("error", ["echo"])
    fix(router, found)
    assert answers(router)[0] == "edge", "that is enough for the replies"
    note = said(doctor(router, 0, "note"), "ip-forward")
    assert "bypass" in note["means"]
    fix(router, note)
    lasting = ("kernel-", "connections", "icmp-errors", "sources")  # of the kernel, and of a datapath without eBPF
    assert [each["id"] for each in doctor(router, 0, "note", "error") if not each["id"].startswith(lasting)] == []


def test_ipv6_forwarding_that_was_switched_off_is_found_and_fixed(router):
    router.run(router.router, "sysctl", "-qw", "net.ipv6.conf.all.forwarding=0")
    assert answers(router)[1] == ""
    found = said(doctor(router, 1), "ipv6-forward")
    assert (found["severity"], found["services"]) == ("error", ["echo"])
    fix(router, found)
    assert answers(router)[1] == "edge"
    assert doctor(router, 0) == []


@pytest.mark.parametrize(
    "place, severity, harmed",
    [
        ("chain-post/raw_prerouting", "error", ["", ""]),
        ("chain-pre/forward", "error", ["", ""]),
        ("chain-pre/input", "warning", ["edge", ""]),
    ],
)
def test_an_include_that_the_firewall_has_not_is_found(router, place, severity, harmed):
    firewall(router)
    assert doctor(router, 0) == [], "with all of them there is nothing to fix"
    firewall(router, leave_out=place)
    ip("-n", "viscum-echo", "neigh", "flush", "all")
    assert answers(router) == harmed
    (found,) = doctor(router, 1)
    assert (found["id"], found["severity"], found["services"]) == ("firewall", severity, ["echo"])
    assert place + "/viscum.nft, which is not installed" in found["found"]
    package = "viscum" if "micropython" in router.interpreter[0] else "viscum-cpython"
    install = "install %s (opkg install, on OpenWrt 25.12 apk add); then /etc/init.d/firewall reload"
    assert found["fix"] == install % package


@pytest.mark.parametrize("datapath", [name for name in datapaths.here() if name.startswith("bpf")])
def test_replies_of_ebpf_go_past_the_firewall_and_nothing_else(lab, datapath):
    """What the doctor says of an eBPF service is what its clients see."""
    serving(lab)
    forgets = lambda: ip("-n", "viscum-echo", "neigh", "flush", "all")  # noqa: E731
    firewall(lab, leave_out="chain-post/raw_prerouting")
    forgets()
    assert answers(lab) == ["edge", "edge"] and doctor(lab, 0) == []
    firewall(lab, leave_out="chain-pre/input")
    forgets()
    assert answers(lab) == ["edge", ""]
    assert [(each["id"], each["services"]) for each in doctor(lab, 1)] == [("firewall", ["echo"])]
    firewall(lab)
    lab.run(lab.router, "sysctl", "-qw", "net.ipv4.conf.vsc-echo.rp_filter=1")
    forgets()
    assert answers(lab) == ["", "edge"], "the service's ARP requests do not"
    fix(lab, said(doctor(lab, 1), "rp-filter"))
    lab.viscum("down")
    lab.viscum("up")
    lab.run(lab.router, "sysctl", "-qw", "net.ipv4.conf.vsc-echo.forwarding=0")
    assert answers(lab) == ["", "edge"], "the programs ask the router's routes for the way"
    fix(lab, said(doctor(lab, 1), "ip-forward"))
    assert answers(lab) == ["edge", "edge"] and doctor(lab, 0) == []


@pytest.mark.parametrize("datapath", [name for name in datapaths.here() if name.startswith("bpf")])
def test_replies_of_ebpf_to_clients_at_the_port_of_a_bridge_need_the_includes(lab, datapath):
    lab.bridge()
    serving(lab)
    firewall(lab, leave_out="chain-pre/forward")
    assert answers(lab) == ["", ""]
    assert [(each["id"], each["services"]) for each in doctor(lab, 1)] == [("firewall", ["echo"])]


def test_after_an_installation_there_is_nothing_to_fix(lab):
    """The firewall was loaded before the package came, and reads its includes with the first enabled service."""
    shipped = (ROOT / "files/etc/config/viscum").read_text()
    (lab.confdir / "viscum").write_text(shipped)
    (lab.tmp / "firewall.nft").write_text(re.sub(r"\{chain-.*\}", "", FIREWALL))
    lab.run(lab.router, "nft", "-f", lab.tmp / "firewall.nft")
    assert doctor(lab, 0) == []


LOOK = """
from viscum_agent.doctor.machine import gather
from viscum_agent.records.dump import Dump
found = gather([], Dump(), %r, %r)
print(sorted(found.includes.items()), sorted(found.wed.items()), found.manager, found.sqm, found.qosify, found.firewall)
"""


def test_files_are_looked_for_where_openwrt_has_them(lab, tmp_path):
    """The paths themselves are those of openwrt/openwrt (apk, opkg), firewall4 and mt76."""
    root = tmp_path / "root"
    for path, text in (
        ("usr/share/nftables.d/chain-pre/forward/viscum.nft", ""),
        ("sys/module/mt7915e/parameters/wed_enable", "Y\n"),
        ("sys/module/mt7996e/parameters/wed_enable", "N\n"),
        ("usr/bin/apk", ""),
    ):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    queue = "config queue\n\toption interface %s\n\toption enabled %d\n"
    lab.configure(queue % ("eth1", 1) + queue % ("eth2", 0), "sqm")
    lab.configure(
        "config interface\n\toption name wan\n\nconfig device\n\toption name x\n\toption disabled 1\n", "qosify"
    )
    lab.configure("config zone\n\nconfig defaults\n\toption flow_offloading 1\n", "firewall")
    words = [*lab.interpreter, "-c", LOOK % (str(lab.confdir), str(root))]
    seen = lab.run(lab.router, *words, cwd=ROOT, env=lab.env()).stdout
    files = ("chain-post/raw_prerouting", "chain-pre/forward", "chain-pre/input")
    includes = [("%s/viscum.nft" % name, name == "chain-pre/forward") for name in files]
    wed = [("mt7915e", True), ("mt7996e", False)]
    assert seen == "%s %s apk ['eth1'] ['wan'] {'flow_offloading': '1'}\n" % (includes, wed)


def test_another_firewall_that_drops_is_a_warning_and_one_that_accepts_a_note(router):
    chain = "add chain ip mine passing { type filter hook forward priority 0; policy %s; }"
    router.run(router.router, "nft", "add table ip mine; " + chain % "accept")
    assert doctor(router, 0) == []
    assert "mine" in said(doctor(router, 0, "note"), "firewall")["found"]
    router.run(router.router, "nft", chain % "drop")
    assert "docs/operations.md" in said(doctor(router, 1), "firewall")["fix"]


def test_a_missing_program_and_a_missing_account_are_found(lab):
    missing = service("gone", "/usr/bin/nosuch -s", "list device lan0", "list dest_port 1")
    ghost = service("ghost", "/bin/true", "option user phantom", "list device lan0", "list dest_port 2")
    off = missing.replace("'gone'", "'off'").replace("enabled 1", "enabled 0")
    lab.configure(ECHO + missing + ghost + off)
    found = doctor(lab, 1)
    assert [(each["id"], each["services"]) for each in found] == [("program", ["gone"]), ("account", ["ghost"])]
    assert "/usr/bin/nosuch" in found[0]["found"] and "'phantom'" in found[1]["found"]


def test_somebody_elses_ingress_qdisc_is_found(lab):
    lab.configure(ECHO)
    lab.run(lab.router, "tc", "qdisc", "add", "dev", "lan0", "ingress")
    assert "another program made the ingress qdisc of lan0" in said(doctor(lab, 0, "note"), "ingress")["found"]
    lab.viscum("up")
    assert said(doctor(lab, 0, "note"), "ingress")["services"] == ["echo"], "it is still somebody else's"


def test_somebody_elses_filters_are_found_and_a_prio_of_ours_is_an_error(router):
    add = "tc filter add dev lan0 ingress protocol ip prio %d u32 match u32 0 0 flowid 1:1"
    router.run(router.router, *(add % 10).split())
    assert "prio 10" in said(doctor(router, 0, "note"), "ingress")["found"]
    router.run(router.router, *(add % 5).split())
    found = said(doctor(router, 1), "ingress")
    assert (found["severity"], found["services"]) == ("error", ["echo"])
    assert found["found"].endswith(": 5")


def test_sqm_that_our_qdisc_keeps_out_is_found_and_fixed(router):
    router.configure("config queue\n\toption enabled 1\n\toption interface lan0\n", "sqm")
    sqm = ("tc", "qdisc", "add", "dev", "lan0", "handle", "ffff:", "ingress")
    assert router.run(router.router, *sqm, check=False).returncode != 0, "this is how SQM begins"
    assert said(doctor(router, 1), "sqm")["services"] == ["echo"]
    router.viscum("down")
    router.run(router.router, *sqm)
    router.viscum("up")
    assert doctor(router, 0) == []
    assert "not shaped" in said(doctor(router, 0, "note"), "sqm")["means"]


def test_what_ebpf_lacks_is_said(lab):
    """Nothing to mount its file system on: /sys/fs is empty."""
    lab.configure(ECHO)
    run("mount", "-t", "tmpfs", "none", "/sys/fs")
    try:
        assert "lacks a BPF file system" in said(doctor(lab, 0, "note"), "kernel-bpf")["found"]
    finally:
        run("umount", "-l", "/sys/fs")


def test_a_tunnel_named_as_interface_is_found_unless_ebpf_takes_its_packets(lab):
    lab.datapath = "u32"
    lab.run(lab.router, "ip", "tuntap", "add", "dev", "tun7", "mode", "tun")
    lab.configure(ECHO.replace("list device lan0", "list device tun7"))
    found = doctor(lab, 1)
    assert [(each["id"], each["services"]) for each in found] == [("l3-device", ["echo"])]
    lab.configure(ECHO.replace("list device lan0", "list device *"))
    assert said(doctor(lab, 0, "note"), "l3-device")["services"] == ["echo"], "the other devices do"
    if datapaths.has("bpf-cls"):
        lab.datapath = "bpf"
        lab.configure(ECHO.replace("list device lan0", "list device tun7"))
        assert "l3-device" not in [each["id"] for each in doctor(lab, 0, "note")]


def test_rx_gro_list_is_found_on_the_port_of_a_bridge_and_fixed(lab):
    lab.bridge()
    lab.configure(ECHO.replace("lan0", "br-lan"))
    lab.run(lab.router, "ethtool", "-K", "lan0", "gro", "on", "rx-gro-list", "on")
    found = said(doctor(lab, 0, "note"), "rx-gro-list")
    assert (found["found"], found["services"]) == ("on: lan0", ["echo"])
    fix(lab, found)
    assert not [each for each in doctor(lab, 0, "note") if each["id"] == "rx-gro-list"]


def test_a_configuration_that_cannot_be_read_is_a_finding_among_the_others(lab):
    lab.configure("config service 'x\n")
    result = lab.viscum("doctor", "--json", check=False)
    findings = json.loads(result.stdout)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "/viscum:1: " in said(findings, "configuration")["found"]
    assert said(findings, "kernel")["severity"] == "ok"


def test_a_problem_of_the_configuration_is_a_finding(lab):
    lab.configure(ECHO + ECHO.replace("'echo'", "'bad'").replace("list dest_port 7000", "list dest_port 70000"))
    found = doctor(lab, 1)
    assert [(each["id"], each["services"]) for each in found] == [("configuration", ["bad"])]


def test_the_back_end_that_needs_a_library_is_found_without_it(lab):
    lab.configure("config globals 'globals'\n\toption netlink pyroute2\n\n" + ECHO)
    env = lab.env()
    if "micropython" not in lab.interpreter[0]:
        # -S leaves out site-packages, and PYTHONPATH brings the agent alone.
        lab.interpreter = (*lab.interpreter, "-S")
    result = lab.run(
        lab.router, *lab.interpreter, "-m", "viscum_agent", "-c", lab.confdir, "doctor", "--json",
        check=False, cwd=ROOT, env=env,
    )  # fmt: skip
    assert result.returncode == 1, result.stderr
    assert said(json.loads(result.stdout), "netlink")["severity"] == "error"


def test_without_root_it_says_what_it_could_not_look_at(lab):
    """As nobody, with Debian's Python: nobody can read a developer's checkout."""
    if "micropython" in lab.interpreter[0]:
        pytest.skip("MicroPython is where nobody may not go")
    shutil.copytree(ROOT / "viscum_agent", PROGRAMS / "viscum_agent", ignore=shutil.ignore_patterns("__pycache__"))
    (PROGRAMS / "config").mkdir()
    (PROGRAMS / "config/viscum").write_text(ECHO)
    result = lab.run(
        lab.router, "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
        "/usr/bin/python3", "-B", "-m", "viscum_agent", "-c", PROGRAMS / "config", "doctor", "--json",
        check=False, cwd=PROGRAMS,
    )  # fmt: skip
    assert result.returncode == 1, result.stderr
    found = json.loads(result.stdout)
    assert said(found, "root")["severity"] == "warning"
    for identity in ("kernel", "firewall"):
        assert said(found, identity)["severity"] == "note"
        assert "could not be read" in said(found, identity)["found"]


def test_the_agent_does_not_load_the_doctor(lab):
    """What nobody asks for costs no memory."""
    program = "import sys, viscum_agent.viscumd; print([name for name in sys.modules if 'doctor' in name])"
    for interpreter in (lab.interpreter,):
        words = [*interpreter, "-c", program]
        assert subprocess.run(words, cwd=ROOT, env=lab.env(), capture_output=True, text=True).stdout == "[]\n"
