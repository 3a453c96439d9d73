"""One package in the other's place, as opkg and apk do it, with a real agent and a client that asks all the time.

Both run the old package's scripts and remove its files (opkg_remove_pkg of opkg-lede; cset_gen_name_preprocess and
apk_db_install_pkg of apk-tools), then bring the new ones and run that package's scripts. procd is a stand-in: what it
is told is done here.
"""

import json
import signal
import subprocess
import sys

import pytest
from agent import CONFIG, Agent
from lab import CPYTHON, HANG, MICROPYTHON, ROOT, pids_in, wait_for
from router_root import INIT, RouterRoot

SECONDS = 10
OTHER = {CPYTHON: MICROPYTHON, MICROPYTHON: CPYTHON}


# With the manager's name: what it does with one package, a pause for the test to look, what it does with the other one.
MANAGER = """#!/bin/sh
/tmp/prerm
mv {init} /tmp/init
touch /tmp/gone
while [ -e /tmp/gone ]; do sleep 0.05; done
mv /tmp/init {init}
mkdir -p /usr/sbin
touch /usr/sbin/viscumd
chmod 755 /usr/sbin/viscumd
{init} start
""".format(init=INIT)


def begin(router, command):
    """Starts the package manager; it waits where the old package's files are gone."""
    for name, text in ((command.split()[0], MANAGER), ("../tmp/prerm", "#!/bin/sh\n%s stop\nexit 0\n" % INIT)):
        (router.path / "bin" / name).write_text(text)
        (router.path / "bin" / name).chmod(0o755)
    (router.path / "proc").mkdir()
    script = 'mount -t proc none "$0/proc" && exec chroot "$0" "$@"'
    return subprocess.Popen(["unshare", "--mount", "sh", "-c", script, str(router.path), *command.split()])


@pytest.mark.parametrize("command", ["opkg install viscum-cpython", "apk add viscum-cpython"])
def test_services_go_on_while_one_package_takes_the_others_place(lab, command):
    router = RouterRoot(lab.tmp / "root")
    router.configure(CONFIG)
    router.init("start")
    router.service_is_up("echo")
    agent = Agent(lab, CONFIG)
    agent.becomes("edge")
    (pid,) = pids_in("viscum-echo")
    words = (sys.executable, ROOT / "tests/echo.py", "loop", "udp", "203.0.113.10", "7000", "100", str(SECONDS))
    client = lab.start(lab.client, *words, stdout=subprocess.PIPE, text=True)

    router.forget()
    manager = begin(router, command)
    wait_for((router.path / "tmp/gone").exists)
    assert "procd: TERM" not in router.calls(), "the agent watches the service while its files are gone"
    assert agent.process.poll() is None and agent.who() == "edge"
    router.forget()
    (router.path / "tmp/gone").unlink()
    assert manager.wait(HANG) == 0
    router.settle()
    calls = router.calls()
    assert [call for call in calls if call.startswith("procd: ")] == [
        "procd: TERM",
        "procd: start when the old one has ended",
    ]
    agent.process.send_signal(signal.SIGTERM)
    agent.process.wait(HANG)
    lab.interpreter = OTHER[lab.interpreter]
    said = len(agent.log.read_text())
    agent.start()
    agent._wait_for(lambda: "echo: healthy" in agent.log.read_text()[said:], HANG, "the new one does not go on")

    found = json.loads(client.communicate()[0])
    print(found)
    assert found["sent"] > 0 and found["answered"] == found["sent"] and set(found["who"]) == {"edge"}
    assert pids_in("viscum-echo") == [pid]
