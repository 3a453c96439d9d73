"""Debian's collectd starts the script of collectd-mod-viscum as an account without rights, and gets numbers of it."""

import shutil
import subprocess

import pytest
from lab import HANG, PROGRAMS, ROOT, wait_for
from prometheus import TOOLS
from test_collectors import BUSY, HEAD

from viscum_agent.cli import metrics

SCRIPT = ROOT / "package/viscum-collectors/collectd/usr/libexec/collectd/viscum.sh"
SERVICES = {"web": BUSY, "dns": {"packets": 1, "sent_packets": 2, "bytes": 3, "sent_bytes": 4, "memory": None}}
SETTINGS = """Hostname "ap1"
Interval 1
BaseDir "%(folder)s"
PIDFile "%(folder)s/pid"
PluginDir "%(tools)s/usr/lib/collectd"
TypesDB "%(tools)s/usr/share/collectd/types.db"
LoadPlugin exec
LoadPlugin csv
<Plugin csv>
    DataDir "%(folder)s/csv"
</Plugin>
<Plugin exec>
    Exec "nobody:nogroup" "%(script)s"
</Plugin>
"""


@pytest.fixture
def commands():
    """A folder that others can read, with the script, and in place of `viscum` one that prints what that would."""
    PROGRAMS.mkdir(mode=0o755, exist_ok=True)
    shutil.copy(SCRIPT, PROGRAMS)
    text = metrics.text(dict(HEAD, up=1, services=SERVICES), older=True)
    (PROGRAMS / "text").write_text(text)
    command = PROGRAMS / "viscum"
    command.write_text('#!/bin/sh\n[ "$*" = "metrics --text" ] && exec cat %s\n' % (PROGRAMS / "text"))
    command.chmod(0o755)
    yield {"PATH": "%s:/usr/sbin:/usr/bin:/sbin:/bin" % PROGRAMS}
    shutil.rmtree(PROGRAMS)


def test_collectd_gets_what_a_service_carries_and_uses(commands, tmp_path):
    (tmp_path / "conf").write_text(SETTINGS % {"folder": tmp_path, "tools": TOOLS, "script": PROGRAMS / SCRIPT.name})
    libraries = {"LD_LIBRARY_PATH": "%s/usr/lib/x86_64-linux-gnu" % TOOLS}
    command = [TOOLS / "usr/sbin/collectd", "-f", "-C", tmp_path / "conf"]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen(command, env={**commands, **libraries}, stdout=log, stderr=log)
    try:
        wait_for(lambda: len(list(tmp_path.glob("csv/ap1/viscum-web/*"))) == 5)
        found = {path.name[:-11]: path.read_text().splitlines()[1] for path in tmp_path.glob("csv/ap1/viscum-web/*")}
    finally:
        process.terminate()
        process.wait(HANG)
    values = {name: [float(word) for word in line.split(",")[1:]] for name, line in found.items()}
    assert values.pop("current_connections") == [BUSY["connections"]]
    assert values.pop("memory") == [BUSY["memory"]]
    assert values.pop("gauge-redirects") == [BUSY["from_count"]]
    assert set(values) == {"if_octets", "if_packets"}, "rates of what is counted"


@pytest.mark.parametrize("busybox", [False, True], ids=("of Debian", "of busybox"))
def test_a_shell_and_awk_say_each_value_once_and_end_when_nobody_reads(commands, busybox):
    if busybox:
        (PROGRAMS / "awk").symlink_to(shutil.which("busybox"))
    shell = ["busybox", "sh"] if busybox else ["sh"]
    environment = {**commands, "COLLECTD_HOSTNAME": "ap1", "COLLECTD_INTERVAL": "1.000"}
    process = subprocess.Popen([*shell, PROGRAMS / SCRIPT.name], env=environment, stdout=subprocess.PIPE, text=True)
    lines = [process.stdout.readline() for _ in range(7)]
    assert sorted(lines) == [
        'PUTVAL "ap1/viscum-%s" interval=1.000 N:%s\n' % pair
        for pair in (
            ("dns/if_octets", "3:4"),
            ("dns/if_packets", "1:2"),
            ("web/current_connections", "9"),
            ("web/gauge-redirects", "2"),
            ("web/if_octets", "98765432109876:0"),
            ("web/if_packets", "123456789012:1"),
            ("web/memory", "5368709120"),
        )
    ]
    process.stdout.close()
    process.wait(HANG)
